//! What may be chosen of TLS.

use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

use crate::{clock::Clock, error::Error, provider::AesSupport, suites::Tls12Suites};

/// What may be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which versions of TLS may be used.
    pub versions: Versions,
    /// Which suites of TLS 1.2 may be used.
    pub tls12_suites: Tls12Suites,
    /// What the CPU can do, which orders the suites.
    pub aes: AesSupport,
    /// Whose time certificates are held against.
    pub clock: Clock,
    /// How many sessions are kept for resumption, each about 1.5 KB once used; 0 for none. A server keeps them by
    /// client connection, a client keeps up to 64 of the one server.
    pub sessions: usize,
}

impl Default for Options {
    /// TLS 1.2 and 1.3, all suites, software AES, the system's clock and 64 sessions.
    fn default() -> Self {
        Self {
            versions: Versions::default(),
            tls12_suites: Tls12Suites::default(),
            aes: AesSupport::Software,
            clock: Clock::system(),
            sessions: 64,
        }
    }
}

/// Which versions of TLS may be used: 1.2, 1.3 or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    tls12: bool,
    tls13: bool,
}

impl Default for Versions {
    fn default() -> Self {
        Self {
            tls12: true,
            tls13: true,
        }
    }
}

impl Versions {
    /// Reads the least and the greatest version as Consul's mesh config entry has them (`TLSMinVersion`,
    /// `TLSMaxVersion`): `TLSv1_2`, `TLSv1_3`, or `TLS_AUTO` or nothing for what is usual. A least version of
    /// `TLSv1_0` or `TLSv1_1` is raised to 1.2: those two are not spoken.
    ///
    /// # Errors
    ///
    /// A version is unknown, or none is left.
    pub fn from_names(least: &str, greatest: &str) -> Result<Self, Error> {
        let unknown = || Error::ConfigVersion(format!("{least:?} to {greatest:?}"));
        let least = match least {
            "" | "TLS_AUTO" | "TLSv1_0" | "TLSv1_1" | "TLSv1_2" => 2,
            "TLSv1_3" => 3,
            _ => return Err(unknown()),
        };
        let greatest = match greatest {
            "" | "TLS_AUTO" | "TLSv1_3" => 3,
            "TLSv1_2" => 2,
            _ => return Err(unknown()),
        };
        match (least, greatest) {
            (3, 2) => Err(unknown()),
            _ => Ok(Self {
                tls12: least == 2,
                tls13: greatest == 3,
            }),
        }
    }

    pub(crate) fn list(self) -> Vec<&'static SupportedProtocolVersion> {
        let mut list = Vec::new();
        if self.tls13 {
            list.push(&TLS13);
        }
        if self.tls12 {
            list.push(&TLS12);
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_mesh_entry() {
        let both = Versions::default();
        let list = |least, greatest| {
            let versions = Versions::from_names(least, greatest).ok()?;
            Some((versions.tls12, versions.tls13))
        };
        assert_eq!(Versions::from_names("", ""), Ok(both));
        assert_eq!(Versions::from_names("TLS_AUTO", "TLS_AUTO"), Ok(both));
        assert_eq!(list("TLSv1_0", ""), Some((true, true)));
        assert_eq!(list("TLSv1_3", ""), Some((false, true)));
        assert_eq!(list("TLSv1_2", "TLSv1_2"), Some((true, false)));
        assert_eq!(list("TLSv1_3", "TLSv1_2"), None);
        assert_eq!(list("", "TLSv1_1"), None);
        assert_eq!(list("1.2", ""), None);
    }
}

//! The cipher suites of TLS 1.2 that may be used, by name.
//!
//! Consul's mesh config entry lists them (`TLS.Incoming.CipherSuites`), in the IANA's spelling; what it gives Envoy has
//! OpenSSL's. Both are read. Suites of TLS 1.3 cannot be chosen, neither there nor here.
//! <https://developer.hashicorp.com/consul/docs/connect/config-entries/mesh#ciphersuites>

use rustls::CipherSuite;

use crate::error::Error;

/// The suites of TLS 1.2 that may be used; all that there are by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls12Suites {
    /// `None` for all.
    allowed: Option<Vec<CipherSuite>>,
    not_offered: Vec<String>,
}

impl Tls12Suites {
    /// Reads names. An empty list means all.
    ///
    /// Suites that Envoy has and lictor has not, since they lack forward secrecy or authenticated encryption, are left
    /// out; [`Tls12Suites::not_offered`] says which.
    ///
    /// # Errors
    ///
    /// A name is unknown, or none of the suites is offered.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let mut read = Self::default();
        let mut allowed = Vec::new();
        for name in names {
            match KNOWN
                .iter()
                .find(|(iana, openssl, _)| [*iana, *openssl].contains(&name))
            {
                Some((_, _, Some(suite))) if !allowed.contains(suite) => allowed.push(*suite),
                Some((_, _, Some(_))) => {}
                Some((_, _, None)) => read.not_offered.push(name.to_owned()),
                None => return Err(Error::ConfigSuite(format!("{name:?} is not known"))),
            }
        }
        if !allowed.is_empty() {
            read.allowed = Some(allowed);
        } else if !read.not_offered.is_empty() {
            return Err(Error::ConfigSuite(format!(
                "none of {} is offered; those of TLS 1.2 with ECDHE and GCM or ChaCha20 are",
                read.not_offered.join(", ")
            )));
        }
        Ok(read)
    }

    /// The names that were read and have no effect, for a warning.
    #[must_use]
    pub fn not_offered(&self) -> &[String] {
        &self.not_offered
    }

    pub(crate) fn allows(&self, suite: CipherSuite) -> bool {
        self.allowed
            .as_ref()
            .is_none_or(|allowed| allowed.contains(&suite))
    }
}

/// The IANA's name, OpenSSL's name, and the suite where it is offered: all that Consul lets one choose.
const KNOWN: &[(&str, &str, Option<CipherSuite>)] = &[
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-RSA-CHACHA20-POLY1305",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        "ECDHE-ECDSA-AES128-SHA",
        None,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        "ECDHE-ECDSA-AES256-SHA",
        None,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        "ECDHE-RSA-AES128-SHA",
        None,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
        "ECDHE-RSA-AES256-SHA",
        None,
    ),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA", None),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256", None),
    ("TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA", None),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384", None),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        let iana = Tls12Suites::from_names(["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
        let openssl = Tls12Suites::from_names(["ECDHE-RSA-AES128-GCM-SHA256"]);
        assert_eq!(iana, openssl);
        let one = iana.unwrap();
        assert!(one.allows(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256));
        assert!(!one.allows(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384));
        assert_eq!(Tls12Suites::from_names([]).unwrap(), Tls12Suites::default());
    }

    #[test]
    fn what_is_not_offered_is_said_and_nothing_left_is_refused() {
        let both = Tls12Suites::from_names(["AES128-SHA", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
        assert_eq!(both.unwrap().not_offered(), ["AES128-SHA"]);
        let none = Tls12Suites::from_names(["AES128-SHA"]).unwrap_err();
        assert!(none.to_string().contains("none of AES128-SHA"), "{none}");
        let odd = Tls12Suites::from_names(["RC4-MD5"]).unwrap_err();
        assert!(
            odd.to_string().contains("\"RC4-MD5\" is not known"),
            "{odd}"
        );
    }
}

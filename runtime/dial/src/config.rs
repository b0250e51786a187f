//! Whom to ask, and how patiently.

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use wire::dns::resolv_conf;

/// Whom to ask, and how patiently. A system's own is read from its files for each resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whom to ask, in order. With none, only `hosts` answers.
    pub nameservers: Vec<SocketAddr>,
    /// How long one nameserver may take for one query; over TCP once more as long.
    pub timeout: Duration,
    /// How many times to go through the nameservers.
    pub attempts: u8,
    /// What needs no nameserver, as `/etc/hosts` has it (hosts(5)).
    pub hosts: String,
}

impl Config {
    /// What `/etc/resolv.conf` and `/etc/hosts` say now. A file that cannot be read says nothing:
    /// then the defaults of resolv.conf(5) hold, a nameserver on this host among them.
    pub(crate) fn of_system() -> Self {
        let conf = resolv_conf::parse(&text_of(Path::new("/etc/resolv.conf")));
        Self {
            nameservers: conf
                .nameservers
                .iter()
                .map(|address| SocketAddr::new(*address, DNS_PORT))
                .collect(),
            timeout: Duration::from_secs(u64::from(conf.timeout_seconds)),
            attempts: conf.attempts,
            hosts: text_of(Path::new("/etc/hosts")),
        }
    }
}

/// How often names are asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The least and the most that a TTL counts for. A name with a TTL of zero must not be asked
    /// for all the time, and one of a week must not outlive its gateway by a week.
    pub ttl: (Duration, Duration),
    /// The wait after the first failure in a row, and the most it doubles up to. Each wait is
    /// shortened by up to half by chance, so that a site's gateways don't all ask at once when its
    /// nameserver is back.
    pub retry: (Duration, Duration),
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            ttl: (Duration::from_secs(5), Duration::from_secs(600)),
            retry: (Duration::from_secs(1), Duration::from_secs(60)),
        }
    }
}

/// The start of a text file, as far as it may be read; what is not UTF-8 in it matches no name and
/// no keyword.
fn text_of(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // A failure midway leaves what was read before it, and that counts.
        let _ = file.take(MAX_FILE_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// RFC 1035 section 4.2.
const DNS_PORT: u16 = 53;

/// The most that is read of either file: some 1,500 hosts. Longer lists belong into a nameserver.
const MAX_FILE_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_whom_to_ask() {
        // Whatever the files say, and if they are missing, there is someone to ask.
        let config = Config::of_system();
        assert!(!config.nameservers.is_empty());
        assert!(config.nameservers.iter().all(|server| server.port() == 53));
        assert!(config.attempts >= 1 && config.timeout >= Duration::from_secs(1));
    }

    #[test]
    fn a_file_is_read_up_to_its_bound_and_a_missing_one_is_empty() {
        assert_eq!(text_of(Path::new("/nowhere/at/all")), "");
        assert_eq!(text_of(Path::new("/dev/zero")).len(), 64 * 1024);
    }
}

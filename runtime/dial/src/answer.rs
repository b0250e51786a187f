//! What a name resolved to.

use std::net::IpAddr;
use std::time::Duration;

/// The addresses of a host, and how long they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// One at least and 32 at most, each once, in the order to try them: families take turns and
    /// IPv6 goes first (RFC 8305 section 4); within a family as the nameserver put them.
    pub addresses: Vec<IpAddr>,
    /// How long they may be used before asking again.
    pub ttl: Duration,
}

impl Answer {
    /// The addresses of both families in the order of RFC 8305.
    pub(crate) fn interleaved(
        v6: impl IntoIterator<Item = IpAddr>,
        v4: impl IntoIterator<Item = IpAddr>,
        ttl: Duration,
    ) -> Self {
        let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
        let mut addresses = Vec::new();
        loop {
            let turn = [v6.next(), v4.next()];
            if turn == [None, None] {
                return Self { addresses, ttl };
            }
            for address in turn.into_iter().flatten() {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(v6: &[&str], v4: &[&str]) -> Vec<String> {
        let parsed = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        Answer::interleaved(parsed(v6), parsed(v4), Duration::ZERO)
            .addresses
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn families_take_turns_and_ipv6_goes_first() {
        assert_eq!(
            order(&["::1", "::2"], &["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
            ["::1", "10.0.0.1", "::2", "10.0.0.2", "10.0.0.3"]
        );
        assert_eq!(order(&["::1", "::1", "::2"], &[]), ["::1", "::2"]);
        assert_eq!(order(&[], &["10.0.0.1"]), ["10.0.0.1"]);
    }
}

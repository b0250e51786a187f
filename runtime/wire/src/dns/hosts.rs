//! `/etc/hosts`: addresses that need no nameserver.
//!
//! One address a line, then its names; `#` starts a comment (hosts(5)). Lines that cannot be read are passed over, as
//! the C library does, and so are addresses with an interface (`fe80::1%eth0`): a zone has no place in an `IpAddr`.

use super::{HostName, MAX_ADDRESSES};
use core::net::IpAddr;
use heapless::Vec;

/// The addresses that `text` gives for `host`, in the order of the lines, each once, in both families.
///
/// Those past [`MAX_ADDRESSES`] are left out. Takes time in proportion to the text; the caller bounds its length.
pub fn lookup(text: &str, host: &HostName) -> Vec<IpAddr, MAX_ADDRESSES> {
    let mut addresses = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
            continue;
        };
        if words.any(|word| is_name(word, host)) && !addresses.contains(&address) {
            // Full: the rest is left out, as documented.
            let _ = addresses.push(address);
        }
    }
    addresses
}

fn is_name(word: &str, host: &HostName) -> bool {
    word.strip_suffix('.')
        .unwrap_or(word)
        .eq_ignore_ascii_case(host.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::{String, ToString};

    const TEXT: &str = "\
127.0.0.1\tlocalhost
::1 localhost ip6-localhost # not gateway
10.0.0.7  Gateway.DC2. gw#gateway2
10.0.0.7 gateway.dc2
bad gateway.dc2
fe80::1%eth0 gateway.dc2
2001:db8::7 x gateway.dc2\r
# 10.0.0.8 gateway.dc2
10.0.0.9";

    fn addresses(text: &str, name: &str) -> std::vec::Vec<String> {
        let host = HostName::new(name).unwrap();
        lookup(text, &host)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn both_families_are_found_by_any_name_in_any_case() {
        assert_eq!(addresses(TEXT, "localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(addresses(TEXT, "gateway.dc2"), ["10.0.0.7", "2001:db8::7"]);
        assert_eq!(addresses(TEXT, "GW"), ["10.0.0.7"]);
    }

    #[test]
    fn comments_and_parts_of_names_are_not_found() {
        for name in ["gateway", "gateway2", "dc2", "bad"] {
            assert!(addresses(TEXT, name).is_empty(), "{name}");
        }
    }

    #[test]
    fn addresses_past_the_bound_are_left_out() {
        let text = (0..40)
            .map(|n| format!("10.0.0.{n} a\n"))
            .collect::<String>();
        let found = addresses(&text, "a");
        assert_eq!(found.len(), MAX_ADDRESSES);
        assert_eq!(found[15], "10.0.0.15");
    }
}

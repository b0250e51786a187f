//! Addresses with ports: `10.0.0.5:21000`, `[2001:db8::1]:8443`, `gw.example.com:8443`.

use std::net::{IpAddr, SocketAddr};

use plan::{Endpoint, EndpointAddress, Health};

use crate::fields::{At, Holds, Read, record};
use crate::scalars::words;
use crate::socket_path::socket_path;
use crate::value::{Data, Value};

/// The longest host name in text form (RFC 1035 section 2.3.4, without the root's dot).
const MAX_HOST_BYTES: usize = 253;
/// The longest label of a host name (RFC 1035 section 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// Reads an address with its port.
///
/// # Errors
/// Says what is wrong with the text.
pub(crate) fn parse_address(text: &str) -> Result<EndpointAddress, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.port() {
            0 => Err(format!(
                "'{text}' has port 0; give the port that the peer listens on"
            )),
            _ => Ok(EndpointAddress::Socket(address)),
        };
    }
    if text
        .parse::<IpAddr>()
        .is_ok_and(|address| address.is_ipv6())
    {
        return Err(format!("'{text}' has no port; write [address]:port"));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("'{text}' has no port; write address:port"));
    };
    let port = match port.parse::<u16>() {
        Ok(port) if port > 0 => port,
        _ => {
            return Err(format!(
                "'{port}' in '{text}' is no port; it is a number of 1 to 65535"
            ));
        }
    };
    if host.contains(':') || host.starts_with('[') {
        return Err(format!(
            "'{text}' is no address; write IPv6 as in [2001:db8::1]:8443"
        ));
    }
    Ok(EndpointAddress::Host {
        name: parse_host(host)?,
        port,
    })
}

/// Reads a host name; gives it lower case and without the root's dot.
pub(crate) fn parse_host(host: &str) -> Result<String, String> {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let fits = |label: &str| {
        let letters = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=MAX_LABEL_BYTES).contains(&label.len()) && letters
    };
    if name.len() > MAX_HOST_BYTES || !name.split('.').all(fits) {
        return Err(format!("'{host}' is neither an IP address nor a host name"));
    }
    // No top level domain is a number (RFC 3696 section 2): this is a mistyped IPv4 address.
    if name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(format!("'{host}' is no IP address"));
    }
    Ok(name)
}

/// An address to connect to, by IP address or host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) EndpointAddress);

impl Default for Address {
    fn default() -> Self {
        Self(EndpointAddress::Host {
            name: String::new(),
            port: 0,
        })
    }
}

impl Read for Address {
    const HOLDS: Holds = Holds::Scalar;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        match parse_address(&String::read(value, at)?) {
            Ok(address) => Some(Self(address)),
            Err(what) => at.refuse(value.span, what),
        }
    }
}

/// Reads where the admin endpoint is: an IP address with a port, or a unix socket as Consul writes one.
///
/// # Errors
/// Says what is wrong with the text.
pub fn admin_address(text: &str) -> Result<plan::Address, String> {
    match (text.strip_prefix("unix://"), text.parse::<SocketAddr>()) {
        (Some(path), _) => socket_path(path),
        (None, Ok(address)) => Ok(address.into()),
        (None, Err(_)) => Err(format!(
            "'{text}' is no IP address with a port, as in 127.0.0.1:19000, and no unix:///path"
        )),
    }
}

impl Read for Option<plan::Address> {
    const HOLDS: Holds = Holds::Scalar;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        match admin_address(&String::read(value, at)?) {
            Ok(address) => Some(Some(address)),
            Err(what) => at.refuse(value.span, what),
        }
    }
}

words! {
    /// The state of an instance's checks, in Consul's words.
    pub(crate) enum CheckStatus {
        /// All checks pass.
        #[default]
        Passing = "passing",
        /// A check warns; the instance is used.
        Warning = "warning",
        /// A check fails.
        Critical = "critical",
    }
}

record! {
    /// An endpoint with more than an address.
    pub(crate) struct EndpointObject("an endpoint") {
        /// Where to connect.
        address: Option<Address>,
        /// Its share of the connections.
        weight: Option<u16>,
        /// The state of its checks.
        health: CheckStatus,
    }
}

/// One place to connect to: an address, or an object with an address.
#[derive(Clone, Debug)]
pub(crate) struct EndpointItem(pub(crate) Endpoint);

impl Default for EndpointItem {
    fn default() -> Self {
        Self(Endpoint {
            address: Address::default().0,
            weight: 1,
            health: Health::Healthy,
        })
    }
}

impl Read for EndpointItem {
    const HOLDS: Holds = Holds::Objects(EndpointObject::shape);

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        let object = match &value.data {
            Data::Object(_) => EndpointObject::read(value, at)?,
            _ => EndpointObject {
                address: Some(Address::read(value, at)?),
                ..Default::default()
            },
        };
        let Some(Address(address)) = object.address else {
            return at.refuse(
                value.span,
                "an endpoint needs an address, as in \"10.0.0.5:21000\"",
            );
        };
        let weight = object.weight.unwrap_or(1);
        if weight == 0 {
            return at.refuse(
                value.span,
                "a weight is at least 1; for no traffic set health = \"critical\"",
            );
        }
        let health = match object.health {
            CheckStatus::Passing | CheckStatus::Warning => Health::Healthy,
            CheckStatus::Critical => Health::Unhealthy,
        };
        Some(Self(Endpoint {
            address,
            weight,
            health,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_notation() {
        for (text, same) in [
            ("10.0.0.5:21000", "10.0.0.5:21000"),
            ("[2001:db8::1]:8443", "[2001:db8::1]:8443"),
            ("GW.dc2.Example.com.:8443", "gw.dc2.example.com:8443"),
            ("localhost:1", "localhost:1"),
        ] {
            assert_eq!(
                parse_address(text).map(|address| address.to_string()),
                Ok(same.into())
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_to_do() {
        for (text, what) in [
            ("10.0.0.5", "has no port"),
            ("2001:db8::1", "write [address]:port"),
            ("gw.example.com", "has no port"),
            ("10.0.0.5:0", "port 0"),
            ("10.0.0.300:80", "is no IP address"),
            ("10.0.0.5:99999", "is no port"),
            ("2001:db8::zz:80", "write IPv6 as in"),
            (":80", "neither an IP address nor a host name"),
            ("a..b:80", "neither an IP address nor a host name"),
            ("a b:80", "neither an IP address nor a host name"),
            ("", "has no port"),
        ] {
            let error = parse_address(text).expect_err(text);
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}

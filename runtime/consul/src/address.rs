//! Where Consul's HTTP API is, as `CONSUL_HTTP_ADDR` has it
//! (<https://developer.hashicorp.com/consul/commands#consul_http_addr>).

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
};

use wire::dns::HostName;

/// An agent or a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Over TCP.
    Tcp {
        /// Where.
        host: Host,
        /// The port.
        port: u16,
        /// By TLS or not.
        scheme: Scheme,
    },
    /// Over a unix socket, without TLS.
    Unix(PathBuf),
}

/// Whether TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// It is not.
    Http,
    /// It is.
    Https,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// By address.
    Ip(IpAddr),
    /// By name.
    Name(Box<HostName>),
}

impl Default for Address {
    /// Where a local agent listens if it is not told otherwise.
    fn default() -> Self {
        Self::Tcp {
            host: Host::Ip(IpAddr::from([127, 0, 0, 1])),
            port: HTTP_PORT,
            scheme: Scheme::Http,
        }
    }
}

impl Address {
    /// Reads `host`, `host:port`, `http://…`, `https://…` or `unix://…`. The port is 8500, with TLS 8501, unless given.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.starts_with('/') {
                Ok(Self::Unix(PathBuf::from(path)))
            } else {
                Err("a socket is given from the root, as in unix:///run/consul/http.sock")
            };
        }
        let (scheme, rest) = match text.split_once("://") {
            None | Some(("http", _)) => {
                (Scheme::Http, text.strip_prefix("http://").unwrap_or(text))
            }
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(_) => return Err("http://, https:// and unix:// are there"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('/') {
            return Err("a path in front of the api is not supported");
        }
        let default = match scheme {
            Scheme::Http => HTTP_PORT,
            Scheme::Https => HTTPS_PORT,
        };
        let (host, port) = split(rest)?;
        let port = match port {
            None => default,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err("the port is no number from 1 to 65535"),
            },
        };
        Ok(Self::Tcp { host, port, scheme })
    }

    /// What stands in the request's `Host`.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Tcp { host, port, .. } => match host {
                Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
                Host::Ip(ip) => format!("{ip}:{port}"),
                Host::Name(name) => format!("{name}:{port}"),
            },
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { scheme, .. } => {
                let scheme = match scheme {
                    Scheme::Http => "http",
                    Scheme::Https => "https",
                };
                write!(f, "{scheme}://{}", self.authority())
            }
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

fn split(text: &str) -> Result<(Host, Option<&str>), &'static str> {
    const BAD: &str = "it is no host name and no ip address";
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, rest) = rest.split_once(']').ok_or(BAD)?;
        let ip: Ipv6Addr = ip.parse().map_err(|_| BAD)?;
        let port = match rest {
            "" => None,
            _ => Some(rest.strip_prefix(':').ok_or(BAD)?),
        };
        return Ok((Host::Ip(ip.into()), port));
    }
    // An IPv6 address without brackets has no port.
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok((Host::Ip(ip), None));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let host = match host.parse::<IpAddr>() {
        Ok(ip) => Host::Ip(ip),
        Err(_) => Host::Name(Box::new(HostName::new(host).map_err(|_| BAD)?)),
    };
    Ok((host, port))
}

/// Consul's own defaults.
const HTTP_PORT: u16 = 8500;
const HTTPS_PORT: u16 = 8501;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_consul_reads_them() {
        for (text, shown) in [
            ("127.0.0.1", "http://127.0.0.1:8500"),
            ("127.0.0.1:80", "http://127.0.0.1:80"),
            ("http://Agent.example:8500/", "http://agent.example:8500"),
            (
                "https://server.dc1.consul",
                "https://server.dc1.consul:8501",
            ),
            ("https://[::1]:443", "https://[::1]:443"),
            ("::1", "http://[::1]:8500"),
            ("unix:///run/consul.sock", "unix:///run/consul.sock"),
        ] {
            assert_eq!(Address::new(text).unwrap().to_string(), shown);
        }
        assert_eq!(Address::default(), Address::new("127.0.0.1").unwrap());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":8500",
            "ftp://x",
            "x:0",
            "x:70000",
            "x:",
            "http://x/consul",
            "unix://run",
            "[::1",
            "[::1]8500",
            "a b",
            "10.0.0.300",
        ] {
            assert!(Address::new(text).is_err(), "{text:?}");
        }
    }
}

//! SPIFFE IDs of Consul's mesh: who a certificate says it is.
//!
//! Parses the URI of a certificate's subject alternative name into one of Consul's forms
//! (`agent/connect/uri.go`); refuses every other URI. The raw path is split first and its parts are decoded
//! afterwards, so that an encoded slash cannot move a boundary.

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

use crate::names::{DEFAULT, is_default};

/// An identity of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeId {
    /// The trust domain, lower case.
    pub trust_domain: String,
    /// Who it is within the trust domain.
    pub subject: Subject,
}

/// Who an identity stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A service, whichever instance of it.
    Service {
        /// Admin partition.
        partition: String,
        /// Namespace.
        namespace: String,
        /// Datacenter.
        datacenter: String,
        /// Service name.
        service: String,
    },
    /// A mesh gateway of a datacenter.
    MeshGateway {
        /// Admin partition.
        partition: String,
        /// Datacenter.
        datacenter: String,
    },
    /// A client agent.
    Agent {
        /// Admin partition.
        partition: String,
        /// Datacenter.
        datacenter: String,
        /// The agent's node ID.
        id: String,
    },
    /// The servers of a datacenter.
    Server {
        /// Datacenter.
        datacenter: String,
    },
    /// The certificate authority itself.
    Signing,
}

/// Why a URI is not an identity of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSpiffe {
    /// The scheme is not `spiffe`.
    Scheme,
    /// There is no trust domain, or it holds a user, a port or odd characters.
    TrustDomain,
    /// The path is none of Consul's forms.
    Path,
    /// A part is empty, or its percent-encoding is broken or not UTF-8.
    Encoding,
}

impl fmt::Display for NotSpiffe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the URI's scheme is not spiffe",
            Self::TrustDomain => "the URI has no usable trust domain",
            Self::Path => "the URI's path is not one of Consul's identities",
            Self::Encoding => "a part of the URI's path is empty or wrongly encoded",
        })
    }
}

impl SpiffeId {
    /// Parses a URI.
    ///
    /// # Errors
    ///
    /// [`NotSpiffe`] says which part is not as Consul writes it.
    pub fn parse(uri: &str) -> Result<Self, NotSpiffe> {
        let rest = strip_scheme(uri).ok_or(NotSpiffe::Scheme)?;
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let ordinary =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if host.is_empty() || !host.bytes().all(ordinary) {
            return Err(NotSpiffe::TrustDomain);
        }
        Ok(Self {
            trust_domain: host.to_ascii_lowercase(),
            subject: subject(path)?,
        })
    }
}

fn strip_scheme(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once("://")?;
    scheme.eq_ignore_ascii_case("spiffe").then_some(rest)
}

fn subject(path: &str) -> Result<Subject, NotSpiffe> {
    if path.is_empty() || path == "/" {
        return Ok(Subject::Signing);
    }
    if path.contains(['?', '#']) {
        return Err(NotSpiffe::Path);
    }
    let mut parts: Vec<&str> = path.split('/').skip(1).collect();
    let mut partition = DEFAULT.to_owned();
    if let ["ap", name, ..] = parts.as_slice() {
        partition = decode(name)?.to_ascii_lowercase();
        parts.drain(..2);
    }
    match parts.as_slice() {
        ["ns", namespace, "dc", datacenter, "svc", service] => Ok(Subject::Service {
            partition,
            namespace: decode(namespace)?,
            datacenter: decode(datacenter)?,
            service: decode(service)?,
        }),
        ["gateway", "mesh", "dc", datacenter] => Ok(Subject::MeshGateway {
            partition,
            datacenter: decode(datacenter)?,
        }),
        ["agent", "client", "dc", datacenter, "id", id] => Ok(Subject::Agent {
            partition,
            datacenter: decode(datacenter)?,
            id: decode(id)?,
        }),
        ["agent", "server", "dc", datacenter] if is_default(&partition) => Ok(Subject::Server {
            datacenter: decode(datacenter)?,
        }),
        _ => Err(NotSpiffe::Path),
    }
}

fn decode(part: &str) -> Result<String, NotSpiffe> {
    let mut decoded = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(bytes.next()), digit(bytes.next()));
            let value = high.zip(low).map(|(high, low)| high * 16 + low);
            decoded.push(
                value
                    .and_then(|value| u8::try_from(value).ok())
                    .ok_or(NotSpiffe::Encoding)?,
            );
        } else {
            decoded.push(byte);
        }
    }
    let decoded = String::from_utf8(decoded).map_err(|_| NotSpiffe::Encoding)?;
    if decoded.is_empty() {
        Err(NotSpiffe::Encoding)
    } else {
        Ok(decoded)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}", self.trust_domain)?;
        let partition = |f: &mut fmt::Formatter<'_>, name: &str| match is_default(name) {
            true => Ok(()),
            false => write!(f, "/ap/{}", Encoded(name)),
        };
        match &self.subject {
            Subject::Service {
                partition: ap,
                namespace,
                datacenter,
                service,
            } => {
                partition(f, ap)?;
                let (ns, dc, svc) = (Encoded(namespace), Encoded(datacenter), Encoded(service));
                write!(f, "/ns/{ns}/dc/{dc}/svc/{svc}")
            }
            Subject::MeshGateway {
                partition: ap,
                datacenter,
            } => {
                partition(f, ap)?;
                write!(f, "/gateway/mesh/dc/{}", Encoded(datacenter))
            }
            Subject::Agent {
                partition: ap,
                datacenter,
                id,
            } => {
                partition(f, ap)?;
                write!(
                    f,
                    "/agent/client/dc/{}/id/{}",
                    Encoded(datacenter),
                    Encoded(id)
                )
            }
            Subject::Server { datacenter } => write!(f, "/agent/server/dc/{}", Encoded(datacenter)),
            Subject::Signing => Ok(()),
        }
    }
}

/// A path part with everything but RFC 3986's unreserved characters encoded.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    fmt::Write::write_char(f, char::from(byte))?;
                }
                other => write!(f, "%{other:02X}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    fn service(partition: &str, namespace: &str, datacenter: &str, service: &str) -> Subject {
        Subject::Service {
            partition: partition.to_owned(),
            namespace: namespace.to_owned(),
            datacenter: datacenter.to_owned(),
            service: service.to_owned(),
        }
    }

    #[test]
    fn consuls_forms_are_understood() {
        let dc01 = || "dc01".to_owned();
        let cases = [
            (
                "/ns/default/dc/dc01/svc/web",
                service("default", "default", "dc01", "web"),
            ),
            (
                "/ap/bizdev/ns/default/dc/dc01/svc/web",
                service("bizdev", "default", "dc01", "web"),
            ),
            (
                "/ns/foo%2Fbar/dc/bar%2Fbaz/svc/baz%2Fqux",
                service("default", "foo/bar", "bar/baz", "baz/qux"),
            ),
            (
                "/gateway/mesh/dc/dc01",
                Subject::MeshGateway {
                    partition: "default".to_owned(),
                    datacenter: dc01(),
                },
            ),
            (
                "/ap/bizdev/agent/client/dc/dc01/id/uuid",
                Subject::Agent {
                    partition: "bizdev".to_owned(),
                    datacenter: dc01(),
                    id: "uuid".to_owned(),
                },
            ),
            (
                "/agent/server/dc/dc01",
                Subject::Server { datacenter: dc01() },
            ),
            ("", Subject::Signing),
        ];
        for (path, subject) in cases {
            let mut uri = String::from("spiffe://1234.consul");
            uri.push_str(path);
            let id = SpiffeId::parse(&uri).expect(path);
            assert_eq!(id.subject, subject);
            assert_eq!(id.to_string(), uri);
        }
    }

    #[test]
    fn what_consul_would_not_issue_is_refused() {
        for (uri, reason) in [
            ("http://google.com/", NotSpiffe::Scheme),
            (
                "spiffe:///ns/default/dc/dc01/svc/web",
                NotSpiffe::TrustDomain,
            ),
            (
                "spiffe://user@td/ns/default/dc/dc01/svc/web",
                NotSpiffe::TrustDomain,
            ),
            (
                "spiffe://td:443/ns/default/dc/dc01/svc/web",
                NotSpiffe::TrustDomain,
            ),
            (
                "spiffe://td/ns/default/dc/dc01/svc/web/extra",
                NotSpiffe::Path,
            ),
            (
                "spiffe://td/ns/default/dc/dc01/svc/web?x=y",
                NotSpiffe::Path,
            ),
            ("spiffe://td/ns/default/dc/dc01/svc/", NotSpiffe::Encoding),
            (
                "spiffe://td/ns/default/dc/dc01/svc/%zz",
                NotSpiffe::Encoding,
            ),
            ("spiffe://td/ns/default/dc/dc01/svc/%f", NotSpiffe::Encoding),
            ("spiffe://td/ap/x/agent/server/dc/dc01", NotSpiffe::Path),
        ] {
            assert_eq!(SpiffeId::parse(uri), Err(reason), "{uri}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ns in ".+", dc in ".+", svc in ".+") {
            let id = SpiffeId { trust_domain: "td.consul".to_owned(), subject: service("default", &ns, &dc, &svc) };
            prop_assert_eq!(SpiffeId::parse(&id.to_string()), Ok(id));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = SpiffeId::parse(&text);
            let _ = SpiffeId::parse(&alloc::format!("spiffe://td/{text}"));
        }
    }
}

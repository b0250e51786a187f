//! The certificate authority: its roots, and the certificate that the agent got for a service.
//!
//! <https://developer.hashicorp.com/consul/api-docs/agent/connect>

use plan::{
    Secret,
    spiffe::{SpiffeId, Subject},
};

use crate::json::{self, NotUnderstood};

/// `/v1/agent/connect/ca/roots`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// The trust domain: the cluster's ID and `.consul`. Another one is another cluster.
    pub trust_domain: String,
    /// All roots in PEM, one after the other: while one replaces another, both are trusted.
    pub pem: String,
    /// How many there are.
    pub count: usize,
}

/// `/v1/agent/connect/ca/leaf/<service>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The chain in PEM, the leaf first.
    pub certificates: String,
    /// The leaf's key in PEM.
    pub key: Secret,
    /// Its SPIFFE ID, which tells the own datacenter.
    pub id: Option<SpiffeId>,
    /// The service it was made for.
    pub service: String,
    /// From when on it is valid, as Consul writes it (RFC 3339).
    pub valid_after: String,
    /// Until when it is valid.
    pub valid_before: String,
}

impl Leaf {
    /// The trust domain it is of.
    #[must_use]
    pub fn trust_domain(&self) -> Option<&str> {
        self.id.as_ref().map(|id| id.trust_domain.as_str())
    }

    /// The datacenter it is of.
    #[must_use]
    pub fn datacenter(&self) -> Option<&str> {
        match &self.id.as_ref()?.subject {
            Subject::Service { datacenter, .. } => Some(datacenter),
            _ => None,
        }
    }
}

/// Reads the roots.
///
/// # Errors
/// The place where it is no such answer.
pub fn roots(body: &[u8]) -> Result<Roots, NotUnderstood> {
    json::whole(body, |reader| {
        reader.fields(Roots::default(), |roots, key, value| {
            match key {
                "TrustDomain" => roots.trust_domain = value.text()?.to_ascii_lowercase(),
                "Roots" => value.list(&mut |root| {
                    root.object(&mut |key, value| {
                        if key == "RootCert" {
                            append(&mut roots.pem, &value.text()?);
                            roots.count += 1;
                        }
                        Ok(())
                    })
                })?,
                _ => {}
            }
            Ok(())
        })
    })
}

/// Reads a leaf.
///
/// # Errors
/// The place where it is no such answer.
pub fn leaf(body: &[u8]) -> Result<Leaf, NotUnderstood> {
    json::whole(body, |reader| {
        reader.fields(
            Leaf {
                certificates: String::new(),
                key: Secret::new(String::new()),
                id: None,
                service: String::new(),
                valid_after: String::new(),
                valid_before: String::new(),
            },
            |leaf, key, value| {
                match key {
                    "CertPEM" => leaf.certificates = value.text()?,
                    "PrivateKeyPEM" => leaf.key = Secret::new(value.text()?),
                    "Service" => leaf.service = value.text()?,
                    "ServiceURI" => leaf.id = SpiffeId::parse(&value.text()?).ok(),
                    "ValidAfter" => leaf.valid_after = value.text()?,
                    "ValidBefore" => leaf.valid_before = value.text()?,
                    _ => {}
                }
                Ok(())
            },
        )
    })
}

fn append(pem: &mut String, certificate: &str) {
    pem.push_str(certificate);
    if !certificate.ends_with('\n') {
        pem.push('\n');
    }
}

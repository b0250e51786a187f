//! Whom to believe: the roots of each trust domain.
//!
//! A certificate is held against the roots of the trust domain that it names and no others, so that a peer's authority
//! can never vouch for our own services (<https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md>).
//! The roots' own dates are not looked at: they are given by configuration, not by a peer (RFC 5280 section 6.1), and a
//! board whose clock is a little slow must be able to join a mesh that was made a minute ago.

use std::{collections::BTreeMap, sync::Arc};

use rustls::pki_types::TrustAnchor;

use crate::{error::Error, pem};

/// Roots that are as good as each other; during a rotation there are two. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots(Arc<[TrustAnchor<'static>]>);

impl Roots {
    /// Reads them from PEM, up to 256 KiB.
    ///
    /// # Errors
    ///
    /// There is none, or one of them cannot be read. All of them must be good: roots that are left out would refuse
    /// peers later, for no visible reason.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let mut roots: Vec<TrustAnchor<'static>> = Vec::new();
        for certificate in pem::certificates(pem)? {
            let root = webpki::anchor_from_trusted_cert(&certificate)
                .map_err(|_| Error::ConfigRoots("one is not an X.509 certificate"))?
                .to_owned();
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
        if roots.len() > MAX_ROOTS {
            return Err(Error::ConfigRoots(
                "there are more than 64 of one trust domain",
            ));
        }
        Ok(Self(roots.into()))
    }

    /// How many there are; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.0
    }
}

/// The roots of our trust domain, and of those of peers that may call us. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustBundle {
    domains: Arc<BTreeMap<String, Roots>>,
}

impl TrustBundle {
    /// The roots of one trust domain: ours.
    #[must_use]
    pub fn new(trust_domain: &str, roots: Roots) -> Self {
        Self::default().with(trust_domain, roots)
    }

    /// The same, and the roots of one more trust domain: a peer's. Roots that it has already are replaced.
    #[must_use]
    pub fn with(mut self, trust_domain: &str, roots: Roots) -> Self {
        Arc::make_mut(&mut self.domains).insert(trust_domain.to_ascii_lowercase(), roots);
        self
    }

    /// The roots of this trust domain, which is in lower case.
    #[must_use]
    pub fn roots(&self, trust_domain: &str) -> Option<&Roots> {
        self.domains.get(trust_domain)
    }

    /// The trust domains, in alphabetic order.
    pub fn trust_domains(&self) -> impl Iterator<Item = &str> {
        self.domains.keys().map(String::as_str)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }
}

/// Consul keeps two during a rotation, and some more after several. Each is tried for each chain.
const MAX_ROOTS: usize = 64;

//! Our own certificate and key.

use std::{fmt, sync::Arc};

use plan::spiffe::SpiffeId;
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::{
    clock::Clock,
    error::Error,
    leaf::{Leaf, Validity},
    pem,
    refusal::Refusal,
    trust::TrustBundle,
    verify::{Expected, Verifier},
};

/// A certificate chain and its private key, which belong together. Cheap to clone.
///
/// The key is held by ring, which gives it out to nobody; our copy of its encoding is wiped.
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    id: Arc<SpiffeId>,
    validity: Validity,
}

impl Identity {
    /// Reads a chain (the leaf first, then intermediates in any order) and a key from PEM, up to 256 KiB each.
    /// Intermediates that are there twice, as Consul's are at times, are sent once.
    ///
    /// Its dates are not held against a clock: an identity that has expired is still an identity, and peers may have
    /// another clock.
    ///
    /// # Errors
    ///
    /// A part is missing or broken, the leaf is no X.509-SVID, or the key is that of another certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Error> {
        let mut certificates = pem::certificates(chain)?;
        let mut seen = Vec::new();
        certificates.retain(|certificate| {
            let new = !seen.contains(certificate);
            if new {
                seen.push(certificate.clone());
            }
            new
        });
        if certificates.len() > MAX_CHAIN {
            return Err(Error::ConfigPem("the chain has more than 10 certificates"));
        }
        let leaf = certificates
            .first()
            .ok_or(Error::ConfigPem("it holds no CERTIFICATE block"))?;
        let leaf = Leaf::parse(leaf).map_err(Error::ConfigLeaf)?;
        let key = Zeroizing::new(pem::private_key(key)?);
        let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| {
            Error::ConfigKey(
                "it is not P-256, P-384, Ed25519 or RSA of 2048 to 8192 bits, or it is broken",
            )
        })?;
        let key = CertifiedKey::new(certificates, key);
        match key.keys_match() {
            Ok(()) => Ok(Self {
                key: Arc::new(key),
                id: Arc::new(leaf.id),
                validity: leaf.validity,
            }),
            Err(_) => Err(Error::ConfigKeyMismatch),
        }
    }

    /// Who it says we are.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// When the leaf may be used.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Whether peers that have these roots of its trust domain would believe it at this time, calling and called.
    ///
    /// # Errors
    ///
    /// Why they would not.
    pub fn accepted_by(&self, trust: &TrustBundle, clock: &Clock) -> Result<(), Box<Refusal>> {
        let Some((leaf, rest)) = self.key.cert.split_first() else {
            return Err(Box::new(Refusal::Missing));
        };
        // It is no peer's, so nothing is to be learned from it.
        let clock = clock.stopped();
        let now = clock.now();
        let as_client = Expected::AnyOf(trust.clone());
        Verifier::new(as_client, clock.clone()).check(leaf, rest, now)?;
        if let Some(roots) = trust.roots(&self.id.trust_domain) {
            let as_server = Expected::OneOf(vec![SpiffeId::clone(&self.id)], roots.clone());
            Verifier::new(as_server, clock).check(leaf, rest, now)?;
        }
        Ok(())
    }

    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("id", &self.id)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// Consul's longest has a leaf, a cross-signed root and an intermediate. More than this is not sent to peers, whose
/// limits are of this order.
const MAX_CHAIN: usize = 10;

//! Is the peer who it must be?
//!
//! The leaf must be an X.509-SVID; a chain must lead from it to the roots of its trust domain, whatever the order of the
//! certificates and however often each was sent (Consul sends an intermediate twice at times); and where certain
//! identities are expected it must be one of them. DNS names play no part. Errors of the chain and of the identity are
//! told apart: nothing is swallowed on the way to the other.
//!
//! Chains that were verified are remembered by their hash for as long as all their certificates are valid, and as long
//! as the context lives: its roots never change. So a peer that comes again costs a hash instead of signatures. A
//! session that is resumed was not verified by rustls; [`Verifier::check`] is made for those too, after the handshake.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use plan::{intentions::Intentions, spiffe::SpiffeId};
use ring::digest;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use webpki::{EndEntityCert, KeyUsage};

use crate::{
    clock::Clock,
    error::Side,
    leaf::{self, Leaf, Validity},
    provider::SIGNATURES,
    refusal::Refusal,
    trust::{Roots, TrustBundle},
};

/// Who the peer may be.
#[derive(Debug)]
pub(crate) enum Expected {
    /// A client: anyone of the trust domains that we know. Intentions decide the rest.
    AnyOf(TrustBundle),
    /// A server: one of these, vouched for by these roots.
    OneOf(Vec<SpiffeId>, Roots),
}

/// Verifies the peers of one context.
#[derive(Debug)]
pub(crate) struct Verifier {
    expected: Expected,
    clock: Clock,
    /// Which of them may talk to us, where that is said.
    intentions: Option<Intentions>,
    /// rustls asks through shared references and wants them to be `Sync`. There is one thread, so nobody ever waits.
    verified: Mutex<Verified>,
    /// Why the last peer was refused: rustls has no room for it in its error.
    refusal: Mutex<Option<Box<Refusal>>>,
}

impl Verifier {
    pub(crate) fn new(expected: Expected, clock: Clock) -> Self {
        Self {
            expected,
            clock,
            intentions: None,
            verified: Mutex::default(),
            refusal: Mutex::default(),
        }
    }

    /// The same, for peers that these let in.
    pub(crate) fn with_intentions(self, intentions: Intentions) -> Self {
        Self {
            intentions: Some(intentions),
            ..self
        }
    }

    /// Which end the peers are.
    pub(crate) fn peer(&self) -> Side {
        match self.expected {
            Expected::AnyOf(_) => Side::Client,
            Expected::OneOf(..) => Side::Server,
        }
    }

    /// Takes the reason why the last peer was refused.
    pub(crate) fn take_refusal(&self) -> Option<Box<Refusal>> {
        lock(&self.refusal).take()
    }

    /// Checks the chain that a peer sent, leaf first.
    pub(crate) fn check(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Arc<SpiffeId>, Box<Refusal>> {
        let hash = hash(leaf, rest);
        let known = lock(&self.verified).get(&hash, now.as_secs());
        if let Some((id, validity)) = known {
            self.clock.verified(validity.not_before);
            return Ok(id);
        }
        let (id, validity) = self.verify(leaf, rest, now)?;
        self.clock.verified(validity.not_before);
        let id = Arc::new(id);
        lock(&self.verified).insert(hash, Arc::clone(&id), validity);
        Ok(id)
    }

    /// As [`Verifier::check`], without memory. Gives the time in which the answer holds.
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(SpiffeId, Validity), Box<Refusal>> {
        let Leaf { id, validity } =
            Leaf::parse(certificate).map_err(|flaw| Box::new(Refusal::Leaf(flaw)))?;
        let (roots, usage) = match &self.expected {
            Expected::AnyOf(trust) => {
                let roots = trust.roots(&id.trust_domain);
                let roots = roots.ok_or_else(|| {
                    Box::new(Refusal::TrustDomain {
                        found: id.trust_domain.clone(),
                        known: trust.trust_domains().map(str::to_owned).collect(),
                    })
                })?;
                (roots, KeyUsage::client_auth())
            }
            Expected::OneOf(_, roots) => (roots, KeyUsage::server_auth()),
        };
        let now = self.clock.now_for(now, validity);
        if !validity.contains(now.as_secs()) {
            let now = now.as_secs();
            return Err(Box::new(Refusal::Dates { id, validity, now }));
        }
        let end = EndEntityCert::try_from(certificate).map_err(|error| refusal(error, &id))?;
        let algorithms = SIGNATURES.all;
        let anchors = roots.anchors();
        let path = end
            .verify_for_usage(algorithms, anchors, rest, now, usage, None, None)
            .map_err(|error| refusal(error, &id))?;
        let validity = path
            .intermediate_certificates()
            .filter_map(|certificate| leaf::validity(&certificate.der()))
            .fold(validity, Validity::and);
        match &self.expected {
            Expected::OneOf(accepted, _) if !accepted.contains(&id) => {
                Err(Box::new(Refusal::Identity {
                    found: id,
                    accepted: accepted.clone(),
                }))
            }
            _ => Ok((id, validity)),
        }
    }

    /// Asked within the handshake, before the peer has shown that it has the key: a denial says nothing of who it was.
    fn authorize(&self, id: &SpiffeId) -> Result<(), Box<Refusal>> {
        let decision = self.intentions.as_ref().map(|it| it.decide(id));
        match decision {
            Some(decision) if !decision.allowed => Err(Box::new(Refusal::Denied {
                id: id.clone(),
                decision: decision.to_string(),
            })),
            _ => Ok(()),
        }
    }

    fn check_for_rustls(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let checked = self.check(leaf, rest, now);
        match checked.and_then(|id| self.authorize(&id)) {
            Ok(()) => Ok(()),
            Err(refusal) => {
                let error = refusal.as_certificate_error();
                *lock(&self.refusal) = Some(refusal);
                Err(Error::InvalidCertificate(error))
            }
        }
    }
}

fn refusal(error: webpki::Error, id: &SpiffeId) -> Box<Refusal> {
    use webpki::Error as Chain;
    Box::new(match error {
        // A wrong signature: a root of that name is known, and has another key.
        Chain::UnknownIssuer | Chain::InvalidSignatureForPublicKey => {
            Refusal::Untrusted { id: id.clone() }
        }
        Chain::CertExpired { .. } | Chain::CertNotValidYet { .. } => Refusal::IssuerDates,
        Chain::RequiredEkuNotFoundContext(_) => Refusal::Purpose,
        other => Refusal::Chain(other),
    })
}

/// The part in which rustls's two traits of verifiers are word for word the same: signatures in handshakes.
macro_rules! signatures_by_the_provider {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, dss, &SIGNATURES)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &SIGNATURES)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            SIGNATURES.supported_schemes()
        }
    };
}

impl ClientCertVerifier for Verifier {
    /// None are named: clients of a mesh have one certificate, and the list would tell strangers who we are.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_for_rustls(end_entity, intermediates, now)
            .map(|()| ClientCertVerified::assertion())
    }

    signatures_by_the_provider!();
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_for_rustls(end_entity, intermediates, now)
            .map(|()| ServerCertVerified::assertion())
    }

    signatures_by_the_provider!();
}

/// SHA-256 over the certificates, each with its length, so that no two chains give the same bytes.
fn hash(leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for certificate in std::iter::once(leaf).chain(rest) {
        context.update(&certificate.len().to_be_bytes());
        context.update(certificate);
    }
    let mut hash = Hash::default();
    for (to, from) in hash.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    hash
}

type Hash = [u8; 32];

/// Chains that were verified. When it is full, the one that was used the longest ago goes.
#[derive(Debug, Default)]
struct Verified {
    chains: BTreeMap<Hash, Chain>,
    uses: u64,
}

#[derive(Debug)]
struct Chain {
    id: Arc<SpiffeId>,
    validity: Validity,
    last_use: u64,
}

impl Verified {
    fn get(&mut self, hash: &Hash, now: u64) -> Option<(Arc<SpiffeId>, Validity)> {
        self.uses += 1;
        let chain = self.chains.get_mut(hash)?;
        if !chain.validity.contains(now) {
            self.chains.remove(hash);
            return None;
        }
        chain.last_use = self.uses;
        Some((Arc::clone(&chain.id), chain.validity))
    }

    fn insert(&mut self, hash: Hash, id: Arc<SpiffeId>, validity: Validity) {
        if self.chains.len() >= MAX_CHAINS {
            let oldest = self.chains.iter().min_by_key(|(_, chain)| chain.last_use);
            if let Some(hash) = oldest.map(|(hash, _)| *hash) {
                self.chains.remove(&hash);
            }
        }
        let last_use = self.uses;
        let chain = Chain {
            id,
            validity,
            last_use,
        };
        self.chains.insert(hash, chain);
    }
}

/// A poisoned lock means that another thread panicked, and what is inside is whole all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A node seldom has more peers than this; each takes about 350 bytes.
const MAX_CHAINS: usize = 256;

#[cfg(test)]
mod tests {
    use plan::spiffe::Subject;

    use super::*;

    #[test]
    fn verified_chains_are_bounded_and_forgotten_in_time() {
        let id = Arc::new(SpiffeId {
            trust_domain: "td".to_owned(),
            subject: Subject::Signing,
        });
        let validity = Validity {
            not_before: 10,
            not_after: 20,
        };
        let mut verified = Verified::default();
        let hash = |number: usize| {
            let mut hash = Hash::default();
            hash[..8].copy_from_slice(&(number as u64).to_be_bytes());
            hash
        };
        for number in 0..MAX_CHAINS {
            verified.insert(hash(number), Arc::clone(&id), validity);
        }
        assert!(verified.get(&hash(0), 10).is_some());
        verified.insert(hash(MAX_CHAINS), Arc::clone(&id), validity);
        assert_eq!(verified.chains.len(), MAX_CHAINS);
        // The one in use stayed.
        assert!(verified.get(&hash(0), 20).is_some());
        assert!(verified.get(&hash(0), 21).is_none());
        assert!(verified.get(&hash(0), 15).is_none());
    }
}

//! Key exchange by X25519 (RFC 7748), from graviola: the assembly of s2n-bignum, which was proven to be correct, and which
//! runs in constant time. It takes half of the time that ring takes, and most of what a resumed handshake computes is
//! this.
//!
//! graviola panics on a CPU that lacks instructions it wants, so they are looked for before; where one is missing, ring's
//! is used. A key is made from the kernel's random bytes, for one exchange, and wiped.

use graviola::key_agreement::x25519::{PublicKey, StaticPrivateKey};
use rustls::{
    Error, NamedGroup, PeerMisbehaved,
    crypto::{ActiveKeyExchange, SecureRandom as _, SharedSecret, SupportedKxGroup},
};
use zeroize::Zeroizing;

use crate::random::Random;

/// X25519, where this CPU has all that graviola asserts, and what its multiplications use besides.
pub(crate) fn x25519() -> Option<&'static dyn SupportedKxGroup> {
    #[cfg(target_arch = "x86_64")]
    let has = std::is_x86_feature_detected!("adx")
        && std::is_x86_feature_detected!("aes")
        && std::is_x86_feature_detected!("avx")
        && std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    let has = std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("neon")
        && std::arch::is_aarch64_feature_detected!("pmull")
        && std::arch::is_aarch64_feature_detected!("sha2");
    has.then_some(&X25519)
}

#[derive(Debug)]
struct X25519;

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut seed = Zeroizing::new([0; KEY_BYTES]);
        Random.fill(&mut *seed)?;
        let private = StaticPrivateKey::from_array(&seed);
        let public = private.public_key().as_bytes();
        Ok(Box::new(Exchange { private, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// An exchange that waits for the peer's key.
struct Exchange {
    private: StaticPrivateKey,
    public: [u8; KEY_BYTES],
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let refused = |_| Error::from(PeerMisbehaved::InvalidKeyShare);
        let peer = PublicKey::try_from_slice(peer).map_err(refused)?;
        // A result of zeros is refused in there: the peer's key is of small order.
        let secret = self.private.diffie_hellman(&peer).map_err(refused)?;
        Ok(SharedSecret::from(&secret.0[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

const KEY_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use rustls::crypto::ring::kx_group;

    use super::*;

    /// Both ways, many keys: ring is the one to agree with.
    #[test]
    fn it_agrees_with_rings() {
        let ours = x25519().unwrap_or(kx_group::X25519);
        for (client, server) in [(ours, kx_group::X25519), (kx_group::X25519, ours)].repeat(50) {
            let (one, other) = (client.start().unwrap(), server.start().unwrap());
            assert_eq!(one.group(), other.group());
            let (a, b) = (one.pub_key().to_vec(), other.pub_key().to_vec());
            let (one, other) = (one.complete(&b).unwrap(), other.complete(&a).unwrap());
            assert_eq!(one.secret_bytes(), other.secret_bytes());
        }
    }

    #[test]
    fn no_key_is_used_twice() {
        let ours = x25519().unwrap_or(kx_group::X25519);
        let keys = [0; 2].map(|_| ours.start().unwrap().pub_key().to_vec());
        assert_ne!(keys[0], keys[1]);
    }

    /// RFC 7748 section 6.1: keys of small order; and what is no key at all.
    #[test]
    fn a_key_that_makes_no_secret_is_refused() {
        let ours = x25519().unwrap_or(kx_group::X25519);
        let mut one = [0; KEY_BYTES];
        one[0] = 1;
        for bad in [&[0; KEY_BYTES][..], &one, &[9; 31], &[9; 33], &[]] {
            let outcome = ours.start().unwrap().complete(bad);
            assert_eq!(
                outcome.err(),
                Some(PeerMisbehaved::InvalidKeyShare.into()),
                "{bad:?}"
            );
        }
    }
}

//! The cryptography: ring's, chosen by hand.
//!
//! Built from its parts, so that what is not named here is not linked. The order of the cipher suites goes by the CPU:
//! AES-GCM where there are instructions for it, else ChaCha20-Poly1305, which is several times as fast there and runs
//! in constant time.

use std::sync::Arc;

use rustls::{
    CipherSuite, SignatureScheme, SupportedCipherSuite,
    crypto::{
        CryptoProvider, KeyProvider, SupportedKxGroup, WebPkiSupportedAlgorithms,
        ring::{cipher_suite, kx_group, sign},
    },
    pki_types::{PrivateKeyDer, SignatureVerificationAlgorithm},
    sign::SigningKey,
};
use webpki::ring as algorithms;

use crate::{random::Random, suites::Tls12Suites};

/// Whether the CPU has instructions for AES and for GCM's multiplication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AesSupport {
    /// It has both.
    Hardware,
    /// One is missing.
    Software,
}

impl AesSupport {
    /// What this CPU has. On 64-bit ARM the kernel says so in the content of `/proc/self/auxv`; elsewhere that is not
    /// looked at. Where nothing is said there is nothing. On 32-bit ARM there is nothing either: ring does not use the
    /// multiplication there, and AES-GCM takes more than twice the instructions of ChaCha20-Poly1305.
    #[must_use]
    pub fn of_this_cpu(auxv: &[u8]) -> Self {
        #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
        let has = {
            let _ = auxv;
            std::is_x86_feature_detected!("aes") && std::is_x86_feature_detected!("pclmulqdq")
        };
        // arch/arm64/include/uapi/asm/hwcap.h: HWCAP_AES and HWCAP_PMULL.
        #[cfg(target_arch = "aarch64")]
        let has = bits(auxv, AT_HWCAP, 0b11 << 3);
        #[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
        let has = {
            let _ = auxv;
            false
        };
        if has { Self::Hardware } else { Self::Software }
    }
}

/// Whether all these bits are set in the entry of this type (getauxval(3)).
#[cfg(any(test, target_arch = "aarch64"))]
fn bits(auxv: &[u8], entry: usize, wanted: usize) -> bool {
    const WORD: usize = size_of::<usize>();
    let (pairs, _) = auxv.as_chunks::<{ 2 * WORD }>();
    pairs.iter().any(|pair| {
        let (kind, value) = pair.split_at(WORD);
        let word = |bytes: &[u8]| bytes.try_into().map(usize::from_ne_bytes).ok();
        word(kind) == Some(entry) && word(value).is_some_and(|value| value & wanted == wanted)
    })
}

#[cfg(any(test, target_arch = "aarch64"))]
const AT_HWCAP: usize = 16;

/// The provider for these suites, best first.
pub(crate) fn provider(aes: AesSupport, tls12: &Tls12Suites) -> Arc<CryptoProvider> {
    let mut suites = SUITES.to_vec();
    if aes == AesSupport::Software {
        // ChaCha20 first, within TLS 1.3 and then within 1.2.
        suites.clear();
        for (tls13, chacha) in [(true, true), (true, false), (false, true), (false, false)] {
            let alike = |suite: &&SupportedCipherSuite| {
                (is_tls13(suite), is_chacha(suite)) == (tls13, chacha)
            };
            suites.extend(SUITES.iter().filter(alike));
        }
    }
    suites.retain(|suite| is_tls13(suite) || tls12.allows(suite.suite()));
    Arc::new(CryptoProvider {
        cipher_suites: suites,
        kx_groups: vec![x25519(), kx_group::SECP256R1, kx_group::SECP384R1],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Random,
        key_provider: &Keys,
    })
}

/// The implementation that is fastest on this CPU.
fn x25519() -> &'static dyn SupportedKxGroup {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if let Some(group) = crate::exchange::x25519() {
        return group;
    }
    kx_group::X25519
}

fn is_tls13(suite: &SupportedCipherSuite) -> bool {
    suite.tls13().is_some()
}

fn is_chacha(suite: &SupportedCipherSuite) -> bool {
    matches!(
        suite.suite(),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

/// In the order for a CPU with AES instructions. AES-128 is before AES-256, as in BoringSSL and Go: it is faster, and
/// nothing that is feasible is lost.
const SUITES: &[SupportedCipherSuite] = &[
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// The signatures in certificates and handshakes. In TLS 1.2 a scheme does not fix the curve, hence two for each of
/// the ECDSA schemes (RFC 5246 section 7.4.1.4.1).
pub(crate) const SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: CERTIFICATE_SIGNATURES,
    mapping: &[
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &[algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA256],
        ),
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            &[algorithms::ECDSA_P384_SHA384, algorithms::ECDSA_P256_SHA384],
        ),
        (SignatureScheme::ED25519, &[algorithms::ED25519]),
        (
            SignatureScheme::RSA_PSS_SHA256,
            &[algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY],
        ),
        (
            SignatureScheme::RSA_PSS_SHA384,
            &[algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY],
        ),
        (
            SignatureScheme::RSA_PSS_SHA512,
            &[algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY],
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA256,
            &[algorithms::RSA_PKCS1_2048_8192_SHA256],
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA384,
            &[algorithms::RSA_PKCS1_2048_8192_SHA384],
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA512,
            &[algorithms::RSA_PKCS1_2048_8192_SHA512],
        ),
    ],
};

const CERTIFICATE_SIGNATURES: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::ED25519,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
    algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(
        &self,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        sign::any_supported_type(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_orders_the_suites() {
        let first = |aes| {
            let provider = provider(aes, &Tls12Suites::default());
            let tls12 = provider.cipher_suites.iter().find(|suite| !is_tls13(suite));
            (provider.cipher_suites[0].suite(), tls12.unwrap().suite())
        };
        assert_eq!(
            first(AesSupport::Hardware),
            (
                CipherSuite::TLS13_AES_128_GCM_SHA256,
                CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            )
        );
        assert_eq!(
            first(AesSupport::Software),
            (
                CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
                CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            )
        );
    }

    #[test]
    fn the_kernel_tells_what_the_cpu_has() {
        const AT_HWCAP2: usize = 26;
        let auxv = |entries: &[(usize, usize)]| {
            let words = entries.iter().flat_map(|&(kind, value)| [kind, value]);
            words.flat_map(usize::to_ne_bytes).collect::<Vec<u8>>()
        };
        let known = auxv(&[
            (3, 0b11),
            (AT_HWCAP, 0b0001_1011),
            (AT_HWCAP2, 0b10),
            (0, 0),
        ]);
        assert!(bits(&known, AT_HWCAP, 0b11 << 3));
        assert!(!bits(&known, AT_HWCAP2, 0b11));
        assert!(!bits(
            &known[..known.len() - 5 * size_of::<usize>()],
            AT_HWCAP2,
            0b10
        ));
        assert!(!bits(&[], AT_HWCAP, 1));
        assert_eq!(
            AesSupport::of_this_cpu(&[]),
            AesSupport::of_this_cpu(&known[..0])
        );
    }
}

//! Certificates and private keys from PEM (RFC 7468).
//!
//! Takes what Consul, Vault and OpenSSL write: `CERTIFICATE`, and keys in SEC1 (`EC PRIVATE KEY`), PKCS#8
//! (`PRIVATE KEY`) and PKCS#1 (`RSA PRIVATE KEY`). Text around the blocks and blocks of other kinds are passed over.
//! An error never quotes the text: it may be a key.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::error::Error;

/// All certificates, in their order.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    if pem.len() > MAX_PEM_BYTES {
        return Err(Error::ConfigPem("it is longer than 256 KiB"));
    }
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        found.push(certificate.map_err(|_| Error::ConfigPem("a block is broken or cut off"))?);
    }
    if found.is_empty() {
        return Err(Error::ConfigPem("it holds no CERTIFICATE block"));
    }
    Ok(found)
}

/// The private key, of which there must be one.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    if pem.len() > MAX_PEM_BYTES {
        return Err(Error::ConfigPem("it is longer than 256 KiB"));
    }
    let mut keys = PrivateKeyDer::pem_slice_iter(pem);
    let Some(key) = keys.next() else {
        let encrypted = pem.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED);
        return Err(Error::ConfigPem(if encrypted {
            "the private key is encrypted; lictor takes plain ones"
        } else {
            "it holds no PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY block"
        }));
    };
    let key = key.map_err(|_| Error::ConfigPem("a block is broken or cut off"))?;
    // In the old form the block has the usual label, and encryption is said in a header within.
    match keys.next() {
        None => Ok(key),
        Some(_) => Err(Error::ConfigPem("it holds several private keys")),
    }
}

const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// A bundle of a hundred roots is 100 KB; what is longer is not a bundle.
const MAX_PEM_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(result: Result<impl Sized, Error>, holds: &str) {
        let error = result.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(holds), "{error}");
    }

    #[test]
    fn what_is_missing_is_said() {
        refused(certificates(b""), "no CERTIFICATE");
        refused(private_key(b"hello"), "no PRIVATE KEY");
        refused(
            private_key(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
            "encrypted",
        );
        refused(
            certificates(b"-----BEGIN CERTIFICATE-----\nAAAA\n"),
            "cut off",
        );
        refused(certificates(&vec![b'\n'; MAX_PEM_BYTES + 1]), "longer");
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(private_key(key.as_bytes()).is_ok());
        refused(private_key(key.repeat(2).as_bytes()), "several");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let framed = [&b"-----BEGIN PRIVATE KEY-----\n"[..], &bytes, b"\n-----END PRIVATE KEY-----\n"].concat();
            let _ = private_key(&framed);
            let _ = certificates(&bytes);
        }
    }
}

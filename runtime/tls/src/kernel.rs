//! A session whose records the kernel makes and reads (kTLS), and what is left to do beside it.
//!
//! The keys leave once, between two records, and come back never. What the kernel has no use for is given to
//! [`Session::take_record`]: alerts, and the tickets of a server (RFC 8446 section 4.6.1). New keys in the middle of a
//! connection (section 4.6.3) end it, since most kernels cannot change them.
//!
//! [`Session::take_record`]: crate::Session::take_record

use std::io;

use rustls::{AlertDescription, ConnectionTrafficSecrets, ProtocolVersion};
use sys::ktls::{Cipher, Direction, Keys, Version};

use crate::{
    control::{Asked, Control, Fault},
    error::Error,
    traffic::Traffic,
};

/// Gives the keys of a session that has nothing more to send.
pub(crate) fn give(
    traffic: &Traffic,
    give: &mut dyn FnMut(Direction, &Keys<'_>) -> io::Result<()>,
) -> Result<(), Error> {
    let version = match traffic.control.version() {
        ProtocolVersion::TLSv1_3 => Version::Tls13,
        _ => Version::Tls12,
    };
    for (direction, ours) in [
        (Direction::Send, &traffic.sealing),
        (Direction::Receive, &traffic.opening),
    ] {
        let (cipher, key, iv) = match &ours.secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Cipher::Aes128Gcm, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Cipher::Aes256Gcm, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (Cipher::ChaCha20Poly1305, key, iv)
            }
            _ => return Err(Error::Bug("a cipher that no suite here has")),
        };
        let mut nonce = [0; 12];
        for (to, from) in nonce.iter_mut().zip(iv.as_ref()) {
            *to = *from;
        }
        if version == Version::Tls12
            && cipher != Cipher::ChaCha20Poly1305
            && let Some(byte) = nonce.get_mut(4)
        {
            // In TLS 1.2 the sender is free to choose the nonces of AES-GCM (RFC 5288 section 3). We have used this
            // one, with the number of the record in its lower bits, and the kernel counts up from where it begins:
            // begun at the same, it would repeat them. So it begins half of all nonces away.
            *byte ^= 0x80;
        }
        let keys = Keys {
            version,
            cipher,
            key: key.as_ref(),
            iv: nonce,
            sequence: ours.sequence(),
        };
        give(direction, &keys).map_err(|_| Error::Bug("the kernel refused the keys"))?;
    }
    Ok(())
}

/// Does what a record that is no data asks for.
pub(crate) fn take(control: &mut Control, kind: u8, body: &[u8]) -> Result<(), Error> {
    if (kind, body) == (0, &[]) {
        return Err(Error::PeerTruncated);
    }
    // Data may have passed meanwhile.
    control.idle_records = 0;
    match control.take(kind, body) {
        Ok(Asked::Nothing) => Ok(()),
        // The kernel can neither change its keys nor be told here to say something.
        Ok(Asked::NewKeys { .. } | Asked::NoRenegotiation) => {
            Err(Fault::from(AlertDescription::UnexpectedMessage).1)
        }
        Err(Fault(_, error)) => Err(error),
    }
}

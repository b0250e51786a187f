//! A session whose records the kernel makes and reads (kTLS), and what is left to do beside it.
//!
//! The keys leave rustls once, between two records, and come back never. What the kernel has no use for is given to
//! [`Session::take_record`]: alerts, and the tickets of a server (RFC 8446 section 4.6.1). New keys in the middle of a
//! connection (section 4.6.3) end it, since most kernels cannot change them.
//!
//! [`Session::take_record`]: crate::Session::take_record

use std::io;

use rustls::{
    AlertDescription, CommonState, ConnectionTrafficSecrets, InvalidMessage, ProtocolVersion,
    client::ClientConnectionData, kernel::KernelConnection, pki_types::CertificateDer,
};
use sys::ktls::{Cipher, Direction, Keys, Version};

use crate::{error::Error, records::Connection};

/// What stays here of a session that has left.
#[derive(Default)]
pub(crate) struct Left {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// A client's, which takes tickets.
    client: Option<KernelConnection<ClientConnectionData>>,
}

impl Left {
    /// Takes the keys out of a connection that has nothing more to send, and gives each to `give`.
    pub(crate) fn new(
        connection: Connection,
        give: &mut dyn FnMut(Direction, &Keys<'_>) -> io::Result<()>,
    ) -> Result<Self, Error> {
        let certificates = connection.peer_certificates().unwrap_or_default().to_vec();
        let unwilling = |_| Error::Bug("the keys of a session could not be taken");
        let version = connection.state().and_then(CommonState::protocol_version);
        let (secrets, client) = match connection {
            Connection::Server(connection) => {
                let left = connection.dangerous_into_kernel_connection();
                (left.map_err(unwilling)?.0, None)
            }
            Connection::Client(connection) => {
                let left = connection.dangerous_into_kernel_connection();
                let (secrets, client) = left.map_err(unwilling)?;
                (secrets, Some(client))
            }
            Connection::Kernel(_) => return Err(Error::Bug("a session left twice")),
        };
        let version = match version {
            Some(ProtocolVersion::TLSv1_3) => Version::Tls13,
            _ => Version::Tls12,
        };
        for (direction, (sequence, secrets)) in [
            (Direction::Send, &secrets.tx),
            (Direction::Receive, &secrets.rx),
        ] {
            let (cipher, key, iv) = match secrets {
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
                // In TLS 1.2 the sender is free to choose the nonces of AES-GCM (RFC 5288 section 3). rustls has used this
                // one, with the number of the record in its lower bits, and the kernel counts up from where it begins:
                // begun at the same, it would repeat them. So it begins half of all nonces away.
                *byte ^= 0x80;
            }
            let keys = Keys {
                version,
                cipher,
                key: key.as_ref(),
                iv: nonce,
                sequence: *sequence,
            };
            give(direction, &keys).map_err(|_| Error::Bug("the kernel refused the keys"))?;
        }
        Ok(Self {
            certificates,
            client,
        })
    }

    /// Does what a record that is no data asks for; true when it says that the peer sends no more.
    pub(crate) fn take(&mut self, kind: u8, body: &[u8]) -> Result<bool, Error> {
        match (kind, body) {
            (0, []) => Err(Error::PeerTruncated),
            (ALERT, &[_, CLOSE_NOTIFY]) => Ok(true),
            // A warning that says no more than that the peer's user went away (RFC 8446 section 6.1).
            (ALERT, &[_, USER_CANCELED]) => Ok(false),
            (ALERT, &[_, alert]) => Err(Error::PeerAlert(AlertDescription::from(alert))),
            (HANDSHAKE, body) => self.take_messages(body).map(|()| false),
            _ => Err(Error::PeerProtocol(
                InvalidMessage::InvalidContentType.into(),
            )),
        }
    }

    fn take_messages(&mut self, mut body: &[u8]) -> Result<(), Error> {
        let strange = || {
            let what = "a handshake message that a connection in the kernel cannot take";
            Error::PeerProtocol(rustls::Error::General(what.to_owned()))
        };
        while let Some((&[kind, high, middle, low], behind)) = body.split_first_chunk() {
            let length = u32::from_be_bytes([0, high, middle, low]);
            let length = usize::try_from(length).map_err(|_| strange())?;
            let (payload, rest) = behind.split_at_checked(length).ok_or_else(strange)?;
            match &mut self.client {
                Some(client) if kind == NEW_SESSION_TICKET => client
                    .handle_new_session_ticket(payload)
                    .map_err(Error::PeerProtocol)?,
                _ => return Err(strange()),
            }
            body = rest;
        }
        if body.is_empty() {
            Ok(())
        } else {
            Err(strange())
        }
    }
}

// RFC 8446 appendix B.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const NEW_SESSION_TICKET: u8 = 4;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;

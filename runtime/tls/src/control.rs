//! What a peer says after the handshake besides data: alerts, tickets, new keys (RFC 8446 sections 4.6 and 6).
//!
//! It is the same whoever opens the records, we or the kernel. What needs keys is left to those who have them: see
//! [`Asked`]. Whatever else is a message after the handshake is refused: a request for a certificate, another
//! handshake, a ticket from a client.

use std::{mem, sync::Arc};

use plan::spiffe::SpiffeId;
use rustls::{
    AlertDescription, CipherSuite, ConnectionTrafficSecrets, ProtocolVersion,
    client::ClientConnectionData,
    kernel::KernelConnection,
    pki_types::{CertificateDer, UnixTime},
    server::ServerConnectionData,
};

use crate::{
    error::Error,
    keys::{ALERT, DATA, HANDSHAKE},
};

/// An established session without its keys.
pub(crate) struct Control {
    left: Left,
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) peer: Arc<SpiffeId>,
    /// When the certificates were looked at.
    pub(crate) begun: UnixTime,
    pub(crate) is_resumed: bool,
    /// The peer has said that it will send no more.
    pub(crate) peer_closed: bool,
    renegotiation_refused: bool,
    /// Records in a row that brought no data, at most `MAX_IDLE_RECORDS`.
    pub(crate) idle_records: u8,
    /// The front of a handshake message that is not whole yet.
    message: Vec<u8>,
}

/// What rustls has left: the secrets that further keys are made of, and a client's store of tickets.
pub(crate) enum Left {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

/// What is to be done by whoever has the keys.
pub(crate) enum Asked {
    Nothing,
    /// Records that follow are opened with the next keys; `answer` says that ours are to be renewed too.
    NewKeys {
        answer: bool,
    },
    /// Telling the peer that there will be no other handshake (RFC 5246 section 7.2.2).
    NoRenegotiation,
}

/// What the peer did wrong: the alert that tells it, unless it was an alert, and the words for the operator.
pub(crate) struct Fault(pub(crate) Option<AlertDescription>, pub(crate) Error);

impl From<AlertDescription> for Fault {
    fn from(alert: AlertDescription) -> Self {
        let error = match alert {
            AlertDescription::BadRecordMac => rustls::Error::DecryptError,
            AlertDescription::RecordOverflow => rustls::Error::PeerSentOversizedRecord,
            _ => rustls::Error::General(format!("what it sent after the handshake is {alert:?}")),
        };
        Self(Some(alert), Error::PeerProtocol(error))
    }
}

impl Control {
    pub(crate) fn new(
        left: Left,
        certificates: Vec<CertificateDer<'static>>,
        (peer, begun): (Arc<SpiffeId>, UnixTime),
        is_resumed: bool,
    ) -> Self {
        Self {
            left,
            certificates,
            peer,
            begun,
            is_resumed,
            peer_closed: false,
            renegotiation_refused: false,
            idle_records: 0,
            message: Vec::new(),
        }
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        match &self.left {
            Left::Client(left) => left.protocol_version(),
            Left::Server(left) => left.protocol_version(),
        }
    }

    pub(crate) fn suite(&self) -> CipherSuite {
        match &self.left {
            Left::Client(left) => left.negotiated_cipher_suite().suite(),
            Left::Server(left) => left.negotiated_cipher_suite().suite(),
        }
    }

    /// Whether nothing of a message lies here.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.message.is_empty()
    }

    /// The keys that follow those of one direction.
    pub(crate) fn next_secrets(
        &mut self,
        ours: bool,
    ) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        let secrets = match (&mut self.left, ours) {
            (Left::Client(left), true) => left.update_tx_secret(),
            (Left::Client(left), false) => left.update_rx_secret(),
            (Left::Server(left), true) => left.update_tx_secret(),
            (Left::Server(left), false) => left.update_rx_secret(),
        };
        secrets.map_err(|_| Error::Bug("new keys could not be made"))
    }

    /// Whether a record of this kind and length is data to be passed on.
    pub(crate) fn is_data(&mut self, kind: u8, length: usize) -> bool {
        let is_data = kind == DATA && length > 0 && self.message.is_empty();
        if is_data {
            self.idle_records = 0;
        }
        is_data
    }

    /// Takes a record that is no data, or none that may come now.
    pub(crate) fn take(&mut self, kind: u8, body: &[u8]) -> Result<Asked, Fault> {
        self.idle_records += 1;
        if self.idle_records > MAX_IDLE_RECORDS {
            return Err(AlertDescription::UnexpectedMessage.into());
        }
        match kind {
            HANDSHAKE if !body.is_empty() => self.take_handshake(body),
            // No other record comes between the parts of a message (RFC 8446 section 5.1).
            _ if !self.message.is_empty() => Err(AlertDescription::UnexpectedMessage.into()),
            DATA => Ok(Asked::Nothing),
            ALERT => self.take_alert(body).map(|()| Asked::Nothing),
            _ => Err(AlertDescription::UnexpectedMessage.into()),
        }
    }

    fn take_alert(&mut self, body: &[u8]) -> Result<(), Fault> {
        let &[level, description] = body else {
            return Err(AlertDescription::DecodeError.into());
        };
        let alert = AlertDescription::from(description);
        match (level, alert) {
            (WARNING | FATAL, AlertDescription::CloseNotify) => {
                self.peer_closed = true;
                Ok(())
            }
            // It says no more than that the peer's user went away.
            (WARNING, AlertDescription::UserCanceled) => Ok(()),
            (WARNING, _) if self.version() != ProtocolVersion::TLSv1_3 => Ok(()),
            (WARNING, _) => Err(Fault(
                Some(AlertDescription::DecodeError),
                Error::PeerAlert(alert),
            )),
            (FATAL, _) => Err(Fault(None, Error::PeerAlert(alert))),
            _ => Err(AlertDescription::IllegalParameter.into()),
        }
    }

    fn take_handshake(&mut self, body: &[u8]) -> Result<Asked, Fault> {
        let mut bytes = mem::take(&mut self.message);
        bytes.extend_from_slice(body);
        let (mut rest, mut asked) = (bytes.as_slice(), Asked::Nothing);
        while let Some((&[kind, high, middle, low], behind)) = rest.split_first_chunk() {
            let length = u32::from_be_bytes([0, high, middle, low]);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length > MAX_MESSAGE_BYTES {
                return Err(AlertDescription::DecodeError.into());
            }
            let Some((payload, more)) = behind.split_at_checked(length) else {
                break;
            };
            // Nothing follows new keys under the old ones (RFC 8446 section 5.1).
            asked = self.take_message(kind, payload, more.is_empty())?;
            rest = more;
        }
        self.message = rest.to_vec();
        Ok(asked)
    }

    fn take_message(&mut self, kind: u8, payload: &[u8], is_last: bool) -> Result<Asked, Fault> {
        let is_tls13 = self.version() == ProtocolVersion::TLSv1_3;
        match (kind, payload, &mut self.left) {
            (KEY_UPDATE, &[request], _) if is_tls13 && is_last => match request {
                0 | 1 => Ok(Asked::NewKeys {
                    answer: request == 1,
                }),
                _ => Err(AlertDescription::IllegalParameter.into()),
            },
            (KEY_UPDATE, payload, _) if is_tls13 && payload.len() != 1 => {
                Err(AlertDescription::DecodeError.into())
            }
            (NEW_SESSION_TICKET, payload, Left::Client(left)) if is_tls13 => {
                let taken = left.handle_new_session_ticket(payload);
                let wrong = |error| {
                    Fault(
                        Some(AlertDescription::DecodeError),
                        Error::PeerProtocol(error),
                    )
                };
                taken.map(|()| Asked::Nothing).map_err(wrong)
            }
            // A peer that asks again does not listen.
            (HELLO_REQUEST, _, Left::Client(_)) | (CLIENT_HELLO, _, Left::Server(_))
                if !is_tls13 && !self.renegotiation_refused =>
            {
                self.renegotiation_refused = true;
                Ok(Asked::NoRenegotiation)
            }
            _ => Err(AlertDescription::UnexpectedMessage.into()),
        }
    }
}

/// The most records in a row without data: as many as rustls and BoringSSL allow of empty ones or of new keys.
const MAX_IDLE_RECORDS: u8 = 32;

/// The longest message, as in rustls. Only tickets are more than a few bytes.
const MAX_MESSAGE_BYTES: usize = (1 << 16) - 1;

// RFC 8446 appendix B, RFC 5246 appendix A.4.
const WARNING: u8 = 1;
const FATAL: u8 = 2;
const HELLO_REQUEST: u8 = 0;
const CLIENT_HELLO: u8 = 1;
const NEW_SESSION_TICKET: u8 = 4;
pub(crate) const KEY_UPDATE: u8 = 24;

//! One TLS connection: bytes in, bytes out, no I/O.
//!
//! ```text
//!                 receive                       receive
//!   Handshaking ───────────► Established ─────────────────► PeerClosed (the peer sends no more; we may)
//!        │ Error                  │ Error
//!        ▼                        ▼
//!     the alert is in what goes out; send it, then close
//! ```
//!
//! The call that ends the handshake gives out no plaintext, even if some has come with it: first the owner decides
//! whether this peer may talk at all (intentions), then it calls [`Session::receive`] again. An error is final.
//!
//! Records are decrypted in the caller's buffer. What is kept between calls is a record or a handshake message that is
//! not whole yet, and only while it is not; an idle session has no buffer.

use std::{mem, ops::ControlFlow, sync::Arc};

use plan::spiffe::SpiffeId;
use rustls::{
    CipherSuite, CommonState, HandshakeKind, ProtocolVersion,
    client::UnbufferedClientConnection,
    pki_types::{CertificateDer, UnixTime},
    server::UnbufferedServerConnection,
};

#[cfg(feature = "ktls")]
use crate::kernel::Left;
use crate::{
    clock::Clock,
    error::Error,
    kept::{Kept, whole_records},
    outgoing::Outgoing,
    records::{Connection, Stop, Turn, Write},
    refusal::Refusal,
    verify::Verifier,
};

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The handshake goes on, when the peer has sent more.
    Handshaking,
    /// The handshake is done. The first time, call [`Session::receive`] again: data may have come already.
    Established,
    /// The peer has said that it will send no more (`close_notify`). It may still read.
    PeerClosed,
}

/// One TLS connection.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    /// Present while there are bytes of the peer that could not be used yet.
    kept: Option<Box<Kept>>,
    handshake: Handshake,
    /// When the peer's certificates were looked at.
    begun: UnixTime,
    peer_closed: bool,
    closed: bool,
}

#[derive(Debug)]
enum Handshake {
    Running(Arc<Verifier>, Clock),
    Done(Arc<SpiffeId>),
    Failed,
}

impl Session {
    pub(crate) fn server(
        connection: UnbufferedServerConnection,
        verifier: Arc<Verifier>,
        clock: Clock,
    ) -> Self {
        Self::new(Connection::Server(Box::new(connection)), verifier, clock)
    }

    pub(crate) fn client(
        connection: UnbufferedClientConnection,
        verifier: Arc<Verifier>,
        clock: Clock,
    ) -> Self {
        Self::new(Connection::Client(Box::new(connection)), verifier, clock)
    }

    fn new(connection: Connection, verifier: Arc<Verifier>, clock: Clock) -> Self {
        Self {
            connection,
            kept: None,
            begun: clock.now(),
            handshake: Handshake::Running(verifier, clock),
            peer_closed: false,
            closed: false,
        }
    }

    /// Takes bytes that the peer sent: all of `incoming`, which is overwritten. What is to be sent to the peer is
    /// appended to `wire`, and `plain` is called with each piece of plaintext, at most 16 KiB.
    ///
    /// Works through everything that is there, save for the data that follows a handshake: see [`Step::Established`].
    ///
    /// # Errors
    ///
    /// `Peer…`: close the connection after sending what is in `wire`, an alert as a rule.
    pub fn receive(
        &mut self,
        incoming: &mut [u8],
        wire: &mut Outgoing,
        plain: &mut dyn FnMut(&[u8]),
    ) -> Result<Step, Error> {
        if matches!(self.handshake, Handshake::Failed) {
            return Err(Error::Bug("bytes for a session that has failed"));
        }
        let result = self.receive_all(incoming, wire, plain);
        if result.is_err() {
            self.connection.drain(wire);
            self.kept = None;
            self.handshake = Handshake::Failed;
        }
        result
    }

    fn receive_all(
        &mut self,
        mut incoming: &mut [u8],
        wire: &mut Outgoing,
        plain: &mut dyn FnMut(&[u8]),
    ) -> Result<Step, Error> {
        if let Some(mut kept) = self.kept.take() {
            if !kept.plain.is_empty() {
                plain(&mem::take(&mut kept.plain));
            }
            self.kept = (!kept.wire.is_empty()).then_some(kept);
        }
        while let Some(mut kept) = self.kept.take() {
            if !kept.join(&mut incoming) {
                self.kept = Some(kept);
                return Ok(self.step());
            }
            if self.process(&mut kept.wire, wire, plain)?.is_break() {
                self.keep_more(incoming)?;
                return Ok(self.step());
            }
            if incoming.is_empty() {
                return Ok(self.step());
            }
        }
        let _ = self.process(incoming, wire, plain)?;
        Ok(self.step())
    }

    /// Gives the bytes to rustls and keeps those that it could not use. Breaks off where the handshake ends.
    fn process(
        &mut self,
        bytes: &mut [u8],
        wire: &mut Outgoing,
        plain: &mut dyn FnMut(&[u8]),
    ) -> Result<ControlFlow<()>, Error> {
        let whole = whole_records(bytes);
        let told = !matches!(self.handshake, Handshake::Running(..));
        let mut plain = |bytes: &[u8]| plain(bytes);
        let mut turn = Turn {
            wire,
            plain: &mut plain,
            write: Write::Nothing,
            told,
            peer_closed: &mut self.peer_closed,
        };
        let run = self.connection.run(bytes, &mut turn);
        let (used, stop) = run.map_err(|error| self.explain(error))?;
        if self.peer_closed {
            // What follows close_notify is not TLS any more (RFC 8446 section 6.1).
            return self.finish_handshake();
        }
        let rest = bytes.get(used..).unwrap_or_default();
        if !rest.is_empty() {
            self.keep(rest, stop == Stop::Dry && used == whole)?;
        }
        if stop == Stop::HandshakeDone {
            return self.finish_handshake();
        }
        Ok(ControlFlow::Continue(()))
    }

    fn keep(&mut self, bytes: &[u8], is_record: bool) -> Result<(), Error> {
        if bytes.len() > MAX_KEPT_BYTES {
            return Err(Error::PeerTooLong);
        }
        let kept = self.kept.get_or_insert_default();
        kept.wire = bytes.to_vec();
        kept.is_record = is_record;
        Ok(())
    }

    /// Adds bytes behind those that are kept already.
    fn keep_more(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() || self.peer_closed {
            return Ok(());
        }
        let kept = self.kept.get_or_insert_default();
        if kept.wire.len().saturating_add(bytes.len()) > MAX_KEPT_BYTES {
            return Err(Error::PeerTooLong);
        }
        kept.wire.extend_from_slice(bytes);
        kept.is_record = false;
        Ok(())
    }

    /// Encrypts into `wire`, in records of up to 16 KiB. Best given much at a time.
    ///
    /// # Errors
    ///
    /// The handshake is not done, the session was closed, or the peer sent nonsense that is noticed only now.
    pub fn encrypt(&mut self, plaintext: &[u8], wire: &mut Outgoing) -> Result<(), Error> {
        if !matches!(self.handshake, Handshake::Done(_)) || self.closed {
            return Err(Error::Bug("plaintext for a session that is not open"));
        }
        // One write of rustls counts its records before it begins, and they fit.
        let records = plaintext.len() / RECORD_BYTES + 1;
        let needed = records
            .saturating_mul(RECORD_OVERHEAD)
            .saturating_add(plaintext.len());
        wire.room(needed);
        self.write(Write::Plaintext(plaintext), wire)
    }

    /// Says that we will send no more (`close_notify`). The peer may go on sending. Does nothing the second time, or
    /// before the handshake is done.
    ///
    /// # Errors
    ///
    /// As [`Session::encrypt`].
    pub fn close(&mut self, wire: &mut Outgoing) -> Result<(), Error> {
        if !matches!(self.handshake, Handshake::Done(_)) || self.closed {
            return Ok(());
        }
        self.closed = true;
        self.write(Write::CloseNotify, wire)
    }

    fn write(&mut self, write: Write<'_>, wire: &mut Outgoing) -> Result<(), Error> {
        // rustls must see again what it left.
        let mut kept = self.kept.take().unwrap_or_default();
        let mut decrypted = mem::take(&mut kept.plain);
        let mut plain = |bytes: &[u8]| decrypted.extend_from_slice(bytes);
        let mut turn = Turn {
            wire,
            plain: &mut plain,
            write,
            told: true,
            peer_closed: &mut self.peer_closed,
        };
        let run = self.connection.run(&mut kept.wire, &mut turn);
        let (used, _) = run.map_err(|error| {
            self.handshake = Handshake::Failed;
            self.explain(error)
        })?;
        kept.wire.drain(..used);
        kept.plain = decrypted;
        if !kept.wire.is_empty() || !kept.plain.is_empty() {
            self.kept = Some(kept);
        }
        Ok(())
    }

    /// The peer's stream has ended.
    ///
    /// # Errors
    ///
    /// It ended without `close_notify`: whoever is between us and the peer may have cut it.
    pub fn end_of_stream(&self) -> Result<(), Error> {
        if self.peer_closed {
            Ok(())
        } else {
            Err(Error::PeerTruncated)
        }
    }

    /// How far the session is.
    #[must_use]
    pub fn step(&self) -> Step {
        match self.handshake {
            Handshake::Done(_) if self.peer_closed => Step::PeerClosed,
            Handshake::Done(_) => Step::Established,
            _ => Step::Handshaking,
        }
    }

    /// Who the peer is, once the handshake is done.
    #[must_use]
    pub fn peer(&self) -> Option<&Arc<SpiffeId>> {
        match &self.handshake {
            Handshake::Done(id) => Some(id),
            _ => None,
        }
    }

    /// The version and the cipher suite, as `TLSv1_3` and `TLS13_AES_128_GCM_SHA256`, once they are agreed.
    #[must_use]
    pub fn negotiated(&self) -> Option<(ProtocolVersion, CipherSuite)> {
        let state = self.connection.state()?;
        Some((
            state.protocol_version()?,
            state.negotiated_cipher_suite()?.suite(),
        ))
    }

    /// Whether the session was resumed: the certificates are those of an earlier handshake.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.connection
            .state()
            .and_then(CommonState::handshake_kind)
            == Some(HandshakeKind::Resumed)
    }

    /// Whether bytes of the peer are kept: a record or a message that is not whole, or data not asked for yet.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.kept.is_some()
    }

    /// Whether the kernel could take over now: both sides may send, and nothing lies between.
    #[cfg(feature = "ktls")]
    #[must_use]
    pub fn can_leave(&self) -> bool {
        let state = self.connection.state();
        matches!(self.handshake, Handshake::Done(_))
            && !self.closed
            && !self.peer_closed
            && self.kept.is_none()
            && state.is_some_and(|state| !state.wants_write())
    }

    /// Gives the keys of both directions to `give`, which hands them to the kernel. All that the session has made must be
    /// sent, and nothing be read that it was not given. Afterwards there is only [`Session::take_record`].
    ///
    /// # Errors
    ///
    /// [`Session::can_leave`] says no, or `give` failed: then the session is over.
    #[cfg(feature = "ktls")]
    pub fn leave(
        &mut self,
        give: &mut dyn FnMut(sys::ktls::Direction, &sys::ktls::Keys<'_>) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        if !self.can_leave() {
            return Err(Error::Bug("a session cannot leave now"));
        }
        let gone = Connection::Kernel(Box::default());
        let left = Left::new(mem::replace(&mut self.connection, gone), give)?;
        self.connection = Connection::Kernel(Box::new(left));
        Ok(())
    }

    /// Whether the kernel has the keys.
    #[cfg(feature = "ktls")]
    #[must_use]
    pub fn is_in_kernel(&self) -> bool {
        matches!(self.connection, Connection::Kernel(_))
    }

    /// Takes a record that is no data, and that the kernel has decrypted.
    ///
    /// # Errors
    ///
    /// `Peer…`: the connection is to be closed.
    #[cfg(feature = "ktls")]
    pub fn take_record(&mut self, kind: u8, body: &[u8]) -> Result<Step, Error> {
        let Connection::Kernel(left) = &mut self.connection else {
            return Err(Error::Bug("a record of a session that has not left"));
        };
        self.peer_closed |= left.take(kind, body)?;
        Ok(self.step())
    }

    /// Checks the peer's certificates as at the handshake, with another verifier. Their dates counted then: what is open
    /// goes on when they end, and whatever a clock does.
    pub(crate) fn verify_with(&self, verifier: &Verifier) -> Result<(), Error> {
        self.check(verifier, self.begun).map(|_| ())
    }

    fn check(&self, verifier: &Verifier, now: UnixTime) -> Result<Arc<SpiffeId>, Error> {
        let certificates = self.connection.peer_certificates();
        let refused = |refusal| Error::PeerCertificate(verifier.peer(), refusal);
        let Some((leaf, rest)) = certificates.and_then(<[CertificateDer<'_>]>::split_first) else {
            return Err(refused(Box::new(Refusal::Missing)));
        };
        verifier.check(leaf, rest, now).map_err(refused)
    }

    /// Learns who the peer is. For a session that was resumed this is the only check of the certificates.
    fn finish_handshake(&mut self) -> Result<ControlFlow<()>, Error> {
        if let Handshake::Running(verifier, clock) = &self.handshake {
            let now = clock.now();
            self.handshake = Handshake::Done(self.check(verifier, now)?);
            self.begun = now;
        }
        Ok(ControlFlow::Break(()))
    }

    fn explain(&self, error: rustls::Error) -> Error {
        let refusal = match &self.handshake {
            Handshake::Running(verifier, _) => verifier
                .take_refusal()
                .or_else(|| {
                    (error == rustls::Error::NoCertificatesPresented)
                        .then(|| Box::new(Refusal::Missing))
                })
                .map(|refusal| Error::PeerCertificate(verifier.peer(), refusal)),
            _ => None,
        };
        refusal.unwrap_or(match error {
            rustls::Error::AlertReceived(alert) => Error::PeerAlert(alert),
            other => Error::PeerProtocol(other),
        })
    }
}

/// Header, explicit nonce (TLS 1.2), content type (TLS 1.3) and tag.
const RECORD_OVERHEAD: usize = 5 + 8 + 1 + 16;

/// The most plaintext in a record (RFC 8446 section 5.1).
const RECORD_BYTES: usize = 1 << 14;

/// The longest handshake message that rustls takes is 64 KiB; in records of a few hundred bytes it is not much longer.
/// The data that comes with the end of a handshake is one read of the owner's.
const MAX_KEPT_BYTES: usize = 256 * 1024;

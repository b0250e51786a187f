//! One TLS connection: bytes in, bytes out, no I/O.
//!
//! ```text
//!                 receive                    receive, open
//!   Handshaking ───────────► Established ─────────────────► PeerClosed (the peer sends no more; we may)
//!        │ Error                  │ Error
//!        ▼                        ▼
//!     the alert is in what goes out; send it, then close
//! ```
//!
//! The call that ends the handshake gives out no plaintext, even if some has come with it: first the owner decides
//! whether this peer may talk at all (intentions), then it calls [`Session::receive`] again. An error is final.
//!
//! The handshake is rustls's, the records after it are ours ([`Traffic`]). They are opened in the caller's buffer. What
//! is kept between calls is what is not whole yet, and only while it is not; an idle session has no buffer.

use std::{fmt, io::IoSliceMut, mem, sync::Arc};

use plan::spiffe::SpiffeId;
use rustls::{
    CipherSuite, ProtocolVersion,
    client::UnbufferedClientConnection,
    pki_types::{CertificateDer, UnixTime},
    server::UnbufferedServerConnection,
};

use crate::{
    clock::Clock,
    control::Control,
    error::Error,
    handshake::{Connection, Handshake},
    outgoing::Outgoing,
    refusal::Refusal,
    traffic::{SLOTS, Traffic},
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
pub struct Session {
    state: State,
    /// Bytes of the peer that could not be used yet.
    kept: Vec<u8>,
}

/// All of them are large, hence boxed: a flow's slot stays small.
enum State {
    Handshaking(Box<Handshake>),
    Open(Box<Traffic>),
    /// The kernel has its keys.
    #[cfg(feature = "ktls")]
    Kernel(Box<Control>),
    Failed,
}

impl Session {
    pub(crate) fn server(
        connection: UnbufferedServerConnection,
        verifier: Arc<Verifier>,
        clock: Clock,
    ) -> Self {
        Self::new(Connection::Server(connection), verifier, clock)
    }

    pub(crate) fn client(
        connection: UnbufferedClientConnection,
        verifier: Arc<Verifier>,
        clock: Clock,
    ) -> Self {
        Self::new(Connection::Client(connection), verifier, clock)
    }

    fn new(connection: Connection, verifier: Arc<Verifier>, clock: Clock) -> Self {
        Self {
            state: State::Handshaking(Box::new(Handshake::new(connection, verifier, clock))),
            kept: Vec::new(),
        }
    }

    /// Takes bytes that the peer sent: all of `incoming`, which is overwritten. What is to be sent to the peer is
    /// appended to `wire`, and `plain` is called with the plaintext, if there is any.
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
        let mut joined = mem::take(&mut self.kept);
        let bytes = if joined.is_empty() {
            incoming
        } else {
            joined.extend_from_slice(incoming);
            joined.as_mut_slice()
        };
        let count = self.work(bytes, wire)?;
        if count > 0 {
            plain(bytes.get(..count).unwrap_or_default());
        }
        Ok(self.step())
    }

    /// How much room [`Session::open`] wants in front of what was read.
    #[must_use]
    pub fn room_in_front(&self) -> usize {
        self.kept.len()
    }

    /// As [`Session::receive`], for an established session and without a copy: `bytes` begins with
    /// [`Session::room_in_front`] bytes of any content, and the plaintext is left at its front. Returns how much it is.
    ///
    /// # Errors
    ///
    /// As [`Session::receive`].
    pub fn open(&mut self, bytes: &mut [u8], wire: &mut Outgoing) -> Result<usize, Error> {
        if let Some(front) = bytes.get_mut(..self.kept.len()) {
            front.copy_from_slice(&self.kept);
        }
        self.work(bytes, wire)
    }

    /// Works through bytes, which are all there is, and keeps those that cannot be used yet.
    fn work(&mut self, bytes: &mut [u8], wire: &mut Outgoing) -> Result<usize, Error> {
        let result = match &mut self.state {
            State::Handshaking(handshake) => match shake(handshake, bytes, wire) {
                Ok((used, None)) => Ok((0, used)),
                Ok((used, Some(peer))) => self.establish(peer).map(|()| (0, used)),
                Err(error) => Err(error),
            },
            State::Open(traffic) => traffic
                .open(bytes, wire)
                .map(|opened| (opened.plain, opened.used)),
            _ => Err(Error::Bug("bytes for a session that has failed")),
        };
        let result = result.and_then(|(plain, used)| {
            let rest = bytes.get(used..).unwrap_or_default();
            if rest.is_empty() || self.step() == Step::PeerClosed {
                self.kept = Vec::new();
            } else if rest.len() > MAX_KEPT_BYTES {
                return Err(Error::PeerTooLong);
            } else {
                self.kept.clear();
                self.kept.extend_from_slice(rest);
            }
            Ok(plain)
        });
        if result.is_err() {
            *self = Self {
                state: State::Failed,
                kept: Vec::new(),
            };
        }
        result
    }

    fn establish(&mut self, peer: Verified) -> Result<(), Error> {
        if let State::Handshaking(handshake) = mem::replace(&mut self.state, State::Failed) {
            self.state = State::Open(Box::new(handshake.finish(peer)?));
        }
        Ok(())
    }

    /// Encrypts into `wire`, in records of up to 16 KiB. Best given much at a time.
    ///
    /// # Errors
    ///
    /// The handshake is not done, or the session was closed.
    pub fn encrypt(&mut self, plaintext: &[u8], wire: &mut Outgoing) -> Result<(), Error> {
        self.sending()?.encrypt(plaintext, wire)
    }

    /// Where plaintext may be put to be sealed without a copy: one after the other, each to its end. They lie behind the
    /// bytes in `wire`.
    ///
    /// # Errors
    ///
    /// As [`Session::encrypt`].
    pub fn slots<'a>(&mut self, wire: &'a mut Outgoing) -> Result<[IoSliceMut<'a>; SLOTS], Error> {
        Ok(self.sending()?.slots(wire))
    }

    /// Makes records of the first `count` bytes in the slots, which are then bytes of `wire`.
    ///
    /// # Errors
    ///
    /// As [`Session::encrypt`].
    pub fn seal(&mut self, count: usize, wire: &mut Outgoing) -> Result<(), Error> {
        self.sending()?.seal(count, wire)
    }

    fn sending(&mut self) -> Result<&mut Traffic, Error> {
        match &mut self.state {
            State::Open(traffic) if !traffic.closed => Ok(traffic),
            _ => Err(Error::Bug("plaintext for a session that is not open")),
        }
    }

    /// Says that we will send no more (`close_notify`). The peer may go on sending. Does nothing the second time, or
    /// before the handshake is done.
    ///
    /// # Errors
    ///
    /// As [`Session::encrypt`].
    pub fn close(&mut self, wire: &mut Outgoing) -> Result<(), Error> {
        self.sending().map_or(Ok(()), |traffic| traffic.close(wire))
    }

    /// The peer's stream has ended.
    ///
    /// # Errors
    ///
    /// It ended without `close_notify`: whoever is between us and the peer may have cut it.
    pub fn end_of_stream(&self) -> Result<(), Error> {
        if self.step() == Step::PeerClosed {
            Ok(())
        } else {
            Err(Error::PeerTruncated)
        }
    }

    #[cfg(test)]
    pub(crate) fn traffic(&mut self) -> &mut Traffic {
        match &mut self.state {
            State::Open(traffic) => traffic,
            _ => unreachable!("a test asks established sessions"),
        }
    }

    /// What is known once the handshake is done.
    fn control(&self) -> Option<&Control> {
        match &self.state {
            State::Open(traffic) => Some(&traffic.control),
            #[cfg(feature = "ktls")]
            State::Kernel(control) => Some(control),
            _ => None,
        }
    }

    /// How far the session is.
    #[must_use]
    pub fn step(&self) -> Step {
        match self.control() {
            Some(control) if control.peer_closed => Step::PeerClosed,
            Some(_) => Step::Established,
            None => Step::Handshaking,
        }
    }

    /// Who the peer is, once the handshake is done.
    #[must_use]
    pub fn peer(&self) -> Option<&Arc<SpiffeId>> {
        self.control().map(|control| &control.peer)
    }

    /// The version and the cipher suite, as `TLSv1_3` and `TLS13_AES_128_GCM_SHA256`, once the handshake is done.
    #[must_use]
    pub fn negotiated(&self) -> Option<(ProtocolVersion, CipherSuite)> {
        self.control()
            .map(|control| (control.version(), control.suite()))
    }

    /// Whether the session was resumed: the certificates are those of an earlier handshake.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.control().is_some_and(|control| control.is_resumed)
    }

    /// Whether all that a server sends at the end of its handshake are tickets, for which no client waits (RFC 8446 section
    /// 4.6.1). Before TLS 1.3 it is the server's Finished. False until the handshake is done.
    #[must_use]
    pub fn has_tickets_last(&self) -> bool {
        self.peer().is_some()
            && self
                .negotiated()
                .is_some_and(|(version, _)| version == ProtocolVersion::TLSv1_3)
    }

    /// Whether bytes of the peer are kept: a record or a message that is not whole, or data not asked for yet.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.kept.is_empty()
            || self
                .control()
                .is_some_and(|control| !control.is_between_messages())
    }

    /// Whether the kernel could take over now: both sides may send, and nothing lies between.
    #[cfg(feature = "ktls")]
    #[must_use]
    pub fn can_leave(&self) -> bool {
        let State::Open(traffic) = &self.state else {
            return false;
        };
        !self.is_partial()
            && !traffic.closed
            && !traffic.renewal_owed
            && !traffic.control.peer_closed
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
        let can = self.can_leave();
        match mem::replace(&mut self.state, State::Failed) {
            State::Open(traffic) if can => {
                crate::kernel::give(&traffic, give)?;
                self.state = State::Kernel(Box::new(traffic.control));
                Ok(())
            }
            _ => Err(Error::Bug("a session cannot leave now")),
        }
    }

    /// Whether the kernel has the keys.
    #[cfg(feature = "ktls")]
    #[must_use]
    pub fn is_in_kernel(&self) -> bool {
        matches!(self.state, State::Kernel(_))
    }

    /// Takes a record that is no data, and that the kernel has decrypted.
    ///
    /// # Errors
    ///
    /// `Peer…`: the connection is to be closed.
    #[cfg(feature = "ktls")]
    pub fn take_record(&mut self, kind: u8, body: &[u8]) -> Result<Step, Error> {
        let State::Kernel(control) = &mut self.state else {
            return Err(Error::Bug("a record of a session that has not left"));
        };
        crate::kernel::take(control, kind, body)?;
        Ok(self.step())
    }

    /// Checks the peer's certificates as at the handshake, with another verifier. Their dates counted then: what is open
    /// goes on when they end, and whatever a clock does.
    pub(crate) fn verify_with(&self, verifier: &Verifier) -> Result<(), Error> {
        let control = self.control();
        let control = control.ok_or(Error::Bug("a session without a handshake"))?;
        check(&control.certificates, verifier, control.begun).map(drop)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.step()).finish()
    }
}

/// Who the peer is, and when that was found.
type Verified = (Arc<SpiffeId>, UnixTime);

/// Goes on with a handshake; who the peer is and when that was found, once it is done.
fn shake(
    handshake: &mut Handshake,
    bytes: &mut [u8],
    wire: &mut Outgoing,
) -> Result<(usize, Option<Verified>), Error> {
    let verifier = Arc::clone(&handshake.verifier);
    match handshake.run(bytes, wire) {
        Ok((used, false)) => Ok((used, None)),
        // For a session that is resumed this is the only check of the certificates.
        Ok((used, true)) => {
            let now = handshake.clock.now();
            let peer = check(handshake.peer_certificates(), &verifier, now)?;
            Ok((used, Some((peer, now))))
        }
        Err(error) => {
            handshake.drain(wire);
            let is_missing = error == rustls::Error::NoCertificatesPresented;
            let refusal = verifier
                .take_refusal()
                .or_else(|| is_missing.then(|| Box::new(Refusal::Missing)));
            Err(match (refusal, error) {
                (Some(refusal), _) => Error::PeerCertificate(verifier.peer(), refusal),
                (None, rustls::Error::AlertReceived(alert)) => Error::PeerAlert(alert),
                (None, other) => Error::PeerProtocol(other),
            })
        }
    }
}

fn check(
    certificates: &[CertificateDer<'static>],
    verifier: &Verifier,
    now: UnixTime,
) -> Result<Arc<SpiffeId>, Error> {
    let refused = |refusal| Error::PeerCertificate(verifier.peer(), refusal);
    let Some((leaf, rest)) = certificates.split_first() else {
        return Err(refused(Box::new(Refusal::Missing)));
    };
    verifier.check(leaf, rest, now).map_err(refused)
}

/// The longest handshake message that rustls takes is 64 KiB, dozens of RSA certificates. In the smallest records that a peer may ask
/// for, of 64 bytes (RFC 8449 section 4), it is 88 KB long; smaller ones are nobody's who means to get through. The data that comes
/// with the end of a handshake is one read of the owner's.
const MAX_KEPT_BYTES: usize = 96 * 1024;

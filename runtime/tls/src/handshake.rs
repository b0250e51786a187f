//! rustls's unbuffered connections, driven through the handshake and not a record further.
//!
//! Both kinds take the bytes in the caller's memory, decrypt them there, and report one state after the other;
//! [`Handshake::run`] works through the states. Records are shown to rustls one by one, so that what follows the
//! handshake is left as it came: it is [`Traffic`]'s.

use std::sync::Arc;

use plan::spiffe::SpiffeId;
use rustls::{
    CommonState, HandshakeKind,
    client::UnbufferedClientConnection,
    pki_types::{CertificateDer, UnixTime},
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, InsufficientSizeError, UnbufferedStatus},
};

use crate::{
    clock::Clock,
    control::{Control, Left},
    error::Error,
    keys::{DATA, HEADER_BYTES, Key, MAJOR, MAX_RECORD_BYTES},
    outgoing::Outgoing,
    traffic::Traffic,
    verify::Verifier,
};

/// A handshake under way.
pub(crate) struct Handshake {
    pub(crate) connection: Connection,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) clock: Clock,
    /// Bytes that rustls has seen and not used: whole records, whose place it remembers.
    seen: usize,
}

/// rustls's two kinds of connection.
pub(crate) enum Connection {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

impl Handshake {
    pub(crate) fn new(connection: Connection, verifier: Arc<Verifier>, clock: Clock) -> Self {
        Self {
            connection,
            verifier,
            clock,
            seen: 0,
        }
    }

    fn records(&mut self) -> &mut dyn Records {
        match &mut self.connection {
            Connection::Server(connection) => connection,
            Connection::Client(connection) => connection,
        }
    }

    fn state(&self) -> &CommonState {
        match &self.connection {
            Connection::Server(connection) => connection,
            Connection::Client(connection) => connection,
        }
    }

    /// Works through the bytes; gives how many of them were used, and whether the handshake is done. Those that were not
    /// must stand before the next.
    pub(crate) fn run(
        &mut self,
        bytes: &mut [u8],
        wire: &mut Outgoing,
    ) -> Result<(usize, bool), rustls::Error> {
        let (mut used, mut shown) = (0_usize, self.seen);
        let records = self.records();
        loop {
            let window = bytes.get_mut(used..shown).unwrap_or_default();
            let (done_with, is_dry) = records.step(window, wire)?;
            used = used.saturating_add(done_with);
            let state = records.state();
            let is_done = !state.is_handshaking() && !state.wants_write();
            let next = if is_dry {
                record_end(bytes, shown)
            } else {
                shown
            };
            if is_done || (is_dry && next == shown) {
                self.seen = shown.saturating_sub(used);
                return Ok((used, is_done));
            }
            shown = next;
        }
    }

    /// Takes out what is left to send after an error: the alert.
    pub(crate) fn drain(&mut self, wire: &mut Outgoing) {
        let records = self.records();
        while records.state().wants_write() && records.step(&mut [], wire).is_ok() {}
    }

    pub(crate) fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.state().peer_certificates().unwrap_or_default()
    }

    /// Takes the keys over.
    pub(crate) fn finish(self, peer: (Arc<SpiffeId>, UnixTime)) -> Result<Traffic, Error> {
        let certificates = self.peer_certificates().to_vec();
        let is_resumed = self.state().handshake_kind() == Some(HandshakeKind::Resumed);
        let unwilling = |_| Error::Bug("the keys of a session could not be taken");
        let (secrets, left) = match self.connection {
            Connection::Server(connection) => {
                let (secrets, left) = connection
                    .dangerous_into_kernel_connection()
                    .map_err(unwilling)?;
                (secrets, Left::Server(left))
            }
            Connection::Client(connection) => {
                let (secrets, left) = connection
                    .dangerous_into_kernel_connection()
                    .map_err(unwilling)?;
                (secrets, Left::Client(left))
            }
        };
        let control = Control::new(left, certificates, peer, is_resumed);
        let version = control.version();
        let (opening, sealing) = (
            Key::new(version, secrets.rx)?,
            Key::new(version, secrets.tx)?,
        );
        Ok(Traffic::new(opening, sealing, control))
    }
}

/// rustls's two connections, which have no trait of their own.
trait Records {
    /// Shows it these bytes, and goes one state further: gives how many of the bytes are done with, and whether it wants more.
    fn step(
        &mut self,
        bytes: &mut [u8],
        wire: &mut Outgoing,
    ) -> Result<(usize, bool), rustls::Error>;

    fn state(&self) -> &CommonState;
}

impl Records for UnbufferedServerConnection {
    fn step(
        &mut self,
        bytes: &mut [u8],
        wire: &mut Outgoing,
    ) -> Result<(usize, bool), rustls::Error> {
        step(self.process_tls_records(bytes), wire)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

impl Records for UnbufferedClientConnection {
    fn step(
        &mut self,
        bytes: &mut [u8],
        wire: &mut Outgoing,
    ) -> Result<(usize, bool), rustls::Error> {
        step(self.process_tls_records(bytes), wire)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    wire: &mut Outgoing,
) -> Result<(usize, bool), rustls::Error> {
    let mut is_dry = false;
    match status.state? {
        ConnectionState::EncodeTlsData(mut data) => encode(&mut |room| data.encode(room), wire)?,
        // What was encoded lies in `wire`, and the owner sends it.
        ConnectionState::TransmitTlsData(data) => data.done(),
        ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => is_dry = true,
        _ => return Err(rustls::Error::General("early data".to_owned())),
    }
    Ok((status.discard, is_dry))
}

/// Where the record that begins here ends, if it is whole or can never be; else `from`.
fn record_end(bytes: &[u8], from: usize) -> usize {
    let ahead = bytes.get(from..).unwrap_or_default();
    let Some((&[kind, major, _, high, low], rest)) = ahead.split_first_chunk::<HEADER_BYTES>()
    else {
        return from;
    };
    match usize::from(u16::from_be_bytes([high, low])) {
        // rustls refuses it by its header.
        length if length > MAX_RECORD_BYTES || major != MAJOR || kind > DATA => bytes.len(),
        length if length > rest.len() => from,
        length => from + HEADER_BYTES + length,
    }
}

fn encode(
    encode: &mut dyn FnMut(&mut [u8]) -> Result<usize, EncodeError>,
    wire: &mut Outgoing,
) -> Result<(), rustls::Error> {
    let mut room = 0;
    loop {
        match encode(wire.room(room)) {
            Ok(count) => {
                wire.fill(count);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size }))
                if required_size > room =>
            {
                room = required_size;
            }
            Err(_) => return Err(rustls::Error::General("encoding".to_owned())),
        }
    }
}

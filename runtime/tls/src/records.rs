//! rustls's unbuffered connections, driven until they want something of the outside.
//!
//! Both kinds of connection take the bytes in the caller's memory, decrypt them there, and report one state after the
//! other; [`Connection::run`] works through the states.

use std::fmt;

use rustls::{
    CommonState,
    client::{ClientConnectionData, UnbufferedClientConnection},
    pki_types::CertificateDer,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{
        ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
        UnbufferedStatus, WriteTraffic,
    },
};

use crate::{error::Side, outgoing::Outgoing};

/// Large in rustls, hence boxed: a flow's slot stays small.
pub(crate) enum Connection {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
    /// The kernel has its keys.
    #[cfg(feature = "ktls")]
    Kernel(Box<crate::kernel::Left>),
}

/// What one run of rustls is to do, and where its products go.
pub(crate) struct Turn<'a> {
    pub(crate) wire: &'a mut Outgoing,
    pub(crate) plain: &'a mut dyn FnMut(&[u8]),
    pub(crate) write: Write<'a>,
    /// The owner knows that the handshake is done.
    pub(crate) told: bool,
    pub(crate) peer_closed: &'a mut bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Write<'a> {
    Nothing,
    Plaintext(&'a [u8]),
    CloseNotify,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// All that could be used was.
    Dry,
    /// The handshake is done, and the owner does not know.
    HandshakeDone,
}

impl Connection {
    pub(crate) fn run(
        &mut self,
        bytes: &mut [u8],
        turn: &mut Turn<'_>,
    ) -> Result<(usize, Stop), rustls::Error> {
        match self {
            Self::Server(connection) => run(&mut **connection, bytes, turn),
            Self::Client(connection) => run(&mut **connection, bytes, turn),
            #[cfg(feature = "ktls")]
            Self::Kernel(_) => Err(rustls::Error::General("in the kernel".to_owned())),
        }
    }

    /// Takes out what is left to send after an error: the alert.
    pub(crate) fn drain(&mut self, wire: &mut Outgoing) {
        match self {
            Self::Server(connection) => drain(&mut **connection, wire),
            Self::Client(connection) => drain(&mut **connection, wire),
            #[cfg(feature = "ktls")]
            Self::Kernel(_) => {}
        }
    }

    /// What rustls knows of it, as long as it is there.
    pub(crate) fn state(&self) -> Option<&CommonState> {
        match self {
            Self::Server(connection) => Some(connection),
            Self::Client(connection) => Some(connection),
            #[cfg(feature = "ktls")]
            Self::Kernel(_) => None,
        }
    }

    pub(crate) fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match self {
            Self::Server(connection) => connection.peer_certificates(),
            Self::Client(connection) => connection.peer_certificates(),
            #[cfg(feature = "ktls")]
            Self::Kernel(left) => Some(&left.certificates),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self {
            Self::Server(_) => Side::Server,
            Self::Client(_) => Side::Client,
            #[cfg(feature = "ktls")]
            Self::Kernel(_) => return f.write_str("connection in the kernel"),
        };
        write!(f, "{side} connection")
    }
}

/// rustls's two connections, which have no trait of their own.
trait Records {
    type Data;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn state(&self) -> &CommonState;
}

impl Records for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

impl Records for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

/// Works through the bytes and gives how many of them were used.
fn run<C: Records>(
    connection: &mut C,
    bytes: &mut [u8],
    turn: &mut Turn<'_>,
) -> Result<(usize, Stop), rustls::Error> {
    let mut used = 0_usize;
    loop {
        let UnbufferedStatus { mut discard, state } =
            connection.process(bytes.get_mut(used..).unwrap_or_default());
        let mut stop = None;
        match state? {
            ConnectionState::ReadTraffic(_) if !turn.told => stop = Some(Stop::HandshakeDone),
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    (turn.plain)(record.payload);
                }
            }
            ConnectionState::EncodeTlsData(data) => encode(data, turn.wire)?,
            // What was encoded lies in `wire`, and the owner sends it.
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => *turn.peer_closed = true,
            ConnectionState::Closed | ConnectionState::BlockedHandshake => stop = Some(Stop::Dry),
            ConnectionState::WriteTraffic(traffic) => {
                write(traffic, turn.write, turn.wire)?;
                // rustls allows writing only when the handshake is done.
                stop = Some(if turn.told {
                    Stop::Dry
                } else {
                    Stop::HandshakeDone
                });
            }
            _ => return Err(rustls::Error::General("early data".to_owned())),
        }
        used = used.saturating_add(discard);
        if let Some(stop) = stop {
            return Ok((used, stop));
        }
    }
}

fn encode<Data>(
    mut data: EncodeTlsData<'_, Data>,
    wire: &mut Outgoing,
) -> Result<(), rustls::Error> {
    let mut room = 0;
    loop {
        match data.encode(wire.room(room)) {
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

fn write<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    what: Write<'_>,
    wire: &mut Outgoing,
) -> Result<(), rustls::Error> {
    let mut room = 0;
    loop {
        let written = match what {
            Write::Nothing => return Ok(()),
            Write::Plaintext(plaintext) => traffic.encrypt(plaintext, wire.room(room)),
            Write::CloseNotify => traffic.queue_close_notify(wire.room(room)),
        };
        match written {
            Ok(count) => {
                wire.fill(count);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size }))
                if required_size > room =>
            {
                room = required_size;
            }
            Err(_) => return Err(rustls::Error::EncryptError),
        }
    }
}

fn drain<C: Records>(connection: &mut C, wire: &mut Outgoing) {
    while connection.state().wants_write() {
        let Ok(ConnectionState::EncodeTlsData(data)) = connection.process(&mut []).state else {
            return;
        };
        if encode(data, wire).is_err() {
            return;
        }
    }
}

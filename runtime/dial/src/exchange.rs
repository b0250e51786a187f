//! One question to one nameserver: over UDP, and over TCP when the answer does not fit.
//!
//! The socket is connected, so the kernel drops what comes from elsewhere and tells when nobody
//! listens; its port and the query's id are both drawn by the kernel. What does not belong to the
//! query, or makes no sense, is passed over and waiting goes on: a forged datagram must not end a
//! query that the real response would answer (RFC 5452).

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::{Async, Timer, future};
use wire::dns::{self, Edns, Family, HostName, MAX_UDP_RESPONSE_BYTES, Query};

use crate::Failure;

/// Asks `nameserver` for the addresses of `name` in one family.
///
/// `timeout` is for each of at most three exchanges: with EDNS, without it for a server that does
/// not know it, over TCP.
pub(crate) async fn ask(
    nameserver: SocketAddr,
    timeout: Duration,
    name: &HostName,
    family: Family,
) -> Result<dns::Answer, Failure> {
    let mut edns = Edns::Offered;
    loop {
        let query = Query::new(unguessable()?, name, family);
        let answer = match over_udp(nameserver, timeout, &query, edns).await {
            Err(Failure::Response(dns::Error::Truncated)) => {
                over_tcp(nameserver, timeout, &query, edns).await
            }
            answer => answer,
        };
        match answer {
            Err(Failure::Response(dns::Error::ServerFailure(FORMAT_ERROR | NOT_IMPLEMENTED)))
                if edns == Edns::Offered =>
            {
                edns = Edns::Omitted;
            }
            answer => return answer,
        }
    }
}

async fn over_udp(
    nameserver: SocketAddr,
    timeout: Duration,
    query: &Query,
    edns: Edns,
) -> Result<dns::Answer, Failure> {
    let any: SocketAddr = match nameserver {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket =
        Async::<UdpSocket>::bind(any).map_err(|error| Failure::System(error, "no udp socket"))?;
    socket.get_ref().connect(nameserver)?;
    socket.send(&query.message(edns)).await?;

    // Why what has come so far was no answer.
    let mut nonsense = None;
    let answered = async {
        let mut response = vec![0; usize::from(MAX_UDP_RESPONSE_BYTES)];
        loop {
            let length = socket.recv(&mut response).await?;
            match query.read(response.get(..length).unwrap_or_default()) {
                Err(dns::Error::Stray(_)) => {}
                Err(error @ dns::Error::Malformed(_)) => nonsense = Some(error),
                read => return read.map_err(Failure::Response),
            }
        }
    };
    match within(timeout, answered).await {
        Err(Failure::Silent) => Err(nonsense.map_or(Failure::Silent, Failure::Response)),
        answer => answer,
    }
}

/// Each message has its length in two bytes before it (RFC 1035 section 4.2.2).
async fn over_tcp(
    nameserver: SocketAddr,
    timeout: Duration,
    query: &Query,
    edns: Edns,
) -> Result<dns::Answer, Failure> {
    let answered = async {
        let mut stream = Async::<TcpStream>::connect(nameserver).await?;
        let message = query.message(edns);
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        let framed = [&length.to_be_bytes(), message.as_slice()].concat();
        stream.write_all(&framed).await?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).await?;
        let mut response = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut response).await?;
        query.read(&response).map_err(Failure::Response)
    };
    within(timeout, answered).await
}

async fn within<T>(
    timeout: Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = async {
        Timer::after(timeout).await;
        Err(Failure::Silent)
    };
    future::or(work, late).await
}

/// From the kernel each time: a generator of our own could be wound on from the ids that a
/// nameserver has seen.
fn unguessable() -> Result<u16, Failure> {
    let seed = sys::random::seed().map_err(|error| Failure::System(error, "no random numbers"))?;
    let [low, high, ..] = seed.to_ne_bytes();
    Ok(u16::from_ne_bytes([low, high]))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error)
    }
}

/// Response codes of servers that know no EDNS (RFC 6891 section 7).
const FORMAT_ERROR: u8 = 1;
const NOT_IMPLEMENTED: u8 = 4;

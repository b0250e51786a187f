//! A client's side of a connection: greet with a server name, talk, and see how it ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use crate::hello::Hello;
use crate::wait::DEADLINE;

/// A connection that waits at most [`DEADLINE`] for the other side.
///
/// # Panics
/// When it cannot be made.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the gateway listens");
    patient(&stream);
    stream
}

/// The same, from this address of ours.
///
/// # Panics
/// When it cannot be made.
pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> TcpStream {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    );
    let socket = socket.expect("a socket can be made");
    bind(&socket, &SocketAddr::from((source, 0))).expect("the address is ours");
    rustix::net::connect(&socket, &address).expect("the gateway listens");
    let stream = TcpStream::from(socket);
    patient(&stream);
    stream
}

/// Makes a connection wait at most [`DEADLINE`] for the other side.
pub fn patient(stream: &TcpStream) {
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("a timeout can be set");
    stream
        .set_write_timeout(Some(DEADLINE))
        .expect("a timeout can be set");
    stream.set_nodelay(true).expect("a TCP socket");
}

/// A connection that has sent a ClientHello with this name.
pub fn greet(address: SocketAddr, server_name: &str) -> TcpStream {
    send_hello(address, &Hello::to(server_name))
}

/// A connection that has sent this ClientHello.
pub fn send_hello(address: SocketAddr, hello: &Hello) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(&hello.bytes()).expect("the gateway reads");
    stream
}

/// A connection to an echoing service through a gateway, its ClientHello already echoed.
///
/// # Panics
/// When the gateway does not route it, or changes a byte.
pub fn echoing(address: SocketAddr, server_name: &str) -> TcpStream {
    let hello = Hello::to(server_name).bytes();
    let mut stream = connect(address);
    assert_echo(&mut stream, &hello);
    stream
}

/// Sends something to an echoing service and sees it come back unchanged.
///
/// # Panics
/// When it does not.
pub fn assert_echo(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("the connection takes bytes");
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).expect("the bytes come back");
    assert!(back == bytes, "other bytes came back");
}

/// A connection to an echoing service, by an upstream of a sidecar, if that works now.
pub fn try_echo(address: SocketAddr) -> Option<TcpStream> {
    try_with(address, b"hello")
}

/// The same through a gateway, by a server name.
pub fn try_echoing(address: SocketAddr, server_name: &str) -> Option<TcpStream> {
    try_with(address, &Hello::to(server_name).bytes())
}

fn try_with(address: SocketAddr, first: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    patient(&stream);
    says_back(&mut stream, first).then_some(stream)
}

/// Whether a connection to an echoing service still is one.
pub fn echoes(stream: &mut TcpStream) -> bool {
    says_back(stream, b"still there")
}

fn says_back(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    let mut back = vec![0; bytes.len()];
    stream.write_all(bytes).is_ok() && stream.read_exact(&mut back).is_ok() && back == bytes
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In order: all was said.
    Closed,
    /// By a reset.
    Reset,
}

/// Reads to the end; gives how it ended and what came before.
///
/// # Panics
/// When it does not end within the deadline.
pub fn ending(stream: &mut TcpStream) -> (Ending, Vec<u8>) {
    let (mut all, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (Ending::Closed, all),
            Ok(read) => all.extend(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                return (Ending::Reset, all);
            }
            Err(error) => panic!("the connection does not end in {DEADLINE:?}: {error}"),
        }
    }
}

/// Sees a connection end with nothing said, or with no more than a fatal TLS alert (RFC 8446
/// section 6.2).
///
/// # Panics
/// When anything else comes, or no end.
pub fn assert_refused(stream: &mut TcpStream) -> Ending {
    let (ending, bytes) = ending(stream);
    let refused = matches!(bytes.as_slice(), [] | [21, 3, _, 0, 2, 2, _]);
    assert!(refused, "a refused client was sent {bytes:?}");
    ending
}

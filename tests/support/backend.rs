//! Services of a test's own: such as answer, and such as fail in every way that a network can.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustix::net::{
    AddressFamily, Shutdown, SocketFlags, SocketType, bind, getsockname, listen, shutdown,
    socket_with,
};

use crate::wait::{self, DEADLINE};

/// A service on a port of its own, with a thread for each connection.
#[derive(Debug)]
pub struct Backend {
    listener: Arc<TcpListener>,
    accepted: Arc<AtomicUsize>,
}

impl Backend {
    /// On loopback.
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0), serve)
    }

    /// At an address.
    pub fn at(
        address: impl Into<SocketAddr>,
        serve: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address.into()).expect("the address is ours");
        let listener = Arc::new(listener);
        let (accepts, serve) = (Arc::clone(&listener), Arc::new(serve));
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        thread::spawn(move || {
            while let Ok((stream, _)) = accepts.accept() {
                count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                let small = thread::Builder::new().stack_size(256 * 1024);
                let started = small.spawn(move || serve(stream));
                started.expect("a thread can be started");
            }
        });
        Self { listener, accepted }
    }

    /// One that sends back what it gets.
    pub fn echo() -> Self {
        Self::start(echo)
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.listener
            .local_addr()
            .expect("a listener has an address")
    }

    /// How many connections it has had.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // On Linux this ends a blocked accept, wherever the socket's namespace is.
        let _ = shutdown(&self.listener, Shutdown::Both);
    }
}

/// Sends back what comes until the other side has finished, then finishes too.
pub fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

/// A service that accepts and then does nothing: it reads no byte and keeps every connection.
#[derive(Debug)]
pub struct Holder {
    backend: Backend,
    held: Arc<Mutex<Vec<TcpStream>>>,
}

impl Holder {
    /// On loopback.
    pub fn start() -> Self {
        let held = Arc::new(Mutex::new(Vec::new()));
        let keeps = Arc::clone(&held);
        let keep = move |stream| keeps.lock().expect("no holder panicked").push(stream);
        Self {
            backend: Backend::start(keep),
            held,
        }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.backend.address()
    }

    /// How many connections it holds.
    pub fn held(&self) -> usize {
        self.held.lock().expect("no holder panicked").len()
    }

    /// The connection that came last.
    pub fn take(&self) -> Option<TcpStream> {
        self.held.lock().expect("no holder panicked").pop()
    }
}

/// An address where nothing listens and nothing else can: connecting is refused.
#[derive(Debug)]
pub struct Refusing {
    _bound: OwnedFd,
    address: SocketAddr,
}

impl Refusing {
    /// On loopback.
    pub fn new() -> Self {
        let (bound, address) = bound(Ipv4Addr::LOCALHOST.into());
        Self {
            _bound: bound,
            address,
        }
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Default for Refusing {
    fn default() -> Self {
        Self::new()
    }
}

/// An address that answers nothing: a listener whose queue is full, where Linux drops every SYN.
#[derive(Debug)]
pub struct BlackHole {
    _listener: OwnedFd,
    _queued: TcpStream,
    address: SocketAddr,
}

impl BlackHole {
    /// At an IP address, on a port of its own.
    ///
    /// # Panics
    /// When it answers after all.
    pub fn at(ip: IpAddr) -> Self {
        Self::bound_at((ip, 0).into())
    }

    /// At an address.
    ///
    /// # Panics
    /// When it answers after all.
    pub fn bound_at(address: SocketAddr) -> Self {
        let (listener, address) = bound_to(address);
        listen(&listener, 0).expect("a bound socket can listen");
        // A queue of length 0 holds one connection all the same. A busy kernel may not have the way to an IPv6 address
        // as soon as the address is there.
        let queued = wait::until("the queue to take one", || TcpStream::connect(address).ok());
        let next = TcpStream::connect_timeout(&address, FULL_AFTER);
        assert!(next.is_err(), "the queue of {address} does not fill");
        Self {
            _listener: listener,
            _queued: queued,
            address,
        }
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Ends a connection with a reset (RFC 9293 section 3.5.1) instead of an orderly close.
pub fn reset(stream: TcpStream) {
    set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket takes SO_LINGER");
}

/// A connection to `address` from a given source, such as another address of 127.0.0.0/8.
///
/// # Errors
/// When it cannot be made.
pub fn connect_from(source: IpAddr, address: SocketAddr) -> std::io::Result<TcpStream> {
    let (socket, _) = bound(source);
    rustix::net::connect(&socket, &address)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

fn bound(ip: IpAddr) -> (OwnedFd, SocketAddr) {
    bound_to((ip, 0).into())
}

fn bound_to(address: SocketAddr) -> (OwnedFd, SocketAddr) {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .expect("a socket can be made");
    bind(&socket, &address).expect("the address is ours");
    let address = getsockname(&socket)
        .ok()
        .and_then(|address| address.try_into().ok());
    (socket, address.expect("an IP address"))
}

/// A SYN that is not answered on loopback for so long is dropped.
const FULL_AFTER: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn a_refusing_address_refuses_and_a_black_hole_does_not_answer() {
        let refused = TcpStream::connect(Refusing::new().address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let hole = BlackHole::at(Ipv4Addr::LOCALHOST.into());
        let silent = TcpStream::connect_timeout(&hole.address(), FULL_AFTER).unwrap_err();
        assert_eq!(silent.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_reset_reaches_the_other_side_as_one() {
        let backend = Backend::start(|mut stream| {
            let _ = stream.read(&mut [0]);
            reset(stream);
        });
        let mut client = connect_from([127, 0, 0, 9].into(), backend.address()).unwrap();
        client.write_all(b"x").unwrap();
        assert_eq!(
            client.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        assert_eq!(backend.accepted(), 1);
    }
}

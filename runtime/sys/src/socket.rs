//! Stream sockets as the data plane uses them: nonblocking, close-on-exec, one system call each. How unix sockets get their
//! paths is in [`crate::unix`]; once connected they are used like TCP's.
//!
//! Nothing here waits. "Would block" is a value, not an error, so that callers cannot forget it.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{
        self, AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, ipproto,
        sockopt,
    },
};

/// What a transfer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// That many bytes, at least one.
    Bytes(usize),
    /// The peer sends no more.
    End,
    /// Nothing can be moved now.
    WouldBlock,
}

/// The options of connected sockets. What a listener has set, the connections that it accepts inherit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Silence before the first keepalive probe; `None` turns keepalive off.
    pub keepalive_time: Option<Duration>,
    /// Between probes.
    pub keepalive_interval: Duration,
    /// Probes without an answer.
    pub keepalive_probes: u32,
    /// How long sent data may stay unacknowledged (`TCP_USER_TIMEOUT`); zero leaves it to the kernel.
    pub user_timeout: Duration,
}

/// What else is bound to the port, as far as it matters to `[::]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `[::]` takes IPv4 connections too.
    Dual,
    /// `[::]` leaves IPv4 to another socket.
    Own,
}

/// Binds and listens.
///
/// # Errors
///
/// The address is taken, not of this machine, or not permitted.
pub fn listen(
    address: SocketAddr,
    family: Family,
    backlog: i32,
    options: &TcpOptions,
) -> io::Result<OwnedFd> {
    let socket = stream(&address)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, family == Family::Own)?;
    }
    set_options(&socket, options)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, backlog)?;
    Ok(socket)
}

/// Accepts a connection if there is one. An IPv4 address that came in through `[::]` is given as IPv4; who comes in
/// through a unix socket has none.
///
/// # Errors
///
/// No descriptors or memory left, or the system forbids it; the connection stays in the queue.
pub fn accept(listener: impl AsFd) -> io::Result<Option<(OwnedFd, Option<SocketAddr>)>> {
    loop {
        match net::acceptfrom_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((socket, Some(address))) => {
                let address = SocketAddr::try_from(address).ok();
                let canonical = |it: SocketAddr| SocketAddr::new(it.ip().to_canonical(), it.port());
                return Ok(Some((socket, address.map(canonical))));
            }
            // Gone before it was accepted (accept(2)): the next one may be there.
            // Not so EPERM: a filter of system calls that has it would keep this loop for ever.
            Ok((_, None)) | Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Starts to connect. The end of it is an event on the socket; [`connected`] then tells how it went.
///
/// # Errors
///
/// Failed at once: no route, no descriptors, refused on this machine.
pub fn connect(address: SocketAddr, options: &TcpOptions) -> io::Result<OwnedFd> {
    start(address, options, false)
}

/// The same for who sends as soon as it is connected, to a peer that answers: see [`acknowledge_with_data`].
///
/// # Errors
///
/// As [`connect`].
pub fn connect_to_send(address: SocketAddr, options: &TcpOptions) -> io::Result<OwnedFd> {
    start(address, options, true)
}

fn start(address: SocketAddr, options: &TcpOptions, sends: bool) -> io::Result<OwnedFd> {
    let socket = stream(&address)?;
    set_options(&socket, options)?;
    if sends {
        acknowledge_with_data(&socket);
    }
    match net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// How a connect ended, once the socket is writable.
///
/// # Errors
///
/// Why it failed.
pub fn connected(socket: impl AsFd) -> io::Result<()> {
    sockopt::socket_error(&socket)??;
    // Writable without an error can also mean "not yet" after a spurious event; only a peer's address proves it.
    net::getpeername(&socket)?;
    Ok(())
}

/// The address a socket is bound to.
///
/// # Errors
///
/// None that a correct caller meets.
pub fn local_address(socket: impl AsFd) -> io::Result<SocketAddr> {
    Ok(SocketAddr::try_from(net::getsockname(socket)?)?)
}

/// Receives into `buffer`.
///
/// # Errors
///
/// The connection is broken: a reset as a rule.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Moved> {
    receive_with(socket, buffer, RecvFlags::empty())
}

/// As [`receive`], into one slot after the other (readv(2), which takes longer where there is one).
///
/// # Errors
///
/// As [`receive`].
pub fn receive_into(socket: impl AsFd, slots: &mut [IoSliceMut<'_>]) -> io::Result<Moved> {
    match slots {
        [slot] => receive(socket, slot),
        slots => received(|| rustix::io::readv(&socket, slots)),
    }
}

/// Copies into `buffer` what would be received, and leaves it there.
///
/// # Errors
///
/// As [`receive`].
pub fn peek(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Moved> {
    receive_with(socket, buffer, RecvFlags::PEEK)
}

/// Takes as many bytes as `buffer` is long and drops them; its content is not touched (tcp(7), `MSG_TRUNC`).
///
/// # Errors
///
/// As [`receive`].
pub fn discard(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Moved> {
    receive_with(socket, buffer, RecvFlags::TRUNC)
}

fn receive_with(socket: impl AsFd, buffer: &mut [u8], flags: RecvFlags) -> io::Result<Moved> {
    received(|| net::recv(&socket, &mut *buffer, flags).map(|(_, count)| count))
}

fn received(mut call: impl FnMut() -> Result<usize, Errno>) -> io::Result<Moved> {
    loop {
        return match call() {
            Ok(0) => Ok(Moved::End),
            Ok(count) => Ok(Moved::Bytes(count)),
            Err(Errno::AGAIN) => Ok(Moved::WouldBlock),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

/// Sends what there is room for. Never raises SIGPIPE.
///
/// # Errors
///
/// The connection is broken.
pub fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<Moved> {
    loop {
        return match net::send(&socket, bytes, SendFlags::NOSIGNAL) {
            Ok(count) => Ok(Moved::Bytes(count)),
            Err(Errno::AGAIN) => Ok(Moved::WouldBlock),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

/// Tells the peer that no more will be sent. A connection that is gone already is no matter.
pub fn finish_sending(socket: impl AsFd) {
    let _ = net::shutdown(socket, Shutdown::Write);
}

/// Lets what is received be acknowledged by what is sent, if that follows soon, from the first byte on: a packet less for
/// each that is answered (tcp(7), `TCP_QUICKACK`). For peers that do not wait for an acknowledgement to go on. What a
/// listener has set, connections inherit.
pub fn acknowledge_with_data(socket: impl AsFd) {
    // A kernel that does not know it sends the packets.
    let _ = sockopt::set_tcp_quickack(socket, false);
}

/// Makes closing this socket a reset: the peer learns of a failure as one, and no TIME_WAIT stays behind.
pub fn reset_when_closed(socket: impl AsFd) {
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

fn stream(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(net::socket_with(
        family,
        SocketType::STREAM,
        flags,
        Some(ipproto::TCP),
    )?)
}

fn set_options(socket: &OwnedFd, options: &TcpOptions) -> io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    if let Some(time) = options.keepalive_time {
        sockopt::set_socket_keepalive(socket, true)?;
        sockopt::set_tcp_keepidle(socket, at_least_a_second(time))?;
        sockopt::set_tcp_keepintvl(socket, at_least_a_second(options.keepalive_interval))?;
        sockopt::set_tcp_keepcnt(socket, options.keepalive_probes.max(1))?;
    }
    if !options.user_timeout.is_zero() {
        let milliseconds = u32::try_from(options.user_timeout.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(socket, milliseconds)?;
    }
    Ok(())
}

/// The kernel counts keepalive in whole seconds, and refuses zero.
fn at_least_a_second(time: Duration) -> Duration {
    time.max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{Ipv4Addr, TcpListener, TcpStream},
    };

    use super::*;

    const OPTIONS: TcpOptions = TcpOptions {
        keepalive_time: Some(Duration::from_secs(60)),
        keepalive_interval: Duration::from_secs(10),
        keepalive_probes: 3,
        user_timeout: Duration::from_secs(30),
    };

    #[test]
    fn accepted_connections_inherit_the_listeners_options() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), Family::Own, 8, &OPTIONS).unwrap();
        assert!(accept(&listener).unwrap().is_none());
        let client = TcpStream::connect(local_address(&listener).unwrap()).unwrap();
        let (accepted, source) = accept(&listener)
            .unwrap()
            .expect("a connection in the queue");
        assert_eq!(source, client.local_addr().ok());
        assert!(sockopt::tcp_nodelay(&accepted).unwrap());
        assert_eq!(
            sockopt::tcp_keepidle(&accepted).unwrap(),
            Duration::from_secs(60)
        );
        assert_eq!(sockopt::tcp_user_timeout(&accepted).unwrap(), 30_000);
    }

    #[test]
    fn an_ipv4_client_of_a_dual_stack_listener_has_an_ipv4_address() {
        let listener = listen("[::]:0".parse().unwrap(), Family::Dual, 8, &OPTIONS).unwrap();
        let port = local_address(&listener).unwrap().port();
        let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let (_, source) = accept(&listener)
            .unwrap()
            .expect("a connection in the queue");
        assert!(source.unwrap().is_ipv4());
    }

    /// Lets accept4(2) fail with EPERM in this thread, as a service manager's filter of system calls may (seccomp(2)).
    fn forbid_accepting() {
        let then = |code: u32, jump_if: u8, value: u32| libc::sock_filter {
            code: u16::try_from(code).unwrap(),
            jt: 0,
            jf: jump_if,
            k: value,
        };
        let number = u32::try_from(libc::SYS_accept4).unwrap();
        let refused = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).unwrap();
        let mut filter = [
            then(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
            then(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, number),
            then(libc::BPF_RET | libc::BPF_K, 0, refused),
            then(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).unwrap(),
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: the program is valid for reading during both calls, which concern this thread alone.
        unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            let mode = libc::SECCOMP_MODE_FILTER;
            let done = libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program);
            assert_eq!(done, 0, "{}", io::Error::last_os_error());
        }
    }

    #[test]
    fn accepting_that_is_forbidden_ends_with_an_error() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), Family::Own, 8, &OPTIONS).unwrap();
        let _client = TcpStream::connect(local_address(&listener).unwrap()).unwrap();
        let forbidden = std::thread::spawn(move || {
            forbid_accepting();
            accept(&listener).map(drop).unwrap_err().kind()
        });
        assert_eq!(forbidden.join().unwrap(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn slots_are_filled_one_after_the_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.write_all(b"abcde").unwrap();
        let (mut first, mut none, mut second) = ([0; 3], [0; 0], [0; 3]);
        let slots = [&mut first[..], &mut none, &mut second];
        let moved = receive_into(&server, &mut slots.map(IoSliceMut::new));
        assert_eq!(moved.unwrap(), Moved::Bytes(5));
        assert_eq!((&first, &second), (b"abc", b"de\0"));
    }

    #[test]
    fn peeking_leaves_what_discarding_takes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"abcdef").unwrap();
        let mut buffer = [0; 4];
        assert_eq!(peek(&server, &mut buffer).unwrap(), Moved::Bytes(4));
        assert_eq!(&buffer, b"abcd");
        assert_eq!(discard(&server, &mut buffer[..2]).unwrap(), Moved::Bytes(2));
        server.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"cdef");
    }

    #[test]
    fn a_reset_is_an_error_and_an_end_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        reset_when_closed(&client);
        drop(client);
        assert_eq!(
            receive(&server, &mut [0; 4]).unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
    }

    #[test]
    fn a_refused_connect_is_told_at_once_or_by_the_socket() {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let outcome = connect((Ipv4Addr::LOCALHOST, port).into(), &OPTIONS).and_then(|socket| {
            let mut polled = [rustix::event::PollFd::new(
                &socket,
                rustix::event::PollFlags::OUT,
            )];
            rustix::event::poll(&mut polled, None).unwrap();
            connected(&socket)
        });
        assert_eq!(
            outcome.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }
}

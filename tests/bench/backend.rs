//! The service behind the gateways: one thread, one epoll set, one listener for each gateway.
//!
//! It reads the ClientHello to its end, answers with `REPLY`, and then does what the ClientHello
//! orders (see `client_hello`). It never parses TLS beyond that byte.

use crate::{
    client_hello::{self, ORDER_AT, Order},
    poller::{EventFlags, Poller},
};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, SocketFlags},
};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    thread,
    time::Duration,
};

/// What a connection gets once its ClientHello has arrived.
pub(crate) const REPLY: [u8; 32] = *b"the hello has reached its server";

/// The running backend. Its thread ends with the process.
pub(crate) struct Backend {
    addresses: Vec<SocketAddr>,
}

impl Backend {
    /// Listens on `listeners` free loopback ports and starts the thread.
    pub(crate) fn start(listeners: usize) -> io::Result<Self> {
        let mut server = Server {
            listeners: Vec::new(),
            connections: Vec::new(),
            free: Vec::new(),
            hello: client_hello::client_hello(Order::Echo).len(),
            buffer: vec![0; BUFFER_BYTES],
        };
        let mut addresses = Vec::new();
        for _ in 0..listeners {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            rustix::net::listen(&listener, BACKLOG)?;
            rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
            listener.set_nonblocking(true)?;
            addresses.push(listener.local_addr()?);
            server.listeners.push(listener);
        }
        thread::Builder::new()
            .name("backend".to_owned())
            .spawn(move || {
                if let Err(error) = server.serve() {
                    eprintln!("bench: backend: {error}");
                    std::process::exit(1);
                }
            })?;
        Ok(Self { addresses })
    }

    /// Where the listener of that number can be reached.
    pub(crate) fn address(&self, listener: usize) -> Option<SocketAddr> {
        self.addresses.get(listener).copied()
    }
}

struct Server {
    listeners: Vec<TcpListener>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Length of every ClientHello.
    hello: usize,
    buffer: Vec<u8>,
}

struct Connection {
    socket: OwnedFd,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// So many bytes of the ClientHello have come.
    Hello {
        seen: usize,
        order: Option<Order>,
    },
    Obeying(Order),
}

/// Whether a connection goes on after an event.
enum Next {
    Stay,
    /// From now on the socket is to be reported when it can be written to.
    Pour,
    Close,
}

impl Server {
    fn serve(&mut self) -> io::Result<()> {
        let mut poller = Poller::new()?;
        for (key, listener) in self.listeners.iter().enumerate() {
            poller.add(listener, key, EventFlags::IN)?;
        }
        let mut ready = Vec::new();
        loop {
            ready.clear();
            ready.extend(poller.wait(Duration::from_secs(60))?.map(|(key, _)| key));
            for &key in &ready {
                match key.checked_sub(self.listeners.len()) {
                    None => self.accept(key, &poller)?,
                    Some(slot) => self.turn(slot, key, &poller)?,
                }
            }
        }
    }

    fn accept(&mut self, listener: usize, poller: &Poller) -> io::Result<()> {
        let Some(listener) = self.listeners.get(listener) else {
            return Ok(());
        };
        for _ in 0..ACCEPTS_PER_TURN {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = match rustix::net::accept_with(listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => break,
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let slot = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            poller.add(&socket, self.listeners.len() + slot, EventFlags::IN)?;
            let stage = Stage::Hello {
                seen: 0,
                order: None,
            };
            if let Some(place) = self.connections.get_mut(slot) {
                *place = Some(Connection { socket, stage });
            }
        }
        Ok(())
    }

    fn turn(&mut self, slot: usize, key: usize, poller: &Poller) -> io::Result<()> {
        let Some(place) = self.connections.get_mut(slot) else {
            return Ok(());
        };
        let Some(connection) = place else {
            return Ok(());
        };
        match connection.turn(self.hello, &mut self.buffer) {
            Next::Stay => {}
            Next::Pour => poller.change(&connection.socket, key, EventFlags::OUT)?,
            Next::Close => {
                *place = None;
                self.free.push(slot);
            }
        }
        Ok(())
    }
}

impl Connection {
    fn turn(&mut self, hello: usize, buffer: &mut [u8]) -> Next {
        match self.stage {
            Stage::Hello { seen, order } => self.read_hello(seen, order, hello, buffer),
            Stage::Obeying(Order::Echo) => self.echo(buffer),
            Stage::Obeying(Order::Pour) => self.pour(buffer),
        }
    }

    fn read_hello(
        &mut self,
        seen: usize,
        order: Option<Order>,
        hello: usize,
        buffer: &mut [u8],
    ) -> Next {
        // Not a byte beyond the ClientHello: what follows it is payload.
        let (buffer, _) = buffer
            .split_at_mut_checked(hello - seen)
            .unwrap_or_default();
        let read = match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((_, 0)) => return Next::Close,
            Ok((_, read)) => read,
            Err(Errno::AGAIN) => return Next::Stay,
            Err(_) => return Next::Close,
        };
        let here = ORDER_AT
            .checked_sub(seen)
            .and_then(|at| buffer.get(..read)?.get(at));
        let order = order.or_else(|| Order::from_byte(*here?));
        if seen + read < hello {
            self.stage = Stage::Hello {
                seen: seen + read,
                order,
            };
            return Next::Stay;
        }
        let Some(order) = order else {
            return Next::Close;
        };
        match rustix::net::send(&self.socket, &REPLY, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == REPLY.len() => {}
            _ => return Next::Close,
        }
        self.stage = Stage::Obeying(order);
        match order {
            Order::Echo => Next::Stay,
            Order::Pour => Next::Pour,
        }
    }

    /// A peer that sends faster than it reads is cut off: no workload does.
    fn echo(&self, buffer: &mut [u8]) -> Next {
        let read = match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((_, 0)) => return Next::Close,
            Ok((_, read)) => read,
            Err(Errno::AGAIN) => return Next::Stay,
            Err(_) => return Next::Close,
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == read => Next::Stay,
            _ => Next::Close,
        }
    }

    fn pour(&self, buffer: &[u8]) -> Next {
        match rustix::net::send(&self.socket, buffer, SendFlags::NOSIGNAL) {
            Ok(_) | Err(Errno::AGAIN) => Next::Stay,
            Err(_) => Next::Close,
        }
    }
}

/// As much as one call pours; larger ones gain nothing on loopback.
const BUFFER_BYTES: usize = 256 * 1024;

/// As long a queue as the kernel's usual limit allows: a burst must not be refused.
const BACKLOG: i32 = 4096;

/// Bounds one turn, so that a burst of connections does not stop the flows.
const ACCEPTS_PER_TURN: usize = 64;

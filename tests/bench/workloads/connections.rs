//! Connections: ClientHello, short reply, close; then the next, with a fixed number at once.
//!
//! Closed by a reset (the client sets SO_LINGER to 0), which leaves no TIME_WAIT behind, or orderly:
//! the client sends its end, waits for the gateway's, and closes.

use super::{Better, Figure, Meter, POLL, Reading, Scene, Workload};
use crate::{
    backend::REPLY,
    bars::{FULL_PER_CPU_SECOND, RESUMED_PER_CPU_SECOND},
    client_hello::{Order, client_hello},
    poller::{EventFlags, Poller},
};
use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, sockopt},
};
use std::{io, net::SocketAddr, os::fd::OwnedFd, time::Duration};

/// Connections closed one way.
pub(super) struct Connections {
    name: &'static str,
    figure: &'static str,
    close: Close,
    resumes: bool,
}

#[derive(Clone, Copy)]
enum Close {
    Reset,
    Orderly,
}

/// Closed by a reset.
pub(super) const RESET: Connections = Connections {
    name: "reset",
    figure: "connections per CPU-s, client resets",
    close: Close::Reset,
    resumes: true,
};

/// Closed by an end in each direction.
pub(super) const ORDERLY: Connections = Connections {
    name: "orderly",
    figure: "connections per CPU-s, orderly close",
    close: Close::Orderly,
    resumes: true,
};

/// Through sidecars that know each other.
pub(super) const RESUMED: Connections = Connections {
    name: "resumed",
    figure: RESUMED_PER_CPU_SECOND,
    close: Close::Reset,
    resumes: true,
};

/// Through sidecars that resume no session.
pub(super) const FULL: Connections = Connections {
    name: "full",
    figure: FULL_PER_CPU_SECOND,
    close: Close::Reset,
    resumes: false,
};

impl Workload for Connections {
    fn name(&self) -> &'static str {
        self.name
    }

    fn resumes(&self) -> bool {
        self.resumes
    }

    fn run(&self, scene: &Scene<'_>) -> io::Result<Vec<Figure>> {
        let mut load = Load {
            gateway: scene.gateway.address,
            hello: client_hello(Order::Echo),
            close: self.close,
            poller: Poller::new()?,
            done: 0,
            failed: 0,
        };
        let reading = load.run(scene)?;
        Ok(vec![
            Better::Higher.figure(self.figure, reading.per_cpu_second()),
            Better::Neither.figure("connections per second", reading.per_second()),
            Better::Neither.figure("share of a core", reading.share_of_a_core()),
            Better::Neither.figure("failed connections", load.failed as f64),
        ])
    }
}

struct Load {
    gateway: SocketAddr,
    hello: Vec<u8>,
    close: Close,
    poller: Poller,
    done: u64,
    failed: u64,
}

struct Connection {
    socket: OwnedFd,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    Connecting,
    /// So many bytes of the reply have come.
    Reply(usize),
    /// Our end is sent; the gateway's is awaited.
    End,
}

enum Step {
    Wait,
    Done,
    Failed,
}

impl Load {
    fn run(&mut self, scene: &Scene<'_>) -> io::Result<Reading> {
        let mut slots = Vec::new();
        for key in 0..AT_ONCE {
            slots.push(self.connect(key)?);
        }
        let mut ready = Vec::new();
        let mut meter = Meter::new(scene);
        loop {
            ready.clear();
            ready.extend(self.poller.wait(POLL)?.map(|(key, _)| key));
            for &key in &ready {
                let Some(slot) = slots.get_mut(key) else {
                    continue;
                };
                match self.step(slot, key)? {
                    Step::Wait => continue,
                    Step::Done => self.done += 1,
                    Step::Failed => self.failed += 1,
                }
                if self.failed > MAX_FAILED {
                    return Err(io::Error::other(format!(
                        "{} connections failed, {} were well",
                        self.failed, self.done
                    )));
                }
                if let Close::Reset = self.close {
                    sockopt::set_socket_linger(&slot.socket, Some(Duration::ZERO))?;
                }
                *slot = self.connect(key)?;
            }
            if let Some(reading) = meter.tick(self.done)? {
                return Ok(reading);
            }
            if self.done > MAX_CONNECTIONS {
                return Err(io::Error::other("more connections than one cell may open"));
            }
        }
    }

    fn connect(&self, key: usize) -> io::Result<Connection> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &self.gateway) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let mut connection = Connection {
            socket,
            stage: Stage::Connecting,
        };
        // On loopback the handshake is over before connect returns, unless the queue was full.
        let flags = match self.send_hello(&mut connection) {
            Step::Wait if matches!(connection.stage, Stage::Reply(_)) => EventFlags::IN,
            _ => EventFlags::OUT,
        };
        self.poller.add(&connection.socket, key, flags)?;
        Ok(connection)
    }

    fn step(&self, connection: &mut Connection, key: usize) -> io::Result<Step> {
        Ok(match connection.stage {
            Stage::Connecting => {
                let step = self.send_hello(connection);
                if matches!(connection.stage, Stage::Reply(_)) {
                    self.poller
                        .change(&connection.socket, key, EventFlags::IN)?;
                }
                step
            }
            Stage::Reply(seen) => self.read_reply(connection, seen),
            Stage::End => match receive(connection) {
                Ok(0) => Step::Done,
                Err(Errno::AGAIN) => Step::Wait,
                _ => Step::Failed,
            },
        })
    }

    fn send_hello(&self, connection: &mut Connection) -> Step {
        match rustix::net::send(&connection.socket, &self.hello, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == self.hello.len() => {
                connection.stage = Stage::Reply(0);
                Step::Wait
            }
            Err(Errno::AGAIN) => Step::Wait,
            _ => Step::Failed,
        }
    }

    fn read_reply(&self, connection: &mut Connection, seen: usize) -> Step {
        let seen = match receive(connection) {
            Ok(0) => return Step::Failed,
            Ok(read) => seen + read,
            Err(Errno::AGAIN) => return Step::Wait,
            Err(_) => return Step::Failed,
        };
        connection.stage = Stage::Reply(seen);
        if seen < REPLY.len() {
            return Step::Wait;
        }
        match self.close {
            Close::Reset => Step::Done,
            Close::Orderly => {
                connection.stage = Stage::End;
                match rustix::net::shutdown(&connection.socket, Shutdown::Write) {
                    Ok(()) => Step::Wait,
                    Err(_) => Step::Failed,
                }
            }
        }
    }
}

fn receive(connection: &Connection) -> Result<usize, Errno> {
    let mut bytes = [0; REPLY.len()];
    let (_, read) = rustix::net::recv(&connection.socket, &mut bytes[..], RecvFlags::empty())?;
    Ok(read)
}

/// Connections in flight: enough to keep one thread busy, few enough for every backlog.
const AT_ONCE: usize = 32;

/// More than any gateway manages in a cell: a bound, not a target.
const MAX_CONNECTIONS: u64 = 2_000_000;

/// A few may fail on a machine short of ports; beyond that the rate means nothing.
const MAX_FAILED: u64 = 20;

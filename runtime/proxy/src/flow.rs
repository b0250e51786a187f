//! A connection from its acceptance to its end.
//!
//! ```text
//!   accepted ──► Greeting ──ClientHello──► Dialing ──connected──► Relaying ──► closed
//!                   │                         │
//!                   └── refused               └── refused: no endpoint
//! ```
//!
//! The bytes that the client sent are kept, and sent on unaltered, once an upstream is connected.

use std::{net::SocketAddr, os::fd::OwnedFd, rc::Rc};

use plan::balance::Tried;

use crate::{cluster::Cluster, half::Half, table::Listener, token::ATTEMPT_ROLES};

/// A connection.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) client: OwnedFd,
    pub(crate) source: SocketAddr,
    pub(crate) listener: Rc<Listener>,
    /// The tick of its acceptance.
    pub(crate) accepted: u32,
    /// Kept only for the access log.
    pub(crate) server_name: Option<Box<str>>,
    pub(crate) stage: Stage,
}

/// How far it has come.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The ClientHello is not whole yet.
    Greeting(Greeting),
    /// An upstream is being connected.
    Dialing(Box<Dialing>),
    /// Bytes go both ways.
    Relaying(Relaying),
}

/// What is kept while the ClientHello is awaited: nothing is allocated before its first byte.
#[derive(Debug, Default)]
pub(crate) struct Greeting {
    /// What has come of it.
    pub(crate) received: Vec<u8>,
    /// It is in the epoll set and counts among those who are waited for.
    pub(crate) awaited: bool,
}

/// What is kept while an upstream is being connected.
#[derive(Debug)]
pub(crate) struct Dialing {
    pub(crate) cluster: Rc<Cluster>,
    /// What the client has sent: its ClientHello, and what came with it.
    pub(crate) hello: Vec<u8>,
    pub(crate) server_name: Box<str>,
    pub(crate) tried: Tried,
    /// Attempts under way, the oldest first.
    pub(crate) attempts: heapless::Vec<Attempt, { ATTEMPT_ROLES as usize - 1 }>,
    /// The role of the next attempt.
    pub(crate) next_role: u8,
    /// The tick at which it is given up.
    pub(crate) deadline: u32,
    /// The client had an event meanwhile, which must be looked at later.
    pub(crate) client_ready: bool,
    /// The client will send no more.
    pub(crate) client_hung_up: bool,
    /// The last failure.
    pub(crate) failure: Option<(SocketAddr, std::io::Error)>,
}

/// One attempt to connect.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) socket: OwnedFd,
    pub(crate) target: SocketAddr,
    /// Tells its events from those of other attempts of the flow.
    pub(crate) role: u8,
}

/// What is kept while bytes go both ways.
#[derive(Debug)]
pub(crate) struct Relaying {
    pub(crate) upstream: OwnedFd,
    pub(crate) target: SocketAddr,
    /// The role under which the upstream is in the epoll set.
    pub(crate) role: u8,
    pub(crate) cluster: Rc<Cluster>,
    /// From the client to the upstream.
    pub(crate) out: Half,
    /// From the upstream to the client.
    pub(crate) back: Half,
    /// The tick at which something was last carried.
    pub(crate) active: u32,
}

/// A direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the upstream.
    Out,
    /// From the upstream to the client.
    Back,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory per idle connection is this and the slot's frame: a figure that the README quotes.
    #[test]
    fn an_idle_flow_fits_in_300_bytes() {
        assert!(size_of::<Flow>() + 16 <= 300, "{}", size_of::<Flow>());
    }
}

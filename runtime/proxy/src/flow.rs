//! A connection from its acceptance to its end.
//!
//! ```text
//!   accepted ──► Greeting ──► Opening ──► Dialing ──► Sealing ──► Relaying ──► closed
//!               ClientHello  TLS with    connecting  TLS with
//!                            the client              the upstream
//! ```
//!
//! Opening and Sealing are passed over where TLS is neither terminated nor originated: then the bytes that the client sent are
//! kept, and sent on unaltered, once an upstream is connected. Every stage but the last can end in a refusal.

use std::{os::fd::OwnedFd, rc::Rc};

use plan::{Address, balance::Tried};

use crate::tls::Session;

use crate::{
    chain::Chain, cluster::Cluster, event::Downstream, failover::Course, half::Half,
    table::Listener, token::ATTEMPT_ROLES,
};

/// A connection.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) client: OwnedFd,
    /// The client will send no more than what it has sent, and no further event will say so.
    pub(crate) hung_up: bool,
    pub(crate) source: Downstream,
    pub(crate) listener: Rc<Listener>,
    /// The tick of its acceptance.
    pub(crate) accepted: u32,
    /// Kept for the access log, and where TLS is terminated, to find the chain again.
    pub(crate) server_name: Option<Box<str>>,
    /// The chain that it came in through, once that is known, for chains that count or authorize.
    pub(crate) chain: Option<Rc<Chain>>,
    pub(crate) stage: Stage,
}

/// How far it has come.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The ClientHello is not whole yet.
    Greeting(Greeting),
    /// TLS with the client is being set up.
    Opening(Box<Opening>),
    /// An upstream is being connected.
    Dialing(Box<Dialing>),
    /// TLS with the upstream is being set up.
    Sealing(Box<Sealing>),
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
    /// How much of it counts among the bytes of all of them.
    pub(crate) counted: u32,
}

/// What is kept while TLS with the client is being set up.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) session: Session,
    /// What the client has not taken yet.
    pub(crate) unsent: Vec<u8>,
    /// The last read may have left something.
    pub(crate) unread: bool,
    pub(crate) cluster: Rc<Cluster>,
}

/// What is kept while an upstream is being connected.
#[derive(Debug)]
pub(crate) struct Dialing {
    pub(crate) cluster: Rc<Cluster>,
    pub(crate) course: Course,
    /// What the upstream is sent first: what the client has sent, or our own ClientHello. Empty where neither is there.
    pub(crate) hello: Vec<u8>,
    pub(crate) server_name: Box<str>,
    pub(crate) secured: Secured,
    pub(crate) tried: Tried,
    /// Attempts under way, the oldest first.
    pub(crate) attempts: heapless::Vec<Attempt, { ATTEMPT_ROLES as usize - 1 }>,
    /// The role of the next attempt.
    pub(crate) next_role: u8,
    /// The tick at which it is given up.
    pub(crate) deadline: u32,
    /// The client had an event meanwhile, which must be looked at later.
    pub(crate) client_ready: bool,
    /// The last failure.
    pub(crate) failure: Option<(Address, std::io::Error)>,
}

/// What TLS adds to a flow that is not relayed yet.
#[derive(Debug, Default)]
pub(crate) struct Secured {
    /// TLS with the client, once it is set up.
    pub(crate) client: Option<Box<Session>>,
    /// TLS with the upstream, begun.
    pub(crate) upstream: Option<Box<Session>>,
    /// Plaintext of the client that waits for the upstream's TLS.
    pub(crate) early: Vec<u8>,
    /// What the client has not taken yet of its TLS.
    pub(crate) unsent: Vec<u8>,
    /// Tickets for the client, for which it does not wait.
    pub(crate) tickets: Vec<u8>,
    /// The client may have sent more than was read.
    pub(crate) unread: bool,
}

/// What is kept while TLS with the upstream is being set up.
#[derive(Debug)]
pub(crate) struct Sealing {
    pub(crate) upstream: Attempt,
    pub(crate) cluster: Rc<Cluster>,
    pub(crate) course: Course,
    pub(crate) tried: Tried,
    /// The tick at which the cluster is given up.
    pub(crate) deadline: u32,
    pub(crate) server_name: Box<str>,
    pub(crate) secured: Secured,
    /// What the upstream has not taken yet.
    pub(crate) unsent: Vec<u8>,
    pub(crate) client_ready: bool,
    /// The upstream will send no more than what it has sent.
    pub(crate) hung_up: bool,
    /// The last read may have left something.
    pub(crate) unread: bool,
}

/// One attempt to connect.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) socket: OwnedFd,
    pub(crate) target: Address,
    /// Tells its events from those of other attempts of the flow.
    pub(crate) role: u8,
}

/// What is kept while bytes go both ways.
#[derive(Debug)]
pub(crate) struct Relaying {
    pub(crate) upstream: OwnedFd,
    pub(crate) target: Address,
    /// The role under which the upstream is in the epoll set.
    pub(crate) role: u8,
    pub(crate) cluster: Rc<Cluster>,
    /// TLS with the client, where it is terminated.
    pub(crate) client_tls: Option<Box<Session>>,
    /// TLS with the upstream, where it is originated.
    pub(crate) upstream_tls: Option<Box<Session>>,
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

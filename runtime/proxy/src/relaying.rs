//! Forwarded connections: events become turns of their two directions, until both have ended or one side breaks.
//!
//! Only the direction that an event can have set free is tried: data on a side moves what comes from it, room on a side
//! moves what was blocked towards it. A reset on one side becomes a reset on the other, an end becomes an end.

use std::{os::fd::AsFd, rc::Rc};

use crate::tls::{Error as TlsError, Outgoing, Session, Step};
use plan::Traffic;
use sys::{epoll::Event as Readiness, socket};

#[cfg(feature = "ktls")]
use crate::in_kernel::{self, is_plain};
use crate::{
    cluster::Cluster,
    engine::{Engine, TICK, ticks},
    event::{Cause, End, Event, add},
    flow::{Attempt, Direction, Relaying, Stage},
    half::{Broken, Half, Turn},
    half_tls::Ends,
    slab::Ticket,
};

impl Engine {
    pub(crate) fn on_client_relaying(&mut self, ticket: Ticket, event: Readiness) {
        self.on_side(ticket, event, Direction::Out, Direction::Back);
    }

    pub(crate) fn on_upstream_relaying(&mut self, ticket: Ticket, event: Readiness) {
        self.on_side(ticket, event, Direction::Back, Direction::Out);
    }

    /// An event on a side: `from` is the direction that starts there, `to` the one that ends there.
    fn on_side(&mut self, ticket: Ticket, event: Readiness, from: Direction, to: Direction) {
        if event.readable() {
            let Some(half) = self.half(ticket, from) else {
                return;
            };
            half.hung_up |= event.hung_up();
            // A direction that is blocked reads on by itself once there is room.
            if !half.blocked && !half.finished {
                self.pump(ticket, from);
            }
        }
        if event.writable() {
            let Some(half) = self.half(ticket, to) else {
                return;
            };
            if half.blocked {
                self.pump(ticket, to);
            }
        }
        // An error that no read or write has met by now: both directions are stuck or done, so nothing else would.
        if event.failed() && self.half(ticket, from).is_some() {
            self.end(ticket, broken(from));
        }
    }

    fn half(&mut self, ticket: Ticket, direction: Direction) -> Option<&mut Half> {
        match &mut self.flows.get_mut(ticket)?.stage {
            Stage::Relaying(relaying) => Some(relaying.half(direction)),
            _ => None,
        }
    }

    /// Starts to pass bytes on both ways.
    pub(crate) fn relay(&mut self, ticket: Ticket, start: Start) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        let Start {
            upstream,
            cluster,
            server_name,
            client_tls,
            upstream_tls,
            ..
        } = start;
        let Attempt {
            socket: upstream,
            target,
            role,
        } = upstream;
        let (mut out, mut back) = (Half::default(), Half::default());
        out.carried = start.carried;
        out.hung_up = flow.hung_up;
        back.hung_up = start.upstream_hung_up;
        if upstream_tls.is_some() {
            out.put_in_front(start.out, &mut self.reserve);
        } else {
            out.hold(start.out, &mut self.reserve);
        }
        back.put_in_front(start.tickets, &mut self.reserve);
        back.hold(start.back, &mut self.reserve);
        // Said along with the handshake: no read will tell it again.
        let said_all = |tls: &Option<Box<Session>>| {
            tls.as_ref()
                .is_some_and(|session| session.step() == Step::PeerClosed)
        };
        out.ended = said_all(&client_tls);
        back.ended = said_all(&upstream_tls);
        cluster.note_connected(&target);
        if self.options.access_log {
            self.observer.observe(&Event::Opened {
                client: flow.source,
                identity: client_tls
                    .as_ref()
                    .and_then(|session| session.peer())
                    .map(|id| &**id),
                server_name: &server_name,
                cluster: &cluster.name(),
                upstream: &target,
            });
            flow.server_name = Some(server_name);
        }
        let timed =
            cluster.spec().traffic == Traffic::Service && !self.options.idle_timeout.is_zero();
        flow.stage = Stage::Relaying(Relaying {
            upstream,
            target,
            role,
            cluster,
            client_tls,
            upstream_tls,
            out,
            back,
            active: self.now,
        });
        if timed {
            self.wheel.set(
                ticket.index,
                self.now.saturating_add(ticks(self.options.idle_timeout)),
            );
        } else {
            self.wheel.clear(ticket.index);
        }
        #[cfg(feature = "ktls")]
        if !self.hand_over(ticket) {
            return;
        }
        if start.client_ready || self.half(ticket, Direction::Out).is_some_and(Half::is_due) {
            self.pump(ticket, Direction::Out);
        }
        // The end of our handshake, if the client had nothing to go with it.
        if self.half(ticket, Direction::Out).is_some_and(Half::hurry) {
            self.pump(ticket, Direction::Out);
        }
        if start.upstream_unread || self.half(ticket, Direction::Back).is_some_and(Half::is_due) {
            self.pump(ticket, Direction::Back);
        }
    }

    /// Moves what can be moved in a direction.
    pub(crate) fn pump(&mut self, ticket: Ticket, direction: Direction) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        let Stage::Relaying(relaying) = &mut flow.stage else {
            return;
        };
        relaying.active = self.now;
        let Relaying {
            upstream,
            out,
            back,
            client_tls,
            upstream_tls,
            ..
        } = relaying;
        let (client, upstream) = (flow.client.as_fd(), upstream.as_fd());
        let (half, other, source, destination, decrypt, encrypt) = match direction {
            Direction::Out => (out, back, client, upstream, client_tls, upstream_tls),
            Direction::Back => (back, out, upstream, client, upstream_tls, client_tls),
        };
        let mut answered = false;
        let turn = if is_plain(decrypt) && is_plain(encrypt) {
            #[cfg(feature = "ktls")]
            {
                let (from, to) = ((source, decrypt), (destination, &*encrypt));
                in_kernel::pump(half, from, to, &mut self.reserve)
            }
            #[cfg(not(feature = "ktls"))]
            half.pump(source, destination, &mut self.reserve)
        } else {
            let mut reply = Outgoing::new();
            let ends = Ends {
                source: decrypt.as_deref_mut(),
                destination: encrypt.as_deref_mut(),
            };
            let turn = half.pump_tls(source, destination, ends, &mut self.reserve, &mut reply);
            // What TLS answers (to a key update) goes the other way, behind what waits there.
            answered = !reply.is_empty() && !other.finished;
            if answered {
                other.hold(reply.bytes().to_vec(), &mut self.reserve);
            }
            turn
        };
        match turn {
            Ok(Turn::Idle) => {}
            Ok(Turn::Again) => {
                if !half.queued {
                    half.queued = true;
                    self.ready.push_back((ticket, direction));
                }
            }
            Ok(Turn::Finished) => {
                half.finished = true;
                if other.finished {
                    return self.end(ticket, End::Finished);
                }
                socket::finish_sending(destination);
            }
            Err(Broken::Source) => return self.end(ticket, broken(direction)),
            Err(Broken::SourceTls(error)) => {
                if answered {
                    // The alert. If there is no room for it, it goes without.
                    let _ = other.give_held(source, &mut self.reserve);
                }
                if direction == Direction::Back {
                    self.tell_of_upstream(ticket, &error);
                }
                return self.end(ticket, broken(direction));
            }
            Err(Broken::Destination) => return self.end(ticket, broken(direction.reverse())),
        }
        if answered {
            self.pump(ticket, direction.reverse());
        }
    }

    /// Counts and tells what an upstream's TLS says: with TLS 1.3 it refuses our certificate only after the handshake is
    /// done for us (RFC 8446 section 4.4.2.4).
    fn tell_of_upstream(&mut self, ticket: Ticket, error: &TlsError) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        let Stage::Relaying(relaying) = &flow.stage else {
            return;
        };
        self.counters.refuse(Cause::UpstreamTls);
        self.observer.observe(&Event::Refused {
            cause: Cause::UpstreamTls,
            client: flow.source,
            listener: &flow.listener.name.borrow(),
            server_name: flow.server_name.as_deref(),
            detail: format_args!("{}: {error}", relaying.target),
        });
    }

    /// Another turn for a direction that had more to move than its share.
    pub(crate) fn take_queued_turn(&mut self, ticket: Ticket, direction: Direction) {
        let Some(half) = self.half(ticket, direction) else {
            return;
        };
        half.queued = false;
        if !half.blocked && !half.finished {
            self.pump(ticket, direction);
        }
    }

    /// The end of a forwarded connection.
    pub(crate) fn end(&mut self, ticket: Ticket, end: End) {
        let Some(mut flow) = self.flows.remove(ticket) else {
            return;
        };
        self.forget(ticket);
        // Two descriptors are about to be free, enough for a new connection.
        self.resume_accepting();
        let Stage::Relaying(relaying) = &mut flow.stage else {
            return;
        };
        relaying.out.release(&mut self.reserve);
        relaying.back.release(&mut self.reserve);
        if let Some(chain) = &flow.chain {
            chain.leave();
        }
        relaying.cluster.leave();
        relaying.cluster.note_closed(&relaying.target);
        add(&self.counters.sent, relaying.out.carried);
        add(&self.counters.received, relaying.back.carried);
        if end != End::Finished {
            socket::reset_when_closed(&flow.client);
            socket::reset_when_closed(&relaying.upstream);
        }
        if let End::Cut(cause) = end {
            self.counters.refuse(cause);
        }
        if self.options.access_log || matches!(end, End::Cut(_)) {
            self.observer.observe(&Event::Closed {
                client: flow.source,
                server_name: flow.server_name.as_deref(),
                cluster: &relaying.cluster.name(),
                upstream: &relaying.target,
                sent: relaying.out.carried,
                received: relaying.back.carried,
                lasted: TICK.saturating_mul(self.now.saturating_sub(flow.accepted)),
                end,
            });
        }
    }

    /// The end of a connection that was never forwarded.
    pub(crate) fn drop_flow(&mut self, ticket: Ticket) {
        let Some(flow) = self.flows.remove(ticket) else {
            return;
        };
        self.forget(ticket);
        if let Some(chain) = &flow.chain {
            chain.leave();
        }
        match &flow.stage {
            Stage::Greeting(greeting) if greeting.awaited => {
                self.stop_awaiting(flow.source, greeting.counted);
            }
            Stage::Greeting(_) | Stage::Opening(_) | Stage::Relaying(_) => {}
            Stage::Dialing(dialing) => dialing.cluster.abandon(),
            Stage::Sealing(sealing) => sealing.cluster.abandon(),
        }
    }

    /// What every end has in common.
    fn forget(&mut self, ticket: Ticket) {
        self.wheel.clear(ticket.index);
        self.counters
            .active
            .set(self.counters.active.get().saturating_sub(1));
    }
}

/// Whether bytes of this side need nothing done to them here.
#[cfg(not(feature = "ktls"))]
fn is_plain(session: &Option<Box<Session>>) -> bool {
    session.is_none()
}

/// What a flow brings along when its bytes begin to go both ways.
pub(crate) struct Start {
    pub(crate) upstream: Attempt,
    pub(crate) cluster: Rc<Cluster>,
    pub(crate) server_name: Box<str>,
    pub(crate) client_tls: Option<Box<Session>>,
    pub(crate) upstream_tls: Option<Box<Session>>,
    /// What the upstream has not taken yet; with TLS, to be sent together with what the client has sent.
    pub(crate) out: Vec<u8>,
    /// What can wait until there is something for the client.
    pub(crate) tickets: Vec<u8>,
    /// What the client has not taken yet.
    pub(crate) back: Vec<u8>,
    /// Bytes that the upstream has taken.
    pub(crate) carried: u64,
    /// The client had an event meanwhile.
    pub(crate) client_ready: bool,
    pub(crate) upstream_hung_up: bool,
    /// The upstream may have sent more than was read.
    pub(crate) upstream_unread: bool,
}

impl Relaying {
    fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Out => &mut self.out,
            Direction::Back => &mut self.back,
        }
    }
}

impl Direction {
    fn reverse(self) -> Self {
        match self {
            Self::Out => Self::Back,
            Self::Back => Self::Out,
        }
    }
}

/// The end of a flow whose side broke at the start of a direction.
fn broken(from: Direction) -> End {
    match from {
        Direction::Out => End::ClientReset,
        Direction::Back => End::UpstreamReset,
    }
}

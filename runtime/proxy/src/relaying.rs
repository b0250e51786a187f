//! Forwarded connections: events become turns of their two directions, until both have ended or one side breaks.
//!
//! Only the direction that an event can have set free is tried: data on a side moves what comes from it, room on a side
//! moves what was blocked towards it. A reset on one side becomes a reset on the other, an end becomes an end.

use std::os::fd::AsFd;

use sys::{epoll::Event as Readiness, socket};

use crate::{
    engine::{Engine, TICK},
    event::{End, Event, add},
    flow::{Direction, Relaying, Stage},
    half::{Broken, Half, Turn},
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
            Stage::Greeting(_) | Stage::Dialing(_) => None,
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
            ..
        } = relaying;
        let (client, upstream) = (flow.client.as_fd(), upstream.as_fd());
        let (half, other, source, destination) = match direction {
            Direction::Out => (out, back, client, upstream),
            Direction::Back => (back, out, upstream, client),
        };
        match half.pump(source, destination, &mut self.reserve) {
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
                    self.end(ticket, End::Finished);
                } else {
                    socket::finish_sending(destination);
                }
            }
            Err(Broken::Source) => self.end(ticket, broken(direction)),
            Err(Broken::Destination) => self.end(ticket, broken(direction.reverse())),
        }
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
        relaying.cluster.leave();
        relaying.cluster.note_closed(relaying.target);
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
                cluster: &relaying.cluster.name,
                upstream: relaying.target,
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
        match &flow.stage {
            Stage::Greeting(greeting) if greeting.awaited => self.stop_awaiting(flow.source),
            Stage::Greeting(_) | Stage::Relaying(_) => {}
            Stage::Dialing(dialing) => dialing.cluster.leave(),
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

//! From an accepted connection to a server name that leads somewhere, or to a refusal.
//!
//! The ClientHello is tried for at once after accepting, since most clients send it with the handshake's last packet; only
//! a client that has not is given a place among those who are waited for. They are bounded by source, and all together
//! to half of the table and in what they have sent, where the oldest makes room.

use std::{fmt, os::fd::OwnedFd, rc::Rc};

use plan::Inspect;
use sys::{
    epoll::{Event as Readiness, Interest},
    socket::{self, Moved},
};
use wire::client_hello::{self, MAX_FLIGHT_BYTES, Progress, Refusal, ServerName};

use crate::{
    chain::Chain,
    cluster::Cluster,
    engine::{Engine, chance, ticks},
    event::{Cause, Downstream, Event, add},
    flow::{Flow, Greeting, Secured, Stage},
    slab::Ticket,
    table::{Listener, Verdict},
    token::Token,
};

/// Connections accepted in one go; then other events have their turn.
const BATCH: usize = 32;

/// What may have come of all ClientHellos that are not whole: as much as other bytes that wait. Most are whole when they come, so
/// that it is hundreds of clients on links that lose packets, or a few that mean no good.
const MAX_UNFINISHED_BYTES: usize = 1024 * 1024;

/// A fatal TLS alert (RFC 8446 section 6), so that a refused client can say more than "connection closed".
const fn alert(description: u8) -> [u8; 7] {
    [21, 3, 1, 0, 2, 2, description]
}
const UNRECOGNIZED_NAME: [u8; 7] = alert(112);
const MISSING_EXTENSION: [u8; 7] = alert(109);
const DECODE_ERROR: [u8; 7] = alert(50);
const INTERNAL_ERROR: [u8; 7] = alert(80);

impl Engine {
    /// Takes connections from a listener's queue.
    pub(crate) fn accept(&mut self, place: u32) {
        for _ in 0..BATCH {
            let Some((listener, socket)) = self.table.listening(place) else {
                return;
            };
            let listener = Rc::clone(listener);
            match socket::accept(socket) {
                Ok(Some((client, source))) => {
                    add(&self.counters.accepted, 1);
                    let source = source.map_or(Downstream::Local, Downstream::Inet);
                    self.admit(client, source, listener);
                }
                Ok(None) => return,
                Err(error) => return self.pause_accepting(&error),
            }
        }
    }

    fn admit(&mut self, client: OwnedFd, source: Downstream, listener: Rc<Listener>) {
        let inspect = listener.inspect.get();
        let flow = Flow {
            client,
            hung_up: false,
            source,
            listener,
            accepted: self.now,
            server_name: None,
            chain: None,
            stage: Stage::Greeting(Greeting::default()),
        };
        let ticket = match self.flows.insert(flow) {
            Ok(ticket) => ticket,
            Err(flow) => {
                self.counters.refuse(Cause::ConnectionLimit);
                self.observer.observe(&Event::Refused {
                    cause: Cause::ConnectionLimit,
                    client: flow.source,
                    listener: &flow.listener.name.borrow(),
                    server_name: None,
                    detail: format_args!("limits.connections is {}", self.options.connections),
                });
                socket::reset_when_closed(&flow.client);
                return;
            }
        };
        add(&self.counters.active, 1);
        match inspect {
            Inspect::ClientHello => self.greet(ticket),
            Inspect::Nothing => self.classify(ticket, None, Vec::new()),
        }
    }

    /// Reads what a client has sent of its ClientHello.
    pub(crate) fn greet(&mut self, ticket: Ticket) {
        loop {
            let Some(flow) = self.flows.get_mut(ticket) else {
                return;
            };
            let Stage::Greeting(Greeting {
                received, awaited, ..
            }) = &mut flow.stage
            else {
                return;
            };
            // What one read can bring is bounded, so that what is kept is: a flight and one read more.
            let room = self
                .reserve
                .scratch
                .get_mut(..MAX_FLIGHT_BYTES)
                .unwrap_or_default();
            let count = match socket::receive(&flow.client, room) {
                Ok(Moved::Bytes(count)) => count,
                Ok(Moved::WouldBlock) if *awaited => return self.count_unfinished(ticket),
                Ok(Moved::WouldBlock) => return self.await_hello(ticket),
                // Closed without a word: a health check, as a rule, and no refusal.
                Ok(Moved::End) | Err(_) if received.is_empty() => return self.drop_flow(ticket),
                Ok(Moved::End) | Err(_) => {
                    let detail = format_args!("closed in the middle of its ClientHello");
                    return self.refuse(ticket, Cause::ClientGone, detail);
                }
            };
            let fresh = self.reserve.scratch.get(..count).unwrap_or_default();
            received.extend_from_slice(fresh);
            match client_hello::parse(received) {
                Ok(Progress::Complete(hello)) => {
                    let bytes = std::mem::take(received);
                    return self.classify(ticket, hello.server_name.as_ref(), bytes);
                }
                Ok(Progress::NeedMore) => {}
                Err(refusal) => return self.refuse_hello(ticket, refusal),
            }
        }
    }

    fn await_hello(&mut self, ticket: Ticket) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        let waiting = self.sources.entry(flow.source.ip()).or_insert(0);
        if *waiting >= self.options.handshakes_per_source {
            let most = self.options.handshakes_per_source;
            let detail = format_args!("limits.handshakes_per_source is {most}");
            return self.refuse(ticket, Cause::HandshakeLimit, detail);
        }
        *waiting += 1;
        add(&self.counters.handshaking, 1);
        if let Stage::Greeting(greeting) = &mut flow.stage {
            greeting.awaited = true;
        }
        if self
            .epoll
            .add(&flow.client, Token::Client(ticket).pack(), Interest::Stream)
            .is_err()
        {
            return self.drop_flow(ticket);
        }
        self.wheel.set(
            ticket.index,
            self.now
                .saturating_add(ticks(self.options.client_hello_timeout)),
        );
        self.greeters.push_back(ticket);
        if self.counters.handshaking.get() > self.options.connections.div_ceil(2) as u64 {
            self.close_oldest_greeter();
        }
        self.count_unfinished(ticket);
        if self.greeters.len() > 2 * self.options.connections {
            let flows = &mut self.flows;
            self.greeters
                .retain(|ticket| is_greeting(flows.get_mut(*ticket)));
        }
    }

    /// Notes what has come of a ClientHello that is awaited, and makes room where that is too much in all.
    fn count_unfinished(&mut self, ticket: Ticket) {
        if let Some(Stage::Greeting(greeting)) =
            self.flows.get_mut(ticket).map(|flow| &mut flow.stage)
        {
            let received = u32::try_from(greeting.received.len()).unwrap_or(u32::MAX);
            let before = std::mem::replace(&mut greeting.counted, received);
            self.unfinished += received.saturating_sub(before) as usize;
        }
        while self.unfinished > MAX_UNFINISHED_BYTES && self.close_oldest_greeter() {}
    }

    /// False when there is none.
    fn close_oldest_greeter(&mut self) -> bool {
        while let Some(oldest) = self.greeters.pop_front() {
            if is_greeting(self.flows.get_mut(oldest)) {
                self.cut(oldest, Cause::HandshakeLimit);
                return true;
            }
        }
        false
    }

    /// A flow whose ClientHello was awaited has sent it, or is gone.
    pub(crate) fn stop_awaiting(&mut self, source: Downstream, counted: u32) {
        self.unfinished = self.unfinished.saturating_sub(counted as usize);
        self.counters
            .handshaking
            .set(self.counters.handshaking.get().saturating_sub(1));
        if let Some(waiting) = self.sources.get_mut(&source.ip()) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                self.sources.remove(&source.ip());
            }
        }
    }

    fn refuse_hello(&mut self, ticket: Ticket, refusal: Refusal) {
        let cause = match refusal {
            Refusal::NotTls => Cause::NotTls,
            Refusal::TooLong => Cause::ClientHelloTooLong,
            Refusal::OddServerName => Cause::OddServerName,
            _ => Cause::MalformedClientHello,
        };
        self.refuse(ticket, cause, format_args!("{refusal}"));
    }

    fn classify(&mut self, ticket: Ticket, name: Option<&ServerName>, hello: Vec<u8>) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        let name = name.map(ServerName::as_str);
        let seed = &mut self.seed;
        let verdict = (self.table).route(&flow.listener, name, |below| chance(seed, below));
        if let (Some(name), Verdict::Unknown(_) | Verdict::Refused(_)) = (name, &verdict) {
            flow.server_name = Some(name.into());
        }
        let shown = name.unwrap_or_default();
        match verdict {
            Verdict::To(chain, cluster) => self.enter(ticket, chain, cluster, shown, hello),
            Verdict::Refused(reason) => {
                self.refuse(ticket, Cause::ChainRefuses, format_args!("{reason}"))
            }
            Verdict::Unknown(_) | Verdict::Nameless if name.is_none() => {
                let detail = format_args!(
                    "the client sent no server name, so it is not a proxy of the mesh"
                );
                self.refuse(ticket, Cause::NoServerName, detail);
            }
            Verdict::Unknown(Some(cluster)) if cluster != shown => {
                let detail = format_args!("its rule leads to {cluster}, which does not exist");
                self.refuse(ticket, Cause::UnknownServerName, detail);
            }
            Verdict::Unknown(_) | Verdict::Nameless => {
                let detail = format_args!(
                    "no service, datacenter, server or peer here has this name; try lictor explain --sni"
                );
                self.refuse(ticket, Cause::UnknownServerName, detail);
            }
        }
    }

    /// A connection has a chain and a cluster: on to TLS with the client, or straight to an endpoint.
    fn enter(
        &mut self,
        ticket: Ticket,
        chain: Rc<Chain>,
        cluster: Rc<Cluster>,
        name: &str,
        first: Vec<u8>,
    ) {
        if chain.tls.is_some() || chain.spec.max_connections.is_some() {
            let Some(flow) = self.flows.get_mut(ticket) else {
                return;
            };
            if !chain.enter() {
                let most = chain.spec.max_connections.unwrap_or_default();
                return self.refuse(
                    ticket,
                    Cause::InboundLimit,
                    format_args!("max_inbound_connections is {most}"),
                );
            }
            flow.chain = Some(Rc::clone(&chain));
        }
        if chain.tls.is_some() {
            self.open(ticket, &chain, cluster, name, first);
        } else {
            self.dial(ticket, cluster, name, first, Secured::default());
        }
    }

    /// An event on the client's side of a flow.
    pub(crate) fn on_client(&mut self, ticket: Ticket, event: Readiness) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        flow.hung_up |= event.hung_up();
        match &mut flow.stage {
            Stage::Greeting(_) => self.greet(ticket),
            Stage::Dialing(dialing) => {
                dialing.client_ready |= event.readable();
                if event.failed() {
                    self.refuse(
                        ticket,
                        Cause::ClientGone,
                        format_args!("reset while an endpoint was connected"),
                    );
                }
            }
            Stage::Opening(_) => self.on_client_opening(ticket, event),
            Stage::Sealing(sealing) => {
                sealing.client_ready |= event.readable();
                if event.failed() {
                    let detail = format_args!("reset while TLS with an endpoint was set up");
                    self.refuse(ticket, Cause::ClientGone, detail);
                }
            }
            Stage::Relaying(_) => self.on_client_relaying(ticket, event),
        }
    }

    /// Refuses a flow that is not forwarded yet: counts, tells, closes.
    pub(crate) fn refuse(&mut self, ticket: Ticket, cause: Cause, detail: fmt::Arguments<'_>) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        self.counters.refuse(cause);
        let server_name = match &flow.stage {
            Stage::Dialing(dialing) => Some(&*dialing.server_name),
            Stage::Sealing(sealing) => Some(&*sealing.server_name),
            _ => flow.server_name.as_deref(),
        };
        self.observer.observe(&Event::Refused {
            cause,
            client: flow.source,
            listener: &flow.listener.name.borrow(),
            server_name,
            detail,
        });
        // Of us, a client knows TLS only where we read its ClientHello, and only until we have answered it ourselves.
        let terminated = flow.chain.as_ref().is_some_and(|chain| chain.tls.is_some());
        if flow.listener.inspect.get() == Inspect::ClientHello
            && !terminated
            && let Some(alert) = alert_for(cause)
        {
            // The client is owed nothing: if there is no room for the alert, it goes without.
            let _ = socket::send(&flow.client, alert);
        }
        if matches!(
            cause,
            Cause::HandshakeLimit | Cause::ClientHelloTooLong | Cause::ClientHelloTimeout
        ) {
            socket::reset_when_closed(&flow.client);
        }
        self.drop_flow(ticket);
    }
}

/// What a client that has sent a ClientHello is told.
fn alert_for(cause: Cause) -> Option<&'static [u8]> {
    Some(match cause {
        Cause::UnknownServerName | Cause::OddServerName | Cause::ChainRefuses => &UNRECOGNIZED_NAME,
        Cause::NoServerName => &MISSING_EXTENSION,
        Cause::MalformedClientHello => &DECODE_ERROR,
        Cause::NoEndpoints
        | Cause::NameResolution
        | Cause::ConnectFailed
        | Cause::ConnectTimeout
        | Cause::ClusterLimit
        | Cause::PendingLimit => &INTERNAL_ERROR,
        _ => return None,
    })
}

fn is_greeting(flow: Option<&mut Flow>) -> bool {
    flow.is_some_and(|flow| matches!(flow.stage, Stage::Greeting(_)))
}

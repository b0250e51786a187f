//! Connecting a flow to an endpoint of its cluster.
//!
//! Endpoints are tried in the balancer's order. A failure moves on at once; silence moves on after a while, with the
//! silent attempt kept going beside the new one, and the first to answer wins (the idea of RFC 8305, for endpoints as
//! well as for the addresses of one name). All of it happens within the cluster's connect timeout.
//!
//! The ClientHello is sent as soon as the kernel takes it. That send is also how an attempt is found to have succeeded
//! or failed, so a connect to this machine or to a near one often costs no event at all.

use std::{fmt, io, os::fd::OwnedFd, path::Path, rc::Rc, time::Duration};

use crate::tls::Outgoing;
use plan::{Address, Inspect, balance::Tried};
use sys::{
    epoll::{Event as Readiness, Interest},
    socket::{self, Moved, TcpOptions},
    unix,
};

use crate::{
    cluster::{Cluster, Full, NoTarget},
    engine::{Engine, chance, ticks},
    event::{Cause, add},
    failover::Course,
    flow::{Attempt, Dialing, Greeting, Sealing, Secured, Stage},
    relaying::Start,
    slab::Ticket,
    token::{ATTEMPT_ROLES, Token},
};

/// How long an attempt may be silent before the next is made beside it, when the other address family could be the
/// cure (RFC 8305 section 8, Connection Attempt Delay).
const FAMILY_PATIENCE: Duration = Duration::from_millis(250);

/// The same among endpoints, at most: a lost SYN is sent again after one second, and waiting for that would gain nothing.
const MAX_PATIENCE: Duration = Duration::from_secs(1);

/// How many silent endpoints the connect timeout should suffice for.
const PATIENT_TRIES: u32 = 8;

impl Engine {
    /// Starts to connect a flow that has a cluster to go to. `first` is what the client has sent: bytes to be passed on, or
    /// plaintext where TLS with it is set up.
    pub(crate) fn dial(
        &mut self,
        ticket: Ticket,
        cluster: Rc<Cluster>,
        server_name: &str,
        first: Vec<u8>,
        secured: Secured,
    ) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        // One read stops at a ClientHello's longest; what else had come is no new event.
        let client_ready =
            secured.unread || matches!(&flow.stage, Stage::Greeting(greeting) if greeting.awaited);
        if secured.client.is_none() && !self.watch_client(ticket) {
            return;
        }
        let (course, cluster) = self.choose(cluster);
        let way = Way {
            cluster,
            course,
            tried: Tried::default(),
            deadline: None,
            server_name: server_name.into(),
            first,
            secured,
            client_ready,
        };
        self.dial_by(ticket, way);
    }

    /// Starts to connect a flow to this cluster.
    pub(crate) fn dial_by(&mut self, ticket: Ticket, way: Way) {
        let Way {
            cluster,
            course,
            tried,
            deadline,
            server_name,
            first,
            mut secured,
            client_ready,
        } = way;
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        if let Err(full) = cluster.enter() {
            flow.server_name = Some(server_name);
            let (cause, most, what) = match full {
                Full::Connections(most) => (Cause::ClusterLimit, most, "connections"),
                Full::Pending(most) => (Cause::PendingLimit, most, "connections being made"),
            };
            let name = cluster.name();
            let detail = format_args!("cluster {name} may have {most} {what}");
            return self.refuse(ticket, cause, detail);
        }
        let mut hello = first;
        if let Some(context) = cluster.client_context() {
            let mut wire = Outgoing::new();
            let begun = context.connect().and_then(|mut session| {
                session.receive(&mut [], &mut wire, &mut |_| {})?;
                Ok(session)
            });
            match begun {
                Ok(session) => secured.upstream = Some(Box::new(session)),
                Err(error) => {
                    cluster.abandon();
                    return self.refuse(ticket, Cause::UpstreamTls, format_args!("{error}"));
                }
            }
            secured.early = std::mem::replace(&mut hello, wire.bytes().to_vec());
        }
        let connect_timeout = ticks(cluster.spec().connect_timeout);
        let whole = self.now.saturating_add(connect_timeout);
        flow.stage = Stage::Dialing(Box::new(Dialing {
            cluster,
            course,
            hello,
            server_name,
            secured,
            tried,
            attempts: heapless::Vec::new(),
            next_role: 0,
            deadline: deadline.unwrap_or(whole),
            client_ready,
            failure: None,
        }));
        self.dial_on(ticket);
    }

    /// Sees to it that the client's events come, and that its ClientHello is awaited no more; false when the flow is gone.
    pub(crate) fn watch_client(&mut self, ticket: Ticket) -> bool {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return false;
        };
        let source = flow.source;
        if let Stage::Greeting(greeting) = &mut flow.stage
            && std::mem::take(&mut greeting.awaited)
        {
            let counted = std::mem::take(&mut greeting.counted);
            self.stop_awaiting(source, counted);
            return true;
        }
        let token = Token::Client(ticket).pack();
        let watched = self
            .epoll
            .add(&flow.client, token, Interest::Stream)
            .is_ok();
        if !watched {
            self.drop_flow(ticket);
        }
        watched
    }

    /// Makes the next attempt, or gives up.
    pub(crate) fn dial_on(&mut self, ticket: Ticket) {
        loop {
            let now = self.now;
            let Some(flow) = self.flows.get_mut(ticket) else {
                return;
            };
            let source = flow.source.ip();
            let Stage::Dialing(dialing) = &mut flow.stage else {
                return;
            };
            if now >= dialing.deadline {
                return self.give_up(ticket, Cause::ConnectTimeout);
            }
            let seed = &mut self.seed;
            let picked = dialing.cluster.pick(
                &mut dialing.tried,
                source,
                |below| chance(seed, below),
                &self.table.names,
            );
            match picked {
                Ok(target) => {
                    if self.attempt(ticket, target) {
                        return;
                    }
                }
                Err(NoTarget::AllTried) if dialing.attempts.is_empty() => {
                    return self.give_up(ticket, Cause::ConnectFailed);
                }
                Err(NoTarget::AllTried) => return self.wheel.set(ticket.index, dialing.deadline),
                Err(NoTarget::Resolving) => {
                    dialing.cluster.waiting().borrow_mut().push(ticket);
                    return self.wheel.set(ticket.index, dialing.deadline);
                }
                Err(NoTarget::NoEndpoints) => {
                    let cluster = Rc::clone(&dialing.cluster);
                    let name = cluster.name();
                    let detail = format_args!("cluster {name} has no endpoints");
                    return self.fail(ticket, Cause::NoEndpoints, detail);
                }
                Err(NoTarget::Unresolved(reason)) => {
                    return self.fail(ticket, Cause::NameResolution, format_args!("{reason}"));
                }
            }
        }
    }

    /// Goes on to the next cluster, or refuses.
    fn fail(&mut self, ticket: Ticket, cause: Cause, detail: fmt::Arguments<'_>) {
        if !self.fail_over(ticket) {
            self.refuse(ticket, cause, detail);
        }
    }

    /// Starts an attempt; false when it failed at once.
    fn attempt(&mut self, ticket: Ticket, target: Address) -> bool {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return true;
        };
        let Stage::Dialing(dialing) = &mut flow.stage else {
            return true;
        };
        let options = tcp_options(&self.options.tcp, &dialing.cluster);
        // A ClientHello, ours or the client's, is answered before anything else is sent.
        let greets = dialing.secured.upstream.is_some()
            || (dialing.secured.client.is_none()
                && flow.listener.inspect.get() == Inspect::ClientHello);
        let started = connect(&target, &options, greets).and_then(|socket| {
            let Some(socket) = socket else {
                return Ok(None);
            };
            // Without a byte to send, only an event tells that it is connected.
            let sent = match dialing.hello.as_slice() {
                [] => Moved::WouldBlock,
                hello => socket::send(&socket, hello)?,
            };
            Ok(Some((sent, socket)))
        });
        let (sent, socket) = match started {
            Ok(Some(started)) => started,
            Ok(None) => {
                // No event tells of room in a unix socket's queue: it is tried again until the time is up.
                dialing.tried = Tried::default();
                let next = self.now.saturating_add(1).min(dialing.deadline);
                self.wheel.set(ticket.index, next);
                return true;
            }
            Err(error) => {
                add(&self.counters.connect_failures, 1);
                let cluster = Rc::clone(&dialing.cluster);
                if is_exhaustion(&error) {
                    self.pause_accepting(&error);
                } else {
                    self.note_failure(&cluster, &target);
                }
                if let Some(Stage::Dialing(dialing)) =
                    self.flows.get_mut(ticket).map(|flow| &mut flow.stage)
                {
                    dialing.failure = Some((target, error));
                }
                return false;
            }
        };
        if dialing.attempts.is_full() {
            // The oldest has been silent through the patience for all the others.
            let silent = dialing.attempts.remove(0).target;
            let cluster = Rc::clone(&dialing.cluster);
            self.note_failure(&cluster, &silent);
        }
        let Some(Stage::Dialing(dialing)) = self.flows.get_mut(ticket).map(|flow| &mut flow.stage)
        else {
            return true;
        };
        let role = dialing.next_role;
        dialing.next_role = (role + 1) % ATTEMPT_ROLES;
        if self
            .epoll
            .add(
                &socket,
                Token::Upstream(ticket, role).pack(),
                Interest::Stream,
            )
            .is_err()
        {
            return false;
        }
        if let Moved::Bytes(sent) = sent {
            self.establish(
                ticket,
                Attempt {
                    socket,
                    target,
                    role,
                },
                sent,
            );
            return true;
        }
        let patience = patience(&dialing.cluster);
        let next = self
            .now
            .saturating_add(ticks(patience))
            .min(dialing.deadline);
        // There is room: one was removed above if there was none.
        let _ = dialing.attempts.push(Attempt {
            socket,
            target,
            role,
        });
        self.wheel.set(ticket.index, next);
        true
    }

    /// An event on an attempt, or on the upstream that it became.
    pub(crate) fn on_upstream(&mut self, ticket: Ticket, role: u8, event: Readiness) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        let dialing = match &mut flow.stage {
            Stage::Greeting(_) | Stage::Opening(_) => return,
            Stage::Dialing(dialing) => dialing,
            Stage::Sealing(_) => return self.on_upstream_sealing(ticket, role, event),
            Stage::Relaying(relaying) if relaying.role == role => {
                return self.on_upstream_relaying(ticket, event);
            }
            // An attempt that lost.
            Stage::Relaying(_) => return,
        };
        let Some(at) = dialing
            .attempts
            .iter()
            .position(|attempt| attempt.role == role)
        else {
            return;
        };
        let Some(attempt) = dialing.attempts.get(at) else {
            return;
        };
        let sent = match dialing.hello.as_slice() {
            [] => match socket::connected(&attempt.socket) {
                Ok(()) => Ok(Moved::Bytes(0)),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(Moved::WouldBlock),
                Err(error) => Err(error),
            },
            hello => socket::send(&attempt.socket, hello),
        };
        match sent {
            Ok(Moved::Bytes(sent)) => {
                let attempt = dialing.attempts.remove(at);
                // Those before it had more time and have not answered.
                let cluster = Rc::clone(&dialing.cluster);
                let outpaced = dialing.attempts.iter().take(at);
                let outpaced: heapless::Vec<Address, { ATTEMPT_ROLES as usize - 1 }> =
                    outpaced.map(|silent| silent.target.clone()).collect();
                for silent in &outpaced {
                    self.note_failure(&cluster, silent);
                }
                self.establish(ticket, attempt, sent);
                if event.readable() {
                    self.on_upstream(ticket, role, event);
                }
            }
            Ok(Moved::WouldBlock | Moved::End) => {}
            Err(error) => {
                let failed = dialing.attempts.remove(at).target;
                dialing.failure = Some((failed.clone(), error));
                add(&self.counters.connect_failures, 1);
                let cluster = Rc::clone(&dialing.cluster);
                self.note_failure(&cluster, &failed);
                self.dial_on(ticket);
            }
        }
    }

    /// An upstream is connected and took the first `sent` bytes: from here on bytes go both ways, or TLS is set up.
    fn establish(&mut self, ticket: Ticket, upstream: Attempt, sent: usize) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        if !matches!(flow.stage, Stage::Dialing(_)) {
            return;
        }
        let stage = std::mem::replace(&mut flow.stage, Stage::Greeting(Greeting::default()));
        let Stage::Dialing(dialing) = stage else {
            return;
        };
        let Dialing {
            cluster,
            course,
            hello,
            server_name,
            secured,
            tried,
            deadline,
            client_ready,
            ..
        } = *dialing;
        let rest = hello.get(sent..).unwrap_or_default().to_vec();
        if secured.upstream.is_some() {
            let sealing = Sealing {
                upstream,
                cluster,
                course,
                tried,
                deadline,
                server_name,
                secured,
                unsent: rest,
                client_ready,
                hung_up: false,
                unread: false,
            };
            flow.stage = Stage::Sealing(Box::new(sealing));
            return self.wheel.set(ticket.index, deadline);
        }
        let start = Start {
            upstream,
            cluster,
            server_name,
            client_tls: secured.client,
            upstream_tls: None,
            out: rest,
            tickets: secured.tickets,
            back: secured.unsent,
            carried: sent as u64,
            client_ready,
            upstream_hung_up: false,
            upstream_unread: false,
        };
        self.relay(ticket, start);
    }

    fn give_up(&mut self, ticket: Ticket, cause: Cause) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        let Stage::Dialing(dialing) = &mut flow.stage else {
            return;
        };
        let cluster = Rc::clone(&dialing.cluster);
        let silent: heapless::Vec<Address, { ATTEMPT_ROLES as usize - 1 }> =
            (dialing.attempts.iter().map(|it| it.target.clone())).collect();
        for target in &silent {
            self.note_failure(&cluster, target);
        }
        if self.fail_over(ticket) {
            return;
        }
        let Some(Stage::Dialing(dialing)) = self.flows.get_mut(ticket).map(|flow| &mut flow.stage)
        else {
            return;
        };
        let failure = dialing.failure.take();
        let silent: Vec<String> = silent.iter().map(ToString::to_string).collect();
        let name = cluster.name();
        match (failure, silent.as_slice()) {
            (Some((target, error)), []) => {
                self.refuse(
                    ticket,
                    cause,
                    format_args!("cluster {name}: {target}: {error}"),
                );
            }
            (None, []) => self.refuse(
                ticket,
                cause,
                format_args!("cluster {name}: no endpoint answered"),
            ),
            (_, silent) => {
                let silent = silent.join(", ");
                self.refuse(
                    ticket,
                    cause,
                    format_args!("cluster {name}: no answer from {silent}"),
                );
            }
        }
    }
}

/// Starts to connect; `None` while the queue of a unix socket is full.
fn connect(target: &Address, options: &TcpOptions, greets: bool) -> io::Result<Option<OwnedFd>> {
    match target {
        Address::Inet(address) if greets => socket::connect_to_send(*address, options).map(Some),
        Address::Inet(address) => socket::connect(*address, options).map(Some),
        Address::Unix(path) => unix::connect(Path::new(&**path)),
    }
}

/// A connection on its way to a cluster.
pub(crate) struct Way {
    pub(crate) cluster: Rc<Cluster>,
    pub(crate) course: Course,
    pub(crate) tried: Tried,
    /// The tick at which the cluster is given up; `None` for its connect timeout from now.
    pub(crate) deadline: Option<u32>,
    pub(crate) server_name: Box<str>,
    /// What the client has sent.
    pub(crate) first: Vec<u8>,
    pub(crate) secured: Secured,
    pub(crate) client_ready: bool,
}

/// How long an attempt may be silent before the next is made.
fn patience(cluster: &Cluster) -> Duration {
    if cluster.has_both_families() {
        return FAMILY_PATIENCE;
    }
    (cluster.spec().connect_timeout / PATIENT_TRIES).clamp(FAMILY_PATIENCE, MAX_PATIENCE)
}

fn tcp_options(default: &TcpOptions, cluster: &Cluster) -> TcpOptions {
    cluster
        .spec()
        .keepalive
        .as_ref()
        .map_or(*default, |keepalive| TcpOptions {
            keepalive_time: Some(keepalive.time),
            keepalive_interval: keepalive.interval,
            keepalive_probes: keepalive.probes,
            ..*default
        })
}

/// Whether it was us who had nothing left, not the endpoint that failed.
fn is_exhaustion(error: &io::Error) -> bool {
    sys::limits::is_exhaustion(error)
}

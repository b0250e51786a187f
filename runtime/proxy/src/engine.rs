//! The heart of the data plane: one epoll set, one connection table, one turn at a time.
//!
//! A turn takes the events that are there, moves each flow as far as it goes without waiting, then gives flows that
//! used up their share another turn, then handles deadlines. Nothing in here waits, and nothing is retried before an
//! event or a deadline calls for it. What accepts, dials and relays stands in files of its own: [`crate::accept`],
//! [`crate::dialing`], [`crate::relaying`].

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::IpAddr,
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, Instant},
};

use plan::Plan;
use sys::{
    epoll::{Epoll, Events, Interest},
    timer::Timer,
};

use crate::tls::{Clock, Options as TlsOptions};
use crate::{
    cluster::{Resolution, hosts},
    event::{Cause, Counters, Event, Observer, add},
    flow::{Direction, Flow, Stage},
    options::Options,
    proxy::Unfit,
    reserve::Reserve,
    sealing::Blame,
    secure,
    slab::{Slab, Ticket},
    table::{Changes, Table},
    token::{MAX_SLOTS, Token},
    wheel::Wheel,
};

/// The unit of deadlines. Coarse enough that setting one costs nothing, fine enough for RFC 8305's 250 ms.
pub(crate) const TICK: Duration = Duration::from_millis(32);

/// Events taken from the kernel at a time.
const EVENTS: usize = 256;

/// How long accepting stays paused when no connection ends meanwhile, and how long it must then go well to count as
/// resumed.
const ACCEPT_RETRY: Duration = Duration::from_millis(250);

/// The data plane without its driver.
pub(crate) struct Engine {
    pub(crate) epoll: Rc<Epoll>,
    events: Events,
    timer: Timer,
    /// The tick for which the timer is set.
    armed: Option<u32>,
    pub(crate) wheel: Wheel,
    due: Vec<u32>,
    pub(crate) flows: Slab<Flow>,
    pub(crate) table: Table,
    pub(crate) reserve: Reserve,
    /// Flows that have more to move than their share of a turn.
    pub(crate) ready: VecDeque<(Ticket, Direction)>,
    pub(crate) counters: Rc<Counters>,
    pub(crate) observer: Rc<dyn Observer>,
    pub(crate) options: Options,
    /// What every TLS context here has in common.
    secure: TlsOptions,
    /// Whose certificates are in use here, and the last second of each.
    pub(crate) leaves: Vec<(String, u64)>,
    start: Instant,
    /// The tick of this turn.
    pub(crate) now: u32,
    pub(crate) seed: u64,
    /// Flows whose ClientHello is awaited, the oldest first; some have moved on since.
    pub(crate) greeters: VecDeque<Ticket>,
    /// Bytes that have come of their ClientHellos.
    pub(crate) unfinished: usize,
    /// How many of them each source has.
    pub(crate) sources: HashMap<IpAddr, u32>,
    accepting: Accepting,
    /// The tick at which the next endpoint that is left out returns.
    pub(crate) next_return: Option<u32>,
    draining: bool,
}

/// Whether connections are taken from the listeners' queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepting {
    Normally,
    /// There are no descriptors or no memory; the listeners are out of the set.
    Paused,
    /// After a pause, and not long enough ago to tell: a shortage that lasts is one pause, not four a second.
    OnTrial,
}

impl Engine {
    pub(crate) fn new(
        options: Options,
        clock: Clock,
        counters: Rc<Counters>,
        observer: Rc<dyn Observer>,
        seed: u64,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let timer = Timer::new()?;
        epoll.add(&timer, Token::Timer.pack(), Interest::Readable)?;
        Ok(Self {
            epoll: Rc::new(epoll),
            events: Events::with_capacity(EVENTS),
            timer,
            armed: None,
            wheel: Wheel::new(),
            due: Vec::new(),
            flows: Slab::with_capacity(options.connections.min(MAX_SLOTS - 1)),
            table: Table::default(),
            reserve: Reserve::new(),
            ready: VecDeque::new(),
            counters,
            observer,
            secure: secure::options(options.tls_sessions, clock),
            options,
            leaves: Vec::new(),
            start: Instant::now(),
            now: 0,
            seed: seed | 1,
            greeters: VecDeque::new(),
            unfinished: 0,
            sources: HashMap::new(),
            accepting: Accepting::Normally,
            next_return: None,
            draining: false,
        })
    }

    /// Waits for events for at most `patience` and does all that they call for. Says whether there was anything.
    pub(crate) fn turn(&mut self, patience: Duration) -> io::Result<bool> {
        let patience = if self.ready.is_empty() {
            patience
        } else {
            Duration::ZERO
        };
        self.epoll.wait(&mut self.events, patience)?;
        self.read_clock();
        let waiting = self.ready.len();
        let busy = !self.events.is_empty() || waiting > 0;

        for at in 0..self.events.len() {
            let Some(event) = self.events.get(at) else {
                break;
            };
            match Token::unpack(event.token) {
                Token::Listener(place) => self.accept(place),
                Token::Client(ticket) => self.on_client(ticket, event),
                Token::Upstream(ticket, role) => self.on_upstream(ticket, role, event),
                Token::Timer => {
                    self.timer.clear();
                    self.armed = None;
                }
            }
        }
        for _ in 0..waiting {
            if let Some((ticket, direction)) = self.ready.pop_front() {
                self.take_queued_turn(ticket, direction);
            }
        }
        self.expire();
        self.arm()?;
        Ok(busy)
    }

    /// Whether it ends and nothing is left to do.
    pub(crate) fn is_drained(&self) -> bool {
        self.draining && self.flows.len() == 0
    }

    /// Puts a Plan to work. Flows that it has no place for are cut.
    pub(crate) fn apply(&mut self, plan: &Plan) -> Result<Changes, Unfit> {
        // While there is a pause, its end will watch them.
        let (epoll, paused) = (&self.epoll, self.accepting == Accepting::Paused);
        let watch = |place, socket: &OwnedFd| match paused {
            true => Ok(()),
            false => epoll.add(socket, Token::Listener(place).pack(), Interest::Readable),
        };
        let changes = (self.table).apply(plan, &self.options.tcp, &self.secure, watch)?;
        if changes.materials_changed {
            self.leaves = secure::tell_clock(&self.table.materials, &self.secure);
        }
        if changes.clusters_removed {
            self.read_clock();
            self.cut_all(Cause::ClusterRemoved, |flow| match &flow.stage {
                Stage::Greeting(_) => false,
                Stage::Opening(opening) => opening.cluster.removed.get(),
                Stage::Dialing(dialing) => dialing.cluster.removed.get(),
                Stage::Sealing(sealing) => sealing.cluster.removed.get(),
                Stage::Relaying(relaying) => relaying.cluster.removed.get(),
            });
        }
        if changes.security_changed {
            self.recheck();
        }
        Ok(changes)
    }

    /// Takes note of what became of a name, and goes on with the flows that waited for it.
    pub(crate) fn resolved(&mut self, name: &str, answer: Result<Vec<IpAddr>, String>) {
        let Some(known) = self.table.names.get_mut(name) else {
            return;
        };
        match answer {
            Ok(addresses) => {
                let event = Event::NameResolved {
                    name,
                    addresses: addresses.len(),
                };
                *known = Resolution::Known(addresses);
                self.observer.observe(&event);
            }
            Err(error) => {
                self.observer.observe(&Event::NameFailed {
                    name,
                    error: format_args!("{error}"),
                });
                if !matches!(known, Resolution::Known(_)) {
                    *known = Resolution::Failed(error);
                }
            }
        }
        self.read_clock();
        let concerned: Vec<_> = self
            .table
            .clusters
            .iter()
            .filter(|cluster| hosts(&cluster.spec()).any(|host| host == name))
            .map(Rc::clone)
            .collect();
        for cluster in concerned {
            cluster.refresh(&self.table.names);
            for ticket in cluster.waiting().take() {
                self.dial_on(ticket);
            }
        }
    }

    /// Stops accepting; flows go on.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        self.table.close();
    }

    /// Cuts the flows that a condition selects.
    pub(crate) fn cut_all(&mut self, cause: Cause, selected: impl Fn(&Flow) -> bool) {
        for ticket in self.flows.tickets() {
            if self
                .flows
                .get_mut(ticket)
                .is_some_and(|flow| selected(flow))
            {
                self.cut(ticket, cause);
            }
        }
    }

    /// Cuts a flow for a reason of ours, at whatever stage it is.
    pub(crate) fn cut(&mut self, ticket: Ticket, cause: Cause) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        match &flow.stage {
            Stage::Relaying(_) => self.end(ticket, crate::event::End::Cut(cause)),
            _ => {
                self.refuse(ticket, cause, format_args!("{}", advice(cause)));
            }
        }
    }

    /// Stops accepting until a connection ends or a moment has passed.
    pub(crate) fn pause_accepting(&mut self, error: &io::Error) {
        let before = std::mem::replace(&mut self.accepting, Accepting::Paused);
        if before == Accepting::Paused {
            return;
        }
        for (_, _, socket) in self.table.listening_all() {
            // A listener that is not in the set makes no events, which is all that is wanted.
            let _ = self.epoll.delete(socket);
        }
        self.set_accept_timer();
        if before == Accepting::Normally {
            add(&self.counters.accept_pauses, 1);
            self.observer.observe(&Event::AcceptPaused { error });
        }
    }

    /// Ends a pause, on trial: at once when a flow has ended, else after a while.
    pub(crate) fn resume_accepting(&mut self) {
        if self.accepting != Accepting::Paused {
            return;
        }
        self.accepting = Accepting::OnTrial;
        self.set_accept_timer();
        let added = self
            .table
            .listening_all()
            .try_for_each(|(place, _, socket)| {
                let token = Token::Listener(place).pack();
                self.epoll.add(socket, token, Interest::Readable)
            });
        if let Err(error) = added {
            // Deaf listeners are no resumption: the pause goes on.
            self.pause_accepting(&error);
        }
    }

    fn on_accept_timer(&mut self) {
        match self.accepting {
            Accepting::Normally => {}
            Accepting::Paused => self.resume_accepting(),
            Accepting::OnTrial => {
                self.accepting = Accepting::Normally;
                self.observer.observe(&Event::AcceptResumed);
            }
        }
    }

    fn set_accept_timer(&mut self) {
        self.wheel.set(
            self.accept_index(),
            self.now.saturating_add(ticks(ACCEPT_RETRY)),
        );
    }

    /// The wheel's index for the end of a pause, just past those of the flows.
    fn accept_index(&self) -> u32 {
        u32::try_from(self.options.connections.min(MAX_SLOTS - 1)).unwrap_or(u32::MAX - 1)
    }

    /// The wheel's index for the return of endpoints, just past that.
    pub(crate) fn return_index(&self) -> u32 {
        self.accept_index().saturating_add(1)
    }

    fn read_clock(&mut self) {
        let elapsed = self.start.elapsed().as_millis() / TICK.as_millis();
        self.now = u32::try_from(elapsed).unwrap_or(u32::MAX);
    }

    fn expire(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(self.now, &mut due);
        for index in due.drain(..) {
            if index == self.accept_index() {
                self.on_accept_timer();
            } else if index == self.return_index() {
                self.return_endpoints();
            } else if let Some(ticket) = self.flows.current(index) {
                self.on_deadline(ticket);
            }
        }
        self.due = due;
    }

    fn on_deadline(&mut self, ticket: Ticket) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        match &flow.stage {
            Stage::Greeting(_) => self.cut(ticket, Cause::ClientHelloTimeout),
            Stage::Opening(_) => {
                let detail = format_args!("TLS was not set up within timeouts.client_hello");
                self.refuse(ticket, Cause::TlsHandshake, detail);
            }
            Stage::Dialing(_) => self.dial_on(ticket),
            Stage::Sealing(sealing) => {
                let target = sealing.upstream.target.clone();
                let detail = format_args!("{target} did not set up TLS within the connect timeout");
                self.seal_failed(ticket, Blame::Silence, detail);
            }
            Stage::Relaying(relaying) => {
                let deadline = (relaying.active).saturating_add(ticks(self.options.idle_timeout));
                if deadline <= self.now {
                    self.cut(ticket, Cause::IdleTimeout);
                } else {
                    self.wheel.set(ticket.index, deadline);
                }
            }
        }
    }

    /// Sets the timer for the earliest deadline, unless it will go off before that anyway.
    fn arm(&mut self) -> io::Result<()> {
        let Some(next) = self.wheel.next() else {
            return Ok(());
        };
        if self.armed.is_some_and(|armed| armed <= next) {
            return Ok(());
        }
        let at = TICK.saturating_mul(next);
        self.timer.set(at.saturating_sub(self.start.elapsed()))?;
        self.armed = Some(next);
        Ok(())
    }
}

/// A time in ticks, rounded up.
pub(crate) fn ticks(time: Duration) -> u32 {
    let tick = TICK.as_millis();
    u32::try_from(time.as_millis().div_ceil(tick)).unwrap_or(u32::MAX / 2)
}

/// A number below `below`; for choosing among endpoints, where only evenness matters (xorshift64, Marsaglia 2003).
pub(crate) fn chance(seed: &mut u64, below: u32) -> u32 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    (((*seed >> 32) * u64::from(below)) >> 32) as u32
}

/// What an operator can check when we cut a flow that was not yet forwarded.
fn advice(cause: Cause) -> &'static str {
    match cause {
        Cause::ClientHelloTimeout => {
            "no whole ClientHello within timeouts.client_hello: a port scan, a client that speaks no TLS, or a link that loses packets"
        }
        Cause::HandshakeLimit => {
            "too many clients have connected without sending a ClientHello; the oldest one is closed"
        }
        Cause::ClusterRemoved => "the name it asked for is not in the configuration any more",
        Cause::DrainDeadline => "the process ends",
        _ => "closed",
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use plan::{Address, Inspect, Listener};

    use super::*;

    struct Deaf;

    impl Observer for Deaf {
        fn observe(&self, _: &Event<'_>) {}
    }

    #[test]
    fn a_pause_goes_on_until_all_listeners_are_watched_again() {
        let options = Options {
            connections: 4,
            ..Options::default()
        };
        let counters = Rc::<Counters>::default();
        let clock = Clock::system();
        let mut engine =
            Engine::new(options, clock, Rc::clone(&counters), Rc::new(Deaf), 1).unwrap();
        let listener = Listener {
            name: "lan".to_owned(),
            address: Address::Inet("127.0.0.1:0".parse().unwrap()),
            mode: None,
            inspect: Inspect::ClientHello,
            chains: vec![],
        };
        let plan = Plan {
            listeners: vec![listener],
            ..Plan::default()
        };
        engine.apply(&plan).unwrap();
        engine.pause_accepting(&io::ErrorKind::OutOfMemory.into());
        let (_, listener, socket) = engine.table.listening_all().next().unwrap();
        let address = listener.address.inet().unwrap();
        // One that is in the set by another token is refused, and says nothing.
        let other = Token::Timer.pack();
        engine.epoll.add(socket, other, Interest::Readable).unwrap();
        let _client = TcpStream::connect(address).unwrap();
        while engine.accepting != Accepting::Normally {
            engine.turn(TICK).unwrap();
        }
        assert_eq!(counters.accepted.get(), 1);
    }
}

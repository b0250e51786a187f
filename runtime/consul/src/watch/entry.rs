//! One question: what is known of it and what is to be done next. Pure; the clock is an argument.

use std::{
    fmt::Write as _,
    rc::Rc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use super::{Event, doubt::Before};
use crate::{About, Error, Question, Traffic, Waiting};

/// Names an entry for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) slot: usize,
    pub(super) generation: u32,
}

/// Who wants to know.
pub(super) type Listener = Box<dyn FnMut(Event<'_>)>;

pub(super) struct Entry {
    question: Rc<Question>,
    /// The hash of the service whose instances are asked for, all those of this datacenter, if that is the question.
    pub(super) service: Option<u64>,
    /// Away while it is called.
    pub(super) listener: Option<Listener>,
    pub(super) traffic: Traffic,
    /// What to block on; 0 to be answered at once.
    index: u64,
    /// The same, by hash.
    hash: Option<Box<str>>,
    /// The hash of the last good body.
    known: Option<u64>,
    /// Whether the last good body had something in it.
    had_some: bool,
    /// Waits in a row that ended without a change.
    quiet: u8,
    /// Failures in a row, and the last one.
    failures: u8,
    failure: Option<Rc<Error>>,
    /// How often in a row the answer was doubted, which was taken all the same.
    doubts: u8,
    /// When it is to be asked; `None` while the digest watches for it.
    pub(super) due: Option<Instant>,
    /// Whether a lane has it.
    pub(super) runs: bool,
    /// Whether something changed since it was asked last.
    pub(super) stale: bool,
    /// Whether nobody wants to know any more.
    pub(super) dropped: bool,
    /// Whether the query that runs is to be given up, and who waits to hear of it.
    given_up: bool,
    waker: Option<Waker>,
}

/// What an answer came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is the first one.
    First,
    /// It is new.
    Changed,
    /// It is the old one.
    Same,
    /// It is the old one, and there was trouble before.
    Recovered,
}

impl Entry {
    pub(super) fn new(question: &Rc<Question>, listener: Listener) -> Self {
        let service = match &**question {
            Question::Instances {
                service,
                datacenter: None,
                filter,
            } if filter.is_empty() => Some(hash(service.to_ascii_lowercase().as_bytes())),
            _ => None,
        };
        Self {
            service,
            question: Rc::clone(question),
            listener: Some(listener),
            traffic: Traffic::default(),
            index: 0,
            hash: None,
            known: None,
            had_some: false,
            quiet: 0,
            failures: 0,
            failure: None,
            doubts: 0,
            due: None,
            runs: false,
            stale: false,
            dropped: false,
            given_up: false,
            waker: None,
        }
    }

    /// Whether asking now takes as long as Consul likes.
    pub(super) fn blocks(&self) -> bool {
        match self.question.waiting() {
            Waiting::Index => self.index > 0,
            Waiting::Hash => self.hash.is_some(),
            Waiting::Poll(_) => false,
        }
    }

    /// Whether it is asked again and again without blocking.
    pub(super) fn is_polled(&self) -> bool {
        matches!(self.question.waiting(), Waiting::Poll(_))
    }

    /// Whether nothing has happened to it for a while.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet >= 2
    }

    /// The next question is answered at once.
    pub(super) fn start_over(&mut self) {
        self.index = 0;
        self.hash = None;
    }

    /// How long to block. `crowded` when others wait for the connection.
    pub(super) fn wait(&self, crowded: bool) -> Duration {
        match self.quiet {
            _ if crowded => WAIT_IN_TURN,
            0..2 => WAIT_AT_FIRST,
            2..4 => WAIT,
            4.. => WAIT_LONG,
        }
    }

    /// The method, the path with everything, and the body.
    pub(super) fn request(&self, wait: Duration) -> (&'static str, String, Option<String>) {
        let mut path = self.question.path();
        let sign = if path.contains('?') { '&' } else { '?' };
        if self.blocks() {
            // Writing to a String cannot fail.
            let _ = match &self.hash {
                Some(hash) => write!(path, "{sign}hash={hash}"),
                None => write!(path, "{sign}index={}", self.index),
            };
            let _ = write!(path, "&wait={}s", wait.as_secs());
        } else if self.failures > 0 && !path.starts_with(AGENT) {
            let _ = write!(path, "{sign}{CONSISTENT}");
        }
        let body = self.question.body();
        let method = if body.is_some() { "POST" } else { "GET" };
        (method, path, body)
    }

    /// What was there before, when now there is nothing, so that one may doubt it.
    pub(super) fn doubtful(&self, body: &[u8]) -> Option<Before> {
        match self.known {
            _ if !is_empty(body) => None,
            None => Some(Before::Unknown),
            Some(_) => Some(Before::Some).filter(|_| self.had_some),
        }
    }

    /// Takes a good answer over and says when to ask next.
    pub(super) fn answered(&mut self, about: &About, body: &[u8], now: Instant) -> Told {
        let blocked = self.blocks();
        let index = about.index.unwrap_or_default();
        // Backwards: the servers are others, or were restored. What it says now is true; then from the beginning.
        self.index = if index < self.index { 0 } else { index };
        self.hash = about
            .hash
            .as_deref()
            .map(Into::into)
            .filter(|_| self.question.waiting() == Waiting::Hash);
        self.failures = 0;
        let was_failing = self.failure.take().is_some();
        let next = match self.question.waiting() {
            Waiting::Poll(interval) => interval,
            _ if self.blocks() || blocked => PAUSE,
            // Nothing to block on.
            _ => POLL,
        };
        self.due = Some(now + next);
        let known = hash(body);
        self.had_some = !is_empty(body);
        let before = self.known.replace(known);
        if before == Some(known) {
            self.quiet = self.quiet.saturating_add(u8::from(blocked));
            if self.doubts > 0 {
                self.doubt(now);
            }
            return if was_failing {
                Told::Recovered
            } else {
                Told::Same
            };
        }
        self.quiet = 0;
        self.doubts = 0;
        if before.is_none() {
            Told::First
        } else {
            Told::Changed
        }
    }

    /// Takes trouble over and says when to try again. Gives it when it is worth telling. `chance` spreads the tries.
    pub(super) fn failed(&mut self, error: Error, now: Instant, chance: u64) -> Option<Rc<Error>> {
        self.start_over();
        self.quiet = 0;
        let (first, most) = match error {
            Error::Forbidden(_) => (FORBIDDEN, FORBIDDEN),
            // A datacenter that has just been made knows nothing yet, for a moment.
            Error::Filtered(_) => (RETRY, FORBIDDEN),
            Error::NotFound(_) => (RETRY, NOT_FOUND),
            Error::Refused(400..=499, _) | Error::TooLong(_) => (FORBIDDEN, RETRY_MOST),
            _ => (RETRY, RETRY_MOST),
        };
        let whole = longer(first, self.failures).min(most);
        // Shortened by up to half by chance, so that a site's proxies do not all ask at once when Consul is back.
        let [low, high, ..] = chance.to_ne_bytes();
        let off = u32::from(u16::from_ne_bytes([low, high]));
        self.due = Some(now + (whole - whole / 2 * off / u32::from(u16::MAX)));
        self.failures = self.failures.saturating_add(1);
        let news = self
            .failure
            .as_ref()
            .is_none_or(|before| !before.is_like(&error));
        let failure = Rc::new(error);
        self.failure = Some(Rc::clone(&failure));
        news.then_some(failure)
    }

    /// The last answer may not be all: it is asked for again until it is another, soon and then less often, as it may be long.
    /// A query that blocks would not hear of rights that are given.
    pub(super) fn doubt(&mut self, now: Instant) {
        self.start_over();
        self.due = Some(now + longer(RETRY, self.doubts).min(WAIT));
        self.doubts = self.doubts.saturating_add(1);
    }

    /// It is to be asked at once from the beginning. Whether a query is given up for it.
    pub(super) fn give_up(&mut self, now: Instant) -> bool {
        self.start_over();
        self.quiet = 0;
        self.due = Some(now);
        self.given_up = self.runs;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        self.runs
    }

    /// Whether the query that runs is to be given up.
    pub(super) fn poll_given_up(&mut self, waker: &Waker) -> Poll<()> {
        if std::mem::take(&mut self.given_up) {
            return Poll::Ready(());
        }
        self.waker = Some(waker.clone());
        Poll::Pending
    }
}

/// A pause that doubles each time.
fn longer(first: Duration, times: u8) -> Duration {
    first.saturating_mul(1 << times.min(16))
}

/// What Go writes for an empty list or map.
fn is_empty(body: &[u8]) -> bool {
    matches!(body.trim_ascii(), b"[]" | b"{}" | b"null" | b"")
}

/// FNV-1a (RFC 9923): tells answers apart, which nobody has an interest in making alike.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    hash_on(FNV_BASIS, bytes)
}

/// Goes on with a hash.
pub(super) fn hash_on(hash: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(hash, step)
}

pub(super) const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// What an agent answers by itself.
const AGENT: &str = "/v1/agent/";

/// After trouble: a leader that has just been elected answers at once, before it has taken up its log, and so with a part of what
/// it knew, or nothing; to this it answers when it has (seen on 1.8.7, in one start of twenty).
/// <https://developer.hashicorp.com/consul/api-docs/features/consistency>
pub(super) const CONSISTENT: &str = "consistent";

/// Consul asks for a limit on how often a changing answer is fetched.
const PAUSE: Duration = Duration::from_millis(100);

/// Where there is no index to block on.
const POLL: Duration = Duration::from_secs(60);

/// How long a query blocks when nothing happens: Consul's own default, then the longest that it allows. Each end of a wait costs
/// an answer.
const WAIT: Duration = Duration::from_secs(300);
const WAIT_LONG: Duration = Duration::from_secs(600);

/// The first waits are short: a query that we leave when we end keeps its place among Consul's connections until its wait is
/// over, so one that restarts all the time must not have long ones.
const WAIT_AT_FIRST: Duration = Duration::from_secs(50);

/// When others wait for the connection. They take turns.
const WAIT_IN_TURN: Duration = Duration::from_secs(5);

/// The first pause after a failure, and the longest.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(60);

/// Something is missing that may be about to come, such as a registration.
const NOT_FOUND: Duration = Duration::from_secs(10);

/// Rights come by hand.
const FORBIDDEN: Duration = Duration::from_secs(30);

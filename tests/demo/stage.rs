//! What happens, from wherever it happens, in one queue.
//!
//! The proxies, the app and the signals are watched by a thread each; the tour takes what it waits
//! for and leaves the rest for later, so that it can tell a request in the order of its way.

use std::collections::VecDeque;
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::failure::{Failure, taken};

/// A proxy of the demo: a lictor, in one of its roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// The sidecar of web in dc1.
    Web,
    /// The sidecar of cron in dc1, which may not call api.
    Cron,
    /// A sidecar with a certificate of another CA.
    Impostor,
    GatewayDc1,
    GatewayDc2,
    /// The sidecar of api in dc2.
    Api,
}

impl Node {
    /// All of them, in the order in which they are started: each before those that lead to it.
    pub(crate) const ALL: [Self; 6] = [
        Self::Api,
        Self::GatewayDc2,
        Self::GatewayDc1,
        Self::Web,
        Self::Cron,
        Self::Impostor,
    ];

    /// The name of its file, without the ending.
    pub(crate) fn stem(self) -> &'static str {
        match self {
            Self::Web => "sidecar-web",
            Self::Cron => "sidecar-cron",
            Self::Impostor => "sidecar-impostor",
            Self::GatewayDc1 => "gateway-dc1",
            Self::GatewayDc2 => "gateway-dc2",
            Self::Api => "sidecar-api",
        }
    }

    /// The file that it runs on a copy of, as seen from the top of the repository.
    pub(crate) fn original(self) -> String {
        format!("configs/demo/{}.hcl", self.stem())
    }

    /// What its listener is called up to the first `:` or `?`: where the demo's connections come in.
    pub(crate) fn listener(self) -> &'static str {
        match self {
            Self::Web | Self::Cron | Self::Impostor => "api",
            Self::GatewayDc1 | Self::GatewayDc2 => "default",
            Self::Api => "public_listener",
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Web => "sidecar web",
            Self::Cron => "sidecar cron",
            Self::Impostor => "sidecar \"web\"",
            Self::GatewayDc1 => "gateway dc1",
            Self::GatewayDc2 => "gateway dc2",
            Self::Api => "sidecar api",
        })
    }
}

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A proxy said on its notify socket that it is ready.
    Ready(Node),
    /// A proxy logged a record.
    Logged(Node, Record),
    /// A proxy ended, and had said this besides its log.
    Gone(Node, String),
    /// The app was asked for this.
    AppAsked(String),
    /// Ctrl-C, or its like.
    Interrupted,
}

/// One record of a proxy's log.
#[derive(Clone, Debug)]
pub(crate) struct Record(pub(crate) Value);

impl Record {
    /// A field as text; empty where there is none.
    pub(crate) fn field(&self, name: &str) -> String {
        match self.0.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    pub(crate) fn is(&self, event: &str) -> bool {
        self.field("event") == event
    }
}

/// The queue.
pub(crate) struct Stage {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
    /// What came while something else was waited for.
    left: VecDeque<Event>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = channel();
        Self {
            sender,
            receiver,
            left: VecDeque::new(),
        }
    }

    /// For a thread that watches something.
    pub(crate) fn sender(&self) -> Sender<Event> {
        self.sender.clone()
    }

    /// Takes the first event that `wanted` accepts; others stay. `what` is for the failure.
    pub(crate) fn wait<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T, Failure> {
        for (at, event) in self.left.iter().enumerate() {
            if let Some(found) = wanted(event) {
                self.left.remove(at);
                return Ok(found);
            }
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let event = match self.receiver.recv_timeout(rest) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(self.in_vain(what));
                }
            };
            match (wanted(&event), event) {
                (Some(found), _) => return Ok(found),
                (None, Event::Gone(node, said)) => return Err(gone(node, &said)),
                (None, Event::Interrupted) => return Err(Failure::new("interrupted")),
                (None, event) => self.left.push_back(event),
            }
        }
    }

    /// The next record of this event that a proxy logs.
    pub(crate) fn logged(&mut self, node: Node, event: &str) -> Result<Record, Failure> {
        let what = format!("{node} to log \"{event}\"");
        self.wait(&what, |seen| match seen {
            Event::Logged(by, record) if *by == node && record.is(event) => Some(record.clone()),
            _ => None,
        })
    }

    /// Takes an event that is here already, if `wanted` accepts one.
    pub(crate) fn seen<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> Option<T> {
        self.left.extend(self.receiver.try_iter());
        let found = self
            .left
            .iter()
            .enumerate()
            .find_map(|(at, event)| Some((at, wanted(event)?)));
        let (at, found) = found?;
        self.left.remove(at);
        Some(found)
    }

    /// Drops what came and nobody waited for.
    pub(crate) fn forget(&mut self) {
        self.left.clear();
    }

    /// The next event, however long it takes, and those left over before.
    pub(crate) fn next(&mut self) -> Event {
        match self.left.pop_front() {
            Some(event) => event,
            // The stage holds a sender itself, so the queue is never cut off.
            None => self.receiver.recv().unwrap_or(Event::Interrupted),
        }
    }

    /// Says what came instead: often that explains it.
    fn in_vain(&self, what: &str) -> Failure {
        let failure = Failure::new(format!("waited {} s for {what}", PATIENCE.as_secs()));
        let last: Vec<String> = self
            .left
            .iter()
            .rev()
            .take(5)
            .map(|event| format!("{event:?}"))
            .collect();
        match last.as_slice() {
            [] => failure,
            last => failure.with_hint(format!("seen instead, the last first: {}", last.join("; "))),
        }
    }
}

/// A proxy that ended says why, last of all.
pub(crate) fn gone(node: Node, said: &str) -> Failure {
    let said = match said.trim_end() {
        "" => "it did not say why",
        said => said,
    };
    let failure = Failure::new(format!("{node} ended: {said}"));
    if said.contains("in use") {
        let files = "the files of configs/demo/ that name it";
        return failure.with_hint(taken("that address", files));
    }
    failure
}

/// Far more than anything here takes, on a slow board too.
const PATIENCE: Duration = Duration::from_secs(20);

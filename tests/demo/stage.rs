//! What happens, from wherever it happens, in one queue.
//!
//! The gateways, the app and the signals are watched by a thread each; the tour takes what it waits
//! for and leaves the rest for later, so that it can tell a request in the order of its way.

use std::collections::VecDeque;
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::failure::{Failure, taken};

/// A gateway, by its datacenter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    Dc1,
    Dc2,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dc1 => "dc1",
            Self::Dc2 => "dc2",
        })
    }
}

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A gateway said on its notify socket that it is ready.
    Ready(Site),
    /// A gateway logged a record.
    Logged(Site, Record),
    /// A gateway ended, and had said this besides its log.
    Gone(Site, String),
    /// A client showed the app this SPIFFE ID, and was trusted; the version of TLS is with it.
    AppTrusts(String, String),
    /// The app was asked for this.
    AppAsked(String),
    /// The app refused a client.
    AppRefuses(String),
    /// Ctrl-C, or its like.
    Interrupted,
}

/// One record of a gateway's log.
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
                (None, Event::Gone(site, said)) => return Err(gone(site, &said)),
                (None, Event::Interrupted) => return Err(Failure::new("interrupted")),
                (None, event) => self.left.push_back(event),
            }
        }
    }

    /// The record of this event that a gateway logs for this server name.
    pub(crate) fn logged(
        &mut self,
        site: Site,
        event: &str,
        server_name: &str,
    ) -> Result<Record, Failure> {
        let what = format!("gateway {site} to log \"{event}\" for {server_name}");
        self.wait(&what, |seen| match seen {
            Event::Logged(by, record)
                if *by == site && record.is(event) && record.field("sni") == server_name =>
            {
                Some(record.clone())
            }
            _ => None,
        })
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

/// A gateway that ended says why, last of all.
pub(crate) fn gone(site: Site, said: &str) -> Failure {
    let said = match said.trim_end() {
        "" => "it did not say why",
        said => said,
    };
    let failure = Failure::new(format!("gateway {site} ended: {said}"));
    if said.contains("in use") {
        let other = match site {
            Site::Dc1 => Site::Dc2,
            Site::Dc2 => Site::Dc1,
        };
        let files =
            format!("configs/demo/gateway-{site}.hcl, and gateway-{other}.hcl names it too");
        return failure.with_hint(taken("that address", &files));
    }
    failure
}

/// Far more than anything here takes, on a slow board too.
const PATIENCE: Duration = Duration::from_secs(20);

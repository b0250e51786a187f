//! Questions that stay answered: blocking queries, many over few connections.
//!
//! The rules are Consul's own (<https://developer.hashicorp.com/consul/api-docs/features/blocking>): the index comes from a
//! 200 only and starts over when it goes backwards, an answer without a change is normal, and between two answers there is a
//! pause. An error is told as an error and changes nothing else; the next try starts from the beginning, since another server
//! may answer it, and what it brings is told only if it differs from what was known.
//!
//! ```text
//!            due                        answered
//!   waiting ──────► in a lane ───────────────────────► waiting, due at once, to block
//!                       │  failed                       or parked, when the digest watches for it
//!                       └───────────────────────► waiting, due later
//! ```

mod digest;
mod doubt;
mod entry;
mod lanes;
mod parked;
mod token;

use std::rc::Rc;

use smol::LocalExecutor;

use crate::{About, Client, Error, Question, Traffic};

pub(crate) use entry::hash;

use entry::Entry;
use lanes::Lanes;

/// What is told of a question.
#[derive(Debug)]
pub enum Event<'a> {
    /// An answer that differs from the last one: its body.
    Answer(&'a About, &'a [u8]),
    /// There is trouble, or trouble of another kind. The last answer stays.
    Failed(&'a Error),
    /// The trouble is over, and the last answer still holds.
    Recovered,
}

/// Keeps questions answered. Cheap to clone.
#[derive(Clone)]
pub struct Watches(Rc<Lanes>);

/// A question that is kept answered until this is dropped.
pub struct Watch {
    lanes: Rc<Lanes>,
    id: entry::Id,
}

impl Watches {
    /// Asks by this client. Connections beyond an eighth of its budget block, the others are for what does not.
    #[must_use]
    pub fn new(client: Rc<Client>, executor: Rc<LocalExecutor<'static>>) -> Self {
        Self(Lanes::new(client, executor))
    }

    /// The client, for requests that are made once.
    #[must_use]
    pub fn client(&self) -> &Rc<Client> {
        self.0.client()
    }

    /// Keeps a question answered: the first answer is asked for at once. The listener is called from the executor, never
    /// from within this function, and may add and drop watches itself.
    #[must_use]
    pub fn watch(
        &self,
        question: &Rc<Question>,
        listener: impl FnMut(Event<'_>) + 'static,
    ) -> Watch {
        let id = self.0.add(Entry::new(question, Box::new(listener)));
        Watch {
            lanes: Rc::clone(&self.0),
            id,
        }
    }

    /// How many questions are kept answered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// Asks nothing more. Queries that block end by themselves; until then Consul counts their connections.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Whether nothing more is asked.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }
}

impl Watch {
    /// Asks now, as when another answer says that this one is old. Has no effect on a query that blocks already.
    pub fn refresh(&self) {
        self.lanes.refresh(self.id);
    }

    /// The answer that was just told may not be all: asks again after one second to five minutes, until there is another.
    pub(crate) fn doubt(&self) {
        self.lanes.doubt(self.id);
    }

    /// Calls `with` with the traffic of this question so far.
    pub fn traffic<T>(&self, with: impl FnOnce(&Traffic) -> T) -> T {
        self.lanes.traffic(self.id, with)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.lanes.remove(self.id);
    }
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watches")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

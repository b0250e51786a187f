//! Who is asked for next, and by which of the few connections.
//!
//! A lane is a task that asks, one question after the other, and ends when there is none. There is one more connection than
//! lanes, for what watches over all services together and for requests that are made once; and some lanes never block, so that
//! a new question is answered at once.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::{Rc, Weak},
    task::Poll,
    time::{Duration, Instant},
};

use smol::{
    LocalExecutor, Timer,
    channel::{self, Receiver, Sender},
    future,
};
use zeroize::Zeroizing;

use super::{
    Event,
    doubt::Doubt,
    entry::{Entry, Id, Told},
    parked::Parked,
    token,
};
use crate::{About, Client, Error, Request, Traffic, client::collect};

pub(super) struct Lanes {
    client: Rc<Client>,
    executor: Rc<LocalExecutor<'static>>,
    entries: RefCell<Slots>,
    /// How many lanes there are, and how many of them block.
    running: Cell<usize>,
    blocking: Cell<usize>,
    stopped: Cell<bool>,
    /// Tells the one who waits for what is due that there may be something new.
    stir: Sender<()>,
    pub(super) parked: Parked,
    pub(super) doubt: Doubt,
}

/// Whether a lane blocks with the question that it has taken.
#[derive(Clone, Copy)]
struct Blocks(bool);

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    entry: Option<Box<Entry>>,
}

impl Slots {
    fn get(&mut self, id: Id) -> Option<&mut Entry> {
        let slot = self.slots.get_mut(id.slot)?;
        slot.entry
            .as_deref_mut()
            .filter(|_| slot.generation == id.generation)
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.slots
            .iter_mut()
            .filter_map(|slot| slot.entry.as_deref_mut())
    }

    fn insert(&mut self, entry: Entry) -> Id {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        let generation = self.slots.get_mut(slot).map_or(0, |free| {
            free.entry = Some(Box::new(entry));
            free.generation
        });
        Id { slot, generation }
    }

    fn remove(&mut self, id: Id) -> Option<Box<Entry>> {
        self.get(id)?;
        let slot = self.slots.get_mut(id.slot)?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        slot.entry.take()
    }
}

impl Lanes {
    pub(super) fn new(client: Rc<Client>, executor: Rc<LocalExecutor<'static>>) -> Rc<Self> {
        let (stir, stirred) = channel::bounded(1);
        let lanes = Rc::new(Self {
            client,
            executor,
            entries: RefCell::default(),
            running: Cell::new(0),
            blocking: Cell::new(0),
            stopped: Cell::new(false),
            stir,
            parked: Parked::default(),
            doubt: Doubt::default(),
        });
        lanes
            .executor
            .spawn(wait(Rc::downgrade(&lanes), stirred))
            .detach();
        if lanes.client.token_file().is_some() {
            let watching = token::watch(Rc::downgrade(&lanes));
            lanes.executor.spawn(watching).detach();
        }
        lanes
    }

    pub(super) fn client(&self) -> &Rc<Client> {
        &self.client
    }

    pub(super) fn executor(&self) -> &Rc<LocalExecutor<'static>> {
        &self.executor
    }

    pub(super) fn add(&self, mut entry: Entry) -> Id {
        entry.due = Some(Instant::now());
        let id = self.entries.borrow_mut().insert(entry);
        self.stir();
        id
    }

    pub(super) fn remove(&self, id: Id) {
        let mut entries = self.entries.borrow_mut();
        let runs = entries.get(id).is_some_and(|entry| {
            entry.dropped = true;
            entry.runs
        });
        // A listener may own watches; it goes after the borrow.
        let gone = if runs {
            entries
                .get(id)
                .and_then(|entry| entry.listener.take())
                .map(|listener| (None, Some(listener)))
        } else {
            entries.remove(id).map(|entry| (Some(entry), None))
        };
        drop(entries);
        drop(gone);
    }

    pub(super) fn refresh(&self, id: Id) {
        if let Some(entry) = self
            .entries
            .borrow_mut()
            .get(id)
            .filter(|entry| !entry.runs)
        {
            entry.start_over();
            entry.due = Some(Instant::now());
        }
        self.stir();
    }

    pub(super) fn doubt(&self, id: Id) {
        if let Some(entry) = self.entries.borrow_mut().get(id) {
            entry.doubt(Instant::now());
        }
    }

    pub(super) fn traffic<T>(&self, id: Id, with: impl FnOnce(&Traffic) -> T) -> T {
        match self.entries.borrow_mut().get(id) {
            Some(entry) => with(&entry.traffic),
            None => with(&Traffic::default()),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.entries
            .borrow_mut()
            .all()
            .filter(|entry| !entry.dropped)
            .count()
    }

    pub(super) fn stop(&self) {
        self.stopped.set(true);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Calls `each` with every entry that somebody wants.
    pub(super) fn each(&self, mut each: impl FnMut(&mut Entry)) {
        let mut entries = self.entries.borrow_mut();
        entries
            .all()
            .filter(|entry| !entry.dropped)
            .for_each(&mut each);
    }

    pub(super) fn stir(&self) {
        // Full: it will look anyway.
        let _ = self.stir.try_send(());
    }

    /// How many questions block, or would if they could.
    pub(super) fn would_block(&self) -> usize {
        self.entries
            .borrow_mut()
            .all()
            .filter(|entry| !entry.dropped && !entry.is_polled())
            .count()
    }

    /// Whether there are more questions than may block.
    pub(super) fn is_crowded(&self) -> bool {
        self.would_block() > self.most_blocking()
    }

    pub(super) fn most_blocking(&self) -> usize {
        let budget = self.client.budget();
        budget - 1 - (budget / 8).max(1)
    }

    /// Starts lanes for what is due, and says when something else will be.
    fn start_due(self: &Rc<Self>, now: Instant) -> Option<Instant> {
        if self.stopped.get() {
            return None;
        }
        self.parked.look(self, now);
        while self.running.get() < self.client.budget() - 1 {
            let Some(first) = self.pick(now) else {
                break;
            };
            self.running.set(self.running.get() + 1);
            // A boxed future: most of it is room for an exchange, and there are few.
            self.executor
                .spawn(Box::pin(Rc::clone(self).run(first)))
                .detach();
        }
        let mut entries = self.entries.borrow_mut();
        let waiting = entries.all().filter(|entry| !entry.runs && !entry.dropped);
        waiting
            .filter_map(|entry| entry.due)
            .filter(|due| *due > now)
            .min()
    }

    /// Takes the question that has waited longest, of those that may be asked now.
    fn pick(&self, now: Instant) -> Option<(Id, Blocks)> {
        let may_block = self.blocking.get() < self.most_blocking();
        let held = self.parked.holds_back();
        let mut entries = self.entries.borrow_mut();
        let slots = entries.slots.iter_mut().enumerate();
        let due = slots.filter_map(|(index, slot)| {
            let generation = slot.generation;
            let entry = slot.entry.as_deref_mut()?;
            let due = entry.due.filter(|due| *due <= now)?;
            let taken = entry.runs || entry.dropped;
            let waits = (entry.blocks() && !may_block) || (held && entry.service.is_some());
            if taken || waits {
                return None;
            }
            let id = Id {
                slot: index,
                generation,
            };
            Some((due, id, entry))
        });
        let (_, id, entry) = due.min_by_key(|(due, ..)| *due)?;
        entry.runs = true;
        let blocks = Blocks(entry.blocks());
        self.blocking
            .set(self.blocking.get() + usize::from(blocks.0));
        Some((id, blocks))
    }

    /// A lane.
    async fn run(self: Rc<Self>, first: (Id, Blocks)) {
        let mut next = Some(first);
        while let Some((id, blocks)) = next {
            self.ask(id).await;
            self.blocking
                .set(self.blocking.get() - usize::from(blocks.0));
            next = if self.stopped.get() {
                None
            } else {
                self.pick(Instant::now())
            };
        }
        self.running.set(self.running.get() - 1);
        self.stir();
    }

    async fn ask(&self, id: Id) {
        // Those that are parked wait for nobody's connection.
        let crowded = !self.parked.watches() && self.is_crowded();
        let asked = self.entries.borrow_mut().get(id).map(|entry| {
            entry.stale = false;
            let wait = entry.wait(crowded);
            let blocked = if entry.blocks() { wait } else { Duration::ZERO };
            // Consul adds up to a sixteenth, by chance.
            (entry.request(wait), blocked + blocked / 16 + SLACK)
        });
        let Some(((method, path, body), within)) = asked else {
            return;
        };
        let request = Request {
            method,
            path: &path,
            body: body.as_deref().map(str::as_bytes),
            within,
        };
        let traffic = Traffic::default();
        let mut text = Zeroizing::default();
        let collect = &mut |_: &About, piece: &[u8]| collect(&mut text, piece, MAX_ANSWER_BYTES);
        let send = async { Some(self.client.send(request, &traffic, collect).await) };
        let given_up = async {
            self.given_up(id).await;
            None
        };
        let Some(mut answer) = future::or(given_up, send).await else {
            return self.again(id);
        };
        let doubtful = |entry: &mut Entry| entry.doubtful(&text);
        let doubt = self.entries.borrow_mut().get(id).and_then(doubtful);
        if let (Ok(about), Some(before)) = (&answer, doubt)
            && let Err(error) = self.believe(&path, about, before).await
        {
            answer = Err(error);
        }
        self.tell(id, answer, &text, &traffic);
    }

    /// Leaves a question that was given up for another lane.
    fn again(&self, id: Id) {
        let mut entries = self.entries.borrow_mut();
        let gone = match entries.get(id) {
            Some(entry) if entry.dropped => entries.remove(id),
            Some(entry) => {
                entry.runs = false;
                entry.start_over();
                entry.due = Some(Instant::now());
                None
            }
            None => None,
        };
        drop(entries);
        drop(gone);
    }

    fn tell(&self, id: Id, answer: Result<About, Error>, body: &[u8], traffic: &Traffic) {
        let now = Instant::now();
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get(id) else {
            return;
        };
        entry.traffic.add(traffic);
        entry.runs = false;
        if entry.dropped {
            let gone = entries.remove(id);
            drop(entries);
            return drop(gone);
        }
        let (about, told, failure) = match answer {
            Ok(about) => {
                let told = entry.answered(&about, body, now);
                // What has changed will change again, as a rule: for one wait it blocks by itself.
                let hot = told == Told::Changed && self.blocking.get() < self.most_blocking() / 2;
                if entry.service.is_some() && self.parked.watches() && !hot {
                    entry.start_over();
                    entry.due = entry.stale.then_some(now);
                }
                (about, told, None)
            }
            Err(error) => {
                // Without chance the wait is as long as it may be.
                let chance = sys::random::seed().unwrap_or_default();
                let failure = entry.failed(error, now, chance);
                (About::default(), Told::Same, failure)
            }
        };
        let event = match (&failure, told) {
            (Some(failure), _) => Event::Failed(failure),
            (None, Told::First | Told::Changed) => Event::Answer(&about, body),
            (None, Told::Recovered) => Event::Recovered,
            (None, Told::Same) => return,
        };
        let Some(mut listener) = entry.listener.take() else {
            return;
        };
        drop(entries);
        listener(event);
        let mut entries = self.entries.borrow_mut();
        let entry = entries.get(id);
        // It may have dropped its own watch; then it goes after the borrow.
        if let Some(entry) = entry {
            entry.listener = Some(listener);
        } else {
            drop(entries);
            drop(listener);
        }
    }

    /// Asks everything anew, what blocks too; gives how many queries were given up for it.
    pub(super) fn start_over(&self) -> usize {
        let now = Instant::now();
        let mut given_up = 0;
        self.each(|entry| {
            given_up += usize::from(entry.give_up(now));
        });
        self.stir();
        given_up
    }

    /// Ends when the question is to be given up.
    async fn given_up(&self, id: Id) {
        poll_fn(|context| match self.entries.borrow_mut().get(id) {
            Some(entry) => entry.poll_given_up(context.waker()),
            None => Poll::Pending,
        })
        .await;
    }
}

/// Waits for what is due next, as long as anybody wants something.
async fn wait(lanes: Weak<Lanes>, stirred: Receiver<()>) {
    loop {
        let Some(strong) = lanes.upgrade() else {
            return;
        };
        let now = Instant::now();
        let next = strong.start_due(now);
        drop(strong);
        let due = async {
            match next {
                Some(next) => drop(Timer::at(next).await),
                None => future::pending().await,
            }
            Ok(())
        };
        if future::or(stirred.recv(), due).await.is_err() {
            return;
        }
    }
}

/// What an answer may take beyond its wait: 7 s while servers elect a leader, and the transfer.
pub(super) const SLACK: Duration = Duration::from_secs(15);

/// The longest answer: some 4,000 instances of one service.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

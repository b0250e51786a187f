//! Watching over many services with one connection.
//!
//! The questions for the instances of services of this datacenter are asked once and then parked, and one query blocks on the
//! whole catalog, which is answered with nothing but its index. When it is, the catalog is read through once ([`Digest`]), and
//! what differs from before is asked for again, and nothing else; then it blocks by itself until it is quiet once more. That is done
//!
//! - when there are more questions than connections that may block;
//! - when nothing happens: each wait of each question ends with an answer that is no news, all day long. It is left again where
//!   the catalog is much more than the questions are about, or changes often for others.
//!
//! Both are one endpoint, which Consul's own interface is made with and which has been there unchanged from 1.8 to 1.22:
//! `/v1/internal/ui/nodes`. Where it may not be used, the questions take turns instead. Measured on 1.8.7 with 2,000
//! services: a catalog is 2.3 MB and takes 50 to 130 ms, asking for each service again takes a second and about as many
//! bytes, and the query that blocks is 400 bytes with its answer.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use smol::Timer;

use super::{
    digest::{Digest, Digests},
    entry::CONSISTENT,
    lanes::{Lanes, SLACK},
};
use crate::{Error, Request, Traffic, rights};

#[derive(Default)]
pub(super) struct Parked {
    state: Cell<State>,
    digests: RefCell<Digests>,
    /// Until when it is not done for quiet alone.
    not_for_quiet: Cell<Option<Instant>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Each question is by itself.
    #[default]
    Off,
    /// The catalog is being read for the first time.
    Starting,
    /// What changes is noticed.
    Watching,
    /// The catalog cannot be read; it is tried again.
    Unable,
}

/// What a reading came to.
struct Reading {
    index: u64,
    bytes: u64,
    /// How many questions are asked for again.
    changed: usize,
}

impl Parked {
    /// Whether parked questions are watched over.
    pub(super) fn watches(&self) -> bool {
        self.state.get() == State::Watching
    }

    /// Whether questions wait for the first reading, which they would only repeat.
    pub(super) fn holds_back(&self) -> bool {
        self.state.get() == State::Starting
    }

    /// Begins when there is reason to.
    pub(super) fn look(&self, lanes: &Rc<Lanes>, now: Instant) {
        if self.state.get() != State::Off {
            return;
        }
        let (mut services, mut quiet) = (0, 0);
        lanes.each(|entry| {
            services += usize::from(entry.service.is_some());
            quiet += usize::from(entry.service.is_some() && entry.is_quiet());
        });
        let may = self.not_for_quiet.get().is_none_or(|until| until <= now);
        if services >= FEWEST && (are_many(lanes) || (quiet == services && may)) {
            self.state.set(State::Starting);
            let watching = Box::pin(watch(Rc::clone(lanes)));
            lanes.executor().spawn(watching).detach();
        }
    }
}

/// Whether there are more questions than may block. A few less still count: they come and go.
fn are_many(lanes: &Lanes) -> bool {
    let most = match lanes.parked.state.get() {
        State::Off => lanes.most_blocking(),
        _ => lanes.most_blocking() * 3 / 4,
    };
    lanes.would_block() > most
}

/// Watches for as long as there is reason to.
async fn watch(lanes: Rc<Lanes>) {
    let parked = &lanes.parked;
    let mut failures = 0_u32;
    // What the catalog's index was when it was read; 0 when it must be read anew.
    let mut index = 0;
    let mut read = Instant::now();
    let mut pause = Duration::ZERO;
    // Readings for nothing since then.
    let mut fruitless = (0_u32, read);
    while !lanes.is_stopped() {
        let step = if index == 0 {
            Timer::at(read + pause).await;
            read = Instant::now();
            let done = read_through(&lanes, failures > 0).await;
            // A reading costs Consul and us; it may take up a third of the time.
            pause = (read.elapsed() * 3).clamp(PAUSE, LONGEST_PAUSE);
            done.map(|reading| {
                let worth = u64::try_from(lanes.count())
                    .unwrap_or(u64::MAX)
                    .saturating_mul(WORTH_BYTES);
                if read.duration_since(fruitless.1) > HOUR {
                    fruitless = (0, read);
                }
                fruitless.0 += u32::from(reading.changed == 0);
                if !are_many(&lanes) && (fruitless.0 > FRUITLESS || reading.bytes > worth) {
                    let until = if reading.bytes > worth {
                        24 * HOUR
                    } else {
                        2 * HOUR
                    };
                    parked.not_for_quiet.set(Some(read + until));
                }
                reading.index
            })
        } else {
            match changed(&lanes, index).await {
                Ok(now) if now == index => {
                    Timer::after(PAUSE).await;
                    Ok(index)
                }
                Ok(_) => Ok(0),
                Err(error) => Err(error),
            }
        };
        match step {
            Ok(now) => {
                index = now;
                failures = 0;
            }
            Err(error) => {
                // When nobody can be reached nothing can be asked for either, and nothing was lost yet.
                let is_known = match error {
                    Error::Unreachable(..) | Error::Name(_) | Error::Busy(_) => false,
                    _ => failures > 0 || !error.is_of_one_server(),
                };
                if is_known && parked.state.replace(State::Unable) != State::Unable {
                    release(&lanes);
                    parked.not_for_quiet.set(Some(Instant::now() + HOUR));
                }
                index = 0;
                failures = (failures + 1).min(6);
                Timer::after(PAUSE * (1 << failures) * 10).await;
            }
        }
        let may = parked.not_for_quiet.get().is_none_or(|until| until <= read);
        if !are_many(&lanes) && !may {
            break;
        }
    }
    parked.state.set(State::Off);
    parked.digests.take();
    release(&lanes);
}

/// Everything parked is asked for again.
fn release(lanes: &Lanes) {
    let now = Instant::now();
    lanes.each(|entry| {
        if entry.service.is_some() && !entry.runs {
            entry.due.get_or_insert(now);
        }
    });
    lanes.stir();
}

/// Reads the catalog and has asked what differs; after trouble, when all of it is there again.
async fn read_through(lanes: &Lanes, after_trouble: bool) -> Result<Reading, Error> {
    let mut digest = Digest::default();
    let path = match after_trouble {
        true => format!("{NODES}?{CONSISTENT}"),
        false => NODES.to_owned(),
    };
    let request = Request {
        method: "GET",
        path: &path,
        body: None,
        within: READING,
    };
    let traffic = Traffic::default();
    let mut begun = false;
    let about = lanes
        .client()
        .send(request, &traffic, &mut |_, piece| {
            if !std::mem::replace(&mut begun, true) {
                digest = Digest::default();
            }
            digest
                .read(piece)
                .map_err(|why| Error::Refused(200, why.to_string()))
        })
        .await?;
    let digests = digest
        .finish()
        .map_err(|why| Error::Refused(200, why.to_string()))?;
    let index = about.index.unwrap_or_default();
    if about.filtered || index == 0 {
        return Err(Error::Filtered(format!(
            "{}, {}",
            rights::SERVICES,
            rights::NODES
        )));
    }
    let parked = &lanes.parked;
    let before = parked.digests.replace(digests);
    let all = parked.state.replace(State::Watching) != State::Watching;
    let after = parked.digests.borrow();
    let now = Instant::now();
    let mut changed = 0;
    lanes.each(|entry| {
        if let Some(service) = entry.service
            && (all || before.of(service) != after.of(service))
        {
            changed += 1;
            entry.stale = true;
            entry.start_over();
            if !entry.runs {
                entry.due = Some(now);
            }
        }
    });
    lanes.stir();
    Ok(Reading {
        index,
        bytes: traffic.received(),
        changed,
    })
}

/// Waits until the catalog's index is another one, or for the end of the wait; gives the index.
async fn changed(lanes: &Lanes, index: u64) -> Result<u64, Error> {
    let path = format!(
        "{NODES}?filter=Node==%22%22&index={index}&wait={}s",
        WAIT.as_secs()
    );
    let request = Request {
        method: "GET",
        path: &path,
        body: None,
        within: WAIT + WAIT / 16 + SLACK,
    };
    let (about, _) = lanes.client().fetch(request, MAX_NOTHING_BYTES).await?;
    Ok(about.index.unwrap_or_default())
}

const NODES: &str = "/v1/internal/ui/nodes";

/// Fewer than this are not worth reading the catalog.
const FEWEST: usize = 8;

/// As long as Consul allows.
const WAIT: Duration = Duration::from_secs(600);

/// What a question may add to a reading that is made for quiet: its own answer is 1.2 KB.
const WORTH_BYTES: u64 = 8 * 1024;

/// Readings for nothing in an hour.
const FRUITLESS: u32 = 3;
const HOUR: Duration = Duration::from_secs(3600);

/// Between two readings, at least and at most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A catalog of 100 MB over a slow link.
const READING: Duration = Duration::from_secs(120);

/// `[]`, as no node has no name.
const MAX_NOTHING_BYTES: usize = 4096;

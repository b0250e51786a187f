//! A registration that is kept: made, made again when it is gone, and made anew when something else is to be registered.
//!
//! An agent remembers what is registered over a restart, but not over the loss of its data; a registration that is gone is made
//! again. Nothing is deregistered unless asked: a proxy that restarts must not be missing meanwhile, and of one that stays away
//! the agent's own check says so.

use std::{cell::RefCell, rc::Rc, time::Duration};

use smol::{
    Timer,
    channel::{self, Receiver, Sender},
    future,
};

use crate::{
    Client, Error, Event, Watch, Watches,
    registration::{Registration, deregister},
};

/// What is to be registered, which may change, or not be known yet.
#[derive(Debug)]
pub struct Kept {
    what: RefCell<Option<Rc<Registration>>>,
    /// Checks that it has no more. An agent goes on with those that a registration does not name.
    vanished: RefCell<Vec<String>>,
    /// Tells that it must be made, again or for the first time.
    tell: Sender<()>,
    told: Receiver<()>,
}

/// How a registration fares.
#[derive(Debug)]
pub enum Fare {
    /// It was made, for the first time or again.
    Made,
    /// It cannot be made now; it is tried again.
    Failed(Error),
}

impl Kept {
    /// This, or what is said later.
    #[must_use]
    pub fn new(what: Option<Registration>) -> Self {
        // However often it is told, once is enough.
        let (tell, told) = channel::bounded(1);
        Self {
            what: RefCell::new(what.map(Rc::new)),
            vanished: RefCell::default(),
            tell,
            told,
        }
    }

    /// What is to be registered, if that is known.
    #[must_use]
    pub fn what(&self) -> Option<Rc<Registration>> {
        self.what.borrow().clone()
    }

    /// Has this registered from now on, at once if it is something else than before.
    pub fn replace(&self, what: Registration) {
        let before = self.what();
        if before.as_deref() == Some(&what) {
            return;
        }
        let mut vanished = self.vanished.borrow_mut();
        vanished.extend(before.iter().flat_map(|it| it.checks.iter().cloned()));
        vanished.retain(|id| !what.checks.contains(id));
        self.what.replace(Some(Rc::new(what)));
        let _ = self.tell.try_send(());
    }

    /// Registers, at the agent or on this node, and again whenever nothing is known of it there, or something else is to be
    /// registered. `fare` hears of it each time. Ends with the watches.
    pub async fn keep(&self, watches: &Watches, node: Option<&str>, mut fare: impl FnMut(Fare)) {
        let mut failures = 0_u32;
        while !watches.is_stopped() {
            // What was told before now is done by what follows.
            let _ = self.told.try_recv();
            let Some(what) = self.what() else {
                let _ = self.told.recv().await;
                continue;
            };
            let client = watches.client();
            let made = what.make(client, node).await;
            let made = match made {
                Ok(()) => self.forget(client).await,
                failed => failed,
            };
            if let Err(error) = made {
                fare(Fare::Failed(error));
                failures = (failures + 1).min(5);
                self.told_or_after(RETRY * (1 << failures)).await;
                continue;
            }
            failures = 0;
            fare(Fare::Made);
            let watch = self.watch(watches, node, &what);
            let _ = self.told.recv().await;
            drop(watch);
            if self.what().is_some_and(|now| Rc::ptr_eq(&now, &what)) {
                // Where two are at odds about it neither may be busy with it.
                Timer::after(RETRY).await;
            }
        }
    }

    /// Has the agent forget the checks that are no more.
    async fn forget(&self, client: &Client) -> Result<(), Error> {
        loop {
            let Some(id) = self.vanished.borrow().last().cloned() else {
                return Ok(());
            };
            match deregister(client, "check", &id).await {
                // It may know nothing of it by now.
                Ok(()) | Err(Error::Refused(..)) => {
                    self.vanished.borrow_mut().retain(|it| *it != id);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells when nothing is known of it any more.
    fn watch(&self, watches: &Watches, node: Option<&str>, what: &Rc<Registration>) -> Watch {
        let (tell, what) = (self.tell.clone(), Rc::clone(what));
        let in_catalog = node.is_some();
        watches.watch(&Rc::new(what.question(node)), move |event| {
            let is_gone = match event {
                Event::Failed(Error::NotFound(_)) => !in_catalog,
                Event::Answer(_, body) => in_catalog && what.is_gone(body),
                _ => false,
            };
            if is_gone {
                let _ = tell.try_send(());
            }
        })
    }

    async fn told_or_after(&self, pause: Duration) {
        let told = async {
            let _ = self.told.recv().await;
        };
        let late = async {
            Timer::after(pause).await;
        };
        future::or(told, late).await;
    }
}

/// The first pause after a failure is twice this, the longest 32 times.
const RETRY: Duration = Duration::from_secs(1);

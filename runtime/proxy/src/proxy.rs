//! The data plane's handle, and the loop that drives it.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt,
    future::poll_fn,
    io,
    net::IpAddr,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

use plan::{Address, Plan};
use smol::{Async, future::yield_now};

use crate::tls::Clock;
use crate::{
    engine::Engine,
    event::{Cause, Counters, Observer},
    options::Options,
    unusable::Unusable,
};

/// How long the loop waits on its own set before it goes back to the reactor. Going back costs about as much as a
/// message, so it should not happen between two messages of a busy flow; other tasks may wait this long.
const LINGER: Duration = Duration::from_millis(1);

/// Turns in a row before other tasks are given a chance.
const TURNS: u32 = 32;

/// The data plane.
pub struct Proxy {
    engine: RefCell<Engine>,
    counters: Rc<Counters>,
    drained: RefCell<Option<Waker>>,
}

/// What putting a Plan to work came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Listeners that are new.
    pub listeners_opened: usize,
    /// Listeners that are gone; their connections live on.
    pub listeners_closed: usize,
    /// Clusters that are new, changed or gone.
    pub clusters_changed: usize,
}

/// A Plan that cannot be put to work. Nothing was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unfit {
    /// A listener cannot be had: its address, and what the kernel says.
    Listen(Address, io::Error),
    /// An identity, roots or TLS parameters cannot be used.
    Tls(Unusable),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, error) = match self {
            Self::Listen(address, error) => (address, error),
            Self::Tls(unusable) => return unusable.fmt(f),
        };
        write!(f, "cannot listen on {address}: {error}")?;
        match (error.kind(), address) {
            (io::ErrorKind::AddrInUse, Address::Inet(address)) => {
                write!(
                    f,
                    "; another process has port {} (ss -ltnp shows which)",
                    address.port()
                )
            }
            (io::ErrorKind::AddrInUse, Address::Unix(_)) => {
                f.write_str("; another process listens there (ss -lxp shows which)")
            }
            (io::ErrorKind::AlreadyExists, Address::Unix(_)) => {
                f.write_str("; the file there is no socket: move it away, or choose another path")
            }
            (io::ErrorKind::NotFound, Address::Unix(_)) => {
                f.write_str("; its directory does not exist: make it first")
            }
            (io::ErrorKind::PermissionDenied, Address::Unix(_)) => {
                f.write_str("; lictor needs to write in its directory")
            }
            (io::ErrorKind::AddrNotAvailable, Address::Inet(address)) => {
                write!(
                    f,
                    "; no interface of this machine has {} (ip addr shows them)",
                    address.ip()
                )
            }
            (io::ErrorKind::PermissionDenied, Address::Inet(_)) => {
                f.write_str("; ports below 1024 need CAP_NET_BIND_SERVICE")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Unfit {}

impl Proxy {
    /// A data plane that does nothing yet. Certificates are held against the time of `clock`; `seed` varies the choices among
    /// endpoints.
    ///
    /// # Errors
    ///
    /// No descriptors left.
    pub fn new(
        options: Options,
        clock: Clock,
        observer: Rc<dyn Observer>,
        seed: u64,
    ) -> io::Result<Self> {
        let counters = Rc::new(Counters::default());
        let engine = Engine::new(options, clock, Rc::clone(&counters), observer, seed)?;
        Ok(Self {
            engine: RefCell::new(engine),
            counters,
            drained: RefCell::default(),
        })
    }

    /// Puts a Plan to work in place of the one before: all of it, or nothing. What stays the same is not touched;
    /// connections live on, except those that lead to clusters which are gone.
    ///
    /// # Errors
    ///
    /// A new listener cannot be had, or TLS cannot be made of it; then the old Plan goes on.
    pub fn apply(&self, plan: &Plan) -> Result<Applied, Unfit> {
        let changes = self.engine.borrow_mut().apply(plan)?;
        Ok(Applied {
            listeners_opened: changes.opened,
            listeners_closed: changes.closed,
            clusters_changed: changes.clusters_changed,
        })
    }

    /// Replaces limits and times that can change at run time; the number of connections and the options of sockets that
    /// are open stay as they are.
    pub fn set_options(&self, options: Options) {
        let mut engine = self.engine.borrow_mut();
        let connections = engine.options.connections;
        engine.options = Options {
            connections,
            ..options
        };
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The listeners, with the addresses that they really have.
    #[must_use]
    pub fn listeners(&self) -> Vec<(String, Address)> {
        let engine = self.engine.borrow();
        let listeners = engine.table.listening_all();
        listeners
            .map(|(_, listener, _)| (listener.name.borrow().clone(), listener.address.clone()))
            .collect()
    }

    /// The services whose certificates are in use here, and the last second of each, since 1970.
    #[must_use]
    pub fn leaves(&self) -> Vec<(String, u64)> {
        self.engine.borrow().leaves.clone()
    }

    /// The host names of the Plan. Whoever resolves them tells [`Proxy::resolved`].
    #[must_use]
    pub fn host_names(&self) -> BTreeSet<String> {
        self.engine.borrow().table.names.keys().cloned().collect()
    }

    /// What became of a host name: its addresses, or why there are none. A failure does not undo an earlier answer.
    pub fn resolved(&self, name: &str, answer: Result<Vec<IpAddr>, String>) {
        self.engine.borrow_mut().resolved(name, answer);
    }

    /// Stops accepting, whatever Plans are applied later. Connections go on, by the Plan then in force.
    pub fn drain(&self) {
        self.engine.borrow_mut().drain();
    }

    /// Waits until a drained data plane has no connections left.
    pub async fn drained(&self) {
        poll_fn(|context| {
            if self.engine.borrow().is_drained() {
                return Poll::Ready(());
            }
            *self.drained.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Cuts every connection there is.
    pub fn cut_all(&self, cause: Cause) {
        self.engine.borrow_mut().cut_all(cause, |_| true);
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.counters.active.get()
    }

    /// Moves connections for as long as it is polled.
    ///
    /// # Errors
    ///
    /// The epoll set itself failed, which is a defect.
    pub async fn run(&self) -> io::Result<()> {
        let set = Rc::clone(&self.engine.borrow().epoll);
        let set = Async::new_nonblocking(set)?;
        loop {
            set.readable().await?;
            let mut turns = 0;
            while self.engine.borrow_mut().turn(LINGER)? {
                turns += 1;
                if turns % TURNS == 0 {
                    yield_now().await;
                }
            }
            if self.engine.borrow().is_drained()
                && let Some(waker) = self.drained.take()
            {
                waker.wake();
            }
        }
    }
}

//! Which time certificates are held against, on boards whose clock may be wrong.
//!
//! A board without a battery starts in 1970, and a clock that is set over the network can be set wrong. So the system's clock
//! is believed only as far as it is not behind a *floor*: a time that has passed for certain. The floor is the latest of what
//! the owner gives (when the binary was built, what was written down before the restart) and the newest issue date of a
//! certificate that was verified; these never fall. When our own certificates were issued counts for as long as we have them: one
//! that was issued with a wrong date does no harm beyond its replacement.
//!
//! Where the clock is behind the floor, it is known to be wrong, and the floor is the time. A peer's certificate that was issued
//! after it is then no reason to refuse, but news: an authority that we trust has signed it, so it is at least as late, and the
//! floor rises to it. Where the clock is not behind the floor, a certificate of the future is refused as ever.
//!
//! What a wrong clock and a hostile one can do is in ARCHITECTURE.md. In short: expiry is never held against an earlier time
//! than the floor; a clock that is ahead refuses everyone for as long as it is, and leaves nothing behind; and only a time at which
//! a chain was found valid ([`Clock::proven`]) is fit to be written down as the next floor, so a clock alone can never
//! raise it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use rustls::{pki_types::UnixTime, time_provider::TimeProvider};

use crate::leaf::Validity;

/// The time that certificates are held against. Cheap to clone; clones share what is learned.
#[derive(Clone)]
pub struct Clock {
    source: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// rustls wants what it asks for the time to be `Sync`. There is one thread, so nobody ever waits.
    learned: Arc<Mutex<Learned>>,
}

/// In seconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
struct Learned {
    floor: u64,
    own: u64,
    proven: u64,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| {
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
        })
    }

    /// A clock that gives the time since 1970.
    #[must_use]
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self {
            source: Arc::new(now),
            learned: Arc::default(),
        }
    }

    /// The same clock, knowing that this time has passed, in seconds since 1970.
    #[must_use]
    pub fn with_floor(self, seconds: u64) -> Self {
        {
            let mut learned = self.learned();
            learned.floor = learned.floor.max(seconds);
        }
        self
    }

    /// The time that is known to have passed, in seconds since 1970.
    #[must_use]
    pub fn floor(&self) -> u64 {
        let learned = self.learned();
        learned.floor.max(learned.own)
    }

    /// The newest of our own certificates was issued at this time, in seconds since 1970; those that we had before count
    /// no more.
    pub fn own(&self, issued: u64) {
        self.learned().own = issued;
    }

    /// The same clock as it would be without certificates of our own, to hold these against. It learns apart.
    #[must_use]
    pub fn without_own(&self) -> Self {
        let learned = Learned {
            own: 0,
            ..*self.learned()
        };
        Self {
            source: Arc::clone(&self.source),
            learned: Arc::new(Mutex::new(learned)),
        }
    }

    /// The time that certificates are held against, in seconds since 1970.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.shown().max(self.floor())
    }

    /// Whether the clock is known to be wrong, since it shows a time that has passed before.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.shown() < self.floor()
    }

    /// The latest time, by a clock not behind, at which a peer's chain was found valid, in seconds since 1970: fit to be the
    /// floor of the next process. `None` if there was no such time.
    #[must_use]
    pub fn proven(&self) -> Option<u64> {
        Some(self.learned().proven).filter(|proven| *proven > 0)
    }

    /// The time to hold certificates against.
    pub(crate) fn now(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(self.seconds()))
    }

    /// The same time for ever, which learns nothing.
    pub(crate) fn stopped(&self) -> Self {
        let now = Duration::from_secs(self.now().as_secs());
        Self::new(move || now)
    }

    /// The time to hold a chain against whose leaf has these dates.
    pub(crate) fn now_for(&self, now: UnixTime, leaf: Validity) -> UnixTime {
        if now.as_secs() < leaf.not_before && self.is_behind() {
            UnixTime::since_unix_epoch(Duration::from_secs(leaf.not_before))
        } else {
            now
        }
    }

    /// A chain was verified whose leaf was issued at this time.
    pub(crate) fn verified(&self, issued: u64) {
        let shown = self.shown();
        let mut learned = self.learned();
        learned.floor = learned.floor.max(issued);
        if shown >= learned.floor.max(learned.own) {
            learned.proven = learned.proven.max(shown);
        }
    }

    fn shown(&self) -> u64 {
        (self.source)().as_secs()
    }

    /// A poisoned lock means that another thread panicked, and what is inside is whole all the same.
    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({}, {:?})", self.shown(), *self.learned())
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}

//! A clock of the real binary that a test sets: a small library, preloaded, between it and the C library's clock_gettime(3).
//!
//! Linux has no namespace for the time of day (time_namespaces(7) has the other clocks), and to set the machine's own clock
//! would be felt by everything on it. It needs a C compiler, and a binary that is linked to the C library dynamically.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::preload::compile;
use crate::process::Launch;
use crate::sidecar::replace;
use crate::temp::TempDir;

/// A clock that is wrong by so many seconds.
#[derive(Debug)]
pub struct WrongClock(TempDir);

impl WrongClock {
    /// Wrong by so many seconds: ahead, or behind if negative.
    ///
    /// # Panics
    /// When there is no C compiler.
    pub fn by(seconds: i64) -> Self {
        let home = TempDir::new();
        compile(&home, "clock.c", include_str!("clock.c"));
        let clock = Self(home);
        clock.set(seconds);
        clock
    }

    /// In the first minute of 1970.
    pub fn in_1970() -> Self {
        Self::by(Self::to_1970())
    }

    /// How far it is to the first minute of 1970.
    pub fn to_1970() -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("this machine's clock is right").as_secs();
        5 - i64::try_from(now).expect("a time")
    }

    /// Another one, right at first.
    pub fn another(&self) -> Self {
        let home = TempDir::new();
        let library = |home: &TempDir| home.file("clock.so");
        std::fs::copy(library(&self.0), library(&home)).expect("a file can be copied");
        let clock = Self(home);
        clock.set(0);
        clock
    }

    /// Lets it jump.
    pub fn set(&self, seconds: i64) {
        replace(&self.0.file("seconds"), &seconds.to_string());
    }

    /// Gives it to a lictor for all its clocks, so that time passes when it is set ahead. What waits for a time notices with
    /// the next thing that happens to the process.
    pub fn passes_for(&self, launch: Launch) -> Launch {
        self.worn_by(launch)
            .env("LICTOR_TEST_CLOCK_ALL", PathBuf::from("1"))
    }

    /// Gives it to a lictor.
    pub fn worn_by(&self, launch: Launch) -> Launch {
        launch
            .preload(self.0.file("clock.so"))
            .env("LICTOR_TEST_CLOCK", self.0.file("seconds"))
    }
}

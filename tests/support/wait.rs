//! Waiting with a deadline: for something to become true, or for something to stay as it is.
//!
//! A test waits for the event itself wherever there is one to wait for (a line of the log, a
//! datagram, the end of a process). What can only be observed by asking, such as a counter, is
//! asked again and again here, so that no test holds a guess about how long something takes.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that should take no time at all. Generous, because a test machine
/// may be busy, and only ever used up by a test that fails.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Pause between two looks at something that can only be asked for.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until there is an answer, and gives it.
///
/// # Panics
/// When [`DEADLINE`] passes without one; `what` says what was waited for.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            Instant::now() < end,
            "waited {DEADLINE:?} in vain for: {what}"
        );
        thread::sleep(PAUSE);
    }
}

/// Asks until the answer is yes.
///
/// # Panics
/// When [`DEADLINE`] passes first.
pub fn until_true(what: &str, mut ask: impl FnMut() -> bool) {
    until(what, || ask().then_some(()));
}

/// Watches for `window` that something holds.
///
/// # Panics
/// As soon as it does not.
pub fn holds(window: Duration, what: &str, mut ask: impl FnMut() -> bool) {
    let end = Instant::now() + window;
    while Instant::now() < end {
        assert!(ask(), "did not hold: {what}");
        thread::sleep(PAUSE);
    }
}

//! One descriptor that becomes readable at a time (timerfd_create(2)), so that a deadline is an event like others.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::Timespec,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create,
        timerfd_settime,
    },
};

/// A timer on the monotonic clock.
#[derive(Debug)]
pub struct Timer(OwnedFd);

impl Timer {
    /// A timer that is not set.
    ///
    /// # Errors
    ///
    /// No descriptors left.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    /// Sets it to go off once, so long from now (at least a nanosecond); an earlier setting and an expiry that was
    /// not read are forgotten.
    ///
    /// # Errors
    ///
    /// None that a correct caller meets.
    pub fn set(&self, delay: Duration) -> io::Result<()> {
        let delay = delay.max(Duration::from_nanos(1));
        let it_value = Timespec {
            tv_sec: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: delay.subsec_nanos().into(),
        };
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value,
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }

    /// Takes note that it went off, so that it is not readable any more.
    pub fn clear(&self) {
        // Nothing to read means that it did not go off, which is no matter.
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoll::{Epoll, Events, Interest};

    #[test]
    fn it_goes_off_once() {
        let timer = Timer::new().unwrap();
        let epoll = Epoll::new().unwrap();
        let mut events = Events::with_capacity(1);
        epoll.add(&timer, 7, Interest::Readable).unwrap();
        timer.set(Duration::from_millis(2)).unwrap();
        epoll.wait(&mut events, Duration::from_secs(5)).unwrap();
        assert_eq!(events.get(0).map(|event| event.token), Some(7));
        timer.clear();
        epoll.wait(&mut events, Duration::from_millis(5)).unwrap();
        assert!(events.is_empty());
    }
}

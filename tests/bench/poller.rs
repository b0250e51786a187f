//! A level-triggered epoll set: the few lines that client and backend share.
//!
//! Level-triggered because the generator may leave work for later and must not lose it; the
//! generator's own cost is not what is measured.

pub(crate) use rustix::event::epoll::EventFlags;
use rustix::event::epoll::{self, CreateFlags, Event, EventData};
use rustix::io::Errno;
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

/// An epoll set and room for what it reports.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(EVENTS_PER_WAIT),
        })
    }

    /// Reports events of `source` under `key`.
    pub(crate) fn add(&self, source: impl AsFd, key: usize, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            source,
            EventData::new_u64(key as u64),
            flags,
        )?)
    }

    /// Changes what is reported of `source`.
    pub(crate) fn change(
        &self,
        source: impl AsFd,
        key: usize,
        flags: EventFlags,
    ) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            source,
            EventData::new_u64(key as u64),
            flags,
        )?)
    }

    /// Waits at most `limit`; gives keys and flags, none when a signal came in between.
    pub(crate) fn wait(
        &mut self,
        limit: Duration,
    ) -> io::Result<impl Iterator<Item = (usize, EventFlags)> + '_> {
        self.events.clear();
        let limit = rustix::event::Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            Some(&limit),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.events.iter().map(|event| {
            let (data, flags) = (event.data, event.flags);
            (usize::try_from(data.u64()).unwrap_or(usize::MAX), flags)
        }))
    }
}

/// Enough for the busiest workload's flows in one call.
const EVENTS_PER_WAIT: usize = 256;

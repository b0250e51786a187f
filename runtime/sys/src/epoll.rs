//! One epoll set (epoll(7)).
//!
//! Owners put a token on every descriptor and get it back with each event. Nothing is remembered here: a token that
//! outlived its descriptor is the owner's to recognise. Closing a descriptor takes it out of the set.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
};

/// What to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// A stream socket, edge-triggered, both directions and the peer's half-close. Set once and never changed.
    Stream,
    /// A descriptor to read from for as long as there is something to read (level-triggered).
    Readable,
}

/// What became of a descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    flags: EventFlags,
    /// The token that the descriptor was added with.
    pub token: u64,
}

impl Event {
    /// There is something to read, or the end of it.
    #[must_use]
    pub fn readable(&self) -> bool {
        self.flags
            .intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR)
    }

    /// There is room to write, or a connect has ended.
    #[must_use]
    pub fn writable(&self) -> bool {
        self.flags
            .intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR)
    }

    /// The peer will send no more.
    #[must_use]
    pub fn hung_up(&self) -> bool {
        self.flags
            .intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR)
    }

    /// The socket has an error pending, a reset as a rule.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.flags.contains(EventFlags::ERR)
    }
}

/// An epoll set.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    ///
    /// No descriptors left, or no memory.
    pub fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Adds a descriptor.
    ///
    /// # Errors
    ///
    /// It is in the set already, or the limit of watches (`/proc/sys/fs/epoll/max_user_watches`) is reached.
    pub fn add(&self, descriptor: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(
            &self.0,
            descriptor,
            EventData::new_u64(token),
            flags(interest),
        )?)
    }

    /// Gives a descriptor another token, and reports its state afresh.
    ///
    /// # Errors
    ///
    /// It is not in the set.
    pub fn modify(&self, descriptor: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(
            &self.0,
            descriptor,
            EventData::new_u64(token),
            flags(interest),
        )?)
    }

    /// Takes a descriptor out without closing it.
    ///
    /// # Errors
    ///
    /// It is not in the set.
    pub fn delete(&self, descriptor: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.0, descriptor)?)
    }

    /// Waits for at most `patience` and fills `events` up to its capacity. An interrupted wait is an empty one.
    ///
    /// # Errors
    ///
    /// None that a correct caller meets.
    pub fn wait(&self, events: &mut Events, patience: Duration) -> io::Result<()> {
        events.0.clear();
        let patience = Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        };
        match epoll::wait(&self.0, spare_capacity(&mut events.0), Some(&patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn flags(interest: Interest) -> EventFlags {
    match interest {
        Interest::Stream => EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET,
        Interest::Readable => EventFlags::IN,
    }
}

/// Room for the events of one wait.
pub struct Events(Vec<epoll::Event>);

impl Events {
    /// Room for that many.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity.max(1)))
    }

    /// How many events the last wait brought.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the last wait brought nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<Event> {
        self.0.get(at).map(|event| Event {
            flags: event.flags,
            token: event.data.u64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net::TcpListener, net::TcpStream};

    use super::*;

    #[test]
    fn a_token_comes_back_with_what_happened() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let epoll = Epoll::new().unwrap();
        let mut events = Events::with_capacity(4);
        epoll.add(&server, u64::MAX - 1, Interest::Stream).unwrap();
        epoll.wait(&mut events, Duration::from_secs(5)).unwrap();
        let event = events.get(0).unwrap();
        assert!(event.writable() && !event.readable() && !event.hung_up());
        assert_eq!(event.token, u64::MAX - 1);

        client.write_all(b"x").unwrap();
        drop(client);
        let mut hung_up = false;
        while !hung_up {
            epoll.wait(&mut events, Duration::from_secs(5)).unwrap();
            let event = events
                .get(0)
                .expect("the end of the stream within the time");
            assert!(event.readable());
            hung_up = event.hung_up();
        }
    }

    #[test]
    fn a_wait_without_events_ends() {
        let epoll = Epoll::new().unwrap();
        let mut events = Events::with_capacity(4);
        epoll.wait(&mut events, Duration::from_millis(1)).unwrap();
        assert!(events.is_empty());
    }
}

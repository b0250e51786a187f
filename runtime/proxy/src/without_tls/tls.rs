//! The words of the `tls` room for a build without it. Sessions and contexts cannot be made, so what is written about them
//! compiles to nothing.

use std::{convert::Infallible, fmt, io::IoSliceMut, sync::Arc};

use plan::spiffe::SpiffeId;

/// What TLS contexts have in common: nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options;

/// The time that certificates are held against, of which there are none.
#[derive(Clone, Debug)]
pub struct Clock;

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self
    }

    /// The same clock, knowing that this time has passed.
    #[must_use]
    pub fn with_floor(self, _: u64) -> Self {
        self
    }

    /// The time that is known to have passed.
    #[must_use]
    pub fn floor(&self) -> u64 {
        0
    }

    /// The time that certificates are held against.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        0
    }

    /// Whether the clock is known to be wrong.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        false
    }

    /// The latest time at which a peer's chain was found valid.
    #[must_use]
    pub fn proven(&self) -> Option<u64> {
        None
    }
}

/// Why something of TLS is not there.
#[derive(Debug)]
pub(crate) enum Error {
    /// It never is.
    Bug(&'static str),
}

impl Error {
    pub(crate) fn is_denial(&self) -> bool {
        false
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Bug(what) = self;
        f.write_str(what)
    }
}

/// Never made.
#[derive(Clone, Debug)]
pub(crate) struct ServerContext(Infallible);

/// Never made.
#[derive(Clone, Debug)]
pub(crate) struct ClientContext(Infallible);

/// Never made.
#[derive(Debug)]
pub(crate) struct Session(Infallible);

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(dead_code, reason = "there is no session to be so far")]
pub(crate) enum Step {
    Handshaking,
    Established,
    PeerClosed,
}

impl ServerContext {
    pub(crate) fn accept(&self) -> Result<Session, Error> {
        match self.0 {}
    }

    pub(crate) fn still_accepts(&self, _: &Session) -> Result<(), Error> {
        match self.0 {}
    }
}

impl ClientContext {
    pub(crate) fn connect(&self) -> Result<Session, Error> {
        match self.0 {}
    }

    pub(crate) fn still_accepts(&self, _: &Session) -> Result<(), Error> {
        match self.0 {}
    }
}

impl Session {
    pub(crate) fn receive(
        &mut self,
        _: &mut [u8],
        _: &mut Outgoing,
        _: &mut dyn FnMut(&[u8]),
    ) -> Result<Step, Error> {
        match self.0 {}
    }

    pub(crate) fn room_in_front(&self) -> usize {
        match self.0 {}
    }

    pub(crate) fn open(&mut self, _: &mut [u8], _: &mut Outgoing) -> Result<usize, Error> {
        match self.0 {}
    }

    pub(crate) fn slots<'a>(&mut self, _: &'a mut Outgoing) -> Result<[IoSliceMut<'a>; 1], Error> {
        match self.0 {}
    }

    pub(crate) fn seal(&mut self, _: usize, _: &mut Outgoing) -> Result<(), Error> {
        match self.0 {}
    }

    pub(crate) fn has_tickets_last(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn encrypt(&mut self, _: &[u8], _: &mut Outgoing) -> Result<(), Error> {
        match self.0 {}
    }

    pub(crate) fn close(&mut self, _: &mut Outgoing) -> Result<(), Error> {
        match self.0 {}
    }

    pub(crate) fn end_of_stream(&self) -> Result<(), Error> {
        match self.0 {}
    }

    pub(crate) fn step(&self) -> Step {
        match self.0 {}
    }

    pub(crate) fn peer(&self) -> Option<&Arc<SpiffeId>> {
        match self.0 {}
    }
}

/// Bytes on their way out: none.
#[derive(Debug, Default)]
pub(crate) struct Outgoing;

impl Outgoing {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &[]
    }

    pub(crate) fn is_empty(&self) -> bool {
        true
    }

    pub(crate) fn clear(&mut self) {}

    pub(crate) fn extend(&mut self, _: &[u8]) {}
}

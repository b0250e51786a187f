//! Signals as a descriptor that becomes readable, so that they are an event like any other.
//!
//! The signals are blocked and read from a signalfd (signalfd(2)): no handler ever runs, so nothing
//! interrupts the one thread in the middle of something, and nothing has to be async-signal-safe.
//! Never installs a handler, never touches a signal it was not asked for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::io::Errno;

/// A signal the process acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: read the configuration again.
    Hangup,
    /// SIGTERM: drain and stop.
    Terminate,
    /// SIGINT: what a terminal sends for Ctrl-C; the same as SIGTERM.
    Interrupt,
    /// SIGUSR1: tell what is going on.
    User1,
}

impl Signal {
    const ALL: [Self; 4] = [Self::Hangup, Self::Terminate, Self::Interrupt, Self::User1];

    const fn number(self) -> libc::c_int {
        match self {
            Self::Hangup => libc::SIGHUP,
            Self::Terminate => libc::SIGTERM,
            Self::Interrupt => libc::SIGINT,
            Self::User1 => libc::SIGUSR1,
        }
    }

    fn of_number(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|signal| u32::try_from(signal.number()) == Ok(number))
    }
}

/// The blocked signals, readable when one has arrived. One descriptor, non-blocking, closed on
/// exec.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks `signals` for the calling thread and for every thread it starts later, and collects
    /// them from now on.
    ///
    /// Must be called before any other thread exists: a thread that does not block a signal takes
    /// the signal's default action for the whole process, which for all of these is to end it.
    /// Programs started later inherit the block.
    ///
    /// # Errors
    /// What signalfd(2) says: no descriptor left, no memory.
    pub fn new(signals: &[Signal]) -> io::Result<Self> {
        let set = set_of(signals);
        // SAFETY: `set` is an initialised sigset_t, and the third argument may be null: the old
        // mask is not wanted.
        let error =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        // SAFETY: `set` is an initialised sigset_t, and -1 asks for a new descriptor.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd just opened `fd`, and nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal that has arrived, or `None` when there is none now. Never blocks.
    ///
    /// The same signal arriving again before it was read is one signal: that is how the kernel
    /// keeps them.
    ///
    /// # Errors
    /// What read(2) says; it has no failure of its own here.
    pub fn read(&self) -> io::Result<Option<Signal>> {
        let mut record = [0_u8; SIGINFO_BYTES];
        loop {
            match rustix::io::read(&self.0, &mut record) {
                // The signal's number is the first field, in the machine's own byte order.
                Ok(_) => {
                    let [a, b, c, d, ..] = record;
                    if let Some(signal) = Signal::of_number(u32::from_ne_bytes([a, b, c, d])) {
                        return Ok(Some(signal));
                    }
                }
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Makes a write to a peer that is gone an error (EPIPE) and not the end of the process.
///
/// Rust's runtime does so too before `main`, but splice(2) has no flag to ask for it call by call,
/// so the data plane states what it rests on.
///
/// # Errors
/// What signal(2) says; SIGPIPE may always be ignored.
pub fn ignore_sigpipe() -> io::Result<()> {
    // SAFETY: SIG_IGN is a valid disposition for SIGPIPE, and no handler is installed.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    if before == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes a write to a pipe or socket whose reader is gone end the process, as programs of the command line do:
/// Rust starts with that turned off, and printing would panic.
///
/// # Errors
/// What signal(2) says; SIGPIPE may always be given back its default.
pub fn end_on_sigpipe() -> io::Result<()> {
    // SAFETY: SIG_DFL is a valid disposition for SIGPIPE, and no handler is installed.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    if before == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn set_of(signals: &[Signal]) -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the whole set it is given, and cannot fail on a valid
    // pointer.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for signal in signals {
        // SAFETY: `set` is initialised, and every number a `Signal` has is a valid signal.
        unsafe { libc::sigaddset(&raw mut set, signal.number()) };
    }
    set
}

/// One record of a signalfd; the kernel gives whole records only.
const SIGINFO_BYTES: usize = size_of::<libc::signalfd_siginfo>();

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends to this thread alone, which has it blocked: other tests' threads are not concerned.
    fn raise(signal: Signal) {
        // SAFETY: a valid signal number; the calling thread blocks it.
        assert_eq!(unsafe { libc::raise(signal.number()) }, 0);
    }

    #[test]
    fn a_signal_becomes_readable_and_is_read_once() {
        let signals = Signals::new(&[Signal::Hangup, Signal::User1]).unwrap();
        assert_eq!(signals.read().unwrap(), None);
        raise(Signal::User1);
        let mut poll = [rustix::event::PollFd::new(
            &signals,
            rustix::event::PollFlags::IN,
        )];
        assert_eq!(
            rustix::event::poll(&mut poll, Some(&rustix::time::Timespec::default())).unwrap(),
            1
        );
        assert_eq!(signals.read().unwrap(), Some(Signal::User1));
        assert_eq!(signals.read().unwrap(), None);
    }

    #[test]
    fn each_signal_is_told_apart() {
        let signals = Signals::new(&Signal::ALL).unwrap();
        for signal in Signal::ALL {
            raise(signal);
            assert_eq!(signals.read().unwrap(), Some(signal));
        }
    }

    #[test]
    fn a_write_to_a_reader_that_is_gone_is_an_error() {
        ignore_sigpipe().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        drop(reader);
        assert_eq!(rustix::io::write(&writer, b"x"), Err(Errno::PIPE));
    }
}

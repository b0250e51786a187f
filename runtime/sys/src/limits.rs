//! The limit on open descriptors.
//!
//! A flow costs two descriptors, so the usual soft limit of 1,024 would hold a gateway to some 500
//! flows. The soft limit is only that low for programs that use select(2), which cannot go past it;
//! the hard limit is what the administrator really allows. Never raises the hard limit.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many descriptors the process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// The soft limit as it was found; `None` is no limit.
    pub before: Option<u64>,
    /// The limit in force now; `None` is no limit.
    pub now: Option<u64>,
}

/// Raises the soft limit on open descriptors (RLIMIT_NOFILE) to the hard one, and tells both.
///
/// # Errors
/// What setrlimit(2) says; a process may always raise its soft limit as far as the hard one, unless
/// a sandbox forbids the call.
pub fn raise_open_files() -> io::Result<OpenFiles> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised)?;
    }
    Ok(OpenFiles {
        before: limit.current,
        now: getrlimit(Resource::Nofile).current,
    })
}

/// Whether an error means that this process or machine has nothing left to give: descriptors or memory.
#[must_use]
pub fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS];
    Errno::from_io_error(error).is_some_and(|error| exhausted.contains(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let hard = getrlimit(Resource::Nofile).maximum;
        // Lowered first, so that there is something to raise; 512 is above what the other tests
        // need.
        let lowered = Rlimit {
            current: Some(512),
            maximum: hard,
        };
        setrlimit(Resource::Nofile, lowered).unwrap();
        let limit = raise_open_files().unwrap();
        assert_eq!(limit.before, Some(512));
        assert_eq!(limit.now, hard);
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
    }
}

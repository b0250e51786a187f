//! What can go wrong while a blob is written.

use std::{fmt, io};

/// Why something is not remembered. What was remembered before still is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The blob would be larger than what is read again.
    TooLarge,
    /// The operating system refused this.
    System(io::Error, &'static str),
    /// A defect in lictor.
    Bug(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("more than a blob of 4 MiB can hold"),
            Self::System(error, what) => {
                write!(f, "{what}: {error}")?;
                if error.kind() == io::ErrorKind::StorageFull {
                    f.write_str("; make room in the state directory")?;
                }
                Ok(())
            }
            Self::Bug(what) => write!(f, "a defect in lictor: {what}"),
        }
    }
}

impl std::error::Error for Error {}

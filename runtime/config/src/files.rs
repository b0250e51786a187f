//! The certificate and key files that a configuration names, and what else it needs of this machine.
//!
//! [`crate::parse_with`] asks a [`Files`] for them, so that it touches no disk itself; [`Disk`] is
//! what [`crate::load`] gives it. A key is never part of a message.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use plan::Secret;

use crate::template::InterfaceAddress;

/// The largest certificate or key file that is read, in bytes: a bundle of twenty roots fits.
pub const MAX_PEM_BYTES: usize = 64 * 1024;

/// Read permission for the group and for others (chmod(2)).
const READABLE_BY_OTHERS: u32 = 0o044;

/// A file that was read.
#[derive(Clone, Debug)]
pub struct PemFile {
    /// Its text.
    pub text: Secret,
    /// Whether its group or others may read it.
    pub exposed: bool,
}

/// Where certificate and key files come from, and addresses by interface.
pub trait Files {
    /// Reads one file, of at most [`MAX_PEM_BYTES`].
    ///
    /// # Errors
    /// Says why it cannot be read, without its contents.
    fn read(&self, path: &Path) -> io::Result<PemFile>;

    /// The addresses of this machine's interfaces, in the kernel's order, for addresses that are templates.
    ///
    /// # Errors
    /// Says why they are not known.
    fn interfaces(&self) -> io::Result<Vec<InterfaceAddress>> {
        Ok(Vec::new())
    }
}

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<PemFile> {
        let metadata = fs::metadata(path)?;
        // Opening a pipe would wait for whoever writes into it.
        if !metadata.is_file() {
            return Err(io::Error::other("not a file"));
        }
        // All at once: a buffer that grows leaves copies of a key behind.
        let mut bytes = Vec::with_capacity(MAX_PEM_BYTES.saturating_add(1));
        let limit = u64::try_from(bytes.capacity()).unwrap_or(u64::MAX);
        fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        if bytes.len() > MAX_PEM_BYTES {
            return Err(io::Error::other(format!(
                "larger than {MAX_PEM_BYTES} bytes"
            )));
        }
        // The text itself is no part of the message.
        let text = String::from_utf8(bytes).map_err(|_| io::Error::other("not text"))?;
        Ok(PemFile {
            text: Secret::new(text),
            exposed: metadata.permissions().mode() & READABLE_BY_OTHERS != 0,
        })
    }
}

/// No files at all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path) -> io::Result<PemFile> {
        Err(io::Error::other("no files are read here"))
    }
}

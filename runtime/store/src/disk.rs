//! The few calls by which slots reach the disk, as a trait: so a test can cut the power between any two.

use std::{io, os::fd::OwnedFd};

use sys::directory::Directory;

/// One directory of a disk. A file is open for reading or for writing, whichever it was opened for.
pub trait Disk {
    /// An open file.
    type File;

    /// A file's content, as far as it is no longer than `most` and one byte more; `None` if there is no such file.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn read(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>>;

    /// Makes or empties a file, of mode 0600.
    ///
    /// # Errors
    /// As the operating system says.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file that is there, to sync it.
    ///
    /// # Errors
    /// As the operating system says.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Writes some of the bytes at the end; gives how many.
    ///
    /// # Errors
    /// As the operating system says.
    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<usize>;

    /// Waits until a file's content would survive a power cut.
    ///
    /// # Errors
    /// It may not.
    fn sync_file(&self, file: &Self::File) -> io::Result<()>;

    /// Waits until the files' names would.
    ///
    /// # Errors
    /// They may not.
    fn sync_names(&self) -> io::Result<()>;

    /// Gives a file another name.
    ///
    /// # Errors
    /// As the operating system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
}

/// A real directory.
#[derive(Debug)]
pub struct OnDisk(pub Directory);

impl Disk for OnDisk {
    type File = OwnedFd;

    fn read(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        self.0.read(name, most)
    }

    fn create(&self, name: &str) -> io::Result<OwnedFd> {
        self.0.create(name)
    }

    fn open(&self, name: &str) -> io::Result<OwnedFd> {
        self.0.open_file(name)
    }

    fn write(&self, file: &mut OwnedFd, bytes: &[u8]) -> io::Result<usize> {
        Directory::write(file, bytes)
    }

    fn sync_file(&self, file: &OwnedFd) -> io::Result<()> {
        Directory::sync_file(file)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
}

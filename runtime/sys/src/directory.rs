//! A directory to keep small files in, such that a power cut loses no more than it must.
//!
//! Each function that writes is one system call on the open directory, so that whoever writes decides on the order of calls, and a
//! test can stop between any two of them. Files are made for their owner alone. It never follows a link in the place of a
//! file, and never makes the directory itself: that is for who installs.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::{
    fs::{CWD, FlockOperation, Mode, OFlags, fchmod, flock, fstatfs, fsync, openat, renameat},
    io::Errno,
};

/// An open directory.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl Directory {
    /// Opens it.
    ///
    /// # Errors
    /// It is not there, is no directory, or may not be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, path, flags, Mode::empty())?))
    }

    /// Takes it for this process, for as long as the value lives (flock(2)). False if another process has it.
    ///
    /// # Errors
    /// The file system knows no locks.
    pub fn lock(&self) -> io::Result<bool> {
        match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether what is in it is in memory only, and gone when the machine restarts.
    ///
    /// # Errors
    /// What fstatfs(2) says.
    pub fn is_volatile(&self) -> io::Result<bool> {
        let kind = fstatfs(&self.0)?.f_type.to_le_bytes();
        // The field has 32 or 64 bits, and a sign or none, as the target would have it: the low 32 count.
        let is = |magic: u32| kind.starts_with(&magic.to_le_bytes());
        Ok(is(TMPFS) || is(RAMFS))
    }

    /// The content of a file, as far as it is no longer than `most` bytes and one more; `None` if it is not there.
    ///
    /// # Errors
    /// It may not be read, or is no file.
    pub fn read(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open_file(name) {
            Ok(file) => File::from(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // All at once: a buffer that grows leaves copies behind, and what is read may be a key.
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(length.min(most).saturating_add(1));
        let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        file.take(most).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Makes a file, or empties the one there is, and opens it for writing. Mode 0600 in either case.
    ///
    /// # Errors
    /// What openat(2) or fchmod(2) says.
    pub fn create(&self, name: &str) -> io::Result<OwnedFd> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let owner = Mode::RUSR | Mode::WUSR;
        let file = openat(&self.0, name, flags, owner)?;
        // The mode that openat takes is for a new file only.
        fchmod(&file, owner)?;
        Ok(file)
    }

    /// Opens a file that is there, to bring it to the disk: whoever wrote it may not have.
    ///
    /// # Errors
    /// What openat(2) says.
    pub fn open_file(&self, name: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        Ok(openat(&self.0, name, flags, Mode::empty())?)
    }

    /// Writes bytes; gives how many of them were taken.
    ///
    /// # Errors
    /// What write(2) says: the disk is full, or failing.
    pub fn write(file: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| {
            rustix::io::write(file, bytes)
        })?)
    }

    /// Waits until a file's content is on the disk.
    ///
    /// # Errors
    /// It is not, and may never be: fsync(2) does not say it twice.
    pub fn sync_file(file: &OwnedFd) -> io::Result<()> {
        Ok(fsync(file)?)
    }

    /// Waits until the directory's entries are on the disk: files that were made, or have another name.
    ///
    /// # Errors
    /// What fsync(2) says.
    pub fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.0)?)
    }

    /// Gives a file another name; a file that has that name is gone.
    ///
    /// # Errors
    /// What renameat(2) says.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }
}

/// `TMPFS_MAGIC` and `RAMFS_MAGIC` of statfs(2).
const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58f6;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

    use super::*;

    struct Temporary(PathBuf);

    impl Temporary {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir()
                .join(format!("lictor-directory-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn put(directory: &Directory, name: &str, bytes: &[u8]) {
        let file = directory.create(name).unwrap();
        assert_eq!(Directory::write(&file, bytes).unwrap(), bytes.len());
        Directory::sync_file(&file).unwrap();
        directory.sync().unwrap();
    }

    #[test]
    fn what_is_written_is_read_and_is_the_owners_alone() {
        let home = Temporary::new("write");
        fs::write(home.0.join("old"), "old content").unwrap();
        fs::set_permissions(home.0.join("old"), fs::Permissions::from_mode(0o644)).unwrap();
        let directory = Directory::open(&home.0).unwrap();
        for name in ["new", "old"] {
            put(&directory, name, b"text");
            assert_eq!(directory.read(name, 9).unwrap().unwrap(), b"text");
            let mode = fs::metadata(home.0.join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        // The buffer never grew, so it left no copy behind.
        put(&directory, "long", &[b'x'; 100_000]);
        let long = directory.read("long", 1 << 20).unwrap().unwrap();
        assert_eq!((long.len(), long.capacity()), (100_000, 100_001));
        // One byte more than asked tells that there is more.
        assert_eq!(directory.read("new", 2).unwrap().unwrap(), b"tex");
        assert_eq!(directory.read("none", 9).unwrap(), None);
    }

    #[test]
    fn a_link_is_not_followed() {
        let home = Temporary::new("link");
        let target = home.0.join("target");
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, home.0.join("slot")).unwrap();
        let directory = Directory::open(&home.0).unwrap();
        assert!(directory.create("slot").is_err());
        assert!(directory.read("slot", 9).is_err());
        assert_eq!(fs::read(target).unwrap(), b"precious");
    }

    #[test]
    fn one_process_has_it_at_a_time() {
        let home = Temporary::new("lock");
        let (one, other) = (
            Directory::open(&home.0).unwrap(),
            Directory::open(&home.0).unwrap(),
        );
        assert!(one.lock().unwrap());
        assert!(!other.lock().unwrap());
        drop(one);
        assert!(other.lock().unwrap());
    }

    #[test]
    fn a_file_takes_another_name() {
        let home = Temporary::new("rename");
        let directory = Directory::open(&home.0).unwrap();
        put(&directory, "a", b"1");
        Directory::sync_file(&directory.open_file("a").unwrap()).unwrap();
        directory.rename("a", "b").unwrap();
        assert_eq!(directory.read("a", 9).unwrap(), None);
        assert_eq!(directory.read("b", 9).unwrap().unwrap(), b"1");
    }

    #[test]
    fn memory_is_told_from_a_disk() {
        let shm = Directory::open(Path::new("/dev/shm")).unwrap();
        assert!(shm.is_volatile().unwrap());
        assert!(
            !Directory::open(Path::new("/proc"))
                .unwrap()
                .is_volatile()
                .unwrap()
        );
        assert!(Directory::open(Path::new("/nowhere")).is_err());
    }
}

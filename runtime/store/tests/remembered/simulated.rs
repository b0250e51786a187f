//! A disk that forgets: what was not synced may be lost when the power is cut, in any part and any order.
//!
//! It keeps what a program sees, and apart from it what is on the disk for certain, with all that was done since. At a cut each of
//! those later things happened or not, by chance: a file was emptied or not, its length grew or not, each sector of what was
//! written is there, or is as it was, or is zero or noise; a new name is there or not; a file has its old name or its other one. This is weaker than ext4, f2fs and UBIFS promise.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
};

use store::Disk;

/// Written whole or not at all. Smaller than real ones, so that small blobs have many.
const SECTOR: usize = 128;

#[derive(Clone, Debug, Default)]
struct Inode {
    /// What a program reads.
    seen: Vec<u8>,
    /// What is on the disk for certain.
    sure: Vec<u8>,
    /// Whether anything was done since.
    unsure: bool,
}

/// The disk.
#[derive(Debug, Default)]
pub(crate) struct Simulated {
    inodes: RefCell<Vec<Inode>>,
    names: RefCell<BTreeMap<String, usize>>,
    sure_names: RefCell<BTreeMap<String, usize>>,
    /// Since then: which name became which other one.
    renamed: RefCell<Vec<(String, String)>>,
    /// Calls until the power is cut.
    left: Cell<Option<usize>>,
    /// Bytes until the disk is full.
    room: Cell<Option<usize>>,
    calls: Cell<usize>,
    written: Cell<usize>,
    chance: Cell<u64>,
}

impl Simulated {
    pub(crate) fn new(seed: u64) -> Self {
        let disk = Self::default();
        disk.chance.set(seed.wrapping_mul(2).wrapping_add(1));
        disk
    }

    /// Cuts the power at the call after so many more; in the middle of it, if it is a write.
    pub(crate) fn cut_after(&self, calls: usize) {
        self.left.set(Some(calls));
    }

    /// The disk takes so many more bytes.
    pub(crate) fn room_for(&self, bytes: usize) {
        self.room.set(Some(bytes));
    }

    /// How many calls there were that change something.
    pub(crate) fn calls(&self) -> usize {
        self.calls.get()
    }

    /// How many bytes were written.
    pub(crate) fn written(&self) -> usize {
        self.written.get()
    }

    /// The machine starts again: what was not sure has happened, or not, or in part.
    pub(crate) fn restart(&self) {
        self.left.set(None);
        let mut names = self.sure_names.borrow().clone();
        for (from, to) in self.renamed.take() {
            if self.draw(2) == 0
                && let Some(inode) = names.remove(&from)
            {
                names.insert(to, inode);
            }
        }
        let later: Vec<(String, usize)> = self.names.borrow().clone().into_iter().collect();
        for (name, inode) in later {
            let renamed = names.values().any(|known| *known == inode);
            if !renamed && self.draw(2) == 0 {
                names.insert(name, inode);
            }
        }
        let count = self.inodes.borrow().len();
        for at in 0..count {
            let inode = self.inodes.borrow()[at].clone();
            let left = if inode.unsure {
                self.torn(&inode)
            } else {
                inode.sure
            };
            self.inodes.borrow_mut()[at] = Inode {
                seen: left.clone(),
                sure: left,
                unsure: false,
            };
        }
        self.names.replace(names.clone());
        self.sure_names.replace(names);
    }

    /// Puts bytes into a file, as if they had always been there.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let mut inodes = self.inodes.borrow_mut();
        inodes.push(Inode {
            seen: bytes.to_vec(),
            sure: bytes.to_vec(),
            unsure: false,
        });
        let at = inodes.len() - 1;
        self.names.borrow_mut().insert(name.to_owned(), at);
        self.sure_names.borrow_mut().insert(name.to_owned(), at);
    }

    pub(crate) fn content(&self, name: &str) -> Option<Vec<u8>> {
        let at = *self.names.borrow().get(name)?;
        Some(self.inodes.borrow()[at].seen.clone())
    }

    fn torn(&self, inode: &Inode) -> Vec<u8> {
        let length = match self.draw(3) {
            0 => inode.sure.len(),
            1 => inode.seen.len(),
            _ => self.draw(inode.seen.len().max(inode.sure.len()) + 1),
        };
        let mut left = vec![0; length];
        for (at, sector) in left.chunks_mut(SECTOR).enumerate() {
            let from = |bytes: &[u8]| bytes.iter().skip(at * SECTOR).copied().collect::<Vec<u8>>();
            let source = match self.draw(5) {
                0 | 1 => from(&inode.seen),
                2 => from(&inode.sure),
                3 => Vec::new(),
                _ => vec![u8::try_from(self.draw(256)).unwrap(); SECTOR],
            };
            for (to, byte) in sector.iter_mut().zip(source) {
                *to = byte;
            }
        }
        left
    }

    /// Counts a call; an error once the power is gone.
    fn call(&self) -> io::Result<()> {
        self.calls.set(self.calls.get() + 1);
        match self.left.get() {
            Some(0) => Err(io::Error::other("the power is cut")),
            left => {
                self.left.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }

    fn draw(&self, below: usize) -> usize {
        let mut chance = self.chance.get();
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        self.chance.set(chance);
        usize::try_from(chance >> 33).unwrap() % below
    }
}

impl Disk for Simulated {
    type File = usize;

    fn read(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        let cut = |mut bytes: Vec<u8>| {
            bytes.truncate(most + 1);
            bytes
        };
        Ok(self.content(name).map(cut))
    }

    fn create(&self, name: &str) -> io::Result<usize> {
        self.call()?;
        let mut inodes = self.inodes.borrow_mut();
        let known = self.names.borrow().get(name).copied();
        let at = known.unwrap_or_else(|| {
            inodes.push(Inode::default());
            inodes.len() - 1
        });
        self.names.borrow_mut().insert(name.to_owned(), at);
        inodes[at].seen.clear();
        inodes[at].unsure = true;
        Ok(at)
    }

    fn open(&self, name: &str) -> io::Result<usize> {
        self.call()?;
        let at = self.names.borrow().get(name).copied();
        at.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&self, file: &mut usize, bytes: &[u8]) -> io::Result<usize> {
        let cut = self.call();
        let room = self.room.get().unwrap_or(usize::MAX);
        // Never all of a long write at once, so that there are cuts within it; and in the middle at a cut.
        let taken = match &cut {
            Ok(()) => bytes.len().min(3 * SECTOR).min(room),
            Err(_) => self.draw(bytes.len() + 1).min(room),
        };
        if taken == 0 && cut.is_ok() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room.set(self.room.get().map(|room| room - taken));
        self.written.set(self.written.get() + taken);
        let inode = &mut self.inodes.borrow_mut()[*file];
        inode.seen.extend_from_slice(&bytes[..taken]);
        inode.unsure = true;
        cut.map(|()| taken)
    }

    fn sync_file(&self, file: &usize) -> io::Result<()> {
        self.call()?;
        let inode = &mut self.inodes.borrow_mut()[*file];
        inode.sure = inode.seen.clone();
        inode.unsure = false;
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.call()?;
        self.sure_names.replace(self.names.borrow().clone());
        self.renamed.take();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call()?;
        let mut names = self.names.borrow_mut();
        let at = names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.insert(to.to_owned(), at);
        let renamed = (from.to_owned(), to.to_owned());
        self.renamed.borrow_mut().push(renamed);
        Ok(())
    }
}

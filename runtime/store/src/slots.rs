//! Two slots for the blobs of one kind: the newer one is never touched.
//!
//! A write goes to the slot that is older or of no use, is brought to the disk, and only then counts: a reader takes the newest
//! of those that are whole. So wherever the power is cut, what was there before is there still, or what was to be
//! there is. There is no renaming and no third file, which a full disk or a cut could leave behind.
//!
//! A slot with a blob of a newer version is kept: the file gets another name before the slot is used, and is named.

use std::{fmt, io, marker::PhantomData};

use zeroize::Zeroizing;

use crate::{
    blob::{self, Flaw, MAX_BLOB_BYTES, Meta, Whole},
    contents::Content,
    disk::Disk,
    error::Error,
};

/// The two slots of a kind in a directory.
#[derive(Debug)]
pub struct Slots<'a, D, T> {
    disk: &'a D,
    kind: PhantomData<T>,
}

/// What was found in the slots.
#[derive(Debug)]
pub struct Recalled<T> {
    /// The newest that is whole, if there is one.
    pub newest: Option<(Meta, T)>,
    /// Slots that are there and of no use.
    pub trouble: Vec<Trouble>,
}

/// A slot that is of no use, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The file's name in the directory.
    pub slot: String,
    /// Why.
    pub why: Why,
}

/// Why a slot is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// What is in it is no blob for us.
    Flaw(Flaw),
    /// It cannot be read: what the operating system says.
    Unreadable(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Flaw(flaw) => write!(f, "{} {flaw}", self.slot),
            Why::Unreadable(error) => write!(f, "{} cannot be read: {error}", self.slot),
        }
    }
}

/// The bytes of a slot, if it is there.
type Read = io::Result<Option<Zeroizing<Vec<u8>>>>;

/// What a write came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The newest slot says the same already: nothing was written.
    Unchanged,
    /// It is on the disk.
    Bytes {
        /// Which generation it is.
        generation: u64,
        /// How many bytes it has.
        bytes: usize,
        /// What a blob of a newer version that was in the way is called now.
        kept_aside: Option<String>,
    },
}

impl<'a, D: Disk, T: Content> Slots<'a, D, T> {
    /// Those of this directory.
    #[must_use]
    pub fn new(disk: &'a D) -> Self {
        Self {
            disk,
            kind: PhantomData,
        }
    }

    /// Reads the newest that is whole.
    #[must_use]
    pub fn recall(&self) -> Recalled<T> {
        let mut recalled = Recalled {
            newest: None,
            trouble: Vec::new(),
        };
        for (name, bytes) in self.read() {
            let opened = match &bytes {
                Ok(None) => continue,
                Ok(Some(bytes)) => blob::open::<T>(bytes).map_err(Why::Flaw),
                Err(error) => Err(Why::Unreadable(error.to_string())),
            };
            match opened {
                Ok((meta, content)) => {
                    let newest = recalled.newest.as_ref();
                    if newest.is_none_or(|(newest, _)| newest.generation < meta.generation) {
                        recalled.newest = Some((meta, content));
                    }
                }
                Err(why) => recalled.trouble.push(Trouble {
                    slot: name.to_owned(),
                    why,
                }),
            }
        }
        recalled
    }

    /// Writes a value, unless the newest slot says the same. The generation is counted here.
    ///
    /// # Errors
    ///
    /// What went wrong; the newest slot is as it was, and so is all of it that counts.
    pub fn remember(&self, learned: u64, source: &str, content: &T) -> Result<Written, Error> {
        let slots = self.read();
        let whole = slots.each_ref().map(|(_, bytes)| match bytes {
            Ok(Some(bytes)) => Whole::check(bytes, T::KIND).map_err(Why::Flaw),
            Ok(None) => Err(Why::Flaw(Flaw::Empty)),
            Err(error) => Err(Why::Unreadable(error.to_string())),
        });
        // A slot that is whole and cannot be read is as good as broken.
        let readable = slots
            .each_ref()
            .map(|(_, bytes)| matches!(bytes, Ok(Some(bytes)) if blob::open::<T>(bytes).is_ok()));
        let [first, second] = &whole;
        // And so is one that no generation can follow, which was not written here.
        let generation_of = |slot: &Result<Whole<'_>, Why>, readable: bool| match slot {
            Ok(whole) if readable => Some(whole.meta.generation).filter(|it| *it < u64::MAX),
            _ => None,
        };
        let [first_readable, second_readable] = readable;
        let (one, other) = (
            generation_of(first, first_readable),
            generation_of(second, second_readable),
        );
        // The newer one stays; of two that are of no use, either will do.
        let (newest, target) = match (one, other) {
            (Some(one), Some(other)) if one < other => (Some(second), 0),
            (None, Some(_)) => (Some(second), 0),
            (Some(_), _) => (Some(first), 1),
            (None, None) => (None, usize::from(matches!(first, Err(Why::Unreadable(_))))),
        };
        let meta = Meta {
            generation: one.max(other).unwrap_or(0) + 1,
            learned,
            source: source.to_owned(),
        };
        let blob = blob::seal(&meta, content)?;
        let new = Whole::check(&blob, T::KIND).map_err(|_| Error::Bug("sealed and not whole"))?;
        if let Some(Ok(newest)) = newest
            && newest.says_the_same(&new)
        {
            return Ok(Written::Unchanged);
        }
        let name = T::SLOTS.get(target).copied().unwrap_or(T::SLOTS[0]);
        let kept_aside = match whole.get(target) {
            Some(Err(Why::Flaw(Flaw::Newer(version)))) => Some(format!("{name}.version-{version}")),
            _ => None,
        };
        if let Some(aside) = &kept_aside {
            let kept = self.disk.rename(name, aside);
            kept.map_err(|error| Error::System(error, "keeping a newer version aside"))?;
            self.sync_names()?;
        }
        if newest.is_some() {
            // It can be read, and may yet be in memory only: a process that was killed between writing and syncing left it
            // so. This slot must not go before that one is on the disk.
            let stays = T::SLOTS.get(1 - target).copied().unwrap_or_default();
            let synced = self
                .disk
                .open(stays)
                .and_then(|file| self.disk.sync_file(&file));
            synced.map_err(|error| Error::System(error, "bringing a file to the disk"))?;
            self.sync_names()?;
        }
        let written = self.write(name, &blob);
        if written.is_err() {
            // What is half on the disk must not be taken for whole while it can be read from memory. If this fails too, there
            // is nothing left to be done.
            let _ = self.disk.create(name);
        }
        written?;
        Ok(Written::Bytes {
            generation: meta.generation,
            bytes: blob.len(),
            kept_aside,
        })
    }

    /// Empties both slots, those of no use too; says whether anything was in them. It may still be found by who takes the
    /// flash apart, and what was kept aside stays.
    ///
    /// # Errors
    ///
    /// What went wrong; a slot may be as it was.
    pub fn forget(&self) -> Result<bool, Error> {
        let mut held = false;
        for (name, bytes) in self.read() {
            let is_empty = bytes.is_ok_and(|bytes| bytes.is_none_or(|bytes| bytes.is_empty()));
            if !is_empty {
                self.write(name, &[])?;
                held = true;
            }
        }
        Ok(held)
    }

    fn write(&self, name: &str, mut blob: &[u8]) -> Result<(), Error> {
        let at = |what| move |error| Error::System(error, what);
        let disk = self.disk;
        let mut file = disk.create(name).map_err(at("making a file"))?;
        while !blob.is_empty() {
            let taken = disk.write(&mut file, blob).map_err(at("writing"))?;
            blob = match blob.get(taken..) {
                Some(rest) if taken > 0 => rest,
                _ => return Err(Error::Bug("a write took nothing")),
            };
        }
        let synced = disk.sync_file(&file);
        synced.map_err(at("bringing a file to the disk"))?;
        self.sync_names()
    }

    fn sync_names(&self) -> Result<(), Error> {
        let synced = self.disk.sync_names();
        synced.map_err(|error| Error::System(error, "bringing a directory to the disk"))
    }

    /// Both slots. They may hold keys.
    fn read(&self) -> [(&'static str, Read); 2] {
        T::SLOTS.map(|name| {
            let read = self.disk.read(name, MAX_BLOB_BYTES);
            (name, read.map(|bytes| bytes.map(Zeroizing::new)))
        })
    }
}

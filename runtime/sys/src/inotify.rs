//! Noticing that files changed (inotify(7)), as a descriptor that becomes readable.
//!
//! What is watched is the directory a file is in, and not the file: programs replace a
//! configuration by renaming a new file over the old one, and a watch on the old file would go with
//! it. Where a path leads through symbolic links, the directory of each link is watched too, so
//! that the swap of a link is noticed (Kubernetes mounts a ConfigMap as `name -> ..data/name` with
//! `..data -> ..<time>`, and replaces `..data`). Never reads a file, and never says what changed:
//! the caller reads everything again and compares.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

/// A watch on some files and directories. One descriptor, non-blocking, closed on exec.
#[derive(Debug)]
pub struct Watch {
    fd: OwnedFd,
    /// What matters in each watched directory, by watch descriptor.
    places: BTreeMap<i32, Names>,
}

/// The entries of a directory that matter.
#[derive(Debug)]
enum Names {
    All,
    Only(Vec<OsString>),
}

impl Watch {
    /// Watches `paths`: a file by its name, a directory with everything directly in it.
    ///
    /// A file need not exist yet, its directory must. A watch follows the links as they are now:
    /// after a change make a new one.
    ///
    /// # Errors
    /// When a directory cannot be watched: it does not exist, may not be read, or the user's limit
    /// on watches is reached (`fs.inotify.max_user_watches`, `max_user_instances`).
    pub fn new<P: AsRef<Path>>(paths: &[P]) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let mut watch = Self {
            fd,
            places: BTreeMap::new(),
        };
        for path in paths {
            let path = std::path::absolute(path)?;
            for link in steps(&path) {
                watch.add(&link)?;
            }
            if path.is_dir() {
                let place = inotify::add_watch(&watch.fd, &path, CHANGES)?;
                watch.places.insert(place, Names::All);
            }
        }
        Ok(watch)
    }

    /// Takes what has been noticed so far and tells whether any of it matters. Never blocks.
    ///
    /// One change often comes as several events, such as a file created and then written: wait a
    /// moment after the first and drain again before reading the files.
    ///
    /// # Errors
    /// What read(2) says; it has no failure of its own here.
    pub fn drain(&self) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); EVENT_BUFFER_BYTES];
        let mut events = inotify::Reader::new(&self.fd, &mut buffer);
        let mut changed = false;
        loop {
            match events.next() {
                Ok(event) => changed |= self.matters(&event),
                Err(Errno::AGAIN) => return Ok(changed),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn add(&mut self, path: &Path) -> io::Result<()> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(());
        };
        let place = inotify::add_watch(&self.fd, directory, CHANGES)?;
        match self
            .places
            .entry(place)
            .or_insert_with(|| Names::Only(Vec::new()))
        {
            Names::All => {}
            Names::Only(names) => names.push(name.to_owned()),
        }
        Ok(())
    }

    fn matters(&self, event: &inotify::Event<'_>) -> bool {
        // Events were lost, or the directory itself went: anything may have changed.
        if event
            .events()
            .intersects(ReadFlags::QUEUE_OVERFLOW | ReadFlags::IGNORED | ReadFlags::UNMOUNT)
        {
            return true;
        }
        match (self.places.get(&event.wd()), event.file_name()) {
            (Some(Names::Only(names)), Some(name)) => names
                .iter()
                .any(|known| known.as_bytes() == name.to_bytes()),
            // Of the directory itself: it was moved or deleted.
            (Some(_), None) | (Some(Names::All), Some(_)) => true,
            (None, _) => false,
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The entries that `path` leads through whose replacement would change what it means: every
/// symbolic link on the way, and the file at the end. Stops where the path leads nowhere, or in a
/// circle.
fn steps(path: &Path) -> Vec<PathBuf> {
    let mut steps = Vec::new();
    let mut ahead: Vec<OsString> = reversed(path);
    let mut here = PathBuf::from("/");
    while let Some(name) = ahead.pop() {
        if name == ".." {
            here.pop();
            continue;
        }
        let entry = here.join(&name);
        match fs::read_link(&entry) {
            Ok(target) if steps.len() < MAX_LINKS => {
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                ahead.extend(reversed(&target));
                steps.push(entry);
            }
            Ok(_) => break,
            Err(_) => {
                if ahead.is_empty() {
                    steps.push(entry.clone());
                }
                here = entry;
            }
        }
    }
    steps
}

/// The names in a path, last first; `..` stays, since it means the parent of where the links before
/// it led.
fn reversed(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

/// Whatever replaces, writes or removes an entry. A write is noticed when the writer closes the
/// file, and not before.
const CHANGES: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Room for several events; one with the longest name takes 16 + 256 bytes.
const EVENT_BUFFER_BYTES: usize = 2048;

/// As many links as the kernel itself follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A directory of its own for each test, gone afterwards.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let directory =
                std::env::temp_dir().join(format!("lictor-inotify-{test}-{}", std::process::id()));
            fs::create_dir_all(&directory).unwrap();
            Self(directory.canonicalize().unwrap())
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn write(&self, name: &str) {
            fs::write(self.at(name), name).unwrap();
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_write_a_rename_and_a_removal_are_noticed() {
        let scratch = Scratch::new("file");
        scratch.write("a.hcl");
        let watch = Watch::new(&[scratch.at("a.hcl")]).unwrap();
        assert!(!watch.drain().unwrap());
        scratch.write("a.hcl");
        assert!(watch.drain().unwrap());
        assert!(!watch.drain().unwrap());
        scratch.write("a.hcl.new");
        assert!(
            !watch.drain().unwrap(),
            "another file of the directory does not matter"
        );
        fs::rename(scratch.at("a.hcl.new"), scratch.at("a.hcl")).unwrap();
        assert!(watch.drain().unwrap());
        fs::remove_file(scratch.at("a.hcl")).unwrap();
        assert!(watch.drain().unwrap());
    }

    #[test]
    fn a_file_that_comes_later_is_noticed() {
        let scratch = Scratch::new("later");
        let watch = Watch::new(&[scratch.at("a.hcl")]).unwrap();
        scratch.write("a.hcl");
        assert!(watch.drain().unwrap());
        assert!(Watch::new(&[scratch.at("missing/a.hcl")]).is_err());
    }

    #[test]
    fn everything_in_a_directory_is_noticed() {
        let scratch = Scratch::new("directory");
        let watch = Watch::new(&[&scratch.0]).unwrap();
        assert!(!watch.drain().unwrap());
        scratch.write("new.hcl");
        assert!(watch.drain().unwrap());
    }

    #[test]
    fn a_directory_given_after_a_file_in_it_is_watched_whole() {
        let scratch = Scratch::new("both");
        for paths in [
            [scratch.at("a.hcl"), scratch.0.clone()],
            [scratch.0.clone(), scratch.at("a.hcl")],
        ] {
            let watch = Watch::new(&paths).unwrap();
            scratch.write("b.hcl");
            assert!(watch.drain().unwrap(), "{paths:?}");
        }
    }

    #[test]
    fn the_swap_of_a_config_map_is_noticed() {
        let scratch = Scratch::new("configmap");
        for version in ["..1", "..2"] {
            fs::create_dir(scratch.at(version)).unwrap();
            scratch.write(&format!("{version}/a.hcl"));
        }
        symlink("..1", scratch.at("..data")).unwrap();
        symlink("..data/a.hcl", scratch.at("a.hcl")).unwrap();
        let watch = Watch::new(&[scratch.at("a.hcl")]).unwrap();
        symlink("..2", scratch.at("..data_tmp")).unwrap();
        assert!(!watch.drain().unwrap());
        fs::rename(scratch.at("..data_tmp"), scratch.at("..data")).unwrap();
        assert!(watch.drain().unwrap());
    }

    #[test]
    fn a_link_to_a_file_elsewhere_is_followed() {
        let scratch = Scratch::new("elsewhere");
        fs::create_dir(scratch.at("real")).unwrap();
        fs::create_dir(scratch.at("etc")).unwrap();
        scratch.write("real/a.hcl");
        symlink("../real/a.hcl", scratch.at("etc/a.hcl")).unwrap();
        let watch = Watch::new(&[scratch.at("etc/a.hcl")]).unwrap();
        scratch.write("real/a.hcl");
        assert!(watch.drain().unwrap());
    }

    #[test]
    fn links_in_a_circle_end() {
        let scratch = Scratch::new("circle");
        symlink("b", scratch.at("a")).unwrap();
        symlink("a", scratch.at("b")).unwrap();
        assert_eq!(steps(&scratch.at("a")).len(), MAX_LINKS);
    }
}

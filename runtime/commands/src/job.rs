//! What is to be run and how, wherever it comes from: local files, a blob in their place, or memory.

use std::{
    fmt, fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use config::{ConsulSettings, Origin, RuntimeSettings};
use plan::Plan;
use store::{
    Content, Flaw, Identities, MAGIC, MAX_BLOB_BYTES, Meta, OnDisk, Remembered, Slots, Trouble,
};
use sys::directory::Directory;

use crate::{keyless, machine::Machine, plans, process};

/// What is to be run.
pub(crate) struct Job {
    pub(crate) plan: Plan,
    pub(crate) runtime: RuntimeSettings,
    /// Files that the configuration names, to be watched like the configuration.
    pub(crate) named: Vec<PathBuf>,
    /// Where in the files certificates, keys and roots were given.
    pub(crate) origins: Vec<Origin>,
    /// Where Consul is, as the files say it.
    pub(crate) consul: Option<ConsulSettings>,
    /// The datacenter the files speak of; empty where it is not known.
    pub(crate) datacenter: String,
    /// Services to register, with their sidecars.
    pub(crate) definitions: Vec<config::Definition>,
    /// The domain of the names of Consul's servers, as the files say it; empty where there is none.
    pub(crate) domain: String,
}

/// Why there is nothing to run.
pub(crate) enum Unusable {
    Files(config::Errors),
    NothingToRun,
    Blob(Unreadable),
    NotAlone(PathBuf),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(errors) => errors.fmt(f),
            Self::NothingToRun => f.write_str(
                "lictor: nothing to run: no mesh gateway and no sidecar that can be run; lictor check says why",
            ),
            Self::Blob(unreadable) => write!(f, "lictor: {unreadable}"),
            Self::NotAlone(path) => write!(
                f,
                "lictor: {} is a blob, which says everything: give no file beside it",
                path.display()
            ),
        }
    }
}

/// A blob that cannot be read.
pub(crate) struct Unreadable {
    path: PathBuf,
    why: Why,
}

enum Why {
    Flaw(Flaw),
    System(io::Error),
    NoneInDirectory(Vec<Trouble>),
}

impl Unreadable {
    fn is_not_there(&self) -> bool {
        matches!(&self.why, Why::System(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.why {
            Why::Flaw(flaw) => write!(f, "{path} {flaw}"),
            Why::System(error) => write!(f, "{path} cannot be read: {error}"),
            Why::NoneInDirectory(trouble) => {
                write!(f, "{path} has no blob that can be used")?;
                for trouble in trouble {
                    write!(f, "; {trouble}")?;
                }
                Ok(())
            }
        }
    }
}

impl Job {
    /// What the files of a command line say, which may be nothing where there is other work.
    pub(crate) fn of(files: &[PathBuf], other_work: bool) -> Result<Self, Unusable> {
        if let Some(path) = files.iter().find(|path| is_blob(path)) {
            return match files {
                [path] => Self::of_blob(path).map_err(Unusable::Blob),
                _ => Err(Unusable::NotAlone(path.clone())),
            };
        }
        let settings = config::load(files, &Machine).map_err(Unusable::Files)?;
        if !other_work && !plans::has_work(&settings) {
            return Err(Unusable::NothingToRun);
        }
        Ok(Self {
            plan: plans::plan(&settings),
            runtime: settings.runtime,
            named: settings.files,
            origins: settings.origins,
            consul: settings.consul,
            datacenter: settings.mesh.datacenter,
            definitions: settings.definitions,
            domain: settings.mesh.domain,
        })
    }

    fn of_blob(path: &Path) -> Result<Self, Unreadable> {
        let (_, remembered) = read::<Remembered>(path)?;
        let beside = identities_of(path);
        let identities = match read::<Identities>(&beside) {
            Ok((_, identities)) => identities,
            Err(unreadable) if unreadable.is_not_there() => Identities::default(),
            Err(unreadable) => return Err(unreadable),
        };
        let mut job = Self::remembered(remembered, identities);
        job.named.push(beside);
        Ok(job)
    }

    /// What blobs say.
    pub(crate) fn remembered(remembered: Remembered, identities: Identities) -> Self {
        let Remembered { mut plan, process } = remembered;
        plan.identities = identities.0;
        keyless::close(&mut plan);
        Self {
            plan,
            runtime: process::settings(process),
            named: Vec::new(),
            origins: Vec::new(),
            consul: None,
            datacenter: String::new(),
            definitions: Vec::new(),
            domain: String::new(),
        }
    }
}

/// Whether a file begins as a blob does.
pub(crate) fn is_blob(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    let opened = fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    opened.is_ok() && start == MAGIC
}

/// Where the identities of a blob are: beside it, so that the blob itself may be shown to anyone.
pub(crate) fn identities_of(blob: &Path) -> PathBuf {
    let mut name = blob.as_os_str().to_owned();
    name.push(".identities");
    PathBuf::from(name)
}

/// Reads a blob, or the newest of a state directory.
pub(crate) fn read<T: Content>(path: &Path) -> Result<(Meta, T), Unreadable> {
    let failed = |why| Unreadable {
        path: path.to_owned(),
        why,
    };
    if path.is_dir() {
        let directory = Directory::open(path).map_err(|error| failed(Why::System(error)))?;
        let recalled = Slots::new(&OnDisk(directory)).recall();
        let trouble = recalled.trouble;
        return recalled
            .newest
            .ok_or_else(|| failed(Why::NoneInDirectory(trouble)));
    }
    let bytes = bytes_of(path)?;
    store::open(&bytes).map_err(|flaw| failed(Why::Flaw(flaw)))
}

/// The bytes of a file, as far as a blob may have as many.
pub(crate) fn bytes_of(path: &Path) -> Result<Vec<u8>, Unreadable> {
    let most = u64::try_from(MAX_BLOB_BYTES + 1).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| Unreadable {
        path: path.to_owned(),
        why: Why::System(error),
    })
}

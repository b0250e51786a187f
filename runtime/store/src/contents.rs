//! What blobs hold: the kinds, each with its own file names, so that none is ever read as another.

use plan::{Identity, Plan};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::process::Process;

/// A value that a blob can hold.
pub trait Content: Serialize + DeserializeOwned {
    /// Its letter in the header.
    const KIND: u8;
    /// What its two slots are called.
    const SLOTS: [&'static str; 2];
}

/// What a process runs: all but the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The Plan. Its identities are not in here, but in [`Identities`].
    pub plan: Plan,
    /// How the process runs.
    pub process: Process,
}

/// Who the services here are in TLS: certificates and keys. Always in a file of mode 0600.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identities(pub Vec<Identity>);

/// What is known of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The latest time at which a peer's certificate was found valid, in seconds since 1970: it is not earlier now.
    pub proven: u64,
    /// The latest time at which the Plan in force was known to be what its source says, by the clock of then.
    pub confirmed: u64,
}

// The number is that of the version: a newer lictor writes beside these, and an older one finds its own again.

impl Content for Remembered {
    const KIND: u8 = b'P';
    const SLOTS: [&'static str; 2] = ["plan-1.a", "plan-1.b"];
}

impl Content for Identities {
    const KIND: u8 = b'I';
    const SLOTS: [&'static str; 2] = ["identities-1.a", "identities-1.b"];
}

impl Content for Moment {
    const KIND: u8 = b'T';
    const SLOTS: [&'static str; 2] = ["time-1.a", "time-1.b"];
}

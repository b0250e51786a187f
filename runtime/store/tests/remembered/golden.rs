//! The format of each version: blobs that were written once are read by every later lictor.
//!
//! A blob of flash was written by the lictor before the update, and one of an image by another machine. So a change of any type
//! that is in one (the Plan's, the process's) needs another [`store::VERSION`], files of other names for it, and a way from the
//! older types to the newer; the blobs of `tests/golden` stay as they are.

use std::{env, fs, path::PathBuf};

use store::{Content, Identities, Meta, Moment, Remembered, VERSION, open, seal};

use crate::sample::{everything, identity};

fn meta() -> Meta {
    Meta {
        generation: 42,
        learned: 1_790_000_000,
        source: "/etc/lictor/gateway.hcl".to_owned(),
    }
}

/// Reads the golden blob of this name. With `LICTOR_WRITE_GOLDEN` set it is written before: for a version that nobody has yet.
fn assert_golden<T: Content + PartialEq + std::fmt::Debug>(name: &str, expected: &T) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}"));
    if env::var_os("LICTOR_WRITE_GOLDEN").is_some() {
        fs::write(&path, &*seal(&meta(), expected).unwrap()).unwrap();
    }
    let (found, value) = open::<T>(&fs::read(path).unwrap()).unwrap_or_else(|flaw| {
        panic!("{name} {flaw}: the format changed, and what is on flash would be lost")
    });
    assert_eq!((&found, &value), (&meta(), expected), "{name}");
}

#[test]
fn blobs_of_version_1_are_read() {
    assert_eq!(VERSION, 1);
    assert_golden("plan-1", &everything());
    assert_golden("identities-1", &Identities(vec![identity()]));
    let moment = Moment {
        proven: 1_790_000_001,
        confirmed: 1_790_000_002,
    };
    assert_golden("time-1", &moment);
    assert_golden("empty-plan-1", &Remembered::default());
}

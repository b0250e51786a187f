//! Small libraries in C that stand before those that lictor is linked to (ld.so(8)): they change or count what it sees.

use std::path::PathBuf;
use std::process::Command;

use crate::temp::TempDir;

/// Makes a library of a source of this name, to be given to [`crate::process::Launch::preload`].
///
/// # Panics
/// When there is no C compiler.
pub(crate) fn compile(home: &TempDir, name: &str, source: &str) -> PathBuf {
    let library = home.file(name).with_extension("so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
    compiler.arg(&library).arg(home.write(name, source));
    assert!(compiler.status().expect("a C compiler").success());
    library
}

//! The lictor to show: the one that `LICTOR_BIN` names, else this repository's, built if need be.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Failure, while_doing};

/// The top of the repository.
pub(crate) fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// The path of the binary. Builds it in the release profile, which costs nothing when it is fresh.
pub(crate) fn lictor() -> Result<PathBuf, Failure> {
    if let Some(path) = env::var_os("LICTOR_BIN") {
        return Ok(path.into());
    }
    // Set by `cargo run`; the demo may also have been started as a program of its own.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let built = Command::new(&cargo)
        .current_dir(repository())
        .args([
            "build",
            "--release",
            "--package",
            "lictor",
            "--bin",
            "lictor",
        ])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .map_err(while_doing(format!("starting {}", cargo.display())))
        .map_err(|failure| failure.with_hint("set LICTOR_BIN to the path of a lictor"))?;
    if !built.status.success() {
        return Err(Failure::new("lictor does not build; cargo's word is above"));
    }
    // Cargo says where it put the program: that depends on its configuration.
    String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| {
            let program = message.get("executable")?.as_str()?;
            Some(PathBuf::from(program))
        })
        .ok_or_else(|| Failure::new("cargo built lictor and did not say where it is"))
}

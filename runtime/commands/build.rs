//! Tells what lictor was built for, and when, since cargo tells only build scripts.

use std::{
    env,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!(
        "cargo:rustc-env=LICTOR_TARGET={}",
        env::var("TARGET").unwrap_or_default()
    );
    println!("cargo:rustc-env=LICTOR_BUILT={}", built());
}

/// A time that has passed for certain wherever the binary runs, in seconds since 1970: that of the commit, so that the same
/// source gives the same binary (<https://reproducible-builds.org/specs/source-date-epoch/>), else now.
fn built() -> u64 {
    let given = env::var("SOURCE_DATE_EPOCH").ok();
    let commit = || {
        let mut git = Command::new("git");
        let output = git.args(["log", "-1", "--format=%ct"]).output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let seconds = |text: String| text.trim().parse().ok();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH);
    given
        .and_then(seconds)
        .or_else(|| commit().and_then(seconds))
        .unwrap_or_else(|| now().unwrap_or_default().as_secs())
}

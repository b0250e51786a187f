//! Tells the linker how to make a release smaller, when it can.
//!
//! Here, since a plain `cargo build --release` must get the small binary too. For another target
//! `targets/build` chooses, which knows its linker.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={NO_UNWINDING}");

    // Tests unwind, and are not of the release.
    if variable("PROFILE") != "release" || variable("TARGET") != variable("HOST") {
        return;
    }
    let arguments = smaller(&PathBuf::from(variable("CARGO_MANIFEST_DIR")));
    if links_with(&arguments) {
        for argument in arguments {
            println!("cargo:rustc-link-arg-bins={argument}");
        }
    } else {
        println!(
            "cargo:warning=the linker is not LLVM's, which Rust brings along, or glibc is older than 2.36: the \
             binary gets a tenth larger"
        );
    }
}

/// No tables for unwinding; functions of the same code once; relocations as a bitmap, for glibc 2.36 and
/// later; no hash of the whole.
fn smaller(folder: &Path) -> [String; 5] {
    [
        format!("-Wl,-T,{}", folder.join(NO_UNWINDING).display()),
        "-Wl,--no-eh-frame-hdr".to_owned(),
        "-Wl,--icf=all".to_owned(),
        "-Wl,-z,pack-relative-relocs".to_owned(),
        "-Wl,--build-id=none".to_owned(),
    ]
}

/// Whether a program linked so is made, by the linker that cargo was told to use, and runs.
fn links_with(arguments: &[String]) -> bool {
    let program = PathBuf::from(variable("OUT_DIR")).join("probe");
    let source = program.with_extension("rs");
    if std::fs::write(&source, "fn main() {}\n").is_err() {
        return false;
    }
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition=2024", "-Cpanic=abort", "-o"]);
    rustc.arg(&program).arg(&source);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    rustc.args(
        arguments
            .iter()
            .map(|argument| format!("-Clink-arg={argument}")),
    );
    succeeds(&mut rustc) && succeeds(&mut Command::new(program))
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// A script for the linker, beside this file.
const NO_UNWINDING: &str = "no_unwinding.ld";

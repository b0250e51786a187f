//! The repository as the rules see it: cargo's view of the workspace, and the source files.
//!
//! It never judges. What cannot be read fails the test that asked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde::Deserialize;

/// A source file: its path from the root, and its text.
pub(crate) type Source = (PathBuf, String);

/// The parts of `cargo metadata` that the rules look at, under cargo's names.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) resolve: Resolve,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// None: a member of the workspace.
    pub(crate) source: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// As a manifest states it.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) source: Option<String>,
    /// None: needed at run time.
    pub(crate) kind: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

/// What a package needs, as resolved for one triple.
#[derive(Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<Dep>,
}

#[derive(Deserialize)]
pub(crate) struct Dep {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<DepKind>,
}

#[derive(Deserialize)]
pub(crate) struct DepKind {
    pub(crate) kind: Option<String>,
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn metadata(triple: &str) -> Metadata {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            triple,
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo's answer has the form of version 1")
}

/// The workspace as resolved for each triple that has a budget in `targets/`.
pub(crate) fn workspaces() -> Vec<Metadata> {
    let folders = fs::read_dir(root().join("targets")).expect("targets/ is there");
    let triples: Vec<String> = folders
        .map(|entry| entry.expect("a folder can be read"))
        .filter(|entry| entry.path().join("budget.toml").exists())
        .map(|entry| entry.file_name().into_string().expect("a triple is ASCII"))
        .collect();
    assert!(triples.len() >= 3, "only {triples:?}");
    triples.iter().map(|triple| metadata(triple)).collect()
}

/// A file of the repository, by its path from the root.
pub(crate) fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).expect("the file is there, and is UTF-8")
}

/// Every Rust file of the product.
pub(crate) fn sources() -> Vec<Source> {
    let mut todo = vec![PathBuf::from("runtime")];
    let mut found = Vec::new();
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder of runtime/ can be read") {
            let path = folder.join(entry.expect("a folder can be read").file_name());
            if root().join(&path).is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = text(&path);
                found.push((path, text));
            }
        }
    }
    assert!(found.len() >= 7, "only {} files", found.len());
    found
}

//! The rules of the house that the compiler does not check: who may name whom, which crates may be
//! linked, what a source file looks like. ARCHITECTURE.md says why they are so.
//!
//! It reads cargo's own view of the workspace (`cargo metadata`, for each triple with a budget in
//! `targets/`) and the source files. It builds nothing and asks no network.
//!
//! `deny.toml` states the rules on external crates once more, for those who have cargo-deny; that
//! tool takes minutes to compile, so the main points are held here, on what the binary links. Crates
//! that run only in the compiler or in tests are cargo-deny's alone.
//!
//! Each rule is a function from data to complaints. Its first test feeds it the repository, the
//! second one something that breaks it.

#![allow(
    clippy::expect_used,
    reason = "a repository that cannot be read fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};

#[path = "architecture/repository.rs"]
mod repository;

use repository::{Dep, Metadata, Node, Package, Source};

/// The rooms, and which rooms each may name. Arrows go one way; the data plane and the sources of a
/// plan never meet.
const ROOMS: &[(&str, &[&str])] = &[
    ("plan", &[]),
    ("sys", &[]),
    ("wire", &["plan"]),
    ("config", &["plan"]),
    ("store", &["plan", "sys"]),
    ("tls", &["plan", "wire", "sys"]),
    ("dial", &["wire", "sys"]),
    ("consul", &["plan", "wire", "tls", "dial", "sys"]),
    ("proxy", &["plan", "wire", "tls", "dial", "sys"]),
    (
        "commands",
        &[
            "plan", "sys", "wire", "config", "store", "tls", "dial", "consul", "proxy",
        ],
    ),
    ("lictor", &["commands"]),
];

/// External crates that only some rooms may name, so that what they bring stays in one place.
const KEEPERS: &[(&str, &[&str])] = &[
    // System calls: one room knows the operating system.
    ("libc", &["sys"]),
    ("rustix", &["sys"]),
    // Waiting: the pure rooms can be tested without a reactor.
    ("async-executor", ASYNC),
    ("async-io", ASYNC),
    ("smol", ASYNC),
    // Cryptography: one room decides on versions, ciphers and verification.
    ("rustls", &["tls"]),
    ("futures-rustls", &["tls"]),
    ("graviola", &["tls"]),
    ("ring", &["tls"]),
    // What comes from peers is parsed where parsers are fuzzed.
    ("httparse", &["wire"]),
    // Formats: what comes from outside is text at the edges only.
    ("serde_json", &["config", "consul", "commands"]),
    ("postcard", &["store"]),
    ("argh", &["commands"]),
];

const ASYNC: &[&str] = &["dial", "tls", "consul", "proxy", "commands"];

/// Crates that the binary must not link, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    (
        "openssl-sys",
        "a C library that every board would have to carry; rustls is linked in",
    ),
    (
        "native-tls",
        "picks a TLS library by platform; every board must behave alike",
    ),
    (
        "aws-lc-sys",
        "needs cmake and a C++ compiler for every target, and is large",
    ),
    (
        "aws-lc-fips-sys",
        "needs cmake, Go and a C++ compiler for every target",
    ),
    ("tokio", "a second executor with threads of its own"),
    (
        "mimalloc",
        "trades memory for speed; memory is what a small board lacks",
    ),
    (
        "tikv-jemalloc-sys",
        "trades memory for speed; memory is what a small board lacks",
    ),
];

/// Crates that stand twice in the tree and once in the binary, and why.
const NOT_LINKED_TWICE: &[(&str, &str)] = &[(
    "getrandom",
    "graviola has a newer one than ring, for keys of its own making; nobody asks it for any",
)];

/// Licences that ask for no more than to be named.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// A file that is longer holds more than one idea.
const MAX_LINES: usize = 600;

// --- Rules on the workspace -----------------------------------------------------------------

/// Rooms that name a room or an external crate they must not name. Development dependencies count
/// for rooms, so that a room's tests need no more than the room, and not for external crates.
fn arrows_not_allowed(workspace: &Metadata) -> Vec<String> {
    let rooms: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let keepers: BTreeMap<_, _> = KEEPERS.iter().copied().collect();
    let mut complaints = Vec::new();
    for package in workspace
        .packages
        .iter()
        .filter(|package| package.source.is_none())
    {
        let room = room(&package.name);
        if room == "tests" {
            continue;
        }
        let Some(allowed) = rooms.get(room) else {
            complaints.push(format!("room {room} is not in ROOMS"));
            continue;
        };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let refused = if dependency.source.is_none() {
                !allowed.contains(&self::room(name))
            } else {
                dependency.kind.as_deref() != Some("dev")
                    && keepers
                        .get(name)
                        .is_some_and(|keepers| !keepers.contains(&room))
            };
            if refused {
                complaints.push(format!("room {room} must not name {name}"));
            }
        }
    }
    complaints
}

/// Crates that are linked in more than one version: bytes twice, and types that do not match.
fn duplicates(workspace: &Metadata) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in linked(workspace) {
        versions
            .entry(&package.name)
            .or_default()
            .insert(&package.version);
    }
    let excused = |name: &str| NOT_LINKED_TWICE.iter().any(|(excused, _)| *excused == name);
    versions.retain(|name, versions| versions.len() > 1 && !excused(name));
    versions
        .iter()
        .map(|(name, versions)| format!("{name} in versions {versions:?}"))
        .collect()
}

/// Crates that are linked and must not be.
fn forbidden(workspace: &Metadata) -> Vec<String> {
    let reasons: BTreeMap<_, _> = FORBIDDEN.iter().copied().collect();
    linked(workspace)
        .iter()
        .filter_map(|package| {
            let reason = reasons.get(package.name.as_str())?;
            Some(format!("{}: {reason}", package.name))
        })
        .collect()
}

/// Crates that are linked and whose licence is not in LICENCES. Reads the flat form that crates
/// use, `(A OR B) AND C`; `A/B` is its old spelling.
fn licences_not_allowed(workspace: &Metadata) -> Vec<String> {
    linked(workspace)
        .iter()
        .filter(|package| {
            let licence = package
                .license
                .as_deref()
                .unwrap_or("")
                .replace('/', " OR ");
            !licence.split(" AND ").all(|part| {
                part.split(" OR ")
                    .any(|licence| LICENCES.contains(&licence.trim_matches(['(', ')', ' '])))
            })
        })
        .map(|package| format!("{}: {:?}", package.name, package.license))
        .collect()
}

/// Test targets of the tests' own crate that `tests/run` does not name, and so would never run.
/// In the rooms cargo finds the tests itself.
fn tests_not_run(workspace: &Metadata, script: &str) -> Vec<String> {
    workspace
        .packages
        .iter()
        .filter(|package| package.name == "lictor-tests")
        .flat_map(|package| &package.targets)
        .filter(|target| target.kind.iter().any(|kind| kind == "test"))
        .map(|target| format!("--test {}", target.name))
        .filter(|option| !script.split('\n').any(|line| line.ends_with(option)))
        .collect()
}

/// What the binary is made of: `lictor` and all it needs at run time. A procedural macro and what
/// that needs run in the compiler.
fn linked(workspace: &Metadata) -> Vec<&Package> {
    let packages: BTreeMap<&str, &Package> = workspace
        .packages
        .iter()
        .map(|package| (package.id.as_str(), package))
        .collect();
    let needs: BTreeMap<&str, &Node> = workspace
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    let mut todo: Vec<&str> = workspace
        .packages
        .iter()
        .filter(|package| package.name == "lictor")
        .map(|package| package.id.as_str())
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = todo.pop() {
        let in_compiler = packages.get(id).is_none_or(|package| {
            package
                .targets
                .iter()
                .any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
        });
        if in_compiler || !seen.insert(id) {
            continue;
        }
        let deps = needs.get(id).map_or(&[][..], |node| &node.deps);
        let normal = |dep: &&Dep| dep.dep_kinds.iter().any(|kind| kind.kind.is_none());
        todo.extend(deps.iter().filter(normal).map(|dep| dep.pkg.as_str()));
    }
    seen.iter()
        .filter_map(|id| packages.get(id).copied())
        .collect()
}

/// `lictor-plan` is room `plan`; the binary's package is named as the product.
fn room(package: &str) -> &str {
    package.strip_prefix("lictor-").unwrap_or(package)
}

// --- Rules on source files ------------------------------------------------------------------

/// Files of the product that are too long, or do not open by saying what they are.
fn badly_formed(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in sources {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            complaints.push(format!("{}: {lines} lines", path.display()));
        }
        if !text.starts_with("//!") {
            complaints.push(format!("{}: does not start with `//!`", path.display()));
        }
    }
    complaints
}

/// Lines with the word `unsafe` outside comments, in a room other than sys. The compiler forbids it
/// in rooms that inherit the workspace's lints; this also sees a room that does not.
fn unsafe_outside_sys(sources: &[Source]) -> Vec<String> {
    let is_word = |part: &str| part == "unsafe";
    let separates = |c: char| !(c.is_alphanumeric() || c == '_');
    sources
        .iter()
        .filter(|(path, _)| !path.starts_with("runtime/sys"))
        .flat_map(|(path, text)| {
            text.lines()
                .enumerate()
                .map(move |(at, line)| (path, at, line))
        })
        .filter(|(_, _, line)| {
            let code = line.split("//").next().unwrap_or("");
            code.split(separates).any(is_word)
        })
        .map(|(path, at, line)| format!("{}:{}: {}", path.display(), at + 1, line.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::repository::{DepKind, Dependency, Resolve, Target, sources, text, workspaces};
    use super::*;

    fn assert_none(complaints: Vec<String>) {
        assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    }

    fn assert_one(complaints: Vec<String>, holds: &str) {
        assert!(
            matches!(&complaints[..], [one] if one.contains(holds)),
            "expected one complaint with {holds:?}, found {complaints:?}"
        );
    }

    #[test]
    fn rooms_name_only_what_they_may() {
        assert_none(workspaces().iter().flat_map(arrows_not_allowed).collect());
    }

    #[test]
    fn an_arrow_between_rooms_that_is_not_allowed_is_found() {
        let wire_to_proxy = sample(&[
            ("lictor-wire", "1", &["lictor-proxy"]),
            ("lictor-proxy", "1", &[]),
        ]);
        assert_one(
            arrows_not_allowed(&wire_to_proxy),
            "room wire must not name lictor-proxy",
        );
        let plan_to_json = sample(&[
            ("lictor-plan", "1", &["serde_json"]),
            ("serde_json", "1", &[]),
        ]);
        assert_one(
            arrows_not_allowed(&plan_to_json),
            "room plan must not name serde_json",
        );
        let new_room = sample(&[("lictor-attic", "1", &[])]);
        assert_one(arrows_not_allowed(&new_room), "attic is not in ROOMS");
    }

    #[test]
    fn the_binary_links_one_version_of_each_crate() {
        assert_none(workspaces().iter().flat_map(duplicates).collect());
    }

    #[test]
    fn a_second_version_is_found() {
        let two = sample(&[
            ("lictor", "1", &["slab", "polling"]),
            ("polling", "1", &["slab 0.3"]),
            ("slab", "1", &[]),
            ("slab 0.3", "0.3", &[]),
        ]);
        assert_one(duplicates(&two), "slab in versions");
    }

    #[test]
    fn the_binary_links_no_forbidden_crate() {
        assert_none(workspaces().iter().flat_map(forbidden).collect());
    }

    #[test]
    fn a_forbidden_crate_far_down_is_found() {
        let deep = sample(&[
            ("lictor", "1", &["hyper"]),
            ("hyper", "1", &["tokio"]),
            ("tokio", "1", &[]),
            ("mimalloc", "1", &[]),
        ]);
        assert_one(forbidden(&deep), "tokio: a second executor");
    }

    #[test]
    fn the_binary_links_crates_under_permissive_licences() {
        assert_none(workspaces().iter().flat_map(licences_not_allowed).collect());
    }

    #[test]
    fn a_licence_that_is_not_allowed_is_found() {
        let names = [
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "",
            "MIT/Apache-2.0",
            "(GPL-3.0-only OR MIT) AND Unicode-3.0",
        ];
        let refused = names.map(|licence| {
            let mut one = sample(&[("lictor", "1", &[])]);
            one.packages
                .iter_mut()
                .for_each(|package| package.license = Some(licence.into()));
            !licences_not_allowed(&one).is_empty()
        });
        assert_eq!(refused, [true, true, true, false, false]);
    }

    #[test]
    fn every_test_of_the_tests_crate_is_run() {
        let script = text("tests/run");
        assert_none(
            workspaces()
                .iter()
                .flat_map(|workspace| tests_not_run(workspace, &script))
                .collect(),
        );
    }

    #[test]
    fn a_test_that_is_not_run_is_found() {
        let mut new = sample(&[("lictor-tests", "1", &[])]);
        new.packages[0].targets.push(Target {
            name: "soak".into(),
            kind: vec!["test".into()],
        });
        assert_one(
            tests_not_run(&new, "cargo test --test scenarios"),
            "--test soak",
        );
    }

    #[test]
    fn files_are_short_and_say_what_they_are() {
        assert_none(badly_formed(&sources()));
    }

    #[test]
    fn a_long_file_and_one_without_a_header_are_found() {
        let long = "//! Long.\n".repeat(MAX_LINES + 1);
        assert_one(badly_formed(&[("runtime/a.rs".into(), long)]), "601 lines");
        assert_one(
            badly_formed(&[("runtime/b.rs".into(), "use std;\n".into())]),
            "does not start",
        );
    }

    #[test]
    fn only_sys_has_unsafe_code() {
        assert_none(unsafe_outside_sys(&sources()));
    }

    #[test]
    fn unsafe_code_elsewhere_is_found() {
        let text = "// unsafe\n#![forbid(unsafe_code)]\nunsafe { f() }\n".to_owned();
        assert_one(
            unsafe_outside_sys(&[("runtime/wire/a.rs".into(), text.clone())]),
            "a.rs:3",
        );
        assert_none(unsafe_outside_sys(&[("runtime/sys/a.rs".into(), text)]));
    }

    /// A workspace of (name, version, what it needs); a package is a member if it is named lictor.
    /// The first word of a name is the crate's, so that one crate can be there twice.
    fn sample(packages: &[(&str, &str, &[&str])]) -> Metadata {
        let source = |name: &str| (!name.starts_with("lictor")).then(|| "registry".to_owned());
        let crate_name = |name: &str| name.split(' ').next().unwrap_or(name).to_owned();
        let package = |&(name, version, needs): &(&str, &str, &[&str])| Package {
            id: name.into(),
            name: crate_name(name),
            version: version.into(),
            license: Some("MIT".into()),
            source: source(name),
            dependencies: needs
                .iter()
                .map(|need| Dependency {
                    name: crate_name(need),
                    source: source(need),
                    kind: None,
                })
                .collect(),
            targets: vec![],
        };
        let node = |&(name, _, needs): &(&str, &str, &[&str])| Node {
            id: name.into(),
            deps: needs
                .iter()
                .map(|need| Dep {
                    pkg: (*need).into(),
                    dep_kinds: vec![DepKind { kind: None }],
                })
                .collect(),
        };
        Metadata {
            packages: packages.iter().map(package).collect(),
            resolve: Resolve {
                nodes: packages.iter().map(node).collect(),
            },
        }
    }
}

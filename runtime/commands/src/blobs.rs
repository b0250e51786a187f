//! The commands on blobs: `compile` makes one, `inspect` shows one, `diff` compares two. None of them runs anything.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use plan::Plan;
use serde::Serialize;
use store::{Content, Identities, Meta, Moment, Remembered};
use sys::directory::Directory;

use crate::{
    Exit,
    command::{Compile, Diff, Inspect},
    job::{self, Job, Unreadable},
    log::Rfc3339,
    memory, process,
    tree::Tree,
};

/// `lictor compile`: files to a blob that a device runs as it is.
pub(crate) fn compile(arguments: &Compile) -> Exit {
    let files = &arguments.files;
    let job = match Job::of(files, false) {
        Ok(job) => job,
        Err(unusable) => {
            eprintln!("{unusable}");
            return Exit::Config;
        }
    };
    let meta = Meta {
        generation: 1,
        learned: build_time(),
        source: memory::source(files),
    };
    let mut plan = job.plan;
    let identities = Identities(std::mem::take(&mut plan.identities));
    let Plan {
        listeners,
        clusters,
        ..
    } = &plan;
    let (listeners, clusters) = (listeners.len(), clusters.len());
    let remembered = Remembered {
        plan,
        process: process::recorded(&job.runtime),
    };
    let path = &arguments.output;
    let written = write(path, &meta, &remembered, Readers::Umask);
    let bytes = match written {
        Ok(bytes) => bytes,
        Err(error) => return not_written(path, &error),
    };
    println!("blob        {}: {bytes} bytes", path.display());
    println!("holds       {listeners} listener(s), {clusters} cluster(s)");
    if identities.0.is_empty() {
        return Exit::Ok;
    }
    let beside = job::identities_of(path);
    if arguments.no_identities {
        println!(
            "identities  left out: without {} what needs them is closed",
            beside.display()
        );
        return Exit::Ok;
    }
    match write(&beside, &meta, &identities, Readers::Owner) {
        Ok(_) => println!(
            "identities  {}: keep it secret, and beside the blob",
            beside.display()
        ),
        Err(error) => return not_written(&beside, &error),
    }
    Exit::Ok
}

fn not_written(path: &Path, error: &dyn std::fmt::Display) -> Exit {
    eprintln!(
        "lictor compile: {} cannot be written: {error}",
        path.display()
    );
    Exit::Software
}

enum Readers {
    Umask,
    Owner,
}

/// Writes a blob beside its place and moves it there, so that nobody sees half of one.
fn write<T: Content>(
    path: &Path,
    meta: &Meta,
    content: &T,
    readers: Readers,
) -> Result<usize, store::Error> {
    let failed = |error| store::Error::System(error, "a file");
    let blob = store::seal(meta, content)?;
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let aside = format!(".{name}.new");
    let written = || {
        let directory = Directory::open(folder)?;
        match readers {
            Readers::Umask => fs::write(folder.join(&aside), &*blob)?,
            Readers::Owner => {
                let file = directory.create(&aside)?;
                let mut rest = &blob[..];
                while !rest.is_empty() {
                    let taken = Directory::write(&file, rest)?;
                    rest = rest.get(taken..).unwrap_or_default();
                }
            }
        }
        Directory::sync_file(&directory.open_file(&aside)?)?;
        directory.rename(&aside, name)?;
        directory.sync()
    };
    written().map_err(failed)?;
    Ok(blob.len())
}

/// Now, or what an image's builder wants to be taken for it (<https://reproducible-builds.org/specs/source-date-epoch/>).
fn build_time() -> u64 {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    given
        .and_then(|given| given.parse().ok())
        .unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.unwrap_or_default().as_secs()
        })
}

/// `lictor inspect`: what a blob says, and until when the certificates that are with it are good.
pub(crate) fn inspect(arguments: &Inspect) -> Exit {
    let path = &arguments.blob;
    let kind = if path.is_dir() {
        Ok(Some(Remembered::KIND))
    } else {
        job::bytes_of(path).map(|bytes| store::kind(&bytes))
    };
    let beside = match &kind {
        Ok(Some(Identities::KIND)) => path.clone(),
        _ if path.is_dir() => path.clone(),
        _ => job::identities_of(path),
    };
    let leaves = job::read::<Identities>(&beside)
        .map(|(_, identities)| proxy::good_until(&identities.0))
        .unwrap_or_default();
    let json = arguments.json;
    let shown = match kind {
        Err(unreadable) => Err(unreadable),
        Ok(Some(Identities::KIND)) => show::<Identities>("identities", path, &leaves, json),
        Ok(Some(Moment::KIND)) => show::<Moment>("time", path, &[], json),
        Ok(_) => show::<Remembered>("plan", path, &leaves, json),
    };
    match shown {
        Ok(()) => Exit::Ok,
        Err(unreadable) => refused("inspect", &unreadable),
    }
}

fn refused(command: &str, unreadable: &Unreadable) -> Exit {
    eprintln!("lictor {command}: {unreadable}");
    Exit::Config
}

fn show<T: Content + Serialize>(
    kind: &str,
    path: &Path,
    leaves: &[(String, u64)],
    json: bool,
) -> Result<(), Unreadable> {
    let (meta, content) = job::read::<T>(path)?;
    let content = Tree::of(&content);
    let learned = match meta.learned {
        0 => "unknown: no clock was right".to_owned(),
        seconds => Rfc3339::of(seconds).to_string(),
    };
    let mut text = String::new();
    if json {
        let field = |name: &str, tree| (name.to_owned(), tree);
        let until = leaves
            .iter()
            .map(|(service, end)| field(service, Tree::Text(Rfc3339::of(*end).to_string())));
        let whole = Tree::Map(vec![
            field("kind", Tree::Text(kind.to_owned())),
            field("version", Tree::Plain(store::VERSION.to_string())),
            field("generation", Tree::Plain(meta.generation.to_string())),
            field("learned", Tree::Text(learned)),
            field("source", Tree::Text(meta.source)),
            field("good_until", Tree::Map(until.collect())),
            field("content", content),
        ]);
        whole.json(&mut text);
        println!("{text}");
    } else {
        println!(
            "blob        {kind}, version {}, generation {}",
            store::VERSION,
            meta.generation
        );
        println!("learned     {learned}, from {}", meta.source);
        for (service, end) in leaves {
            println!(
                "good until  {}: the certificate of {service}",
                Rfc3339::of(*end)
            );
        }
        content.lines(0, &mut text);
        print!("{text}");
    }
    Ok(())
}

/// `lictor diff`: what another blob says differently. As diff(1), it ends with 1 when there is something.
pub(crate) fn diff(arguments: &Diff) -> Exit {
    let (one, other) = (&arguments.one, &arguments.other);
    let read = |path: &PathBuf| {
        let (_, remembered) = job::read::<Remembered>(path)?;
        let mut lines = BTreeMap::new();
        flatten(&Tree::of(&remembered), String::new(), &mut lines);
        Ok(lines)
    };
    let (before, after) = match (read(one), read(other)) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(unreadable), _) | (_, Err(unreadable)) => return refused("diff", &unreadable),
    };
    let mut exit = Exit::Ok;
    let paths: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for path in paths {
        match (before.get(path), after.get(path)) {
            (Some(before), Some(after)) if before == after => continue,
            (Some(before), Some(after)) => println!("~ {path}: {before} -> {after}"),
            (Some(before), None) => println!("- {path}: {before}"),
            (None, Some(after)) => println!("+ {path}: {after}"),
            (None, None) => continue,
        }
        exit = Exit::Different;
    }
    exit
}

/// Every word with the way to it: `plan.clusters[api].endpoints[10.0.0.1:80].weight`.
fn flatten(tree: &Tree, path: String, lines: &mut BTreeMap<String, String>) {
    match tree {
        Tree::Nothing => {}
        Tree::Map(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(value, format!("{path}{dot}{name}"), lines);
            }
        }
        Tree::List(list) => {
            for (at, item) in list.iter().enumerate() {
                let name = item.name().unwrap_or_else(|| at.to_string());
                let mut way = format!("{path}[{name}]");
                // Some names are there twice, as that of two chains that take any server name.
                if list
                    .iter()
                    .take(at)
                    .any(|other| other.name() == item.name())
                    && item.name().is_some()
                {
                    way = format!("{path}[{name} #{at}]");
                }
                match item.line() {
                    Some(line) => drop(lines.insert(way, line)),
                    None => flatten(item, way, lines),
                }
            }
        }
        Tree::Plain(text) => drop(lines.insert(path, text.clone())),
        Tree::Text(text) => drop(lines.insert(path, text.replace('\n', " "))),
    }
}

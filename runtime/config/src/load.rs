//! Files to [`Settings`]: the one place of this room that reads from disk, but for the certificates
//! and keys that [`crate::files`] reads.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use plan::order::sort;

use crate::assemble::assemble;
use crate::document::Raw;
use crate::error::{Error, Errors, SyntaxError};
use crate::fields::Reading;
use crate::files::{Files, NoFiles};
use crate::flattened;
use crate::hcl::parse_hcl;
use crate::json::parse_json;
use crate::settings::Settings;
use crate::value::Value;
use crate::yaml::parse_yaml;

/// The largest file that is read, in bytes: a thousand services fit ten times over.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// HCL 1; a text that begins with `{` is JSON.
    Hcl,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Format {
    /// The format that the name's ending says: `.hcl`, `.json`, `.yaml` or `.yml`.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "hcl" => Some(Self::Hcl),
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// A file that was read already.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Its name in messages.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
    /// How it is written.
    pub format: Format,
}

/// Reads files, and of a directory all that end in `.hcl`, `.json`, `.yaml` or `.yml`, in the order
/// of their names; directories in it are not entered. A file that is named itself is HCL unless
/// its ending says otherwise.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn load(paths: &[PathBuf], machine: &dyn Files) -> Result<Settings, Errors> {
    let mut errors = Errors::default();
    let mut files = Vec::new();
    for path in paths {
        match list(path) {
            Ok(mut found) => files.append(&mut found),
            Err(error) => errors.push(error),
        }
    }
    let mut texts = Vec::new();
    for path in files {
        match read(&path) {
            Ok(text) => texts.push((path, text)),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let named: Vec<_> = texts
        .iter()
        .map(|(path, text)| (path.display().to_string(), Format::of(path), text))
        .collect();
    let sources: Vec<Source<'_>> = named
        .iter()
        .map(|(name, format, text)| Source {
            name,
            text,
            format: format.unwrap_or(Format::Hcl),
        })
        .collect();
    parse_with(&sources, machine)
}

/// Reads texts that name no certificate or key files.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn parse(sources: &[Source<'_>]) -> Result<Settings, Errors> {
    parse_with(sources, &NoFiles)
}

/// Reads texts; the certificate and key files that they name come from `files`. Their paths are
/// relative to the folder of the source that names them.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn parse_with(sources: &[Source<'_>], files: &dyn Files) -> Result<Settings, Errors> {
    let mut raw = Raw::default();
    let mut errors = Errors::default();
    let mut notes = Vec::new();
    for source in sources {
        let (part, reading) = parse_one(source);
        let found = reading.errors.into_inner();
        raw.append(part);
        errors.append(found);
        notes.append(&mut reading.notes.into_inner());
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    assemble(raw, notes, files)
}

fn parse_one(source: &Source<'_>) -> (Raw, Reading) {
    let plain = read_documents(source.name, documents(source));
    let good = plain.1.errors.borrow().is_empty();
    if good || source.format != Format::Yaml || !flattened::lost_indentation(source.text) {
        return plain;
    }
    match flattened::read_by_schema(source.text) {
        Ok(document) => {
            let by_schema = read_documents(source.name, Ok(vec![document]));
            if !by_schema.1.errors.borrow().is_empty() {
                return plain;
            }
            let note = crate::error::Note {
                file: by_schema.1.file.clone(),
                span: None,
                key: String::new(),
                why: "indentation lost; read by the schema".to_owned(),
            };
            by_schema.1.notes.borrow_mut().insert(0, note);
            by_schema
        }
        Err(_) => plain,
    }
}

fn documents(source: &Source<'_>) -> Result<Vec<Value>, SyntaxError> {
    match source.format {
        Format::Hcl => parse_hcl(source.text).map(|document| vec![document]),
        Format::Json => parse_json(source.text).map(|document| vec![document]),
        Format::Yaml => parse_yaml(source.text),
    }
}

fn read_documents(name: &str, documents: Result<Vec<Value>, SyntaxError>) -> (Raw, Reading) {
    let reading = Reading::new(name);
    let mut raw = Raw::default();
    match documents {
        Ok(documents) => {
            for document in &documents {
                raw.read(document, &reading.top());
            }
        }
        Err(SyntaxError { span, what }) => {
            reading.top().refuse::<()>(span, what);
        }
    }
    (raw, reading)
}

/// The files that a path means.
fn list(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |error: std::io::Error| file_error(path, format!("cannot be read: {error}"));
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        // Not hidden: editors and Kubernetes keep their own files under such names.
        let hidden = file
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if Format::of(&file).is_none() || hidden {
            continue;
        }
        // One that cannot be looked at is not left out: what it defines would be gone.
        match fs::metadata(&file) {
            Ok(metadata) if metadata.is_file() => files.push(file),
            Ok(_) => {}
            Err(error) => return Err(file_error(&file, format!("cannot be read: {error}"))),
        }
    }
    sort(&mut files);
    if files.is_empty() {
        let what = "no file in it ends in .hcl, .json, .yaml or .yml".to_owned();
        return Err(file_error(path, what));
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String, Error> {
    let failed = |error: std::io::Error| file_error(path, format!("cannot be read: {error}"));
    let limit = u64::try_from(MAX_FILE_BYTES)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut bytes = Vec::new();
    fs::File::open(path)
        .map_err(failed)?
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > MAX_FILE_BYTES {
        let what = format!("larger than {MAX_FILE_BYTES} bytes; split it into several files");
        return Err(file_error(path, what));
    }
    String::from_utf8(bytes).map_err(|_| file_error(path, "not UTF-8; save it as such".to_owned()))
}

fn file_error(path: &Path, what: String) -> Error {
    Error {
        file: path.display().to_string().into(),
        span: None,
        key: String::new(),
        what,
    }
}

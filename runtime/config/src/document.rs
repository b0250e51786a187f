//! What one document of a file holds: a config entry, or services, config entries and stanzas.

use crate::entries::{ConfigEntry, read_entry};
use crate::fields::{At, Read, the_object};
use crate::scalars::Opaque;
use crate::service::ServiceDefinition;
use crate::stanza::Stanza;
use crate::suggest::{did_you_mean, normal};
use crate::value::{Data, Object, Span, Value};

/// Everything that stands in all files, not yet put together.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    pub(crate) services: Vec<ServiceDefinition>,
    /// The same as they stand in the file.
    pub(crate) told: Vec<Value>,
    pub(crate) entries: Vec<ConfigEntry>,
    pub(crate) stanzas: Vec<Stanza>,
}

/// The keys that may stand at the top of a file.
const TOP_KEYS: [&str; 5] = ["service", "services", "config_entries", "lictor", "kind"];

impl Raw {
    pub(crate) fn append(&mut self, mut other: Self) {
        self.services.append(&mut other.services);
        self.told.append(&mut other.told);
        self.entries.append(&mut other.entries);
        self.stanzas.append(&mut other.stanzas);
    }

    /// Adds what a document says; what is wrong with it is recorded at `top`.
    pub(crate) fn read(&mut self, document: &Value, top: &At<'_>) {
        let object = match &document.data {
            Data::Object(object) => object,
            // Several config entries in one file, as a list.
            Data::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.read_entry(item, &top.item(index));
                }
                return;
            }
            _ => {
                let kind = document.data.kind();
                let what = format!("a file holds keys and values, not {kind}");
                top.refuse::<()>(document.span, what);
                return;
            }
        };
        if kind_of(object).is_some() {
            self.read_entry(document, top);
            return;
        }
        for entry in object.entries() {
            let at = top.key(&entry.key);
            match normal(&entry.key).as_str() {
                "service" | "services" => {
                    let services: Option<Vec<ServiceDefinition>> = Read::read(&entry.value, &at);
                    self.services.extend(services.unwrap_or_default());
                    self.told.push(entry.value.clone());
                }
                "lictor" => {
                    let stanzas: Option<Vec<Stanza>> = Read::read(&entry.value, &at);
                    self.stanzas.extend(stanzas.unwrap_or_default());
                }
                "configentries" => self.read_bootstrap(&entry.value, &at),
                _ => {
                    let hint = did_you_mean(&entry.key, TOP_KEYS.into_iter());
                    let what = format!("nothing of this name stands at the top of a file{hint}");
                    at.refuse::<()>(entry.span, what);
                }
            }
        }
    }

    /// `config_entries { bootstrap = [ … ] }`.
    fn read_bootstrap(&mut self, value: &Value, at: &At<'_>) {
        let Some(Some(object)) = the_object(value, at, "config_entries") else {
            return;
        };
        for entry in object.entries() {
            let at = at.key(&entry.key);
            if normal(&entry.key) != "bootstrap" {
                let hint = did_you_mean(&entry.key, ["bootstrap"].into_iter());
                at.refuse::<()>(entry.span, format!("config_entries has no such key{hint}"));
                continue;
            }
            match &entry.value.data {
                Data::List(items) => {
                    for (index, item) in items.iter().enumerate() {
                        self.read_entry(item, &at.item(index));
                    }
                }
                _ => self.read_entry(&entry.value, &at),
            }
        }
    }

    fn read_entry(&mut self, value: &Value, at: &At<'_>) {
        let object = Opaque::read(value, at).unwrap_or_default().object;
        match kind_of(&object) {
            Some((kind, span)) => self.entries.extend(read_entry(&kind, span, value, at)),
            None => {
                let what = "a config entry needs a kind, as in Kind = \"proxy-defaults\"";
                at.refuse::<()>(value.span, what);
            }
        }
    }
}

/// The `Kind` of a config entry, in any spelling.
fn kind_of(object: &Object) -> Option<(String, Span)> {
    let entry = object
        .entries()
        .iter()
        .find(|entry| normal(&entry.key) == "kind")?;
    match &entry.value.data {
        Data::Text(kind) => Some((kind.clone(), entry.value.span)),
        _ => Some((String::new(), entry.value.span)),
    }
}

//! Roots and identities of `lictor { }`: PEM text, or files beside the configuration that names them.
//!
//! Certificates are looked at only as far as a person's mistakes go (another file than meant, a key
//! where certificates belong); whether a chain holds is for who speaks TLS. The key's text is in no
//! message, and neither is anything else that could be a key.

use std::path::{Path, PathBuf};

use plan::{Identity, Secret, TrustBundle};

use crate::error::{Errors, Note};
use crate::fields::Place;
use crate::files::Files;
use crate::scalars::{Named, Secret as Given, Spot};
use crate::stanza::{IdentityStanza, Stanza};

/// What every block of PEM begins with (RFC 7468 section 3).
const BEGIN: &str = "-----BEGIN ";
/// The end of the label of every kind of key (RFC 7468 sections 10 and 11, RFC 5915 section 4).
const KEY_LABEL: &str = "PRIVATE KEY-----";
/// The end of the label of every kind of certificate (RFC 7468 section 5).
const CERTIFICATE_LABEL: &str = "CERTIFICATE-----";
/// A text of so many bytes without a dot may be the base64 of a key: an Ed25519 key has 64.
const KEY_LIKE_BYTES: usize = 48;

/// What the stanzas say of TLS.
#[derive(Default)]
pub(crate) struct Trust {
    pub(crate) identities: Vec<Identity>,
    /// The roots, in one PEM text.
    pub(crate) roots: String,
    /// Every file that was read.
    pub(crate) files: Vec<PathBuf>,
}

impl Trust {
    /// The bundle of the own trust domain, if there are roots.
    pub(crate) fn bundles(&self, trust_domain: &str) -> Vec<TrustBundle> {
        if self.roots.is_empty() || trust_domain.is_empty() {
            return Vec::new();
        }
        vec![TrustBundle {
            trust_domain: trust_domain.to_owned(),
            roots: self.roots.clone(),
        }]
    }
}

pub(crate) fn trust(
    stanzas: &[Stanza],
    files: &dyn Files,
    errors: &mut Errors,
    notes: &mut Vec<Note>,
) -> Trust {
    let mut reader = Reader {
        files,
        errors,
        notes,
        done: Trust::default(),
    };
    let named_domain = stanzas.iter().any(|stanza| stanza.trust_domain.is_some());
    for spot in stanzas.iter().flat_map(|stanza| &stanza.roots) {
        if !named_domain {
            let what = "roots of which trust domain? add trust_domain = \"<uuid>.consul\"";
            reader.errors.push(spot.place.error("", what));
        }
        if let Some(text) = reader.certificates(spot) {
            reader.done.roots.push_str(text.expose().trim());
            reader.done.roots.push('\n');
        }
    }
    let identities = stanzas
        .iter()
        .flat_map(|stanza| stanza.identity.0.iter().chain(&stanza.identities.0));
    let mut taken: Vec<&Named<IdentityStanza>> = Vec::new();
    for item in identities {
        let same = |other: &&&Named<IdentityStanza>| other.name.eq_ignore_ascii_case(&item.name);
        if let Some(first) = taken.iter().find(same) {
            let what = format!("given already at {}; keep one", first.place.short());
            reader.errors.push(item.place.error("", what));
            continue;
        }
        taken.push(item);
        reader.identity(item);
    }
    reader.done
}

struct Reader<'a> {
    files: &'a dyn Files,
    errors: &'a mut Errors,
    notes: &'a mut Vec<Note>,
    done: Trust,
}

impl Reader<'_> {
    fn identity(&mut self, item: &Named<IdentityStanza>) {
        let stanza = &item.value;
        let (Some(certificate), Some(key)) = (&stanza.certificate, &stanza.key) else {
            let what = "an identity needs a certificate and its key, as files or PEM text";
            self.errors.push(item.place.error("", what));
            return;
        };
        let certificates = self.certificates(certificate);
        let key = self.key(key);
        if let (Some(certificates), Some(key)) = (certificates, key) {
            self.done.identities.push(Identity {
                name: item.name.clone(),
                certificates: certificates.expose().to_owned(),
                key,
            });
        }
    }

    fn certificates(&mut self, spot: &Spot<Given>) -> Option<Secret> {
        let (text, _) = self.text(spot, false)?;
        // Certificates may be shown, so nothing secret may come with them.
        if holds(text.expose(), KEY_LABEL) {
            let what = "there is a private key among these certificates; give it as key, apart";
            self.errors.push(spot.place.error("", what));
            return None;
        }
        if !holds(text.expose(), CERTIFICATE_LABEL) {
            let what = "no certificate in PEM; it begins with -----BEGIN CERTIFICATE-----";
            self.errors.push(spot.place.error("", what));
            return None;
        }
        Some(text)
    }

    fn key(&mut self, spot: &Spot<Given>) -> Option<Secret> {
        let (text, exposed) = self.text(spot, true)?;
        if !holds(text.expose(), KEY_LABEL) {
            let what = "no private key in PEM; it begins with -----BEGIN PRIVATE KEY-----, \
                        -----BEGIN EC PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----";
            self.errors.push(spot.place.error("", what));
            return None;
        }
        if exposed {
            let why = "the key's group or others can read it; set its mode to 0600";
            self.notes.push(spot.place.note("", why));
        }
        Some(text)
    }

    /// The PEM text, and whether it is in a file that others can read.
    fn text(&mut self, spot: &Spot<Given>, key: bool) -> Option<(Secret, bool)> {
        let given = spot.value.reveal();
        if given.trim_start().starts_with(BEGIN) {
            return Some((Secret::new(given.to_owned()), false));
        }
        let one_line = !given.is_empty() && !given.contains(['\n', '\r', '\0']);
        if !one_line {
            let what = "neither the name of a file nor PEM text that begins with -----BEGIN";
            self.errors.push(spot.place.error("", what));
            return None;
        }
        let path = beside(&spot.place, given);
        match self.files.read(&path) {
            Ok(file) => {
                if !self.done.files.contains(&path) {
                    self.done.files.push(path);
                }
                Some((file.text, file.exposed))
            }
            Err(error) => {
                let key_like = given.len() >= KEY_LIKE_BYTES && !given.contains('.');
                let what = match key && key_like {
                    true => format!("the file of this name cannot be read: {error}"),
                    false => format!("'{}' cannot be read: {error}", path.display()),
                };
                self.errors.push(spot.place.error("", what));
                None
            }
        }
    }
}

/// The path, from the folder of the configuration file that names it.
fn beside(place: &Place, path: &str) -> PathBuf {
    let folder = Path::new(&*place.file).parent();
    folder.unwrap_or_else(|| Path::new("")).join(path)
}

/// Whether there is a block of PEM whose label ends so.
fn holds(text: &str, label: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim();
        line.starts_with(BEGIN) && line.ends_with(label)
    })
}

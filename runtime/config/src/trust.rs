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
use crate::stanza::{IdentityStanza, PeerStanza, Stanza};

/// What every block of PEM begins with (RFC 7468 section 3).
const BEGIN: &str = "-----BEGIN ";
/// The end of the label of every kind of key (RFC 7468 sections 10 and 11, RFC 5915 section 4).
const KEY_LABEL: &str = "PRIVATE KEY-----";
/// The end of the label of every kind of certificate (RFC 7468 section 5).
const CERTIFICATE_LABEL: &str = "CERTIFICATE-----";
/// A text of so many bytes without a dot may be the base64 of a key: an Ed25519 key has 64.
const KEY_LIKE_BYTES: usize = 48;

/// Something of TLS that a file gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// The identity of this name.
    Identity(String),
    /// Roots of this trust domain.
    Roots(String),
}

/// Where a material was given. Its contents are judged by who speaks TLS; this is for telling of them.
#[derive(Clone, Debug)]
pub struct Origin {
    /// What was given.
    pub material: Material,
    /// Where.
    pub place: Place,
    /// The files that hold it; none where it stands in the configuration itself.
    pub files: Vec<PathBuf>,
}

impl Origin {
    /// Says something of it, with its place and its files.
    #[must_use]
    pub fn note(&self, why: &str) -> Note {
        let files: Vec<String> = self
            .files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        match files.as_slice() {
            [] => self.place.note("", why),
            files => self.place.note("", format!("{why} ({})", files.join(", "))),
        }
    }
}

/// What the stanzas say of TLS.
#[derive(Default)]
pub(crate) struct Trust {
    pub(crate) identities: Vec<Identity>,
    pub(crate) bundles: Vec<TrustBundle>,
    pub(crate) origins: Vec<Origin>,
    /// Every file that was read.
    pub(crate) files: Vec<PathBuf>,
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
        read: Vec::new(),
        done: Trust::default(),
    };
    let own = stanzas
        .iter()
        .find_map(|stanza| stanza.trust_domain.as_ref());
    for spot in stanzas.iter().flat_map(|stanza| &stanza.roots) {
        reader.roots(spot, own.map(|own| own.value.as_str()));
    }
    for peer in stanzas
        .iter()
        .flat_map(|stanza| stanza.peer.0.iter().chain(&stanza.peers.0))
    {
        reader.roots_of_peer(peer, own);
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
    /// Files that were read, and are not yet part of an origin.
    read: Vec<PathBuf>,
    done: Trust,
}

impl Reader<'_> {
    /// Adds roots of a trust domain.
    fn roots(&mut self, spot: &Spot<Given>, trust_domain: Option<&str>) {
        let Some(trust_domain) = trust_domain else {
            let what = "roots of which trust domain? add trust_domain = \"<uuid>.consul\"";
            self.errors.push(spot.place.error("", what));
            return;
        };
        let trust_domain = trust_domain.to_ascii_lowercase();
        let read_before = self.read.len();
        let Some(text) = self.certificates(spot) else {
            return;
        };
        self.done.origins.push(Origin {
            material: Material::Roots(trust_domain.clone()),
            place: spot.place.clone(),
            files: self.read.split_off(read_before),
        });
        let text = format!("{}\n", text.expose().trim());
        let bundles = &mut self.done.bundles;
        match bundles
            .iter_mut()
            .find(|it| it.trust_domain == trust_domain)
        {
            Some(bundle) => bundle.roots.push_str(&text),
            None => bundles.push(TrustBundle {
                trust_domain,
                roots: text,
            }),
        }
    }

    /// A peer's authority vouches for the peer's services, and never for our own.
    fn roots_of_peer(&mut self, peer: &Named<PeerStanza>, own: Option<&Spot<String>>) {
        let trust_domain = peer.value.trust_domain.as_ref();
        for spot in &peer.value.roots {
            match (trust_domain, own) {
                (None, _) => {
                    let what = "roots of which trust domain? add the peer's trust_domain";
                    self.errors.push(spot.place.error("", what));
                }
                (Some(there), Some(own)) if there.value.eq_ignore_ascii_case(&own.value) => {
                    let what = "the peer's trust domain is the own one; its own is in its roots";
                    self.errors.push(spot.place.error("", what));
                }
                (Some(there), _) => self.roots(spot, Some(&there.value)),
            }
        }
    }

    fn identity(&mut self, item: &Named<IdentityStanza>) {
        let stanza = &item.value;
        let (Some(certificate), Some(key)) = (&stanza.certificate, &stanza.key) else {
            let what = "an identity needs a certificate and its key, as files or PEM text";
            self.errors.push(item.place.error("", what));
            return;
        };
        let read_before = self.read.len();
        let certificates = self.certificates(certificate);
        let key = self.key(key);
        if let (Some(certificates), Some(key)) = (certificates, key) {
            self.done.origins.push(Origin {
                material: Material::Identity(item.name.clone()),
                place: item.place.clone(),
                files: self.read.split_off(read_before),
            });
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
                    self.done.files.push(path.clone());
                }
                self.read.push(path);
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

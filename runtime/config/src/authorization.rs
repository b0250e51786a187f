//! From `service-intentions` to [`Intentions`]: who may call one service.
//!
//! Only what a connection shows is judged: permissions and tokens are about requests, so a source
//! that has them counts as denied and a note says so. What cannot be judged is never left out, for
//! without a deny the default might allow
//! (<https://developer.hashicorp.com/consul/docs/connect/config-entries/service-intentions>).

use plan::intentions::{Action, DefaultAction, Destination, Intention, Intentions, Name, Source};
use plan::mesh::Mesh;
use plan::names::{is_default, same};

use crate::entries::ConfigEntries;
use crate::error::{Errors, Note};
use crate::intentions::{IntentionAction, ServiceIntentions, SourceIntention};

/// Every name.
const WILDCARD: &str = "*";

/// Gathers the intentions for one service.
pub(crate) fn intentions(
    service: &str,
    namespace: &str,
    default: DefaultAction,
    entries: &ConfigEntries,
    mesh: &Mesh,
    errors: &mut Errors,
    notes: &mut Vec<Note>,
) -> Intentions {
    let mut rules = Vec::new();
    for entry in &entries.service_intentions {
        if !covers(entry, service, namespace, mesh) {
            continue;
        }
        for source in &entry.sources {
            rules.extend(intention(entry, source, mesh, errors, notes));
        }
    }
    Intentions::new(rules, default)
}

fn covers(entry: &ServiceIntentions, service: &str, namespace: &str, mesh: &Mesh) -> bool {
    let of_namespace = text(entry.namespace.as_ref());
    let name = text(entry.name.as_ref());
    same(text(entry.partition.as_ref()), &mesh.partition)
        && (of_namespace == WILDCARD || same(of_namespace, namespace))
        && (name == WILDCARD || name.eq_ignore_ascii_case(service))
}

fn intention(
    entry: &ServiceIntentions,
    source: &SourceIntention,
    mesh: &Mesh,
    errors: &mut Errors,
    notes: &mut Vec<Note>,
) -> Option<Intention> {
    let mut refuse = |key: &str, what: String| {
        let error = source.place.error(key, what);
        // Two sidecars of one service read the same source.
        if !errors.list().contains(&error) {
            errors.push(error);
        }
        None
    };
    let name = text(source.name.as_ref());
    if name.is_empty() {
        return refuse("Name", "a source needs a name, or * for all".to_owned());
    }
    if !text(source.sameness_group.as_ref()).is_empty() {
        let what = "sameness groups are not read; give a source for each peer and partition of it";
        return refuse("SamenessGroup", what.to_owned());
    }
    let peer = text(source.peer.as_ref());
    let trust_domain = match peer {
        "" => mesh.trust_domain.clone(),
        peer => {
            let known = mesh
                .peers
                .iter()
                .find(|it| it.name.eq_ignore_ascii_case(peer));
            match known.map(|it| it.trust_domain.as_str()) {
                Some("") => {
                    let what = format!(
                        "the trust domain of peer '{peer}' is not known; add it to peer \"{peer}\" in lictor {{ }}"
                    );
                    return refuse("Peer", what);
                }
                Some(trust_domain) => trust_domain.to_owned(),
                None => {
                    let what = format!(
                        "there is no peer '{peer}'; add peer \"{peer}\" {{ trust_domain = \"…\" }} to lictor {{ }}"
                    );
                    return refuse("Peer", what);
                }
            }
        }
    };
    let action = match (
        source.action,
        source.permissions.is_empty() && entry.jwt.is_none(),
    ) {
        (IntentionAction::Unset, true) => {
            return refuse(
                "Action",
                "a source needs an action, allow or deny".to_owned(),
            );
        }
        (IntentionAction::Deny, _) if source.permissions.is_empty() => Action::Deny,
        (IntentionAction::Allow, true) => Action::Allow,
        _ => {
            let why = "permissions and tokens are about requests, and connections are judged here: \
                       this source counts as denied";
            let note = source.place.note("", why);
            if !notes.contains(&note) {
                notes.push(note);
            }
            Action::Permissions
        }
    };
    // A source inherits the entry's namespace and partition, but no wildcard; at a peer, nothing.
    let inherited = |given: Option<&String>, from: &str| match text(given) {
        "" if peer.is_empty() && from != WILDCARD => from.to_owned(),
        given => given.to_owned(),
    };
    let entry_namespace = text(entry.namespace.as_ref());
    Some(Intention {
        source: Source {
            trust_domain: trust_domain.to_ascii_lowercase(),
            partition: exact(&inherited(source.partition.as_ref(), &mesh.partition)),
            namespace: exact(&inherited(source.namespace.as_ref(), entry_namespace)),
            name: Name::new(name),
        },
        destination: Destination {
            namespace: exact(entry_namespace),
            name: Name::new(text(entry.name.as_ref())),
        },
        action,
    })
}

/// A namespace or partition; both names of the default one are the same.
fn exact(name: &str) -> Name {
    match is_default(name) {
        true => Name::Exact(String::new()),
        false => Name::new(name),
    }
}

fn text(given: Option<&String>) -> &str {
    given.map_or("", String::as_str)
}

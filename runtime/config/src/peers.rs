//! Peered clusters as a sidecar meets them: services there that it calls, and callers from there.
//!
//! A peer's service goes by names of the peer's own: its trust domain, its datacenter and its name for
//! this cluster, which Consul learns along with the service and a file has to give
//! (<https://developer.hashicorp.com/consul/docs/connect/cluster-peering>).

use plan::chain::Target;
use plan::mesh::{Mesh, Peer, Via};
use plan::names::same;

use crate::entries::ConfigEntries;
use crate::error::Note;
use crate::exports::exported_to;
use crate::settings::Sidecar;

/// The target that a service of a peer is, or what the file lacks for it.
pub(crate) fn target(
    service: &str,
    namespace: &str,
    peer: &str,
    via: Via,
    mesh: &Mesh,
) -> Result<Target, String> {
    let known = mesh
        .peers
        .iter()
        .find(|it| it.name.eq_ignore_ascii_case(peer));
    let Some(known) = known else {
        return Err(format!(
            "there is no peer '{peer}'; add peer \"{peer}\" {{ … }} to lictor {{ }}"
        ));
    };
    let imported = known
        .imported
        .iter()
        .find(|it| it.name.eq_ignore_ascii_case(service) && same(&it.namespace, namespace));
    // With the service the file must have given the trust domain and the peer's name for us.
    let Some(imported) = imported else {
        return Err(format!(
            "peer \"{peer}\" in lictor {{ }} has no service \"{service}\"; add it there"
        ));
    };
    let lacks = if imported.identities.is_empty() {
        "datacenter, which is part of its services' identities"
    } else if !has_roots(known, mesh) {
        "roots, by which its services are known"
    } else {
        return Ok(Target {
            namespace: imported.namespace.clone(),
            partition: imported.partition.clone(),
            peer: Some(known.name.clone()),
            via,
            ..Target::new(&imported.name, "")
        });
    };
    Err(format!("peer \"{peer}\" in lictor {{ }} lacks its {lacks}"))
}

/// The peers whose services may try to call a sidecar's: those that its service is exported to.
pub(crate) fn callers(
    sidecar: &Sidecar,
    mesh: &Mesh,
    entries: &ConfigEntries,
    notes: &mut Vec<Note>,
) -> Vec<String> {
    let (service, namespace) = (&sidecar.service, &sidecar.namespace);
    let stanza = mesh
        .services
        .iter()
        .find(|it| it.name.eq_ignore_ascii_case(service) && same(&it.namespace, namespace));
    let mut peers = match stanza {
        Some(service) => service.exported_to.clone(),
        None => exported_to(service, namespace, &mesh.partition, entries),
    };
    peers.retain(|name| {
        let known = mesh.peers.iter().find(|peer| peer.name == *name);
        let trusted = known.is_some_and(|peer| has_roots(peer, mesh));
        if !trusted {
            let why = format!(
                "exported to peer \"{name}\", whose roots lictor {{ }} does not have: its callers are refused"
            );
            notes.push(sidecar.place.note("", why));
        }
        trusted
    });
    peers
}

/// Whether there are roots by which a peer's certificates can be judged.
fn has_roots(peer: &Peer, mesh: &Mesh) -> bool {
    let mut bundles = mesh.trust.iter();
    bundles.any(|bundle| bundle.trust_domain == peer.trust_domain)
}

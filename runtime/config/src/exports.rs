//! To which peers a service is exported, by `exported-services`
//! (<https://developer.hashicorp.com/consul/docs/connect/config-entries/exported-services>).

use crate::entries::{ConfigEntries, ExportedServices};

/// The peers, by our names for them, in lower case, each once; `partition` is the own one.
pub(crate) fn exported_to(
    name: &str,
    namespace: &str,
    partition: &str,
    entries: &ConfigEntries,
) -> Vec<String> {
    let of_partition = |entry: &&ExportedServices| {
        let name = entry.name.as_deref().or(entry.partition.as_deref());
        name.is_none_or(|name| name.eq_ignore_ascii_case(partition))
    };
    let fits = |pattern: Option<&str>, wanted: &str| {
        pattern.is_some_and(|it| it == "*" || it.eq_ignore_ascii_case(wanted))
    };
    let namespace = match namespace {
        "" => "default",
        namespace => namespace,
    };
    let consumers = entries
        .exported_services
        .iter()
        .filter(of_partition)
        .flat_map(|entry| &entry.services)
        .filter(|it| fits(it.name.as_deref(), name))
        .filter(|it| {
            fits(
                Some(it.namespace.as_deref().unwrap_or("default")),
                namespace,
            )
        })
        .flat_map(|it| &it.consumers)
        .filter_map(|consumer| consumer.peer.clone().or_else(|| consumer.peer_name.clone()));
    once_each(consumers)
}

/// Names of peers in lower case, each once; empty ones are partitions.
pub(crate) fn once_each(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut peers = Vec::new();
    for name in names {
        let peer = name.to_ascii_lowercase();
        if !peer.is_empty() && !peers.contains(&peer) {
            peers.push(peer);
        }
    }
    peers
}

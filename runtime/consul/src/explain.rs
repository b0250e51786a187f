//! What Consul said of an upstream, and what follows from it, as text for a person.

use std::fmt::Write as _;

use plan::{
    Health,
    chain::Target,
    mesh::{Mesh, Upstream, Via},
    upstreams,
};

use crate::{
    answers::service::Service,
    assemble::sidecar_registration,
    levels::{self, Entries},
    sidecar::{Assembled, Sidecar},
};

/// Tells of the upstreams of that name, or of that service; of all when the name is empty. `entries` is what the config entries
/// say, of which Consul's answers show only what they come to.
#[must_use]
pub fn upstream(sidecar: &Sidecar, name: &str, entries: &Entries) -> String {
    let mut text = String::new();
    let assembled = &match sidecar.mesh() {
        Ok(assembled) => assembled,
        Err(why) => return format!("{}: {why}\n", sidecar.id()),
    };
    let is_meant = |known: &str| {
        let service = known.split('?').next().unwrap_or_default();
        name.is_empty() || known == name || service == name
    };
    for upstream in &assembled.sidecar.upstreams {
        if is_meant(&upstream.name) {
            describe(
                &mut text,
                upstream,
                assembled,
                sidecar.registered(),
                entries,
            );
        }
    }
    for (refused, why) in assembled
        .refused
        .iter()
        .filter(|(known, _)| is_meant(known))
    {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "upstream     {refused} of {}\nrefused      {why}",
            assembled.sidecar.id
        );
    }
    text
}

fn describe(
    text: &mut String,
    upstream: &Upstream,
    assembled: &Assembled,
    registered: Option<&Service>,
    entries: &Entries,
) {
    let id = &assembled.sidecar.id;
    let _ = writeln!(
        text,
        "upstream     {} of {id}\nlistens      {}",
        upstream.name, upstream.listen
    );
    if let Some(proxy) = registered.map(|service| &service.proxy) {
        let mut all = proxy.upstreams.iter();
        let found = all.find(|it| sidecar_registration::name(it) == upstream.name);
        // The mode of a prepared query is not merged, and leads nowhere.
        if let Some(found) = found.filter(|it| !it.query) {
            levels::describe(text, found, proxy, entries);
        }
    }
    let sum: u64 = upstream
        .chain
        .splits
        .iter()
        .map(|split| u64::from(split.weight))
        .sum();
    for split in &upstream.chain.splits {
        if upstream.chain.splits.len() > 1 {
            let share = u64::from(split.weight) * 100 / sum.max(1);
            let _ = writeln!(text, "share        {share} %");
        }
        target(text, "target", &split.resolver.target, &assembled.mesh);
        for other in &split.resolver.failover {
            target(text, "failover", other, &assembled.mesh);
        }
    }
}

fn target(text: &mut String, what: &str, target: &Target, mesh: &Mesh) {
    let subset = target
        .subset
        .as_deref()
        .map(|name| format!(" subset {name}"))
        .unwrap_or_default();
    let _ = writeln!(
        text,
        "{what:<12} {}{subset} in {}",
        target.service, target.datacenter
    );
    let here = target.datacenter == mesh.datacenter;
    let mode = match target.via {
        _ if here => "none: this datacenter is reached directly, whatever the mode",
        Via::Direct => "none: directly to the instances",
        Via::LocalGateway => "local: by the gateways of this datacenter",
        Via::RemoteGateway => "remote: by the gateways of the target's datacenter",
    };
    let _ = writeln!(
        text,
        "  mode       {mode}\n  sni        {}",
        upstreams::server_name(target, mesh)
    );
    let endpoints = upstreams::endpoints(target, mesh);
    if endpoints.is_empty() {
        text.push_str("  endpoint   none is known\n");
    }
    for endpoint in endpoints {
        let health = match endpoint.health {
            Health::Healthy => "",
            Health::Unhealthy => " unhealthy",
        };
        let _ = writeln!(
            text,
            "  endpoint   {} weight {}{health}",
            endpoint.address, endpoint.weight
        );
    }
}

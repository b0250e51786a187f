//! From the local files to a Plan.

use std::{path::PathBuf, time::Duration};

use config::{RuntimeSettings, Settings};
use plan::Plan;
use plan::order::sort_by_name;
use proxy::Options;
use sys::socket::TcpOptions;

use crate::{Exit, job, machine::Machine};

/// Reads the files of a command line; says on standard error what is wrong with them.
pub(crate) fn load(files: &[PathBuf]) -> Result<Settings, Exit> {
    if files.is_empty() {
        eprintln!("lictor: no configuration file given; try configs/gateway-dc1.hcl");
        return Err(Exit::Usage);
    }
    if let Some(blob) = files.iter().find(|file| job::is_blob(file)) {
        eprintln!(
            "lictor: {} is a blob; lictor inspect shows what it holds",
            blob.display()
        );
        return Err(Exit::Usage);
    }
    config::load(files, &Machine).map_err(|errors| {
        eprintln!("{errors}");
        Exit::Config
    })
}

/// The Plan of all gateways and sidecars that the files define. Those of one process share the mesh, so that their
/// clusters of one name are the same.
pub(crate) fn plan(settings: &Settings) -> Plan {
    let gateways = settings
        .gateways
        .iter()
        .map(|gateway| plan::gateway::plan(gateway, &settings.mesh));
    let sidecars = settings
        .sidecar_registrations
        .iter()
        .map(|sidecar| plan::sidecar::plan(sidecar, &settings.mesh));
    join(gateways.chain(sidecars))
}

/// Several Plans as one. Of things with one name the first counts.
pub(crate) fn join(parts: impl Iterator<Item = Plan>) -> Plan {
    let mut whole = Plan::default();
    for part in parts {
        whole.listeners.extend(part.listeners);
        whole.clusters.extend(part.clusters);
        whole.identities.extend(part.identities);
        whole.trust.extend(part.trust);
    }
    sort_by_name(&mut whole.listeners, |listener| &listener.name);
    whole
        .listeners
        .dedup_by(|later, first| later.name == first.name);
    sort_by_name(&mut whole.clusters, |cluster| &cluster.name);
    whole
        .clusters
        .dedup_by(|later, first| later.name == first.name);
    sort_by_name(&mut whole.identities, |identity| &identity.name);
    whole
        .identities
        .dedup_by(|later, first| later.name == first.name);
    sort_by_name(&mut whole.trust, |bundle| &bundle.trust_domain);
    whole
        .trust
        .dedup_by(|later, first| later.trust_domain == first.trust_domain);
    whole
}

/// Whether the files define anything to run.
pub(crate) fn has_work(settings: &Settings) -> bool {
    !settings.gateways.is_empty() || !settings.sidecar_registrations.is_empty()
}

/// What the data plane needs of the settings apart from the Plan.
pub(crate) fn options(runtime: &RuntimeSettings) -> Options {
    let keepalive = runtime.tcp.keepalive;
    Options {
        connections: usize::try_from(runtime.limits.connections).unwrap_or(usize::MAX),
        handshakes_per_source: runtime.limits.handshakes_per_source,
        tls_sessions: usize::try_from(runtime.limits.tls_sessions).unwrap_or(usize::MAX),
        client_hello_timeout: runtime.timeouts.client_hello,
        idle_timeout: runtime.timeouts.idle.unwrap_or(Duration::ZERO),
        tcp: TcpOptions {
            keepalive_time: keepalive.map(|keepalive| keepalive.time),
            keepalive_interval: keepalive.map_or(Duration::ZERO, |keepalive| keepalive.interval),
            keepalive_probes: keepalive.map_or(0, |keepalive| keepalive.probes),
            user_timeout: runtime.tcp.user_timeout.unwrap_or(Duration::ZERO),
        },
        #[cfg(feature = "ktls")]
        kernel_tls: runtime.tcp.kernel_tls && sys::ktls::works(),
        access_log: runtime.log.access,
    }
}

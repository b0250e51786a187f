//! The stanzas' settings of the process: joined, checked, completed by the defaults.

use std::path::PathBuf;
use std::time::Duration;

use plan::{Address, TcpKeepalive};

use crate::defaults;
use crate::error::{Errors, Note};
use crate::scalars::Spot;
use crate::settings::{Limits, LogSettings, RuntimeSettings, TcpSettings, Timeouts};
use crate::stanza::Stanza;

/// Keepalive times are whole seconds for the kernel, and at most this (`MAX_TCP_KEEPIDLE`).
const MAX_KEEPALIVE: Duration = Duration::from_secs(32767);
/// The most probes the kernel takes (`MAX_TCP_KEEPCNT`).
const MAX_KEEPALIVE_PROBES: u32 = 127;

/// The one value among the stanzas; a second one is an error.
pub(crate) fn only<'a, T>(
    stanzas: &'a [Stanza],
    errors: &mut Errors,
    field: impl Fn(&'a Stanza) -> Option<&'a Spot<T>>,
) -> Option<&'a Spot<T>> {
    let mut found: Option<&Spot<T>> = None;
    for spot in stanzas.iter().filter_map(field) {
        match found {
            Some(first) => {
                let what = format!("given already at {}; keep one", first.place.short());
                errors.push(spot.place.error("", what));
            }
            None => found = Some(spot),
        }
    }
    found
}

pub(crate) fn runtime(
    stanzas: &[Stanza],
    errors: &mut Errors,
    notes: &mut Vec<Note>,
) -> RuntimeSettings {
    let mut only_log = None;
    for log in stanzas.iter().filter_map(|stanza| stanza.log.as_ref()) {
        if only_log.is_some() {
            errors.push(
                log.place
                    .error("", "given in another lictor { } already; keep one"),
            );
        }
        only_log.get_or_insert(log);
    }
    let admin = only(stanzas, errors, |stanza| stanza.admin.as_ref());
    let admin_address = admin.and_then(|spot| spot.value.clone());
    if let (Some(spot), Some(address)) = (admin, admin_address.as_ref().and_then(Address::inet))
        && !address.ip().is_loopback()
    {
        let why = "everyone who reaches this address can read what the gateway knows";
        notes.push(spot.place.note("", why));
    }
    let state_dir = only(stanzas, errors, |stanza| stanza.state_dir.as_ref());
    if let Some(spot) = state_dir.filter(|spot| !spot.value.starts_with('/')) {
        errors.push(spot.place.error(
            "",
            "a directory is given from the root, as in /var/lib/lictor",
        ));
    }
    let identities = only(stanzas, errors, |stanza| {
        stanza.remember_identities.as_ref()
    });
    RuntimeSettings {
        admin: admin_address,
        state_dir: PathBuf::from(state_dir.map_or(defaults::STATE_DIR, |spot| &spot.value)),
        remember_identities: identities.is_none_or(|spot| spot.value),
        log: LogSettings {
            level: only_log.and_then(|log| log.level).unwrap_or_default(),
            format: only_log.and_then(|log| log.format).unwrap_or_default(),
            access: only_log.and_then(|log| log.access).unwrap_or_default(),
        },
        limits: limits(stanzas, errors),
        timeouts: timeouts(stanzas, errors),
        tcp: tcp(stanzas, errors),
    }
}

fn limits(stanzas: &[Stanza], errors: &mut Errors) -> Limits {
    let connections = only(stanzas, errors, |stanza| {
        stanza.limits.as_ref()?.connections.as_ref()
    });
    let handshakes = only(stanzas, errors, |stanza| {
        stanza.limits.as_ref()?.handshakes_per_source.as_ref()
    });
    let tls_sessions = only(stanzas, errors, |stanza| {
        stanza.limits.as_ref()?.tls_sessions.as_ref()
    });
    for spot in [connections, handshakes]
        .into_iter()
        .flatten()
        .filter(|spot| spot.value == 0)
    {
        errors.push(
            spot.place
                .error("", "0 would let nothing through; give at least 1"),
        );
    }
    Limits {
        connections: connections.map_or(defaults::MAX_CONNECTIONS, |spot| spot.value),
        handshakes_per_source: handshakes
            .map_or(defaults::MAX_HANDSHAKES_PER_SOURCE, |spot| spot.value),
        tls_sessions: tls_sessions.map_or(defaults::TLS_SESSIONS, |spot| spot.value),
    }
}

fn timeouts(stanzas: &[Stanza], errors: &mut Errors) -> Timeouts {
    let client_hello = only(stanzas, errors, |stanza| {
        stanza.timeouts.as_ref()?.client_hello.as_ref()
    });
    let connect = only(stanzas, errors, |stanza| {
        stanza.timeouts.as_ref()?.connect.as_ref()
    });
    let drain = only(stanzas, errors, |stanza| {
        stanza.timeouts.as_ref()?.drain.as_ref()
    });
    let idle = only(stanzas, errors, |stanza| {
        stanza.timeouts.as_ref()?.idle.as_ref()
    });
    for spot in [client_hello, connect]
        .into_iter()
        .flatten()
        .filter(|spot| spot.value.is_zero())
    {
        errors.push(
            spot.place
                .error("", "0 would let nothing through; give some time"),
        );
    }
    let idle = idle.map_or(defaults::IDLE_TIMEOUT, |spot| spot.value);
    Timeouts {
        client_hello: client_hello.map_or(defaults::CLIENT_HELLO_TIMEOUT, |spot| spot.value),
        connect: connect.map_or(defaults::CONNECT_TIMEOUT, |spot| spot.value),
        drain: drain.map_or(defaults::DRAIN_TIMEOUT, |spot| spot.value),
        idle: Some(idle).filter(|idle| !idle.is_zero()),
    }
}

fn tcp(stanzas: &[Stanza], errors: &mut Errors) -> TcpSettings {
    let time = only(stanzas, errors, |stanza| {
        stanza.tcp.as_ref()?.keepalive_time.as_ref()
    });
    let interval = only(stanzas, errors, |stanza| {
        stanza.tcp.as_ref()?.keepalive_interval.as_ref()
    });
    let probes = only(stanzas, errors, |stanza| {
        stanza.tcp.as_ref()?.keepalive_probes.as_ref()
    });
    let user_timeout = only(stanzas, errors, |stanza| {
        stanza.tcp.as_ref()?.user_timeout.as_ref()
    });
    for spot in [time, interval].into_iter().flatten() {
        let whole = spot.value.subsec_nanos() == 0;
        if !whole || spot.value.is_zero() || spot.value > MAX_KEEPALIVE {
            let most = MAX_KEEPALIVE.as_secs();
            errors.push(
                spot.place
                    .error("", format!("the kernel takes whole seconds, 1s to {most}s")),
            );
        }
    }
    if let Some(spot) = probes.filter(|spot| !(1..=MAX_KEEPALIVE_PROBES).contains(&spot.value)) {
        let what = format!("the kernel takes 1 to {MAX_KEEPALIVE_PROBES} probes");
        errors.push(spot.place.error("", what));
    }
    if let Some(spot) = user_timeout.filter(|spot| spot.value.subsec_nanos() % 1_000_000 != 0) {
        errors.push(spot.place.error("", "the kernel takes whole milliseconds"));
    }
    let kernel = defaults::KERNEL_KEEPALIVE;
    let wanted = time.is_some() || interval.is_some() || probes.is_some();
    let keepalive = wanted.then(|| TcpKeepalive {
        time: time.map_or(kernel.time, |spot| spot.value),
        interval: interval.map_or(kernel.interval, |spot| spot.value),
        probes: probes.map_or(kernel.probes, |spot| spot.value),
    });
    let kernel_tls = only(stanzas, errors, |stanza| {
        stanza.tcp.as_ref()?.kernel_tls.as_ref()
    });
    let user_timeout = user_timeout
        .map(|spot| spot.value)
        .filter(|time| !time.is_zero());
    TcpSettings {
        keepalive,
        user_timeout,
        kernel_tls: kernel_tls.is_some_and(|spot| spot.value),
    }
}

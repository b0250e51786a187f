//! From a registration at Consul to a [`SidecarRegistration`], by the rules by which Consul configures Envoy.
//!
//! The agent has merged the central configuration into it already. A sidecar that cannot be run as it is registered is not run
//! at all; an upstream that cannot is left out alone, and said.
//! <https://developer.hashicorp.com/consul/docs/connect/proxies/proxy-config-reference>

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use plan::{
    Address, OutlierDetection, PassiveHealthCheck, TlsParameters,
    chain::Chain,
    duration::parse_duration,
    intentions::Intentions,
    mesh::{self, SidecarRegistration},
};

use crate::answers::service::{Config, Service, Upstream};

/// Consul's default for connecting (`connect_timeout_ms`, `local_connect_timeout_ms`).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The registration, still without upstreams.
///
/// # Errors
/// Why this proxy cannot be run as a sidecar.
pub fn sidecar(service: &Service, intentions: Intentions) -> Result<SidecarRegistration, String> {
    let proxy = &service.proxy;
    let id = &service.id;
    must_be(service, "connect-proxy", "sidecar")?;
    if proxy.mode == "transparent" {
        return Err(format!(
            "{id} is in transparent mode, which is not supported; use upstreams and mode \"direct\""
        ));
    }
    if proxy.exposes {
        return Err(format!(
            "{id} exposes paths or checks, which needs HTTP and is not supported; let checks go to the service itself"
        ));
    }
    let config = &proxy.config;
    let bind = config.value("bind_address").filter(|text| !text.is_empty());
    let bind = bind.unwrap_or(&service.address);
    let address = ip(bind, IpAddr::V4(Ipv4Addr::UNSPECIFIED)).ok_or_else(|| {
        format!("{id} listens on {bind}, which is no IP address; set bind_address in its config")
    })?;
    let port = config
        .count("bind_port")
        .and_then(|port| u16::try_from(port).ok());
    let local_app = match (proxy.local_socket.as_str(), proxy.local_port) {
        ("", 0) => {
            return Err(format!(
                "{id} does not say where its service listens; register it with local_service_port"
            ));
        }
        ("", port) => {
            let local = &proxy.local_address;
            let address = ip(local, IpAddr::V4(Ipv4Addr::LOCALHOST));
            let address = address.ok_or_else(|| {
                format!("{id} has the local service address {local}, which is no IP address")
            })?;
            Address::Inet(SocketAddr::new(address, port))
        }
        (path, _) => Address::Unix(path.into()),
    };
    let timeout = config.count("local_connect_timeout_ms");
    Ok(SidecarRegistration {
        id: id.clone(),
        service: proxy.service.clone(),
        namespace: service.namespace.clone(),
        public: SocketAddr::new(address, port.unwrap_or(service.port)),
        local_app,
        local_connect_timeout: milliseconds(timeout),
        max_inbound_connections: config
            .count("max_inbound_connections")
            .filter(|most| *most > 0),
        intentions,
        upstreams: Vec::new(),
        peers: Vec::new(),
        incoming: TlsParameters::default(),
        outgoing: TlsParameters::default(),
    })
}

/// Refuses what is registered as something else.
pub(super) fn must_be(service: &Service, kind: &str, name: &str) -> Result<(), String> {
    let registered = match service.kind.as_str() {
        known if known == kind => return Ok(()),
        "" => "an ordinary service",
        other => other,
    };
    let id = &service.id;
    Err(format!(
        "{id} is registered as {registered}, not as {kind}; give the ID of the {name}"
    ))
}

/// Where an application connects for an upstream: an address, or a socket and its mode.
///
/// # Errors
/// Why nobody can.
pub fn listen(upstream: &Upstream) -> Result<(Address, Option<u32>), String> {
    if !upstream.bind_socket.is_empty() {
        let mode = u32::from_str_radix(&upstream.bind_socket_mode, 8).ok();
        return Ok((Address::Unix(upstream.bind_socket.as_str().into()), mode));
    }
    let address = ip(&upstream.bind_address, IpAddr::V4(Ipv4Addr::LOCALHOST));
    let address = address.ok_or_else(|| {
        format!(
            "local_bind_address {} is no IP address",
            upstream.bind_address
        )
    })?;
    match upstream.bind_port {
        0 => Err("it has no local_bind_port".to_owned()),
        port => Ok((Address::Inet(SocketAddr::new(address, port)), None)),
    }
}

/// What an upstream is called, as Consul calls it.
#[must_use]
pub fn name(upstream: &Upstream) -> String {
    let mut name = match upstream.query {
        true => format!("prepared_query:{}", upstream.name),
        false => upstream.name.clone(),
    };
    for (key, value) in [("dc", &upstream.datacenter), ("peer", &upstream.peer)] {
        if !value.is_empty() {
            name.push_str(&format!("?{key}={value}"));
        }
    }
    name
}

/// An upstream with the limits and times of its config.
#[must_use]
pub fn upstream(
    registered: &Upstream,
    listen: Address,
    socket_mode: Option<u32>,
    chain: Chain,
) -> mesh::Upstream {
    let config = &registered.config;
    mesh::Upstream {
        name: name(registered),
        chain,
        listen,
        socket_mode,
        connect_timeout: milliseconds(config.count("connect_timeout_ms")),
        max_connections: config.count("limits.max_connections"),
        max_pending: config.count("limits.max_pending_requests"),
        outlier_detection: Some(outlier_detection(config)),
    }
}

/// As with Envoy, endpoints are always watched; an upstream's settings only say how.
fn outlier_detection(config: &Config) -> OutlierDetection {
    let of = |key: &str| format!("passive_health_check.{key}");
    let count = |key: &str| config.count(&of(key));
    let time = |key: &str| {
        // The agent writes durations in nanoseconds, an operator as Go does.
        let key = of(key);
        let text = config.value(&key)?;
        let number = text.parse().ok().map(Duration::from_nanos);
        number.or_else(|| parse_duration(text).ok())
    };
    OutlierDetection::from(PassiveHealthCheck {
        max_failures: count("max_failures"),
        interval: time("interval"),
        base_ejection_time: time("base_ejection_time"),
        max_ejection_percent: count("max_ejection_percent"),
        enforcing_consecutive_5xx: count("enforcing_consecutive_5xx"),
    })
}

fn milliseconds(count: Option<u32>) -> Duration {
    let given = count.filter(|count| *count > 0);
    given.map_or(CONNECT_TIMEOUT, |count| {
        Duration::from_millis(u64::from(count))
    })
}

/// An IP address; the other one where there is none.
fn ip(text: &str, otherwise: IpAddr) -> Option<IpAddr> {
    match text {
        "" => Some(otherwise),
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        text => text.parse().ok(),
    }
}

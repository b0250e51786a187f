//! `proxy.config` and an upstream's `config`: maps that Consul passes to the proxy unread, and the
//! keys in them that matter to a mesh gateway or a sidecar.

use std::time::Duration;

use plan::TcpKeepalive;

use crate::defaults;

use crate::fields::{At, Holds, Place, Read, Shape, record, the_object};
use crate::scalars::{Map, words};
use crate::service::{PassiveHealthCheck, TaggedAddress, UpstreamLimits};
use crate::suggest::normal;
use crate::value::{Data, Object, Value};

/// The older names of the gateway's keys begin with this…
const OLD_PREFIX: &str = "envoy_mesh_gateway_";
/// …where the newer ones have this.
const NEW_PREFIX: &str = "envoy_gateway_";

/// The newer name of a key.
pub(crate) fn current_name(key: &str) -> String {
    match key.to_ascii_lowercase().strip_prefix(OLD_PREFIX) {
        Some(rest) => format!("{NEW_PREFIX}{rest}"),
        None => key.to_owned(),
    }
}

/// `proxy.config`, or `Config` of proxy-defaults.
#[derive(Clone, Debug, Default)]
pub struct ProxyConfig {
    /// Where it stands.
    pub place: Place,
    /// Everything in it, as written.
    pub object: Object,
    /// What matters to a gateway.
    pub gateway: GatewayOptions,
    /// What matters to a sidecar.
    pub sidecar: SidecarOptions,
}

impl Read for ProxyConfig {
    const HOLDS: Holds = Holds::Free;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        let Some(object) = the_object(value, at, "proxy.config")? else {
            return Some(Self::default());
        };
        let mut options = Object::new();
        for entry in object.entries() {
            let key = current_name(&entry.key);
            if GatewayOptions::shape().holds(&key).is_some() {
                let name = key.clone();
                if let Err(first) = options.insert(key, entry.span, entry.value.clone()) {
                    let what =
                        format!("'{name}' is given already on line {}; keep one", first.line);
                    at.key(&entry.key).refuse::<()>(entry.span, what);
                }
            }
        }
        let options = Value::new(value.span, Data::Object(options));
        let gateway = GatewayOptions::read(&options, at)?;
        let sidecar = SidecarOptions::read(&pick(value, object, SidecarOptions::shape()), at)?;
        Some(Self {
            place: at.place(value.span),
            object: object.clone(),
            gateway,
            sidecar,
        })
    }
}

/// The entries whose keys the shape has.
fn pick(value: &Value, object: &Object, shape: &Shape) -> Value {
    let mut picked = Object::new();
    for entry in object.entries() {
        if shape.holds(&entry.key).is_some() {
            // Keys of one object differ, so none is refused.
            let _ = picked.insert(entry.key.clone(), entry.span, entry.value.clone());
        }
    }
    Value::new(value.span, Data::Object(picked))
}

/// An upstream's `config`.
#[derive(Clone, Debug, Default)]
pub struct UpstreamConfig {
    /// Where it stands.
    pub place: Place,
    /// Everything in it, as written.
    pub object: Object,
    /// What matters to a sidecar.
    pub options: UpstreamOptions,
}

impl Read for UpstreamConfig {
    const HOLDS: Holds = Holds::Free;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        let Some(object) = the_object(value, at, "an upstream's config")? else {
            return Some(Self::default());
        };
        Some(Self {
            place: at.place(value.span),
            object: object.clone(),
            options: UpstreamOptions::read(&pick(value, object, UpstreamOptions::shape()), at)?,
        })
    }
}

record! {
    /// The keys of an upstream's `config` that matter to a proxy that is not Envoy.
    pub struct UpstreamOptions("an upstream's config") {
        /// How long connecting may take, in milliseconds.
        connect_timeout_ms: Option<u32>,
        /// Limits of its connections.
        limits: Option<UpstreamLimits>,
        /// When an endpoint is left out.
        passive_health_check: Option<PassiveHealthCheck>,
        /// Its protocol; bytes are passed on as they are, and with `tcp` routers and splitters do not count.
        protocol: Option<String>,
    }
}

record! {
    /// The keys of a sidecar's `proxy.config` that matter to a proxy that is not Envoy.
    pub struct SidecarOptions("proxy.config") {
        /// Where to listen for other proxies, instead of the service's address.
        bind_address: Option<String>,
        /// The port to listen on, instead of the service's.
        bind_port: Option<u16>,
        /// How long connecting to the service itself may take, in milliseconds.
        local_connect_timeout_ms: Option<u32>,
        /// The most connections at a time to the service.
        max_inbound_connections: Option<u32>,
        /// The service's protocol; tcp or not, bytes are passed on as they are.
        protocol: Option<String>,
    }
}

impl ProxyConfig {
    /// The text of a key, whatever its spelling.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        let key = normal(key);
        let entry = self
            .object
            .entries()
            .iter()
            .find(|entry| normal(&entry.key) == key)?;
        match &entry.value.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }
}

record! {
    /// The keys of a mesh gateway's `proxy.config` that matter to a proxy that is not Envoy
    /// (<https://developer.hashicorp.com/consul/docs/connect/proxies/envoy#gateway-options>). The
    /// older names, `envoy_mesh_gateway_…`, are brought to these before reading.
    pub struct GatewayOptions("proxy.config") {
        /// Do not listen on the service address.
        envoy_gateway_no_default_bind: Option<bool>,
        /// Listen on the tagged addresses.
        envoy_gateway_bind_tagged_addresses: Option<bool>,
        /// Listen on these too.
        envoy_gateway_bind_addresses: Map<TaggedAddress>,
        /// How gateways given by host name are resolved.
        envoy_dns_discovery_type: Option<DnsDiscovery>,
        /// Keepalive on connections to other gateways.
        envoy_gateway_remote_tcp_enable_keepalive: Option<bool>,
        /// Silence before the first probe, in seconds.
        envoy_gateway_remote_tcp_keepalive_time: Option<u32>,
        /// Between probes, in seconds.
        envoy_gateway_remote_tcp_keepalive_interval: Option<u32>,
        /// Probes without an answer before the connection is dead.
        envoy_gateway_remote_tcp_keepalive_probes: Option<u32>,
        /// How long connecting may take, in milliseconds.
        connect_timeout_ms: Option<u32>,
    }
}

words! {
    /// `envoy_dns_discovery_type`.
    pub enum DnsDiscovery {
        /// The first usable name only.
        #[default]
        LogicalDns = "logical_dns",
        /// Every address of every name.
        StrictDns = "strict_dns",
    }
}

impl SidecarOptions {
    /// These options, and those of `below` where these say nothing.
    #[must_use]
    pub(crate) fn over(&self, below: &Self) -> Self {
        Self {
            place: self.place.clone(),
            bind_address: self
                .bind_address
                .clone()
                .or_else(|| below.bind_address.clone()),
            bind_port: self.bind_port.or(below.bind_port),
            local_connect_timeout_ms: self
                .local_connect_timeout_ms
                .or(below.local_connect_timeout_ms),
            max_inbound_connections: self
                .max_inbound_connections
                .or(below.max_inbound_connections),
            protocol: self.protocol.clone().or_else(|| below.protocol.clone()),
        }
    }
}

impl GatewayOptions {
    /// These options, and those of `below` where these say nothing: a registration's over
    /// proxy-defaults'.
    #[must_use]
    pub(crate) fn over(&self, below: &Self) -> Self {
        let addresses = match self.envoy_gateway_bind_addresses.0.is_empty() {
            true => &below.envoy_gateway_bind_addresses,
            false => &self.envoy_gateway_bind_addresses,
        };
        Self {
            place: self.place.clone(),
            envoy_gateway_no_default_bind: self
                .envoy_gateway_no_default_bind
                .or(below.envoy_gateway_no_default_bind),
            envoy_gateway_bind_tagged_addresses: self
                .envoy_gateway_bind_tagged_addresses
                .or(below.envoy_gateway_bind_tagged_addresses),
            envoy_gateway_bind_addresses: addresses.clone(),
            envoy_dns_discovery_type: self
                .envoy_dns_discovery_type
                .or(below.envoy_dns_discovery_type),
            envoy_gateway_remote_tcp_enable_keepalive: self
                .envoy_gateway_remote_tcp_enable_keepalive
                .or(below.envoy_gateway_remote_tcp_enable_keepalive),
            envoy_gateway_remote_tcp_keepalive_time: self
                .envoy_gateway_remote_tcp_keepalive_time
                .or(below.envoy_gateway_remote_tcp_keepalive_time),
            envoy_gateway_remote_tcp_keepalive_interval: self
                .envoy_gateway_remote_tcp_keepalive_interval
                .or(below.envoy_gateway_remote_tcp_keepalive_interval),
            envoy_gateway_remote_tcp_keepalive_probes: self
                .envoy_gateway_remote_tcp_keepalive_probes
                .or(below.envoy_gateway_remote_tcp_keepalive_probes),
            connect_timeout_ms: self.connect_timeout_ms.or(below.connect_timeout_ms),
        }
    }

    /// Keepalive towards other gateways, if it is on; what is not given, or 0, is the kernel's.
    #[must_use]
    pub(crate) fn keepalive(&self) -> Option<TcpKeepalive> {
        if self.envoy_gateway_remote_tcp_enable_keepalive != Some(true) {
            return None;
        }
        let seconds = |given: Option<u32>, otherwise: Duration| match given {
            Some(seconds) if seconds > 0 => Duration::from_secs(u64::from(seconds)),
            _ => otherwise,
        };
        let kernel = defaults::KERNEL_KEEPALIVE;
        let probes = self.envoy_gateway_remote_tcp_keepalive_probes;
        Some(TcpKeepalive {
            time: seconds(self.envoy_gateway_remote_tcp_keepalive_time, kernel.time),
            interval: seconds(
                self.envoy_gateway_remote_tcp_keepalive_interval,
                kernel.interval,
            ),
            probes: probes.filter(|probes| *probes > 0).unwrap_or(kernel.probes),
        })
    }
}

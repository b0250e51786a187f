//! From a registration at Consul to a [`GatewayRegistration`].
//!
//! The keys of `Proxy.Config` are those of the mesh gateways that Envoy runs, the older names included
//! (<https://developer.hashicorp.com/consul/docs/connect/proxies/envoy#gateway-options>).

use std::time::Duration;

use plan::{
    Discovery, TcpKeepalive,
    mesh::{BindAddress, GatewayRegistration},
};

use crate::{
    answers::service::{Config, Service},
    assemble::sidecar_registration::{CONNECT_TIMEOUT, must_be},
};

/// The kernel's own keepalive (tcp(7)), where the registration turns it on and says no more.
const KERNEL_KEEPALIVE: TcpKeepalive = TcpKeepalive {
    time: Duration::from_secs(7200),
    interval: Duration::from_secs(75),
    probes: 9,
};

/// The registration.
///
/// # Errors
/// Why this service cannot be run as a mesh gateway.
pub fn gateway(service: &Service) -> Result<GatewayRegistration, String> {
    let id = &service.id;
    must_be(service, "mesh-gateway", "gateway")?;
    let keys = Keys(&service.proxy.config);
    let address = match service.address.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| {
            format!("{id} has the address {text}, which is no IP address; register it with one of this machine")
        })?),
    };
    let tagged = service.tagged.iter().filter_map(|(name, tagged)| {
        let address = tagged.address.parse().ok()?;
        let port = if tagged.port == 0 {
            service.port
        } else {
            tagged.port
        };
        Some(BindAddress {
            name: name.clone(),
            address,
            port,
        })
    });
    Ok(GatewayRegistration {
        name: service.name.clone(),
        address,
        port: service.port,
        tagged_addresses: tagged.collect(),
        no_default_bind: keys.flag("no_default_bind"),
        bind_tagged_addresses: keys.flag("bind_tagged_addresses"),
        bind_addresses: keys.bind_addresses(),
        wan_federation: service.wan_federation,
        connect_timeout: match service.proxy.config.count("connect_timeout_ms") {
            Some(count) if count > 0 => Duration::from_millis(u64::from(count)),
            _ => CONNECT_TIMEOUT,
        },
        remote_keepalive: keys.keepalive(),
        discovery: match service.proxy.config.value("envoy_dns_discovery_type") {
            Some("STRICT_DNS" | "strict_dns") => Discovery::StrictDns,
            _ => Discovery::LogicalDns,
        },
        max_connections: None,
    })
}

/// The gateway's keys, by both names that they have had.
struct Keys<'a>(&'a Config);

/// The newer name's beginning, and the older one's.
const PREFIXES: [&str; 2] = ["envoy_gateway_", "envoy_mesh_gateway_"];

impl Keys<'_> {
    fn flag(&self, key: &str) -> bool {
        let mut names = PREFIXES.iter().map(|prefix| format!("{prefix}{key}"));
        names.find_map(|name| self.0.flag(&name)).unwrap_or(false)
    }

    fn count(&self, key: &str) -> Option<u32> {
        let mut names = PREFIXES.iter().map(|prefix| format!("{prefix}{key}"));
        let count = names.find_map(|name| self.0.count(&name));
        count.filter(|count| *count > 0)
    }

    fn bind_addresses(&self) -> Vec<BindAddress> {
        let mut addresses = Vec::new();
        for prefix in PREFIXES {
            let path = format!("{prefix}bind_addresses");
            for name in self.0.names_below(&path) {
                let of = |key: &str| self.0.value(&format!("{path}.{name}.{key}"));
                let address = of("address").and_then(|text| text.parse().ok());
                let port = of("port").and_then(|text| text.parse().ok());
                if let (Some(address), Some(port)) = (address, port) {
                    addresses.push(BindAddress {
                        name: name.to_owned(),
                        address,
                        port,
                    });
                }
            }
        }
        addresses
    }

    fn keepalive(&self) -> Option<TcpKeepalive> {
        if !self.flag("remote_tcp_enable_keepalive") {
            return None;
        }
        let seconds = |key, otherwise| {
            let given = self.count(key);
            given.map_or(otherwise, |count| Duration::from_secs(u64::from(count)))
        };
        Some(TcpKeepalive {
            time: seconds("remote_tcp_keepalive_time", KERNEL_KEEPALIVE.time),
            interval: seconds("remote_tcp_keepalive_interval", KERNEL_KEEPALIVE.interval),
            probes: self
                .count("remote_tcp_keepalive_probes")
                .unwrap_or(KERNEL_KEEPALIVE.probes),
        })
    }
}

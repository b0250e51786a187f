//! Where a mesh gateway listens: Consul's bind rules.
//!
//! One listener for each distinct address and port: the service address under the name `default` unless
//! `envoy_gateway_no_default_bind` is set, the tagged addresses if `envoy_gateway_bind_tagged_addresses` is set, and
//! `envoy_gateway_bind_addresses`. Of several names for one address the first in alphabetical order wins
//! (Consul's `listenersFromSnapshotGateway`).

use alloc::{format, string::String, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::mesh::{BindAddress, GatewayRegistration};
use crate::order::sort_by_name;

/// Names and addresses to listen on, sorted by name; each address once.
#[must_use]
pub fn addresses(gateway: &GatewayRegistration) -> Vec<(String, SocketAddr)> {
    let mut named: Vec<BindAddress> = gateway.bind_addresses.clone();
    if !gateway.no_default_bind {
        let address = gateway.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        named.push(BindAddress {
            name: String::from("default"),
            address,
            port: gateway.port,
        });
    }
    if gateway.bind_tagged_addresses {
        named.extend(gateway.tagged_addresses.iter().cloned());
    }
    sort_by_name(&mut named, |address| &address.name);

    let mut listeners: Vec<(String, SocketAddr)> = Vec::with_capacity(named.len());
    for BindAddress {
        name,
        address,
        port,
    } in named
    {
        let address = SocketAddr::new(address, port);
        if listeners.iter().all(|(_, taken)| *taken != address) {
            listeners.push((format!("{name}:{address}"), address));
        }
    }
    listeners
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::gateway::tests::registration;

    fn named(name: &str, address: &str, port: u16) -> BindAddress {
        BindAddress {
            name: String::from(name),
            address: address.parse().expect("an address"),
            port,
        }
    }

    fn names(gateway: &GatewayRegistration) -> Vec<String> {
        addresses(gateway)
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn the_service_address_is_bound_by_default_and_no_other() {
        let mut gateway = registration();
        gateway.tagged_addresses = vec![
            named("lan", "1.2.3.4", 8443),
            named("wan", "198.18.0.1", 443),
        ];
        assert_eq!(names(&gateway), ["default:0.0.0.0:8443"]);
        gateway.address = Some("::".parse().expect("an address"));
        assert_eq!(names(&gateway), ["default:[::]:8443"]);
    }

    #[test]
    fn tagged_addresses_are_bound_on_request_and_instead_of_the_default() {
        let mut gateway = registration();
        gateway.address = Some("1.2.3.4".parse().expect("an address"));
        gateway.tagged_addresses = vec![
            named("wan", "2001:db8::1", 443),
            named("lan", "10.0.0.1", 8443),
        ];
        gateway.bind_tagged_addresses = true;
        let all = [
            "default:1.2.3.4:8443",
            "lan:10.0.0.1:8443",
            "wan:[2001:db8::1]:443",
        ];
        assert_eq!(names(&gateway), all);
        gateway.no_default_bind = true;
        assert_eq!(
            names(&gateway),
            ["lan:10.0.0.1:8443", "wan:[2001:db8::1]:443"]
        );
    }

    #[test]
    fn the_first_name_of_an_address_wins() {
        let mut gateway = registration();
        gateway.address = Some("10.0.0.1".parse().expect("an address"));
        gateway.tagged_addresses = vec![named("lan", "10.0.0.1", 8443)];
        gateway.bind_tagged_addresses = true;
        gateway.bind_addresses = vec![
            named("all", "10.0.0.1", 8443),
            named("extra", "10.0.0.2", 8443),
        ];
        assert_eq!(
            names(&gateway),
            ["all:10.0.0.1:8443", "extra:10.0.0.2:8443"]
        );
    }
}

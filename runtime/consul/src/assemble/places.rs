//! From instances to endpoints: which address, which weight, whether it is well.
//!
//! The rules are Consul's (`agent/structs`, `BestAddress`; `agent/xds`, endpoints): inside the datacenter the service's address, else
//! the node's; from outside the WAN address that somebody tagged, and only then the others. `wan_ipv4` and its like are never
//! used: Consul fills them from the LAN address.

use std::net::{IpAddr, SocketAddr};

use plan::{Endpoint, EndpointAddress, Health};

use crate::answers::instances::{Instance, Status};

/// Where an instance is dialed, and what is known of it. Less than an answer holds, since a gateway keeps thousands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address to dial.
    pub address: EndpointAddress,
    /// Its share while all checks pass.
    pub passing: u16,
    /// Its share while one warns.
    pub warning: u16,
    /// The worst of its checks.
    pub status: Status,
}

/// From where instances are dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// From their own datacenter.
    Inside,
    /// From another one.
    Outside,
}

/// Which instances may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usable {
    /// Those with no critical check.
    Warning,
    /// Those whose checks all pass (`OnlyPassing`).
    OnlyPassing,
}

/// The places of instances, in an order of their own, so that a list in another order is no change. What has no address that
/// can be dialed is left out.
#[must_use]
pub fn places(instances: &[Instance], from: From) -> Vec<Place> {
    let mut places: Vec<Place> = instances
        .iter()
        .filter_map(|instance| place(instance, from))
        .collect();
    places.sort_by(|one, other| one.address.cmp(&other.address));
    places.dedup_by(|later, first| later.address == first.address);
    places
}

/// The place of one instance.
#[must_use]
pub fn place(instance: &Instance, from: From) -> Option<Place> {
    Some(Place {
        address: address(instance, from)?,
        passing: instance.service.weights.passing,
        warning: instance.service.weights.warning,
        status: instance.status,
    })
}

/// Endpoints of these places.
#[must_use]
pub fn endpoints(places: &[Place], usable: Usable) -> Vec<Endpoint> {
    places.iter().map(|place| endpoint(place, usable)).collect()
}

fn endpoint(place: &Place, usable: Usable) -> Endpoint {
    let weight = match place.status {
        Status::Passing => place.passing,
        Status::Warning if usable == Usable::OnlyPassing => 0,
        Status::Warning => place.warning,
        Status::Critical => 0,
    };
    Endpoint {
        address: place.address.clone(),
        weight: weight.max(1),
        health: match weight {
            0 => Health::Unhealthy,
            _ => Health::Healthy,
        },
    }
}

fn address(instance: &Instance, from: From) -> Option<EndpointAddress> {
    let (service, node) = (&instance.service, &instance.node);
    let tagged = service.tagged.iter().find(|(name, _)| name == "wan");
    if let (From::Outside, Some((_, wan))) = (from, tagged)
        && !wan.address.is_empty()
    {
        let port = if wan.port == 0 {
            service.port
        } else {
            wan.port
        };
        return dialable(&wan.address, port);
    }
    let of_node = match from {
        From::Outside if !node.wan.is_empty() => &node.wan,
        _ => &node.address,
    };
    let text = if service.address.is_empty() {
        of_node
    } else {
        &service.address
    };
    dialable(text, service.port)
}

/// An address and a port that can be dialed, if they are such.
#[must_use]
pub fn dialable(text: &str, port: u16) -> Option<EndpointAddress> {
    if port == 0 || text.is_empty() {
        return None;
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(EndpointAddress::Socket(SocketAddr::new(address, port)));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let named = name.bytes().all(letters) && name.bytes().any(|b| b.is_ascii_alphabetic());
    named.then_some(EndpointAddress::Host { name, port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::service::{Address, Service, Weights};

    fn instance(address: &str, wan: Option<(&str, u16)>, status: Status) -> Instance {
        let mut instance = Instance {
            service: Service {
                address: address.to_owned(),
                port: 8443,
                weights: Weights {
                    passing: 10,
                    warning: 2,
                },
                ..Service::default()
            },
            status,
            ..Instance::default()
        };
        instance.node.address = "10.0.0.1".to_owned();
        instance.node.wan = "198.18.0.1".to_owned();
        if let Some((address, port)) = wan {
            let address = Address {
                address: address.to_owned(),
                port,
            };
            instance.service.tagged.push(("wan".to_owned(), address));
        }
        instance
    }

    #[test]
    fn addresses_are_those_that_consul_would_dial() {
        let tagged = Some(("198.18.0.9", 443));
        let same_port = Some(("gw.Example.com.", 0));
        for (address, wan, from, expected) in [
            ("10.0.0.5", tagged, From::Inside, "10.0.0.5:8443"),
            ("10.0.0.5", tagged, From::Outside, "198.18.0.9:443"),
            ("10.0.0.5", same_port, From::Outside, "gw.example.com:8443"),
            ("10.0.0.5", None, From::Outside, "10.0.0.5:8443"),
            ("", None, From::Inside, "10.0.0.1:8443"),
            ("", None, From::Outside, "198.18.0.1:8443"),
            ("2001:db8::1", None, From::Inside, "[2001:db8::1]:8443"),
        ] {
            let place = place(&instance(address, wan, Status::Passing), from);
            let place = place.expect(expected);
            assert_eq!(place.address.to_string(), expected);
        }
        let odd = instance("not an address", None, Status::Passing);
        assert_eq!(place(&odd, From::Inside), None);
        assert_eq!(dialable("10.0.0.300", 80), None);
    }

    #[test]
    fn checks_decide_weight_and_health() {
        for (status, usable, weight, health) in [
            (Status::Passing, Usable::Warning, 10, Health::Healthy),
            (Status::Warning, Usable::Warning, 2, Health::Healthy),
            (Status::Warning, Usable::OnlyPassing, 1, Health::Unhealthy),
            (Status::Critical, Usable::Warning, 1, Health::Unhealthy),
        ] {
            let places = places(&[instance("10.0.0.5", None, status)], From::Inside);
            let [endpoint] = endpoints(&places, usable).try_into().expect("one");
            assert_eq!((endpoint.weight, endpoint.health), (weight, health));
        }
    }
}

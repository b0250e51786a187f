//! The central configuration, merged into a registration of the catalog as an agent merges it into one of its own.
//!
//! Where there is no agent nobody does that before Consul 1.13; from then on the servers do it when asked, and what is merged
//! already stays as it is, since only what a registration leaves open is filled in. The order is Consul's own
//! (`agent/service_manager.go`): the registration, `service-defaults` of the service, `proxy-defaults`; for the protocol of an
//! upstream `service-defaults` of its destination, and `proxy-defaults`.
//! <https://developer.hashicorp.com/consul/docs/connect/config-entries/proxy-defaults>

use crate::answers::{
    defaults::Defaults,
    service::{Config, Service},
};

/// Merges what the entries say into a registration.
pub(crate) fn merge(service: &mut Service, services: &[Defaults], global: &Defaults) {
    let none = Defaults::default();
    let of = |name: &str| services.iter().find(|entry| entry.name == name);
    let name = match service.kind.as_str() {
        "connect-proxy" => service.proxy.service.clone(),
        _ => service.name.clone(),
    };
    let own = of(&name).unwrap_or(&none);
    let proxy = &mut service.proxy;
    set_protocol(&mut proxy.config, &own.protocol);
    for (key, value) in &global.config.0 {
        if proxy.config.value(key).is_none() {
            proxy.config.0.push((key.clone(), value.clone()));
        }
    }
    proxy.exposes |= own.exposes || global.exposes;
    for level in [own, global] {
        fill(&mut proxy.gateway_mode, &level.mode);
    }
    let protocol = global.config.value("protocol").unwrap_or_default();
    for upstream in &mut proxy.upstreams {
        fill(&mut upstream.mode, &proxy.gateway_mode);
        if !upstream.query && upstream.peer.is_empty() {
            let there = of(&upstream.name).map_or("", |entry| &entry.protocol);
            set_protocol(&mut upstream.config, there);
            set_protocol(&mut upstream.config, protocol);
        }
    }
}

fn fill(value: &mut String, level: &str) {
    if value.is_empty() {
        level.clone_into(value);
    }
}

fn set_protocol(config: &mut Config, protocol: &str) {
    if !protocol.is_empty() && config.value("protocol").is_none() {
        config.0.push(("protocol".to_owned(), protocol.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{catalog, defaults};

    fn service(mode: &str, of_upstream: &str, config: &str) -> Service {
        let body = format!(
            r#"{{"Node":{{"Datacenter":"dc1"}},"Services":[{{"Kind":"connect-proxy","Proxy":{{"DestinationServiceName":"web","Config":{{{config}}},
            "MeshGateway":{{"Mode":"{mode}"}},"Upstreams":[{{"DestinationName":"db","MeshGateway":{{"Mode":"{of_upstream}"}}}},
            {{"DestinationName":"q","DestinationType":"prepared_query"}}]}}}}]}}"#
        );
        catalog::node_services(body.as_bytes()).unwrap().remove(0)
    }

    fn entries() -> (Vec<Defaults>, Defaults) {
        let services = defaults::list(
            br#"[{"Name":"db","Protocol":"grpc"},{"Name":"web","Protocol":"http","MeshGateway":{"Mode":"local"}}]"#,
        );
        let global = defaults::list(
            br#"[{"Name":"global","Config":{"protocol":"http2","connect_timeout_ms":7},"MeshGateway":{"Mode":"remote"}}]"#,
        );
        (services.unwrap(), global.unwrap().remove(0))
    }

    #[test]
    fn every_level_fills_in_what_those_above_leave_open() {
        let (services, global) = entries();
        let none = Defaults::default();
        // As an agent of 1.8.7 merges them: instance, source, global, upstream.
        for (instance, upstream, services, global, expected) in [
            ("", "", &[][..], &none, ""),
            ("", "", &[], &global, "remote"),
            ("", "", &services, &global, "local"),
            ("none", "", &services, &global, "none"),
            ("none", "remote", &services, &global, "remote"),
        ] {
            let mut merged = service(instance, upstream, "");
            merge(&mut merged, services, global);
            assert_eq!(merged.proxy.upstreams[0].mode, expected);
        }
    }

    #[test]
    fn protocols_and_options_come_from_the_entries_unless_the_registration_says_them() {
        let (services, global) = entries();
        let mut merged = service("", "", "");
        merge(&mut merged, &services, &global);
        let proxy = &merged.proxy;
        assert_eq!(proxy.config.value("protocol"), Some("http"));
        assert_eq!(proxy.config.value("connect_timeout_ms"), Some("7"));
        assert_eq!(proxy.upstreams[0].config.value("protocol"), Some("grpc"));
        assert_eq!(proxy.upstreams[1].config.value("protocol"), None);
        // Once more changes nothing: servers from 1.13 on have done it already.
        let once = merged.clone();
        merge(&mut merged, &services, &global);
        assert_eq!(merged, once);

        let mut merged = service("", "", r#""protocol":"tcp""#);
        merge(&mut merged, &[], &global);
        assert_eq!(merged.proxy.config.value("protocol"), Some("tcp"));
        let of_upstream = &merged.proxy.upstreams[0].config;
        assert_eq!(of_upstream.value("protocol"), Some("http2"));
    }
}

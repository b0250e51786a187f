//! The names of the mesh: what clients send as SNI, and what clusters are called.
//!
//! The formats are Consul's (`agent/connect/sni.go` and `tlsutil`): a name says service, namespace, partition,
//! datacenter and trust domain, so that a gateway can route without decrypting. All functions return lower case:
//! SNI is compared without regard to case.

use alloc::string::String;

/// What Consul calls the namespace and the partition when none is given.
pub const DEFAULT: &str = "default";

/// A service, or one subset of it, in a datacenter.
///
/// `<svc>.<ns>.<dc>.internal.<td>` in the default partition, `<svc>.<ns>.<ap>.<dc>.internal-v1.<td>` in another;
/// a subset stands in front.
#[must_use]
pub fn service(
    subset: Option<&str>,
    service: &str,
    namespace: &str,
    partition: &str,
    datacenter: &str,
    trust_domain: &str,
) -> String {
    let namespace = or_default(namespace);
    if is_default(partition) {
        join(&[
            subset.unwrap_or(""),
            service,
            namespace,
            datacenter,
            "internal",
            trust_domain,
        ])
    } else {
        let parts = [
            subset.unwrap_or(""),
            service,
            namespace,
            partition,
            datacenter,
            "internal-v1",
            trust_domain,
        ];
        join(&parts)
    }
}

/// All services of a datacenter, or of one partition there: what follows `*.` in a gateway's match.
#[must_use]
pub fn datacenter(datacenter: &str, partition: &str, trust_domain: &str) -> String {
    if is_default(partition) {
        join(&[datacenter, "internal", trust_domain])
    } else {
        join(&[partition, datacenter, "internal-v1", trust_domain])
    }
}

/// A prepared query: `<query>.<ns>.<dc>.query.<td>`.
#[must_use]
pub fn query(query: &str, namespace: &str, datacenter: &str, trust_domain: &str) -> String {
    join(&[
        query,
        or_default(namespace),
        datacenter,
        "query",
        trust_domain,
    ])
}

/// A service exported to a peer: `<svc>.<ns>.<ap>.<peer>.external.<td>`, where `peer` is the exporter's name for
/// the importing peer, and the trust domain is the exporter's. The partition is always there.
#[must_use]
pub fn peered_service(
    service: &str,
    namespace: &str,
    partition: &str,
    peer: &str,
    trust_domain: &str,
) -> String {
    join(&[
        service,
        or_default(namespace),
        or_default(partition),
        peer,
        "external",
        trust_domain,
    ])
}

/// A server in WAN federation: `<node>.server.<dc>.<domain>`, or any server of the datacenter without a node.
#[must_use]
pub fn server(node: Option<&str>, datacenter: &str, domain: &str) -> String {
    join(&[node.unwrap_or(""), "server", datacenter, domain])
}

/// The servers of a datacenter for the control plane of cluster peering: `server.<dc>.peering.<td>`.
#[must_use]
pub fn peering_server(datacenter: &str, trust_domain: &str) -> String {
    join(&["server", datacenter, "peering", trust_domain])
}

/// A service exported to peers as a gateway's own cluster: Consul puts `exported~` before the service's name. No
/// SNI can hold a `~` here, so such a cluster is reached through its chain only.
#[must_use]
pub fn exported_cluster(service_name: &str) -> String {
    let mut name = String::from("exported~");
    name.push_str(service_name);
    name
}

/// Whether a partition or namespace is the default one.
#[must_use]
pub fn is_default(name: &str) -> bool {
    name.is_empty() || name.eq_ignore_ascii_case(DEFAULT)
}

/// Whether two names of a partition or namespace mean the same one.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    or_default(one).eq_ignore_ascii_case(or_default(other))
}

fn or_default(name: &str) -> &str {
    if name.is_empty() { DEFAULT } else { name }
}

/// The parts that are not empty, with dots between, in lower case.
fn join(parts: &[&str]) -> String {
    let mut name = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for part in parts.iter().filter(|part| !part.is_empty()) {
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(part);
    }
    name.make_ascii_lowercase();
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trust domains of Consul's own tests (`agent/connect/sni_test.go`).
    const TD: &str = "5fcd4b81-a2ca-405a-ac62-0fac602c1949.consul";
    const PEERING_TD: &str = "11111111-2222-3333-4444-555555555555.consul";

    #[test]
    fn services_are_named_as_consul_names_them() {
        let cases = [
            (None, "api", "", "", "api.default.foo.internal."),
            (None, "api", "neighbor", "", "api.neighbor.foo.internal."),
            (Some("v2"), "api", "", "", "v2.api.default.foo.internal."),
            (
                Some("canary"),
                "api",
                "neighbor",
                "",
                "canary.api.neighbor.foo.internal.",
            ),
            (
                None,
                "api",
                "",
                "part1",
                "api.default.part1.foo.internal-v1.",
            ),
            (
                Some("canary"),
                "api",
                "neighbor",
                "part1",
                "canary.api.neighbor.part1.foo.internal-v1.",
            ),
            (
                None,
                "api",
                "default",
                "default",
                "api.default.foo.internal.",
            ),
        ];
        for (subset, name, namespace, partition, expected) in cases {
            let mut expected = String::from(expected);
            expected.push_str(TD);
            assert_eq!(
                service(subset, name, namespace, partition, "foo", TD),
                expected
            );
        }
    }

    #[test]
    fn gateways_queries_peers_and_servers_are_named_as_consul_names_them() {
        assert_eq!(datacenter("foo", "", "domain1"), "foo.internal.domain1");
        assert_eq!(
            datacenter("foo", "part1", "domain1"),
            "part1.foo.internal-v1.domain1"
        );
        assert_eq!(
            query("magicquery", "", "foo", "td"),
            "magicquery.default.foo.query.td"
        );
        assert_eq!(
            peered_service("api", "billing", "", "webstuff", "td"),
            "api.billing.default.webstuff.external.td"
        );
        assert_eq!(
            peering_server("dc1", PEERING_TD),
            "server.dc1.peering.11111111-2222-3333-4444-555555555555.consul"
        );
        assert_eq!(
            server(Some("dc1-srv"), "dc1", "consul"),
            "dc1-srv.server.dc1.consul"
        );
        assert_eq!(server(None, "dc1", "consul"), "server.dc1.consul");
    }

    #[test]
    fn names_are_lower_case() {
        assert_eq!(
            service(None, "CamelSvc", "", "", "DC1", "TD"),
            "camelsvc.default.dc1.internal.td"
        );
    }
}

//! The answers of two real Consuls, read.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test says by a panic that something is wrong"
)]

use consul::answers::{
    authority, catalog, chain,
    instances::{self, Status},
    intentions,
};

const VERSIONS: [&str; 2] = ["1.8.7", "1.21"];

fn recorded(version: &str, name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let path = format!("{folder}/{version}/{name}.json");
    std::fs::read(&path).expect(&path)
}

#[test]
fn a_sidecars_registration_is_read_with_its_upstreams() {
    for version in VERSIONS {
        let body = recorded(version, "agent-service-web-sidecar");
        let service = catalog::agent_service(&body).expect(version);
        assert_eq!(service.kind, "connect-proxy");
        assert_eq!(
            (service.address.as_str(), service.port),
            ("127.1.0.11", 21001)
        );
        let tagged: Vec<&str> = service
            .tagged
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(tagged, ["lan", "wan"]);
        let proxy = &service.proxy;
        assert_eq!(
            (proxy.service.as_str(), proxy.service_id.as_str()),
            ("web", "web-1")
        );
        assert_eq!(
            (proxy.local_address.as_str(), proxy.local_port),
            ("127.0.0.1", 9001)
        );
        assert_eq!(proxy.config.value("bind_address"), Some("0.0.0.0"));
        assert_eq!(proxy.config.count("local_connect_timeout_ms"), Some(2000));
        let modes: Vec<_> = proxy
            .upstreams
            .iter()
            .map(|upstream| {
                (
                    upstream.name.as_str(),
                    upstream.datacenter.as_str(),
                    upstream.mode.as_str(),
                )
            })
            .collect();
        let expected = [
            ("api", "", "local"),
            ("api", "dc2", "remote"),
            ("db", "", "local"),
            ("db", "dc2", "none"),
            ("cache", "", "local"),
            ("api-query", "", ""),
        ];
        assert_eq!(modes.get(..6), Some(expected.as_slice()), "{version}");
        let query = &proxy.upstreams[5];
        assert!(query.query && !proxy.upstreams[4].query);
        assert_eq!(
            proxy.upstreams[2].config.count("connect_timeout_ms"),
            Some(1000)
        );
    }
    let newer = catalog::agent_service(&recorded("1.21", "agent-service-web-sidecar"));
    let newer = newer.expect("a service");
    assert_eq!(newer.datacenter, "dc1");
    let socket = newer.proxy.upstreams.last().expect("an upstream");
    assert!(socket.bind_socket.ends_with("lab-api.sock"));
    assert_eq!(socket.bind_socket_mode, "0660");
}

#[test]
fn a_gateways_registration_is_read_with_its_addresses() {
    for version in VERSIONS {
        let body = recorded(version, "agent-service-mesh-gateway");
        let service = catalog::agent_service(&body).expect(version);
        assert_eq!(service.kind, "mesh-gateway");
        assert!(service.wan_federation);
        let (name, wan) = &service.tagged[1];
        assert_eq!(
            (name.as_str(), wan.address.as_str(), wan.port),
            ("wan", "127.1.0.111", 8444)
        );
        assert_eq!(service.proxy.config.count("connect_timeout_ms"), Some(3000));
    }
}

#[test]
fn roots_and_leaf_are_read_whole() {
    for version in VERSIONS {
        let roots = authority::roots(&recorded(version, "roots")).expect(version);
        assert!(roots.trust_domain.ends_with(".consul"));
        assert_eq!(roots.pem.matches("BEGIN CERTIFICATE").count(), roots.count);
        let leaf = authority::leaf(&recorded(version, "leaf-web")).expect(version);
        assert_eq!(leaf.service, "web");
        assert!(leaf.certificates.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(leaf.key.expose().contains("BEGIN EC PRIVATE KEY"));
        assert!(leaf.valid_after < leaf.valid_before);
    }
    let rotated = authority::roots(&recorded("1.8.7", "roots-after")).expect("roots");
    assert_eq!(rotated.count, 2);
    let secondary = authority::leaf(&recorded("1.8.7", "leaf-db-dc2-after")).expect("a leaf");
    assert!(secondary.certificates.matches("BEGIN CERTIFICATE").count() > 2);
}

#[test]
fn intentions_are_read_in_their_order() {
    for version in VERSIONS {
        let found = intentions::matching(&recorded(version, "intentions-db"), "db").expect(version);
        let rules: Vec<_> = found
            .iter()
            .map(|it| {
                (
                    it.source.as_str(),
                    it.destination.as_str(),
                    it.action.as_str(),
                )
            })
            .collect();
        let expected = [
            ("web", "db", "allow"),
            ("*", "db", "deny"),
            ("legacy", "*", "deny"),
        ];
        assert_eq!(rules, expected);
        let body = recorded(version, "intentions-check-web-to-db");
        assert_eq!(intentions::allowed(&body), Ok(true));
    }
    let peers = intentions::matching(&recorded("1.21", "intentions-of-peers"), "db");
    assert_eq!(peers.expect("intentions")[1].source_peer, "alpha");
    let requests = intentions::matching(&recorded("1.21", "intentions-with-permissions"), "www");
    let requests = requests.expect("intentions");
    assert!(requests[0].permissions && requests[0].action.is_empty());
}

#[test]
fn chains_are_read_with_failover_splits_and_conditions() {
    for version in VERSIONS {
        let read = |name| chain::chain(&recorded(version, name)).expect(name);
        let cache = read("chain-cache");
        let node = cache.node(&cache.start).expect("a node");
        assert_eq!(
            (node.kind.as_str(), node.connect_timeout.as_str()),
            ("resolver", "5s")
        );
        let failover: Vec<_> = node.failover.iter().map(|id| cache.target(id)).collect();
        let there: Vec<_> = failover
            .iter()
            .flatten()
            .map(|target| {
                (
                    target.service.as_str(),
                    target.datacenter.as_str(),
                    target.mode.as_str(),
                )
            })
            .collect();
        assert_eq!(there[0], ("cache-standby", "dc2", "local"));
        assert_eq!(there.len(), 2);
        let redirected = read("chain-db-override-local");
        let target = redirected
            .node(&redirected.start)
            .and_then(|node| redirected.target(&node.target));
        let target = target.expect("a target");
        assert_eq!(
            (target.datacenter.as_str(), target.mode.as_str()),
            ("dc2", "local")
        );
        assert!(target.server_name.starts_with("db.default.dc2.internal."));
    }
    let next = chain::chain(&recorded("1.8.7", "chain-api-next")).expect("a chain");
    let splits = &next.node(&next.start).expect("a node").splits;
    assert_eq!((splits[0].0, splits[1].0), (9000, 1000));
    let subset = next.target("v2.api.default.dc1").expect("a target");
    assert_eq!((subset.subset.as_str(), subset.only_passing), ("v2", true));
    assert_eq!(subset.filter, "Service.Meta.version == v2");
    let routed = chain::chain(&recorded("1.8.7", "chain-web")).expect("a chain");
    let routes = &routed.node(&routed.start).expect("a node").routes;
    let conditional: Vec<bool> = routes.iter().map(|route| route.conditional).collect();
    assert_eq!(conditional, [true, true, false]);
    let outside = chain::chain(&recorded("1.8.7", "chain-ext")).expect("a chain");
    assert!(outside.targets[0].1.external);
    let peered = chain::chain(&recorded("1.21", "chain-with-a-peer")).expect("a chain");
    let target = peered
        .target("db.default.default.external.beta")
        .expect("a target");
    assert_eq!(
        (target.peer.as_str(), target.datacenter.as_str()),
        ("beta", "")
    );
}

#[test]
fn instances_are_read_with_node_addresses_and_health() {
    for version in VERSIONS {
        let read = |name| instances::instances(&recorded(version, name)).expect(name);
        let api = read("health-connect-api");
        assert_eq!(api.len(), 2);
        assert_eq!(api[0].service.proxy.service, "api");
        assert_eq!(
            (api[0].service.port, api[0].status),
            (21011, Status::Passing)
        );
        assert_eq!(
            (api[0].node.datacenter.as_str(), api[0].node.wan.as_str()),
            ("dc1", "127.1.0.11")
        );
        assert!(read("health-connect-billing")[0].service.native);
        let servers = read("health-service-consul");
        assert_eq!(
            (servers[0].node.name.as_str(), servers[0].service.port),
            ("dc1-srv", 8300)
        );
        assert!(servers[0].service.version.starts_with("1."));
        let gateways =
            instances::by_datacenter(&recorded(version, "mesh-gateways")).expect(version);
        let names: Vec<_> = gateways
            .iter()
            .map(|(name, there)| (name.as_str(), there.is_empty()))
            .collect();
        assert_eq!(names, [("dc1", false), ("dc2", false)]);
        let found =
            instances::of_query(&recorded(version, "query-execute-api-query")).expect(version);
        assert_eq!(found[0].service.proxy.service, "api");
    }
    let peer =
        instances::instances(&recorded("1.21", "health-connect-of-a-peer")).expect("instances");
    let meta = peer[0]
        .service
        .peer
        .as_ref()
        .expect("how the peer names it");
    assert!(meta.server_names[0].starts_with("db.default.default.alpha.external."));
    assert_eq!(meta.spiffe_ids.len(), 2);
}

#[test]
fn the_catalog_is_read() {
    for version in VERSIONS {
        let names = catalog::service_names(&recorded(version, "catalog-services")).expect(version);
        assert!(names.iter().any(|name| name == "api") && names.is_sorted());
        let resolvers =
            catalog::resolvers(&recorded(version, "config-service-resolver")).expect(version);
        let api = resolvers
            .iter()
            .find(|resolver| resolver.service == "api")
            .expect("api");
        assert_eq!(
            (api.default_subset.as_str(), api.connect_timeout.as_str()),
            ("v1", "7s")
        );
        let (name, v2) = &api.subsets[1];
        assert_eq!(
            (name.as_str(), v2.filter.as_str(), v2.only_passing),
            ("v2", "Service.Meta.version == v2", true)
        );
    }
    let services =
        catalog::node_services(&recorded("1.21", "node-services-merged")).expect("services");
    let modes: Vec<_> = services[1]
        .proxy
        .upstreams
        .iter()
        .map(|it| it.mode.as_str())
        .collect();
    assert_eq!(
        (services[1].id.as_str(), modes),
        ("meter-1-sidecar-proxy", vec!["local", "local"])
    );
    assert_eq!(catalog::node_services(b"null"), Ok(Vec::new()));
}

#[test]
fn an_answer_that_is_cut_short_is_refused_wherever_it_is_cut() {
    let body = recorded("1.8.7", "agent-service-web-sidecar");
    for length in 0..body.len() {
        catalog::agent_service(&body[..length]).expect_err("half an answer");
    }
}

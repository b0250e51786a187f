//! Where the clusters of a chain lead, whom they accept, and what they are called.

use core::{net::SocketAddr, time::Duration};

use super::*;
use crate::{
    Address, Balance, OutlierDetection, Plan,
    chain::{Chain, Split},
    gateway::tests::{endpoint, mesh},
    sidecar::{plan, tests::sidecar},
};

const TD: &str = "11111111-2222-3333-4444-555555555555.consul";

/// The usual mesh, where dc2 has an instance of api.
fn both() -> Mesh {
    let mut mesh = mesh();
    let mut there = mesh.services.clone();
    there[0].endpoints = vec![endpoint("198.18.0.77:21000")];
    mesh.datacenters[0].services = there;
    mesh
}

fn to(datacenter: &str, via: Via) -> Target {
    Target {
        via,
        ..Target::new("api", datacenter)
    }
}

fn upstream(name: &str, chain: Chain) -> Upstream {
    Upstream {
        name: name.to_string(),
        chain,
        listen: Address::Inet(SocketAddr::from(([127, 0, 0, 1], 9191))),
        socket_mode: None,
        connect_timeout: Duration::from_secs(5),
        max_connections: None,
        max_pending: None,
        outlier_detection: None,
    }
}

fn planned(upstreams: &[Upstream], mesh: &Mesh) -> Plan {
    let sidecar = SidecarRegistration {
        upstreams: upstreams.to_vec(),
        ..sidecar()
    };
    plan(&sidecar, mesh)
}

/// Where connections to the upstream's listener go.
fn route<'a>(plan: &'a Plan, upstream: &str) -> &'a Route {
    let mut listeners = plan.listeners.iter();
    let listener = listeners.find(|it| it.name.starts_with(upstream));
    &listener.expect("a listener").chains[0].route
}

fn cluster<'a>(plan: &'a Plan, upstream: &str) -> &'a Cluster {
    let Route::Cluster(name) = route(plan, upstream) else {
        panic!("one cluster")
    };
    plan.cluster(name).expect("its cluster")
}

fn addresses(cluster: &Cluster) -> Vec<String> {
    let endpoints = cluster.endpoints.iter();
    endpoints.map(|it| it.address.to_string()).collect()
}

fn only(target: Target, mesh: &Mesh) -> Cluster {
    let plan = planned(&[upstream("api", Chain::to(target))], mesh);
    cluster(&plan, "api").clone()
}

#[test]
fn a_mode_decides_who_is_dialed_and_nothing_else() {
    for (via, address) in [
        (Via::Direct, "198.18.0.77:21000"),
        (Via::LocalGateway, "10.0.0.9:8443"),
        (Via::RemoteGateway, "198.18.0.2:443"),
    ] {
        let cluster = only(to("dc2", via), &both());
        assert_eq!(addresses(&cluster), [address]);
        let tls = cluster.tls.expect("TLS");
        assert_eq!(tls.server_name, format!("api.default.dc2.internal.{TD}"));
        assert_eq!(
            tls.accepted,
            [format!("spiffe://{TD}/ns/default/dc/dc2/svc/api")]
        );
    }
}

#[test]
fn within_the_datacenter_it_is_direct_whatever_the_mode() {
    for via in [Via::Direct, Via::LocalGateway, Via::RemoteGateway] {
        let cluster = only(to("dc1", via), &both());
        assert_eq!(addresses(&cluster), ["10.0.0.1:21000", "10.0.0.2:21000"]);
    }
    assert!(addresses(&only(to("dc9", Via::RemoteGateway), &both())).is_empty());
}

#[test]
fn another_partition_is_reached_through_its_gateways() {
    let target = Target {
        partition: "ap2".to_string(),
        ..to("dc1", Via::RemoteGateway)
    };
    let cluster = only(target.clone(), &both());
    assert_eq!(addresses(&cluster), ["10.0.9.9:8443"]);
    let tls = cluster.tls.expect("TLS");
    assert_eq!(
        tls.server_name,
        format!("api.default.ap2.dc1.internal-v1.{TD}")
    );
    assert_eq!(
        tls.accepted,
        [format!("spiffe://{TD}/ap/ap2/ns/default/dc/dc1/svc/api")]
    );
    let direct = Target {
        via: Via::Direct,
        ..target
    };
    assert!(addresses(&only(direct, &both())).is_empty());
}

#[test]
fn a_subset_has_its_own_name_and_its_own_instances_but_the_services_identity() {
    let target = Target {
        subset: Some("v2".to_string()),
        ..to("dc1", Via::Direct)
    };
    let cluster = only(target.clone(), &both());
    assert_eq!(addresses(&cluster), ["10.0.0.2:21000"]);
    let tls = cluster.tls.expect("TLS");
    assert_eq!(tls.server_name, format!("v2.api.default.dc1.internal.{TD}"));
    assert_eq!(
        tls.accepted,
        [format!("spiffe://{TD}/ns/default/dc/dc1/svc/api")]
    );
    let unknown = Target {
        subset: Some("v9".to_string()),
        ..target
    };
    assert!(addresses(&only(unknown, &both())).is_empty());
}

#[test]
fn an_external_name_is_sent_and_changes_nobody_who_is_accepted() {
    let target = Target {
        external_sni: Some("api.Example.com".to_string()),
        ..to("dc1", Via::Direct)
    };
    let tls = only(target, &both()).tls.expect("TLS");
    assert_eq!(tls.server_name, "api.example.com");
    assert!(tls.accepted[0].ends_with("/svc/api"));
}

#[test]
fn a_target_without_a_healthy_instance_is_not_reached_through_healthy_gateways() {
    let mut mesh = both();
    let health = |mesh: &Mesh| only(to("dc2", Via::RemoteGateway), mesh).endpoints[0].health;
    assert_eq!(health(&mesh), Health::Healthy);
    mesh.datacenters[0].services[0].endpoints[0].health = Health::Unhealthy;
    assert_eq!(health(&mesh), Health::Unhealthy);
    mesh.datacenters[0].services[0].endpoints.clear();
    assert_eq!(health(&mesh), Health::Unhealthy);
    // Nothing is known against a service that nothing is known of.
    mesh.datacenters[0].services.clear();
    assert_eq!(health(&mesh), Health::Healthy);
}

#[test]
fn shares_and_failover_become_clusters_that_name_each_other() {
    let v2 = Target {
        subset: Some("v2".to_string()),
        ..to("dc1", Via::Direct)
    };
    let share = |weight, target: &Target| Split {
        weight,
        resolver: Resolver {
            failover: vec![to("dc2", Via::RemoteGateway)],
            connect_timeout: Some(Duration::from_secs(2)),
            balance: Balance::Maglev,
            ..Resolver::to(target.clone())
        },
    };
    let splits = vec![
        share(9_000, &to("dc1", Via::Direct)),
        share(1_000, &v2),
        share(0, &to("dc2", Via::Direct)),
    ];
    let plan = planned(&[upstream("api", Chain { splits })], &both());
    let Route::Weighted(shares) = route(&plan, "api") else {
        panic!("shares")
    };
    let weights: Vec<u32> = shares.iter().map(|(weight, _)| *weight).collect();
    assert_eq!(weights, [9_000, 1_000]);
    for (_, name) in shares {
        let cluster = plan.cluster(name).expect("a cluster");
        assert_eq!(cluster.balance, Balance::Maglev);
        assert_eq!(cluster.connect_timeout, Duration::from_secs(2));
        let [failover] = cluster.failover.as_slice() else {
            panic!("one failover")
        };
        let failover = plan.cluster(failover).expect("a cluster");
        assert_eq!(addresses(failover), ["198.18.0.2:443"]);
        let tls = failover.tls.as_ref().expect("TLS");
        assert!(tls.accepted[0].contains("/dc/dc2/"));
    }
    // The app, two shares, and one cluster to fail over to for both.
    assert_eq!(plan.clusters.len(), 4);
}

#[test]
fn upstreams_with_settings_of_their_own_to_one_service_keep_them_apart() {
    let chain = || Chain::to(to("dc1", Via::Direct));
    let limited = Upstream {
        max_connections: Some(1),
        outlier_detection: Some(OutlierDetection::default()),
        ..upstream("api", chain())
    };
    let other = upstream("api-by-another-name", chain());
    let again = upstream("api", chain());
    let mut upstreams = [limited, other, again.clone(), again];
    for (port, upstream) in (9191..).zip(&mut upstreams) {
        upstream.listen = Address::Inet(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let plan = planned(&upstreams, &both());
    let limits = |listener| cluster(&plan, listener).max_connections;
    assert_eq!(limits("api:127.0.0.1:9191"), Some(1));
    assert_eq!(limits("api-by-another-name:"), None);
    assert_eq!(limits("api:127.0.0.1:9193"), None);
    assert_eq!(
        cluster(&plan, "api:127.0.0.1:9193").name,
        cluster(&plan, "api:127.0.0.1:9194").name
    );
    assert_eq!(plan.clusters.len(), 4);
}

#[test]
fn a_chain_that_leads_nowhere_is_closed() {
    let nowhere = Chain { splits: Vec::new() };
    let plan = planned(&[upstream("api", nowhere)], &both());
    assert!(matches!(route(&plan, "api"), Route::Refuse(_)));
    let peers = Target {
        peer: Some("cluster-02".to_string()),
        ..to("dc1", Via::RemoteGateway)
    };
    assert!(addresses(&only(peers, &both())).is_empty());
}

#[test]
fn an_explanation_shows_shares_failover_names_identities_and_limits() {
    let resolver = |target| Resolver {
        failover: vec![to("dc2", Via::LocalGateway)],
        balance: Balance::Maglev,
        ..Resolver::to(target)
    };
    let share = |weight, service: &str| Split {
        weight,
        resolver: resolver(Target::new(service, "dc1")),
    };
    let chain = Chain {
        splits: vec![share(9_950, "api"), share(50, "nobody")],
    };
    let upstream = Upstream {
        max_connections: Some(5),
        max_pending: Some(6),
        outlier_detection: Some(OutlierDetection::default()),
        ..upstream("api?dc=dc1", chain)
    };
    let plan = planned(&[upstream], &both());
    for name in ["api", "api?dc=dc1"] {
        let [explained] = &crate::explain::upstream(&plan, name)[..] else {
            panic!("one upstream")
        };
        let text = explained.to_string();
        for part in [
            "listener     api?dc=dc1:127.0.0.1:9191",
            "share        99.50 %",
            "share        0.50 %",
            "failover 1",
            "server name  api.default.dc2.internal.",
            "/ns/default/dc/dc2/svc/api",
            "endpoint     10.0.0.9:8443  weight 1  healthy",
            "endpoint     none",
            "policy       maglev by the client's address",
            "timeout      5s",
            "limit        5 connections",
            "limit        6 connections being made",
            "after 5 failures in a row for 30s",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    assert!(crate::explain::upstream(&plan, "ap").is_empty());
    assert!(crate::explain::upstream(&plan, "public_listener").is_empty());
}

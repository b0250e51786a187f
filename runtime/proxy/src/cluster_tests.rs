//! Which endpoints a cluster has, which of them can be used, and how many connections it takes.

use std::time::Duration;

use plan::{Endpoint, Traffic};

use super::*;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn host(name: &str, health: Health) -> Endpoint {
    Endpoint {
        address: EndpointAddress::Host {
            name: name.to_owned(),
            port: 443,
        },
        weight: 1,
        health,
    }
}

fn spec(endpoints: Vec<Endpoint>, discovery: Discovery) -> plan::Cluster {
    plan::Cluster {
        name: "dc2.internal.td".to_owned(),
        traffic: Traffic::Service,
        endpoints,
        failover: vec![],
        discovery,
        balance: Balance::RoundRobin,
        connect_timeout: Duration::from_secs(5),
        max_connections: Some(2),
        max_pending: None,
        outlier_detection: None,
        keepalive: None,
        tls: None,
    }
}

fn at_work(spec: plan::Cluster, names: &Names) -> Cluster {
    Cluster::new(Rc::new(spec), None, names)
}

fn known(addresses: &[&str]) -> Resolution {
    Resolution::Known(
        addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect(),
    )
}

fn addresses(cluster: &Cluster) -> Vec<String> {
    cluster
        .work()
        .targets
        .borrow()
        .iter()
        .map(|target| target.address.to_string())
        .collect()
}

#[test]
fn every_address_of_every_name_is_a_target() {
    let endpoints = vec![
        host("a.example", Health::Healthy),
        host("b.example", Health::Healthy),
    ];
    let mut names = Names::new();
    let cluster = at_work(spec(endpoints.clone(), Discovery::StrictDns), &names);
    assert_eq!(
        cluster.pick(&mut Tried::default(), CLIENT, |_| 0, &names),
        Err(NoTarget::Resolving)
    );
    names.insert("a.example".to_owned(), known(&["2001:db8::1", "192.0.2.1"]));
    names.insert(
        "b.example".to_owned(),
        Resolution::Failed("no such name".to_owned()),
    );
    cluster.refresh(&names);
    assert_eq!(addresses(&cluster), ["[2001:db8::1]:443", "192.0.2.1:443"]);
    names.insert("b.example".to_owned(), known(&["192.0.2.2"]));
    cluster.refresh(&names);
    assert_eq!(addresses(&cluster).len(), 3);

    let logical = at_work(spec(endpoints, Discovery::LogicalDns), &names);
    assert_eq!(
        addresses(&logical),
        ["[2001:db8::1]:443", "192.0.2.1:443"],
        "one name only"
    );
}

#[test]
fn names_without_addresses_say_why() {
    let mut names = Names::new();
    names.insert(
        "a.example".to_owned(),
        Resolution::Failed("no such name".to_owned()),
    );
    let cluster = at_work(
        spec(
            vec![host("a.example", Health::Healthy)],
            Discovery::StrictDns,
        ),
        &names,
    );
    let refused = cluster.pick(&mut Tried::default(), CLIENT, |_| 0, &names);
    assert!(
        matches!(refused, Err(NoTarget::Unresolved(reason)) if reason.contains("no such name"))
    );
    let cluster = at_work(spec(vec![], Discovery::StrictDns), &names);
    assert_eq!(
        cluster.pick(&mut Tried::default(), CLIENT, |_| 0, &names),
        Err(NoTarget::NoEndpoints)
    );
}

#[test]
fn the_limit_of_connections_holds() {
    let cluster = at_work(spec(vec![], Discovery::StrictDns), &Names::new());
    assert_eq!((cluster.enter(), cluster.enter()), (Ok(()), Ok(())));
    assert_eq!(cluster.enter(), Err(Full::Connections(2)));
    cluster.abandon();
    assert_eq!(cluster.enter(), Ok(()));
}

#[test]
fn the_limit_of_connections_being_made_holds_and_those_made_do_not_count() {
    let mut spec = spec(vec![], Discovery::StrictDns);
    spec.max_connections = None;
    spec.max_pending = Some(1);
    let cluster = at_work(spec, &Names::new());
    assert_eq!(cluster.enter(), Ok(()));
    assert_eq!(cluster.enter(), Err(Full::Pending(1)));
    let address = SocketAddr::from(([10, 0, 0, 1], 1));
    cluster.note_connected(&address.into());
    assert_eq!(cluster.enter(), Ok(()));
    cluster.abandon();
    assert_eq!(cluster.enter(), Ok(()));
}

#[test]
fn a_cluster_is_usable_while_an_endpoint_is_healthy_and_not_left_out() {
    let address = |number| SocketAddr::from(([10, 0, 0, number], 1));
    let endpoint = |number, health| Endpoint {
        address: EndpointAddress::Socket(address(number)),
        weight: 1,
        health,
    };
    let names = Names::new();
    let mut spec = spec(
        vec![endpoint(1, Health::Healthy), endpoint(2, Health::Unhealthy)],
        Discovery::StrictDns,
    );
    spec.outlier_detection = Some(Box::new(plan::OutlierDetection {
        consecutive_5xx: 1,
        ..plan::OutlierDetection::default()
    }));
    let cluster = at_work(spec, &names);
    assert!(cluster.is_usable(&names));
    let until = cluster.note_failure(&address(1).into(), 0, |_| 0);
    cluster.refresh(&names);
    assert!(!cluster.is_usable(&names));
    // There is nothing better, so it is still tried.
    let pick = || cluster.pick(&mut Tried::default(), CLIENT, |_| 0, &names);
    assert!(pick().is_ok());
    assert_eq!(cluster.returned(until.unwrap()), [address(1).into()]);
    cluster.refresh(&names);
    assert!(cluster.is_usable(&names));
    assert_eq!(pick(), Ok(address(1).into()));
}

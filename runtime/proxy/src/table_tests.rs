//! What a new Plan does to what is at work.

use std::time::Duration;

use plan::{Balance, Discovery, Endpoint, EndpointAddress, Health, ServerNames, Traffic};

use super::*;
use crate::{cluster::Resolution, options::Options};

fn cluster(name: &str, port: u16) -> Rc<plan::Cluster> {
    let address = EndpointAddress::Socket(SocketAddr::from(([127, 0, 0, 1], port)));
    Rc::new(plan::Cluster {
        name: name.to_owned(),
        traffic: Traffic::Service,
        endpoints: vec![Endpoint {
            address,
            weight: 1,
            health: Health::Healthy,
        }],
        failover: vec![],
        discovery: Discovery::StrictDns,
        balance: Balance::RoundRobin,
        connect_timeout: Duration::from_secs(5),
        max_connections: None,
        max_pending: None,
        outlier_detection: None,
        keepalive: None,
        tls: None,
    })
}

fn listener(name: &str, address: &str) -> plan::Listener {
    let chain = |names, route| Rc::new(plan::FilterChain::passthrough(names, route));
    plan::Listener {
        name: name.to_owned(),
        address: Address::Inet(address.parse().unwrap()),
        mode: None,
        inspect: Inspect::ClientHello,
        chains: vec![
            chain(
                ServerNames::Exact("shut.td".to_owned()),
                Route::Refuse("shut".to_owned()),
            ),
            chain(
                ServerNames::Suffix("dc2.td".to_owned()),
                Route::Cluster("dc2.td".to_owned()),
            ),
            chain(ServerNames::Any, Route::SniCluster),
        ],
    }
}

fn plan() -> Plan {
    Plan {
        listeners: vec![
            listener("lan:127.0.0.1:0", "127.0.0.1:0"),
            listener("wan:127.0.0.1:0", "127.0.0.1:0"),
        ],
        clusters: vec![cluster("api.td", 1), cluster("dc2.td", 2)],
        ..Plan::default()
    }
}

fn apply(table: &mut Table, plan: &Plan) -> Changes {
    try_apply(table, plan, |_, _| Ok(())).unwrap()
}

fn try_apply(
    table: &mut Table,
    plan: &Plan,
    watch: impl FnMut(u32, &OwnedFd) -> io::Result<()>,
) -> Result<Changes, Unfit> {
    let secure = crate::secure::options(0, crate::Clock::system());
    table.apply(plan, &Options::default().tcp, &secure, watch)
}

#[test]
fn a_name_leads_by_the_chains_of_its_listener() {
    let mut table = Table::default();
    apply(&mut table, &plan());
    let listener = Rc::clone(table.listening(0).unwrap().0);
    assert!(
        matches!(table.route(&listener, Some("x.dc2.td"), |_| 0), Verdict::To(_, cluster) if &*cluster.name() == "dc2.td")
    );
    assert!(
        matches!(table.route(&listener, Some("api.td"), |_| 0), Verdict::To(_, cluster) if &*cluster.name() == "api.td")
    );
    assert!(
        matches!(table.route(&listener, Some("shut.td"), |_| 0), Verdict::Refused(reason) if reason == "shut")
    );
    assert!(matches!(
        table.route(&listener, Some("other.td"), |_| 0),
        Verdict::Unknown(Some(_))
    ));
}

#[test]
fn what_stays_the_same_is_not_touched() {
    let mut table = Table::default();
    assert_eq!(apply(&mut table, &plan()).opened, 2);
    let before = (
        table.listening(0).unwrap().0.address.clone(),
        Rc::clone(table.clusters.get("api.td").unwrap()),
    );

    let unchanged = apply(&mut table, &plan());
    assert_eq!(
        (
            unchanged.opened,
            unchanged.closed,
            unchanged.clusters_changed
        ),
        (0, 0, 0)
    );

    let mut next = plan();
    next.listeners.remove(1);
    next.clusters = vec![cluster("api.td", 3), cluster("new.td", 4)];
    let changes = apply(&mut table, &next);
    assert_eq!(
        (changes.opened, changes.closed, changes.clusters_changed),
        (0, 1, 3)
    );
    assert!(changes.clusters_removed);
    assert_eq!(
        table.listening(0).unwrap().0.address,
        before.0,
        "the socket is kept"
    );
    assert!(
        Rc::ptr_eq(table.clusters.get("api.td").unwrap(), &before.1),
        "flows see the new endpoints"
    );
    assert!(!before.1.removed.get());
}

#[test]
fn a_listener_that_is_kept_has_its_new_name_and_one_that_is_lost_is_made_anew() {
    let path = std::env::temp_dir().join(format!("lictor-table-{}.sock", std::process::id()));
    let named = |name: &str| Plan {
        listeners: vec![plan::Listener {
            address: Address::Unix(path.to_str().unwrap().into()),
            ..listener(name, "127.0.0.1:0")
        }],
        ..Plan::default()
    };
    let mut table = Table::default();
    assert_eq!(apply(&mut table, &named("api")).opened, 1);
    let changes = apply(&mut table, &named("db"));
    assert_eq!((changes.opened, changes.closed), (0, 0));
    assert_eq!(*table.listening(0).unwrap().0.name.borrow(), "db");

    std::fs::remove_file(&path).unwrap();
    assert_eq!(apply(&mut table, &named("db")).opened, 1);
    assert!(path.exists());
    // Closed, it does not come back.
    table.close();
    assert!(!path.exists() && table.listening(0).is_none());
    assert_eq!(apply(&mut table, &named("api")).opened, 0);
    assert!(!path.exists());
}

#[test]
fn names_of_hosts_are_kept_for_as_long_as_a_cluster_has_them() {
    let with = |hosts: &[&str]| {
        let mut cluster = cluster("api.td", 1);
        let endpoint = |name: &&str| Endpoint {
            address: EndpointAddress::Host {
                name: (*name).to_owned(),
                port: 80,
            },
            weight: 1,
            health: Health::Healthy,
        };
        Rc::make_mut(&mut cluster).endpoints = hosts.iter().map(endpoint).collect();
        Plan {
            clusters: vec![cluster],
            ..plan()
        }
    };
    let mut table = Table::default();
    apply(&mut table, &with(&["a", "b"]));
    assert_eq!(table.names["a"], Resolution::Pending);
    let address = "10.0.0.1".parse().unwrap();
    let known = Resolution::Known(vec![address]);
    table.names.insert("b".to_owned(), known.clone());
    apply(&mut table, &with(&["b", "c"]));
    let names: Vec<_> = table.names.keys().collect();
    assert_eq!(names, ["b", "c"]);
    assert_eq!(table.names["b"], known);
    apply(&mut table, &plan());
    assert!(table.names.is_empty());
}

#[test]
fn flows_are_looked_at_again_only_where_who_may_come_in_can_have_changed() {
    let mut table = Table::default();
    assert!(apply(&mut table, &plan()).security_changed);
    let mut next = plan();
    next.clusters[0] = cluster("api.td", 9);
    let changes = apply(&mut table, &next);
    assert_eq!(changes.clusters_changed, 1);
    assert!(!changes.security_changed && !changes.materials_changed);
    Rc::make_mut(&mut next.listeners[0].chains[0]).max_connections = Some(1);
    assert!(apply(&mut table, &next).security_changed);
    next.trust.push(plan::TrustBundle {
        trust_domain: "td".to_owned(),
        roots: String::new(),
    });
    let changes = apply(&mut table, &next);
    assert!(changes.security_changed && changes.materials_changed);
}

#[test]
fn an_address_that_is_taken_changes_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut table = Table::default();
    apply(&mut table, &plan());
    let mut next = plan();
    next.clusters.clear();
    next.listeners
        .push(listener("more", &taken.local_addr().unwrap().to_string()));
    let unfit = try_apply(&mut table, &next, |_, _| Ok(()));
    let Err(Unfit::Listen(address, error)) = unfit else {
        panic!("{unfit:?}")
    };
    assert_eq!(
        (address, error.kind()),
        (taken.local_addr().unwrap().into(), io::ErrorKind::AddrInUse)
    );
    assert_eq!(
        (table.listeners.len(), table.clusters.iter().count()),
        (2, 2)
    );
}

#[test]
fn a_listener_that_cannot_be_watched_changes_nothing() {
    let mut table = Table::default();
    apply(&mut table, &plan());
    let before: Vec<_> = addresses(&table);
    let mut next = plan();
    next.clusters.clear();
    next.listeners.remove(0);
    for name in ["one", "two"] {
        next.listeners.push(listener(name, "127.0.0.1:0"));
    }
    // As at the kernel's limit of watches.
    let mut watched = vec![];
    let unfit = try_apply(&mut table, &next, |place, _| {
        watched.push(place);
        match place {
            3 => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    });
    assert!(matches!(unfit, Err(Unfit::Listen(..))), "{unfit:?}");
    assert_eq!(watched, [2, 3]);
    assert_eq!(addresses(&table), before);
    assert_eq!(table.clusters.iter().count(), 2);
    // What was refused is not taken for done.
    let changes = apply(&mut table, &next);
    assert_eq!((changes.opened, changes.closed), (2, 1));
    assert_eq!(addresses(&table).len(), 3);
}

fn addresses(table: &Table) -> Vec<(u32, Address)> {
    let listening = table.listening_all();
    listening
        .map(|(place, listener, _)| (place, listener.address.clone()))
        .collect()
}

#[test]
fn every_ipv6_address_takes_ipv4_unless_another_listener_does() {
    let any = |address: &str| listener("l", address);
    let both = Plan {
        listeners: vec![any("0.0.0.0:1"), any("[::]:1"), any("[::]:2")],
        clusters: vec![],
        ..Plan::default()
    };
    assert_eq!(family(&both, "[::]:1".parse().unwrap()), Family::Own);
    assert_eq!(family(&both, "[::]:2".parse().unwrap()), Family::Dual);
    assert_eq!(family(&both, "[::1]:2".parse().unwrap()), Family::Own);
}

#[test]
fn shares_of_connections_follow_weights() {
    let shares = [(1, "a"), (0, "b"), (3, "c")].map(|(weight, name)| (weight, name.to_owned()));
    let chosen = [0, 1, 2, 3].map(|drawn| {
        share(&shares, |below| {
            assert_eq!(below, 4);
            drawn
        })
    });
    assert_eq!(chosen, ["a", "c", "c", "c"]);
}

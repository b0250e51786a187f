//! Plans to remember.

use std::{rc::Rc, time::Duration};

use plan::{
    Address, Balance, Cluster, Discovery, DownstreamTls, Endpoint, EndpointAddress, FilterChain,
    Health, Identity, Inspect, Listener, Plan, Route, Secret, ServerNames, TcpKeepalive,
    TlsParameters, Traffic, TrustBundle, UpstreamTls,
    intentions::{Action, DefaultAction, Destination, Intention, Intentions, Name, Source},
};
use store::{LogForm, Process, Remembered, Tcp};

const TRUST_DOMAIN: &str = "11111111-2222-3333-4444-555555555555.consul";

/// A gateway with so many services, two endpoints each: names, addresses and ports of no pattern.
pub(crate) fn gateway(services: usize) -> Remembered {
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = move || {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        chance.to_le_bytes()
    };
    let clusters = (0..services).map(|service| {
        let letters: String = draw()
            .map(|byte| char::from(b'a' + byte % 26))
            .iter()
            .collect();
        let mut endpoint = || {
            let [a, b, c, d, e, ..] = draw();
            let port = u16::from_le_bytes([d, e]) | 0x4000;
            endpoint(EndpointAddress::Socket(([10, a, b, c], port).into()))
        };
        Cluster {
            endpoints: vec![endpoint(), endpoint()],
            ..cluster(&format!(
                "{letters}-{service:04}.default.dc1.internal.{TRUST_DOMAIN}"
            ))
        }
    });
    let plan = Plan {
        listeners: vec![Listener {
            name: "default:0.0.0.0:8443".to_owned(),
            address: Address::Inet("0.0.0.0:8443".parse().unwrap()),
            mode: None,
            inspect: Inspect::ClientHello,
            chains: vec![Rc::new(FilterChain::passthrough(
                ServerNames::Any,
                Route::SniCluster,
            ))],
        }],
        clusters: clusters.map(Rc::new).collect(),
        ..Plan::default()
    };
    Remembered {
        plan,
        process: process(),
    }
}

/// Something of everything that a Plan can say. No keys: those are apart.
pub(crate) fn everything() -> Remembered {
    let name = |service: &str| format!("{service}.default.dc1.internal.{TRUST_DOMAIN}");
    let parameters = TlsParameters {
        min_version: "TLSv1_2".to_owned(),
        max_version: "TLSv1_3".to_owned(),
        cipher_suites: vec!["ECDHE-ECDSA-AES128-GCM-SHA256".to_owned()],
    };
    let exact = |name: &str| Name::Exact(name.to_owned());
    let intention = |source, action| Intention {
        source: Source {
            trust_domain: TRUST_DOMAIN.to_owned(),
            partition: exact(""),
            namespace: exact("default"),
            name: source,
        },
        destination: Destination {
            namespace: exact("default"),
            name: exact("web"),
        },
        action,
    };
    let terminating = FilterChain {
        tls: Some(DownstreamTls {
            identity: "web".to_owned(),
            trust: vec![TRUST_DOMAIN.to_owned()],
            parameters: parameters.clone(),
        }),
        authorization: Some(Intentions::new(
            vec![
                intention(exact("api"), Action::Allow),
                intention(exact("bad"), Action::Deny),
                intention(Name::Any, Action::Permissions),
            ],
            DefaultAction::Allow,
        )),
        max_connections: Some(1024),
        ..FilterChain::passthrough(ServerNames::Any, Route::Cluster("local_app".to_owned()))
    };
    let passing = vec![
        FilterChain::passthrough(ServerNames::Exact(name("web")), Route::SniCluster),
        FilterChain::passthrough(
            ServerNames::Suffix("dc2.internal".to_owned()),
            Route::Refuse("no way there".to_owned()),
        ),
        FilterChain::passthrough(
            ServerNames::Exact(name("db")),
            Route::Weighted(vec![(9_900, name("api")), (100, "local_app".to_owned())]),
        ),
    ];
    let listener = |name: &str, address: Address, inspect, chains: Vec<FilterChain>| Listener {
        name: name.to_owned(),
        mode: address.inet().is_none().then_some(0o660),
        address,
        inspect,
        chains: chains.into_iter().map(Rc::new).collect(),
    };
    let plain = Cluster {
        endpoints: vec![endpoint(EndpointAddress::Unix("/run/app".into()))],
        balance: Balance::Random,
        ..cluster("local_app")
    };
    let reached = Cluster {
        traffic: Traffic::ControlPlane,
        endpoints: vec![
            endpoint(EndpointAddress::Host {
                name: "gateway.example.com".to_owned(),
                port: 443,
            }),
            Endpoint {
                address: EndpointAddress::Socket("[2001:db8::1]:8443".parse().unwrap()),
                weight: 3,
                health: Health::Unhealthy,
            },
        ],
        discovery: Discovery::LogicalDns,
        balance: Balance::LeastRequest { choices: 2 },
        max_connections: Some(7),
        failover: vec!["local_app".to_owned()],
        max_pending: Some(9),
        outlier_detection: Some(Box::default()),
        keepalive: Some(Box::new(TcpKeepalive {
            time: Duration::from_secs(60),
            interval: Duration::from_secs(10),
            probes: 6,
        })),
        tls: Some(Box::new(UpstreamTls {
            identity: "web".to_owned(),
            trust: TRUST_DOMAIN.to_owned(),
            server_name: name("api"),
            accepted: vec![format!("spiffe://{TRUST_DOMAIN}/ns/default/dc/dc1/svc/api")],
            parameters,
        })),
        ..cluster(&name("api"))
    };
    Remembered {
        plan: Plan {
            listeners: vec![
                listener(
                    "public",
                    Address::Inet("[::]:20000".parse().unwrap()),
                    Inspect::ClientHello,
                    vec![terminating],
                ),
                listener(
                    "upstream",
                    Address::Unix("/run/upstream".into()),
                    Inspect::Nothing,
                    passing,
                ),
            ],
            clusters: vec![Rc::new(reached), Rc::new(plain)],
            identities: Vec::new(),
            trust: vec![TrustBundle {
                trust_domain: TRUST_DOMAIN.to_owned(),
                roots: "-----BEGIN CERTIFICATE-----\nroots\n-----END CERTIFICATE-----\n".to_owned(),
            }],
        },
        process: process(),
    }
}

/// An identity, with a key that shows wherever it goes.
pub(crate) fn identity() -> Identity {
    Identity {
        name: "web".to_owned(),
        certificates: "-----BEGIN CERTIFICATE-----\nleaf\n-----END CERTIFICATE-----\n".to_owned(),
        key: Secret::new("the key of web".to_owned()),
    }
}

fn process() -> Process {
    Process {
        admin: Some(Address::Inet("127.0.0.1:19000".parse().unwrap())),
        state_dir: "/var/lib/lictor".to_owned(),
        remember_identities: true,
        log: LogForm {
            level: 2,
            json: true,
            access: false,
        },
        connections: 4096,
        handshakes_per_source: 256,
        tls_sessions: 64,
        client_hello: Duration::from_secs(10),
        connect: Duration::from_millis(2500),
        drain: Duration::from_secs(30),
        idle: Some(Duration::from_secs(3600)),
        tcp: Tcp {
            keepalive: None,
            user_timeout: Some(Duration::from_secs(120)),
        },
    }
}

fn cluster(name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        traffic: Traffic::Service,
        endpoints: Vec::new(),
        failover: Vec::new(),
        discovery: Discovery::StrictDns,
        balance: Balance::RoundRobin,
        connect_timeout: Duration::from_secs(5),
        max_connections: None,
        max_pending: None,
        outlier_detection: None,
        keepalive: None,
        tls: None,
    }
}

fn endpoint(address: EndpointAddress) -> Endpoint {
    Endpoint {
        address,
        weight: 1,
        health: Health::Healthy,
    }
}

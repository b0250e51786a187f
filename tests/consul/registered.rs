//! A gateway that registers itself, and stays registered.

use std::cell::RefCell;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use consul::registration::{Bind, MeshGateway};
use consul::{Fare, Kept};
use smol::{Timer, future};
use support::consul::Agent;
use support::netns::Namespace;
use support::process::Launch;
use support::wait::until_true;

use crate::asking::{meanwhile, run, settings};
use crate::ground::{assert_not_run, free};

const SERVICE: &str = "/v1/agent/service/gw-1";

#[test]
fn until_it_is_told_otherwise() {
    let mut agent = Agent::server();
    run(settings(&agent), |asking| async move {
        let gateway = MeshGateway {
            id: "gw-1".to_owned(),
            name: "mesh-gateway".to_owned(),
            lan: (agent.http().ip(), 8443),
            wan: Some(("192.0.2.1".to_owned(), 443)),
            bind: Bind::Lan,
            exposes_servers: true,
            forget_after: Some(Duration::from_secs(3600)),
        };
        let registration = gateway.registration();
        let made = Rc::new(RefCell::new(0));
        let count = Rc::clone(&made);
        let kept = Kept::new(Some(registration.clone()));
        let keeping = kept.keep(&asking.watches, None, move |fare| match fare {
            Fare::Made => *count.borrow_mut() += 1,
            Fare::Failed(error) => println!("{error}"),
        });
        let times = |least: i32| {
            let made = Rc::clone(&made);
            async move {
                while *made.borrow() < least {
                    Timer::after(Duration::from_millis(5)).await;
                }
            }
        };
        let told = async {
            times(1).await;
            let known = agent.get(SERVICE);
            assert_eq!(known["Kind"], "mesh-gateway");
            assert_eq!(known["TaggedAddresses"]["wan"]["Address"], "192.0.2.1");
            assert_eq!(known["Meta"]["consul-wan-federation"], "1");

            // It stays over a restart, without being made again.
            agent.kill();
            agent = meanwhile(move || {
                agent.run();
                agent
            })
            .await;
            assert_eq!(agent.get(SERVICE)["Port"], 8443);
            // It is made again when somebody removed it, and when the agent lost its data.
            agent.put("/v1/agent/service/deregister/gw-1", "");
            times(2).await;
            assert_eq!(agent.get(SERVICE)["Port"], 8443);
            agent.kill();
            agent.forget();
            agent = meanwhile(move || {
                agent.run();
                agent
            })
            .await;
            times(3).await;
            assert_eq!(agent.get(SERVICE)["Port"], 8443);
            assert_eq!(*made.borrow(), 3);
            agent
        };
        let kept = async {
            keeping.await;
            panic!("nobody stopped it");
        };
        let agent = future::or(kept, told).await;
        registration.end(asking.watches.client()).await.unwrap();
        assert_eq!(agent.ask("GET", SERVICE, "").unwrap().0, 404);
        // What is not there need not be removed.
        registration.end(asking.watches.client()).await.unwrap();
    });
}

#[test]
fn a_gateway_that_one_command_starts_and_registers() {
    let agent = Agent::server();
    let (lan, http) = (free(&agent), agent.http().to_string());
    // As it would be written for Consul's own command.
    let arguments = [
        "-gateway=mesh",
        "-register",
        "-address",
        &lan.to_string(),
        "-wan-address=gw.example:443",
        "-expose-servers",
        "--http-addr",
        &http,
    ];
    let lictor = Launch::with(arguments).start();
    let known = agent.get("/v1/agent/service/mesh-gateway");
    assert_eq!(known["Kind"], "mesh-gateway");
    assert_eq!(known["Port"], lan.port());
    assert_eq!(known["TaggedAddresses"]["wan"]["Address"], "gw.example");
    assert_eq!(known["Meta"]["consul-wan-federation"], "1");
    // It listens where it said, and the agent finds that too.
    TcpStream::connect(lan).unwrap();
    until_true("the agent's check", || {
        let checks = agent.get("/v1/health/checks/mesh-gateway");
        checks[0]["Status"] == "passing"
    });
    // It stays registered when it ends: it may be about to start again.
    drop(lictor);
    assert_eq!(
        agent.get("/v1/agent/service/mesh-gateway")["Kind"],
        "mesh-gateway"
    );
}

#[test]
fn a_gateway_by_the_names_of_its_interfaces() {
    let namespace = Namespace::new();
    namespace.ip(&[
        "link", "add", "lan0", "type", "veth", "peer", "name", "wan0",
    ]);
    for (device, address) in [
        ("lan0", "10.3.0.1/24"),
        ("lan0", "10.2.0.1/16"),
        ("wan0", "192.168.7.7/24"),
        ("wan0", "fd07::7/64"),
    ] {
        namespace.ip(&["address", "add", address, "dev", device, "nodad"]);
        namespace.ip(&["link", "set", device, "up"]);
    }
    namespace.run(|| {
        let agent = Agent::server();
        let lictor = crate::ground::start(
            &agent,
            &[
                "--gateway",
                "mesh",
                "--register",
                "--address",
                "{{ GetInterfaceIP \"lan0\" }}:8443",
                "--wan-address",
                "[{{ GetAllInterfaces | include \"name\" \"^wan0$\" | include \"flags\" \"forwardable\" | exclude \"type\" \"ipv4\" | attr \"address\" }}]:443",
            ],
        );
        let known = agent.get("/v1/agent/service/mesh-gateway");
        assert_eq!(known["Address"], "10.2.0.1");
        assert_eq!(known["TaggedAddresses"]["wan"]["Address"], "fd07::7");
        for address in [lictor.listener("lan"), lictor.listener("wan")] {
            TcpStream::connect(address).unwrap();
        }

        // The machine moves: a reload finds where it is now.
        namespace.ip(&["address", "add", "10.1.0.7/16", "dev", "lan0"]);
        namespace.ip(&["address", "del", "10.2.0.1/16", "dev", "lan0"]);
        let mark = lictor.lictor.log.mark();
        lictor.lictor.reload();
        lictor.lictor.log.event_after(mark, "registered", |_| true);
        let known = agent.get("/v1/agent/service/mesh-gateway");
        assert_eq!(known["Address"], "10.1.0.7");
        let moved = (std::net::Ipv4Addr::new(10, 1, 0, 7), 8443);
        until_true("it to listen there", || TcpStream::connect(moved).is_ok());
    });
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (arguments, why) in [
        (
            &["--gateway", "mesh", "--register"][..],
            "--register needs --address",
        ),
        (
            &["-gateway=mesh", "-token", "secret"],
            "-token of consul connect envoy: everyone on the machine",
        ),
        (
            &["--gateway", "mesh", "--address", "127.0.0.1:1"],
            "--address goes with --register",
        ),
        (
            &[
                "--sidecar-for",
                "web",
                "--register",
                "--address",
                "127.0.0.1:1",
            ],
            "--address goes with --gateway mesh",
        ),
        (
            &[
                "--gateway",
                "mesh",
                "--register",
                "--address",
                "127.0.0.1:1",
                "--wan-address",
                "x",
            ],
            "x is not host:port",
        ),
        (
            &[
                "--gateway",
                "mesh",
                "--register",
                "--address",
                "{{ GetInterfaceIP \"none7\" }}:1",
            ],
            "--address: {{ GetInterfaceIP \"none7\" }}: no interface of this machine has such an address",
        ),
    ] {
        assert_not_run(arguments, why);
    }
}

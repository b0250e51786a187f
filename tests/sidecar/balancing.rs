//! Shares of a splitter are shares of the connections, and by hash a client keeps its instance, as long
//! as that is there.

use std::net::Ipv4Addr;

use support::client::connect_from;
use support::instances::{Door, Instance, answer, ask};
use support::lab::TRUST_DOMAIN;
use support::pki::Mesh;
use support::sidecar::SidecarFile;

fn web(mesh: &Mesh) -> SidecarFile {
    let file = SidecarFile::new(mesh, "web", "dc1", ([127, 0, 0, 1], 9).into());
    file.upstream("api", None)
}

#[test]
fn a_splitter_divides_connections_by_weight() {
    const CONNECTIONS: usize = 400;
    let mesh = Mesh::new(TRUST_DOMAIN);
    let api = Instance::start(&mesh, "api", "api");
    let canary = Instance::start(&mesh, "canary", "canary");
    let entry = "{ kind = \"service-splitter\" name = \"api\"
        splits = [{ weight = 75 }, { weight = 25 service = \"canary\" }] }";
    let file = web(&mesh).entry(entry).instances("api", &[api.address()]);
    let file = file.instances("canary", &[canary.address()]);
    let web = file.start();
    let address = web.listener("api");
    let mut canaries = 0;
    for _ in 0..CONNECTIONS {
        match ask(address).as_str() {
            "api" => {}
            "canary" => canaries += 1,
            other => panic!("somebody said {other:?}"),
        }
    }
    // 100 are expected, with a standard deviation of 8.7: six of them are one in five hundred million.
    assert!((48..=152).contains(&canaries), "{canaries} of 400");
    assert_eq!(web.stats().refused_in_all(), 0.0);
}

#[test]
fn a_client_keeps_its_instance_and_only_those_of_one_that_is_gone_move() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let instances = ["one", "two", "three"].map(|name| Instance::start(&mesh, "api", name));
    let mut doors: Vec<Door> = (1_u8..)
        .zip(&instances)
        .map(|(number, instance)| Door::open(Ipv4Addr::new(127, 77, 2, number), instance.address()))
        .collect();
    let entry = "{ kind = \"service-resolver\" name = \"api\"
        load_balancer { policy = \"ring_hash\" hash_policies = [{ source_ip = true }] } }";
    let addresses: Vec<_> = doors.iter().map(Door::address).collect();
    let file = web(&mesh).entry(entry).instances("api", &addresses);
    let web = file.start();
    let address = web.listener("api");
    let all = || -> Vec<String> {
        let clients = (1_u8..=40).map(|number| Ipv4Addr::new(127, 77, 3, number));
        let ask = |client| answer(connect_from(client, address));
        clients.map(ask).collect()
    };
    let before = all();
    assert_eq!(all(), before);
    for name in ["one", "two", "three"] {
        assert!(before.iter().any(|said| said == name), "{before:?}");
    }
    doors[1].shut();
    for (before, after) in before.iter().zip(all()) {
        if before == "two" {
            assert!(after == "one" || after == "three", "{after:?}");
        } else {
            assert_eq!(*before, after);
        }
    }
    doors[1].reopen();
    assert!(web.stats().value("lictor_connect_failures_total") > 0.0);
}

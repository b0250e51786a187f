//! While nobody of an upstream's target can be reached its connections go to the next target, by
//! whatever that shows: refused connections, a gateway that closes, a check that is critical. They
//! are back as soon as the target is.

use std::net::Ipv4Addr;

use support::backend::{Backend, Refusing};
use support::client::connect;
use support::instances::{Door, Instance, answer, ask};
use support::lab::{Gateway, TRUST_DOMAIN};
use support::pki::Mesh;
use support::sidecar::SidecarFile;
use support::wait;

const FAILOVER: &str = "{ kind = \"service-resolver\" name = \"api\"
  failover = { \"*\" = { targets = [{ service = \"nobody\" }, { service = \"spare\" }] } } }";

fn passive(settings: &str) -> String {
    format!(
        "{{ kind = \"service-defaults\" name = \"web\"
            upstream_config {{ defaults {{ passive_health_check {{ {settings} }} }} }} }}"
    )
}

/// A sidecar of web whose upstream api fails over to nobody, who is not there, and then to spare.
fn web(mesh: &Mesh, spare: &Instance) -> SidecarFile {
    let file = SidecarFile::new(mesh, "web", "dc1", ([127, 0, 0, 1], 9).into());
    let file = file.upstream("api", None).entry(FAILOVER);
    file.instances("spare", &[spare.address()])
}

#[test]
fn connections_go_to_the_next_target_while_the_first_is_gone_and_back_when_it_is_there() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let api = Instance::start(&mesh, "api", "api");
    let spare = Instance::start(&mesh, "spare", "spare");
    let mut door = Door::open(Ipv4Addr::new(127, 77, 1, 1), api.address());
    let web = web(&mesh, &spare).instances("api", &[door.address()]);
    let web = web.entry(&passive("max_failures = 2 base_ejection_time = \"1s\""));
    let web = web.start();
    let api_here = web.listener("api");
    assert_eq!(ask(api_here), "api");
    door.shut();
    // The first two find out for themselves; those after them are not sent there at all.
    assert_eq!([ask(api_here), ask(api_here)], ["spare", "spare"]);
    let ejected = web.lictor.log.wait_for("endpoint_ejected");
    assert_eq!(ejected.field("endpoint"), door.address().to_string());
    let said = || !web.lictor.log.events("failed_over").is_empty();
    wait::until_true("connections go to spare at once", || {
        assert_eq!(ask(api_here), "spare");
        said()
    });
    let over = web.lictor.log.wait_for("failed_over");
    assert!(over.field("cluster").contains("~api~api."), "{over:?}");
    assert!(over.field("to").contains("~failover~spare."), "{over:?}");
    door.reopen();
    wait::until_true("api is back", || ask(api_here) == "api");
    web.lictor.log.wait_for("endpoint_returned");
    web.lictor.log.wait_for("failed_back");
    let stats = web.stats();
    assert!(stats.value("lictor_failover_connections_total") >= 3.0);
    assert!(stats.value("lictor_endpoint_ejections_total") >= 1.0);
    assert_eq!(stats.refused_in_all(), 0.0);
}

#[test]
fn what_closes_in_the_middle_of_tls_fails_over_and_a_wrong_identity_does_not() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let spare = Instance::start(&mesh, "spare", "spare");
    // As a gateway does that knows no way to the service.
    let gateway = Backend::start(drop);
    let through = web(&mesh, &spare).instances("api", &[gateway.address()]);
    let through = through.start();
    assert_eq!(ask(through.listener("api")), "spare");
    assert_eq!(through.stats().refused_in_all(), 0.0);
    let wrong = Instance::start(&mesh, "db", "db");
    let to_wrong = web(&mesh, &spare).instances("api", &[wrong.address()]);
    let to_wrong = to_wrong.start();
    assert_eq!(ask(to_wrong.listener("api")), "");
    to_wrong.wait_for_refused("upstream_tls", 1);
}

#[test]
fn checks_decide_too_and_where_all_are_critical_the_first_target_is_still_tried() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let api = Instance::start(&mesh, "api", "api");
    let spare = Instance::start(&mesh, "spare", "spare");
    let with = |health: &str, spare_health: &str| -> SidecarFile {
        let file = SidecarFile::new(&mesh, "web", "dc1", ([127, 0, 0, 1], 9).into());
        let service = |name: &str, instance: &Instance, health: &str| {
            let address = instance.address();
            format!(
                "service \"{name}\" {{ endpoints = [{{ address = \"{address}\" health = \"{health}\" }}] }}"
            )
        };
        file.upstream("api", None)
            .entry(FAILOVER)
            .stanza(&service("api", &api, health))
            .stanza(&service("spare", &spare, spare_health))
    };
    let here = |web: &Gateway| ask(web.listener("api"));
    assert_eq!(here(&with("passing", "passing").start()), "api");
    assert_eq!(here(&with("critical", "passing").start()), "spare");
    assert_eq!(here(&with("critical", "critical").start()), "api");
}

#[test]
fn gateways_are_of_no_use_to_a_target_whose_instances_are_all_critical() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let spare = Instance::start(&mesh, "spare", "spare");
    let gateway = Backend::echo();
    let file = SidecarFile::new(&mesh, "web", "dc1", ([127, 0, 0, 1], 9).into());
    let file = file.upstream("api", Some(("dc2", "remote")));
    let entry = "{ kind = \"service-resolver\" name = \"api\"
        failover = { \"*\" = { targets = [{ service = \"spare\" datacenter = \"dc1\" }] } } }";
    let file = file
        .entry(entry)
        .instances("spare", &[spare.address()])
        .stanza(&format!(
            "datacenter \"dc2\" {{ gateways = [\"{}\"]
               service \"api\" {{ endpoints = [{{ address = \"10.9.9.9:1\" health = \"critical\" }}] }} }}",
            gateway.address()
        ));
    let web = file.start();
    assert_eq!(ask(web.listener("api?dc=dc2")), "spare");
    assert_eq!(gateway.accepted(), 0);
}

#[test]
fn what_the_app_said_meanwhile_reaches_the_target_that_is_there() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::echo();
    let spare = SidecarFile::new(&mesh, "spare", "dc1", app.address());
    let spare = spare.allows("web").start();
    let file = SidecarFile::new(&mesh, "web", "dc1", ([127, 0, 0, 1], 9).into());
    let file = file.upstream("api", None).entry(FAILOVER);
    let file = file.instances("api", &[Refusing::new().address()]);
    let web = file
        .instances("spare", &[spare.listener("public_listener")])
        .start();
    let mut client = connect(web.listener("api"));
    support::client::assert_echo(&mut client, &vec![b'x'; 100_000]);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(answer(client), "");
}

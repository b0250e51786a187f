//! What config entries make of an upstream, seen where connections arrive: subsets, redirects, splits and routes, within a
//! datacenter and through the gateways of two; and prepared queries.

use std::io::Write as _;
use std::net::SocketAddr;

use support::backend::Backend;
use support::consul::Agent;
use support::instances::ask;
use support::lab::Gateway;
use support::wait;

use crate::ground::{
    free, register, register_gateway, register_instance, sidecar, start, two_datacenters, upstream,
};

/// An instance with a sidecar, whose app says its ID. Its version is in the sidecar's metadata, where Consul looks for it.
struct Instance {
    _app: Backend,
    _sidecar: Gateway,
}

fn instance(agent: &Agent, service: &str, id: &'static str, version: &str) -> Instance {
    let app = Backend::start(move |mut stream| {
        let _ = stream.write_all(id.as_bytes());
    });
    let at = (app.address(), free(agent));
    let meta = format!(r#","Meta":{{"version":"{version}"}}"#);
    register_instance(agent, service, id, at, "", &meta);
    Instance {
        _app: app,
        _sidecar: start(agent, &["--sidecar-for", id]),
    }
}

/// Registers web with these upstreams, each begun by its name, and starts its sidecar.
fn web(agent: &Agent, upstreams: &[(&str, SocketAddr, &str)]) -> Gateway {
    register_web(agent, upstreams);
    sidecar(agent, "web")
}

fn register_web(agent: &Agent, upstreams: &[(&str, SocketAddr, &str)]) {
    let upstreams = upstreams.iter();
    let list: Vec<_> = upstreams
        .map(|(name, listen, more)| upstream(name, *listen, more))
        .collect();
    let proxy = format!(r#","Upstreams":[{}]"#, list.join(","));
    register(agent, "web", free(agent), &proxy);
}

fn entry(agent: &Agent, entry: &str) {
    agent.put("/v1/config", entry);
}

/// Waits until connections lead to this instance.
fn leads_to(listen: SocketAddr, id: &str) {
    wait::until_true(&format!("the way to {id}"), || try_ask(listen) == id);
}

/// What is said there, or nothing while nobody listens.
fn try_ask(listen: SocketAddr) -> String {
    match std::net::TcpStream::connect(listen) {
        Ok(_) => ask(listen),
        Err(_) => String::new(),
    }
}

/// What a gateway was told to connect to so far.
fn carried(gateway: &Gateway) -> f64 {
    gateway.stats().value("lictor_connections_total")
}

#[test]
fn subsets_and_redirects_lead_through_both_gateways_to_the_instances_that_are_meant() {
    let (dc1, dc2) = two_datacenters();
    register_gateway(&dc1);
    register_gateway(&dc2);
    let gateways = [
        start(&dc1, &["--gateway", "mesh"]),
        start(&dc2, &["--gateway", "mesh"]),
    ];
    let _instances = [
        instance(&dc2, "db", "db-first", "v1"),
        instance(&dc2, "db", "db-second", "v2"),
        instance(&dc1, "cache", "cache-here", "v1"),
    ];
    for it in [
        r#"{"Kind":"proxy-defaults","Name":"global","MeshGateway":{"Mode":"local"}}"#,
        r#"{"Kind":"service-resolver","Name":"db","DefaultSubset":"v1","Subsets":{
            "v1":{"Filter":"Service.Meta.version == v1"},"v2":{"Filter":"Service.Meta.version == v2"}}}"#,
        // To another subset in another datacenter, to another service here.
        r#"{"Kind":"service-resolver","Name":"next","Redirect":{"Service":"db","ServiceSubset":"v2","Datacenter":"dc2"}}"#,
        r#"{"Kind":"service-resolver","Name":"kept","Redirect":{"Service":"cache"}}"#,
    ] {
        entry(&dc1, it);
    }
    let [db, next, kept] = [(); 3].map(|()| free(&dc1));
    let web = web(
        &dc1,
        &[
            ("db", db, r#","Datacenter":"dc2""#),
            ("next", next, ""),
            ("kept", kept, ""),
        ],
    );
    for (listen, expected, through) in [
        (db, "db-first", true),
        (next, "db-second", true),
        (kept, "cache-here", false),
    ] {
        leads_to(listen, expected);
        let before = gateways.each_ref().map(carried);
        for _ in 0..20 {
            assert_eq!(ask(listen), expected);
        }
        let after = gateways.each_ref().map(carried);
        let more = if through { 20.0 } else { 0.0 };
        assert_eq!(after, before.map(|count| count + more), "{expected}");
    }
    let (_, text) = web.admin().get("/explain?upstream=next");
    assert!(
        text.contains("target       db subset v2 in dc2")
            && text.contains("sni        v2.db.default.dc2."),
        "{text}"
    );
    // A default that changes, and a redirect that goes.
    entry(
        &dc1,
        r#"{"Kind":"service-resolver","Name":"db","DefaultSubset":"v2","Subsets":{
            "v1":{"Filter":"Service.Meta.version == v1"},"v2":{"Filter":"Service.Meta.version == v2"}}}"#,
    );
    leads_to(db, "db-second");
    dc1.ask("DELETE", "/v1/config/service-resolver/kept", "");
    leads_to(kept, "");
}

#[test]
fn a_splitter_divides_connections_and_a_router_is_refused_until_the_upstream_does_without() {
    let agent = Agent::server();
    let _instances = [
        instance(&agent, "db", "db-first", "v1"),
        instance(&agent, "db", "db-second", "v2"),
    ];
    for it in [
        r#"{"Kind":"service-defaults","Name":"db","Protocol":"http"}"#,
        r#"{"Kind":"service-resolver","Name":"db","DefaultSubset":"v1","Subsets":{
            "v1":{"Filter":"Service.Meta.version == v1"},"v2":{"Filter":"Service.Meta.version == v2"}}}"#,
        r#"{"Kind":"service-splitter","Name":"db","Splits":[{"Weight":75,"ServiceSubset":"v1"},{"Weight":25,"ServiceSubset":"v2"}]}"#,
    ] {
        entry(&agent, it);
    }
    let [split, plain] = [(); 2].map(|()| free(&agent));
    let web = web(&agent, &[("db", split, "")]);
    leads_to(split, "db-second");
    const ALL: usize = 400;
    let said: Vec<String> = (0..ALL).map(|_| ask(split)).collect();
    let second = said.iter().filter(|it| *it == "db-second").count();
    let first = said.iter().filter(|it| *it == "db-first").count();
    assert_eq!(first + second, ALL);
    // A quarter, give or take five deviations.
    assert!((57..=143).contains(&second), "{second} of {ALL}");

    // A router asks something of requests. What was there goes; the others run on.
    entry(
        &agent,
        r#"{"Kind":"service-router","Name":"db","Routes":[{"Match":{"HTTP":{"PathPrefix":"/v2"}},"Destination":{"ServiceSubset":"v2"}}]}"#,
    );
    let refused = web.lictor.log.wait_for("upstream_refused");
    let why = refused.field("detail").to_owned();
    assert!(
        why.contains("upstream db:") && why.contains("service-router of db"),
        "{why}"
    );
    assert!(why.contains("protocol = \"tcp\""), "{why}");
    let (_, text) = web.admin().get("/explain?upstream=db");
    assert!(
        text.contains("refused      the service-router of db"),
        "{text}"
    );
    leads_to(split, "");
    // As it says: without what needs HTTP, the splitter too, as for Envoy.
    let tcp = r#","Config":{"protocol":"tcp"}"#;
    register_web(&agent, &[("db", plain, tcp)]);
    leads_to(plain, "db-first");
    for _ in 0..20 {
        assert_eq!(ask(plain), "db-first");
    }
}

#[test]
fn a_prepared_query_is_asked_again_and_leads_where_it_finds_instances() {
    let (dc1, dc2) = two_datacenters();
    let _instances = [
        instance(&dc1, "db", "db-here", "v1"),
        instance(&dc2, "db", "db-there", "v1"),
    ];
    let query = r#"{"Name":"find-db","Service":{"Service":"db","OnlyPassing":true,"Failover":{"Datacenters":["dc2"]}}}"#;
    let made = dc1.ask("POST", "/v1/query", query).expect("an answer");
    assert_eq!(made.0, 200, "{}", made.1);
    let listen = free(&dc1);
    let web = web(
        &dc1,
        &[("find-db", listen, r#","DestinationType":"prepared_query""#)],
    );
    leads_to(listen, "db-here");
    let (_, text) = web.admin().get("/explain?upstream=prepared_query:find-db");
    assert!(
        text.contains("sni        find-db.default.dc1.query."),
        "{text}"
    );
    let maintenance = |on: bool| {
        let path = format!("/v1/agent/service/maintenance/db-here-sidecar-proxy?enable={on}");
        dc1.put(&path, "");
    };
    maintenance(true);
    leads_to(listen, "db-there");
    maintenance(false);
    leads_to(listen, "db-here");
}

//! Two datacenters, a lictor gateway in each: who carries what, by every mode.

use support::backend::Backend;
use support::client::assert_echo;
use support::lab::Gateway;
use support::wait;

use crate::ground::{
    flow, free, register, register_at, register_gateway, sidecar, start, try_flow, two_datacenters,
    upstream,
};

/// How many connections a gateway has carried.
fn carried(gateway: &Gateway) -> f64 {
    gateway.stats().value("lictor_connections_total")
}

#[test]
fn carry_what_the_mode_says_at_every_level() {
    let (dc1, dc2) = two_datacenters();
    let app = Backend::echo();
    register(&dc2, "db", app.address(), "");
    register_gateway(&dc1);
    register_gateway(&dc2);
    let (listen, public, web) = (free(&dc1), free(&dc1), free(&dc1));
    let define = |of_proxy: &str, of_upstream: &str| {
        let upstream = upstream(
            "db",
            listen,
            &format!(r#","Datacenter":"dc2"{of_upstream}"#),
        );
        register_at(
            &dc1,
            "web",
            web,
            public,
            &format!(r#","Upstreams":[{upstream}]{of_proxy}"#),
        );
    };
    define("", "");
    let _db = sidecar(&dc2, "db");
    let web = sidecar(&dc1, "web");
    let gateways = [
        start(&dc1, &["--gateway", "mesh"]),
        start(&dc2, &["--gateway", "mesh"]),
    ];

    let entry = |kind: &str, name: &str, mode: &str| {
        let body =
            format!(r#"{{"Kind":"{kind}","Name":"{name}","MeshGateway":{{"Mode":"{mode}"}}}}"#);
        dc1.put("/v1/config", &body);
    };
    let is = |mode: &str| {
        let said = format!("  mode       {mode}:");
        wait::until_true(&format!("mode {mode}"), || {
            let (_, text) = web.admin().get("/explain?upstream=db");
            text.contains(&said) && !text.contains("none is known")
        });
        let expected = match mode {
            "none" => [false, false],
            "local" => [true, true],
            _ => [false, true],
        };
        // What is explained is known, and put to work a moment later.
        wait::until(&format!("flows by the gateways of mode {mode}"), || {
            let before = gateways.each_ref().map(carried);
            let mut live = flow(listen);
            assert_echo(&mut live, &[5; 50_000]);
            let after = gateways.each_ref().map(carried);
            let used = [after[0] > before[0], after[1] > before[1]];
            (used == expected).then_some(live)
        })
    };
    // From the lowest level up: each goes before those below.
    drop(is("none"));
    entry("proxy-defaults", "global", "remote");
    drop(is("remote"));
    entry("service-defaults", "web", "local");
    drop(is("local"));
    define(r#","MeshGateway":{"Mode":"none"}"#, "");
    drop(is("none"));
    define(
        r#","MeshGateway":{"Mode":"none"}"#,
        r#","MeshGateway":{"Mode":"remote"}"#,
    );
    let mut live = is("remote");
    // A mode that changes leads new flows another way and cuts none.
    define("", r#","MeshGateway":{"Mode":"local"}"#);
    drop(is("local"));
    assert_echo(&mut live, b"by the way it came");
}

#[test]
fn take_over_when_the_datacenter_has_no_healthy_instance_and_give_back() {
    let (dc1, dc2) = two_datacenters();
    let (here, there) = (Backend::echo(), Backend::echo());
    register(&dc1, "db", here.address(), "");
    register(&dc2, "db", there.address(), "");
    register_gateway(&dc1);
    register_gateway(&dc2);
    dc1.put(
        "/v1/config",
        r#"{"Kind":"service-resolver","Name":"db","Failover":{"*":{"Datacenters":["dc2"]}},"ConnectTimeout":"2s"}"#,
    );
    dc1.put(
        "/v1/config",
        r#"{"Kind":"proxy-defaults","Name":"global","MeshGateway":{"Mode":"local"}}"#,
    );
    let listen = free(&dc1);
    let upstreams = format!(r#","Upstreams":[{}]"#, upstream("db", listen, ""));
    register(&dc1, "web", free(&dc1), &upstreams);
    let _proxies = [
        sidecar(&dc1, "db"),
        sidecar(&dc2, "db"),
        sidecar(&dc1, "web"),
        start(&dc1, &["--gateway", "mesh"]),
        start(&dc2, &["--gateway", "mesh"]),
    ];
    let _here = flow(listen);
    assert_eq!((here.accepted() > 0, there.accepted()), (true, 0));

    let maintenance = |on: bool| {
        dc1.put(
            &format!("/v1/agent/service/maintenance/db-1-sidecar-proxy?enable={on}"),
            "",
        );
    };
    let leads_to = |backend: &Backend| {
        wait::until_true("the flows to change their way", || {
            let before = backend.accepted();
            try_flow(listen).is_some() && backend.accepted() > before
        });
    };
    maintenance(true);
    leads_to(&there);
    maintenance(false);
    leads_to(&here);
}

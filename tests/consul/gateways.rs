//! Two datacenters, a lictor gateway in each: who carries what, by every mode.

use support::backend::Backend;
use support::client::assert_echo;
use support::lab::Gateway;
use support::process::lictor;
use support::wait;

use crate::ground::{
    flow, free, register, register_at, register_gateway, sidecar, start, try_flow, two_datacenters,
    upstream,
};

/// A level where a mode can be said: its name, and saying it.
type Level<'a> = (&'a str, &'a dyn Fn(&str));

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
    let is = |mode: &str, decided: Option<&str>| {
        let said = format!("  mode       {mode}:");
        let text = wait::until(&format!("mode {mode}"), || {
            let (_, text) = web.admin().get("/explain?upstream=db");
            (text.contains(&said) && !text.contains("none is known")).then_some(text)
        });
        if let Some(level) = decided {
            assert!(
                text.contains(&format!("\ndecided      by {level}\n")),
                "{text}"
            );
        }
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
    let said = |mode: &str| format!(r#","MeshGateway":{{"Mode":"{mode}"}}"#);
    const NOBODY: &str =
        "nothing said for the caller: service-defaults of the destination, or the default";
    drop(is("none", Some(NOBODY)));
    // From the lowest level up, every mode at every level: each goes before all that is said below.
    let levels: [Level<'_>; 5] = [
        (NOBODY, &|mode| entry("service-defaults", "db", mode)),
        ("proxy-defaults", &|mode| {
            entry("proxy-defaults", "global", mode);
        }),
        ("service-defaults of the caller", &|mode| {
            entry("service-defaults", "web", mode);
        }),
        ("service instance definition", &|mode| {
            define(&said(mode), "");
        }),
        ("upstream definition", &|mode| {
            define(&said("local"), &said(mode));
        }),
    ];
    for (level, say) in levels {
        for mode in ["remote", "none", "local"] {
            say(mode);
            // Where the level below says `local` too, either has decided.
            drop(is(mode, Some(level).filter(|_| mode != "local")));
        }
    }
    // A mode that changes leads new flows another way and cuts none.
    define("", &said("remote"));
    let mut live = is("remote", Some("upstream definition"));
    define("", &said("none"));
    drop(is("none", Some("upstream definition")));
    assert_echo(&mut live, b"by the way it came");

    // The same from the command line, with what every level says.
    let admin = web.admin().0.to_string();
    let output = lictor(&["explain", "--upstream", "db", "--admin", &admin]);
    let text = String::from_utf8_lossy(&output.stdout);
    for part in [
        "decided      by upstream definition\n",
        "merged registration, this upstream says none\n",
        "merged registration, its instance says local\n",
        "service-defaults of the caller says local\n",
        "proxy-defaults says local\n",
        "target       db in dc2\n",
        "none: directly to the instances\n",
        "sni        db.default.dc2.internal.",
    ] {
        assert!(
            output.status.success() && text.contains(part),
            "{part}: {output:?}"
        );
    }
    // What a gateway does with a name, which is not asked of Consul at all.
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("  sni        "));
    let name = name.expect("a server name");
    for (gateway, result) in gateways
        .iter()
        .zip(["*.dc2.internal.", "db.default.dc2.internal."])
    {
        let admin = gateway.admin().0.to_string();
        let output = lictor(&["explain", "--sni", name, "--admin", &admin]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains(result) && text.contains("forwarded unopened"),
            "{output:?}"
        );
    }
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
    ];
    let gateways = [
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
    assert_eq!(gateways.each_ref().map(carried), [0.0, 0.0]);
    maintenance(true);
    leads_to(&there);
    let by_gateways = gateways.each_ref().map(carried);
    assert!(
        by_gateways[0] >= 1.0 && by_gateways[1] >= 1.0,
        "{by_gateways:?}"
    );
    maintenance(false);
    leads_to(&here);
    let by_gateways = gateways.each_ref().map(carried);
    for _ in 0..10 {
        drop(flow(listen));
    }
    assert_eq!(gateways.each_ref().map(carried), by_gateways);
}

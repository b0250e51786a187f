//! What is on the flash of a node that Consul configures: no token, and far less than Consul says.

use std::fs;

use support::backend::Backend;
use support::client::{try_echo, try_echoing};
use support::clock::WrongClock;
use support::wait::until;

use crate::edge::{Edge, Gone};

/// What a token looks like.
const TOKEN: &str = "5f0e3c1a-9b7d-4e26-8c41-d2a6b83f9e70";

#[test]
fn no_part_of_a_token_is_ever_there() {
    Edge::with(Gone::Agent, |edge| {
        let app = Backend::echo();
        let out = edge.address();
        edge.register("api", app.address(), edge.address(), &[]);
        edge.register("web", app.address(), edge.address(), &[("api", out)]);
        let api = edge.node(&["--sidecar-for", "api-1"]);
        let _api = api.start(&WrongClock::by(0));
        let node = edge.node(&["--sidecar-for", "web-1"]);
        // Without ACLs Consul takes any token; it is sent with every request all the same.
        let launch = node.launch().env("CONSUL_HTTP_TOKEN", TOKEN.into());
        let web = support::lab::Gateway::start(launch);
        drop(until("a flow", || try_echo(out)));
        web.lictor.log.wait_for("remembered");
        assert!(!web.lictor.log.text().contains(TOKEN));
        let mut files = 0;
        for entry in fs::read_dir(node.state()).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            // Packing may split it, though not all of its parts.
            let text = String::from_utf8_lossy(&bytes);
            assert!(TOKEN.split('-').all(|part| !text.contains(part)));
            files += 1;
        }
        assert!(files >= 2, "a plan and identities at least");
    });
}

#[test]
fn a_service_takes_a_twentieth_of_what_consul_says_of_it() {
    const SERVICES: u16 = 100;
    Edge::with(Gone::Link, |edge| {
        let app = Backend::echo();
        let address = edge.address();
        edge.register_gateway("gateway-1", address);
        edge.register("plain", app.address(), app.address(), &[]);
        let node = edge.node(&["--gateway", "mesh"]);
        let run = || {
            let gateway = node.start(&WrongClock::by(0));
            let name = format!("plain.default.dc1.internal.{}", edge.mesh.trust_domain());
            drop(until("a connection", || try_echoing(address, &name)));
            gateway.lictor.log.wait_for("remembered");
        };
        run();
        let without = node.plan_bytes();
        let mut said = 0;
        let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..SERVICES {
            // Names and ports without a pattern.
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            let name = format!("s{:x}", chance >> 36);
            for (machine, part) in [(1, chance), (2, chance >> 16)] {
                let port = 20_000 + u16::try_from(part % 40_000).unwrap();
                edge.register_elsewhere(&name, machine, port);
            }
            let path = format!("/v1/health/connect/{name}");
            said += edge.asked().get(&path).to_string().len();
        }
        run();
        let services = u64::from(SERVICES);
        let remembered = (node.plan_bytes() - without) / services;
        let said = u64::try_from(said).unwrap() / services;
        println!("a service of two instances: {said} bytes of JSON, {remembered} bytes remembered");
        assert!(remembered * 20 <= said, "{remembered} of {said}");
    });
}

//! Two datacenters whose servers reach each other by lictor gateways alone.
//!
//! Each datacenter is a network namespace: its server and its gateway's inner address are on that namespace's loopback, which
//! nothing outside can reach; between the two there is one link, on which the gateways listen and nobody else.
//! <https://developer.hashicorp.com/consul/docs/connect/gateways/mesh-gateway/wan-federation-via-mesh-gateways>

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::admin::Stats;
use support::client::{assert_refused, greet};
use support::consul::{self, Agent, Settings};
use support::lab::Gateway;
use support::netns::{Namespace, ip};
use support::temp::TempDir;
use support::wait;

use crate::ground::{free, start_with};
use crate::rights::{GATEWAY, rules, token_file};

/// A datacenter: a server, and room for gateways.
struct Site {
    namespace: Namespace,
    name: &'static str,
    number: u8,
    /// Addresses for its gateways on the link.
    wan: [Ipv4Addr; 2],
    agent: Option<Agent>,
}

/// What Consul does with those who have no token.
#[derive(Clone, Copy)]
enum AclDefault<'a> {
    Allow,
    /// Denies, and replicates the tokens of the primary datacenter with this one.
    Deny(Option<&'a str>),
}

impl Site {
    fn new(name: &'static str, number: u8) -> Self {
        Self {
            namespace: Namespace::new(),
            name,
            number,
            wan: [number, number + 10].map(|last| Ipv4Addr::new(198, 51, 100, last)),
            agent: None,
        }
    }

    /// The address of its server.
    fn ip(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, self.number, 1)
    }

    fn agent(&self) -> &Agent {
        self.agent.as_ref().expect("its server was started")
    }

    /// Starts its server, with certificates of that authority.
    fn serve(&mut self, authority: &Path, primary_gateways: &[Ipv4Addr], default: AclDefault<'_>) {
        let name = self.name;
        let file = |end: &str| {
            authority
                .join(format!("{name}-server-consul-0{end}.pem"))
                .display()
                .to_string()
        };
        let gateways: Vec<String> = primary_gateways
            .iter()
            .map(|ip| format!("{ip}:{WAN_PORT}"))
            .collect();
        let mut more = serde_json::json!({
            "datacenter": name,
            "primary_datacenter": "dc1",
            "ports": {"serf_wan": 8302},
            "connect": {"enabled": true, "enable_mesh_gateway_wan_federation": true},
            "ca_file": authority.join("consul-agent-ca.pem").display().to_string(),
            "cert_file": file(""),
            "key_file": file("-key"),
            "verify_incoming": true,
            "verify_outgoing": true,
            "verify_server_hostname": true,
            "gossip_wan": {"gossip_interval": "100ms", "probe_interval": "1s", "probe_timeout": "500ms", "suspicion_mult": 3},
        });
        if !gateways.is_empty() {
            more["primary_gateways"] = gateways.into();
            more["primary_gateways_interval"] = "1s".into();
            more["retry_interval_wan"] = "500ms".into();
        }
        if let AclDefault::Deny(Some(replication)) = default {
            more["acl"] = serde_json::json!({"enable_token_replication": true, "tokens": {"replication": replication}});
        }
        let settings = Settings {
            ip: Some(self.ip()),
            acl: !matches!(default, AclDefault::Allow),
            waits_for_primary: !primary_gateways.is_empty(),
            more: &more.to_string(),
            ..Settings::default()
        };
        self.agent = Some(self.namespace.run(|| Agent::start(settings)));
    }

    /// Starts a gateway that registers itself, with this address on the link.
    fn gateway(&self, wan: Ipv4Addr) -> Gateway {
        self.gateway_with(wan, &[])
    }

    fn gateway_with(&self, wan: Ipv4Addr, more: &[&str]) -> Gateway {
        let wan = SocketAddr::from((wan, WAN_PORT)).to_string();
        self.namespace.run(|| {
            let lan = free(self.agent()).to_string();
            let words = ["--gateway", "mesh", "--register", "--expose-servers"];
            let addresses = ["--address", &lan, "--wan-address", &wan];
            let words = [&words[..], &addresses[..], more].concat();
            start_with(self.agent(), &words, "log { access = true }")
        })
    }

    fn stats(&self, gateway: &Gateway) -> Stats {
        self.namespace.run(|| gateway.stats())
    }

    /// Asks its server; gives the text of a 200.
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let answer = self.namespace.run(|| self.agent().ask(method, path, body));
        answer.and_then(|(status, text)| (status == 200).then_some(text))
    }

    /// Whether its server has all servers for alive.
    fn sees_all_alive(&self) -> bool {
        let members = self.ask("GET", "/v1/agent/members?wan=1", "");
        let members: serde_json::Value =
            serde_json::from_str(&members.unwrap_or_default()).unwrap_or_default();
        let alive = members.as_array().into_iter().flatten();
        alive.filter(|member| member["Status"] == 1).count() == 2
    }

    /// Whether something can be written there from here, and read back.
    fn writes_to(&self, there: &str, number: usize) -> bool {
        let path = format!("/v1/kv/from-{}?dc={there}", self.name);
        let value = format!("number {number}");
        self.ask("PUT", &path, &value).as_deref() == Some("true")
            && self.ask("GET", &(path + "&raw"), "") == Some(value)
    }

    /// Has its server make one more connection to a server there: a snapshot does not share those that are kept.
    fn connects_to(&self, there: &str) {
        // It is not text, so there is no answer to speak of.
        let _ = self.ask("GET", &format!("/v1/snapshot?dc={there}"), "");
    }
}

/// Joins two datacenters by a link. Only what comes from a gateway's own address on it finds back to the other server.
fn join(sites: [&Site; 2]) {
    let [one, other] = sites.map(|site| site.namespace.name());
    let ends = ["type", "veth", "peer", "name", LINK, "netns", other];
    ip(&[&["link", "add", LINK, "netns", one][..], &ends].concat());
    for (here, there) in [(0, 1), (1, 0)] {
        let (site, other) = (sites[here], sites[there]);
        let ip = |arguments: &[&str]| site.namespace.ip(arguments);
        ip(&["address", "add", &format!("{}/32", site.ip()), "dev", "lo"]);
        ip(&["link", "set", LINK, "up"]);
        for wan in site.wan.map(|wan| wan.to_string()) {
            ip(&["address", "add", &format!("{wan}/24"), "dev", LINK]);
            ip(&["rule", "add", "from", &wan, "lookup", "100"]);
        }
        let (server, via) = (other.ip().to_string(), other.wan[0].to_string());
        ip(&[
            "route", "add", &server, "via", &via, "dev", LINK, "table", "100",
        ]);
    }
}

/// An authority for the agents, and certificates of the servers of both datacenters.
fn authority(domain: &str) -> TempDir {
    let home = TempDir::new();
    let run = |words: &[&str]| {
        let mut command = Command::new(consul::binary());
        command.arg("tls").args(words).args(["-domain", domain]);
        let made = command
            .current_dir(home.path())
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("consul can be started").success(), "{words:?}");
    };
    run(&["ca", "create"]);
    for name in ["dc1", "dc2"] {
        let nodes = format!("*.server.{name}.{domain}");
        run(&[
            "cert",
            "create",
            "-server",
            "-dc",
            name,
            "-additional-dnsname",
            &nodes,
        ]);
    }
    home
}

/// Waits longer than for lictor alone: servers try again after up to half a minute.
fn until(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(
            Instant::now() < end,
            "waited {PATIENCE:?} in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until each server has both for alive, and can write to the other one's datacenter.
fn meet([one, other]: [&Site; 2], what: &str) {
    for (site, there) in [(one, other.name), (other, one.name)] {
        let what = format!("{} to meet {there} {what}", site.name);
        until(&what, || {
            site.sees_all_alive() && site.writes_to(there, what.len())
        });
    }
}

/// Waits until a gateway carries what one server has for another, which leaves it by this upstream.
///
/// Old connections go on as they were made, by the primary's gateway at once; gossip alone may take two minutes to make a new
/// one.
fn carries(gateway: &Gateway, from: &Site, to: &Site, upstream: SocketAddr) {
    let name = format!("{}.server.{}.consul", to.agent().node(), to.name);
    until(&format!("{name} to be carried for {}", from.name), || {
        from.connects_to(to.name);
        let opened = gateway.lictor.log.events("opened");
        let carried = opened.iter().find(|event| event.field("sni") == name);
        carried
            .inspect(|event| assert_eq!(event.field("upstream"), upstream.to_string()))
            .is_some()
    });
}

#[test]
fn servers_meet_through_gateways_alone_and_again_when_one_has_moved() {
    let authority = authority("consul");
    let (mut dc1, mut dc2) = (Site::new("dc1", 1), Site::new("dc2", 2));
    join([&dc1, &dc2]);
    dc1.serve(authority.path(), &[], AclDefault::Allow);
    let one = dc1.gateway(dc1.wan[0]);
    dc2.serve(authority.path(), &dc1.wan, AclDefault::Allow);
    let other = dc2.gateway(dc2.wan[0]);
    let meet = |what: &str| meet([&dc1, &dc2], what);
    meet("at first");

    // No other way leads there: not to the server, and on the link nobody listens but the gateway.
    for (here, there) in [(&dc1, &dc2), (&dc2, &dc1)] {
        let server = there.agent().rpc();
        let on_link = SocketAddr::from((there.wan[0], server.port()));
        for address in [server, there.agent().http(), on_link] {
            let reached = here
                .namespace
                .run(|| TcpStream::connect_timeout(&address, SOON));
            assert!(reached.is_err(), "{address} from {}", here.name);
        }
    }
    // Each gateway carries what is for the servers here, and what is for those there.
    for (site, gateway, there, far) in [
        (&dc1, &one, &dc2, dc2.wan[0]),
        (&dc2, &other, &dc1, dc1.wan[0]),
    ] {
        let far = SocketAddr::from((far, WAN_PORT));
        for (from, to, upstream) in [(there, site, site.agent().rpc()), (site, there, far)] {
            carries(gateway, from, to, upstream);
        }
    }

    // Of the secondary datacenter: it tells the primary itself.
    drop(other);
    let other = dc2.gateway(dc2.wan[1]);
    meet("when its own gateway moved");
    // Of the primary: the secondary finds it among those that it was given.
    drop(one);
    let one = dc1.gateway(dc1.wan[1]);
    meet("when the primary's gateway moved");
    for (site, gateway) in [(&dc1, &one), (&dc2, &other)] {
        assert!(site.stats(gateway).value("lictor_connections_total") > 0.5);
    }
}

/// What a secondary datacenter's servers need in the primary to have its tokens, policies and intentions.
/// <https://developer.hashicorp.com/consul/docs/security/acl/tokens/create/create-a-replication-token>
const REPLICATION: &str =
    r#"acl = "write" operator = "write" service_prefix "" { policy = "read" intentions = "read" }"#;

#[test]
fn where_all_is_denied_by_default_gateways_meet_with_the_rights_of_the_readme() {
    let (authority, home) = (authority("consul"), TempDir::new());
    let (mut dc1, mut dc2) = (Site::new("dc1", 1), Site::new("dc2", 2));
    join([&dc1, &dc2]);
    // A token of the primary for both: what the secondary knows of it must come through the gateways.
    dc1.serve(authority.path(), &[], AclDefault::Deny(None));
    let (file, replication) = dc1.namespace.run(|| {
        let file = token_file(dc1.agent(), &home, "token", &rules(GATEWAY));
        (file, dc1.agent().token(REPLICATION).1)
    });
    let with_token = ["--token-file", &*file];
    let one = dc1.gateway_with(dc1.wan[0], &with_token);
    dc2.serve(
        authority.path(),
        &dc1.wan,
        AclDefault::Deny(Some(&replication)),
    );
    let other = dc2.gateway_with(dc2.wan[0], &with_token);
    meet([&dc1, &dc2], "by their gateways");
    carries(&one, &dc2, &dc1, dc1.agent().rpc());
    carries(&other, &dc1, &dc2, dc2.agent().rpc());
}

#[test]
fn a_gateway_leads_to_servers_of_its_own_domain_and_only_when_told_to() {
    let server = Agent::start(Settings {
        more: r#"{"domain":"corp.example"}"#,
        ..Settings::default()
    });
    let gateway = |id: &str, words: &[&str]| {
        let address = free(&server).to_string();
        let own = [
            "--gateway",
            "mesh",
            "--register",
            "--proxy-id",
            id,
            "--address",
            &address,
        ];
        start_with(
            &server,
            &[&own[..], words].concat(),
            "log { access = true }",
        )
    };
    let exposing = gateway("exposing", &["--expose-servers"]);
    let plain = gateway("plain", &[]);
    let names = [
        format!("{}.server.dc1.corp.example", server.node()),
        "server.dc1.corp.example".to_owned(),
    ];
    for name in &names {
        // The domain is learned after the rest.
        wait::until_true("the way to the server", || {
            drop(greet(exposing.listener("default"), name));
            exposing
                .lictor
                .log
                .events("opened")
                .iter()
                .any(|event| event.field("sni") == name)
        });
        assert_refused(&mut greet(plain.listener("default"), name));
    }
    for event in exposing.lictor.log.events("opened") {
        assert_eq!(event.field("upstream"), server.rpc().to_string());
    }
    plain.wait_for_refused("unknown_server_name", 2);
    let refused = plain.lictor.log.wait_for("refused");
    assert_eq!(refused.field("sni"), names[0]);

    let before = exposing.stats().refused("unknown_server_name");
    for name in [
        "server.dc9.corp.example",
        "n1.server.dc9.corp.example",
        "n1.server.dc1.corp.example",
        "server.dc1.consul",
    ] {
        assert_refused(&mut greet(exposing.listener("default"), name));
        let refused = exposing
            .lictor
            .log
            .wait_for_event("refused", |event| event.field("sni") == name);
        assert_eq!(refused.field("cause"), "unknown_server_name");
    }
    let after = exposing.stats().refused("unknown_server_name");
    assert!(after - before > 3.5, "{before} {after}");
}

/// The device of the link.
const LINK: &str = "wan0";

/// Where gateways listen there. A namespace has its ports to itself.
const WAN_PORT: u16 = 8443;

/// For a connection within this machine.
const SOON: Duration = Duration::from_secs(1);

/// For what servers do in their own time.
const PATIENCE: Duration = Duration::from_secs(90);

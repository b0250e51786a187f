//! lictor's sidecars and Envoy's, both under one real Consul: either calls, either lets in whom the intentions let in, within a
//! datacenter and through lictor's gateways to another one.
//!
//! lictor learns by itself. Envoy does not, here: Consul 1.8.7 configures Envoy 1.11 to 1.14 over xDS v2, which today's Envoy has
//! no more (it refuses the bootstrap of `consul connect envoy` for its field `hosts`). So Envoy's configuration is static, in the
//! form that Consul gives it, made when it starts of what the same agent says over HTTP: the leaf, the roots, the
//! intentions, the instances or gateways, and the server name of the compiled chain. What is tested is the mesh between the two, with Consul's
//! certificates and names; not how Envoy is kept current.

use std::io::Write as _;
use std::net::SocketAddr;

use serde_json::Value;
use support::backend::Backend;
use support::client::{assert_echo, assert_refused, connect, ending};
use support::consul::Agent;
use support::envoy::Envoy;
use support::envoy_sidecar;
use support::pki::Leaf;
use support::temp::TempDir;
use support::wait;

use crate::ground::{
    flow, free, intend, register, register_at, register_gateway, sidecar, start, two_datacenters,
    upstream,
};

/// What an agent says, as Envoy needs it: certificates in files.
struct Said<'a> {
    agent: &'a Agent,
    files: TempDir,
}

impl<'a> Said<'a> {
    fn by(agent: &'a Agent) -> Self {
        let files = TempDir::new();
        Self { agent, files }
    }

    /// All roots.
    fn roots(&self) -> std::path::PathBuf {
        let said = self.agent.get("/v1/agent/connect/ca/roots");
        let roots = said["Roots"].as_array().expect("roots").iter();
        let pem: String = roots.map(|root| text(&root["RootCert"])).collect();
        self.files.write("roots.pem", pem)
    }

    /// The leaf of a service, with the intermediates that Consul sends.
    fn leaf(&self, service: &str) -> Leaf {
        let path = format!("/v1/agent/connect/ca/leaf/{service}");
        let said = self.agent.get(&path);
        let file = |ending: &str, field: &str| {
            let name = format!("{service}.{ending}");
            self.files.write(&name, text(&said[field]))
        };
        Leaf {
            certificate: file("pem", "CertPEM"),
            key: file("key", "PrivateKeyPEM"),
            name: service.to_owned(),
        }
    }

    /// Whom the intentions let in to a service, as Consul writes it into Envoy's RBAC.
    fn allowed(&self, service: &str) -> String {
        let path = format!("/v1/connect/intentions/match?by=destination&name={service}");
        let said = self.agent.get(&path);
        let found = said[service].as_array().into_iter().flatten();
        let allowed = found.filter(|it| it["Action"] == "allow");
        let names: Vec<String> = allowed.map(|it| text(&it["SourceName"])).collect();
        let names = names.join("|").replace('*', "[^/]+");
        format!("^spiffe://[^/]+/ns/default/dc/[^/]+/svc/({names})$")
    }

    /// The server name to send to a service, and the SPIFFE ID it has there.
    fn names(&self, service: &str, datacenter: &str) -> (String, String) {
        let path = format!("/v1/discovery-chain/{service}?compile-dc={datacenter}");
        let target = format!("{service}.default.{datacenter}");
        let sni = text(&self.agent.get(&path)["Chain"]["Targets"][&target]["SNI"]);
        let roots = self.agent.get("/v1/agent/connect/ca/roots");
        let domain = text(&roots["TrustDomain"]);
        let id = format!("spiffe://{domain}/ns/default/dc/{datacenter}/svc/{service}");
        (sni, id)
    }

    /// Starts Envoy as the sidecar of a service that calls another one, which is reached there.
    fn calls(&self, service: &str, to: &str, datacenter: &str, at: SocketAddr) -> Envoy {
        let (sni, id) = self.names(to, datacenter);
        envoy_sidecar::outbound(&self.roots(), &self.leaf(service), at, &sni, &id)
    }

    /// Starts Envoy as the sidecar of a service, and registers it.
    fn serves(&self, service: &str, app: SocketAddr) -> Envoy {
        let allows = self.allowed(service);
        let envoy = envoy_sidecar::inbound(&self.roots(), &self.leaf(service), app, &allows);
        register_at(self.agent, service, app, envoy.address(), "");
        envoy
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The address of the first instance of a service in the mesh.
fn instance(agent: &Agent, service: &str) -> SocketAddr {
    let said = agent.get(&format!("/v1/health/connect/{service}"));
    address(&said[0]["Service"])
}

fn address(service: &Value) -> SocketAddr {
    let port = service["Port"]
        .as_u64()
        .and_then(|it| u16::try_from(it).ok());
    let ip = text(&service["Address"]).parse().expect("an IP address");
    SocketAddr::new(ip, port.expect("a port"))
}

#[test]
fn lictor_calls_and_envoy_lets_in_by_consuls_intentions() {
    let agent = Agent::server();
    let app = Backend::echo();
    intend(&agent, "*", "api", "deny");
    intend(&agent, "web", "api", "allow");
    let said = Said::by(&agent);
    let _api = said.serves("api", app.address());
    let caller = |service: &str| {
        let listen = free(&agent);
        let upstreams = format!(r#","Upstreams":[{}]"#, upstream("api", listen, ""));
        register(&agent, service, free(&agent), &upstreams);
        (sidecar(&agent, service), listen)
    };
    let ((web, by_web), (_cron, by_cron)) = (caller("web"), caller("cron"));
    let mut live = flow(by_web);
    assert_echo(&mut live, &[3; 300_000]);
    assert!(web.stats().refused_in_all() < 0.5);
    // Who is denied is cut off by Envoy, with no echo.
    for _ in 0..5 {
        let mut denied = connect(by_cron);
        // Envoy decides when the first byte comes.
        denied.write_all(b"hello").expect("lictor takes it");
        assert_eq!(ending(&mut denied).1, b"");
    }
    assert_echo(&mut live, b"still there");
}

#[test]
fn envoy_calls_and_lictor_lets_in_by_consuls_intentions() {
    let agent = Agent::server();
    let app = Backend::echo();
    register(&agent, "api", app.address(), "");
    intend(&agent, "*", "api", "deny");
    intend(&agent, "web", "api", "allow");
    let api = sidecar(&agent, "api");
    let said = Said::by(&agent);
    let at = instance(&agent, "api");
    let [web, cron] = ["web", "cron"].map(|caller| said.calls(caller, "api", "dc1", at));
    let mut live = flow(web.address());
    assert_echo(&mut live, &[4; 300_000]);
    assert_refused(&mut connect(cron.address()));
    api.wait_for_refused("intention_denied", 1);
    // Consul changes its mind: lictor follows under the live flow.
    intend(&agent, "cron", "api", "allow");
    drop(flow(cron.address()));
    intend(&agent, "web", "api", "deny");
    ending(&mut live);
    drop(flow(cron.address()));
}

#[test]
fn both_ways_through_lictors_gateways_of_two_datacenters() {
    let (dc1, dc2) = two_datacenters();
    let apps = [Backend::echo(), Backend::echo()];
    register_gateway(&dc1);
    register_gateway(&dc2);
    let gateways = [
        start(&dc1, &["--gateway", "mesh"]),
        start(&dc2, &["--gateway", "mesh"]),
    ];
    // db is lictor's and api is Envoy's, both in dc2; web calls them from dc1 by the gateway here.
    intend(&dc1, "web", "api", "allow");
    wait::until_true("the intention in dc2", || {
        Said::by(&dc2).allowed("api").contains("web")
    });
    register(&dc2, "db", apps[0].address(), "");
    let _db = sidecar(&dc2, "db");
    let there = Said::by(&dc2);
    let _api = there.serves("api", apps[1].address());

    let listen = free(&dc1);
    let local = r#","Datacenter":"dc2","MeshGateway":{"Mode":"local"}"#;
    let upstreams = format!(r#","Upstreams":[{}]"#, upstream("api", listen, local));
    register(&dc1, "web", free(&dc1), &upstreams);
    let _web = sidecar(&dc1, "web");
    let mut by_lictor = flow(listen);

    let found = wait::until("the gateways", || {
        let all = dc1.get("/v1/internal/federation-states/mesh-gateways");
        let own = all["dc1"][0]["Service"].clone();
        own.is_object().then_some(own)
    });
    let here = Said::by(&dc1);
    let envoy = here.calls("web", "db", "dc2", address(&found));
    let mut by_envoy = flow(envoy.address());

    for stream in [&mut by_lictor, &mut by_envoy] {
        assert_echo(stream, &[6; 300_000]);
    }
    for gateway in &gateways {
        gateway.wait_for_active(2);
    }
    assert!(apps.iter().all(|app| app.accepted() > 0));
}

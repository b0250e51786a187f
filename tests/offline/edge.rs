//! An edge: a network namespace with nodes that a real Consul configures, which is on the other side of a link or beside them.
//!
//! Everything here runs on a thread that lives in the namespace, so ports are its own and need not be looked for.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use support::clock::WrongClock;
use support::consul::{Agent, Settings};
use support::lab::Gateway;
use support::netns::{Namespace, ip};
use support::pki::Mesh;
use support::process::Launch;
use support::temp::TempDir;
use support::wait::until_true;

/// What a node has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The agent on its own machine, which it asks.
    Agent,
    /// The servers, which that agent asks.
    Servers,
    /// The link to the servers, which it asks by itself.
    Link,
}

/// The edge and what is beyond it.
pub(crate) struct Edge {
    pub(crate) gone: Gone,
    far: Namespace,
    server: Agent,
    agent: Option<Agent>,
    pub(crate) mesh: Arc<Mesh>,
    /// The next port for a node.
    port: AtomicU16,
}

const HERE: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);

/// Where nodes listen: not where connections to loopback come from, so that those never take a port of theirs.
const NODES: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 1);

/// Dozens of nodes at one address are more than Consul lets an address have connections.
const MANY: &str = r#"{"limits":{"http_max_conns_per_client":2000}}"#;

impl Edge {
    /// Calls `with` with an edge, on a thread of its own.
    pub(crate) fn with<T: Send>(gone: Gone, with: impl FnOnce(Self) -> T + Send) -> T {
        let (edge, far) = (Namespace::new(), Namespace::new());
        let [near_end, far_end] = ["near", "far"];
        ip(&[
            &[
                "link",
                "add",
                near_end,
                "netns",
                edge.name(),
                "type",
                "veth",
            ][..],
            &["peer", "name", far_end, "netns", far.name()],
        ]
        .concat());
        for (namespace, device, address) in [(&edge, near_end, HERE), (&far, far_end, THERE)] {
            let address = format!("{address}/24");
            namespace.ip(&["address", "add", &address, "dev", device]);
            namespace.ip(&["link", "set", device, "up"]);
        }
        edge.run(|| with(Self::new(gone, far)))
    }

    fn new(gone: Gone, far: Namespace) -> Self {
        let server = far.run(|| {
            Agent::start(Settings {
                ip: Some(THERE),
                more: MANY,
                ..Settings::default()
            })
        });
        let agent = (gone != Gone::Link).then(|| {
            Agent::start(Settings {
                of: Some(&server),
                ip: Some(HERE),
                more: MANY,
                ..Settings::default()
            })
        });
        let asked = agent.as_ref().unwrap_or(&server);
        let trust_domain = asked.get(ROOTS)["TrustDomain"].clone();
        let mesh = Mesh::new(trust_domain.as_str().expect("a trust domain"));
        issue_by(&server, asked, &mesh);
        Self {
            gone,
            far,
            server,
            agent,
            mesh: Arc::new(mesh),
            port: AtomicU16::new(20_000),
        }
    }

    /// The Consul that nodes ask.
    pub(crate) fn asked(&self) -> &Agent {
        self.agent.as_ref().unwrap_or(&self.server)
    }

    /// Takes it away.
    pub(crate) fn cut(&mut self) {
        match self.gone {
            Gone::Agent => self.agent.as_mut().expect("an agent").kill(),
            Gone::Servers => self.server.kill(),
            Gone::Link => self.far.ip(&["link", "set", "far", "down"]),
        }
    }

    /// Brings it back.
    pub(crate) fn bring_back(&mut self) {
        match self.gone {
            Gone::Agent => self.agent.as_mut().expect("an agent").run(),
            Gone::Servers => self.far.run(|| self.server.run()),
            Gone::Link => self.far.ip(&["link", "set", "far", "up"]),
        }
    }

    /// Does something at the servers while they cannot be reached from here.
    pub(crate) fn meanwhile(&self, what: impl FnOnce(&Self) + Send) {
        self.far.run(|| what(self));
    }

    /// Removes a service and its sidecar.
    pub(crate) fn deregister(&self, service: &str) {
        for id in [format!("{service}-1"), format!("{service}-1-sidecar-proxy")] {
            let path = format!("/v1/agent/service/deregister/{id}");
            self.asked().put(&path, "");
        }
    }

    /// Where another node can listen.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((NODES, self.port.fetch_add(1, Ordering::Relaxed)))
    }

    /// Registers a service, an application that listens there, and its sidecar.
    pub(crate) fn register(
        &self,
        service: &str,
        app: SocketAddr,
        sidecar: SocketAddr,
        upstreams: &[(&str, SocketAddr)],
    ) {
        let upstreams = upstreams.iter().map(|(name, listen)| {
            serde_json::json!({
                "DestinationName": name, "LocalBindAddress": listen.ip(), "LocalBindPort": listen.port(),
            })
        });
        let own = serde_json::json!({
            "Name": service, "ID": format!("{service}-1"), "Address": app.ip(), "Port": app.port(),
        });
        let proxy = serde_json::json!({
            "Kind": "connect-proxy",
            "Name": format!("{service}-sidecar-proxy"),
            "ID": format!("{service}-1-sidecar-proxy"),
            "Address": sidecar.ip(),
            "Port": sidecar.port(),
            "Proxy": {
                "DestinationServiceName": service,
                "DestinationServiceID": format!("{service}-1"),
                "LocalServiceAddress": app.ip(),
                "LocalServicePort": app.port(),
                "Upstreams": upstreams.collect::<Vec<_>>(),
            },
        });
        for body in [own, proxy] {
            self.asked()
                .put("/v1/agent/service/register", &body.to_string());
        }
    }

    /// Registers an instance of a service and its sidecar on another machine.
    pub(crate) fn register_elsewhere(&self, service: &str, machine: u8, port: u16) {
        let own = serde_json::json!({"Service": service, "ID": service, "Port": 80});
        let proxy = serde_json::json!({
            "Kind": "connect-proxy", "Service": format!("{service}-sidecar-proxy"),
            "ID": format!("{service}-sidecar-proxy"), "Port": port,
            "Proxy": {"DestinationServiceName": service, "DestinationServiceID": service},
        });
        for instance in [own, proxy] {
            let body = serde_json::json!({
                "Node": format!("machine-{machine}"), "Address": format!("10.1.2.{machine}"),
                "Service": instance,
            });
            self.asked().put("/v1/catalog/register", &body.to_string());
        }
    }

    /// Registers a mesh gateway.
    pub(crate) fn register_gateway(&self, id: &str, address: SocketAddr) {
        let body = serde_json::json!({
            "Kind": "mesh-gateway", "Name": "mesh-gateway", "ID": id,
            "Address": address.ip(), "Port": address.port(),
        });
        self.asked()
            .put("/v1/agent/service/register", &body.to_string());
    }

    /// Gives the mesh another authority, whose key is here too.
    pub(crate) fn rotate(&mut self) {
        self.mesh = Arc::new(Mesh::new(self.mesh.trust_domain()));
        issue_by(&self.server, self.asked(), &self.mesh);
    }

    /// A node that asks this Consul.
    pub(crate) fn node(&self, words: &[&str]) -> Node {
        Self::node_of(self.asked().http(), words)
    }

    /// A node that asks the Consul at this address.
    pub(crate) fn node_of(http: SocketAddr, words: &[&str]) -> Node {
        let home = Arc::new(TempDir::new());
        let state = home.file("state");
        std::fs::create_dir(&state).expect("a directory can be made");
        home.write(
            "own.hcl",
            format!(
                "lictor {{\n  admin = \"127.0.0.1:0\"\n  state_dir = \"{}\"\n}}\n",
                state.display()
            ),
        );
        let address = http.to_string();
        let words = words.iter().copied().chain(["--http-addr", &address]);
        Node {
            words: words.map(str::to_owned).collect(),
            home,
        }
    }
}

/// A machine that a lictor runs on, with what is on its flash.
pub(crate) struct Node {
    words: Vec<String>,
    home: Arc<TempDir>,
}

impl Node {
    /// Switches it on; it is ready when this returns.
    pub(crate) fn start(&self, clock: &WrongClock) -> Gateway {
        Gateway::start(clock.worn_by(self.launch()))
    }

    /// Its state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.home.file("state")
    }

    /// How large the larger plan is that it remembers.
    pub(crate) fn plan_bytes(&self) -> u64 {
        let slots = ["plan-1.a", "plan-1.b"].map(|slot| self.state().join(slot));
        let sizes = slots.iter().filter_map(|slot| slot.metadata().ok());
        sizes.map(|slot| slot.len()).max().unwrap_or(0)
    }

    pub(crate) fn launch(&self) -> Launch {
        let file = self.home.file("own.hcl").into_os_string();
        let words = self.words.iter().map(Into::into).chain([file]);
        Launch::with(words).beside(Arc::clone(&self.home))
    }
}

/// Makes an authority whose key is here that of Consul, so that leaves of other times can be issued.
fn issue_by(server: &Agent, asked: &Agent, mesh: &Mesh) {
    let read = |path| std::fs::read_to_string(path).expect("the mesh has it");
    let root = read(mesh.root());
    let body = serde_json::json!({
        "Provider": "consul",
        "Config": {"PrivateKey": read(mesh.root_key()), "RootCert": root, "LeafCertTTL": "72h"},
    });
    server.put("/v1/connect/ca/configuration", &body.to_string());
    until_true("the mesh's own root", || {
        let roots = asked.get(ROOTS);
        let active = roots["ActiveRootID"].clone();
        let list = roots["Roots"].as_array().expect("roots").iter();
        let mut active = list.filter(|root| root["ID"] == active);
        active.any(|known| known["RootCert"].as_str().map(str::trim) == Some(root.trim()))
    });
}

const ROOTS: &str = "/v1/agent/connect/ca/roots";

//! Real Envoy as the mesh gateway of another datacenter, with the static form of what Consul sends
//! to one: a TLS inspector, a filter chain with `*.<dc>.internal.<trust domain>` for each other
//! datacenter, and a last chain whose cluster is named by the SNI (`sni_cluster`).
//! See Consul's documentation on mesh gateways, and Envoy's on TLS passthrough by SNI.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::admin::Admin;
use crate::lab::TRUST_DOMAIN;
use crate::log::Log;
use crate::temp::TempDir;

/// A running Envoy. It is killed when the value goes.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    /// What it has written to standard error.
    pub log: Log,
    _home: TempDir,
    address: SocketAddr,
    admin: Admin,
}

/// What an Envoy gateway is to know.
#[derive(Clone, Debug, Default)]
pub struct EnvoyGateway {
    chains: Vec<String>,
    clusters: Vec<String>,
}

impl EnvoyGateway {
    /// A local service: SNI and address of an instance.
    pub fn service(mut self, sni: &str, address: SocketAddr) -> Self {
        self.clusters.push(cluster(sni, address));
        self
    }

    /// Another datacenter and the address of a gateway of it.
    pub fn datacenter(mut self, name: &str, gateway: SocketAddr) -> Self {
        let sni = format!("{name}.internal.{TRUST_DOMAIN}");
        self.chains.push(format!(
            r#"{{"filter_chain_match": {{"server_names": ["*.{sni}"]}}, "filters": [{}]}}"#,
            tcp_proxy(&sni)
        ));
        self.clusters.push(cluster(&sni, gateway));
        self
    }

    /// Starts it and waits until it accepts.
    ///
    /// # Panics
    /// When there is no Envoy, or it does not start.
    pub fn start(self) -> Envoy {
        Envoy::start(&self.bootstrap())
    }

    fn bootstrap(&self) -> String {
        let last = format!(
            r#"{{"filters": [{{"name": "envoy.filters.network.sni_cluster", "typed_config":
            {{"@type": "type.googleapis.com/envoy.extensions.filters.network.sni_cluster.v3.SniCluster"}}}}, {}]}}"#,
            tcp_proxy("none")
        );
        let chains: Vec<&str> = self
            .chains
            .iter()
            .map(String::as_str)
            .chain([last.as_str()])
            .collect();
        format!(
            r#"{{"node": {{"id": "gateway", "cluster": "mesh-gateway"}},
            "admin": {{"address": {{"socket_address": {{"address": "127.0.0.1", "port_value": 0}}}}}},
            "static_resources": {{
              "listeners": [{{"name": "default",
                "address": {{"socket_address": {{"address": "127.0.0.1", "port_value": 0}}}},
                "listener_filters": [{{"name": "envoy.filters.listener.tls_inspector", "typed_config":
                  {{"@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"}}}}],
                "filter_chains": [{}]}}],
              "clusters": [{}]}}}}"#,
            chains.join(","),
            self.clusters.join(",")
        )
    }
}

impl Envoy {
    /// Starts one on a bootstrap configuration in JSON, whose one listener is named `default`.
    pub(crate) fn start(bootstrap: &str) -> Self {
        let home = TempDir::new();
        let config = home.write("envoy.json", bootstrap);
        let admin_file = home.file("admin");
        let mut command = Command::new(program());
        command.args([
            "--concurrency",
            "1",
            "--use-dynamic-base-id",
            "--log-level",
            "info",
        ]);
        command
            .arg("--config-path")
            .arg(config)
            .arg("--admin-address-path")
            .arg(&admin_file);
        let pipes = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = pipes.spawn().expect(MISSING);
        let log = Log::follow(child.stderr.take().expect("standard error is a pipe"));
        log.wait_for_line("workers", |line| line.contains("starting workers"));
        let admin = std::fs::read_to_string(admin_file).expect("Envoy writes its admin address");
        let admin = Admin(admin.trim().parse().expect("an address"));
        let address = listener(&admin.get("/listeners").1);
        Self {
            child,
            log,
            _home: home,
            address,
            admin,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (_, counters) = self.admin.get("/stats?filter=cx_&usedonly");
            eprintln!("--- Envoy's counters of connections\n{counters}");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tcp_proxy(cluster: &str) -> String {
    format!(
        r#"{{"name": "envoy.filters.network.tcp_proxy", "typed_config":
        {{"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "gateway", "cluster": "{cluster}"}}}}"#
    )
}

fn cluster(name: &str, address: SocketAddr) -> String {
    format!(
        r#"{{"name": "{name}", "type": "STATIC", "connect_timeout": "5s", "outlier_detection": {{}},
        "load_assignment": {{"cluster_name": "{name}", "endpoints": [{{"lb_endpoints": [{{"endpoint":
        {{"address": {{"socket_address": {{"address": "{}", "port_value": {}}}}}}}}}]}}]}}}}"#,
        address.ip(),
        address.port()
    )
}

/// The address of the one listener in Envoy's list of them, a line `name::address` each.
fn listener(list: &str) -> SocketAddr {
    let line = list.lines().find_map(|line| line.strip_prefix("default::"));
    line.and_then(|address| address.parse().ok())
        .expect("Envoy lists its listener")
}

/// The Envoy to run: what the environment names, else the first one on the path.
fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("LICTOR_ENVOY") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join("envoy"))
        .find(|at| at.exists());
    found.expect(MISSING)
}

const MISSING: &str = "no Envoy on this machine: `LICTOR_ENVOY=$(tests/peers/envoy)` gets one";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, echo};
    use crate::client::{assert_refused, echoing, greet};
    use crate::lab::sni;

    #[test]
    fn envoy_routes_by_sni_as_a_gateway_of_consul_does() {
        let app = Backend::start(echo);
        let dc2 = EnvoyGateway::default()
            .service(&sni("api", "dc2"), app.address())
            .start();
        let dc1 = EnvoyGateway::default()
            .datacenter("dc2", dc2.address())
            .start();
        echoing(dc1.address(), &sni("api", "dc2"));
        assert_refused(&mut greet(dc1.address(), &sni("other", "dc2")));
    }
}

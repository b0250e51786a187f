//! Envoy with `tls_inspector` and `tcp_proxy`, concurrency 1.
//!
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/listeners/listener_filters/tls_inspector>

use super::{Gateway, Place, first_line};
use crate::client_hello::SNI;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

pub(super) struct Envoy {
    pub(super) binary: PathBuf,
}

impl Gateway for Envoy {
    fn name(&self) -> &'static str {
        "envoy"
    }

    fn version(&self) -> io::Result<String> {
        version(&self.binary)
    }

    fn commands(&self, place: &Place) -> io::Result<Vec<Command>> {
        let file = place.directory.join("envoy.yaml");
        fs::write(&file, configuration(place))?;
        let mut command = Command::new(&self.binary);
        command.args([
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "error",
            "-c",
        ]);
        command.arg(file);
        Ok(vec![command])
    }
}

fn configuration(place: &Place) -> String {
    let (listen, listen_port) = (place.listen.ip(), place.listen.port());
    let (backend, backend_port) = (place.backend.ip(), place.backend.port());
    format!(
        "\
static_resources:
  listeners:
  - name: gateway
    address: {{ socket_address: {{ address: {listen}, port_value: {listen_port} }} }}
    listener_filters:
    - name: tls_inspector
      typed_config:
        \"@type\": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector
    filter_chains:
    - filter_chain_match: {{ server_names: [\"{SNI}\"] }}
      filters:
      - name: tcp_proxy
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: api
          cluster: api
  clusters:
  - name: api
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {{ thresholds: [{{ max_connections: 20000, max_pending_requests: 20000 }}] }}
    load_assignment:
      cluster_name: api
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: {backend}, port_value: {backend_port} }} }}
"
    )
}

/// What the binary calls itself.
pub(crate) fn version(binary: &Path) -> io::Result<String> {
    let mut command = Command::new(binary);
    command.arg("--version");
    // "PATH  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL"
    let line = first_line(command)?;
    let of_interest = line.split('/').rev().nth(3).unwrap_or(&line);
    Ok(format!("Envoy {of_interest}"))
}

//! Envoy with TLS contexts as Consul gives them, concurrency 1.
//!
//! <https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/transport_sockets/tls/v3/tls.proto>

use super::{IDLE_UPSTREAMS, Identities};
use crate::{
    client_hello::SNI,
    gateways::{Gateway, Place, envoy},
};
use std::{fs, io, net::SocketAddr, path::PathBuf, process::Command, rc::Rc};
use support::pki::Leaf;

pub(super) struct Envoy {
    pub(super) binary: PathBuf,
    pub(super) identities: Rc<Identities>,
}

impl Gateway for Envoy {
    fn name(&self) -> &'static str {
        "envoy"
    }

    fn version(&self) -> io::Result<String> {
        envoy::version(&self.binary)
    }

    fn commands(&self, place: &Place) -> io::Result<Vec<Command>> {
        let run = |name: &str, text: String| -> io::Result<Command> {
            let file = place.directory.join(name);
            fs::write(&file, text)?;
            let mut command = Command::new(&self.binary);
            command.args(["--concurrency", "1", "--disable-hot-restart"]);
            command.args(["--log-level", "error", "-c"]).arg(file);
            Ok(command)
        };
        Ok(vec![
            run("api.json", self.called(place))?,
            run("web.json", self.calling(place))?,
        ])
    }
}

impl Envoy {
    fn called(&self, place: &Place) -> String {
        let stateless = !place.resumes;
        let tls = format!(
            r#", "transport_socket": {{"name": "tls", "typed_config": {{
            "@type": "{TLS}.DownstreamTlsContext", "require_client_certificate": true,
            "disable_stateless_session_resumption": {stateless},
            "disable_stateful_session_resumption": {stateless},
            "common_tls_context": {}}}}}"#,
            self.common(&self.identities.api, "")
        );
        bootstrap(
            &[listener("public", place.between, "app", &tls)],
            &[cluster("app", place.backend, "")],
        )
    }

    fn calling(&self, place: &Place) -> String {
        let wanted = self.identities.mesh.spiffe_id("api", "dc1");
        let wanted = format!(
            r#", "match_typed_subject_alt_names": [{{"san_type": "URI", "matcher": {{"exact": "{wanted}"}}}}]"#
        );
        // One is Envoy's default; with several connections at a time more are of use.
        let keys = if place.resumes { 8 } else { 0 };
        let tls = format!(
            r#", "transport_socket": {{"name": "tls", "typed_config": {{
            "@type": "{TLS}.UpstreamTlsContext", "sni": "{SNI}", "max_session_keys": {keys},
            "common_tls_context": {}}}}}"#,
            self.common(&self.identities.web, &wanted)
        );
        let mut listeners = vec![listener("upstream", place.listen, "api", "")];
        let mut clusters = vec![cluster("api", place.between, &tls)];
        for number in 0..IDLE_UPSTREAMS {
            let name = format!("other-{number}");
            let anywhere = SocketAddr::new(place.listen.ip(), 0);
            listeners.push(listener(&name, anywhere, &name, ""));
            clusters.push(cluster(&name, place.between, &tls));
        }
        bootstrap(&listeners, &clusters)
    }

    fn common(&self, leaf: &Leaf, wanted: &str) -> String {
        format!(
            r#"{{"tls_params": {{"tls_minimum_protocol_version": "TLSv1_3",
            "tls_maximum_protocol_version": "TLSv1_3", "ecdh_curves": ["X25519"]}},
            "tls_certificates": [{{"certificate_chain": {{"filename": "{}"}}, "private_key": {{"filename": "{}"}}}}],
            "validation_context": {{"trusted_ca": {{"filename": "{}"}}{wanted}}}}}"#,
            leaf.certificate.display(),
            leaf.key.display(),
            self.identities.mesh.root().display()
        )
    }
}

fn listener(name: &str, address: SocketAddr, cluster: &str, tls: &str) -> String {
    format!(
        r#"{{"name": "{name}", "address": {{"socket_address": {{"address": "{}", "port_value": {}}}}},
        "filter_chains": [{{"filters": [{{"name": "tcp_proxy", "typed_config": {{
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "{name}", "cluster": "{cluster}"}}}}]{tls}}}]}}"#,
        address.ip(),
        address.port()
    )
}

fn cluster(name: &str, address: SocketAddr, tls: &str) -> String {
    format!(
        r#"{{"name": "{name}", "type": "STATIC", "connect_timeout": "5s",
        "circuit_breakers": {{"thresholds": [{{"max_connections": 20000, "max_pending_requests": 20000}}]}},
        "load_assignment": {{"cluster_name": "{name}", "endpoints": [{{"lb_endpoints": [{{"endpoint":
        {{"address": {{"socket_address": {{"address": "{}", "port_value": {}}}}}}}}}]}}]}}{tls}}}"#,
        address.ip(),
        address.port()
    )
}

fn bootstrap(listeners: &[String], clusters: &[String]) -> String {
    format!(
        r#"{{"static_resources": {{"listeners": [{}], "clusters": [{}]}}}}"#,
        listeners.join(",\n"),
        clusters.join(",\n")
    )
}

const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

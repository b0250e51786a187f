//! Real Envoy as the sidecar of a service, with the static form of what Consul sends to one: in, a
//! TLS context that requires a client's certificate, and RBAC by the caller's SPIFFE ID; out, a TLS
//! context that wants the one SPIFFE ID of the upstream.
//! See Consul's documentation on Envoy, and Envoy's on RBAC and on matching alternative names.

use std::net::SocketAddr;
use std::path::Path;

use crate::envoy::Envoy;
use crate::pki::Leaf;

/// Starts the sidecar of a service: lets callers in whose SPIFFE ID matches the expression `allows`,
/// and passes them on to `app`.
///
/// # Panics
/// When there is no Envoy, or it does not start.
pub fn inbound(roots: &Path, leaf: &Leaf, app: SocketAddr, allows: &str) -> Envoy {
    let tls = format!(
        r#"{{"name": "tls", "typed_config": {{
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": true, "common_tls_context": {}}}}}"#,
        common(roots, leaf, "")
    );
    let rbac = format!(
        r#"{{"name": "envoy.filters.network.rbac", "typed_config": {{
        "@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC",
        "stat_prefix": "connect_authz", "rules": {{"action": "ALLOW", "policies": {{"intentions": {{
        "permissions": [{{"any": true}}], "principals": [{{"authenticated": {{"principal_name":
        {{"safe_regex": {{"regex": "{allows}"}}}}}}}}]}}}}}}}}}}"#
    );
    let chain = format!(
        r#"{{"filters": [{rbac}, {}], "transport_socket": {tls}}}"#,
        tcp_proxy()
    );
    Envoy::start(&bootstrap(&chain, &cluster(app, "")))
}

/// Starts the sidecar of a service that calls `upstream`, under a server name, at the instance or the
/// gateway `at`; it accepts nobody there but the bearer of the SPIFFE ID `wants`.
///
/// # Panics
/// When there is no Envoy, or it does not start.
pub fn outbound(
    roots: &Path,
    leaf: &Leaf,
    at: SocketAddr,
    server_name: &str,
    wants: &str,
) -> Envoy {
    let san = format!(
        r#", "match_typed_subject_alt_names": [{{"san_type": "URI", "matcher": {{"exact": "{wants}"}}}}]"#
    );
    let tls = format!(
        r#", "transport_socket": {{"name": "tls", "typed_config": {{
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "{server_name}", "common_tls_context": {}}}}}"#,
        common(roots, leaf, &san)
    );
    let chain = format!(r#"{{"filters": [{}]}}"#, tcp_proxy());
    Envoy::start(&bootstrap(&chain, &cluster(at, &tls)))
}

fn common(roots: &Path, leaf: &Leaf, san: &str) -> String {
    let file = |path: &Path| format!(r#"{{"filename": "{}"}}"#, path.display());
    format!(
        r#"{{"tls_certificates": [{{"certificate_chain": {}, "private_key": {}}}],
        "validation_context": {{"trusted_ca": {}{san}}}}}"#,
        file(&leaf.certificate),
        file(&leaf.key),
        file(roots)
    )
}

fn tcp_proxy() -> &'static str {
    r#"{"name": "envoy.filters.network.tcp_proxy", "typed_config":
    {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    "stat_prefix": "sidecar", "cluster": "to"}}"#
}

fn cluster(address: SocketAddr, more: &str) -> String {
    format!(
        r#"{{"name": "to", "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {{"cluster_name": "to", "endpoints": [{{"lb_endpoints": [{{"endpoint":
        {{"address": {{"socket_address": {{"address": "{}", "port_value": {}}}}}}}}}]}}]}}{more}}}"#,
        address.ip(),
        address.port()
    )
}

fn bootstrap(chain: &str, cluster: &str) -> String {
    format!(
        r#"{{"node": {{"id": "sidecar", "cluster": "sidecar"}},
        "admin": {{"address": {{"socket_address": {{"address": "127.0.0.1", "port_value": 0}}}}}},
        "static_resources": {{"listeners": [{{"name": "default",
        "address": {{"socket_address": {{"address": "127.0.0.1", "port_value": 0}}}},
        "filter_chains": [{chain}]}}], "clusters": [{cluster}]}}}}"#
    )
}

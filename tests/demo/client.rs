//! The client in dc1: the service web, which does what a sidecar does. It connects to the gateway
//! of its own datacenter, names the service it wants by SNI, shows its certificate, and wants to
//! see the service's SPIFFE ID.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, StreamOwned};

use crate::identity::{self, OneService};
use crate::pki::{Leaf, Pki, spiffe_id};

/// A connection on which both sides trust each other.
pub(crate) struct Session {
    tls: StreamOwned<ClientConnection, TcpStream>,
    /// The SPIFFE ID that the server showed, checked.
    pub(crate) server: String,
    /// The version of TLS.
    pub(crate) version: String,
}

impl Session {
    /// Connects to a gateway and asks it for `server_name`, which must turn out to be api in dc2.
    pub(crate) fn open(
        gateway: SocketAddr,
        server_name: &str,
        pki: &Pki,
        leaf: &Leaf,
    ) -> io::Result<Self> {
        let config = config(pki, leaf).map_err(io::Error::other)?;
        let name = ServerName::try_from(server_name.to_owned()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = TcpStream::connect_timeout(&gateway, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        let server = connection
            .peer_certificates()
            .and_then(|chain| identity::spiffe_id(chain.first()?))
            .unwrap_or_default();
        let version = version_of(connection.protocol_version());
        Ok(Self {
            tls: StreamOwned::new(connection, stream),
            server,
            version,
        })
    }

    /// Sends a request and gives the body of the answer, after the server has ended the connection.
    pub(crate) fn get(mut self, path: &str) -> io::Result<Vec<u8>> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n");
        self.tls.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        self.tls.read_to_end(&mut answer)?;
        self.tls.conn.send_close_notify();
        self.tls.flush()?;
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .ok_or_else(|| io::Error::other("the answer has no head"))?;
        let body = answer.split_off(end + 4);
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            return Err(io::Error::other("the answer is not 200"));
        }
        Ok(body)
    }
}

fn config(pki: &Pki, leaf: &Leaf) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = OneService {
        id: spiffe_id("api", "dc2"),
        roots: Arc::clone(&pki.roots),
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(leaf.chain.clone(), leaf.key())?;
    Ok(Arc::new(config))
}

/// `TLS 1.3`, for people.
pub(crate) fn version_of(version: Option<ProtocolVersion>) -> String {
    match version {
        Some(ProtocolVersion::TLSv1_3) => String::from("TLS 1.3"),
        Some(ProtocolVersion::TLSv1_2) => String::from("TLS 1.2"),
        other => format!("{other:?}"),
    }
}

/// Far more than anything on one host takes.
const PATIENCE: Duration = Duration::from_secs(20);

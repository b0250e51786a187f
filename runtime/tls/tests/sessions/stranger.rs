//! Ends of TLS that keep no rule: rustls as it is, with any certificate or none, believing everybody.

use std::{io::Cursor, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, ServerConfig,
    ServerConnection, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring::default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    version::{TLS12, TLS13},
};
use tls::{ClientContext, Outgoing, ServerContext, Session};

use crate::mesh::Leaf;

fn versions(version: &str) -> &'static [&'static SupportedProtocolVersion] {
    const LEAST: &[&SupportedProtocolVersion] = &[&TLS12];
    const GREATEST: &[&SupportedProtocolVersion] = &[&TLS13];
    if version == "TLSv1_3" {
        GREATEST
    } else {
        LEAST
    }
}

fn parts(leaf: &Leaf) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(leaf.chain.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
    (chain.map(Result::unwrap).collect(), key)
}

pub(crate) struct StrangeClient(pub(crate) ClientConfig);

impl StrangeClient {
    pub(crate) fn new(version: &str, leaf: Option<&Leaf>) -> Self {
        Self::with_provider(version, leaf, default_provider())
    }

    pub(crate) fn with_provider(
        version: &str,
        leaf: Option<&Leaf>,
        provider: CryptoProvider,
    ) -> Self {
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions(version))
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Believer));
        Self(match leaf {
            Some(leaf) => {
                let (chain, key) = parts(leaf);
                config.with_client_auth_cert(chain, key).unwrap()
            }
            None => config.with_no_client_auth(),
        })
    }

    /// Fails a handshake; gives our error, and the alert that came.
    pub(crate) fn meets(self, server: &ServerContext) -> (String, String) {
        let name = "a.test".try_into().unwrap();
        let connection = ClientConnection::new(Arc::new(self.0), name).unwrap();
        fail(connection.into(), server.accept().unwrap())
    }
}

pub(crate) struct StrangeServer(pub(crate) ServerConfig);

impl StrangeServer {
    pub(crate) fn new(version: &str, leaf: &Leaf) -> Self {
        Self::with_provider(version, leaf, default_provider())
    }

    pub(crate) fn with_provider(version: &str, leaf: &Leaf, provider: CryptoProvider) -> Self {
        let (chain, key) = parts(leaf);
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions(version))
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key);
        Self(config.unwrap())
    }

    pub(crate) fn meets(self, client: &ClientContext) -> (String, String) {
        let connection = ServerConnection::new(Arc::new(self.0)).unwrap();
        fail(connection.into(), client.connect().unwrap())
    }
}

fn fail(mut stranger: Connection, mut ours: Session) -> (String, String) {
    let mut error = None;
    for _ in 0..10 {
        let mut bytes = Vec::new();
        while stranger.wants_write() {
            stranger.write_tls(&mut bytes).unwrap();
        }
        let mut wire = Outgoing::new();
        if error.is_none() {
            error = ours.receive(&mut bytes, &mut wire, &mut |_| {}).err();
        }
        let mut bytes = Cursor::new(wire.bytes());
        while stranger.read_tls(&mut bytes).unwrap() > 0 {
            if let Err(rustls::Error::AlertReceived(alert)) = stranger.process_new_packets() {
                return (error.unwrap().to_string(), format!("{alert:?}"));
            }
        }
    }
    panic!("no alert came; our error: {error:?}");
}

#[derive(Debug)]
struct Believer;

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

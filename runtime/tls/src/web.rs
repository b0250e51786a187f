//! TLS to a server that is no part of the mesh: Consul's own HTTPS API.
//!
//! The server is checked as a browser does it: a chain to the roots that were given, and a certificate for the name or
//! address (RFC 9525). Consul's agents have names of their own, `server.dc1.consul` and `client.dc1.consul`
//! (<https://developer.hashicorp.com/consul/docs/security/encryption>), so the name to check may differ from the host that
//! is dialed. SPIFFE IDs play no part. Roots are always given: the system's are not looked at. Its dates are held against the
//! same [`Clock`] as those of the mesh, since a board whose clock is wrong must reach Consul first of all.

use std::{io, sync::Arc};

use futures_rustls::{TlsConnector, client::TlsStream};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use smol::io::{AsyncRead, AsyncWrite};

use crate::{clock::Clock, error::Error, leaf, options::Options, pem, provider};

/// Whom to trust as a server of the web, and who we are to it. Cheap to clone.
#[derive(Clone)]
pub struct WebClient(TlsConnector);

impl std::fmt::Debug for WebClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebClient")
    }
}

/// The name that a server's certificate must be for: a DNS name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebName(ServerName<'static>);

impl WebName {
    /// Reads a name or an address.
    ///
    /// # Errors
    ///
    /// It is neither.
    pub fn new(text: &str) -> Result<Self, Error> {
        ServerName::try_from(text)
            .map(|name| Self(name.to_owned()))
            .map_err(|_| Error::ConfigServerName(text.to_owned()))
    }
}

impl WebClient {
    /// Trusts the roots in `ca`, and shows the certificate and key of `own` to a server that asks for one; PEM, up to
    /// 256 KiB each. Of the options the versions, the order of suites and the clock count.
    ///
    /// # Errors
    ///
    /// A part is missing or broken, or the key is that of another certificate.
    pub fn new(ca: &[u8], own: Option<(&[u8], &[u8])>, options: &Options) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates(ca)? {
            roots
                .add(certificate)
                .map_err(|_| Error::ConfigRoots("one is not an X.509 certificate"))?;
        }
        let provider = provider::provider(options.aes, &options.tls12_suites);
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|_| Error::ConfigRoots("there is none"))?;
        let config = ClientConfig::builder_with_details(provider, Arc::new(options.clock.clone()))
            .with_protocol_versions(&options.versions.list())
            .map_err(|_| Error::Bug("versions without suites"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier {
                web: verifier,
                clock: options.clock.clone(),
            }));
        let mut config = match own {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = pem::certificates(chain)?;
                let key = pem::private_key(key)?;
                let key = rustls::crypto::ring::sign::any_supported_type(&key)
                    .map_err(|_| Error::ConfigKey("it is of no kind that is known, or broken"))?;
                let own = CertifiedKey::new(chain, key);
                own.keys_match().map_err(|_| Error::ConfigKeyMismatch)?;
                config
                    .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(own)))
            }
        };
        // A blocking query keeps its connection for hours; to keep sessions for the next one is not worth their memory.
        config.resumption = Resumption::disabled();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands with a server over a stream that is connected.
    ///
    /// # Errors
    ///
    /// The stream's, or of kind `InvalidData` when the handshake failed; the text says whose certificate it was.
    pub async fn connect<S>(&self, name: &WebName, stream: S) -> io::Result<WebStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.0.connect(name.0.clone(), stream).await
    }
}

/// A connection to a server of the web.
pub type WebStream<S> = TlsStream<S>;

/// The usual rules, at the time of our clock.
#[derive(Debug)]
struct Verifier {
    web: Arc<WebPkiServerVerifier>,
    clock: Clock,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let dates = leaf::validity(end);
        let now = dates.map_or(now, |dates| self.clock.now_for(now, dates));
        let verified = self.web.verify_server_cert(end, rest, name, ocsp, now)?;
        if let Some(dates) = dates {
            self.clock.verified(dates.not_before);
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.web
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.web
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.web.supported_verify_schemes()
    }
}

//! The two ends of mesh TLS: what a listener and what a cluster needs to make sessions.

use std::sync::Arc;

use plan::{intentions::Intentions, spiffe::SpiffeId};
use rustls::{
    ClientConfig, ServerConfig,
    client::{Resumption, UnbufferedClientConnection},
    pki_types::{DnsName, IpAddr, Ipv4Addr, ServerName},
    server::{NoServerSessionStorage, ServerSessionMemoryCache, UnbufferedServerConnection},
    sign::SingleCertAndKey,
};

use crate::{
    clock::Clock,
    error::Error,
    identity::Identity,
    options::Options,
    provider::{AesSupport, provider},
    session::Session,
    tickets::Tickets,
    trust::{Roots, TrustBundle},
    verify::{Expected, Verifier},
};

/// All that connections which come in have in common. Cheap to clone.
///
/// Clients must show a certificate. Their ALPN offers are passed over, since TCP has no use for one and an offer must
/// not fail the handshake. Make a new one after any change of identity, trust or intentions.
#[derive(Clone, Debug)]
pub struct ServerContext {
    config: Arc<ServerConfig>,
    verifier: Arc<Verifier>,
    clock: Clock,
}

impl ServerContext {
    /// Puts one together.
    ///
    /// # Errors
    ///
    /// The bundle is empty.
    pub fn new(identity: &Identity, trust: TrustBundle, options: &Options) -> Result<Self, Error> {
        Self::authorizing(identity, trust, None, options)
    }

    /// The same for clients that intentions let in: others are told so within the handshake, by the alert
    /// `access_denied` (RFC 8446 section 6.2), which there is no way to send after it. Sessions that are resumed were let
    /// in once; whoever changes intentions makes a new context.
    ///
    /// # Errors
    ///
    /// The bundle is empty.
    pub fn authorizing(
        identity: &Identity,
        trust: TrustBundle,
        intentions: Option<Intentions>,
        options: &Options,
    ) -> Result<Self, Error> {
        if trust.is_empty() {
            return Err(Error::ConfigRoots("there are none"));
        }
        let verifier = Verifier::new(Expected::AnyOf(trust), options.clock.clone());
        let verifier = Arc::new(match intentions {
            Some(intentions) => verifier.with_intentions(intentions),
            None => verifier,
        });
        let key = Arc::new(SingleCertAndKey::from(identity.certified_key()));
        let mut config = ServerConfig::builder_with_details(
            provider(options.aes, &options.tls12_suites),
            Arc::new(options.clock.clone()),
        )
        .with_protocol_versions(&options.versions.list())
        .map_err(|_| Error::ConfigSuite("none is left for the TLS versions".to_owned()))?
        .with_client_cert_verifier(Arc::clone(&verifier) as _)
        .with_cert_resolver(key);
        // The weaker CPU decides: a client that prefers AES has instructions for it, or does not care.
        config.ignore_client_order = options.aes == AesSupport::Software;
        // Sessions are kept here and clients get a number: a ticket that held one would carry the client's
        // certificates over the link twice for each connection.
        config.session_storage = match options.sessions {
            0 => Arc::new(NoServerSessionStorage {}),
            count => ServerSessionMemoryCache::new(count),
        };
        config.enable_secret_extraction = true;
        config.send_tls13_tickets = usize::from(options.sessions > 0);
        Ok(Self {
            config: Arc::new(config),
            verifier,
            clock: options.clock.clone(),
        })
    }

    /// A session for a connection that was accepted.
    ///
    /// # Errors
    ///
    /// None that a peer or a configuration can cause.
    pub fn accept(&self) -> Result<Session, Error> {
        let connection = UnbufferedServerConnection::new(Arc::clone(&self.config))
            .map_err(|_| Error::Bug("no server connection"))?;
        let (verifier, clock) = (Arc::clone(&self.verifier), self.clock.clone());
        Ok(Session::server(connection, verifier, clock))
    }

    /// Whether a client whose session was made under another context would have been let in under this one then.
    ///
    /// # Errors
    ///
    /// Why it would be refused.
    pub fn still_accepts(&self, session: &Session) -> Result<(), Error> {
        session.verify_with(&self.verifier)
    }
}

/// All that connections to one cluster have in common. Cheap to clone.
///
/// Make a new one after any change of identity, roots or accepted identities.
#[derive(Clone, Debug)]
pub struct ClientContext {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
    verifier: Arc<Verifier>,
    clock: Clock,
}

impl ClientContext {
    /// Puts one together. The server's identity must be one of `accepted`, vouched for by `roots`. `sni` is sent as it
    /// is and has nothing to do with that; without it none is sent.
    ///
    /// # Errors
    ///
    /// No identity is accepted, or the server name cannot be sent.
    pub fn new(
        identity: &Identity,
        roots: Roots,
        accepted: Vec<SpiffeId>,
        sni: Option<&str>,
        options: &Options,
    ) -> Result<Self, Error> {
        if accepted.is_empty() {
            return Err(Error::ConfigNoAcceptedIds);
        }
        let server_name = match sni {
            Some(name) => ServerName::DnsName(
                DnsName::try_from(name.to_owned())
                    .map_err(|_| Error::ConfigServerName(name.to_owned()))?,
            ),
            None => ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0; 4]))),
        };
        let verifier = Arc::new(Verifier::new(
            Expected::OneOf(accepted, roots),
            options.clock.clone(),
        ));
        let key = Arc::new(SingleCertAndKey::from(identity.certified_key()));
        let mut config = ClientConfig::builder_with_details(
            provider(options.aes, &options.tls12_suites),
            Arc::new(options.clock.clone()),
        )
        .with_protocol_versions(&options.versions.list())
        .map_err(|_| Error::ConfigSuite("none is left for the TLS versions".to_owned()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
        .with_client_cert_resolver(key);
        config.enable_secret_extraction = true;
        config.enable_sni = sni.is_some();
        config.resumption = match options.sessions {
            0 => Resumption::disabled(),
            _ => Resumption::store(Arc::new(Tickets::default())),
        };
        Ok(Self {
            config: Arc::new(config),
            server_name,
            verifier,
            clock: options.clock.clone(),
        })
    }

    /// A session for a connection that was made. Call [`Session::receive`] with nothing first: it has the first flight.
    ///
    /// # Errors
    ///
    /// None that a peer or a configuration can cause.
    pub fn connect(&self) -> Result<Session, Error> {
        let name = self.server_name.clone();
        let connection = UnbufferedClientConnection::new(Arc::clone(&self.config), name)
            .map_err(|_| Error::Bug("no client connection"))?;
        let (verifier, clock) = (Arc::clone(&self.verifier), self.clock.clone());
        Ok(Session::client(connection, verifier, clock))
    }

    /// Whether a server whose session was made under another context would have been accepted under this one then.
    ///
    /// # Errors
    ///
    /// Why it would be refused.
    pub fn still_accepts(&self, session: &Session) -> Result<(), Error> {
        session.verify_with(&self.verifier)
    }
}

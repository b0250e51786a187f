//! HTTPS to Consul, in a build that has TLS; else a refusal that says so.

use std::{net::TcpStream, path::Path};

use smol::Async;

use crate::{Address, Error, TlsFiles, address::Host, connection::Stream};

#[cfg(feature = "tls")]
use std::{cell::RefCell, fs, io};

#[cfg(feature = "tls")]
use crate::token::{Version, version};

/// Makes streams secure. Its files are read anew when they change.
pub(crate) struct Secure {
    files: TlsFiles,
    #[cfg(feature = "tls")]
    clock: tls::Clock,
    #[cfg(feature = "tls")]
    ready: RefCell<Option<(Vec<Version>, tls::WebClient)>>,
}

#[cfg(not(feature = "tls"))]
impl Secure {
    pub(crate) fn new(files: TlsFiles) -> Self {
        Self { files }
    }

    #[expect(clippy::unused_async, reason = "so that both builds are called alike")]
    pub(crate) async fn connect(
        &self,
        _: &Host,
        _: Async<TcpStream>,
        address: &Address,
    ) -> Result<Box<dyn Stream>, Error> {
        let ca: Option<&Path> = self.files.ca.as_deref();
        let beside = ca.map(|ca| format!(" ({} is not read)", ca.display()));
        let beside = beside.unwrap_or_default();
        Err(Error::Tls(format!(
            "{address}: this build has no TLS; ask an agent by http or unix, or build with the feature sidecar{beside}"
        )))
    }
}

#[cfg(feature = "tls")]
impl Secure {
    pub(crate) fn new(files: TlsFiles) -> Self {
        Self {
            files,
            clock: tls::Clock::system(),
            ready: RefCell::new(None),
        }
    }

    pub(crate) fn set_clock(&mut self, clock: tls::Clock) {
        self.clock = clock;
    }

    /// Shakes hands with what was dialed as `host`.
    pub(crate) async fn connect(
        &self,
        host: &Host,
        stream: Async<TcpStream>,
        address: &Address,
    ) -> Result<Box<dyn Stream>, Error> {
        let name = match (&self.files.server_name, host) {
            (Some(name), _) => name.clone(),
            (None, Host::Ip(ip)) => ip.to_string(),
            (None, Host::Name(name)) => name.to_string(),
        };
        let name = tls::WebName::new(&name).map_err(|error| Error::Tls(error.to_string()))?;
        let client = self.client()?;
        match client.connect(&name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(Error::Tls(format!("{address}: {error}")))
            }
            Err(error) => Err(Error::Unreachable(address.to_string(), error)),
        }
    }

    fn client(&self) -> Result<tls::WebClient, Error> {
        let TlsFiles { ca, own, .. } = &self.files;
        let Some(ca) = ca else {
            return Err(Error::Tls(
                "https needs a CA file: the one that signed Consul's certificate".to_owned(),
            ));
        };
        let own = own
            .as_ref()
            .map(|(chain, key)| [chain.as_path(), key.as_path()]);
        let own = own.as_ref().map_or(&[][..], |own| &own[..]);
        let paths = || std::iter::once(ca.as_path()).chain(own.iter().copied());
        let versions: Vec<Version> = paths()
            .map(|path| version(path).map_err(|error| Error::File(path.to_owned(), error)))
            .collect::<Result<_, _>>()?;
        let mut ready = self.ready.borrow_mut();
        if let Some((_, client)) = ready.as_ref().filter(|(known, _)| *known == versions) {
            return Ok(client.clone());
        }
        let roots = read(ca)?;
        let own = match own {
            [chain, key] => Some((read(chain)?, zeroize::Zeroizing::new(read(key)?))),
            _ => None,
        };
        let own = own
            .as_ref()
            .map(|(chain, key)| (chain.as_slice(), key.as_slice()));
        let options = tls::Options {
            clock: self.clock.clone(),
            ..tls::Options::default()
        };
        let client = tls::WebClient::new(&roots, own, &options)
            .map_err(|error| Error::Tls(error.to_string()))?;
        *ready = Some((versions, client.clone()));
        Ok(client)
    }
}

#[cfg(feature = "tls")]
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::File(path.to_owned(), error))
}

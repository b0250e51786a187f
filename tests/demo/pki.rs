//! A throw-away CA, shaped as Consul's own: a root in the primary datacenter dc1, an intermediate
//! in dc2, and leaves on P-256 whose only name is a SPIFFE ID.
//!
//! <https://developer.hashicorp.com/consul/docs/connect/ca>

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SigningKey,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::TRUST_DOMAIN;
use crate::failure::{Failure, while_doing};

/// What a service shows, and what it holds.
pub(crate) struct Leaf {
    /// The leaf first, then the intermediate if there is one.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl Leaf {
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }
}

/// The identities of the demo, and the directory where those of the client lie as files.
pub(crate) struct Pki {
    pub(crate) roots: Arc<RootCertStore>,
    /// The client in dc1, signed by the root.
    pub(crate) web: Leaf,
    /// The app in dc2, signed by the intermediate of dc2.
    pub(crate) api: Leaf,
    /// A client that claims to be web, signed by another root.
    pub(crate) impostor: Leaf,
    pub(crate) directory: PathBuf,
}

impl Pki {
    /// Makes new keys and certificates.
    pub(crate) fn mint() -> Result<Self, Failure> {
        let directory = std::env::temp_dir().join(format!("lictor-demo-{}", std::process::id()));
        fs::create_dir_all(&directory)
            .map_err(while_doing(format!("making {}", directory.display())))?;
        let mut pki = Self {
            roots: Arc::new(RootCertStore::empty()),
            web: Leaf::empty(),
            api: Leaf::empty(),
            impostor: Leaf::empty(),
            directory,
        };
        pki.fill().map_err(while_doing("making certificates"))?;
        Ok(pki)
    }

    fn fill(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let root = CertifiedIssuer::self_signed(authority("Consul CA dc1")?, KeyPair::generate()?)?;
        let dc2 =
            CertifiedIssuer::signed_by(authority("Consul CA dc2")?, KeyPair::generate()?, &root)?;
        let other = CertifiedIssuer::self_signed(authority("Other CA")?, KeyPair::generate()?)?;

        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone())?;
        self.roots = Arc::new(roots);
        let (web, web_pem, web_key_pem) = leaf("web", "dc1", &root)?;
        self.web = web;
        let (mut api, _, _) = leaf("api", "dc2", &dc2)?;
        api.chain.push(dc2.der().clone());
        self.api = api;
        self.impostor = leaf("web", "dc1", &other)?.0;

        write(&self.directory.join("ca.pem"), &root.pem())?;
        write(&self.directory.join("web.pem"), &web_pem)?;
        write(&self.directory.join("web-key.pem"), &web_key_pem)?;
        Ok(())
    }
}

impl Drop for Pki {
    fn drop(&mut self) {
        // What cannot be removed stays behind in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Leaf {
    fn empty() -> Self {
        Self {
            chain: Vec::new(),
            key: Vec::new(),
        }
    }
}

/// The SPIFFE ID that Consul gives a service.
pub(crate) fn spiffe_id(service: &str, datacenter: &str) -> String {
    format!("spiffe://{TRUST_DOMAIN}/ns/default/dc/{datacenter}/svc/{service}")
}

/// A CA's SPIFFE ID is the trust domain alone.
fn authority(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = params(name, &format!("spiffe://{TRUST_DOMAIN}"))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    Ok(params)
}

/// A leaf, and its certificate and key in PEM.
fn leaf(
    service: &str,
    datacenter: &str,
    issuer: &Issuer<'_, impl SigningKey>,
) -> Result<(Leaf, String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = params(service, &spiffe_id(service, datacenter))?;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, issuer)?;
    let leaf = Leaf {
        chain: vec![certificate.der().clone()],
        key: key.serialize_der(),
    };
    Ok((leaf, certificate.pem(), key.serialize_pem()))
}

fn params(name: &str, uri: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now + LIFETIME;
    Ok(params)
}

/// New, and readable for its owner alone: one of the files is a key.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}

/// As Consul does, for clocks that are a little behind.
const BACKDATED: Duration = Duration::from_secs(60);

/// Consul's default for leaves.
const LIFETIME: Duration = Duration::from_secs(72 * 3600);

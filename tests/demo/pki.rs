//! A throw-away CA, shaped as Consul's own: a root in the primary datacenter dc1, an intermediate
//! in dc2, and leaves on P-256 whose only name is a SPIFFE ID.
//!
//! <https://developer.hashicorp.com/consul/docs/connect/ca>

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SigningKey,
};

use crate::TRUST_DOMAIN;
use crate::failure::{Failure, while_doing};

/// The demo's directory, where the identities lie in `certs/` as the files of the demo name them.
pub(crate) struct Pki {
    pub(crate) directory: PathBuf,
}

impl Pki {
    /// Makes new keys and certificates.
    pub(crate) fn mint() -> Result<Self, Failure> {
        let directory = std::env::temp_dir().join(format!("lictor-demo-{}", std::process::id()));
        let certs = directory.join("certs");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&certs)
            .map_err(while_doing(format!("making {}", certs.display())))?;
        let pki = Self { directory };
        fill(&certs).map_err(while_doing("making certificates"))?;
        Ok(pki)
    }
}

impl Drop for Pki {
    fn drop(&mut self) {
        // What cannot be removed stays behind in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn fill(certs: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let root = CertifiedIssuer::self_signed(authority("Consul CA dc1")?, KeyPair::generate()?)?;
    let dc2 = CertifiedIssuer::signed_by(authority("Consul CA dc2")?, KeyPair::generate()?, &root)?;
    let other = CertifiedIssuer::self_signed(authority("Other CA")?, KeyPair::generate()?)?;
    write(&certs.join("ca.pem"), &root.pem())?;
    leaf(certs, "web", ("web", "dc1"), &root, "")?;
    leaf(certs, "cron", ("cron", "dc1"), &root, "")?;
    // The intermediate comes behind the leaf, since callers in dc1 have the root alone.
    leaf(certs, "api", ("api", "dc2"), &dc2, &dc2.pem())?;
    leaf(certs, "impostor", ("web", "dc1"), &other, "")?;
    Ok(())
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

/// Writes the leaf of a service in a datacenter and its key, as `<stem>.pem` and `<stem>-key.pem`.
fn leaf(
    certs: &Path,
    stem: &str,
    (service, datacenter): (&str, &str),
    issuer: &Issuer<'_, impl SigningKey>,
    behind: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let key = KeyPair::generate()?;
    let id = format!("spiffe://{TRUST_DOMAIN}/ns/default/dc/{datacenter}/svc/{service}");
    let mut params = params(service, &id)?;
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
    let chain = format!("{}{behind}", certificate.pem());
    write(&certs.join(format!("{stem}.pem")), &chain)?;
    write(&certs.join(format!("{stem}-key.pem")), &key.serialize_pem())?;
    Ok(())
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

/// New, and readable for its owner alone: some of the files are keys.
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

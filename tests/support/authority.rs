//! Certificate authorities that follow one another, sign each other across, and have others below
//! them, as Consul's built-in one does when its root is rotated or a datacenter is a secondary one.
//!
//! See <https://developer.hashicorp.com/consul/docs/connect/ca>: a new root is also signed by the old
//! one, leaves of the new root carry that certificate along, and the old root stays trusted for twice
//! the lifetime of a leaf.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

/// An authority: a name and a key, and the certificate that goes with them.
#[derive(Debug)]
pub struct Authority {
    trust_domain: String,
    params: CertificateParams,
    key: KeyPair,
    /// Its certificate, PEM: self-signed for a root, else by the authority above.
    pub certificate: String,
}

/// A leaf and its key, PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate alone.
    pub certificate: String,
    /// The key, PKCS#8.
    pub key: String,
}

impl Authority {
    /// A root. Consul gives each its own name.
    pub fn root(trust_domain: &str, name: &str) -> Self {
        let params = params(trust_domain, name);
        let key = new_key();
        let certificate = params
            .self_signed(&key)
            .expect("a certificate can be made")
            .pem();
        Self {
            trust_domain: trust_domain.to_owned(),
            params,
            key,
            certificate,
        }
    }

    /// An intermediate authority below this one, such as that of a secondary datacenter.
    pub fn intermediate(&self, name: &str) -> Self {
        let mut below = Self::root(&self.trust_domain, name);
        below.certificate = below.signed_by(self);
        below
    }

    /// This authority's name and key in a certificate that another one signed.
    pub fn signed_by(&self, other: &Self) -> String {
        let made = self.params.signed_by(&self.key, &other.issuer());
        made.expect("a certificate can be made").pem()
    }

    /// Its key, PKCS#8, PEM.
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// A leaf for a service in a datacenter.
    pub fn leaf(&self, service: &str, datacenter: &str) -> Issued {
        let key = new_key();
        let mut params = CertificateParams::default();
        let name = format!("{service}.svc.default.consul");
        params.distinguished_name.push(DnType::CommonName, name);
        let id = format!(
            "spiffe://{}/ns/default/dc/{datacenter}/svc/{service}",
            self.trust_domain
        );
        params.subject_alt_names = vec![uri(&id)];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2099, 1, 1);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let made = params.signed_by(&key, &self.issuer());
        Issued {
            certificate: made.expect("a certificate can be made").pem(),
            key: key.serialize_pem(),
        }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

fn params(trust_domain: &str, name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = vec![uri(&format!("spiffe://{trust_domain}"))];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("a URI is ASCII"))
}

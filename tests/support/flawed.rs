//! Leaves that a mesh must refuse, each with one flaw and otherwise as good as any.
//!
//! Made with rcgen, which signs anything, from the root that [`Mesh`] keeps as files. The rules that
//! they break: <https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md>, and RFC 5280
//! section 6 on chains.

use std::fs;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::pki::{Leaf, Mesh};

/// What is wrong with a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// Another authority, of the same name, issued it.
    OtherAuthority,
    /// It is for another trust domain, though the right authority issued it.
    OtherTrustDomain,
    /// It has no URI.
    NoUri,
    /// It has a DNS name with the text of the URI, and no URI.
    OnlyDnsName,
    /// It has a second URI.
    TwoUris,
    /// Its URI names no service.
    NoService,
    /// It is an authority's.
    Authority,
    /// Its key may sign certificates.
    SignsCertificates,
    /// Its key may not sign a handshake.
    DoesNotSign,
    /// Its extended key usage is for code.
    WrongPurpose,
    /// It issued itself.
    SelfSigned,
    /// The intermediate authority that issued it is not sent along.
    MissingIntermediate,
}

impl Mesh {
    /// Makes a leaf for a service with this flaw.
    pub fn flawed(&self, service: &str, datacenter: &str, flaw: Flaw) -> Leaf {
        let key = KeyPair::generate().expect("a key can be made");
        let mut leaf = self.params(service, datacenter);
        let mut issuer = self.issuer();
        match flaw {
            Flaw::Expired => leaf.not_after = date_time_ymd(2020, 1, 2),
            Flaw::NotYetValid => leaf.not_before = date_time_ymd(2090, 1, 1),
            Flaw::OtherAuthority => issuer = (issuer.0, KeyPair::generate().expect("a key")),
            Flaw::OtherTrustDomain => {
                let id = format!("spiffe://{OTHER}/ns/default/dc/{datacenter}/svc/{service}");
                leaf.subject_alt_names = vec![uri(&id)];
            }
            Flaw::NoUri => leaf.subject_alt_names.clear(),
            Flaw::OnlyDnsName => {
                let name = format!("{service}.default.{datacenter}.internal.test");
                leaf.subject_alt_names = vec![SanType::DnsName(name.try_into().expect("a name"))];
            }
            Flaw::TwoUris => leaf
                .subject_alt_names
                .push(uri(&self.spiffe_id("api", datacenter))),
            Flaw::NoService => {
                let id = format!("spiffe://{}/somebody", self.trust_domain());
                leaf.subject_alt_names = vec![uri(&id)];
            }
            Flaw::Authority => leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Flaw::SignsCertificates => leaf.key_usages.push(KeyUsagePurpose::KeyCertSign),
            Flaw::DoesNotSign => leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement],
            Flaw::WrongPurpose => {
                leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
            }
            Flaw::SelfSigned => {
                let made = leaf.self_signed(&key).expect("a certificate can be made");
                return self.keep(&format!("{flaw:?}"), service, &made.pem(), &key);
            }
            Flaw::MissingIntermediate => {
                let mut middle = CertificateParams::default();
                let name = "an intermediate authority";
                middle.distinguished_name.push(DnType::CommonName, name);
                middle.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                issuer = (middle, KeyPair::generate().expect("a key can be made"));
            }
        }
        let (params, signs) = &issuer;
        let made = leaf.signed_by(&key, &Issuer::from_params(params, signs));
        let made = made.expect("a certificate can be made");
        self.keep(&format!("{flaw:?}"), service, &made.pem(), &key)
    }

    /// Makes a leaf without a flaw that was issued at this time, in seconds since 1970, for three days.
    pub fn leaf_of(&self, issued: u64, service: &str, datacenter: &str) -> Leaf {
        let key = KeyPair::generate().expect("a key can be made");
        let mut leaf = self.params(service, datacenter);
        leaf.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(issued);
        leaf.not_after = leaf.not_before + Duration::from_secs(3 * 24 * 3600);
        let (params, signs) = &self.issuer();
        let made = leaf.signed_by(&key, &Issuer::from_params(params, signs));
        let made = made.expect("a certificate can be made");
        self.keep(&format!("{service}-{issued}"), service, &made.pem(), &key)
    }

    fn params(&self, service: &str, datacenter: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, self.common_name(service));
        params.subject_alt_names = vec![uri(&self.spiffe_id(service, datacenter))];
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
        params
    }

    /// The root, as far as what it issues tells of it.
    fn issuer(&self) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::default();
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, self.root_name());
        let key = fs::read_to_string(self.root_key()).expect("the root has a key");
        (params, KeyPair::from_pem(&key).expect("a key in PKCS#8"))
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("a URI is ASCII"))
}

/// A trust domain that no mesh of a test has.
const OTHER: &str = "99999999-8888-7777-6666-555555555555.consul";

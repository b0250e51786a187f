//! A mesh's certificates, made to order, and two sessions wired together in memory.

use std::{process::Command, sync::Arc, time::Duration};

use plan::spiffe::SpiffeId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SignatureAlgorithm, date_time_ymd,
};
use tls::{
    AesSupport, ClientContext, Clock, Error, Identity, Options, Outgoing, Roots, ServerContext,
    Session, Step, TrustBundle, Versions,
};

pub(crate) const TD: &str = "11111111-2222-3333-4444-555555555555.consul";
pub(crate) const PEER_TD: &str = "1c053652-8512-4373-90cf-5a7f6263a994.consul";

/// 2026-06-01; the certificates are good from 2020 to 2040.
pub(crate) const NOW: u64 = 1_780_272_000;

pub(crate) fn uri(trust_domain: &str, service: &str) -> String {
    format!("spiffe://{trust_domain}/ns/default/dc/dc1/svc/{service}")
}

pub(crate) fn id(trust_domain: &str, service: &str) -> SpiffeId {
    SpiffeId::parse(&uri(trust_domain, service)).unwrap()
}

/// A certificate authority.
pub(crate) struct Authority {
    pub(crate) pem: String,
    params: CertificateParams,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn root(name: &str) -> Self {
        let (params, key) = (authority(name), key(&PKCS_ECDSA_P256_SHA256));
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params.clone(), key);
        Self {
            pem,
            params,
            issuer,
        }
    }

    /// An authority below this one.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        self.intermediate_with(name, |_| {})
    }

    pub(crate) fn intermediate_with(
        &self,
        name: &str,
        change: impl Fn(&mut CertificateParams),
    ) -> Self {
        let (mut params, key) = (authority(name), key(&PKCS_ECDSA_P256_SHA256));
        change(&mut params);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let issuer = Issuer::new(params.clone(), key);
        Self {
            pem,
            params,
            issuer,
        }
    }

    /// A certificate for the other authority's name and key, by this one: a cross-signature.
    pub(crate) fn cross_sign(&self, other: &Self) -> String {
        let certificate = other.params.signed_by(other.issuer.key(), &self.issuer);
        certificate.unwrap().pem()
    }

    /// A good leaf for a service.
    pub(crate) fn leaf(&self, trust_domain: &str, service: &str) -> Leaf {
        self.leaf_with(&uri(trust_domain, service), |_| {})
    }

    pub(crate) fn leaf_with(&self, uri: &str, change: impl Fn(&mut CertificateParams)) -> Leaf {
        self.leaf_of(key(&PKCS_ECDSA_P256_SHA256), uri, change)
    }

    pub(crate) fn leaf_of(
        &self,
        key: KeyPair,
        uri: &str,
        change: impl Fn(&mut CertificateParams),
    ) -> Leaf {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2040, 1, 1);
        params.is_ca = IsCa::ExplicitNoCa;
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyAgreement,
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        params.distinguished_name = Default::default();
        change(&mut params);
        Leaf {
            chain: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::from_pem(self.pem.as_bytes()).unwrap()
    }

    pub(crate) fn trust(&self) -> TrustBundle {
        TrustBundle::new(TD, self.roots())
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = Default::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub(crate) fn key(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).unwrap()
}

/// RSA keys are made by OpenSSL: ring makes none.
pub(crate) fn rsa_key() -> KeyPair {
    let pem = openssl(
        &[
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ],
        b"",
    );
    KeyPair::from_pem(&pem).unwrap()
}

/// In the form that OpenSSL 3.0 reads: rcgen's has the public key in it (RFC 5958), which that does not know.
pub(crate) fn ed25519_key() -> KeyPair {
    KeyPair::from_pem(&openssl(&["genpkey", "-algorithm", "ED25519"], b"")).unwrap()
}

/// Runs `openssl` on this input.
pub(crate) fn openssl(arguments: &[&str], input: &[u8]) -> String {
    use std::{io::Write, process::Stdio};
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .expect("no `openssl` on this machine: `./tests/run tools` installs it");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A leaf, what is sent with it, and its key.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Leaf {
    pub(crate) fn identity(&self) -> Identity {
        self.try_identity().unwrap()
    }

    pub(crate) fn try_identity(&self) -> Result<Identity, Error> {
        Identity::from_pem(self.chain.as_bytes(), self.key.as_bytes())
    }

    /// The same, with these certificates behind the leaf.
    pub(crate) fn with(mut self, more: &[&str]) -> Self {
        self.chain.extend(more.iter().copied());
        self
    }
}

pub(crate) fn options() -> Options {
    Options {
        clock: clock_at(NOW),
        aes: AesSupport::Hardware,
        ..Options::default()
    }
}

/// These, with one version of TLS.
pub(crate) fn only(version: &str) -> Options {
    Options {
        versions: Versions::from_names(version, version).unwrap(),
        ..options()
    }
}

pub(crate) fn clock_at(seconds: u64) -> Clock {
    Clock::new(move || Duration::from_secs(seconds))
}

pub(crate) fn server(authority: &Authority, options: &Options) -> ServerContext {
    let identity = authority.leaf(TD, "db").identity();
    ServerContext::new(&identity, authority.trust(), options).unwrap()
}

pub(crate) fn client(authority: &Authority, leaf: &Leaf, options: &Options) -> ClientContext {
    let accepted = vec![id(TD, "db")];
    let sni = "db.default.dc1.internal.11111111-2222-3333-4444-555555555555.consul";
    ClientContext::new(
        &leaf.identity(),
        authority.roots(),
        accepted,
        Some(sni),
        options,
    )
    .unwrap()
}

/// A session and what it has produced.
pub(crate) struct End {
    pub(crate) session: Session,
    pub(crate) wire: Outgoing,
    pub(crate) plain: Vec<u8>,
    pub(crate) result: Result<Step, Error>,
}

impl End {
    pub(crate) fn new(session: Session) -> Self {
        Self {
            session,
            wire: Outgoing::new(),
            plain: Vec::new(),
            result: Ok(Step::Handshaking),
        }
    }

    /// Gives bytes to the session, unless it has failed.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        if self.result.is_ok() {
            let mut bytes = bytes.to_vec();
            let (wire, plain) = (&mut self.wire, &mut self.plain);
            let mut take = |part: &[u8]| plain.extend_from_slice(part);
            self.result = self.session.receive(&mut bytes, wire, &mut take);
        }
    }

    pub(crate) fn take_wire(&mut self) -> Vec<u8> {
        let bytes = self.wire.bytes().to_vec();
        self.wire.clear();
        bytes
    }

    pub(crate) fn encrypt(&mut self, plaintext: &[u8]) {
        self.session.encrypt(plaintext, &mut self.wire).unwrap();
    }

    pub(crate) fn peer(&self) -> Option<Arc<SpiffeId>> {
        self.session.peer().cloned()
    }

    pub(crate) fn error(&self) -> String {
        self.result.as_ref().unwrap_err().to_string()
    }
}

/// Two ends, and a wire between them.
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
}

impl Pair {
    pub(crate) fn new(client: &ClientContext, server: &ServerContext) -> Self {
        let mut pair = Self {
            client: End::new(client.connect().unwrap()),
            server: End::new(server.accept().unwrap()),
        };
        pair.client.receive(&[]);
        pair
    }

    /// Carries bytes across until neither end has any more.
    pub(crate) fn settle(&mut self) {
        self.settle_in(&mut |_| usize::MAX);
    }

    /// The same in pieces, of which `size` gives the next one's for what is left.
    pub(crate) fn settle_in(&mut self, size: &mut dyn FnMut(usize) -> usize) {
        loop {
            let (up, down) = (self.client.take_wire(), self.server.take_wire());
            if up.is_empty() && down.is_empty() {
                return;
            }
            for (bytes, to) in [(up, &mut self.server), (down, &mut self.client)] {
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let (piece, behind) = rest.split_at(size(rest.len()).clamp(1, rest.len()));
                    to.receive(piece);
                    rest = behind;
                }
                // What came with the end of the handshake.
                to.receive(&[]);
            }
        }
    }

    pub(crate) fn shake(client: &ClientContext, server: &ServerContext) -> Self {
        let mut pair = Self::new(client, server);
        pair.settle();
        pair
    }

    pub(crate) fn assert_talks(&mut self) {
        assert_eq!(self.client.result, Ok(Step::Established));
        assert_eq!(self.server.result, Ok(Step::Established));
        self.client.encrypt(b"ping");
        self.settle();
        assert_eq!(self.server.plain, b"ping");
        self.server.encrypt(b"pong");
        self.settle();
        assert_eq!(self.client.plain, b"pong");
        self.server.plain.clear();
        self.client.plain.clear();
    }
}

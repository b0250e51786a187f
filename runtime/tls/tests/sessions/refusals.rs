//! Handshakes that must fail: each with the right alert, and with a text that says why.

use crate::mesh::{
    Authority, Leaf, PEER_TD, Pair, TD, client, id, key, only, options, server, uri,
};
use crate::stranger::{StrangeClient, StrangeServer};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use tls::{ClientContext, Error, Identity, Outgoing, Roots, ServerContext, Side, TrustBundle};

const VERSIONS: [&str; 2] = ["TLSv1_2", "TLSv1_3"];

type Change = fn(&mut CertificateParams);

/// What is wrong with a leaf, which alert follows, and what the operator reads.
const WRONG: &[(&str, Change, &str, &str)] = &[
    (
        "expired",
        |params| params.not_after = date_time_ymd(2026, 5, 31),
        "CertificateExpired",
        "expired 86400 s ago",
    ),
    (
        "not yet valid",
        |params| params.not_before = date_time_ymd(2026, 6, 2),
        "CertificateExpired",
        "not valid yet: it will be in 86400 s",
    ),
    (
        "no URI",
        |params| params.subject_alt_names = vec![SanType::DnsName("db.test".try_into().unwrap())],
        "BadCertificate",
        "has no URI SAN",
    ),
    (
        "two URIs",
        |params| {
            let second = SanType::URI(uri(TD, "api").as_str().try_into().unwrap());
            params.subject_alt_names.push(second);
        },
        "BadCertificate",
        "has 2 URI SANs",
    ),
    (
        "another scheme",
        |params| {
            params.subject_alt_names = vec![SanType::URI("https://db.test/".try_into().unwrap())];
        },
        "BadCertificate",
        "scheme is not spiffe",
    ),
    (
        "an authority",
        |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        "BadCertificate",
        "CA:TRUE",
    ),
    (
        "a signer of certificates",
        |params| params.key_usages.push(KeyUsagePurpose::KeyCertSign),
        "BadCertificate",
        "keyCertSign",
    ),
    (
        "no digitalSignature",
        |params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement],
        "BadCertificate",
        "lacks the key usage digitalSignature",
    ),
    (
        "no key usage",
        |params| params.key_usages = Vec::new(),
        "BadCertificate",
        "lacks the key usage digitalSignature",
    ),
    (
        "for e-mail",
        |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection],
        "UnsupportedCertificate",
        "extended key usage",
    ),
];

#[test]
fn wrong_client_certificates_are_refused() {
    let root = Authority::root("root");
    for version in VERSIONS {
        let server = server(&root, &only(version));
        for (name, change, alert, text) in WRONG {
            let leaf = root.leaf_with(&uri(TD, "web"), change);
            let (error, seen) = StrangeClient::new(version, Some(&leaf)).meets(&server);
            assert!(
                error.contains("the client's certificate"),
                "{name}: {error}"
            );
            assert!(error.contains(text), "{version}, {name}: {error}");
            assert_eq!(&seen, alert, "{version}, {name}");
        }
        let only_server = root.leaf_with(&uri(TD, "web"), |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        let (error, seen) = StrangeClient::new(version, Some(&only_server)).meets(&server);
        assert!(error.contains("extended key usage"), "{error}");
        assert_eq!(seen, "UnsupportedCertificate");
    }
}

#[test]
fn wrong_server_certificates_are_refused() {
    let root = Authority::root("root");
    for version in VERSIONS {
        let client = client(&root, &root.leaf(TD, "web"), &only(version));
        for (name, change, alert, text) in WRONG {
            let leaf = root.leaf_with(&uri(TD, "db"), change);
            let (error, seen) = StrangeServer::new(version, &leaf).meets(&client);
            assert!(
                error.contains("the server's certificate"),
                "{name}: {error}"
            );
            assert!(error.contains(text), "{version}, {name}: {error}");
            assert_eq!(&seen, alert, "{version}, {name}");
        }
    }
}

#[test]
fn untrusted_chains_are_refused() {
    let (root, other) = (Authority::root("root"), Authority::root("root"));
    let old = root.intermediate_with("old", |params| params.not_after = date_time_ymd(2026, 1, 1));
    let below = root.intermediate("below");
    let own_roof = Authority::root("self");
    for version in VERSIONS {
        let server = server(&root, &only(version));
        for (leaf, alert, text) in [
            (other.leaf(TD, "web"), "UnknownCA", "not issued by a root"),
            (
                other.leaf(PEER_TD, "web"),
                "UnknownCA",
                "is for trust domain 1c053652-8512-4373-90cf-5a7f6263a994.consul, known: 11111111-",
            ),
            (
                root.leaf(PEER_TD, "web"),
                "UnknownCA",
                "is for trust domain 1c05",
            ),
            // A link is missing.
            (below.leaf(TD, "web"), "UnknownCA", "not issued by a root"),
            (
                own_roof.leaf(TD, "web").with(&[&own_roof.pem]),
                "UnknownCA",
                "not issued by a root",
            ),
            (
                old.leaf(TD, "web").with(&[&old.pem]),
                "CertificateExpired",
                "an intermediate certificate that has expired",
            ),
        ] {
            let (error, seen) = StrangeClient::new(version, Some(&leaf)).meets(&server);
            assert!(error.contains(text), "{version}: {error}");
            assert_eq!(seen, alert, "{version}: {error}");
        }
    }
}

#[test]
fn a_certificate_signed_by_itself_is_refused() {
    let root = Authority::root("root");
    let key = key(&rcgen::PKCS_ECDSA_P256_SHA256);
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri(TD, "web").as_str().try_into().unwrap())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let leaf = Leaf {
        chain: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    };
    for version in VERSIONS {
        let (error, seen) =
            StrangeClient::new(version, Some(&leaf)).meets(&server(&root, &only(version)));
        assert!(error.contains("not issued by a root"), "{error}");
        assert_eq!(seen, "UnknownCA");
    }
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let root = Authority::root("root");
    for version in VERSIONS {
        let (error, seen) = StrangeClient::new(version, None).meets(&server(&root, &only(version)));
        assert_eq!(error, "the client's certificate is missing: it sent none");
        assert_eq!(seen, "CertificateRequired", "{version}");
    }
}

#[test]
fn a_genuine_server_that_is_someone_else_is_refused() {
    let root = Authority::root("root");
    let api = root.leaf(TD, "api").identity();
    for version in VERSIONS {
        let server = ServerContext::new(&api, root.trust(), &only(version)).unwrap();
        let pair = Pair::shake(
            &client(&root, &root.leaf(TD, "web"), &only(version)),
            &server,
        );
        assert_eq!(
            pair.client.error(),
            format!(
                "the server's certificate is that of {}, expected: {}",
                uri(TD, "api"),
                uri(TD, "db")
            )
        );
        assert!(
            pair.server.error().contains("AccessDenied"),
            "{}",
            pair.server.error()
        );
    }
}

#[test]
fn a_refusal_is_not_mistaken_for_the_next_peers() {
    let root = Authority::root("root");
    let other = Authority::root("other");
    let server = server(&root, &options());
    StrangeClient::new("TLSv1_3", Some(&other.leaf(TD, "web"))).meets(&server);
    let mut session = server.accept().unwrap();
    let mut garbage = *b"GET / HTTP/1.1\r\n\r\n";
    let error = session
        .receive(&mut garbage, &mut Outgoing::new(), &mut |_| {})
        .unwrap_err();
    assert!(matches!(error, Error::PeerProtocol(_)), "{error}");
}

#[test]
fn what_a_configuration_lacks_is_said() {
    let root = Authority::root("root");
    let (web, api) = (root.leaf(TD, "web"), root.leaf(TD, "api"));
    let made = |chain: &str, key: &str| {
        Identity::from_pem(chain.as_bytes(), key.as_bytes())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        made(&web.chain, &api.key),
        "the private key does not belong to the certificate"
    );
    assert!(made("", &api.key).contains("no CERTIFICATE block"));
    assert!(made(&web.chain, &web.chain).contains("no PRIVATE KEY"));
    assert!(made(&root.pem, &web.key).contains("no URI SAN"));
    let signing = root.leaf_with("spiffe://td.consul", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    assert!(
        signing
            .try_identity()
            .unwrap_err()
            .to_string()
            .contains("CA:TRUE")
    );

    assert!(Roots::from_pem(web.key.as_bytes()).is_err());
    let trust = ServerContext::new(&web.identity(), TrustBundle::default(), &options());
    assert!(matches!(trust, Err(Error::ConfigRoots(_))));
    let connect = |accepted, sni| {
        ClientContext::new(&web.identity(), root.roots(), accepted, sni, &options()).unwrap_err()
    };
    assert_eq!(connect(vec![], None), Error::ConfigNoAcceptedIds);
    let label = "x".repeat(64);
    for name in ["", "a b", label.as_str()] {
        let error = connect(vec![id(TD, "db")], Some(name));
        assert!(matches!(error, Error::ConfigServerName(_)), "{error}");
    }
    assert_eq!(Side::Client.to_string(), "client");
}

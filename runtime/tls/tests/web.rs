//! A server of the web, as Consul's HTTPS API is one: who is believed, by which name, and what it is told of us.

#![allow(clippy::unwrap_used, reason = "a test that is wrong fails")]

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use smol::{Async, io::AsyncReadExt as _, io::AsyncWriteExt as _};
use tls::{Clock, Options, WebClient, WebName};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate for these names, and its key.
    fn certificate(&self, names: Vec<SanType>) -> (String, String) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        self.sign(params)
    }

    /// A certificate that is good from one of January's days to another.
    fn dated(&self, year: i32) -> (String, String) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names("server.dc1.consul");
        params.not_before = date_time_ymd(year, 1, 10);
        params.not_after = date_time_ymd(year, 1, 20);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        (pem, key.serialize_pem())
    }
}

/// Answers one connection: a line is sent back. With an authority, only to its clients.
fn serve(own: (String, String), clients: Option<&Authority>) -> (SocketAddr, JoinHandle<bool>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
            roots.add(root).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(own.0.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(own.1.as_bytes()).unwrap();
    let config = Arc::new(config.with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        let mut line = [0; 5];
        stream.read_exact(&mut line).is_ok() && stream.write_all(&line).is_ok()
    });
    (address, thread)
}

/// Says hello by TLS and reads it back.
fn hello(client: &WebClient, name: &str, address: SocketAddr) -> std::io::Result<()> {
    smol::block_on(async {
        let stream = Async::<TcpStream>::connect(address).await?;
        let mut stream = client.connect(&WebName::new(name).unwrap(), stream).await?;
        stream.write_all(b"hello").await?;
        stream.flush().await?;
        let mut line = [0; 5];
        stream.read_exact(&mut line).await?;
        assert_eq!(&line, b"hello");
        Ok(())
    })
}

fn names(dns: &str) -> Vec<SanType> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    vec![
        SanType::DnsName(dns.try_into().unwrap()),
        SanType::IpAddress(loopback),
    ]
}

#[test]
fn a_server_is_known_by_the_name_that_was_asked_for() {
    let authority = Authority::new();
    let own = authority.certificate(names("server.dc1.consul"));
    let client = WebClient::new(authority.pem.as_bytes(), None, &Options::default()).unwrap();
    for (name, good) in [
        ("server.dc1.consul", true),
        ("SERVER.dc1.consul", true),
        ("127.0.0.1", true),
        ("server.dc2.consul", false),
        ("client.dc1.consul", false),
        ("127.0.0.2", false),
    ] {
        let (address, server) = serve(own.clone(), None);
        let said = hello(&client, name, address);
        assert_eq!(said.is_ok(), good, "{name}: {said:?}");
        assert_eq!(server.join().unwrap(), good, "{name}");
        if let Err(error) = said {
            assert!(error.to_string().contains("not valid for name"), "{error}");
        }
    }
}

#[test]
fn roots_are_those_that_were_given() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (address, server) = serve(authority.certificate(names("server.dc1.consul")), None);
    let client = WebClient::new(other.pem.as_bytes(), None, &Options::default()).unwrap();
    assert!(hello(&client, "server.dc1.consul", address).is_err());
    assert!(!server.join().unwrap());
    // Both at once, as during a change of the authority.
    let both = format!("{}{}", other.pem, authority.pem);
    let (address, server) = serve(authority.certificate(names("server.dc1.consul")), None);
    let client = WebClient::new(both.as_bytes(), None, &Options::default()).unwrap();
    hello(&client, "server.dc1.consul", address).unwrap();
    assert!(server.join().unwrap());
}

#[test]
fn a_server_that_asks_is_shown_our_certificate() {
    let authority = Authority::new();
    let server = authority.certificate(names("server.dc1.consul"));
    let (chain, key) = authority.certificate(names("client.dc1.consul"));
    let own = Some((chain.as_bytes(), key.as_bytes()));
    let known = WebClient::new(authority.pem.as_bytes(), own, &Options::default()).unwrap();
    let unknown = WebClient::new(authority.pem.as_bytes(), None, &Options::default()).unwrap();
    for (client, good) in [(known, true), (unknown, false)] {
        let (address, thread) = serve(server.clone(), Some(&authority));
        assert_eq!(hello(&client, "server.dc1.consul", address).is_ok(), good);
        assert_eq!(thread.join().unwrap(), good);
    }
}

#[test]
fn its_dates_are_held_against_our_clock() {
    // 2026-01-01.
    const FLOOR: u64 = 1_767_225_600;
    let authority = Authority::new();
    for (shows, year, good) in [
        // A board that starts in 1970 believes an authority it trusts that it is later, and nothing that is over.
        (5, 2030, true),
        (5, 2026, true),
        (5, 2025, false),
        // A clock that may be right is not moved.
        (FLOOR + 5, 2030, false),
        (FLOOR + 15 * 24 * 3600, 2026, true),
    ] {
        let clock = Clock::new(move || Duration::from_secs(shows)).with_floor(FLOOR);
        let options = Options {
            clock: clock.clone(),
            ..Options::default()
        };
        let client = WebClient::new(authority.pem.as_bytes(), None, &options).unwrap();
        let (address, server) = serve(authority.dated(year), None);
        let said = hello(&client, "server.dc1.consul", address);
        assert_eq!(said.is_ok(), good, "{shows} {year}: {said:?}");
        assert_eq!(server.join().unwrap(), good);
        assert_eq!(clock.floor() > FLOOR, good, "{shows} {year}");
    }
}

#[test]
fn what_cannot_be_used_is_said_at_once() {
    let authority = Authority::new();
    let (chain, _) = authority.certificate(names("a"));
    let (_, key) = authority.certificate(names("a"));
    let refused = |ca: &str, own: Option<(&[u8], &[u8])>| {
        WebClient::new(ca.as_bytes(), own, &Options::default())
            .unwrap_err()
            .to_string()
    };
    assert!(refused("", None).contains("no CERTIFICATE"));
    let mixed = Some((chain.as_bytes(), key.as_bytes()));
    assert!(refused(&authority.pem, mixed).contains("does not belong"));
    assert!(WebName::new("not a name").is_err());
}

//! A chain leads to its root whatever the order of what follows the leaf, however often each is sent,
//! and through a root that another one has signed across: for clients that come in, and for upstreams
//! that are called. A chain that does not lead there is refused.
//!
//! Consul sends an intermediate twice in a secondary datacenter, and the cross-signed certificate
//! between leaf and intermediate after a rotation of the root.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use support::authority::{Authority, Issued};
use support::backend::Backend;
use support::client::{assert_echo, connect, ending};
use support::lab::TRUST_DOMAIN;
use support::openssl::{Server, Serves, client_with};
use support::pki::{Leaf, Mesh};
use support::sidecar::{SidecarFile, replace};
use support::temp::TempDir;

/// Authorities one below the other, a leaf at their end, and an old root that has signed the root.
struct Ladder {
    old: Authority,
    root: Authority,
    cross: String,
    upper: Authority,
    lower: Authority,
    home: TempDir,
}

/// How a chain is sent, and whether it leads to the root and to the old one.
struct Case {
    name: &'static str,
    behind_the_leaf: Vec<String>,
    by_root: bool,
    by_old: bool,
}

impl Ladder {
    fn new() -> Self {
        let old = Authority::root(TRUST_DOMAIN, "pri-old.consul.ca.11111111.consul");
        let root = Authority::root(TRUST_DOMAIN, "pri-new.consul.ca.11111111.consul");
        let upper = root.intermediate("sec-upper.consul.ca.11111111.consul");
        Self {
            cross: root.signed_by(&old),
            lower: upper.intermediate("sec-lower.consul.ca.11111111.consul"),
            home: TempDir::new(),
            old,
            root,
            upper,
        }
    }

    fn cases(&self) -> Vec<Case> {
        let (upper, lower) = (&self.upper.certificate, &self.lower.certificate);
        let (cross, root, old) = (&self.cross, &self.root.certificate, &self.old.certificate);
        let case = |name, chain: &[&String], by_root, by_old| Case {
            name,
            behind_the_leaf: chain.iter().copied().cloned().collect(),
            by_root,
            by_old,
        };
        vec![
            case("in order", &[lower, upper], true, false),
            case("reversed", &[upper, lower], true, false),
            case("twice each", &[lower, lower, upper, upper], true, false),
            case(
                "twice and mixed",
                &[upper, lower, upper, lower],
                true,
                false,
            ),
            case("with the root", &[root, upper, lower], true, false),
            case(
                "across, in front",
                &[cross, lower, upper, lower],
                true,
                true,
            ),
            case(
                "across, behind",
                &[lower, upper, upper, cross, cross],
                true,
                true,
            ),
            case(
                "both ways up",
                &[root, old, cross, upper, lower],
                true,
                true,
            ),
            case("upper missing", &[lower, lower, cross], false, false),
            case("lower missing", &[upper, root], false, false),
            case("nothing", &[], false, false),
        ]
    }

    /// A leaf of the lower authority.
    fn leaf(&self, service: &str) -> Leaf {
        let Issued { certificate, key } = self.lower.leaf(service, "dc1");
        Leaf {
            certificate: self.home.write(&format!("{service}.pem"), certificate),
            key: self.home.write(&format!("{service}.key"), key),
            name: format!("{service}.svc.default.consul"),
        }
    }

    /// A chain in a file, if there is any.
    fn file(&self, chain: &[String]) -> Option<PathBuf> {
        (!chain.is_empty()).then(|| self.home.write("chain.pem", chain.concat()))
    }

    /// The two roots, each with what tells whether it is the old one.
    fn roots(&self) -> [(bool, &str); 2] {
        [
            (false, &self.root.certificate),
            (true, &self.old.certificate),
        ]
    }
}

impl Case {
    fn leads_to(&self, old: bool) -> bool {
        if old { self.by_old } else { self.by_root }
    }
}

/// Gives a sidecar, which is to be started on this file, a leaf with a chain, and one root.
fn equip(file: &SidecarFile, leaf: &Leaf, chain: &[String], root: &str) {
    let pem = fs::read_to_string(&leaf.certificate).unwrap();
    replace(&file.file("leaf.pem"), &[pem, chain.concat()].concat());
    let key = fs::read_to_string(&leaf.key).unwrap();
    replace(&file.file("leaf.key"), &key);
    replace(&file.file("roots.pem"), root);
}

#[test]
fn of_openssl_clients_that_come_in() {
    let (ladder, mesh) = (Ladder::new(), Mesh::new(TRUST_DOMAIN));
    let app = Backend::start(|mut stream: TcpStream| {
        // Whoever comes in is answered, and the end tells the client that this was all.
        let mut got = [0; 3];
        if stream.read_exact(&mut got).is_ok() {
            stream.write_all(&got).unwrap();
        }
    });
    let web = ladder.leaf("web");
    for (old, root) in ladder.roots() {
        let file = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
        replace(&file.file("roots.pem"), root);
        let api = file.start();
        let public = api.listener("public_listener");
        for case in ladder.cases() {
            let chain = ladder.file(&case.behind_the_leaf);
            for version in ["-tls1_2", "-tls1_3"] {
                let options: Vec<&str> = [version].into_iter().chain(sends(&chain)).collect();
                let output = client_with(&options, &mesh, Some(&web), public, "api.test", b"hi\n");
                let came_in = output.stdout == b"hi\n";
                let said = String::from_utf8_lossy(&output.stderr);
                let what = format!("{}, {version}, old root: {old}: {said}", case.name);
                assert_eq!(came_in, case.leads_to(old), "{what}");
            }
        }
    }
}

#[test]
fn of_openssl_servers_that_are_called() {
    let (ladder, mesh) = (Ladder::new(), Mesh::new(TRUST_DOMAIN));
    let leaf = ladder.leaf("api");
    for case in ladder.cases() {
        let chain = ladder.file(&case.behind_the_leaf);
        let server = Server::with(&sends(&chain), &mesh, &leaf, Serves::Reversed);
        let file = SidecarFile::new(&mesh, "web", "dc1", server.address()).upstream("api", None);
        let file = file.instances("api", &[server.address()]);
        for (old, root) in ladder.roots() {
            replace(&file.file("roots.pem"), root);
            let web = file.start();
            let mut stream = connect(web.listener("api"));
            let what = format!("{}, old root: {old}", case.name);
            if case.leads_to(old) {
                stream.write_all(b"olleh\nCLOSE\n").unwrap();
                assert_eq!(ending(&mut stream).1, b"hello\n", "{what}");
            } else {
                assert_eq!(ending(&mut stream).1, b"", "{what}");
                web.wait_for_refused("upstream_tls", 1);
            }
        }
    }
}

#[test]
fn of_sidecars_that_call_each_other() {
    let (ladder, mesh) = (Ladder::new(), Mesh::new(TRUST_DOMAIN));
    let app = Backend::echo();
    let leaves = ["api", "web"].map(|service| ladder.leaf(service));
    for (old, root) in ladder.roots() {
        for case in ladder.cases().iter().filter(|case| case.leads_to(old)) {
            let file = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
            equip(&file, &leaves[0], &case.behind_the_leaf, root);
            let api = file.start();
            let file = SidecarFile::new(&mesh, "web", "dc1", app.address()).upstream("api", None);
            let file = file.instances("api", &[api.listener("public_listener")]);
            equip(&file, &leaves[1], &case.behind_the_leaf, root);
            let web = file.start();
            assert_echo(&mut connect(web.listener("api")), case.name.as_bytes());
            for side in [&api, &web] {
                assert_eq!(side.stats().refused_in_all(), 0.0, "{}", case.name);
            }
        }
    }
}

/// OpenSSL's options to send what is in this file behind its own certificate.
fn sends(chain: &Option<PathBuf>) -> Vec<&str> {
    let path = chain.as_ref().and_then(|path| path.to_str());
    path.map_or(Vec::new(), |path| vec!["-cert_chain", path])
}

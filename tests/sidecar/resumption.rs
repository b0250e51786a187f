//! A session is resumed as long as nothing has changed, and never across a change of roots, leaf or
//! intentions: whoever comes after one is looked at anew, and is shown anew.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use support::backend::Backend;
use support::client::{connect, ending};
use support::lab::{Gateway, TRUST_DOMAIN};
use support::openssl::{Server, Serves};
use support::pki::{Leaf, Mesh};
use support::sidecar::SidecarFile;
use support::temp::TempDir;

/// An app that answers two bytes and closes, so that a client has had its tickets by then.
fn brief() -> Backend {
    Backend::start(|mut stream: TcpStream| {
        let mut got = [0; 2];
        if stream.read_exact(&mut got).is_ok() {
            stream.write_all(&got).unwrap();
        }
    })
}

/// Does a change and waits until a sidecar has taken it over.
fn after(side: &Gateway, change: impl FnOnce()) {
    let mark = side.lictor.log.mark();
    change();
    side.lictor.log.event_after(mark, "reloaded", |_| true);
}

/// An OpenSSL client that keeps its session in a file.
struct Client<'a> {
    version: &'a str,
    leaf: &'a Leaf,
    public: SocketAddr,
    session: &'a Path,
}

impl Client<'_> {
    /// Comes, again if it has been there, and tells whether its session was resumed.
    fn resumes(&self) -> bool {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-ign_eof", self.version, "-connect"]);
        command.arg(self.public.to_string());
        command.arg("-cert").arg(&self.leaf.certificate);
        command.arg("-key").arg(&self.leaf.key);
        command.arg("-sess_out").arg(self.session);
        if self.session.exists() {
            command.arg("-sess_in").arg(self.session);
        }
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pipes.stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"a\n").unwrap();
        let output = child.wait_with_output().unwrap();
        is_reused(&String::from_utf8_lossy(&output.stdout))
    }
}

/// What OpenSSL says of a session.
fn is_reused(said: &str) -> bool {
    let (new, reused) = (said.contains("\nNew, "), said.contains("\nReused, "));
    assert!(new != reused, "{said}");
    reused
}

#[test]
fn of_clients_that_come_in_ends_with_any_change() {
    let (mesh, other) = (Mesh::new(TRUST_DOMAIN), Mesh::new(TRUST_DOMAIN));
    let web = mesh.leaf("web", "dc1");
    let app = brief();
    let deny = "default_intention_policy = \"deny\"";
    let file = SidecarFile::new(&mesh, "api", "dc1", app.address()).stanza(deny);
    let web_may = "{ name = \"web\" action = \"allow\" }";
    let cron_may = "{ name = \"cron\" action = \"allow\" }";
    let api = file.clone().intentions("api", &[web_may]).start();
    let home = TempDir::new();
    for version in ["-tls1_2", "-tls1_3"] {
        let client = Client {
            version,
            leaf: &web,
            public: api.listener("public_listener"),
            session: &home.file(version),
        };
        let renewed = |what: &str| {
            assert!(!client.resumes(), "{version}: resumed over {what}");
            assert!(client.resumes(), "{version}: not resumed");
        };
        renewed("nothing");
        after(&api, || file.identify(&mesh.leaf("api", "dc1")));
        renewed("a new leaf");
        after(&api, || file.trust(&[&mesh, &other]));
        renewed("more roots");
        after(&api, || file.trust(&[&mesh]));
        renewed("fewer roots");
        let both = file.clone().intentions("api", &[web_may, cron_may]);
        after(&api, || api.lictor.rewrite(&both.to_string()));
        renewed("another intention");
        let one = file.clone().intentions("api", &[web_may]);
        after(&api, || api.lictor.rewrite(&one.to_string()));
        renewed("an intention less");
    }
    assert_eq!(api.stats().refused_in_all(), 0.0);
}

#[test]
fn none_is_where_none_is_kept() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let web = mesh.leaf("web", "dc1");
    let app = brief();
    let file = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
    let api = file.stanza("limits { tls_sessions = 0 }").start();
    let home = TempDir::new();
    for version in ["-tls1_2", "-tls1_3"] {
        let client = Client {
            version,
            leaf: &web,
            public: api.listener("public_listener"),
            session: &home.file(version),
        };
        for _ in 0..2 {
            assert!(!client.resumes(), "{version}: resumed");
        }
    }
    assert_eq!(api.stats().refused_in_all(), 0.0);
}

/// Calls an OpenSSL server through a sidecar and tells whether their session was resumed.
fn resumes(web: &Gateway) -> bool {
    let mut stream = connect(web.listener("api"));
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    is_reused(&String::from_utf8_lossy(&ending(&mut stream).1))
}

#[test]
fn of_upstreams_that_are_called_ends_with_any_change() {
    let (mesh, other) = (Mesh::new(TRUST_DOMAIN), Mesh::new(TRUST_DOMAIN));
    for version in ["-tls1_2", "-tls1_3"] {
        let leaf = mesh.leaf("api", "dc1");
        let options = [version, "-context", "test"];
        let server = Server::with(&options, &mesh, &leaf, Serves::Status);
        let file = SidecarFile::new(&mesh, "web", "dc1", server.address()).upstream("api", None);
        let file = file.instances("api", &[server.address()]);
        let web = file.start();
        let renewed = |what: &str| {
            assert!(!resumes(&web), "{version}: resumed over {what}");
            assert!(resumes(&web), "{version}: not resumed");
        };
        renewed("nothing");
        after(&web, || file.identify(&mesh.leaf("web", "dc1")));
        renewed("a new leaf");
        after(&web, || file.trust(&[&mesh, &other]));
        renewed("more roots");
        after(&web, || file.trust(&[&mesh]));
        renewed("fewer roots");
    }
}

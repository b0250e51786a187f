//! OpenSSL's own client and server as the two ends of mutual TLS, for traffic that nobody can call
//! made up: `openssl s_server` and `openssl s_client`, each with a leaf of the mesh, each refusing a
//! peer that the mesh's root does not vouch for.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use crate::log::Log;
use crate::pki::{Leaf, Mesh};
use crate::temp::TempDir;
use crate::wait;

/// What a server does once the handshake is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// Sends back each line reversed, until the client closes.
    Reversed,
    /// Writes what it gets to its standard output, which is the [`Server`]'s `output`.
    Output,
    /// Answers `GET /name` with that file of its home.
    Files,
    /// Answers `GET` with a page on the session: `New, …` or `Reused, …`.
    Status,
}

/// A running `openssl s_server`. It is killed when the value goes.
#[derive(Debug)]
pub struct Server {
    child: Child,
    home: TempDir,
    /// Its standard output, by line.
    pub output: Log,
    /// What it says of the peers' certificates.
    pub errors: Log,
    address: SocketAddr,
}

impl Server {
    /// Starts one and waits until it accepts.
    pub fn start(mesh: &Mesh, leaf: &Leaf, serves: Serves) -> Self {
        Self::with(&[], mesh, leaf, serves)
    }

    /// The same, with more options of `s_server`.
    pub fn with(options: &[&str], mesh: &Mesh, leaf: &Leaf, serves: Serves) -> Self {
        let home = TempDir::new();
        let mut command = Command::new("openssl");
        command.current_dir(home.path());
        command.args(["s_server", "-accept", "127.0.0.1:0", "-Verify", "3"]);
        command.args(options);
        command
            .arg("-verify_return_error")
            .arg("-CAfile")
            .arg(mesh.root());
        command
            .arg("-cert")
            .arg(&leaf.certificate)
            .arg("-key")
            .arg(&leaf.key);
        match serves {
            Serves::Reversed => command.arg("-rev"),
            Serves::Output => command.arg("-no_ign_eof"),
            Serves::Status => command.arg("-www"),
            Serves::Files => command.args(["-WWW", "-http_server_binmode"]),
        };
        // It would end with its standard input, so that stays open as long as the child lives.
        let pipes = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = pipes
            .spawn()
            .expect("no `openssl` on this machine: `./tests/run tools` installs it");
        let output = Log::follow(child.stdout.take().expect("standard output is a pipe"));
        let errors = Log::follow(child.stderr.take().expect("standard error is a pipe"));
        let line = output.wait_for_line("ACCEPT address", |line| line.starts_with("ACCEPT "));
        let address = line
            .trim_start_matches("ACCEPT ")
            .parse()
            .expect("an address");
        Self {
            child,
            home,
            output,
            errors,
            address,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts a file where [`Serves::Files`] finds it.
    pub fn publish(&self, name: &str, content: &[u8]) {
        self.home.write(name, content);
    }

    /// Has it say this to its client, as soon as it has one: what a pipe takes, 64 KiB.
    pub fn say(&mut self, bytes: &[u8]) {
        let stdin = self.child.stdin.as_mut();
        let written = stdin.expect("it stays open").write_all(bytes);
        written.expect("it runs");
    }

    /// Waits until it has verified a client's certificate of this name, up to the root.
    pub fn wait_for_client(&self, leaf: &Leaf) {
        let depth_0 = |line: &str| line.starts_with("depth=0") && line.ends_with(&leaf.name);
        wait::until_true(&format!("{} at the server", leaf.name), || {
            self.errors
                .lines()
                .iter()
                .chain(&self.output.lines())
                .any(|line| depth_0(line))
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `openssl s_client` to a gateway with this server name and a certificate of the mesh, sends
/// `input`, and gives what came back once the connection has ended. With `leaf` none, it shows no
/// certificate.
pub fn client(
    mesh: &Mesh,
    leaf: Option<&Leaf>,
    gateway: SocketAddr,
    server_name: &str,
    input: &[u8],
) -> Output {
    client_with(&[], mesh, leaf, gateway, server_name, input)
}

/// The same, with more options of `s_client`.
pub fn client_with(
    options: &[&str],
    mesh: &Mesh,
    leaf: Option<&Leaf>,
    gateway: SocketAddr,
    server_name: &str,
    input: &[u8],
) -> Output {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify", "3", "-verify_return_error"]);
    command.args(options);
    command
        .arg("-connect")
        .arg(gateway.to_string())
        .args(["-servername", server_name]);
    command.arg("-CAfile").arg(mesh.root());
    if let Some(leaf) = leaf {
        command
            .arg("-cert")
            .arg(&leaf.certificate)
            .arg("-key")
            .arg(&leaf.key);
    }
    let ends = if input.ends_with(ASKS_TO_CLOSE) {
        "-ign_eof"
    } else {
        "-no_ign_eof"
    };
    command
        .arg(ends)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .expect("no `openssl` on this machine: `./tests/run tools` installs it");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    let input = input.to_vec();
    // A server that refuses the client ends it before it has read its input: no error here.
    let writes = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the child is ours");
    writes.join().expect("the writer does not panic");
    output
}

/// The certificate in PEM that a server shows to the bearer of this leaf.
///
/// # Panics
/// When it shows none.
pub fn certificate_shown(leaf: &Leaf, server: SocketAddr) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.to_string()]);
    command.arg("-cert").arg(&leaf.certificate);
    command.arg("-key").arg(&leaf.key);
    let output = command.stdin(Stdio::null()).output();
    let output = output.expect("no `openssl` on this machine: `./tests/run tools` installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    let end = "-----END CERTIFICATE-----";
    let shown = said.split_once("-----BEGIN CERTIFICATE-----");
    let shown = shown.and_then(|(_, rest)| rest.split_once(end));
    shown.expect("a certificate").0.to_owned()
}

/// After this line s_server in its mode `-rev` closes; and every HTTP request ends with one of its
/// kind, after which the server answers and closes. The client then waits for that.
pub const CLOSE: &[u8] = b"CLOSE\n";
const ASKS_TO_CLOSE: &[u8] = b"\n";

#[cfg(test)]
mod tests {
    use super::*;

    const TRUST_DOMAIN: &str = "11111111-2222-3333-4444-555555555555.consul";

    #[test]
    fn mutual_tls_without_a_gateway_works_and_strangers_are_refused() {
        let mesh = Mesh::new(TRUST_DOMAIN);
        let (web, api) = (mesh.leaf("web", "dc1"), mesh.leaf("api", "dc2"));
        let server = Server::start(&mesh, &api, Serves::Reversed);
        let line = [b"olleh\n", CLOSE].concat();
        let output = client(&mesh, Some(&web), server.address(), "a.test", &line);
        assert!(output.stdout.starts_with(b"hello\n"), "{output:?}");
        server.wait_for_client(&web);

        let none = client(&mesh, None, server.address(), "a.test", &line);
        assert!(!none.stdout.starts_with(b"hello"), "{none:?}");
        let other = Mesh::new("99999999-2222-3333-4444-555555555555.consul");
        let stranger = other.leaf("web", "dc1");
        let refused = client(&mesh, Some(&stranger), server.address(), "a.test", &line);
        assert!(!refused.stdout.starts_with(b"hello"), "{refused:?}");
    }

    #[test]
    fn a_file_and_an_upload_arrive_whole() {
        let mesh = Mesh::new(TRUST_DOMAIN);
        let leaf = mesh.leaf("api", "dc2");
        let files = Server::start(&mesh, &leaf, Serves::Files);
        files.publish("blob", &[0xa5; 300_000]);
        let get = b"GET /blob HTTP/1.0\r\n\r\n";
        let output = client(&mesh, Some(&leaf), files.address(), "a.test", get);
        assert!(
            output.stdout.ends_with(&[0xa5; 300_000]),
            "{} bytes",
            output.stdout.len()
        );

        let takes = Server::start(&mesh, &leaf, Serves::Output);
        let upload = [b"one\n".repeat(20_000), b"last".to_vec()].concat();
        client(&mesh, Some(&leaf), takes.address(), "a.test", &upload);
        takes
            .output
            .wait_for_line("the last line", |line| line.starts_with("last"));
        let ones = takes
            .output
            .lines()
            .iter()
            .filter(|line| *line == "one")
            .count();
        assert_eq!(ones, 20_000);
    }
}

//! OpenSSL at the other end, over loopback: a blocking pump, as simple as one can be.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tls::{ClientContext, Error, Identity, Options, Outgoing, ServerContext, Session, Step};

use crate::mesh::{Authority, Leaf, TD, ed25519_key, id, key, only, rsa_key, uri};

const NEEDED: &str = "no `openssl` on this machine: `./tests/run tools` installs it";

/// Nothing on loopback takes this long; a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn s_client_talks_to_our_server() {
    let files = Files::new();
    for version in ["TLSv1_2", "TLSv1_3"] {
        for kind in Kind::ALL {
            let root = Authority::root("root");
            let ours = kind.leaf(&root, "db").identity();
            let server = ServerContext::new(&ours, root.trust(), &only(version)).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let client = files.s_client(&root, Some(&kind.leaf(&root, "web")), &listener, &[]);
            let mut end = Socket::accept(&listener, &server);
            let line = end.read_line().unwrap();
            assert_eq!(line, b"hello\n", "{version} {kind:?}");
            assert_eq!(**end.session.peer().unwrap(), id(TD, "web"));
            assert_eq!(
                format!("{:?}", end.session.negotiated().unwrap().0),
                version
            );
            end.write(b"olleh\n");
            end.close();
            assert_eq!(client.output(), b"olleh\n");
        }
    }
}

#[test]
fn s_client_without_a_certificate_is_told_so() {
    let (files, root) = (Files::new(), Authority::root("root"));
    let ours = root.leaf(TD, "db").identity();
    let server = ServerContext::new(&ours, root.trust(), &only("TLSv1_3")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = files.s_client(&root, None, &listener, &[]);
    let error = Socket::accept(&listener, &server).read_line().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the client's certificate is missing: it sent none"
    );
    let errors = client.errors();
    assert!(errors.contains("alert certificate required"), "{errors}");
}

#[test]
fn alpn_offers_of_s_client_fail_nothing() {
    let (files, root) = (Files::new(), Authority::root("root"));
    let ours = root.leaf(TD, "db").identity();
    let server = ServerContext::new(&ours, root.trust(), &only("TLSv1_3")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let leaf = root.leaf(TD, "web");
    let _client = files.s_client(&root, Some(&leaf), &listener, &["-alpn", "h2,http/1.1"]);
    assert_eq!(
        Socket::accept(&listener, &server).read_line().unwrap(),
        b"hello\n"
    );
}

#[test]
fn our_client_talks_to_s_server_and_resumes() {
    let files = Files::new();
    for version in ["TLSv1_2", "TLSv1_3"] {
        for kind in Kind::ALL {
            let root = Authority::root("root");
            let server = files.s_server(&root, &kind.leaf(&root, "db"));
            let ours = kind.leaf(&root, "web").identity();
            let context = connects(&root, &ours, "db", &only(version));
            for resumed in [false, true] {
                let mut end = Socket::connect(server.address, &context);
                end.write(b"hello\n");
                assert_eq!(end.read_line().unwrap(), b"olleh\n", "{version} {kind:?}");
                assert_eq!(**end.session.peer().unwrap(), id(TD, "db"));
                assert_eq!(end.session.is_resumed(), resumed, "{version} {kind:?}");
                end.close();
            }
        }
    }
}

#[test]
fn an_s_server_that_is_someone_else_is_refused() {
    let (files, root) = (Files::new(), Authority::root("root"));
    let server = files.s_server(&root, &root.leaf(TD, "api"));
    let ours = root.leaf(TD, "web").identity();
    let context = connects(&root, &ours, "db", &only("TLSv1_3"));
    let stream = TcpStream::connect(server.address).unwrap();
    let mut end = Socket::new(stream, context.connect().unwrap());
    end.receive(&mut []).unwrap();
    let error = end.read_line().unwrap_err().to_string();
    assert!(error.contains("/svc/api, expected: "), "{error}");
}

#[test]
fn a_megabyte_and_back() {
    let (files, root) = (Files::new(), Authority::root("root"));
    let ours = root.leaf(TD, "db").identity();
    let server = ServerContext::new(&ours, root.trust(), &only("TLSv1_3")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let leaf = root.leaf(TD, "web");
    let client = files.s_client(&root, Some(&leaf), &listener, &[]);
    let mut end = Socket::accept(&listener, &server);
    end.read_line().unwrap();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    end.write(&sent);
    end.close();
    let got = client.output();
    assert!(got == sent, "{} bytes", got.len());
}

#[test]
fn s_client_changes_its_keys_and_asks_for_ours() {
    let (files, root) = (Files::new(), Authority::root("root"));
    let ours = root.leaf(TD, "db").identity();
    let server = ServerContext::new(&ours, root.trust(), &only("TLSv1_3")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-verify_return_error", "-connect"]);
    command.arg(listener.local_addr().unwrap().to_string());
    let mut client = files.start(command, &root, Some(&root.leaf(TD, "web")));
    client.read_output();
    let mut end = Socket::accept(&listener, &server);
    while end.session.step() == Step::Handshaking {
        assert!(end.read().unwrap());
    }
    let mut answers = String::new();
    for (count, letter) in ["K", "k", "K", "K"].into_iter().enumerate() {
        // A command is a read of its own.
        client.say(&format!("{letter}\n"));
        client.wait_for_errors("KEYUPDATE", count + 1);
        client.say("hello\n");
        assert_eq!(end.read_line().unwrap(), b"hello\n");
        answers += &format!("answer {count}\n");
        end.write(format!("answer {count}\n").as_bytes());
    }
    client.child.stdin = None;
    end.close();
    let output = String::from_utf8(client.output()).unwrap();
    for answer in answers.lines() {
        assert!(output.contains(answer), "{answer}: {output}");
    }
}

#[test]
fn s_server_changes_its_keys_and_asks_for_ours() {
    let (files, root) = (Files::new(), Authority::root("root"));
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", "127.0.0.1:0", "-Verify", "3"]);
    let mut server = files.start(command, &root, Some(&root.leaf(TD, "db")));
    let mut lines = BufReader::new(server.child.stdout.take().unwrap()).lines();
    let mut next = |start: &str| {
        let found = lines.find_map(|line| line.unwrap().strip_prefix(start).map(str::to_owned));
        found.expect("s_server goes on")
    };
    let address = next("ACCEPT ").parse().unwrap();
    let ours = root.leaf(TD, "web").identity();
    let mut end = Socket::connect(address, &connects(&root, &ours, "db", &only("TLSv1_3")));
    for letter in ["K", "k", "K", "K"] {
        server.say(&format!("{letter}\n"));
        // A command is a read of its own, and what comes by the connection is looked at behind it.
        end.write(b"before\n");
        next("before");
        server.say("hello\n");
        assert_eq!(end.read_line().unwrap(), b"hello\n");
        end.write(b"behind\n");
        next("behind");
    }
}

fn connects(root: &Authority, ours: &Identity, service: &str, options: &Options) -> ClientContext {
    let accepted = vec![id(TD, service)];
    ClientContext::new(ours, root.roots(), accepted, Some("db.test"), options).unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

impl Kind {
    const ALL: [Self; 4] = [Self::P256, Self::P384, Self::Ed25519, Self::Rsa];

    fn leaf(self, root: &Authority, service: &str) -> Leaf {
        let key = match self {
            Self::P256 => key(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::P384 => key(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::Ed25519 => ed25519_key(),
            Self::Rsa => rsa_key(),
        };
        root.leaf_of(key, &uri(TD, service), |_| {})
    }
}

/// A session on a blocking socket.
struct Socket {
    stream: TcpStream,
    session: Session,
    plain: Vec<u8>,
}

impl Socket {
    fn accept(listener: &TcpListener, context: &ServerContext) -> Self {
        Self::new(listener.accept().unwrap().0, context.accept().unwrap())
    }

    fn connect(address: SocketAddr, context: &ClientContext) -> Self {
        let mut socket = Self::new(
            TcpStream::connect(address).unwrap(),
            context.connect().unwrap(),
        );
        socket.receive(&mut []).unwrap();
        while socket.session.step() == Step::Handshaking && socket.read().unwrap() {}
        socket
    }

    fn new(stream: TcpStream, session: Session) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            session,
            plain: Vec::new(),
        }
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        let mut wire = Outgoing::new();
        let plain = &mut self.plain;
        let mut take = |part: &[u8]| plain.extend_from_slice(part);
        let before = self.session.step();
        let mut result = self.session.receive(bytes, &mut wire, &mut take);
        if before == Step::Handshaking && result == Ok(Step::Established) {
            result = self.session.receive(&mut [], &mut wire, &mut take);
        }
        self.stream.write_all(wire.bytes()).unwrap();
        result.map(|_| ())
    }

    /// False at the end of the stream.
    fn read(&mut self) -> Result<bool, Error> {
        let mut bytes = vec![0; 64 * 1024];
        let count = self.stream.read(&mut bytes).unwrap();
        self.receive(&mut bytes[..count])?;
        Ok(count > 0)
    }

    fn read_line(&mut self) -> Result<Vec<u8>, Error> {
        while !self.plain.contains(&b'\n') {
            assert!(self.read()?, "ended after {:?}", self.plain);
        }
        Ok(std::mem::take(&mut self.plain))
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut wire = Outgoing::new();
        self.session.encrypt(bytes, &mut wire).unwrap();
        self.stream.write_all(wire.bytes()).unwrap();
    }

    fn close(mut self) {
        let mut wire = Outgoing::new();
        self.session.close(&mut wire).unwrap();
        self.stream.write_all(wire.bytes()).unwrap();
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
        while self.session.step() != Step::PeerClosed && self.read().is_ok_and(|more| more) {}
    }
}

/// A directory of PEM files for OpenSSL. It goes with the value.
struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tls-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn s_client(
        &self,
        root: &Authority,
        leaf: Option<&Leaf>,
        to: &TcpListener,
        more: &[&str],
    ) -> OpenSsl {
        let mut command = Command::new("openssl");
        command.args([
            "s_client",
            "-quiet",
            "-ign_eof",
            "-verify_return_error",
            "-connect",
        ]);
        command.arg(to.local_addr().unwrap().to_string()).args(more);
        let mut client = self.start(command, root, leaf);
        client.say("hello\n");
        client.read_output();
        client
    }

    fn s_server(&self, root: &Authority, leaf: &Leaf) -> Server {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0", "-Verify", "3", "-rev"]);
        command.arg("-verify_return_error");
        let mut server = self.start(command, root, Some(leaf));
        let mut lines = BufReader::new(server.child.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned))
            .expect("s_server says where it listens");
        // It goes on writing; somebody must read.
        std::thread::spawn(move || lines.for_each(drop));
        Server {
            address: address.parse().unwrap(),
            _process: server,
        }
    }

    fn start(&self, mut command: Command, root: &Authority, leaf: Option<&Leaf>) -> OpenSsl {
        command
            .arg("-CAfile")
            .arg(self.write("root.pem", &root.pem));
        if let Some(leaf) = leaf {
            command
                .arg("-cert")
                .arg(self.write("leaf.pem", &leaf.chain));
            command.arg("-key").arg(self.write("leaf.key", &leaf.key));
        }
        let errors = self.0.join("errors");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(std::fs::File::create(&errors).unwrap());
        let child = command.spawn().expect(NEEDED);
        OpenSsl {
            child,
            errors,
            reader: None,
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Server {
    address: SocketAddr,
    _process: OpenSsl,
}

/// A running `openssl`. It is killed when the value goes.
struct OpenSsl {
    child: Child,
    errors: PathBuf,
    reader: Option<JoinHandle<Vec<u8>>>,
}

impl OpenSsl {
    fn say(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
    }

    /// It would wait for a reader before it goes on.
    fn read_output(&mut self) {
        let mut stdout = self.child.stdout.take().unwrap();
        self.reader = Some(std::thread::spawn(move || {
            let mut output = Vec::new();
            stdout.read_to_end(&mut output).unwrap();
            output
        }));
    }

    /// Waits until it has said this so many times.
    fn wait_for_errors(&self, what: &str, times: usize) {
        let begun = Instant::now();
        while std::fs::read_to_string(&self.errors)
            .unwrap()
            .matches(what)
            .count()
            < times
        {
            assert!(begun.elapsed() < PATIENCE, "no {what}");
            std::thread::yield_now();
        }
    }

    /// Waits for its end and gives what it received.
    fn output(mut self) -> Vec<u8> {
        self.reader.take().unwrap().join().unwrap()
    }

    /// Waits for its end and gives what it said.
    fn errors(mut self) -> String {
        self.child.wait().unwrap();
        std::fs::read_to_string(&self.errors).unwrap()
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! What comes along with the end of a handshake, more than is read with it, is passed on: no event tells of it again.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use support::{
    backend::Backend, client::connect, lab::TRUST_DOMAIN, pki::Mesh, sidecar::SidecarFile,
    wait::DEADLINE,
};

/// More than two reads of a handshake.
const SENT: usize = 40_000;

#[test]
fn what_a_client_sends_with_its_finished_reaches_the_app() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::start(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        write!(stream, "{} bytes", all.len()).unwrap();
    });
    let api = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
    let api = api.start();
    let between = Between::start(api.listener("public_listener"), Holds::Client);
    let web = SidecarFile::new(&mesh, "web", "dc1", app.address())
        .upstream("api", None)
        .instances("api", &[between.relay.address()])
        .start();

    let mut client = connect(web.listener("api"));
    client.write_all(&[7; SENT]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    between.wait();
    api.lictor.while_stopped(|| between.go_on());
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, format!("{SENT} bytes"));
}

#[test]
fn what_an_upstream_sends_with_its_finished_reaches_the_client() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::start(|mut stream| stream.write_all(&[7; SENT]).unwrap());
    // Before TLS 1.3 it is the server's Finished that ends a handshake.
    let old = r#"{ kind = "mesh" tls { incoming { tls_min_version = "TLSv1_2" tls_max_version = "TLSv1_2" } } }"#;
    let api = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
    let api = api.entry(old).start();
    let between = Between::start(api.listener("public_listener"), Holds::Server);
    let web = SidecarFile::new(&mesh, "web", "dc1", app.address())
        .upstream("api", None)
        .instances("api", &[between.relay.address()])
        .start();

    let mut client = connect(web.listener("api"));
    between.wait();
    web.lictor.while_stopped(|| between.go_on());
    let mut all = vec![0; SENT];
    client.read_exact(&mut all).unwrap();
    assert!(all.iter().all(|&byte| byte == 7));
}

/// Whose bytes are held, from their second flight on and to their end, to be delivered with one write.
#[derive(Clone, Copy)]
enum Holds {
    Client,
    Server,
}

/// Stands between two sidecars, for one connection.
struct Between {
    relay: Backend,
    held: Receiver<()>,
    go: Sender<()>,
    delivered: Receiver<()>,
}

impl Between {
    fn start(server: SocketAddr, holds: Holds) -> Self {
        let (holding, held) = channel();
        let (go, going) = channel();
        let (deliver, delivered) = channel();
        let told = Mutex::new((holding, going, deliver));
        let relay = Backend::start(move |client| {
            let (mut to, bytes) = match holds {
                Holds::Client => hold_client(client, connect(server)),
                Holds::Server => hold_server(client, connect(server)),
            };
            let told = told.lock().unwrap();
            told.0.send(()).unwrap();
            told.1.recv_timeout(DEADLINE).unwrap();
            to.write_all(&bytes).unwrap();
            told.2.send(()).unwrap();
        });
        Self {
            relay,
            held,
            go,
            delivered,
        }
    }

    /// Waits until it has all that it holds.
    fn wait(&self) {
        self.held.recv_timeout(DEADLINE).unwrap();
    }

    /// Delivers it.
    fn go_on(&self) {
        self.go.send(()).unwrap();
        self.delivered.recv_timeout(DEADLINE).unwrap();
    }
}

/// Passes the client's first flight on and all that the server says; gives the rest of the client's, and whom it is for.
fn hold_client(mut client: TcpStream, mut server: TcpStream) -> (TcpStream, Vec<u8>) {
    let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || copy(from, to));
    let first = flight(&mut client);
    server.write_all(&first).unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    (server, rest)
}

/// Passes on what the server says before the client's second flight, and all that the client says; gives the rest of the
/// server's, and whom it is for.
fn hold_server(mut client: TcpStream, mut server: TcpStream) -> (TcpStream, Vec<u8>) {
    let holds = Arc::new(AtomicBool::new(false));
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let second = Arc::clone(&holds);
    thread::spawn(move || {
        let first = flight(&mut from);
        to.write_all(&first).unwrap();
        let bytes = flight(&mut from);
        second.store(true, Ordering::SeqCst);
        to.write_all(&bytes).unwrap();
        copy(from, to);
    });
    let mut rest = Vec::new();
    loop {
        let bytes = flight(&mut server);
        if bytes.is_empty() {
            return (client, rest);
        }
        if holds.load(Ordering::SeqCst) {
            rest.extend(bytes);
        } else {
            client.write_all(&bytes).unwrap();
        }
    }
}

/// One read.
fn flight(from: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 64 * 1024];
    let count = from.read(&mut bytes).unwrap();
    bytes.truncate(count);
    bytes
}

/// Until either side is gone.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
}

//! A stream that is cut, without a word of TLS's that this is its end, is a break for the other side; also when
//! the cut comes along with all that was said, in one piece with the end of the handshake.
//!
//! A man in the middle holds back what OpenSSL sends from the end of its handshake on, without its last record, and sends it
//! while lictor is stopped: so that lictor finds all of it at once.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use support::backend::{Backend, Refusing};
use support::client::{Ending, connect, ending, patient};
use support::lab::TRUST_DOMAIN;
use support::openssl::{Server, Serves, client_with};
use support::pki::Mesh;
use support::process::Lictor;
use support::sidecar::SidecarFile;
use support::wait::DEADLINE;

/// More than is read at a time of a handshake, and less than a socket takes.
const LENGTH: usize = 40_000;

// RFC 8446 section 5.1.
const CHANGE_CIPHER_SPEC: u8 = 20;

fn record(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut record = vec![0; 5];
    from.read_exact(&mut record).ok()?;
    let length = u16::from_be_bytes([record[3], record[4]]);
    record.resize(5 + usize::from(length), 0);
    from.read_exact(&mut record[5..]).ok()?;
    Some(record)
}

/// Who of the two is cut off.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    Client,
    Server,
}

/// Stands before `server`. Calls `begin` when it holds the first record back. Gives where it stands, and what it holds back of
/// whom it cuts off, with where that is to go.
fn middle(
    server: SocketAddr,
    cut: Cut,
    mut begin: impl FnMut() + Send + 'static,
) -> (SocketAddr, Receiver<(Vec<u8>, TcpStream)>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, hears) = channel();
    thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = connect(server);
        patient(&client);
        let (mut from, mut to) = match cut {
            Cut::Client => (client, server),
            Cut::Server => (server, client),
        };
        let (mut back, mut there) = (to.try_clone().unwrap(), from.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut back, &mut there));
        let mut held = Vec::new();
        while held.iter().map(Vec::len).sum::<usize>() < LENGTH
            && let Some(record) = record(&mut from)
        {
            if held.is_empty() && record[0] != CHANGE_CIPHER_SPEC {
                to.write_all(&record).unwrap();
                continue;
            }
            if held.is_empty() {
                begin();
            }
            held.push(record);
        }
        tell.send((held.concat(), to)).unwrap();
        // Whoever spoke has not been told of the cut.
        let _ = from.read_to_end(&mut Vec::new());
    });
    (address, hears)
}

/// Sends what was held back, and the end behind it, while lictor is stopped.
fn let_go(lictor: &Lictor, held: &Receiver<(Vec<u8>, TcpStream)>) {
    let (bytes, mut to) = held.recv_timeout(DEADLINE).unwrap();
    assert!(bytes.len() >= LENGTH, "{}", bytes.len());
    lictor.while_stopped(|| {
        to.write_all(&bytes).unwrap();
        to.shutdown(Shutdown::Write).unwrap();
    });
}

#[test]
fn a_client_that_is_cut_off_is_a_reset_for_the_app() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let web = mesh.leaf("web", "dc1");
    let (tell, hears) = channel();
    let app = Backend::start(move |mut stream: TcpStream| {
        patient(&stream);
        tell.send(ending(&mut stream).0).unwrap();
    });
    let api = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
    let api = api.start();
    // Before TLS 1.3 a client hears of the end of the handshake before it sends data.
    let (address, held) = middle(api.listener("public_listener"), Cut::Client, || {});
    let said = [b'x'; LENGTH];
    thread::scope(|scope| {
        scope.spawn(|| client_with(&["-tls1_3"], &mesh, Some(&web), address, "a.test", &said));
        let_go(&api.lictor, &held);
        assert_eq!(hears.recv_timeout(DEADLINE).unwrap(), Ending::Reset);
    });
    api.wait_for_active(0);
}

#[test]
fn a_server_that_is_cut_off_is_a_reset_for_the_client() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let api = mesh.leaf("api", "dc1");
    // Before TLS 1.3 a server's data can come with the end of its handshake.
    let mut server = Server::with(&["-tls1_2"], &mesh, &api, Serves::Output);
    let (address, held) = middle(server.address(), Cut::Server, move || {
        server.say(&[b'x'; LENGTH]);
    });
    let nobody = Refusing::new();
    let web = SidecarFile::new(&mesh, "web", "dc1", nobody.address())
        .upstream("api", None)
        .instances("api", &[address])
        .start();
    let mut client = connect(web.listener("api"));
    let_go(&web.lictor, &held);
    assert_eq!(ending(&mut client).0, Ending::Reset);
    web.wait_for_active(0);
}

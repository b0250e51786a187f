//! The app behind a sidecar, and the sidecar's own way out, can be unix sockets: bytes, ends and
//! limits are the same, and the file of a socket is made, replaced and removed as it should be.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::process::Signal;
use support::backend::{Backend, reset};
use support::client::{Ending, connect, ending};
use support::lab::{Gateway, TRUST_DOMAIN};
use support::pattern::Pattern;
use support::pki::Mesh;
use support::sidecar::SidecarFile;
use support::wait::{DEADLINE, until, until_true};

const HOME: ([u8; 4], u16) = ([127, 0, 0, 1], 9);
const LENGTH: usize = 5_000_001;

/// The listener of web's upstream that is no socket.
const TCP: &str = "api:127.0.0.1";

/// An app that gives each of its connections to the test.
fn app(path: &Path) -> Receiver<UnixStream> {
    let listener = UnixListener::bind(path).unwrap();
    let (give, taken) = channel();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            if give.send(patient(stream)).is_err() {
                return;
            }
        }
    });
    taken
}

fn patient(stream: UnixStream) -> UnixStream {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn dial(path: &Path) -> UnixStream {
    patient(UnixStream::connect(path).expect("the sidecar listens"))
}

fn bytes(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; LENGTH];
    Pattern(seed.into()).fill(0, &mut bytes);
    bytes
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A sidecar of api whose app is a unix socket, and one of web that reaches it through one.
struct Lab {
    app: Receiver<UnixStream>,
    api: Gateway,
    web_file: SidecarFile,
    web: Gateway,
    socket: PathBuf,
}

fn lab() -> Lab {
    lab_with(|web| web)
}

/// The same, and web reaches api by TCP too.
fn lab_with_tcp() -> Lab {
    lab_with(|web| web.upstream("api", None))
}

fn lab_with(more: impl FnOnce(SidecarFile) -> SidecarFile) -> Lab {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let api = SidecarFile::new(&mesh, "api", "dc1", HOME.into()).allows("web");
    let path = api.file("app.sock");
    let taken = app(&path);
    let api = api.app_socket(&path).start();
    let web = SidecarFile::new(&mesh, "web", "dc1", HOME.into());
    let socket = web.file("api.sock");
    let web = web.upstream_socket("api", &socket, "local_bind_socket_mode = \"0660\"");
    let web_file = more(web).instances("api", &[api.listener("public_listener")]);
    let web = web_file.start();
    Lab {
        app: taken,
        api,
        web_file,
        web,
        socket,
    }
}

#[test]
fn what_is_said_and_that_it_is_all_arrives_both_ways() {
    let lab = lab();
    let mut client = dial(&lab.socket);
    let mut app = {
        client.write_all(b"hello").unwrap();
        lab.app.recv_timeout(DEADLINE).unwrap()
    };
    let mut greeting = [0; 5];
    app.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"hello");
    let serves = thread::spawn(move || {
        let mut all = Vec::new();
        app.read_to_end(&mut all).unwrap();
        // The other way is still open.
        app.write_all(&bytes(2)).unwrap();
        all
    });
    client.write_all(&bytes(1)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    assert!(serves.join().unwrap() == bytes(1) && back == bytes(2));
    for side in [&lab.web, &lab.api] {
        side.wait_for_active(0);
        assert_eq!(side.stats().refused_in_all(), 0.0);
        let closed = side.lictor.log.wait_for("closed");
        assert_eq!(closed.field("how"), "finished", "{closed:?}");
    }
    let opened = lab.web.lictor.log.wait_for("opened");
    assert_eq!(opened.field("client"), "local");
    let opened = lab.api.lictor.log.wait_for("opened");
    assert!(
        opened.field("upstream").ends_with("/app.sock"),
        "{opened:?}"
    );
}

#[test]
fn an_app_that_breaks_off_is_a_reset_for_a_client_by_tcp_and_an_end_for_one_by_socket() {
    let lab = lab_with_tcp();
    let breaks = || {
        let broken = lab.app.recv_timeout(DEADLINE).unwrap();
        until_true("something to read", || {
            rustix::io::ioctl_fionread(&broken).unwrap() > 0
        });
    };
    // Closed with something unread: the one way in which a unix socket breaks (unix(7)).
    let mut client = connect(lab.web.listener(TCP));
    client.write_all(b"never read").unwrap();
    breaks();
    assert_eq!(ending(&mut client), (Ending::Reset, Vec::new()));
    let closed = lab.api.lictor.log.wait_for("closed");
    assert_eq!(closed.field("how"), "upstream_reset", "{closed:?}");

    let mut client = dial(&lab.socket);
    client.write_all(b"never read").unwrap();
    breaks();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    lab.api.wait_for_active(0);
    lab.web.wait_for_active(0);
}

#[test]
fn a_client_that_breaks_off_ends_the_flow_at_the_app() {
    let lab = lab_with_tcp();
    let mut client = connect(lab.web.listener(TCP));
    client.write_all(b"hello").unwrap();
    let mut app = lab.app.recv_timeout(DEADLINE).unwrap();
    let mut hello = [0; 5];
    app.read_exact(&mut hello).unwrap();
    reset(client);
    assert_eq!(
        app.read(&mut hello).unwrap(),
        0,
        "a unix socket knows no reset"
    );
    lab.api.wait_for_active(0);
}

#[test]
fn an_app_that_is_not_there_is_told_by_its_path_and_an_app_that_comes_is_reached() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let api = SidecarFile::new(&mesh, "api", "dc1", HOME.into()).allows("web");
    let path = api.file("app.sock");
    let api = api.app_socket(&path).start();
    let web = SidecarFile::new(&mesh, "web", "dc1", HOME.into())
        .upstream("api", None)
        .instances("api", &[api.listener("public_listener")])
        .start();
    let mut client = connect(web.listener("api"));
    assert_eq!(ending(&mut client).1, b"");
    api.wait_for_refused("connect_failed", 1);
    let detail = api
        .lictor
        .log
        .wait_for("refused")
        .field("detail")
        .to_owned();
    assert!(detail.contains(path.to_str().unwrap()), "{detail}");

    // A queue of one place, and two that come: the second waits until the app takes the first.
    let listener = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    let at = rustix::net::SocketAddrUnix::new(&path).unwrap();
    rustix::net::bind(&listener, &at).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let listener = UnixListener::from(listener);
    listener.set_nonblocking(true).unwrap();
    let mut clients: Vec<_> = (0..3).map(|_| connect(web.listener("api"))).collect();
    for client in &mut clients {
        client.write_all(b"hello").unwrap();
    }
    api.wait_for_active(3);
    for _ in 0..3 {
        let (stream, _) = until("a connection at the app", || listener.accept().ok());
        stream.set_nonblocking(false).unwrap();
        let mut app = patient(stream);
        let mut hello = [0; 5];
        app.read_exact(&mut hello).unwrap();
        app.write_all(&hello).unwrap();
        app.shutdown(Shutdown::Write).unwrap();
    }
    for client in &mut clients {
        assert_eq!(ending(client).1, b"hello");
    }
    api.wait_for_refused("connect_failed", 1);
}

#[test]
fn the_socket_has_its_mode_and_its_name_and_goes_with_the_process() {
    let mut lab = lab();
    assert!(fs::metadata(&lab.socket).unwrap().file_type().is_socket());
    assert_eq!(mode(&lab.socket), 0o660);
    let shown = lab.socket.display();
    let name = format!("api:{shown}");
    let log = &lab.web.lictor.log;
    let event = log.wait_for_event("listening", |event| event.field("name") == name);
    assert_eq!(event.field("address"), shown.to_string());
    let (_, listeners) = lab.web.admin().get("/listeners");
    let line = format!("{name}::{shown}");
    assert!(listeners.lines().any(|have| have == line), "{listeners}");
    lab.web.lictor.terminate();
    assert!(lab.web.lictor.wait_for_end().success());
    assert!(!lab.socket.exists());
}

#[test]
fn a_reload_keeps_the_socket_changes_its_mode_and_removes_it_with_its_upstream() {
    let lab = lab();
    let before = inode(&lab.socket);
    let mut client = dial(&lab.socket);
    client.write_all(b"x").unwrap();
    let mut app = lab.app.recv_timeout(DEADLINE).unwrap();
    app.read_exact(&mut [0]).unwrap();
    let reload = |file: String| {
        let mark = lab.web.lictor.log.mark();
        lab.web.lictor.rewrite(&file);
        lab.web.lictor.log.event_after(mark, "reloaded", |_| true);
    };
    reload(lab.web_file.to_string());
    assert_eq!((inode(&lab.socket), mode(&lab.socket)), (before, 0o660));
    reload(lab.web_file.to_string().replace("\"0660\"", "\"0600\""));
    assert_eq!((inode(&lab.socket), mode(&lab.socket)), (before, 0o600));
    client.write_all(b"y").unwrap();
    app.read_exact(&mut [0]).unwrap();

    // Taken away by somebody: it is there again after a reload of the same file.
    fs::remove_file(&lab.socket).unwrap();
    let mark = lab.web.lictor.log.mark();
    lab.web.lictor.reload();
    lab.web.lictor.log.event_after(mark, "reloaded", |_| true);
    let mut another = dial(&lab.socket);
    another.write_all(b"z").unwrap();
    let mut its_app = lab.app.recv_timeout(DEADLINE).unwrap();
    its_app.read_exact(&mut [0]).unwrap();
    client.write_all(b"y").unwrap();
    app.read_exact(&mut [0]).unwrap();

    let text = lab.web_file.to_string();
    let without: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("local_bind_socket_path"))
        .collect();
    reload(without.join("\n"));
    assert!(!lab.socket.exists());
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "its upstream is gone");
}

#[test]
fn the_socket_of_a_killed_process_is_replaced() {
    let lab = lab();
    lab.web.lictor.signal(Signal::KILL);
    drop(lab.web);
    assert!(lab.socket.exists(), "nobody could remove it");
    let _web = lab.web_file.start();
    let mut client = dial(&lab.socket);
    client.write_all(b"hello").unwrap();
    let mut app = lab.app.recv_timeout(DEADLINE).unwrap();
    app.read_exact(&mut [0; 5]).unwrap();
}

#[test]
fn what_somebody_listens_on_or_is_no_socket_is_left_alone() {
    let lab = lab();
    let before = inode(&lab.socket);
    let (status, log) = lab.web_file.launch().run_to_end();
    assert_eq!(status.code(), Some(70), "{log}");
    assert!(log.contains("another process listens there"), "{log}");
    assert_eq!(inode(&lab.socket), before);
    dial(&lab.socket);

    let other = lab.web_file.file("notes.txt");
    fs::write(&other, "precious").unwrap();
    let text = lab.web_file.to_string();
    let onto_a_file = text.replace("api.sock", "notes.txt");
    let mark = lab.web.lictor.log.mark();
    lab.web.lictor.rewrite(&onto_a_file);
    let refused = lab
        .web
        .lictor
        .log
        .event_after(mark, "reload_refused", |_| true);
    let error = refused.field("error");
    assert!(
        error.contains("notes.txt") && error.contains("is no socket"),
        "{error}"
    );
    assert_eq!(fs::read(&other).unwrap(), b"precious");
    assert_eq!(inode(&lab.socket), before, "the old one goes on");
    let nowhere = text.replace("api.sock", "none/api.sock");
    let mark = lab.web.lictor.log.mark();
    lab.web.lictor.rewrite(&nowhere);
    let refused = lab
        .web
        .lictor
        .log
        .event_after(mark, "reload_refused", |_| true);
    let error = refused.field("error");
    assert!(error.contains("its directory does not exist"), "{error}");
}

#[test]
fn limits_hold_for_clients_of_a_socket_too() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let echo = Backend::echo();
    let api = SidecarFile::new(&mesh, "api", "dc1", echo.address()).allows("web");
    let api = api.start();
    let web = SidecarFile::new(&mesh, "web", "dc1", HOME.into());
    let socket = web.file("api.sock");
    let web = web
        .upstream_socket("api", &socket, "config { limits { max_connections = 1 } }")
        .instances("api", &[api.listener("public_listener")])
        .start();
    let mut first = dial(&socket);
    first.write_all(b"x").unwrap();
    first.read_exact(&mut [0]).unwrap();
    let mut second = dial(&socket);
    assert_eq!(second.read(&mut [0]).unwrap_or(0), 0);
    web.wait_for_refused("cluster_limit", 1);
    drop(first);
    let mut third = until("a free place", || {
        let mut client = dial(&socket);
        client.write_all(b"z").ok()?;
        (client.read(&mut [0]).ok()? == 1).then_some(client)
    });
    third.write_all(b"z").unwrap();
    third.read_exact(&mut [0]).unwrap();
}

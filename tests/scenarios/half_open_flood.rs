//! Ten thousand clients that connect and never finish their ClientHello do not keep a good one from
//! being served, cost bounded memory, and are gone after the deadline.

use std::io::Write;
use std::net::{IpAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::backend::{Backend, connect_from};
use support::client::{assert_echo, echoing};
use support::lab::{GatewayFile, sni};
use support::process::many_descriptors;
use support::wait;

const HALF_OPEN: usize = 10_000;
const SOURCES: usize = 100;

#[test]
fn ten_thousand_half_open_clients_leave_a_good_one_served() {
    let _guard = many_descriptors();
    let app = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[app.address()]);
    let file = file
        .limit("connections = 4096")
        .limit("handshakes_per_source = 128");
    let gateway = file.timeout("client_hello = \"5s\"").start();
    let (address, name) = (gateway.address(), sni("web", "dc1"));
    let mut established = echoing(address, &name);
    let before = gateway.lictor.proc().rss_anon();

    let over = AtomicBool::new(false);
    let (half_open, slowest) = thread::scope(|scope| {
        let good = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let started = Instant::now();
                echoing(address, &name);
                slowest = slowest.max(started.elapsed());
                thread::sleep(Duration::from_millis(5));
            }
            slowest
        });
        let half_open: Vec<TcpStream> = (0..HALF_OPEN)
            .map(|number| {
                let host = u8::try_from(number % SOURCES + 1).expect("few sources");
                let source = IpAddr::from([127, 1, 0, host]);
                let mut client = connect_from(source, address).expect("the gateway accepts");
                // What it refuses, it may have closed already.
                let _ = client.write_all(&[0x16, 3, 1, 2]);
                client
            })
            .collect();
        assert_echo(&mut established, b"through the flood");
        over.store(true, Ordering::Relaxed);
        (half_open, good.join().unwrap())
    });
    println!("the slowest good connection took {slowest:?}");
    assert!(
        slowest < Duration::from_secs(1),
        "a good connection took {slowest:?}"
    );

    let stats = gateway.stats();
    assert!(stats.value("lictor_handshaking") <= 2048.0, "{stats:?}");
    assert!(
        stats.value("lictor_connections_active") <= 4096.0,
        "{stats:?}"
    );
    assert_eq!(
        stats.refused("connection_limit"),
        0.0,
        "the flood filled the whole table"
    );
    let grown = gateway.lictor.proc().rss_anon().saturating_sub(before);
    assert!(
        grown <= 4 << 20,
        "{grown} bytes of memory for half-open connections"
    );

    wait::until_true("the half-open clients to be closed", || {
        gateway.stats().value("lictor_handshaking") == 0.0
    });
    let refused = gateway.stats();
    let told = refused.refused("handshake_limit") + refused.refused("client_hello_timeout");
    assert_eq!(told, half_open.len() as f64, "{refused:?}");
    assert_echo(&mut established, b"after the flood");
}

#[test]
fn long_hellos_that_never_end_are_bounded_in_all() {
    const CLIENTS: usize = 200;
    const BYTES: usize = 12_000;
    let app = Backend::echo();
    let gateway = GatewayFile::new("dc1")
        .service("web", &[app.address()])
        .start();
    let (address, name) = (gateway.address(), sni("web", "dc1"));
    // A ClientHello of 16 KB in one record.
    let mut beginning = vec![0x16, 3, 1, 0x3f, 4, 1, 0, 0x3f, 0];
    beginning.resize(BYTES, 0);
    let _clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let mut client = TcpStream::connect(address).expect("the gateway accepts");
            let _ = client.write_all(&beginning);
            client
        })
        .collect();
    let fit = (1 << 20) / BYTES;
    let closed = u32::try_from(CLIENTS - fit).expect("few");
    gateway.wait_for_refused("handshake_limit", closed);
    assert!(gateway.stats().value("lictor_handshaking") <= fit as f64);
    echoing(address, &name);
}

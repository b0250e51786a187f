//! How fast a session moves bytes, beside rustls's buffered connection, in one process:
//! `cargo run --release -p lictor-tls --example throughput`.
//!
//! Both move the same bytes in memory, in writes of 64 KiB, TLS 1.3 with AES-128-GCM: encrypted by the client, decrypted
//! by the server. It prints Gbit/s of one core and the ratio of the two, and handshakes a second (both ends counted).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking"
)]

use std::{
    hint::black_box,
    io::{Read, Write},
    time::{Duration, Instant},
};

use tls::{Outgoing, Step};

#[path = "../tests/sessions/mesh.rs"]
#[allow(dead_code, reason = "the bench uses some of it")]
mod mesh;

#[path = "../tests/sessions/stranger.rs"]
#[allow(dead_code, reason = "the bench uses some of it")]
mod stranger;

use mesh::{Authority, Pair, TD, client, options, server};
use stranger::{StrangeClient, StrangeServer};

const BLOCK: usize = 64 * 1024;

/// Long enough to be past the CPU's change of speed.
const TIME: Duration = Duration::from_millis(1500);

fn main() {
    let root = Authority::root("root");
    let (ours, theirs) = (sessions(&root), buffered(&root));
    println!("| | encrypt | decrypt |");
    println!("| rustls buffered | {:.1} | {:.1} |", theirs.0, theirs.1);
    println!("| session | {:.1} | {:.1} |", ours.0, ours.1);
    println!(
        "| ratio | {:.2} | {:.2} |",
        ours.0 / theirs.0,
        ours.1 / theirs.1
    );
    for (name, sessions) in [("full", 0), ("resumed", 64)] {
        let options = tls::Options {
            sessions,
            ..options()
        };
        let web = root.leaf(TD, "web");
        let (client, server) = (client(&root, &web, &options), server(&root, &options));
        Pair::shake(&client, &server).assert_talks();
        let (start, mut count) = (Instant::now(), 0_u32);
        while start.elapsed() < TIME {
            let pair = Pair::shake(&client, &server);
            assert_eq!(pair.server.result, Ok(Step::Established));
            assert_eq!(pair.server.session.is_resumed(), sessions > 0);
            count += 1;
        }
        println!(
            "{name}: {:.0} handshakes a second",
            f64::from(count) / start.elapsed().as_secs_f64()
        );
    }
}

/// Gbit/s of encrypting and of decrypting.
fn sessions(root: &Authority) -> (f64, f64) {
    let web = root.leaf(TD, "web");
    let mut pair = Pair::shake(&client(root, &web, &options()), &server(root, &options()));
    pair.assert_talks();
    let (plain, mut wire, mut answer) = (vec![7; BLOCK], Outgoing::new(), Outgoing::new());
    measure(|times| {
        let start = Instant::now();
        wire.clear();
        pair.client.session.encrypt(&plain, &mut wire).unwrap();
        times.0 += start.elapsed();
        let mut bytes = wire.bytes().to_vec();
        let start = Instant::now();
        let mut take = |part: &[u8]| {
            black_box(part);
        };
        pair.server
            .session
            .receive(&mut bytes, &mut answer, &mut take)
            .unwrap();
        times.1 += start.elapsed();
    })
}

fn buffered(root: &Authority) -> (f64, f64) {
    let leaf = root.leaf(TD, "db");
    let mut config = StrangeClient::new("TLSv1_3", None).0;
    config.resumption = rustls::client::Resumption::disabled();
    let mut suites = rustls::crypto::ring::default_provider();
    suites.cipher_suites = vec![rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let server = StrangeServer::with_provider("TLSv1_3", &leaf, suites).0;
    let mut client =
        rustls::ClientConnection::new(config.into(), "a.test".try_into().unwrap()).unwrap();
    let mut server = rustls::ServerConnection::new(server.into()).unwrap();
    let mut wire = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        for _ in 0..2 {
            wire.clear();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            take(&mut server, &wire);
            wire.clear();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets().unwrap();
            }
        }
    }
    let plain = vec![7; BLOCK];
    client.set_buffer_limit(None);
    measure(|times| {
        let start = Instant::now();
        wire.clear();
        client.writer().write_all(&plain).unwrap();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        times.0 += start.elapsed();
        let start = Instant::now();
        take(&mut server, &wire);
        times.1 += start.elapsed();
    })
}

fn take(server: &mut rustls::ServerConnection, mut wire: &[u8]) {
    let mut plain = [0; 16 * 1024];
    while !wire.is_empty() {
        server.read_tls(&mut wire).unwrap();
        server.process_new_packets().unwrap();
        while let Ok(1..) = server.reader().read(&mut plain) {
            black_box(&plain);
        }
    }
}

/// Medians, since a block takes microseconds and other processes interrupt a few of them.
fn measure(mut block: impl FnMut(&mut (Duration, Duration))) -> (f64, f64) {
    let (start, mut encrypt, mut decrypt) = (Instant::now(), Vec::new(), Vec::new());
    while start.elapsed() < TIME {
        let mut times = (Duration::ZERO, Duration::ZERO);
        block(&mut times);
        encrypt.push(times.0);
        decrypt.push(times.1);
    }
    let speed = |mut times: Vec<Duration>| {
        times.sort_unstable();
        BLOCK as f64 * 8e-9 / times[times.len() / 2].as_secs_f64()
    };
    (speed(encrypt), speed(decrypt))
}

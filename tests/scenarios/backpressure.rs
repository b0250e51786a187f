//! A receiver that does not read stops the sender; nothing piles up in the gateway, and nothing is lost.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use support::backend::Holder;
use support::client::{greet, patient};
use support::hello::read_hello;
use support::lab::{GatewayFile, sni};
use support::pattern::Pattern;
use support::wait;

/// Sends the stream until not a byte has gone for a while; gives how many went.
fn send_until_stopped(stream: &mut TcpStream) -> u64 {
    stream
        .set_write_timeout(Some(Duration::from_millis(700)))
        .unwrap();
    let (mut sent, mut chunk) = (0, vec![0; 256 * 1024]);
    loop {
        Pattern(5).fill(sent, &mut chunk);
        match stream.write(&chunk) {
            Ok(written) => sent += written as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return sent,
            Err(error) => panic!("{error}"),
        }
        assert!(sent < BUFFERS_OF_THE_KERNEL, "the sender is not stopped");
    }
}

/// What may be under way in the four socket buffers at most: far above the kernel's defaults, far
/// below what a sender with no bound sends.
const BUFFERS_OF_THE_KERNEL: u64 = 160 << 20;

#[test]
fn a_service_that_does_not_read_stops_the_client_and_misses_nothing() {
    let holder = Holder::start();
    let gateway = GatewayFile::new("dc1")
        .service("web", &[holder.address()])
        .start();
    let mut client = greet(gateway.address(), &sni("web", "dc1"));
    let mut service = wait::until("a connection at the service", || holder.take());
    patient(&service);
    let before = gateway.lictor.proc().rss_anon();
    let sent = send_until_stopped(&mut client);
    let grown = gateway.lictor.proc().rss_anon().saturating_sub(before);
    assert!(
        grown <= 512 << 10,
        "{grown} bytes of memory for one flow that stands still"
    );

    read_hello(&mut service);
    Pattern(5).receive(&mut service, sent).unwrap();
    client.write_all(b"and more").unwrap();
    let mut more = [0; 8];
    service.read_exact(&mut more).unwrap();
    assert_eq!(&more, b"and more");
}

#[test]
fn a_client_that_does_not_read_stops_the_service_and_misses_nothing() {
    let holder = Holder::start();
    let gateway = GatewayFile::new("dc1")
        .service("web", &[holder.address()])
        .start();
    let mut client = greet(gateway.address(), &sni("web", "dc1"));
    let mut service = wait::until("a connection at the service", || holder.take());
    patient(&service);
    read_hello(&mut service);
    let sent = send_until_stopped(&mut service);
    let cpu = gateway.lictor.proc().cpu();
    // The other direction is not held up, and the gateway does not spin for the one that is.
    client.write_all(b"hello").unwrap();
    let mut hello = [0; 5];
    service.read_exact(&mut hello).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let spent = gateway.lictor.proc().cpu() - cpu;
    assert!(
        spent <= Duration::from_millis(50),
        "{spent:?} of processor time while nothing moves"
    );
    Pattern(5).receive(&mut client, sent).unwrap();
}

#[test]
fn many_flows_that_stand_still_do_not_pile_up_memory_or_stop_others() {
    let holder = Holder::start();
    let echo = support::backend::Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[holder.address()]);
    let gateway = file.service("api", &[echo.address()]).start();
    let before = gateway.lictor.proc().rss_anon();
    let clients: Vec<_> = (0..24)
        .map(|_| {
            let mut client = greet(gateway.address(), &sni("web", "dc1"));
            client.set_nonblocking(true).unwrap();
            let chunk = vec![7; 1 << 20];
            let mut stuck = 0;
            while stuck < 20 {
                match client.write(&chunk) {
                    Ok(1..) => stuck = 0,
                    Ok(0) | Err(_) => {
                        stuck += 1;
                        std::thread::sleep(Duration::from_millis(2));
                    }
                }
            }
            client
        })
        .collect();
    let mut other = support::client::echoing(gateway.address(), &sni("api", "dc1"));
    support::client::assert_echo(&mut other, &[9; 100_000]);
    let grown = gateway.lictor.proc().rss_anon().saturating_sub(before);
    assert!(
        grown <= 4 << 20,
        "{grown} bytes of memory for {} stuck flows",
        clients.len()
    );
}

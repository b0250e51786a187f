//! One direction between real sockets.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use super::*;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let outside = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (inside, _) = listener.accept().unwrap();
    inside.set_nonblocking(true).unwrap();
    (outside, inside)
}

/// The same of unix sockets, which read and write alike.
fn local_pair() -> (TcpStream, TcpStream) {
    let (outside, inside) = UnixStream::pair().unwrap();
    inside.set_nonblocking(true).unwrap();
    (OwnedFd::from(outside).into(), OwnedFd::from(inside).into())
}

struct Bench {
    sender: TcpStream,
    source: TcpStream,
    destination: TcpStream,
    receiver: TcpStream,
    half: Half,
    reserve: Reserve,
}

impl Bench {
    fn new() -> Self {
        Self::between(pair(), pair())
    }

    fn between(from: (TcpStream, TcpStream), to: (TcpStream, TcpStream)) -> Self {
        let ((sender, source), (receiver, destination)) = (from, to);
        receiver.set_nonblocking(true).unwrap();
        Self {
            sender,
            source,
            destination,
            receiver,
            half: Half::default(),
            reserve: Reserve::new(),
        }
    }

    fn pump(&mut self) -> Result<Turn, Broken> {
        self.half.pump(
            self.source.as_fd(),
            self.destination.as_fd(),
            &mut self.reserve,
        )
    }

    /// Everything that can be read at this moment.
    fn read(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = [0; 65_536];
        while let Ok(count @ 1..) = self.receiver.read(&mut buffer) {
            all.extend_from_slice(&buffer[..count]);
        }
        all
    }
}

/// Moves `total` bytes through a receiver that reads only when the sender is stuck, and compares.
fn move_all(bench: &mut Bench, total: usize) {
    bench.sender.set_nonblocking(true).unwrap();
    let pattern: Vec<u8> = (0..total).map(|at| (at * 31 % 251) as u8).collect();
    let (mut written, mut read) = (0, Vec::new());
    while read.len() < total {
        while written < total {
            match bench.sender.write(&pattern[written..]) {
                Ok(count) => written += count,
                Err(_) => break,
            }
        }
        while bench.pump().unwrap() == Turn::Again {}
        read.extend(bench.read());
    }
    assert!(read == pattern, "what arrives is what was sent");
    assert_eq!(bench.half.carried, total as u64);
}

#[test]
fn small_bytes_pass_and_the_end_follows_them() {
    let mut bench = Bench::new();
    bench.sender.write_all(b"hello").unwrap();
    assert_eq!(bench.pump().unwrap(), Turn::Idle);
    assert_eq!(bench.read(), b"hello");
    bench.sender.write_all(b"bye").unwrap();
    bench.sender.shutdown(std::net::Shutdown::Write).unwrap();
    bench.half.hung_up = true;
    assert_eq!(bench.pump().unwrap(), Turn::Finished);
    assert_eq!(bench.read(), b"bye");
}

#[test]
fn a_flow_that_keeps_moving_splices_and_gives_its_pipe_back() {
    let mut bench = Bench::new();
    move_all(&mut bench, 8 * 1024 * 1024);
    assert!(bench.half.eager >= EAGER_BYTES, "it has spliced");
    while bench.pump().unwrap() == Turn::Again {}
    assert!(
        matches!(bench.half.held, Held::Nothing),
        "an idle flow holds no pipe"
    );
    bench.sender.set_nonblocking(false).unwrap();
    bench.sender.write_all(b"x").unwrap();
    bench.pump().unwrap();
    assert_eq!(bench.half.eager, 0, "small messages are copied again");
}

#[test]
fn unix_sockets_splice_too_and_pass_the_end_on() {
    for (from, to) in [(local_pair(), pair()), (pair(), local_pair())] {
        let mut bench = Bench::between(from, to);
        move_all(&mut bench, 8 * 1024 * 1024);
        assert!(bench.half.eager >= EAGER_BYTES, "it has spliced");
        bench.sender.shutdown(std::net::Shutdown::Write).unwrap();
        bench.half.hung_up = true;
        assert_eq!(bench.pump().unwrap(), Turn::Finished);
    }
    let mut bench = Bench::between(local_pair(), local_pair());
    while bench.reserve.has_room() {
        bench.reserve.note_held(bench.reserve.scratch.len());
    }
    move_all(&mut bench, 4 * 1024 * 1024);
}

#[test]
fn a_receiver_that_does_not_read_blocks_the_flow_and_bounds_what_is_held() {
    let mut bench = Bench::new();
    bench.sender.set_nonblocking(true).unwrap();
    let chunk = [7; 8192];
    for _ in 0..10_000 {
        if bench.sender.write(&chunk).is_err() && bench.half.blocked {
            break;
        }
        bench.pump().unwrap();
    }
    assert!(bench.half.blocked);
    let held = match &bench.half.held {
        Held::Nothing => 0,
        Held::Bytes(leftover) | Held::Front(leftover) => leftover.bytes.len(),
        Held::Pipe(pipe) => pipe.held(),
    };
    assert!(held <= 2 * 1024 * 1024, "{held}");
}

#[test]
fn without_room_to_hold_nothing_is_lost_and_nothing_is_held() {
    let mut bench = Bench::new();
    while bench.reserve.has_room() {
        bench.reserve.note_held(bench.reserve.scratch.len());
    }
    move_all(&mut bench, 4 * 1024 * 1024);
    assert!(matches!(bench.half.held, Held::Nothing));
}

#[test]
fn a_reset_is_told_by_its_side() {
    let mut bench = Bench::new();
    socket::reset_when_closed(&bench.sender);
    drop(std::mem::replace(&mut bench.sender, pair().0));
    assert!(matches!(bench.pump(), Err(Broken::Source)));
    let mut bench = Bench::new();
    socket::reset_when_closed(&bench.receiver);
    drop(std::mem::replace(&mut bench.receiver, pair().0));
    bench.sender.write_all(b"x").unwrap();
    assert!(matches!(bench.pump(), Err(Broken::Destination)));
}

#[test]
fn what_nobody_waits_for_goes_in_front_of_the_next() {
    let mut bench = Bench::new();
    let pump = |bench: &mut Bench| {
        let ends = crate::half_tls::Ends {
            source: None,
            destination: None,
        };
        let (source, destination) = (bench.source.as_fd(), bench.destination.as_fd());
        let reserve = &mut bench.reserve;
        (bench.half)
            .pump_tls(source, destination, ends, reserve, &mut Default::default())
            .unwrap()
    };
    bench
        .half
        .put_in_front(b"ticket ".to_vec(), &mut bench.reserve);
    assert_eq!(pump(&mut bench), Turn::Idle);
    assert!(bench.read().is_empty() && !bench.half.holds());
    bench.sender.write_all(b"data").unwrap();
    assert_eq!(pump(&mut bench), Turn::Idle);
    assert_eq!(bench.read(), b"ticket data");
    assert!(!bench.half.hurry());

    // Where nothing comes, it can be hurried; and what must go takes it along.
    bench
        .half
        .put_in_front(b"finished ".to_vec(), &mut bench.reserve);
    assert!(bench.half.hurry());
    assert_eq!(pump(&mut bench), Turn::Idle);
    assert_eq!(bench.read(), b"finished ");
    bench
        .half
        .put_in_front(b"ticket ".to_vec(), &mut bench.reserve);
    bench.half.hold(b"alert".to_vec(), &mut bench.reserve);
    assert_eq!(pump(&mut bench), Turn::Idle);
    assert_eq!(bench.read(), b"ticket alert");
    assert!(bench.reserve.has_room());
}

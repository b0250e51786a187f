//! The app in dc2: the service api, which speaks plain HTTP and trusts its sidecar to let in none but
//! who may call it.
//!
//! `GET /bytes/N` gives N bytes of a known pattern, `/wait` a line and then nothing more until the
//! client is gone, any other path a greeting.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use crate::failure::{Failure, taken, while_doing};
use crate::stage::Event;

/// Where `configs/demo/sidecar-api.hcl` says that api is.
pub(crate) const ADDRESS: &str = "127.2.0.20:9001";

/// Starts the app, which then runs to the end of the demo.
pub(crate) fn start(events: Sender<Event>) -> Result<(), Failure> {
    let listener = TcpListener::bind(ADDRESS)
        .map_err(while_doing(format!("the app cannot have {ADDRESS}")))
        .map_err(|failure| {
            failure.with_hint(taken(
                ADDRESS,
                "configs/demo/sidecar-api.hcl and tests/demo/app.rs",
            ))
        })?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let events = events.clone();
            // A client that goes away midway is its own affair.
            thread::spawn(move || drop(answer(stream, &events)));
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream, events: &Sender<Event>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") && request.len() < MAX_REQUEST_BYTES {
        let length = stream.read(&mut part)?;
        if length == 0 {
            break;
        }
        request.extend(part.iter().take(length));
    }
    let request = String::from_utf8_lossy(&request);
    let line = request.lines().next().unwrap_or_default();
    // Nobody listens any more when the demo is ending.
    let _ = events.send(Event::AppAsked(line.to_owned()));

    let path = line.split(' ').nth(1).unwrap_or_default();
    if path == "/wait" {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nwait\n")?;
        return io::copy(&mut stream, &mut io::sink()).map(drop);
    }
    let size = path
        .strip_prefix("/bytes/")
        .and_then(|size| size.parse().ok());
    let body = match size {
        Some(size) => pattern(size),
        None => b"hello, this is api in dc2\n".to_vec(),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)?;
    // Closing with bytes unread would be a reset, and could take the last of the answer with it.
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream.take(MAX_LEFTOVER_BYTES), &mut io::sink())?;
    Ok(())
}

/// Bytes that show at once when some are missing, doubled or out of order.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    // Steps of a prime, with the upper bytes of the place mixed in.
    (0..size)
        .map(|at| {
            let [low, middle, high, ..] = at.wrapping_mul(251).to_le_bytes();
            low ^ middle.rotate_left(3) ^ high
        })
        .take(MAX_BODY_BYTES)
        .collect()
}

/// How long a client may be silent; long enough for a person at a terminal.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request is a line and a few headers.
const MAX_REQUEST_BYTES: usize = 8 * 1024;

/// The most that one request gets.
const MAX_BODY_BYTES: usize = 64 << 20;

/// The most that is read and thrown away at the end.
const MAX_LEFTOVER_BYTES: u64 = 64 * 1024;

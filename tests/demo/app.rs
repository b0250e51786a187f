//! The app in dc2: the service api, which speaks HTTP over mutual TLS, as it would behind its
//! sidecar.
//!
//! It wants a certificate from every client and reads its SPIFFE ID. `GET /bytes/N` gives N bytes
//! of a known pattern, any other path a greeting.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::client::version_of;
use crate::failure::{Failure, taken, while_doing};
use crate::identity;
use crate::pki::Pki;
use crate::stage::Event;

/// Where `configs/demo/gateway-dc2.hcl` says that api is.
pub(crate) const ADDRESS: &str = "127.2.0.20:9001";

/// Starts the app, which then runs to the end of the demo.
pub(crate) fn start(pki: &Pki, events: Sender<Event>) -> Result<(), Failure> {
    let listener = TcpListener::bind(ADDRESS)
        .map_err(while_doing(format!("the app cannot have {ADDRESS}")))
        .map_err(|failure| {
            failure.with_hint(taken(
                ADDRESS,
                "configs/demo/gateway-dc2.hcl and tests/demo/app.rs",
            ))
        })?;
    let config = config(pki).map_err(while_doing("setting up the app's TLS"))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, events) = (Arc::clone(&config), events.clone());
            thread::spawn(move || serve(stream, config, &events));
        }
    });
    Ok(())
}

fn config(pki: &Pki) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error>> {
    let provider = Arc::new(ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&pki.roots), Arc::clone(&provider))
            .build()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(pki.api.chain.clone(), pki.api.key())?;
    Ok(Arc::new(config))
}

/// One connection. Who watches the demo hears of it; a client that goes away midway is its own
/// affair.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, events: &Sender<Event>) {
    let tell = |event| {
        // Nobody listens any more when the demo is ending.
        let _ = events.send(event);
    };
    let tls = match accept(stream, config) {
        Ok(tls) => tls,
        Err(error) => return tell(Event::AppRefuses(error.to_string())),
    };
    let id = tls
        .conn
        .peer_certificates()
        .and_then(|chain| identity::spiffe_id(chain.first()?))
        .unwrap_or_else(|| String::from("a client without a SPIFFE ID"));
    let version = version_of(tls.conn.protocol_version());
    tell(Event::AppTrusts(id.clone(), version));
    let _ = answer(tls, &id, tell);
}

fn accept(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut stream) {
            // The alert tells the client why, and is worth an attempt only.
            let _ = connection.write_tls(&mut stream);
            finish(&mut stream)?;
            return Err(error);
        }
    }
    Ok(StreamOwned::new(connection, stream))
}

fn answer(
    mut tls: StreamOwned<ServerConnection, TcpStream>,
    id: &str,
    tell: impl Fn(Event),
) -> io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") && request.len() < MAX_REQUEST_BYTES {
        let length = tls.read(&mut part)?;
        if length == 0 {
            break;
        }
        request.extend(part.iter().take(length));
    }
    let request = String::from_utf8_lossy(&request);
    let line = request.lines().next().unwrap_or_default();
    tell(Event::AppAsked(line.to_owned()));

    let path = line.split(' ').nth(1).unwrap_or_default();
    let size = path
        .strip_prefix("/bytes/")
        .and_then(|size| size.parse().ok());
    let body = match size {
        Some(size) => pattern(size),
        None => format!("hello {id}, this is api in dc2\n").into_bytes(),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    tls.write_all(head.as_bytes())?;
    tls.write_all(&body)?;
    tls.conn.send_close_notify();
    tls.flush()?;
    finish(&mut tls.sock)
}

/// Ends the sending side and reads what still comes: closing with bytes unread would be a reset,
/// and could take the last of the answer with it.
fn finish(stream: &mut TcpStream) -> io::Result<()> {
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

/// How long a client may be silent; long enough for a person at `openssl s_client`.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request is a line and a few headers.
const MAX_REQUEST_BYTES: usize = 8 * 1024;

/// The most that one request gets.
const MAX_BODY_BYTES: usize = 64 << 20;

/// The most that is read and thrown away at the end.
const MAX_LEFTOVER_BYTES: u64 = 64 * 1024;

//! A client in dc1: a program that speaks plain HTTP to its sidecar and knows nothing of TLS.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection to an upstream of one's sidecar.
pub(crate) struct Session(TcpStream);

impl Session {
    /// Connects to the sidecar, which takes everybody who may reach it: who may call what is decided
    /// elsewhere.
    pub(crate) fn open(sidecar: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&sidecar, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    /// Sends a request and gives the body of the answer, after the server has ended the connection.
    pub(crate) fn get(mut self, path: &str) -> io::Result<Vec<u8>> {
        self.ask(path)?;
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer)?;
        if answer.is_empty() {
            return Err(io::Error::other("closed without a byte"));
        }
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .ok_or_else(|| io::Error::other("the answer has no head"))?;
        let body = answer.split_off(end + 4);
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            return Err(io::Error::other("the answer is not 200"));
        }
        Ok(body)
    }

    /// Sends a request and gives the first of the answer; the connection stays open.
    pub(crate) fn begin(&mut self, path: &str) -> io::Result<()> {
        self.ask(path)?;
        match self.0.read(&mut [0; 1024])? {
            0 => Err(io::Error::other("closed without a byte")),
            _ => Ok(()),
        }
    }

    /// Waits for the end of a connection that was left open; says how it came.
    pub(crate) fn ending(mut self) -> io::Result<&'static str> {
        match self.0.read(&mut [0; 1024]) {
            Ok(0) => Ok("closed"),
            Ok(_) => Err(io::Error::other("more of the answer came")),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok("reset"),
            Err(error) => Err(error),
        }
    }

    fn ask(&mut self, path: &str) -> io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n");
        self.0.write_all(request.as_bytes())
    }
}

/// Far more than anything on one host takes.
const PATIENCE: Duration = Duration::from_secs(20);

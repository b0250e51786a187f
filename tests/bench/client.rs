//! Connections of the load: opened through a gateway and answered by the backend.
//!
//! A flow that `open_flow` returns is known to reach the backend: the reply has come back.

use crate::{
    backend::REPLY,
    client_hello::{Order, client_hello},
};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// One flow through the gateway, ready to carry payload; blocking, with a time limit.
pub(crate) fn open_flow(gateway: SocketAddr, order: Order) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(gateway)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    stream.write_all(&client_hello(order))?;
    let mut reply = [0; REPLY.len()];
    stream.read_exact(&mut reply)?;
    if reply != REPLY {
        return Err(io::Error::other(
            "the reply through the gateway is not the backend's",
        ));
    }
    Ok(stream)
}

/// So many flows, one after the other.
pub(crate) fn open_flows(
    gateway: SocketAddr,
    order: Order,
    count: usize,
) -> io::Result<Vec<TcpStream>> {
    (0..count).map(|_| open_flow(gateway, order)).collect()
}

/// Far beyond what any gateway needs; a gateway that takes longer is broken.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

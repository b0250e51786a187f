//! Instances of services, each with a sidecar of its own and an app that says which instance it is;
//! and a place before one of them that can go and come back, as a host does.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread;

use crate::backend::Backend;
use crate::client::{connect, ending};
use crate::lab::Gateway;
use crate::pki::Mesh;
use crate::sidecar::SidecarFile;

/// An instance of a service, which web may call.
#[derive(Debug)]
pub struct Instance {
    _app: Backend,
    sidecar: Gateway,
    address: SocketAddr,
}

impl Instance {
    /// Starts an app that says `name` and closes, and its sidecar.
    pub fn start(mesh: &Mesh, service: &str, name: &'static str) -> Self {
        let app = Backend::start(move |mut stream| {
            let _ = stream.write_all(name.as_bytes());
        });
        let file = SidecarFile::new(mesh, service, "dc1", app.address());
        let sidecar = file.allows("web").start();
        Self {
            _app: app,
            address: sidecar.listener("public_listener"),
            sidecar,
        }
    }

    /// Where the mesh reaches it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its sidecar.
    pub fn sidecar(&self) -> &Gateway {
        &self.sidecar
    }
}

/// What the app behind an upstream's listener says: nothing, when the connection led nowhere.
pub fn ask(address: SocketAddr) -> String {
    answer(connect(address))
}

/// What the app at the other end of a connection says.
pub fn answer(mut stream: TcpStream) -> String {
    String::from_utf8_lossy(&ending(&mut stream).1).into_owned()
}

/// An address that leads to another one while it is there.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    to: SocketAddr,
    open: Option<Backend>,
}

impl Door {
    /// An open one. Each on an address of its own, so that nobody takes its port while it is shut.
    pub fn open(own: Ipv4Addr, to: SocketAddr) -> Self {
        let mut door = Self {
            address: (own, 0).into(),
            to,
            open: None,
        };
        door.reopen();
        door
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections have come in since it was opened.
    pub fn passed(&self) -> usize {
        self.open.as_ref().map_or(0, Backend::accepted)
    }

    /// Refuses connections from now on.
    pub fn shut(&mut self) {
        self.open = None;
    }

    /// Takes connections again.
    pub fn reopen(&mut self) {
        let to = self.to;
        let open = Backend::at(self.address, move |stream| pass(stream, to));
        self.address = open.address();
        self.open = Some(open);
    }
}

/// Passes bytes on both ways until both have ended.
fn pass(from: TcpStream, to: SocketAddr) {
    let Ok(to) = TcpStream::connect(to) else {
        return;
    };
    let one_way = |mut from: TcpStream, mut to: TcpStream| {
        move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        }
    };
    let (Ok(from_too), Ok(to_too)) = (from.try_clone(), to.try_clone()) else {
        return;
    };
    let back = thread::spawn(one_way(to_too, from_too));
    one_way(from, to)();
    let _ = back.join();
}

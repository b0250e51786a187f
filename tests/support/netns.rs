//! Network namespaces: machines of a test's own, each with its own addresses, routes and resolver.
//!
//! Made with `ip netns` (ip-netns(8)), so a test that uses them needs root and says so. Everything
//! that was made is removed when the value goes, and names are unique, so tests run side by side.

use std::fs;
use std::fs::File;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::temp::unique;
use crate::wait::until_true;

/// A network namespace with its loopback up.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Panics
    /// When this is not root, or `ip` is missing.
    pub fn new() -> Self {
        let root = rustix::process::geteuid().is_root();
        assert!(root, "network namespaces need root: run this test as root");
        let namespace = Self {
            name: unique("lictor"),
        };
        ip(&["netns", "add", &namespace.name]);
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// Its name for `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `ip` in it.
    pub fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.name], arguments].concat());
    }

    /// Waits until this address of its own can be reached: the kernel makes the route to one of IPv6 a while after the address.
    pub fn wait_for(&self, address: IpAddr) {
        // Nothing is sent.
        let has_route = || UdpSocket::bind((address, 0)).and_then(|it| it.connect((address, 9)));
        until_true("a route to an address", || self.run(|| has_route().is_ok()));
    }

    /// Gives the processes that are started in it a resolv.conf of their own.
    pub fn resolver(&self, resolv_conf: &str) {
        let etc = self.etc();
        fs::create_dir_all(&etc).expect("root may write to /etc/netns");
        fs::write(etc.join("resolv.conf"), resolv_conf).expect("root may write to /etc/netns");
    }

    /// Sets a kernel parameter of it, such as `net/ipv4/tcp_congestion_control`.
    ///
    /// # Errors
    /// When the kernel does not take the value.
    pub fn set(&self, parameter: &str, value: &str) -> std::io::Result<()> {
        let path = format!("/proc/sys/{parameter}");
        self.run(|| fs::write(path, value))
    }

    /// Runs something on a thread in it. Sockets made there belong to it for good; threads started
    /// there live in it too.
    pub fn run<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name)).expect("it is there");
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                let network = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(namespace.as_fd(), network).expect("root may enter");
                what()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn etc(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.name)
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.etc());
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .output();
    }
}

/// Runs `ip` and tells its complaint, if any, in the test's message.
///
/// # Panics
/// When it is missing or refuses.
pub fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output();
    let output = output.expect("no `ip` on this machine: `./tests/run tools` installs it");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "ip {}: {complaint}",
        arguments.join(" ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_namespace_has_a_loopback_of_its_own() {
        let (one, other) = (Namespace::new(), Namespace::new());
        let listener = one.run(|| TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(one.run(|| TcpStream::connect(address)).is_ok());
        assert!(other.run(|| TcpStream::connect(address)).is_err());
    }
}

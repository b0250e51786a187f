//! Telling the service manager how the process is doing (the protocol of sd_notify(3)).
//!
//! Each message is one datagram to the unix socket that `$NOTIFY_SOCKET` names. Never blocks: a
//! manager that does not read costs a message and not the process. Where no manager asked to be
//! told, every message is quietly nothing.
//!
//! The protocol: <https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The way to the service manager. One descriptor when there is one.
#[derive(Debug)]
pub struct Notifier(Option<Manager>);

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notifier {
    /// The manager that `$NOTIFY_SOCKET` names, or none when it is not set.
    ///
    /// # Errors
    /// When the name is neither an absolute path nor an abstract name (`@…`), or no socket can be
    /// made.
    pub fn from_env() -> io::Result<Self> {
        match env::var_os("NOTIFY_SOCKET") {
            Some(name) if !name.is_empty() => Self::to(&name),
            _ => Ok(Self(None)),
        }
    }

    /// The manager that listens at `name`: an absolute path, or `@` and an abstract name.
    ///
    /// # Errors
    /// As [`Notifier::from_env`].
    pub fn to(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', hidden @ ..] => SocketAddr::from_abstract_name(hidden)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "NOTIFY_SOCKET is neither an absolute path nor an abstract name (@…)",
                ));
            }
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Manager { socket, address })))
    }

    /// Started, or done with a reload: everything that was asked for is in force.
    ///
    /// # Errors
    /// As [`Notifier::status`].
    pub fn ready(&self, status: &str) -> io::Result<()> {
        self.send(&format!("READY=1\nSTATUS={}", line(status)))
    }

    /// A reload begins; [`Notifier::ready`] ends it, whether it went well or not.
    ///
    /// # Errors
    /// As [`Notifier::status`].
    pub fn reloading(&self) -> io::Result<()> {
        // The manager orders messages by this clock, and refuses a reload that does not tell it.
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"))
    }

    /// The process is going to end.
    ///
    /// # Errors
    /// As [`Notifier::status`].
    pub fn stopping(&self, status: &str) -> io::Result<()> {
        self.send(&format!("STOPPING=1\nSTATUS={}", line(status)))
    }

    /// Alive; to be said at least twice in the time that [`watchdog_interval`] gives.
    ///
    /// # Errors
    /// As [`Notifier::status`].
    pub fn watchdog(&self) -> io::Result<()> {
        self.send("WATCHDOG=1")
    }

    /// What a person who asks the manager reads; a line break in it becomes a space.
    ///
    /// # Errors
    /// When the manager's socket is gone, or is full ([`io::ErrorKind::WouldBlock`]).
    pub fn status(&self, status: &str) -> io::Result<()> {
        self.send(&format!("STATUS={}", line(status)))
    }

    /// The address is used afresh for each message, since a manager that starts again makes its
    /// socket anew.
    fn send(&self, message: &str) -> io::Result<()> {
        let Some(manager) = &self.0 else {
            return Ok(());
        };
        loop {
            match manager
                .socket
                .send_to_addr(message.as_bytes(), &manager.address)
            {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// How long the manager waits for a sign of life before it ends the process (`$WATCHDOG_USEC`);
/// `None` when it does not watch, or watches another process (`$WATCHDOG_PID`).
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    interval_of(
        env::var("WATCHDOG_USEC").ok().as_deref(),
        env::var("WATCHDOG_PID").ok().as_deref(),
        std::process::id(),
    )
}

fn interval_of(micros: Option<&str>, watched: Option<&str>, own: u32) -> Option<Duration> {
    if watched.is_some_and(|watched| watched.parse() != Ok(own)) {
        return None;
    }
    let micros: u64 = micros?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

/// A message is lines of `NAME=value`: a line break in a value would start another one.
fn line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An abstract name that no other test uses.
    fn manager(test: &str) -> (UnixDatagram, Notifier) {
        let name = format!("lictor-notify-{test}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let notifier = Notifier::to(format!("@{name}").as_ref()).unwrap();
        (socket, notifier)
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut message = [0; 256];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    #[test]
    fn messages_arrive_as_the_protocol_writes_them() {
        let (socket, notifier) = manager("forms");
        notifier.ready("2 listeners").unwrap();
        assert_eq!(received(&socket), "READY=1\nSTATUS=2 listeners");
        notifier.status("a\nREADY=1").unwrap();
        assert_eq!(received(&socket), "STATUS=a READY=1");
        notifier.stopping("draining").unwrap();
        assert_eq!(received(&socket), "STOPPING=1\nSTATUS=draining");
        notifier.watchdog().unwrap();
        assert_eq!(received(&socket), "WATCHDOG=1");
    }

    #[test]
    fn a_reload_tells_the_monotonic_clock() {
        let (socket, notifier) = manager("reload");
        let clock = || u64::try_from(clock_gettime(ClockId::Monotonic).tv_sec).unwrap();
        let before = clock();
        notifier.reloading().unwrap();
        let message = received(&socket);
        let micros: u64 = message
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .unwrap()
            .parse()
            .unwrap();
        assert!((before..=clock()).contains(&(micros / 1_000_000)));
    }

    #[test]
    fn a_manager_that_does_not_read_never_blocks_the_process() {
        let (_socket, notifier) = manager("full");
        let full = (0..100_000)
            .find_map(|_| notifier.status("busy").err())
            .unwrap();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_manager_that_comes_back_is_told_again() {
        let (socket, notifier) = manager("again");
        drop(socket);
        assert!(notifier.watchdog().is_err());
        let (socket, _) = manager("again");
        notifier.watchdog().unwrap();
        assert_eq!(received(&socket), "WATCHDOG=1");
    }

    #[test]
    fn a_path_is_an_address_and_other_names_are_refused() {
        let directory =
            std::env::temp_dir().join(format!("lictor-notify-path-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Notifier::to(path.as_os_str()).unwrap().watchdog().unwrap();
        assert_eq!(received(&socket), "WATCHDOG=1");
        std::fs::remove_dir_all(directory).unwrap();
        for name in ["relative/path", "vsock:2:1234"] {
            let refused = Notifier::to(name.as_ref()).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::Unsupported, "{name}");
        }
    }

    #[test]
    fn the_watchdog_is_for_the_process_it_names() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(interval_of(Some("1000000"), None, 7), second);
        assert_eq!(interval_of(Some("1000000"), Some("7"), 7), second);
        assert_eq!(interval_of(Some("1000000"), Some("8"), 7), None);
        assert_eq!(interval_of(Some("1000000"), Some("x"), 7), None);
        assert_eq!(interval_of(Some("0"), None, 7), None);
        assert_eq!(interval_of(Some("soon"), None, 7), None);
        assert_eq!(interval_of(None, Some("7"), 7), None);
    }
}

//! Unix sockets with a path: listening on one, and connecting to one (unix(7)).
//!
//! A path is taken over only from a dead process: a socket file that nobody listens on is replaced, one that somebody
//! listens on and a file of any other kind are left alone. The file goes with its listener, unless another has taken its
//! place. Two processes that start on one path in the same instant are not kept apart.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::Mode,
    io::Errno,
    net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

/// The file of a socket that is listened on; removed when this goes.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: what tells our file from one that took its place.
    identity: (u64, u64),
}

impl SocketFile {
    /// Whether it is there and the same: otherwise nobody can find the listener any more.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        identity(&self.path).is_ok_and(|now| now == self.identity)
    }

    /// Gives it another mode; `None` leaves it as it is.
    ///
    /// # Errors
    ///
    /// The file is gone, or not ours any more.
    pub fn set_mode(&self, mode: Option<u32>) -> io::Result<()> {
        match mode {
            Some(mode) => fs::set_permissions(&self.path, fs::Permissions::from_mode(mode)),
            None => Ok(()),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_ours() {
            // Gone in the meantime is as good; anything else is for the next start to take over.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds and listens. The file has its mode before anyone can connect.
///
/// # Errors
///
/// `AddrInUse`: somebody listens there. `AlreadyExists`: a file that is no socket is there. Else what the kernel says of
/// the directory.
pub fn listen(path: &Path, mode: Option<u32>, backlog: i32) -> io::Result<(OwnedFd, SocketFile)> {
    remove_if_dead(path)?;
    let socket = stream()?;
    if let Some(mode) = mode {
        // The file gets the socket's mode less the umask, so it is never wider than this.
        rustix::fs::fchmod(&socket, Mode::from_raw_mode(mode))?;
    }
    net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path)?,
    };
    file.set_mode(mode)?;
    net::listen(&socket, backlog)?;
    Ok((socket, file))
}

/// Connects; `None` while the listener's queue is full, which no event will tell the end of.
///
/// # Errors
///
/// Nobody listens there, or we may not write to it.
pub fn connect(path: &Path) -> io::Result<Option<OwnedFd>> {
    let socket = stream()?;
    loop {
        return match net::connect(&socket, &SocketAddrUnix::new(path)?) {
            Ok(()) => Ok(Some(socket)),
            Err(Errno::AGAIN) => Ok(None),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

fn remove_if_dead(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !there.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Not even whether it is alive can be told of a socket that we may not write to, or of another type.
        Ok(_) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

fn stream() -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        flags,
        None,
    )?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::*;
    use crate::socket;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("lictor-sys-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn kind(path: &Path) -> io::ErrorKind {
        listen(path, None, 8).unwrap_err().kind()
    }

    #[test]
    fn a_dead_socket_is_replaced_and_nothing_else_is() {
        let home = directory("dead");
        let path = home.join("app.sock");
        drop(UnixListener::bind(&path).unwrap());
        let (_socket, file) = listen(&path, None, 8).unwrap();
        assert_eq!(kind(&path), io::ErrorKind::AddrInUse, "ours is alive");
        drop(file);

        let other = UnixDatagram::bind(&path).unwrap();
        assert_eq!(kind(&path), io::ErrorKind::AddrInUse, "of another type");
        drop(other);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert_eq!(kind(&path), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(home.join("elsewhere"), &path).unwrap();
        assert_eq!(kind(&path), io::ErrorKind::AlreadyExists);
        fs::remove_dir_all(home).unwrap();
    }

    #[test]
    fn the_file_has_its_mode_and_goes_with_its_listener() {
        let home = directory("mode");
        let path = home.join("app.sock");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let (socket, file) = listen(&path, Some(0o666), 8).unwrap();
        assert_eq!(mode(&path), 0o666, "whatever the umask");
        file.set_mode(Some(0o600)).unwrap();
        assert_eq!(mode(&path), 0o600);
        let _client = UnixStream::connect(&path).unwrap();
        let (_, source) = socket::accept(&socket).unwrap().expect("a client");
        assert_eq!(source, None);

        // Somebody else's by now: it stays.
        fs::rename(&path, home.join("ours")).unwrap();
        let theirs = UnixListener::bind(&path).unwrap();
        assert!(!file.is_ours());
        drop(file);
        assert!(path.exists());
        drop(theirs);
        fs::remove_file(&path).unwrap();
        drop(listen(&path, None, 8).unwrap());
        assert!(!path.exists());
        fs::remove_dir_all(home).unwrap();
    }

    #[test]
    fn a_full_queue_is_no_failure() {
        let home = directory("queue");
        let path = home.join("app.sock");
        let (_socket, _file) = listen(&path, None, 1).unwrap();
        let connections: Vec<_> = (0..8).map(|_| connect(&path).unwrap()).collect();
        assert!(connections.first().unwrap().is_some() && connections.last().unwrap().is_none());
        fs::remove_file(&path).unwrap();
        let gone = connect(&path).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        fs::remove_dir_all(home).unwrap();
    }
}

//! Whether the kernel does TLS on sockets (kTLS).
//!
//! It takes keys, not handshakes, and comes as a module that many distributions ship and few load:
//! <https://docs.kernel.org/networking/tls.html>. Only asked for here; no socket is given to it.

use std::io;

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

/// Whether the kernel offers it. Asking loads the module, where there is one and the process has CAP_NET_ADMIN; without
/// that right a module that is not loaded yet counts as none, since it could not be used either.
///
/// Three system calls.
#[must_use]
pub fn is_offered() -> bool {
    ask().is_ok_and(|answer| answer)
}

fn ask() -> io::Result<bool> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        Some(ipproto::TCP),
    )?;
    Ok(match set_upper_protocol(&socket) {
        Ok(()) => true,
        // It is there, and wants a connection; where it is not there, its name is not found.
        Err(error) => error.kind() == io::ErrorKind::NotConnected,
    })
}

/// `setsockopt(TCP_ULP, "tls")`, which rustix does not have.
fn set_upper_protocol(socket: &impl std::os::fd::AsRawFd) -> io::Result<()> {
    const NAME: &[u8; 3] = b"tls";
    // SAFETY: the pointer and the length are those of `NAME`, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_ULP,
            NAME.as_ptr().cast(),
            3,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_that_of_the_list_of_the_kernel() {
        let offered = is_offered();
        // Of the loaded ones, so it is read after the question (tcp(7)).
        let list = "/proc/sys/net/ipv4/tcp_available_ulp";
        let listed = std::fs::read_to_string(list).unwrap_or_default();
        assert_eq!(offered, listed.split_whitespace().any(|name| name == "tls"));
    }
}

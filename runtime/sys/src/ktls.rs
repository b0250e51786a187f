//! TLS in the kernel (kTLS): whether there is any, and handing it a socket's keys.
//!
//! The kernel takes keys, not handshakes, and comes as a module that many distributions ship and few load:
//! <https://docs.kernel.org/networking/tls.html>. From then on the socket is read, written and spliced like one without
//! TLS, but for records that are no data: those stop a read with an error, and [`receive_record`] takes them.
//!
//! Never changes keys on a socket that has some: most kernels cannot.

use std::{
    io, mem,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

/// A version of TLS, by the number that it has on the wire and with the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Version {
    /// RFC 5246.
    Tls12 = 0x0303,
    /// RFC 8446.
    Tls13 = 0x0304,
}

/// A cipher that the kernel knows, by its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Cipher {
    /// AES-GCM with 128 bits.
    Aes128Gcm = 51,
    /// AES-GCM with 256 bits.
    Aes256Gcm = 52,
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305 = 54,
}

/// What one direction of a connection is protected with.
#[derive(Debug)]
pub struct Keys<'a> {
    /// The version.
    pub version: Version,
    /// The cipher.
    pub cipher: Cipher,
    /// As long as the cipher wants it.
    pub key: &'a [u8],
    /// The nonce of record 0. With TLS 1.2 and AES, sending begins with the nonce that the last eight bytes spell.
    pub iv: [u8; 12],
    /// The number of the next record.
    pub sequence: u64,
}

/// A direction of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What we send.
    Send,
    /// What we receive.
    Receive,
}

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
    Ok(match attach(&socket) {
        Ok(()) => true,
        // It is there, and wants a connection; where it is not there, its name is not found.
        Err(error) => error.kind() == io::ErrorKind::NotConnected,
    })
}

/// Whether the kernel does what is asked of it here, for every version and cipher: tried on connections to itself.
#[must_use]
pub fn works() -> bool {
    [Version::Tls12, Version::Tls13].into_iter().all(|version| {
        [
            (Cipher::Aes128Gcm, 16),
            (Cipher::Aes256Gcm, 32),
            (Cipher::ChaCha20Poly1305, 32),
        ]
        .into_iter()
        .all(|(cipher, length)| {
            let keys = Keys {
                version,
                cipher,
                key: [0; 32].get(..length).unwrap_or_default(),
                iv: [0; 12],
                sequence: 0,
            };
            connection_with(&keys, &keys).is_ok()
        })
    })
}

/// The two ends of a connection to ourselves: the first sends with these keys, the second receives.
fn connection_with(send: &Keys<'_>, receive: &Keys<'_>) -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let sender = TcpStream::connect(listener.local_addr()?)?;
    let receiver = listener.accept()?.0;
    attach(&sender)?;
    attach(&receiver)?;
    set_keys(&sender, Direction::Send, send)?;
    set_keys(&receiver, Direction::Receive, receive)?;
    Ok((sender, receiver))
}

/// Puts TLS under a connected socket. Nothing changes for it before it has keys.
///
/// # Errors
///
/// There is no TLS in the kernel, or the socket is not a connected one of TCP.
pub fn attach(socket: impl AsFd) -> io::Result<()> {
    set(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_ULP, b"tls")
}

/// Gives a direction its keys. What the socket has sent, or received and given out, must end with a record.
///
/// # Errors
///
/// The kernel does not have this cipher, or the direction has keys.
pub fn set_keys(socket: impl AsFd, direction: Direction, keys: &Keys<'_>) -> io::Result<()> {
    let option = match direction {
        Direction::Send => TLS_TX,
        Direction::Receive => TLS_RX,
    };
    let mut info = Wiped(Vec::with_capacity(MAX_INFO_BYTES));
    let bytes = &mut info.0;
    bytes.extend_from_slice(&(keys.version as u16).to_ne_bytes());
    bytes.extend_from_slice(&(keys.cipher as u16).to_ne_bytes());
    // The structs of include/uapi/linux/tls.h: iv, key, salt, number. With AES the salt is the beginning of the nonce.
    let salt = match keys.cipher {
        Cipher::Aes128Gcm | Cipher::Aes256Gcm => 4,
        Cipher::ChaCha20Poly1305 => 0,
    };
    let (salt, iv) = keys.iv.split_at_checked(salt).unwrap_or_default();
    bytes.extend_from_slice(iv);
    bytes.extend_from_slice(keys.key);
    bytes.extend_from_slice(salt);
    bytes.extend_from_slice(&keys.sequence.to_be_bytes());
    set(socket.as_fd(), SOL_TLS, option, bytes)
}

/// `setsockopt`, for options that rustix does not have.
fn set(socket: BorrowedFd<'_>, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointer and the length are those of `value`, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_ptr().cast(),
            length,
        )
    };
    done(result as isize).map(drop)
}

/// Takes the next record, or a part of it, with its type; data too. `None` when there is none yet. A type of 0 and no
/// bytes are the end of the stream.
///
/// # Errors
///
/// The connection is broken, or a record was not what the keys make of it (`EBADMSG`).
pub fn receive_record(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<(u8, usize)>> {
    let mut control = Control::default();
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut message = message(&mut part, &mut control);
    // SAFETY: `message` points to `part`, which is `buffer`, and to `control`; all live, with their lengths.
    let count = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, 0) };
    let count = match done(count) {
        Ok(count) => count,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    // SAFETY: `message` is as recvmsg left it, and `control` lives. A message of this type has one byte of data.
    let kind = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let is_kind = !header.is_null()
            && (*header).cmsg_level == SOL_TLS
            && (*header).cmsg_type == TLS_GET_RECORD_TYPE;
        if is_kind {
            libc::CMSG_DATA(header).read()
        } else {
            0
        }
    };
    Ok(Some((kind, count)))
}

/// Sends a record of this type. False when there is no room now.
///
/// # Errors
///
/// The connection is broken.
pub fn send_record(socket: impl AsFd, kind: u8, bytes: &[u8]) -> io::Result<bool> {
    let mut control = Control::default();
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let message = message(&mut part, &mut control);
    // SAFETY: `message` points to `control`, which has room for a header and one byte behind it.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = SOL_TLS;
        (*header).cmsg_type = TLS_SET_RECORD_TYPE;
        (*header).cmsg_len = libc::CMSG_LEN(1) as _;
        libc::CMSG_DATA(header).write(kind);
    }
    // SAFETY: all that `message` points to lives, and sendmsg only reads it.
    let sent = unsafe {
        libc::sendmsg(
            socket.as_fd().as_raw_fd(),
            &raw const message,
            libc::MSG_NOSIGNAL,
        )
    };
    match done(sent) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

fn message(part: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: a msghdr of zeroes is one without name, parts and control.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message.msg_control = ptr::from_mut(control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    message
}

fn done(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Room for a control message of one byte, aligned as its header is.
#[derive(Default)]
#[repr(C, align(8))]
struct Control([u8; 24]);

/// Bytes that leave nothing behind.
struct Wiped(Vec<u8>);

impl Drop for Wiped {
    fn drop(&mut self) {
        for byte in &mut self.0 {
            // SAFETY: a reference to a byte can be written to. Volatile, since nobody reads it again.
            unsafe { ptr::write_volatile(byte, 0) };
        }
    }
}

// include/linux/socket.h and include/uapi/linux/tls.h.
const SOL_TLS: i32 = 282;
const TLS_TX: i32 = 1;
const TLS_RX: i32 = 2;
const TLS_SET_RECORD_TYPE: i32 = 1;
const TLS_GET_RECORD_TYPE: i32 = 2;
/// The longest struct of keys: that of AES-256.
const MAX_INFO_BYTES: usize = 56;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn the_answer_is_that_of_the_list_of_the_kernel() {
        let offered = is_offered();
        // Of the loaded ones, so it is read after the question (tcp(7)).
        let list = "/proc/sys/net/ipv4/tcp_available_ulp";
        let listed = std::fs::read_to_string(list).unwrap_or_default();
        assert_eq!(offered, listed.split_whitespace().any(|name| name == "tls"));
    }

    /// The kernel against itself, where it can: `targets/test-kernel-tls` runs it where it must.
    #[test]
    fn data_and_other_records_come_as_they_were_sent() {
        if !is_offered() {
            assert!(std::env::var_os("LICTOR_KERNEL_TLS").is_none(), "no kTLS");
            return;
        }
        assert!(works());
        for version in [Version::Tls12, Version::Tls13] {
            for (cipher, length) in [
                (Cipher::Aes128Gcm, 16),
                (Cipher::Aes256Gcm, 32),
                (Cipher::ChaCha20Poly1305, 32),
            ] {
                let keys = Keys {
                    version,
                    cipher,
                    key: &[7; 32][..length],
                    iv: [3; 12],
                    sequence: 5,
                };
                let (mut sender, mut receiver) = connection_with(&keys, &keys).unwrap();
                sender.write_all(b"data").unwrap();
                assert!(send_record(&sender, 21, b"\x01\x00").unwrap());
                let mut got = [0; 16];
                assert_eq!(receiver.read(&mut got).unwrap(), 4);
                assert_eq!(&got[..4], b"data");
                // What is no data is no error of the connection's.
                assert!(receiver.read(&mut got).is_err());
                assert_eq!(receive_record(&receiver, &mut got).unwrap(), Some((21, 2)));
                assert_eq!(&got[..2], b"\x01\x00");
                receiver.set_nonblocking(true).unwrap();
                assert_eq!(receive_record(&receiver, &mut got).unwrap(), None);
                drop(sender);
                receiver.set_nonblocking(false).unwrap();
                assert_eq!(receive_record(&receiver, &mut got).unwrap(), Some((0, 0)));
            }
        }
    }
}

//! A point-to-point network device whose other end is a test: the kernel hands each packet that it
//! sends to the device to the reader of a file, and takes what is written there as received
//! (Linux, Documentation/networking/tuntap).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::ioctl::{Setter, ioctl, opcode};

/// Makes a device of this name in the network namespace of the calling thread. It lives as long as
/// the file; reading and writing never block, one packet at a time.
///
/// # Errors
/// When this is not root, or the kernel has no such devices.
pub(crate) fn device(name: &str) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open("/dev/net/tun")?;
    let mut request = Request {
        name: [0; NAME],
        flags: IFF_TUN | IFF_NO_PI,
        _rest: [0; REST],
    };
    for (to, from) in request.name.iter_mut().zip(name.bytes().take(NAME - 1)) {
        *to = from;
    }
    set(&open, request)?;
    Ok(open)
}

#[expect(
    unsafe_code,
    reason = "no crate that the tests use anyway offers this request"
)]
fn set(file: &File, request: Request) -> io::Result<()> {
    // SAFETY: TUNSETIFF reads one `struct ifreq`, which `Request` is laid out as and as large as,
    // and it keeps no pointer to it.
    unsafe { ioctl(file, Setter::<{ TUNSETIFF }, Request>::new(request)) }?;
    Ok(())
}

/// `struct ifreq` with the member that the request uses.
#[repr(C)]
struct Request {
    name: [u8; NAME],
    flags: u16,
    _rest: [u8; REST],
}

/// Bytes of a device's name with the zero at its end (`IFNAMSIZ`).
const NAME: usize = 16;

/// What the union after the name has beyond the flags, on any machine.
const REST: usize = 22;

const IFF_TUN: u16 = 0x0001;
const IFF_NO_PI: u16 = 0x1000;

const TUNSETIFF: rustix::ioctl::Opcode = opcode::write::<i32>(b'T', 202);

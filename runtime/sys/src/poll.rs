//! Asking whether a descriptor would block, without waiting (poll(2)).

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Whether a write of up to `PIPE_BUF` (4,096 bytes) goes through at once. Files and terminals always say yes.
#[must_use]
pub fn is_writable(descriptor: impl AsFd) -> bool {
    let mut polled = [PollFd::new(&descriptor, PollFlags::OUT)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // An error here means that the question cannot be asked; the write will tell.
    !matches!(poll(&mut polled, Some(&now)), Ok(0))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_full_pipe_is_not_writable() {
        let (_reader, mut writer) = std::io::pipe().unwrap();
        assert!(is_writable(&writer));
        while is_writable(&writer) {
            writer.write_all(&[b'x'; 4096]).unwrap();
        }
    }
}

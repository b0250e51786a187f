//! A pipe that carries bytes from one socket to another without copying them to user space (splice(2)).

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    io::Errno,
    pipe::{self, PipeFlags, SpliceFlags},
};

use crate::socket::Moved;

/// A pipe and what is in it.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
    /// 0 <= held; what was taken in and not yet given out, in bytes.
    held: usize,
}

impl Pipe {
    /// A pipe of about that many bytes; fewer when the user's share of pipe memory
    /// (`/proc/sys/fs/pipe-user-pages-soft`) is used up.
    ///
    /// # Errors
    ///
    /// No descriptors left.
    pub fn new(capacity: usize) -> io::Result<Self> {
        let (read, write) = pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let capacity = match pipe::fcntl_setpipe_size(&write, capacity) {
            Ok(granted) => granted,
            Err(_) => pipe::fcntl_getpipe_size(&write)?,
        };
        Ok(Self {
            read,
            write,
            capacity,
            held: 0,
        })
    }

    /// How many bytes are in it.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes in from a socket what fits.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub fn take_from(&mut self, source: impl AsFd) -> io::Result<Moved> {
        let moved = splice(source, &self.write, self.capacity)?;
        if let Moved::Bytes(count) = moved {
            self.held = self.held.saturating_add(count);
        }
        Ok(moved)
    }

    /// Gives out to a socket what there is room for.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub fn give_to(&mut self, destination: impl AsFd) -> io::Result<Moved> {
        let moved = splice(&self.read, destination, self.held)?;
        if let Moved::Bytes(count) = moved {
            self.held = self.held.saturating_sub(count);
        }
        Ok(moved)
    }
}

fn splice(source: impl AsFd, destination: impl AsFd, most: usize) -> io::Result<Moved> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        return match pipe::splice(&source, None, &destination, None, most, flags) {
            Ok(0) => Ok(Moved::End),
            Ok(count) => Ok(Moved::Bytes(count)),
            Err(Errno::AGAIN) => Ok(Moved::WouldBlock),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn bytes_go_from_socket_to_socket() {
        let (mut source, from) = pair();
        let (to, mut destination) = pair();
        let mut pipe = Pipe::new(64 * 1024).unwrap();
        from.set_nonblocking(true).unwrap();
        assert_eq!(pipe.take_from(&from).unwrap(), Moved::WouldBlock);
        source.write_all(b"hello").unwrap();
        assert_eq!(pipe.take_from(&from).unwrap(), Moved::Bytes(5));
        assert_eq!(pipe.held(), 5);
        assert_eq!(pipe.give_to(&to).unwrap(), Moved::Bytes(5));
        assert_eq!(pipe.held(), 0);
        let mut buffer = [0; 5];
        destination.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"hello");
        drop(source);
        assert_eq!(pipe.take_from(&from).unwrap(), Moved::End);
    }
}

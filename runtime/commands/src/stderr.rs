//! Lines to standard error, without ever waiting for whoever reads them.

use std::{
    cell::Cell,
    io::{self, Write as _},
};

/// Standard error, one line a write.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Lines that found no room.
    lost: Cell<u64>,
}

impl Lines {
    /// Writes a line, or drops it when the reader is behind: the log must not stop the data plane.
    pub(crate) fn write(&self, line: &str) {
        let stderr = io::stderr();
        if !sys::poll::is_writable(&stderr) {
            self.lost.set(self.lost.get() + 1);
            return;
        }
        // A reader that is gone is no reason to end.
        let _ = stderr.lock().write_all(line.as_bytes());
    }

    /// How many lines were dropped since this was last asked.
    pub(crate) fn take_lost(&self) -> u64 {
        self.lost.take()
    }
}

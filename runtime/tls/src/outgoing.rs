//! A buffer for bytes on their way out.

/// Bytes on their way out, and room for more.
///
/// Unlike a `Vec` it keeps its memory initialized when it is cleared, so that a buffer that is used again and again is
/// not zeroed again and again.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Initialized memory, of which the first `filled` bytes count.
    memory: Vec<u8>,
    filled: usize,
}

impl Outgoing {
    /// An empty one, without memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one with room for this many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            memory: vec![0; bytes],
            filled: 0,
        }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.memory.get(..self.filled).unwrap_or_default()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// How many there can be before memory is asked for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Forgets the bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// Appends bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        if let Some(room) = self.room(bytes.len()).get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.fill(bytes.len());
    }

    /// The memory behind the bytes: at least this much.
    pub(crate) fn room(&mut self, bytes: usize) -> &mut [u8] {
        let needed = self.filled.saturating_add(bytes);
        if self.memory.len() < needed {
            if self.filled == 0 {
                // New memory is zero as it comes and becomes resident as it is written: of 128 KiB for bulk, a sidecar
                // that sees none takes a page.
                self.memory = vec![0; needed];
            } else {
                self.memory.resize(needed, 0);
            }
        }
        self.memory.get_mut(self.filled..).unwrap_or_default()
    }

    /// This much of the room holds bytes now.
    pub(crate) fn fill(&mut self, bytes: usize) {
        self.filled = self.filled.saturating_add(bytes).min(self.memory.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_kept_and_bytes_are_not() {
        let mut outgoing = Outgoing::with_capacity(4);
        outgoing.extend(b"one");
        outgoing.extend(b"two");
        assert_eq!(outgoing.bytes(), b"onetwo");
        let capacity = outgoing.capacity();
        outgoing.clear();
        assert!(outgoing.is_empty());
        assert_eq!(outgoing.capacity(), capacity);
        outgoing.extend(b"x");
        assert_eq!((outgoing.bytes(), outgoing.len()), (&b"x"[..], 1));
    }
}

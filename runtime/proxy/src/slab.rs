//! The connection table: a fixed number of slots, each used again and again.
//!
//! A [`Ticket`] names one use of a slot; once that use is over, the ticket finds nothing. So an event that was on its
//! way when a connection closed cannot reach the next one in its slot.

/// One use of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    content: Option<T>,
}

/// Slots.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    /// Room for `capacity` slots is reserved at the start and touched as it is needed, so it never moves and costs
    /// nothing before.
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    capacity: usize,
}

impl<T> Slab<T> {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            slots: Vec::with_capacity(capacity),
            free: Vec::new(),
            capacity,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a slot; gives the content back when all are taken.
    pub(crate) fn insert(&mut self, content: T) -> Result<Ticket, T> {
        if let Some(index) = self.free.pop() {
            if let Some(slot) = self.slots.get_mut(index as usize) {
                slot.content = Some(content);
                return Ok(Ticket {
                    index,
                    generation: slot.generation,
                });
            }
            return Err(content);
        }
        if self.slots.len() >= self.capacity {
            return Err(content);
        }
        let Ok(index) = u32::try_from(self.slots.len()) else {
            return Err(content);
        };
        self.slots.push(Slot {
            generation: 0,
            content: Some(content),
        });
        Ok(Ticket {
            index,
            generation: 0,
        })
    }

    pub(crate) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        let slot = self.slots.get_mut(ticket.index as usize)?;
        if slot.generation == ticket.generation {
            slot.content.as_mut()
        } else {
            None
        }
    }

    /// Ends a use, and gives out what was there.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let slot = self.slots.get_mut(ticket.index as usize)?;
        if slot.generation != ticket.generation {
            return None;
        }
        let content = slot.content.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(ticket.index);
        Some(content)
    }

    /// The ticket of the use that a slot is in.
    pub(crate) fn current(&self, index: u32) -> Option<Ticket> {
        let slot = self.slots.get(index as usize)?;
        slot.content.as_ref().map(|_| Ticket {
            index,
            generation: slot.generation,
        })
    }

    /// All uses at this moment.
    pub(crate) fn tickets(&self) -> Vec<Ticket> {
        (0..self.slots.len())
            .filter_map(|index| self.current(u32::try_from(index).ok()?))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_ticket_finds_nothing() {
        let mut slab = Slab::with_capacity(1);
        let first = slab.insert('a').unwrap();
        assert_eq!(slab.insert('b'), Err('b'), "the only slot is taken");
        assert_eq!(slab.remove(first), Some('a'));
        assert_eq!(slab.remove(first), None);
        let second = slab.insert('c').unwrap();
        assert_eq!(second.index, first.index);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut 'c'));
        assert_eq!((slab.len(), slab.tickets()), (1, vec![second]));
    }
}

//! What an epoll event is about, packed into the 64 bits that the kernel gives back.
//!
//! Bits 0–28 are a slot, 29–31 the role of the descriptor, 32–63 the slot's generation.

use crate::slab::Ticket;

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// The client's side of a flow.
    Client(Ticket),
    /// A connection attempt of a flow, or the upstream side it became: which attempt, below [`ATTEMPT_ROLES`].
    Upstream(Ticket, u8),
    /// A listener, by its place.
    Listener(u32),
    /// The timer.
    Timer,
}

/// How many attempts of one flow can be told apart.
pub(crate) const ATTEMPT_ROLES: u8 = 5;

const INDEX_BITS: u32 = 29;
/// The most slots that a token can name.
pub(crate) const MAX_SLOTS: usize = 1 << INDEX_BITS;
const ROLE_CLIENT: u64 = 0;
const ROLE_LISTENER: u64 = 6;
const ROLE_TIMER: u64 = 7;

impl Token {
    pub(crate) fn pack(self) -> u64 {
        let (index, generation, role) = match self {
            Self::Client(ticket) => (ticket.index, ticket.generation, ROLE_CLIENT),
            Self::Upstream(ticket, attempt) => {
                (ticket.index, ticket.generation, 1 + u64::from(attempt))
            }
            Self::Listener(place) => (place, 0, ROLE_LISTENER),
            Self::Timer => (0, 0, ROLE_TIMER),
        };
        u64::from(index) | role << INDEX_BITS | u64::from(generation) << 32
    }

    pub(crate) fn unpack(token: u64) -> Self {
        let index = (token & ((1 << INDEX_BITS) - 1)) as u32;
        let ticket = Ticket {
            index,
            generation: (token >> 32) as u32,
        };
        match token >> INDEX_BITS & 7 {
            ROLE_CLIENT => Self::Client(ticket),
            ROLE_LISTENER => Self::Listener(index),
            ROLE_TIMER => Self::Timer,
            role => Self::Upstream(ticket, role as u8 - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let ticket = Ticket {
            index: (1 << INDEX_BITS) - 1,
            generation: u32::MAX,
        };
        let upstreams = (0..ATTEMPT_ROLES).map(|attempt| Token::Upstream(ticket, attempt));
        for token in upstreams.chain([Token::Client(ticket), Token::Listener(3), Token::Timer]) {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}

//! One direction of a connection with TLS on one side or both.
//!
//! A turn reads once, opens or seals what was read where it lies, and sends all of it with one call: plaintext is read into the
//! slots that its records leave for it. The buffers belong to the reserve; an idle direction has none. What the destination
//! has no room for is held, as without TLS.

use std::os::fd::BorrowedFd;

use crate::tls::{Outgoing, Session, Step};
use sys::socket::{self, Moved};

use crate::{
    half::{Broken, Half, Held, LARGE_READ, Turn},
    reserve::Reserve,
};

/// The most bytes of one direction read in a turn; fewer than without TLS, since each costs more.
const TURN_BYTES: usize = 512 * 1024;

/// The two ends of a direction: what decrypts, what encrypts.
pub(crate) struct Ends<'a> {
    pub(crate) source: Option<&'a mut Session>,
    pub(crate) destination: Option<&'a mut Session>,
}

/// What is to be sent, in the reserve.
#[derive(Clone, Copy)]
enum Made {
    /// So many bytes of `plain`.
    Plaintext(usize),
    /// `records`.
    Records,
}

impl Ends<'_> {
    /// Reads once, to where it is opened or sealed: little, or as much as a turn takes. Gives how much was asked for too.
    fn read(
        &mut self,
        source: BorrowedFd<'_>,
        much: bool,
        reserve: &mut Reserve,
    ) -> Result<(Moved, usize), Broken> {
        if let (None, Some(session)) = (&self.source, &mut self.destination) {
            let has_room = reserve.has_room_for_records();
            reserve.records.clear();
            let slots = session.slots(&mut reserve.records);
            let mut slots = slots.map_err(|_| Broken::Destination)?;
            let most = if has_room && much { slots.len() } else { 1 };
            let slots = slots.get_mut(..most).unwrap_or_default();
            let asked = slots.iter().map(|slot| slot.len()).sum();
            let moved = socket::receive_into(source, slots);
            return Ok((moved.map_err(|_| Broken::Source)?, asked));
        }
        let front = self
            .source
            .as_ref()
            .map_or(0, |session| session.room_in_front());
        let room = reserve
            .room_for_records()
            .get_mut(front..)
            .unwrap_or_default();
        let moved = socket::receive(source, room).map_err(|_| Broken::Source)?;
        Ok((moved, room.len()))
    }
}

impl Half {
    /// Moves what can be moved. What TLS has to say to the source is appended to `reply`.
    pub(crate) fn pump_tls(
        &mut self,
        source: BorrowedFd<'_>,
        destination: BorrowedFd<'_>,
        mut ends: Ends<'_>,
        reserve: &mut Reserve,
        reply: &mut Outgoing,
    ) -> Result<Turn, Broken> {
        let mut taken = 0;
        loop {
            if !self.give_held(destination, reserve)? {
                self.blocked = true;
                return Ok(Turn::Idle);
            }
            self.blocked = false;
            if self.ended {
                if !self.say_goodbye(&mut ends, destination, reserve)? {
                    continue;
                }
                return Ok(Turn::Finished);
            }
            if taken >= TURN_BYTES {
                return Ok(Turn::Again);
            }
            let much = self.eager > 0;
            let (moved, asked) = ends.read(source, much, reserve)?;
            let count = match moved {
                Moved::Bytes(count) => count,
                Moved::WouldBlock => return Ok(Turn::Idle),
                Moved::End => {
                    if let Some(session) = &ends.source {
                        // An end that TLS does not know of may be somebody's cut: it is passed on as a break.
                        session.end_of_stream().map_err(|_| Broken::Source)?;
                    }
                    self.ended = true;
                    continue;
                }
            };
            taken += count;
            self.eager = if count >= LARGE_READ { 1 } else { 0 };
            let made = self.transform(count, &mut ends, reserve, reply)?;
            self.send_turn(made, destination, reserve)?;
            let short = count < asked;
            if short && !self.hung_up && !self.ended && !self.holds() {
                return Ok(Turn::Idle);
            }
        }
    }

    /// Opens and seals what was read.
    fn transform(
        &mut self,
        count: usize,
        ends: &mut Ends<'_>,
        reserve: &mut Reserve,
        reply: &mut Outgoing,
    ) -> Result<Made, Broken> {
        let Reserve { plain, records, .. } = reserve;
        let Some(session) = &mut ends.source else {
            let Some(session) = &mut ends.destination else {
                return Ok(Made::Plaintext(count));
            };
            let sealed = session.seal(count, records);
            return sealed
                .map(|()| Made::Records)
                .map_err(|_| Broken::Destination);
        };
        let read = session.room_in_front() + count;
        let opened = session.open(plain.get_mut(..read).unwrap_or_default(), reply);
        let count = opened.map_err(|error| Broken::SourceTls(Box::new(error)))?;
        self.ended = session.step() == Step::PeerClosed;
        let Some(session) = &mut ends.destination else {
            return Ok(Made::Plaintext(count));
        };
        records.clear();
        let sealed = session.encrypt(plain.get(..count).unwrap_or_default(), records);
        sealed
            .map(|()| Made::Records)
            .map_err(|_| Broken::Destination)
    }

    /// Sends what a turn has made, and holds what there is no room for.
    fn send_turn(
        &mut self,
        made: Made,
        destination: BorrowedFd<'_>,
        reserve: &mut Reserve,
    ) -> Result<(), Broken> {
        let made = match made {
            Made::Plaintext(count) => reserve.plain.get(..count).unwrap_or_default(),
            Made::Records => reserve.records.bytes(),
        };
        if made.is_empty() {
            return Ok(());
        }
        let joined;
        let made = match std::mem::take(&mut self.held) {
            Held::Front(front) => {
                joined = [front.bytes.as_slice(), made].concat();
                reserve.note_released(front.bytes.len());
                &joined
            }
            held => {
                self.held = held;
                made
            }
        };
        let sent = match socket::send(destination, made).map_err(|_| Broken::Destination)? {
            Moved::Bytes(sent) => sent,
            Moved::WouldBlock | Moved::End => 0,
        };
        self.carried += sent as u64;
        let rest = made.get(sent..).unwrap_or_default().to_vec();
        self.hold(rest, reserve);
        Ok(())
    }

    /// Tells a destination with TLS that no more will come; true once that is on its way.
    fn say_goodbye(
        &mut self,
        ends: &mut Ends<'_>,
        destination: BorrowedFd<'_>,
        reserve: &mut Reserve,
    ) -> Result<bool, Broken> {
        let Some(session) = &mut ends.destination else {
            return Ok(true);
        };
        reserve.records.clear();
        session
            .close(&mut reserve.records)
            .map_err(|_| Broken::Destination)?;
        let nothing_new = reserve.records.is_empty();
        self.send_turn(Made::Records, destination, reserve)?;
        Ok(nothing_new)
    }
}

//! One direction of a connection with TLS on one side or both.
//!
//! A turn reads once into the scratch buffer, decrypts in place, encrypts into records, and sends all of it with one call. The
//! buffers belong to the reserve; an idle direction has none. What the destination has no room for is held, as without TLS.

use std::os::fd::BorrowedFd;

use crate::tls::{Outgoing, Session, Step};
use sys::socket::{self, Moved};

use crate::{
    half::{Broken, Half, Turn},
    reserve::Reserve,
};

/// The most bytes of one direction read in a turn; fewer than without TLS, since each costs more.
const TURN_BYTES: usize = 512 * 1024;

/// The two ends of a direction: what decrypts, what encrypts.
pub(crate) struct Ends<'a> {
    pub(crate) source: Option<&'a mut Session>,
    pub(crate) destination: Option<&'a mut Session>,
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
            let room = reserve.room_for_records();
            let asked = room.len();
            let count = match socket::receive(source, room).map_err(|_| Broken::Source)? {
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
            self.transform(count, &mut ends, reserve, reply)?;
            let sealed = ends.destination.is_some();
            self.send_turn(sealed, destination, reserve)?;
            let short = count < asked;
            if short && !self.hung_up && !self.ended && !self.holds() {
                return Ok(Turn::Idle);
            }
        }
    }

    /// Decrypts and encrypts what was read: into `plain`, and from there into `records` if the destination has TLS.
    pub(crate) fn transform(
        &mut self,
        count: usize,
        ends: &mut Ends<'_>,
        reserve: &mut Reserve,
        reply: &mut Outgoing,
    ) -> Result<(), Broken> {
        let Reserve {
            scratch,
            plain,
            records,
            ..
        } = reserve;
        plain.clear();
        records.clear();
        let read = scratch.get_mut(..count).unwrap_or_default();
        match &mut ends.source {
            Some(session) => {
                let step = session.receive(read, reply, &mut |piece| plain.extend(piece));
                match step.map_err(|error| Broken::SourceTls(Box::new(error)))? {
                    Step::PeerClosed => self.ended = true,
                    Step::Handshaking | Step::Established => {}
                }
            }
            None => {
                // Encrypted from where it was read.
                if let Some(session) = &mut ends.destination {
                    let sealed = session.encrypt(read, records);
                    return sealed.map_err(|_| Broken::Destination);
                }
                plain.extend(read);
            }
        }
        if let Some(session) = &mut ends.destination
            && !plain.is_empty()
        {
            session
                .encrypt(plain.bytes(), records)
                .map_err(|_| Broken::Destination)?;
        }
        Ok(())
    }

    /// Sends what a turn has made, and holds what there is no room for.
    pub(crate) fn send_turn(
        &mut self,
        sealed: bool,
        destination: BorrowedFd<'_>,
        reserve: &mut Reserve,
    ) -> Result<(), Broken> {
        let made = if sealed {
            reserve.records.bytes()
        } else {
            reserve.plain.bytes()
        };
        if made.is_empty() {
            return Ok(());
        }
        let sent = match socket::send(destination, made).map_err(|_| Broken::Destination)? {
            Moved::Bytes(sent) => sent,
            Moved::WouldBlock | Moved::End => 0,
        };
        self.carried += sent as u64;
        let rest = made.get(sent..).unwrap_or_default().to_vec();
        self.hold(&rest, reserve);
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
        self.send_turn(true, destination, reserve)?;
        Ok(nothing_new)
    }
}

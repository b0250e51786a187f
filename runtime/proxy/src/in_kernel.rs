//! Flows whose TLS the kernel does (kTLS): handed over once, then moved like plaintext, by splice(2) too.
//!
//! A flow goes over when its TLS is set up and nothing lies in between: all that was encrypted here has been sent, all
//! that was read here was used. One that cannot go then stays as it is. What comes back from the kernel are records that
//! are no data, which stop a read with an error; and the end of what we send must be said by a record of its own.

use std::os::fd::{AsFd, BorrowedFd};

use sys::{ktls, poll};

use crate::{
    engine::Engine,
    event::{End, add},
    flow::{Relaying, Stage},
    half::{Broken, Half, Turn},
    reserve::Reserve,
    slab::Ticket,
    tls::{Error, Session, Step},
};

impl Engine {
    /// Lets the kernel do the TLS of a flow that begins to relay. False when the flow has ended over it.
    pub(crate) fn hand_over(&mut self, ticket: Ticket) -> bool {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return false;
        };
        let Stage::Relaying(Relaying {
            upstream,
            client_tls,
            upstream_tls,
            out,
            back,
            ..
        }) = &mut flow.stage
        else {
            return false;
        };
        if !self.options.kernel_tls || (client_tls.is_none() && upstream_tls.is_none()) {
            return true;
        }
        let (client, upstream) = (flow.client.as_fd(), upstream.as_fd());
        // Behind them come records of the kernel's.
        out.hurry();
        back.hurry();
        // A side that is broken is found out by the relay.
        let empty = out.give_held(upstream, &mut self.reserve).unwrap_or(false)
            && back.give_held(client, &mut self.reserve).unwrap_or(false);
        let ready = |session: &Option<Box<Session>>, socket: BorrowedFd<'_>| {
            session
                .as_ref()
                .is_none_or(|session| session.can_leave() && ktls::attach(socket).is_ok())
        };
        if !empty || !ready(client_tls, client) || !ready(upstream_tls, upstream) {
            return true;
        }
        let gone =
            leave(client_tls, client, out).and_then(|()| leave(upstream_tls, upstream, back));
        if gone.is_err() {
            // Its keys are gone, or half of them: nobody can go on.
            self.end(ticket, End::ClientReset);
            return false;
        }
        add(&self.counters.kernel_tls, 1);
        true
    }
}

/// Gives the keys of a side to the kernel. `from` is the direction that starts there.
fn leave(
    session: &mut Option<Box<Session>>,
    socket: BorrowedFd<'_>,
    from: &mut Half,
) -> Result<(), Error> {
    let Some(session) = session else {
        return Ok(());
    };
    session
        .leave(&mut |direction, keys: &ktls::Keys<'_>| ktls::set_keys(socket, direction, keys))?;
    // A read that is short may have stopped at a record that is no data, so reads go on until there is nothing.
    from.hung_up = true;
    Ok(())
}

/// Whether bytes of this side need nothing done to them here.
pub(crate) fn is_plain(session: &Option<Box<Session>>) -> bool {
    session
        .as_ref()
        .is_none_or(|session| session.is_in_kernel())
}

/// Moves what can be moved, as [`Half::pump`] does, and takes care of what is not data.
pub(crate) fn pump(
    half: &mut Half,
    (source, decrypt): (BorrowedFd<'_>, &mut Option<Box<Session>>),
    (destination, encrypt): (BorrowedFd<'_>, &Option<Box<Session>>),
    reserve: &mut Reserve,
) -> Result<Turn, Broken> {
    loop {
        match (half.pump(source, destination, reserve), &mut *decrypt) {
            (Err(Broken::Source), Some(session)) => {
                if take_record(session, source)? == Step::PeerClosed {
                    half.ended = true;
                }
            }
            // An end that TLS does not know of may be somebody's cut: it is passed on as a break.
            (Ok(Turn::Finished), Some(session)) if session.step() != Step::PeerClosed => {
                return Err(Broken::Source);
            }
            (Ok(Turn::Finished), _) if encrypt.is_some() && !say_goodbye(destination)? => {
                half.blocked = true;
                return Ok(Turn::Idle);
            }
            (turn, _) => return turn,
        }
    }
}

/// Takes the record that has stopped a read.
fn take_record(session: &mut Session, source: BorrowedFd<'_>) -> Result<Step, Broken> {
    let mut record = [0; RECORD_BYTES];
    let (kind, count) = match ktls::receive_record(source, &mut record) {
        Ok(Some(record)) => record,
        // The error that stopped the read was one of the connection.
        Ok(None) => return Err(Broken::Source),
        Err(_) => {
            // Sent in vain if the connection is gone; else what it had was not made with its keys.
            let _ = ktls::send_record(source, ALERT, &BAD_RECORD_MAC);
            return Err(Broken::Source);
        }
    };
    let body = record.get(..count).unwrap_or_default();
    let step = session.take_record(kind, body);
    step.map_err(|error| Broken::SourceTls(Box::new(error)))
}

/// Says that no more will come; false when there is no room for it now.
///
/// The kernel may keep a record that it has taken and could not send whole, and loses it at the end of the connection.
/// Where a third of the buffer is free, which is when the socket counts as writable, both that and this fit.
fn say_goodbye(destination: BorrowedFd<'_>) -> Result<bool, Broken> {
    let broken = |_| Broken::Destination;
    if !poll::is_writable(destination) {
        return Ok(false);
    }
    ktls::send_record(destination, ALERT, &CLOSE_NOTIFY).map_err(broken)
}

/// The longest record (RFC 8446 section 5.1). On the stack: rarely needed.
const RECORD_BYTES: usize = 1 << 14;

// RFC 8446 section 6.
const ALERT: u8 = 21;
const CLOSE_NOTIFY: [u8; 2] = [1, 0];
const BAD_RECORD_MAC: [u8; 2] = [2, 20];

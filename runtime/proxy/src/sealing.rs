//! TLS with the upstream: the handshake, and whether it is who it should be.
//!
//! Not a byte of the client's is sent before the upstream has proven to be one of those that the cluster accepts.

use std::{fmt, os::fd::AsFd as _, rc::Rc};

use crate::tls::{Outgoing, Step};
use sys::{
    epoll::Event as Readiness,
    socket::{self, Moved},
};

use crate::tls::Error as TlsError;
use crate::{
    engine::Engine,
    event::Cause,
    flow::{Flow, Greeting, Sealing, Stage},
    opening::{FLIGHT_BYTES, flush},
    relaying::Start,
    slab::Ticket,
};

/// Why TLS with an upstream was not set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// It closed or did not answer, as a gateway does that knows no way to the destination.
    Silence,
    /// What it said: somebody must look at that, and no failover should hide it.
    Words,
}

impl Engine {
    /// An event on an upstream with which TLS is being set up.
    pub(crate) fn on_upstream_sealing(&mut self, ticket: Ticket, role: u8, event: Readiness) {
        let Some(Flow {
            stage: Stage::Sealing(sealing),
            ..
        }) = self.flows.get_mut(ticket)
        else {
            return;
        };
        let Sealing {
            upstream,
            unsent,
            hung_up,
            ..
        } = &mut **sealing;
        if upstream.role != role {
            return;
        }
        *hung_up |= event.hung_up();
        let target = upstream.target.clone();
        if event.writable() && flush(unsent, &upstream.socket).is_err() {
            return self.seal_failed(ticket, Blame::Silence, format_args!("{target} reset TLS"));
        }
        if !event.readable() {
            return;
        }
        loop {
            let Some(Flow {
                stage: Stage::Sealing(sealing),
                ..
            }) = self.flows.get_mut(ticket)
            else {
                return;
            };
            let mut flight = [0; FLIGHT_BYTES];
            let target = sealing.upstream.target.clone();
            let count = match socket::receive(sealing.upstream.socket.as_fd(), &mut flight) {
                Ok(Moved::Bytes(count)) => count,
                Ok(Moved::WouldBlock) => return,
                Ok(Moved::End) | Err(_) => {
                    let detail = format_args!(
                        "{target} closed in the middle of TLS: no such name there, or no trust in us"
                    );
                    return self.seal_failed(ticket, Blame::Silence, detail);
                }
            };
            // After a read that is short there is nothing: more will be another event.
            let more = event.hung_up() || count == FLIGHT_BYTES;
            sealing.unread = more;
            if !self.seal_on(ticket, flight.get_mut(..count).unwrap_or_default()) || !more {
                return;
            }
        }
    }

    /// Gives the upstream's bytes to TLS, and TLS's to the upstream; true while the handshake goes on.
    fn seal_on(&mut self, ticket: Ticket, bytes: &mut [u8]) -> bool {
        let Some(Flow {
            stage: Stage::Sealing(sealing),
            ..
        }) = self.flows.get_mut(ticket)
        else {
            return false;
        };
        let Sealing {
            upstream,
            secured,
            unsent,
            ..
        } = &mut **sealing;
        let target = upstream.target.clone();
        let Some(session) = &mut secured.upstream else {
            return false;
        };
        let mut wire = Outgoing::new();
        let step = session.receive(bytes, &mut wire, &mut |_| {});
        unsent.extend_from_slice(wire.bytes());
        // What ends the handshake goes together with what the client has sent.
        if matches!(step, Ok(Step::Established | Step::PeerClosed)) {
            self.sealed(ticket);
            return false;
        }
        match (step, flush(unsent, &upstream.socket)) {
            (Ok(_), Ok(())) => return true,
            (Err(error), _) => {
                self.seal_failed(ticket, Blame::Words, format_args!("{target}: {error}"))
            }
            (_, Err(error)) => {
                self.seal_failed(ticket, Blame::Silence, format_args!("{target}: {error}"))
            }
        }
        false
    }

    /// TLS with the upstream was not set up.
    pub(crate) fn seal_failed(&mut self, ticket: Ticket, blame: Blame, detail: fmt::Arguments<'_>) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        let Stage::Sealing(sealing) = &flow.stage else {
            return;
        };
        let cluster = Rc::clone(&sealing.cluster);
        let target = sealing.upstream.target.clone();
        self.note_failure(&cluster, &target);
        if blame == Blame::Silence && (self.try_another(ticket) || self.fail_over(ticket)) {
            return;
        }
        self.refuse(ticket, Cause::UpstreamTls, detail);
    }

    /// The upstream is who it should be: what has waited for that goes on its way.
    fn sealed(&mut self, ticket: Ticket) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        let Stage::Sealing(sealing) = &mut flow.stage else {
            return;
        };
        let (mut out, mut back) = (Outgoing::new(), Outgoing::new());
        out.extend(&sealing.unsent);
        back.extend(&sealing.secured.unsent);
        let mut plain = Vec::new();
        if let Err(error) = begin(sealing, &mut out, &mut plain) {
            // The alert, where one is due. If there is no room for it, it goes without.
            let _ = flush(&mut out.bytes().to_vec(), &sealing.upstream.socket);
            let detail = format!("{}: {error}", sealing.upstream.target);
            return self.seal_failed(ticket, Blame::Words, format_args!("{detail}"));
        }
        let stage = std::mem::replace(&mut flow.stage, Stage::Greeting(Greeting::default()));
        let Stage::Sealing(sealing) = stage else {
            return;
        };
        let Sealing {
            upstream,
            cluster,
            server_name,
            mut secured,
            client_ready,
            hung_up,
            unread,
            ..
        } = *sealing;
        let sealed = match &mut secured.client {
            Some(session) => session.encrypt(&plain, &mut back),
            None => {
                back.extend(&plain);
                Ok(())
            }
        };
        let start = Start {
            upstream,
            cluster,
            server_name,
            client_tls: secured.client,
            upstream_tls: secured.upstream,
            out: out.bytes().to_vec(),
            tickets: secured.tickets,
            back: back.bytes().to_vec(),
            carried: 0,
            client_ready,
            upstream_hung_up: hung_up,
            upstream_unread: unread,
        };
        self.relay(ticket, start);
        if sealed.is_err() {
            self.cut(ticket, Cause::UpstreamTls);
        }
    }
}

/// Sends what has waited for the handshake, and takes what has come behind it.
fn begin(sealing: &mut Sealing, out: &mut Outgoing, plain: &mut Vec<u8>) -> Result<(), TlsError> {
    let Some(session) = &mut sealing.secured.upstream else {
        return Ok(());
    };
    // The Plan may have changed during the handshake.
    match sealing.cluster.client_context() {
        Some(context) => context.still_accepts(session)?,
        None => return Err(TlsError::Bug("the cluster has no TLS any more")),
    }
    if !sealing.secured.early.is_empty() {
        session.encrypt(&sealing.secured.early, out)?;
    }
    session.receive(&mut [], out, &mut |bytes| plain.extend_from_slice(bytes))?;
    Ok(())
}

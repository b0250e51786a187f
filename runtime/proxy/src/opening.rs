//! TLS with the client: the handshake, who the client is, and whether it may come in.
//!
//! Nothing of the client's reaches an endpoint, and no endpoint is dialed, before its certificate has been verified and an
//! intention has let it in. TLS asks the intentions within the handshake, so that a client that is denied is told by an
//! alert; they are asked again behind it, for sessions that are resumed and for a Plan that has changed meanwhile.

use std::{os::fd::AsFd as _, rc::Rc};

use crate::tls::{Outgoing, Session, Step};
use sys::{
    epoll::Event as Readiness,
    socket::{self, Moved},
};

use crate::{
    chain::Chain,
    cluster::Cluster,
    engine::{Engine, ticks},
    event::Cause,
    flow::{Flow, Greeting, Opening, Secured, Stage},
    slab::Ticket,
};

/// Read at a time during a handshake: a flight of certificates fits.
pub(crate) const FLIGHT_BYTES: usize = 16 * 1024;

impl Engine {
    /// Starts TLS with a client whose ClientHello is there.
    pub(crate) fn open(
        &mut self,
        ticket: Ticket,
        chain: &Chain,
        cluster: Rc<Cluster>,
        server_name: &str,
        mut hello: Vec<u8>,
    ) {
        let session = match chain.tls.as_ref().map(|(context, _)| context.accept()) {
            Some(Ok(session)) => session,
            Some(Err(error)) => {
                return self.refuse(ticket, Cause::TlsHandshake, format_args!("{error}"));
            }
            None => return,
        };
        // Who was not awaited is watched from now on, and its next bytes will be told.
        let awaited = self.flows.get_mut(ticket).is_some_and(
            |flow| matches!(&flow.stage, Stage::Greeting(greeting) if greeting.awaited),
        );
        if !self.watch_client(ticket) {
            return;
        }
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        flow.server_name = Some(server_name.into());
        flow.stage = Stage::Opening(Box::new(Opening {
            session,
            unsent: Vec::new(),
            unread: false,
            cluster,
        }));
        let deadline = self
            .now
            .saturating_add(ticks(self.options.client_hello_timeout));
        self.wheel.set(ticket.index, deadline);
        if self.open_on(ticket, &mut hello) && awaited {
            self.read_opening(ticket, true);
        }
    }

    /// An event on a client with which TLS is being set up.
    pub(crate) fn on_client_opening(&mut self, ticket: Ticket, event: Readiness) {
        let Some(Flow {
            client,
            stage: Stage::Opening(opening),
            ..
        }) = self.flows.get_mut(ticket)
        else {
            return;
        };
        if event.writable() && flush(&mut opening.unsent, client).is_err() {
            return self.refuse(
                ticket,
                Cause::ClientGone,
                format_args!("reset in the middle of TLS"),
            );
        }
        if event.readable() {
            self.read_opening(ticket, event.hung_up());
        }
    }

    /// Reads until there is nothing; as a rule a read that is short has told so, and more will be another event.
    fn read_opening(&mut self, ticket: Ticket, to_the_end: bool) {
        loop {
            let Some(Flow {
                client,
                stage: Stage::Opening(opening),
                ..
            }) = self.flows.get_mut(ticket)
            else {
                return;
            };
            let mut flight = [0; FLIGHT_BYTES];
            let count = match socket::receive(client.as_fd(), &mut flight) {
                Ok(Moved::Bytes(count)) => count,
                Ok(Moved::WouldBlock) => return,
                Ok(Moved::End) | Err(_) => {
                    let detail = format_args!(
                        "closed in the middle of TLS: it does not trust us, as a rule"
                    );
                    return self.refuse(ticket, Cause::ClientGone, detail);
                }
            };
            let more = to_the_end || count == FLIGHT_BYTES;
            opening.unread = more;
            if !self.open_on(ticket, flight.get_mut(..count).unwrap_or_default()) || !more {
                return;
            }
        }
    }

    /// Gives the client's bytes to TLS, and TLS's to the client; true while the handshake goes on.
    fn open_on(&mut self, ticket: Ticket, bytes: &mut [u8]) -> bool {
        let Some(Flow {
            client,
            stage: Stage::Opening(opening),
            ..
        }) = self.flows.get_mut(ticket)
        else {
            return false;
        };
        let mut wire = Outgoing::new();
        let step = opening.session.receive(bytes, &mut wire, &mut |_| {});
        opening.unsent.extend_from_slice(wire.bytes());
        if !opening.session.has_tickets_last() {
            // A client that is gone is found out by the next read.
            let _ = flush(&mut opening.unsent, client);
        }
        match step {
            Ok(Step::Handshaking) => return true,
            // A client with nothing to say may have said so already; it can still want to hear.
            Ok(Step::Established | Step::PeerClosed) => self.let_in(ticket),
            Err(error) => {
                let cause = match error.is_denial() {
                    true => Cause::IntentionDenied,
                    false => Cause::TlsHandshake,
                };
                self.refuse(ticket, cause, format_args!("{error}"));
            }
        }
        false
    }

    /// The client has proven who it is: may it come in, by the rules of this moment?
    fn let_in(&mut self, ticket: Ticket) {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return;
        };
        let Stage::Opening(opening) = &mut flow.stage else {
            return;
        };
        let name = flow.server_name.as_deref().unwrap_or_default();
        let chain = flow.listener.rules.borrow().find(name).map(Rc::clone);
        if let Err(refused) = admits(chain.as_deref(), flow.chain.as_deref(), &opening.session) {
            return self.refuse(ticket, refused.cause, format_args!("{}", refused.detail));
        }
        let stage = std::mem::replace(&mut flow.stage, Stage::Greeting(Greeting::default()));
        let Stage::Opening(opening) = stage else {
            return;
        };
        let Opening {
            mut session,
            mut unsent,
            unread,
            cluster,
        } = *opening;
        let (mut early, mut wire) = (Vec::new(), Outgoing::new());
        // What has come behind the handshake.
        let after = session.receive(&mut [], &mut wire, &mut |plain| {
            early.extend_from_slice(plain)
        });
        unsent.extend_from_slice(wire.bytes());
        if let Err(error) = after {
            // The alert. If there is no room for it, it goes without.
            let _ = flush(&mut unsent, &flow.client);
            return self.refuse(ticket, Cause::TlsHandshake, format_args!("{error}"));
        }
        let name = flow.server_name.clone().unwrap_or_default();
        let tickets = match session.has_tickets_last() {
            true => std::mem::take(&mut unsent),
            false => Vec::new(),
        };
        let secured = Secured {
            client: Some(Box::new(session)),
            unsent,
            tickets,
            unread,
            ..Secured::default()
        };
        self.dial(ticket, cluster, &name, early, secured);
    }

    /// Holds every flow with TLS against the rules of this moment; cuts those that they do not allow, and no other.
    pub(crate) fn recheck(&mut self) {
        for ticket in self.flows.tickets() {
            let Some(flow) = self.flows.get_mut(ticket) else {
                continue;
            };
            let (client, upstream, cluster) = match &flow.stage {
                // Looked at when their handshake is done.
                Stage::Greeting(_) | Stage::Opening(_) => continue,
                Stage::Dialing(dialing) => (&dialing.secured.client, &None, &dialing.cluster),
                Stage::Sealing(sealing) => (&sealing.secured.client, &None, &sealing.cluster),
                Stage::Relaying(relaying) => (
                    &relaying.client_tls,
                    &relaying.upstream_tls,
                    &relaying.cluster,
                ),
            };
            let mut refused = None;
            if let Some(session) = client {
                let name = flow.server_name.as_deref().unwrap_or_default();
                let chain = flow.listener.rules.borrow().find(name).map(Rc::clone);
                refused = admits(chain.as_deref(), flow.chain.as_deref(), session).err();
                if let (None, Some(chain)) = (&refused, chain)
                    && flow
                        .chain
                        .as_ref()
                        .is_some_and(|before| !Rc::ptr_eq(before, &chain))
                {
                    chain.take_over();
                    if let Some(before) = flow.chain.replace(chain) {
                        before.leave();
                    }
                }
            }
            if let (None, Some(session)) = (&refused, upstream) {
                let trusted = cluster
                    .client_context()
                    .is_some_and(|context| context.still_accepts(session).is_ok());
                if !trusted {
                    refused = Some(NotAdmitted {
                        cause: Cause::TrustRemoved,
                        detail: String::new(),
                    });
                }
            }
            if let Some(refused) = refused {
                self.cut(ticket, refused.cause);
            }
        }
    }
}

/// Why a client may not come in.
struct NotAdmitted {
    cause: Cause,
    detail: String,
}

/// Whether a chain lets a client in whose session was made under `before`.
fn admits(
    chain: Option<&Chain>,
    before: Option<&Chain>,
    session: &Session,
) -> Result<(), NotAdmitted> {
    let removed = |detail: &str| NotAdmitted {
        cause: Cause::TrustRemoved,
        detail: detail.to_owned(),
    };
    let chain = chain.ok_or_else(|| removed("its chain is gone"))?;
    let (context, _) = chain
        .tls
        .as_ref()
        .ok_or_else(|| removed("its chain has no TLS any more"))?;
    if !before.is_some_and(|before| std::ptr::eq(before, chain)) {
        context
            .still_accepts(session)
            .map_err(|error| removed(&error.to_string()))?;
    }
    let peer = session
        .peer()
        .ok_or_else(|| removed("nobody knows who it is"))?;
    let Some(intentions) = &chain.spec.authorization else {
        return Ok(());
    };
    let decision = intentions.decide(peer);
    if decision.allowed {
        return Ok(());
    }
    Err(NotAdmitted {
        cause: Cause::IntentionDenied,
        detail: format!("{peer}: {decision}"),
    })
}

/// Sends what is waiting, as far as there is room.
pub(crate) fn flush(unsent: &mut Vec<u8>, socket: impl std::os::fd::AsFd) -> std::io::Result<()> {
    while !unsent.is_empty() {
        match socket::send(&socket, unsent)? {
            Moved::Bytes(sent) => drop(unsent.drain(..sent)),
            Moved::WouldBlock | Moved::End => return Ok(()),
        }
    }
    Ok(())
}

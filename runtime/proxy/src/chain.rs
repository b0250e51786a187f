//! A filter chain at work: its match, its TLS, its intentions, its connections.

use std::{cell::Cell, rc::Rc};

use crate::tls::{Options as TlsOptions, ServerContext};
use plan::{FilterChain, matching::ServerNameTable};

use crate::{
    secure::{self, Materials, Selected},
    unusable::Unusable,
};

/// A chain at work. Shared by its listener and the flows that came in through it.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) spec: Rc<FilterChain>,
    /// What it takes to terminate TLS, and what that was made from.
    pub(crate) tls: Option<(ServerContext, Selected)>,
    /// Connections that came in through it.
    connections: Cell<u32>,
}

/// The chains of a listener, ready for look-ups.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    chains: Vec<Rc<Chain>>,
    names: ServerNameTable,
}

impl Rules {
    /// The rules of these chains. Chains that are as before are kept, with their connections and their sessions.
    pub(crate) fn new(
        chains: &[Rc<FilterChain>],
        materials: &Materials,
        before: &Self,
        secure: &TlsOptions,
    ) -> Result<Self, Unusable> {
        let mut made = Vec::with_capacity(chains.len());
        for (at, spec) in chains.iter().enumerate() {
            let selected = match &spec.tls {
                Some(tls) => Some(materials.select(&tls.identity, &tls.trust)?),
                None => None,
            };
            let is_same = |chain: &&Rc<Chain>| {
                chain.spec == *spec
                    && chain.tls.as_ref().map(|(_, made_from)| made_from) == selected.as_ref()
            };
            // As a rule it is where it was.
            let same = before.chains.get(at).filter(is_same);
            made.push(match same.or_else(|| before.chains.iter().find(is_same)) {
                Some(chain) => Rc::clone(chain),
                None => Rc::new(Chain::new(Rc::clone(spec), selected, secure)?),
            });
        }
        Ok(Self {
            chains: made,
            names: ServerNameTable::new(chains),
        })
    }

    /// The chain that a server name selects; the empty name where there is none.
    pub(crate) fn find(&self, server_name: &str) -> Option<&Rc<Chain>> {
        self.chains.get(self.names.find(server_name)?)
    }
}

impl Chain {
    fn new(
        spec: Rc<FilterChain>,
        made_from: Option<Selected>,
        secure: &TlsOptions,
    ) -> Result<Self, Unusable> {
        let tls = match (&spec.tls, made_from) {
            (Some(wanted), Some(made_from)) => {
                let context = secure::server(
                    &wanted.parameters,
                    &made_from,
                    spec.authorization.as_ref(),
                    secure,
                )?;
                Some((context, made_from))
            }
            _ => None,
        };
        Ok(Self {
            spec,
            tls,
            connections: Cell::new(0),
        })
    }

    /// Notes a connection, unless the chain has all that it may have.
    pub(crate) fn enter(&self) -> bool {
        let count = self.connections.get();
        if self.spec.max_connections.is_some_and(|most| count >= most) {
            return false;
        }
        self.connections.set(count + 1);
        true
    }

    /// Notes a connection that was let in before this chain was made.
    pub(crate) fn take_over(&self) {
        self.connections
            .set(self.connections.get().saturating_add(1));
    }

    /// Notes that a connection which had entered is over.
    pub(crate) fn leave(&self) {
        self.connections
            .set(self.connections.get().saturating_sub(1));
    }
}

//! `consul { … }` in the stanza `lictor`: where Consul is and how it is talked to.
//!
//! The keys are those of Consul's own agents and of its command line, without their prefixes. What a flag or an environment
//! variable says goes before it; that is not decided here.

use std::path::PathBuf;

use crate::error::Errors;
use crate::fields::record;
use crate::scalars::Spot;
use crate::stanza::Stanza;

record! {
    /// `consul { … }`.
    pub(crate) struct ConsulStanza("consul") {
        /// Where its HTTP API is.
        address: Option<Spot<String>>,
        /// Several agents or servers, in the order in which they are tried.
        addresses: Vec<Spot<String>>,
        /// The file with the ACL token.
        token_file: Option<Spot<String>>,
        /// For https.
        tls: Option<ConsulTlsStanza>,
        /// The most connections at a time.
        connections: Option<Spot<u32>>,
        /// Whether they are servers, and no agent runs here.
        agentless: Option<bool>,
        /// The node of the catalog that stands for this machine then.
        node_name: Option<Spot<String>>,
    }
}

record! {
    /// `tls { … }` in `consul`.
    pub(crate) struct ConsulTlsStanza("tls") {
        /// The roots.
        ca_file: Option<Spot<String>>,
        /// Our certificate.
        cert_file: Option<Spot<String>>,
        /// Its key.
        key_file: Option<Spot<String>>,
        /// The name that Consul's certificate must be for.
        server_name: Option<Spot<String>>,
    }
}

/// Where Consul is and how it is talked to, as far as the files say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsulSettings {
    /// Agents or servers in the order in which they are tried: `host:port`, `http://…`, `https://…` or `unix://…`.
    pub addresses: Vec<String>,
    /// The file with the ACL token.
    pub token_file: Option<PathBuf>,
    /// The roots for https.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key.
    pub own: Option<(PathBuf, PathBuf)>,
    /// The name that Consul's certificate must be for.
    pub server_name: Option<String>,
    /// The most connections at a time, at least 4.
    pub connections: Option<u32>,
    /// Whether they are servers, and no agent runs here.
    pub agentless: bool,
    /// The node of the catalog that stands for this machine then.
    pub node_name: Option<String>,
}

/// The one stanza, if there is one.
pub(crate) fn consul(stanzas: &[Stanza], errors: &mut Errors) -> Option<ConsulSettings> {
    let mut all = stanzas.iter().filter_map(|stanza| stanza.consul.as_ref());
    let stanza = all.next()?;
    for other in all {
        let what = "given in another lictor { } already; keep one";
        errors.push(other.place.error("", what));
    }
    let addresses: Vec<&Spot<String>> = stanza.address.iter().chain(&stanza.addresses).collect();
    for spot in &addresses {
        let known = match spot.value.split_once("://") {
            None => !spot.value.is_empty(),
            Some((scheme, rest)) => matches!(scheme, "http" | "https" | "unix") && !rest.is_empty(),
        };
        if !known {
            let what = "host:port, http://host:port, https://host:port or unix:///path";
            errors.push(spot.place.error("", format!("an address is {what}")));
        }
    }
    let path = |spot: &Option<Spot<String>>| spot.as_ref().map(|spot| PathBuf::from(&spot.value));
    let tls = stanza.tls.as_ref();
    let chain = tls.and_then(|tls| path(&tls.cert_file));
    let key = tls.and_then(|tls| path(&tls.key_file));
    if let Some(tls) = tls.filter(|_| chain.is_some() != key.is_some()) {
        let what = "cert_file and key_file belong together; give both or neither";
        errors.push(tls.place.error("", what));
    }
    if let Some(spot) = stanza
        .connections
        .as_ref()
        .filter(|spot| spot.value < MIN_CONNECTIONS)
    {
        let what = "some queries block; give at least 4";
        errors.push(spot.place.error("", what));
    }
    if let Some(spot) = stanza
        .node_name
        .as_ref()
        .filter(|_| stanza.agentless != Some(true))
    {
        let what = "an agent has a node; it goes with agentless = true";
        errors.push(spot.place.error("", what));
    }
    Some(ConsulSettings {
        addresses: addresses.iter().map(|spot| spot.value.clone()).collect(),
        token_file: path(&stanza.token_file),
        ca_file: tls.and_then(|tls| path(&tls.ca_file)),
        own: chain.zip(key),
        server_name: tls
            .and_then(|tls| tls.server_name.as_ref())
            .map(|spot| spot.value.clone()),
        connections: stanza.connections.as_ref().map(|spot| spot.value),
        agentless: stanza.agentless.unwrap_or(false),
        node_name: stanza.node_name.as_ref().map(|spot| spot.value.clone()),
    })
}

/// Fewer could not block and answer at once.
const MIN_CONNECTIONS: u32 = 4;

//! A compiled discovery chain: `/v1/discovery-chain/<service>`.
//!
//! <https://developer.hashicorp.com/consul/api-docs/discovery-chain>

use crate::{
    answers::service::{mode, texts},
    json::{self, NotUnderstood, Read, Reader},
};

/// The chain of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompiledChain {
    /// The service it was compiled for.
    pub service: String,
    /// The datacenter it was compiled for.
    pub datacenter: String,
    /// `tcp`, `http`, …
    pub protocol: String,
    /// The node to begin with.
    pub start: String,
    /// The nodes by ID.
    pub nodes: Vec<(String, Node)>,
    /// The targets by ID.
    pub targets: Vec<(String, Target)>,
}

/// A node of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `router`, `splitter` or `resolver`.
    pub kind: String,
    /// A router's routes, in order.
    pub routes: Vec<Route>,
    /// A splitter's parts: hundredths of a percent, and the next node.
    pub splits: Vec<(u32, String)>,
    /// A resolver's target.
    pub target: String,
    /// A resolver's `ConnectTimeout`, as Go writes durations.
    pub connect_timeout: String,
    /// A resolver's targets for failover, in order.
    pub failover: Vec<String>,
    /// A resolver's `LoadBalancer.Policy`; empty for the default.
    pub policy: String,
}

/// A route of a router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Whether it asks for anything of a request beyond the path prefix `/`, or changes anything in it.
    pub conditional: bool,
    /// The next node.
    pub next: String,
}

/// Where a chain leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The service.
    pub service: String,
    /// Its subset; empty for all instances.
    pub subset: String,
    /// Its namespace.
    pub namespace: String,
    /// Its admin partition; empty in old versions.
    pub partition: String,
    /// Its datacenter; empty at a peer.
    pub datacenter: String,
    /// The peer that exports it.
    pub peer: String,
    /// The mesh gateway mode; empty for none.
    pub mode: String,
    /// What selects the subset's instances.
    pub filter: String,
    /// Whether only instances whose checks all pass belong to the subset.
    pub only_passing: bool,
    /// A service outside the mesh (`ExternalSNI`).
    pub external: bool,
    /// The name to send.
    pub server_name: String,
}

impl CompiledChain {
    /// The node of that ID.
    #[must_use]
    pub fn node(&self, id: &str) -> Option<&Node> {
        let found = self.nodes.iter().find(|(known, _)| known == id);
        found.map(|(_, node)| node)
    }

    /// The target of that ID.
    #[must_use]
    pub fn target(&self, id: &str) -> Option<&Target> {
        let found = self.targets.iter().find(|(known, _)| known == id);
        found.map(|(_, target)| target)
    }
}

/// Reads a compiled chain.
///
/// # Errors
/// The place where it is no such answer.
pub fn chain(body: &[u8]) -> Result<CompiledChain, NotUnderstood> {
    json::whole(body, |reader| {
        reader.fields(CompiledChain::default(), |chain, key, value| match key {
            "Chain" => value.object(&mut |key, value| {
                match key {
                    "ServiceName" => chain.service = value.text()?,
                    "Datacenter" => chain.datacenter = value.text()?,
                    "Protocol" => chain.protocol = value.text()?,
                    "StartNode" => chain.start = value.text()?,
                    "Nodes" => value.object(&mut |id, value| {
                        chain.nodes.push((id.to_owned(), node(value)?));
                        Ok(())
                    })?,
                    "Targets" => value.object(&mut |id, value| {
                        chain.targets.push((id.to_owned(), target(value)?));
                        Ok(())
                    })?,
                    _ => {}
                }
                Ok(())
            }),
            _ => Ok(()),
        })
    })
}

fn node(reader: &mut Reader<'_>) -> Read<Node> {
    reader.fields(Node::default(), |node, key, value| {
        match key {
            "Type" => node.kind = value.text()?,
            "Routes" => node.routes = value.items(route)?,
            "Splits" => node.splits = value.items(split)?,
            "LoadBalancer" => value.object(&mut |key, value| {
                if key == "Policy" {
                    node.policy = value.text()?;
                }
                Ok(())
            })?,
            "Resolver" => value.object(&mut |key, value| {
                match key {
                    "Target" => node.target = value.text()?,
                    "ConnectTimeout" => node.connect_timeout = value.text()?,
                    "Failover" => value.object(&mut |key, value| match key {
                        "Targets" => texts(value, &mut node.failover),
                        _ => Ok(()),
                    })?,
                    _ => {}
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })
}

fn split(reader: &mut Reader<'_>) -> Read<(u32, String)> {
    reader.fields((0, String::new()), |(weight, next), key, value| {
        match key {
            "Weight" => *weight = value.hundredths()?,
            "NextNode" => *next = value.text()?,
            _ => {}
        }
        Ok(())
    })
}

fn route(reader: &mut Reader<'_>) -> Read<Route> {
    reader.fields(Route::default(), |route, key, value| {
        match key {
            "NextNode" => route.next = value.text()?,
            "Definition" => value.object(&mut |key, value| {
                match key {
                    "Match" => route.conditional |= condition(value)?,
                    "Destination" => route.conditional |= change(value)?,
                    _ => {}
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })
}

/// Whether a match asks for anything beyond the path prefix `/`.
fn condition(reader: &mut Reader<'_>) -> Read<bool> {
    reader.fields(false, |asks, _, value| {
        value.object(&mut |key, value| {
            if value.null() {
                return Ok(());
            }
            let text = value.scalar()?;
            *asks |= match (key, text.as_deref()) {
                ("PathPrefix", Some("/")) => false,
                (_, Some(text)) => !matches!(text, "" | "false"),
                (_, None) => true,
            };
            Ok(())
        })
    })
}

/// Whether a destination changes what it passes on.
fn change(reader: &mut Reader<'_>) -> Read<bool> {
    reader.fields(false, |changes, key, value| {
        if matches!(key, "PrefixRewrite" | "RequestHeaders" | "ResponseHeaders") && !value.null() {
            *changes |= value.scalar()?.is_none_or(|text| !text.is_empty());
        }
        Ok(())
    })
}

fn target(reader: &mut Reader<'_>) -> Read<Target> {
    reader.fields(Target::default(), |target, key, value| {
        match key {
            "Service" => target.service = value.text()?,
            "ServiceSubset" => target.subset = value.text()?,
            "Namespace" => target.namespace = value.text()?,
            "Partition" => target.partition = value.text()?,
            "Datacenter" => target.datacenter = value.text()?,
            "Peer" => target.peer = value.text()?,
            "MeshGateway" => target.mode = mode(value)?,
            "Subset" => value.object(&mut |key, value| {
                match key {
                    "Filter" => target.filter = value.text()?,
                    "OnlyPassing" => target.only_passing = value.flag()?,
                    _ => {}
                }
                Ok(())
            })?,
            "External" => target.external = value.flag()?,
            "SNI" => target.server_name = value.text()?,
            _ => {}
        }
        Ok(())
    })
}

//! A service as Consul has it registered: of the local agent, in the catalog, or among the instances that a health query lists.
//!
//! Only what a sidecar or a gateway goes by. Of the maps that Consul passes on unread (`Proxy.Config`, an upstream's `Config`)
//! the values that are no lists and no objects are kept as text, and limits by their path.
//! <https://developer.hashicorp.com/consul/api-docs/agent/service#get-service-configuration>

use plan::order::sort;

use crate::json::{Read, Reader};

/// A registered service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// `connect-proxy`, `mesh-gateway` or another kind; empty for an ordinary service.
    pub kind: String,
    /// Its ID on its node.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its address; empty where the node's counts.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// `TaggedAddresses`, sorted by name.
    pub tagged: Vec<(String, Address)>,
    /// Metadata `consul-wan-federation` is `1`.
    pub wan_federation: bool,
    /// Metadata `version`: what Consul's own service says of a server's version.
    pub version: String,
    /// The weights of an instance, when passing and when warning; 1 each unless said.
    pub weights: Weights,
    /// Its namespace; empty in Consul's community edition.
    pub namespace: String,
    /// Its admin partition; empty in Consul's community edition.
    pub partition: String,
    /// Its datacenter, where the agent says it (1.9 and newer).
    pub datacenter: String,
    /// Whether it speaks mesh TLS itself (`Connect.Native`).
    pub native: bool,
    /// How it is reached at a peer, if it comes from one.
    pub peer: Option<PeerMeta>,
    /// What it is as a proxy.
    pub proxy: Proxy,
}

/// One of `TaggedAddresses`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// An IP address or a host name.
    pub address: String,
    /// The port; 0 where the service's own counts.
    pub port: u16,
}

/// `Weights`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// When all checks pass.
    pub passing: u16,
    /// When one warns.
    pub warning: u16,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            passing: 1,
            warning: 1,
        }
    }
}

/// `Connect.PeerMeta`: how an instance at a peer is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerMeta {
    /// The names to send, of which the first counts.
    pub server_names: Vec<String>,
    /// The SPIFFE IDs it may show.
    pub spiffe_ids: Vec<String>,
}

/// `Proxy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// The service it stands for.
    pub service: String,
    /// The instance it stands for.
    pub service_id: String,
    /// Where that instance listens; empty is loopback.
    pub local_address: String,
    /// The port it listens on.
    pub local_port: u16,
    /// The socket it listens on, instead of both.
    pub local_socket: String,
    /// `transparent`, `direct` or nothing.
    pub mode: String,
    /// The mesh gateway mode of all upstreams, by all levels that the agent merges.
    pub gateway_mode: String,
    /// `Config`, whose keys are read without regard to case.
    pub config: Config,
    /// What it reaches.
    pub upstreams: Vec<Upstream>,
    /// Paths that are exposed without TLS, or checks.
    pub exposes: bool,
}

/// One of `Upstreams`, with the central configuration merged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// Whether it is a prepared query.
    pub query: bool,
    /// The service, or the query.
    pub name: String,
    /// Its namespace; empty for the own one.
    pub namespace: String,
    /// Its admin partition; empty for the own one.
    pub partition: String,
    /// The peer that exports it.
    pub peer: String,
    /// Its datacenter; empty for the own one.
    pub datacenter: String,
    /// Where the application connects; empty is 127.0.0.1.
    pub bind_address: String,
    /// The port it connects to; 0 where it is a socket.
    pub bind_port: u16,
    /// The socket it connects to.
    pub bind_socket: String,
    /// The socket's mode, in octal.
    pub bind_socket_mode: String,
    /// The mesh gateway mode, by all levels that the agent merges; empty where none says anything.
    pub mode: String,
    /// `Config`.
    pub config: Config,
    /// Made by Consul to carry defaults: nothing to listen for.
    pub only_defaults: bool,
}

/// A map that Consul passes on as an operator wrote it: paths of keys in lower case, and texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config(pub Vec<(String, String)>);

impl Config {
    /// The value of a key, or of a path of keys with dots between.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }

    /// The value as a number of zero or more. Fractions of Consul's own making (`5000.0`) are cut.
    #[must_use]
    pub fn count(&self, key: &str) -> Option<u32> {
        let value = self.value(key)?;
        value.split('.').next()?.parse().ok()
    }

    /// The value as a truth.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.value(key)? {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    /// The names below a path, each once, in the order of the map.
    #[must_use]
    pub fn names_below(&self, path: &str) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (key, _) in &self.0 {
            let rest = key
                .strip_prefix(path)
                .and_then(|rest| rest.strip_prefix('.'));
            let name = rest.and_then(|rest| rest.split('.').next());
            if let Some(name) = name.filter(|name| !names.contains(name)) {
                names.push(name);
            }
        }
        names
    }
}

/// Deeper maps of an operator's are none that a proxy knows.
const MAX_CONFIG_DEPTH: usize = 3;

/// Reads a map that Consul passes on.
pub(crate) fn config(reader: &mut Reader<'_>) -> Read<Config> {
    let mut config = Config::default();
    entries(reader, "", MAX_CONFIG_DEPTH, &mut config)?;
    Ok(config)
}

fn entries(reader: &mut Reader<'_>, path: &str, depth: usize, config: &mut Config) -> Read {
    reader.object(&mut |key, value| {
        let mut name = path.to_owned();
        if !path.is_empty() {
            name.push('.');
        }
        name.push_str(&key.to_ascii_lowercase());
        if depth > 0 && value.is_object() {
            return entries(value, &name, depth - 1, config);
        }
        if let Some(text) = value.scalar()? {
            config.0.push((name, text));
        }
        Ok(())
    })
}

/// Reads a service, wherever it stands.
pub(crate) fn service(reader: &mut Reader<'_>) -> Read<Service> {
    reader.fields(Service::default(), field)
}

fn field(service: &mut Service, key: &str, value: &mut Reader<'_>) -> Read {
    match key {
        "Kind" => service.kind = value.text()?,
        "ID" => service.id = value.text()?,
        "Service" => service.name = value.text()?,
        "Address" => service.address = value.text()?,
        "Port" => service.port = value.port()?,
        "Namespace" => service.namespace = value.text()?,
        "Partition" => service.partition = value.text()?,
        "Datacenter" => service.datacenter = value.text()?,
        "Meta" => value.object(&mut |key, value| {
            match key {
                "consul-wan-federation" => service.wan_federation = value.text()? == "1",
                "version" => service.version = value.text()?,
                _ => {}
            }
            Ok(())
        })?,
        "TaggedAddresses" => {
            value.object(&mut |key, value| {
                let address = address(value)?;
                // What Consul fills in of its own accord is not what an operator said.
                if !key.ends_with("_ipv4")
                    && !key.ends_with("_ipv6")
                    && !key.starts_with("consul-virtual")
                {
                    service.tagged.push((key.to_owned(), address));
                }
                Ok(())
            })?;
            sort(&mut service.tagged);
        }
        "Weights" => value.object(&mut |key, value| {
            match key {
                "Passing" => service.weights.passing = value.port()?,
                "Warning" => service.weights.warning = value.port()?,
                _ => {}
            }
            Ok(())
        })?,
        "Connect" => value.object(&mut |key, value| {
            match key {
                "Native" => service.native = value.flag()?,
                "PeerMeta" => service.peer = Some(peer_meta(value)?),
                _ => {}
            }
            Ok(())
        })?,
        "Proxy" => service.proxy = proxy(value)?,
        _ => {}
    }
    Ok(())
}

fn address(reader: &mut Reader<'_>) -> Read<Address> {
    reader.fields(Address::default(), |address, key, value| {
        match key {
            "Address" => address.address = value.text()?,
            "Port" => address.port = value.port()?,
            _ => {}
        }
        Ok(())
    })
}

fn peer_meta(reader: &mut Reader<'_>) -> Read<PeerMeta> {
    reader.fields(PeerMeta::default(), |meta, key, value| match key {
        "SNI" => texts(value, &mut meta.server_names),
        "SpiffeID" => texts(value, &mut meta.spiffe_ids),
        _ => Ok(()),
    })
}

/// Reads a list of texts.
pub(crate) fn texts(reader: &mut Reader<'_>, into: &mut Vec<String>) -> Read {
    reader.list(&mut |item| {
        into.push(item.text()?);
        Ok(())
    })
}

fn proxy(reader: &mut Reader<'_>) -> Read<Proxy> {
    reader.fields(Proxy::default(), |proxy, key, value| {
        match key {
            "DestinationServiceName" => proxy.service = value.text()?,
            "DestinationServiceID" => proxy.service_id = value.text()?,
            "LocalServiceAddress" => proxy.local_address = value.text()?,
            "LocalServicePort" => proxy.local_port = value.port()?,
            "LocalServiceSocketPath" => proxy.local_socket = value.text()?,
            "Mode" => proxy.mode = value.text()?,
            "MeshGateway" => proxy.gateway_mode = mode(value)?,
            "Config" => proxy.config = config(value)?,
            "Upstreams" => proxy.upstreams = value.items(upstream)?,
            "Expose" => proxy.exposes = exposes(value)?,
            _ => {}
        }
        Ok(())
    })
}

/// Reads `Expose`: whether it names anything.
pub(crate) fn exposes(reader: &mut Reader<'_>) -> Read<bool> {
    reader.fields(false, |exposes, key, value| match key {
        "Checks" => {
            *exposes |= value.flag()?;
            Ok(())
        }
        "Paths" => value.list(&mut |_| {
            *exposes = true;
            Ok(())
        }),
        _ => Ok(()),
    })
}

fn upstream(reader: &mut Reader<'_>) -> Read<Upstream> {
    let mut upstream = reader.fields(Upstream::default(), |upstream, key, value| {
        match key {
            "DestinationType" => upstream.query = value.text()? == "prepared_query",
            "DestinationName" => upstream.name = value.text()?,
            "DestinationNamespace" => upstream.namespace = value.text()?,
            "DestinationPartition" => upstream.partition = value.text()?,
            "DestinationPeer" => upstream.peer = value.text()?,
            "Datacenter" => upstream.datacenter = value.text()?,
            "LocalBindAddress" => upstream.bind_address = value.text()?,
            "LocalBindPort" => upstream.bind_port = value.port()?,
            "LocalBindSocketPath" => upstream.bind_socket = value.text()?,
            "LocalBindSocketMode" => upstream.bind_socket_mode = value.text()?,
            "Config" => upstream.config = config(value)?,
            "MeshGateway" => upstream.mode = mode(value)?,
            "CentrallyConfigured" => upstream.only_defaults |= value.flag()?,
            _ => {}
        }
        Ok(())
    })?;
    upstream.only_defaults |= upstream.name == "*";
    Ok(upstream)
}

/// Reads `MeshGateway`.
pub(crate) fn mode(reader: &mut Reader<'_>) -> Read<String> {
    reader.fields(String::new(), |mode, key, value| {
        if key == "Mode" {
            *mode = value.text()?;
        }
        Ok(())
    })
}

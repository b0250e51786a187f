//! Which proxies a command line wants of Consul, and where Consul is.
//!
//! The words are those of `consul connect envoy` (<https://developer.hashicorp.com/consul/commands/connect/envoy>) and of its
//! environment, so that one command line can take the place of the other.

use std::{
    env, fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use config::{ConsulSettings, Definition};
use consul::{
    Address, Client, Kept, Question, Registered, Request, Settings, TlsFiles, TokenSource,
    answers::{catalog, service::Service},
    registration::{Bind, MeshGateway, Registration},
    rights,
};

use crate::{command::Run, machine};

/// For what is registered: the local agent answers from its own memory.
const WITHIN: Duration = Duration::from_secs(10);

/// More than a node's services come to.
const MAX_SERVICES_BYTES: usize = 8 << 20;

/// The name and the ID of a gateway that is given none, as for Consul's own command.
const MESH_GATEWAY: &str = "mesh-gateway";

/// When the agent forgets a gateway whose check fails, as for Consul's own command.
const FORGET_AFTER: Duration = Duration::from_secs(6 * 3600);

/// A proxy to run by what Consul says.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// What it is.
    pub(crate) role: Role,
    /// How it is found.
    which: Which,
    /// What it is called in the log.
    pub(crate) name: String,
    /// What is to be registered first, and kept registered.
    pub(crate) register: Kept,
}

/// What a proxy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A sidecar.
    Sidecar,
    /// A mesh gateway.
    Gateway,
}

/// How a proxy is found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    /// By its ID.
    Id(String),
    /// By the instance it stands for.
    For(String),
    /// As the only mesh gateway of the agent.
    OnlyGateway,
}

/// The proxies that a command line wants.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn proxies(arguments: &Run) -> Result<Vec<Wanted>, String> {
    let mut wanted = Vec::new();
    for service in &arguments.sidecar_for {
        wanted.push(Wanted {
            role: Role::Sidecar,
            which: Which::For(service.clone()),
            name: service.clone(),
            register: Kept::new(None),
        });
    }
    let role = match arguments.gateway.as_deref() {
        None => Role::Sidecar,
        Some("mesh") => Role::Gateway,
        Some(kind) => return Err(format!("--gateway {kind}: only mesh is supported")),
    };
    let register = registration(arguments, role)?;
    let id = match &register {
        Some(register) => Some(register.id().to_owned()),
        None => arguments.proxy_id.clone(),
    };
    match (id, role) {
        (Some(id), role) => wanted.push(Wanted {
            role,
            which: Which::Id(id.clone()),
            name: id,
            register: Kept::new(register),
        }),
        (None, Role::Gateway) => wanted.push(Wanted {
            role,
            which: Which::OnlyGateway,
            name: MESH_GATEWAY.to_owned(),
            register: Kept::new(None),
        }),
        (None, Role::Sidecar) => {}
    }
    Ok(wanted)
}

/// What is to be registered at the agent.
fn registration(arguments: &Run, role: Role) -> Result<Option<Registration>, String> {
    let Run {
        register,
        deregister,
        service,
        address,
        wan_address,
        bind_address,
        expose_servers,
        ..
    } = arguments;
    let of_gateway = [
        ("--service", service.is_some()),
        ("--address", address.is_some()),
        ("--wan-address", wan_address.is_some()),
        ("--bind-address", !bind_address.is_empty()),
        ("--expose-servers", *expose_servers),
    ];
    let alone = of_gateway.iter().find(|(_, given)| *given);
    if !register {
        let flag = alone.map(|(flag, _)| *flag);
        return match flag.or(deregister.then_some("--deregister")) {
            Some(flag) => Err(format!("{flag} goes with --register")),
            None => Ok(None),
        };
    }
    if role != Role::Gateway {
        return match (alone, arguments.sidecar_for.is_empty()) {
            (Some((flag, _)), _) => Err(format!("{flag} goes with --gateway mesh")),
            (None, true) => {
                Err("--register goes with --gateway mesh, or with --sidecar-for".to_owned())
            }
            (None, false) => Ok(None),
        };
    }
    let address = address
        .as_deref()
        .ok_or("--register needs --address IP:PORT, where this datacenter reaches the gateway")?;
    let address = machine::filled(address).map_err(|why| format!("--address: {why}"))?;
    let address: SocketAddr = address
        .parse()
        .map_err(|_| format!("--address: {address} is not ip:port, or [ip]:port of IPv6"))?;
    let wan = wan_address.as_deref().map(machine::filled).transpose();
    let wan = wan.map_err(|why| format!("--wan-address: {why}"))?;
    let wan = match wan.as_deref().map(|wan| (wan, wan.rsplit_once(':'))) {
        None => None,
        Some((_, Some((host, port)))) if !host.is_empty() => {
            let port = port
                .parse()
                .map_err(|_| format!("--wan-address: {port} is no port"))?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some((host.to_owned(), port))
        }
        Some((wan, _)) => return Err(format!("--wan-address: {wan} is not host:port")),
    };
    let name = service.clone().unwrap_or_else(|| MESH_GATEWAY.to_owned());
    let gateway = MeshGateway {
        id: arguments.proxy_id.clone().unwrap_or_else(|| name.clone()),
        name,
        bind: bind(address, wan.as_ref(), bind_address)?,
        lan: (address.ip(), address.port()),
        wan,
        exposes_servers: *expose_servers,
        forget_after: Some(FORGET_AFTER),
    };
    Ok(Some(gateway.registration()))
}

/// Where a gateway listens: where it is told to; else on both its addresses, if both are this machine's; else on its own.
fn bind(lan: SocketAddr, wan: Option<&(String, u16)>, given: &[String]) -> Result<Bind, String> {
    if !given.is_empty() {
        let named = given.iter().map(|text| {
            let (name, address) = text.split_once('=').unwrap_or(("", ""));
            let filled =
                machine::filled(address).map_err(|why| format!("--bind-address: {why}"))?;
            match filled.parse() {
                Ok(address) if !name.is_empty() => Ok((name.to_owned(), address)),
                _ => Err(format!("--bind-address: {text} is not name=ip:port")),
            }
        });
        return Ok(Bind::Only(named.collect::<Result<_, _>>()?));
    }
    let wan = wan.and_then(|(host, port)| Some(SocketAddr::new(host.parse().ok()?, *port)));
    // A socket can be bound to an address of this machine alone; no packet is sent.
    let is_ours = |ip: IpAddr| UdpSocket::bind((ip, 0)).is_ok();
    Ok(match wan {
        Some(wan) if wan != lan && is_ours(wan.ip()) && is_ours(lan.ip()) => Bind::LanAndWan,
        _ => Bind::Lan,
    })
}

/// Where Consul is: as the files say, before that as the environment says, before that as the command line says.
///
/// # Errors
/// What is wrong with that.
pub(crate) fn settings(
    arguments: &Run,
    given: Option<&ConsulSettings>,
) -> Result<Settings, consul::Error> {
    let mut settings = Settings::default();
    if let Some(given) = given {
        let mut addresses = Vec::with_capacity(given.addresses.len());
        for text in &given.addresses {
            let address = Address::new(text);
            addresses.push(address.map_err(|why| consul::Error::Address(text.clone(), why))?);
        }
        if !addresses.is_empty() {
            settings.addresses = addresses;
        }
        if let Some(file) = &given.token_file {
            settings.token = TokenSource::File(file.clone());
        }
        settings.tls = TlsFiles {
            ca: given.ca_file.clone(),
            own: given.own.clone(),
            server_name: given.server_name.clone(),
        };
        let most = given
            .connections
            .and_then(|most| usize::try_from(most).ok());
        settings.connections = most.unwrap_or(settings.connections);
        settings.node = given
            .agentless
            .then(|| given.node_name.clone().unwrap_or_else(own_node));
    }
    settings.take_environment(&|name| env::var(name).ok())?;
    if let Some(address) = &arguments.http_addr {
        settings.take_address(address)?;
    }
    if let Some(file) = &arguments.token_file {
        settings.token = TokenSource::File(file.clone());
    }
    match &arguments.node_name {
        Some(name) => settings.node = Some(name.clone()),
        None if arguments.agentless && settings.node.is_none() => settings.node = Some(own_node()),
        None => {}
    }
    Ok(settings)
}

/// The name of a node for this machine that is no agent's: agents have the machine's own.
fn own_node() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("lictor-{}", host.trim())
}

/// Who has something registered.
fn whose(client: &Client) -> String {
    match client.node() {
        None => "the agent".to_owned(),
        Some(node) => format!("the node {node} of the catalog"),
    }
}

/// Where it stands what is registered here.
pub(crate) fn listing(client: &Client) -> String {
    match client.node() {
        None => "/v1/agent/services".to_owned(),
        Some(node) => Question::NodeServices {
            node: node.to_owned(),
        }
        .path(),
    }
}

impl Wanted {
    /// What is to be registered of it by these definitions, and by the addresses that this machine has now.
    ///
    /// # Errors
    /// Which service no file defines, or which address cannot be had.
    pub(crate) fn registration(
        &self,
        arguments: &Run,
        definitions: &[Definition],
    ) -> Result<Option<Registration>, String> {
        let Which::For(id) = &self.which else {
            return registration(arguments, self.role);
        };
        if !arguments.register {
            return Ok(None);
        }
        let found = definitions.iter().find(|it| it.id == *id);
        let found = found.ok_or_else(|| {
            format!("--register: no file defines a service {id} with connect {{ sidecar_service {{ }} }}")
        })?;
        let (body, checks) = (found.body.expose(), &found.checks);
        let registration = Registration::of_service(id, &found.name, body, checks);
        Ok(Some(registration))
    }

    /// Under which ID it is registered, at the local agent or in the catalog.
    ///
    /// # Errors
    /// Why that is not known now.
    pub(crate) async fn registered(&self, client: &Client) -> Result<Registered, String> {
        let id = match &self.which {
            Which::Id(id) => id.clone(),
            _ => self.find(client).await?,
        };
        Ok(Registered {
            id,
            node: client.node().map(str::to_owned),
        })
    }

    async fn find(&self, client: &Client) -> Result<String, String> {
        let request = Request {
            method: "GET",
            path: &listing(client),
            body: None,
            within: WITHIN,
        };
        let answer = client.fetch(request, MAX_SERVICES_BYTES).await;
        let (_, body) = answer.map_err(|error| error.to_string())?;
        let services = match client.node() {
            None => catalog::agent_services(&body),
            Some(_) => catalog::node_services(&body),
        };
        let services = services.map_err(|error| error.to_string())?;
        let mut found = services.iter().filter(|service| match &self.which {
            Which::Id(id) => service.id == *id,
            Which::For(id) => service.kind == "connect-proxy" && service.proxy.service_id == *id,
            Which::OnlyGateway => service.kind == "mesh-gateway",
        });
        match (found.next(), found.next()) {
            (Some(service), None) => Ok(service.id.clone()),
            (None, _) => Err(self.not_found(client, &services)),
            (Some(_), Some(_)) => Err(format!(
                "{} has several proxies for {}; name one by --proxy-id",
                whose(client),
                self.name
            )),
        }
    }

    /// What is not listed may be hidden: Consul leaves out what a token may not see.
    fn not_found(&self, client: &Client, services: &[Service]) -> String {
        let (what, name) = match &self.which {
            Which::OnlyGateway => ("mesh gateway".to_owned(), MESH_GATEWAY.to_owned()),
            Which::Id(id) => (format!("proxy {id}"), "…".to_owned()),
            Which::For(id) => {
                let service = services.iter().find(|service| service.id == *id);
                let name = service.map_or("…", |service| &service.name);
                (format!("proxy of {id}"), rights::sidecar(name))
            }
        };
        let mut text = format!("{} has no {what} registered", whose(client));
        if client.has_token() {
            text.push_str(", or its token may not see it: it needs ");
            text.push_str(&rights::service(&name, "read"));
        }
        text
    }
}

//! The whole of what the files say, put together and checked: always usable.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use plan::TcpKeepalive;
use plan::mesh::{GatewayRegistration, Mesh, SidecarRegistration};

use crate::consul::ConsulSettings;
use crate::entries::ConfigEntries;
use crate::error::Note;
use crate::fields::Place;
use crate::mode::{ModeDecision, gateway_mode};
use crate::service::{ProxySettings, ServiceDefinition, Upstream};
use crate::stanza::{LogFormat, LogLevel};
use crate::told::Definition;
use crate::trust::Origin;

/// What the files say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The mesh around the gateways: the input of [`plan::gateway::plan`].
    pub mesh: Mesh,
    /// The mesh gateways to run, in the order of the files.
    pub gateways: Vec<GatewayRegistration>,
    /// The sidecars, in the order of the files.
    pub sidecars: Vec<Sidecar>,
    /// Those of them to run, in the order of the files.
    pub sidecar_registrations: Vec<SidecarRegistration>,
    /// Why each of the others is explained but not run: at least one reason for each.
    pub not_run: Vec<Note>,
    /// The other services, in the order of the files.
    pub services: Vec<ServiceDefinition>,
    /// Those of them that have a sidecar, as a local agent is told them.
    pub definitions: Vec<Definition>,
    /// The config entries.
    pub entries: ConfigEntries,
    /// How the process runs.
    pub runtime: RuntimeSettings,
    /// Where Consul is; `None` where the files do not say.
    pub consul: Option<ConsulSettings>,
    /// The certificate and key files that were read, each once: to be watched like the configuration.
    pub files: Vec<PathBuf>,
    /// Where identities and roots were given, in the order of the files.
    pub origins: Vec<Origin>,
    /// What a person should know although the files are good.
    pub notes: Vec<Note>,
}

impl Settings {
    /// Every upstream of every sidecar, with the gateway mode that it has and why.
    pub fn upstreams(&self) -> impl Iterator<Item = (&Sidecar, &Upstream, ModeDecision)> {
        self.sidecars.iter().flat_map(move |sidecar| {
            sidecar.proxy.upstreams.iter().map(move |upstream| {
                let mode = gateway_mode(&sidecar.service, &sidecar.proxy, upstream, &self.entries);
                (sidecar, upstream, mode)
            })
        })
    }
}

/// The proxy of one instance of a service.
#[derive(Clone, Debug)]
pub struct Sidecar {
    /// Where it was defined.
    pub place: Place,
    /// Its ID on the node.
    pub id: String,
    /// Its own name, as a rule `<service>-sidecar-proxy`.
    pub name: String,
    /// The service it stands for.
    pub service: String,
    /// The instance it stands for.
    pub service_id: Option<String>,
    /// Its namespace; empty for the default one.
    pub namespace: String,
    /// Its admin partition; `None` for the own one.
    pub partition: Option<String>,
    /// Where it listens for other proxies; `None` for all addresses.
    pub address: Option<IpAddr>,
    /// The port it listens on.
    pub port: u16,
    /// Its metadata.
    pub meta: Vec<(String, String)>,
    /// Its settings.
    pub proxy: ProxySettings,
}

/// How the process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeSettings {
    /// Where the admin endpoint listens; `None` for nowhere.
    pub admin: Option<plan::Address>,
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// Whether certificates and keys are kept there too.
    pub remember_identities: bool,
    /// Logging.
    pub log: LogSettings,
    /// Limits.
    pub limits: Limits,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Settings of connections.
    pub tcp: TcpSettings,
}

/// Logging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How much.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
    /// Whether there is a line for every connection.
    pub access: bool,
}

/// Limits; at a limit new work is refused and old work goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, at least 1.
    pub connections: u32,
    /// Handshakes at a time from one address, at least 1.
    pub handshakes_per_source: u32,
    /// TLS sessions that each listener keeps for clients that come again; 0 for none, and then upstreams' are not
    /// kept either.
    pub tls_sessions: u32,
}

/// Timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the whole ClientHello; more than zero.
    pub client_hello: Duration,
    /// For connecting to an endpoint; more than zero. A gateway's own `connect_timeout_ms` and a
    /// service's `connect_timeout` go before it, and are in the Plan already.
    pub connect: Duration,
    /// For flows to end when the process stops; zero ends them at once.
    pub drain: Duration,
    /// Without a byte in either direction; `None` is never. Control-plane traffic has none.
    pub idle: Option<Duration>,
}

/// Settings of connections, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// Keepalive; `None` leaves it off.
    pub keepalive: Option<TcpKeepalive>,
    /// `TCP_USER_TIMEOUT`; `None` leaves it to the kernel.
    pub user_timeout: Option<Duration>,
    /// Whether the kernel may do the TLS of flows (kTLS), in a build that can ask it to.
    pub kernel_tls: bool,
}

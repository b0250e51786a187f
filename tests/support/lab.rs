//! A gateway under test: its file, written from a few calls, and the running lictor with its
//! addresses. No port is fixed: the file says 0, and the process says what it got.

use std::fmt;
use std::net::SocketAddr;

use crate::admin::{Admin, Stats};
use crate::process::{Launch, Lictor};
use crate::wait;

/// The trust domain of every lab.
pub const TRUST_DOMAIN: &str = "11111111-2222-3333-4444-555555555555.consul";

/// The SNI of a service in a datacenter.
pub fn sni(service: &str, datacenter: &str) -> String {
    format!("{service}.default.{datacenter}.internal.{TRUST_DOMAIN}")
}

/// A gateway's local file.
#[derive(Clone, Debug)]
pub struct GatewayFile {
    datacenter: String,
    trust_domain: String,
    address: String,
    port: u16,
    /// More lines of the stanza `service`.
    service: Vec<String>,
    /// More lines of the stanza `lictor`.
    stanza: Vec<String>,
    limits: Vec<String>,
    timeouts: Vec<String>,
    log: Vec<String>,
}

impl GatewayFile {
    /// Of a gateway on loopback, in this datacenter.
    pub fn new(datacenter: &str) -> Self {
        Self {
            datacenter: datacenter.to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            address: "127.0.0.1".to_owned(),
            port: 0,
            service: Vec::new(),
            stanza: Vec::new(),
            limits: Vec::new(),
            timeouts: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Of a cluster with a trust domain of its own.
    pub fn trust_domain(mut self, trust_domain: &str) -> Self {
        self.trust_domain = trust_domain.to_owned();
        self
    }

    /// Listens on another address.
    pub fn address(mut self, address: &str) -> Self {
        self.address = address.to_owned();
        self
    }

    /// Listens on a given port, instead of one that the kernel picks.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// With a local service and its endpoints, `address:port` each.
    pub fn service<A: ToString>(self, name: &str, endpoints: &[A]) -> Self {
        self.stanza(&format!(
            "service \"{name}\" {{ endpoints = {} }}",
            list(endpoints)
        ))
    }

    /// With another datacenter and its gateways, `address:port` each.
    pub fn datacenter<A: ToString>(self, name: &str, gateways: &[A]) -> Self {
        self.stanza(&format!(
            "datacenter \"{name}\" {{ gateways = {} }}",
            list(gateways)
        ))
    }

    /// With a setting of the block `limits`.
    pub fn limit(mut self, setting: &str) -> Self {
        self.limits.push(setting.to_owned());
        self
    }

    /// With a setting of the block `timeouts`.
    pub fn timeout(mut self, setting: &str) -> Self {
        self.timeouts.push(setting.to_owned());
        self
    }

    /// With a setting of the block `log`.
    pub fn log(mut self, setting: &str) -> Self {
        self.log.push(setting.to_owned());
        self
    }

    /// With lines of the stanza `service`, which registers the gateway.
    pub fn registration(mut self, lines: &str) -> Self {
        self.service.push(lines.to_owned());
        self
    }

    /// With lines of the stanza `lictor`.
    pub fn stanza(mut self, lines: &str) -> Self {
        self.stanza.push(lines.to_owned());
        self
    }

    /// Starts a gateway on it.
    pub fn start(&self) -> Gateway {
        Gateway::start(Launch::new(&self.to_string()))
    }
}

impl fmt::Display for GatewayFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "service {{")?;
        writeln!(f, "  name = \"mesh-gateway\"\n  kind = \"mesh-gateway\"")?;
        writeln!(
            f,
            "  address = \"{}\"\n  port = {}",
            self.address, self.port
        )?;
        for lines in &self.service {
            writeln!(f, "  {lines}")?;
        }
        writeln!(f, "}}\nlictor {{")?;
        writeln!(f, "  datacenter = \"{}\"", self.datacenter)?;
        writeln!(
            f,
            "  trust_domain = \"{}\"\n  admin = \"127.0.0.1:0\"",
            self.trust_domain
        )?;
        for (name, settings) in [
            ("limits", &self.limits),
            ("timeouts", &self.timeouts),
            ("log", &self.log),
        ] {
            if !settings.is_empty() {
                writeln!(f, "  {name} {{\n    {}\n  }}", settings.join("\n    "))?;
            }
        }
        for lines in &self.stanza {
            writeln!(f, "  {lines}")?;
        }
        writeln!(f, "}}")
    }
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Gateway {
    /// The process.
    pub lictor: Lictor,
    admin: Admin,
}

impl Gateway {
    /// Starts one and learns its addresses.
    pub fn start(launch: Launch) -> Self {
        let lictor = launch.start();
        let event = lictor
            .log
            .wait_for_event("listening", |event| event.field("name") == "admin");
        let admin = event.field("address").parse().expect("an address");
        Self {
            lictor,
            admin: Admin(admin),
        }
    }

    /// The address of the listener `default`, from the log.
    pub fn address(&self) -> SocketAddr {
        self.listener("default")
    }

    /// The address of a listener, from the log.
    pub fn listener(&self, name: &str) -> SocketAddr {
        let named = |have: &str| have == name || have.starts_with(&format!("{name}:"));
        let event = self
            .lictor
            .log
            .wait_for_event("listening", |e| named(e.field("name")));
        event.field("address").parse().expect("an address")
    }

    /// Its admin endpoint.
    pub fn admin(&self) -> Admin {
        self.admin
    }

    /// Its counters now.
    pub fn stats(&self) -> Stats {
        self.admin().stats()
    }

    /// Waits until so many clients were refused for this cause, and sees that no more were.
    pub fn wait_for_refused(&self, cause: &str, count: u32) {
        let reached = || self.stats().refused(cause) >= f64::from(count);
        wait::until_true(&format!("{count} clients refused for {cause}"), reached);
        assert_eq!(
            self.stats().refused(cause),
            f64::from(count),
            "clients refused for {cause}"
        );
    }

    /// Waits until so many connections are being relayed or set up.
    pub fn wait_for_active(&self, count: u32) {
        let reached = || self.stats().value("lictor_connections_active") == f64::from(count);
        wait::until_true(&format!("{count} active connections"), reached);
    }
}

fn list<A: ToString>(addresses: &[A]) -> String {
    let quoted: Vec<String> = addresses
        .iter()
        .map(|a| format!("\"{}\"", a.to_string()))
        .collect();
    format!("[{}]", quoted.join(", "))
}

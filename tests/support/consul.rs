//! A real Consul: agents with loopback addresses and free ports of their own, ready when they have a leader, ended with the
//! test.
//!
//! The binary is the one that `LICTOR_CONSUL` names; `tests/peers/consul` fetches one.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::temp::TempDir;
use crate::wait;

/// The token that may do everything, with [`Settings::acl`].
pub const MASTER: &str = "00000000-0000-0000-0000-00000000aaaa";

/// How an agent is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// The server it joins; without one it is a server itself.
    pub of: Option<&'a Agent>,
    /// Whether nothing is allowed without a token.
    pub acl: bool,
    /// Whether it gets its certificate authority later, from a primary datacenter that it cannot reach yet.
    pub waits_for_primary: bool,
    /// The agent's whole configuration beside ours, as JSON.
    pub more: &'a str,
    /// The address that it has to itself; without one, one of the loopback network.
    pub ip: Option<Ipv4Addr>,
}

/// An agent that runs. It is killed when the value goes.
#[derive(Debug)]
pub struct Agent {
    child: Option<Child>,
    home: TempDir,
    ports: Ports,
    acl: bool,
    waits_for_primary: bool,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    ip: Ipv4Addr,
    http: u16,
    https: u16,
    serf: u16,
    server: u16,
}

impl Agent {
    /// A server by itself, which allows everything.
    pub fn server() -> Self {
        Self::start(Settings::default())
    }

    /// Starts an agent and waits until it can be used.
    ///
    /// # Panics
    /// When it cannot, after the deadline.
    pub fn start(settings: Settings<'_>) -> Self {
        let mut agent = Self {
            child: None,
            home: TempDir::new(),
            ports: settings.ip.map_or_else(Ports::free, Ports::free_at),
            acl: settings.acl,
            waits_for_primary: settings.waits_for_primary,
        };
        agent.home.write("consul.json", agent.config(settings));
        if !settings.more.is_empty() {
            agent.home.write("more.json", settings.more);
        }
        agent.run();
        agent
    }

    fn config(&self, settings: Settings<'_>) -> String {
        let Ports {
            ip,
            http,
            https,
            serf,
            server,
        } = self.ports;
        let node = self.node();
        let mut text = format!(
            r#"{{"node_name":"{node}","datacenter":"dc1","data_dir":"{}","bind_addr":"{ip}","client_addr":"{ip}",
            "ports":{{"http":{http},"https":{https},"grpc":-1,"dns":-1,"serf_lan":{serf},"serf_wan":-1,"server":{server}}},
            "addresses":{{"http":"{ip} unix://{}"}},
            "disable_update_check":true,"log_level":"WARN","performance":{{"raft_multiplier":1}},"connect":{{"enabled":true}},
            "gossip_lan":{{"gossip_interval":"100ms","probe_interval":"500ms","probe_timeout":"200ms"}}"#,
            self.home.file("data").display(),
            self.socket().display(),
        );
        let role = match settings.of {
            None => r#","server":true,"bootstrap_expect":1"#.to_owned(),
            Some(of) => format!(
                r#","retry_join":["{}:{}"],"retry_interval":"500ms""#,
                of.ports.ip, of.ports.serf
            ),
        };
        text.push_str(&role);
        if settings.acl {
            let _ = write!(
                text,
                r#","acl":{{"enabled":true,"default_policy":"deny","tokens":{{"master":"{MASTER}","agent":"{MASTER}"}}}}"#
            );
        }
        text + "}"
    }

    /// Starts it again, as it was.
    pub fn run(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.home.file("log"));
        let log = log.expect("a log can be written");
        let mut command = Command::new(binary());
        command
            .args(["agent", "-config-file"])
            .arg(self.home.file("consul.json"));
        if self.home.file("more.json").exists() {
            command.arg("-config-file").arg(self.home.file("more.json"));
        }
        command.env("GOMAXPROCS", "2").stdin(Stdio::null());
        command
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log);
        self.child = Some(command.spawn().expect("consul can be started"));
        let end = Instant::now() + START;
        let ready = |agent: &Self| {
            let leader = agent.ask("GET", "/v1/status/leader", "");
            leader.is_some_and(|(_, text)| text.len() > 2)
                && (agent.waits_for_primary || agent.has_authority())
        };
        while !ready(self) {
            assert!(
                Instant::now() < end,
                "no Consul within {START:?}; its log:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it knows the certificate authority of its datacenter.
    pub fn has_authority(&self) -> bool {
        let roots = self.ask("GET", "/v1/agent/connect/ca/roots", "");
        roots.is_some_and(|(status, text)| status == 200 && text.contains("RootCert"))
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Forgets everything it knew, once it was killed.
    pub fn forget(&self) {
        std::fs::remove_dir_all(self.home.file("data")).expect("its data can be removed");
    }

    /// Where its HTTP API is.
    pub fn http(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ports.ip), self.ports.http)
    }

    /// Where it listens for other servers, if it is one.
    pub fn rpc(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ports.ip), self.ports.server)
    }

    /// The name of its node.
    pub fn node(&self) -> String {
        format!("n{}", self.ports.http)
    }

    /// Where its HTTPS API is, if its configuration has certificates.
    pub fn https(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ports.ip), self.ports.https)
    }

    /// The unix socket with the same API.
    pub fn socket(&self) -> PathBuf {
        self.home.file("http.sock")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.file("log")).unwrap_or_default()
    }

    /// Asks it something.
    ///
    /// # Panics
    /// When the status is not 200.
    pub fn get(&self, path: &str) -> Value {
        let (status, text) = self.ask("GET", path, "").expect("consul answers");
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).expect("an answer is json")
    }

    /// Tells it something, and gives what it says.
    ///
    /// # Panics
    /// When the status is not 200.
    pub fn put(&self, path: &str, body: &str) -> String {
        let (status, text) = self.ask("PUT", path, body).expect("consul answers");
        assert_eq!(status, 200, "{path}: {text}");
        text
    }

    /// A token with these rules, as (accessor, secret).
    pub fn token(&self, rules: &str) -> (String, String) {
        let name = crate::temp::unique("policy").replace('.', "-");
        let policy = serde_json::json!({"Name": name, "Rules": rules});
        self.put("/v1/acl/policy", &policy.to_string());
        let made = self.put(
            "/v1/acl/token",
            &format!(r#"{{"Policies":[{{"Name":"{name}"}}]}}"#),
        );
        let made: Value = serde_json::from_str(&made).expect("an answer is json");
        let text = |key: &str| made[key].as_str().expect("it has one").to_owned();
        (text("AccessorID"), text("SecretID"))
    }

    /// Deletes a token.
    pub fn revoke(&self, accessor: &str) {
        let gone = self.ask("DELETE", &format!("/v1/acl/token/{accessor}"), "");
        assert_eq!(gone.expect("consul answers").0, 200);
    }

    /// Registers a service of the catalog with a sidecar on this port, on a node of its own.
    pub fn register(&self, service: &str, port: u16) {
        let node = format!("node-{service}");
        self.put(
            "/v1/catalog/register",
            &format!(
                r#"{{"Node":"{node}","Address":"10.9.9.9","Service":{{"Kind":"connect-proxy","ID":"{service}-sidecar-proxy",
                "Service":"{service}-sidecar-proxy","Port":{port},"Proxy":{{"DestinationServiceName":"{service}"}}}}}}"#
            ),
        );
    }

    /// How many connections to its HTTP API there are, of whoever has them.
    pub fn connections(&self) -> usize {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel tells");
        let ip = u32::from_ne_bytes(self.ports.ip.octets());
        let local = format!("{ip:08X}:{:04X}", self.ports.http);
        let to_it = |line: &&str| {
            let mut words = line.split_whitespace().skip(1);
            words.next() == Some(&local) && words.nth(1) == Some("01")
        };
        table.lines().filter(to_it).count()
    }

    /// Status and text, unless nobody answers.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.http()).ok()?;
        stream.set_read_timeout(Some(wait::DEADLINE)).ok()?;
        let token = if self.acl {
            format!("X-Consul-Token: {MASTER}\r\n")
        } else {
            String::new()
        };
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: x\r\n{token}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let status = text.split(' ').nth(1)?.parse().ok()?;
        let (_, body) = text.split_once("\r\n\r\n")?;
        Some((status, body.to_owned()))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the log of consul on {}\n{}", self.ports.ip, self.log());
        }
    }
}

impl Ports {
    /// An address of the loopback network that no other test has, and ports on it that are free.
    fn free() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let process = std::process::id();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [.., high, low] = process.to_be_bytes();
        let last = u8::try_from(number % 250).unwrap_or_default() + 1;
        Self::free_at(Ipv4Addr::new(127, high | 64, low, last))
    }

    fn free_at(ip: Ipv4Addr) -> Self {
        Self {
            ip,
            http: free_port(ip.into()),
            https: free_port(ip.into()),
            serf: free_port(ip.into()),
            server: free_port(ip.into()),
        }
    }
}

/// A port of this address, in both protocols, that nobody has and nobody comes to have by chance: it is below those that the
/// kernel gives to connections (agents make some from their own address), and this process is given it once.
///
/// # Panics
/// When there is none.
pub fn free_port(ip: IpAddr) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free =
        |port: &u16| TcpListener::bind((ip, *port)).is_ok() && UdpSocket::bind((ip, *port)).is_ok();
    let mut candidates = (0..PORTS).filter_map(|_| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Processes that run at the same time begin at different ones.
        let number = std::process::id().wrapping_mul(61).wrapping_add(number);
        u16::try_from(FIRST_PORT + number % PORTS).ok()
    });
    candidates
        .find(is_free)
        .expect("a port is free, and the address is ours")
}

/// Below 32768, where Linux begins with those for connections (ip_local_port_range in ip(7)).
const FIRST_PORT: u32 = 10_000;

const PORTS: u32 = 20_000;

/// The program.
///
/// # Panics
/// When nothing names it.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("LICTOR_CONSUL");
    path.expect("no Consul to test with: LICTOR_CONSUL=$(tests/peers/consul) names one")
        .into()
}

/// Until there is a leader and a certificate authority, on a busy machine.
const START: Duration = Duration::from_secs(60);

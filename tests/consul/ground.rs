//! Proxies that a real Consul configures, and the services behind them.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;

use support::client::{assert_echo, connect};
use support::consul::{Agent, Settings, free_port};
use support::lab::Gateway;
use support::process::{Launch, lictor};
use support::temp::TempDir;
use support::wait;

/// An address of this agent's own, with a port that is free.
pub(crate) fn free(agent: &Agent) -> SocketAddr {
    free_at(agent.http().ip())
}

fn free_at(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, free_port(ip))
}

/// Registers an instance of a service that listens there, and its sidecar; gives the sidecar's address. `proxy` is what stands
/// in its `Proxy` beside that, begun with a comma.
pub(crate) fn register(agent: &Agent, service: &str, app: SocketAddr, proxy: &str) -> SocketAddr {
    let sidecar = free(agent);
    register_at(agent, service, app, sidecar, proxy);
    sidecar
}

/// The same, with the sidecar at this address.
pub(crate) fn register_at(
    agent: &Agent,
    service: &str,
    app: SocketAddr,
    sidecar: SocketAddr,
    proxy: &str,
) {
    let id = format!("{service}-1");
    register_instance(agent, service, &id, (app, sidecar), proxy, "");
}

/// The same, as an instance of this ID; `more` is of the sidecar itself, begun with a comma.
pub(crate) fn register_instance(
    agent: &Agent,
    service: &str,
    id: &str,
    (app, sidecar): (SocketAddr, SocketAddr),
    proxy: &str,
    more: &str,
) {
    let (ip, port) = (app.ip(), app.port());
    agent.put(
        "/v1/agent/service/register",
        &format!(r#"{{"Name":"{service}","ID":"{id}","Address":"{ip}","Port":{port}}}"#),
    );
    agent.put(
        "/v1/agent/service/register",
        &format!(
            r#"{{"Kind":"connect-proxy","Name":"{service}-sidecar-proxy","ID":"{id}-sidecar-proxy","Address":"{}","Port":{}{more},
            "Proxy":{{"DestinationServiceName":"{service}","DestinationServiceID":"{id}",
                "LocalServiceAddress":"{ip}","LocalServicePort":{port}{proxy}}}}}"#,
            sidecar.ip(),
            sidecar.port(),
        ),
    );
}

/// An upstream of a registration; `more` is begun with a comma.
pub(crate) fn upstream(service: &str, listen: SocketAddr, more: &str) -> String {
    format!(
        r#"{{"DestinationName":"{service}","LocalBindAddress":"{}","LocalBindPort":{}{more}}}"#,
        listen.ip(),
        listen.port()
    )
}

/// Registers a mesh gateway on two addresses of its own.
pub(crate) fn register_gateway(agent: &Agent) {
    let (lan, wan) = (free(agent), free(agent));
    agent.put(
        "/v1/agent/service/register",
        &format!(
            r#"{{"Kind":"mesh-gateway","Name":"mesh-gateway","ID":"gw-1","Address":"{}","Port":{},
            "TaggedAddresses":{{"lan":{{"Address":"{0}","Port":{1}}},"wan":{{"Address":"{}","Port":{}}}}},
            "Proxy":{{"Config":{{"envoy_gateway_bind_tagged_addresses":true,"envoy_gateway_no_default_bind":true}}}}}}"#,
            lan.ip(),
            lan.port(),
            wan.ip(),
            wan.port(),
        ),
    );
}

/// Starts lictor by these words and what this agent says; returns when it is ready.
pub(crate) fn start(agent: &Agent, words: &[&str]) -> Gateway {
    start_with(agent, words, "")
}

/// The same, with more lines of the stanza `lictor`.
pub(crate) fn start_with(agent: &Agent, words: &[&str], more: &str) -> Gateway {
    Gateway::start(launch_with(agent, words, more))
}

/// How it is started.
pub(crate) fn launch(agent: &Agent, words: &[&str]) -> Launch {
    launch_with(agent, words, "")
}

fn launch_with(agent: &Agent, words: &[&str], more: &str) -> Launch {
    let home = Arc::new(TempDir::new());
    let state = home.file("state");
    std::fs::create_dir(&state).expect("a directory can be made");
    let file = format!(
        "lictor {{\n  admin = \"127.0.0.1:0\"\n  state_dir = \"{}\"\n{more}\n}}\n",
        state.display()
    );
    let file = home.write("own.hcl", file).into_os_string();
    let address = agent.http().to_string();
    let words = words.iter().copied().chain(["--http-addr", &address]);
    let arguments = words.map(Into::into).chain([file]);
    Launch::with(arguments).beside(home)
}

/// The sidecar of the instance of a service.
pub(crate) fn sidecar(agent: &Agent, service: &str) -> Gateway {
    start(agent, &["--sidecar-for", &format!("{service}-1")])
}

/// A flow to an echoing service by an upstream, once the way is known.
pub(crate) fn flow(listen: SocketAddr) -> TcpStream {
    let mut stream = wait::until("a flow", || try_flow(listen));
    assert_echo(&mut stream, b"once more");
    stream
}

/// The same, if it works now.
pub(crate) fn try_flow(listen: SocketAddr) -> Option<TcpStream> {
    use std::io::{Read as _, Write as _};
    let mut stream = TcpStream::connect(listen).ok()?;
    support::client::patient(&stream);
    stream.write_all(b"hello").ok()?;
    let mut back = [0; 5];
    stream.read_exact(&mut back).ok()?;
    (&back == b"hello").then_some(stream)
}

/// Sees that a new connection gets nowhere.
pub(crate) fn assert_no_flow(listen: SocketAddr) {
    let mut stream = connect(listen);
    support::client::assert_refused(&mut stream);
}

/// Says whether one service may call another.
pub(crate) fn intend(agent: &Agent, source: &str, destination: &str, action: &str) {
    let intention = format!(
        r#"{{"SourceName":"{source}","DestinationName":"{destination}","SourceType":"consul","Action":"{action}"}}"#
    );
    let known = agent.get("/v1/connect/intentions");
    let mut known = known.as_array().into_iter().flatten();
    let same = known.find(|it| it["SourceName"] == source && it["DestinationName"] == destination);
    match same.and_then(|it| it["ID"].as_str()) {
        Some(id) => drop(agent.put(&format!("/v1/connect/intentions/{id}"), &intention)),
        None => {
            let answer = agent.ask("POST", "/v1/connect/intentions", &intention);
            assert_eq!(answer.expect("consul answers").0, 200);
        }
    }
}

/// Two federated datacenters, a server in each.
pub(crate) fn two_datacenters() -> (Agent, Agent) {
    let port = |ip| free_at(ip).port();
    let any = IpAddr::from([127, 0, 0, 1]);
    let (wan1, wan2) = (port(any), port(any));
    let more = |name: &str, wan: u16, join: &str| {
        format!(
            r#"{{"datacenter":"{name}","primary_datacenter":"dc1","enable_central_service_config":true,"ports":{{"serf_wan":{wan}}}{join},
            "gossip_wan":{{"gossip_interval":"100ms","probe_interval":"1s","probe_timeout":"500ms","suspicion_mult":3}}}}"#
        )
    };
    let dc1 = Agent::start(Settings {
        more: &more("dc1", wan1, ""),
        ..Settings::default()
    });
    let join = format!(
        r#","retry_join_wan":["{}:{wan1}"],"retry_interval_wan":"500ms""#,
        dc1.http().ip()
    );
    let dc2 = Agent::start(Settings {
        more: &more("dc2", wan2, &join),
        ..Settings::default()
    });
    for (here, there) in [(&dc1, "dc2"), (&dc2, "dc1")] {
        let path = format!("/v1/catalog/nodes?dc={there}");
        wait::until_true("the datacenters to see each other", || {
            here.ask("GET", &path, "")
                .is_some_and(|(status, _)| status == 200)
        });
    }
    (dc1, dc2)
}

/// `lictor run` with these arguments ends at once, and says why.
pub(crate) fn assert_not_run(arguments: &[&str], why: &str) {
    let arguments = [&["run"], arguments].concat();
    let output = lictor(&arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains(why),
        "{arguments:?}: {said}"
    );
}

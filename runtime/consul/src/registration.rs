//! Registering a proxy at the local agent, or in the catalog.
//!
//! Where there is no agent a proxy stands in the catalog, on a node of its own: an agent deletes from its own node what it does not
//! know. Nobody runs checks for such a node. Its one check says that lictor runs: it is passing from the start, and critical from
//! an end that was asked for; of a crash it says nothing. What others make of it is set right again.
//! <https://developer.hashicorp.com/consul/api-docs/agent/service#register-service>

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use plan::quote::quote;

use crate::{Client, Error, Question, Request, answers::catalog, rights};

/// A service as Consul is to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    id: String,
    name: String,
    /// The address of its node, where it is one of its own.
    address: String,
    /// The rest of its definition, in JSON: members, each with a comma before.
    definition: String,
    /// The check that an agent makes, in JSON.
    check: String,
    /// All that an agent is told instead, in JSON.
    whole: Option<String>,
    /// The IDs of its checks, where it has others than the one above.
    pub(crate) checks: Vec<String>,
}

/// Whether a proxy of the catalog runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Passing,
    Critical,
}

/// A mesh gateway to register, as `consul connect envoy -gateway=mesh -register` does it
/// (<https://developer.hashicorp.com/consul/commands/connect/envoy>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshGateway {
    /// Its ID.
    pub id: String,
    /// Its name; all gateways of a datacenter have the same.
    pub name: String,
    /// Where this datacenter reaches it.
    pub lan: (IpAddr, u16),
    /// Where the others reach it, by address or name; `None` for the same.
    pub wan: Option<(String, u16)>,
    /// Where it listens.
    pub bind: Bind,
    /// Whether Consul's own servers are reached through it: WAN federation.
    pub exposes_servers: bool,
    /// How long its check may fail before the agent forgets it; `None` for always.
    pub forget_after: Option<Duration>,
}

/// Where a gateway listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// Where this datacenter reaches it.
    Lan,
    /// There, and where the others do.
    LanAndWan,
    /// On these addresses alone, each with a name of its own.
    Only(Vec<(String, SocketAddr)>),
}

impl MeshGateway {
    /// What the agent is told. It checks that something listens, every ten seconds.
    #[must_use]
    pub fn registration(&self) -> Registration {
        let (ip, port) = self.lan;
        // A socket on all addresses is checked on this host.
        let checked = match ip {
            IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
            IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let lan = ip.to_string();
        let (wan, wan_port) = self.wan.clone().unwrap_or_else(|| (lan.clone(), port));
        let mut definition = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            definition,
            r#","Kind":"mesh-gateway","Address":"{lan}","Port":{port},"TaggedAddresses":{{"lan":{{"Address":"{lan}","Port":{port}}},"wan":{{"Address":{},"Port":{wan_port}}}}}"#,
            quoted(&wan),
        );
        if self.exposes_servers {
            definition.push_str(r#","Meta":{"consul-wan-federation":"1"}"#);
        }
        self.bind.write(&mut definition);
        let mut check = format!(
            r#"{{"Name":"mesh gateway listening","TCP":"{checked}:{port}","Interval":"10s""#
        );
        if let Some(after) = self.forget_after {
            let _ = write!(
                check,
                r#","DeregisterCriticalServiceAfter":"{}s""#,
                after.as_secs()
            );
        }
        check.push('}');
        Registration {
            id: self.id.clone(),
            name: self.name.clone(),
            address: lan,
            definition,
            check,
            whole: None,
            checks: Vec::new(),
        }
    }
}

impl Bind {
    /// Adds the keys that Consul's own command sets for it, each as with Envoy.
    fn write(&self, body: &mut String) {
        if *self == Self::Lan {
            return;
        }
        body.push_str(r#","Proxy":{"Config":{"envoy_gateway_no_default_bind":true,"#);
        if let Self::Only(addresses) = self {
            body.push_str(r#""envoy_gateway_bind_addresses":{"#);
            for (number, (name, address)) in addresses.iter().enumerate() {
                let comma = if number > 0 { "," } else { "" };
                let _ = write!(
                    body,
                    r#"{comma}{}:{{"Address":"{}","Port":{}}}"#,
                    quoted(name),
                    address.ip(),
                    address.port()
                );
            }
            body.push('}');
        } else {
            body.push_str(r#""envoy_gateway_bind_tagged_addresses":true"#);
        }
        body.push_str("}}");
    }
}

impl Registration {
    /// A service with a sidecar of its own, by the whole request to an agent; with the IDs that it gives their checks.
    #[must_use]
    pub fn of_service(id: &str, name: &str, body: &str, checks: &[String]) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            address: String::new(),
            definition: String::new(),
            check: String::new(),
            whole: Some(body.to_owned()),
            checks: checks.to_vec(),
        }
    }

    /// The ID of the service.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is asked to see whether it is still registered.
    pub(crate) fn question(&self, node: Option<&str>) -> Question {
        match node {
            // A sidecar goes with its service, and may be gone alone.
            None => Question::Registration {
                id: match self.whole {
                    Some(_) => rights::sidecar(&self.id),
                    None => self.id.clone(),
                },
            },
            Some(node) => Question::NodeChecks {
                node: node.to_owned(),
            },
        }
    }

    /// Registers, or replaces what has this ID: at the agent, or on this node of the catalog.
    ///
    /// # Errors
    ///
    /// Consul cannot be reached, or refuses.
    pub async fn make(&self, client: &Client, node: Option<&str>) -> Result<(), Error> {
        match node {
            None => self.put(client, AGENT, &self.for_agent()).await,
            Some(node) => {
                if is_of_agent(client, node).await? {
                    return Err(Error::AgentsNode(node.to_owned()));
                }
                let body = self.for_catalog(node, Status::Passing);
                self.put(client, CATALOG, &body).await
            }
        }
    }

    /// Says that it has ended, where nobody else finds out.
    ///
    /// # Errors
    ///
    /// Consul cannot be reached, or refuses.
    pub async fn leave(&self, client: &Client, node: &str) -> Result<(), Error> {
        let body = self.for_catalog(node, Status::Critical);
        self.put(client, CATALOG, &body).await
    }

    async fn put(&self, client: &Client, path: &str, body: &str) -> Result<(), Error> {
        let request = Request {
            method: "PUT",
            path,
            body: Some(body.as_bytes()),
            within: PATIENCE,
        };
        match client.fetch(request, MAX_REPLY_BYTES).await {
            Ok(_) => Ok(()),
            Err(Error::Forbidden(said)) => {
                let mut rules = rights::service(&self.name, "write");
                if path == CATALOG {
                    rules.push_str(r#" and node "…" { policy = "write" } for its node"#);
                }
                Err(Error::Forbidden(format!("{said}, it needs {rules}")))
            }
            Err(error) => Err(error),
        }
    }

    fn for_agent(&self) -> String {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        format!(
            r#"{{"ID":{},"Name":{}{},"Check":{}}}"#,
            quoted(&self.id),
            quoted(&self.name),
            self.definition,
            self.check
        )
    }

    fn for_catalog(&self, node: &str, status: Status) -> String {
        let (id, node) = (quoted(&self.id), quoted(node));
        let (status, output) = match status {
            Status::Passing => ("passing", "lictor runs"),
            Status::Critical => ("critical", "lictor has ended"),
        };
        format!(
            r#"{{"Node":{node},"Address":"{}","NodeMeta":{{"synthetic-node":"true"}},"Service":{{"ID":{id},"Service":{}{}}},"Check":{{"Node":{node},"CheckID":{},"Name":"lictor","ServiceID":{id},"Status":"{status}","Output":"{output}"}}}}"#,
            self.address,
            quoted(&self.name),
            self.definition,
            quoted(&self.check_id()),
        )
    }

    fn check_id(&self) -> String {
        format!("lictor:{}", self.id)
    }

    /// Whether it must be made again, after this answer to what it is kept by.
    pub(crate) fn is_gone(&self, body: &[u8]) -> bool {
        let id = self.check_id();
        // What cannot be read is no reason.
        catalog::node_checks(body).is_ok_and(|checks| {
            let own = checks.iter().find(|check| check.id == id);
            own.is_none_or(|own| own.service != self.id || own.status != "passing")
        })
    }

    /// Deregisters.
    ///
    /// # Errors
    ///
    /// The agent cannot be reached, or refuses; not when it knows no such service.
    pub async fn end(&self, client: &Client) -> Result<(), Error> {
        deregister(client, "service", &self.id).await
    }
}

/// Has the agent forget a service or a check.
pub(crate) async fn deregister(client: &Client, what: &str, id: &str) -> Result<(), Error> {
    let id = crate::question::encoded(id);
    let request = Request {
        method: "PUT",
        path: &format!("/v1/agent/{what}/deregister/{id}"),
        body: None,
        within: PATIENCE,
    };
    match client.fetch(request, MAX_REPLY_BYTES).await {
        Ok(_) | Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether an agent keeps this node: gossip says how it is.
async fn is_of_agent(client: &Client, node: &str) -> Result<bool, Error> {
    let node = node.to_owned();
    let request = Request {
        method: "GET",
        path: &Question::NodeChecks { node }.path(),
        body: None,
        within: PATIENCE,
    };
    let (_, body) = client.fetch(request, MAX_CHECKS_BYTES).await?;
    let checks = catalog::node_checks(&body).map_err(Error::NotUnderstood)?;
    Ok(checks.iter().any(|check| check.id == SERF_HEALTH))
}

/// A text in JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quote(&mut quoted, text);
    quoted
}

/// The check that Consul's servers make of every node with an agent.
const SERF_HEALTH: &str = "serfHealth";

/// The checks of a node and of its services.
const MAX_CHECKS_BYTES: usize = 1 << 20;

const AGENT: &str = "/v1/agent/service/register";
const CATALOG: &str = "/v1/catalog/register";

/// The agent answers when the servers have it, or says soon why not.
const PATIENCE: Duration = Duration::from_secs(15);

/// The agent answers with nothing, the catalog with `true`.
const MAX_REPLY_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> MeshGateway {
        MeshGateway {
            id: "gw \"1\"".to_owned(),
            name: "mesh-gateway".to_owned(),
            lan: ("10.0.0.1".parse().unwrap(), 8443),
            wan: Some(("gw.dc1.example".to_owned(), 443)),
            bind: Bind::Lan,
            exposes_servers: true,
            forget_after: Some(Duration::from_secs(6 * 3600)),
        }
    }

    #[test]
    fn a_gateway_is_told_with_both_addresses_and_a_check() {
        let told: serde_json::Value =
            serde_json::from_str(&gateway().registration().for_agent()).unwrap();
        assert_eq!(told["ID"], "gw \"1\"");
        assert_eq!(
            (&told["Address"], &told["Port"]),
            (&"10.0.0.1".into(), &8443.into())
        );
        assert_eq!(told["TaggedAddresses"]["wan"]["Address"], "gw.dc1.example");
        assert_eq!(told["TaggedAddresses"]["wan"]["Port"], 443);
        assert_eq!(told["Meta"]["consul-wan-federation"], "1");
        assert_eq!(told["Check"]["TCP"], "10.0.0.1:8443");
        assert_eq!(told["Check"]["DeregisterCriticalServiceAfter"], "21600s");
    }

    #[test]
    fn what_is_not_given_is_not_told() {
        let gateway = MeshGateway {
            lan: ("::".parse().unwrap(), 8443),
            wan: None,
            exposes_servers: false,
            forget_after: None,
            ..gateway()
        };
        let told: serde_json::Value =
            serde_json::from_str(&gateway.registration().for_agent()).unwrap();
        assert_eq!(
            told["TaggedAddresses"]["wan"],
            told["TaggedAddresses"]["lan"]
        );
        assert_eq!(told["Check"]["TCP"], "[::1]:8443");
        assert!(
            told.get("Meta").is_none()
                && told["Check"]
                    .get("DeregisterCriticalServiceAfter")
                    .is_none()
        );
    }

    #[test]
    fn in_the_catalog_it_has_a_node_and_a_check_that_says_whether_it_runs() {
        let made = gateway().registration();
        for (status, said) in [(Status::Passing, "passing"), (Status::Critical, "critical")] {
            let body = made.for_catalog("edge \"7\"", status);
            let told: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(told["Node"], "edge \"7\"");
            assert_eq!(told["Address"], "10.0.0.1");
            assert_eq!(told["Service"]["ID"], "gw \"1\"");
            assert_eq!(told["Service"]["Service"], "mesh-gateway");
            assert_eq!(told["Service"]["Kind"], "mesh-gateway");
            assert_eq!(told["Service"]["TaggedAddresses"]["wan"]["Port"], 443);
            assert_eq!(told["Check"]["ServiceID"], "gw \"1\"");
            assert_eq!(told["Check"]["Status"], said);
        }
    }

    #[test]
    fn it_is_made_again_when_its_check_is_gone_or_says_something_else() {
        let made = gateway().registration();
        let check = |id: &str, service: &str, status: &str| {
            let check = serde_json::json!([{"CheckID": "other", "Status": "critical"},
                {"CheckID": id, "ServiceID": service, "Status": status}]);
            made.is_gone(check.to_string().as_bytes())
        };
        let (id, service) = ("lictor:gw \"1\"", "gw \"1\"");
        assert!(!check(id, service, "passing"));
        assert!(check(id, service, "critical"));
        assert!(check(id, "gw", "passing"));
        assert!(check("lictor:gw", service, "passing"));
        assert!(made.is_gone(b"[]") && made.is_gone(b"null") && !made.is_gone(b"?"));
    }

    #[test]
    fn where_it_listens_is_told_as_for_envoy() {
        let told = |bind| {
            let gateway = MeshGateway { bind, ..gateway() };
            let body = gateway.registration().for_agent();
            let told: serde_json::Value = serde_json::from_str(&body).unwrap();
            told["Proxy"]["Config"].clone()
        };
        assert!(told(Bind::Lan).is_null());
        assert_eq!(
            told(Bind::LanAndWan),
            serde_json::json!({"envoy_gateway_no_default_bind": true, "envoy_gateway_bind_tagged_addresses": true})
        );
        let addresses = [("in", "10.0.0.1:8443"), ("out", "[::]:443")];
        let addresses =
            addresses.map(|(name, address)| (name.to_owned(), address.parse().unwrap()));
        assert_eq!(
            told(Bind::Only(addresses.to_vec())),
            serde_json::json!({"envoy_gateway_no_default_bind": true, "envoy_gateway_bind_addresses": {
                "in": {"Address": "10.0.0.1", "Port": 8443}, "out": {"Address": "::", "Port": 443}}})
        );
    }

    #[test]
    fn any_text_is_quoted() {
        for text in ["", "a\"b\\c", "\u{1}\n\u{7f}", "äöü"] {
            let read: String = serde_json::from_str(&quoted(text)).unwrap();
            assert_eq!(read, text);
        }
    }
}

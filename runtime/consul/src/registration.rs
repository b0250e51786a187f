//! Registering a proxy at the local agent, and keeping it registered.
//!
//! An agent remembers what is registered over a restart, but not over the loss of its data; a registration that is gone is made
//! again. Nothing is deregistered unless asked: a proxy that restarts must not be missing meanwhile, and of one that stays away
//! the agent's own check says so.
//! <https://developer.hashicorp.com/consul/api-docs/agent/service#register-service>

use std::{fmt::Write as _, net::IpAddr, rc::Rc, time::Duration};

use smol::{Timer, channel};

use crate::{Client, Error, Event, Question, Request, Watches, rights};

/// A service as the agent is to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    id: String,
    name: String,
    body: String,
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
    /// Whether Consul's own servers are reached through it: WAN federation.
    pub exposes_servers: bool,
    /// How long its check may fail before the agent forgets it; `None` for always.
    pub forget_after: Option<Duration>,
}

/// How a registration fares.
#[derive(Debug)]
pub enum Fare {
    /// It was made, for the first time or again.
    Made,
    /// It cannot be made now; it is tried again.
    Failed(Error),
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
        let mut body = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            body,
            r#"{{"ID":{},"Name":{},"Kind":"mesh-gateway","Address":"{lan}","Port":{port},"TaggedAddresses":{{"lan":{{"Address":"{lan}","Port":{port}}},"wan":{{"Address":{},"Port":{wan_port}}}}},"#,
            quoted(&self.id),
            quoted(&self.name),
            quoted(&wan),
        );
        if self.exposes_servers {
            body.push_str(r#""Meta":{"consul-wan-federation":"1"},"#);
        }
        let _ = write!(
            body,
            r#""Check":{{"Name":"mesh gateway listening","TCP":"{checked}:{port}","Interval":"10s""#
        );
        if let Some(after) = self.forget_after {
            let _ = write!(
                body,
                r#","DeregisterCriticalServiceAfter":"{}s""#,
                after.as_secs()
            );
        }
        body.push_str("}}");
        Registration {
            id: self.id.clone(),
            name: self.name.clone(),
            body,
        }
    }
}

impl Registration {
    /// The ID of the service.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Registers, or replaces what has this ID.
    ///
    /// # Errors
    ///
    /// The agent cannot be reached, or refuses.
    pub async fn make(&self, client: &Client) -> Result<(), Error> {
        let request = Request {
            method: "PUT",
            path: "/v1/agent/service/register",
            body: Some(self.body.as_bytes()),
            within: PATIENCE,
        };
        match client.fetch(request, MAX_REPLY_BYTES).await {
            Ok(_) => Ok(()),
            Err(Error::Forbidden(said)) => {
                let rule = rights::service(&self.name, "write");
                Err(Error::Forbidden(format!("{said}, it needs {rule}")))
            }
            Err(error) => Err(error),
        }
    }

    /// Deregisters.
    ///
    /// # Errors
    ///
    /// The agent cannot be reached, or refuses; not when it knows no such service.
    pub async fn end(&self, client: &Client) -> Result<(), Error> {
        let path = format!(
            "/v1/agent/service/deregister/{}",
            crate::question::encoded(&self.id)
        );
        let request = Request {
            method: "PUT",
            path: &path,
            body: None,
            within: PATIENCE,
        };
        match client.fetch(request, MAX_REPLY_BYTES).await {
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Registers, and again whenever the agent knows nothing of it. `fare` hears of it each time. Ends with the watches.
    pub async fn keep(&self, watches: &Watches, mut fare: impl FnMut(Fare)) {
        let (gone, missed) = channel::bounded(1);
        let gone = Rc::new(gone);
        let mut failures = 0_u32;
        loop {
            match self.make(watches.client()).await {
                Ok(()) => {
                    failures = 0;
                    fare(Fare::Made);
                }
                Err(error) => {
                    fare(Fare::Failed(error));
                    failures = (failures + 1).min(5);
                    Timer::after(RETRY * (1 << failures)).await;
                    continue;
                }
            }
            let question = Question::Registration {
                id: self.id.clone(),
            };
            let tell = Rc::clone(&gone);
            let watch = watches.watch(&question, move |event| {
                if let Event::Failed(Error::NotFound(_)) = event {
                    let _ = tell.try_send(());
                }
            });
            if missed.recv().await.is_err() {
                return;
            }
            drop(watch);
        }
    }
}

/// A text in JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The agent answers when the servers have it, or says soon why not.
const PATIENCE: Duration = Duration::from_secs(15);

/// The first pause after a failure is twice this, the longest 32 times.
const RETRY: Duration = Duration::from_secs(1);

/// The agent answers with nothing.
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
            exposes_servers: true,
            forget_after: Some(Duration::from_secs(6 * 3600)),
        }
    }

    #[test]
    fn a_gateway_is_told_with_both_addresses_and_a_check() {
        let told: serde_json::Value = serde_json::from_str(&gateway().registration().body).unwrap();
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
        let told: serde_json::Value = serde_json::from_str(&gateway.registration().body).unwrap();
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
    fn any_text_is_quoted() {
        for text in ["", "a\"b\\c", "\u{1}\n\u{7f}", "äöü"] {
            let read: String = serde_json::from_str(&quoted(text)).unwrap();
            assert_eq!(read, text);
        }
    }
}

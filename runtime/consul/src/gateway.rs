//! A mesh gateway that Consul configures: what must be asked now, and what is known.
//!
//! Without I/O, as [`crate::sidecar`] is. A gateway passes on what others encrypted, so it asks for no certificate, no intention and
//! no upstream's chain; it asks where every service of its datacenter is, and every gateway of the others. Redirects and failover are not its
//! business: the client's proxy followed them.

use std::collections::BTreeSet;

use plan::{
    Endpoint,
    mesh::{GatewayRegistration, Mesh, RemoteDatacenter, Server, Service, Subset},
};

use crate::{
    answers::{catalog::Resolver, service},
    assemble::{
        chains, gateway_registration,
        places::{Usable, endpoints},
    },
    json::NotUnderstood,
    known::{Known, News},
    question::{ChainQuestion, Question},
    rights,
    source::{NotYet, Registered},
};

/// Consul's own service: its servers.
const CONSUL: &str = "consul";

/// The DNS domain in the names of Consul's servers, unless agents are told another.
const DOMAIN: &str = "consul";

/// What is known for one mesh gateway.
#[derive(Clone, Debug)]
pub struct Gateway {
    registered: Registered,
    /// The domain that the file names; empty for none.
    domain: String,
    known: Known,
}

/// A mesh gateway that can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// The registration.
    pub gateway: GatewayRegistration,
    /// The mesh around it.
    pub mesh: Mesh,
}

impl Gateway {
    /// A gateway with nothing known. The domain is that of the names of Consul's servers; where it is Consul's default, an
    /// agent is asked for another.
    #[must_use]
    pub fn new(registered: Registered, domain: &str) -> Self {
        Self {
            registered,
            domain: if domain == DOMAIN { "" } else { domain }.to_owned(),
            known: Known::default(),
        }
    }

    /// What must be asked now, sorted, each once.
    #[must_use]
    pub fn wanted(&self) -> Vec<Question> {
        let mut wanted = BTreeSet::from([Question::Roots]);
        wanted.extend(self.registered.questions());
        let Some(gateway) = self.known.service(&self.registered) else {
            return wanted.into_iter().collect();
        };
        wanted.extend([Question::Gateways, Question::Services, Question::Resolvers]);
        if gateway.datacenter.is_empty() {
            wanted.insert(own_chain(gateway));
        }
        if gateway.wan_federation {
            wanted.insert(Question::Servers);
            if self.domain.is_empty() {
                wanted.insert(Question::Agent);
            }
        }
        for name in self.services() {
            wanted.insert(instances(name, ""));
            for (_, subset) in self.resolver(name).map_or(&[][..], |it| &it.subsets) {
                wanted.insert(instances(name, &subset.filter));
            }
        }
        wanted.into_iter().collect()
    }

    /// Takes an answer: the body of a 200.
    ///
    /// # Errors
    /// It is no answer to that question; what was known stays.
    pub fn learn(&mut self, question: &Question, body: &[u8]) -> Result<News, NotUnderstood> {
        self.known.learn(question, body)
    }

    /// The rules that a token seems to miss after this answer: who may see all services sees Consul's own.
    #[must_use]
    pub fn doubt(&self, question: &Question) -> Option<&'static str> {
        let names = self.known.names(&Question::Services);
        let hidden = *question == Question::Services && names.iter().all(|name| name != CONSUL);
        hidden.then_some(rights::SERVICES)
    }

    /// Whether there is an answer to that question.
    #[must_use]
    pub fn has(&self, question: &Question) -> bool {
        self.known.has(question)
    }

    /// Forgets what is asked no more; to be called when a batch of answers has come.
    pub fn forget(&mut self) {
        self.known.keep(&self.wanted());
    }

    /// The services that may be in the mesh: all but Consul's own, the gateways', and those that are the sidecars of others.
    fn services(&self) -> impl Iterator<Item = &str> {
        let sidecars = self.known.names_of_proxies();
        let names = self.known.names(&Question::Services).iter();
        names
            .map(String::as_str)
            .filter(move |name| *name != CONSUL && !sidecars.contains(name))
    }

    fn resolver(&self, service: &str) -> Option<&Resolver> {
        let mut resolvers = self.known.resolvers().iter();
        resolvers.find(|resolver| resolver.service.eq_ignore_ascii_case(service))
    }

    /// An agent that may not be asked is taken for one that was told nothing.
    fn domain(&self) -> &str {
        let mut told = [
            self.domain.as_str(),
            self.known.domain().unwrap_or_default(),
        ]
        .into_iter();
        told.find(|domain| !domain.is_empty()).unwrap_or(DOMAIN)
    }

    fn datacenter(&self) -> Option<&str> {
        let gateway = self.known.service(&self.registered)?;
        if !gateway.datacenter.is_empty() {
            return Some(&gateway.datacenter);
        }
        match own_chain(gateway) {
            Question::Chain(question) => Some(self.known.chain(&question)?.datacenter.as_str()),
            _ => None,
        }
    }

    /// The gateway and the mesh around it, as far as they are known.
    ///
    /// # Errors
    /// What is missing, or why it cannot run.
    pub fn mesh(&self) -> Result<Assembled, NotYet> {
        let gateway = self.known.service(&self.registered);
        let gateway = gateway.ok_or(NotYet::Awaits("the registration of the gateway"))?;
        let roots = self
            .known
            .roots()
            .ok_or(NotYet::Awaits("the trust domain"))?;
        let here = self.datacenter();
        let here = here.ok_or(NotYet::Awaits("the name of the datacenter"))?;
        let mut mesh = Mesh {
            datacenter: here.to_owned(),
            trust_domain: roots.trust_domain.clone(),
            domain: self.domain().to_owned(),
            partition: gateway.partition.clone(),
            services: self
                .services()
                .filter_map(|name| self.service(name))
                .collect(),
            ..Mesh::default()
        };
        for (name, inside, outside) in self.known.gateways() {
            if name == here {
                mesh.gateways = endpoints(inside, Usable::Warning);
            } else {
                mesh.datacenters.push(RemoteDatacenter {
                    name: name.clone(),
                    gateways: endpoints(outside, Usable::Warning),
                    services: Vec::new(),
                });
            }
        }
        for server in self.known.servers() {
            if let [rpc] =
                endpoints(std::slice::from_ref(&server.place), Usable::Warning).as_slice()
            {
                mesh.servers.push(Server {
                    node: server.node.clone(),
                    rpc: rpc.clone(),
                    grpc_tls: None,
                });
            }
        }
        let gateway = gateway_registration::gateway(gateway).map_err(NotYet::Unusable)?;
        Ok(Assembled { gateway, mesh })
    }

    /// A service, unless it has no instance that speaks mesh TLS.
    fn service(&self, name: &str) -> Option<Service> {
        let all = self.places(name, "", Usable::Warning);
        let resolver = self.resolver(name);
        let subsets = resolver
            .map_or(&[][..], |it| &it.subsets)
            .iter()
            .map(|(subset, rule)| Subset {
                name: subset.clone(),
                endpoints: self.places(
                    name,
                    &rule.filter,
                    if rule.only_passing {
                        Usable::OnlyPassing
                    } else {
                        Usable::Warning
                    },
                ),
            });
        let default = resolver.map(|it| it.default_subset.clone());
        (!all.is_empty()).then(|| Service {
            name: name.to_owned(),
            namespace: String::new(),
            endpoints: all,
            subsets: subsets.collect(),
            default_subset: default.filter(|name| !name.is_empty()),
            balance: chains::balance(resolver.map_or("", |it| &it.policy)),
            connect_timeout: resolver.and_then(|it| chains::timeout(&it.connect_timeout)),
            exported_to: Vec::new(),
            protocol: String::new(),
        })
    }

    fn places(&self, service: &str, filter: &str, usable: Usable) -> Vec<Endpoint> {
        let places = self.known.places(&instances(service, filter));
        endpoints(places.unwrap_or_default(), usable)
    }
}

/// A chain says for which datacenter it was compiled, which an agent before 1.9 says nowhere else that a gateway may ask.
fn own_chain(gateway: &service::Service) -> Question {
    Question::Chain(ChainQuestion {
        service: gateway.name.clone(),
        ..ChainQuestion::default()
    })
}

fn instances(service: &str, filter: &str) -> Question {
    Question::Instances {
        service: service.to_owned(),
        datacenter: None,
        filter: filter.to_owned(),
    }
}

//! A mesh gateway that Consul configures: what must be asked now, and what is known.
//!
//! Without I/O, as [`crate::sidecar`] is. A gateway passes on what others encrypted, so it asks for no certificate, no intention and
//! no upstream's chain; it asks where every service of its datacenter is, and every gateway of the others. Redirects and failover are not its
//! business: the client's proxy followed them.
//!
//! There may be thousands of services, of which one changes at a time. So the Plan that was made last is kept, and an answer on
//! the instances of a service replaces the clusters of that service. Everything else is rare, and makes all of it anew.

use std::{collections::BTreeSet, rc::Rc};

use plan::{
    Endpoint, Plan,
    gateway::service_clusters,
    mesh::{GatewayRegistration, Mesh, Server, Service, Subset},
    order::sort_by_name,
};

use crate::{
    answers::{catalog::Resolver, service},
    assemble::{
        chains, gateway_registration,
        places::{Usable, endpoints},
    },
    json::NotUnderstood,
    known::{Known, News, Proxies, USUAL},
    listed::Listed,
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
    made: Option<Made>,
    stale: Stale,
}

/// What was made of the answers last.
#[derive(Clone, Debug)]
struct Made {
    gateway: GatewayRegistration,
    /// Without services.
    mesh: Mesh,
    plan: Plan,
}

/// What is different since.
#[derive(Clone, Debug, Default)]
enum Stale {
    /// Perhaps everything.
    #[default]
    All,
    /// The instances of these services.
    Services(BTreeSet<String>),
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
            made: None,
            stale: Stale::All,
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
    pub fn learn(&mut self, question: &Rc<Question>, body: &[u8]) -> Result<News, NotUnderstood> {
        let Question::Instances { service, .. } = &**question else {
            let news = self.known.learn(question, body)?;
            if news != News::None {
                self.stale = Stale::All;
            }
            return Ok(news);
        };
        let before = self.known.proxies(question).clone();
        if self.known.learn(question, body)? == News::None {
            return Ok(News::None);
        }
        if let Stale::Services(services) = &mut self.stale {
            services.insert(service.clone());
        }
        let after = self.known.proxies(question);
        let usual = rights::sidecar(service);
        let matters = |proxies: &Proxies| match proxies {
            Proxies::Usual => self.is_listed(&usual),
            Proxies::Named(names) => names.iter().any(|name| self.is_listed(name)),
        };
        Ok(
            if before != *after && (matters(&before) || matters(after)) {
                News::Questions
            } else {
                News::Some
            },
        )
    }

    /// The rules that a token seems to miss after this answer: who may see all services sees Consul's own.
    #[must_use]
    pub fn doubt(&self, question: &Question) -> Option<&'static str> {
        let names = self.known.names(&Question::Services);
        let hidden = *question == Question::Services && !names.is_some_and(|it| it.has(CONSUL));
        hidden.then_some(rights::SERVICES)
    }

    /// Forgets what is asked no more; to be called when what must be asked has changed.
    pub fn forget(&mut self) {
        let forgotten = self.known.keep(&self.wanted());
        if let Stale::Services(services) = &mut self.stale {
            services.extend(forgotten.iter().filter_map(|question| match &**question {
                Question::Instances { service, .. } => Some(service.clone()),
                _ => None,
            }));
        }
    }

    /// The services that may be in the mesh: all but Consul's own, the gateways', and those that are the sidecars of others.
    fn services(&self) -> impl Iterator<Item = &str> {
        let unusual = self.known.unusual_proxies();
        let names = self.known.names(&Question::Services);
        names
            .into_iter()
            .flat_map(Listed::iter)
            .filter(move |name| self.is_candidate(name, &unusual))
    }

    fn is_candidate(&self, name: &str, unusual: &BTreeSet<&str>) -> bool {
        name != CONSUL && !unusual.contains(name) && !self.is_usual_sidecar(name)
    }

    /// Whether a name is in the catalog.
    fn is_listed(&self, name: &str) -> bool {
        let names = self.known.names(&Question::Services);
        names.is_some_and(|names| names.has(name))
    }

    /// Whether a name is that of another's sidecar, as far as is known: most are, and need not be asked for.
    fn is_usual_sidecar(&self, name: &str) -> bool {
        name.strip_suffix(USUAL).is_some_and(|service| {
            self.is_listed(service)
                && !self.is_usual_sidecar(service)
                && *self.known.proxies(&instances(service, "")) == Proxies::Usual
        })
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

    /// The gateway and the whole mesh around it, as far as they are known: what [`Gateway::plan`] comes to step by step is held against
    /// the Plan of this.
    ///
    /// # Errors
    /// What is missing, or why it cannot run.
    pub fn mesh(&self) -> Result<Assembled, NotYet> {
        let (gateway, mut mesh) = self.around()?;
        let services = self.services().map(|name| self.service(name));
        mesh.services = services.filter(|it| !it.endpoints.is_empty()).collect();
        Ok(Assembled { gateway, mesh })
    }

    /// The Plan of that gateway in that mesh. Has the pieces that did not change in common with the one before.
    ///
    /// # Errors
    /// What is missing, or why it cannot run.
    pub fn plan(&mut self) -> Result<Plan, NotYet> {
        let before = self.made.take();
        let made = match (before, &self.stale) {
            (Some(mut made), Stale::Services(services)) if !self.is_ambiguous() => {
                let unusual = self.known.unusual_proxies();
                for name in services {
                    let is_there = self.is_listed(name) && self.is_candidate(name, &unusual);
                    self.renew(&mut made, name, is_there);
                }
                Ok(made)
            }
            (before, _) => {
                self.known.compact();
                self.make(before.as_ref().map(|made| &made.plan))
            }
        };
        match made {
            Ok(made) => {
                self.stale = Stale::Services(BTreeSet::new());
                Ok(self.made.insert(made).plan.clone())
            }
            Err(why) => {
                self.stale = Stale::All;
                Err(why)
            }
        }
    }

    /// Whether names of clusters may be those of two services, of which the first counts: names of clusters are in lower case, and
    /// a subset stands before its service with a dot between.
    fn is_ambiguous(&self) -> bool {
        let odd = |name: &str| name.bytes().any(|b| b == b'.' || b.is_ascii_uppercase());
        let mut resolvers = self.known.resolvers().iter();
        let mut names = self.known.names(&Question::Services).into_iter();
        names.any(|names| names.iter().any(odd))
            || resolvers.any(|it| it.subsets.iter().any(|(name, _)| odd(name.as_str())))
    }

    /// Makes all of it, with the pieces of a Plan that are the same.
    fn make(&self, before: Option<&Plan>) -> Result<Made, NotYet> {
        let (gateway, mesh) = self.around()?;
        let mut plan = plan::gateway::plan(&gateway, &mesh);
        let empty = Plan::default();
        let before = before.unwrap_or(&empty);
        for service in self.services().map(|name| self.service(name)) {
            if service.endpoints.is_empty() {
                continue;
            }
            for cluster in service_clusters(&gateway, &mesh, &service) {
                let same = before.piece(&cluster.name).filter(|it| ***it == cluster);
                plan.clusters
                    .push(same.map_or_else(|| Rc::new(cluster), Rc::clone));
            }
        }
        sort_by_name(&mut plan.clusters, |cluster| &cluster.name);
        plan.clusters
            .dedup_by(|later, first| later.name == first.name);
        plan.clusters.shrink_to_fit();
        plan.share(before);
        Ok(Made {
            gateway,
            mesh,
            plan,
        })
    }

    /// Puts the clusters of a service into the place of those before, if it is still there.
    fn renew(&self, made: &mut Made, name: &str, is_there: bool) {
        let service = self.service(name);
        let is_there = is_there && !service.endpoints.is_empty();
        let clusters = &mut made.plan.clusters;
        for cluster in service_clusters(&made.gateway, &made.mesh, &service) {
            match clusters.binary_search_by(|known| known.name.cmp(&cluster.name)) {
                Ok(at) if !is_there => drop(clusters.remove(at)),
                Ok(at) => {
                    if let Some(known) = clusters.get_mut(at).filter(|known| ***known != cluster) {
                        *known = Rc::new(cluster);
                    }
                }
                Err(at) if is_there => clusters.insert(at, Rc::new(cluster)),
                Err(_) => {}
            }
        }
    }

    /// The gateway, and the mesh around it without services.
    fn around(&self) -> Result<(GatewayRegistration, Mesh), NotYet> {
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
            ..Mesh::default()
        };
        self.known.add_gateways(&mut mesh, here);
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
        Ok((gateway, mesh))
    }

    /// A service; without endpoints if none of its instances speaks mesh TLS.
    fn service(&self, name: &str) -> Service {
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
        Service {
            name: name.to_owned(),
            namespace: String::new(),
            endpoints: self.places(name, "", Usable::Warning),
            subsets: subsets.collect(),
            default_subset: default.filter(|name| !name.is_empty()),
            balance: chains::balance(resolver.map_or("", |it| &it.policy)),
            connect_timeout: resolver.and_then(|it| chains::timeout(&it.connect_timeout)),
            exported_to: Vec::new(),
            protocol: String::new(),
        }
    }

    fn places(&self, service: &str, filter: &str, usable: Usable) -> Vec<Endpoint> {
        let places = self.known.places(&instances(service, filter));
        endpoints(places.unwrap_or_default(), usable)
    }
}

/// A chain says for which datacenter it was compiled, which an agent before 1.9 says nowhere else that a gateway may ask.
fn own_chain(gateway: &service::Service) -> Question {
    Question::Chain(Box::new(ChainQuestion {
        service: gateway.name.clone(),
        ..ChainQuestion::default()
    }))
}

fn instances(service: &str, filter: &str) -> Question {
    Question::Instances {
        service: service.to_owned(),
        datacenter: None,
        filter: filter.to_owned(),
    }
}

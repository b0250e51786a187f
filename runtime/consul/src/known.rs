//! What Consul has said so far: the last good answer to each question.
//!
//! Read once, kept small, replaced whole. An answer that cannot be read changes nothing. What nobody asks any more is
//! forgotten.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use plan::mesh::{Mesh, RemoteDatacenter};

use crate::{
    answers::{authority, catalog, chain, defaults, instances, intentions, mesh, service},
    assemble::places::{self, From, Place, Usable},
    json::NotUnderstood,
    listed::Listed,
    merge,
    question::{ChainQuestion, Question},
    source::Registered,
    watch::hash,
};

/// The last good answers.
#[derive(Clone, Debug, Default)]
pub struct Known {
    answers: BTreeMap<Rc<Question>, Answer>,
    /// What stands in the catalog, with the central configuration merged in, once both are known.
    merged: Vec<service::Service>,
}

/// An answer, as much of it as matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Service(Box<service::Service>),
    Services(Vec<service::Service>),
    Defaults(Vec<defaults::Defaults>),
    Tls(Box<mesh::Tls>),
    Roots(authority::Roots),
    Leaf(Box<authority::Leaf>),
    Intentions(Vec<intentions::Intention>),
    Allowed(bool),
    Chain(Box<chain::CompiledChain>),
    /// Where the instances of a service are, and under which names their sidecars are registered.
    Places(Vec<Place>, Proxies),
    /// By datacenter, as (from inside, from outside).
    Gateways(Vec<(String, Vec<Place>, Vec<Place>)>),
    /// The service a query found, its datacenter, and where it is.
    Found(Box<Found>),
    Names(Listed),
    Resolvers(Vec<catalog::Resolver>),
    Servers(Vec<Server>),
    /// The domain in the names of servers.
    Domain(String),
    /// Only that there was one: a digest of its bytes.
    Digest(u64),
}

/// Under which names the sidecars of a service are registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Proxies {
    /// As Consul's own commands name them: by the service's name and [`USUAL`].
    #[default]
    Usual,
    /// Under these, sorted.
    Named(Vec<String>),
}

/// The end of a sidecar's name, unless somebody chose another.
pub(crate) const USUAL: &str = "-sidecar-proxy";

/// What a prepared query found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) service: String,
    pub(crate) datacenter: String,
    pub(crate) inside: Vec<Place>,
    pub(crate) outside: Vec<Place>,
}

/// One of Consul's servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) node: String,
    pub(crate) datacenter: String,
    pub(crate) place: Place,
}

/// Whether an answer brought anything new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It is as it was.
    None,
    /// Something changed.
    Some,
    /// Something changed, and with it perhaps what must be asked.
    Questions,
}

impl Known {
    /// Takes an answer, the body of a 200.
    ///
    /// # Errors
    /// It is no answer to that question; the one before stays.
    pub fn learn(&mut self, question: &Rc<Question>, body: &[u8]) -> Result<News, NotUnderstood> {
        let answer = read(question, body)?;
        let is_merged = matches!(answer, Answer::Services(_) | Answer::Defaults(_));
        match self.answers.get_mut(question) {
            Some(known) if *known == answer => return Ok(News::None),
            Some(known) => *known = answer,
            None => drop(self.answers.insert(Rc::clone(question), answer)),
        }
        if is_merged {
            self.merge();
        }
        Ok(News::Questions)
    }

    fn merge(&mut self) {
        let services = self.answers.values().find_map(|answer| match answer {
            Answer::Services(services) => Some(services),
            _ => None,
        });
        let all = self.answers.get(&Question::ServiceDefaults);
        let global = self.answers.get(&Question::ProxyDefaults);
        if let (Some(services), Some(Answer::Defaults(all)), Some(Answer::Defaults(global))) =
            (services, all, global)
        {
            let none = defaults::Defaults::default();
            let global = global.first().unwrap_or(&none);
            let mut merged = services.clone();
            for service in &mut merged {
                merge::merge(service, all, global);
            }
            self.merged = merged;
        }
    }

    /// Forgets all answers to questions that are not among these, which are sorted; gives the questions.
    pub fn keep(&mut self, wanted: &[Question]) -> Vec<Rc<Question>> {
        let unwanted = |question: &&Rc<Question>| wanted.binary_search(question).is_err();
        let forgotten: Vec<_> = self.answers.keys().filter(unwanted).cloned().collect();
        for question in &forgotten {
            self.answers.remove(question);
        }
        forgotten
    }

    /// Takes less room: what came in order fills a tree's nodes by half.
    pub(crate) fn compact(&mut self) {
        self.answers = std::mem::take(&mut self.answers).into_iter().collect();
    }

    pub(crate) fn answer(&self, question: &Question) -> Option<&Answer> {
        self.answers.get(question)
    }

    pub(crate) fn service(&self, registered: &Registered) -> Option<&service::Service> {
        if registered.node.is_some() {
            return self.merged.iter().find(|it| it.id == registered.id);
        }
        let id = registered.id.clone();
        match self.answer(&Question::Registration { id })? {
            Answer::Service(service) => Some(service),
            _ => None,
        }
    }

    pub(crate) fn roots(&self) -> Option<&authority::Roots> {
        match self.answer(&Question::Roots)? {
            Answer::Roots(roots) if roots.count > 0 && !roots.trust_domain.is_empty() => {
                Some(roots)
            }
            _ => None,
        }
    }

    /// What the mesh entry says of TLS; `None` where it is not known.
    pub(crate) fn tls(&self) -> Option<&mesh::Tls> {
        match self.answer(&Question::MeshEntry)? {
            Answer::Tls(tls) => Some(tls),
            _ => None,
        }
    }

    pub(crate) fn leaf(&self, service: &str) -> Option<&authority::Leaf> {
        let service = service.to_owned();
        match self.answer(&Question::Leaf { service })? {
            Answer::Leaf(leaf) if !leaf.certificates.is_empty() => Some(leaf),
            _ => None,
        }
    }

    pub(crate) fn intentions(&self, service: &str) -> Option<&[intentions::Intention]> {
        let service = service.to_owned();
        match self.answer(&Question::Intentions { service })? {
            Answer::Intentions(intentions) => Some(intentions),
            _ => None,
        }
    }

    pub(crate) fn allowed(&self, service: &str) -> Option<bool> {
        let service = service.to_owned();
        match self.answer(&Question::Default { service })? {
            Answer::Allowed(allowed) => Some(*allowed),
            _ => None,
        }
    }

    pub(crate) fn chain(&self, chain: &ChainQuestion) -> Option<&chain::CompiledChain> {
        match self.answer(&Question::Chain(Box::new(chain.clone())))? {
            Answer::Chain(chain) => Some(chain),
            _ => None,
        }
    }

    /// The chain, or while it is not known one of the same service that was compiled with other overrides: a mode that was
    /// just changed must not take an upstream away for the time of a question.
    pub(crate) fn chain_or_last(&self, chain: &ChainQuestion) -> Option<&chain::CompiledChain> {
        self.chain(chain).or_else(|| {
            let like = self
                .answers
                .iter()
                .find(|(question, _)| question.is_chain_like(chain));
            match like?.1 {
                Answer::Chain(chain) => Some(chain),
                _ => None,
            }
        })
    }

    /// Known chains that stand in for this one, which is not known.
    pub(crate) fn stand_ins(&self, chain: &ChainQuestion) -> Vec<Question> {
        match self.chain(chain) {
            Some(_) => Vec::new(),
            None => {
                let like = self
                    .answers
                    .keys()
                    .filter(|question| question.is_chain_like(chain));
                like.map(|question| question.as_ref().clone()).collect()
            }
        }
    }

    pub(crate) fn places(&self, question: &Question) -> Option<&[Place]> {
        match self.answer(question)? {
            Answer::Places(places, _) => Some(places),
            _ => None,
        }
    }

    /// Adds the mesh gateways of this datacenter and of the others.
    pub(crate) fn add_gateways(&self, mesh: &mut Mesh, here: &str) {
        let Some(Answer::Gateways(gateways)) = self.answer(&Question::Gateways) else {
            return;
        };
        for (name, inside, outside) in gateways {
            if name == here {
                mesh.gateways = places::endpoints(inside, Usable::Warning);
            } else {
                mesh.datacenters.push(RemoteDatacenter {
                    name: name.clone(),
                    gateways: places::endpoints(outside, Usable::Warning),
                    services: Vec::new(),
                });
            }
        }
    }

    pub(crate) fn found(&self, query: &str) -> Option<&Found> {
        let name = query.to_owned();
        match self.answer(&Question::Query { name })? {
            Answer::Found(found) => Some(found),
            _ => None,
        }
    }

    /// Under which names the sidecars of a service are registered; while nothing is known of it, the usual one.
    pub(crate) fn proxies(&self, question: &Question) -> &Proxies {
        match self.answer(question) {
            Some(Answer::Places(_, proxies)) => proxies,
            _ => &Proxies::Usual,
        }
    }

    /// The unusual names under which sidecars of services are registered.
    pub(crate) fn unusual_proxies(&self) -> BTreeSet<&str> {
        let lists = self.answers.values().filter_map(|answer| match answer {
            Answer::Places(_, Proxies::Named(names)) => Some(names),
            _ => None,
        });
        lists.flatten().map(String::as_str).collect()
    }

    pub(crate) fn names(&self, question: &Question) -> Option<&Listed> {
        match self.answer(question)? {
            Answer::Names(names) => Some(names),
            _ => None,
        }
    }

    pub(crate) fn resolvers(&self) -> &[catalog::Resolver] {
        match self.answer(&Question::Resolvers) {
            Some(Answer::Resolvers(resolvers)) => resolvers,
            _ => &[],
        }
    }

    pub(crate) fn domain(&self) -> Option<&str> {
        match self.answer(&Question::Agent)? {
            Answer::Domain(domain) => Some(domain),
            _ => None,
        }
    }

    pub(crate) fn servers(&self) -> &[Server] {
        match self.answer(&Question::Servers) {
            Some(Answer::Servers(servers)) => servers,
            _ => &[],
        }
    }
}

fn read(question: &Question, body: &[u8]) -> Result<Answer, NotUnderstood> {
    Ok(match question {
        Question::Registration { .. } => Answer::Service(Box::new(catalog::agent_service(body)?)),
        Question::NodeServices { .. } => Answer::Services(catalog::node_services(body)?),
        Question::ServiceDefaults | Question::ProxyDefaults => {
            Answer::Defaults(defaults::list(body)?)
        }
        Question::MeshEntry => Answer::Tls(Box::new(mesh::tls(body)?)),
        Question::NodeChecks { .. } => Answer::Digest(hash(body)),
        Question::Roots => Answer::Roots(authority::roots(body)?),
        Question::Leaf { .. } => Answer::Leaf(Box::new(authority::leaf(body)?)),
        Question::Intentions { service } => {
            Answer::Intentions(intentions::matching(body, service)?)
        }
        Question::AnyIntention => Answer::Digest(hash(body)),
        Question::Default { .. } => Answer::Allowed(intentions::allowed(body)?),
        Question::Chain(_) => Answer::Chain(Box::new(chain::chain(body)?)),
        Question::Instances {
            service,
            datacenter,
            ..
        } => {
            let from = match datacenter {
                None => From::Inside,
                Some(_) => From::Outside,
            };
            let found = instances::instances(body)?;
            let sidecars = found.iter().filter(|it| it.service.kind == "connect-proxy");
            let names: BTreeSet<&str> = sidecars.map(|it| it.service.name.as_str()).collect();
            let usual = |name: &&str| name.strip_suffix(USUAL) == Some(service);
            let proxies = if names.len() == 1 && names.iter().all(usual) {
                Proxies::Usual
            } else {
                Proxies::Named(names.into_iter().map(str::to_owned).collect())
            };
            Answer::Places(places::places(&found, from), proxies)
        }
        Question::Gateways => {
            let all = instances::by_datacenter(body)?;
            let seen = |found: &[_], from| places::places(found, from);
            let gateways = all.into_iter().map(|(name, there)| {
                (
                    name,
                    seen(&there, From::Inside),
                    seen(&there, From::Outside),
                )
            });
            Answer::Gateways(gateways.collect())
        }
        Question::Query { .. } => {
            let nodes = instances::of_query(body)?;
            let first = nodes.first();
            Answer::Found(Box::new(Found {
                service: first.map(service_of).unwrap_or_default(),
                datacenter: first
                    .map(|it| it.node.datacenter.clone())
                    .unwrap_or_default(),
                inside: places::places(&nodes, From::Inside),
                outside: places::places(&nodes, From::Outside),
            }))
        }
        Question::Services => Answer::Names(catalog::service_names(body)?.into()),
        Question::Resolvers => Answer::Resolvers(catalog::resolvers(body)?),
        Question::Agent => Answer::Domain(catalog::domain(body)?),
        Question::Servers => {
            let servers = instances::instances(body)?;
            let servers = servers.into_iter().filter_map(|server| {
                Some(Server {
                    place: places::place(&server, From::Inside)?,
                    node: server.node.name,
                    datacenter: server.node.datacenter,
                })
            });
            Answer::Servers(servers.collect())
        }
    })
}

/// The service that an instance stands for: its own, where it speaks mesh TLS itself.
fn service_of(instance: &instances::Instance) -> String {
    match instance.service.proxy.service.as_str() {
        "" => instance.service.name.clone(),
        service => service.to_owned(),
    }
}

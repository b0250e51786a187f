//! A sidecar that Consul configures: what must be asked now, and what is known.
//!
//! Without I/O. The questions are a pure function of the answers so far: the registration names the upstreams, an upstream has a
//! chain, a chain has targets, a target has instances and perhaps gateways. So whoever asks them only ever does three things: ask
//! what [`Sidecar::wanted`] lists, tell [`Sidecar::learn`] what came back, and take [`Sidecar::mesh`] when that was news.
//!
//! It serves as soon as registration, roots and leaf are there; upstreams join as they become known. What was learned stays
//! until something else is: errors never come here.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use plan::{
    Identity, TrustBundle,
    chain::{Chain, Target},
    intentions::DefaultAction,
    mesh::{Mesh, RemoteDatacenter, Service, SidecarRegistration, Subset, Upstream, Via},
    names,
    order::sort,
};

use crate::{
    answers::{authority, chain::CompiledChain, service},
    assemble::{
        authorization, chains,
        places::{Usable, endpoints},
        sidecar_registration as registration,
    },
    json::NotUnderstood,
    known::{Found, Known, News},
    question::{ChainQuestion, Question},
    source::{NotYet, Registered},
};

/// What is known for one sidecar.
#[derive(Clone, Debug)]
pub struct Sidecar {
    registered: Registered,
    known: Known,
    /// Set once an answer came without an index where a newer Consul sends one.
    before_1_9: bool,
}

/// A sidecar that can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// The registration.
    pub sidecar: SidecarRegistration,
    /// The mesh around it.
    pub mesh: Mesh,
    /// Whether it is still unknown what holds for a source that no intention names, a deny so far, or what the mesh entry
    /// says of TLS.
    pub is_provisional: bool,
    /// Upstreams that are left out, by name, and why.
    pub refused: Vec<(String, String)>,
    /// Until when the leaf is valid, as Consul writes it (RFC 3339).
    pub valid_before: String,
}

impl Sidecar {
    /// A sidecar with nothing known.
    #[must_use]
    pub fn new(registered: Registered) -> Self {
        Self {
            registered,
            known: Known::default(),
            before_1_9: false,
        }
    }

    /// What must be asked now, sorted, each once.
    #[must_use]
    pub fn wanted(&self) -> Vec<Question> {
        let mut wanted = BTreeSet::from([Question::Roots]);
        wanted.extend(self.registered.questions());
        let Some(proxy) = self.known.service(&self.registered) else {
            return wanted.into_iter().collect();
        };
        let service = proxy.proxy.service.clone();
        if self.before_1_9 {
            wanted.insert(Question::AnyIntention);
        }
        let intentions = self.known.intentions(&service);
        if intentions.is_some() && !self.before_1_9 {
            wanted.insert(Question::MeshEntry);
        }
        if intentions.is_some_and(|found| !authorization::cover_everyone(found)) {
            wanted.insert(Question::Default {
                service: service.clone(),
            });
        }
        wanted.insert(Question::Intentions {
            service: service.clone(),
        });
        wanted.insert(Question::Leaf { service });
        let here = self.datacenter();
        for upstream in upstreams(proxy).filter(|it| it.peer.is_empty()) {
            if upstream.query {
                let name = upstream.name.clone();
                wanted.insert(Question::Query { name });
                continue;
            }
            let question = chain_question(upstream);
            if let (Some(here), Some(compiled)) = (here, self.known.chain_or_last(&question))
                && let Ok(chain) = chains::chain(compiled)
            {
                for target in chain.targets() {
                    wanted.insert(instances(target, &filter(compiled, target).0, here));
                    if target.datacenter != here && target.via != Via::Direct {
                        wanted.insert(Question::Gateways);
                    }
                }
            }
            wanted.insert(Question::Chain(Box::new(question)));
        }
        wanted.into_iter().collect()
    }

    /// Takes an answer: the body of a 200, and whether it came with an index.
    ///
    /// # Errors
    /// It is no answer to that question; what was known stays.
    pub fn learn(
        &mut self,
        question: &Rc<Question>,
        body: &[u8],
        index: Option<u64>,
    ) -> Result<News, NotUnderstood> {
        if matches!(**question, Question::Intentions { .. }) {
            self.before_1_9 = index.is_none();
        }
        self.known.learn(question, body)
    }

    /// Forgets what is asked no more; to be called when a batch of answers has come.
    pub fn forget(&mut self) {
        let mut kept = self.wanted();
        if let Some(proxy) = self.known.service(&self.registered) {
            for upstream in upstreams(proxy) {
                kept.extend(self.known.stand_ins(&chain_question(upstream)));
            }
        }
        sort(&mut kept);
        self.known.keep(&kept);
    }

    /// The questions that must be asked again at once after this answer brought news, although theirs seem current.
    #[must_use]
    pub fn stale_after(&self, question: &Question) -> Vec<Question> {
        match question {
            Question::AnyIntention => {
                let all = self.wanted().into_iter();
                all.filter(|it| matches!(it, Question::Intentions { .. }))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// The ID under which it is registered.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.registered.id
    }

    /// The registration, once it is known.
    #[must_use]
    pub fn registered(&self) -> Option<&service::Service> {
        self.known.service(&self.registered)
    }

    /// The service and its leaf, once it is known.
    pub(crate) fn leaf(&self) -> Option<(&str, &authority::Leaf)> {
        let service = &self.registered()?.proxy.service;
        Some((service, self.known.leaf(service)?))
    }

    /// The own datacenter, as the leaf tells it: an agent before 1.9 does not say.
    fn datacenter(&self) -> Option<&str> {
        let proxy = self.known.service(&self.registered)?;
        if !proxy.datacenter.is_empty() {
            return Some(&proxy.datacenter);
        }
        self.known.leaf(&proxy.proxy.service)?.datacenter()
    }

    /// The sidecar and the mesh around it, as far as they are known.
    ///
    /// # Errors
    /// What is missing, or why it cannot run.
    pub fn mesh(&self) -> Result<Assembled, NotYet> {
        let proxy = self.known.service(&self.registered);
        let proxy = proxy.ok_or(NotYet::Awaits("the registration of the proxy"))?;
        let roots = self.known.roots().ok_or(NotYet::Awaits("the roots"))?;
        let leaf = self.known.leaf(&proxy.proxy.service);
        let leaf = leaf.ok_or(NotYet::Awaits("the leaf certificate"))?;
        let found = self.known.intentions(&proxy.proxy.service);
        let found = found.ok_or(NotYet::Awaits("the intentions"))?;
        let here = self.datacenter();
        let here = here.ok_or(NotYet::Awaits("the name of the datacenter"))?;
        // A leaf of another trust domain is of a cluster that is gone: its successor is not whole yet.
        if leaf
            .trust_domain()
            .is_some_and(|domain| domain != roots.trust_domain)
        {
            return Err(NotYet::Awaits(
                "a leaf certificate of the trust domain of the roots",
            ));
        }
        let default = match self.known.allowed(&proxy.proxy.service) {
            Some(true) => DefaultAction::Allow,
            _ => DefaultAction::Deny,
        };
        let intentions = authorization::intentions(found, &roots.trust_domain, default);
        let tls = self.known.tls();
        let mut around = Around::new(here, &self.known);
        let mut sidecar = registration::sidecar(proxy, intentions).map_err(NotYet::Unusable)?;
        if let Some(tls) = tls.cloned() {
            (sidecar.incoming, sidecar.outgoing) = (tls.incoming, tls.outgoing);
        }
        let mut refused = Vec::new();
        for upstream in upstreams(proxy) {
            match around.upstream(upstream, &roots.trust_domain) {
                Ok(Some(made)) => sidecar.upstreams.push(made),
                Ok(None) => {}
                Err(why) => refused.push((registration::name(upstream), why)),
            }
        }
        let mut mesh = around.mesh();
        mesh.datacenter = here.to_owned();
        mesh.partition = proxy.partition.clone();
        mesh.trust_domain = roots.trust_domain.clone();
        mesh.domain = "consul".to_owned();
        mesh.identities = vec![Identity {
            name: proxy.proxy.service.clone(),
            certificates: leaf.certificates.clone(),
            key: leaf.key.clone(),
        }];
        mesh.trust = vec![TrustBundle {
            trust_domain: roots.trust_domain.clone(),
            roots: roots.pem.clone(),
        }];
        Ok(Assembled {
            sidecar,
            mesh,
            is_provisional: (!authorization::cover_everyone(found)
                && self.known.allowed(&proxy.proxy.service).is_none())
                || (tls.is_none() && !self.before_1_9),
            refused,
            valid_before: leaf.valid_before.clone(),
        })
    }
}

/// The upstreams that an application can reach.
fn upstreams(proxy: &service::Service) -> impl Iterator<Item = &service::Upstream> {
    let all = proxy.proxy.upstreams.iter();
    all.filter(|upstream| !upstream.only_defaults)
}

/// What is asked for the chain of an upstream: the merged mode and the rest as overrides, as Consul does for Envoy.
fn chain_question(upstream: &service::Upstream) -> ChainQuestion {
    ChainQuestion {
        service: upstream.name.clone(),
        namespace: upstream.namespace.clone(),
        partition: upstream.partition.clone(),
        datacenter: upstream.datacenter.clone(),
        mode: upstream.mode.clone(),
        protocol: upstream
            .config
            .value("protocol")
            .unwrap_or_default()
            .to_owned(),
        connect_timeout_ms: upstream.config.count("connect_timeout_ms"),
    }
}

/// The filter of a target's subset, and which of its instances count.
fn filter(compiled: &CompiledChain, target: &Target) -> (String, Usable) {
    let subset = target.subset.as_deref().unwrap_or("");
    let found = compiled.targets.iter().find(|(_, known)| {
        known.service == target.service
            && known.subset == subset
            && known.datacenter == target.datacenter
    });
    match found {
        Some((_, found)) if found.only_passing => (found.filter.clone(), Usable::OnlyPassing),
        Some((_, found)) => (found.filter.clone(), Usable::Warning),
        None => (String::new(), Usable::Warning),
    }
}

fn instances(target: &Target, filter: &str, here: &str) -> Question {
    Question::Instances {
        service: target.service.clone(),
        datacenter: Some(target.datacenter.clone()).filter(|there| there != here),
        filter: filter.to_owned(),
    }
}

/// The services around a sidecar, gathered while its upstreams are gone through.
struct Around<'a> {
    here: &'a str,
    known: &'a Known,
    /// By datacenter and name.
    services: BTreeMap<(String, String, String), Service>,
}

impl<'a> Around<'a> {
    fn new(here: &'a str, known: &'a Known) -> Self {
        Self {
            here,
            known,
            services: BTreeMap::new(),
        }
    }

    /// An upstream, or nothing while its chain is not known.
    fn upstream(
        &mut self,
        upstream: &service::Upstream,
        trust_domain: &str,
    ) -> Result<Option<Upstream>, String> {
        if !upstream.peer.is_empty() {
            return Err(chains::NotRun::Peer(upstream.peer.clone()).to_string());
        }
        let (listen, socket_mode) = registration::listen(upstream)?;
        let chain = match upstream.query {
            true => self.query(&upstream.name, trust_domain),
            false => self.chain(upstream)?,
        };
        Ok(chain.map(|chain| registration::upstream(upstream, listen, socket_mode, chain)))
    }

    fn chain(&mut self, upstream: &service::Upstream) -> Result<Option<Chain>, String> {
        let Some(compiled) = self.known.chain_or_last(&chain_question(upstream)) else {
            return Ok(None);
        };
        let chain = chains::chain(compiled).map_err(|not_run| not_run.to_string())?;
        for target in chain.targets() {
            let (filter, usable) = filter(compiled, target);
            if let Some(places) = self.known.places(&instances(target, &filter, self.here)) {
                let endpoints = endpoints(places, usable);
                self.add(target, endpoints);
            }
        }
        Ok(Some(chain))
    }

    /// What a prepared query found, as a subset of the service that only this upstream names.
    fn query(&mut self, name: &str, trust_domain: &str) -> Option<Chain> {
        let Found {
            service,
            datacenter,
            inside,
            outside,
        } = self.known.found(name)?;
        let mut target = Target::new(service, datacenter);
        target.subset = Some(format!("query {name}"));
        target.external_sni = Some(names::query(name, "", datacenter, trust_domain));
        let places = if datacenter == self.here {
            inside
        } else {
            outside
        };
        self.add(&target, endpoints(places, Usable::Warning));
        Some(Chain::to(target))
    }

    fn add(&mut self, target: &Target, endpoints: Vec<plan::Endpoint>) {
        let key = (
            target.datacenter.clone(),
            target.namespace.clone(),
            target.service.clone(),
        );
        let service = self.services.entry(key).or_insert_with(|| Service {
            name: target.service.clone(),
            namespace: target.namespace.clone(),
            endpoints: Vec::new(),
            subsets: Vec::new(),
            default_subset: None,
            balance: plan::Balance::RoundRobin,
            connect_timeout: None,
            exported_to: Vec::new(),
            protocol: String::new(),
        });
        match &target.subset {
            None => service.endpoints = endpoints,
            Some(name) if service.subsets.iter().all(|subset| subset.name != *name) => {
                service.subsets.push(Subset {
                    name: name.clone(),
                    endpoints,
                });
            }
            Some(_) => {}
        }
    }

    fn mesh(self) -> Mesh {
        let mut mesh = Mesh::default();
        self.known.add_gateways(&mut mesh, self.here);
        for ((datacenter, ..), service) in self.services {
            if datacenter == self.here {
                mesh.services.push(service);
                continue;
            }
            match mesh
                .datacenters
                .iter_mut()
                .find(|there| there.name == datacenter)
            {
                Some(there) => there.services.push(service),
                None => mesh.datacenters.push(RemoteDatacenter {
                    name: datacenter,
                    gateways: Vec::new(),
                    services: vec![service],
                }),
            }
        }
        mesh
    }
}

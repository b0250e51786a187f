//! From the stanzas and the config entries to [`plan::mesh::Mesh`], checked.

use plan::mesh::{
    ImportedService, Mesh, Peer, PeerControlPlane, RemoteDatacenter, RemotePartition, Server,
    Service, Subset,
};
use plan::spiffe::{SpiffeId, Subject};
use plan::{Balance, Endpoint, EndpointAddress, Health};

use crate::address::{EndpointItem, parse_host};
use crate::defaults;
use crate::entries::ConfigEntries;
use crate::error::{Errors, Note};
use crate::exports::{exported_to, once_each};
use crate::fields::Place;
use crate::resolver::{LoadBalancer, ServiceResolver};
use crate::runtime::only;
use crate::scalars::{Map, Named, Spot};
use crate::stanza::{
    BalancePolicy, DatacenterStanza, ImportedStanza, PartitionStanza, PeerStanza, ServerStanza,
    ServiceStanza, Stanza, SubsetStanza,
};
use crate::trust::Trust;

/// The longest name of anything: a label of a host name, since names become parts of SNI.
const MAX_NAME_BYTES: usize = 63;

/// Joins what all stanzas say of the mesh.
pub(crate) fn mesh(
    stanzas: &[Stanza],
    entries: &ConfigEntries,
    trust: &Trust,
    errors: &mut Errors,
    notes: &mut Vec<Note>,
) -> Mesh {
    let datacenter = only(stanzas, errors, |stanza| stanza.datacenter.own.as_ref());
    let partition = only(stanzas, errors, |stanza| stanza.partition.own.as_ref());
    let trust_domain = only(stanzas, errors, |stanza| stanza.trust_domain.as_ref());
    let domain = only(stanzas, errors, |stanza| stanza.domain.as_ref());
    let through_gateways = only(stanzas, errors, |stanza| {
        stanza.peer_through_mesh_gateways.as_ref()
    });
    let entry_peering = entries.mesh.as_ref().and_then(|mesh| mesh.peering.as_ref());
    let mut maker = Maker {
        errors,
        notes,
        entries,
    };
    for spot in [datacenter, partition].into_iter().flatten() {
        maker.check_name(&spot.place, &spot.value);
    }
    let own_datacenter = datacenter.map_or_else(String::new, |spot| lower(&spot.value));
    let own_partition = partition.map_or(defaults::PARTITION.to_owned(), |spot| lower(&spot.value));
    let datacenters = maker.datacenters(
        gather(stanzas, |stanza| {
            [&stanza.datacenter.others, &stanza.datacenters]
        }),
        &own_datacenter,
        &own_partition,
    );
    let partitions = maker.partitions(
        gather(stanzas, |stanza| {
            [&stanza.partition.others, &stanza.partitions]
        }),
        &own_partition,
    );
    let trust_domain = maker.host_name(trust_domain).unwrap_or_default();
    let gateways = stanzas.iter().flat_map(|stanza| &stanza.gateways);
    Mesh {
        datacenter: own_datacenter,
        trust: trust.bundles.clone(),
        trust_domain,
        domain: maker
            .host_name(domain)
            .unwrap_or_else(|| defaults::DOMAIN.to_owned()),
        services: maker.services(
            gather(stanzas, |stanza| [&stanza.service, &stanza.services]),
            &own_partition,
            true,
        ),
        partition: own_partition,
        gateways: gateways.map(|item| item.0.clone()).collect(),
        identities: trust.identities.clone(),
        datacenters,
        partitions,
        servers: maker.servers(gather(stanzas, |stanza| [&stanza.server, &stanza.servers])),
        peers: maker.peers(gather(stanzas, |stanza| [&stanza.peer, &stanza.peers])),
        peer_through_mesh_gateways: through_gateways.map_or_else(
            || entry_peering.is_some_and(|peering| peering.peer_through_mesh_gateways),
            |spot| spot.value,
        ),
    }
}

/// Everything of one kind from all stanzas and both spellings.
fn gather<'a, T>(
    stanzas: &'a [Stanza],
    maps: impl Fn(&'a Stanza) -> [&'a Map<T>; 2],
) -> Vec<&'a Named<T>> {
    stanzas
        .iter()
        .flat_map(maps)
        .flat_map(|map| &map.0)
        .collect()
}

struct Maker<'a> {
    errors: &'a mut Errors,
    notes: &'a mut Vec<Note>,
    entries: &'a ConfigEntries,
}

impl Maker<'_> {
    fn refuse(&mut self, place: &Place, what: impl Into<String>) {
        self.errors.push(place.error("", what));
    }

    /// Names become labels of SNI, so they are held to what a label may be.
    fn check_name(&mut self, place: &Place, name: &str) {
        let fits = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !fits {
            let what =
                "a name is 1 to 63 letters, digits, '-' and '_', since it becomes part of SNI";
            self.refuse(place, format!("'{name}': {what}"));
        }
    }

    fn host_name(&mut self, spot: Option<&Spot<String>>) -> Option<String> {
        let spot = spot?;
        match parse_host(&spot.value) {
            Ok(name) => Some(name),
            Err(_) => {
                self.refuse(&spot.place, format!("'{}' is no domain name", spot.value));
                None
            }
        }
    }

    /// The names and places, after refusing what is there twice.
    fn unique<T>(&mut self, items: &[(String, &Named<T>)]) {
        for (at, (name, item)) in items.iter().enumerate() {
            let earlier = items.iter().take(at).find(|(other, _)| other == name);
            if let Some((_, first)) = earlier {
                let what = format!("given already at {}; keep one", first.place.short());
                self.refuse(&item.place, what);
            }
        }
    }

    fn datacenters(
        &mut self,
        items: Vec<&Named<DatacenterStanza>>,
        own: &str,
        partition: &str,
    ) -> Vec<RemoteDatacenter> {
        let mut datacenters = Vec::new();
        for (name, item) in self.others(items, "datacenter", own) {
            let stanza = &item.value;
            let services: Vec<_> = stanza.service.0.iter().chain(&stanza.services.0).collect();
            if stanza.gateways.is_empty() && services.is_empty() {
                let why = "no gateways: connections to this datacenter are closed";
                self.notes.push(item.place.note("", why));
            }
            datacenters.push(RemoteDatacenter {
                name,
                gateways: endpoints(&stanza.gateways),
                services: self.services(services, partition, false),
            });
        }
        datacenters
    }

    fn partitions(
        &mut self,
        items: Vec<&Named<PartitionStanza>>,
        own: &str,
    ) -> Vec<RemotePartition> {
        let mut partitions = Vec::new();
        for (name, item) in self.others(items, "partition", own) {
            if item.value.gateways.is_empty() {
                let why = "no gateways: connections to this partition are closed";
                self.notes.push(item.place.note("", why));
            }
            partitions.push(RemotePartition {
                name,
                gateways: endpoints(&item.value.gateways),
            });
        }
        partitions
    }

    /// The names, checked, of what is not the own one.
    fn others<'s, T>(
        &mut self,
        items: Vec<&'s Named<T>>,
        what: &str,
        own: &str,
    ) -> Vec<(String, &'s Named<T>)> {
        let named: Vec<_> = items
            .into_iter()
            .map(|item| (lower(&item.name), item))
            .collect();
        self.unique(&named);
        for (name, item) in &named {
            self.check_name(&item.place, name);
            if name == own {
                let what = format!("this is the own {what}; list only the others here");
                self.refuse(&item.place, what);
            }
        }
        named
    }

    fn services(
        &mut self,
        items: Vec<&Named<ServiceStanza>>,
        partition: &str,
        here: bool,
    ) -> Vec<Service> {
        let full = |item: &Named<ServiceStanza>| {
            let name = item.value.name.as_deref().unwrap_or(&item.name);
            format!(
                "{}/{}",
                lower(name),
                namespace(item.value.namespace.as_deref())
            )
        };
        let named: Vec<_> = items.iter().map(|item| (full(item), *item)).collect();
        self.unique(&named);
        items
            .into_iter()
            .map(|item| self.service(item, partition, here))
            .collect()
    }

    fn service(&mut self, item: &Named<ServiceStanza>, partition: &str, here: bool) -> Service {
        let stanza = &item.value;
        let name = stanza.name.clone().unwrap_or_else(|| item.name.clone());
        self.check_name(&item.place, &name);
        let resolver = self.entries.service_resolver(&name);
        let subsets: Vec<&Named<SubsetStanza>> =
            stanza.subset.0.iter().chain(&stanza.subsets.0).collect();
        let named: Vec<_> = subsets
            .iter()
            .map(|subset| (lower(&subset.name), *subset))
            .collect();
        self.unique(&named);
        for subset in &subsets {
            self.check_name(&subset.place, &subset.name);
        }
        let own = stanza.default_subset.clone();
        // The resolver is one for all datacenters; elsewhere nobody needs to list the instances of each subset.
        let is_listed = |spot: &Spot<String>| subsets.iter().any(|it| it.name == spot.value);
        let central = || from_resolver(resolver?).filter(|spot| here || is_listed(spot));
        let default_subset = own.or_else(central);
        if let Some(spot) = &default_subset
            && !subsets.iter().any(|subset| subset.name == spot.value)
        {
            let what = format!(
                "'{name}' has no subset '{}'; add it to the service",
                spot.value
            );
            self.refuse(&spot.place, what);
        }
        if stanza.endpoints.is_empty() && default_subset.is_none() {
            let why = "no endpoints: connections to this service are closed";
            self.notes.push(item.place.note("", why));
        }
        if let Some(spot) = stanza
            .connect_timeout
            .as_ref()
            .filter(|spot| spot.value.is_zero())
        {
            self.refuse(&spot.place, "0 would let nothing through; give some time");
        }
        let timeout = stanza.connect_timeout.as_ref().map(|spot| spot.value);
        let resolver_timeout = || resolver?.connect_timeout.map(|timeout| timeout.0);
        Service {
            namespace: stanza.namespace.clone().unwrap_or_default(),
            endpoints: endpoints(&stanza.endpoints),
            subsets: subsets
                .iter()
                .map(|subset| Subset {
                    name: subset.name.clone(),
                    endpoints: endpoints(&subset.value.endpoints),
                })
                .collect(),
            default_subset: default_subset.map(|spot| spot.value),
            balance: balance(
                stanza.balance,
                resolver.and_then(|it| it.load_balancer.as_ref()),
            ),
            connect_timeout: timeout
                .or_else(resolver_timeout)
                .filter(|time| !time.is_zero()),
            exported_to: self.exported_to(&name, stanza, partition),
            protocol: self.protocol(&name, stanza),
            name,
        }
    }

    fn protocol(&self, name: &str, stanza: &ServiceStanza) -> String {
        let central = || self.entries.service_defaults(name)?.protocol.clone();
        let global = || {
            let config = &self.entries.proxy_defaults.as_ref()?.config;
            config.text("protocol").map(str::to_owned)
        };
        let given = stanza.protocol.clone().or_else(central).or_else(global);
        given.map_or_else(String::new, |protocol| lower(&protocol))
    }

    /// Peers from the stanza and from `exported-services`.
    fn exported_to(&self, name: &str, stanza: &ServiceStanza, partition: &str) -> Vec<String> {
        let namespace = stanza.namespace.as_deref().unwrap_or_default();
        let central = exported_to(name, namespace, partition, self.entries);
        once_each(stanza.exported_to.iter().cloned().chain(central))
    }

    fn servers(&mut self, items: Vec<&Named<ServerStanza>>) -> Vec<Server> {
        let named: Vec<_> = items
            .iter()
            .map(|item| (lower(&item.name), *item))
            .collect();
        self.unique(&named);
        let mut servers = Vec::new();
        for (node, item) in named {
            self.check_name(&item.place, &node);
            let stanza = &item.value;
            let Some(address) = &stanza.address else {
                self.refuse(
                    &item.place,
                    "a server needs its RPC address, as in \"10.0.0.2:8300\"",
                );
                continue;
            };
            if stanza.grpc_tls_port == Some(0) {
                self.refuse(
                    &item.place,
                    "grpc_tls_port is 1 to 65535; leave it out for none",
                );
            }
            let at = |address| Endpoint {
                address,
                weight: 1,
                health: Health::Healthy,
            };
            let grpc_tls = match stanza.read_replica {
                true => None,
                false => stanza
                    .grpc_tls_port
                    .map(|port| at(with_port(&address.0, port))),
            };
            servers.push(Server {
                node,
                rpc: at(address.0.clone()),
                grpc_tls,
            });
        }
        servers
    }

    fn peers(&mut self, items: Vec<&Named<PeerStanza>>) -> Vec<Peer> {
        let named: Vec<_> = items
            .iter()
            .map(|item| (lower(&item.name), *item))
            .collect();
        self.unique(&named);
        named
            .into_iter()
            .map(|(name, item)| self.peer(name, item))
            .collect()
    }

    fn peer(&mut self, name: String, item: &Named<PeerStanza>) -> Peer {
        self.check_name(&item.place, &name);
        let stanza = &item.value;
        let imported: Vec<&Named<ImportedStanza>> =
            stanza.service.0.iter().chain(&stanza.services.0).collect();
        if !imported.is_empty() {
            // Both stand in the names of what the peer exports.
            let missing = match (&stanza.trust_domain, &stanza.name_there) {
                (None, _) => Some("trust_domain: the peer's services need its trust domain"),
                (_, None) => Some("name_there: the peer's services need its name for this cluster"),
                _ => None,
            };
            if let Some(what) = missing {
                self.refuse(&item.place, what);
            }
        }
        let control_plane = match (&stanza.server_name, stanza.servers.as_slice()) {
            (None, []) => None,
            (Some(server_name), servers @ [_, ..]) => {
                self.host_name(Some(server_name))
                    .map(|server_name| PeerControlPlane {
                        server_name,
                        endpoints: endpoints(servers),
                    })
            }
            _ => {
                let what = "server_name and servers go together: the name to send and where to";
                self.refuse(&item.place, what);
                None
            }
        };
        let trust_domain = self
            .host_name(stanza.trust_domain.as_ref())
            .unwrap_or_default();
        let datacenter = stanza.datacenter.as_deref().map(lower).unwrap_or_default();
        if let Some(spot) = &stanza.datacenter {
            self.check_name(&item.place, spot);
        }
        let imported = imported.into_iter().map(|service| {
            let name = service.value.name.as_ref().unwrap_or(&service.name);
            let namespace = service.value.namespace.clone().unwrap_or_default();
            let partition = service.value.partition.clone().unwrap_or_default();
            let id = SpiffeId {
                trust_domain: trust_domain.clone(),
                subject: Subject::Service {
                    partition: or_default(&partition),
                    namespace: or_default(&namespace),
                    datacenter: datacenter.clone(),
                    service: name.clone(),
                },
            };
            ImportedService {
                name: name.clone(),
                namespace,
                partition,
                identities: match datacenter.as_str() {
                    "" => Vec::new(),
                    _ => vec![id.to_string()],
                },
            }
        });
        Peer {
            name,
            name_there: stanza.name_there.as_deref().map(lower).unwrap_or_default(),
            gateways: endpoints(&stanza.gateways),
            imported: imported.collect(),
            trust_domain,
            control_plane,
        }
    }
}

fn endpoints(items: &[EndpointItem]) -> Vec<Endpoint> {
    items.iter().map(|item| item.0.clone()).collect()
}

fn from_resolver(resolver: &ServiceResolver) -> Option<Spot<String>> {
    let subset = resolver
        .default_subset
        .clone()
        .filter(|subset| !subset.is_empty())?;
    Some(Spot {
        place: resolver.place.clone(),
        value: subset,
    })
}

/// The stanza's policy, else the resolver's. Gateways do without policies that hash, as in Consul.
pub(crate) fn balance(stanza: Option<BalancePolicy>, resolver: Option<&LoadBalancer>) -> Balance {
    let choices = resolver
        .and_then(|it| it.least_request_config.as_ref()?.choice_count)
        .filter(|count| *count > 0)
        .unwrap_or(defaults::LEAST_REQUEST_CHOICES);
    let policy = stanza.or_else(|| resolver?.policy);
    match policy.unwrap_or_default() {
        BalancePolicy::RoundRobin => Balance::RoundRobin,
        BalancePolicy::LeastRequest => Balance::LeastRequest { choices },
        BalancePolicy::Random => Balance::Random,
        BalancePolicy::RingHash => Balance::RingHash,
        BalancePolicy::Maglev => Balance::Maglev,
    }
}

fn with_port(address: &EndpointAddress, port: u16) -> EndpointAddress {
    match address {
        EndpointAddress::Socket(socket) => {
            let mut socket = *socket;
            socket.set_port(port);
            EndpointAddress::Socket(socket)
        }
        EndpointAddress::Host { name, .. } => EndpointAddress::Host {
            name: name.clone(),
            port,
        },
        EndpointAddress::Unix(path) => EndpointAddress::Unix(path.clone()),
    }
}

fn or_default(name: &str) -> String {
    namespace(Some(name))
}

fn namespace(given: Option<&str>) -> String {
    match given {
        None | Some("") => "default".to_owned(),
        Some(namespace) => lower(namespace),
    }
}

fn lower(text: &str) -> String {
    text.to_ascii_lowercase()
}

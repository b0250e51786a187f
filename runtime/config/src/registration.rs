//! From service definitions to what lictor runs: gateways and sidecars.
//!
//! Does what Consul's agent does with a registration: an inline sidecar becomes a service of its
//! own, and what Consul would refuse is refused (agent/structs/structs.go `NodeService.Validate`),
//! except port 0 of a gateway, a sidecar or an upstream, which without Consul can mean any free port.

use std::borrow::Cow;
use std::net::IpAddr;

use plan::Discovery;
use plan::mesh::{BindAddress, GatewayRegistration};

use crate::defaults;
use crate::entries::ConfigEntries;
use crate::error::{Errors, Note};
use crate::fields::Place;
use crate::files::Files;
use crate::proxy_config::{DnsDiscovery, GatewayOptions, current_name};
use crate::scalars::{Map, Named};
use crate::service::{ProxySettings, ServiceDefinition, ServiceKind, TaggedAddress, Upstream};
use crate::settings::{Sidecar, Timeouts};
use crate::template::{fill_template, is_template};

/// The service meta by which a gateway carries the servers' traffic (WAN federation).
const WAN_FEDERATION_META: &str = "consul-wan-federation";

/// What port 0 means.
const ANY_PORT: &str = "0 listens on a port that the kernel chooses anew at each start";

/// What the definitions come to.
#[derive(Default)]
pub(crate) struct Registrations {
    pub(crate) gateways: Vec<GatewayRegistration>,
    /// The place of each of `gateways`.
    pub(crate) gateway_places: Vec<Place>,
    pub(crate) sidecars: Vec<Sidecar>,
    pub(crate) services: Vec<ServiceDefinition>,
}

pub(crate) fn register(
    definitions: Vec<ServiceDefinition>,
    entries: &ConfigEntries,
    timeouts: &Timeouts,
    files: &dyn Files,
    errors: &mut Errors,
    notes: &mut Vec<Note>,
) -> Registrations {
    let mut registrar = Registrar {
        errors,
        notes,
        entries,
        timeouts,
        files,
        taken: Vec::new(),
        done: Registrations::default(),
    };
    let mut inline = Vec::new();
    for definition in definitions {
        inline.extend(registrar.definition(definition));
    }
    // Last, so that definitions in full come before them and their ports are free to take.
    for sidecar in inline {
        registrar.inline_sidecar(sidecar);
    }
    registrar.done
}

struct Registrar<'a> {
    errors: &'a mut Errors,
    notes: &'a mut Vec<Note>,
    entries: &'a ConfigEntries,
    timeouts: &'a Timeouts,
    files: &'a dyn Files,
    /// The IDs that are taken, by node-wide rule of Consul's.
    taken: Vec<(String, Place)>,
    done: Registrations,
}

/// An inline sidecar, completed from the service it belongs to.
struct InlineSidecar {
    id: String,
    definition: ServiceDefinition,
}

impl Registrar<'_> {
    fn refuse(&mut self, place: &Place, key: &str, what: impl Into<String>) {
        self.errors.push(place.error(key, what));
    }

    /// Takes in one definition; gives back its inline sidecar.
    fn definition(&mut self, mut definition: ServiceDefinition) -> Option<InlineSidecar> {
        let place = definition.place.clone();
        let Some(name) = definition.name.clone().filter(|name| !name.is_empty()) else {
            self.refuse(&place, "name", "a service needs a name");
            return None;
        };
        let id = definition
            .id
            .clone()
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| name.clone());
        if let Some((_, first)) = self.taken.iter().find(|(taken, _)| *taken == id) {
            let what = format!(
                "a service with ID '{id}' is defined already at {}; keep one",
                first.short()
            );
            self.refuse(&place, "", what);
            return None;
        }
        self.taken.push((id.clone(), place.clone()));
        let sidecar = definition
            .connect
            .as_mut()
            .and_then(|connect| connect.sidecar_service.take());
        let inline = sidecar.and_then(|sidecar| self.complete(*sidecar, &definition, &name, &id));
        match definition.kind {
            ServiceKind::MeshGateway => self.gateway(&name, &definition),
            ServiceKind::ConnectProxy => self.sidecar(id, name, definition),
            ServiceKind::Typical => self.done.services.push(definition),
            ServiceKind::IngressGateway
            | ServiceKind::TerminatingGateway
            | ServiceKind::ApiGateway => {
                self.notes
                    .push(place.note("kind", "lictor does not run services of this kind"));
                self.done.services.push(definition);
            }
        }
        inline
    }

    /// What the agent fills in for `connect { sidecar_service { } }`.
    fn complete(
        &mut self,
        mut sidecar: ServiceDefinition,
        parent: &ServiceDefinition,
        name: &str,
        id: &str,
    ) -> Option<InlineSidecar> {
        let place = sidecar.place.clone();
        if sidecar.id.is_some() {
            self.refuse(
                &place,
                "id",
                "the ID of an inline sidecar follows from its service's; remove it",
            );
        }
        if sidecar.connect.is_some() {
            self.refuse(
                &place,
                "connect",
                "a sidecar has no sidecar of its own; remove it",
            );
        }
        match sidecar.kind {
            ServiceKind::Typical | ServiceKind::ConnectProxy => {}
            _ => self.refuse(
                &place,
                "kind",
                "an inline sidecar is a connect-proxy; remove it",
            ),
        }
        if parent.kind != ServiceKind::Typical {
            self.refuse(
                &place,
                "",
                "only a service without a kind has a sidecar; remove it",
            );
            return None;
        }
        sidecar.kind = ServiceKind::ConnectProxy;
        sidecar
            .name
            .get_or_insert_with(|| format!("{name}-sidecar-proxy"));
        sidecar.namespace = sidecar.namespace.or_else(|| parent.namespace.clone());
        sidecar.partition = sidecar.partition.or_else(|| parent.partition.clone());
        sidecar.address = sidecar.address.or_else(|| parent.address.clone());
        if sidecar.meta.0.is_empty() {
            sidecar.meta = parent.meta.clone();
        }
        if sidecar.tags.is_empty() {
            sidecar.tags.clone_from(&parent.tags);
        }
        let proxy = sidecar.proxy.get_or_insert_with(|| ProxySettings {
            place: place.clone(),
            ..ProxySettings::default()
        });
        proxy
            .destination_service_name
            .get_or_insert_with(|| name.to_owned());
        proxy
            .destination_service_id
            .get_or_insert_with(|| id.to_owned());
        if proxy
            .local_service_socket_path
            .as_deref()
            .is_none_or(str::is_empty)
        {
            proxy
                .local_service_address
                .get_or_insert_with(|| "127.0.0.1".to_owned());
            proxy.local_service_port = proxy.local_service_port.or(parent.port);
        }
        Some(InlineSidecar {
            id: format!("{id}-sidecar-proxy"),
            definition: sidecar,
        })
    }

    fn inline_sidecar(&mut self, inline: InlineSidecar) {
        let InlineSidecar { id, mut definition } = inline;
        let place = definition.place.clone();
        if let Some((_, full)) = self.taken.iter().find(|(taken, _)| *taken == id) {
            let why = format!(
                "'{id}' is defined in full at {}; that definition is used",
                full.short()
            );
            self.notes.push(place.note("", why));
            return;
        }
        self.taken.push((id.clone(), place.clone()));
        if definition.port.is_none() {
            let sidecars = &self.done.sidecars;
            let free = |port: &u16| !sidecars.iter().any(|sidecar| sidecar.port == *port);
            definition.port = (defaults::SIDECAR_MIN_PORT..=defaults::SIDECAR_MAX_PORT).find(free);
        }
        let name = definition.name.clone().unwrap_or_default();
        self.sidecar(id, name, definition);
    }

    fn sidecar(&mut self, id: String, name: String, definition: ServiceDefinition) {
        let place = definition.place;
        let proxy = definition.proxy.unwrap_or_default();
        let Some(service) = proxy
            .destination_service_name
            .clone()
            .filter(|it| !it.is_empty())
        else {
            let what = "a connect-proxy needs the name of the service it stands for";
            self.refuse(&place, "proxy.destination_service_name", what);
            return;
        };
        let options = match &self.entries.proxy_defaults {
            Some(entry) => proxy.config.sidecar.over(&entry.config.sidecar),
            None => proxy.config.sidecar.clone(),
        };
        let Some(port) = options.bind_port.or(definition.port) else {
            self.refuse(
                &place,
                "port",
                "a connect-proxy needs the port that it listens on",
            );
            return;
        };
        if port == 0 {
            self.notes.push(place.note("port", ANY_PORT));
        }
        let address = match options.bind_address.as_deref() {
            None | Some("") => self.bind_ip(&place, "address", definition.address.as_deref()),
            given => self.bind_ip(&place, "proxy.config.bind_address", given),
        };
        self.check_upstreams(&proxy.upstreams);
        self.done.sidecars.push(Sidecar {
            place,
            id,
            name,
            service,
            service_id: proxy.destination_service_id.clone(),
            namespace: definition.namespace.unwrap_or_default(),
            partition: definition.partition,
            address,
            port,
            meta: definition
                .meta
                .0
                .into_iter()
                .map(|it| (it.name, it.value))
                .collect(),
            proxy,
        });
    }

    fn check_upstreams(&mut self, upstreams: &[Upstream]) {
        let bind = |upstream: &Upstream| match &upstream.local_bind_socket_path {
            Some(path) if !path.is_empty() => Some(path.clone()),
            _ => {
                let port = upstream.local_bind_port?;
                let address = upstream.local_bind_address.as_deref().unwrap_or_default();
                let address = if address.is_empty() {
                    "127.0.0.1"
                } else {
                    address
                };
                // Listeners on any free port are told apart by where they lead.
                let peer = upstream.destination_peer.as_ref();
                let to = match (port, &upstream.destination_name, &upstream.datacenter) {
                    (0, Some(name), Some(datacenter)) => format!("{name}?dc={datacenter} at "),
                    (0, Some(name), None) if peer.is_some() => format!("{name}?peer={peer:?} at "),
                    (0, Some(name), None) => format!("{name} at "),
                    _ => String::new(),
                };
                Some(format!("{to}{address}:{port}"))
            }
        };
        for (at, upstream) in upstreams.iter().enumerate() {
            if upstream
                .destination_name
                .as_deref()
                .is_none_or(str::is_empty)
            {
                self.refuse(
                    &upstream.place,
                    "destination_name",
                    "an upstream needs the name it leads to",
                );
            }
            let peer = upstream
                .destination_peer
                .as_deref()
                .is_some_and(|peer| !peer.is_empty());
            if peer
                && upstream
                    .datacenter
                    .as_deref()
                    .is_some_and(|it| !it.is_empty())
            {
                let what = "a peer has no datacenter here; give destination_peer or datacenter";
                self.refuse(&upstream.place, "datacenter", what);
            }
            let path = upstream.local_bind_socket_path.as_deref();
            if path.is_some_and(|path| !path.is_empty())
                && upstream.local_bind_port.is_some_and(|port| port > 0)
            {
                let what =
                    "give one of local_bind_port and local_bind_socket_path, as Consul wants it";
                self.refuse(&upstream.place, "local_bind_socket_path", what);
            }
            let Some(address) = bind(upstream) else {
                let what =
                    "an upstream needs the port or the socket that the application connects to";
                self.refuse(&upstream.place, "local_bind_port", what);
                continue;
            };
            if upstream.local_bind_port == Some(0) && path.is_none_or(str::is_empty) {
                self.notes
                    .push(upstream.place.note("local_bind_port", ANY_PORT));
            }
            let earlier = upstreams
                .iter()
                .take(at)
                .find(|other| bind(other).as_ref() == Some(&address));
            if let Some(first) = earlier {
                let what = format!(
                    "{address} is taken by the upstream at {}",
                    first.place.short()
                );
                self.refuse(&upstream.place, "local_bind_port", what);
            }
        }
    }

    fn gateway(&mut self, name: &str, definition: &ServiceDefinition) {
        let place = &definition.place;
        let proxy = definition.proxy.clone().unwrap_or_default();
        let Some(port) = definition.port else {
            self.refuse(
                place,
                "port",
                "a mesh gateway needs the port that it listens on",
            );
            return;
        };
        if port == 0 {
            self.notes.push(place.note("port", ANY_PORT));
        }
        if !proxy.upstreams.is_empty() {
            let why = "a mesh gateway has no upstreams; they are not used";
            self.notes.push(proxy.place.note("upstreams", why));
        }
        if proxy.destination_service_name.is_some() {
            let what = "a mesh gateway stands for no service; remove it";
            self.refuse(&proxy.place, "destination_service_name", what);
        }
        self.note_unused_options(&proxy);
        let options = match &self.entries.proxy_defaults {
            Some(entry) => proxy.config.gateway.over(&entry.config.gateway),
            None => proxy.config.gateway.clone(),
        };
        let meta = definition.meta.value(WAN_FEDERATION_META);
        let bind_tagged_addresses = options.envoy_gateway_bind_tagged_addresses == Some(true);
        let registration = GatewayRegistration {
            name: name.to_owned(),
            address: self.bind_ip(place, "address", definition.address.as_deref()),
            port,
            tagged_addresses: self.tagged(
                &definition.tagged_addresses,
                port,
                bind_tagged_addresses,
            ),
            no_default_bind: options.envoy_gateway_no_default_bind == Some(true),
            bind_tagged_addresses,
            bind_addresses: self.extra_addresses(&options.envoy_gateway_bind_addresses),
            wan_federation: meta.is_some_and(|value| value == "1"),
            connect_timeout: match options.connect_timeout_ms {
                Some(milliseconds) if milliseconds > 0 => {
                    std::time::Duration::from_millis(u64::from(milliseconds))
                }
                _ => self.timeouts.connect,
            },
            remote_keepalive: options.keepalive(),
            discovery: match options.envoy_dns_discovery_type.unwrap_or_default() {
                DnsDiscovery::LogicalDns => Discovery::LogicalDns,
                DnsDiscovery::StrictDns => Discovery::StrictDns,
            },
            max_connections: self.max_connections(name),
        };
        if plan::bind::addresses(&registration).is_empty() {
            let what = "this gateway would listen nowhere; bind an address or the default one";
            self.refuse(place, "proxy.config", what);
        }
        self.done.gateways.push(registration);
        self.done.gateway_places.push(definition.place.clone());
    }

    fn note_unused_options(&mut self, proxy: &ProxySettings) {
        let shape = GatewayOptions::shape();
        for entry in proxy.config.object.entries() {
            if shape.holds(&current_name(&entry.key)).is_none() {
                let place = Place {
                    span: entry.span,
                    ..proxy.config.place.clone()
                };
                self.notes
                    .push(place.note(&entry.key, "not used by lictor"));
            }
        }
    }

    fn max_connections(&self, gateway: &str) -> Option<u32> {
        let config = self
            .entries
            .service_defaults(gateway)?
            .upstream_config
            .as_ref()?;
        config.defaults.as_ref()?.limits.as_ref()?.max_connections
    }

    /// An address to bind; an empty one is all addresses.
    fn bind_ip(&mut self, place: &Place, key: &str, text: Option<&str>) -> Option<IpAddr> {
        let text = text.filter(|text| !text.is_empty())?;
        let text = &self.filled(place, key, text)?;
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                let what = format!("'{text}' is no IP address, and only such can be listened on");
                self.refuse(place, key, what);
                None
            }
        }
    }

    /// An address, by interface or as it stands.
    fn filled<'t>(&mut self, place: &Place, key: &str, text: &'t str) -> Option<Cow<'t, str>> {
        if !is_template(text) {
            return Some(Cow::Borrowed(text));
        }
        let interfaces = self.files.interfaces().map_err(|error| error.to_string());
        match interfaces.and_then(|interfaces| fill_template(text, &interfaces)) {
            Ok(filled) => Some(Cow::Owned(filled)),
            Err(why) => {
                self.refuse(place, key, why);
                None
            }
        }
    }

    /// The tagged addresses that can be bound. A host name is fine as long as it is only announced.
    fn tagged(&mut self, map: &Map<TaggedAddress>, port: u16, bound: bool) -> Vec<BindAddress> {
        let mut addresses = Vec::new();
        for Named { name, place, value } in &map.0 {
            let text = value.address.as_deref().unwrap_or_default();
            let Some(text) = self.filled(place, "address", text) else {
                continue;
            };
            match text.parse() {
                Ok(address) => {
                    let port = value.port.filter(|port| *port > 0).unwrap_or(port);
                    addresses.push(BindAddress {
                        name: name.clone(),
                        address,
                        port,
                    });
                }
                Err(_) if bound => {
                    let why =
                        format!("'{text}' is no IP address; it is announced, not listened on");
                    self.notes.push(place.note("address", why));
                }
                Err(_) => {}
            }
        }
        addresses
    }

    fn extra_addresses(&mut self, map: &Map<TaggedAddress>) -> Vec<BindAddress> {
        let mut addresses = Vec::new();
        for Named { name, place, value } in &map.0 {
            let Some(port) = value.port else {
                self.refuse(place, "port", "an address to listen on needs a port");
                continue;
            };
            match self.bind_ip(place, "address", value.address.as_deref()) {
                Some(address) => addresses.push(BindAddress {
                    name: name.clone(),
                    address,
                    port,
                }),
                None if value.address.as_deref().is_none_or(str::is_empty) => {
                    self.refuse(place, "address", "an address to listen on is an IP address");
                }
                None => {}
            }
        }
        addresses
    }
}

//! From sidecars to [`SidecarRegistration`]: those that can be run, and for the others the reasons.
//!
//! A sidecar that lictor cannot run as it is written is not run at all: half of one would send
//! traffic another way than Consul's, or none. It is still explained, so it is no error. The order
//! of what is merged into a registration is Consul's (agent/configentry/merge_service_config.go):
//! the definition, then service-defaults of the service, then proxy-defaults.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use plan::chain::{Chain, Target};
use plan::intentions::DefaultAction;
use plan::mesh::{Mesh, SidecarRegistration, Upstream, Via};
use plan::names::same;
use plan::{Address, TlsParameters};

use crate::authorization::intentions;
use crate::chain::{Compiler, NoChain};
use crate::entries::{ConfigEntries, MeshTlsDirection, UpstreamConfigItem};
use crate::error::{Errors, Note};
use crate::fields::{Place, Shape};
use crate::mode::gateway_mode;
use crate::outliers::outlier_detection;
use crate::peers;
use crate::proxy_config::{SidecarOptions, UpstreamOptions};
use crate::service::{DestinationType, Expose, ProxyMode, Upstream as Given};
use crate::settings::{Sidecar, Timeouts};
use crate::socket_path::{socket_mode, socket_path};
use crate::value::Object;

/// What the sidecars come to.
#[derive(Default)]
pub(crate) struct Runnable {
    pub(crate) registrations: Vec<SidecarRegistration>,
    /// Why the others are not among them.
    pub(crate) not_run: Vec<Note>,
}

/// What all sidecars have in common.
pub(crate) struct Around<'a> {
    pub(crate) mesh: &'a Mesh,
    pub(crate) entries: &'a ConfigEntries,
    pub(crate) timeouts: &'a Timeouts,
    pub(crate) default_action: DefaultAction,
}

pub(crate) fn runnable(
    sidecars: &[Sidecar],
    around: &Around<'_>,
    errors: &mut Errors,
    notes: &mut Vec<Note>,
) -> Runnable {
    let mut done = Runnable::default();
    let mut bound: Vec<(Address, Place)> = Vec::new();
    for sidecar in sidecars {
        let mut maker = Maker {
            sidecar,
            around,
            reasons: Vec::new(),
        };
        match maker.registration(errors, notes) {
            Some(registration) => {
                let upstreams = registration.upstreams.iter().zip(&sidecar.proxy.upstreams);
                let listens = upstreams.map(|(made, given)| (made.listen.clone(), &given.place));
                for (address, place) in [(Address::Inet(registration.public), &sidecar.place)]
                    .into_iter()
                    .chain(listens)
                {
                    let other = bound.iter().find(|(taken, _)| *taken == address);
                    if let Some((_, first)) =
                        other.filter(|_| address.inet().is_none_or(|it| it.port() != 0))
                    {
                        let what = format!("{address} is taken already at {}", first.short());
                        errors.push(place.error("", what));
                    }
                    bound.push((address, place.clone()));
                }
                note_upstreams(&registration, sidecar, around.mesh, notes);
                done.registrations.push(registration);
            }
            None => done.not_run.append(&mut maker.reasons),
        }
    }
    done
}

struct Maker<'a> {
    sidecar: &'a Sidecar,
    around: &'a Around<'a>,
    reasons: Vec<Note>,
}

impl Maker<'_> {
    fn reason(&mut self, place: &Place, key: &str, why: impl AsRef<str>) {
        let why = format!(
            "this sidecar is explained but not run: {}",
            why.as_ref().trim()
        );
        self.reasons.push(place.note(key, why));
    }

    fn registration(
        &mut self,
        errors: &mut Errors,
        notes: &mut Vec<Note>,
    ) -> Option<SidecarRegistration> {
        let (sidecar, mesh, entries) = (self.sidecar, self.around.mesh, self.around.entries);
        self.check_surroundings();
        self.check_kind_of_proxy();
        let local_app = self.local_app();
        let upstreams: Vec<Upstream> = sidecar
            .proxy
            .upstreams
            .iter()
            .filter_map(|upstream| self.upstream(upstream))
            .collect();
        let identities = &mesh.identities;
        let identity = identities
            .iter()
            .find(|identity| identity.name.eq_ignore_ascii_case(&sidecar.service));
        let (Some(local_app), Some(identity), true) =
            (local_app, identity, self.reasons.is_empty())
        else {
            return None;
        };
        note_unused(
            &sidecar.proxy.config.object,
            &sidecar.proxy.config.place,
            SidecarOptions::shape(),
            notes,
        );
        for upstream in &sidecar.proxy.upstreams {
            note_unused(
                &upstream.config.object,
                &upstream.config.place,
                UpstreamOptions::shape(),
                notes,
            );
            let limits = upstream.config.options.limits.as_ref();
            if let Some(limits) = limits.filter(|it| it.max_concurrent_requests.is_some()) {
                let why =
                    "nobody sees requests in TCP: max_connections limits what there is at a time";
                notes.push(limits.place.note("max_concurrent_requests", why));
            }
        }
        let options = &sidecar.proxy.config.sidecar;
        let global = entries.proxy_defaults.as_ref();
        let global = global.map(|entry| &entry.config.sidecar);
        let central = entries.service_defaults(&sidecar.service);
        let timeout = options
            .local_connect_timeout_ms
            .or_else(|| central?.local_connect_timeout_ms)
            .or_else(|| global?.local_connect_timeout_ms);
        let tls = entries.mesh.as_ref().and_then(|entry| entry.tls.as_ref());
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Some(SidecarRegistration {
            id: sidecar.id.clone(),
            // As its identity spells it, which is how it is found.
            service: identity.name.clone(),
            namespace: sidecar.namespace.clone(),
            public: SocketAddr::new(sidecar.address.unwrap_or(any), sidecar.port),
            local_app,
            local_connect_timeout: self.timeout(timeout),
            max_inbound_connections: options
                .max_inbound_connections
                .or_else(|| central?.max_inbound_connections)
                .or_else(|| global?.max_inbound_connections)
                .filter(|most| *most > 0),
            intentions: intentions(
                &sidecar.service,
                &sidecar.namespace,
                self.around.default_action,
                entries,
                mesh,
                errors,
                notes,
            ),
            upstreams,
            peers: peers::callers(sidecar, mesh, entries, notes),
            incoming: tls_parameters(tls.and_then(|tls| tls.incoming.as_ref()), errors),
            outgoing: tls_parameters(tls.and_then(|tls| tls.outgoing.as_ref()), errors),
        })
    }

    /// What `lictor { }` must say before any sidecar of this service can speak TLS.
    fn check_surroundings(&mut self) {
        let (sidecar, mesh) = (self.sidecar, self.around.mesh);
        let identity = format!("identity \"{}\"", sidecar.service);
        let has_identity = mesh
            .identities
            .iter()
            .any(|identity| identity.name.eq_ignore_ascii_case(&sidecar.service));
        let missing: Vec<&str> = [
            (mesh.datacenter.is_empty(), "datacenter"),
            (mesh.trust_domain.is_empty(), "trust_domain"),
            (mesh.trust.is_empty(), "roots"),
            (!has_identity, identity.as_str()),
        ]
        .into_iter()
        .filter_map(|(missing, name)| missing.then_some(name))
        .collect();
        if !missing.is_empty() {
            let why = format!("lictor {{ }} lacks {}", missing.join(", "));
            self.reason(&sidecar.place, "", why);
        }
        let partition = sidecar.partition.as_deref().unwrap_or(&mesh.partition);
        if !same(partition, &mesh.partition) {
            let why = format!(
                "it is of partition '{partition}'; say so in lictor {{ partition = \"{partition}\" }}"
            );
            self.reason(&sidecar.place, "partition", why);
        }
    }

    /// Transparent mode and exposed paths, wherever they are said.
    fn check_kind_of_proxy(&mut self) {
        let (proxy, entries) = (&self.sidecar.proxy, self.around.entries);
        let central = entries.service_defaults(&self.sidecar.service);
        let global = entries.proxy_defaults.as_ref();
        let levels = [
            Some((&proxy.place, proxy.mode, proxy.expose.as_ref())),
            central.map(|it| (&it.place, it.mode, it.expose.as_ref())),
            global.map(|it| (&it.place, it.mode, it.expose.as_ref())),
        ];
        let exposes = |it: &Expose| it.checks || !it.paths.is_empty();
        for (place, mode, expose) in levels.into_iter().flatten() {
            if mode == ProxyMode::Transparent {
                let why = "transparent mode is not supported; use upstreams and mode \"direct\"";
                self.reason(place, "mode", why);
            }
            if expose.is_some_and(exposes) {
                let why = "exposed paths need HTTP, which is not supported; let checks go to the service itself";
                self.reason(place, "expose", why);
            }
        }
    }

    fn local_app(&mut self) -> Option<Address> {
        let proxy = &self.sidecar.proxy;
        if let Some(path) = given(proxy.local_service_socket_path.as_ref()) {
            let address = socket_path(path);
            return self.made(&proxy.place, "local_service_socket_path", address);
        }
        let address = given(proxy.local_service_address.as_ref());
        let address = self.ip(&proxy.place, "local_service_address", address);
        let port = proxy.local_service_port.filter(|port| *port > 0);
        if port.is_none() {
            let why = "it does not say where the service listens; give local_service_port or \
                       local_service_socket_path";
            self.reason(&proxy.place, "local_service_port", why);
        }
        Some(SocketAddr::new(address?, port?).into())
    }

    fn upstream(&mut self, upstream: &Given) -> Option<Upstream> {
        let (sidecar, mesh) = (self.sidecar, self.around.mesh);
        let before = self.reasons.len();
        let place = &upstream.place;
        if upstream.destination_type == DestinationType::PreparedQuery {
            let why = "prepared queries need Consul; name the service and its datacenter";
            self.reason(place, "destination_type", why);
        }
        let partition = given(upstream.destination_partition.as_ref());
        if partition.is_some_and(|partition| !same(partition, &mesh.partition)) {
            let why =
                "upstreams in other partitions are not supported; leave it out or name the own one";
            self.reason(place, "destination_partition", why);
        }
        let listen = match given(upstream.local_bind_socket_path.as_ref()) {
            Some(path) => self.made(place, "local_bind_socket_path", socket_path(path)),
            None => {
                let address = given(upstream.local_bind_address.as_ref());
                let address = self.ip(place, "local_bind_address", address);
                let port = upstream.local_bind_port.unwrap_or_default();
                address.map(|address| SocketAddr::new(address, port).into())
            }
        };
        let mode = given(upstream.local_bind_socket_mode.as_ref()).map(socket_mode);
        let socket_mode = mode.and_then(|it| self.made(place, "local_bind_socket_mode", it));
        let namespace = given(upstream.destination_namespace.as_ref());
        let datacenter = given(upstream.datacenter.as_ref()).map(str::to_ascii_lowercase);
        let mode = gateway_mode(
            &sidecar.service,
            &sidecar.proxy,
            upstream,
            self.around.entries,
        );
        let name = upstream.destination_name.clone()?;
        let elsewhere = datacenter.filter(|name| *name != mesh.datacenter);
        let peer = given(upstream.destination_peer.as_ref());
        let start = match peer {
            Some(peer) => Target {
                namespace: namespace.unwrap_or_default().to_owned(),
                peer: Some(peer.to_owned()),
                ..Target::new(&name, "")
            },
            None => Target {
                namespace: namespace.unwrap_or(&sidecar.namespace).to_owned(),
                partition: mesh.partition.clone(),
                ..Target::new(&name, elsewhere.as_ref().unwrap_or(&mesh.datacenter))
            },
        };
        let name = match (peer, elsewhere) {
            (Some(peer), _) => format!("{name}?peer={}", peer.to_ascii_lowercase()),
            (None, Some(datacenter)) => format!("{name}?dc={datacenter}"),
            (None, None) => name,
        };
        let options = &upstream.config.options;
        let protocol = given(options.protocol.as_ref()).map(str::to_owned);
        let protocol = protocol.or_else(|| self.central(upstream, |item| item.protocol.clone()));
        let timeout = options.connect_timeout_ms;
        let timeout = timeout.or_else(|| self.central(upstream, |item| item.connect_timeout_ms));
        let timeout = timeout.filter(|milliseconds| *milliseconds > 0);
        let compiler = Compiler {
            mesh,
            entries: self.around.entries,
            mode: &mode,
            connect_timeout: timeout.map(|given| Duration::from_millis(given.into())),
            is_tcp: protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("tcp")),
        };
        let chain = self.chain(&compiler, start, place)?;
        let limits = options.limits.clone();
        let limits = limits.or_else(|| self.central(upstream, |item| item.limits.clone()));
        let limits = limits.unwrap_or_default();
        let passive = options.passive_health_check.clone();
        let passive =
            passive.or_else(|| self.central(upstream, |item| item.passive_health_check.clone()));
        let made = Upstream {
            name,
            chain,
            listen: listen?,
            socket_mode,
            connect_timeout: self.timeout(timeout),
            max_connections: limits.max_connections,
            max_pending: limits.max_pending_requests,
            outlier_detection: Some(outlier_detection(&passive.unwrap_or_default())),
        };
        (self.reasons.len() == before).then_some(made)
    }

    /// The chain that the entries make of an upstream's own words, or the reasons why there is none.
    fn chain(&mut self, compiler: &Compiler<'_>, start: Target, place: &Place) -> Option<Chain> {
        match compiler.compile(start) {
            Ok(chain) => Some(chain),
            Err(NoChain {
                place: written,
                key,
                why,
            }) => {
                let place = written.as_ref().unwrap_or(place);
                self.reason(place, key, why);
                None
            }
        }
    }

    /// What service-defaults of the calling service say: for this upstream, else for all. A setting of the one replaces that
    /// of the other as a whole.
    fn central<T>(
        &self,
        upstream: &Given,
        field: impl Fn(&UpstreamConfigItem) -> Option<T>,
    ) -> Option<T> {
        let entry = self
            .around
            .entries
            .service_defaults(&self.sidecar.service)?;
        let config = entry.upstream_config.as_ref()?;
        let own = config.overriding(upstream).and_then(&field);
        own.or_else(|| field(config.defaults.as_ref()?))
    }

    /// 0 and nothing are the default.
    fn timeout(&self, milliseconds: Option<u32>) -> Duration {
        match milliseconds {
            Some(milliseconds) if milliseconds > 0 => Duration::from_millis(milliseconds.into()),
            _ => self.around.timeouts.connect,
        }
    }

    /// What was made of a key, or the reason why nothing was.
    fn made<T>(&mut self, place: &Place, key: &str, made: Result<T, String>) -> Option<T> {
        made.inspect_err(|why| self.reason(place, key, why)).ok()
    }

    /// An address of this host; 127.0.0.1 unless given.
    fn ip(&mut self, place: &Place, key: &str, text: Option<&str>) -> Option<IpAddr> {
        let text = text.unwrap_or("127.0.0.1");
        let address = text.parse().ok();
        if address.is_none() {
            self.reason(place, key, format!("'{text}' is no IP address; give one"));
        }
        address
    }
}

/// Notes upstreams behind which there is nobody.
fn note_upstreams(made: &SidecarRegistration, from: &Sidecar, mesh: &Mesh, notes: &mut Vec<Note>) {
    for (upstream, given) in made.upstreams.iter().zip(&from.proxy.upstreams) {
        let mut targets: Vec<&Target> = Vec::new();
        for target in upstream.chain.targets() {
            if !targets.contains(&target) && plan::upstreams::endpoints(target, mesh).is_empty() {
                targets.push(target);
            }
        }
        for target in targets {
            let (service, dc) = (&target.service, &target.datacenter);
            let why = match target.via {
                Via::Direct | Via::RemoteGateway if target.peer.is_some() => {
                    let peer = target.peer.as_deref().unwrap_or_default();
                    format!(
                        "peer \"{peer}\" in lictor {{ }} has no gateways: connections are closed"
                    )
                }
                _ if *dc == mesh.datacenter => format!(
                    "lictor {{ }} has no endpoints of service \"{service}\": connections are closed"
                ),
                Via::RemoteGateway => {
                    format!(
                        "datacenter \"{dc}\" in lictor {{ }} has no gateways: connections are closed"
                    )
                }
                Via::LocalGateway => {
                    "lictor { } has no gateways: connections are closed".to_owned()
                }
                Via::Direct => format!(
                    "datacenter \"{dc}\" in lictor {{ }} has no endpoints of service \"{service}\": connections are closed"
                ),
            };
            notes.push(given.place.note("", why));
        }
    }
}

fn note_unused(object: &Object, place: &Place, shape: &Shape, notes: &mut Vec<Note>) {
    for entry in object.entries() {
        if shape.holds(&entry.key).is_none() {
            let place = Place {
                span: entry.span,
                ..place.clone()
            };
            notes.push(place.note(&entry.key, "not used by lictor"));
        }
    }
}

/// What is negotiated. Below TLS 1.2 nothing is, so a lower minimum says nothing.
fn tls_parameters(given: Option<&MeshTlsDirection>, errors: &mut Errors) -> TlsParameters {
    let Some(direction) = given else {
        return TlsParameters::default();
    };
    let mut version = |key: &str, given: Option<&String>, old_is_fine: bool| {
        let text = given.map_or("", String::as_str);
        match text {
            "" | "TLS_AUTO" => String::new(),
            "TLSv1_2" | "TLSv1_3" => text.to_owned(),
            "TLSv1_0" | "TLSv1_1" if old_is_fine => String::new(),
            _ => {
                let what = format!("'{text}' is not supported; give TLSv1_2 or TLSv1_3");
                let error = direction.place.error(key, what);
                if !errors.list().contains(&error) {
                    errors.push(error);
                }
                String::new()
            }
        }
    };
    TlsParameters {
        min_version: version("TLSMinVersion", direction.tls_min_version.as_ref(), true),
        max_version: version("TLSMaxVersion", direction.tls_max_version.as_ref(), false),
        cipher_suites: direction.cipher_suites.clone(),
    }
}

fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

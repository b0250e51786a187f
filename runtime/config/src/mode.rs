//! Through which gateways a sidecar reaches an upstream, and which of the many places where that
//! can be said has decided.
//!
//! The order is Consul's (agent/configentry/resolve.go and the compiler of discovery chains): what
//! the agent merges into the registration, highest first; only when all of that is silent the
//! service-defaults of the destination; at last the default, which differs for peers. See
//! <https://developer.hashicorp.com/consul/docs/connect/gateways/mesh-gateway#modes>.

use std::fmt;

use crate::entries::{ConfigEntries, ServiceDefaults};
use crate::fields::Place;
use crate::scalars::words;
use crate::service::{DestinationType, MeshGatewayConfig, ProxySettings, Upstream};

words! {
    /// A mesh gateway mode. The empty word says nothing, so that a level below decides.
    pub enum GatewayMode {
        /// Nothing is said.
        #[default]
        Unset = "",
        /// Directly to the destination's instances.
        None = "none",
        /// By a gateway of the own datacenter.
        Local = "local",
        /// By a gateway of the destination's datacenter.
        Remote = "remote",
    }
}

impl fmt::Display for GatewayMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unset => "unset",
            Self::None => "none",
            Self::Local => "local",
            Self::Remote => "remote",
        })
    }
}

/// The places where a mode can be said, highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModeLevel {
    /// The upstream's own definition.
    Upstream,
    /// `UpstreamConfig.Overrides` in the service-defaults of the service that calls.
    UpstreamOverride,
    /// The definition of the calling service's instance.
    ServiceInstance,
    /// `UpstreamConfig.Defaults` in the service-defaults of the service that calls.
    UpstreamDefaults,
    /// The service-defaults of the service that calls.
    ServiceDefaults,
    /// proxy-defaults.
    ProxyDefaults,
    /// The service-defaults of the service that is called.
    DestinationDefaults,
    /// Nothing is said anywhere.
    Default,
}

impl fmt::Display for ModeLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upstream => "upstream definition",
            Self::UpstreamOverride => "service-defaults of the caller, UpstreamConfig.Overrides",
            Self::ServiceInstance => "service instance definition",
            Self::UpstreamDefaults => "service-defaults of the caller, UpstreamConfig.Defaults",
            Self::ServiceDefaults => "service-defaults of the caller",
            Self::ProxyDefaults => "proxy-defaults",
            Self::DestinationDefaults => "service-defaults of the destination",
            Self::Default => "default",
        })
    }
}

/// The mode of one upstream and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeDecision {
    /// The mode in force; never [`GatewayMode::Unset`].
    pub mode: GatewayMode,
    /// What was written, when it differs: `none` for a peer counts as `remote`.
    pub written: GatewayMode,
    /// Which level decided.
    pub level: ModeLevel,
    /// Where it was said; `None` for the default.
    pub place: Option<Place>,
    /// Every level that says something, highest first, the deciding one included.
    pub said: Vec<(ModeLevel, GatewayMode)>,
}

impl fmt::Display for ModeDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.mode, self.level)?;
        if let Some(place) = &self.place {
            write!(f, " ({})", place.short())?;
        }
        if self.mode != self.written {
            write!(f, "; {} counts as {} for a peer", self.written, self.mode)?;
        }
        Ok(())
    }
}

/// Decides the mode for one upstream of the proxy of service `caller`.
#[must_use]
pub fn gateway_mode(
    caller: &str,
    proxy: &ProxySettings,
    upstream: &Upstream,
    entries: &ConfigEntries,
) -> ModeDecision {
    let destination = upstream.destination_name.as_deref().unwrap_or_default();
    let source = entries.service_defaults(caller);
    let upstream_config = source.and_then(|entry| entry.upstream_config.as_ref());
    let overridden = upstream_config.and_then(|config| config.overriding(upstream));
    let central = upstream.destination_type == DestinationType::Service;
    let of_entry = |entry: &'_ ServiceDefaults| entry.mesh_gateway.clone();
    let levels: [(ModeLevel, Option<MeshGatewayConfig>); 7] = [
        (ModeLevel::Upstream, upstream.mesh_gateway.clone()),
        (
            ModeLevel::UpstreamOverride,
            overridden.and_then(|item| item.mesh_gateway.clone()),
        ),
        (ModeLevel::ServiceInstance, proxy.mesh_gateway.clone()),
        (
            ModeLevel::UpstreamDefaults,
            upstream_config
                .and_then(|config| config.defaults.as_ref())
                .and_then(|defaults| defaults.mesh_gateway.clone()),
        ),
        (ModeLevel::ServiceDefaults, source.and_then(of_entry)),
        (
            ModeLevel::ProxyDefaults,
            entries
                .proxy_defaults
                .as_ref()
                .and_then(|entry| entry.mesh_gateway.clone()),
        ),
        (
            ModeLevel::DestinationDefaults,
            entries.service_defaults(destination).and_then(of_entry),
        ),
    ];
    let mut said = Vec::new();
    let mut decided = None;
    for (level, config) in levels {
        // Consul merges nothing into the upstream of a prepared query.
        if !central && level != ModeLevel::Upstream {
            break;
        }
        let Some(config) = config else { continue };
        let mode = config.mode.unwrap_or_default();
        if mode != GatewayMode::Unset {
            said.push((level, mode));
            decided.get_or_insert((level, mode, config.place));
        }
    }
    let peer = upstream
        .destination_peer
        .as_deref()
        .is_some_and(|peer| !peer.is_empty());
    let default = if peer {
        GatewayMode::Remote
    } else {
        GatewayMode::None
    };
    let (level, written, place) = match decided {
        Some((level, mode, place)) => (level, mode, Some(place)),
        None => (ModeLevel::Default, default, None),
    };
    let mode = if peer && written == GatewayMode::None {
        GatewayMode::Remote
    } else {
        written
    };
    ModeDecision {
        mode,
        written,
        level,
        place,
        said,
    }
}

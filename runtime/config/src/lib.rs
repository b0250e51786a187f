//! The local file: HCL 1, JSON and YAML to [`Settings`].
//!
//! ```text
//! file ──► Value (every key has its place) ──► records (weakly typed) ──► Settings (checked)
//!          hcl, json, yaml                     service, entries, stanza   assemble
//! ```
//!
//! A file holds service definitions and config entries as Consul's operators write them already,
//! and one stanza of lictor's own. [`parse_with`] touches no file, but asks for the
//! certificates and keys that are named; [`load`] reads files and directories.
//! [`gateway_mode`] says through which gateways a sidecar reaches an upstream, and why.
//!
//! # Implementation
//!
//! Reading happens at the start and at a reload, so it is written for messages, not for speed: all
//! of a file is in memory (at most [`MAX_FILE_BYTES`]), as text, as one tree, as records. Nesting
//! is bounded by [`MAX_DEPTH`], so recursion is too. All errors are gathered, up to
//! [`MAX_ERRORS`]; each names file, line, column and key.

mod address;
mod assemble;
mod authorization;
mod chain;
mod consul;
mod cursor;
mod decimal;
mod defaults;
mod document;
mod entries;
mod error;
mod exports;
mod fields;
mod files;
mod flattened;
mod hcl;
mod intentions;
mod json;
mod lexer;
mod load;
mod mesh;
mod mode;
mod outliers;
mod peers;
mod proxy_config;
mod registration;
mod resolver;
mod runtime;
mod scalars;
mod service;
mod settings;
mod sidecar;
mod socket_path;
mod splitter;
mod stanza;
mod suggest;
mod template;
mod told;
mod trust;
mod value;
mod yaml;

pub use address::admin_address;
pub use consul::ConsulSettings;
pub use cursor::MAX_DEPTH;
pub use decimal::Decimal;
pub use entries::{
    AccessLogs, BalanceConnections, ConfigEntries, Destination, ExportedService, ExportedServices,
    MeshEntry, MeshHttp, MeshPeering, MeshTls, MeshTlsDirection, MeshTransparentProxy,
    PrioritizeByLocality, ProxyDefaults, ServiceConsumer, ServiceDefaults, UpstreamConfigItem,
    UpstreamConfiguration,
};
pub use error::{Error, Errors, MAX_ERRORS, Note, SyntaxError};
pub use fields::Place;
pub use files::{Disk, Files, MAX_PEM_BYTES, PemFile};
pub use hcl::parse_hcl;
pub use intentions::{
    IntentionAction, IntentionHeader, IntentionHttp, IntentionPermission, ServiceIntentions,
    SourceIntention,
};
pub use json::parse_json;
pub use load::{Format, MAX_FILE_BYTES, Source, load, parse, parse_with};
pub use mode::{GatewayMode, ModeDecision, ModeLevel, gateway_mode};
pub use proxy_config::{
    DnsDiscovery, GatewayOptions, ProxyConfig, SidecarOptions, UpstreamConfig, UpstreamOptions,
};
pub use resolver::{
    FailoverTarget, HashPolicy, LeastRequestConfig, LoadBalancer, ResolverFailover,
    ResolverRedirect, ResolverSubset, RingHashConfig, ServiceResolver,
};
pub use scalars::{ConsulDuration, Map, Named, Opaque, Secret};
pub use service::{
    Connect, DestinationType, Expose, ExposedPath, MeshGatewayConfig, PassiveHealthCheck,
    ProxyMode, ProxySettings, ServiceDefinition, ServiceKind, TaggedAddress, TransparentProxy,
    Upstream, UpstreamLimits, Weights,
};
pub use settings::{
    Limits, LogSettings, RuntimeSettings, Settings, Sidecar, TcpSettings, Timeouts,
};
pub use splitter::{Percent, ServiceRouter, ServiceSplit, ServiceSplitter};
pub use stanza::{BalancePolicy, LogFormat, LogLevel};
pub use template::{InterfaceAddress, fill_template, is_template};
pub use told::Definition;
pub use trust::{Material, Origin};
pub use value::{Data, Entry, Object, Span, Value};
pub use yaml::parse_yaml;

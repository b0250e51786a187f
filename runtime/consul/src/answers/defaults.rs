//! Config entries that fill in registrations: `service-defaults` and `proxy-defaults`.
//!
//! Consul's agent merges them into what is registered with it, and then they only tell a person which of them decided. Into what
//! stands in the catalog alone we merge them.
//! <https://developer.hashicorp.com/consul/docs/connect/config-entries/service-defaults>

use crate::{
    answers::service::{self, Config, mode},
    json::{self, NotUnderstood, Read, Reader},
};

/// What one entry says; each is empty where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// `Name`: the service, or `global`.
    pub name: String,
    /// `Protocol`, of `service-defaults` alone.
    pub protocol: String,
    /// `Config`, of `proxy-defaults` alone.
    pub config: Config,
    /// Whether `Expose` names paths or checks.
    pub exposes: bool,
    /// `MeshGateway`.
    pub mode: String,
    /// `UpstreamConfig.Defaults`, of `service-defaults` alone.
    pub of_upstreams: String,
    /// `UpstreamConfig.Overrides`, by the upstream's name.
    pub overrides: Vec<(String, String)>,
}

/// Reads the answer of `/v1/config/service-defaults/<name>` and of `/v1/config/proxy-defaults/global`.
///
/// # Errors
/// The place where it is no such answer.
pub fn defaults(body: &[u8]) -> Result<Defaults, NotUnderstood> {
    json::whole(body, entry)
}

/// Reads the answer of `/v1/config/service-defaults` and of `/v1/config/proxy-defaults`.
///
/// # Errors
/// The place where it is no such answer.
pub fn list(body: &[u8]) -> Result<Vec<Defaults>, NotUnderstood> {
    json::whole(body, |reader| reader.items(entry))
}

fn entry(reader: &mut Reader<'_>) -> Read<Defaults> {
    reader.fields(Defaults::default(), |defaults, key, value| {
        match key {
            "Name" => defaults.name = value.text()?,
            "Protocol" => defaults.protocol = value.text()?,
            "Config" => defaults.config = service::config(value)?,
            "Expose" => defaults.exposes = service::exposes(value)?,
            "MeshGateway" => defaults.mode = mode(value)?,
            "UpstreamConfig" => value.object(&mut |key, value| {
                match key {
                    "Defaults" => defaults.of_upstreams = of_upstream(value)?.1,
                    "Overrides" => defaults.overrides = value.items(of_upstream)?,
                    _ => {}
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })
}

fn of_upstream(reader: &mut Reader<'_>) -> Read<(String, String)> {
    reader.fields(<(String, String)>::default(), |(name, said), key, value| {
        match key {
            "Name" => *name = value.text()?,
            "MeshGateway" => *said = mode(value)?,
            _ => {}
        }
        Ok(())
    })
}

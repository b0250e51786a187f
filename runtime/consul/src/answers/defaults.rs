//! Config entries that say a mesh gateway mode: `service-defaults` and `proxy-defaults`.
//!
//! Consul's agent merges them into a registration; they are read only to tell a person which of them decided.
//! <https://developer.hashicorp.com/consul/docs/connect/config-entries/service-defaults>

use crate::{
    answers::service::mode,
    json::{self, NotUnderstood, Read, Reader},
};

/// The modes that one entry says; each is empty where it says none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
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
    json::whole(body, |reader| {
        reader.fields(Defaults::default(), |defaults, key, value| {
            match key {
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

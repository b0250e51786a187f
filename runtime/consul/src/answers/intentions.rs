//! Intentions, as `/v1/connect/intentions/match` lists them for one destination.
//!
//! <https://developer.hashicorp.com/consul/api-docs/connect/intentions#list-matching-intentions>

use crate::json::{self, NotUnderstood, Read, Reader};

/// One intention.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intention {
    /// The source's namespace, or `*`.
    pub source_namespace: String,
    /// The source, or `*`.
    pub source: String,
    /// The source's admin partition; empty in Consul's community edition.
    pub source_partition: String,
    /// The peer that the source is at; empty for the own cluster.
    pub source_peer: String,
    /// The destination's namespace, or `*`.
    pub destination_namespace: String,
    /// The destination, or `*`.
    pub destination: String,
    /// `allow`, `deny`, or empty where permissions decide.
    pub action: String,
    /// Whether permissions or tokens decide (1.9 and newer), which are about requests.
    pub permissions: bool,
}

/// Reads the intentions that match a destination.
///
/// # Errors
/// The place where it is no such answer.
pub fn matching(body: &[u8], destination: &str) -> Result<Vec<Intention>, NotUnderstood> {
    json::whole(body, |reader| {
        reader.fields(Vec::new(), |found, name, value| {
            // Asked for one destination, it answers for that one, in the letters of the question.
            if name.eq_ignore_ascii_case(destination) {
                *found = value.items(intention)?;
            }
            Ok(())
        })
    })
}

/// Reads the answer of `/v1/connect/intentions/check`: whether it is allowed.
///
/// # Errors
/// The place where it is no such answer.
pub fn allowed(body: &[u8]) -> Result<bool, NotUnderstood> {
    json::whole(body, |reader| {
        reader.fields(false, |allowed, key, value| {
            if key == "Allowed" {
                *allowed = value.flag()?;
            }
            Ok(())
        })
    })
}

fn intention(reader: &mut Reader<'_>) -> Read<Intention> {
    reader.fields(Intention::default(), |intention, key, value| {
        match key {
            "SourceNS" => intention.source_namespace = value.text()?,
            "SourceName" => intention.source = value.text()?,
            "SourcePartition" => intention.source_partition = value.text()?,
            "SourcePeer" => intention.source_peer = value.text()?,
            "DestinationNS" => intention.destination_namespace = value.text()?,
            "DestinationName" => intention.destination = value.text()?,
            "Action" => intention.action = value.text()?,
            "Permissions" => value.list(&mut |_| {
                intention.permissions = true;
                Ok(())
            })?,
            "JWT" => value.object(&mut |_, _| {
                intention.permissions = true;
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })
}

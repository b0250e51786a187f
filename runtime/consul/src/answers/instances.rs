//! Instances with their node and their health: what `/v1/health/…` lists, and the mesh gateways of all datacenters.
//!
//! <https://developer.hashicorp.com/consul/api-docs/health#list-service-instances-for-service>

use crate::{
    answers::service::{self, Service},
    json::{self, NotUnderstood, Read, Reader},
};

/// One instance (`CheckServiceNode`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// Its node.
    pub node: Node,
    /// What is registered there.
    pub service: Service,
    /// The worst of its checks, the node's included.
    pub status: Status,
}

/// The node of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its WAN address; empty where it has none.
    pub wan: String,
    /// Its datacenter.
    pub datacenter: String,
}

/// What checks say, best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// All pass, or there are none.
    #[default]
    Passing,
    /// One warns.
    Warning,
    /// One fails, or says something that is not known here.
    Critical,
}

/// Reads the answer of `/v1/health/connect/…` and `/v1/health/service/…`.
///
/// # Errors
/// The place where it is no such answer.
pub fn instances(body: &[u8]) -> Result<Vec<Instance>, NotUnderstood> {
    json::whole(body, |reader| reader.items(instance))
}

/// Reads the answer of `/v1/internal/federation-states/mesh-gateways`: instances by datacenter.
///
/// # Errors
/// The place where it is no such answer.
pub fn by_datacenter(body: &[u8]) -> Result<Vec<(String, Vec<Instance>)>, NotUnderstood> {
    json::whole(body, |reader| {
        reader.fields(Vec::new(), |datacenters, name, value| {
            datacenters.push((name.to_owned(), value.items(instance)?));
            Ok(())
        })
    })
}

/// Reads the answer of `/v1/query/<name>/execute`, whose nodes are instances.
///
/// # Errors
/// The place where it is no such answer.
pub fn of_query(body: &[u8]) -> Result<Vec<Instance>, NotUnderstood> {
    json::whole(body, |reader| {
        reader.fields(Vec::new(), |nodes, key, value| {
            if key == "Nodes" {
                *nodes = value.items(instance)?;
            }
            Ok(())
        })
    })
}

fn instance(reader: &mut Reader<'_>) -> Read<Instance> {
    reader.fields(Instance::default(), |instance, key, value| {
        match key {
            "Node" => instance.node = node(value)?,
            "Service" => instance.service = service::service(value)?,
            "Checks" => value.list(&mut |check| {
                instance.status = instance.status.max(status(check)?);
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })
}

fn node(reader: &mut Reader<'_>) -> Read<Node> {
    reader.fields(Node::default(), |node, key, value| {
        match key {
            "Node" => node.name = value.text()?,
            "Address" => node.address = value.text()?,
            "Datacenter" => node.datacenter = value.text()?,
            "TaggedAddresses" => value.object(&mut |key, value| {
                if key == "wan" {
                    node.wan = value.text()?;
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })
}

fn status(reader: &mut Reader<'_>) -> Read<Status> {
    reader.fields(Status::Critical, |status, key, value| {
        if key == "Status" {
            *status = match value.text()?.as_str() {
                "passing" => Status::Passing,
                "warning" => Status::Warning,
                _ => Status::Critical,
            };
        }
        Ok(())
    })
}

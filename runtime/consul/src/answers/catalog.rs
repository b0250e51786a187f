//! The catalog: names of services, the services of a node, and the resolvers.
//!
//! <https://developer.hashicorp.com/consul/api-docs/catalog>

use plan::order::sort;

use crate::{
    answers::service::{self, Service},
    json::{self, NotUnderstood, Read, Reader},
};

/// A `service-resolver` config entry, as far as a gateway needs it: a gateway never redirects and never fails over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// The service.
    pub service: String,
    /// The subset that the plain name means.
    pub default_subset: String,
    /// The subsets, by name.
    pub subsets: Vec<(String, Subset)>,
    /// `ConnectTimeout`, as Go writes durations.
    pub connect_timeout: String,
    /// `LoadBalancer.Policy`; empty for the default.
    pub policy: String,
}

/// One of `Subsets`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subset {
    /// What selects its instances; empty for all.
    pub filter: String,
    /// Whether only instances whose checks all pass belong to it.
    pub only_passing: bool,
}

/// Reads the answer of `/v1/catalog/services`: the names.
///
/// # Errors
/// The place where it is no such answer.
pub fn service_names(body: &[u8]) -> Result<Vec<String>, NotUnderstood> {
    let mut names = json::whole(body, |reader| {
        reader.fields(Vec::new(), |names, name, _| {
            names.push(name.to_owned());
            Ok(())
        })
    })?;
    sort(&mut names);
    Ok(names)
}

/// Reads the answer of `/v1/agent/service/<id>`.
///
/// # Errors
/// The place where it is no such answer.
pub fn agent_service(body: &[u8]) -> Result<Service, NotUnderstood> {
    json::whole(body, service::service)
}

/// Reads the answer of `/v1/agent/services`.
///
/// # Errors
/// The place where it is no such answer.
pub fn agent_services(body: &[u8]) -> Result<Vec<Service>, NotUnderstood> {
    json::whole(body, |reader| {
        reader.fields(Vec::new(), |services, _, value| {
            services.push(service::service(value)?);
            Ok(())
        })
    })
}

/// Reads the answer of `/v1/catalog/node-services/<node>`: the services of the node, or of none if there is no such node.
///
/// # Errors
/// The place where it is no such answer.
pub fn node_services(body: &[u8]) -> Result<Vec<Service>, NotUnderstood> {
    let mut datacenter = String::new();
    let mut services: Vec<Service> = json::whole(body, |reader| {
        reader.fields(Vec::new(), |services, key, value| {
            match key {
                "Node" => value.object(&mut |key, value| {
                    if key == "Datacenter" {
                        datacenter = value.text()?;
                    }
                    Ok(())
                })?,
                "Services" => *services = value.items(service::service)?,
                _ => {}
            }
            Ok(())
        })
    })?;
    for service in &mut services {
        service.datacenter.clone_from(&datacenter);
    }
    Ok(services)
}

/// A check of a node or of a service on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Its ID.
    pub id: String,
    /// The ID of the service that it is for; empty for the node.
    pub service: String,
    /// `passing`, `warning` or `critical`.
    pub status: String,
}

/// Reads the answer of `/v1/health/node/<node>`.
///
/// # Errors
/// The place where it is no such answer.
pub fn node_checks(body: &[u8]) -> Result<Vec<Check>, NotUnderstood> {
    json::whole(body, |reader| {
        reader.items(|reader| {
            reader.fields(Check::default(), |check, key, value| {
                match key {
                    "CheckID" => check.id = value.text()?,
                    "ServiceID" => check.service = value.text()?,
                    "Status" => check.status = value.text()?,
                    _ => {}
                }
                Ok(())
            })
        })
    })
}

/// Reads of the answer of `/v1/agent/self` the domain that the agent was given, without a dot at its end; empty where the
/// agent does not say it.
///
/// # Errors
/// The place where it is no such answer.
pub fn domain(body: &[u8]) -> Result<String, NotUnderstood> {
    let mut domain = String::new();
    json::whole(body, |reader| {
        reader.object(&mut |key, value| match key {
            "DebugConfig" => value.object(&mut |key, value| {
                if key == "DNSDomain" {
                    domain = value.text()?;
                }
                Ok(())
            }),
            _ => Ok(()),
        })
    })?;
    domain.truncate(domain.trim_end_matches('.').len());
    Ok(domain)
}

/// Reads the answer of `/v1/config/service-resolver`.
///
/// # Errors
/// The place where it is no such answer.
pub fn resolvers(body: &[u8]) -> Result<Vec<Resolver>, NotUnderstood> {
    json::whole(body, |reader| reader.items(resolver))
}

fn resolver(reader: &mut Reader<'_>) -> Read<Resolver> {
    reader.fields(Resolver::default(), |resolver, key, value| {
        match key {
            "Name" => resolver.service = value.text()?,
            "DefaultSubset" => resolver.default_subset = value.text()?,
            "ConnectTimeout" => resolver.connect_timeout = value.text()?,
            "LoadBalancer" => value.object(&mut |key, value| {
                if key == "Policy" {
                    resolver.policy = value.text()?;
                }
                Ok(())
            })?,
            "Subsets" => value.object(&mut |name, value| {
                resolver.subsets.push((name.to_owned(), subset(value)?));
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })
}

fn subset(reader: &mut Reader<'_>) -> Read<Subset> {
    reader.fields(Subset::default(), |subset, key, value| {
        match key {
            "Filter" => subset.filter = value.text()?,
            "OnlyPassing" => subset.only_passing = value.flag()?,
            _ => {}
        }
        Ok(())
    })
}

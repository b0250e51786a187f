//! Every reader of answers, by one call: for the property tests and for the fuzz target.

use consul::answers::{authority, catalog, chain, defaults, instances, intentions, mesh};

/// Reads a body in every way, and gives the refusals.
///
/// # Panics
/// When one is for a place outside the body.
pub(crate) fn read_every_way(body: &[u8]) -> Vec<consul::NotUnderstood> {
    let errors = [
        catalog::agent_service(body).err(),
        catalog::agent_services(body).err(),
        catalog::node_services(body).err(),
        catalog::service_names(body).err(),
        catalog::resolvers(body).err(),
        catalog::domain(body).err(),
        instances::instances(body).err(),
        instances::by_datacenter(body).err(),
        instances::of_query(body).err(),
        chain::chain(body).err(),
        catalog::node_checks(body).err(),
        defaults::defaults(body).err(),
        defaults::list(body).err(),
        mesh::tls(body).err(),
        authority::roots(body).err(),
        authority::leaf(body).err(),
        intentions::matching(body, "db").err(),
        intentions::allowed(body).err(),
    ];
    let errors: Vec<_> = errors.into_iter().flatten().collect();
    for error in &errors {
        assert!(error.at <= body.len(), "{error}");
    }
    errors
}

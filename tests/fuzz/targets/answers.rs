//! Consul's answers: no panic whatever arrives, and an error is for a place inside it.
#![no_main]

use consul::answers::{authority, catalog, chain, instances, intentions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let errors = [
        catalog::agent_service(body).err(),
        catalog::node_services(body).err(),
        catalog::service_names(body).err(),
        catalog::resolvers(body).err(),
        instances::instances(body).err(),
        instances::by_datacenter(body).err(),
        instances::of_query(body).err(),
        chain::chain(body).err(),
        authority::roots(body).err(),
        authority::leaf(body).err(),
        intentions::matching(body, "db").err(),
        intentions::allowed(body).err(),
    ];
    for error in errors.iter().flatten() {
        assert!(error.at <= body.len(), "{error}");
    }
});

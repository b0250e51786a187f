//! Consul's answers: no panic whatever arrives, and an error is for a place inside it.
#![no_main]

#[path = "../../../runtime/consul/tests/properties/every_reader.rs"]
mod every_reader;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    every_reader::read_every_way(body);
});

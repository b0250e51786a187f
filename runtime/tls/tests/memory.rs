//! What an idle session costs: heap, counted by the allocator. One test alone in its process, so that the count is its
//! own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tls::Session;

#[path = "sessions/mesh.rs"]
#[allow(dead_code, reason = "this test uses some of it")]
mod mesh;

use mesh::{Authority, Pair, TD, client, only, server};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes of heap that one established and idle session holds, the box of its connection included.
const MOST_BYTES: usize = 6 * 1024;

const SESSIONS: usize = 100;

#[test]
fn an_idle_session_is_small() {
    let root = Authority::root("root");
    for version in ["TLSv1_2", "TLSv1_3"] {
        let options = only(version);
        let client = client(&root, &root.leaf(TD, "web"), &options);
        let server = server(&root, &options);
        // The caches of the contexts fill up first: they are not the sessions'.
        for _ in 0..SESSIONS {
            Pair::shake(&client, &server).assert_talks();
        }
        let bytes = [false, true].map(|keep_server| {
            let mut kept: Vec<Session> = Vec::with_capacity(SESSIONS);
            let region = Region::new(ALLOCATOR);
            for _ in 0..SESSIONS {
                let mut pair = Pair::shake(&client, &server);
                pair.assert_talks();
                let Pair { client, server } = pair;
                kept.push(if keep_server {
                    server.session
                } else {
                    client.session
                });
            }
            let change = region.change();
            (change.bytes_allocated - change.bytes_deallocated) / SESSIONS
        });
        let [client, server] = bytes;
        println!("{version}: client {client} bytes, server {server} bytes");
        assert!(
            client <= MOST_BYTES && server <= MOST_BYTES,
            "{version}: {bytes:?}"
        );
    }
}

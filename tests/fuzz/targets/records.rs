//! Records with the right keys and anything in them: no panic, no data that was not sent, and an error is final.
//!
//! An input is records one after the other: kind, zeros behind the content, bytes of content (two), content.
#![no_main]
#![allow(
    dead_code,
    reason = "helpers of the room's tests, of which this uses some"
)]

use std::cell::OnceCell;

use libfuzzer_sys::fuzz_target;
use tls::{Outgoing, ServerContext, Step};

#[path = "../../../runtime/tls/tests/sessions/forger.rs"]
mod forger;
#[path = "../../../runtime/tls/tests/sessions/mesh.rs"]
mod mesh;
#[path = "../../../runtime/tls/tests/sessions/stranger.rs"]
mod stranger;

use forger::{DATA, Forger, HANDSHAKE};
use mesh::{Authority, Leaf, TD, options, server};
use stranger::StrangeClient;

thread_local! {
    static MADE: OnceCell<(ServerContext, Leaf)> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| {
    MADE.with(|made| {
        let (context, leaf) = made.get_or_init(|| {
            let root = Authority::root("root");
            (server(&root, &options()), root.leaf(TD, "web"))
        });
        let mut ours = context.accept().unwrap();
        let config = StrangeClient::new("TLSv1_3", Some(leaf)).0;
        let mut forger = Forger::meet(config, &mut ours);
        let (mut rest, mut wire) = (bytes, Outgoing::new());
        while let Some((&[kind, zeros, high, low], behind)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes([high, low])).min(behind.len());
            let (content, behind) = behind.split_at(length);
            rest = behind;
            // A kind of zero is padding: the content would be its own kind.
            let kind = kind.max(1);
            let record = forger.record(kind, content, usize::from(zeros));
            // In two reads, at a place that the input says too.
            let first = record.len() * usize::from(zeros) / 256;
            let mut got = Vec::new();
            let mut last = Ok(0);
            for part in [0..first, first..record.len()] {
                let mut read = vec![0xee; ours.room_in_front()];
                read.extend_from_slice(&record[part]);
                last = ours.open(&mut read, &mut wire);
                if let Ok(count) = last {
                    got.extend_from_slice(&read[..count]);
                }
            }
            assert!(got.is_empty() || kind == DATA && got == content);
            if last.is_err() {
                assert!(ours.open(&mut [], &mut wire).is_err());
                return;
            }
            if ours.step() == Step::PeerClosed || (kind == HANDSHAKE && content.contains(&24)) {
                // Nothing more is read, or it would need keys that the forger does not make.
                return;
            }
        }
    });
});

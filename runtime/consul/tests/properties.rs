//! No bytes make a reader of answers panic, and what it refuses it refuses for a place inside them.

#[path = "properties/every_reader.rs"]
mod every_reader;

use every_reader::read_every_way;
use proptest::prelude::*;

/// The names that the readers know, so that chance finds its way in.
const KEYS: &[&str] = &[
    "Service",
    "Node",
    "Checks",
    "Status",
    "Proxy",
    "Upstreams",
    "Config",
    "TaggedAddresses",
    "Weights",
    "Roots",
    "CertPEM",
    "Chain",
    "Nodes",
    "Targets",
    "Splits",
    "Weight",
    "Routes",
    "Definition",
    "Match",
    "HTTP",
    "Subsets",
    "Services",
    "db",
    "SourceName",
    "Permissions",
    "Port",
    "Meta",
    "Connect",
    "PeerMeta",
    "Failover",
    "DebugConfig",
    "DNSDomain",
];

/// JSON of any shape with those names.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i32>().prop_map(|number| number.to_string()),
        any::<f32>().prop_map(|number| format!("{number:?}")),
        "[a-z]{0,4}".prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        let key = prop::sample::select(KEYS);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key, inner), 0..5).prop_map(|fields| {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(key, value)| format!("\"{key}\":{value}"))
                    .collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_panics(text in json()) {
        read_every_way(text.as_bytes());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        read_every_way(&bytes);
    }
}

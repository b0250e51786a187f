//! The pairs of sidecars that are compared, one file each.
//!
//! A pair is two processes of one program: the one that is called terminates mutual TLS and passes on
//! to the backend; the one that calls takes the load in the clear and originates it. All speak TLS 1.3
//! with TLS_AES_128_GCM_SHA256, X25519 and P-256 certificates, one thread each where there is a choice;
//! the calling one has 49 further upstreams that nobody uses. No peer authorizes beyond the chain of
//! the certificates; lictor does.

mod envoy;
mod haproxy;
mod lictor;
mod stunnel;

use crate::{gateways::Gateway, options::Options};
use std::{io, rc::Rc};
use support::pki::{Leaf, Mesh};

/// As in `--only`.
pub(crate) const NAMES: [&str; 4] = ["lictor", "haproxy", "envoy", "stunnel"];

/// The certificates of the mesh: a root, the service `web` that calls, the service `api` that is called.
struct Identities {
    mesh: Mesh,
    web: Leaf,
    api: Leaf,
}

/// The pairs that the options name, in that order.
pub(crate) fn chosen(options: &Options) -> io::Result<Vec<Box<dyn Gateway>>> {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let identities = Rc::new(Identities {
        web: mesh.leaf("web", "dc1"),
        api: mesh.leaf("api", "dc1"),
        mesh,
    });
    options
        .only
        .iter()
        .map(|name| -> io::Result<Box<dyn Gateway>> {
            let identities = Rc::clone(&identities);
            Ok(match name.as_str() {
                "lictor" => Box::new(lictor::Lictor {
                    binary: options.lictor.clone(),
                    identities,
                }),
                "haproxy" => Box::new(haproxy::HaProxy { identities }),
                "envoy" => Box::new(envoy::Envoy {
                    binary: options.envoy.clone(),
                    identities,
                }),
                "stunnel" => Box::new(stunnel::Stunnel { identities }),
                _ => return Err(io::Error::other(format!("no sidecar is called {name}"))),
            })
        })
        .collect()
}

/// What a certificate file and its key hold, one after the other.
fn with_key(leaf: &Leaf) -> io::Result<String> {
    Ok(std::fs::read_to_string(&leaf.certificate)? + &std::fs::read_to_string(&leaf.key)?)
}

const TRUST_DOMAIN: &str = "11111111-2222-3333-4444-555555555555.consul";

/// Upstreams of the calling sidecar that nobody uses.
const IDLE_UPSTREAMS: usize = 49;

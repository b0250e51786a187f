//! Whole files, the first byte says in which format: no panic, errors or usable settings, and never the token or a
//! key.
#![no_main]

use std::{io, path::Path};

use config::{Files, Format, PemFile, Source, parse_with};
use libfuzzer_sys::fuzz_target;

/// What the seeds have as their ACL token.
const TOKEN: &str = "sesame-open";

/// What every file that is named holds.
const KEY: &str = "in-no-message";

/// A certificate or a key under every name; one without a dot is not there.
struct Certificates;

impl Files for Certificates {
    fn read(&self, path: &Path) -> io::Result<PemFile> {
        let name = path.to_string_lossy();
        if !name.contains('.') {
            return Err(io::ErrorKind::NotFound.into());
        }
        let label = if name.contains("key") {
            "PRIVATE KEY"
        } else {
            "CERTIFICATE"
        };
        Ok(PemFile {
            text: plan::Secret::new(format!("-----BEGIN {label}-----\n{KEY}\n")),
            exposed: name.contains("open"),
        })
    }
}

fuzz_target!(|text: &str| {
    let (format, text) = match text.split_at_checked(1) {
        Some(("h", rest)) => (Format::Hcl, rest),
        Some(("j", rest)) => (Format::Json, rest),
        Some((_, rest)) => (Format::Yaml, rest),
        None => return,
    };
    let source = Source {
        name: "file",
        text,
        format,
    };
    match parse_with(&[source], &Certificates) {
        Ok(settings) => {
            for gateway in &settings.gateways {
                assert!(
                    !settings.mesh.trust_domain.is_empty() && !settings.mesh.datacenter.is_empty()
                );
                let plan = plan::gateway::plan(gateway, &settings.mesh);
                assert!(!plan.listeners.is_empty());
            }
            assert!(settings.sidecar_registrations.len() <= settings.sidecars.len());
            for sidecar in &settings.sidecar_registrations {
                let plan = plan::sidecar::plan(sidecar, &settings.mesh);
                assert!(!plan.identities.is_empty() && !plan.trust.is_empty());
                assert_eq!(plan.listeners.len(), sidecar.upstreams.len() + 1);
                assert!(leads_somewhere(&plan));
            }
            for identity in &settings.mesh.identities {
                assert!(!format!("{:?}", identity.key).contains(KEY));
            }
            for (_, _, mode) in settings.upstreams() {
                assert_ne!(mode.mode, config::GatewayMode::Unset);
            }
            for definition in &settings.definitions {
                let body = definition.body.expose();
                let read = serde_json::from_str::<serde_json::Value>(body);
                // Numbers too large for serde_json are JSON all the same.
                assert!(
                    read.is_ok_and(|it| it.is_object()) || body.contains(['e', 'E']),
                    "{body}"
                );
                assert!(!body.contains(TOKEN) || told_elsewhere(text));
            }
            for service in &settings.services {
                let token = service.token.as_ref().map_or("", |token| token.reveal());
                assert!(
                    token != TOKEN
                        || !format!("{service:?}").contains(TOKEN)
                        || told_elsewhere(text)
                );
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            assert!(!errors.to_string().contains(KEY) || text.contains(KEY));
        }
    }
});

/// Whether the text says the token in more places than the one where it is secret.
fn told_elsewhere(text: &str) -> bool {
    text.matches("sesame").count() > 1
}

/// Whether every cluster that is named is there, and its failover too.
fn leads_somewhere(plan: &plan::Plan) -> bool {
    let known = |name: &String| plan.cluster(name).is_some();
    let mut chains = plan.listeners.iter().flat_map(|it| &it.chains);
    let routed = chains.all(|chain| match &chain.route {
        plan::Route::Cluster(name) => known(name),
        plan::Route::Weighted(shares) => {
            shares.len() > 1
                && shares
                    .iter()
                    .all(|(weight, name)| *weight > 0 && known(name))
        }
        plan::Route::SniCluster | plan::Route::Refuse(_) => true,
    });
    routed && plan.clusters.iter().all(|it| it.failover.iter().all(known))
}

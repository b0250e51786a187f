//! Whole files, the first byte says in which format: no panic, errors or usable settings, and never the token.
#![no_main]

use config::{Format, Source, parse};
use libfuzzer_sys::fuzz_target;

/// What the seeds have as their ACL token.
const TOKEN: &str = "sesame-open";

fuzz_target!(|text: &str| {
    let (format, text) = match text.split_at_checked(1) {
        Some(("h", rest)) => (Format::Hcl, rest),
        Some(("j", rest)) => (Format::Json, rest),
        Some((_, rest)) => (Format::Yaml, rest),
        None => return,
    };
    match parse(&[Source {
        name: "file",
        text,
        format,
    }]) {
        Ok(settings) => {
            for gateway in &settings.gateways {
                assert!(
                    !settings.mesh.trust_domain.is_empty() && !settings.mesh.datacenter.is_empty()
                );
                let plan = plan::gateway::plan(gateway, &settings.mesh);
                assert!(!plan.listeners.is_empty());
            }
            for (_, _, mode) in settings.upstreams() {
                assert_ne!(mode.mode, config::GatewayMode::Unset);
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
        Err(errors) => assert!(!errors.is_empty()),
    }
});

/// Whether the text says the token in more places than the one where it is secret.
fn told_elsewhere(text: &str) -> bool {
    text.matches("sesame").count() > 1
}

//! Which level decided the mesh gateway mode of an upstream, for a person who asks.
//!
//! Consul's agent merges all levels into the registration and says only what that comes to. So the config entries are asked for at
//! that moment, and the rest follows: what neither they nor the rest of the registration say stands in the upstream's own
//! definition. Nothing here decides where a connection goes. The order is Consul's (`agent/configentry/resolve.go`):
//! <https://developer.hashicorp.com/consul/docs/connect/gateways/mesh-gateway#service-mesh-proxy-configuration>

use std::{fmt::Write as _, time::Duration};

use smol::{Timer, future};

use crate::{
    Client, Error, Request,
    answers::{
        defaults::{Defaults, defaults},
        service::{Proxy, Upstream},
    },
    question,
};

/// A person waits for it.
const WITHIN: Duration = Duration::from_secs(2);

/// More than an entry comes to.
const MAX_ENTRY_BYTES: usize = 1 << 20;

/// What the config entries say that count for the upstreams of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// `service-defaults` of the service.
    pub service: Defaults,
    /// `proxy-defaults`.
    pub proxy: Defaults,
    /// Why they are not known, if they are not.
    pub trouble: Option<String>,
}

impl Entries {
    /// Asks Consul for them.
    pub async fn ask(client: &Client, service: &str) -> Self {
        let both = async {
            let path = question::path("/v1/config/service-defaults/", service, "");
            Ok((
                one(client, &path).await?,
                one(client, "/v1/config/proxy-defaults/global").await?,
            ))
        };
        let late = async {
            Timer::after(WITHIN).await;
            Err("Consul does not answer".to_owned())
        };
        match future::or(both, late).await {
            Ok((service, proxy)) => Self {
                service,
                proxy,
                trouble: None,
            },
            Err(trouble) => Self {
                trouble: Some(trouble),
                ..Self::default()
            },
        }
    }
}

/// One entry; that there is none is an answer.
async fn one(client: &Client, path: &str) -> Result<Defaults, String> {
    let request = Request {
        method: "GET",
        path,
        body: None,
        within: WITHIN,
    };
    match client.fetch(request, MAX_ENTRY_BYTES).await {
        Ok((_, body)) => defaults(&body).map_err(|error| error.to_string()),
        Err(Error::NotFound(_)) => Ok(Defaults::default()),
        Err(error) => Err(error.to_string()),
    }
}

/// Writes what decided, and what each level says.
pub(crate) fn describe(text: &mut String, upstream: &Upstream, proxy: &Proxy, entries: &Entries) {
    let over = entries.service.overrides.iter();
    let over = over
        .filter(|(name, _)| *name == upstream.name)
        .map(|(_, said)| said.as_str());
    let levels = [
        (
            "service-defaults of the caller, UpstreamConfig.Overrides",
            over.clone().next().unwrap_or_default(),
        ),
        (
            "service-defaults of the caller, UpstreamConfig.Defaults",
            &entries.service.of_upstreams,
        ),
        ("service-defaults of the caller", &entries.service.mode),
        ("proxy-defaults", &entries.proxy.mode),
    ];
    let decided = decided(&upstream.mode, &proxy.gateway_mode, &levels);
    let decided = match (decided, &entries.trouble) {
        // Without the entries it could be any level that the agent merges.
        (Some(_), Some(_)) => "the registration, in which Consul merged all levels",
        (Some(level), None) => level,
        (None, _) => {
            "nothing said for the caller: service-defaults of the destination, or the default"
        }
    };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "decided      by {decided}");
    let merged = [
        ("merged registration, this upstream", &*upstream.mode),
        ("merged registration, its instance", &*proxy.gateway_mode),
    ];
    for (level, said) in merged.iter().chain(&levels) {
        if !said.is_empty() {
            let _ = writeln!(text, "             {level} says {said}");
        }
    }
    if let Some(trouble) = &entries.trouble {
        let _ = writeln!(text, "             config entries: {trouble}");
    }
}

/// The level that a merged mode comes from; none where none says anything. Where two levels say the same, the lower one is
/// named: without the upper one it would be the same.
fn decided<'a>(
    upstream: &str,
    instance: &str,
    [over, of_upstreams, service, proxy]: &[(&'a str, &str); 4],
) -> Option<&'a str> {
    let says = |level: &(&'a str, &str)| !level.1.is_empty() && level.1 == upstream;
    let central = if service.1.is_empty() { proxy } else { service };
    if upstream.is_empty() {
        return None;
    }
    Some(match () {
        () if upstream == instance && says(central) => central.0,
        () if upstream == instance => "service instance definition",
        // An instance that says something itself goes before what service-defaults say of all upstreams.
        () if says(of_upstreams) && instance == central.1 => of_upstreams.0,
        () if says(over) => over.0,
        () => "upstream definition",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Merges as Consul does, and sees which level is named for it.
    fn named(levels: [&str; 6]) -> Option<&'static str> {
        let first = |modes: &[&str]| {
            let mut said = modes.iter().filter(|mode| !mode.is_empty());
            said.next().copied().unwrap_or_default().to_owned()
        };
        let [_, over, _, of_upstreams, service, proxy] = levels;
        let merged = first(&levels);
        let instance = first(&[levels[2], service, proxy]);
        decided(
            &merged,
            &instance,
            &[
                ("overrides", over),
                ("defaults", of_upstreams),
                ("service", service),
                ("proxy", proxy),
            ],
        )
    }

    #[test]
    fn the_level_that_decides_is_named_at_every_level() {
        for (levels, expected) in [
            (["", "", "", "", "", ""], None),
            (["", "", "", "", "", "local"], Some("proxy")),
            (["", "", "", "", "remote", "local"], Some("service")),
            (["", "", "", "none", "remote", "local"], Some("defaults")),
            (
                ["", "", "local", "none", "remote", ""],
                Some("service instance definition"),
            ),
            (["", "none", "local", "", "remote", ""], Some("overrides")),
            (
                ["none", "remote", "local", "", "", "local"],
                Some("upstream definition"),
            ),
            (
                ["none", "", "", "", "remote", "local"],
                Some("upstream definition"),
            ),
        ] {
            assert_eq!(named(levels), expected, "{levels:?}");
        }
    }
}

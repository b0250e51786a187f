//! From the Plan's words on TLS to contexts that make sessions.
//!
//! All of them are made before a Plan is put to work, so that one which cannot be made refuses the Plan and changes nothing.

use std::fmt;

use crate::tls::{
    ClientContext, Error, Identity, Options, Roots, ServerContext, Tls12Suites, TrustBundle,
    Versions,
};
use plan::{Plan, TlsParameters, UpstreamTls, spiffe::SpiffeId};

use crate::chain::Materials;

/// A part of a Plan's TLS that cannot be used.
#[derive(Debug)]
pub struct Unusable {
    /// Which part: an identity, a trust domain, a cluster.
    part: String,
    /// Why.
    why: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part, self.why)
    }
}

impl std::error::Error for Unusable {}

fn unusable(part: String) -> impl FnOnce(Error) -> Unusable {
    move |error| Unusable {
        part,
        why: error.to_string(),
    }
}

/// The identity and the bundles of those names in a Plan.
pub(crate) fn materials(
    plan: &Plan,
    identity: &str,
    trust: &[String],
) -> Result<Materials, Unusable> {
    let missing = |part: String| Unusable {
        part,
        why: "the plan does not have it".to_owned(),
    };
    let found = plan.identities.iter().find(|known| known.name == identity);
    let identity = found
        .ok_or_else(|| missing(format!("identity {identity}")))?
        .clone();
    let mut bundles = Vec::with_capacity(trust.len());
    for domain in trust {
        let bundle = plan
            .trust
            .iter()
            .find(|bundle| bundle.trust_domain == *domain);
        bundles.push(
            bundle
                .ok_or_else(|| missing(format!("roots of {domain}")))?
                .clone(),
        );
    }
    Ok(Materials {
        identity,
        trust: bundles,
    })
}

/// What a chain needs to terminate TLS.
pub(crate) fn server(
    parameters: &TlsParameters,
    materials: &Materials,
    options: &Options,
) -> Result<ServerContext, Unusable> {
    let name = &materials.identity.name;
    let identity = identity(materials)?;
    let mut trust = TrustBundle::default();
    for bundle in &materials.trust {
        trust = trust.with(&bundle.trust_domain, roots(bundle)?);
    }
    let options = with_parameters(parameters, options)?;
    ServerContext::new(&identity, trust, &options).map_err(unusable(format!("identity {name}")))
}

/// What a cluster needs to originate TLS.
pub(crate) fn client(
    wanted: &UpstreamTls,
    materials: &Materials,
    options: &Options,
) -> Result<ClientContext, Unusable> {
    let part = || format!("TLS to {}", wanted.server_name);
    let identity = identity(materials)?;
    let roots = materials.trust.first().map(roots).transpose()?;
    let roots = roots.ok_or_else(|| Unusable {
        part: part(),
        why: "no roots".to_owned(),
    })?;
    let mut accepted = Vec::with_capacity(wanted.accepted.len());
    for id in &wanted.accepted {
        let parsed = SpiffeId::parse(id);
        accepted.push(parsed.map_err(|error| Unusable {
            part: format!("identity {id}"),
            why: error.to_string(),
        })?);
    }
    let options = with_parameters(&wanted.parameters, options)?;
    ClientContext::new(
        &identity,
        roots,
        accepted,
        Some(&wanted.server_name),
        &options,
    )
    .map_err(unusable(part()))
}

/// The options of all contexts of this machine: its CPU's instructions, its clock.
pub(crate) fn options() -> Options {
    // Without it the choice is made for a CPU without AES instructions, which any CPU can live with.
    let auxv = std::fs::read("/proc/self/auxv").unwrap_or_default();
    Options {
        aes: tls::AesSupport::of_this_cpu(&auxv),
        ..Options::default()
    }
}

fn identity(materials: &Materials) -> Result<Identity, Unusable> {
    let identity = &materials.identity;
    Identity::from_pem(
        identity.certificates.as_bytes(),
        identity.key.expose().as_bytes(),
    )
    .map_err(unusable(format!("identity {}", identity.name)))
}

fn roots(bundle: &plan::TrustBundle) -> Result<Roots, Unusable> {
    Roots::from_pem(bundle.roots.as_bytes())
        .map_err(unusable(format!("roots of {}", bundle.trust_domain)))
}

fn with_parameters(parameters: &TlsParameters, options: &Options) -> Result<Options, Unusable> {
    let part = || "TLS parameters".to_owned();
    let versions = Versions::from_names(&parameters.min_version, &parameters.max_version);
    let suites = match parameters.cipher_suites.as_slice() {
        [] => Ok(Tls12Suites::default()),
        names => Tls12Suites::from_names(names.iter().map(String::as_str)),
    };
    Ok(Options {
        versions: versions.map_err(unusable(part()))?,
        tls12_suites: suites.map_err(unusable(part()))?,
        ..options.clone()
    })
}

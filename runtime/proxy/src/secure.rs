//! From the Plan's words on TLS to contexts that make sessions.
//!
//! All of them are made before a Plan is put to work, so that one which cannot be made refuses the Plan and changes nothing.

use crate::tls::{
    ClientContext, Clock, Options, ServerContext, Tls12Suites, TrustBundle, Versions,
};
use plan::{
    Plan, TlsParameters, UpstreamTls,
    intentions::Intentions,
    spiffe::{SpiffeId, Subject},
};

pub(crate) use crate::materials::{Materials, Selected};
use crate::{
    materials::unusable,
    unusable::{Part, Unusable},
};

/// What a chain needs to terminate TLS.
pub(crate) fn server(
    parameters: &TlsParameters,
    made_from: &Selected,
    intentions: Option<&Intentions>,
    options: &Options,
) -> Result<ServerContext, Unusable> {
    let name = &made_from.identity.source.name;
    let identity = made_from.identity.usable()?;
    let mut trust = TrustBundle::default();
    for bundle in &made_from.trust {
        trust = trust.with(&bundle.source.trust_domain, bundle.usable()?.clone());
    }
    let options = with_parameters(parameters, options)?;
    ServerContext::authorizing(identity, trust, intentions.cloned(), &options)
        .map_err(unusable(Part::Identity(name.clone())))
}

/// What a cluster needs to originate TLS.
pub(crate) fn client(
    wanted: &UpstreamTls,
    made_from: &Selected,
    options: &Options,
) -> Result<ClientContext, Unusable> {
    let part = || Part::Upstream(wanted.server_name.clone());
    let identity = made_from.identity.usable()?;
    let roots = made_from.trust.first().ok_or_else(|| Unusable {
        part: part(),
        why: "no roots".to_owned(),
    })?;
    let mut accepted = Vec::with_capacity(wanted.accepted.len());
    for id in &wanted.accepted {
        let parsed = SpiffeId::parse(id);
        accepted.push(parsed.map_err(|error| Unusable {
            part: part(),
            why: format!("{id}: {error}"),
        })?);
    }
    let options = with_parameters(&wanted.parameters, options)?;
    ClientContext::new(
        identity,
        roots.usable()?.clone(),
        accepted,
        Some(&wanted.server_name),
        &options,
    )
    .map_err(unusable(part()))
}

/// The options of all contexts of this machine: its CPU's instructions, whose time is believed, how many sessions are kept.
pub(crate) fn options(sessions: usize, clock: Clock) -> Options {
    // Without it the choice is made for a CPU without AES instructions, which any CPU can live with.
    let auxv = std::fs::read("/proc/self/auxv").unwrap_or_default();
    Options {
        aes: tls::AesSupport::of_this_cpu(&auxv),
        sessions,
        clock,
        ..Options::default()
    }
}

/// Everything in a Plan that TLS cannot be made of, each once.
#[must_use]
pub fn unusable_parts(plan: &Plan) -> Vec<Unusable> {
    let (options, mut found) = (options(0, Clock::system()), Vec::new());
    let mut note = |outcome: Result<(), Unusable>| {
        if let Err(unusable) = outcome
            && !found.contains(&unusable)
        {
            found.push(unusable);
        }
    };
    let materials = Materials::of(plan, &Materials::default());
    // By themselves first: whatever uses a broken one breaks for the same reason.
    materials
        .identities()
        .for_each(|it| note(it.usable().map(drop)));
    for chain in plan.listeners.iter().flat_map(|listener| &listener.chains) {
        if let Some(tls) = &chain.tls {
            let made = materials.select(&tls.identity, &tls.trust);
            note(made.and_then(|made| server(&tls.parameters, &made, None, &options).map(drop)));
        }
    }
    for tls in plan.clusters.iter().filter_map(|it| it.tls.as_ref()) {
        let made = materials.select(&tls.identity, std::slice::from_ref(&tls.trust));
        note(made.and_then(|made| client(tls, &made, &options).map(drop)));
    }
    found
}

/// Identities of a Plan that can be used and that peers will not take, at this time: they have expired, are not by
/// roots that the Plan has, or are not that of their service in this datacenter.
#[must_use]
pub fn doubtful_identities(plan: &Plan, datacenter: &str, clock: &Clock) -> Vec<Unusable> {
    let materials = Materials::of(plan, &Materials::default());
    let mut trust = TrustBundle::default();
    for bundle in materials.trust() {
        if let Ok(roots) = bundle.usable() {
            trust = trust.with(&bundle.source.trust_domain, roots.clone());
        }
    }
    let clock = clock.without_own();
    let mut found = Vec::new();
    for given in materials.identities() {
        let (Ok(identity), given) = (given.usable(), &given.source) else {
            continue;
        };
        let mut doubt = |why: String| {
            found.push(Unusable {
                part: Part::Identity(given.name.clone()),
                why,
            });
        };
        if let Err(refusal) = identity.accepted_by(&trust, &clock) {
            doubt(format!("peers will refuse it: the certificate {refusal}"));
        }
        let fits = matches!(&identity.id().subject, Subject::Service { service, datacenter: of, .. }
            if service.eq_ignore_ascii_case(&given.name) && of.eq_ignore_ascii_case(datacenter));
        if !fits {
            let (id, name) = (identity.id(), &given.name);
            doubt(format!(
                "callers of {name} in {datacenter} will refuse it: the certificate is that of {id}"
            ));
        }
    }
    found
}

/// Tells the clock when the newest of these identities was issued; gives whose they are and until when they are good.
pub(crate) fn tell_clock(materials: &Materials, options: &Options) -> Vec<(String, u64)> {
    let identities = materials.identities();
    let issued = identities.filter_map(|it| Some(it.usable().ok()?.validity().not_before));
    options.clock.own(issued.max().unwrap_or(0));
    last_seconds(materials)
}

/// Whose these identities are, and the last second of each, since 1970. What cannot be used is left out.
#[must_use]
pub fn good_until(identities: &[plan::Identity]) -> Vec<(String, u64)> {
    last_seconds(&Materials::of_identities(identities))
}

fn last_seconds(materials: &Materials) -> Vec<(String, u64)> {
    let identities = materials.identities();
    let last = identities.filter_map(|it| {
        let until = it.usable().ok()?.validity().not_after;
        Some((it.source.name.clone(), until))
    });
    last.collect()
}

fn with_parameters(parameters: &TlsParameters, options: &Options) -> Result<Options, Unusable> {
    let part = || Part::Parameters;
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

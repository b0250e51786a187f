//! What is to be said of the certificates, keys and roots that the files give: with place and file, as of anything else in
//! them.

use config::{LogLevel, Material, Origin};
use proxy::{Clock, Part, Unfit, Unusable};

use crate::{job::Job, log::Log};

/// Why a Plan made of these settings cannot be put to work.
pub(crate) fn unfit(origins: &[Origin], unfit: &Unfit) -> String {
    match unfit {
        Unfit::Tls(unusable) => placed(origins, unusable),
        other => other.to_string(),
    }
}

/// Tells of identities that are used although peers will not take them: they may after a renewal, or once the clock is
/// right.
pub(crate) fn warn(job: &Job, clock: &Clock, log: &Log) {
    if job.datacenter.is_empty() {
        // From memory: the files that could be mended are not there.
        return;
    }
    for doubt in proxy::doubtful_identities(&job.plan, &job.datacenter, clock) {
        let detail = placed(&job.origins, &doubt);
        log.line(LogLevel::Warn, "doubtful_identity", &[("detail", &detail)]);
    }
}

/// Says it with the places where the part was given; of a part that was not given by itself, as it is.
pub(crate) fn placed(origins: &[Origin], unusable: &Unusable) -> String {
    let material = match &unusable.part {
        Part::Identity(name) => Material::Identity(name.clone()),
        Part::Roots(trust_domain) => Material::Roots(trust_domain.clone()),
        Part::Upstream(_) | Part::Parameters => return unusable.to_string(),
    };
    let notes: Vec<String> = origins
        .iter()
        .filter(|origin| origin.material == material)
        .map(|origin| origin.note(&unusable.why).to_string())
        .collect();
    if notes.is_empty() {
        return unusable.to_string();
    }
    notes.join("\n")
}

//! What is to be said of the certificates, keys and roots that the files give: with place and file, as of anything else in
//! them.

use config::{LogLevel, Material, Settings};
use plan::Plan;
use proxy::{Part, Unfit, Unusable};

use crate::log::Log;

/// Why a Plan made of these settings cannot be put to work.
pub(crate) fn unfit(settings: &Settings, unfit: &Unfit) -> String {
    match unfit {
        Unfit::Tls(unusable) => placed(settings, unusable),
        other => other.to_string(),
    }
}

/// Tells of identities that are used although peers will not take them: they may after a renewal, or once the clock is
/// right.
pub(crate) fn warn(settings: &Settings, plan: &Plan, log: &Log) {
    for doubt in proxy::doubtful_identities(plan, &settings.mesh.datacenter) {
        let detail = placed(settings, &doubt);
        log.line(LogLevel::Warn, "doubtful_identity", &[("detail", &detail)]);
    }
}

/// Says it with the places where the part was given; of a part that was not given by itself, as it is.
pub(crate) fn placed(settings: &Settings, unusable: &Unusable) -> String {
    let material = match &unusable.part {
        Part::Identity(name) => Material::Identity(name.clone()),
        Part::Roots(trust_domain) => Material::Roots(trust_domain.clone()),
        Part::Upstream(_) | Part::Parameters => return unusable.to_string(),
    };
    let origins = settings.origins.iter();
    let notes: Vec<String> = origins
        .filter(|origin| origin.material == material)
        .map(|origin| origin.note(&unusable.why).to_string())
        .collect();
    if notes.is_empty() {
        return unusable.to_string();
    }
    notes.join("\n")
}

//! For a build without TLS: every part of a Plan that needs it is refused, which refuses the Plan.

use plan::{Plan, TlsParameters, UpstreamTls, intentions::Intentions};

use crate::{
    chain::Materials,
    tls::{ClientContext, Clock, Options, ServerContext},
    unusable::{Part, Unusable},
};

fn unusable(part: Part) -> Unusable {
    Unusable {
        part,
        why: "this build of lictor has no TLS; build it with the feature sidecar".to_owned(),
    }
}

/// Nothing: all of it is refused when the Plan is put to work.
#[must_use]
pub fn unusable_parts(_: &Plan) -> Vec<Unusable> {
    Vec::new()
}

/// None: there is nobody to take them.
#[must_use]
pub fn doubtful_identities(_: &Plan, _: &str, _: &Clock) -> Vec<Unusable> {
    Vec::new()
}

/// None: nothing can be read of them.
#[must_use]
pub fn good_until(_: &[plan::Identity]) -> Vec<(String, u64)> {
    Vec::new()
}

pub(crate) fn materials(_: &Plan, identity: &str, _: &[String]) -> Result<Materials, Unusable> {
    Err(unusable(Part::Identity(identity.to_owned())))
}

pub(crate) fn server(
    _: &TlsParameters,
    made_from: &Materials,
    _: Option<&Intentions>,
    _: &Options,
) -> Result<ServerContext, Unusable> {
    Err(unusable(Part::Identity(made_from.identity.name.clone())))
}

pub(crate) fn client(
    wanted: &UpstreamTls,
    _: &Materials,
    _: &Options,
) -> Result<ClientContext, Unusable> {
    Err(unusable(Part::Upstream(wanted.server_name.clone())))
}

pub(crate) fn tell_clock(_: &Plan, _: &Options) -> Vec<(String, u64)> {
    Vec::new()
}

pub(crate) fn options(_: usize, _: Clock) -> Options {
    Options
}

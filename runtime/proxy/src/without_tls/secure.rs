//! For a build without TLS: every part of a Plan that needs it is refused, which refuses the Plan.

use std::convert::Infallible;

use plan::{Plan, TlsParameters, UpstreamTls, intentions::Intentions};

use crate::{
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

/// The identities and the roots of a Plan: nothing is read of them.
#[derive(Debug, Default)]
pub(crate) struct Materials;

/// Never made.
#[derive(Debug, PartialEq)]
pub(crate) struct Selected(Infallible);

impl Materials {
    pub(crate) fn of(_: &Plan, _: &Self) -> Self {
        Self
    }

    pub(crate) fn select(&self, identity: &str, _: &[String]) -> Result<Selected, Unusable> {
        Err(unusable(Part::Identity(identity.to_owned())))
    }
}

pub(crate) fn server(
    _: &TlsParameters,
    made_from: &Selected,
    _: Option<&Intentions>,
    _: &Options,
) -> Result<ServerContext, Unusable> {
    match made_from.0 {}
}

pub(crate) fn client(
    _: &UpstreamTls,
    made_from: &Selected,
    _: &Options,
) -> Result<ClientContext, Unusable> {
    match made_from.0 {}
}

pub(crate) fn tell_clock(_: &Materials, _: &Options) -> Vec<(String, u64)> {
    Vec::new()
}

pub(crate) fn options(_: usize, _: Clock) -> Options {
    Options
}

//! For a build without TLS: every part of a Plan that needs it is refused, which refuses the Plan.

use std::fmt;

use plan::{Plan, TlsParameters, UpstreamTls};

use crate::{
    chain::Materials,
    tls::{ClientContext, Options, ServerContext},
};

/// A part of a Plan's TLS, which cannot be used.
#[derive(Debug)]
pub struct Unusable(String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: this build of lictor has no TLS; build it with --features sidecar",
            self.0
        )
    }
}

impl std::error::Error for Unusable {}

pub(crate) fn materials(_: &Plan, identity: &str, _: &[String]) -> Result<Materials, Unusable> {
    Err(Unusable(format!("identity {identity}")))
}

pub(crate) fn server(
    _: &TlsParameters,
    made_from: &Materials,
    _: &Options,
) -> Result<ServerContext, Unusable> {
    Err(Unusable(format!("identity {}", made_from.identity.name)))
}

pub(crate) fn client(
    wanted: &UpstreamTls,
    _: &Materials,
    _: &Options,
) -> Result<ClientContext, Unusable> {
    Err(Unusable(format!("TLS to {}", wanted.server_name)))
}

pub(crate) fn options() -> Options {
    Options
}

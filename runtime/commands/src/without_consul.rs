//! Built without Consul: the words of [`Learning`] with nothing behind them.

use std::{rc::Rc, time::Duration};

use config::{ConsulSettings, Definition};
use dial::Resolver;
use plan::Plan;
use proxy::Clock;
use smol::LocalExecutor;

use crate::{admin::Metric, command::Run, log::Log};

/// No proxies.
pub(crate) struct Learning;

impl Learning {
    /// Nothing, unless something is wanted.
    ///
    /// # Errors
    /// This build cannot do it.
    pub(crate) fn new(arguments: &Run) -> Result<Self, String> {
        let wanted = !arguments.sidecar_for.is_empty()
            || arguments.proxy_id.is_some()
            || arguments.gateway.is_some()
            || arguments.register
            || arguments.deregister
            || arguments.service.is_some()
            || arguments.address.is_some()
            || arguments.wan_address.is_some()
            || !arguments.bind_address.is_empty()
            || arguments.expose_servers
            || arguments.http_addr.is_some()
            || arguments.token_file.is_some()
            || arguments.agentless
            || arguments.node_name.is_some();
        match wanted {
            true => Err("this build cannot ask Consul (feature consul); give a file".to_owned()),
            false => Ok(Self),
        }
    }

    pub(crate) fn find_consul(
        &self,
        _: Option<&ConsulSettings>,
        _: &str,
        _: Option<&[Definition]>,
    ) -> Result<(), String> {
        Ok(())
    }

    pub(crate) fn registrations(&self, _: &[Definition]) -> Result<[Definition; 0], String> {
        Ok([])
    }

    pub(crate) fn register(&self, []: [Definition; 0]) {}

    pub(crate) fn count(&self) -> usize {
        0
    }

    pub(crate) fn start(&self, _: &Rc<LocalExecutor<'static>>, _: &Rc<Resolver>, _: &Clock) {}

    pub(crate) fn is_complete(&self) -> bool {
        true
    }

    pub(crate) fn start_from(&self, _: Plan) {}

    pub(crate) fn set_local(&self, _: &Plan) {}

    pub(crate) fn joined(&self) -> Plan {
        Plan::default()
    }

    pub(crate) fn beside<T>(&self, local: &Plan, with: &dyn Fn(&Plan) -> T) -> T {
        with(local)
    }

    pub(crate) fn lost_for(&self) -> Option<Duration> {
        None
    }

    pub(crate) async fn keep(
        &self,
        _: usize,
        _: &Log,
        _: &dyn Fn() -> Result<(), String>,
        _: &dyn Fn(),
    ) {
    }

    pub(crate) fn stop(&self) {}

    pub(crate) async fn leave(&self) {}

    pub(crate) async fn explain(&self, _: &str) -> String {
        String::new()
    }

    pub(crate) fn metrics(&self, _: &mut Metric<'_>) {}
}

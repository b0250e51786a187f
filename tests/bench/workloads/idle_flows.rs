//! User memory of an idle flow: growth of the anonymous memory by flows that were answered once and
//! then say nothing. Kernel memory of the sockets is not in it; it is the same for every gateway.

use super::{Better, Figure, Scene, Workload};
use crate::{bars::PER_IDLE_FLOW, client, client_hello::Order};
use std::{io, thread, time::Duration};

pub(super) struct IdleFlows;

impl Workload for IdleFlows {
    fn name(&self) -> &'static str {
        "idle-flows"
    }

    fn run(&self, scene: &Scene<'_>) -> io::Result<Vec<Figure>> {
        let count = scene.options.idle_flows;
        let before = scene.gateway.usage()?;
        let flows = client::open_flows(scene.gateway.address, Order::Echo, count)?;
        thread::sleep(SETTLE);
        let after = scene.gateway.usage()?;
        drop(flows);
        // The close of so many flows must not run into the next cell.
        thread::sleep(SETTLE);
        let growth = after.anonymous.saturating_sub(before.anonymous) as f64;
        Ok(vec![
            Better::Lower.figure(PER_IDLE_FLOW, growth / count as f64),
            Better::Neither.figure("idle flows", count as f64),
        ])
    }
}

/// Time for buffers that are handed back lazily.
const SETTLE: Duration = Duration::from_millis(500);

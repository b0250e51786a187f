//! A gateway that has routed one connection and has nothing to do: memory, threads, wake-ups.

use super::{Better, Figure, Scene, Workload};
use crate::bars::IDLE_RSS;
use std::{io, thread, time::Duration};

pub(super) struct Idle;

/// The calling sidecar, which has fifty upstreams.
pub(super) struct Sidecar;

impl Workload for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn run(&self, scene: &Scene<'_>) -> io::Result<Vec<Figure>> {
        thread::sleep(SETTLE);
        let before = scene.gateway.usage()?;
        thread::sleep(scene.options.quiet);
        let after = scene.gateway.usage()?;
        let wake_ups = (after.sleeps - before.sleeps) as f64;
        Ok(vec![
            Better::Lower.figure("idle RSS, KiB", after.rss as f64),
            Better::Lower.figure("idle RssAnon, KiB", after.anonymous as f64),
            Better::Lower.figure("threads", after.threads as f64),
            Better::Lower.figure(
                "idle wake-ups per second",
                wake_ups / scene.options.quiet.as_secs_f64(),
            ),
        ])
    }
}

impl Workload for Sidecar {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn run(&self, scene: &Scene<'_>) -> io::Result<Vec<Figure>> {
        thread::sleep(SETTLE);
        let rss = scene.gateway.rss_of_the_calling()? as f64;
        Ok(vec![Better::Lower.figure(IDLE_RSS, rss)])
    }
}

/// The end of starting up, and of the connection that showed it, must not count as wake-ups.
const SETTLE: Duration = Duration::from_millis(500);

//! Start time: from exec to the first connection that the backend has answered through the gateway.
//!
//! It was taken when the process was started; connecting is tried again every 100 microseconds.

use super::{Better, Figure, Scene, Workload};
use std::io;

pub(super) struct Start;

impl Workload for Start {
    fn name(&self) -> &'static str {
        "start"
    }

    fn run(&self, scene: &Scene<'_>) -> io::Result<Vec<Figure>> {
        let milliseconds = scene.gateway.start_time.as_secs_f64() * 1e3;
        Ok(vec![Better::Lower.figure(
            "start to first routed connection, ms",
            milliseconds,
        )])
    }
}

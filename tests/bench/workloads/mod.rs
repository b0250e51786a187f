//! What is measured, one file a workload.
//!
//! A new workload is a file with a type that implements `Workload` and a line in `chosen`. A cell is
//! one workload on one gateway in one round; it gives one or more figures.

mod bulk;
mod connections;
mod idle;
mod idle_flows;
mod round_trips;
mod start;

use crate::{options::Options, process::Running};
use std::{
    io,
    time::{Duration, Instant},
};

/// A load, or a look at a gateway without any.
pub(crate) trait Workload {
    /// As in `--workloads`.
    fn name(&self) -> &'static str;

    /// Whether it wants TLS sessions to be resumed. Of no meaning to gateways.
    fn resumes(&self) -> bool {
        true
    }

    /// Runs one cell.
    fn run(&self, scene: &Scene<'_>) -> io::Result<Vec<Figure>>;
}

/// What a cell works on.
pub(crate) struct Scene<'a> {
    pub(crate) gateway: &'a Running,
    pub(crate) options: &'a Options,
}

/// One measured number.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    /// A row of the table.
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) better: Better,
}

/// Which way a figure is good.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Better {
    Higher,
    Lower,
    /// Not for the table: helps to judge the other figures of the cell.
    Neither,
}

impl Better {
    pub(crate) fn figure(self, name: &'static str, value: f64) -> Figure {
        Figure {
            name,
            value,
            better: self,
        }
    }
}

/// The workloads that the options name; all when they name none. Those that need a fresh process
/// come first.
pub(crate) fn chosen(options: &Options) -> io::Result<Vec<Box<dyn Workload>>> {
    let all: Vec<Box<dyn Workload>> = if options.sidecars {
        vec![
            Box::new(idle::Sidecar),
            Box::new(idle_flows::IdleFlows),
            Box::new(bulk::ONE),
            Box::new(bulk::MANY),
            Box::new(round_trips::RoundTrips),
            Box::new(connections::RESUMED),
            Box::new(connections::FULL),
        ]
    } else {
        vec![
            Box::new(start::Start),
            Box::new(idle::Idle),
            Box::new(idle_flows::IdleFlows),
            Box::new(bulk::ONE),
            Box::new(bulk::MANY),
            Box::new(connections::RESET),
            Box::new(connections::ORDERLY),
            Box::new(round_trips::RoundTrips),
        ]
    };
    let is_known = |name: &&String| all.iter().any(|workload| workload.name() == **name);
    if let Some(name) = options.workloads.iter().find(|name| !is_known(name)) {
        return Err(io::Error::other(format!("no workload is called {name}")));
    }
    let wanted = |workload: &dyn Workload| {
        options.workloads.is_empty() || options.workloads.iter().any(|name| name == workload.name())
    };
    Ok(all
        .into_iter()
        .filter(|workload| wanted(workload.as_ref()))
        .collect())
}

/// Counts the gateway's CPU time over the measured part of a cell: first a warm-up, then the time
/// that the options give.
pub(crate) struct Meter<'a> {
    gateway: &'a Running,
    measured: Duration,
    next: Instant,
    begin: Option<Mark>,
}

struct Mark {
    at: Instant,
    cpu: Duration,
    count: u64,
}

/// What happened in the measured part.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    /// Whatever the workload counts.
    pub(crate) count: u64,
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(scene: &Scene<'a>) -> Self {
        Self {
            gateway: scene.gateway,
            measured: scene.options.seconds,
            next: Instant::now() + WARM_UP,
            begin: None,
        }
    }

    /// Whether the warm-up is over.
    pub(crate) fn is_measuring(&self) -> bool {
        self.begin.is_some()
    }

    /// Called after each turn of the load with the count so far; gives the reading at the end.
    pub(crate) fn tick(&mut self, count: u64) -> io::Result<Option<Reading>> {
        let now = Instant::now();
        if now < self.next {
            return Ok(None);
        }
        let cpu = self.gateway.cpu()?;
        let Some(begin) = &self.begin else {
            self.begin = Some(Mark {
                at: now,
                cpu,
                count,
            });
            self.next = now + self.measured;
            return Ok(None);
        };
        Ok(Some(Reading {
            count: count - begin.count,
            cpu: cpu.saturating_sub(begin.cpu),
            wall: now - begin.at,
        }))
    }
}

impl Reading {
    /// The count for each second of the gateway's CPU time.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.count as f64 / self.cpu.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The count for each second of time.
    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 / self.wall.as_secs_f64()
    }

    /// How much of one core the gateway used.
    pub(crate) fn share_of_a_core(&self) -> f64 {
        self.cpu.as_secs_f64() / self.wall.as_secs_f64()
    }
}

/// Lets windows, pools and gears of the gateways settle.
const WARM_UP: Duration = Duration::from_millis(400);

/// How long a load waits for events before it looks at the clock.
const POLL: Duration = Duration::from_millis(50);

//! Which processor runs what: one is the gateway's alone, the load has the others.
//!
//! Left to the scheduler, three busy threads on two processors wait for each other's time slices,
//! and a round trip takes milliseconds in which nothing of the gateway is measured. While a gateway
//! starts nothing is confined: some start with more threads than they will need.

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};
use std::io;

/// The processors that this process may use, parted in two.
pub(crate) struct Cores {
    all: CpuSet,
    gateway: CpuSet,
    load: CpuSet,
}

impl Cores {
    /// Takes the last allowed processor for the gateways. With one processor all share it.
    pub(crate) fn part() -> io::Result<Self> {
        let all = sched_getaffinity(None)?;
        let last = (0..CpuSet::MAX_CPU).rev().find(|&cpu| all.is_set(cpu));
        let (mut gateway, mut load) = (all, all);
        if let (Some(last), true) = (last, all.count() > 1) {
            gateway = CpuSet::new();
            gateway.set(last);
            load.unset(last);
        }
        Ok(Self { all, gateway, load })
    }

    /// The calling thread and what it starts may run anywhere.
    pub(crate) fn release_caller(&self) -> io::Result<()> {
        Ok(sched_setaffinity(None, &self.all)?)
    }

    /// The calling thread and what it starts keep off the gateway's processor.
    pub(crate) fn confine_caller(&self) -> io::Result<()> {
        Ok(sched_setaffinity(None, &self.load)?)
    }

    /// The thread of this id runs on the gateway's processor.
    pub(crate) fn confine_gateway(&self, thread: Pid) -> io::Result<()> {
        Ok(sched_setaffinity(Some(thread), &self.gateway)?)
    }
}

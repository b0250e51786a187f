//! Bulk: the backend pours, the client throws away.
//!
//! The client discards in the kernel (`MSG_TRUNC`, tcp(7)), so that it keeps up with any gateway.

use super::{Better, Figure, Meter, POLL, Reading, Scene, Workload};
use crate::{
    bars::{BULK_1, BULK_32},
    client,
    client_hello::Order,
    poller::{EventFlags, Poller},
};
use rustix::{io::Errno, net::RecvFlags};
use std::io;

/// So many flows at once.
pub(super) struct Bulk {
    name: &'static str,
    figure: &'static str,
    flows: usize,
}

/// One flow.
pub(super) const ONE: Bulk = Bulk {
    name: "bulk-1",
    figure: BULK_1,
    flows: 1,
};

/// As many as a busy gateway has moving at once.
pub(super) const MANY: Bulk = Bulk {
    name: "bulk-32",
    figure: BULK_32,
    flows: 32,
};

impl Workload for Bulk {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&self, scene: &Scene<'_>) -> io::Result<Vec<Figure>> {
        let reading = self.pour(scene)?;
        Ok(vec![
            Better::Higher.figure(self.figure, reading.per_cpu_second() * GBIT_PER_BYTE),
            Better::Neither.figure("Gbit per second", reading.per_second() * GBIT_PER_BYTE),
            Better::Neither.figure("share of a core", reading.share_of_a_core()),
        ])
    }
}

impl Bulk {
    fn pour(&self, scene: &Scene<'_>) -> io::Result<Reading> {
        let flows = client::open_flows(scene.gateway.address, Order::Pour, self.flows)?;
        let mut poller = Poller::new()?;
        for (key, flow) in flows.iter().enumerate() {
            flow.set_nonblocking(true)?;
            poller.add(flow, key, EventFlags::IN)?;
        }
        let mut nowhere = vec![0; READ_BYTES];
        let mut bytes = 0;
        let mut meter = Meter::new(scene);
        loop {
            for (key, _) in poller.wait(POLL)? {
                let Some(flow) = flows.get(key) else { continue };
                match rustix::net::recv(flow, nowhere.as_mut_slice(), RecvFlags::TRUNC) {
                    Ok((_, 0)) => return Err(io::Error::other("a flow ended by itself")),
                    Ok((_, read)) => bytes += read as u64,
                    Err(Errno::AGAIN) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if let Some(reading) = meter.tick(bytes)? {
                return Ok(reading);
            }
        }
    }
}

const GBIT_PER_BYTE: f64 = 8e-9;

/// Takes what a socket buffer holds in one call.
const READ_BYTES: usize = 1024 * 1024;

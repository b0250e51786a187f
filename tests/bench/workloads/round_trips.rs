//! Round trips: 16 flows, each sends 1 KiB, waits until all of it has come back, sends the next.

use super::{Better, Figure, Meter, POLL, Reading, Scene, Workload};
use crate::{
    bars::{ROUND_TRIP_P99, ROUND_TRIPS},
    client,
    client_hello::Order,
    poller::{EventFlags, Poller},
};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags},
};
use std::{io, net::TcpStream, time::Instant};

pub(super) struct RoundTrips;

impl Workload for RoundTrips {
    fn name(&self) -> &'static str {
        "round-trips"
    }

    fn run(&self, scene: &Scene<'_>) -> io::Result<Vec<Figure>> {
        let mut micros = Vec::new();
        let reading = load(scene, &mut micros)?;
        micros.sort_unstable_by(f32::total_cmp);
        Ok(vec![
            Better::Higher.figure(ROUND_TRIPS, reading.per_cpu_second()),
            Better::Lower.figure("round trip p50, µs", percentile(&micros, 50)),
            Better::Lower.figure(ROUND_TRIP_P99, percentile(&micros, 99)),
            Better::Neither.figure("round trips per second", reading.per_second()),
            Better::Neither.figure("share of a core", reading.share_of_a_core()),
        ])
    }
}

struct Flow {
    stream: TcpStream,
    seen: usize,
    sent_at: Instant,
}

fn load(scene: &Scene<'_>, micros: &mut Vec<f32>) -> io::Result<Reading> {
    let mut poller = Poller::new()?;
    let mut flows = Vec::new();
    for stream in client::open_flows(scene.gateway.address, Order::Echo, FLOWS)? {
        stream.set_nonblocking(true)?;
        poller.add(&stream, flows.len(), EventFlags::IN)?;
        let mut flow = Flow {
            stream,
            seen: 0,
            sent_at: Instant::now(),
        };
        flow.send()?;
        flows.push(flow);
    }
    let mut trips = 0;
    let mut meter = Meter::new(scene);
    loop {
        for (key, _) in poller.wait(POLL)? {
            let Some(flow) = flows.get_mut(key) else {
                continue;
            };
            if !flow.receive()? {
                continue;
            }
            trips += 1;
            if meter.is_measuring() && micros.len() < MAX_SAMPLES {
                micros.push(flow.sent_at.elapsed().as_secs_f32() * 1e6);
            }
            flow.send()?;
        }
        if let Some(reading) = meter.tick(trips)? {
            return Ok(reading);
        }
    }
}

impl Flow {
    fn send(&mut self) -> io::Result<()> {
        self.seen = 0;
        self.sent_at = Instant::now();
        match rustix::net::send(&self.stream, &MESSAGE, SendFlags::NOSIGNAL)? {
            sent if sent == MESSAGE.len() => Ok(()),
            _ => Err(io::Error::other("a socket has no room for one message")),
        }
    }

    /// Whether the whole message has come back.
    fn receive(&mut self) -> io::Result<bool> {
        let mut bytes = [0; MESSAGE.len()];
        match rustix::net::recv(&self.stream, &mut bytes[..], RecvFlags::empty()) {
            Ok((_, 0)) => Err(io::Error::other("a flow ended by itself")),
            Ok((_, read)) => {
                self.seen += read;
                Ok(self.seen >= MESSAGE.len())
            }
            Err(Errno::AGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The smallest value that so many percent of the sorted values do not exceed.
fn percentile(sorted: &[f32], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().map_or(f64::NAN, f64::from)
}

const FLOWS: usize = 16;

const MESSAGE: [u8; 1024] = [b'm'; 1024];

/// Bounds the memory of a cell to 16 MiB.
const MAX_SAMPLES: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f32> = (1..=200_u8).map(f32::from).collect();
        assert_eq!(percentile(&values, 50), 100.0);
        assert_eq!(percentile(&values, 99), 198.0);
        assert_eq!(percentile(&values[..1], 99), 1.0);
        assert!(percentile(&[], 50).is_nan());
    }
}

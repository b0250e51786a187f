//! Measures lictor against HAProxy, nginx and Envoy as SNI passthrough gateways; with `--sidecars`,
//! against HAProxy, Envoy and stunnel as pairs of sidecars that speak mutual TLS to each other.
//!
//! Every gateway gets the same load in the same run: for each round, for each workload, for each
//! gateway. What is counted is the CPU time of the gateway alone, so that a machine shared with
//! other work, or with this generator, moves the figures little; what it still moves, the median
//! over interleaved rounds evens out.
//!
//! All traffic stays on 127.0.0.1, every wait and every count is bounded, and each process that is
//! started ends with this one (see `reaper`).

mod backend;
mod bars;
mod client;
mod client_hello;
mod cores;
mod gateways;
mod json;
mod options;
mod poller;
mod process;
mod reaper;
mod report;
mod sidecars;
mod workloads;

use crate::{
    backend::Backend,
    cores::Cores,
    gateways::{Gateway, Place},
    options::{Invocation, Options},
    process::Running,
    reaper::Reaper,
    report::{Report, Sample},
    workloads::{Scene, Workload},
};
use std::{io, net::SocketAddr, path::Path, process::ExitCode, thread, time::Duration};

fn main() -> ExitCode {
    let outcome = match options::parse(std::env::args().skip(1)) {
        Invocation::Reap => reaper::reap_for_parent(),
        Invocation::Help => {
            println!("{}", options::HELP);
            Ok(())
        }
        Invocation::Wrong(why) => {
            eprintln!("bench: {why}\n{}", options::HELP);
            return ExitCode::from(64);
        }
        Invocation::Measure(options) => measure(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> io::Result<()> {
    process::raise_descriptor_limit(MIN_DESCRIPTORS)?;
    let directory = process::scratch_directory()?;
    let mut reaper = Reaper::start(&directory)?;
    let gateways = gateways::chosen(options)?;
    let workloads = workloads::chosen(options)?;
    let cores = Cores::part()?;
    cores.confine_caller()?;
    // A port of its own for each gateway: the TIME_WAIT sockets that one leaves behind do not take
    // source ports from another.
    let backend = Backend::start(gateways.len())?;

    let mut report = Report::new(options);
    for gateway in &gateways {
        report.version(gateway.name(), &gateway.version()?);
    }
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        let mut running: Vec<Option<Running>> = gateways.iter().map(|_| None).collect();
        for workload in &workloads {
            // The order turns by one each round: no gateway is always first after a pause.
            for turn in 0..gateways.len() {
                let index = (turn + round) % gateways.len();
                let (Some(gateway), Some(slot), Some(address)) = (
                    gateways.get(index),
                    running.get_mut(index),
                    backend.address(index),
                ) else {
                    continue;
                };
                if let Some(running) = slot.as_mut()
                    && running.resumes != workload.resumes()
                {
                    running.end(&mut reaper)?;
                    *slot = None;
                }
                if slot.is_none() {
                    *slot = Some(launch(
                        gateway.as_ref(),
                        workload.resumes(),
                        address,
                        &directory,
                        &cores,
                        &mut reaper,
                    )?);
                }
                let Some(process) = slot else { continue };
                let figures = workload
                    .run(&Scene {
                        gateway: process,
                        options,
                    })
                    .map_err(|error| {
                        failed(gateway.as_ref(), workload.as_ref(), process, &error)
                    })?;
                for figure in figures {
                    report.add(Sample {
                        round: round + 1,
                        gateway: gateway.name(),
                        figure,
                    });
                }
                thread::sleep(BETWEEN_CELLS);
            }
        }
        for process in running.iter_mut().flatten() {
            process.end(&mut reaper)?;
        }
    }
    let table = report.markdown();
    println!("{table}");
    std::fs::write(&options.json, report.json())?;
    eprintln!("raw rounds: {}", options.json.display());
    reaper.finish()
}

/// Starts the gateway on a free port and keeps how long it took until a connection was routed.
fn launch(
    gateway: &dyn Gateway,
    resumes: bool,
    backend: SocketAddr,
    directory: &Path,
    cores: &Cores,
    reaper: &mut Reaper,
) -> io::Result<Running> {
    let [listen, between] = process::free_addresses()?;
    let place = Place {
        directory: directory.join(gateway.name()),
        listen,
        backend,
        between,
        resumes,
    };
    std::fs::create_dir_all(&place.directory)?;
    let commands = gateway.commands(&place)?;
    Running::start(commands, &place, cores, reaper)
        .map_err(|error| io::Error::other(format!("{} did not start: {error}", gateway.name())))
}

fn failed(
    gateway: &dyn Gateway,
    workload: &dyn Workload,
    process: &Running,
    error: &io::Error,
) -> io::Error {
    let (gateway, workload) = (gateway.name(), workload.name());
    io::Error::other(format!(
        "{gateway}, {workload}: {error}\n{}",
        process.last_words()
    ))
}

/// Two sockets of this process for each idle flow, and room for the rest.
const MIN_DESCRIPTORS: u64 = 12_000;

/// Lets the sockets of one cell close before the next is measured.
const BETWEEN_CELLS: Duration = Duration::from_millis(150);

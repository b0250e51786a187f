//! The command line: which gateways, how many rounds, how long a cell. Never reads a file.

use crate::sidecars;
use std::{path::PathBuf, time::Duration};

/// What the command line asks for.
pub(crate) enum Invocation {
    /// Run the benchmark.
    Measure(Options),
    /// Be the process that ends what the benchmark started (see `reaper`).
    Reap,
    /// Print the help text.
    Help,
    /// The command line makes no sense; the text says why.
    Wrong(String),
}

/// How to measure.
pub(crate) struct Options {
    /// Interleaved rounds, 1 to 100.
    pub(crate) rounds: usize,
    /// Measured time of a cell, after its warm-up.
    pub(crate) seconds: Duration,
    /// Time over which wake-ups of an idle gateway are counted.
    pub(crate) quiet: Duration,
    /// Flows held open while their memory is measured.
    pub(crate) idle_flows: usize,
    /// Measure pairs of sidecars instead of gateways.
    pub(crate) sidecars: bool,
    /// Names of the gateways, in the order of the table.
    pub(crate) only: Vec<String>,
    /// Names of the workloads; empty means all.
    pub(crate) workloads: Vec<String>,
    /// Path of lictor's binary.
    pub(crate) lictor: PathBuf,
    /// Path of Envoy's binary.
    pub(crate) envoy: PathBuf,
    /// Where the raw rounds are written.
    pub(crate) json: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        let beside = std::env::current_exe()
            .ok()
            .and_then(|path| Some(path.parent()?.to_owned()));
        let folder = beside.unwrap_or_default();
        Self {
            rounds: 5,
            seconds: Duration::from_secs(2),
            quiet: Duration::from_secs(3),
            idle_flows: 5_000,
            sidecars: false,
            only: ["lictor", "haproxy", "nginx", "envoy"]
                .map(str::to_owned)
                .to_vec(),
            workloads: Vec::new(),
            lictor: folder.join("lictor"),
            envoy: PathBuf::from("envoy"),
            json: folder.join("bench.json"),
        }
    }
}

/// Reads the arguments after the program's name.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Invocation {
    let mut options = Options::default();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--reap" => return Invocation::Reap,
            "--help" | "-h" => return Invocation::Help,
            "--sidecars" => {
                options.sidecars = true;
                options.only = sidecars::NAMES.map(str::to_owned).to_vec();
                options.idle_flows = 2_000;
                continue;
            }
            "--quick" => {
                options.rounds = 1;
                options.seconds = Duration::from_secs(1);
                options.quiet = Duration::from_secs(1);
                continue;
            }
            _ => {}
        }
        let Some(value) = arguments.next() else {
            return Invocation::Wrong(format!("{argument}: unknown, or its value is missing"));
        };
        if let Err(why) = set(&mut options, &argument, &value) {
            return Invocation::Wrong(format!("{argument} {value}: {why}"));
        }
    }
    Invocation::Measure(options)
}

fn set(options: &mut Options, name: &str, value: &str) -> Result<(), String> {
    let number = |lowest: usize, highest: usize| match value.parse::<usize>() {
        Ok(number) if (lowest..=highest).contains(&number) => Ok(number),
        _ => Err(format!(
            "expected a whole number from {lowest} to {highest}"
        )),
    };
    let names = || {
        value
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect()
    };
    match name {
        "--rounds" => options.rounds = number(1, 100)?,
        "--seconds" => options.seconds = Duration::from_secs(number(1, 60)? as u64),
        "--quiet" => options.quiet = Duration::from_secs(number(1, 60)? as u64),
        "--idle-flows" => options.idle_flows = number(100, 5_000)?,
        "--only" => options.only = names(),
        "--workloads" => options.workloads = names(),
        "--lictor" => options.lictor = PathBuf::from(value),
        "--envoy" => options.envoy = PathBuf::from(value),
        "--json" => options.json = PathBuf::from(value),
        _ => return Err("unknown option".to_owned()),
    }
    Ok(())
}

/// Printed by `--help`.
pub(crate) const HELP: &str = "\
usage: tests/bench/run [options]
  --sidecars         pairs of sidecars with mutual TLS between them, not gateways; give it first
  --rounds N         interleaved rounds (5)
  --seconds S        measured seconds of a cell (2)
  --quiet S          seconds over which idle wake-ups are counted (3)
  --idle-flows N     flows held open for the memory of one (5000; of sidecars 2000)
  --only A,B         gateways out of lictor,haproxy,nginx,envoy (all);
                     sidecars out of lictor,haproxy,envoy,stunnel (all)
  --workloads A,B    out of start,idle,idle-flows,bulk-1,bulk-32,reset,orderly,round-trips (all);
                     of sidecars idle,idle-flows,bulk-1,bulk-32,round-trips,resumed,full (all)
  --quick            one short round, about a minute
  --json FILE        where the raw rounds go (bench.json beside the binary)
  --lictor FILE      lictor's binary (beside this one)
  --envoy FILE       Envoy's binary";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Invocation {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_after_quick_override_it() {
        let Invocation::Measure(options) = parsed("--quick --rounds 3 --only nginx,envoy") else {
            panic!("expected options");
        };
        assert_eq!(options.rounds, 3);
        assert_eq!(options.seconds, Duration::from_secs(1));
        assert_eq!(options.only, ["nginx", "envoy"]);
    }

    #[test]
    fn an_unbounded_request_is_refused() {
        for line in [
            "--rounds 0",
            "--rounds 1000000",
            "--seconds x",
            "--idle-flows",
            "--wat 1",
        ] {
            assert!(matches!(parsed(line), Invocation::Wrong(_)), "{line}");
        }
    }
}

//! Medians over the rounds, as a table for people, and the raw rounds, for machines.

use crate::{
    bars,
    json::{self, Object},
    options::Options,
    workloads::{Better, Figure},
};
use std::fs;

/// One figure of one gateway in one round.
pub(crate) struct Sample {
    pub(crate) round: usize,
    pub(crate) gateway: &'static str,
    pub(crate) figure: Figure,
}

/// Everything measured in a run.
pub(crate) struct Report {
    head: Object,
    columns: Vec<String>,
    versions: Vec<(&'static str, String)>,
    samples: Vec<Sample>,
    rounds: usize,
    seconds: u64,
    /// Whether figures are held against their bars.
    barred: bool,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        let seconds = options.seconds.as_secs();
        let head = Object::new()
            .text("kernel", &machine("/proc/sys/kernel/osrelease", ""))
            .text("processor", &machine("/proc/cpuinfo", "model name"))
            .text("architecture", std::env::consts::ARCH)
            .text("congestion_control", &machine(CONGESTION_CONTROL, ""))
            .number("processors", processors() as f64)
            .number("rounds", options.rounds as f64)
            .number("seconds", seconds as f64);
        Self {
            head,
            columns: options.only.clone(),
            versions: Vec::new(),
            samples: Vec::new(),
            rounds: options.rounds,
            seconds,
            barred: options.sidecars,
        }
    }

    pub(crate) fn version(&mut self, gateway: &'static str, version: &str) {
        self.versions.push((gateway, version.to_owned()));
    }

    pub(crate) fn add(&mut self, sample: Sample) {
        if sample.figure.better != Better::Neither {
            let Sample {
                gateway, figure, ..
            } = &sample;
            eprintln!("  {gateway:8} {:40} {}", figure.name, shown(figure.value));
        }
        self.samples.push(sample);
    }

    /// The medians, a row for each figure, and what lictor's are to the best peer's.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "Medians of {} interleaved rounds, {} s a cell; {}, {} processors, Linux {}, {}.\n\n",
            self.rounds,
            self.seconds,
            machine("/proc/cpuinfo", "model name"),
            processors(),
            machine("/proc/sys/kernel/osrelease", ""),
            machine(CONGESTION_CONTROL, ""),
        );
        for (gateway, version) in &self.versions {
            text += &format!("- {gateway}: {version}\n");
        }
        text += "\n| figure |";
        for gateway in &self.columns {
            text += &format!(" {gateway} |");
        }
        text += " lictor to the best peer |";
        if self.barred {
            text += " bar | met |";
        }
        text += "\n|---|";
        text += &"---:|".repeat(self.columns.len() + if self.barred { 3 } else { 1 });
        text += "\n";
        for row in self.rows() {
            let medians: Vec<_> = self
                .columns
                .iter()
                .map(|name| self.median(name, row.name))
                .collect();
            text += &format!("| {} |", row.name);
            for median in &medians {
                text += &format!(" {} |", median.map_or("–".to_owned(), shown));
            }
            let (ours, best) = self.ours_and_best(row, &medians);
            let ratio = match (ours, best) {
                (Some(ours), Some(best)) if best > 0.0 => format!("{:.2}", ours / best),
                _ => "–".to_owned(),
            };
            text += &format!(" {ratio} |");
            if self.barred {
                text += &self.held(row.name, ours, best);
            }
            text += "\n";
        }
        text
    }

    /// The raw rounds and what they were measured on.
    pub(crate) fn json(self) -> String {
        let mut versions = Object::new();
        for (gateway, version) in &self.versions {
            versions = versions.text(gateway, version);
        }
        let samples: Vec<String> = self
            .samples
            .iter()
            .map(|sample| {
                Object::new()
                    .number("round", sample.round as f64)
                    .text("gateway", sample.gateway)
                    .text("figure", sample.figure.name)
                    .number("value", sample.figure.value)
                    .end()
            })
            .collect();
        self.head
            .raw("versions", &versions.end())
            .raw("samples", &json::array(&samples))
            .end()
            + "\n"
    }

    /// The figures of the table, in the order they were first measured in.
    fn rows(&self) -> Vec<Figure> {
        let mut rows: Vec<Figure> = Vec::new();
        for Sample { figure, .. } in &self.samples {
            let known = rows.iter().any(|row| row.name == figure.name);
            if figure.better != Better::Neither && !known {
                rows.push(*figure);
            }
        }
        rows
    }

    fn median(&self, gateway: &str, figure: &str) -> Option<f64> {
        let of = |sample: &&Sample| sample.gateway == gateway && sample.figure.name == figure;
        median(
            self.samples
                .iter()
                .filter(of)
                .map(|sample| sample.figure.value)
                .collect(),
        )
    }

    /// The two cells that say what is to be reached, and whether it is.
    fn held(&self, figure: &str, ours: Option<f64>, best: Option<f64>) -> String {
        let Some(bar) = bars::of(figure) else {
            return " – | – |".to_owned();
        };
        let envoy = self.median("envoy", figure);
        let met = match ours.and_then(|ours| bar.is_met(ours, best, envoy)) {
            Some(true) => "yes",
            Some(false) => "no",
            None => "–",
        };
        format!(" {} | {met} |", bar.words())
    }

    fn ours_and_best(&self, row: Figure, medians: &[Option<f64>]) -> (Option<f64>, Option<f64>) {
        let mut ours = None;
        let mut best: Option<f64> = None;
        for (name, median) in self.columns.iter().zip(medians) {
            let Some(median) = *median else { continue };
            if name == "lictor" {
                ours = Some(median);
                continue;
            }
            best = Some(match (best, row.better) {
                (None, _) => median,
                (Some(best), Better::Higher) => best.max(median),
                (Some(best), _) => best.min(median),
            });
        }
        (ours, best)
    }
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// Three significant digits are more than the machine is good for.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => {
            let unit = 10_f64.powi(size.log10().floor() as i32 - 2);
            format!("{:.0}", (value / unit).round() * unit)
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A line of a file about the machine: the first, or the value after `name`.
fn machine(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or("unknown");
    line.trim_start_matches([':', ' ', '\t']).trim().to_owned()
}

/// All of the machine's, not only those that the load is confined to.
fn processors() -> usize {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .filter(|line| line.starts_with("processor"))
        .count()
}

/// It decides how smoothly bulk flows, so figures with another one cannot be compared.
const CONGESTION_CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rows: &[(&'static str, f64, Better)]) -> Report {
        let mut report = Report::new(&Options::default());
        for &(gateway, value, better) in rows {
            let figure = Figure {
                name: "figure",
                value,
                better,
            };
            report.samples.push(Sample {
                round: 1,
                gateway,
                figure,
            });
        }
        report
    }

    #[test]
    fn the_ratio_is_to_the_best_peer_whichever_way_is_better() {
        let higher = [
            ("lictor", 30.0, Better::Higher),
            ("nginx", 10.0, Better::Higher),
            ("envoy", 5.0, Better::Higher),
        ];
        assert!(
            report(&higher)
                .markdown()
                .contains("| 30.0 | – | 10.0 | 5.00 | 3.00 |")
        );
        let lower = higher.map(|(gateway, value, _)| (gateway, value, Better::Lower));
        assert!(report(&lower).markdown().contains("| 6.00 |"));
    }

    #[test]
    fn sidecars_are_held_against_their_bars() {
        let figure = |gateway, value| Sample {
            round: 1,
            gateway,
            figure: Better::Higher.figure(bars::FULL_PER_CPU_SECOND, value),
        };
        let options = Options {
            sidecars: true,
            ..Options::default()
        };
        let mut report = Report::new(&options);
        report.samples = vec![figure("lictor", 30.0), figure("envoy", 25.0)];
        let table = report.markdown();
        assert!(table.contains("| 1.20 | ≥ 1.5 × Envoy | no |"), "{table}");
    }

    #[test]
    fn one_wild_round_does_not_move_a_figure() {
        assert_eq!(median(vec![9.0, 1e9, 10.0, 11.0, 0.0]), Some(10.0));
        assert_eq!(median(vec![1.0, 2.0]), Some(1.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn shown_values_keep_three_digits() {
        assert_eq!(shown(65_432.1), "65400");
        assert_eq!(shown(437.4), "437");
        assert_eq!(shown(0.124), "0.12");
    }
}

//! What was measured: rows, a table, bars.

use super::{CONTROL, Case, OURS, Sample, latency::Latencies};
use crate::args::{CrowdWork, Kind};
use crate::machine::Machine;
use crate::median::median;
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// Subjects that are no peers.
const NO_PEERS: [&str; 3] = ["private", OURS, CONTROL];

/// What the file has.
#[derive(Serialize)]
pub struct Results<'r> {
    pub machine: Machine,
    pub rows: &'r [Row],
}

/// One work done by one subject.
#[derive(Serialize)]
pub struct Row {
    work: String,
    kind: String,
    members: u32,
    subject: String,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Figures {
    /// Millions of pairs in a second.
    Rate { median: f64, min: f64, max: f64, rounds: Vec<f64> },
    /// Nanoseconds, of all rounds together; and the slowest of ten thousand in each round.
    Latency { p50: u64, p99: u64, p99_9: u64, p99_99: u64, max: u64, rounds_p99_99: Vec<u64> },
}

impl Figures {
    fn of(samples: &[Sample]) -> Option<Figures> {
        let rates = samples.iter().filter_map(|it| match it {
            Sample::Rate(rate) => Some(*rate),
            Sample::Latencies(_) => None,
        });
        let rounds: Vec<f64> = rates.collect();
        if !rounds.is_empty() {
            return Some(Figures::Rate {
                median: median(rounds.iter().copied()),
                min: rounds.iter().copied().fold(f64::INFINITY, f64::min),
                max: rounds.iter().copied().fold(0.0, f64::max),
                rounds,
            });
        }
        let latencies = || {
            samples.iter().filter_map(|it| match it {
                Sample::Latencies(latencies) => Some(latencies),
                Sample::Rate(_) => None,
            })
        };
        let all = Latencies::of_rounds(latencies())?;
        Some(Figures::Latency {
            p50: all.quantile(0.5),
            p99: all.quantile(0.99),
            p99_9: all.quantile(0.999),
            p99_99: all.quantile(0.9999),
            max: all.max(),
            rounds_p99_99: latencies().map(|it| it.quantile(0.9999)).collect(),
        })
    }

    /// What is compared, by round: the more the better, or the less.
    fn rounds(&self) -> Vec<f64> {
        match self {
            Figures::Rate { rounds, .. } => rounds.clone(),
            Figures::Latency { rounds_p99_99, .. } => {
                rounds_p99_99.iter().map(|it| *it as f64).collect()
            }
        }
    }

    fn cells(&self) -> [String; 5] {
        match self {
            Figures::Rate { median, min, max, .. } => {
                let [median, min, max] = [median, min, max].map(|it| format!("{it:.1}"));
                [median, min, max, String::new(), String::new()]
            }
            Figures::Latency { p50, p99, p99_9, p99_99, max, .. } => {
                [p50, p99, p99_9, p99_99, max].map(u64::to_string)
            }
        }
    }
}

/// The median of the ratios of the rounds.
fn ratio(of: &Row, to: &Row) -> f64 {
    let (of, to) = (of.figures.rounds(), to.figures.rounds());
    median(of.iter().zip(to).map(|(of, to)| of / to))
}

/// As it is called on the command line.
fn name(of: impl ValueEnum) -> String {
    of.to_possible_value().expect("it can be given").get_name().to_owned()
}

/// By case, subject, round.
pub fn rows(cases: &[Case], subjects: &[&str], samples: &[Vec<Vec<Sample>>]) -> Vec<Row> {
    let of_case = |(case, samples): (&Case, &Vec<Vec<Sample>>)| {
        let row = |(subject, samples): (&&str, &Vec<Sample>)| {
            let figures = Figures::of(samples)?;
            let (work, kind) = (name(case.work), name(case.kind));
            Some(Row { work, kind, members: case.members, subject: (*subject).into(), figures })
        };
        subjects.iter().zip(samples).filter_map(row).collect::<Vec<_>>()
    };
    cases.iter().zip(samples).flat_map(of_case).collect()
}

/// The tables: of rates, and of latencies.
pub fn print(rows: &[Row], rounds: u32) {
    let is_rate = |row: &&Row| matches!(row.figures, Figures::Rate { .. });
    let (rates, latencies): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(is_rate);
    if !rates.is_empty() {
        println!("{}", table(&rates, &["Mpair/s", "min", "max"]));
        println!("median of {rounds} rounds; {OURS} / it: the median of the rounds' ratios");
    }
    if !latencies.is_empty() {
        println!("{}", table(&latencies, &["p50", "p99", "p99.9", "p99.99", "max"]));
        println!(
            "ns of {rounds} rounds together; {OURS} / it: of p99.99, the median of the rounds' ratios"
        );
    }
}

fn table(rows: &[&Row], figures: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    let head = ["work", "members", "subject"].into_iter().chain(figures.iter().copied());
    table.set_header(head.map(str::to_owned).chain([format!("{OURS} / it")]));
    for row in rows {
        let is_same =
            |it: &&&Row| (&it.work, &it.kind, it.members) == (&row.work, &row.kind, row.members);
        let ours = rows.iter().filter(is_same).find(|it| it.subject == OURS);
        let ratio = ours.map_or(String::new(), |ours| format!("{:.2}", ratio(ours, row)));
        let begin =
            [row.work.clone(), format!("{} {}", row.members, row.kind), row.subject.clone()];
        let cells = row.figures.cells().into_iter().take(figures.len());
        table.add_row(begin.into_iter().chain(cells).chain([ratio]));
    }
    for column in 3..=3 + figures.len() {
        table
            .column_mut(column)
            .expect("there are so many")
            .set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Something that must hold.
struct Bar {
    says: String,
    /// `None`: it was not measured.
    ratio: Option<f64>,
    limit: Limit,
}

enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

impl Bar {
    fn is_met(&self) -> bool {
        self.ratio.is_some_and(|ratio| match self.limit {
            Limit::AtLeast(least) => ratio >= least,
            Limit::AtMost(most) => ratio <= most,
        })
    }
}

/// Prints each bar as met or not; whether all are.
pub fn gate(rows: &[Row]) -> bool {
    let bars = bars(rows);
    for bar in &bars {
        let met = if bar.is_met() { "met" } else { "NOT MET" };
        let ratio = bar.ratio.map_or("not measured".into(), |it| format!("{it:.3}"));
        let (word, limit) = match bar.limit {
            Limit::AtLeast(limit) => ("at least", limit),
            Limit::AtMost(limit) => ("at most", limit),
        };
        println!("{met:<8} {}: {ratio}, {word} {limit}", bar.says);
    }
    bars.iter().all(Bar::is_met)
}

fn bars(rows: &[Row]) -> Vec<Bar> {
    let row = |work, kind, members, subject: &str| {
        let (work, kind) = (name(work), name(kind));
        rows.iter().find(|it| {
            (&it.work, &it.kind, it.members) == (&work, &kind, members) && it.subject == subject
        })
    };
    let ours = |work, members| row(work, Kind::Processes, members, OURS);
    let scaling = [(2, 1, 1.8), (4, 2, 0.9), (8, 2, 0.9)].map(|(of, to, least)| {
        let (of_row, to_row) = (ours(CrowdWork::Larson, of), ours(CrowdWork::Larson, to));
        Bar {
            says: format!("larson, {of} processes by {to}"),
            ratio: of_row.zip(to_row).map(|(of, to)| ratio(of, to)),
            limit: Limit::AtLeast(least),
        }
    });
    let remote = [2, 4, 8].map(|members| {
        let (work, kind) = (name(CrowdWork::Remote), name(Kind::Threads));
        let is_peer = |it: &&Row| {
            (&it.work, &it.kind, it.members) == (&work, &kind, members)
                && !NO_PEERS.contains(&it.subject.as_str())
        };
        let rate = |row: &&Row| median(row.figures.rounds());
        let best = rows.iter().filter(is_peer).max_by(|a, b| rate(a).total_cmp(&rate(b)));
        let of = best.map_or("the best peer", |it| &it.subject);
        Bar {
            says: format!("remote, {members} processes by as many threads of {of}"),
            ratio: ours(CrowdWork::Remote, members).zip(best).map(|(ours, best)| ratio(ours, best)),
            limit: Limit::AtLeast(1.0),
        }
    });
    let control = row(CrowdWork::Latency, Kind::Processes, 8, CONTROL);
    let latency = Bar {
        says: "p99.99 of a pair, 8 processes, by that of an empty loop".into(),
        ratio: ours(CrowdWork::Latency, 8).zip(control).map(|(ours, control)| ratio(ours, control)),
        limit: Limit::AtMost(1.2),
    };
    scaling.into_iter().chain(remote).chain([latency]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(work: CrowdWork, kind: Kind, members: u32, subject: &str, rounds: &[f64]) -> Row {
        let samples: Vec<Sample> = rounds.iter().map(|rate| Sample::Rate(*rate)).collect();
        let figures = Figures::of(&samples).unwrap();
        Row { work: name(work), kind: name(kind), members, subject: subject.into(), figures }
    }

    fn met(rows: &[Row], says: &str) -> bool {
        bars(rows).iter().find(|it| it.says.starts_with(says)).unwrap().is_met()
    }

    #[test]
    fn a_bar_is_about_ratios_within_rounds() {
        let larson = |members, rounds: &[f64]| {
            row(CrowdWork::Larson, Kind::Processes, members, OURS, rounds)
        };
        // The machine was ten times slower in the second round.
        let one = || larson(1, &[100.0, 10.0, 100.0]);
        assert!(met(&[one(), larson(2, &[190.0, 19.0, 190.0])], "larson, 2"));
        assert!(!met(&[one(), larson(2, &[170.0, 17.0, 170.0])], "larson, 2"));
        assert!(!met(&[one()], "larson, 2"), "what was not measured is not met");
    }

    #[test]
    fn remote_frees_are_measured_by_the_best_peers_threads() {
        let ours = row(CrowdWork::Remote, Kind::Processes, 2, OURS, &[50.0]);
        let peer = |name, rate| row(CrowdWork::Remote, Kind::Threads, 2, name, &[rate]);
        let rows = |best| {
            let noop = peer(CONTROL, 1000.0);
            [peer("glibc", 10.0), peer("jemalloc", best), noop]
        };
        let with = |best| {
            rows(best)
                .into_iter()
                .chain([row(CrowdWork::Remote, Kind::Processes, 2, OURS, &[50.0])])
                .collect::<Vec<_>>()
        };
        assert_eq!(median(ours.figures.rounds()), 50.0);
        assert!(met(&with(49.0), "remote, 2"));
        assert!(!met(&with(51.0), "remote, 2"));
    }
}

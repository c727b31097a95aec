//! `quick`: all subjects through all works, interleaved.

use crate::args::QuickArgs;
use crate::machine::Machine;
use crate::median::median;
use crate::subjects::{
    GLIBC, JEMALLOC, MIMALLOC, Noop, Private, PrivateTls, Published, PublishedTls, Subject,
};
use crate::works::{self, Work};
use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// The peer that the bars are about.
const PEER: &str = "mimalloc";

/// Subject and the largest ratio to the peer that it may have, on each work.
const BARS: [(&str, f64); 2] = [("private", 0.8), ("published", 1.1)];

/// A subject that can do any work.
trait Runs {
    fn run(&self, work: Work) -> f64;
}

impl<S: Subject> Runs for S {
    fn run(&self, work: Work) -> f64 {
        work.run(self).ns()
    }
}

/// One work done by one subject.
#[derive(Serialize)]
struct Row {
    work: &'static str,
    subject: &'static str,
    median_ns: f64,
    min_ns: f64,
    /// Median over the rounds of the ratio to the peer in the same round.
    ratio_to_mimalloc: f64,
    /// Each round, in order.
    rounds_ns: Vec<f64>,
}

#[derive(Serialize)]
struct Results {
    machine: Machine,
    rows: Vec<Row>,
}

/// The command; whether every bar that was asked for is met.
pub fn run(args: &QuickArgs) -> Result<bool> {
    let machine = Machine::here();
    let segment = || sharena::Options::new().capacity(256 << 20).create_anonymous();
    let segments = [segment()?, segment()?, segment()?, segment()?];
    let subjects: [(&str, &dyn Runs); 8] = [
        ("private", &Private::new(&segments[0])?),
        ("private-tls", &PrivateTls(&segments[1])),
        ("published", &Published::new(&segments[2])?),
        ("published-tls", &PublishedTls(&segments[3])),
        (PEER, &MIMALLOC),
        ("jemalloc", &JEMALLOC),
        ("glibc", &GLIBC),
        ("noop", &Noop::new(works::MOST_LIVE)),
    ];
    let works = if args.works.is_empty() { &works::ALL[..] } else { &args.works };
    let times = measure(works, &subjects, args.rounds);
    let rows = works.iter().zip(&times).flat_map(|(work, times)| {
        let peer = subjects.iter().position(|(name, _)| *name == PEER).expect("it is among them");
        let subject = |(subject, (name, _)): (usize, &(&'static str, _))| {
            row(*work, name, &times[subject], &times[peer])
        };
        subjects.iter().enumerate().map(subject).collect::<Vec<_>>()
    });
    let results = Results { machine, rows: rows.collect() };
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&results)?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    println!("{}", table(&results.rows));
    println!(
        "ns per pair over {} rounds; ratio to {PEER}: the median of the rounds' ratios",
        args.rounds
    );
    Ok(!args.gate || gate(&results.rows))
}

/// Nanoseconds per pair, by work, subject, round.
fn measure(works: &[Work], subjects: &[(&str, &dyn Runs)], rounds: u32) -> Vec<Vec<Vec<f64>>> {
    let mut times = vec![vec![Vec::new(); subjects.len()]; works.len()];
    let steps = u64::from(rounds + 1) * (subjects.len() * works.len()) as u64;
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} % {msg}").expect("a template");
    let progress = ProgressBar::new(steps).with_style(style); // draws nothing but on a terminal
    for round in 0..=rounds as usize {
        for (w, work) in works.iter().enumerate() {
            for turn in 0..subjects.len() {
                let s = (turn + round) % subjects.len();
                let (name, subject) = &subjects[s];
                progress.set_message(format!("{} {name}", work.name()));
                let time = subject.run(*work);
                if round > 0 {
                    times[w][s].push(time);
                }
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    times
}

fn row(work: Work, subject: &'static str, times: &[f64], peer: &[f64]) -> Row {
    Row {
        work: work.name(),
        subject,
        median_ns: median(times.iter().copied()),
        min_ns: times.iter().copied().fold(f64::INFINITY, f64::min),
        ratio_to_mimalloc: median(times.iter().zip(peer).map(|(time, peer)| time / peer)),
        rounds_ns: times.to_vec(),
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(["work", "subject", "median ns", "min ns", "ratio"]);
    for row in rows {
        table.add_row([
            row.work.to_owned(),
            row.subject.to_owned(),
            format!("{:.2}", row.median_ns),
            format!("{:.2}", row.min_ns),
            format!("{:.2}", row.ratio_to_mimalloc),
        ]);
    }
    for column in 2..5 {
        table.column_mut(column).expect("five of them").set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Prints each bar as met or not; whether all are.
fn gate(rows: &[Row]) -> bool {
    let mut all = true;
    for (subject, limit) in BARS {
        for row in rows.iter().filter(|row| row.subject == subject) {
            let met = row.ratio_to_mimalloc <= limit;
            all &= met;
            println!(
                "{:<8} {subject} / {PEER} on {}: {:.3}, at most {limit}",
                if met { "met" } else { "NOT MET" },
                row.work,
                row.ratio_to_mimalloc,
            );
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        // The machine was three times slower in the second round, for both.
        let row = row(Work::Churn, "private", &[4.0, 12.0, 8.0], &[8.0, 24.0, 8.0]);
        assert_eq!(row.ratio_to_mimalloc, 0.5);
        assert_eq!(row.median_ns, 8.0);
        assert_eq!(row.min_ns, 4.0);
    }

    #[test]
    fn a_bar_that_is_missed_on_one_work_fails_the_gate() {
        let rows = |larson: f64| {
            let private = row(Work::Churn, "private", &[0.5], &[1.0]);
            [private, row(Work::Larson, "published", &[larson], &[1.0])]
        };
        assert!(gate(&rows(1.1)));
        assert!(!gate(&rows(1.2)));
    }
}

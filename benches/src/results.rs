//! What was measured: rows of figures, as they are kept in a file.

use crate::args::{Kind, Work};
use crate::latency::Latencies;
use crate::machine::Machine;
use crate::median::median;
use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};
use std::path::Path;

/// A file of results.
#[derive(Serialize, Deserialize)]
pub struct Results {
    /// On what, when, by which command.
    pub machine: Machine,
    /// Rounds that were counted, in words.
    pub rounds: String,
    /// How far others on the machine disturbed them.
    pub disturbed: Said,
    /// In the order in which they were measured.
    pub rows: Vec<Row>,
    /// Peers that were not there, and why.
    pub absent: Vec<Absent>,
}

/// A peer that could not take part.
#[derive(Serialize, Deserialize, Clone)]
pub struct Absent {
    /// The peer.
    pub peer: String,
    /// What it lacks here, and how to get it.
    pub why: String,
}

/// What is measured: one work at one size, by so many members.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// The name of a [`Work`].
    pub work: String,
    /// `processes` or `threads`.
    pub kind: String,
    /// How many of them.
    pub members: u32,
    /// What the work is scaled by: names in the table, bytes of a block; 0 if by nothing.
    pub size: u64,
}

impl Key {
    /// Of a work that is scaled by nothing.
    pub fn new(work: Work, kind: Kind, members: u32) -> Key {
        Key { work: name(work), kind: name(kind), members, size: 0 }
    }

    /// The same at this size.
    pub fn of_size(self, size: u64) -> Key {
        Key { size, ..self }
    }

    /// `1 thread`, `8 processes`.
    pub fn crowd(&self) -> String {
        match (self.members, &*self.kind) {
            (1, "processes") => "1 process".into(),
            (1, "threads") => "1 thread".into(),
            (members, kind) => format!("{members} {kind}"),
        }
    }
}

/// What a figure is in. Of each, less is better.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Nanoseconds for one operation: from when the first member begins till the last is through, by the operations
    /// of all.
    #[serde(rename = "ns")]
    Nanoseconds,
    /// Microseconds for one operation.
    #[serde(rename = "us")]
    Microseconds,
    /// Milliseconds for a GiB.
    #[serde(rename = "ms/GiB")]
    MillisecondsPerGib,
    /// Bytes.
    #[serde(rename = "B")]
    Bytes,
    /// Hundredths of something that the work names.
    #[serde(rename = "%")]
    Percent,
}

impl Unit {
    /// Whether others on the machine can make it more.
    pub fn is_time(self) -> bool {
        matches!(self, Unit::Nanoseconds | Unit::Microseconds | Unit::MillisecondsPerGib)
    }

    /// With so many digits as say something.
    pub fn show(self, figure: f64) -> String {
        let digits = match figure.abs() {
            it if it >= 1000.0 => 0,
            it if it >= 100.0 => 1,
            _ => 2,
        };
        format!("{figure:.digits$} {}", self.sign())
    }

    /// As it stands behind a figure.
    pub fn sign(self) -> &'static str {
        match self {
            Unit::Nanoseconds => "ns",
            Unit::Microseconds => "µs",
            Unit::MillisecondsPerGib => "ms/GiB",
            Unit::Bytes => "B",
            Unit::Percent => "%",
        }
    }
}

/// One work done by one subject.
#[derive(Serialize, Deserialize, Clone)]
pub struct Row {
    /// The work.
    #[serde(flatten)]
    pub key: Key,
    /// Who did it.
    pub subject: String,
    /// What `rounds` is in.
    pub unit: Unit,
    /// One figure of each round, in order: of latencies, what the slowest of ten thousand took.
    pub rounds: Vec<f64>,
    /// Of latencies: parts of all, and nanoseconds that those took at most, all rounds together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quantiles: Vec<(f64, u64)>,
    /// Of a course: moments, and figures at them, of the last round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub course: Vec<(f64, f64)>,
}

/// What came of looking whether others were at work on the machine.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Said {
    /// Rounds of single subjects that were kept, also those that warm up.
    pub counted: u64,
    /// Of these, such as were disturbed, when there was no time left.
    pub disturbed: u64,
    /// Rounds that were not counted, as they were done again.
    pub again: u64,
}

impl Display for Said {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Said { counted, disturbed, again } = self;
        write!(
            f,
            "of {counted} rounds of single subjects, with those that warm up, {disturbed} were kept though others \
             were at work on the machine; {again} were done again for that"
        )
    }
}

/// What came of one round of one subject.
#[derive(Serialize, Deserialize)]
pub enum Sample {
    /// In the unit of the case.
    Figure(f64),
    /// Of single operations.
    Latencies(Latencies),
    /// A figure, and how it came about: moments, and figures at them.
    Course(f64, Vec<(f64, f64)>),
}

/// The parts of which quantiles are kept: enough to draw them.
const PARTS: [f64; 12] =
    [0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999, 1.0];

impl Row {
    /// Of the rounds that were counted; `None`: it did not take part.
    pub fn of(key: &Key, subject: &str, unit: Unit, samples: &[Sample]) -> Option<Row> {
        let mut row = Row {
            key: key.clone(),
            subject: subject.to_owned(),
            unit,
            rounds: Vec::new(),
            quantiles: Vec::new(),
            course: Vec::new(),
        };
        let mut latencies = Vec::new();
        for sample in samples {
            row.rounds.push(match sample {
                Sample::Figure(figure) => *figure,
                Sample::Latencies(of_round) => {
                    latencies.push(of_round);
                    of_round.quantile(0.9999) as f64
                }
                Sample::Course(figure, course) => {
                    row.course.clone_from(course);
                    *figure
                }
            });
        }
        if let Some(all) = Latencies::of_rounds(latencies.into_iter()) {
            row.quantiles = PARTS.map(|part| (part, all.quantile(part))).into();
        }
        (!row.rounds.is_empty()).then_some(row)
    }

    /// Of the rounds' figures.
    pub fn median(&self) -> f64 {
        median(self.rounds.iter().copied())
    }

    /// The best round.
    pub fn min(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The worst round.
    pub fn max(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// By that of another: the median of the rounds' ratios, since a busy machine slows all subjects of a round.
    pub fn ratio(&self, to: &Row) -> f64 {
        median(self.rounds.iter().zip(&to.rounds).map(|(of, to)| of / to))
    }

    /// Nanoseconds that such a part of all took at most.
    pub fn quantile(&self, part: f64) -> Option<u64> {
        self.quantiles.iter().find(|(it, _)| *it == part).map(|(_, value)| *value)
    }
}

impl Results {
    /// Of these rows, on this machine, with nobody missing.
    #[cfg(test)]
    pub fn here(rows: Vec<Row>) -> Results {
        let (machine, disturbed) = (Machine::here(), Said::default());
        Results { machine, rounds: "1".into(), disturbed, rows, absent: Vec::new() }
    }

    /// Of a file.
    pub fn read(path: &Path) -> Result<Results> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("read {}: `bench --json` writes it", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no file of results", path.display()))
    }

    /// Into a file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))
    }

    /// The row of a subject.
    pub fn row(&self, key: &Key, subject: &str) -> Option<&Row> {
        self.rows.iter().find(|it| it.key == *key && it.subject == subject)
    }
}

/// As it is called on the command line.
pub fn name(of: impl ValueEnum) -> String {
    of.to_possible_value().expect("it can be given").get_name().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(subject: &str, rounds: &[f64]) -> Row {
        let samples: Vec<Sample> = rounds.iter().map(|it| Sample::Figure(*it)).collect();
        let key = Key::new(Work::Churn, Kind::Threads, 1);
        Row::of(&key, subject, Unit::Nanoseconds, &samples).unwrap()
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        // The machine was three times slower in the second round, for both.
        let ours = row("ours", &[4.0, 12.0, 8.0]);
        assert_eq!(ours.ratio(&row("peer", &[8.0, 24.0, 8.0])), 0.5);
        assert_eq!((ours.median(), ours.min(), ours.max()), (8.0, 4.0, 12.0));
    }

    #[test]
    fn what_is_written_is_read() {
        let file = std::env::temp_dir().join(format!("results-{}.json", std::process::id()));
        let results = Results::here(vec![row("ours", &[4.0, 12.0])]);
        results.write(&file).unwrap();
        let read = Results::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let key = Key::new(Work::Churn, Kind::Threads, 1);
        assert_eq!(read.row(&key, "ours").unwrap().rounds, [4.0, 12.0]);
        assert!(read.row(&key.of_size(1), "ours").is_none());
    }
}

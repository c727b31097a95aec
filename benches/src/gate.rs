//! `cargo xtask bench gate`: which bars a run meets.

use crate::args::{GateArgs, Kind, Work};
use crate::results::{Key, Results, Row, Unit};
use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// Allocators of a process' own memory, of which the fastest counts.
pub const PEERS: [&str; 5] = ["mimalloc", "jemalloc", "snmalloc", "rpmalloc", "glibc"];

/// Allocators of shared memory that ours must be ahead of wherever they take part.
const SHARED_PEERS: [&str; 2] = ["rts-alloc", "iceoryx2"];

/// Something that must hold.
#[derive(Serialize)]
pub struct Bar {
    /// Which of the targets it belongs to.
    pub target: &'static str,
    /// What is compared.
    pub says: String,
    /// `None`: it was not measured.
    pub figure: Option<f64>,
    /// What it is in: nothing if it is a ratio.
    pub unit: Option<Unit>,
    /// What it must be.
    pub limit: Limit,
}

/// What a figure must be.
#[derive(Serialize, Clone, Copy)]
pub enum Limit {
    /// So much.
    AtLeast(f64),
    /// So much.
    AtMost(f64),
    /// Less than so much.
    Below(f64),
}

impl Bar {
    /// What was not measured is not met.
    pub fn is_met(&self) -> bool {
        self.figure.is_some_and(|figure| match self.limit {
            Limit::AtLeast(least) => figure >= least,
            Limit::AtMost(most) => figure <= most,
            Limit::Below(limit) => figure < limit,
        })
    }

    /// In words: met, not met, not measured.
    pub fn verdict(&self) -> &'static str {
        match self.figure {
            None => "not measured",
            Some(_) if self.is_met() => "met",
            Some(_) => "NOT MET",
        }
    }

    /// The figure as it is printed.
    pub fn shown(&self) -> String {
        match (self.figure, self.unit) {
            (None, _) => String::new(),
            (Some(figure), None) => format!("{figure:.3}"),
            (Some(figure), Some(unit)) => unit.show(figure),
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Limit::AtLeast(limit) => write!(f, "≥ {limit}"),
            Limit::AtMost(limit) => write!(f, "≤ {limit}"),
            Limit::Below(limit) => write!(f, "< {limit}"),
        }
    }
}

/// The command; whether every bar is met.
pub fn run(args: &GateArgs) -> Result<bool> {
    let results = Results::read(&args.results)?;
    let bars = bars(&results);
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(["target", "what", "figure", "bar", ""]);
    for bar in &bars {
        table.add_row([
            bar.target.to_owned(),
            bar.says.clone(),
            bar.shown(),
            bar.limit.to_string(),
            bar.verdict().to_owned(),
        ]);
    }
    table.column_mut(2).expect("five of them").set_cell_alignment(CellAlignment::Right);
    println!("{table}");
    let met = bars.iter().filter(|it| it.is_met()).count();
    println!("{met} of {} bars met, {}", bars.len(), results.machine);
    Ok(met == bars.len())
}

/// All bars, by what was measured.
pub fn bars(results: &Results) -> Vec<Bar> {
    let gate = Gate { results };
    let all = [
        gate.alone(),
        gate.scaling(),
        gate.remote(),
        gate.latencies(),
        gate.names(),
        gate.shared_peers(),
        gate.segments(),
        gate.space(),
    ];
    all.into_iter().flatten().collect()
}

struct Gate<'r> {
    results: &'r Results,
}

/// A key of one thread.
fn alone(work: Work) -> Key {
    Key::new(work, Kind::Threads, 1)
}

impl<'r> Gate<'r> {
    fn row(&self, key: &Key, subject: &str) -> Option<&'r Row> {
        self.results.row(key, subject)
    }

    fn median(&self, key: &Key, subject: &str) -> Option<f64> {
        self.row(key, subject).map(Row::median)
    }

    /// Of two rows, where both are.
    fn ratio(&self, of: (&Key, &str), to: (&Key, &str)) -> Option<f64> {
        Some(self.row(of.0, of.1)?.ratio(self.row(to.0, to.1)?))
    }

    /// The allocator of a process' own memory that is the fastest there.
    fn best_peer(&self, key: &Key) -> Option<&'r Row> {
        let peers = PEERS.iter().filter_map(|peer| self.row(key, peer));
        peers.min_by(|a, b| a.median().total_cmp(&b.median()))
    }

    /// Speed 1 and 2.
    fn alone(&self) -> Vec<Bar> {
        let mut bars = Vec::new();
        let works = [(Work::Churn, 0.75), (Work::Larson, 0.75), (Work::Threadtest, 0.85)];
        let limits = |private| {
            [
                ("1", "private", Limit::AtMost(private)),
                ("1", "private-tls", Limit::AtMost(0.95)),
                ("2", "published", Limit::AtMost(1.1)),
            ]
        };
        for (work, private) in works {
            let key = alone(work);
            let best = self.best_peer(&key);
            for (target, subject, limit) in limits(private) {
                let peer = best.map_or("the best peer", |it| &it.subject);
                bars.push(Bar {
                    target,
                    says: format!("{}: {subject} by {peer}", key.work),
                    figure: self.row(&key, subject).zip(best).map(|(of, to)| of.ratio(to)),
                    unit: None,
                    limit,
                });
            }
            bars.push(Bar {
                target: "2",
                says: format!("{}: published by mimalloc", key.work),
                figure: self.ratio((&key, "published"), (&key, "mimalloc")),
                unit: None,
                limit: Limit::Below(1.0),
            });
        }
        bars
    }

    /// Speed 3.
    fn scaling(&self) -> Vec<Bar> {
        let larson = |members| Key::new(Work::Larson, Kind::Processes, members);
        let by = |of: u32, to: u32, least| Bar {
            target: "3",
            says: format!("larson: rate of {of} processes by {to}"),
            figure: self.ratio((&larson(to), "published"), (&larson(of), "published")),
            unit: None,
            limit: Limit::AtLeast(least),
        };
        let boost = Bar {
            target: "3",
            says: "larson: rate of 8 processes by Boost's".into(),
            figure: self.ratio((&larson(8), "boost"), (&larson(8), "published")),
            unit: None,
            limit: Limit::AtLeast(150.0),
        };
        vec![by(2, 1, 1.8), by(4, 2, 0.9), by(8, 2, 0.9), boost]
    }

    /// Speed 4.
    fn remote(&self) -> Vec<Bar> {
        let bar = |members| {
            let best = self.best_peer(&Key::new(Work::Remote, Kind::Threads, members));
            let ours = self.row(&Key::new(Work::Remote, Kind::Processes, members), "published");
            let peer = best.map_or("the best peer", |it| &it.subject);
            Bar {
                target: "4",
                says: format!("remote: rate of {members} processes by threads of {peer}"),
                figure: best.zip(ours).map(|(best, ours)| best.ratio(ours)),
                unit: None,
                limit: Limit::AtLeast(1.0),
            }
        };
        [2, 4, 8].map(bar).into()
    }

    /// Speed 5: what nine thousand nine hundred and ninety-nine of ten thousand take at most.
    fn latencies(&self) -> Vec<Bar> {
        let key = Key::new(Work::Latency, Kind::Processes, 8);
        let bar = |subject, says: &str| Bar {
            target: "5",
            says: format!("latency: p99.99 with 8 processes{says} by an empty loop's"),
            figure: self.ratio((&key, subject), (&key, "noop")),
            unit: None,
            limit: Limit::AtMost(1.2),
        };
        vec![bar("published", ""), bar("published-prepared", ", prepared ahead,")]
    }

    /// Speed 6.
    fn names(&self) -> Vec<Bar> {
        let mut bars = Vec::new();
        for names in [100, 10_000, 1_000_000] {
            let key = |work| alone(work).of_size(names);
            let find = key(Work::Find);
            bars.push(Bar {
                target: "6",
                says: format!("find, {names} names, by hashbrown"),
                figure: self.ratio((&find, "sharena"), (&find, "hashbrown")),
                unit: None,
                limit: Limit::AtMost(1.5),
            });
            for (work, most) in [(Work::Construct, 150.0), (Work::Destroy, 100.0)] {
                bars.push(Bar {
                    target: "6",
                    says: format!("{}, {names} names", key(work).work),
                    figure: self.median(&key(work), "sharena"),
                    unit: Some(Unit::Nanoseconds),
                    limit: Limit::AtMost(most),
                });
            }
        }
        let find = |members| Key::new(Work::Find, Kind::Processes, members).of_size(10_000);
        let cores = self.results.machine.cores().min(8) as f64;
        bars.push(Bar {
            target: "6",
            says: "find, 10000 names: a core's time with 8 processes by that with 1".into(),
            figure: self
                .ratio((&find(8), "sharena"), (&find(1), "sharena"))
                .map(|ratio| ratio * cores),
            unit: None,
            limit: Limit::AtMost(1.1),
        });
        let latency = Key::new(Work::FindLatency, Kind::Processes, 8).of_size(10_000);
        bars.push(Bar {
            target: "6",
            says: "find-latency: p99.99 with 8 processes by an empty loop's".into(),
            figure: self.ratio((&latency, "sharena"), (&latency, "noop")),
            unit: None,
            limit: Limit::AtMost(1.2),
        });
        bars
    }

    /// Speed 7: the row of each of them where ours does worst.
    fn shared_peers(&self) -> Vec<Bar> {
        let bar = |peer: &&'static str| {
            let of_peer = self.results.rows.iter().filter(|it| it.subject == *peer);
            let ratios = of_peer
                .filter_map(|row| Some((&row.key, self.row(&row.key, "published")?.ratio(row))));
            let worst = ratios.max_by(|a, b| a.1.total_cmp(&b.1));
            let says = match worst {
                Some((key, _)) => {
                    format!(
                        "published by {peer} where it does worst: {}, {}",
                        key.work,
                        key.crowd()
                    )
                }
                None => format!("published by {peer}"),
            };
            let figure = worst.map(|(_, ratio)| ratio);
            Bar { target: "7", says, figure, unit: None, limit: Limit::Below(1.0) }
        };
        SHARED_PEERS.iter().map(bar).collect()
    }

    /// Speed 8.
    fn segments(&self) -> Vec<Bar> {
        let bar = |work, size, says: String, unit, most| Bar {
            target: "8",
            says,
            figure: self.median(&alone(work).of_size(size), "sharena"),
            unit: Some(unit),
            limit: Limit::AtMost(most),
        };
        let mut bars: Vec<Bar> = [1u64 << 30, 1 << 40]
            .map(|bytes| {
                let says = format!("attach, {} GiB of capacity", bytes >> 30);
                bar(Work::Attach, bytes, says, Unit::Microseconds, 100.0)
            })
            .into();
        let says = "create, 1024 GiB of capacity".into();
        bars.push(bar(Work::Create, 1 << 40, says, Unit::Microseconds, 1000.0));
        bars.extend([64, 1024, 16 << 10, 1 << 20].map(|block| {
            let says = format!("recovery, blocks of {block} B");
            bar(Work::Recovery, block, says, Unit::MillisecondsPerGib, 1.0)
        }));
        bars
    }

    fn space(&self) -> Vec<Bar> {
        let bar = |work, size, says: &str, unit, limit| Bar {
            target: "space",
            says: says.to_owned(),
            figure: self.median(&alone(work).of_size(size), "sharena"),
            unit: Some(unit),
            limit,
        };
        let held = alone(Work::Held);
        vec![
            bar(Work::Metadata, 16, "metadata at 16 B", Unit::Percent, Limit::AtMost(7.0)),
            bar(Work::Metadata, 64, "metadata at 64 B", Unit::Percent, Limit::AtMost(2.0)),
            bar(
                Work::RoundingWorst,
                0,
                "bytes lost to rounding, the worst size above 128 B",
                Unit::Percent,
                Limit::AtMost(25.0),
            ),
            bar(
                Work::RoundingMean,
                0,
                "bytes lost to rounding, mean of the sizes above 128 B",
                Unit::Percent,
                Limit::AtMost(12.5),
            ),
            Bar {
                target: "space",
                says: "memory held after a long random run, by mimalloc's".into(),
                figure: self.ratio((&held, "published"), (&held, "mimalloc")),
                unit: None,
                limit: Limit::AtMost(1.15),
            },
            bar(
                Work::GivenBack,
                0,
                "given back by trim once all is freed",
                Unit::Percent,
                Limit::AtLeast(95.0),
            ),
            bar(
                Work::NameBytes,
                0,
                "bytes for a named object of 8 bytes, beside those of its name",
                Unit::Bytes,
                Limit::AtMost(64.0),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::results::Sample;

    fn row(key: &Key, subject: &str, rounds: &[f64]) -> Row {
        let samples: Vec<Sample> = rounds.iter().map(|it| Sample::Figure(*it)).collect();
        Row::of(key, subject, Unit::Nanoseconds, &samples).unwrap()
    }

    fn verdict(rows: Vec<Row>, says: &str) -> &'static str {
        let results = Results::here(rows);
        let bars = bars(&results);
        bars.iter().find(|it| it.says.starts_with(says)).expect("there is such a bar").verdict()
    }

    #[test]
    fn a_bar_of_scaling_is_about_ratios_within_rounds() {
        let larson = |members, rounds: &[f64]| {
            row(&Key::new(Work::Larson, Kind::Processes, members), "published", rounds)
        };
        // The machine was ten times slower in the second round.
        let one = || larson(1, &[10.0, 100.0, 10.0]);
        let says = "larson: rate of 2 processes by 1";
        assert_eq!(verdict(vec![one(), larson(2, &[5.3, 53.0, 5.3])], says), "met");
        assert_eq!(verdict(vec![one(), larson(2, &[5.9, 59.0, 5.9])], says), "NOT MET");
        assert_eq!(verdict(vec![one()], says), "not measured");
    }

    #[test]
    fn remote_frees_are_measured_by_the_best_peers_threads() {
        let key = |kind| Key::new(Work::Remote, kind, 2);
        let with = |best| {
            vec![
                row(&key(Kind::Threads), "glibc", &[100.0]),
                row(&key(Kind::Threads), "jemalloc", &[best]),
                row(&key(Kind::Threads), "noop", &[1.0]),
                row(&key(Kind::Processes), "published", &[20.0]),
            ]
        };
        assert_eq!(verdict(with(20.5), "remote: rate of 2"), "met");
        assert_eq!(verdict(with(19.5), "remote: rate of 2"), "NOT MET");
    }

    #[test]
    fn the_fastest_peer_of_a_work_is_what_ours_is_measured_by() {
        let key = alone(Work::Churn);
        let with = |best| {
            vec![
                row(&key, "mimalloc", &[10.0]),
                row(&key, "rpmalloc", &[best]),
                row(&key, "private", &[7.0]),
            ]
        };
        assert_eq!(verdict(with(10.0), "churn: private by"), "met");
        assert_eq!(verdict(with(9.0), "churn: private by"), "NOT MET");
    }

    #[test]
    fn ours_must_be_ahead_of_peers_that_share_memory_in_their_every_row() {
        let (churn, larson) = (alone(Work::Churn), alone(Work::Larson));
        let with = |worst| {
            vec![
                row(&churn, "rts-alloc", &[10.0]),
                row(&churn, "published", &[5.0]),
                row(&larson, "rts-alloc", &[10.0]),
                row(&larson, "published", &[worst]),
            ]
        };
        assert_eq!(verdict(with(9.9), "published by rts-alloc"), "met");
        assert_eq!(verdict(with(10.0), "published by rts-alloc"), "NOT MET");
        assert_eq!(verdict(Vec::new(), "published by iceoryx2"), "not measured");
    }

    #[test]
    fn a_core_s_time_for_a_find_is_that_of_all_by_the_cores_at_work() {
        let find = |members, ns| {
            row(&Key::new(Work::Find, Kind::Processes, members).of_size(10_000), "sharena", &[ns])
        };
        let cores = Machine::here().cores().min(8) as f64;
        let says = "find, 10000 names: a core's time";
        assert_eq!(verdict(vec![find(1, 60.0), find(8, 60.0 / cores)], says), "met");
        assert_eq!(verdict(vec![find(1, 60.0), find(8, 70.0 / cores)], says), "NOT MET");
    }
}

//! `cargo xtask bench same`: how much two runs of the same differ.

use crate::args::SameArgs;
use crate::page::contest::{Contest, OfWork, by_work, is_sum};
use crate::page::words::case;
use crate::results::{Key, Results, Row};
use anyhow::{Result, ensure};
use comfy_table::{CellAlignment, Table, presets};

/// What is judged: these by that peer.
const OURS: [&str; 2] = ["private", "published"];
const PEER: &str = "mimalloc";
/// Ratios that differ by less are the same.
const SAME: f64 = 0.05;
/// Differences that are printed at most.
const SHOWN: usize = 20;

/// A ratio that both runs have.
struct Pair<'r> {
    key: &'r Key,
    subject: &'r str,
    to: &'r str,
    one: f64,
    other: f64,
    is_judged: bool,
}

impl Pair<'_> {
    /// By how much the larger is larger.
    fn differs(&self) -> f64 {
        if self.one == self.other {
            return 0.0;
        }
        let by = self.one / self.other;
        if by < 1.0 { 1.0 / by - 1.0 } else { by - 1.0 }
    }

    /// What is no number is the same as nothing.
    fn is_same(&self) -> bool {
        self.differs() < SAME
    }
}

/// The command; whether what is judged is the same.
pub fn run(args: &SameArgs) -> Result<bool> {
    let (one, other) = (Results::read(&args.one)?, Results::read(&args.other)?);
    let mut pairs = pairs(&one.rows, &other.rows);
    let judged = pairs.iter().filter(|it| it.is_judged).count();
    ensure!(judged > 0, "the two have no ratio of {} to {PEER} in common", OURS.join(" or "));
    let noisy = pairs.iter().filter(|it| it.is_judged && !it.is_same()).count();
    pairs.sort_by(|a, b| b.differs().total_cmp(&a.differs()));
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(["work", "case", "ratio of", "one", "other", "differ by", ""]);
    for pair in pairs.iter().take(SHOWN) {
        table.add_row([
            pair.key.work.clone(),
            case(pair.key),
            format!("{} to {}", pair.subject, pair.to),
            format!("{:.3}", pair.one),
            format!("{:.3}", pair.other),
            format!("{:.1} %", 100.0 * pair.differs()),
            (if pair.is_judged { "judged" } else { "" }).to_owned(),
        ]);
    }
    for column in 3..6 {
        table.column_mut(column).expect("seven of them").set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    println!("one: {}\nother: {}", one.machine, other.machine);
    println!(
        "{} ratios in both; of {judged} that are judged {noisy} differ by {:.0} % or more",
        pairs.len(),
        100.0 * SAME
    );
    Ok(noisy == 0)
}

/// All that both runs have.
fn pairs<'r>(one: &'r [Row], other: &'r [Row]) -> Vec<Pair<'r>> {
    let mut pairs = Vec::new();
    let (one, other) = (by_work(one), by_work(other));
    let other: Vec<Contest<'r>> = other.iter().flat_map(OfWork::contests).collect();
    for contest in one.iter().flat_map(OfWork::contests) {
        let Some(again) = other.iter().find(|it| it.key == contest.key) else { continue };
        let Some((to, to_again)) = reference(&contest, again) else { continue };
        for row in contest.rows.iter().filter(|it| it.subject != to.subject) {
            let Some(row_again) = again.row(&row.subject) else { continue };
            let is_ours = OURS.contains(&&*row.subject) && to.subject == PEER;
            pairs.push(Pair {
                key: contest.key,
                subject: &row.subject,
                to: &to.subject,
                one: row.ratio(to),
                other: row_again.ratio(to_again),
                is_judged: is_ours && is_sum(row),
            });
        }
    }
    pairs
}

/// By whom the others are compared in both: that peer, or else the best of one, or else the first who is there.
fn reference<'r>(one: &Contest<'r>, other: &Contest<'r>) -> Option<(&'r Row, &'r Row)> {
    let all = one.row(PEER).into_iter().chain(one.best_peer()).chain(one.rows.iter().copied());
    all.into_iter().find_map(|it| Some((it, other.row(&it.subject)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Kind, Work};
    use crate::latency::Latencies;
    use crate::page::contest::tests::row;
    use crate::results::{Sample, Unit};

    /// What is judged, and whether it is the same.
    fn judged(one: &[Row], other: &[Row]) -> Vec<(String, bool)> {
        let pairs = pairs(one, other);
        let judged = pairs.iter().filter(|it| it.is_judged);
        judged.map(|it| (it.subject.to_owned(), it.is_same())).collect()
    }

    #[test]
    fn a_ratio_is_the_same_on_a_machine_that_is_slower_throughout() {
        let key = Key::new(Work::Churn, Kind::Threads, 1);
        let run = |peer, ours| {
            [
                row(&key, "published", &[ours]),
                row(&key, "published-tls", &[99.0]),
                row(&key, "glibc", &[1.0]),
                row(&key, "mimalloc", &[peer]),
            ]
        };
        let same = |other: &[Row]| judged(&run(10.0, 8.0), other);
        assert_eq!(same(&run(100.0, 83.9)), [("published".into(), true)]);
        assert_eq!(same(&run(100.0, 84.1)), [("published".into(), false)]);
        assert_eq!(same(&run(100.0, 76.0)), [("published".into(), false)]);
        assert_eq!(same(&run(100.0, f64::NAN)), [("published".into(), false)]);
    }

    #[test]
    fn what_but_one_run_has_is_not_compared() {
        let key = |members| Key::new(Work::Churn, Kind::Threads, members);
        let run = |members| {
            [row(&key(members), "private", &[1.0]), row(&key(members), "mimalloc", &[1.0])]
        };
        assert!(pairs(&run(1), &run(2)).is_empty());
        assert_eq!(pairs(&run(2), &run(2)).len(), 1);
    }

    #[test]
    fn without_that_peer_the_best_one_is_what_both_are_compared_by() {
        let key = Key::new(Work::Find, Kind::Threads, 1);
        let run = |first, second| {
            [
                row(&key, "sharena", &[6.0]),
                row(&key, "boost", &[first]),
                row(&key, "hashbrown", &[second]),
            ]
        };
        let (one, other) = (run(9.0, 3.0), run(2.0, 4.0));
        let pairs = pairs(&one, &other);
        assert!(pairs.iter().all(|it| it.to == "hashbrown" && !it.is_judged));
        let ours = pairs.iter().find(|it| it.subject == "sharena").unwrap();
        assert_eq!((ours.one, ours.other, ours.differs().is_nan()), (2.0, 1.5, false));
    }

    #[test]
    fn the_slowest_of_ten_thousand_are_not_judged() {
        let key = Key::new(Work::Latency, Kind::Threads, 1);
        let at = |subject| {
            let samples = [Sample::Latencies(Latencies::of_all(vec![vec![(20, 5)]]).unwrap())];
            Row::of(&key, subject, Unit::Nanoseconds, &samples).unwrap()
        };
        let run = [at("published"), at("mimalloc")];
        assert_eq!(pairs(&run, &run).len(), 1);
        assert!(judged(&run, &run).is_empty());
    }
}

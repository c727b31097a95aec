//! Rows by work and by case; who in a case is ours, and who is a peer.

use crate::args::{Kind, Work};
use crate::results::{Key, Row, name};
use clap::ValueEnum;
use std::collections::BTreeSet;

/// By whom the others are compared: what a case has of these first.
pub const OURS: [&str; 2] = ["published", "sharena"];

/// Who a subject is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// A way to use sharena.
    Ours,
    /// The harness alone.
    Control,
    /// What sharena is compared with.
    Peer,
}

impl Who {
    /// By its name, which that of a variant begins with: `private-tls`.
    pub fn is(subject: &str) -> Who {
        match subject.split('-').next() {
            Some("private" | "published" | "sharena") => Who::Ours,
            Some("noop") => Who::Control,
            _ => Who::Peer,
        }
    }
}

/// All that was measured of one work.
pub struct OfWork<'r> {
    /// As it is called on the command line.
    pub name: &'r str,
    pub rows: Vec<&'r Row>,
}

/// All works, in the order of [`Work`]; behind them those that are not known any more.
pub fn by_work(rows: &[Row]) -> Vec<OfWork<'_>> {
    let mut works: Vec<OfWork<'_>> = Vec::new();
    for row in rows {
        match works.iter_mut().find(|it| it.name == row.key.work) {
            Some(work) => work.rows.push(row),
            None => works.push(OfWork { name: &row.key.work, rows: vec![row] }),
        }
    }
    works.sort_by_key(|it| it.work().map_or(usize::MAX, |work| work as usize));
    works
}

impl<'r> OfWork<'r> {
    fn work(&self) -> Option<Work> {
        Work::from_str(self.name, false).ok()
    }

    /// What it is, as `--help` says.
    pub fn says(&self) -> String {
        let value = self.work().and_then(|it| it.to_possible_value());
        value.and_then(|it| it.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    /// Its cases, by kind, size and number of members.
    pub fn contests(&self) -> Vec<Contest<'r>> {
        let mut contests: Vec<Contest<'r>> = Vec::new();
        for row in &self.rows {
            match contests.iter_mut().find(|it| *it.key == row.key) {
                Some(contest) => contest.rows.push(row),
                None => contests.push(Contest { key: &row.key, rows: vec![row] }),
            }
        }
        contests.sort_by_key(|it| (&it.key.kind, it.key.size, it.key.members));
        contests
    }
}

/// All who did the same.
pub struct Contest<'r> {
    pub key: &'r Key,
    pub rows: Vec<&'r Row>,
}

impl<'r> Contest<'r> {
    pub fn row(&self, subject: &str) -> Option<&'r Row> {
        self.rows.iter().find(|it| it.subject == subject).copied()
    }

    /// By whom the others are compared.
    pub fn ours(&self) -> Option<&'r Row> {
        OURS.iter().find_map(|it| self.row(it))
    }

    pub fn peers(&self) -> impl Iterator<Item = &'r Row> {
        self.rows.iter().copied().filter(|it| Who::is(&it.subject) == Who::Peer)
    }

    /// The peer with the best median.
    pub fn best_peer(&self) -> Option<&'r Row> {
        let (min, max) = (self.peers(), self.peers());
        let by_median = |a: &&Row, b: &&Row| a.median().total_cmp(&b.median());
        if more_is_better(self.key) { max.max_by(by_median) } else { min.min_by(by_median) }
    }
}

/// All sizes of a work, in order.
pub fn sizes(contests: &[Contest<'_>]) -> BTreeSet<u64> {
    contests.iter().map(|it| it.key.size).collect()
}

/// Whether its figure is about all operations, and not about the slowest.
pub fn is_sum(row: &Row) -> bool {
    row.quantiles.is_empty()
}

/// Parts of all operations of which it is told what they take at most; of all, the slowest.
pub const PARTS: [(f64, &str); 7] = [
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (0.99999, "99.999 %"),
    (1.0, "the slowest"),
];

/// Members whose tail is shown, if so many were measured.
const CROWD: u32 = 8;

/// The case of a size whose tail is shown: eight processes, or the most members that there are.
pub fn tail_of<'c, 'r>(contests: &'c [Contest<'r>], size: u64) -> Option<&'c Contest<'r>> {
    let has_tail = |it: &&Contest<'_>| !it.rows.iter().all(|row| is_sum(row));
    let of_size = contests.iter().filter(|it| it.key.size == size).filter(has_tail);
    of_size.max_by_key(|it| {
        (it.key.kind == name(Kind::Processes), it.key.members == CROWD, it.key.members)
    })
}

/// Whether it is good to have much of it: of all that is measured, only of what is given back.
pub fn more_is_better(key: &Key) -> bool {
    key.work == name(Work::GivenBack)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::results::{Sample, Unit};

    /// A row as a run would have made it.
    pub fn row(key: &Key, subject: &str, rounds: &[f64]) -> Row {
        let samples: Vec<Sample> = rounds.iter().map(|it| Sample::Figure(*it)).collect();
        Row::of(key, subject, Unit::Nanoseconds, &samples).unwrap()
    }

    #[test]
    fn works_have_their_order_and_unknown_ones_are_behind_them() {
        let key = |work: &str| Key { work: work.into(), ..Key::new(Work::Find, Kind::Threads, 1) };
        let rows = ["juggle", "find", "churn", "find"].map(|it| row(&key(it), "sharena", &[1.0]));
        let works = by_work(&rows);
        let of: Vec<_> = works.iter().map(|it| (it.name, it.rows.len())).collect();
        assert_eq!(of, [("churn", 1), ("find", 2), ("juggle", 1)]);
        assert!(works[0].says().starts_with("Allocates 64 B"), "{}", works[0].says());
        assert_eq!(works[2].says(), "");
    }

    #[test]
    fn the_best_peer_is_neither_ours_nor_the_harness() {
        let with = |work| {
            let key = Key::new(work, Kind::Threads, 1);
            let all = [("private-tls", 1.0), ("noop", 0.5), ("glibc", 9.0), ("jemalloc", 3.0)];
            let rows = all.map(|(subject, figure)| row(&key, subject, &[figure]));
            by_work(&rows)[0].contests()[0].best_peer().unwrap().subject.clone()
        };
        assert_eq!(with(Work::Churn), "jemalloc");
        assert_eq!(with(Work::GivenBack), "glibc");
    }
}

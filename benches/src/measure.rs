//! Cases, and their rounds: all subjects of a case take turns.

use crate::args::{Kind, ScopeArgs, Work};
use crate::quiet::Quiet;
use crate::results::{Absent, Key, Row, Sample, Unit};
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::{Display, Formatter};
use std::time::{Duration, Instant};

/// One work at one size by so many members, and who does it.
pub struct Case {
    /// What it is.
    pub key: Key,
    /// What its figures are in.
    pub unit: Unit,
    /// Rounds that are counted at most, if fewer than of others: a long work is done less often.
    pub at_most: u32,
    /// Each is measured once a round.
    pub subjects: Vec<Entry>,
}

/// A subject of a case.
pub struct Entry {
    /// As it is called in tables and files.
    pub name: &'static str,
    /// Does the work once.
    pub run: Box<dyn FnMut() -> Result<Sample>>,
}

impl Case {
    /// Without anybody in it yet.
    pub fn new(key: Key, unit: Unit) -> Case {
        Case { key, unit, at_most: u32::MAX, subjects: Vec::new() }
    }

    /// Puts a subject into it.
    pub fn add(&mut self, name: &'static str, run: impl FnMut() -> Result<Sample> + 'static) {
        self.subjects.push(Entry { name, run: Box::new(run) });
    }
}

/// What was asked for.
pub struct Scope {
    args: ScopeArgs,
    absent: Vec<Absent>,
    /// All peers that anybody asked about.
    peers: Vec<&'static str>,
}

/// Time for what was disturbed by others on the machine, and is done again.
const PATIENCE: Duration = Duration::from_secs(600);
const PATIENCE_QUICK: Duration = Duration::from_secs(30);

const MEMBERS: [u32; 5] = [1, 2, 4, 8, 16];
const MEMBERS_QUICK: [u32; 3] = [1, 2, 8];
const ROUNDS: Rounds = Rounds { at_least: 7, at_most: 28, enough: Duration::from_secs(5) };
const ROUNDS_QUICK: Rounds = Rounds::exactly(3);

/// How many rounds are counted, of a case that does not say that it needs fewer.
#[derive(Clone, Copy)]
pub struct Rounds {
    /// Of each.
    pub at_least: u32,
    /// Of those that take little time.
    pub at_most: u32,
    /// How much all rounds of a case have to take before it has no more than it must have.
    pub enough: Duration,
}

impl Rounds {
    /// Of each the same.
    pub const fn exactly(rounds: u32) -> Rounds {
        Rounds { at_least: rounds, at_most: rounds, enough: Duration::ZERO }
    }
}

impl Display for Rounds {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Rounds { at_least, at_most, enough } = self;
        if at_least == at_most {
            return write!(f, "{at_least}");
        }
        let seconds = enough.as_secs();
        write!(f, "{at_least}, or up to {at_most} of what takes less than {seconds} s together")
    }
}

impl Scope {
    /// Of the command line.
    pub fn new(args: ScopeArgs) -> Scope {
        Scope { args, absent: Vec::new(), peers: Vec::new() }
    }

    /// Whether it shall be quick.
    pub fn is_quick(&self) -> bool {
        self.args.quick
    }

    /// Whether this work is wanted.
    pub fn wants(&self, work: Work) -> bool {
        self.args.works.is_empty() || self.args.works.contains(&work)
    }

    /// Whether this work by just so many of these is wanted.
    pub fn wants_by(&self, work: Work, kind: Kind, members: u32) -> bool {
        self.wants(work) && self.kinds().any(|it| it == kind) && self.members().contains(&members)
    }

    /// Whether that peer may take part.
    pub fn has(&mut self, peer: &'static str) -> bool {
        self.peers.push(peer);
        self.args.peers.is_empty() || self.args.peers.iter().any(|it| it == peer)
    }

    /// That peer is not there, for this reason. Said once, however many suites want it.
    pub fn lacks(&mut self, peer: &'static str, why: impl Into<String>) {
        if !self.absent.iter().any(|it| it.peer == peer) {
            self.absent.push(Absent { peer: peer.to_owned(), why: why.into() });
        }
    }

    /// How many members there shall be, one after the other.
    pub fn members(&self) -> &[u32] {
        match (&self.args.members[..], self.args.quick) {
            ([], false) => &MEMBERS,
            ([], true) => &MEMBERS_QUICK,
            (asked, _) => asked,
        }
    }

    /// What they shall be.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> + use<> {
        let only = self.args.kind;
        [Kind::Processes, Kind::Threads].into_iter().filter(move |it| only.is_none_or(|k| k == *it))
    }

    /// Rounds that are counted.
    pub fn rounds(&self) -> Rounds {
        let usual = if self.args.quick { ROUNDS_QUICK } else { ROUNDS };
        self.args.rounds.map_or(usual, Rounds::exactly)
    }

    /// How long it may take to do again what others on the machine disturbed.
    pub fn patience(&self) -> Duration {
        if self.args.quick { PATIENCE_QUICK } else { PATIENCE }
    }

    /// Who was not there.
    ///
    /// # Errors
    /// A peer was asked for that nobody has heard of.
    pub fn absent(self) -> Result<Vec<Absent>> {
        for asked in self.args.peers.iter().filter(|it| *it != "none") {
            if !self.peers.iter().any(|it| it == asked) {
                let mut all = self.peers;
                all.sort_unstable();
                all.dedup();
                bail!("no peer of these works is called {asked}; there are {}", all.join(", "));
            }
        }
        Ok(self.absent)
    }
}

/// Runs all cases.
///
/// The cases of a work are done together, round by round, so that what it takes can be compared between sizes and
/// numbers of members; the subjects of a case take turns in an order that changes from round to round. The first round
/// warms up.
pub fn measure(mut cases: Vec<Case>, rounds: Rounds, quiet: &mut Quiet) -> Result<Vec<Row>> {
    let steps =
        |case: &Case| u64::from(rounds.at_least.min(case.at_most) + 1) * case.subjects.len() as u64;
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} % {eta:>4} {msg}");
    // Draws nothing but on a terminal.
    let progress =
        ProgressBar::new(cases.iter().map(steps).sum()).with_style(style.expect("a template"));
    let mut rows = Vec::new();
    while let Some(first) = cases.first() {
        let is_same = |case: &&Case| case.key.work == first.key.work;
        let count = cases.iter().take_while(is_same).count();
        // What they hold goes with them, as it may be hundreds of MiB.
        let mut of_work: Vec<Case> = cases.drain(..count).collect();
        let none = |case: &Case| case.subjects.iter().map(|_| Vec::new()).collect();
        let mut samples: Vec<Vec<Vec<Sample>>> = of_work.iter().map(none).collect();
        let mut took = vec![Duration::ZERO; count];
        for round in 0..=rounds.at_most {
            let cases = of_work.iter_mut().zip(&mut samples).zip(&mut took);
            for ((case, samples), took) in cases {
                let is_extra = round > rounds.at_least;
                if round > case.at_most || is_extra && *took >= rounds.enough {
                    continue;
                }
                if is_extra {
                    progress.inc_length(case.subjects.len() as u64);
                }
                let begin = Instant::now();
                one_round(case, round, samples, quiet, &progress)?;
                *took += begin.elapsed();
            }
        }
        for (case, samples) in of_work.iter().zip(&samples) {
            let row = |(entry, samples): (&Entry, &Vec<Sample>)| {
                Row::of(&case.key, entry.name, case.unit, samples)
            };
            rows.extend(case.subjects.iter().zip(samples).filter_map(row));
        }
    }
    progress.finish_and_clear();
    Ok(rows)
}

/// All subjects of a case.
fn one_round(
    case: &mut Case,
    round: u32,
    samples: &mut [Vec<Sample>],
    quiet: &mut Quiet,
    progress: &ProgressBar,
) -> Result<()> {
    let Key { work, kind, members, size } = &case.key;
    let count = case.subjects.len();
    for turn in 0..count {
        let s = (turn + round as usize) % count;
        let Entry { name, run } = &mut case.subjects[s];
        progress.set_message(format!("{work} {size}, {members} {kind}: {name}"));
        let sample = if case.unit.is_time() { quiet.undisturbed(run) } else { run() };
        let sample = sample.with_context(|| format!("{name} at {work}, {members} {kind}"))?;
        if round > 0 {
            samples[s].push(sample);
        }
        progress.inc(1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn subjects_take_turns_and_the_first_round_is_not_counted() {
        let turns = Rc::new(RefCell::new(Vec::new()));
        let mut case = Case::new(Key::new(Work::Churn, Kind::Threads, 1), Unit::Nanoseconds);
        for name in ["a", "b"] {
            let turns = turns.clone();
            case.add(name, move || {
                turns.borrow_mut().push(name);
                Ok(Sample::Figure(turns.borrow().len() as f64))
            });
        }
        let rows =
            measure(vec![case], Rounds::exactly(2), &mut Quiet::new(Duration::ZERO)).unwrap();
        assert_eq!(*turns.borrow(), ["a", "b", "b", "a", "a", "b"]);
        assert_eq!((&rows[0].rounds[..], &rows[1].rounds[..]), (&[4.0, 5.0][..], &[3.0, 6.0][..]));
    }

    #[test]
    fn what_takes_little_time_has_more_rounds_and_what_takes_long_fewer() {
        let of = |size, at_most, took: Duration| {
            let mut case =
                Case::new(Key::new(Work::Churn, Kind::Threads, 1).of_size(size), Unit::Bytes);
            case.at_most = at_most;
            case.add("a", move || {
                std::thread::sleep(took);
                Ok(Sample::Figure(1.0))
            });
            case
        };
        let enough = Duration::from_millis(60);
        let cases = vec![
            of(1, u32::MAX, Duration::ZERO),
            of(2, u32::MAX, enough / 3),
            of(3, 1, Duration::ZERO),
        ];
        let rows = measure(
            cases,
            Rounds { at_least: 2, at_most: 9, enough },
            &mut Quiet::new(Duration::ZERO),
        )
        .unwrap();
        let rounds: Vec<usize> = rows.iter().map(|it| it.rounds.len()).collect();
        assert_eq!(rounds, [9, 2, 1]);
    }

    #[test]
    fn a_peer_that_is_not_there_is_named() {
        let args = ScopeArgs {
            quick: false,
            works: Vec::new(),
            peers: vec!["nobody".into()],
            members: Vec::new(),
            kind: None,
            rounds: None,
            json: None,
        };
        let mut scope = Scope::new(args);
        assert!(!scope.has("somebody"));
        let error = scope.absent().err().unwrap().to_string();
        assert!(error.contains("nobody") && error.contains("somebody"), "{error}");
    }
}

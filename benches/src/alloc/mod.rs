//! Works of allocators: alone, side by side, and from one to another.

mod crowds;
mod hand_on;
mod replay;
mod scratch;
mod sizes;
pub mod subjects;
mod trace;
pub mod works;

use crate::args::{Kind, Work};
use crate::latency::{self, Latencies};
use crate::measure::{Case, Scope};
use crate::members::{Start, apart, per_operation, together};
use crate::results::{Key, Sample, Unit};
use anyhow::{Result, bail};
use crowds::Named;
use std::time::Instant;
use subjects::{Passes, Subject};
use works::{Alone, SMALL, layout, write_first_byte};

const WORKS: [Work; 9] = [
    Work::Churn,
    Work::Threadtest,
    Work::Larson,
    Work::Remote,
    Work::Latency,
    Work::Sizes,
    Work::Thrash,
    Work::Scratch,
    Work::Trace,
];

/// Pairs of one member in a round of [`Work::Latency`].
const TIMED_PAIRS: u32 = 200_000;
/// So many at least, by however many parts: the slowest of ten thousand must be among them.
const TIMED_PAIRS_AT_LEAST: u32 = 20_000;

/// One of so many parts of a work is done in a round: enough to be measured, and all of them within the hour, or within
/// minutes.
const PARTS: u32 = 4;
const PARTS_QUICK: u32 = 8;

/// What a crowd does.
#[derive(Clone, Copy)]
pub struct What {
    work: Work,
    kind: Kind,
    members: u32,
    /// One of so many parts of the work is done: the same, for a shorter time.
    parts: u32,
}

impl What {
    /// Whether there can be such a crowd at all.
    fn can_be(&self) -> bool {
        self.work != Work::Remote || self.members.is_multiple_of(2)
    }

    /// Whether each operation is measured by itself.
    fn is_timed_each(&self) -> bool {
        self.work == Work::Latency
    }

    /// Whether members free what others allocated.
    fn hands_on(&self) -> bool {
        matches!(self.work, Work::Remote | Work::Scratch)
    }

    /// All members do the same, each by itself.
    fn side_by_side<S: Subject>(&self, subject: impl Fn() -> Result<S> + Sync) -> Result<Sample> {
        if self.is_timed_each() {
            let one = |_, start: &Start<'_>| {
                let subject = subject()?;
                subject.begin(SMALL);
                start.wait();
                latency::measure((TIMED_PAIRS / self.parts).max(TIMED_PAIRS_AT_LEAST), |i| {
                    let block = subject.allocate(layout(SMALL));
                    write_first_byte(&subject, &block, i as u8);
                    // SAFETY: its layout.
                    unsafe { subject.free(block, layout(SMALL)) };
                })
            };
            let all = together(self.kind, self.members, one)?;
            return Ok(Sample::Latencies(Latencies::of_all(all)?));
        }
        let Some(work) = Alone::of(self.work) else { bail!("nobody does that alone") };
        let base = Instant::now();
        let act = |_, start: &Start<'_>| {
            let subject = subject()?;
            // A process that is new has none of its memory mapped: without the clock, all of it once before.
            work.run(&subject, self.parts, || ());
            Ok(work.run(&subject, self.parts, || start.wait()).since(base))
        };
        Ok(per_operation(&together(self.kind, self.members, act)?))
    }

    /// The same, of a subject whose blocks can be handed on.
    fn with_hand_on<S: Passes>(&self, subject: impl Fn() -> Result<S> + Sync) -> Result<Sample> {
        let What { work, kind, members, parts } = *self;
        match work {
            Work::Remote => Ok(per_operation(&hand_on::run(kind, members, parts, subject)?)),
            Work::Scratch => Ok(per_operation(&scratch::scratch(kind, members, parts, subject)?)),
            _ => self.side_by_side(subject),
        }
    }
}

/// All that was asked for.
pub fn cases(scope: &mut Scope) -> Result<Vec<Case>> {
    let works: Vec<Work> = WORKS.into_iter().filter(|it| scope.wants(*it)).collect();
    if works.is_empty() {
        return Ok(Vec::new());
    }
    let crowds = crowds::all(scope)?;
    let parts = if scope.is_quick() { PARTS_QUICK } else { PARTS };
    let mut cases = Vec::new();
    for work in works {
        for kind in scope.kinds() {
            for members in scope.members() {
                let what = What { work, kind, members: *members, parts };
                if what.can_be() {
                    cases.push(case(what, &crowds));
                }
            }
        }
    }
    Ok(cases)
}

fn case(what: What, crowds: &[Named]) -> Case {
    let key = Key::new(what.work, what.kind, what.members);
    let mut case = Case::new(key, Unit::Nanoseconds);
    for (name, crowd) in crowds.iter().filter(|(_, crowd)| crowd.can(&what)) {
        let crowd = crowd.clone();
        // How quick an allocator is depends on which pages it happens to have: each round has others.
        case.add(name, move || apart(|| crowd.run(&what)));
    }
    case
}

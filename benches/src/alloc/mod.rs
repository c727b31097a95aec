//! Works of allocators: alone, side by side, and from one to another.

mod hand_on;
pub mod subjects;
mod works;

use crate::args::{Kind, Work};
use crate::latency::{self, Latencies};
use crate::measure::{Case, Scope};
use crate::members::{Span, Start, together};
use crate::results::{Key, Sample, Unit};
use anyhow::{Result, bail};
use sharena::Segment;
use std::alloc::GlobalAlloc;
use std::rc::Rc;
use std::time::Instant;
use subjects::{
    GLIBC, JEMALLOC, MIMALLOC, Noop, Passes, Private, PrivateTls, Process, Published, PublishedTls,
    RPMALLOC, SNMALLOC, Subject,
};
use works::{Alone, SMALL, layout, write_first_byte};

const WORKS: [Work; 5] = [Work::Churn, Work::Threadtest, Work::Larson, Work::Remote, Work::Latency];

/// Pairs of one member in a round of [`Work::Latency`].
const TIMED_PAIRS: u32 = 200_000;

/// What a crowd works with.
trait Crowd {
    /// Whether it is a peer, and not of ours.
    fn is_peer(&self) -> bool;

    /// Whether it can do that.
    fn can(&self, what: &What) -> bool;

    /// Does it once.
    fn run(&self, what: &What) -> Result<Sample>;
}

/// What a crowd does.
#[derive(Clone, Copy)]
struct What {
    work: Work,
    kind: Kind,
    members: u32,
}

impl What {
    /// Whether there can be such a crowd at all.
    fn can_be(&self) -> bool {
        self.work != Work::Remote || self.members.is_multiple_of(2)
    }

    /// All members do the same, each by itself.
    fn side_by_side<S: Subject>(&self, subject: impl Fn() -> Result<S> + Sync) -> Result<Sample> {
        if self.work == Work::Latency {
            let one = |_, start: &Start<'_>| {
                let subject = subject()?;
                subject.begin(SMALL);
                start.wait();
                latency::measure(TIMED_PAIRS, |i| {
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
            let done = work.run(&subject()?, || start.wait());
            Ok((u64::from(done.pairs), Span::since(base, done.begin, done.took)))
        };
        Ok(per_pair(&together(self.kind, self.members, act)?))
    }

    /// The same, of a subject whose blocks can be handed on.
    fn with_hand_on<S: Passes>(&self, subject: impl Fn() -> Result<S> + Sync) -> Result<Sample> {
        if self.work == Work::Remote {
            return Ok(per_pair(&hand_on::run(self.kind, self.members, subject)?));
        }
        self.side_by_side(subject)
    }
}

/// Nanoseconds, of so many pairs of each.
fn per_pair(all: &[(u64, Span)]) -> Sample {
    let pairs: u64 = all.iter().map(|(pairs, _)| pairs).sum();
    let spans: Vec<Span> = all.iter().map(|(_, span)| *span).collect();
    Sample::Figure(Span::of_all(&spans) / pairs as f64)
}

/// Blocks that their member alone can free.
struct PrivateIn(Segment);

impl Crowd for PrivateIn {
    fn is_peer(&self) -> bool {
        false
    }

    fn can(&self, what: &What) -> bool {
        what.work != Work::Remote
    }

    fn run(&self, what: &What) -> Result<Sample> {
        what.side_by_side(|| Private::new(&self.0))
    }
}

/// The same by way of the thread-local look-up.
struct PrivateTlsIn(Segment);

impl Crowd for PrivateTlsIn {
    fn is_peer(&self) -> bool {
        false
    }

    fn can(&self, what: &What) -> bool {
        what.work != Work::Remote && what.members == 1
    }

    fn run(&self, what: &What) -> Result<Sample> {
        what.side_by_side(|| Ok(PrivateTls(&self.0)))
    }
}

/// Blocks that anybody can free.
struct PublishedIn(Segment);

impl Crowd for PublishedIn {
    fn is_peer(&self) -> bool {
        false
    }

    fn can(&self, _: &What) -> bool {
        true
    }

    fn run(&self, what: &What) -> Result<Sample> {
        what.with_hand_on(|| Published::new(&self.0))
    }
}

/// The same by way of the thread-local look-up.
struct PublishedTlsIn(Segment);

impl Crowd for PublishedTlsIn {
    fn is_peer(&self) -> bool {
        false
    }

    fn can(&self, what: &What) -> bool {
        what.work != Work::Remote && what.members == 1
    }

    fn run(&self, what: &What) -> Result<Sample> {
        what.side_by_side(|| Ok(PublishedTls(&self.0)))
    }
}

impl<A: GlobalAlloc + Sync> Crowd for Process<A> {
    fn is_peer(&self) -> bool {
        true
    }

    /// Processes have nothing of each other's to free.
    fn can(&self, what: &What) -> bool {
        what.work != Work::Remote || what.kind == Kind::Threads
    }

    fn run(&self, what: &What) -> Result<Sample> {
        what.with_hand_on(|| Ok(Process(self.0)))
    }
}

/// The harness.
struct NoCrowd;

impl Crowd for NoCrowd {
    fn is_peer(&self) -> bool {
        false
    }

    fn can(&self, _: &What) -> bool {
        true
    }

    fn run(&self, what: &What) -> Result<Sample> {
        what.with_hand_on(|| Ok(Noop::new(works::MOST_LIVE)))
    }
}

/// All that was asked for.
pub fn cases(scope: &mut Scope) -> Result<Vec<Case>> {
    let segment = || sharena::Options::new().capacity(1 << 30).create_anonymous();
    let all: [(&'static str, Rc<dyn Crowd>); 10] = [
        ("private", Rc::new(PrivateIn(segment()?))),
        ("private-tls", Rc::new(PrivateTlsIn(segment()?))),
        ("published", Rc::new(PublishedIn(segment()?))),
        ("published-tls", Rc::new(PublishedTlsIn(segment()?))),
        ("mimalloc", Rc::new(MIMALLOC)),
        ("jemalloc", Rc::new(JEMALLOC)),
        ("snmalloc", Rc::new(SNMALLOC)),
        ("rpmalloc", Rc::new(RPMALLOC)),
        ("glibc", Rc::new(GLIBC)),
        ("noop", Rc::new(NoCrowd)),
    ];
    let mut subjects = Vec::new();
    for (name, crowd) in all {
        if !crowd.is_peer() || scope.has(name) {
            subjects.push((name, crowd));
        }
    }
    let mut cases = Vec::new();
    for work in WORKS.into_iter().filter(|it| scope.wants(*it)) {
        for kind in scope.kinds() {
            for members in scope.members() {
                let what = What { work, kind, members: *members };
                if what.can_be() {
                    cases.push(case(what, &subjects));
                }
            }
        }
    }
    Ok(cases)
}

fn case(what: What, subjects: &[(&'static str, Rc<dyn Crowd>)]) -> Case {
    let key = Key::new(what.work, what.kind, what.members);
    let mut case = Case::new(key, Unit::Nanoseconds);
    for (name, crowd) in subjects.iter().filter(|(_, crowd)| crowd.can(&what)) {
        let crowd = crowd.clone();
        case.add(name, move || crowd.run(&what));
    }
    case
}

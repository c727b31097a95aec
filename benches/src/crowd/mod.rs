//! `crowd`: many processes, or threads, at once.

mod hand_on;
mod latency;
mod members;
mod report;

use crate::args::{CrowdArgs, CrowdWork, Kind, Work};
use crate::machine::Machine;
use crate::subjects::{
    GLIBC, JEMALLOC, MIMALLOC, Noop, Passes, Private, Process, Published, RPMALLOC, SNMALLOC,
    Subject,
};
use crate::works;
use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use latency::Latencies;
use members::{Span, Start, together};
use sharena::Segment;
use std::alloc::GlobalAlloc;
use std::time::Instant;

const COUNTS: [u32; 5] = [1, 2, 4, 8, 16];
const WORKS: [CrowdWork; 5] = [
    CrowdWork::Churn,
    CrowdWork::Threadtest,
    CrowdWork::Larson,
    CrowdWork::Remote,
    CrowdWork::Latency,
];

/// The harness by itself.
const CONTROL: &str = "noop";
/// What the crowd of ours has, whose blocks others can free.
const OURS: &str = "published";

/// One round of one work.
enum Sample {
    /// Millions of pairs in a second.
    Rate(f64),
    Latencies(Latencies),
}

/// What a crowd works with.
trait Crowd: Sync {
    /// `None`: it cannot do that.
    fn run(&self, case: &Case) -> Result<Option<Sample>>;
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Case {
    work: CrowdWork,
    kind: Kind,
    members: u32,
}

impl Case {
    /// Whether such a crowd can be.
    fn can_be(&self) -> bool {
        self.work != CrowdWork::Remote || self.members.is_multiple_of(2)
    }

    /// All members do the same, each by itself.
    fn side_by_side<S: Subject>(&self, subject: impl Fn() -> Result<S> + Sync) -> Result<Sample> {
        let base = Instant::now();
        let work = match self.work {
            CrowdWork::Churn => Work::Churn,
            CrowdWork::Threadtest => Work::Threadtest,
            CrowdWork::Larson => Work::Larson,
            CrowdWork::Latency => {
                let all = together(self.kind, self.members, |_, start| {
                    latency::measure(&subject()?, || start.wait())
                })?;
                return Ok(Sample::Latencies(Latencies::of_all(all)?));
            }
            CrowdWork::Remote => bail!("nobody hands anything on"),
        };
        let act = |_, start: &Start<'_>| {
            let done = work.run_from(&subject()?, || start.wait());
            Ok((u64::from(done.pairs), Span::since(base, done.begin, done.took)))
        };
        Ok(rate(&together(self.kind, self.members, act)?))
    }

    /// The same, of a subject whose blocks can be handed on.
    fn with_hand_on<S: Passes>(&self, subject: impl Fn() -> Result<S> + Sync) -> Result<Sample> {
        if self.work == CrowdWork::Remote {
            return Ok(rate(&hand_on::run(self.kind, self.members, subject)?));
        }
        self.side_by_side(subject)
    }
}

/// Of so many pairs each.
fn rate(all: &[(u64, Span)]) -> Sample {
    let pairs: u64 = all.iter().map(|(pairs, _)| pairs).sum();
    let spans: Vec<Span> = all.iter().map(|(_, span)| *span).collect();
    Sample::Rate(pairs as f64 / Span::of_all(&spans) * 1e3)
}

/// Blocks that their member alone can free.
struct PrivateIn(Segment);

impl Crowd for PrivateIn {
    fn run(&self, case: &Case) -> Result<Option<Sample>> {
        if case.work == CrowdWork::Remote {
            return Ok(None);
        }
        case.side_by_side(|| Private::new(&self.0)).map(Some)
    }
}

/// Blocks that anybody can free.
struct PublishedIn(Segment);

impl Crowd for PublishedIn {
    fn run(&self, case: &Case) -> Result<Option<Sample>> {
        case.with_hand_on(|| Published::new(&self.0)).map(Some)
    }
}

impl<A: GlobalAlloc + Sync> Crowd for Process<A> {
    fn run(&self, case: &Case) -> Result<Option<Sample>> {
        if case.work == CrowdWork::Remote && case.kind == Kind::Processes {
            return Ok(None);
        }
        case.with_hand_on(|| Ok(Process(self.0))).map(Some)
    }
}

/// The harness.
struct NoCrowd;

impl Crowd for NoCrowd {
    fn run(&self, case: &Case) -> Result<Option<Sample>> {
        case.with_hand_on(|| Ok(Noop::new(works::MOST_LIVE))).map(Some)
    }
}

/// The command; whether every bar that was asked for is met.
pub fn run(args: &CrowdArgs) -> Result<bool> {
    let machine = Machine::here();
    let segment = || sharena::Options::new().capacity(1 << 30).create_anonymous();
    let (private, published) = (PrivateIn(segment()?), PublishedIn(segment()?));
    let all: [(&str, &dyn Crowd); 8] = [
        ("private", &private),
        (OURS, &published),
        ("mimalloc", &MIMALLOC),
        ("jemalloc", &JEMALLOC),
        ("snmalloc", &SNMALLOC),
        ("rpmalloc", &RPMALLOC),
        ("glibc", &GLIBC),
        (CONTROL, &NoCrowd),
    ];
    let peers = || all[2..all.len() - 1].iter().map(|(name, _)| *name);
    if let Some(unknown) = args.peers.iter().find(|it| !peers().any(|peer| peer == **it)) {
        bail!("no peer is called {unknown}; there are {}", peers().collect::<Vec<_>>().join(", "));
    }
    let is_asked = |name: &str| {
        args.peers.is_empty()
            || !peers().any(|it| it == name)
            || args.peers.iter().any(|it| it == name)
    };
    let subjects: Vec<_> = all.into_iter().filter(|(name, _)| is_asked(name)).collect();
    let cases = cases(args);
    ensure!(
        !cases.is_empty(),
        "blocks are handed on from one half to the other: give an even number"
    );
    let samples = measure(&cases, &subjects, args.rounds)?;
    let rows = report::rows(&cases, &subjects.iter().map(|it| it.0).collect::<Vec<_>>(), &samples);
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report::Results { machine, rows: &rows })?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    report::print(&rows, args.rounds);
    Ok(!args.gate || report::gate(&rows))
}

fn cases(args: &CrowdArgs) -> Vec<Case> {
    let works = if args.works.is_empty() { &WORKS[..] } else { &args.works };
    let counts = if args.members.is_empty() { &COUNTS[..] } else { &args.members };
    let kinds = [Kind::Processes, Kind::Threads].into_iter();
    let kinds: Vec<_> = kinds.filter(|it| args.kind.is_none_or(|only| only == *it)).collect();
    let mut cases = Vec::new();
    for work in works {
        for kind in &kinds {
            cases.extend(counts.iter().map(|members| Case {
                work: *work,
                kind: *kind,
                members: *members,
            }));
        }
    }
    cases.retain(Case::can_be);
    cases
}

/// By case, subject, round. Subjects take turns in an order that changes from round to round.
fn measure(
    cases: &[Case],
    subjects: &[(&str, &dyn Crowd)],
    rounds: u32,
) -> Result<Vec<Vec<Vec<Sample>>>> {
    let none = |_| subjects.iter().map(|_| Vec::new()).collect::<Vec<_>>();
    let mut samples: Vec<Vec<Vec<Sample>>> = cases.iter().map(none).collect();
    let steps = u64::from(rounds + 1) * (subjects.len() * cases.len()) as u64;
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} % {msg}").expect("a template");
    let progress = ProgressBar::new(steps).with_style(style); // draws nothing but on a terminal
    for round in 0..=rounds as usize {
        for (case, samples) in cases.iter().zip(&mut samples) {
            for turn in 0..subjects.len() {
                let s = (turn + round) % subjects.len();
                let (name, subject) = &subjects[s];
                progress.set_message(format!(
                    "{:?} {} {:?} {name}",
                    case.work, case.members, case.kind
                ));
                let sample =
                    subject.run(case).with_context(|| format!("{name}, {:?}", case.work))?;
                if round > 0 {
                    samples[s].extend(sample); // the first warms up
                }
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    Ok(samples)
}

//! The heap against a reference that knows no cleverness: a map of the intervals in use. After any
//! sequence of operations, by any of several threads,
//!
//! - no two blocks overlap, and each lies where its layout says;
//! - each byte of a block is as its holder left it; zeroed blocks are zero;
//! - what is refused changes nothing: freeing twice, freeing what is private, freeing from inside;
//! - memory is refused only if more is in use than the segment promised;
//! - with everything freed, as many bytes are free as at the start, and the check finds nothing.
//!
//! `PROPTEST_CASES` runs more; failures are kept in `heap_model.regressions`.
mod common;

use common::{assert_like_fresh, at_rest, pattern};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use sharena::{AllocError, Block, FreeError, Offset, Options, Segment};
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread::{Scope, ScopedJoinHandle};

const THREADS: usize = 3;
const CAPACITY: u64 = 16 << 20;

#[derive(Clone, Copy, Debug)]
enum How {
    Raw,
    RawByHandle,
    Zeroed,
    Private,
    PrivateByHandle,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Allocate {
        bytes: usize,
        align: u32,
        how: How,
    },
    Many {
        bytes: usize,
        count: usize,
    },
    Free {
        pick: usize,
        by_handle: bool,
    },
    FreeHalf {
        pick: usize,
    },
    Publish {
        pick: usize,
    },
    Resize {
        pick: usize,
        bytes: usize,
    },
    /// The largest raw block, by so many units.
    Grow {
        units: usize,
    },
    FreeTwice {
        pick: usize,
    },
    FreeInside {
        pick: usize,
        bytes: usize,
    },
}

/// Sizes where rounding turns: around each class and each unit, and a few of all lengths.
fn sizes() -> impl Strategy<Value = usize> {
    let around = |shifts: std::ops::Range<u32>| {
        (shifts, -1isize..=1, 0usize..4).prop_map(|(shift, by, quarter)| {
            ((1usize << shift) + quarter * (1 << shift) / 4).saturating_add_signed(by).max(1)
        })
    };
    prop_oneof![
        6 => 1usize..=1024,
        4 => around(3..18),
        2 => 1024usize..=300 << 10,
        1 => around(18..22),
    ]
}

fn hows() -> impl Strategy<Value = How> {
    prop_oneof![
        Just(How::Raw),
        Just(How::RawByHandle),
        Just(How::Zeroed),
        Just(How::Private),
        Just(How::PrivateByHandle)
    ]
}

fn ops() -> impl Strategy<Value = (usize, Op)> {
    let aligns = prop_oneof![8 => 0u32..=6, 2 => 7u32..=12, 1 => 13u32..=16];
    let pick = 0usize..1 << 20;
    let op = prop_oneof![
        8 => (sizes(), aligns, hows()).prop_map(|(bytes, align, how)| Op::Allocate { bytes, align, how }),
        1 => (1usize..600, 50usize..800).prop_map(|(bytes, count)| Op::Many { bytes, count }),
        6 => (pick.clone(), any::<bool>()).prop_map(|(pick, by_handle)| Op::Free { pick, by_handle }),
        1 => pick.clone().prop_map(|pick| Op::FreeHalf { pick }),
        2 => pick.clone().prop_map(|pick| Op::Publish { pick }),
        2 => (pick.clone(), sizes()).prop_map(|(pick, bytes)| Op::Resize { pick, bytes }),
        1 => (1usize..40).prop_map(|units| Op::Grow { units }),
        1 => pick.clone().prop_map(|pick| Op::FreeTwice { pick }),
        1 => (pick, 1usize..70_000).prop_map(|(pick, bytes)| Op::FreeInside { pick, bytes }),
    ];
    (0..THREADS, op)
}

type Job<'s> = Box<dyn FnOnce(&'s Segment) + Send + 's>;

/// Threads that do what they are told, one thing at a time.
struct Crew<'scope, 's>(Vec<(mpsc::Sender<Job<'s>>, ScopedJoinHandle<'scope, ()>)>);

impl<'scope, 's: 'scope> Crew<'scope, 's> {
    fn hire(scope: &'scope Scope<'scope, '_>, segment: &'s Segment) -> Self {
        let hire = |_| {
            let (jobs, todo) = mpsc::channel::<Job<'s>>();
            (jobs, scope.spawn(move || todo.into_iter().for_each(|job| job(segment))))
        };
        Crew((0..THREADS).map(hire).collect())
    }

    /// Ends the threads. Joined one by one: a scope waits for their closures only, not until they
    /// have given back what they held of the segment.
    fn dismiss(self) {
        for (jobs, thread) in self.0 {
            drop(jobs);
            thread.join().unwrap();
        }
    }

    fn ask<R: Send + 's>(&self, who: usize, job: impl FnOnce(&'s Segment) -> R + Send + 's) -> R {
        let (answer, answered) = mpsc::sync_channel(1);
        let job: Job<'s> = Box::new(move |segment| answer.send(job(segment)).unwrap());
        self.0[who].0.send(job).expect("a thread that works");
        answered.recv().expect("a thread that did not panic")
    }
}

/// A block that is in use.
struct Used<'s> {
    bytes: usize,
    seed: u64,
    private: Option<Block<'s>>,
}

struct Model<'scope, 's> {
    segment: &'s Segment,
    crew: Crew<'scope, 's>,
    used: BTreeMap<u64, Used<'s>>,
    freed: Vec<u64>,
    in_use: u64,
    next_seed: u64,
}

/// The indices of a block's bytes that are looked at: all of a small one.
fn looked_at(bytes: usize) -> impl Iterator<Item = usize> {
    let step = if bytes <= 8192 { 1 } else { 509 };
    (0..bytes).step_by(step).chain(bytes.saturating_sub(64)..bytes)
}

impl<'scope, 's: 'scope> Model<'scope, 's> {
    fn address(&self, start: u64) -> *mut u8 {
        self.segment.address(Offset::from_bits(start).unwrap()).unwrap().as_ptr()
    }

    fn fill(&self, start: u64, bytes: usize, seed: u64) {
        let at = self.address(start);
        for i in looked_at(bytes) {
            // SAFETY: the model holds the block.
            unsafe { at.add(i).write(pattern(seed, i)) };
        }
    }

    fn assert_kept(&self, start: u64, bytes: usize, of: usize, seed: u64) {
        let at = self.address(start);
        for i in looked_at(of).filter(|i| *i < bytes) {
            // SAFETY: as above.
            let found = unsafe { at.add(i).read() };
            assert_eq!(
                found,
                pattern(seed, i),
                "byte {i} of the block at {start:#x} ({of} bytes) was overwritten"
            );
        }
    }

    fn enter(&mut self, start: u64, bytes: usize, align: usize, private: Option<Block<'s>>) {
        assert_eq!(start % align as u64, 0, "{start:#x} is not aligned to {align}");
        assert_eq!(self.address(start) as usize % align, 0);
        if let Some((before, used)) = self.used.range(..=start).next_back() {
            assert!(
                before + used.bytes as u64 <= start,
                "{start:#x} lies in the block at {before:#x}"
            );
        }
        if let Some((behind, _)) = self.used.range(start..).next() {
            assert!(
                start + bytes as u64 <= *behind,
                "the block at {start:#x} reaches into that at {behind:#x}"
            );
        }
        self.next_seed += 1;
        let seed = self.next_seed;
        self.fill(start, bytes, seed);
        self.in_use += bytes as u64;
        self.used.insert(start, Used { bytes, seed, private });
    }

    fn pick(&self, pick: usize, private: Option<bool>) -> Option<u64> {
        let fits =
            |used: &Used<'_>| private.is_none_or(|private| used.private.is_some() == private);
        let candidates: Vec<u64> =
            self.used.iter().filter(|(_, used)| fits(used)).map(|(start, _)| *start).collect();
        (!candidates.is_empty()).then(|| candidates[pick % candidates.len()])
    }

    fn allocate(&mut self, who: usize, bytes: usize, align: usize, how: How) {
        let layout = Layout::from_size_align(bytes, align).unwrap();
        let made = self.crew.ask(who, move |segment| {
            let raw =
                |offset: Offset<u8>| (offset.to_bits(), segment.usable_size(offset).unwrap(), None);
            let private = |block: Block<'s>| {
                let offset = segment.offset_of(block.as_ptr().as_ptr()).unwrap();
                (offset.to_bits(), block.usable_size(), Some(block))
            };
            match how {
                How::Raw => segment.allocate(layout).map(raw),
                How::RawByHandle => segment.handle().unwrap().allocate(layout).map(raw),
                How::Zeroed => segment.allocate_zeroed(layout).map(raw),
                How::Private => segment.allocate_block(layout).map(private),
                How::PrivateByHandle => {
                    segment.handle().unwrap().allocate_block(layout).map(private)
                }
            }
        });
        match made {
            Ok((start, usable, private)) => {
                assert!(usable >= bytes, "{usable} bytes for {bytes}");
                if let How::Zeroed = how {
                    let at = self.address(start);
                    // SAFETY: the block is new and ours.
                    let is_zero = |i| unsafe { at.add(i).read() } == 0;
                    assert!((0..bytes).all(is_zero), "zeroed bytes are not zero");
                }
                self.enter(start, usable, align, private);
            }
            Err(AllocError::OutOfCapacity { asked, .. }) => {
                assert_eq!(asked, bytes);
                let in_use = self.in_use;
                assert!(
                    in_use + bytes as u64 > CAPACITY,
                    "{bytes} bytes refused with {in_use} in use"
                );
            }
            Err(error) => panic!("{bytes} bytes aligned to {align}: {error}"),
        }
    }

    fn free(&mut self, who: usize, start: u64, by_handle: bool) {
        let used = self.used.remove(&start).unwrap();
        self.assert_kept(start, used.bytes, used.bytes, used.seed);
        self.in_use -= used.bytes as u64;
        self.freed.push(start);
        self.crew.ask(who, move |segment| match (used.private, by_handle) {
            (Some(block), true) => segment.handle().unwrap().free_block(block),
            (Some(block), false) => drop(block),
            (None, true) => {
                segment.handle().unwrap().deallocate(Offset::from_bits(start).unwrap()).unwrap()
            }
            (None, false) => segment.deallocate(Offset::from_bits(start).unwrap()).unwrap(),
        });
    }

    fn deallocate(&self, who: usize, start: u64) -> Result<(), FreeError> {
        self.crew.ask(who, move |segment| segment.deallocate(Offset::from_bits(start).unwrap()))
    }

    fn step(&mut self, who: usize, op: Op) {
        match op {
            Op::Allocate { bytes, align, how } => self.allocate(who, bytes, 1 << align, how),
            Op::Many { bytes, count } => {
                (0..count).for_each(|_| self.allocate(who, bytes, 8, How::Raw))
            }
            Op::Free { pick, by_handle } => {
                if let Some(start) = self.pick(pick, None) {
                    self.free(who, start, by_handle);
                }
            }
            Op::FreeHalf { pick } => {
                let half: Vec<u64> = self.used.keys().copied().skip(pick % 2).step_by(2).collect();
                half.into_iter().for_each(|start| self.free(who, start, false));
            }
            Op::Publish { pick } => {
                if let Some(start) = self.pick(pick, Some(true)) {
                    let block = self.used.get_mut(&start).unwrap().private.take().unwrap();
                    let published = self.crew.ask(who, move |_| block.publish());
                    assert_eq!(published.to_bits(), start);
                }
            }
            Op::Resize { pick, bytes } => {
                if let Some(start) = self.pick(pick, Some(false)) {
                    self.resize(who, start, bytes);
                }
            }
            Op::Grow { units } => {
                let raw = self.used.iter().filter(|(_, used)| used.private.is_none());
                if let Some((bytes, start)) = raw.map(|(start, used)| (used.bytes, *start)).max() {
                    self.resize(who, start, bytes + units * (64 << 10));
                }
            }
            Op::FreeTwice { pick } => {
                let freed = (!self.freed.is_empty()).then(|| self.freed[pick % self.freed.len()]);
                // It may be in use again; if as a private block, it is refused as that.
                if let Some(start) = freed
                    && self.used.get(&start).is_none_or(|used| used.private.is_some())
                {
                    let error = self.deallocate(who, start).expect_err("freed twice");
                    if self.used.contains_key(&start) {
                        assert_eq!(error, FreeError::IsPrivate { offset: start });
                    }
                }
            }
            Op::FreeInside { pick, bytes } => {
                if let Some(start) = self.pick(pick, None)
                    && bytes < self.used[&start].bytes
                {
                    let inside = start + bytes as u64;
                    let refused = self.deallocate(who, inside);
                    assert_eq!(refused, Err(FreeError::Misaligned { offset: inside, start }));
                }
            }
        }
    }

    fn resize(&mut self, who: usize, start: u64, bytes: usize) {
        let offset = Offset::from_bits(start).unwrap();
        let resized = self.crew.ask(who, move |segment| {
            let resized = segment.resize_in_place(offset, bytes).unwrap();
            assert_eq!(
                segment.usable_size(offset).unwrap(),
                resized.unwrap_or(segment.usable_size(offset).unwrap())
            );
            resized
        });
        let used = self.used.remove(&start).unwrap();
        self.assert_kept(
            start,
            used.bytes.min(resized.unwrap_or(usize::MAX)),
            used.bytes,
            used.seed,
        );
        self.in_use -= used.bytes as u64;
        match resized {
            Some(now) => {
                assert!(now >= bytes);
                self.enter(start, now, 1, None);
            }
            None => {
                assert!(bytes > used.bytes, "{bytes} of {} bytes need no room", used.bytes);
                self.enter(start, used.bytes, 1, None);
            }
        }
    }
}

fn run(steps: &[(usize, Op)]) {
    let segment = Options::new().capacity(CAPACITY).create_anonymous().unwrap();
    let fresh = at_rest(&segment);
    std::thread::scope(|scope| {
        let crew = Crew::hire(scope, &segment);
        let mut model = Model {
            segment: &segment,
            crew,
            used: BTreeMap::new(),
            freed: Vec::new(),
            in_use: 0,
            next_seed: 0,
        };
        for (who, op) in steps {
            model.step(*who, *op);
        }
        for (start, used) in &model.used {
            model.assert_kept(*start, used.bytes, used.bytes, used.seed);
        }
        let report = segment.check().unwrap();
        assert!(report.is_clean(), "{:#?}", report.findings);
        let rest: Vec<u64> = model.used.keys().copied().collect();
        for (i, start) in rest.into_iter().enumerate() {
            model.free(i % THREADS, start, i % 2 == 0);
        }
        assert_eq!(model.in_use, 0);
        model.crew.dismiss();
    });
    assert_like_fresh(&segment, &fresh);
}

fn config() -> ProptestConfig {
    let persistence = FileFailurePersistence::Direct("tests/heap_model.regressions");
    let defaults = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { defaults.cases } else { 120 };
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(persistence)),
        max_shrink_time: 60_000,
        ..defaults
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_sequence_agrees_with_the_reference(steps in prop::collection::vec(ops(), 1..300)) {
        run(&steps);
    }
}

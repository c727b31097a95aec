//! The works: the same loop for every subject, compiled for each.

use super::replay::{self, RECORDED};
use super::subjects::Subject;
use super::{scratch, sizes};
use crate::args::Work;
use crate::members::Span;
use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

/// Blocks of [`SMALL`] that a member holds at once, at most.
pub const MOST_BLOCKS: usize = HELD;
/// Larger ones.
pub const MOST_LARGE_BLOCKS: usize = if SLOTS > sizes::LIVE { SLOTS } else { sizes::LIVE };

/// Bytes of a block, where all are of one size.
pub const SMALL: usize = 64;
/// At most, where they are of many.
pub const LARGE: usize = *SIZES.end();
const ALIGN: usize = 16;
const HELD: usize = 100_000;
const SLOTS: usize = 1000;
const SIZES: std::ops::RangeInclusive<usize> = 16..=1024;

/// What was done, and when.
pub struct Done {
    pub pairs: u32,
    pub begin: Instant,
    pub took: Duration,
}

impl Done {
    /// As all of a crowd say it, since a moment before there was one.
    pub fn since(&self, base: Instant) -> (u64, Span) {
        (self.pairs.into(), Span::since(base, self.begin, self.took))
    }
}

/// A work that each member does by itself.
#[derive(Clone, Copy)]
pub enum Alone {
    Churn,
    Threadtest,
    Larson,
    Sizes,
    Thrash,
    Trace,
}

impl Alone {
    /// `None`: it is another kind of work.
    pub fn of(work: Work) -> Option<Alone> {
        match work {
            Work::Churn => Some(Alone::Churn),
            Work::Threadtest => Some(Alone::Threadtest),
            Work::Larson => Some(Alone::Larson),
            Work::Sizes => Some(Alone::Sizes),
            Work::Thrash => Some(Alone::Thrash),
            Work::Trace => Some(Alone::Trace),
            _ => None,
        }
    }

    /// Does one of so many parts of it; calls `start` when it is prepared, before the clock runs.
    pub fn run<S: Subject>(self, subject: &S, parts: u32, start: impl FnOnce()) -> Done {
        match self {
            Alone::Churn => churn(subject, parts, start),
            Alone::Threadtest => threadtest(subject, parts, start),
            Alone::Larson => larson(subject, parts, start),
            Alone::Sizes => sizes::sizes(subject, parts, start),
            Alone::Thrash => scratch::thrash(subject, parts, start),
            Alone::Trace => replay::replay(subject, parts, start),
        }
    }
}

/// Bytes of its largest block.
pub fn largest(work: Work) -> usize {
    match work {
        Work::Larson | Work::Sizes => LARGE,
        Work::Trace => RECORDED.totals.largest as usize,
        _ => SMALL,
    }
}

/// Bytes that any work holds at once, at most.
pub fn most_live() -> usize {
    let of_trace = RECORDED.totals.most_live as usize;
    of_trace.max(MOST_BLOCKS * SMALL).max(MOST_LARGE_BLOCKS * LARGE)
}

/// Volatile: neither it nor the block that it is in can be optimized away.
#[inline(always)]
pub fn write_first_byte<S: Subject>(subject: &S, block: &S::Block, byte: u8) {
    // SAFETY: a block has a byte at least, and is ours alone.
    unsafe { subject.address(block).as_ptr().write_volatile(byte) };
}

pub fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, ALIGN).expect("a small size and a power of two")
}

#[inline(never)]
fn churn<S: Subject>(subject: &S, parts: u32, start: impl FnOnce()) -> Done {
    let pairs = 4_000_000 / parts;
    subject.begin(SMALL);
    start();
    let begin = Instant::now();
    for i in 0..pairs {
        let block = subject.allocate(layout(SMALL));
        write_first_byte(subject, &block, i as u8);
        // SAFETY: its layout.
        unsafe { subject.free(block, layout(SMALL)) };
    }
    Done { pairs, begin, took: begin.elapsed() }
}

#[inline(never)]
fn threadtest<S: Subject>(subject: &S, parts: u32, start: impl FnOnce()) -> Done {
    let times = (20 / parts).max(1);
    subject.begin(HELD * SMALL);
    let mut held: Vec<MaybeUninit<S::Block>> = Vec::with_capacity(HELD);
    held.resize_with(HELD, MaybeUninit::uninit);
    start();
    let begin = Instant::now();
    for i in 0..times {
        for place in &mut held {
            let block = subject.allocate(layout(SMALL));
            write_first_byte(subject, &block, i as u8);
            place.write(block);
        }
        for place in &held {
            // SAFETY: written above, and read once; the layout that it was allocated with.
            unsafe { subject.free(place.assume_init_read(), layout(SMALL)) };
        }
    }
    Done { pairs: times * HELD as u32, begin, took: begin.elapsed() }
}

#[inline(never)]
fn larson<S: Subject>(subject: &S, parts: u32, start: impl FnOnce()) -> Done {
    let pairs = 8_000_000 / parts; // so many that members take turns often in a round
    subject.begin(SLOTS * SIZES.end());
    let mut random = fastrand::Rng::with_seed(1);
    let mut fill = || {
        let layout = layout(random.usize(SIZES));
        (subject.allocate(layout), layout)
    };
    let mut slots: Vec<_> = (0..SLOTS).map(|_| MaybeUninit::new(fill())).collect();
    start();
    let begin = Instant::now();
    for i in 0..pairs {
        let number = random.u64(..);
        let slot = &mut slots[scaled(number as u32, SLOTS)];
        // SAFETY: every slot is full at the beginning of a turn, and filled again below.
        let (block, old) = unsafe { slot.assume_init_read() };
        // SAFETY: the layout that is kept beside it.
        unsafe { subject.free(block, old) };
        let layout =
            layout(SIZES.start() + scaled((number >> 32) as u32, SIZES.end() - SIZES.start() + 1));
        let block = subject.allocate(layout);
        write_first_byte(subject, &block, i as u8);
        slot.write((block, layout));
    }
    let took = begin.elapsed();
    for slot in slots {
        // SAFETY: full, as above, and the layout that is kept beside it.
        unsafe {
            let (block, layout) = slot.assume_init();
            subject.free(block, layout);
        }
    }
    Done { pairs, begin, took }
}

/// A random number below `limit`, made of 32 random bits.
#[inline(always)]
pub fn scaled(bits: u32, limit: usize) -> usize {
    ((u64::from(bits) * limit as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::subjects::tests::Counted;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn works_free_what_they_allocate_and_say_how_much_that_was() {
        for work in
            [Work::Churn, Work::Threadtest, Work::Larson, Work::Sizes, Work::Thrash, Work::Trace]
        {
            let counts = [AtomicU64::new(0), AtomicU64::new(0)];
            let done = Alone::of(work).unwrap().run(&Counted(&counts), 50, || {});
            let [allocated, freed] = counts.map(AtomicU64::into_inner);
            assert_eq!(allocated, freed, "{work:?}");
            // Some fill places before the clock runs.
            let before = allocated - u64::from(done.pairs);
            assert!(done.pairs > 0 && before <= 1000, "{work:?}: {before}");
        }
    }
}

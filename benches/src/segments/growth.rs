//! What it costs to allocate from memory that nobody has touched, so that the heap grows all the while.
//!
//! Ours takes memory from the kernel before it is used, so that a full file system is an error and no signal,
//! and meets a page fault at the first store like all others, of shared memory, which costs more. `huge` is a segment
//! whose user asks for huge pages, of which one call of the kernel makes 512 small ones; `warmed` one all memory of
//! which its user has allocated, written and freed again before.

use crate::alloc::subjects::{Passes, Subject};
use crate::alloc::works::{SMALL, layout, write_first_byte};
use crate::fresh::Trial;
use crate::latency::{self, Counts};
use anyhow::Result;
use sharena::{Options, Segment};
use std::alloc::Layout;
use std::time::Instant;

const BLOCKS: u32 = 1 << 21;

/// Bytes of all blocks.
pub const GROWN: usize = BLOCKS as usize * SMALL;

/// Bytes that are warmed: slabs have state bytes, too.
const WARMED: usize = GROWN + GROWN / 8;

const UNIT: usize = 64 << 10;
const PAGE: usize = 4096;

/// As it is created by default.
pub fn segment() -> Result<Segment> {
    Ok(Options::new().capacity(1 << 30).create_anonymous()?)
}

/// With huge pages, where the kernel has them.
pub fn huge_segment() -> Result<Segment> {
    Ok(Options::new().capacity(1 << 30).huge_pages(true).create_anonymous()?)
}

/// As by default, with memory that is backed, and entered into this process' page tables.
pub fn warmed_segment() -> Result<Segment> {
    let segment = segment()?;
    let block = segment.allocate_block(Layout::from_size_align(WARMED, UNIT)?)?;
    for at in (0..WARMED).step_by(PAGE) {
        // SAFETY: in the block, which is ours alone.
        unsafe { block.as_ptr().add(at).write_volatile(1) };
    }
    drop(block);
    Ok(segment)
}

/// A block of which nothing is freed.
#[inline(always)]
fn grow<S: Subject>(subject: &S, i: u32) {
    let block = subject.allocate(layout(SMALL));
    write_first_byte(subject, &block, i as u8);
    std::mem::forget(block);
}

/// Nanoseconds for a block.
pub struct Growth;

impl Trial for Growth {
    type Said = f64;

    fn run<S: Passes>(self, subject: &S, _: Option<&Segment>) -> Result<f64> {
        subject.begin(GROWN);
        let begin = Instant::now();
        for i in 0..BLOCKS {
            grow(subject, i);
        }
        Ok(begin.elapsed().as_nanos() as f64 / f64::from(BLOCKS))
    }
}

/// What each block takes.
pub struct GrowthLatency;

impl Trial for GrowthLatency {
    type Said = Counts;

    fn run<S: Passes>(self, subject: &S, _: Option<&Segment>) -> Result<Counts> {
        subject.begin(GROWN);
        latency::measure(BLOCKS, |i| grow(subject, i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::subjects::Published;

    /// Bytes that the segment has from the system when it is made, and when it has grown.
    fn course(segment: &Segment) -> [u64; 2] {
        let before = segment.stats().unwrap().committed;
        Growth.run(&Published::new(segment).unwrap(), Some(segment)).unwrap();
        [before, segment.stats().unwrap().committed]
    }

    #[test]
    fn a_warmed_segment_grows_no_more() {
        let [before, after] = course(&warmed_segment().unwrap());
        assert!(before >= WARMED as u64 && after == before, "{before}, {after}");
        let [before, after] = course(&segment().unwrap());
        assert!(before < UNIT as u64 * 64 && after >= GROWN as u64, "{before}, {after}");
    }

    #[test]
    fn each_block_is_timed() {
        let segment = segment().unwrap();
        let counts = GrowthLatency.run(&Published::new(&segment).unwrap(), None).unwrap();
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), u64::from(BLOCKS));
    }
}

//! The memory that an allocator holds for a long random run, by the word of the kernel.
//!
//! Of all the same: anonymous memory of the process since before its allocator did anything, and what is behind
//! the segment's file, if there is one, touched or not. Memory that the kernel may take back at any time
//! (`LazyFree`) is not held. Every page of a block is written.

use super::backed;
use super::trace::{MOST, OPERATIONS, Step, Trace};
use crate::alloc::subjects::Passes;
use crate::fresh::Trial;
use crate::results::Sample;
use anyhow::{Context, Result};
use sharena::Segment;
use std::alloc::Layout;
use std::ptr::NonNull;

/// Operations from one look at the memory to the next.
const EACH: u64 = OPERATIONS / 100;
const PAGE: usize = 4096;

/// Ours once more: a segment that its user trims before each look.
pub const TRIMMED: &str = "trimmed";

/// Operations that were done, and bytes held then.
pub type Course = Vec<(u64, u64)>;

/// The run, of one subject.
pub struct Held {
    trace: Trace,
    /// Blocks that live, in the order of the trace.
    tokens: Vec<u64>,
    /// Bytes of anonymous memory before.
    before: u64,
    trims: bool,
}

impl Held {
    /// Before anything is allocated.
    pub fn new(trims: bool) -> Result<Held> {
        let mut tokens = vec![1; MOST];
        tokens.clear();
        Ok(Held { trace: Trace::new(), tokens, before: anonymous()?, trims })
    }
}

impl Trial for Held {
    type Said = Course;

    fn run<S: Passes>(self, subject: &S, shared: Option<&Segment>) -> Result<Course> {
        let Held { trace, mut tokens, before, trims } = self;
        let step = |step| match step {
            Step::Allocate(layout) => {
                let block = subject.allocate(layout);
                write_each_page(subject.address(&block), layout);
                tokens.push(subject.token(block));
            }
            Step::Free(place, layout) => {
                // SAFETY: of an allocation above, and forgotten with this.
                let block = unsafe { subject.taken(tokens.swap_remove(place)) };
                // SAFETY: the trace knows the layout of each.
                unsafe { subject.free(block, layout) };
            }
        };
        course(trace, step, |_| {
            if let Some(segment) = shared.filter(|_| trims) {
                segment.trim()?;
            }
            let shared = shared.map_or(Ok(0), backed)?;
            Ok(anonymous()?.saturating_sub(before) + shared)
        })
    }
}

/// What a perfect allocator holds: what lives.
pub fn live() -> Result<Course> {
    course(Trace::new(), |_| {}, Ok)
}

/// What is held at the end, and how it came about.
pub fn sample(course: Course) -> Result<Sample> {
    let (_, last) = course.last().context("a run without a look at the memory")?;
    let points = course.iter().map(|(done, bytes)| (*done as f64, *bytes as f64)).collect();
    Ok(Sample::Course(*last as f64, points))
}

fn course(
    mut trace: Trace,
    mut act: impl FnMut(Step),
    held: impl Fn(u64) -> Result<u64>,
) -> Result<Course> {
    let mut course = Course::with_capacity((OPERATIONS / EACH) as usize);
    while let Some(step) = trace.next() {
        act(step);
        if trace.done().is_multiple_of(EACH) {
            course.push((trace.done(), held(trace.live())?));
        }
    }
    Ok(course)
}

fn write_each_page(block: NonNull<u8>, layout: Layout) {
    for at in (0..layout.size()).step_by(PAGE).chain([layout.size() - 1]) {
        // SAFETY: a byte of the block, which is ours alone.
        unsafe { block.as_ptr().add(at).write_volatile(1) };
    }
}

/// Bytes of anonymous memory of this process.
fn anonymous() -> Result<u64> {
    let path = "/proc/self/smaps_rollup";
    let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let kib = |name| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let line = line.with_context(|| format!("{path} has no line {name}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    Ok((kib("Anonymous:")? - kib("LazyFree:")?) << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::trace::FULL;

    #[test]
    fn what_is_written_is_held_and_what_is_unmapped_is_not() {
        let layout = Layout::from_size_align(FULL as usize, PAGE).unwrap();
        let before = anonymous().unwrap();
        // SAFETY: not of size 0.
        let block = NonNull::new(unsafe { std::alloc::alloc(layout) }).unwrap();
        write_each_page(block, layout);
        let during = anonymous().unwrap();
        // SAFETY: of the line above, with its layout.
        unsafe { std::alloc::dealloc(block.as_ptr(), layout) };
        let after = anonymous().unwrap();
        // Other tests have memory, too.
        assert!(during - before > FULL / 2, "{before}, {during}");
        assert!(during - after > FULL / 2, "{during}, {after}");
    }

    /// What a segment holds, and what it says that it does in the end.
    fn of_segment(trims: bool) -> (Course, u64) {
        let segment = crate::segments::growth::segment().unwrap();
        let subject = crate::alloc::subjects::Published::new(&segment).unwrap();
        let mut held = Held::new(trims).unwrap();
        // Other tests have anonymous memory; this one's is the segment's.
        held.before = u64::MAX;
        (held.run(&subject, Some(&segment)).unwrap(), segment.stats().unwrap().committed)
    }

    #[test]
    fn a_segment_holds_what_lives_and_what_it_says() {
        let lives = live().unwrap();
        let ((kept, says), (trimmed, _)) = (of_segment(false), of_segment(true));
        assert_eq!((kept.len(), trimmed.len()), (lives.len(), lives.len()));
        for ((kept, trimmed), lives) in kept.iter().zip(&trimmed).zip(&lives) {
            assert!(kept.0 == lives.0 && trimmed.1 > lives.1 && kept.1 >= trimmed.1, "{kept:?}");
        }
        let (_, last) = kept.last().unwrap();
        assert!(last.abs_diff(says) < 1 << 20, "{last}, {says}");
        assert!(*last > trimmed.last().unwrap().1 + (1 << 20), "nothing was given back");
    }
}

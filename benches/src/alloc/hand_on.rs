//! Blocks that one member allocates and another frees (xmalloc-test: C. Lever, D. Boreham, "malloc()
//! Performance in a Multithreaded Linux Environment", 2000).

use super::subjects::Passes;
use super::works::{SMALL, layout, write_first_byte};
use crate::args::Kind;
use crate::members::{Common, Span, Start, together};
use crate::until::until;
use anyhow::Result;
use std::ops::Range;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Instant;

/// Blocks that are handed on by each pair of members, in all parts: eight members on two processors take turns of
/// milliseconds, and a round must be many of these.
const BLOCKS: u64 = 2_000_000;
/// Places between the two of a pair.
const PLACES: usize = 1024;

/// Member 2n allocates what member 2n + 1 frees: what each did, and when.
///
/// A place that is not 0 has something for the other end: J. Giacomoni, T. Moseley, M. Vachharajani,
/// "FastForward for Efficient Pipeline Parallelism", 2008.
pub fn run<S: Passes>(
    kind: Kind,
    members: u32,
    parts: u32,
    subject: impl Fn() -> Result<S> + Sync,
) -> Result<Vec<(u64, Span)>> {
    let blocks = BLOCKS / u64::from(parts);
    let base = Instant::now();
    let rings = (0..members / 2).map(|_| Common::<PLACES>::new()).collect::<Result<Vec<_>>>()?;
    together(kind, members, |member, start: &Start<'_>| {
        let subject = subject()?;
        subject.begin(PLACES * SMALL);
        let ring = rings[member as usize / 2].words();
        let hand_on = |which: Range<u64>| {
            for i in which {
                let place = &ring[i as usize % PLACES];
                if member % 2 == 0 {
                    let block = subject.allocate(layout(SMALL));
                    write_first_byte(&subject, &block, i as u8);
                    let token = subject.token(block);
                    // Release pairs with the Acquire below: the block is written.
                    until(|| place.load(Acquire) == 0);
                    place.store(token, Release);
                } else {
                    let mut token = 0;
                    until(|| {
                        token = place.load(Acquire);
                        token != 0
                    });
                    place.store(0, Release);
                    // SAFETY: of the other end, of the same memory, and taken out of its place.
                    let block = unsafe { subject.taken(token) };
                    // SAFETY: the layout that it was allocated with.
                    unsafe { subject.free(block, layout(SMALL)) };
                }
            }
        };
        hand_on(0..blocks);
        start.wait();
        let begin = Instant::now();
        hand_on(blocks..2 * blocks);
        // A block is a pair of one allocation and one free, and of two members.
        let pairs = if member % 2 == 0 { blocks } else { 0 };
        Ok((pairs, Span::since(base, begin, begin.elapsed())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::subjects::tests::Counted;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn what_one_allocates_the_other_frees() {
        let counts = [AtomicU64::new(0), AtomicU64::new(0)];
        let done = run(Kind::Threads, 4, 2, || Ok(Counted(&counts))).unwrap();
        let pairs: Vec<u64> = done.iter().map(|(pairs, _)| *pairs).collect();
        assert_eq!(pairs, [BLOCKS / 2, 0, BLOCKS / 2, 0]);
        let all = 2 * BLOCKS;
        assert_eq!(counts.map(AtomicU64::into_inner), [all; 2]);
    }
}

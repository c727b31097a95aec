//! Blocks that one member allocates and another frees (xmalloc-test: C. Lever, D. Boreham, "malloc()
//! Performance in a Multithreaded Linux Environment", 2000).

use super::subjects::Passes;
use super::works::{SMALL, layout, write_first_byte};
use crate::args::Kind;
use crate::members::{Common, Span, Start, together};
use crate::until::until;
use anyhow::Result;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Instant;

/// Blocks that are handed on by each pair of members.
const BLOCKS: u64 = 500_000;
/// Places between the two of a pair.
const PLACES: usize = 1024;

/// Member 2n allocates what member 2n + 1 frees: what each did, and when.
///
/// A place that is not 0 has something for the other end: J. Giacomoni, T. Moseley, M. Vachharajani,
/// "FastForward for Efficient Pipeline Parallelism", 2008.
pub fn run<S: Passes>(
    kind: Kind,
    members: u32,
    subject: impl Fn() -> Result<S> + Sync,
) -> Result<Vec<(u64, Span)>> {
    let base = Instant::now();
    let rings = (0..members / 2).map(|_| Common::<PLACES>::new()).collect::<Result<Vec<_>>>()?;
    together(kind, members, |member, start: &Start<'_>| {
        let subject = subject()?;
        subject.begin(PLACES * SMALL);
        let ring = rings[member as usize / 2].words();
        start.wait();
        let begin = Instant::now();
        for i in 0..BLOCKS {
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
        // A block is a pair of one allocation and one free, and of two members.
        let pairs = if member % 2 == 0 { BLOCKS } else { 0 };
        Ok((pairs, Span::since(base, begin, begin.elapsed())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::subjects::{GLIBC, Subject};
    use std::alloc::Layout;
    use std::ptr::NonNull;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    /// Counts what is allocated, and what is freed, by each of two.
    struct Counted<'c>(&'c [AtomicU64; 2]);

    impl Subject for Counted<'_> {
        type Block = NonNull<u8>;

        fn allocate(&self, layout: Layout) -> NonNull<u8> {
            self.0[0].fetch_add(1, SeqCst);
            GLIBC.allocate(layout)
        }

        fn address(&self, block: &NonNull<u8>) -> NonNull<u8> {
            *block
        }

        // SAFETY: the caller's promise is passed on.
        unsafe fn free(&self, block: NonNull<u8>, layout: Layout) {
            self.0[1].fetch_add(1, SeqCst);
            // SAFETY: the caller's promise.
            unsafe { GLIBC.free(block, layout) };
        }
    }

    impl Passes for Counted<'_> {
        fn token(&self, block: NonNull<u8>) -> u64 {
            GLIBC.token(block)
        }

        // SAFETY: the caller's promise is passed on.
        unsafe fn taken(&self, token: u64) -> NonNull<u8> {
            // SAFETY: the caller's promise.
            unsafe { GLIBC.taken(token) }
        }
    }

    #[test]
    fn what_one_allocates_the_other_frees() {
        let counts = [AtomicU64::new(0), AtomicU64::new(0)];
        let done = run(Kind::Threads, 4, || Ok(Counted(&counts))).unwrap();
        let pairs: Vec<u64> = done.iter().map(|(pairs, _)| *pairs).collect();
        assert_eq!(pairs, [BLOCKS, 0, BLOCKS, 0]);
        assert_eq!(counts.map(AtomicU64::into_inner), [2 * BLOCKS; 2]);
    }
}

//! Blocks of many sizes, most of them small, that live for as long as others of their batch, or longer (as in
//! SmartHeap's sh6bench: MicroQuill, 2000).

use super::subjects::Subject;
use super::works::{Done, LARGE, layout, scaled, write_first_byte};
use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::time::Instant;

/// Blocks that are allocated one after the other.
const BATCH: usize = 1000;
/// Blocks that are kept for longer.
const KEPT: usize = 400;
/// Of a batch, one of so many is kept, in the place of one of an earlier batch.
const EVERY: usize = 8;

/// Blocks that live at the same time, at most.
pub const LIVE: usize = BATCH + KEPT;

/// A batch is freed in the order in which it was allocated, or in the opposite one, or every other block first.
#[inline(never)]
pub fn sizes<S: Subject>(subject: &S, parts: u32, start: impl FnOnce()) -> Done {
    let batches = 2_000 / parts;
    subject.begin(LIVE * LARGE);
    let mut random = fastrand::Rng::with_seed(1);
    let fill = |bits: u32| {
        let layout = layout(size(bits));
        (subject.allocate(layout), layout)
    };
    let mut kept: Vec<_> = (0..KEPT).map(|_| MaybeUninit::new(fill(random.u32(..)))).collect();
    let mut batch: Vec<_> = (0..BATCH).map(|_| MaybeUninit::uninit()).collect();
    start();
    let begin = Instant::now();
    for i in 0..batches {
        for place in &mut batch {
            let (block, layout) = fill(random.u32(..));
            write_first_byte(subject, &block, i as u8);
            place.write((block, layout));
        }
        for place in batch.iter_mut().step_by(EVERY) {
            std::mem::swap(place, &mut kept[scaled(random.u32(..), KEPT)]);
        }
        // SAFETY: all places were filled above, and each order has each place once.
        unsafe {
            match i % 3 {
                0 => free_all(subject, batch.iter()),
                1 => free_all(subject, batch.iter().rev()),
                _ => {
                    let others = batch.iter().skip(1).step_by(2);
                    free_all(subject, batch.iter().step_by(2).chain(others));
                }
            }
        }
    }
    let took = begin.elapsed();
    // SAFETY: filled at the beginning, and exchanged for full ones since.
    unsafe { free_all(subject, kept.iter()) };
    Done { pairs: batches * BATCH as u32, begin, took }
}

/// 16 to 977 bytes: the product of two numbers, so that small ones are many.
#[inline(always)]
fn size(bits: u32) -> usize {
    16 + scaled(bits, 32) * scaled(bits << 5, 32)
}

/// # Safety
/// All of them are full, and are not read again.
#[inline(always)]
unsafe fn free_all<'p, S: Subject>(
    subject: &S,
    places: impl Iterator<Item = &'p MaybeUninit<(S::Block, Layout)>>,
) where
    S::Block: 'p,
{
    for place in places {
        // SAFETY: the caller's promise, and the layout that is kept beside the block.
        unsafe {
            let (block, layout) = place.assume_init_read();
            subject.free(block, layout);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_small_mostly_and_within_bounds() {
        let mut random = fastrand::Rng::with_seed(1);
        let sizes: Vec<usize> = (0..10_000).map(|_| size(random.u32(..))).collect();
        assert_eq!(sizes.iter().min(), Some(&16));
        assert!(sizes.iter().max().is_some_and(|it| (900..=977).contains(it)));
        // The median of the product of two such numbers is less than a quarter of the largest.
        assert!(sizes.iter().filter(|it| **it < 256).count() > 5_000);
    }
}

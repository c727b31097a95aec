//! Boost.Interprocess' `managed_shared_memory`.

use super::{ByAddress, FULL, Subject};
use crate::boost::Segment;
use std::alloc::Layout;
use std::ptr::NonNull;

/// Blocks of any size, of one heap under one lock. A process that is killed holding it stops all others; none is.
pub struct Boost<'s>(pub &'s Segment);

impl Subject for Boost<'_> {
    type Block = NonNull<u8>;

    /// Boost aligns to 16 bytes unless told otherwise, which is what works ask for.
    #[inline(always)]
    fn allocate(&self, layout: Layout) -> NonNull<u8> {
        self.0.allocate(layout.size()).expect(FULL)
    }

    #[inline(always)]
    fn address(&self, block: &NonNull<u8>) -> NonNull<u8> {
        *block
    }

    // SAFETY: relies on nothing that the trait has the caller promise.
    #[inline(always)]
    unsafe fn free(&self, block: NonNull<u8>, _: Layout) {
        // SAFETY: of `allocate`, and freed once, as it is consumed.
        unsafe { self.0.deallocate(block) };
    }
}

/// A child has the segment where its parent has it, so that its blocks go by address.
impl ByAddress for Boost<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::subjects::tests::is_shared_by_processes;

    #[test]
    fn processes_share_it() {
        let segment = Segment::new(1 << 16).unwrap();
        is_shared_by_processes(|| Ok(Boost(&segment)), 4_000);
    }

    #[test]
    fn its_blocks_are_aligned_as_works_ask() {
        let segment = Segment::new(1 << 16).unwrap();
        for bytes in [1, 8, 17, 64, 1000] {
            assert!(segment.allocate(bytes).unwrap().as_ptr().addr().is_multiple_of(16), "{bytes}");
        }
    }
}

//! The allocators that are measured, each behind the same few lines and with its natural block.

#[cfg(has_boost)]
mod boost;
mod iceoryx2;
mod noop;
mod ours;
mod process;
mod rts_alloc;

#[cfg(has_boost)]
pub use boost::Boost;
pub use iceoryx2::{Pool, PoolMemory};
pub use noop::Noop;
pub use ours::{Private, PrivateTls, Published, PublishedTls};
pub use process::{GLIBC, JEMALLOC, MIMALLOC, Process, RPMALLOC, SNMALLOC, TALC};
pub use rts_alloc::RtsAlloc;

use std::alloc::Layout;
use std::ptr::NonNull;

/// An allocator as a work uses it. Every method is inlined into the work's loop.
pub trait Subject {
    /// What its user holds of an allocated block.
    type Block;

    /// Called before a work that holds at most so many bytes at once.
    fn begin(&self, _live: usize) {}

    /// A block for `layout`; a full allocator ends the benchmark.
    fn allocate(&self, layout: Layout) -> Self::Block;

    /// Where the block's first byte is.
    fn address(&self, block: &Self::Block) -> NonNull<u8>;

    /// Frees a block of this subject that was allocated for `layout`.
    ///
    /// # Safety
    /// `layout` is the block's.
    unsafe fn free(&self, block: Self::Block, layout: Layout);
}

/// Blocks that others can free.
pub trait Passes: Subject {
    /// Hands a block on: not 0.
    fn token(&self, block: Self::Block) -> u64;

    /// A block that was handed on.
    ///
    /// # Safety
    /// The token is of [`token`](Self::token), of the same memory, and was not taken before.
    unsafe fn taken(&self, token: u64) -> Self::Block;
}

/// One whose blocks are at the same address for all who work with it.
pub trait ByAddress: Subject<Block = NonNull<u8>> {}

impl<S: ByAddress> Passes for S {
    fn token(&self, block: NonNull<u8>) -> u64 {
        block.as_ptr().expose_provenance() as u64
    }

    // SAFETY: relies on nothing that the trait has the caller promise.
    unsafe fn taken(&self, token: u64) -> NonNull<u8> {
        NonNull::new(std::ptr::with_exposed_provenance_mut(token as usize)).expect("of a block")
    }
}

const FULL: &str = "the benchmark fits the segment";

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::args::Kind;
    use crate::members::{Common, together};
    use anyhow::Result;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    /// Counts what is allocated, and what is freed, by all.
    pub struct Counted<'c>(pub &'c [AtomicU64; 2]);

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

    impl ByAddress for Counted<'_> {}

    /// That two processes share the memory of a subject: one reads and frees what the other allocated and wrote, time
    /// and again, in a memory that does not hold all of it at once.
    pub fn is_shared_by_processes<S: Passes>(subject: impl Fn() -> Result<S> + Sync, times: u64) {
        let layout = Layout::from_size_align(64, 16).unwrap();
        let place = &Common::<1>::new().unwrap();
        let place = &place.words()[0];
        let wrong = together(Kind::Processes, 2, |member, start| {
            let subject = subject()?;
            start.wait();
            let mut wrong = 0;
            for i in 1..=times {
                if member == 0 {
                    let block = subject.allocate(layout);
                    // SAFETY: it has 64 bytes, and is this process' alone.
                    unsafe { subject.address(&block).cast().write(i) };
                    crate::until::until(|| place.load(SeqCst) == 0);
                    place.store(subject.token(block), SeqCst);
                } else {
                    crate::until::until(|| place.load(SeqCst) != 0);
                    // SAFETY: of the other process, whose only one it is.
                    let block = unsafe { subject.taken(place.swap(0, SeqCst)) };
                    // SAFETY: as it was written.
                    let wrote: u64 = unsafe { subject.address(&block).cast().read() };
                    wrong += u64::from(wrote != i);
                    // SAFETY: its layout.
                    unsafe { subject.free(block, layout) };
                }
            }
            Ok(wrong)
        });
        assert_eq!(wrong.unwrap(), [0, 0]);
    }
}

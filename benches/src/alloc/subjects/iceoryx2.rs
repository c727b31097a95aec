//! iceoryx2's pool: a lock-free list of buckets of one size, in shared memory.

use super::{ByAddress, FULL, Subject};
use crate::members::Common;
use anyhow::{Context, Result, ensure};
use iceoryx2_bb_loggers as _;
use iceoryx2_bb_memory::bump_allocator::BumpAllocator;
use iceoryx2_bb_memory::pool_allocator::{Allocate, PoolAllocator};
use std::alloc::Layout;
use std::ptr::NonNull;

/// Words of a pool's memory: 1 GiB, taken as it is used.
const WORDS: usize = 1 << 27;

/// Memory of buckets of one size, for this process and those that it forks: it knows its buckets by address, so that
/// processes that have it at other addresses cannot use it.
pub struct PoolMemory {
    /// In the memory.
    pool: NonNull<PoolAllocator>,
    _memory: Common<WORDS>,
}

// SAFETY: it leads to a pool that anybody can use at any time, mapped for as long as it is there.
unsafe impl Sync for PoolMemory {}

/// The pool as a work uses it.
pub struct Pool<'m>(&'m PoolAllocator);

impl PoolMemory {
    /// So many buckets.
    pub fn new(bucket: Layout, count: usize) -> Result<PoolMemory> {
        let memory = Common::<WORDS>::new()?;
        let begin = NonNull::from(memory.words()).cast::<u8>();
        let size = bucket.size() * count;
        let (all, index) = Layout::new::<PoolAllocator>()
            .extend(Layout::array::<u8>(PoolAllocator::memory_size(bucket, size))?)?;
        let (all, buckets) = all.extend(Layout::from_size_align(size, 4096)?)?;
        ensure!(all.size() <= size_of_val(memory.words()), "its pool has no such room");
        let pool = begin.cast::<PoolAllocator>();
        // SAFETY: all three parts are in the memory, as the layouts say, and nobody else knows of it yet.
        unsafe {
            pool.write(PoolAllocator::new_uninit(bucket, begin.add(buckets), size));
            let index = BumpAllocator::new(begin.add(index), buckets - index);
            (*pool.as_ptr()).init(&index).ok().context("make the pool's index")?;
        }
        Ok(PoolMemory { pool, _memory: memory })
    }

    /// The pool in it.
    pub fn pool(&self) -> Pool<'_> {
        // SAFETY: made by `new`; it changes by atomics alone.
        Pool(unsafe { self.pool.as_ref() })
    }
}

impl Subject for Pool<'_> {
    type Block = NonNull<u8>;

    #[inline(always)]
    fn allocate(&self, layout: Layout) -> NonNull<u8> {
        self.0.allocate(layout).expect(FULL)
    }

    #[inline(always)]
    fn address(&self, block: &NonNull<u8>) -> NonNull<u8> {
        *block
    }

    // SAFETY: relies on nothing that the trait has the caller promise.
    #[inline(always)]
    unsafe fn free(&self, block: NonNull<u8>, _: Layout) {
        // SAFETY: of `allocate`, and freed once, as it is consumed.
        unsafe { self.0.deallocate_bucket(block) };
    }
}

/// A child has the pool where its parent has it, so that its blocks go by address.
impl ByAddress for Pool<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::subjects::tests::is_shared_by_processes;

    fn bucket() -> Layout {
        Layout::from_size_align(64, 16).unwrap()
    }

    #[test]
    fn processes_share_it() {
        let memory = PoolMemory::new(bucket(), 16).unwrap();
        is_shared_by_processes(|| Ok(memory.pool()), 4_000);
    }

    #[test]
    fn it_has_as_many_buckets_as_were_asked_for_none_of_them_twice() {
        let memory = PoolMemory::new(bucket(), 1000).unwrap();
        let pool = memory.pool();
        let mut buckets: Vec<_> = (0..1000).map(|_| pool.allocate(bucket())).collect();
        buckets.sort();
        assert!(buckets.windows(2).all(|it| it[1].addr().get() - it[0].addr().get() >= 64));
        assert!(pool.0.allocate(bucket()).is_err());
    }
}

//! rts-alloc: lock-free slabs in shared memory.

use super::{FULL, Passes, Subject};
use anyhow::{Context, Result, ensure};
use rts_alloc::{Allocator, FreeOnlyAllocator};
use std::alloc::Layout;
use std::cell::Cell;
use std::fs::File;
use std::os::fd::FromRawFd;
use std::ptr::NonNull;

/// Of its own tests.
const SLAB: u32 = 1 << 16;

/// Blocks that are handed on between two looks at what came back. It never looks by itself, and leaves to its user how
/// often; so few that blocks come back while they are in the cache.
const LOOK: u32 = 256;

/// A worker of rts-alloc: blocks of 256 to 4,096 B, which other workers can free. With its last block a slab goes back,
/// and the next block takes and prepares one anew, which is what churn does all the time. A worker that is killed leaves
/// its slabs to nobody; none is.
pub struct RtsAlloc {
    worker: Allocator,
    handed_on: Cell<u32>,
}

impl RtsAlloc {
    /// Memory of so many bytes, taken as it is used, for so many workers. What it returns allocates nothing itself.
    pub fn memory(bytes: usize, workers: u32) -> Result<FreeOnlyAllocator> {
        // SAFETY: a name that ends.
        let file = unsafe { libc::memfd_create(c"rts-alloc".as_ptr(), libc::MFD_CLOEXEC) };
        ensure!(file >= 0, "create a memory file: {}", std::io::Error::last_os_error());
        // SAFETY: it was opened for this.
        let file = unsafe { File::from_raw_fd(file) };
        // SAFETY: a fresh file.
        let first = unsafe { Allocator::create(&file, bytes, workers, SLAB) };
        Ok(FreeOnlyAllocator::join_from_existing(&first.context("create rts-alloc's memory")?))
    }

    /// The calling thread's.
    pub fn join(memory: &FreeOnlyAllocator) -> Result<RtsAlloc> {
        let worker = Allocator::join_from_existing_free_only(memory).context("one more worker")?;
        Ok(RtsAlloc { worker, handed_on: Cell::new(0) })
    }
}

impl Subject for RtsAlloc {
    type Block = NonNull<u8>;

    #[inline(always)]
    fn allocate(&self, layout: Layout) -> NonNull<u8> {
        self.worker.allocate(layout.size() as u32).expect(FULL)
    }

    #[inline(always)]
    fn address(&self, block: &NonNull<u8>) -> NonNull<u8> {
        *block
    }

    // SAFETY: relies on nothing that the trait has the caller promise.
    #[inline(always)]
    unsafe fn free(&self, block: NonNull<u8>, _: Layout) {
        // SAFETY: of `allocate`, and freed once, as it is consumed.
        unsafe { self.worker.free(block) };
    }
}

impl Passes for RtsAlloc {
    fn token(&self, block: NonNull<u8>) -> u64 {
        self.handed_on.set(self.handed_on.get() + 1);
        if self.handed_on.get().is_multiple_of(LOOK) {
            self.worker.clean_remote_frees();
        }
        // SAFETY: in this memory; not 0, since it has a header.
        unsafe { self.worker.offset(block) as u64 }
    }

    // SAFETY: the caller's promise is passed on.
    unsafe fn taken(&self, token: u64) -> NonNull<u8> {
        // SAFETY: of `token`, as the caller promises.
        unsafe { self.worker.ptr_from_offset(token as usize) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::subjects::tests::is_shared_by_processes;

    #[test]
    fn processes_share_it_and_what_was_freed_elsewhere_comes_back() {
        // All that is allocated in turn would take four times as much.
        let memory = RtsAlloc::memory(1 << 20, 2).unwrap();
        is_shared_by_processes(|| RtsAlloc::join(&memory), 16_000);
    }
}

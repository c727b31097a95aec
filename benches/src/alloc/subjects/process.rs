//! Allocators of a process' own memory, each as a Rust program has it: by `GlobalAlloc`.

use super::{ByAddress, Subject};
use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::NonNull;
use talc::source::GlobalAllocSource;

/// An allocator of the process' own memory.
pub struct Process<A: 'static>(pub &'static A);

/// mimalloc.
pub const MIMALLOC: Process<mimalloc::MiMalloc> = Process(&mimalloc::MiMalloc);
/// jemalloc.
pub const JEMALLOC: Process<tikv_jemallocator::Jemalloc> = Process(&tikv_jemallocator::Jemalloc);
/// snmalloc.
pub const SNMALLOC: Process<snmalloc_rs::SnMalloc> = Process(&snmalloc_rs::SnMalloc);
/// rpmalloc.
pub const RPMALLOC: Process<rpmalloc::RpMalloc> = Process(&rpmalloc::RpMalloc);
/// The C library's.
pub const GLIBC: Process<System> = Process(&System);
/// talc, as in its example of an allocator for all of a program: under a spin lock, with memory of the system's.
pub const TALC: Process<TalcLock> = Process(&ALL_OF_TALC);

type TalcLock = talc::TalcLock<spinning_top::RawSpinlock, GlobalAllocSource<System>>;

static ALL_OF_TALC: TalcLock = TalcLock::new(GlobalAllocSource::new(System));

impl<A: GlobalAlloc> Subject for Process<A> {
    type Block = NonNull<u8>;

    #[inline(always)]
    fn allocate(&self, layout: Layout) -> NonNull<u8> {
        // SAFETY: no work asks for a block of size 0.
        NonNull::new(unsafe { self.0.alloc(layout) }).expect("memory")
    }

    #[inline(always)]
    fn address(&self, block: &NonNull<u8>) -> NonNull<u8> {
        *block
    }

    // SAFETY: the caller's promise is passed on.
    #[inline(always)]
    unsafe fn free(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: of `allocate`, and freed once, as it is consumed; the layout is the caller's promise.
        unsafe { self.0.dealloc(block.as_ptr(), layout) };
    }
}

impl<A: GlobalAlloc> ByAddress for Process<A> {}

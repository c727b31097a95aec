//! The allocators that are measured, each behind the same few lines and with its natural block.

use anyhow::Result;
use sharena::{Block, Handle, Offset, Segment};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
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

const FULL: &str = "the benchmark fits the segment";

/// Private blocks by way of a handle.
pub struct Private<'s>(Handle<'s>);

impl<'s> Private<'s> {
    /// On the calling thread's lane of `segment`.
    pub fn new(segment: &'s Segment) -> Result<Self> {
        Ok(Private(segment.handle()?))
    }
}

impl<'s> Subject for Private<'s> {
    type Block = Block<'s>;

    #[inline(always)]
    fn allocate(&self, layout: Layout) -> Block<'s> {
        self.0.allocate_block(layout).expect(FULL)
    }

    #[inline(always)]
    fn address(&self, block: &Block<'s>) -> NonNull<u8> {
        block.as_ptr()
    }

    // SAFETY: relies on nothing that the trait has the caller promise.
    #[inline(always)]
    unsafe fn free(&self, block: Block<'s>, _: Layout) {
        self.0.free_block(block);
    }
}

/// Private blocks by way of the thread-local look-up.
pub struct PrivateTls<'s>(pub &'s Segment);

impl<'s> Subject for PrivateTls<'s> {
    type Block = Block<'s>;

    #[inline(always)]
    fn allocate(&self, layout: Layout) -> Block<'s> {
        self.0.allocate_block(layout).expect(FULL)
    }

    #[inline(always)]
    fn address(&self, block: &Block<'s>) -> NonNull<u8> {
        block.as_ptr()
    }

    // SAFETY: relies on nothing that the trait has the caller promise.
    #[inline(always)]
    unsafe fn free(&self, block: Block<'s>, _: Layout) {
        drop(block);
    }
}

/// Published blocks by way of a handle.
pub struct Published<'s>(Handle<'s>);

impl<'s> Published<'s> {
    /// On the calling thread's lane of `segment`.
    pub fn new(segment: &'s Segment) -> Result<Self> {
        Ok(Published(segment.handle()?))
    }
}

impl Subject for Published<'_> {
    type Block = Offset<u8>;

    #[inline(always)]
    fn allocate(&self, layout: Layout) -> Offset<u8> {
        self.0.allocate(layout).expect(FULL)
    }

    #[inline(always)]
    fn address(&self, block: &Offset<u8>) -> NonNull<u8> {
        self.0.address(*block).expect("a block that is allocated")
    }

    // SAFETY: relies on nothing that the trait has the caller promise.
    #[inline(always)]
    unsafe fn free(&self, block: Offset<u8>, _: Layout) {
        self.0.deallocate(block).expect("a block that is allocated");
    }
}

impl Passes for Published<'_> {
    fn token(&self, block: Offset<u8>) -> u64 {
        block.to_bits()
    }

    // SAFETY: relies on nothing that the trait has the caller promise.
    unsafe fn taken(&self, token: u64) -> Offset<u8> {
        Offset::from_bits(token).expect("of a block")
    }
}

/// Published blocks by way of the thread-local look-up.
pub struct PublishedTls<'s>(pub &'s Segment);

impl Subject for PublishedTls<'_> {
    type Block = Offset<u8>;

    #[inline(always)]
    fn allocate(&self, layout: Layout) -> Offset<u8> {
        self.0.allocate(layout).expect(FULL)
    }

    #[inline(always)]
    fn address(&self, block: &Offset<u8>) -> NonNull<u8> {
        self.0.address(*block).expect("a block that is allocated")
    }

    // SAFETY: relies on nothing that the trait has the caller promise.
    #[inline(always)]
    unsafe fn free(&self, block: Offset<u8>, _: Layout) {
        self.0.deallocate(block).expect("a block that is allocated");
    }
}

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

    #[inline(always)]
    unsafe fn free(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: of `allocate`, and freed once, as it is consumed; the layout is the caller's promise.
        unsafe { self.0.dealloc(block.as_ptr(), layout) };
    }
}

impl<A: GlobalAlloc> Passes for Process<A> {
    fn token(&self, block: NonNull<u8>) -> u64 {
        block.as_ptr().expose_provenance() as u64
    }

    // SAFETY: relies on nothing that the trait has the caller promise.
    unsafe fn taken(&self, token: u64) -> NonNull<u8> {
        NonNull::new(std::ptr::with_exposed_provenance_mut(token as usize)).expect("of a block")
    }
}

/// Takes the next bytes of a ring and frees nothing: what the harness itself costs.
pub struct Noop {
    ring: Box<[u8]>,
    used: Cell<usize>,
    next: Cell<usize>,
}

impl Noop {
    /// A ring of so many bytes.
    pub fn new(bytes: usize) -> Noop {
        Noop { ring: vec![0; bytes].into(), used: Cell::new(0), next: Cell::new(0) }
    }
}

impl Subject for Noop {
    type Block = NonNull<u8>;

    /// Uses as much of the ring as blocks that live at once would fill, for the caches' sake.
    fn begin(&self, live: usize) {
        assert!(live <= self.ring.len());
        self.used.set(live);
        self.next.set(0);
    }

    #[inline(always)]
    fn allocate(&self, layout: Layout) -> NonNull<u8> {
        let mut at = self.next.get();
        if at + layout.size() > self.used.get() {
            at = 0;
        }
        self.next.set(at + layout.size());
        // SAFETY: `begin` took a part of the ring that holds one block at least, and the block is in it.
        unsafe { NonNull::new_unchecked(self.ring.as_ptr().cast_mut().add(at)) }
    }

    #[inline(always)]
    fn address(&self, block: &NonNull<u8>) -> NonNull<u8> {
        *block
    }

    #[inline(always)]
    unsafe fn free(&self, _: NonNull<u8>, _: Layout) {}
}

impl Passes for Noop {
    fn token(&self, block: NonNull<u8>) -> u64 {
        block.as_ptr().expose_provenance() as u64
    }

    // SAFETY: relies on nothing that the trait has the caller promise.
    unsafe fn taken(&self, token: u64) -> NonNull<u8> {
        NonNull::new(std::ptr::with_exposed_provenance_mut(token as usize)).expect("of a block")
    }
}

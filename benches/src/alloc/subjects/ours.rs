//! Sharena's own blocks, in each way in which they can be had.

use super::{FULL, Passes, Subject};
use anyhow::Result;
use sharena::{Block, Handle, Offset, Segment};
use std::alloc::Layout;
use std::ptr::NonNull;

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

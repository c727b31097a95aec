//! The harness itself.

use super::{ByAddress, Subject};
use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;

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

    // SAFETY: relies on nothing that the trait has the caller promise.
    #[inline(always)]
    unsafe fn free(&self, _: NonNull<u8>, _: Layout) {}
}

impl ByAddress for Noop {}

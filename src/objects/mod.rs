//! Typed objects: private ones, published ones, named ones; and references that keep them.

mod counted;
mod named;
mod private;
mod ready;
mod typed;

pub(crate) use counted::Counted;
pub use named::ObjectInfo;
pub(crate) use ready::{Led, Ready, may_lead};

use crate::attached::{Attached, release};
use crate::heap::Heap;
use crate::heap::lane::Lane;
use crate::heap::unit::State;
use crate::memory::Block;
use crate::names::Names;
use crate::names::entry::ObjectHeader;
use crate::offset::Offset;
use crate::process::pin::Held;
use crate::shareable::Shareable;
use crate::trace;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop};
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};

/// A value in the segment that is still this process' alone.
///
/// Like a `Box`: changed freely, dropped by any thread of the process, gone when the process dies.
/// [`publish`](Self::publish) gives it to everybody, and an [`ObjectQueue`](crate::queue::ObjectQueue) to whoever
/// receives it.
pub struct Owned<'s, T: ?Sized> {
    value: NonNull<T>,
    block: ManuallyDrop<Block<'s>>,
}

// SAFETY: the value is reached through this alone, as through a Box.
unsafe impl<T: ?Sized + Send> Send for Owned<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for Owned<'_, T> {}

impl<T: ?Sized> Deref for Owned<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: initialized when it was made, and PRIVATE: nobody else reaches it.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for Owned<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and we have it exclusively.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized> Drop for Owned<'_, T> {
    fn drop(&mut self) {
        if mem::needs_drop::<T>() && self.block.is_ours() {
            // SAFETY: initialized, this process' alone, and not used any more.
            unsafe { self.value.as_ptr().drop_in_place() };
        }
        // SAFETY: dropped here, once.
        unsafe { ManuallyDrop::drop(&mut self.block) };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Owned<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owned").field(&&**self).finish()
    }
}

impl<T: ?Sized> Owned<'_, T> {
    /// Whether it lies in that mapping, and is not a parent's.
    pub(crate) fn is_of(&self, attached: &Attached) -> bool {
        ptr::eq(self.block.attached(), attached) && self.block.is_ours()
    }
}

impl<T: Shareable> Owned<'_, T> {
    /// Gives the value to everybody: any process that learns the offset can
    /// [`resolve`](crate::Segment::resolve) it, and any can [`destroy_at`](crate::Segment::destroy_at) it. It
    /// outlives this process.
    ///
    /// Dead inside: the value is gone, or published though nobody may know.
    pub fn publish(self) -> Offset<T> {
        publish::<T, T>(self)
    }
}

impl<T: Shareable> Owned<'_, [T]> {
    /// As for a single value; found again by [`resolve_slice`](crate::Segment::resolve_slice).
    pub fn publish(self) -> Offset<[T]> {
        publish::<T, [T]>(self)
    }
}

fn publish<T: Shareable, U: ?Sized>(owned: Owned<'_, U>) -> Offset<U> {
    const {
        assert!(!T::HAS_BLOCKS, "what has blocks is published by a name: `construct`");
    }
    let attached = owned.block.attached();
    let at = attached.arena.offset_of(owned.value.as_ptr().cast());
    // A segment too full for the type's description has the object all the same.
    let _ = attached.describe_type::<T>();
    // SAFETY: `owned` is forgotten below, so the block is taken out once.
    let block = unsafe { ptr::read(&*owned.block) };
    mem::forget(owned);
    if block.is_ours() {
        Heap::set_state(&attached.arena, block.offset(), State::Published);
    }
    mem::forget(block);
    Offset::from_bits(at).expect("the header stands at 0")
}

/// A reference to an object that others can reach, too. While it lives the object's memory is not
/// used for anything else, in any process, even if the object is destroyed meanwhile.
///
/// Each occupies a hazard word of its thread, of which there are 256; so it stays on its thread.
/// If the process dies, its references are gone. In a child made by fork it must not be used:
/// it protects only the parent.
pub struct Ref<'s, T: ?Sized> {
    value: NonNull<T>,
    attached: &'s Attached,
    lane: *const Lane,
    held: Held,
    /// The object's block, if it has parts: whoever looks at it last lets it fall. Else 0.
    tree: u64,
    /// Of this thread alone.
    thread: PhantomData<*const ()>,
}

impl<T: ?Sized> Deref for Ref<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: a whole object of this type stood there when it was pinned, and the pin keeps its
        // memory; others change it through shared atomics only, as it is Shareable.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> Drop for Ref<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this thread's lane, of a segment that is attached while it is borrowed.
        let lane = unsafe { &*self.lane };
        if lane.birth() != self.held.birth() {
            return;
        }
        // There is one where there is a birth.
        let Some(record) = lane.live_record() else { return };
        if self.tree == 0 {
            lane.pins.unpin(record, self.held.hazard());
        } else {
            unpin_tree(self.attached, lane, self.tree, self.held);
        }
        release(self.attached, lane);
    }
}

/// Not by the reference, whose fields would have to be in memory.
#[inline(never)]
fn unpin_tree(attached: &Attached, lane: &Lane, tree: u64, held: Held) {
    let arena = &attached.arena;
    let header = ObjectHeader::at(arena, tree);
    let is_destroyed = header.is_some_and(|header| !header.life().is_whole());
    lane.pins.unpin(lane.record(), held.hazard());
    if is_destroyed {
        // With all pins in use it stays, until somebody looks for such.
        let _ = trace::reap(&Names { heap: Heap { arena, lane } }, tree);
    }
}

impl<T: ?Sized> Ref<'_, T> {
    /// The value's address in this process. Changing the value through it needs an agreement among
    /// all processes about who may when; the types made for that are atomics.
    pub fn as_ptr(&self) -> *mut T {
        self.value.as_ptr()
    }
}

impl<T> Ref<'_, T> {
    /// Where the value stands.
    pub fn offset(&self) -> Offset<T> {
        offset_of(self.attached, self.value.as_ptr())
    }
}

impl<T> Ref<'_, [T]> {
    /// Where the first value stands.
    pub fn offset(&self) -> Offset<[T]> {
        let at = offset_of(self.attached, self.value.as_ptr().cast::<T>());
        Offset::from_bits(at.to_bits()).expect("the same number")
    }
}

fn offset_of<T>(attached: &Attached, value: *const T) -> Offset<T> {
    let at = attached.arena.offset_of(value.cast());
    Offset::from_bits(at).expect("the header stands at 0")
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ref").field(&&**self).finish()
    }
}

//! Objects that are shared by leases: made, shared once more, found again, let go.

use super::named::{own_parts, unmake};
use super::typed::{Recipe, Shape};
use crate::attached::{Attached, with_lane};
use crate::heap::error::AllocError;
use crate::lock::party::Party;
use crate::lock::place::Place;
use crate::names::entry::{Life, ObjectHeader};
use crate::names::error::ObjectError;
use crate::names::{Names, Refused};
use crate::shareable::{LayoutHash, Shareable, type_name};
use crate::sync::{Acquire, AtomicU64};
use crate::trace::lease::{COUNT, Count, count_at};
use crate::trace::map::Tracer;
use crate::trace::reap;
use core::fmt;
use core::mem::offset_of;

/// What is shared, as it lies in its object.
#[repr(C)]
pub struct Counted<T> {
    /// [`Count`].
    count: AtomicU64,
    /// Tells it from all that were at its place before.
    pub identity: u64,
    pub value: T,
}

// SAFETY: two numbers, of which one is an atomic, and a value that is Shareable, in C's layout.
unsafe impl<T: Shareable> Shareable for Counted<T> {
    const NAME: u64 = LayoutHash::of_name("Counted").parameter::<T>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>()
        .field("value", offset_of!(Self, value), T::FINGERPRINT)
        .finish();
    const ANY_BITS: bool = T::ANY_BITS;
    const HAS_BLOCKS: bool = T::HAS_BLOCKS;
    const HAS_LOCKS: bool = T::HAS_LOCKS;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("Counted<")?;
        T::describe(out)?;
        out.write_str(">")
    }
    // SAFETY: the trait's; numbers may be any.
    unsafe fn is_valid(at: *const Self) -> bool {
        // SAFETY: the caller vouches for all of it, so for the value in it.
        unsafe { T::is_valid(&raw const (*at).value) }
    }
    fn trace(map: &mut Tracer) {
        map.field(offset_of!(Self, value), T::trace);
    }
}

impl<T> Counted<T> {
    /// From an object's block to its value.
    pub const VALUE: usize = {
        assert!(
            align_of::<Self>() as u64 <= COUNT,
            "what is shared is aligned to 16 at most: put it into a `Box`"
        );
        COUNT as usize + offset_of!(Self, value)
    };
}

impl Attached {
    /// A lease of a new object of this value, and the object.
    ///
    /// Lock-free. Dead inside: as if it were not.
    ///
    /// # Errors
    /// The value is dropped.
    pub fn share<T: Shareable>(&self, value: T) -> Result<u64, AllocError> {
        let name = || type_name::<Counted<T>>();
        let shared = self.agree::<Counted<T>>(name).and_then(|map| {
            // A segment too full for the type's description has the object all the same.
            let _ = self.describe_type::<Counted<T>>();
            self.with_names(|names| {
                let lease = self.take_lease(names)?;
                let identity = names.identity();
                let mut value = Some(value);
                let write = move |_| Counted {
                    count: AtomicU64::new(Count::ONE.word()),
                    identity,
                    value: value.take().expect("called once"),
                };
                let kind = Life { has_parts: true, counted: true, ..Life::new(1, false) };
                let block = Recipe { count: 1, write }.make(self, names.heap.lane, kind);
                let block = block.inspect_err(|_| names.heap.free_private(lease))?;
                let unmake = |error| {
                    unmake::<Counted<T>>(names, block, 1);
                    names.heap.free_private(lease);
                    error
                };
                let own = own_parts(names, &map, block, "").map_err(unmake)?;
                let me = || Place::In(self, self.who()).me();
                if !own.locks.is_empty() {
                    own.take(&self.arena, me());
                }
                let published = names.publish_counted(block, lease, &own.parts);
                if !own.locks.is_empty() {
                    own.give(&self.arena, me());
                }
                published.map_err(|refused| unmake(self.explain(refused, "")))?;
                Ok(lease)
            })
        });
        shared.map_err(ObjectError::of_memory)
    }

    /// One more lease of the object that `lease`, which stays meanwhile, is one of.
    pub fn share_again(&self, lease: u64) -> Result<u64, AllocError> {
        let shared = self.with_names(|names| {
            let object = self.arena.word(lease).map_or(0, |word| word.load(Acquire));
            let another = self.take_lease(names)?;
            if !names.lease(object, another) {
                names.heap.free_private(another);
                return Err(ObjectError::Alloc(AllocError::TooManyShares));
            }
            Ok(another)
        });
        shared.map_err(ObjectError::of_memory)
    }

    /// A lease of the object at `object`, if that is the one of this identity, of this type, and has leases.
    pub fn share_found<T: Shareable>(
        &self,
        object: u64,
        identity: u64,
    ) -> Result<Option<u64>, AllocError> {
        let shared = self.with_names(|names| {
            let pinned = names.pin_unnamed(object).map_err(|it| self.explain(it, ""))?;
            let Some(pinned) = pinned else { return Ok(None) };
            let name = || type_name::<Counted<T>>();
            let is_it = pinned.life().counted
                && self.check_type::<Counted<T>>(names, &pinned, Shape::Single, name).is_ok()
                // SAFETY: one is there, as its fingerprint says, and stays while it is pinned.
                && unsafe { (*self.arena.at(object + COUNT).cast::<Counted<T>>()).identity } == identity;
            let leased = match is_it {
                true => self
                    .check_parts::<Counted<T>>(names, &pinned, name)
                    .and_then(|()| self.lease_of(names, object)),
                false => Ok(None),
            };
            names.unpin(pinned.hazard);
            // Its last lease may have gone meanwhile, and whoever gave that up have seen that it is looked at.
            let header = ObjectHeader::at(&self.arena, object);
            if header.is_some_and(|header| !header.life().is_whole()) {
                let _ = reap(&names, object);
            }
            leased
        });
        shared.map_err(ObjectError::of_memory)
    }

    /// A lease of an object that is pinned; `None`: it has none any more.
    fn lease_of(&self, names: Names<'_>, object: u64) -> Result<Option<u64>, ObjectError> {
        let lease = self.take_lease(names)?;
        if names.lease(object, lease) {
            return Ok(Some(lease));
        }
        names.heap.free_private(lease);
        // Nobody comes back from none: one that has some has as many as can be counted.
        match count_at(&self.arena, object).map_or(0, |it| Count::of(it.load(Acquire)).leases) {
            0 => Ok(None),
            _ => Err(ObjectError::Alloc(AllocError::TooManyShares)),
        }
    }

    fn take_lease(&self, names: Names<'_>) -> Result<u64, ObjectError> {
        self.allocate_lease(names.heap).map_err(ObjectError::Alloc)
    }

    /// Gives up a private lease of this process, and its block. In a child made by fork it leaves alone what is its
    /// parent's.
    pub fn unshare(&self, lease: u64) {
        // Without a lane (all are in use) it stays until the process ends.
        let _ = with_lane(self, |lane| {
            if !self.owns_block(lease) || !(lane.is_live() || self.revive(lane).is_ok()) {
                return;
            }
            let names = Names { heap: crate::heap::Heap { arena: &self.arena, lane } };
            // Without a pin to spare what was its last waits for who looks for such.
            let _: Result<(), Refused> = names.end_lease(lease);
            names.heap.free_private(lease);
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::collections::{Arc, String, Vec};
    use crate::lock::Mutex;
    use crate::{Options, Segment};

    #[test]
    fn who_abandons_a_segment_gives_up_what_it_has() {
        let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let descriptor = segment.as_fd().try_clone_to_owned().unwrap();
        let stays = Segment::open_fd(descriptor).unwrap();
        let shared = |text: &str| Arc::new_in(String::from_in(text, &segment), &segment);
        let kept = shared("a text that is kept");
        let mut list = Vec::new_in(&segment);
        list.push(kept.clone());
        drop(segment.construct("list", Mutex::new(list)).unwrap());
        core::mem::forget((kept, shared("a text that is not")));
        assert_eq!(stays.check().unwrap().looked.shared, 2);
        // SAFETY: nothing of it is used any more.
        assert!(unsafe { segment.abandon() }.is_ok());
        let report = stays.check().unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.looked.shared, 1);
    }
}

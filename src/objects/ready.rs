//! Private objects about to be linked by a word in another object, and what such words lead to.

use super::named::own_parts;
use super::typed::{Found, Shape, layout};
use super::{Owned, Ref};
use crate::attached::Attached;
use crate::heap::unit::{State, Unit, UnitIndex};
use crate::heap::{PlaceKind, locate, state_of};
use crate::lock::party::Party;
use crate::lock::place::Place;
use crate::memory::{Block, take};
use crate::names::entry::{Life, ObjectHeader};
use crate::names::error::ObjectError;
use crate::names::{Names, Pinned};
use crate::shareable::{Shareable, type_name};
use crate::sync::{AtomicU64, Relaxed, Release};
use crate::trace::fresh::Own;
use core::mem;

/// A private object that nothing but its link is missing to be everybody's.
pub struct Ready<'s, T: Shareable> {
    owned: Owned<'s, T>,
    own: Own,
    /// Keeps it when it is linked, and whoever sees it destroys it.
    _keeps: Ref<'s, T>,
}

/// Whether a word at `address`, in the mapping of `attached`, may lead to objects: it lies in the values of a named
/// object, which do not move, and whose fall destroys what hangs there.
pub fn may_lead(attached: &Attached, address: *const u8) -> bool {
    let arena = &attached.arena;
    let Some(place) = locate(arena, arena.offset_of(address)) else { return false };
    matches!(state_of(arena, &place), Some(State::Published | State::Doomed))
        && ObjectHeader::at(arena, place.start).is_some_and(|header| header.life().named)
}

impl<'s, T: Shareable> Ready<'s, T> {
    /// Refused: the object is as it was.
    pub fn new(owned: Owned<'s, T>) -> Result<Self, (ObjectError, Owned<'s, T>)> {
        let attached = owned.block.attached();
        let mut owned = owned;
        let made = (|| {
            // A segment too full for the type's description has the object all the same.
            let _ = attached.describe_type::<T>();
            let name = || type_name::<T>();
            let map = match T::HAS_BLOCKS {
                true => Some(attached.agree::<T>(name)?),
                false => None,
            };
            attached.with_names(|names| {
                have_on_lane(attached, names, &mut owned)?;
                let block = owned.block.offset();
                let own = match &map {
                    Some(map) => own_parts(names, map, block, &name())?,
                    None => Own::default(),
                };
                let hazard = names.pinned(block).map_err(|it| attached.explain(it, ""))?;
                let found = Found::<T>::new(attached, names.heap.lane, block, 1, hazard);
                Ok((own, found.single()))
            })
        })();
        match made {
            Ok((own, _keeps)) => Ok(Ready { owned, own, _keeps }),
            Err(error) => Err((error, owned)),
        }
    }

    /// Links it by the word at `led`, which is the caller's alone to write.
    ///
    /// Dead inside: it is linked, or gone.
    ///
    /// # Errors
    /// It leads to something already: the segment is damaged. [`ObjectError::Alloc`]: no lane can be had.
    pub fn link(&self, led: &AtomicU64) -> Result<(), ObjectError> {
        let attached = self.owned.block.attached();
        let arena = &attached.arena;
        attached.with_names(|names| {
            let block = self.owned.block.offset();
            let header = ObjectHeader::at(arena, block).filter(|_| led.load(Relaxed) == 0);
            let Some(header) = header else {
                return Err(ObjectError::Corrupt { what: "an empty place leads to an object" });
            };
            // Release: nobody looks before the link.
            header.life.store(Life { named: true, ..header.life() }.word(), Release);
            let me = || Place::In(attached, attached.who()).me();
            if !self.own.locks.is_empty() {
                self.own.take(arena, me());
            }
            let leads = arena.offset_of(core::ptr::from_ref(led).cast());
            names.link_alone((leads, led), block, &self.own.parts);
            if !self.own.locks.is_empty() {
                self.own.give(arena, me());
            }
            Ok(())
        })
    }

    /// It is everybody's.
    pub fn linked(self) {
        let Ready { owned, .. } = self;
        mem::forget(owned);
    }

    /// It was not linked.
    pub fn back(self) -> Owned<'s, T> {
        self.owned
    }
}

/// Has the object lie in a slab or run of this lane, whose recovery alone would find it unlinked.
fn have_on_lane<T: Shareable>(
    attached: &Attached,
    names: Names<'_>,
    owned: &mut Owned<'_, T>,
) -> Result<(), ObjectError> {
    let (arena, lane) = (&attached.arena, names.heap.lane);
    let from = owned.block.offset();
    let its = locate(arena, from).and_then(|place| match place.kind {
        PlaceKind::Slab(_, Unit::Slab { lane, .. }) | PlaceKind::Run(_, Unit::Run { lane, .. }) => {
            Some(lane)
        }
        _ => None,
    });
    if its == Some(lane.id()) {
        return Ok(());
    }
    let layout = layout::<T>(1).ok_or(ObjectError::TooLarge { count: 1 })?;
    let to = take(attached, lane, layout)?;
    // SAFETY: both are this process' alone and as large as the layout says; a value may be moved, and that of the
    // old block is not dropped.
    unsafe { arena.at(to).copy_from_nonoverlapping(arena.at(from), layout.size()) };
    owned.value = super::typed::value_of(attached, to);
    // The old block, without what is in it, is dropped.
    let block = Block::new(owned.block.attached(), lane, to);
    drop(mem::replace(&mut *owned.block, block));
    Ok(())
}

/// An object to which a word leads that is the caller's, by the agreement of all who come by.
pub struct Led<'s, T: Shareable> {
    value: Ref<'s, T>,
    pinned: Pinned,
}

impl<'s, T: Shareable> Led<'s, T> {
    /// What the word leads to; `None`: nothing, or what is destroyed, and then nothing any more.
    pub fn of(attached: &'s Attached, led: &AtomicU64) -> Result<Option<Self>, ObjectError> {
        let arena = &attached.arena;
        let leads = arena.offset_of(core::ptr::from_ref(led).cast());
        let name = || format!("the word at offset {leads:#x}");
        attached.with_names(|names| {
            let led = names.led((leads, led));
            let Some(pinned) = led.map_err(|refused| attached.explain(refused, &name()))? else {
                return Ok(None);
            };
            let found = attached.accept::<T>(names, pinned, Shape::Single, name)?;
            Ok(Some(Led { value: found.single(), pinned }))
        })
    }

    /// Where it is, and the word that leads to it.
    #[cfg(test)]
    pub fn linked(&self) -> (u64, u64) {
        (self.pinned.object, self.pinned.leads)
    }

    pub fn value(&self) -> &T {
        &self.value
    }

    /// Destroys it, so that the word leads to nothing; `then` is called before its memory is given back. Without a
    /// lane nothing is done: false.
    ///
    /// Dead inside: it is destroyed, or still there whole.
    pub fn destroy(self, attached: &Attached, then: impl FnOnce()) -> bool {
        let Led { value, pinned } = self;
        let destroyed = attached.with_names(|names| Ok(names.destroy_led(&pinned)));
        if destroyed.is_err() {
            return false;
        }
        then();
        drop(value);
        let unit = attached.arena.unit(UnitIndex::containing(pinned.object));
        if matches!(unit, Some(Unit::Run { state: State::Limbo, .. })) {
            // Without a lane it stays until somebody looks for such.
            let _ = attached.with_names(|names| {
                names.heap.release_limbo_runs();
                Ok(())
            });
        }
        true
    }
}

#[cfg(all(test, not(sharena_shuttle)))]
mod tests {
    use super::*;
    use crate::collections::{String, Vec};
    use crate::file::tests::Child;
    use crate::heap::Heap;
    use crate::process::journal::Intent;
    use crate::queue::ObjectQueue;
    use crate::{Options, Segment};
    use core::mem::ManuallyDrop;

    type Lists = ObjectQueue<Vec<String>, 2>;

    /// What a process that did not create the segment finds of one that died as it marked what hangs on an object:
    /// the object, whole, before and after the recovery.
    #[test]
    fn what_is_linked_is_had_though_its_parts_are_not_marked_yet() {
        let path = std::env::temp_dir().join(format!("sharena-ready-{}", std::process::id()));
        let creates = || {
            let made = Options::new().capacity(1 << 20).create_at(&path).unwrap();
            made.construct("lists", Lists::new()).is_ok()
        };
        assert_eq!(Child::run(creates).wait(), Some(0));
        for recovers in [false, true] {
            // From before: who opens a segment recovers the dead.
            let segment = Segment::open_at(&path).unwrap();
            let queue = segment.find::<Lists>("lists").unwrap().unwrap();
            let dies = || {
                let segment = ManuallyDrop::new(Segment::open_at(&path).unwrap());
                let queue = ManuallyDrop::new(segment.find::<Lists>("lists").unwrap().unwrap());
                let mut list = segment.own(Vec::new_in(&segment)).unwrap();
                list.push(String::from_in("a text that has a block", &segment));
                queue.push(list).ok().unwrap();
                let job = ManuallyDrop::new(queue.recv_job().unwrap());
                let (object, leads) = job.linked();
                let marks = segment.with_names(|names| {
                    let parts = names.parts_of(object).unwrap();
                    names.record().journal.open(Intent::Link { entry: leads, object });
                    parts
                        .iter()
                        .for_each(|it| Heap::set_state(names.heap.arena, *it, State::Private));
                    Ok(parts.len())
                });
                marks == Ok(2)
            };
            assert_eq!(Child::run(dies).wait(), Some(0));
            if recovers {
                segment.recover().unwrap();
            }
            // Who waits finds out that who had it is dead.
            let job = queue.recv_job().unwrap();
            assert_eq!((job[0].as_str(), job.is_redelivered()), ("a text that has a block", true));
            job.done();
            segment.recover().unwrap();
            let report = segment.check().unwrap();
            assert!(report.is_clean() && report.looked.parts == 0, "{report}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}

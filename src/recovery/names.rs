//! What the journals of the dead mean for the table of names.
//!
//! | journal | died before | died after | decided |
//! |---|---|---|---|
//! | Link, Intern, Grow | its CAS: the blocks are free again | its CAS: it took effect | when the slab is swept ([`unlinked`](Names::unlinked)) |
//! | Destroy | the life word's CAS: nothing happened | it: unlink, Limbo | by [`finish`](Names::finish) |
//! | Reap | | slot Frozen, entry in Limbo | by [`finish`](Names::finish) |
//! | Fall | the life word's CAS: nothing happened | it: the parts that are left go, then the object | by [`finish`](Names::finish) |
//! | Change | | it: the change is made again, under its lock | by [`finish`](Names::finish), or by who has the lock |
//!
//! Parts of an object that was linked are marked before a slab is swept: those behind its
//! [fresh](crate::trace::fresh) locks by [`finish`](Names::finish), the others then
//! ([`parts_linked`](Names::parts_linked)).
//!
//! Helpers write into no journal, and repeat each other: each step is one that may be done twice.
//! A helper that sleeps and goes on when all is over could meet other blocks in the same places. So it
//! pins whatever it is about to touch, and then looks whether the journal still says so: whoever ends a
//! recovery closes the journals *before* it clears the pins of the dead. If the journal still stands,
//! the pins of the dead stood until ours did.

use crate::heap::unit::{LaneId, State};
use crate::layout::{oldest_of, oldest_word};
use crate::names::array::{Array, Slot};
use crate::names::entry::{Entry, Life, ObjectHeader, Value};
use crate::names::{Names, Refused};
use crate::process::journal::Intent;
use crate::process::pin::REAPER;
use crate::sync::{AcqRel, Acquire, Release};
use crate::trace::{self, change::Remade};

/// What became of an open journal of the dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finished {
    /// There was nothing to do.
    Nothing,
    /// It was done.
    Something,
    /// Another is at it, and until it is done nothing of the dead may be given back.
    LeftToAnother,
}

impl Names<'_> {
    /// Whether a dead lane published `block`, one of those of this intent, and did not link it.
    ///
    /// Final, once it is dead: nobody else links them. The caller keeps the block from being taken; the
    /// array pin of the dead keeps arrays, and the entries that slots lead to.
    pub(super) fn unlinked(&self, intent: Intent, block: u64) -> bool {
        let arena = self.heap.arena;
        // Linked and destroyed since: then its destroyer sees to it, or that one's recovery. In this
        // order, as who destroys writes the life first, and then the entry.
        let names_another = |entry, object| {
            let leads = arena.word(entry).map(|word| word.load(Acquire));
            leads != Some(Value::Live(object).word())
                && ObjectHeader::at(arena, object).is_some_and(|header| header.life().is_whole())
        };
        match intent {
            Intent::Link { entry, object } => names_another(entry, object),
            Intent::Intern { entry, object, array, slot } => {
                // Pinned by the dead, so it is there, unless the journal is damaged: then better a leak.
                let Some(array) = Array::at(arena, array) else { return false };
                let word = Slot::of(array.slot(slot).load(Acquire));
                let is_there = matches!(word, Slot::Entry { entry: there, .. } if there == entry);
                if !is_there && !self.stands_elsewhere(entry, array) {
                    return true;
                }
                // An entry that a helper gave back may stand there again, another's by now, for another
                // object: it says which.
                block == object && names_another(entry, object)
            }
            Intent::Grow { array, new } => {
                Array::at(arena, array).is_some_and(|array| array.next().load(Acquire) != new)
            }
            Intent::Destroy { .. }
            | Intent::Reap { .. }
            | Intent::Fall { .. }
            | Intent::Change { .. } => false,
        }
    }

    /// Whether a slot of `array` leads to `entry` that is not the journal's, as may be in a damaged segment.
    fn stands_elsewhere(&self, entry: u64, array: Array<'_>) -> bool {
        let (arena, pins, record) = (self.heap.arena, &self.heap.lane.pins, self.record());
        // No slot is known to lead to it, so nothing keeps its memory but this. Without a pin to spare it is
        // as the journal says.
        let block = self.block_around(entry);
        let Some(hazard) = pins.pin(record, block) else { return false };
        // Behind the pin's fence: in use still, and so backed until it is let go.
        let place = crate::heap::locate(arena, entry).filter(|place| place.start == block);
        let state = place.and_then(|place| crate::heap::state_of(arena, &place));
        let key = || Entry::at(arena, entry)?.key(arena).map(|key| key.hash);
        let stands =
            state == Some(State::Published) && key().is_some_and(|hash| array.has(hash, entry));
        pins.unpin(record, hazard);
        stands
    }

    /// Finishes what the open journal of the dead lane `of` says was begun and others may finish.
    ///
    /// Lock-free; idempotent at every step.
    pub fn finish(&self, of: LaneId) -> Result<Finished, Refused> {
        let journal = &self.heap.arena.lane(of).journal;
        let Some(Ok(intent)) = journal.read() else { return Ok(Finished::Nothing) };
        match intent {
            Intent::Destroy { entry, object } => {
                self.while_it_stands(of, intent, [object, self.block_around(entry)], || {
                    Ok(self.finish_destroy(of, entry, object))
                })
            }
            Intent::Reap { entry, array, slot } => {
                self.while_it_stands(of, intent, [self.block_around(entry), array], || {
                    Ok(self.finish_reap(of, entry, array, slot))
                })
            }
            Intent::Fall { object, word_at, part } => {
                self.while_it_stands(of, intent, [object | REAPER, part], || {
                    trace::take_over(self, of, object, word_at, part)
                })
            }
            Intent::Change { lock, draft } => {
                let around = self.block_around(lock);
                let made = self.while_it_stands(of, intent, [around, draft | REAPER], || {
                    Ok(trace::change::remake(self, of, lock, draft))
                })?;
                return match made {
                    // Its draft may have to fall.
                    Remade::Done => self.finish(of).map(|_| Finished::Something),
                    Remade::Nothing => Ok(Finished::Nothing),
                    Remade::ByAnother => Ok(Finished::LeftToAnother),
                };
            }
            Intent::Link { entry: leads, object } | Intent::Intern { object, array: leads, .. } => {
                let around = self.block_around(leads);
                let marked = self.while_it_stands(of, intent, [object, around], || {
                    if self.unlinked(intent, object) {
                        return Ok(Remade::Nothing);
                    }
                    trace::fresh::mark_object(self, object)
                })?;
                return Ok(match marked {
                    Remade::ByAnother => Finished::LeftToAnother,
                    Remade::Done | Remade::Nothing => Finished::Nothing,
                });
            }
            Intent::Grow { .. } => Ok(false),
        }
        .map(|did| if did { Finished::Something } else { Finished::Nothing })
    }

    /// What `act` says, called with the blocks at `offsets` pinned; nothing, and not called, if the
    /// journal of the dead lane `of` does not say `intent` any more.
    pub(super) fn while_it_stands<T: Default>(
        &self,
        of: LaneId,
        intent: Intent,
        offsets: [u64; 2],
        act: impl FnOnce() -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let (pins, record) = (&self.heap.lane.pins, self.record());
        let hazards = offsets.map(|offset| pins.pin(record, offset));
        // Behind the pins' fences.
        let still = self.heap.arena.lane(of).journal.read() == Some(Ok(intent));
        let has_all = hazards.iter().all(Option::is_some);
        let done = match (has_all, still) {
            (true, true) => act(),
            (true, false) => Ok(T::default()),
            (false, _) => Err(Refused::TooManyPins),
        };
        hazards.into_iter().flatten().for_each(|hazard| pins.unpin(record, hazard));
        done
    }

    fn finish_destroy(&self, of: LaneId, entry: u64, object: u64) -> bool {
        let Some(header) = ObjectHeader::at(self.heap.arena, object) else { return false };
        let Life { retired_by, .. } = header.life();
        // Retired by an earlier user of the lane's number: then it is in Limbo, and stays.
        if retired_by != of {
            return false;
        }
        if let Some(value) = (entry != 0).then(|| self.heap.arena.word(entry)).flatten() {
            let live = Value::Live(object).word();
            let _ = value.compare_exchange(live, Value::Absent.word(), AcqRel, Acquire);
        }
        self.leave(object, header.life());
        true
    }

    /// The parts of an object that the dead lane `of` had linked, and perhaps not marked all: they are
    /// no more free than the object.
    ///
    /// As long as the journal stands, the dead one's pin keeps the object from falling.
    pub(super) fn parts_linked(&self, of: LaneId, intent: Intent) -> Result<Vec<u64>, Refused> {
        let (object, leads) = match intent {
            Intent::Link { entry, object } => (object, entry),
            Intent::Intern { object, array, .. } => (object, array),
            _ => return Ok(Vec::new()),
        };
        self.while_it_stands(of, intent, [object, self.block_around(leads)], || {
            if self.unlinked(intent, object) {
                return Ok(Vec::new());
            }
            self.parts_of(object)
        })
    }

    fn finish_reap(&self, of: LaneId, entry: u64, array: u64, slot: u64) -> bool {
        let arena = self.heap.arena;
        // Our pin of the array was set while the root named it, which keeps it from being taken.
        if arena.header().names_oldest.load(Acquire) != oldest_word(array, of.0) {
            return false;
        }
        let Some(view) = Array::at(arena, array) else { return false };
        view.slot(slot).store(Slot::Frozen.word(), Release);
        self.heap.retire(self.block_around(entry));
        true
    }

    /// A dead lane that was giving back the oldest array does so no more. What it had done of it stays
    /// done, and whoever comes by goes on; if the array is in Limbo, all is done but that the root still
    /// names it.
    pub fn let_go_of_oldest(&self, of: &[LaneId]) -> Result<(), Refused> {
        let oldest = &self.heap.arena.header().names_oldest;
        let claimed = oldest.load(Acquire);
        let (array, reaper) = oldest_of(claimed);
        if reaper == 0 || !of.contains(&LaneId(reaper)) {
            return Ok(());
        }
        let (pins, record) = (&self.heap.lane.pins, self.record());
        let hazard = pins.pin(record, array).ok_or(Refused::TooManyPins)?;
        // Behind the pin's fence; while the root names it, it is not taken.
        if oldest.load(Acquire) == claimed {
            let place = crate::heap::locate(self.heap.arena, array).filter(|it| it.start == array);
            let state = place.and_then(|place| crate::heap::state_of(self.heap.arena, &place));
            let next = Array::at(self.heap.arena, array).map(|array| array.next().load(Acquire));
            let after = match next {
                Some(next) if state == Some(State::Limbo) && next != 0 => oldest_word(next, 0),
                _ => oldest_word(array, 0),
            };
            let _ = oldest.compare_exchange(claimed, after, AcqRel, Acquire);
        }
        pins.unpin(record, hazard);
        Ok(())
    }
}

#[cfg(all(test, not(loom), not(sharena_shuttle)))]
mod tests {
    use super::*;
    use crate::Options;
    use crate::names::entry::{Key, Space};

    #[test]
    fn an_entry_links_the_object_that_it_names_and_no_other() {
        let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
        segment.construct("linked", 1u64).unwrap();
        segment.construct("other", 2u64).unwrap();
        segment
            .with_names(|names| {
                let arena = names.heap.arena;
                let find = |name: &str| {
                    let key = Key::new(arena, Space::Named, name.as_bytes());
                    let pinned = names.find(&key).unwrap().unwrap();
                    names.unpin(pinned.hazard);
                    pinned.object
                };
                let (object, other) = (find("linked"), find("other"));
                let array = Array::at(arena, arena.header().names_current.load(Acquire)).unwrap();
                let leads_to = |slot: &u64| {
                    let Slot::Entry { entry, .. } = Slot::of(array.slot(*slot).load(Acquire))
                    else {
                        return None;
                    };
                    let is_it = Entry::at(arena, entry)?.value() == Value::Live(object);
                    is_it.then_some((entry, *slot))
                };
                let (entry, slot) = (0..array.len()).find_map(|slot| leads_to(&slot)).unwrap();
                // As a journal says it whose entry stood there, was given back, and is another's now.
                let array = array.offset;
                let intent = |object, slot| Intent::Intern { entry, object, array, slot };
                assert!(names.unlinked(intent(other, slot), other), "the entry names another");
                assert!(!names.unlinked(intent(other, slot), entry), "the entry is somebody's");
                for slot in [slot, slot + 1] {
                    assert!(!names.unlinked(intent(object, slot), object), "whatever slot it says");
                    assert!(!names.unlinked(intent(object, slot), entry));
                }
                Ok((object, entry, array, slot))
            })
            .and_then(|(object, entry, array, slot)| {
                segment.destroy::<u64>("linked")?;
                segment.with_names(|names| {
                    let intent = Intent::Intern { entry, object, array, slot };
                    assert!(!names.unlinked(intent, object), "its destroyer sees to it");
                    Ok(())
                })
            })
            .unwrap();
    }
}

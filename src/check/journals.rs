//! Checks of what the journals of the dead say: recovery acts on it, so it must fit what is there.
//!
//! As long as a journal is open, the pins of its lane stand, and what it names is kept by them: the
//! arrays, the entries that slots lead to, a pinned object. A block that was about to be linked is in
//! a slab or run of the lane; once that is another's, the journal says nothing of it any more.
//!
//! It may be recovered while it is looked at. So nothing here rests on two looks being alike: what is read
//! is kept from being given back by pins of our own, and a journal that has changed by then is not judged.

use super::{FindingKind, Pass, Standing};
use crate::arena::Arena;
use crate::heap::unit::{LaneId, State, Unit};
use crate::heap::{PlaceKind, locate, state_of};
use crate::layout::oldest_word;
use crate::names::array::{Array, Slot};
use crate::names::entry::{Entry, ObjectHeader, Value};
use crate::process::journal::Intent;
use crate::process::lane::LaneRecord;
use crate::process::pin::REAPER;
use crate::shareable::Shareable;
use crate::stats::look::Arrays;
use crate::sync::{Acquire, Relaxed};
use crate::trace::change::{Grave, Said};
use crate::trace::lease::{Count, count_at, is_lease};
use crate::trace::walk::View;
use crate::word::Word;

impl Pass<'_> {
    /// After the names and the units: what leads where is known.
    pub(super) fn check_journals(&mut self) {
        let chain = Arrays::pin(self.names);
        for (lane, record) in self.arena.lanes() {
            let Some(Ok(intent)) = record.journal.read() else { continue };
            if !matches!(self.standing(lane), Standing::Dead(_)) {
                continue;
            }
            let stands = || record.journal.read() == Some(Ok(intent));
            self.looker.hold(match intent {
                Intent::Destroy { object, .. } | Intent::Fall { object, .. } => object,
                Intent::Reap { entry, .. } => self.names.block_around(entry),
                Intent::Change { draft, .. } => draft,
                Intent::Link { .. } | Intent::Intern { .. } | Intent::Grow { .. } => 0,
            });
            // Behind the hazard's fence: it stood while the dead one's own pin did, so that is backed still.
            if !stands() {
                continue;
            }
            let fits = match intent {
                Intent::Link { entry: lease, object } if is_lease(self.arena, lease) => {
                    self.may_be_shared(lane, object, lease)
                }
                Intent::Link { entry, object } => {
                    self.may_lead(entry) && self.may_be_linked(lane, object, entry)
                }
                Intent::Intern { entry, object, array, slot } => {
                    is_in(&chain, array, slot)
                        && self.may_be_interned(lane, entry, array, slot)
                        && self.may_be_linked(lane, object, entry)
                }
                Intent::Grow { array, new } => {
                    is_in(&chain, array, 0) && self.may_be_hung(lane, array, new)
                }
                Intent::Destroy { entry, object } => {
                    (entry == 0 || self.may_lead(entry))
                        && self.may_be_destroyed(lane, object, entry)
                }
                Intent::Reap { entry, array, slot } => self.may_be_reaped(lane, entry, array, slot),
                Intent::Fall { object, word_at, part } => {
                    self.may_fall(lane, object, word_at, part)
                }
                Intent::Change { lock, draft } => self.may_be_changed(lane, lock, draft),
            };
            let fits = fits && has_pins(record, intent) && self.keeps_names(&chain, record, intent);
            // Recovered meanwhile? The journal is closed before the pins are cleared.
            if !fits && stands() {
                let text = format!("what its journal says does not fit what is there: {intent:x?}");
                self.damage(FindingKind::Journal, lane, text);
            }
        }
    }

    /// Whether the lane keeps the array in which what its journal says of a name stands, or an older one: all
    /// that follow are kept with it. Else names that nobody keeps are given back under the journal.
    fn keeps_names(&self, chain: &Arrays<'_>, record: &LaneRecord, intent: Intent) -> bool {
        let first = record.array.load(Acquire);
        let mut kept = chain.arrays.iter().skip_while(|array| array.offset != first);
        match intent {
            Intent::Link { entry: leads, .. } | Intent::Destroy { entry: leads, .. } => {
                match self.led.get(&leads) {
                    Some(root) => self.keeps(record, *root),
                    None => {
                        leads == 0
                            || is_lease(self.arena, leads)
                            || kept.any(|array| self.stands_in(array, leads))
                    }
                }
            }
            Intent::Intern { array, .. } | Intent::Grow { array, .. } => {
                kept.any(|kept| kept.offset == array)
            }
            Intent::Reap { .. } | Intent::Fall { .. } | Intent::Change { .. } => true,
        }
    }

    fn stands_in(&self, array: &Array<'_>, entry: u64) -> bool {
        let key = Entry::at(self.arena, entry).and_then(|entry| entry.key(self.arena));
        key.is_some_and(|key| array.has(key.hash, entry))
    }

    /// Whether the word of an entry or of a queue's cell is there.
    fn may_lead(&self, leads: u64) -> bool {
        self.entries.contains(&leads) || self.led.contains_key(&leads)
    }

    /// Whether the process whose lane it is keeps an object, in whichever of its threads.
    fn keeps(&self, record: &LaneRecord, object: u64) -> bool {
        let its = record.tenure();
        self.arena.lanes().any(|(_, record)| {
            record.tenure() == its
                && record.hazards.iter().any(|hazard| hazard.load(Acquire) == object)
        })
    }

    /// Whether the block at `offset` is still in a slab or run of `lane`, so that nobody else had it.
    pub(super) fn is_still_of(&self, lane: LaneId, offset: u64) -> bool {
        // Behind its fence: what is the lane's still stays backed as long as it is held.
        self.looker.hold(offset);
        let Some(place) = locate(self.arena, offset) else { return false };
        let head = match place.kind {
            PlaceKind::Slab(block, _) => block.head,
            PlaceKind::Run(head, _) => head,
        };
        match self.arena.unit(head) {
            Some(Unit::Slab { lane: of, .. } | Unit::Sweep { of, .. }) => of == lane,
            Some(Unit::Run { lane: of, .. }) => of == lane,
            _ => false,
        }
    }

    /// An object that is not linked, or by `entry`.
    fn may_be_linked(&self, lane: LaneId, object: u64, entry: u64) -> bool {
        if !self.is_still_of(lane, object) {
            return true;
        }
        let has_name =
            || ObjectHeader::at(self.arena, object).is_some_and(|header| header.life().named);
        !self.arrays.contains(&object)
            && !self.entries.contains(&object)
            && self.objects.get(&object).is_none_or(|leads| *leads == entry)
            && (self.state(object) != Some(State::Published) || has_name())
    }

    /// An object that is not linked, or by `lease`, a private one of its lane, which leads to nothing else.
    fn may_be_shared(&self, lane: LaneId, object: u64, lease: u64) -> bool {
        if !self.is_still_of(lane, lease) || !self.is_still_of(lane, object) {
            return true;
        }
        let leads = self.arena.word(lease).map(|word| word.load(Acquire));
        let has_one = || {
            let count = count_at(self.arena, object).map(|count| count.load(Acquire));
            count.is_some_and(|count| Count::of(count).leases == 1)
        };
        let led = self.leases.get(&object).copied().unwrap_or(0);
        !self.arrays.contains(&object)
            && !self.entries.contains(&object)
            && !self.objects.contains_key(&object)
            && matches!(self.state(lease), Some(State::Private | State::Limbo))
            && leads.is_some_and(|leads| leads == 0 || leads == object)
            && led <= u64::from(leads == Some(object))
            && (self.state(object) != Some(State::Published) || has_one())
    }

    /// An entry that no slot leads to, or this one.
    fn may_be_interned(&self, lane: LaneId, entry: u64, array: u64, slot: u64) -> bool {
        if !self.is_still_of(lane, entry) {
            return true;
        }
        let is_there = || {
            let found = self.slot(array, slot);
            matches!(found, Some(Slot::Entry { entry: there, .. }) if there == entry)
        };
        !self.arrays.contains(&entry)
            && !self.objects.contains_key(&entry)
            && (!self.entries.contains(&entry) || is_there())
    }

    /// An array that does not belong to the table, or is the successor of `array`.
    fn may_be_hung(&self, lane: LaneId, array: u64, new: u64) -> bool {
        let is_there =
            || Array::at(self.arena, array).is_some_and(|array| array.next().load(Acquire) == new);
        !self.is_still_of(lane, new)
            || !self.entries.contains(&new)
                && !self.objects.contains_key(&new)
                && (!self.arrays.contains(&new) || is_there())
    }

    /// An object that `entry` leads to, or none does. If it says that another lane destroyed it, the journal
    /// of that one says so, too, or it is published no more, or its block is its entry's, which leads to it no more:
    /// else nobody would come to an end with it.
    fn may_be_destroyed(&self, lane: LaneId, object: u64, entry: u64) -> bool {
        let Some(header) = ObjectHeader::at(self.arena, object) else { return false };
        let by = header.life().retired_by;
        let is_at_it = |(id, record): (LaneId, &LaneRecord)| {
            id == by
                && matches!(record.journal.read(), Some(Ok(Intent::Destroy { object: it, .. })) if it == object)
        };
        // Behind the look at journals: one is closed when the entry leads to it no more.
        let was_left = || {
            let leads = self.arena.word(entry).map(|word| Value::of(word.load(Acquire)));
            header.life().with_entry && leads.is_some_and(|leads| leads != Value::Live(object))
        };
        let comes_to_an_end =
            by == LaneId::NOBODY || by == lane || self.arena.lanes().any(is_at_it) || was_left();
        // Behind the look at journals: one is closed when the object is published no more.
        let state = self.state(object);
        !self.arrays.contains(&object)
            && !self.entries.contains(&object)
            && self.objects.get(&object).is_none_or(|leads| *leads == entry)
            && (state == Some(State::Published) && comes_to_an_end
                || matches!(state, Some(State::Limbo | State::Doomed)))
    }

    /// An object that is not published, and a part that hangs on no other, by the word that the journal
    /// says or not any more. If the object does not say that the lane lets it fall, nothing is done.
    fn may_fall(&self, lane: LaneId, object: u64, word_at: u64, part: u64) -> bool {
        let Some(header) = ObjectHeader::at(self.arena, object) else { return false };
        let life = header.life();
        if !life.is_falling || life.retired_by != lane {
            return true;
        }
        let is_in_use = self.arrays.contains(&part)
            || self.entries.contains(&part)
            || self.objects.get(&part).is_some_and(|by| *by != word_at);
        let word = self.arena.word(word_at).map(|word| Word::from_bits(word.load(Acquire)));
        let leads = part != 0 && word.is_some_and(|word| word.offset() == part);
        // What a word of it leads to was judged with that.
        let is_led = self.led.get(&word_at) == Some(&object) && leads;
        let hangs = self.reached.get(&part) == Some(&object) || is_led;
        let is_of_it = || {
            locate(self.arena, word_at).is_some_and(|place| {
                place.start == object || self.reached.get(&place.start) == Some(&object)
            })
        };
        matches!(self.state(object), Some(State::Limbo | State::Doomed))
            && !is_in_use
            && (hangs || !self.reached.contains_key(&part))
            && (self.has_more || hangs == leads)
            && (!leads || is_of_it())
    }

    /// A change of what hangs on the object that the lock is in, by blocks that hang there or nowhere.
    fn may_be_changed(&self, lane: LaneId, lock: u64, draft: u64) -> bool {
        let root_of = |offset: u64| {
            let start = locate(self.arena, offset)?.start;
            let is_object = self.objects.contains_key(&start)
                || matches!(self.state(start), Some(State::Published | State::Doomed));
            if is_object { Some(start) } else { self.reached.get(&start).copied() }
        };
        let (Some(said), Some(root)) = (Said::of(self.arena, lane, draft), root_of(lock)) else {
            return false;
        };
        let is_used = |block: &u64| {
            self.arrays.contains(block)
                || self.entries.contains(block)
                || self.objects.contains_key(block)
                || *block == draft
        };
        // The walk of the object has seen the words as they will be.
        let hangs = |block: &u64| self.has_more || self.reached.get(block) == Some(&root);
        let is_loose = |block: &u64| self.reached.get(block).is_none_or(|on| *on == draft);
        let writes_there = |(to, _, len): &(u64, u64, u64)| {
            let Some(place) = locate(self.arena, *to) else { return false };
            let fits = (place.start + place.bytes - to) / 8 >= *len;
            let is_value = place.start != root || *to >= root + size_of::<ObjectHeader>() as u64;
            let spares_lock = *to > lock || len.saturating_mul(8) <= lock - to;
            fits && is_value
                && spares_lock
                && to.is_multiple_of(8)
                && (said.new.contains(&place.start) || root_of(*to) == Some(root))
        };
        // By the reference through which the process came to the lock.
        let keeps_root = || self.keeps(self.arena.lane(lane), root);
        lock.is_multiple_of(8)
            && (self.has_more || self.locks.get(&lock) == Some(&root))
            && (self.counted.contains_key(&root) || keeps_root())
            && !said.new.iter().chain(&said.graves).any(is_used)
            && said.new.iter().all(hangs)
            && said.graves.iter().all(is_loose)
            && said.runs.iter().all(writes_there)
            && (said.graves.is_empty() || self.will_fall(lane, draft))
    }

    /// Whether a draft that has graves falls when its change is made: it says so, and its type is known; else
    /// nobody gives them back.
    fn will_fall(&self, lane: LaneId, draft: u64) -> bool {
        let is_part = |part: &u64| self.state(*part) == Some(State::Part);
        let header = ObjectHeader::at(self.arena, draft).filter(|header| {
            let life = header.life();
            let is_its = life.has_parts && life.is_falling && life.retired_by == lane;
            is_its && header.fingerprint.load(Relaxed) == Grave::FINGERPRINT
        });
        let view = View { falls: true, changes: &self.changes, is_alive: &|_| false };
        // Without a pin to spare nothing is said of it.
        let graves = || self.names.check_parts_of(draft, view);
        let are_parts =
            || graves().map_or(true, |it| it.whole.is_ok() && it.parts.iter().all(is_part));
        header.is_some() && are_parts()
    }

    /// A dead entry of the oldest array that stands there alone. If the root does not say that the
    /// lane gives back that array, nothing is done.
    fn may_be_reaped(&self, lane: LaneId, entry: u64, array: u64, slot: u64) -> bool {
        if self.arena.header().names_oldest.load(Acquire) != oldest_word(array, lane.0) {
            return true;
        }
        let (Some(view), Some(dead)) = (Array::at(self.arena, array), Entry::at(self.arena, entry))
        else {
            return false;
        };
        let stands_on = || {
            let next = Array::at(self.arena, view.next().load(Acquire));
            let has_name = dead.key(self.arena).is_some();
            next.is_none_or(|next| !has_name || self.stands_in(&next, entry))
        };
        let is_there = match self.slot(array, slot) {
            Some(Slot::Entry { entry: there, .. }) => there == entry,
            Some(Slot::Frozen) => true,
            Some(Slot::Empty) | None => false,
        };
        is_there
            && dead.value() == Value::Dead
            && matches!(
                self.state(self.names.block_around(entry)),
                Some(State::Published | State::Limbo)
            )
            && !stands_on()
    }

    /// What is in a slot; `None`: there is no such array, or slot.
    fn slot(&self, array: u64, slot: u64) -> Option<Slot> {
        let array = Array::at(self.arena, array).filter(|array| slot < array.len())?;
        Some(Slot::of(array.slot(slot).load(Acquire)))
    }

    /// The state of the block that begins at `offset`.
    pub(super) fn state(&self, offset: u64) -> Option<State> {
        state_at(self.arena, offset)
    }
}

/// The state of the block that begins at `offset`.
pub(super) fn state_at(arena: &Arena, offset: u64) -> Option<State> {
    let place = locate(arena, offset).filter(|place| place.start == offset)?;
    state_of(arena, &place)
}

/// Whether the lane keeps the block that its journal rests on.
fn has_pins(record: &LaneRecord, intent: Intent) -> bool {
    let keeps = |offset| record.hazards.iter().any(|hazard| hazard.load(Acquire) == offset);
    match intent {
        Intent::Destroy { object, .. } => keeps(object),
        Intent::Fall { object, .. } => keeps(object | REAPER),
        Intent::Change { draft, .. } => keeps(draft | REAPER),
        Intent::Link { .. } | Intent::Intern { .. } | Intent::Grow { .. } => true, // by `keeps_names`
        Intent::Reap { .. } => true, // the root says that it is at the array
    }
}

/// Whether an array of the table is at `array`, with a slot of this number.
fn is_in(chain: &Arrays<'_>, array: u64, slot: u64) -> bool {
    chain.arrays.iter().any(|it| it.offset == array && slot < it.len())
}

//! Checks of the table of names: arrays, slots, entries, and the objects that they lead to.

use super::{FindingKind, FindingPlace, Pass};
use crate::arena::Arena;
use crate::heap::unit::State;
use crate::heap::{Place, locate, state_of};
use crate::layout::MAX_LANES;
use crate::names::array::{Array, Slot, tag};
use crate::names::entry::{Entry, Key, Life, ObjectHeader, Space, Value};
use crate::process::journal::Intent;
use crate::shareable::Shareable;
use crate::stats::look::Arrays;
use crate::sync::{Acquire, Relaxed};
use core::mem::size_of;
use std::collections::hash_map;
use std::collections::{HashMap, HashSet};

/// Entries in use, by hash.
type Known<'a> = HashMap<u64, Entry<'a>>;

/// A walk over the slots of an array.
struct Walk<'w, 'a> {
    array: &'w Array<'a>,
    /// Its successor.
    to: Option<&'w Array<'a>>,
    /// Entries met in it.
    here: HashSet<u64>,
    /// The last slot before the present one at which searches end; `None`: there is none, or (in an
    /// array that is being given back) they mean nothing any more.
    gap: Option<u64>,
}

impl Walk<'_, '_> {
    /// Whether a search for `hash` ends before `slot`.
    fn is_cut_off(&self, slot: u64, hash: u64) -> bool {
        let mask = self.array.len() - 1;
        let steps = slot.wrapping_sub(hash) & mask;
        self.gap.is_some_and(|gap| slot.wrapping_sub(gap) & mask <= steps)
    }
}

/// Whether searches go on after a slot.
fn leads_on(array: &Array<'_>, slot: u64) -> bool {
    matches!(Slot::of(array.slot(slot).load(Acquire)), Slot::Entry { .. })
}

fn last_gap(array: &Array<'_>) -> Option<u64> {
    (0..array.len()).rev().find(|slot| !leads_on(array, *slot))
}

impl<'a> Pass<'a> {
    pub(super) fn check_names(&mut self) {
        let chain = Arrays::pin(self.names);
        let (arena, current) = (self.arena, self.arena.header().names_current.load(Acquire));
        if let Some(offset) = chain.broken {
            let text = "an array of names should be here, but is not, or the arrays follow each other in a circle";
            self.damage(FindingKind::Array, FindingPlace::Offset(offset), text);
        }
        if let Some((reaper, word)) = chain.reaping {
            let place = FindingPlace::Offset(crate::layout::oldest_of(word).0);
            self.unfinished(
                FindingKind::Array,
                place,
                reaper,
                "giving back the oldest array of names",
            );
        }
        self.check_reaper();
        if !chain.arrays.iter().any(|array| array.offset == current) {
            let text = "the current array of names does not follow the oldest one";
            self.damage(FindingKind::Array, FindingPlace::Offset(current), text);
        }
        let place = chain.arrays.iter().position(|array| array.offset == current);
        let mut known = Known::new();
        for (number, array) in chain.arrays.iter().enumerate() {
            self.looked.arrays += 1;
            self.arrays.insert(array.offset);
            // Nobody comes to an array older than the current one any more: who was giving it back may have
            // died halfway.
            let is_reaped = number == 0 && (chain.reaping.is_some() || array.offset != current);
            self.check_array(array, is_reaped);
            if place.is_some_and(|place| number < place) && !array.all_done() {
                let text =
                    "names that stand in this array were not moved, though another is current";
                self.damage(FindingKind::Array, FindingPlace::Offset(array.offset), text);
            }
            // Behind the look at the bits: a successor is hung before any is set.
            if array.any_done() && array.next().load(Acquire) == 0 {
                let text =
                    "names that stand in this array are said to be moved, but it has no successor";
                self.damage(FindingKind::Array, FindingPlace::Offset(array.offset), text);
            }
            self.check_closed(array, place.is_some_and(|place| number > place), current);
            let mut walk = Walk {
                array,
                to: chain.arrays.get(number + 1),
                here: HashSet::new(),
                gap: (!is_reaped).then(|| last_gap(array)).flatten(),
            };
            for slot in 0..array.len() {
                if !chain.is_kept(arena, number) {
                    break;
                }
                self.check_slot(&mut walk, slot, &mut known);
                if walk.gap.is_some() && !leads_on(array, slot) {
                    walk.gap = Some(slot);
                }
            }
        }
    }

    /// Who gives an array back has seen one that follows it.
    fn check_reaper(&mut self) {
        let root = &self.arena.header().names_oldest;
        let word = root.load(Acquire);
        let (first, reaper) = crate::layout::oldest_of(word);
        let is_last =
            Array::at(self.arena, first).is_none_or(|array| array.next().load(Acquire) == 0);
        // Given back meanwhile, it may read as anything.
        if reaper != 0 && is_last && root.load(Acquire) == word {
            let text = format!("lane {reaper} is giving back the only array of names");
            self.damage(FindingKind::Array, FindingPlace::Offset(first), text);
        }
    }

    /// `is_reaped`: it is being given back, or was, so that its block may be in Limbo already.
    fn check_array(&mut self, array: &Array<'_>, is_reaped: bool) {
        let fits = |place: &Place| {
            place.start == array.offset && Array::bytes(array.len()) as u64 <= place.bytes
        };
        let state = locate(self.arena, array.offset)
            .filter(fits)
            .and_then(|place| state_of(self.arena, &place));
        if state != Some(State::Published) && !(is_reaped && state == Some(State::Limbo)) {
            let text =
                format!("an array of {} slots has no published block of its size", array.len());
            self.damage(FindingKind::Array, FindingPlace::Offset(array.offset), text);
        }
    }

    /// Paths are closed where names are moved away: out of the current array, once it has a successor, and
    /// out of those before it.
    fn check_closed(&mut self, array: &Array<'_>, is_after_current: bool, current: u64) {
        let is_frozen = |slot: &u64| array.slot(*slot).load(Acquire) == Slot::Frozen.word();
        let frozen = (0..array.len()).find(is_frozen);
        // Behind the look at the slots: the successor is hung there first.
        let has_next = array.next().load(Acquire) != 0;
        let is_still = self.arena.header().names_current.load(Acquire) == current;
        if is_after_current && has_next && is_still {
            let text = "another array follows it, though it is not current yet";
            self.damage(FindingKind::Array, FindingPlace::Offset(array.offset), text);
        }
        if let Some(slot) = frozen.filter(|_| !has_next || is_after_current && is_still) {
            let text =
                format!("slot {slot} of the array at {:#x} is closed too early", array.offset);
            self.damage(FindingKind::Slot, FindingPlace::Offset(array.offset), text);
        }
    }

    fn check_slot(&mut self, walk: &mut Walk<'_, 'a>, slot: u64, known: &mut Known<'a>) {
        let (arena, array) = (self.arena, walk.array);
        let moved_to = walk.to.filter(|_| array.was_moved(slot));
        let word = array.slot(slot).load(Acquire);
        let Slot::Entry { tag: found, entry: offset } = Slot::of(word) else {
            if moved_to.is_some() && word == Slot::Empty.word() {
                let text = format!(
                    "slot {slot} of the array at {:#x} is open still, though what is around it was moved",
                    array.offset
                );
                self.damage(FindingKind::Slot, FindingPlace::Offset(array.offset), text);
            }
            return;
        };
        let place = FindingPlace::Offset(offset);
        let block = locate(arena, offset).filter(|place| may_hold_entry(arena, place, offset));
        let is_published =
            block.as_ref().and_then(|block| state_of(arena, block)) == Some(State::Published);
        let home = block.as_ref().map(|block| block.start);
        let entry = Entry::at(arena, offset).filter(|entry| {
            let end = offset + Entry::bytes(entry.name()) as u64;
            block.is_some_and(|block| end <= block.start + block.bytes)
        });
        // A reaper freezes the slot before it gives the entry back.
        if array.slot(slot).load(Acquire) != word {
            return;
        }
        let Some(entry) = entry.filter(|_| is_published) else {
            let text = format!(
                "slot {slot} of the array at {:#x} leads here, but no published entry is",
                array.offset
            );
            self.damage(FindingKind::Slot, place, text);
            return;
        };
        self.entries.insert(offset);
        if let Some(home) = home.filter(|home| *home != offset)
            && self.homes.insert(home, offset).is_some_and(|other| other != offset)
        {
            let text = format!("two entries stand behind the object at {home:#x}");
            self.damage(FindingKind::Slot, place.clone(), text);
        }
        if !walk.here.insert(offset) {
            let text = format!(
                "a second slot, {slot}, of the array at {:#x} leads to the same entry",
                array.offset
            );
            self.damage(FindingKind::Slot, place.clone(), text);
        }
        let Some(key) = entry.key(arena).filter(is_nameable) else {
            self.damage(
                FindingKind::Entry,
                place,
                "the hash, kind or length of a name does not fit the name",
            );
            return;
        };
        let name = FindingPlace::Name(shown(&key));
        if found != tag(key.hash) {
            let text = format!(
                "slot {slot} of the array at {:#x} shows other bits than its hash has",
                array.offset
            );
            self.damage(FindingKind::Slot, name, text);
        } else if walk.is_cut_off(slot, key.hash) {
            let text =
                format!("no search comes by slot {slot} of the array at {:#x}", array.offset);
            self.damage(FindingKind::Path, name, text);
        } else if let Some(to) = moved_to
            && !to.has(key.hash, offset)
            && entry.value() != Value::Dead
        {
            let text = format!("it was moved to the array at {:#x}, but is not there", to.offset);
            self.damage(FindingKind::Path, name, text);
        }
        self.check_entry(entry, &key, known);
    }

    /// An entry that may have been met before, in an older array.
    fn check_entry(&mut self, entry: Entry<'a>, key: &Key<'a>, known: &mut Known<'a>) {
        let value = entry.value();
        if value == Value::Dead {
            return;
        }
        match known.entry(key.hash) {
            hash_map::Entry::Occupied(first) if first.get().offset == entry.offset => return,
            hash_map::Entry::Occupied(first) => {
                if first.get().matches(key) && first.get().value() != Value::Dead {
                    let text = format!(
                        "it has two entries, at {:#x} and {:#x}",
                        first.get().offset,
                        entry.offset
                    );
                    self.damage(FindingKind::TwoEntries, FindingPlace::Name(shown(key)), text);
                }
            }
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(entry);
            }
        }
        self.looked.names += 1;
        if let Value::Live(object) = value {
            self.check_named(entry, key, object);
        }
    }

    fn check_named(&mut self, entry: Entry<'a>, key: &Key<'a>, object: u64) {
        let is_linked = || entry.value() == Value::Live(object);
        let place = FindingPlace::Name(shown(key));
        if self.check_object(place, (entry.offset, object), false, is_linked) {
            self.check_tree(object, false, is_linked);
        }
    }

    /// An object to which the word at `leads` leads, which is an entry's or a cell's of a queue, and is held;
    /// `falls`: of one that goes with all that is in it. Whether what hangs on it is to be looked at.
    pub(super) fn check_object(
        &mut self,
        place: FindingPlace,
        (leads, object): (u64, u64),
        falls: bool,
        is_linked: impl Fn() -> bool,
    ) -> bool {
        let arena = self.arena;
        self.looker.hold(object);
        if !is_linked() {
            return false;
        }
        let block = locate(arena, object).filter(|place| place.start == object);
        let state = block.as_ref().and_then(|block| state_of(arena, block));
        let header = ObjectHeader::at(arena, object).filter(|_| block.is_some());
        let life = header.map(|header| (header.life(), header.fingerprint.load(Relaxed)));
        // Unlinked before it goes into Limbo; held, it cannot be taken again meanwhile.
        if !is_linked() {
            return false;
        }
        let is_going = falls && matches!(state, Some(State::Limbo | State::Doomed));
        if is_going && self.announced.contains_key(&object) {
            return false; // by a fall, whose step is at it
        }
        let (Some(block), Some(State::Published), Some((life, fingerprint))) = (block, state, life)
        else {
            let state = state.map_or("is no block".into(), |state| format!("is {state:?}"));
            self.damage(
                FindingKind::Value,
                place,
                format!("it leads to offset {object:#x}, which {state}"),
            );
            return false;
        };
        if self.objects.insert(object, leads).is_some() {
            let text = format!("its object, at {object:#x}, has another name, too");
            self.damage(FindingKind::TwoNames, place, text);
            return false;
        }
        self.looked.objects += 1;
        let home = self.homes.get(&object);
        if life.with_entry && home.is_none() {
            let text =
                format!("no entry stands behind the object at {object:#x}, though it says so");
            self.damage(FindingKind::Object, place, text);
            return false;
        }
        let room = home.map_or(block.bytes, |entry| entry - object);
        if let Err(what) = fits(life, fingerprint, room) {
            self.damage(FindingKind::Object, place, format!("the object at {object:#x} {what}"));
            return false;
        }
        if !life.named || life.counted {
            let text = format!("the object at {object:#x} says that it has no name");
            self.damage(FindingKind::Object, place, text);
            return false;
        }
        if life.is_whole() {
            return true;
        }
        let Some(lane) = self.announced.get(&object).copied() else {
            let by = life.retired_by;
            let text = format!("it leads to the object at {object:#x}, which {by} destroyed");
            self.damage(FindingKind::Object, place, text);
            return false;
        };
        self.unfinished(FindingKind::Object, place, lane, "destroying its object");
        true
    }

    /// What says that it has a name, and was met before what leads to it. After all units.
    pub(super) fn check_nameless(&mut self) {
        for object in core::mem::take(&mut self.nameless) {
            self.looker.hold(object);
            let state = self.state(object);
            let life = ObjectHeader::at(self.arena, object).map(ObjectHeader::life);
            let is_it = state == Some(State::Published)
                && life.is_some_and(|life| life.named && life.is_whole());
            if is_it && !self.objects.contains_key(&object) {
                let text = "an object says that it has a name, but no name leads to it";
                self.damage(FindingKind::Block, FindingPlace::Offset(object), text);
            }
        }
    }

    /// A published block, in a unit that is held: what is it?
    pub(super) fn check_published(
        &mut self,
        offset: u64,
        block: &Place,
        is_still: impl Fn() -> bool,
    ) {
        if self.arrays.contains(&offset)
            || self.entries.contains(&offset)
            || self.objects.contains_key(&offset)
        {
            return;
        }
        let Some(header) = ObjectHeader::at(self.arena, offset) else { return };
        let (life, fingerprint) = (header.life(), header.fingerprint.load(Relaxed));
        if !is_still() {
            return;
        }
        if self.homes.contains_key(&offset) && !life.is_whole() {
            return; // what is left is the entry's
        }
        let place = FindingPlace::Offset(offset);
        if let Some(lane) = self.announced.get(&offset).copied() {
            self.unfinished(FindingKind::Block, place, lane, "publishing or destroying this block");
            // Of one that is not linked yet the parts are private, and free again when it is recovered. What has
            // just been given its first lease is looked at behind all units.
            let intent = self.arena.lane(lane).journal.read();
            if matches!(intent, Some(Ok(Intent::Destroy { object, .. })) if object == offset) {
                self.check_tree(offset, false, is_still);
            }
        } else if let Err(what) = fits(life, fingerprint, block.bytes) {
            self.damage(FindingKind::Block, place, format!("a published block {what}"));
        } else if let Some(lane) = self.gives_up_last(offset).filter(|_| !life.is_whole()) {
            self.unfinished(FindingKind::Block, place, lane, "giving up the last lease of this");
            self.check_tree(offset, false, is_still);
        } else if !life.is_whole() {
            let text = format!(
                "{} destroyed this object, but its block is still published",
                life.retired_by
            );
            self.damage(FindingKind::Block, place, text);
        } else if life.named {
            self.nameless.push(offset);
        } else {
            if life.counted {
                self.looked.shared += 1;
                self.found_counted(offset);
                self.check_tree(offset, false, is_still);
            } else {
                self.looked.unnamed += 1;
            }
        }
    }
}

/// Whether an entry may stand at `offset` of a block: at its start, or behind an object that says so.
fn may_hold_entry(arena: &Arena, block: &Place, offset: u64) -> bool {
    let is_behind = || {
        let life = ObjectHeader::at(arena, block.start).map(ObjectHeader::life);
        life.is_some_and(|life| life.with_entry)
            && offset >= block.start + size_of::<ObjectHeader>() as u64
    };
    block.start == offset || is_behind()
}

/// Whether the crate gives such names: for users' objects text, for types a number.
fn is_nameable(key: &Key<'_>) -> bool {
    match key.space {
        Space::Types | Space::Maps => key.name.len() == size_of::<u64>(),
        Space::Named | Space::Unique => {
            !key.name.is_empty() && core::str::from_utf8(key.name).is_ok()
        }
    }
}

fn shown(key: &Key<'_>) -> String {
    match (key.space, key.name.try_into().map(u64::from_le_bytes)) {
        (Space::Types, Ok(fingerprint)) => format!("type {fingerprint:016x}"),
        (Space::Maps, Ok(fingerprint)) => format!("trace map {fingerprint:016x}"),
        _ => String::from_utf8_lossy(key.name).into_owned(),
    }
}

/// Whether an object can have this header, in so many bytes; `Err`: what is wrong with it. How large a
/// value is, is known of the types without parts alone.
fn fits(life: Life, fingerprint: u64, room: u64) -> Result<(), String> {
    const KNOWN: [(u64, u64); 14] = [
        (u8::FINGERPRINT, 1),
        (u16::FINGERPRINT, 2),
        (u32::FINGERPRINT, 4),
        (u64::FINGERPRINT, 8),
        (u128::FINGERPRINT, 16),
        (i8::FINGERPRINT, 1),
        (i16::FINGERPRINT, 2),
        (i32::FINGERPRINT, 4),
        (i64::FINGERPRINT, 8),
        (i128::FINGERPRINT, 16),
        (f32::FINGERPRINT, 4),
        (f64::FINGERPRINT, 8),
        (bool::FINGERPRINT, 1),
        (char::FINGERPRINT, 4),
    ];
    if usize::from(life.retired_by.0) >= MAX_LANES {
        return Err(format!("was destroyed by {}, which cannot be", life.retired_by));
    }
    let value =
        KNOWN.iter().find(|(known, _)| *known == fingerprint).map_or(0, |(_, bytes)| *bytes);
    let bytes = life
        .count
        .checked_mul(value)
        .and_then(|bytes| bytes.checked_add(size_of::<ObjectHeader>() as u64));
    if bytes.is_none_or(|bytes| bytes > room) {
        return Err(format!(
            "has {} values of {value} bytes, which do not fit its {room} bytes",
            life.count
        ));
    }
    Ok(())
}

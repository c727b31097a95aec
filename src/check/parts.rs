//! Parts: each hangs on one object, and on nothing else.

use super::journals::state_at;
use super::{FindingKind, FindingPlace, Pass, Severity, Standing};
use crate::heap::unit::{State, Unit};
use crate::heap::{PlaceKind, locate, state_of};
use crate::lock::word::Who;
use crate::names::entry::ObjectHeader;
use crate::process::journal::Intent;
use crate::process::lane::LaneRecord;
use crate::process::participant::ParticipantWord;
use crate::sync::Acquire;
use crate::trace::walk::{Checked, Led, View};
use std::collections::hash_map::Entry;

impl Pass<'_> {
    /// Goes over what hangs on the object at `object`, which the looker holds; `falls`: some of that may
    /// be gone; `is_still`: it is what it was when it was found.
    pub(super) fn check_tree(&mut self, object: u64, falls: bool, is_still: impl Fn() -> bool) {
        let life = ObjectHeader::at(self.arena, object).map(ObjectHeader::life);
        if !life.is_some_and(|life| life.has_parts) {
            return;
        }
        // Without a pin to spare nothing is said of it, nor of any part that it is lost.
        let view = View { falls, changes: &self.changes, is_alive: &|who| self.is_alive(who) };
        let Ok(checked) = self.names.check_parts_of(object, view) else {
            self.has_more = true;
            return;
        };
        let Checked { parts, locks, led, whole, has_more } = checked;
        self.has_more |= has_more;
        self.locks.extend(locks.into_iter().map(|lock| (lock, object)));
        if let Err(what) = whole
            && is_still()
        {
            let place = FindingPlace::Offset(object);
            self.damage(FindingKind::Part, place, format!("of what hangs on this object, {what}"));
        }
        for part in parts {
            if self.is_left_private(object, part) && is_still() {
                let text = "it hangs on an object, but is private to a process that is not about to link that";
                self.damage(FindingKind::Part, FindingPlace::Offset(part), text);
            }
            match self.reached.entry(part) {
                Entry::Vacant(vacant) => {
                    vacant.insert(object);
                }
                Entry::Occupied(other) if *other.get() != object => {
                    let text =
                        format!("it hangs on two objects, at {:#x} and {object:#x}", other.get());
                    self.damage(FindingKind::Part, FindingPlace::Offset(part), text);
                }
                Entry::Occupied(_) => {}
            }
        }
        self.check_led(object, led, falls);
    }

    /// Words of an object that lead to others, by `root`, which the looker holds; `falls`: it is going.
    fn check_led(&mut self, root: u64, led: Vec<Led>, falls: bool) {
        if led.is_empty() {
            return;
        }
        // Without a pin to spare nothing is said of what they lead to.
        let Ok(pin) = self.names.pinned(root) else {
            self.has_more = true;
            return;
        };
        for Led { word_at, object } in led {
            self.led.insert(word_at, root);
            let Some(word) = self.arena.word(word_at).filter(|_| object != 0) else { continue };
            let is_linked = || word.load(Acquire) == object;
            let place = FindingPlace::Offset(word_at);
            if self.check_object(place, (word_at, object), falls, is_linked) {
                self.to_enter.push(object);
            }
        }
        self.names.unpin(pin);
    }

    /// Goes over what hangs on objects to which others lead. After all that lead to some.
    pub(super) fn check_entered(&mut self) {
        while let Some(object) = self.to_enter.pop() {
            self.looker.hold(object);
            let arena = self.arena;
            let is_there = || state_at(arena, object) == Some(State::Published);
            if is_there() {
                self.check_tree(object, false, is_there);
            }
        }
    }

    /// Whether a part of an object is PRIVATE without being about to be marked: recovery of its process
    /// would free it.
    fn is_left_private(&self, object: u64, part: u64) -> bool {
        let holder = || {
            let place = locate(self.arena, part).filter(|place| place.start == part)?;
            (state_of(self.arena, &place) == Some(State::Private)).then_some(())?;
            match place.kind {
                PlaceKind::Slab(_, Unit::Slab { lane, .. } | Unit::Sweep { of: lane, .. })
                | PlaceKind::Run(_, Unit::Run { lane, .. }) => Some(lane),
                _ => None,
            }
        };
        let Some(lane) = holder() else { return false };
        let its = self.arena.lanes().find(|(id, _)| *id == lane).and_then(|(_, it)| it.tenure());
        let changes = |record: &LaneRecord| {
            let by = self.announced.get(&part).map(|lane| self.arena.lane(*lane));
            matches!(record.journal.read(), Some(Ok(Intent::Change { .. })))
                && by.is_some_and(|by| core::ptr::eq(by, record))
        };
        let marks = |record: &LaneRecord| {
            record.tenure() == its && (record.links(object) || changes(record))
        };
        let is_about_to = its.is_some() && self.arena.lanes().any(|(_, record)| marks(record));
        // Looked at again, as it may just have been marked.
        !is_about_to && holder() == Some(lane)
    }

    /// Whether the process that a lock names may be at what it guards.
    fn is_alive(&self, who: Who) -> bool {
        let Some(tenure) = who.tenure() else { return false };
        let record = &self.arena.participants()[usize::from(tenure.id.0)];
        let live = ParticipantWord::of(record.word.load(Acquire))
            .filter(|word| matches!(word, ParticipantWord::Live { .. }));
        live.is_some_and(|word| word.counter() == tenure.counter)
            && !self.dead.contains_key(&tenure.id.0)
    }

    /// A part in the units.
    pub(super) fn found_part(&mut self, part: u64, bytes: u64) {
        self.looked.parts += 1;
        self.parts.push((part, bytes));
    }

    /// A destroyed object that has not fallen yet: its parts still hang on it.
    pub(super) fn check_doomed(&mut self, object: u64) {
        self.looker.hold(object);
        let arena = self.arena;
        let is_doomed = || state_at(arena, object) == Some(State::Doomed);
        // Behind the hazard's fence: as long as we hold it nobody lets it fall, or somebody is at it.
        if is_doomed() {
            self.check_tree(object, true, is_doomed);
        }
    }

    /// Says of each part that was met in the units whether it hangs on an object; after all else.
    pub(super) fn check_parts(&mut self) {
        let lost: Vec<(u64, u64)> = core::mem::take(&mut self.parts)
            .into_iter()
            .filter(|(part, _)| !self.reached.contains_key(part))
            .collect();
        if self.has_more {
            return; // they may hang on what is behind a lock that somebody holds
        }
        for (part, bytes) in lost {
            let text = format!("a part of {bytes} bytes hangs on no object");
            let place = FindingPlace::Offset(part);
            match self.announced.get(&part).map(|lane| self.standing(*lane)) {
                // The one that it is just giving back.
                Some(Standing::Live(_)) => self.note(FindingKind::Part, place, text),
                Some(Standing::Dead(_)) => {
                    self.add(Severity::Leftover, FindingKind::Part, place, text);
                }
                Some(Standing::Nobody) | None => self.damage(FindingKind::Part, place, text),
            }
        }
    }
}

//! Parts: each hangs on one object, and on nothing else.

use super::{FindingKind, FindingPlace, Pass, Severity};
use crate::heap::unit::State;
use crate::heap::{locate, state_of};
use crate::names::entry::ObjectHeader;
use crate::trace::walk::Checked;
use std::collections::hash_map::Entry;

impl Pass<'_> {
    /// Goes over what hangs on the object at `object`, which the looker holds; `is_still`: it is what
    /// it was when it was found.
    pub(super) fn check_tree(&mut self, object: u64, is_still: impl Fn() -> bool) {
        let life = ObjectHeader::at(self.arena, object).map(ObjectHeader::life);
        if !life.is_some_and(|life| life.has_parts) {
            return;
        }
        // Without a pin to spare nothing is said of it, and so of its parts that they are lost.
        let Ok(Checked { parts, whole, has_more }) = self.names.check_parts_of(object) else { return };
        self.has_more |= has_more;
        if let Err(what) = whole
            && is_still()
        {
            let place = FindingPlace::Offset(object);
            self.damage(FindingKind::Part, place, format!("of what hangs on this object, {what}"));
        }
        for part in parts {
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
    }

    /// A part in the units.
    pub(super) fn found_part(&mut self, part: u64, bytes: u64) {
        self.looked.parts += 1;
        self.parts.push((part, bytes));
    }

    /// A destroyed object that has not fallen yet: its parts still hang on it.
    pub(super) fn check_doomed(&mut self, object: u64) {
        self.looker.hold(object);
        let place = locate(self.arena, object).filter(|place| place.start == object);
        // Behind the hazard's fence: as long as we hold it nobody lets it fall, or somebody is at it.
        if place.and_then(|place| state_of(self.arena, &place)) == Some(State::Doomed) {
            self.check_tree(object, || false);
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
        let severity = if self.dead.is_empty() { Severity::Damage } else { Severity::Leftover };
        for (part, bytes) in lost {
            let text = format!("a part of {bytes} bytes hangs on no object");
            self.add(severity, FindingKind::Part, FindingPlace::Offset(part), text);
        }
    }
}

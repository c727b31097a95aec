//! Leases, and the counts of what they lead to.

use super::{FindingKind, FindingPlace, Pass, Standing};
use crate::heap::unit::{LaneId, State};
use crate::process::journal::Intent;
use crate::sync::Acquire;
use crate::trace::lease::{Count, count_at, is_lease};
use std::collections::HashSet;

impl Pass<'_> {
    /// A block in a slab of leases, which is held; `is_still`: it is in the same state.
    pub(super) fn check_lease(
        &mut self,
        lease: u64,
        state: Option<State>,
        is_still: impl Fn() -> bool,
    ) {
        let Some(word) = self.arena.word(lease) else { return };
        let object = word.load(Acquire);
        let is_same = || is_still() && word.load(Acquire) == object;
        match state {
            Some(State::Private | State::Part) if object == 0 || !is_same() => {}
            Some(State::Private | State::Part) => *self.leases.entry(object).or_default() += 1,
            Some(State::Free | State::Limbo) => {
                if object != 0 && is_same() {
                    let text = format!("it is no lease any more, but leads to {object:#x}");
                    self.damage(FindingKind::Lease, FindingPlace::Offset(lease), text);
                }
            }
            _ => {
                if is_still() {
                    let text = format!("in a slab of leases there is a block in state {state:?}");
                    self.damage(FindingKind::Lease, FindingPlace::Offset(lease), text);
                }
            }
        }
    }

    /// A published object that has a count, which is held.
    pub(super) fn found_counted(&mut self, object: u64) {
        if let Some(count) = count_at(self.arena, object) {
            self.counted.insert(object, Count::of(count.load(Acquire)));
        }
    }

    /// What hangs on objects that are being given their first lease: marked once that leads there. After all units.
    pub(super) fn check_sharing(&mut self) {
        for (object, lane) in core::mem::take(&mut self.sharing) {
            let has_lease = self.leases.get(&object).is_some_and(|leases| *leases != 0);
            self.looker.hold(object);
            // Who lives may have ended it meanwhile.
            let is_one = has_lease || matches!(self.standing(lane), Standing::Live(_));
            let arena = self.arena;
            let is_there = || count_at(arena, object).is_some();
            if is_one && is_there() {
                self.check_tree(object, false, is_there);
            }
        }
    }

    /// The lane that gave up the last lease of an object, and is to destroy it.
    pub(super) fn gives_up_last(&self, object: u64) -> Option<LaneId> {
        let lane = *self.tallied.get(&object)?;
        let count = count_at(self.arena, object).map(|count| Count::of(count.load(Acquire)));
        let is_last = count.is_some_and(|count| count.leases == 0);
        // Without a pin to spare nothing is said of it.
        let has_given_up =
            || self.names.left_by(lane).map_or(true, |left| left.is_some_and(|it| it.has_gone()));
        (is_last && has_given_up()).then_some(lane)
    }

    /// Compares counts with leases; after all units.
    pub(super) fn check_counts(&mut self) {
        // What is being published is judged with the journal that says so.
        let mut changing: HashSet<u64> = self.announced.keys().copied().collect();
        for (lane, record) in self.arena.lanes() {
            let Some(turn) = record.tally.read() else { continue };
            match self.standing(lane) {
                Standing::Live(_) if !self.resting.contains(&lane.0) => {
                    changing.insert(turn.counted);
                }
                Standing::Dead(_) => self.check_left(lane),
                // A number that is free is looked at when it is taken.
                Standing::Nobody => {}
                Standing::Live(_) => {
                    let text = format!("no operation is under way, but its tally names {turn:x?}");
                    self.damage(FindingKind::Lease, lane, text);
                }
            }
        }
        let leases = core::mem::take(&mut self.leases);
        let counted = core::mem::take(&mut self.counted);
        for (object, count) in &counted {
            let found = leases.get(object).copied().unwrap_or(0);
            if found != count.leases && !changing.contains(object) {
                let text = format!("it counts {} leases, and has {found}", count.leases);
                self.damage(FindingKind::Lease, FindingPlace::Offset(*object), text);
            }
        }
        for (object, found) in leases {
            // One that goes has its last lease named by the tally of who gave it up.
            if found != 0 && !counted.contains_key(&object) && !changing.contains(&object) {
                let text = format!("{found} leases lead here, where no object has a count");
                self.damage(FindingKind::Lease, FindingPlace::Offset(object), text);
            }
        }
    }

    /// What a dead lane had begun: with a lease that its recovery has alone.
    fn check_left(&mut self, lane: LaneId) {
        // Without a pin to spare nothing is said of it.
        let Ok(Some(left)) = self.names.left_by(lane) else { return };
        let (lease, counted) = (left.lease(), left.counted());
        let record = self.arena.lane(lane);
        let falls = || {
            let intent = record.journal.read();
            matches!(intent, Some(Ok(Intent::Fall { part, .. })) if part == lease)
        };
        let leads = || self.arena.word(lease).map(|word| word.load(Acquire));
        self.looker.hold(lease);
        let state = self.state(lease);
        let is_its = match state {
            Some(State::Private) => true,
            // Nothing is done about one that does not fall: who carried what another had left died before it was his.
            Some(State::Part | State::Limbo) => left.goes() || !falls(),
            // It was swept.
            _ => leads() == Some(0) || !self.is_still_of(lane, lease),
        };
        let fits = is_lease(self.arena, lease)
            && is_its
            && leads().is_some_and(|object| object == 0 || object == counted);
        // Recovered meanwhile?
        let stands = record.tally.read().is_some();
        if stands && !fits && is_lease(self.arena, lease) {
            let text = format!("what its tally says does not fit what is there: {left:x?}");
            self.damage(FindingKind::Lease, lane, text);
        }
        let is_taken_back = state == Some(State::Private) || falls();
        if left.is_none() && is_taken_back && leads() == Some(counted) {
            // Its word is taken back by its recovery.
            if let Some(found) = self.leases.get_mut(&counted) {
                *found = found.saturating_sub(1);
            }
        }
    }
}

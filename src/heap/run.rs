//! Runs: blocks of whole units, for what no slab holds. The head's word is the block's state.

use super::unit::{LaneId, State, UNIT, Unit, UnitIndex};
use super::{Exhausted, Heap};
use crate::layout::SetId;
use crate::process::pin;
use crate::sync::{AcqRel, Acquire, Release};

/// Units for `bytes`.
pub fn units_for(bytes: usize) -> u32 {
    bytes.div_ceil(UNIT) as u32
}

impl Heap<'_> {
    /// A head's length is the truth about its tails.
    ///
    /// A covered tail becomes uncovered only by a head that frees its tails first: whoever reads the
    /// head uncovered finds the tail changed, and its CAS fails.
    pub fn is_covered(&self, tail: UnitIndex, back: u32) -> bool {
        let head = tail.0.checked_sub(back).filter(|head| *head >= self.arena.first_unit().0);
        head.and_then(|head| self.arena.unit(UnitIndex(head))).is_some_and(|it| it.length() > back)
    }

    /// A PRIVATE run of `len` units.
    pub fn allocate_run(&self, len: u32) -> Result<u64, Exhausted> {
        self.lane.made_runs.set(true);
        let head = self.claim_units(len)?;
        // The commit. Release: whoever reads the length sees the tails.
        let run = Unit::Run { len, lane: self.lane.id(), state: State::Private };
        self.arena.unit_word(head).store(run.word(), Release);
        Ok(head.offset())
    }

    /// Gives back a run whose head's word is still `expected`; false: somebody else has freed it, or it is
    /// damaged and ends beyond the frontier.
    pub fn free_run(&self, head: UnitIndex, expected: Unit) -> bool {
        let len = expected.length();
        if u64::from(head.0) + u64::from(len) > u64::from(self.arena.frontier().0) {
            return false;
        }
        let freeing = Unit::Freeing { len, lane: self.lane.id() };
        // Acquire pairs with the Release of whoever gave it this state: his use of it is before.
        let mine = self.arena.unit_word(head).compare_exchange(
            expected.word(),
            freeing.word(),
            AcqRel,
            Acquire,
        );
        if mine.is_ok() {
            self.free_units(head, len);
        }
        mine.is_ok()
    }

    /// Marks a run Limbo and ownerless, so that whoever finds it unnamed may free it. The caller has
    /// it pinned, or holds it: if the word is not `run` any more, it is Limbo already.
    ///
    /// Dead between word and hint: recovery shows every ownerless Limbo again.
    pub fn retire_run(&self, head: UnitIndex, run: Unit) {
        let limbo = Unit::Run { len: run.length(), lane: LaneId::NOBODY, state: State::Limbo };
        // A CAS, as destroyer and recovery may both do it; Release: the object was unlinked before.
        let word = self.arena.unit_word(head);
        if word.compare_exchange(run.word(), limbo.word(), AcqRel, Acquire).is_ok() {
            self.arena.set(SetId::LimboRuns).insert(head.0 as usize);
        }
    }

    /// Frees the Limbo runs that nobody's hazard names.
    ///
    /// First it takes one over, *then* it looks at the hazards: before, the run could be freed, used,
    /// pinned and retired again between the look and the freeing.
    /// Dead in between: a Limbo of the dead lane, which recovery makes ownerless again.
    pub fn release_limbo_runs(&self) {
        let limbos = self.arena.set(SetId::LimboRuns);
        let mut from = self.arena.first_unit().0 as usize;
        while let Some(head) = self.arena.find_in(SetId::LimboRuns, from) {
            let item = head.0 as usize;
            from = item + 1;
            let ownerless = |unit| {
                matches!(unit, Some(Unit::Run { lane: LaneId::NOBODY, state: State::Limbo, .. }))
            };
            let found = self.arena.unit(head);
            let fits =
                |len| u64::from(head.0) + u64::from(len) <= u64::from(self.arena.frontier().0);
            let run = found.filter(|unit| ownerless(found) && fits(unit.length()));
            let Some(Unit::Run { len, .. }) = run else {
                limbos.drop_stale(item, || ownerless(self.arena.unit(head)));
                continue;
            };
            let limbo = |lane| Unit::Run { len, lane, state: State::Limbo };
            let word = self.arena.unit_word(head);
            let mine = limbo(self.lane.id());
            if word
                .compare_exchange(limbo(LaneId::NOBODY).word(), mine.word(), AcqRel, Acquire)
                .is_err()
            {
                continue; // another is at it
            }
            limbos.remove(item);
            if pin::named(self.arena).binary_search(&head.offset()).is_ok() {
                self.retire_run(head, mine);
            } else {
                self.free_run(head, mine);
            }
        }
    }

    /// Makes a run that the caller holds alone `wanted` units long, in place; false: no room behind it.
    ///
    /// Dead before the head's new length: further tails are not covered, so recovery frees them.
    pub fn resize_run(&self, head: UnitIndex, run: Unit, wanted: u32) -> bool {
        let Unit::Run { len, lane, state } = run else { return false };
        let me = self.lane.id();
        let resized = Unit::Run { len: wanted, lane, state };
        if wanted > len {
            if !self.claim_behind(head, len, wanted) {
                return false;
            }
            self.arena.unit_word(head).store(resized.word(), Release);
            return true;
        }
        // Shrinking: the tails that go get our label first, as the run's maker may be gone and its
        // number used again; then the length, which uncovers them; then they are given back.
        let tails = || (wanted..len).filter(|back| self.is_tail(head, *back));
        for back in tails() {
            let tail = Unit::Tail { back, lane: me };
            self.arena.unit_word(head.plus(back)).store(tail.word(), Release);
        }
        self.arena.unit_word(head).store(resized.word(), Release);
        for back in tails() {
            self.free_units(head.plus(back), 1);
        }
        true
    }
}

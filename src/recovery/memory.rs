//! The memory of a dead process: its slabs are swept, its runs and claims given back.
//!
//! ```text
//! s0  one unit, each block of it FREE or PRIVATE, no part of what was linked, no lease: CAS unit: Slab(dead) → Free,
//!     and that is all; lost: another helper saw the same
//! s1  CAS unit: Slab(dead) → Sweep(me, of dead)       lost: another helper has it
//! s2  doorbell.swap(0)
//! s3  each PRIVATE block, and each that a journal of the dead names but nothing leads to: FREE; of leases
//!     those that are one are given up before
//! s4  wholly free: back to the free units; else CAS unit: Sweep(me, of dead) → Orphan, touch the
//!     doorbell, show the orphan
//! ```
//!
//! **Any number of helpers at once, each with a slab of its own.** While a slab says Sweep nobody takes
//! a block of it, so what the journals of the dead say of its blocks stays true; they are read as long
//! as a slab names one of their lanes, and never after. A helper that dies leaves Sweep(it, of dead):
//! its own recovery takes the label over and sweeps again, which frees nothing twice. One that is
//! stopped holds back this slab and no more.
//!
//! Why not take the slab over as one's own and sweep it then? The second helper could not tell a block
//! that the dead had not linked from one that the first helper had taken since.

use super::Recovered;
use crate::arena::Arena;
use crate::heap::Heap;
use crate::heap::growth::FreeRow;
use crate::heap::size_class::{ClassId, LINE};
use crate::heap::slab::SlabBlock;
use crate::heap::unit::{LaneId, State, UNIT, Unit, UnitIndex};
use crate::layout::SetId;
use crate::names::{Names, Refused};
use crate::process::journal::Intent;
use crate::process::lane::LaneOwner;
use crate::process::participant::Tenure;
use crate::process::pin::HazardIndex;
use crate::sync::{AcqRel, Acquire, Relaxed, Release, fence, load_eight, prefetch, store_eight};
use crate::trace::lease::Left;

/// Lanes of one dead process, and what their journals say.
pub struct Dead {
    pub tenure: Tenure,
    lanes: Vec<LaneId>,
    /// What each lane's journal says, if it is open.
    intents: Vec<(LaneId, Intent)>,
    /// In order: PRIVATE blocks of it that hang on objects which it had linked.
    parts: Vec<u64>,
}

impl Dead {
    /// As the lane records say. They stay so while a unit names one of the lanes, or while the caller
    /// says that it helps (see [`recovery`](super)).
    pub fn of(arena: &Arena, tenure: Tenure) -> Dead {
        let is_its = |owner: u64| LaneOwner::of(owner).and_then(LaneOwner::tenure) == Some(tenure);
        let its = || arena.lanes().filter(|(_, record)| is_its(record.owner.load(Acquire)));
        Dead {
            tenure,
            lanes: its().map(|(lane, _)| lane).collect(),
            intents: its()
                .filter_map(|(lane, record)| Some((lane, record.journal.read()?.ok()?)))
                .collect(),
            parts: Vec::new(),
        }
    }

    /// The same, with the parts of what it had linked.
    pub fn with_parts(names: Names<'_>, tenure: Tenure) -> Result<Dead, Refused> {
        let mut dead = Dead::of(names.heap.arena, tenure);
        for (lane, intent) in &dead.intents {
            dead.parts.extend(names.parts_linked(*lane, *intent)?);
        }
        dead.parts.sort_unstable();
        Ok(dead)
    }

    /// Its parts that lie in these bytes of the segment.
    fn parts_in(&self, range: core::ops::Range<u64>) -> &[u64] {
        let from = self.parts.partition_point(|part| *part < range.start);
        let to = self.parts.partition_point(|part| *part < range.end);
        &self.parts[from..to]
    }

    pub fn lanes(&self) -> &[LaneId] {
        &self.lanes
    }

    /// Ascending, as the lanes were listed.
    fn has(&self, lane: LaneId) -> bool {
        self.lanes.binary_search(&lane).is_ok()
    }

    /// Whether it was about to link an object by the word of this block.
    fn links_by(&self, block: u64) -> bool {
        self.intents
            .iter()
            .any(|(_, intent)| matches!(intent, Intent::Link { entry, .. } if *entry == block))
    }

    /// Blocks that it may have been about to link, with the journal that says so.
    fn suspects(&self) -> impl Iterator<Item = (u64, LaneId, Intent)> {
        self.intents.iter().flat_map(|(lane, intent)| {
            let blocks = intent.to_link().into_iter().filter(|block| *block != 0);
            blocks.map(|block| (block, *lane, *intent))
        })
    }
}

/// What is known of a slab of leases before it is swept.
struct Leases {
    /// What the lanes of the dead had begun there.
    of_dead: Vec<Left>,
    /// What one had who swept it before, and died; carried by this lane.
    carried: Option<Left>,
    spare: HazardIndex,
}

impl Heap<'_> {
    /// Takes over whatever a unit word says is a lane's of `dead`, and gives it back or away.
    ///
    /// Lock-free: a CAS that is lost was won by another helper.
    pub fn recover_units(&self, dead: &Dead, found: &mut Recovered) -> Result<(), Refused> {
        let mut free = FreeRow::new(self.arena);
        for unit in self.arena.units() {
            let word = self.arena.unit_word(unit).load(Acquire);
            let Some(is) = Unit::of(word) else { continue };
            match is {
                Unit::Slab { class, lane, .. } if dead.has(lane) => {
                    if let Some(private) = self.count_unused(unit, class, dead) {
                        // Lost: another helper saw the same.
                        if self.exchange(unit, word, Unit::Free) {
                            free.add(unit);
                            found.slabs += 1;
                            found.count_blocks(class, private);
                        }
                        continue;
                    }
                    let mine = Unit::Sweep { class, lane: self.lane.id(), of: lane };
                    let leases = self.look_at_leases(unit, class, dead, None)?;
                    if self.exchange(unit, word, mine) {
                        self.sweep(unit, class.cut().span, mine, (dead, &leases), found);
                    }
                    leases.into_iter().for_each(|leases| self.leave_leases(leases));
                }
                Unit::Sweep { class, lane, of } if dead.has(lane) => {
                    let mine = Unit::Sweep { class, lane: self.lane.id(), of };
                    // The label is one that a dead helper left: perhaps the journals are another's.
                    let other = self.other_of(of, dead)?;
                    let helped = other.as_ref().unwrap_or(dead);
                    // And what it had begun is known as long as the label names it.
                    let leases = self.look_at_leases(unit, class, helped, Some(lane))?;
                    if self.exchange(unit, word, mine) {
                        self.sweep(unit, class.cut().span, mine, (helped, &leases), found);
                    }
                    leases.into_iter().for_each(|leases| self.leave_leases(leases));
                }
                Unit::Claimed { lane } if dead.has(lane) => {
                    // It may have been punched, or not backed yet.
                    self.disown(unit, word, found);
                }
                Unit::Tail { back, lane } if dead.has(lane) && !self.is_covered(unit, back) => {
                    self.disown(unit, word, found);
                }
                Unit::Run { len, lane, state: State::Private }
                    if dead.has(lane) && dead.parts.binary_search(&unit.offset()).is_ok() =>
                {
                    // Final while we help: the object is linked. Lost: another helper marked it.
                    self.exchange(unit, word, Unit::Run { len, lane, state: State::Part });
                }
                Unit::Run { len, lane, state: State::Private } | Unit::Freeing { len, lane }
                    if dead.has(lane) =>
                {
                    self.finish_freeing(unit, word, len, found);
                }
                Unit::Run { len, lane, state: State::Limbo } if dead.has(lane) => {
                    let ownerless = Unit::Run { len, lane: LaneId::NOBODY, state: State::Limbo };
                    if self.exchange(unit, word, ownerless) {
                        self.arena.set(SetId::LimboRuns).insert(unit.0 as usize);
                    }
                }
                Unit::Run { len, lane, state: State::Published }
                    if dead.has(lane) && self.was_never_linked(unit, word, lane, dead)? =>
                {
                    found.undone += 1;
                    self.finish_freeing(unit, word, len, found);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a unit still says that a lane of `dead` has it, or is being swept for one.
    pub fn is_named_by_units(&self, dead: &Dead) -> bool {
        self.arena.units().any(|unit| match self.arena.unit(unit) {
            Some(Unit::Claimed { lane }) => dead.has(lane),
            Some(Unit::Slab { lane, .. } | Unit::Freeing { lane, .. }) => dead.has(lane),
            Some(Unit::Sweep { lane, of, .. }) => dead.has(lane) || dead.has(of),
            Some(Unit::Run { lane, state: State::Private | State::Limbo, .. }) => dead.has(lane),
            Some(Unit::Tail { back, lane }) => dead.has(lane) && !self.is_covered(unit, back),
            _ => false,
        })
    }

    /// How many blocks of a slab of the dead are PRIVATE, if it is one unit in which nothing outlives them: each block
    /// is FREE, or PRIVATE and no part of what they had linked. `None`: it must be swept.
    ///
    /// While its word names their lane nobody takes a block of it, so that all helpers find the same, and it may go
    /// at once, as it is: who cuts a slab makes its states and its doorbell anew.
    fn count_unused(&self, head: UnitIndex, class: ClassId, dead: &Dead) -> Option<u64> {
        let cut = class.cut();
        let has_parts = || !dead.parts_in(head.offset()..head.plus(1).offset()).is_empty();
        if cut.span != 1 || class == ClassId::LEASES || has_parts() {
            return None;
        }
        let states = self.arena.states(head, class);
        // The next unit is probably a slab of the same class: most of the time is that of its lines to come.
        let next = states.wrapping_add(if cut.dense { LINE } else { UNIT });
        (0..cut.count as usize).step_by(64).for_each(|line| prefetch(next.wrapping_add(line)));
        let mut private = 0;
        for at in (0..cut.count).step_by(8) {
            // SAFETY: a slab's state bytes are aligned to eight and padded to a multiple of it.
            let bytes = unsafe { load_eight(states.add(at as usize)) };
            let bytes = bytes & (valid_flags(cut.count - at) * 0xff);
            // FREE is 0 and PRIVATE is 1.
            if bytes & !ALL != 0 {
                return None;
            }
            private += sum(bytes);
        }
        // Behind the relaxed looks: pairs with f1, as in `sweep`.
        fence(Acquire);
        Some(private)
    }

    /// AcqRel: what the dead one did to the unit is before, what is done by the new label after.
    fn exchange(&self, unit: UnitIndex, from: u64, to: Unit) -> bool {
        self.arena.unit_word(unit).compare_exchange(from, to.word(), AcqRel, Acquire).is_ok()
    }

    fn disown(&self, unit: UnitIndex, word: u64, found: &mut Recovered) {
        if self.exchange(unit, word, Unit::Decommitted) {
            self.arena.set(SetId::Free).insert(unit.0 as usize);
            found.units += 1;
        }
    }

    /// Takes over a run or slab that `word` says is going, or a private run: of several helpers one
    /// goes on. The head is the memory of what is left to do, so it goes last.
    fn finish_freeing(&self, head: UnitIndex, word: u64, len: u32, found: &mut Recovered) {
        let fits = u64::from(head.0) + u64::from(len) <= u64::from(self.arena.frontier().0);
        if !fits || !self.exchange(head, word, Unit::Freeing { len, lane: self.lane.id() }) {
            return;
        }
        for back in 1..len {
            let tail = head.plus(back);
            let word = self.arena.unit_word(tail).load(Acquire);
            // Some may be free already, and something else's by now: that has another distance.
            if matches!(Unit::of(word), Some(Unit::Tail { back: says, .. }) if says == back)
                && self.exchange(tail, word, Unit::Free)
            {
                self.arena.set(SetId::Free).insert(tail.0 as usize);
            }
        }
        self.free_units(head, 1);
        found.units += u64::from(len);
        found.bytes += u64::from(len) * UNIT as u64;
    }

    /// Whether a published run is one that the dead were about to link, and had not.
    fn was_never_linked(
        &self,
        head: UnitIndex,
        word: u64,
        lane: LaneId,
        dead: &Dead,
    ) -> Result<bool, Refused> {
        let suspect = dead.suspects().find(|(block, of, _)| (*block, *of) == (head.offset(), lane));
        let Some((block, _, intent)) = suspect else { return Ok(false) };
        let leads = match intent {
            Intent::Link { entry, .. } => entry,
            Intent::Intern { array, .. } | Intent::Grow { array, .. } => array,
            Intent::Destroy { .. }
            | Intent::Reap { .. }
            | Intent::Fall { .. }
            | Intent::Change { .. } => return Ok(false),
        };
        // The run is no slab under our label, so all that is looked at must be pinned.
        let names = Names { heap: *self };
        names.while_it_stands(lane, intent, [block, names.block_around(leads)], || {
            Ok(self.arena.unit_word(head).load(Acquire) == word && names.unlinked(intent, block))
        })
    }

    /// s2 to s4, of a slab whose word says `mine`.
    fn sweep(
        &self,
        head: UnitIndex,
        span: u32,
        mine: Unit,
        (helped, leases): (&Dead, &Option<Leases>),
        found: &mut Recovered,
    ) {
        let Unit::Sweep { class, of, .. } = mine else { unreachable!("it is being swept") };
        if u64::from(head.0) + u64::from(span) > u64::from(self.arena.frontier().0) {
            return; // damaged: such a slab was never cut
        }
        found.slabs += 1;
        // s2. After the label (o2): frees before it are seen below, frees after it find the orphan.
        self.arena.doorbell(head).swap(0, AcqRel);
        let cut = class.cut();
        let states = self.arena.states(head, class);
        self.mark_parts(head, class, helped);
        let mut freed = 0;
        if let Some(leases) = leases {
            freed += self.sweep_leases(head, helped, leases);
        }
        for at in (0..cut.count).step_by(8) {
            let valid = valid_flags(cut.count - at);
            // SAFETY: a slab's state bytes are aligned to eight and padded to a multiple of it.
            let private = private_flags(unsafe { load_eight(states.add(at as usize)) }) & valid;
            freed += sum(private);
            if private == ALL {
                fence(Release); // as below, for a relaxed store
                // SAFETY: PRIVATE blocks of the dead, which nobody else writes.
                unsafe { store_eight(states.add(at as usize), State::Free as u8) };
                continue;
            }
            let mut rest = private;
            while rest != 0 {
                let block = SlabBlock { head, class, index: at + rest.trailing_zeros() / 8 };
                rest &= rest - 1;
                // Release: the next holder's use comes after all that the dead one did.
                self.state(block).store(State::Free as u8, Release);
            }
        }
        freed += self.free_never_linked(head, mine, helped, found);
        found.count_blocks(class, freed);

        let (mut free, mut limbo) = (0, 0);
        for at in (0..cut.count).step_by(8) {
            let valid = valid_flags(cut.count - at);
            // SAFETY: as above.
            let bytes = unsafe { load_eight(states.add(at as usize)) };
            free += sum(!(bytes | bytes >> 1) & valid);
            limbo += sum(bytes & (bytes >> 1) & valid);
        }
        // Behind the relaxed looks: pairs with f1, so that the use of who freed a block is over before
        // the units are given to others.
        fence(Acquire);
        if free == u64::from(cut.count) {
            self.free_units(head, span);
            return;
        }
        let gave = self.exchange(head, mine.word(), Unit::Orphan { class });
        debug_assert!(gave || cfg!(loom), "only who sweeps a slab changes its word ({of})");
        // The unit is another's from here on. The doorbell is touched, never cleared: p4, p5.
        let rang = self.arena.doorbell(head).fetch_or(0, AcqRel);
        if free + limbo != 0 || rang != 0 {
            self.arena.set(SetId::Orphans(class)).insert(head.0 as usize);
        }
    }

    /// What must be known of a slab of leases before it is swept; `None`: it is none. `swept_by`: who swept it
    /// before, and died.
    fn look_at_leases(
        &self,
        head: UnitIndex,
        class: ClassId,
        helped: &Dead,
        swept_by: Option<LaneId>,
    ) -> Result<Option<Leases>, Refused> {
        if class != ClassId::LEASES {
            return Ok(None);
        }
        let names = Names { heap: *self };
        let left_by = |lane: LaneId| {
            let left = names.left_by(lane)?;
            Ok(left.filter(|left| block_of(head, class, left.lease()).is_some()))
        };
        let of_dead: Result<Vec<_>, _> = helped.lanes.iter().map(|lane| left_by(*lane)).collect();
        let of_dead = of_dead?.into_iter().flatten().collect();
        let carried = swept_by.map_or(Ok(None), left_by)?;
        let record = self.lane.record();
        let spare = self.lane.pins.pin(record, 0).ok_or(Refused::TooManyPins)?;
        // Before the label that names its lane is gone.
        carried.iter().for_each(|left| names.carry(left));
        Ok(Some(Leases { of_dead, carried, spare }))
    }

    fn leave_leases(&self, leases: Leases) {
        if leases.carried.is_some() {
            Names { heap: *self }.put_down();
        }
        self.lane.pins.unpin(self.lane.record(), leases.spare);
    }

    /// Ends what the dead had begun with the leases of a slab that is being swept, and gives up those that are
    /// PRIVATE; how many blocks became LIMBO.
    fn sweep_leases(&self, head: UnitIndex, helped: &Dead, leases: &Leases) -> u64 {
        let (names, cut) = (Names { heap: *self }, ClassId::LEASES.cut());
        // Without a pin to spare what is destroyed waits for who looks for such.
        let reap = |last: Option<u64>| last.map(|object| crate::trace::reap(&names, object));
        // One that hangs on an object is settled by who takes over the fall of that.
        let settle = |left: &Left| {
            let block = block_of(head, ClassId::LEASES, left.lease());
            // Relaxed: as below.
            let state = block.map(|block| self.state(block).load(Relaxed));
            let is_private = state == Some(State::Private as u8);
            is_private.then(|| names.settle_left(left, leases.spare)).flatten()
        };
        if let Some(left) = &leases.carried {
            let last = settle(left);
            names.put_down();
            reap(last);
        }
        for left in &leases.of_dead {
            reap(settle(left));
        }
        let mut kept = 0;
        for index in 0..cut.count {
            let block = SlabBlock { head, class: ClassId::LEASES, index };
            // Relaxed: the dead one's last store, which the kernel's word is behind.
            if self.state(block).load(Relaxed) != State::Private as u8 {
                continue;
            }
            let lease = head.offset() + u64::from(index * cut.size);
            reap(names.give_up(lease));
            if helped.links_by(lease) {
                // By its word others tell whether its object was linked: it stays as it is as long as the dead
                // one's pin stands.
                self.state(block).store(State::Limbo as u8, Release);
                kept += 1;
            }
        }
        kept
    }

    /// Frees the blocks of a slab that is being swept which the dead had published to be linked, and
    /// had not linked; how many.
    fn free_never_linked(
        &self,
        head: UnitIndex,
        mine: Unit,
        helped: &Dead,
        found: &mut Recovered,
    ) -> u64 {
        let Unit::Sweep { class, of, .. } = mine else { unreachable!("it is being swept") };
        let names = Names { heap: *self };
        let mut freed = 0;
        // A lane links blocks of its own slabs.
        let of_lane = |(_, lane, _): &(u64, LaneId, Intent)| *lane == of;
        for (start, _, intent) in helped.suspects().filter(of_lane) {
            let Some(block) = block_of(head, class, start) else { continue };
            let state = self.state(block);
            // Relaxed: the dead one's last store, which the kernel's word is behind, or a free.
            if state.load(Relaxed) == State::Published as u8 && names.unlinked(intent, start) {
                state.store(State::Free as u8, Release);
                freed += 1;
                found.undone += 1;
            }
        }
        freed
    }

    /// Makes parts of the PRIVATE blocks of a slab that is being swept which hang on objects that the
    /// dead had linked.
    fn mark_parts(&self, head: UnitIndex, class: ClassId, helped: &Dead) {
        let end = head.plus(class.cut().span).offset();
        for part in helped.parts_in(head.offset()..end) {
            let Some(block) = block_of(head, class, *part) else { continue };
            let state = self.state(block);
            // Relaxed: the dead one's last store, which the kernel's word is behind.
            if state.load(Relaxed) == State::Private as u8 {
                state.store(State::Part as u8, Release);
            }
        }
    }

    /// Whose lane `of` is, if not that of `helped`.
    fn other_of(&self, of: LaneId, helped: &Dead) -> Result<Option<Dead>, Refused> {
        let owner = self.arena.lanes().find(|(lane, _)| *lane == of).and_then(|(_, record)| {
            // Acquire: with the owner its journals.
            LaneOwner::of(record.owner.load(Acquire))
        });
        match owner.and_then(LaneOwner::tenure) {
            Some(tenure) if tenure != helped.tenure => {
                Dead::with_parts(Names { heap: *self }, tenure).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The block of the slab at `head` that starts there; `None`: none does.
fn block_of(head: UnitIndex, class: ClassId, start: u64) -> Option<SlabBlock> {
    let cut = class.cut();
    let first = head.offset();
    let at = start.checked_sub(first).and_then(|at| u32::try_from(at).ok())?;
    let index = at / cut.size;
    (index < cut.count && at % cut.size == 0).then_some(SlabBlock { head, class, index })
}

/// The lowest bit of each of eight bytes.
const ALL: u64 = 0x0101_0101_0101_0101;

/// Of the first `count` of eight state bytes: their lowest bits.
fn valid_flags(count: u32) -> u64 {
    ALL >> (64 - 8 * count.min(8))
}

/// How many of eight bytes, which are 0 or 1 each, are 1.
fn sum(flags: u64) -> u64 {
    flags.wrapping_mul(ALL) >> 56
}

/// Of eight state bytes: the lowest bit of each that is PRIVATE.
fn private_flags(bytes: u64) -> u64 {
    // The states are 0, 1, 2, 3, 6, 10 and 14: PRIVATE alone has the lowest bit and not the second.
    bytes & !(bytes >> 1) & ALL
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn private_bytes_are_told_from_others() {
        let states = [
            State::Free,
            State::Private,
            State::Published,
            State::Limbo,
            State::Raw,
            State::Part,
            State::Doomed,
        ];
        for (i, low) in states.into_iter().enumerate() {
            for (j, high) in states.into_iter().enumerate() {
                let bytes = u64::from_le_bytes([low as u8, 0, 2, 3, high as u8, 6, 1, low as u8]);
                let is = |state| u64::from(state == State::Private);
                let expected = is(low) | is(high) << 32 | 1 << 48 | is(low) << 56;
                assert_eq!(private_flags(bytes), expected, "{i} {j}");
            }
        }
    }

    #[test]
    fn flags_behind_the_last_block_do_not_count() {
        assert_eq!(valid_flags(1), 1);
        assert_eq!(valid_flags(3), 0x0001_0101);
        assert_eq!(valid_flags(8), ALL);
        assert_eq!(valid_flags(900), ALL);
    }
}

//! Checks of units, slabs, runs, and the sets that lead to them.

use super::{FindingKind, Pass, Standing};
use crate::heap::size_class::ClassId;
use crate::heap::slab::SlabBlock;
use crate::heap::unit::{LaneId, State, UNIT, Unit, UnitIndex};
use crate::heap::{Place, PlaceKind};
use crate::layout::{FANOUT, SetId, ZONE_UNITS};
use crate::sync::{Acquire, Relaxed};
use std::collections::HashSet;

/// The units of the last head on the way up.
#[derive(Clone, Copy)]
struct Cover {
    head: UnitIndex,
    word: u64,
    end: u32,
    /// Being given back: its units go one by one, the head last.
    is_going: bool,
}

impl Pass<'_> {
    /// Goes over the units by their own words, each once.
    pub(super) fn check_units(&mut self) {
        let (first, frontier) = (self.arena.first_unit(), self.arena.frontier());
        let untouched = self.arena.layout().units - u64::from(frontier.0);
        self.free = untouched * UNIT as u64;
        let mut cover = Cover { head: first, word: 0, end: first.0, is_going: false };
        let mut slots = HashSet::new();
        for unit in self.arena.units() {
            self.looked.units += 1;
            let word = self.arena.unit_word(unit).load(Acquire);
            let is_same = || self.arena.unit_word(unit).load(Acquire) == word;
            let Some(found) = Unit::of(word) else {
                self.damage(
                    FindingKind::UnitWord,
                    unit,
                    format!("its word is {word:#x}, which is none"),
                );
                continue;
            };
            let is_covered = unit.0 < cover.end && self.check_covered(unit, found, cover);
            if found.length() != 0 {
                let end = self.check_extent(unit, found, frontier);
                let is_going = matches!(found, Unit::Freeing { .. });
                if end > cover.end || !is_covered {
                    cover = Cover { head: unit, word, end, is_going };
                }
            }
            match found {
                Unit::Free | Unit::Decommitted => {
                    self.free += UNIT as u64;
                    if !self.arena.set(SetId::Free).shows(unit.0 as usize) && is_same() {
                        self.lost_hint(
                            FindingKind::FreeSet,
                            unit,
                            "it is free, but the set of free units does not show it",
                        );
                    }
                }
                Unit::Claimed { lane } => {
                    self.unfinished(FindingKind::Claim, unit, lane, "claiming it")
                }
                Unit::Freeing { lane, .. } => {
                    self.unfinished(FindingKind::Claim, unit, lane, "giving it back")
                }
                // One that is being given back may have others' units between its head and this.
                Unit::Tail { lane, back }
                    if !is_covered && !self.names.heap.is_covered(unit, back) =>
                {
                    self.unfinished(
                        FindingKind::Claim,
                        unit,
                        lane,
                        "claiming it as a part of something",
                    );
                }
                Unit::Tail { .. } => {}
                Unit::Slab { class, lane, slot } => {
                    self.check_owner(unit, class, lane, slot);
                    if !slots.insert((lane.0, class.index(), slot)) {
                        let text = format!(
                            "{lane} has its notes on another slab in the same place, {slot}"
                        );
                        self.damage(FindingKind::Owner, unit, text);
                    }
                    self.check_slab(unit, word, class, Some(lane));
                }
                Unit::Orphan { class } => self.check_slab(unit, word, class, None),
                Unit::Sweep { class, lane, .. } => {
                    self.unfinished(FindingKind::Claim, unit, lane, "sweeping it after a death");
                    self.check_slab(unit, word, class, Some(lane));
                }
                Unit::Run { len, lane, state } => self.check_run(unit, found, len, lane, state),
            }
        }
        self.check_untouched(frontier);
    }

    /// Units from the frontier on are free once it moves on, whatever their words say: each says so
    /// already, as far as tables are backed.
    fn check_untouched(&mut self, frontier: UnitIndex) {
        let backed = u64::from(frontier.0).next_multiple_of(ZONE_UNITS as u64);
        for unit in (frontier.0..backed.min(self.arena.layout().units) as u32).map(UnitIndex) {
            let word = self.arena.unit_word(unit).load(Acquire);
            // Acquire: with a claimer's word the frontier that let him come here.
            if word != 0 && self.arena.frontier() <= unit {
                let text = format!("its word is {word:#x}, though it was never in use");
                self.damage(FindingKind::UnitWord, unit, text);
            }
        }
    }

    /// A unit among those of a head below; whether it is the part of it that it should be.
    fn check_covered(&mut self, unit: UnitIndex, found: Unit, cover: Cover) -> bool {
        let back = unit.0 - cover.head.0;
        match found {
            Unit::Tail { back: says, .. } if says == back => return true,
            _ if cover.is_going => return false,
            _ if self.arena.unit_word(cover.head).load(Acquire) != cover.word => return false,
            Unit::Tail { back: says, .. } => {
                let text = format!("it is part of what begins {back} units below, but says {says}");
                self.damage(FindingKind::Tail, unit, text);
            }
            other => {
                let text = format!(
                    "it is {other:?}, though it lies inside of what begins at {}",
                    cover.head
                );
                self.damage(FindingKind::Overlap, unit, text);
            }
        }
        true
    }

    /// Where what begins at `unit` ends, as far as that can be.
    fn check_extent(&mut self, unit: UnitIndex, found: Unit, frontier: UnitIndex) -> u32 {
        let length = found.length();
        let end = unit.0.saturating_add(length);
        // Others may have moved the frontier since.
        if end > frontier.0 && end > self.arena.frontier().0 {
            let text = format!(
                "it has {length} units, but ends at the frontier after {}",
                frontier.0 - unit.0
            );
            self.damage(FindingKind::Extent, unit, text);
        }
        end.min(frontier.0)
    }

    fn check_owner(&mut self, unit: UnitIndex, class: ClassId, lane: LaneId, slot: u32) {
        let mine = self.names.heap.lane;
        match self.standing(lane) {
            Standing::Live(_) if lane == mine.id() => {
                let book = mine.book().borrow();
                let mut owned = book.classes[class.index()].slots.get(slot as usize).into_iter();
                if !owned.any(|notes| notes.as_ref().is_some_and(|notes| notes.unit == unit)) {
                    let text = format!("it belongs to {lane}, which has no notes on it");
                    drop(book);
                    self.damage(FindingKind::Owner, unit, text);
                }
            }
            Standing::Live(_) => {}
            Standing::Dead(slot) => self.dead.entry(slot).or_default().slabs += 1,
            Standing::Nobody => {
                self.damage(
                    FindingKind::Owner,
                    unit,
                    format!("it belongs to {lane}, which nobody uses"),
                );
            }
        }
    }

    fn check_slab(&mut self, unit: UnitIndex, word: u64, class: ClassId, owner: Option<LaneId>) {
        let cut = class.cut();
        let mut bytes = Vec::with_capacity(cut.count as usize);
        if !self.looker.states(unit, word, class, |_, byte| bytes.push(byte)) {
            return;
        }
        self.looked.slabs += 1;
        self.looked.blocks += bytes.len() as u64;
        let (mut has_room, mut private) = (false, 0);
        for (index, byte) in bytes.into_iter().enumerate() {
            let start = unit.offset() + index as u64 * u64::from(cut.size);
            if class == ClassId::LEASES {
                self.check_lease(start, State::of(byte), || {
                    // SAFETY: as below.
                    let now = unsafe { (*self.arena.states(unit, class).add(index)).load(Acquire) };
                    now == byte && self.arena.unit_word(unit).load(Acquire) == word
                });
            }
            match State::of(byte) {
                Some(State::Free) => {
                    (has_room, self.free) = (true, self.free + u64::from(cut.size))
                }
                Some(State::Limbo) => has_room = true,
                Some(State::Private) => private += 1,
                Some(State::Raw) => {}
                Some(State::Part) => self.found_part(start, u64::from(cut.size)),
                Some(State::Doomed) => self.check_doomed(start),
                Some(State::Published) => {
                    self.check_block(
                        unit,
                        word,
                        SlabBlock { head: unit, class, index: index as u32 },
                        start,
                    );
                }
                None => {
                    let text = format!(
                        "block {index} of the slab of {class} is in state {byte}, which is none"
                    );
                    self.damage(FindingKind::BlockState, unit, text);
                }
            }
        }
        self.check_last_state(unit, word, class);
        let private_bytes = private * u64::from(cut.size);
        match owner {
            Some(lane) => {
                if let Standing::Dead(slot) = self.standing(lane) {
                    self.dead.entry(slot).or_default().private_bytes += private_bytes;
                }
            }
            None => {
                if private != 0 {
                    let text = format!("{private} blocks are private, but the slab has no owner");
                    self.damage(FindingKind::BlockState, unit, text);
                }
                self.check_orphan(unit, word, class, has_room);
            }
        }
    }

    /// Where state bytes lie in the slab, one more than there are blocks says FREE.
    fn check_last_state(&mut self, unit: UnitIndex, word: u64, class: ClassId) {
        let cut = class.cut();
        if cut.dense {
            return;
        }
        // SAFETY: a slab whose states lie in its unit has room for one more; the unit is held since
        // its states were read, and was this slab then.
        let byte =
            unsafe { (*self.arena.states(unit, class).add(cut.count as usize)).load(Relaxed) };
        if byte != State::Free as u8 && self.arena.unit_word(unit).load(Acquire) == word {
            let text = format!("the state behind its last block is {byte}, not FREE");
            self.damage(FindingKind::BlockState, unit, text);
        }
    }

    fn check_orphan(&mut self, unit: UnitIndex, word: u64, class: ClassId, has_room: bool) {
        let rings = self.arena.doorbell(unit).load(Acquire) != 0;
        if (has_room || rings)
            && !self.arena.set(SetId::Orphans(class)).shows(unit.0 as usize)
            && self.arena.unit_word(unit).load(Acquire) == word
        {
            let text = "it is a slab without owner that has room, but the set of its class does not show it";
            self.lost_hint(FindingKind::OrphanSet, unit, text);
        }
    }

    /// A published block of a slab whose unit word was `word`.
    fn check_block(&mut self, unit: UnitIndex, word: u64, block: SlabBlock, start: u64) {
        let (arena, class) = (self.arena, block.class);
        if class.cut().dense {
            self.looker.hold(start);
        }
        let is_still = || {
            // SAFETY: the state of a block of a slab of this class: in the dense table, or in a unit
            // that is held.
            let state =
                unsafe { (*arena.states(unit, class).add(block.index as usize)).load(Acquire) };
            state == State::Published as u8 && arena.unit_word(unit).load(Acquire) == word
        };
        // Behind the hazard's fence, so that the memory is there when it is looked at.
        if !is_still() {
            return;
        }
        let bytes = u64::from(class.cut().size);
        let kind = PlaceKind::Slab(block, Unit::Orphan { class });
        self.check_published(start, &Place { start, bytes, kind }, is_still);
    }

    fn check_run(&mut self, head: UnitIndex, found: Unit, len: u32, lane: LaneId, state: State) {
        self.looked.runs += 1;
        if len == 0 {
            self.damage(FindingKind::Extent, head, "it is a block of no units");
            return;
        }
        let arena = self.arena;
        let is_same = || arena.unit(head) == Some(found);
        match state {
            State::Private => {
                self.check_private_run(head, len, lane);
            }
            State::Limbo if lane != LaneId::NOBODY => {
                self.unfinished(
                    FindingKind::Claim,
                    head,
                    lane,
                    "giving back a block that was freed",
                );
            }
            State::Limbo => {
                if !arena.set(SetId::LimboRuns).shows(head.0 as usize) && is_same() {
                    let text = "it is a freed run, but the set of those that wait for their readers does not show it";
                    self.lost_hint(FindingKind::LimboSet, head, text);
                }
            }
            State::Published => {
                self.looker.hold(head.offset());
                if is_same() {
                    let bytes = u64::from(len) * UNIT as u64;
                    let place =
                        Place { start: head.offset(), bytes, kind: PlaceKind::Run(head, found) };
                    self.check_published(head.offset(), &place, is_same);
                }
            }
            State::Part => self.found_part(head.offset(), u64::from(len) * UNIT as u64),
            State::Doomed => self.check_doomed(head.offset()),
            State::Raw | State::Free => {}
        }
    }

    fn check_private_run(&mut self, head: UnitIndex, len: u32, lane: LaneId) {
        let mine = self.names.heap.lane;
        match self.standing(lane) {
            Standing::Live(_) if lane == mine.id() && !mine.made_runs.get() => {
                let text = format!("it is private to {lane}, which made none");
                self.damage(FindingKind::Owner, head, text);
            }
            Standing::Live(_) => {}
            Standing::Dead(slot) => {
                self.dead.entry(slot).or_default().private_bytes += u64::from(len) * UNIT as u64;
            }
            Standing::Nobody => {
                self.damage(
                    FindingKind::Owner,
                    head,
                    format!("it is private to {lane}, which nobody uses"),
                );
            }
        }
    }

    /// What the sets name, in the zones that are backed.
    pub(super) fn check_sets(&mut self) {
        let first = self.arena.first_unit();
        let zone = |unit: u32| unit as usize / ZONE_UNITS;
        let end = |frontier: UnitIndex| (zone(frontier.0.max(first.0 + 1) - 1) + 1) * ZONE_UNITS;
        let (from, to) = (zone(first.0) * ZONE_UNITS, end(self.arena.frontier()));
        for set in SetId::all() {
            let (view, mut stale) = (self.arena.set(set), 0);
            for leaf in from / FANOUT..to / FANOUT {
                let mut bits = view.leaf(leaf);
                while bits != 0 {
                    let unit = UnitIndex((leaf * FANOUT) as u32 + bits.trailing_zeros());
                    bits &= bits - 1;
                    if unit < first || unit >= self.arena.frontier() {
                        self.damage(
                            FindingKind::ForeignHint,
                            unit,
                            format!("{set:?} names it, but it is not in use"),
                        );
                    } else {
                        stale += u64::from(!is_member(set, self.arena.unit(unit)));
                    }
                }
            }
            if stale != 0 {
                let text = format!("{set:?} names {stale} units that are something else by now");
                self.note(FindingKind::ForeignHint, super::FindingPlace::Segment, text);
            }
        }
    }
}

fn is_member(set: SetId, unit: Option<Unit>) -> bool {
    match (set, unit) {
        (SetId::Free, Some(Unit::Free | Unit::Decommitted)) => true,
        (SetId::LimboRuns, Some(Unit::Run { lane: LaneId::NOBODY, state: State::Limbo, .. })) => {
            true
        }
        (SetId::Orphans(class), Some(Unit::Orphan { class: of })) => class == of,
        _ => false,
    }
}

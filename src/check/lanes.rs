//! Checks of the header, the participants, and the lanes with their journals.

use super::{Dead, FindingKind, FindingPlace, Pass, Severity};
use crate::heap::unit::LaneId;
use crate::layout::{Header, Layout, MAGIC, MAX_LANES, MAX_PARTICIPANTS, PAGE, VERSION, oldest_of};
use crate::lock::raw_rwlock::RawRwLock;
use crate::lock::read_slot::ReadSlot;
use crate::process::journal::Intent;
use crate::process::lane::{HAZARDS, LaneOwner, LaneRecord};
use crate::process::participant::{ParticipantId, ParticipantWord};
use crate::stats::{Liveness, liveness};
use crate::sync::{Acquire, Relaxed};
use crate::trace::change::Said;
use crate::trace::lease::is_lease;

/// What may be expected of a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// A thread uses it, or it waits for one, of the attached participant of this number.
    Live(u16),
    /// The process that had it is dead.
    Dead(u16),
    /// It is free, or was never taken, or its owner word makes no sense.
    Nobody,
}

impl Pass<'_> {
    pub(super) fn standing(&self, lane: LaneId) -> Standing {
        self.standings.get(usize::from(lane.0)).copied().unwrap_or(Standing::Nobody)
    }

    pub(super) fn check_header(&mut self) {
        let (header, layout) = (self.arena.header(), self.arena.layout());
        let room =
            (layout.units - layout.first_unit).saturating_mul(crate::heap::unit::UNIT as u64);
        let fixed = [
            (header.magic == MAGIC, "the magic number"),
            (header.version == VERSION, "the version"),
            (u64::from(header.page) == PAGE, "the page size"),
            (header.fingerprint == Layout::fingerprint(), "the fingerprint of the layout"),
            (header.units == layout.units, "the count of units"),
            (header.asked != 0 && header.asked <= room, "the capacity asked for"),
        ];
        for (is_right, what) in fixed {
            if !is_right {
                self.damage(
                    FindingKind::Header,
                    FindingPlace::Header,
                    format!("{what} is not what it should be"),
                );
            }
        }
        let Header { frontier, lanes_high, participants_high, .. } = header;
        let ranges = [
            (frontier, layout.first_unit, layout.units, "the frontier"),
            (lanes_high, 1, MAX_LANES as u64, "the count of lanes"),
            (participants_high, 1, MAX_PARTICIPANTS as u64, "the count of participants"),
        ];
        for (word, least, most, what) in ranges {
            let found = word.load(Acquire);
            if !(least..=most).contains(&found) {
                let text = format!("{what} is {found}, not between {least} and {most}");
                self.damage(FindingKind::Header, FindingPlace::Header, text);
            }
        }
        let (_, reaper) = oldest_of(header.names_oldest.load(Acquire));
        if usize::from(reaper) >= MAX_LANES {
            let text = format!(
                "the oldest array of names is being given back by lane {reaper}, which cannot be"
            );
            self.damage(FindingKind::Header, FindingPlace::Header, text);
        }
    }

    pub(super) fn check_participants(&mut self) {
        for (slot, record) in self.arena.participants().iter().enumerate() {
            let place = FindingPlace::Participant(slot as u16);
            // Acquire pairs with the CAS that made it Live.
            let found = record.word.load(Acquire);
            let high = self.arena.header().participants_high.load(Acquire);
            let word = match ParticipantWord::of(found) {
                Some(ParticipantWord::Free { .. }) => continue,
                Some(_) if slot as u64 >= high => {
                    self.damage(
                        FindingKind::Participant,
                        place,
                        format!("in use, though only {high} were ever"),
                    );
                    continue;
                }
                None => {
                    self.damage(
                        FindingKind::Participant,
                        place,
                        format!("its word is {found:#x}, which is none"),
                    );
                    continue;
                }
                Some(word) => word,
            };
            self.looked.participants += 1;
            let known_dead = !matches!(word, ParticipantWord::Live { .. });
            if known_dead || liveness(self.segment, ParticipantId(slot as u16)) == Liveness::Dead {
                self.dead.insert(slot as u16, Dead::default());
            }
        }
    }

    /// Says of each dead participant what it left; after the units.
    pub(super) fn report_dead(&mut self) {
        let mut slots: Vec<u16> = self.dead.keys().copied().collect();
        slots.sort_unstable();
        for slot in slots {
            let Dead { lanes, slabs, private_bytes } = self.dead[&slot];
            let pid = self.arena.participants()[usize::from(slot)].pid.load(Relaxed);
            let text = format!(
                "process {pid} died and left {lanes} lanes, {slabs} slabs and {private_bytes} private bytes, which are to be recovered"
            );
            self.add(
                Severity::Leftover,
                FindingKind::DeadProcess,
                FindingPlace::Participant(slot),
                text,
            );
        }
    }

    pub(super) fn check_lanes(&mut self) {
        self.standings.push(Standing::Nobody);
        let me = self.names.heap.lane.id();
        for (lane, record) in self.arena.lanes() {
            let word = record.owner.load(Acquire);
            let owner = LaneOwner::of(word);
            let standing = match owner {
                Some(LaneOwner::Free) => Standing::Nobody,
                Some(owner) => self.standing_of_owner(lane, owner),
                None => {
                    self.damage(
                        FindingKind::LaneOwner,
                        lane,
                        format!("its owner word is {word:#x}, which is none"),
                    );
                    Standing::Nobody
                }
            };
            self.standings.push(standing);
            match standing {
                Standing::Nobody => {}
                Standing::Live(_) => {
                    self.looked.lanes += 1;
                    self.others += u64::from(lane != me);
                }
                Standing::Dead(slot) => {
                    self.looked.lanes += 1;
                    self.dead.entry(slot).or_default().lanes += 1;
                }
            }
            let high = record.hazards_high.load(Acquire);
            if high > HAZARDS as u64 {
                let text = format!("it says that it set {high} hazards of {HAZARDS}");
                self.damage(FindingKind::Hazard, lane, text);
            }
            self.check_height(lane, record);
            let is_parked =
                matches!((owner, standing), (Some(LaneOwner::Parked(_)), Standing::Live(_)));
            if is_parked || lane == me {
                self.resting.insert(lane.0);
            }
            let is_closed = owner.is_some_and(|owner| self.is_closed(owner));
            let is_nobodys = is_closed || owner == Some(LaneOwner::Free);
            let is_unused = is_parked || is_nobodys;
            self.check_reads(lane, record, is_nobodys.then_some(word));
            if is_unused {
                self.check_rest(lane, record, word);
            }
            self.check_journal(lane, record, is_unused || lane == me);
            if let Some(turn) = record.tally.read() {
                self.tallied.insert(turn.counted, lane);
            }
        }
    }

    fn standing_of_owner(&mut self, lane: LaneId, owner: LaneOwner) -> Standing {
        let Some(tenure) = owner.tenure() else { return Standing::Nobody };
        let slot = tenure.id.0;
        let record = self.arena.participants().get(usize::from(slot));
        let word = record.and_then(|record| ParticipantWord::of(record.word.load(Acquire)));
        let is_of = word.is_some_and(|word| word.counter() == tenure.counter);
        if self.is_closed(owner) {
            return Standing::Nobody; // of its lanes only the numbers are left
        }
        if is_of && self.dead.contains_key(&slot) {
            return Standing::Dead(slot);
        }
        if is_of && matches!(word, Some(ParticipantWord::Live { .. })) {
            return Standing::Live(slot);
        }
        self.damage(
            FindingKind::LaneOwner,
            lane,
            format!("it belongs to participant {slot}, who is not attached"),
        );
        Standing::Nobody
    }

    /// Whether all was recovered that a lane of this owner had.
    fn is_closed(&self, owner: LaneOwner) -> bool {
        owner.tenure().is_some_and(|tenure| {
            let record = self.arena.participants().get(usize::from(tenure.id.0));
            let closed = ParticipantWord::Closed { counter: tenure.counter };
            record.is_some_and(|record| record.word.load(Acquire) == closed.word())
        })
    }

    /// What a lane reads are places where a lock can be. `nobodys`: the word of an owner who reads none.
    fn check_reads(&mut self, lane: LaneId, record: &LaneRecord, nobodys: Option<u64>) {
        let reads = record.reads.iter().map(|slot| slot.word().load(Acquire)).enumerate();
        let reads: Vec<(usize, u64)> = reads.filter(|(_, word)| *word != 0).collect();
        // Otherwise a thread took it meanwhile.
        let is_nobodys = nobodys.is_some_and(|owner| record.owner.load(Acquire) == owner);
        for (index, word) in reads {
            let (lock, times) = ReadSlot::parts(word);
            let is_lock = lock.is_multiple_of(align_of::<RawRwLock>() as u64)
                && self.arena.holds(lock, size_of::<RawRwLock>() as u64)
                && times != 0;
            if !is_lock || is_nobodys {
                let who = if is_nobodys { "nobody uses it, but " } else { "" };
                let text = format!(
                    "{who}its slot {index} says that it reads a lock at {lock:#x}, {times} times"
                );
                self.damage(FindingKind::Reading, lane, text);
            }
        }
    }

    /// Who looks whether something is kept looks at as many hazards as the lane says that it set.
    fn check_height(&mut self, lane: LaneId, record: &LaneRecord) {
        // The hazard first: it is set behind the height, by a Release.
        let is_hidden = |index: &usize| {
            record.hazards[*index].load(Acquire) != 0
                && record.hazards_high.load(Acquire) <= *index as u64
        };
        let high = record.hazards_high.load(Acquire).min(HAZARDS as u64) as usize;
        if let Some(index) = (high..HAZARDS).find(is_hidden) {
            let text = format!("its hazard {index} is set, but it says that it set {high} of them");
            self.damage(FindingKind::Hazard, lane, text);
        }
    }

    /// A lane between two threads: no thread is inside an operation.
    fn check_rest(&mut self, lane: LaneId, record: &LaneRecord, owner: u64) {
        let hazards: Vec<(usize, u64)> =
            record.hazards.iter().map(|hazard| hazard.load(Acquire)).enumerate().collect();
        let array = record.array.load(Acquire);
        if record.owner.load(Acquire) != owner {
            return; // a thread took it meanwhile
        }
        for (index, hazard) in hazards {
            if hazard != 0 {
                let text =
                    format!("nobody uses it, but its hazard {index} keeps offset {hazard:#x}");
                self.damage(FindingKind::Hazard, lane, text);
            }
        }
        if array != 0 {
            let text = format!("nobody uses it, but it keeps the array of names at {array:#x}");
            self.damage(FindingKind::Hazard, lane, text);
        }
    }

    fn check_journal(&mut self, lane: LaneId, record: &LaneRecord, is_at_rest: bool) {
        let intent = match record.journal.read() {
            None => return,
            Some(Err(kind)) => {
                self.damage(
                    FindingKind::Journal,
                    lane,
                    format!("its journal is of kind {kind}, which is none"),
                );
                return;
            }
            Some(Ok(intent)) => intent,
        };
        let (doing, offsets) = match intent {
            Intent::Link { entry, object } => ("giving an object a known name", [entry, object, 0]),
            Intent::Intern { entry, object, array, .. } => {
                ("giving an object a new name", [entry, object, array])
            }
            Intent::Destroy { entry, object } => ("destroying an object", [entry, object, 0]),
            Intent::Reap { entry, array, .. } => ("giving back a name", [entry, array, 0]),
            Intent::Grow { array, new } => ("enlarging the table of names", [array, new, 0]),
            Intent::Fall { object, part, .. } => ("giving back an object", [object, part, 0]),
            Intent::Change { draft, .. } => ("changing what a lock guards", [draft, 0, 0]),
        };
        if let Intent::Change { draft, .. } = intent
            && matches!(self.standing(lane), Standing::Dead(_))
        {
            // Behind its fence: the draft is backed as long as it is held, if the journal still says so.
            self.looker.hold(draft);
            let stands = record.journal.read() == Some(Ok(intent));
            if let Some(said) = Said::of(self.arena, lane, draft).filter(|_| stands) {
                said.new.iter().chain(&said.graves).for_each(|block| {
                    self.announced.insert(*block, lane);
                });
                self.changes.extend(said.words(self.arena));
            }
        }
        if let Intent::Link { entry: lease, object } = intent
            && is_lease(self.arena, lease)
        {
            self.sharing.push((object, lane));
        }
        if let Intent::Reap { entry, .. } = intent {
            self.announced.insert(self.names.block_around(entry), lane);
        }
        for offset in offsets.into_iter().filter(|offset| *offset != 0) {
            self.announced.insert(offset, lane);
            // Blocks begin at multiples of 16; a word that leads to an object may be one of a queue in such, and an
            // entry may stand behind an object.
            let is_word = matches!(
                intent,
                Intent::Link { entry, .. }
                | Intent::Destroy { entry, .. }
                | Intent::Intern { entry, .. }
                | Intent::Reap { entry, .. } if entry == offset
            );
            let (bytes, step) = if is_word { (8, 8) } else { (16, 16) };
            if !offset.is_multiple_of(step) || !self.arena.holds(offset, bytes) {
                let text = format!("its journal names offset {offset:#x}, where nothing can be");
                self.damage(FindingKind::Journal, lane, text);
            }
        }
        if is_at_rest {
            self.damage(
                FindingKind::Journal,
                lane,
                format!("no operation is under way, but by its journal it is {doing}"),
            );
        } else {
            self.unfinished(FindingKind::Journal, lane, lane, doing);
        }
    }
}

//! What a segment holds, counted: [`Segment::stats`]. [`look`] says how others' memory is looked at.

pub(crate) mod look;

use crate::arena::Arena;
use crate::heap::size_class::ClassId;
use crate::heap::unit::{LaneId, State, UNIT, Unit, UnitIndex};
use crate::layout::{Layout, MAX_PARTICIPANTS, ZONE_UNITS};
use crate::names::Names;
use crate::names::entry::{Space, Value};
use crate::names::error::ObjectError;
use crate::process::lane::{LaneOwner, LaneRecord};
use crate::process::liveness::{Judge, Verdict};
use crate::process::participant::{ParticipantId, ParticipantWord};
use crate::segment::Segment;
use crate::sync::{Acquire, Relaxed};
use core::fmt;
use look::{Arrays, Looker};
use std::collections::HashSet;
use std::time::{Duration, SystemTime};

/// A count of things and the bytes that they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// Bytes of them, rounding included.
    pub bytes: u64,
}

/// What a segment holds, as [`Segment::stats`] counted it.
///
/// Every number is exact if no thread of any process worked on the segment meanwhile. Beside
/// others at work each is the number of some instant of the count, not all of the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes of room for objects that the creator asked for.
    pub capacity: u64,
    /// Bytes of all units that blocks can be made of: `free + used`.
    pub total: u64,
    /// Bytes that allocations can be made of: free units, and free blocks of slabs. Blocks that a
    /// thread keeps at hand for speed are not among them.
    pub free: u64,
    /// Bytes that are not free: blocks in use, and what slabs need for themselves.
    pub used: u64,
    /// Bytes of memory that the segment has from the system: its tables, and the units that were
    /// ever used and not given back.
    pub committed: u64,
    /// Units by what they are.
    pub units: UnitStats,
    /// The size classes that have slabs, the smallest first; behind them that of leases.
    pub classes: Vec<ClassStats>,
    /// Slabs that no thread owns, of all classes.
    pub orphan_slabs: u64,
    /// Blocks of whole units, for what no slab holds.
    pub runs: RunStats,
    /// Processes that are attached, or died attached and were not recovered yet.
    pub participants: Vec<ParticipantStats>,
    /// Lanes in use: threads that use the segment, and threads that ended with something left.
    pub lanes: u64,
    /// The table of names.
    pub names: NameStats,
}

/// Units of 64 KiB, by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnitStats {
    /// Nobody's, with memory behind them.
    pub free: u64,
    /// Nobody's, their memory given back to the system.
    pub decommitted: u64,
    /// Never used yet.
    pub untouched: u64,
    /// Parts of slabs.
    pub slabs: u64,
    /// Parts of runs.
    pub runs: u64,
    /// Being claimed or given back, or damaged.
    pub other: u64,
}

/// The slabs of one size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Bytes of a block.
    pub block: u64,
    /// Whether its blocks are those of handles to values that several own, and of no size that is asked for.
    pub leases: bool,
    /// How many slabs there are.
    pub slabs: u64,
    /// Their blocks, by state.
    pub blocks: BlockCounts,
}

/// Blocks by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockCounts {
    /// Free to be taken.
    pub free: u64,
    /// A process' alone: private values, and blocks that its threads keep at hand.
    pub private: u64,
    /// Objects that everybody can reach, and the table of names.
    pub published: u64,
    /// What hangs on such objects: the blocks of collections in them.
    pub parts: u64,
    /// Raw memory that was given to everybody.
    pub raw: u64,
    /// Freed, but still looked at, or not yet noticed by the slab's owner.
    pub limbo: u64,
    /// In no state that there is: the segment is damaged.
    pub unknown: u64,
}

/// Runs by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunStats {
    /// A process' alone.
    pub private: Sum,
    /// Objects that everybody can reach, and the table of names.
    pub published: Sum,
    /// What hangs on such objects: the blocks of collections in them.
    pub parts: Sum,
    /// Raw memory that was given to everybody.
    pub raw: Sum,
    /// Freed, but still looked at.
    pub limbo: Sum,
}

/// Whether a process is alive, by the word of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It holds its lock; it may be stopped or slow.
    Alive,
    /// It is gone; what it left is to be recovered.
    Dead,
    /// Cannot be told from here; to be treated as alive.
    Unknown,
}

/// A process that is attached, or died attached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParticipantStats {
    /// Its place in the table of participants.
    pub slot: u16,
    /// Its process id, in its own pid namespace; 0: unknown.
    pub pid: u32,
    /// Whether it is alive.
    pub liveness: Liveness,
    /// Whether it is this attachment of this process.
    pub is_self: bool,
    /// When it attached, by its clock.
    pub attached_at: SystemTime,
    /// Its lanes: one for each thread that uses the segment, or that ended with something left.
    pub lanes: u64,
    /// Slabs that its threads own.
    pub slabs: u64,
    /// Bytes of blocks that are its alone: private values, and blocks kept at hand.
    pub private: u64,
}

/// The table of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameStats {
    /// Slots of the array in which searches begin.
    pub slots: u64,
    /// Names that the table knows, those without an object among them.
    pub entries: u64,
    /// Named objects and unique instances.
    pub objects: u64,
    /// Descriptions of types, and trace maps.
    pub types: u64,
    /// Arrays that were not given back yet: 1, and more while the table grows.
    pub arrays: u64,
}

impl Segment {
    /// Counts what the segment holds: sizes, blocks by class and state, participants, names.
    ///
    /// May be called while others use the segment: it changes nothing and hinders nobody; see
    /// [`Stats`] for what the numbers mean then. Takes time in proportion to the memory in use.
    ///
    /// # Errors
    /// [`ObjectError::Alloc`] if the calling thread can have no lane, and
    /// [`ObjectError::TooManyRefs`]. A damaged segment is no error: what makes no sense is counted
    /// as used; [`check`](Segment::check) names it.
    pub fn stats(&self) -> Result<Stats, ObjectError> {
        self.with_names(|names| {
            let mut tally = Tally::new(names.heap.arena);
            tally.count_units(&Looker::new(names)?);
            tally.judge_participants(self);
            let names = count_names(names);
            let arena = &self.attached().arena;
            let layout = arena.layout();
            let total = self.attached().room();
            let free = tally.free.min(total);
            let participants = tally.participants.into_iter().flatten().collect();
            Ok(Stats {
                capacity: self.capacity(),
                total,
                free,
                used: total - free,
                committed: tables(arena, layout) + tally.backed * UNIT as u64,
                units: tally.units,
                classes: tally.classes.into_iter().filter(|class| class.slabs != 0).collect(),
                orphan_slabs: tally.orphan_slabs,
                runs: tally.runs,
                participants,
                lanes: tally.lanes,
                names,
            })
        })
    }
}

/// Bytes of tables that are backed.
fn tables(arena: &Arena, layout: &Layout) -> u64 {
    let zone = |unit: u64| unit / ZONE_UNITS as u64;
    let last = u64::from(arena.frontier().0).max(layout.first_unit + 1) - 1;
    let zones = (zone(layout.first_unit)..=zone(last)).flat_map(|zone| layout.tables_of_zone(zone));
    let lanes = arena.lanes().count() as u64 * Layout::lane_stride();
    layout.head().1 + lanes + zones.map(|(_, bytes)| bytes).sum::<u64>()
}

/// Counts on the way.
struct Tally<'a> {
    arena: &'a Arena,
    /// By lane: whose it is.
    owners: Vec<Option<ParticipantId>>,
    lanes: u64,
    free: u64,
    backed: u64,
    units: UnitStats,
    classes: Vec<ClassStats>,
    orphan_slabs: u64,
    runs: RunStats,
    participants: Vec<Option<ParticipantStats>>,
}

impl<'a> Tally<'a> {
    fn new(arena: &'a Arena) -> Tally<'a> {
        let owner = |record: &LaneRecord| {
            LaneOwner::of(record.owner.load(Acquire))?.tenure().map(|tenure| tenure.id)
        };
        let owners: Vec<_> =
            [None].into_iter().chain(arena.lanes().map(|(_, record)| owner(record))).collect();
        let classes = ClassId::all().map(|class| ClassStats {
            block: u64::from(class.cut().size),
            leases: class == ClassId::LEASES,
            slabs: 0,
            blocks: BlockCounts::default(),
        });
        let mut tally = Tally {
            arena,
            lanes: owners.iter().flatten().count() as u64,
            owners,
            free: 0,
            backed: 0,
            units: UnitStats::default(),
            classes: classes.collect(),
            orphan_slabs: 0,
            runs: RunStats::default(),
            participants: Vec::new(),
        };
        tally.list_participants();
        tally
    }

    fn list_participants(&mut self) {
        let high = self.arena.header().participants_high.load(Acquire).min(MAX_PARTICIPANTS as u64);
        for (slot, record) in self.arena.participants()[..high as usize].iter().enumerate() {
            // Acquire pairs with the CAS that made it Live: the description is whole.
            let word = ParticipantWord::of(record.word.load(Acquire));
            let is_used = !matches!(word, None | Some(ParticipantWord::Free { .. }));
            let lanes =
                self.owners.iter().flatten().filter(|owner| usize::from(owner.0) == slot).count();
            let listed = is_used.then(|| ParticipantStats {
                slot: slot as u16,
                pid: u32::try_from(record.pid.load(Relaxed)).unwrap_or(0),
                liveness: Liveness::Unknown,
                is_self: false,
                attached_at: SystemTime::UNIX_EPOCH
                    + Duration::from_nanos(record.attached_at.load(Relaxed)),
                lanes: lanes as u64,
                slabs: 0,
                private: 0,
            });
            self.participants.push(listed);
        }
    }

    fn judge_participants(&mut self, segment: &Segment) {
        for listed in self.participants.iter_mut().flatten() {
            let who = ParticipantId(listed.slot);
            listed.is_self = segment.attached().participant() == Some(who);
            listed.liveness = liveness(segment, who);
        }
    }

    fn owner(&mut self, lane: LaneId) -> Option<&mut ParticipantStats> {
        let participant = (*self.owners.get(usize::from(lane.0))?)?;
        self.participants.get_mut(usize::from(participant.0))?.as_mut()
    }

    fn count_units(&mut self, looker: &Looker<'_>) {
        let (frontier, end) = (self.arena.frontier(), self.arena.layout().units);
        self.units.untouched = end - u64::from(frontier.0);
        self.free = self.units.untouched * UNIT as u64;
        let mut at = self.arena.first_unit();
        while at < frontier {
            let word = self.arena.unit_word(at).load(Acquire);
            let unit = Unit::of(word);
            let rest = frontier.0 - at.0;
            let length = unit.map_or(1, |unit| unit.length().clamp(1, rest));
            match unit {
                Some(Unit::Free) => {
                    self.units.free += 1;
                    self.free += UNIT as u64;
                    self.backed += 1;
                }
                Some(Unit::Decommitted) => {
                    self.units.decommitted += 1;
                    self.free += UNIT as u64;
                }
                Some(Unit::Slab { class, lane, .. }) => {
                    self.units.slabs += u64::from(length);
                    self.backed += u64::from(length);
                    self.count_slab(looker, at, word, class, Some(lane));
                }
                Some(Unit::Sweep { class, lane, .. }) => {
                    self.units.slabs += u64::from(length);
                    self.backed += u64::from(length);
                    self.count_slab(looker, at, word, class, Some(lane));
                }
                Some(Unit::Orphan { class }) => {
                    self.units.slabs += u64::from(length);
                    self.backed += u64::from(length);
                    self.count_slab(looker, at, word, class, None);
                }
                Some(Unit::Run { lane, state, .. }) => {
                    self.units.runs += u64::from(length);
                    self.backed += u64::from(length);
                    self.count_run(u64::from(length) * UNIT as u64, lane, state);
                }
                Some(Unit::Claimed { .. } | Unit::Freeing { .. } | Unit::Tail { .. }) | None => {
                    // Each by its own word: parts of it are given back one by one.
                    self.units.other += 1;
                    self.backed += 1;
                    at = at.plus(1);
                    continue;
                }
            }
            at = at.plus(length);
        }
    }

    fn count_slab(
        &mut self,
        looker: &Looker<'_>,
        at: UnitIndex,
        word: u64,
        class: ClassId,
        lane: Option<LaneId>,
    ) {
        let mut blocks = BlockCounts::default();
        looker.states(at, word, class, |_, byte| {
            *match State::of(byte) {
                Some(State::Free) => &mut blocks.free,
                Some(State::Private) => &mut blocks.private,
                Some(State::Published) => &mut blocks.published,
                Some(State::Part) => &mut blocks.parts,
                Some(State::Raw) => &mut blocks.raw,
                Some(State::Limbo | State::Doomed) => &mut blocks.limbo,
                None => &mut blocks.unknown,
            } += 1;
        });
        let size = u64::from(class.cut().size);
        self.free += blocks.free * size;
        match lane {
            None => self.orphan_slabs += 1,
            Some(lane) => {
                if let Some(owner) = self.owner(lane) {
                    owner.slabs += 1;
                    owner.private += blocks.private * size;
                }
            }
        }
        let of_class = &mut self.classes[class.index()];
        of_class.slabs += 1;
        of_class.blocks.add(blocks);
    }

    fn count_run(&mut self, bytes: u64, lane: LaneId, state: State) {
        let sum = match state {
            State::Published => &mut self.runs.published,
            State::Part => &mut self.runs.parts,
            State::Raw => &mut self.runs.raw,
            State::Limbo | State::Doomed => &mut self.runs.limbo,
            State::Private | State::Free => &mut self.runs.private,
        };
        sum.count += 1;
        sum.bytes += bytes;
        if state == State::Private
            && let Some(owner) = self.owner(lane)
        {
            owner.private += bytes;
        }
    }
}

impl BlockCounts {
    fn add(&mut self, more: BlockCounts) {
        let BlockCounts { free, private, published, parts, raw, limbo, unknown } = more;
        self.free += free;
        self.private += private;
        self.published += published;
        self.parts += parts;
        self.raw += raw;
        self.limbo += limbo;
        self.unknown += unknown;
    }
}

/// Whether the process in a slot is alive, as this process can tell.
pub(crate) fn liveness(segment: &Segment, who: ParticipantId) -> Liveness {
    let attached = segment.attached();
    let Some(me) = attached.participant() else { return Liveness::Unknown };
    let Some(record) = attached.arena.participants().get(usize::from(who.0)) else {
        return Liveness::Unknown;
    };
    let Some(word) = ParticipantWord::of(record.word.load(Acquire)) else {
        return Liveness::Unknown;
    };
    match Judge::participant(attached.arena.mapping().file(), me).judge(who, record, word) {
        Verdict::Alive => Liveness::Alive,
        Verdict::Dead => Liveness::Dead,
        Verdict::Unknown => Liveness::Unknown,
    }
}

/// Counts the table of names, as far as it can be followed.
fn count_names(names: Names<'_>) -> NameStats {
    let arena = names.heap.arena;
    let chain = Arrays::pin(names);
    let current = arena.header().names_current.load(Acquire);
    let mut counted = NameStats { arrays: chain.arrays.len() as u64, ..NameStats::default() };
    let mut seen = HashSet::new();
    for (number, array) in chain.arrays.iter().enumerate() {
        if array.offset == current {
            counted.slots = array.len();
        }
        let entries = array.entries_in_slots(arena).take_while(|_| chain.is_kept(arena, number));
        for entry in entries.flatten() {
            if entry.value() == Value::Dead || !seen.insert(entry.offset) {
                continue;
            }
            counted.entries += 1;
            if matches!(entry.value(), Value::Live(_)) {
                match entry.space() {
                    Some(Space::Types | Space::Maps) => counted.types += 1,
                    _ => counted.objects += 1,
                }
            }
        }
    }
    counted
}

impl fmt::Display for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Liveness::Alive => "alive",
            Liveness::Dead => "dead",
            Liveness::Unknown => "unknown",
        })
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>14} bytes in all", self.total)?;
        writeln!(f, "{:>14} free", self.free)?;
        writeln!(f, "{:>14} used", self.used)?;
        writeln!(f, "{:>14} committed", self.committed)?;
        writeln!(
            f,
            "{:>14} objects of {} names, {} types described",
            self.names.objects, self.names.entries, self.names.types
        )?;
        writeln!(
            f,
            "{:>14} processes, {} lanes, {} slabs without owner",
            self.participants.len(),
            self.lanes,
            self.orphan_slabs
        )?;
        if !self.classes.is_empty() {
            let head = ["block", "slabs", "free", "private", "published", "parts", "raw", "limbo"];
            writeln!(f, "{}", head.map(|title| format!("{title:>10}")).concat())?;
        }
        for class in &self.classes {
            let BlockCounts { free, private, published, parts, raw, limbo, .. } = class.blocks;
            let row = [class.slabs, free, private, published, parts, raw, limbo];
            let block = if class.leases { "lease".into() } else { class.block.to_string() };
            writeln!(f, "{block:>10}{}", row.map(|number| format!("{number:>10}")).concat())?;
        }
        let RunStats { private, published, parts, raw, limbo } = self.runs;
        for (state, runs) in [
            ("private", private),
            ("published", published),
            ("part", parts),
            ("raw", raw),
            ("limbo", limbo),
        ] {
            if runs.count != 0 {
                writeln!(f, "{:>10} {state} runs of {} bytes", runs.count, runs.bytes)?;
            }
        }
        for one in &self.participants {
            writeln!(
                f,
                "process {} ({}): {} lanes, {} slabs, {} bytes private",
                one.pid, one.liveness, one.lanes, one.slabs, one.private
            )?;
        }
        Ok(())
    }
}

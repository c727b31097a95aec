//! Where everything lies in a segment: the only place that knows.
//!
//! ```text
//! 0            header                     4 KiB   backed at creation
//!              participants               64 B each, likewise
//!              set summaries              the levels of each set above the zones', likewise
//!              lane records               one page each, backed when a lane is taken
//!              unit words                 8 B per unit  ┐
//!              doorbells                  8 B per unit  │ backed a zone at a time, before the
//!              state lines              128 B per unit  │ zone's first unit is used
//!              set leaves                 a block a zone┘
//! first unit   units of 64 KiB            backed in growing steps, up to the capacity
//! ```
//!
//! Units are counted from the segment's start, so the words of the units under the tables are never
//! used (nor backed, but for what shares their pages): a look-up is one shift and one load.
//! All offsets follow from the number of units, which the header says; an opener computes them anew
//! and compares.

use crate::heap::size_class::{CLASS_COUNT, LINE};
use crate::heap::unit::{UNIT, UNIT_SHIFT};
use crate::process::lane::LaneRecord;
use crate::process::participant::ParticipantRecord;
use crate::sync::{AtomicU8, AtomicU64};
#[cfg(not(loom))]
use crate::word::Tag;
use core::mem::{offset_of, size_of};

/// Bits of a word of a set. loom's world counts in fours, so that small trees are deep.
pub const FANOUT_SHIFT: u32 = if cfg!(loom) { 2 } else { 6 };
pub const FANOUT: usize = 1 << FANOUT_SHIFT;
/// Units whose tables are backed together: the leaves under one word of the second level.
pub const ZONE_UNITS: usize = FANOUT * FANOUT;

/// Slots for participants. The last one is kept for who recovers the dead when all others are taken.
pub const MAX_PARTICIPANTS: usize = if cfg!(loom) { 4 } else { 512 };
/// Threads of all attached processes that use the segment at once; lane 0 is nobody.
pub const MAX_LANES: usize = if cfg!(sharena_shuttle) {
    12
} else if cfg!(loom) {
    5
} else {
    4096
};

/// Offsets fit 44 bits: what a name-table slot has room for beside its tag.
pub const MAX_CAPACITY: u64 = 1 << 44;

pub const MAGIC: u64 = u64::from_le_bytes(*b"sharena\x01");
/// Changes whenever the meaning of a byte of the segment does.
pub const VERSION: u32 = 7;
pub const PAGE: u64 = 4096;

/// Which set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetId {
    /// Units that a slab or run can be made of.
    Free,
    /// Heads of runs in state Limbo.
    LimboRuns,
    /// Heads of slabs of a class that nobody owns and that may have room.
    Orphans(crate::heap::size_class::ClassId),
}

const SETS: usize = 2 + CLASS_COUNT;

impl SetId {
    fn index(self) -> usize {
        match self {
            SetId::Free => 0,
            SetId::LimboRuns => 1,
            SetId::Orphans(class) => 2 + class.index(),
        }
    }
    pub fn all() -> impl Iterator<Item = SetId> {
        use crate::heap::size_class::ClassId;
        [SetId::Free, SetId::LimboRuns].into_iter().chain(ClassId::all().map(SetId::Orphans))
    }
}

/// The segment's first page. Any process may use the atomics; the rest never changes once the
/// segment has its name.
#[repr(C)]
pub struct Header {
    pub magic: u64,
    pub version: u32,
    /// Page size of the machine that made it.
    pub page: u32,
    /// [`Layout::fingerprint`].
    pub fingerprint: u64,
    /// Units from the segment's start, those under the tables among them.
    pub units: u64,
    /// What the creator asked for, bytes.
    pub asked: u64,
    /// Random: tells this segment from every other, also from one of the same name.
    pub creation: [u64; 2],
    /// The kernel's boot id: a file found under another one was not necessarily written back whole.
    pub boot: [u64; 2],
    /// Nanoseconds since the epoch.
    pub created_at: u64,
    /// Seed of the hash of names.
    pub hash_seed: u64,
    /// By what values find the segment again that their blocks lie in: see `tag`. Random, not 0.
    pub tag: u64,
    _fixed: [u64; 4],

    /// Units below this one are backed or were; grows only. On a line of its own, as the next two.
    pub frontier: AtomicU64,
    _line1: [u64; 7],
    /// Lanes below this number have been taken at some time.
    pub lanes_high: AtomicU64,
    /// Participants below this number have attached at some time.
    pub participants_high: AtomicU64,
    /// Counts recoveries: an owner that sees it change looks once at all its slabs.
    pub sweep_epoch: AtomicU64,
    /// Counts removals of type descriptions: who registered a type under another number does again.
    pub types_epoch: AtomicU64,
    /// Counts attachments, in its low half, on which watchers sleep.
    pub attachments: AtomicU64,
    /// Says that somebody has died: see [`lock`](crate::lock). Whoever sleeps in a lock listens to its
    /// low half.
    pub deaths: AtomicU64,
    _line2: [u64; 2],
    /// The array of names in which every search begins.
    pub names_current: AtomicU64,
    /// The oldest array not yet given back, and the lane that is at it.
    pub names_oldest: AtomicU64,
    _line3: [u64; 6],
}

#[cfg(not(loom))]
impl Header {
    /// The header of a new segment; its atomics are zero.
    pub fn new(
        layout: &Layout,
        asked: u64,
        creation: [u64; 2],
        hash_seed: u64,
        tag: Tag,
    ) -> Header {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = u128::from_str_radix(&boot.trim().replace('-', ""), 16).unwrap_or(0);
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Header {
            magic: MAGIC,
            version: VERSION,
            page: PAGE as u32,
            fingerprint: Layout::fingerprint(),
            units: layout.units,
            asked,
            creation,
            boot: [(boot >> 64) as u64, boot as u64],
            created_at: now.as_nanos() as u64,
            hash_seed,
            tag: u64::from(tag.number()),
            // SAFETY: integers and atomics of integers; zero is a value of each.
            ..unsafe { core::mem::zeroed() }
        }
    }
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() as u64 <= PAGE);
    assert!(offset_of!(Header, frontier) == 128);
};

/// [`Header::names_oldest`]: the array's offset and the number of the lane that gives it back (0: none).
pub fn oldest_word(array: u64, lane: u16) -> u64 {
    array << 16 | u64::from(lane)
}

/// Inverse of [`oldest_word`].
pub fn oldest_of(word: u64) -> (u64, u16) {
    (word >> 16, word as u16)
}

/// The numbers that follow from the count of units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    pub units: u64,
    pub first_unit: u64,
    pub participants: u64,
    summaries: u64,
    pub lanes: u64,
    pub unit_words: u64,
    pub doorbells: u64,
    pub state_lines: u64,
    leaves: u64,
}

/// Bytes of one zone's leaves and second-level words of all sets, rounded to whole pages.
const ZONE_LEAVES: u64 =
    ((FANOUT + 1) * SETS * size_of::<AtomicU64>()).next_multiple_of(PAGE as usize) as u64;

impl Layout {
    /// A segment with at least `room` bytes of units; `None`: larger than offsets can say.
    pub fn for_room(room: u64) -> Option<Layout> {
        let wanted = room.div_ceil(UNIT as u64);
        if wanted > MAX_CAPACITY >> UNIT_SHIFT {
            return None;
        }
        // The tables grow with the units that they are for, these with the tables under them.
        let mut units = wanted;
        loop {
            let layout = Self::for_units(units)?;
            if units >= layout.first_unit + wanted {
                return Some(layout);
            }
            units = layout.first_unit + wanted;
        }
    }

    /// The layout of a segment of so many units in all; `None` if there is none such.
    pub fn for_units(units: u64) -> Option<Layout> {
        if units > MAX_CAPACITY >> UNIT_SHIFT {
            return None;
        }
        let mut at = 0;
        let mut take = |bytes: u64, align: u64| {
            let start = u64::next_multiple_of(at, align);
            at = start + bytes;
            start
        };
        let word = size_of::<AtomicU64>() as u64;
        take(size_of::<Header>() as u64, PAGE);
        let participants = take((MAX_PARTICIPANTS * size_of::<ParticipantRecord>()) as u64, PAGE);
        let zones = units.div_ceil(ZONE_UNITS as u64);
        let summaries = take(SETS as u64 * Self::summary_stride(zones), PAGE);
        let lanes = take(MAX_LANES as u64 * Self::lane_stride(), PAGE);
        let unit_words = take(units * word, PAGE);
        let doorbells = take(units * word, PAGE);
        let state_lines = take(units * (LINE * size_of::<AtomicU8>()) as u64, PAGE);
        let leaves = take(zones * ZONE_LEAVES, PAGE);
        let first_unit = at.div_ceil(UNIT as u64);
        let layout = Layout {
            units,
            first_unit,
            participants,
            summaries,
            lanes,
            unit_words,
            doorbells,
            state_lines,
            leaves,
        };
        Some(layout)
    }

    /// Bytes of the whole segment.
    pub fn bytes(&self) -> u64 {
        self.units << UNIT_SHIFT
    }

    /// Bytes from one lane record to the next.
    pub const fn lane_stride() -> u64 {
        size_of::<LaneRecord>().next_multiple_of(PAGE as usize) as u64
    }

    /// Words of each level above the zones' two, up to the single one.
    fn upper_levels(zones: u64) -> impl Iterator<Item = u64> {
        let mut below = zones.max(1);
        core::iter::from_fn(move || {
            (below > 0).then(|| {
                let words = below.div_ceil(FANOUT as u64);
                below = if words == 1 { 0 } else { words };
                words
            })
        })
    }

    fn zones(&self) -> u64 {
        self.units.div_ceil(ZONE_UNITS as u64)
    }

    /// Bytes of the upper levels of one set: whole cache lines, so that sets do not disturb each other.
    fn summary_stride(zones: u64) -> u64 {
        (Self::upper_levels(zones).sum::<u64>() * size_of::<AtomicU64>() as u64)
            .next_multiple_of(64)
    }

    /// Offset, words, words per block (a power of two's exponent) and bytes between blocks of each
    /// level of a set, leaves first.
    pub fn set_levels(&self, set: SetId) -> impl Iterator<Item = (u64, usize, u32, usize)> {
        let word = size_of::<AtomicU64>() as u64;
        let (zones, set) = (self.zones(), set.index() as u64);
        let leaf = self.leaves + set * FANOUT as u64 * word;
        let second = self.leaves + (SETS * FANOUT) as u64 * word + set * word;
        let mut at = self.summaries + set * Self::summary_stride(zones);
        [
            (leaf, zones as usize * FANOUT, FANOUT_SHIFT, ZONE_LEAVES as usize),
            (second, zones as usize, 0, ZONE_LEAVES as usize),
        ]
        .into_iter()
        .chain(Self::upper_levels(zones).map(move |words| {
            let start = at;
            at += words * word;
            (start, words as usize, 63, 0)
        }))
    }

    /// What is backed at creation: header, participants, summaries. Bytes and offset.
    pub fn head(&self) -> (u64, u64) {
        (0, self.lanes)
    }

    /// The parts of the tables that `units` need, the same for whole zones: offset and bytes, in
    /// whole pages.
    pub fn tables_of_zone(&self, zone: u64) -> impl Iterator<Item = (u64, u64)> {
        let first = (zone * ZONE_UNITS as u64).max(self.first_unit);
        let end = ((zone + 1) * ZONE_UNITS as u64).min(self.units);
        let word = size_of::<AtomicU64>() as u64;
        let part = move |table: u64, each: u64| {
            let start = (table + first * each) / PAGE * PAGE;
            (start, (table + end * each).next_multiple_of(PAGE) - start)
        };
        [
            part(self.unit_words, word),
            part(self.doorbells, word),
            part(self.state_lines, (LINE * size_of::<AtomicU8>()) as u64),
            (self.leaves + zone * ZONE_LEAVES, ZONE_LEAVES),
        ]
        .into_iter()
    }

    /// A hash of all that a reader must agree on beside the count of units.
    pub fn fingerprint() -> u64 {
        use crate::heap::size_class::ClassId;
        let mut facts = vec![
            u64::from(cfg!(target_endian = "little")),
            FANOUT as u64,
            UNIT as u64,
            LINE as u64,
            MAX_PARTICIPANTS as u64,
            MAX_LANES as u64,
            ZONE_LEAVES,
            Self::lane_stride(),
            size_of::<Header>() as u64,
            offset_of!(Header, frontier) as u64,
            offset_of!(Header, deaths) as u64,
            offset_of!(Header, names_current) as u64,
            size_of::<ParticipantRecord>() as u64,
        ];
        facts.extend(LaneRecord::facts());
        facts.extend(crate::names::layout_facts());
        for class in ClassId::all() {
            let cut = class.cut();
            facts.extend(
                [cut.size, cut.states, cut.count, cut.span, u32::from(cut.dense)].map(u64::from),
            );
        }
        let bytes: Vec<u8> = facts.iter().flat_map(|fact| fact.to_le_bytes()).collect();
        xxhash_rust::xxh3::xxh3_64(&bytes)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The numbers themselves: who changes one changes [`VERSION`].
    #[test]
    fn the_layout_of_a_small_segment_is_this() {
        let layout = Layout::for_units(1024).unwrap();
        assert_eq!((layout.participants, layout.summaries, layout.lanes), (4096, 36864, 40960));
        assert_eq!(layout.first_unit, 260);
        assert_eq!(Layout::lane_stride(), 4096);
        assert_eq!(
            (VERSION, Layout::fingerprint()),
            (7, 0xe3bb_d1b3_2cd5_af41),
            "how slabs are cut, and all records"
        );
    }

    #[test]
    fn parts_follow_each_other_and_do_not_overlap() {
        for units in [300, 4096, 4097, 1 << 20, MAX_CAPACITY >> UNIT_SHIFT] {
            let l = Layout::for_units(units).unwrap();
            let mut parts: Vec<(u64, u64)> =
                vec![l.head(), (l.lanes, MAX_LANES as u64 * Layout::lane_stride())];
            for set in SetId::all() {
                for (level, (at, words, shift, stride)) in l.set_levels(set).enumerate() {
                    if level < 2 {
                        for block in 0..words >> shift {
                            if block < 3 {
                                parts.push((at + (block * stride) as u64, 8u64 << shift));
                            }
                        }
                    } else {
                        assert!(at >= l.summaries && at + words as u64 * 8 <= l.lanes);
                    }
                }
            }
            parts.push((l.unit_words, units * 8));
            parts.push((l.doorbells, units * 8));
            parts.push((l.state_lines, units * 32));
            parts.sort_unstable();
            for pair in parts.windows(2) {
                assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:?} of {units} units");
            }
            let last = parts.last().unwrap();
            assert!(last.0 + last.1 <= l.first_unit << UNIT_SHIFT);
        }
    }

    #[test]
    fn room_is_what_was_asked_for() {
        for room in [1, 65_536, 1 << 24, 1 << 30, (1 << 40) + 1, 1 << 43] {
            let l = Layout::for_room(room).unwrap();
            let got = (l.units - l.first_unit) << UNIT_SHIFT;
            assert!(got >= room && got < room + (1 << 17), "{room}: {got}");
        }
        assert_eq!(Layout::for_room(MAX_CAPACITY + 1), None);
    }
}

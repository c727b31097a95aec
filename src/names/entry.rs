//! Entries (names) and object headers: the words that tell what exists.
//!
//! An **entry** is interned: once it stands in a slot it keeps its name for good. Its `value` word
//! is `Absent` ⇄ `Live(object)`, and `Absent` → `Dead` once, by a migration that leaves it behind.
//! An **object** begins with a header whose `life` word goes `Whole` → `Retired(lane)` once.
//!
//! Each has a block of its own, but an entry that is interned with a small object: it stands behind that, in one block
//! and mostly in one cache line. The object is destroyed as any other is; its block is the entry's then, and goes when
//! that one goes. An object that the name is given later has a block of its own.

use super::array::TAG_SHIFT;
use crate::arena::Arena;
use crate::heap::unit::LaneId;
use crate::layout::MAX_LANES;
use crate::sync::{Acquire, AtomicU64, Relaxed};
use core::mem::size_of;

/// Bytes of the longest name.
pub const MAX_NAME: usize = 4096;

/// Which table a name belongs to; a name of one never meets one of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Space {
    /// What users name.
    Named = 0,
    /// The one object of a type; the name is the type's.
    Unique = 1,
    /// The description of a type; the name is its fingerprint.
    Types = 2,
    /// The trace map of a type whose values have blocks; the name is its fingerprint.
    Maps = 3,
}

/// A name as it is looked up.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    pub space: Space,
    pub name: &'a [u8],
    pub hash: u64,
}

impl<'a> Key<'a> {
    /// `name` has at most [`MAX_NAME`] bytes.
    #[inline]
    pub fn new(arena: &Arena, space: Space, name: &'a [u8]) -> Key<'a> {
        debug_assert!(name.len() <= MAX_NAME);
        let seed = arena.header().hash_seed ^ space as u64;
        Key { space, name, hash: xxhash_rust::xxh3::xxh3_64_with_seed(name, seed) }
    }

    /// What an entry of this name says beside its value: the low bits of the hash, space, length. The others a slot
    /// says that leads to it.
    #[inline]
    pub fn meta(&self) -> u64 {
        self.hash << META_BITS | (self.space as u64) << 14 | self.name.len() as u64
    }
}

/// Whether two names of the same length are one, by words: most are too short for a call to be worth it.
#[inline(always)]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    debug_assert_eq!(one.len(), other.len());
    match one.len() {
        33.. => one == other,
        16.. => is_same_by(one, other, u128::from_ne_bytes),
        8.. => is_same_by(one, other, u64::from_ne_bytes),
        4.. => is_same_by(one, other, u32::from_ne_bytes),
        _ => one.iter().eq(other),
    }
}

/// By two words of `N` bytes, the first and the last ones, between which nothing is left out.
#[inline(always)]
fn is_same_by<const N: usize, W: PartialEq>(
    one: &[u8],
    other: &[u8],
    word: impl Fn([u8; N]) -> W,
) -> bool {
    debug_assert!(N <= one.len() && one.len() <= 2 * N);
    let ends = |name: &[u8]| Some((word(*name.first_chunk()?), word(*name.last_chunk()?)));
    ends(one) == ends(other)
}

/// Bits of an entry's second word that say no hash.
const META_BITS: u32 = 16;
const _: () = assert!(u64::BITS - META_BITS >= TAG_SHIFT, "entry and slot say all of a hash");

/// The value word of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    /// The name has no object.
    Absent,
    /// The name was left behind by a migration; whoever wants it interns it anew.
    Dead,
    /// The object's block.
    Live(u64),
}

impl Value {
    pub fn word(self) -> u64 {
        match self {
            Value::Absent => 0,
            Value::Dead => 1,
            Value::Live(object) => object,
        }
    }
    #[inline]
    pub fn of(word: u64) -> Value {
        match word {
            0 => Value::Absent,
            1 => Value::Dead,
            object => Value::Live(object),
        }
    }
}

#[repr(C)]
struct EntryHead {
    value: AtomicU64,
    meta: AtomicU64,
}

/// An entry in its block.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    head: &'a EntryHead,
    name: *const u8,
    /// As it was when it was looked at whether the name lies in the segment.
    name_len: usize,
    pub offset: u64,
}

impl<'a> Entry<'a> {
    /// Bytes of the block of an entry with this name.
    pub fn bytes(name: &[u8]) -> usize {
        size_of::<EntryHead>() + name.len()
    }

    /// Writes an entry to where it is to stand, in a block that the caller holds PRIVATE.
    pub fn write(arena: &'a Arena, offset: u64, key: &Key<'_>, value: Value) -> Entry<'a> {
        let at = arena.at(offset);
        // SAFETY: the block is the caller's alone and has `bytes(name)` bytes from there on, aligned to eight.
        unsafe {
            at.cast::<EntryHead>().write(EntryHead {
                value: AtomicU64::new(value.word()),
                meta: AtomicU64::new(key.meta()),
            });
            at.add(size_of::<EntryHead>())
                .copy_from_nonoverlapping(key.name.as_ptr(), key.name.len());
        }
        Self::at(arena, offset).expect("a block that was just allocated lies in the segment")
    }

    /// The entry at `offset`; `None`: the segment is corrupt, none can be there.
    ///
    /// The caller has pinned the array in whose slot it found the entry (or holds the block).
    #[inline(always)]
    pub fn at(arena: &'a Arena, offset: u64) -> Option<Entry<'a>> {
        let is_aligned = offset.is_multiple_of(align_of::<EntryHead>() as u64);
        if !is_aligned || !arena.holds(offset, size_of::<EntryHead>() as u64) {
            return None;
        }
        // SAFETY: inside units that may be touched, aligned; the words are atomics.
        let head = unsafe { &*arena.at(offset).cast::<EntryHead>() };
        let name = arena.at(offset).wrapping_add(size_of::<EntryHead>());
        // Relaxed: as in `meta`.
        let name_len = (head.meta.load(Relaxed) & 0x3fff) as usize;
        (name_len <= MAX_NAME && arena.holds(offset, (size_of::<EntryHead>() + name_len) as u64))
            .then_some(Entry { head, name, name_len, offset })
    }

    /// Relaxed: written before the entry was published, which the slot's Acquire showed.
    #[inline]
    fn meta(&self) -> u64 {
        self.head.meta.load(Relaxed)
    }

    pub fn space(&self) -> Option<Space> {
        match self.meta() >> 14 & 3 {
            0 => Some(Space::Named),
            1 => Some(Space::Unique),
            2 => Some(Space::Types),
            _ => Some(Space::Maps),
        }
    }

    #[inline]
    pub fn name(&self) -> &'a [u8] {
        // SAFETY: `at` or `of` checked that the bytes lie in the segment; they do not change while the
        // array is pinned.
        unsafe { core::slice::from_raw_parts(self.name, self.name_len) }
    }

    /// The entry at `offset`, if it is that name's; `None`: it is another's, or none can be there, as [`at`](Self::at)
    /// says. An entry that says the same of its name as the key has a name as long, so that one look tells that all of
    /// it lies in the segment.
    #[inline(always)]
    pub fn of(arena: &'a Arena, offset: u64, key: &Key<'_>) -> Option<Entry<'a>> {
        let is_aligned = offset.is_multiple_of(align_of::<EntryHead>() as u64);
        let name_len = key.name.len();
        if !is_aligned || !arena.holds(offset, (size_of::<EntryHead>() + name_len) as u64) {
            return None;
        }
        // SAFETY: inside units that may be touched, aligned; the words are atomics.
        let head = unsafe { &*arena.at(offset).cast::<EntryHead>() };
        let name = arena.at(offset).wrapping_add(size_of::<EntryHead>());
        let entry = Entry { head, name, name_len, offset };
        if entry.matches(key) { Some(entry) } else { None }
    }

    #[inline(always)]
    pub fn matches(&self, key: &Key<'_>) -> bool {
        self.meta() == key.meta() && is_same(self.name(), key.name)
    }

    /// The whole hash, computed anew; `None`: the entry is corrupt.
    pub fn key(&self, arena: &Arena) -> Option<Key<'a>> {
        let key = Key::new(arena, self.space()?, self.name());
        (key.meta() == self.meta()).then_some(key)
    }

    /// The hash, as the entry says and a slot that leads to it and shows this tag.
    #[inline]
    pub fn hash(&self, tag: u64) -> u64 {
        let low = self.meta() >> META_BITS;
        low | tag << TAG_SHIFT & !(u64::MAX >> META_BITS)
    }

    /// The value word.
    #[inline]
    pub fn word(&self) -> &'a AtomicU64 {
        &self.head.value
    }

    /// Acquire pairs with the Release of the CAS that linked the object.
    #[inline]
    pub fn value(&self) -> Value {
        Value::of(self.head.value.load(Acquire))
    }
}

/// The life word of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    /// How many values follow the header.
    pub count: u64,
    /// Whether an entry names it; otherwise whoever knows its offset destroys it.
    pub named: bool,
    /// Whether its values have blocks.
    pub has_parts: bool,
    /// Who destroyed it; nobody: it is whole. Once it [is falling](Self::is_falling), who does that.
    pub retired_by: LaneId,
    /// Whether its parts are going, by whom `retired_by` names.
    pub is_falling: bool,
    /// Whether it is destroyed with its last [lease](crate::trace::lease), and not by an offset.
    pub counted: bool,
    /// Whether the entry of its name stands behind its value, in the same block, which goes with the entry.
    pub with_entry: bool,
}

/// The bit of [`Life::with_entry`]; the count ends below it.
const WITH_ENTRY_BIT: u32 = 63;

impl Life {
    pub fn word(self) -> u64 {
        u64::from(self.with_entry) << WITH_ENTRY_BIT
            | self.count << 17
            | u64::from(self.named) << 16
            | u64::from(self.has_parts) << 15
            | u64::from(self.is_falling) << 14
            | u64::from(self.counted) << 13
            | u64::from(self.retired_by.0) & 0x1fff
    }
    #[inline]
    pub fn of(word: u64) -> Life {
        let flag = |bit: u32| word >> bit & 1 == 1;
        Life {
            count: (word & !(1 << WITH_ENTRY_BIT)) >> 17,
            named: flag(16),
            has_parts: flag(15),
            is_falling: flag(14),
            counted: flag(13),
            with_entry: flag(WITH_ENTRY_BIT),
            retired_by: LaneId(word as u16 & 0x1fff),
        }
    }
    /// A whole object without parts.
    pub fn new(count: u64, named: bool) -> Life {
        Life {
            count,
            named,
            has_parts: false,
            retired_by: LaneId::NOBODY,
            is_falling: false,
            counted: false,
            with_entry: false,
        }
    }
    /// Whether a word says that there is one value, and it is whole.
    #[inline(always)]
    pub fn is_single(word: u64, may_have_entry: bool) -> bool {
        let says_nothing_of_it = 0xf << 13 | u64::from(may_have_entry) << WITH_ENTRY_BIT;
        word & !says_nothing_of_it == 1 << 17
    }
    #[inline]
    pub fn is_whole(self) -> bool {
        self.retired_by == LaneId::NOBODY
    }
}

const _: () = assert!(MAX_LANES <= 1 << 13);
const _: () = assert!(MAX_NAME < 1 << 14, "an entry says its name's length in 14 bits");

/// Stands before the values of every typed object.
#[repr(C)]
pub struct ObjectHeader {
    /// [`Life`].
    pub life: AtomicU64,
    /// [`Shareable::FINGERPRINT`](crate::Shareable) of the values.
    pub fingerprint: AtomicU64,
}

impl ObjectHeader {
    /// Bytes from an object's block to its first value, of a type with this alignment.
    pub const fn value_at(align: usize) -> usize {
        let header = size_of::<ObjectHeader>();
        if align > header { align } else { header }
    }

    /// Writes the header into a block that the caller holds PRIVATE.
    pub fn write(arena: &Arena, block: u64, fingerprint: u64, life: Life) {
        // SAFETY: the block is the caller's alone, larger than the header and aligned to 16.
        unsafe {
            arena.at(block).cast::<ObjectHeader>().write(ObjectHeader {
                life: AtomicU64::new(life.word()),
                fingerprint: AtomicU64::new(fingerprint),
            });
        }
    }

    /// The header at `offset`; `None`: the segment is corrupt, none can be there.
    ///
    /// The caller has pinned the object, or holds its block.
    #[inline(always)]
    pub fn at(arena: &Arena, offset: u64) -> Option<&ObjectHeader> {
        let fits =
            offset.is_multiple_of(16) && arena.holds(offset, size_of::<ObjectHeader>() as u64);
        // SAFETY: inside units that may be touched, aligned; the words are atomics.
        fits.then(|| unsafe { &*arena.at(offset).cast::<ObjectHeader>() })
    }

    /// The header of what stands in a block.
    ///
    /// # Safety
    /// A block of at least so many bytes starts at `block`. The caller has pinned the object.
    #[inline(always)]
    pub unsafe fn in_block(arena: &Arena, block: u64) -> &ObjectHeader {
        // SAFETY: the caller's promise: blocks are aligned to 16, and lie in units that may be touched.
        unsafe { &*arena.at(block).cast::<ObjectHeader>() }
    }

    /// Acquire: partner of the destroyer's CAS.
    #[inline]
    pub fn life(&self) -> Life {
        Life::of(self.life.load(Acquire))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn lives_come_back_as_they_went() {
        for count in [0, 1, 1 << 44] {
            for named in [false, true] {
                for retired_by in [LaneId::NOBODY, LaneId(4095)] {
                    for (has_parts, is_falling) in [(false, false), (true, false), (true, true)] {
                        for (counted, with_entry) in [(false, false), (true, false), (false, true)]
                        {
                            let life = Life {
                                count,
                                named,
                                has_parts,
                                retired_by,
                                is_falling,
                                counted,
                                with_entry,
                            };
                            assert_eq!(Life::of(life.word()), life);
                            let is_single = count == 1 && life.is_whole();
                            let by_word = |may| Life::is_single(life.word(), may);
                            assert_eq!(by_word(true), is_single);
                            assert_eq!(by_word(false), is_single && !with_entry);
                        }
                    }
                }
            }
        }
    }

    fn with_block(test: impl Fn(&Arena, u64)) {
        let segment = crate::Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let block = segment.allocate(core::alloc::Layout::new::<[u128; 4]>()).unwrap().to_bits();
        test(&segment.attached().arena, block);
    }

    #[test]
    fn an_entry_matches_its_name_in_its_space_alone() {
        with_block(|arena, block| {
            let key = Key::new(arena, Space::Named, b"name");
            let entry = Entry::write(arena, block, &key, Value::Absent);
            assert!(entry.matches(&key) && entry.value() == Value::Absent);
            assert_eq!((entry.name(), entry.space()), (key.name, Some(Space::Named)));
            assert_eq!(entry.key(arena).map(|key| key.hash), Some(key.hash));
            assert_eq!(entry.hash(super::super::array::tag(key.hash)), key.hash, "all of it");
            // Of one hash, as may be.
            assert!(!entry.matches(&Key { name: b"nam3", ..key }));
            assert!(!entry.matches(&Key { name: b"names", ..key }));
            for len in 1..=48 {
                let name = &b"a name of three words and more, so that all ways meet"[..len];
                let key = Key::new(arena, Space::Named, name);
                let entry = Entry::write(arena, block, &key, Value::Absent);
                assert!(entry.matches(&key), "{len} bytes");
                for at in 0..len {
                    let mut other = name.to_vec();
                    other[at] ^= 1;
                    assert!(!entry.matches(&Key { name: &other, ..key }), "{len} bytes, at {at}");
                }
            }
            let entry = Entry::write(arena, block, &key, Value::Absent);
            assert!(!entry.matches(&Key { hash: key.hash ^ 1 << 16, ..key }));
            for space in [Space::Unique, Space::Types, Space::Maps] {
                assert!(!entry.matches(&Key { space, ..key }));
                assert_ne!(Key::new(arena, space, b"name").hash, key.hash);
                let other = Entry::write(arena, block, &Key { space, ..key }, Value::Dead);
                assert_eq!((other.space(), other.value()), (Some(space), Value::Dead));
                assert!(other.key(arena).is_none(), "the hash is that of another space");
            }
        });
    }

    #[test]
    fn a_name_stays_in_the_segment_whatever_becomes_of_its_length() {
        with_block(|arena, block| {
            let entry =
                Entry::write(arena, block, &Key::new(arena, Space::Named, b"name"), Value::Absent);
            entry.head.meta.store(entry.meta() + 0x3000, Relaxed);
            assert_eq!(entry.name(), b"name");
            assert!(entry.key(arena).is_none(), "it is another's by now");
        });
    }

    #[test]
    fn an_entry_lies_where_its_name_fits() {
        with_block(|arena, block| {
            let end = arena.frontier().offset();
            let entry_at = |offset: u64, meta: u64| {
                // SAFETY: inside the mapping; no other word is looked at meanwhile.
                let word = unsafe { &*arena.at(offset + 8).cast::<AtomicU64>() };
                let was = word.swap(meta, Acquire);
                let found = Entry::at(arena, offset).map(|entry| entry.name().len());
                word.store(was, crate::sync::Release);
                found
            };
            assert_eq!(entry_at(block, 48), Some(48));
            assert_eq!(entry_at(block, MAX_NAME as u64), Some(MAX_NAME));
            assert_eq!(entry_at(block, MAX_NAME as u64 + 1), None, "no name is so long");
            assert_eq!(entry_at(block + 8, 1), Some(1), "behind an object");
            assert!(Entry::at(arena, block + 4).is_none(), "entries lie at multiples of eight");
            assert_eq!(entry_at(end - 32, 16), Some(16));
            assert_eq!(entry_at(end - 32, 17), None, "the name ends beyond the frontier");
            assert!(Entry::at(arena, end - 8).is_none() && Entry::at(arena, end).is_none());
            assert!(Entry::at(arena, arena.first_unit().offset() - 16).is_none());
            assert!(Entry::at(arena, 0).is_none());
            assert!(ObjectHeader::at(arena, block).is_some());
            assert!(ObjectHeader::at(arena, block + 8).is_none());
            assert!(ObjectHeader::at(arena, end - 16).is_some());
            assert!(ObjectHeader::at(arena, end).is_none());
        });
    }

    #[test]
    fn an_entry_is_looked_for_by_its_name_where_that_fits() {
        with_block(|arena, block| {
            let key = |name| Key::new(arena, Space::Named, name);
            let is_at = |offset, key: &Key<'_>| Entry::of(arena, offset, key).is_some();
            let (name, long) = (key(b"sixteen bytes it"), key(b"of more bytes than sixteen"));
            let end = arena.frontier().offset();
            for offset in [block, block + 8, end - 32] {
                let entry = Entry::write(arena, offset, &name, Value::Live(48));
                assert_eq!((entry.offset, entry.value()), (offset, Value::Live(48)));
                let found = Entry::of(arena, offset, &name).unwrap();
                assert_eq!((found.name(), found.value()), (name.name, Value::Live(48)));
                assert!(!is_at(offset, &key(b"another one's it")) && !is_at(offset, &long));
                assert!(Entry::at(arena, offset).is_some());
            }
            // It ends beyond the frontier, where there may be no memory; here there is, and all that would match.
            let head = [0u64.to_le_bytes(), name.meta().to_le_bytes()].concat();
            let whole = [&head, name.name].concat();
            // SAFETY: in the mapping, and nobody else has it.
            unsafe { arena.at(end - 24).copy_from_nonoverlapping(whole.as_ptr(), whole.len()) };
            for offset in [end - 24, end - 16, end - 8, end, arena.first_unit().offset() - 16, 0] {
                assert!(!is_at(offset, &name), "{offset:#x}");
            }
            // As what lies four bytes before it would be one.
            let word = |at: u64| arena.word(at).unwrap();
            let bytes = [0u64.to_le_bytes(), name.meta().to_le_bytes()].concat();
            // SAFETY: in the block, which is the test's alone.
            unsafe { arena.at(block + 4).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
            assert!(word(block).load(Relaxed) >> 32 == 0 && !is_at(block + 4, &name));
        });
    }

    #[test]
    fn values_stand_behind_the_header_and_aligned() {
        for (align, at) in [(1, 16), (8, 16), (16, 16), (32, 32), (4096, 4096)] {
            assert_eq!(ObjectHeader::value_at(align), at);
        }
    }
}

//! `HashMap`: an open-addressed table in a block.
//!
//! After Google's SwissTable (Benzaquen, Evlogimenos, Kulukundis, Perepelitsa, 2018), as hashbrown is: for
//! each bucket a control byte, EMPTY, DELETED or seven bits of the key's hash; eight at a time are looked
//! at. Unlike there, groups of eight are aligned, so that no byte stands twice.
//!
//! ```text
//! block:  bucket 0 │ bucket 1 │ …             │ control 0 │ control 1 │ …
//! search: group hash % groups, +1, +2, +3, … until a group has an EMPTY; seven of eight at most are full
//! ```

mod lent;

pub use lent::HashMapMut;

use super::key::HashKey;
use super::pair::Pair;
use super::{TryClone, or_panic, raw};
use crate::heap::error::AllocError;
use crate::segment::Segment;
use crate::shareable::{LayoutHash, Shareable};
use crate::trace::map::{Part, Tracer};
use crate::word::{Tag, Word};
use core::alloc::Layout;
use core::borrow::Borrow;
use core::marker::PhantomData;
use core::mem;
use core::ops::Index;
use core::sync::atomic::{AtomicU64, Ordering};
use core::{fmt, ptr};

const EMPTY: u8 = 0xff;
const DELETED: u8 = 0x80;
/// Buckets of a group.
const GROUP: usize = 8;
const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// std's `HashMap`, in a segment.
///
/// ```
/// # use sharena::{Options, collections::{HashMap, String}};
/// # let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
/// let mut ages = HashMap::new_in(&segment);
/// ages.insert(String::from_in("Alice", &segment), 30);
/// *ages.entry(String::from_in("Bob", &segment)).or_insert(40) += 1;
/// assert_eq!((ages.get("Alice"), ages["Bob"], ages.get("Carol")), (Some(&30), 41, None));
/// ```
#[repr(C)]
pub struct HashMap<K: Shareable, V: Shareable> {
    word: Word,
    len: usize,
    /// A power of two, at least a group; 0: there is no block.
    buckets: usize,
    /// EMPTY buckets that may be filled before the table must be made anew.
    room: usize,
    /// What the hashes of this map begin with.
    seed: u64,
    pairs: PhantomData<(K, V)>,
}

// SAFETY: a word, which means the same in every process that has the segment open, and numbers; no
// address. Keys and values are Shareable. The drop glue is a collection's, and `trace` names the block.
unsafe impl<K: Shareable, V: Shareable> Shareable for HashMap<K, V> {
    const NAME: u64 = LayoutHash::of_name("HashMap").parameter::<K>().parameter::<V>().finish();
    const FINGERPRINT: u64 =
        LayoutHash::of_type::<Self>().parameter::<K>().parameter::<V>().finish();
    const ANY_BITS: bool = false;
    const HAS_BLOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("HashMap<")?;
        Pair::<K, V>::describe(out)?;
        out.write_str(">")
    }
    // SAFETY: the trait's. What the word leads to is looked at by whoever has the segment.
    unsafe fn is_valid(at: *const Self) -> bool {
        // SAFETY: the caller vouches for the aligned bytes; the fields are numbers.
        let buckets = unsafe { (*at).buckets };
        buckets == 0 || buckets.is_power_of_two() && buckets >= GROUP
    }
    fn trace(map: &mut Tracer) {
        let node = map.node_of::<Pair<K, V>>();
        map.part(Part::Table { node });
    }
}

/// Bits of a group's control bytes, of each at most the highest.
#[derive(Clone, Copy)]
struct Matches(u64);

impl Iterator for Matches {
    type Item = usize;
    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let first = self.0.trailing_zeros() as usize / 8;
        let found = (self.0 != 0).then_some(first);
        self.0 &= self.0.wrapping_sub(1);
        found
    }
}

/// The control bytes of a group.
#[derive(Clone, Copy)]
struct Group(u64);

impl Group {
    /// Those that may be `tag`: all that are, seldom one that is not.
    #[inline(always)]
    fn may_be(self, tag: u8) -> Matches {
        let same = self.0 ^ (ONES * u64::from(tag));
        Matches(same.wrapping_sub(ONES) & !same & TOPS)
    }
    #[inline(always)]
    fn empty(self) -> Matches {
        Matches(self.0 & self.0 << 1 & TOPS)
    }
    #[inline(always)]
    fn vacant(self) -> Matches {
        Matches(self.0 & TOPS)
    }
    #[inline(always)]
    fn full(self) -> Matches {
        Matches(!self.0 & TOPS)
    }
}

/// The control byte of a full bucket.
#[inline(always)]
fn tag_of(hash: u64) -> u8 {
    (hash >> 57) as u8
}

/// The table behind a word.
struct Table<K, V> {
    pairs: *mut Pair<K, V>,
    control: *mut u8,
    buckets: usize,
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Table<K, V> {}

impl<K, V> Table<K, V> {
    #[inline(always)]
    fn at(word: Word, buckets: usize) -> Self {
        let pairs: *mut Pair<K, V> = word.address();
        Table { pairs, control: pairs.wrapping_add(buckets).cast(), buckets }
    }

    #[inline(always)]
    fn group(&self, group: usize) -> Group {
        // SAFETY: there are `buckets` control bytes, aligned to eight, as there are eight buckets or more.
        Group(u64::from_le(unsafe { self.control.cast::<u64>().add(group).read() }))
    }

    /// The groups in which a key of this hash may be, in order.
    #[inline(always)]
    fn path(&self, hash: u64) -> impl Iterator<Item = usize> + use<K, V> {
        let groups = self.buckets / GROUP;
        let mut at = hash as usize;
        (0..groups).map(move |step| {
            at = at.wrapping_add(step) & (groups - 1);
            at
        })
    }

    /// The bucket of a key.
    #[inline(always)]
    fn find(&self, hash: u64, is_it: impl Fn(&K) -> bool) -> Option<usize> {
        for group in self.path(hash) {
            let control = self.group(group);
            for i in control.may_be(tag_of(hash)) {
                let bucket = group * GROUP + i;
                // SAFETY: its control byte has the tag of a key, so it is full; or by a false match it is
                // EMPTY or DELETED, of which the byte itself tells.
                let is_full = unsafe { *self.control.add(bucket) } == tag_of(hash);
                // SAFETY: a full bucket.
                if is_full && is_it(unsafe { &(*self.pairs.add(bucket)).key }) {
                    return Some(bucket);
                }
            }
            if control.empty().0 != 0 {
                return None;
            }
        }
        None
    }

    /// Where a new key of this hash goes.
    #[inline(always)]
    fn vacant(&self, hash: u64) -> Option<usize> {
        self.path(hash).find_map(|group| Some(group * GROUP + self.group(group).vacant().next()?))
    }

    fn full(self) -> impl Iterator<Item = usize> {
        let groups = self.buckets / GROUP;
        (0..groups).flat_map(move |group| self.group(group).full().map(move |i| group * GROUP + i))
    }
}

/// Buckets that may be full of so many.
const fn load(buckets: usize) -> usize {
    buckets / 8 * 7
}

impl<K: Shareable, V: Shareable> HashMap<K, V> {
    /// Empty, and of no segment: it grows in the one that the thread has
    /// [entered](Segment::enter) then.
    pub const fn new() -> Self {
        Self::with_tag(Tag::NONE)
    }

    const fn with_tag(tag: Tag) -> Self {
        let word = Word::of_tag(tag);
        HashMap { word, len: 0, buckets: 0, room: 0, seed: 0, pairs: PhantomData }
    }

    /// Empty, of a segment.
    ///
    /// # Panics
    /// Where [`try_new_in`](Self::try_new_in) is an error.
    #[track_caller]
    pub fn new_in(segment: &Segment) -> Self {
        or_panic(Self::try_new_in(segment))
    }

    /// Empty, of a segment.
    ///
    /// # Errors
    /// [`AllocError::TagTaken`]; [`AllocError::Corrupt`] as for [`find`](Segment::find).
    pub fn try_new_in(segment: &Segment) -> Result<Self, AllocError> {
        segment.tag().map(Self::with_tag)
    }

    /// How many keys it has.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keys that it has room for.
    pub fn capacity(&self) -> usize {
        self.len + self.room
    }

    #[inline(always)]
    fn table(&self) -> Table<K, V> {
        Table::at(self.word, self.buckets)
    }

    /// The pairs, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let table = self.table();
        table.full().map(move |bucket| {
            // SAFETY: a full bucket, of a map that is borrowed.
            let pair = unsafe { &*table.pairs.add(bucket) };
            (&pair.key, &pair.value)
        })
    }

    /// The pairs, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        let table = self.table();
        table.full().map(move |bucket| {
            // SAFETY: a full bucket, each once, of a map that is borrowed exclusively.
            let pair = unsafe { &mut *table.pairs.add(bucket) };
            (&pair.key, &mut pair.value)
        })
    }

    /// The keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// The values, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The values, in no order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }

    /// Drops all pairs; the room stays.
    pub fn clear(&mut self) {
        let table = self.table();
        self.len = 0;
        self.room = load(self.buckets);
        // While user code drops a pair, none is there any more.
        let full: std::vec::Vec<usize> = table.full().collect();
        // SAFETY: so many control bytes.
        unsafe { table.control.write_bytes(EMPTY, self.buckets) };
        // SAFETY: they were full, each once.
        full.into_iter().for_each(|bucket| unsafe { ptr::drop_in_place(table.pairs.add(bucket)) });
    }

    /// Takes the pair out of a full bucket.
    fn take(&mut self, bucket: usize) -> Pair<K, V> {
        let table = self.table();
        let has_empty = table.group(bucket / GROUP).empty().0 != 0;
        // No search passes a group that has an EMPTY, so this may be another.
        let control = if has_empty { EMPTY } else { DELETED };
        self.room += usize::from(has_empty);
        self.len -= 1;
        // SAFETY: a full bucket, which is none any more.
        unsafe {
            *table.control.add(bucket) = control;
            table.pairs.add(bucket).read()
        }
    }

    /// Keeps the pairs of which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let table = self.table();
        for bucket in table.full() {
            // SAFETY: a full bucket: only those that were passed are taken out.
            let Pair { key, value } = unsafe { &mut *table.pairs.add(bucket) };
            if !keep(key, value) {
                drop(self.take(bucket));
            }
        }
    }
}

impl<K: HashKey + Shareable, V: Shareable> HashMap<K, V> {
    #[inline(always)]
    fn find<Q: HashKey + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        if self.len == 0 {
            return None;
        }
        self.table().find(key.hash_key(self.seed), |found| found.borrow() == key)
    }

    /// The value of a key.
    #[inline]
    pub fn get<Q: HashKey + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        // SAFETY: a full bucket, of a map that is borrowed.
        self.find(key).map(|bucket| unsafe { &(*self.table().pairs.add(bucket)).value })
    }

    /// The value of a key.
    #[inline]
    pub fn get_mut<Q: HashKey + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        // SAFETY: a full bucket, of a map that is borrowed exclusively.
        self.find(key).map(|bucket| unsafe { &mut (*self.table().pairs.add(bucket)).value })
    }

    /// Whether it has a key.
    pub fn contains_key<Q: HashKey + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_some()
    }

    /// Takes out a key and its value.
    pub fn remove_entry<Q: HashKey + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        let bucket = self.find(key)?;
        let Pair { key, value } = self.take(bucket);
        Some((key, value))
    }

    /// Takes out the value of a key.
    pub fn remove<Q: HashKey + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.remove_entry(key).map(|(_, value)| value)
    }

    /// Has room for at least so many more keys.
    ///
    /// # Panics
    /// Where [`try_reserve`](Self::try_reserve) is an error.
    #[track_caller]
    pub fn reserve(&mut self, more: usize) {
        or_panic(self.try_reserve(more));
    }

    /// Has room for at least so many more keys.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    #[inline]
    pub fn try_reserve(&mut self, more: usize) -> Result<(), AllocError> {
        if more <= self.room { Ok(()) } else { self.grow(more) }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, more: usize) -> Result<(), AllocError> {
        self.rebuild(self.buckets_for(more)?)
    }

    /// Buckets of a table for so many more keys.
    fn buckets_for(&self, more: usize) -> Result<usize, AllocError> {
        let too_large = AllocError::TooLarge { asked: usize::MAX, capacity: 0 };
        let least = self.len.checked_add(more).ok_or(too_large)?;
        // Where half of it is DELETED the same size will do.
        let wanted = least.max(if self.len > load(self.buckets) / 2 { self.buckets } else { 0 });
        let buckets = wanted.checked_add(wanted / 7 + 1).and_then(usize::checked_next_power_of_two);
        Ok(buckets.ok_or(too_large)?.max(GROUP))
    }

    /// Gives back room that no key needs, as far as tables come in that size.
    ///
    /// Does nothing where there is no memory for the smaller table.
    pub fn shrink_to_fit(&mut self) {
        if self.len == 0 {
            self.free_block();
            *self = Self::with_tag(self.word.tag());
        } else {
            let buckets = (self.len + self.len / 7 + 1).next_power_of_two().max(GROUP);
            if buckets < self.buckets {
                let _ = self.rebuild(buckets);
            }
        }
    }

    /// Moves all pairs into a table of so many buckets, which are enough.
    fn rebuild(&mut self, buckets: usize) -> Result<(), AllocError> {
        let (word, seed) = self.copied(self.word.tag(), buckets)?;
        self.free_block();
        (self.word, self.buckets, self.room, self.seed) =
            (word, buckets, load(buckets) - self.len, seed);
        Ok(())
    }

    /// A private table of so many buckets, which are enough, that has all pairs; and its seed.
    fn copied(&self, tag: Tag, buckets: usize) -> Result<(Word, u64), AllocError> {
        let too_large = AllocError::TooLarge { asked: usize::MAX, capacity: 0 };
        let layout = size_of::<Pair<K, V>>()
            .checked_add(1)
            .and_then(|each| each.checked_mul(buckets))
            .and_then(|bytes| {
                Layout::from_size_align(bytes, align_of::<Pair<K, V>>().max(GROUP)).ok()
            })
            .ok_or(too_large)?;
        let (word, _) = raw::allocate(tag, layout)?;
        let (old, new) = (self.table(), Table::<K, V>::at(word, buckets));
        // SAFETY: a new block for so many buckets and control bytes.
        unsafe { new.control.write_bytes(EMPTY, buckets) };
        let seed = if self.buckets == 0 { new_seed(word.tag()) } else { self.seed };
        for bucket in old.full() {
            // SAFETY: a full bucket moves into a vacant one: there are more than pairs. (A hash that
            // panics leaves the new block to the end of the process, and the map as it was.)
            unsafe {
                let hash = (*old.pairs.add(bucket)).key.hash_key(seed);
                let to = new.vacant(hash).expect("there is room");
                *new.control.add(to) = tag_of(hash);
                new.pairs.add(to).copy_from_nonoverlapping(old.pairs.add(bucket), 1);
            }
        }
        Ok((word, seed))
    }

    /// Puts a value at a key; the one that was there.
    ///
    /// # Panics
    /// Where [`try_insert`](Self::try_insert) is an error.
    #[inline]
    #[track_caller]
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        or_panic(self.try_insert(key, value))
    }

    /// Puts a value at a key; the one that was there.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was, key and value are dropped.
    #[inline]
    pub fn try_insert(&mut self, key: K, value: V) -> Result<Option<V>, AllocError> {
        if let Some(found) = self.get_mut(&key) {
            return Ok(Some(mem::replace(found, value)));
        }
        self.try_insert_new(key, value)?;
        Ok(None)
    }

    /// Puts in a key that is not there; its bucket.
    #[inline]
    fn try_insert_new(&mut self, key: K, value: V) -> Result<usize, AllocError> {
        self.try_reserve(1)?;
        let (table, hash) = (self.table(), key.hash_key(self.seed));
        let bucket = table.vacant(hash).expect("there is room");
        // SAFETY: a vacant bucket of the table.
        unsafe {
            self.room -= usize::from(*table.control.add(bucket) == EMPTY);
            *table.control.add(bucket) = tag_of(hash);
            table.pairs.add(bucket).write(Pair { key, value });
        }
        self.len += 1;
        Ok(bucket)
    }

    /// The place of a key, there or not.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        match self.find(&key) {
            Some(bucket) => Entry::Occupied(OccupiedEntry { map: self, bucket }),
            None => Entry::Vacant(VacantEntry { map: self, key }),
        }
    }
}

impl<K: Shareable, V: Shareable> HashMap<K, V> {
    /// Gives the block back, whatever is in it.
    fn free_block(&mut self) {
        if self.word.offset() != 0 {
            // SAFETY: ours; the caller names another, or none, from here on.
            unsafe { raw::free(self.word) };
            self.word = Word::of_tag(self.word.tag());
        }
    }
}

/// What the hashes of a map begin with: so that nobody can know beforehand which keys collide.
fn new_seed(tag: Tag) -> u64 {
    static MAPS: AtomicU64 = AtomicU64::new(1);
    let of_segment = tag.holder().map_or(0, |attached| attached.arena.header().hash_seed);
    let number = MAPS.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    number.hash_key(of_segment)
}

impl<K: Shareable, V: Shareable> Drop for HashMap<K, V> {
    /// Writes nothing, as a vector's does not.
    fn drop(&mut self) {
        if self.word.offset() == 0 {
            return;
        }
        if mem::needs_drop::<Pair<K, V>>() {
            let table = self.table();
            for bucket in table.full() {
                // SAFETY: a full bucket, dropped once.
                unsafe { ptr::drop_in_place(table.pairs.add(bucket)) };
            }
        }
        // SAFETY: ours, and not used any more.
        unsafe { raw::free(self.word) };
    }
}

/// The place of a key in a map.
pub enum Entry<'a, K: HashKey + Shareable, V: Shareable> {
    /// The map has the key.
    Occupied(OccupiedEntry<'a, K, V>),
    /// It has not.
    Vacant(VacantEntry<'a, K, V>),
}

/// A key that is there.
pub struct OccupiedEntry<'a, K: HashKey + Shareable, V: Shareable> {
    map: &'a mut HashMap<K, V>,
    bucket: usize,
}

/// A key that is not there.
pub struct VacantEntry<'a, K: HashKey + Shareable, V: Shareable> {
    map: &'a mut HashMap<K, V>,
    key: K,
}

impl<'a, K: HashKey + Shareable, V: Shareable> OccupiedEntry<'a, K, V> {
    fn pair(&mut self) -> &mut Pair<K, V> {
        // SAFETY: a full bucket, of a map that is borrowed exclusively.
        unsafe { &mut *self.map.table().pairs.add(self.bucket) }
    }

    /// Its value.
    pub fn get(&self) -> &V {
        // SAFETY: as above.
        unsafe { &(*self.map.table().pairs.add(self.bucket)).value }
    }

    /// Its value.
    pub fn get_mut(&mut self) -> &mut V {
        &mut self.pair().value
    }

    /// Its value, as long as the map is borrowed.
    pub fn into_mut(self) -> &'a mut V {
        // SAFETY: as above; the entry goes.
        unsafe { &mut (*self.map.table().pairs.add(self.bucket)).value }
    }

    /// Puts in another value; the one that was there.
    pub fn insert(&mut self, value: V) -> V {
        mem::replace(self.get_mut(), value)
    }

    /// Takes the key out; its value.
    pub fn remove(self) -> V {
        self.map.take(self.bucket).value
    }
}

impl<'a, K: HashKey + Shareable, V: Shareable> VacantEntry<'a, K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Puts it in with a value.
    ///
    /// # Panics
    /// Where [`try_insert`](Self::try_insert) is an error.
    #[track_caller]
    pub fn insert(self, value: V) -> &'a mut V {
        or_panic(self.try_insert(value))
    }

    /// Puts it in with a value.
    ///
    /// # Errors
    /// [`AllocError`]; the map is as it was, key and value are dropped.
    pub fn try_insert(self, value: V) -> Result<&'a mut V, AllocError> {
        let bucket = self.map.try_insert_new(self.key, value)?;
        // SAFETY: a full bucket, of a map that is borrowed exclusively.
        Ok(unsafe { &mut (*self.map.table().pairs.add(bucket)).value })
    }
}

impl<'a, K: HashKey + Shareable, V: Shareable> Entry<'a, K, V> {
    /// The value, `value()` if there was none.
    ///
    /// # Panics
    /// Where there is no memory.
    #[track_caller]
    pub fn or_insert_with(self, value: impl FnOnce() -> V) -> &'a mut V {
        match self {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(value()),
        }
    }

    /// The value, `value` if there was none.
    ///
    /// # Panics
    /// Where there is no memory.
    #[track_caller]
    pub fn or_insert(self, value: V) -> &'a mut V {
        self.or_insert_with(|| value)
    }

    /// The value, the default one if there was none.
    ///
    /// # Panics
    /// Where there is no memory.
    #[track_caller]
    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }

    /// Changes the value, if there is one.
    pub fn and_modify(mut self, change: impl FnOnce(&mut V)) -> Self {
        if let Entry::Occupied(entry) = &mut self {
            change(entry.get_mut());
        }
        self
    }
}

impl<K: Shareable, V: Shareable> Default for HashMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: HashKey + Shareable, V: Shareable> Extend<(K, V)> for HashMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        pairs.into_iter().for_each(|(key, value)| drop(self.insert(key, value)));
    }
}

impl<K: HashKey + Shareable, V: Shareable> FromIterator<(K, V)> for HashMap<K, V> {
    /// In the segment that the thread has [entered](Segment::enter).
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut made = Self::new();
        made.extend(pairs);
        made
    }
}

impl<K: HashKey + Shareable + TryClone, V: Shareable + TryClone> TryClone for HashMap<K, V> {
    fn try_clone(&self) -> Result<Self, AllocError> {
        let mut copy = Self::with_tag(self.word.tag());
        copy.try_reserve(self.len)?;
        for (key, value) in self.iter() {
            copy.try_insert(key.try_clone()?, value.try_clone()?)?;
        }
        Ok(copy)
    }
}

impl<K: HashKey + Shareable + TryClone, V: Shareable + TryClone> Clone for HashMap<K, V> {
    /// # Panics
    /// Where there is no memory.
    #[track_caller]
    fn clone(&self) -> Self {
        or_panic(self.try_clone())
    }
}

impl<K: HashKey + Shareable, V: Shareable + PartialEq> PartialEq for HashMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<K: HashKey + Shareable, V: Shareable + Eq> Eq for HashMap<K, V> {}

impl<K: Shareable + fmt::Debug, V: Shareable + fmt::Debug> fmt::Debug for HashMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: HashKey + Shareable + Borrow<Q>, V: Shareable, Q: HashKey + ?Sized> Index<&Q>
    for HashMap<K, V>
{
    type Output = V;
    /// # Panics
    /// If the key is not there.
    #[track_caller]
    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("the map has the key")
    }
}

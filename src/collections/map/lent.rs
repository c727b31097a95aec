//! Changing a map that a lock guards.

use super::{DELETED, EMPTY, GROUP, HashMap, Table, load, tag_of};
use crate::collections::pair::Pair;
use crate::collections::{HashKey, TryClone, or_panic, raw};
use crate::heap::error::AllocError;
use crate::lock::lent::{Change, Lend, Mut};
use crate::shareable::Shareable;
use crate::word::Word;
use core::borrow::Borrow;
use core::mem::{ManuallyDrop, offset_of};
use core::ptr::NonNull;

/// What changes a [`HashMap`] that a guard or a place lends; std's names.
///
/// ```
/// use sharena::{Options, collections::{HashMap, HashMapMut, String}, lock::Mutex};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Options::new().capacity(1 << 20).create_anonymous()?;
/// let (ages, _) = segment.find_or_construct("ages", || Mutex::new(HashMap::new_in(&segment)))?;
/// let mut ages = ages.lock().unwrap();
/// ages.insert(30, String::try_from_in("Alice", &segment)?);
/// ages.insert(40, String::try_from_in("Bob", &segment)?);
/// assert_eq!(ages.remove(&40).unwrap(), "Bob");
/// assert_eq!(ages[&30], "Alice");
/// # Ok(())
/// # }
/// ```
///
/// Each call is all or nothing, as those of [`VecMut`](crate::collections::VecMut) are, and what takes
/// something out gives a copy of it.
pub trait HashMapMut<K: Shareable, V: Shareable>: Lend<Value = HashMap<K, V>> {
    /// Puts a value at a key; a copy of the one that was there.
    ///
    /// # Panics
    /// Where [`try_insert`](Self::try_insert) is an error.
    #[track_caller]
    fn insert(&mut self, key: K, value: V) -> Option<V>
    where
        K: HashKey,
        V: TryClone,
    {
        or_panic(self.try_insert(key, value))
    }

    /// Puts a value at a key; a copy of the one that was there.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was, key and value are dropped.
    fn try_insert(&mut self, key: K, value: V) -> Result<Option<V>, AllocError>
    where
        K: HashKey,
        V: TryClone,
    {
        let mut place = self.lend();
        let Some(change) = Change::of(place.home()) else {
            return own(&mut place).try_insert(key, value);
        };
        if let Some(mut found) = place.get_mut(&key) {
            return found.try_replace(value).map(Some);
        }
        let map = place.as_ptr();
        let mut pair = ManuallyDrop::new(Pair { key, value });
        inserted(map, change, &pair).inspect_err(|_| {
            // SAFETY: it hangs nowhere.
            unsafe { ManuallyDrop::drop(&mut pair) };
        })?;
        Ok(None)
    }

    /// Takes out a key; a copy of its value.
    ///
    /// # Panics
    /// Where [`try_remove`](Self::try_remove) is an error.
    #[track_caller]
    fn remove<Q: HashKey + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: HashKey + Borrow<Q>,
        V: TryClone,
    {
        or_panic(self.try_remove(key))
    }

    /// Takes out a key; a copy of its value.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_remove<Q: HashKey + ?Sized>(&mut self, key: &Q) -> Result<Option<V>, AllocError>
    where
        K: HashKey + Borrow<Q>,
        V: TryClone,
    {
        let mut place = self.lend();
        if Change::of(place.home()).is_none() {
            return Ok(own(&mut place).remove(key));
        }
        let Some(value) = place.get(key) else { return Ok(None) };
        let copy = value.try_clone()?;
        let bucket = place.find(key).expect("it was just found");
        kept(&mut place, |at| at != bucket)?;
        Ok(Some(copy))
    }

    /// Keeps the pairs of which `keep` says so.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) -> Result<(), AllocError> {
        let mut place = self.lend();
        if Change::of(place.home()).is_none() {
            own(&mut place).retain(|key, value| keep(key, value));
            return Ok(());
        }
        let table = place.table();
        // User code first: it may unwind.
        let go: std::vec::Vec<usize> = table
            .full()
            .filter(|bucket| {
                // SAFETY: a full bucket, of a map that is lent.
                let pair = unsafe { &*table.pairs.add(*bucket) };
                !keep(&pair.key, &pair.value)
            })
            .collect();
        kept(&mut place, |bucket| go.binary_search(&bucket).is_err())
    }

    /// Keeps the pairs of which `keep` says so.
    ///
    /// # Panics
    /// Where [`try_retain`](Self::try_retain) is an error.
    #[track_caller]
    fn retain(&mut self, keep: impl FnMut(&K, &V) -> bool) {
        or_panic(self.try_retain(keep));
    }

    /// Drops all pairs; the room stays.
    ///
    /// # Panics
    /// Where [`try_retain`](Self::try_retain) is an error.
    #[track_caller]
    fn clear(&mut self) {
        self.retain(|_, _| false);
    }

    /// Lends the value of a key.
    fn get_mut<Q: HashKey + ?Sized>(&mut self, key: &Q) -> Option<Mut<'_, V>>
    where
        K: HashKey + Borrow<Q>,
    {
        let place = self.lend();
        let bucket = place.find(key)?;
        let pair = place.table().pairs.wrapping_add(bucket);
        let value = NonNull::new(pair.wrapping_byte_add(offset_of!(Pair<K, V>, value)).cast())?;
        // SAFETY: the value in a full bucket, of a map that we have alone.
        Some(unsafe { place.into_part_at(value) })
    }
}

impl<K: Shareable, V: Shareable, G: Lend<Value = HashMap<K, V>>> HashMapMut<K, V> for G {}

/// A private one.
fn own<'a, K: Shareable, V: Shareable>(
    place: &'a mut Mut<'_, HashMap<K, V>>,
) -> &'a mut HashMap<K, V> {
    // SAFETY: it lives in memory of this process' own, and we have the place exclusively.
    unsafe { &mut *place.as_ptr() }
}

/// Where its numbers stand.
fn number_at<K: Shareable, V: Shareable>(map: *mut HashMap<K, V>, offset: usize) -> *mut usize {
    map.wrapping_byte_add(offset).cast()
}

fn set_counts<K: Shareable, V: Shareable>(
    change: &mut Change<'_>,
    map: *mut HashMap<K, V>,
    len: usize,
    room: usize,
) {
    change.write(number_at(map, offset_of!(HashMap<K, V>, len)), &raw const len, 1);
    change.write(number_at(map, offset_of!(HashMap<K, V>, room)), &raw const room, 1);
}

/// A table of this process' own.
struct Room(Word);

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: it is ours, and hangs nowhere.
        unsafe { raw::free(self.0) };
    }
}

/// A key that is not there. The pair is still the caller's if there is an error.
fn inserted<K: HashKey + Shareable, V: Shareable>(
    at: *mut HashMap<K, V>,
    mut change: Change<'_>,
    pair: &ManuallyDrop<Pair<K, V>>,
) -> Result<(), AllocError> {
    // SAFETY: a place's.
    let map = unsafe { &*at };
    let room = match map.room {
        0 => {
            let buckets = map.buckets_for(1)?;
            let (word, seed) = map.copied(change.tag()?, buckets)?;
            Some((Room(word), buckets, seed))
        }
        _ => None,
    };
    let (table, seed) = match &room {
        Some((room, buckets, seed)) => (Table::<K, V>::at(room.0, *buckets), *seed),
        None => (map.table(), map.seed),
    };
    let hash = pair.key.hash_key(seed);
    let bucket = table.vacant(hash).expect("there is room");
    let to = table.pairs.wrapping_add(bucket);
    // SAFETY: a vacant bucket, in which nobody looks yet.
    let was_empty = unsafe {
        to.copy_from_nonoverlapping(&raw const **pair, 1);
        *table.control.add(bucket) == EMPTY
    };
    change.hang(to, 1)?;
    let (len, tag) = (map.len + 1, tag_of(hash));
    match room {
        None => {
            change.write(table.control.wrapping_add(bucket), &raw const tag, 1);
            set_counts(&mut change, at, len, map.room - usize::from(was_empty));
            change.make()
        }
        Some((room, buckets, seed)) => {
            // SAFETY: a control byte of our own table.
            unsafe { *table.control.add(bucket) = tag };
            if map.word.offset() != 0 {
                change.bury_block(map.word.offset());
            }
            change.hang_block(room.0.offset());
            let numbers = [len, buckets, load(buckets) - len].map(|number| number as u64);
            let head = [room.0.bits(), numbers[0], numbers[1], numbers[2], seed];
            change.write(at.cast(), head.as_ptr(), head.len());
            change.make()?;
            core::mem::forget(room);
            Ok(())
        }
    }
}

/// Only the full buckets of which `keep` says so stay full.
fn kept<K: Shareable, V: Shareable>(
    place: &mut Mut<'_, HashMap<K, V>>,
    keep: impl Fn(usize) -> bool,
) -> Result<(), AllocError> {
    let mut change = Change::of(place.home()).expect("it is published");
    let (map, table) = (place.as_ptr(), place.table());
    let (mut len, mut room) = (place.len, place.room);
    for group in 0..table.buckets / GROUP {
        let has_empty = table.group(group).empty().0 != 0;
        // No search passes a group that has an EMPTY, so this may be another.
        let control = if has_empty { EMPTY } else { DELETED };
        let first = table.control.wrapping_add(group * GROUP);
        // SAFETY: the control bytes of a group.
        let mut bytes = unsafe { first.cast::<[u8; GROUP]>().read() };
        let before = bytes;
        for i in table.group(group).full() {
            let bucket = group * GROUP + i;
            if keep(bucket) {
                continue;
            }
            change.bury(table.pairs.wrapping_add(bucket), 1)?;
            bytes[i] = control;
            (len, room) = (len - 1, room + usize::from(has_empty));
        }
        if bytes != before {
            change.write(first, bytes.as_ptr(), GROUP);
        }
    }
    if len == place.len {
        return Ok(());
    }
    set_counts(&mut change, map, len, room);
    change.make()
}

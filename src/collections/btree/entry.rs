//! The place of a key in a tree.

use super::BTreeMap;
use crate::collections::or_panic;
use crate::heap::error::AllocError;
use crate::shareable::Shareable;
use core::mem;
use core::ptr::NonNull;

/// The place of a key in a [`BTreeMap`].
pub enum BTreeEntry<'a, K: Shareable + Ord, V: Shareable> {
    /// The map has the key.
    Occupied(BTreeOccupiedEntry<'a, K, V>),
    /// It has not.
    Vacant(BTreeVacantEntry<'a, K, V>),
}

/// A key that is there.
pub struct BTreeOccupiedEntry<'a, K: Shareable + Ord, V: Shareable> {
    map: &'a mut BTreeMap<K, V>,
    key: K,
    value: NonNull<V>,
}

/// A key that is not there.
pub struct BTreeVacantEntry<'a, K: Shareable + Ord, V: Shareable> {
    map: &'a mut BTreeMap<K, V>,
    key: K,
}

impl<'a, K: Shareable + Ord, V: Shareable> BTreeOccupiedEntry<'a, K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Its value.
    pub fn get(&self) -> &V {
        // SAFETY: a value of a map that is borrowed exclusively, and was not changed since it was found.
        unsafe { self.value.as_ref() }
    }

    /// Its value.
    pub fn get_mut(&mut self) -> &mut V {
        // SAFETY: as above.
        unsafe { self.value.as_mut() }
    }

    /// Its value, as long as the map is borrowed.
    pub fn into_mut(mut self) -> &'a mut V {
        // SAFETY: as above; the entry goes.
        unsafe { self.value.as_mut() }
    }

    /// Puts in another value; the one that was there.
    pub fn insert(&mut self, value: V) -> V {
        mem::replace(self.get_mut(), value)
    }

    /// Takes the key out; its value.
    pub fn remove(self) -> V {
        self.map.remove(&self.key).expect("it was found")
    }
}

impl<'a, K: Shareable + Ord, V: Shareable> BTreeVacantEntry<'a, K, V> {
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
        let (_, mut value) = self.map.put(self.key, value)?;
        // SAFETY: it was just put there, into a map that is borrowed exclusively.
        Ok(unsafe { value.as_mut() })
    }
}

impl<'a, K: Shareable + Ord, V: Shareable> BTreeEntry<'a, K, V> {
    pub(super) fn of(map: &'a mut BTreeMap<K, V>, key: K) -> Self {
        match map.get_mut(&key).map(NonNull::from) {
            Some(value) => Self::Occupied(BTreeOccupiedEntry { map, key, value }),
            None => Self::Vacant(BTreeVacantEntry { map, key }),
        }
    }

    /// The value, `value()` if there was none.
    ///
    /// # Panics
    /// Where there is no memory.
    #[track_caller]
    pub fn or_insert_with(self, value: impl FnOnce() -> V) -> &'a mut V {
        match self {
            Self::Occupied(entry) => entry.into_mut(),
            Self::Vacant(entry) => entry.insert(value()),
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
        if let Self::Occupied(entry) = &mut self {
            change(entry.get_mut());
        }
        self
    }
}

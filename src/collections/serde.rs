//! `serde` for collections.

use super::{BTreeMap, BTreeSet, Box, HashKey, HashMap, String, Vec, VecDeque};
use crate::heap::error::AllocError;
use crate::shareable::Shareable;
use core::fmt;
use core::marker::PhantomData;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

impl<T: Shareable + Serialize> Serialize for Vec<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl<T: Shareable + Serialize> Serialize for VecDeque<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl Serialize for String {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self)
    }
}

impl<T: Shareable + Serialize> Serialize for Box<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(to)
    }
}

impl<T: Shareable + Ord + Serialize> Serialize for BTreeSet<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl<K: Shareable + HashKey + Serialize, V: Shareable + Serialize> Serialize for HashMap<K, V> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // Some formats must know how many come.
        let mut map = to.serialize_map(Some(self.len()))?;
        self.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}

impl<K: Shareable + Ord + Serialize, V: Shareable + Serialize> Serialize for BTreeMap<K, V> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

/// What is made piece by piece.
trait Gather<Item>: Default {
    /// What is expected.
    const WHAT: &'static str;
    fn add(&mut self, item: Item) -> Result<(), AllocError>;
}

impl<T: Shareable> Gather<T> for Vec<T> {
    const WHAT: &'static str = "a sequence";
    fn add(&mut self, item: T) -> Result<(), AllocError> {
        self.try_push(item)
    }
}

impl<T: Shareable> Gather<T> for VecDeque<T> {
    const WHAT: &'static str = "a sequence";
    fn add(&mut self, item: T) -> Result<(), AllocError> {
        self.try_push_back(item)
    }
}

impl<T: Shareable + Ord> Gather<T> for BTreeSet<T> {
    const WHAT: &'static str = "a set";
    fn add(&mut self, item: T) -> Result<(), AllocError> {
        self.try_insert(item).map(drop)
    }
}

impl<K: Shareable + HashKey, V: Shareable> Gather<(K, V)> for HashMap<K, V> {
    const WHAT: &'static str = "a map";
    fn add(&mut self, (key, value): (K, V)) -> Result<(), AllocError> {
        self.try_insert(key, value).map(drop)
    }
}

impl<K: Shareable + Ord, V: Shareable> Gather<(K, V)> for BTreeMap<K, V> {
    const WHAT: &'static str = "a map";
    fn add(&mut self, (key, value): (K, V)) -> Result<(), AllocError> {
        self.try_insert(key, value).map(drop)
    }
}

/// Gathers the items of a sequence.
struct Items<C, T>(PhantomData<(C, T)>);

impl<'de, C: Gather<T>, T: Deserialize<'de>> Visitor<'de> for Items<C, T> {
    type Value = C;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(C::WHAT)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<C, A::Error> {
        let mut made = C::default();
        while let Some(item) = from.next_element()? {
            made.add(item).map_err(A::Error::custom)?;
        }
        Ok(made)
    }
}

/// Gathers the pairs of a map.
struct Pairs<C, K, V>(PhantomData<(C, K, V)>);

impl<'de, C, K, V> Visitor<'de> for Pairs<C, K, V>
where
    C: Gather<(K, V)>,
    K: Deserialize<'de>,
    V: Deserialize<'de>,
{
    type Value = C;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(C::WHAT)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<C, A::Error> {
        let mut made = C::default();
        while let Some(pair) = from.next_entry()? {
            made.add(pair).map_err(A::Error::custom)?;
        }
        Ok(made)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = String;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        let mut made = String::new();
        made.try_push_str(text).map_err(E::custom)?;
        Ok(made)
    }
}

impl<'de> Deserialize<'de> for String {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Text)
    }
}

impl<'de, T: Shareable + Deserialize<'de>> Deserialize<'de> for Box<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Box::try_new(T::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl<'de, T: Shareable + Deserialize<'de>> Deserialize<'de> for Vec<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Items(PhantomData))
    }
}

impl<'de, T: Shareable + Deserialize<'de>> Deserialize<'de> for VecDeque<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Items(PhantomData))
    }
}

impl<'de, T: Shareable + Ord + Deserialize<'de>> Deserialize<'de> for BTreeSet<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Items(PhantomData))
    }
}

impl<'de, K, V> Deserialize<'de> for HashMap<K, V>
where
    K: Shareable + HashKey + Deserialize<'de>,
    V: Shareable + Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Pairs(PhantomData))
    }
}

impl<'de, K, V> Deserialize<'de> for BTreeMap<K, V>
where
    K: Shareable + Ord + Deserialize<'de>,
    V: Shareable + Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Pairs(PhantomData))
    }
}

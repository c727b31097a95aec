//! What a map knows of its keys: a hash that two programs agree on, whatever compiled them.

use super::String;
use crate::shareable::Shareable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A type that may be a key of a [`HashMap`](super::HashMap), or stand for one where it is looked up.
///
/// std's `Hash` promises no particular hash, so that two programs might not find each other's keys. A
/// type of your own hashes its fields one after the other:
///
/// ```
/// use sharena::{Shareable, collections::HashKey};
///
/// #[derive(Shareable, PartialEq, Eq)]
/// struct Place {
///     x: i32,
///     y: i32,
/// }
///
/// impl HashKey for Place {
///     fn hash_key(&self, seed: u64) -> u64 {
///         self.y.hash_key(self.x.hash_key(seed))
///     }
/// }
/// ```
pub trait HashKey: Eq {
    /// The hash of the key after what `seed` is the hash of. Equal for equal keys, and for what
    /// `Borrow` makes of one.
    fn hash_key(&self, seed: u64) -> u64;
}

/// Multiplies, and folds the product: each bit of the result depends on each of `word`.
#[inline(always)]
fn fold(word: u64, seed: u64) -> u64 {
    let product = u128::from(word ^ seed) * 0x9e37_79b9_7f4a_7c15;
    // Twice, as small numbers leave the upper half of the first product empty.
    let folded = (product as u64) ^ (product >> 64) as u64;
    let product = u128::from(folded) * 0xf39c_c060_5ced_c835;
    (product as u64) ^ (product >> 64) as u64
}

macro_rules! numbers {
    ($($number:ty as $word:ty),+) => {$(
        impl HashKey for $number {
            #[inline]
            fn hash_key(&self, seed: u64) -> u64 {
                fold(*self as $word as u64, seed)
            }
        }
    )+};
}

impl HashKey for () {
    fn hash_key(&self, seed: u64) -> u64 {
        seed
    }
}

numbers! {
    u8 as u8, u16 as u16, u32 as u32, u64 as u64, usize as u64, bool as u8, char as u32,
    i8 as u8, i16 as u16, i32 as u32, i64 as u64, isize as u64
}

impl HashKey for u128 {
    fn hash_key(&self, seed: u64) -> u64 {
        fold((*self >> 64) as u64, fold(*self as u64, seed))
    }
}

impl HashKey for i128 {
    fn hash_key(&self, seed: u64) -> u64 {
        (*self as u128).hash_key(seed)
    }
}

impl HashKey for str {
    #[inline]
    fn hash_key(&self, seed: u64) -> u64 {
        xxh3_64_with_seed(self.as_bytes(), seed)
    }
}

impl HashKey for String {
    #[inline]
    fn hash_key(&self, seed: u64) -> u64 {
        self.as_str().hash_key(seed)
    }
}

impl<T: HashKey> HashKey for [T] {
    fn hash_key(&self, seed: u64) -> u64 {
        self.iter().fold(fold(self.len() as u64, seed), |seed, element| element.hash_key(seed))
    }
}

impl<T: HashKey, const N: usize> HashKey for [T; N] {
    fn hash_key(&self, seed: u64) -> u64 {
        self[..].hash_key(seed)
    }
}

impl<T: HashKey + Shareable> HashKey for super::Vec<T> {
    fn hash_key(&self, seed: u64) -> u64 {
        self[..].hash_key(seed)
    }
}

impl<T: HashKey + Shareable> HashKey for super::VecDeque<T> {
    fn hash_key(&self, seed: u64) -> u64 {
        self.iter().fold(fold(self.len() as u64, seed), |seed, element| element.hash_key(seed))
    }
}

impl<T> HashKey for crate::Offset<T> {
    fn hash_key(&self, seed: u64) -> u64 {
        self.to_bits().hash_key(seed)
    }
}

macro_rules! tuples {
    ($($($part:ident $index:tt)+;)+) => {$(
        impl<$($part: HashKey),+> HashKey for ($($part,)+) {
            fn hash_key(&self, seed: u64) -> u64 {
                $(let seed = self.$index.hash_key(seed);)+
                seed
            }
        }
    )+};
}

tuples! { A 0; A 0 B 1; A 0 B 1 C 2; A 0 B 1 C 2 D 3; }

#[cfg(test)]
mod tests {
    use super::*;

    /// Maps stand in files: these never change.
    #[test]
    fn hashes_are_these() {
        let hashes =
            [1u64.hash_key(2), (-1i8).hash_key(0), "name".hash_key(7), (1u8, 'a').hash_key(9)];
        assert_eq!(
            hashes,
            [
                288_109_616_254_452_784,
                8_886_143_800_320_758_259,
                17_169_360_340_623_830_580,
                7_861_293_360_703_351_261
            ]
        );
        assert_eq!([1u32, 2].hash_key(3), [1u32, 2][..].hash_key(3));
    }

    /// Of hashes that differ in few bits each the group and the tag differ.
    #[test]
    fn neighbours_are_spread() {
        for shift in [0, 8, 32, 48] {
            let hashes = (0..4096u64).map(|i| (i << shift).hash_key(0x1234_5678));
            let places: std::collections::HashSet<(u64, u64)> =
                hashes.map(|hash| (hash & 0x1ff, hash >> 57)).collect();
            // Of 4096 balls in 65536 places about 3970 are alone.
            assert!(places.len() > 3800, "{shift}: {}", places.len());
        }
    }
}

//! `String`: UTF-8 in a block.

mod lent;

pub use lent::StringMut;

use super::{TryClone, Vec, or_panic};
use crate::heap::error::AllocError;
use crate::segment::Segment;
use crate::shareable::{LayoutHash, Shareable};
use crate::trace::map::{Part, Tracer};
use core::borrow::Borrow;
use core::ops::{Deref, DerefMut};
use core::{cmp, fmt, hash, str};

/// std's `String`, in a segment.
///
/// ```
/// # use sharena::{Options, collections::String};
/// # let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
/// use std::fmt::Write;
///
/// let mut text = String::from_in("tea", &segment);
/// text.push_str(" for ");
/// write!(text, "{}", 2).unwrap();
/// assert_eq!(text, "tea for 2");
/// assert!(text.starts_with("tea"));
/// ```
#[derive(Default)]
#[repr(transparent)]
pub struct String {
    bytes: Vec<u8>,
}

// SAFETY: as its bytes are, whose block `trace` names as what it is.
unsafe impl Shareable for String {
    const NAME: u64 = LayoutHash::of_name("String").finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().finish();
    const ANY_BITS: bool = false;
    const HAS_BLOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("String")
    }
    // SAFETY: the trait's. Whether it is UTF-8 is looked at by whoever has the segment.
    unsafe fn is_valid(at: *const Self) -> bool {
        // SAFETY: the same bytes, the same layout.
        unsafe { Vec::is_valid(at.cast::<Vec<u8>>()) }
    }
    fn trace(map: &mut Tracer) {
        let node = map.node_of::<u8>();
        map.part(Part::Buffer { node, text: true });
    }
}

impl String {
    /// Empty, and of no segment: it grows in the one that the thread has
    /// [entered](Segment::enter) then.
    #[inline]
    pub const fn new() -> Self {
        String { bytes: Vec::new() }
    }

    /// Empty, of a segment.
    ///
    /// # Panics
    /// Where [`try_new_in`](Self::try_new_in) is an error.
    #[track_caller]
    pub fn new_in(segment: &Segment) -> Self {
        String { bytes: Vec::new_in(segment) }
    }

    /// Empty, of a segment.
    ///
    /// # Errors
    /// [`AllocError::TagTaken`]; [`AllocError::Corrupt`] as for [`find`](Segment::find).
    pub fn try_new_in(segment: &Segment) -> Result<Self, AllocError> {
        Vec::try_new_in(segment).map(|bytes| String { bytes })
    }

    /// A copy of `text`.
    ///
    /// # Panics
    /// Where [`try_from_in`](Self::try_from_in) is an error.
    #[track_caller]
    pub fn from_in(text: &str, segment: &Segment) -> Self {
        or_panic(Self::try_from_in(text, segment))
    }

    /// A copy of `text`.
    ///
    /// # Errors
    /// [`AllocError`].
    pub fn try_from_in(text: &str, segment: &Segment) -> Result<Self, AllocError> {
        let mut made = Self::try_new_in(segment)?;
        made.try_push_str(text)?;
        Ok(made)
    }

    /// Empty, with room for so many bytes.
    ///
    /// # Errors
    /// [`AllocError`].
    pub fn try_with_capacity_in(capacity: usize, segment: &Segment) -> Result<Self, AllocError> {
        Vec::try_with_capacity_in(capacity, segment).map(|bytes| String { bytes })
    }

    /// Bytes that it has room for.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Has room for at least so many more bytes.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    pub fn try_reserve(&mut self, more: usize) -> Result<(), AllocError> {
        self.bytes.try_reserve(more)
    }

    /// Gives back room that is not needed, as far as blocks come in that size.
    pub fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        // SAFETY: only UTF-8 is ever put in.
        unsafe { str::from_utf8_unchecked(&self.bytes) }
    }

    /// The text.
    #[inline]
    pub fn as_mut_str(&mut self) -> &mut str {
        // SAFETY: as above; a `&mut str` stays UTF-8.
        unsafe { str::from_utf8_unchecked_mut(&mut self.bytes) }
    }

    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes of the text, as a vector: no copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends `text`.
    ///
    /// # Panics
    /// Where [`try_push_str`](Self::try_push_str) is an error.
    #[track_caller]
    pub fn push_str(&mut self, text: &str) {
        or_panic(self.try_push_str(text));
    }

    /// Appends `text`.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    pub fn try_push_str(&mut self, text: &str) -> Result<(), AllocError> {
        self.bytes.try_extend_from_slice(text.as_bytes())
    }

    /// Appends a character.
    ///
    /// # Panics
    /// Where [`try_push`](Self::try_push) is an error.
    #[track_caller]
    pub fn push(&mut self, c: char) {
        or_panic(self.try_push(c));
    }

    /// Appends a character.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    pub fn try_push(&mut self, c: char) -> Result<(), AllocError> {
        self.try_push_str(c.encode_utf8(&mut [0; 4]))
    }

    /// Takes out the last character.
    pub fn pop(&mut self) -> Option<char> {
        let last = self.chars().next_back()?;
        self.bytes.truncate(self.len() - last.len_utf8());
        Some(last)
    }

    /// Puts `text` in at byte `index`.
    ///
    /// # Panics
    /// If no character begins there, and where [`try_insert_str`](Self::try_insert_str) is an error.
    #[track_caller]
    pub fn insert_str(&mut self, index: usize, text: &str) {
        or_panic(self.try_insert_str(index, text));
    }

    /// Puts `text` in at byte `index`.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    ///
    /// # Panics
    /// If no character begins there.
    #[track_caller]
    pub fn try_insert_str(&mut self, index: usize, text: &str) -> Result<(), AllocError> {
        assert!(self.is_char_boundary(index), "no character begins at {index}");
        self.try_push_str(text)?;
        self.bytes[index..].rotate_right(text.len());
        Ok(())
    }

    /// Takes out the character at byte `index`.
    ///
    /// # Panics
    /// If none begins there.
    #[track_caller]
    pub fn remove(&mut self, index: usize) -> char {
        let c = self[index..].chars().next().expect("a character begins there");
        self.bytes.drain(index..index + c.len_utf8());
        c
    }

    /// Drops what follows byte `len`.
    ///
    /// # Panics
    /// If that is inside of a character.
    #[track_caller]
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            assert!(self.is_char_boundary(len), "no character begins at {len}");
            self.bytes.truncate(len);
        }
    }

    /// Drops all of it.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

impl Deref for String {
    type Target = str;
    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl DerefMut for String {
    #[inline]
    fn deref_mut(&mut self) -> &mut str {
        self.as_mut_str()
    }
}

impl TryClone for String {
    fn try_clone(&self) -> Result<Self, AllocError> {
        self.bytes.try_clone().map(|bytes| String { bytes })
    }
}

impl Clone for String {
    /// # Panics
    /// Where there is no memory.
    #[track_caller]
    fn clone(&self) -> Self {
        or_panic(self.try_clone())
    }
}

impl fmt::Write for String {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.try_push_str(text).map_err(|_| fmt::Error)
    }
}

impl fmt::Display for String {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Debug for String {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Extend<char> for String {
    fn extend<I: IntoIterator<Item = char>>(&mut self, text: I) {
        text.into_iter().for_each(|c| self.push(c));
    }
}

impl<'a> Extend<&'a str> for String {
    fn extend<I: IntoIterator<Item = &'a str>>(&mut self, text: I) {
        text.into_iter().for_each(|part| self.push_str(part));
    }
}

impl From<&str> for String {
    /// A copy in the segment that the thread has [entered](Segment::enter).
    ///
    /// # Panics
    /// Where there is no memory, or no segment.
    #[track_caller]
    fn from(text: &str) -> Self {
        let mut made = Self::new();
        made.push_str(text);
        made
    }
}

impl FromIterator<char> for String {
    /// In the segment that the thread has [entered](Segment::enter).
    fn from_iter<I: IntoIterator<Item = char>>(text: I) -> Self {
        let mut made = Self::new();
        made.extend(text);
        made
    }
}

impl Borrow<str> for String {
    fn borrow(&self) -> &str {
        self
    }
}

impl AsRef<str> for String {
    fn as_ref(&self) -> &str {
        self
    }
}

impl PartialEq for String {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for String {}

impl PartialEq<str> for String {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for String {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<std::string::String> for String {
    fn eq(&self, other: &std::string::String) -> bool {
        self.as_str() == other.as_str()
    }
}

impl PartialOrd for String {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for String {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl hash::Hash for String {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

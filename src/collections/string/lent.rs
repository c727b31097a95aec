//! Changing a text that a lock guards.

use super::String;
use crate::collections::{Vec, VecMut, or_panic};
use crate::heap::error::AllocError;
use crate::lock::lent::{Lend, Mut};
use core::ptr::NonNull;

/// What changes a [`String`] that a guard or a place lends; std's names.
///
/// Each call is all or nothing, as those of [`VecMut`] are. Other changes: make the new text, and
/// [`set`](Mut::set) it.
pub trait StringMut: Lend<Value = String> {
    /// Appends a text.
    ///
    /// # Panics
    /// Where [`try_push_str`](Self::try_push_str) is an error.
    #[track_caller]
    fn push_str(&mut self, text: &str) {
        or_panic(self.try_push_str(text));
    }

    /// Appends a text.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_push_str(&mut self, text: &str) -> Result<(), AllocError> {
        bytes(&mut self.lend()).try_extend_from_slice(text.as_bytes())
    }

    /// Appends a character.
    ///
    /// # Panics
    /// Where [`try_push_str`](Self::try_push_str) is an error.
    #[track_caller]
    fn push(&mut self, character: char) {
        self.push_str(character.encode_utf8(&mut [0; 4]));
    }

    /// Takes out the last character.
    fn pop(&mut self) -> Option<char> {
        let mut place = self.lend();
        let last = place.chars().next_back()?;
        let len = place.len() - last.len_utf8();
        bytes(&mut place).truncate(len);
        Some(last)
    }

    /// Only the first `len` bytes are kept.
    ///
    /// # Panics
    /// If that is within a character.
    #[track_caller]
    fn truncate(&mut self, len: usize) {
        let mut place = self.lend();
        if len < place.len() {
            assert!(place.is_char_boundary(len), "byte {len} is within a character");
            bytes(&mut place).truncate(len);
        }
    }

    /// Nothing is kept.
    fn clear(&mut self) {
        self.truncate(0);
    }
}

impl<G: Lend<Value = String>> StringMut for G {}

/// The bytes of a text, which the caller keeps one.
fn bytes<'a>(place: &'a mut Mut<'_, String>) -> Mut<'a, Vec<u8>> {
    let at = NonNull::new(place.as_ptr().cast::<Vec<u8>>()).expect("of a place");
    // SAFETY: a transparent wrapper of them.
    unsafe { place.part_at(at) }
}

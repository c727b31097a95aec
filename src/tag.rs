//! How a value finds the segment that its blocks lie in: a tag in each of its words, and this process'
//! table of tags.
//!
//! A collection holds no pointer and no reference to its segment, as it is moved bytewise, stands in
//! several processes at once, and must have std's signatures. It holds **words**: `tag:20 | offset:44`.
//! The segment's tag was drawn when it was created; a process that uses collections of a segment enters
//! the segment's address under its tag, once.
//!
//! **An entry never changes.** An attachment that is in the table is [kept](Attached::tag): the process
//! stays attached until it ends, so a word can be followed whatever became of the [`Segment`]. Who opens
//! the segment again gets the kept attachment.
//!
//! **Two segments of one tag** cannot both be in the table: the second one's collections are refused
//! ([`AllocError::TagTaken`]), all else of it works.

use crate::attached::Attached;
use crate::heap::error::AllocError;
use crate::segment::Segment;
use crate::word::{TAG_BITS, Tag, Word};
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

impl Tag {
    /// A tag from random bits, one that no segment has in this process.
    pub fn draw(mut random: u64) -> Tag {
        loop {
            let tag = Tag::of_header(random % ((1 << TAG_BITS) - 1) + 1).expect("so many bits");
            if tag.holder().is_none() {
                return tag;
            }
            random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
    }

    /// The attachment that is in the table under this tag.
    #[inline]
    pub fn holder(self) -> Option<&'static Attached> {
        // Acquire pairs with the Release of `enter`. SAFETY: what is in the table is kept.
        unsafe { HOLDERS[self.number() as usize].load(Ordering::Acquire).as_ref() }
    }

    /// Takes out what is entered under this tag.
    ///
    /// # Safety
    /// Nobody follows a word of this tag from here on.
    pub unsafe fn leave(self) {
        let number = self.number() as usize;
        BASES[number].store(0, Ordering::Release);
        HOLDERS[number].store(ptr::null_mut(), Ordering::Release);
    }

    /// Enters `attached` under this tag; false: another segment's attachment is there.
    ///
    /// # Safety
    /// The attachment is never dropped.
    pub unsafe fn enter(self, attached: &Attached) -> bool {
        let number = self.number() as usize;
        let me = ptr::from_ref(attached).cast_mut();
        let found = HOLDERS[number].compare_exchange(
            ptr::null_mut(),
            me,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if found.is_err_and(|other| other != me) {
            return false;
        }
        // Exposed, as words are turned into pointers by this number. Release: who got a word got it
        // from somebody who came through here.
        let base = attached.arena.at(0).expose_provenance();
        let bits = Word::of_tag(self).bits() as usize;
        BASES[number].store(base.wrapping_sub(bits), Ordering::Release);
        true
    }
}

/// By tag: what a word of it is added to, bits of the tag and all, to be its block's address. Pages of the tables
/// that no tag of this process is on are never touched.
static BASES: [AtomicUsize; 1 << TAG_BITS] = [const { AtomicUsize::new(0) }; 1 << TAG_BITS];
/// By tag.
static HOLDERS: [AtomicPtr<Attached>; 1 << TAG_BITS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; 1 << TAG_BITS];

impl Word {
    /// The address of the block. Of meaning only if there is one, and the process has its segment in
    /// the table: then its bytes are valid as long as the block is.
    #[inline(always)]
    pub fn address<T>(self) -> *mut T {
        // Relaxed: whoever has a word got it from somebody who had seen the entry.
        let base = BASES[self.tag().number() as usize].load(Ordering::Relaxed);
        ptr::with_exposed_provenance_mut(base.wrapping_add(self.bits() as usize))
    }
}

thread_local! {
    static CURRENT: Cell<Tag> = const { Cell::new(Tag::NONE) };
}

/// The segment that the calling thread has [entered](Segment::enter).
pub fn current() -> Tag {
    CURRENT.try_with(Cell::get).unwrap_or(Tag::NONE)
}

/// While it lives, collections that were made without naming a segment grow in this one, on its thread.
/// See [`Segment::enter`].
#[must_use = "the segment is left when this is dropped"]
pub struct Inside<'s> {
    before: Tag,
    segment: PhantomData<&'s Segment>,
    /// Of this thread alone.
    thread: PhantomData<*const ()>,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let _ = CURRENT.try_with(|current| current.set(self.before));
    }
}

impl fmt::Debug for Inside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inside")
    }
}

impl Segment {
    /// Has the calling thread be in this segment until the result is dropped: collections that name
    /// none, as `Vec::new()` and `collect()` make them, take their memory here.
    ///
    /// # Errors
    /// [`AllocError::TagTaken`]; [`AllocError::Corrupt`] as for [`find`](Segment::find).
    pub fn enter(&self) -> Result<Inside<'_>, AllocError> {
        let tag = self.tag()?;
        Ok(Inside { before: CURRENT.replace(tag), segment: PhantomData, thread: PhantomData })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[test]
    fn a_tag_that_is_taken_is_not_drawn_and_not_given_to_another_segment() {
        let make = || Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let (one, other) = (make(), make());
        let tag = one.attached().tag().unwrap();
        assert_ne!(Tag::draw(u64::from(tag.number() - 1)), tag);
        assert!(ptr::eq(tag.holder().unwrap(), one.attached()));
        // SAFETY: refused, so it is not in the table.
        assert!(!unsafe { tag.enter(other.attached()) });
        let base = one.attached().arena.at(0);
        assert_eq!(Word::new(tag, 4096).address::<u8>(), base.wrapping_add(4096));
    }

    #[test]
    fn a_thread_leaves_in_the_order_in_which_it_entered() {
        let make = || Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let (one, other) = (make(), make());
        let tags = [one.attached().tag().unwrap(), other.attached().tag().unwrap()];
        assert_eq!(current(), Tag::NONE);
        let first = one.enter().unwrap();
        let second = other.enter().unwrap();
        assert_eq!(current(), tags[1]);
        drop(second);
        assert_eq!(current(), tags[0]);
        assert_eq!(std::thread::spawn(current).join().unwrap(), Tag::NONE);
        drop(first);
        assert_eq!(current(), Tag::NONE);
    }
}

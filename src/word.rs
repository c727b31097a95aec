//! The words by which values name their blocks: what stands in a segment. How a word is followed:
//! `tag`.

use core::fmt;

/// Bits of a tag.
pub const TAG_BITS: u32 = 20;
/// Bits of an offset.
const OFFSET_BITS: u32 = u64::BITS - TAG_BITS;
const _: () = assert!(crate::layout::MAX_CAPACITY <= 1 << OFFSET_BITS);

/// Number of a segment among those that a process has open; 0: of none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag(u32);

impl Tag {
    /// Of no segment.
    pub const NONE: Tag = Tag(0);

    /// The tag that a header says; `None`: it can be none.
    pub fn of_header(word: u64) -> Option<Tag> {
        (word != 0 && word < 1 << TAG_BITS).then_some(Tag(word as u32))
    }

    pub const fn number(self) -> u32 {
        self.0
    }
}

/// Where a block is: its segment's tag and its offset; offset 0: no block, though perhaps a segment in
/// which there will be one.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Word(u64);

impl Word {
    #[inline]
    pub fn new(tag: Tag, offset: u64) -> Word {
        debug_assert!(offset < 1 << OFFSET_BITS);
        Word((tag.number() as u64) << OFFSET_BITS | offset)
    }

    /// No block yet, of the segment with this tag.
    pub const fn of_tag(tag: Tag) -> Word {
        Word((tag.0 as u64) << OFFSET_BITS)
    }

    pub const fn from_bits(bits: u64) -> Word {
        Word(bits)
    }

    pub const fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub const fn tag(self) -> Tag {
        Tag((self.0 >> OFFSET_BITS) as u32)
    }

    #[inline]
    pub const fn offset(self) -> u64 {
        self.0 & ((1 << OFFSET_BITS) - 1)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} of segment {}", self.offset(), self.tag().number())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_as_they_went() {
        for (tag, offset) in [(1, 16), ((1 << TAG_BITS) - 1, (1 << OFFSET_BITS) - 16), (7, 0)] {
            let word = Word::new(Tag(tag), offset);
            assert_eq!((word.tag(), word.offset()), (Tag(tag), offset));
        }
        let none = Word::of_tag(Tag(3));
        assert_eq!((none.tag(), none.offset()), (Tag(3), 0));
        assert_eq!(Tag::of_header(0), None);
        assert_eq!(Tag::of_header(1 << TAG_BITS), None);
        assert_eq!(Tag::of_header((1 << TAG_BITS) - 1), Some(Tag((1 << TAG_BITS) - 1)));
    }
}

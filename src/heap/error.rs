//! What can go wrong with memory.

use core::alloc::Layout;
use core::fmt;

/// Why an allocation failed. Nothing was allocated and nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllocError {
    /// The layout asks for no bytes.
    ZeroSize,
    /// The layout asks for a larger alignment than 64 KiB.
    Alignment {
        /// Bytes asked for.
        asked: usize,
    },
    /// The layout is larger than the segment.
    TooLarge {
        /// Bytes asked for.
        asked: usize,
        /// Bytes of all the segment's room.
        capacity: u64,
    },
    /// The segment's capacity is in use, or no free part of it is long enough.
    OutOfCapacity {
        /// Bytes asked for.
        asked: usize,
        /// Bytes of all the segment's room.
        capacity: u64,
    },
    /// The file system that holds the segment is full.
    FileSystemFull {
        /// Bytes asked for.
        asked: usize,
    },
    /// Every lane of the segment is in use by a thread.
    TooManyThreads {
        /// How many lanes there are.
        limit: usize,
    },
    /// This process forked from one that had attached, and could not attach itself.
    NotAttached,
    /// A collection that names no segment was to grow, and the thread has entered none.
    NoSegment,
    /// The segment of the collection was [closed](crate::Segment::close) in this process.
    Closed,
    /// The process has another segment of the same tag open, or this one a second time, and uses its
    /// collections.
    TagTaken,
    /// The value that was to go into a published one has a block of another segment.
    Foreign,
    /// The thread holds as many references as it can.
    TooManyRefs,
    /// The value is shared by as many handles as can be counted.
    TooManyShares,
    /// The segment contradicts itself.
    Corrupt,
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AllocError::ZeroSize => f.write_str("a block of no bytes was asked for; ask for at least one"),
            AllocError::Alignment { asked } => {
                write!(f, "alignment of {asked} bytes was asked for; the largest is {}", super::unit::UNIT)
            }
            AllocError::TooLarge { asked, capacity } => {
                write!(f, "{asked} bytes were asked for, but the segment has room for {capacity} in all; create it with a larger capacity")
            }
            AllocError::OutOfCapacity { asked, capacity } => {
                write!(f, "no room for {asked} bytes: the segment's {capacity} bytes are in use or too scattered; free something, or create it with a larger capacity")
            }
            AllocError::FileSystemFull { asked } => {
                write!(f, "no room for {asked} bytes: the file system that holds the segment is full; free space there (for named segments: /dev/shm)")
            }
            AllocError::TooManyThreads { limit } => {
                write!(f, "all {limit} lanes are in use by threads of attached processes; end some, or share threads")
            }
            AllocError::NotAttached => {
                f.write_str("this forked process could not attach to the segment; open it again by name to learn why")
            }
            AllocError::NoSegment => {
                f.write_str("the collection belongs to no segment yet; make it with `new_in`, or enter a segment")
            }
            AllocError::Closed => {
                f.write_str("the segment of the collection was closed in this process; open it again")
            }
            AllocError::TagTaken => {
                f.write_str("collections of this segment cannot be used: the process uses those of another one with the same tag, or has this one open twice; use the handle that it had first, or create the segment anew")
            }
            AllocError::Foreign => {
                f.write_str("the value has a block of another segment; make a copy of it in this one")
            }
            AllocError::TooManyRefs => {
                f.write_str("this thread holds as many references into the segment as it can; drop some")
            }
            AllocError::TooManyShares => {
                f.write_str("as many handles share the value as can be counted; drop some, or share a copy of it")
            }
            AllocError::Corrupt => {
                f.write_str("the segment contradicts itself; check it with `sharena check`")
            }
        }
    }
}

impl core::error::Error for AllocError {}

/// Why a block was not freed. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FreeError {
    /// The offset lies in no block of this segment.
    Foreign {
        /// The offset given.
        offset: u64,
    },
    /// The offset lies inside a block, but not at its start.
    Misaligned {
        /// The offset given.
        offset: u64,
        /// Where the block starts.
        start: u64,
    },
    /// The block is free already.
    DoubleFree {
        /// The offset given.
        offset: u64,
    },
    /// A typed object stands there: it is destroyed, not deallocated.
    IsObject {
        /// The offset given.
        offset: u64,
    },
    /// The block is private to a process: a value that it has not published, or a block it may take.
    /// A block that was freed and is kept at hand by a thread says the same.
    IsPrivate {
        /// The offset given.
        offset: u64,
    },
    /// The calling thread could have no lane to free with.
    NoLane(AllocError),
}

impl fmt::Display for FreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FreeError::Foreign { offset } => {
                write!(
                    f,
                    "offset {offset:#x} is no block of this segment; was it allocated in another?"
                )
            }
            FreeError::Misaligned { offset, start } => {
                write!(
                    f,
                    "offset {offset:#x} lies inside the block at {start:#x}; free it by its start"
                )
            }
            FreeError::DoubleFree { offset } => {
                write!(f, "the block at {offset:#x} is free already")
            }
            FreeError::IsObject { offset } => {
                write!(f, "a typed object stands at {offset:#x}; use destroy or destroy_at")
            }
            FreeError::IsPrivate { offset } => {
                write!(
                    f,
                    "the block at {offset:#x} is private to a process: freed already, or not yet published"
                )
            }
            FreeError::NoLane(error) => write!(f, "no lane to free with: {error}"),
        }
    }
}

impl core::error::Error for FreeError {}

/// A failed construction of blocks, with what was asked for.
pub(crate) fn exhausted(reason: super::Exhausted, asked: usize, capacity: u64) -> AllocError {
    match reason {
        super::Exhausted::Capacity => AllocError::OutOfCapacity { asked, capacity },
        super::Exhausted::FileSystem => AllocError::FileSystemFull { asked },
    }
}

/// Refuses what no segment gives.
pub(crate) fn check_layout(layout: Layout, capacity: u64) -> Result<(), AllocError> {
    if layout.size() == 0 {
        return Err(AllocError::ZeroSize);
    }
    if layout.align() > super::unit::UNIT {
        return Err(AllocError::Alignment { asked: layout.align() });
    }
    if layout.size() as u64 > capacity {
        return Err(AllocError::TooLarge { asked: layout.size(), capacity });
    }
    Ok(())
}

#[cfg(all(test, not(loom), not(sharena_shuttle)))]
mod tests {
    use super::{AllocError, check_layout};
    use std::alloc::Layout;

    #[test]
    fn only_what_is_larger_than_the_segment_is_too_large() {
        let of = |size| check_layout(Layout::from_size_align(size, 8).unwrap(), 4096);
        assert_eq!((of(4096), of(1)), (Ok(()), Ok(())));
        assert_eq!(of(4097), Err(AllocError::TooLarge { asked: 4097, capacity: 4096 }));
    }

    #[test]
    fn what_collections_are_refused_says_what_to_do() {
        let errors = [
            (AllocError::NoSegment, "make it with `new_in`"),
            (AllocError::Closed, "open it again"),
            (AllocError::TagTaken, "use the handle that it had first"),
            (AllocError::Foreign, "make a copy of it in this one"),
            (AllocError::TooManyRefs, "drop some"),
            (AllocError::TooManyShares, "share a copy"),
            (AllocError::Corrupt, "check it with `sharena check`"),
        ];
        for (error, advice) in errors {
            assert!(error.to_string().contains(advice), "{error:?}: {error}");
        }
    }
}

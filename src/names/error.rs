//! What can go wrong with objects.

use super::Refused;
use crate::heap::error::{AllocError, exhausted};
use core::fmt;

/// Why an operation on an object failed. Nothing was constructed and nothing destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectError {
    /// An object's name has 1 to 4096 bytes.
    InvalidName {
        /// Bytes of the name given.
        bytes: usize,
    },
    /// An object with this name exists.
    AlreadyExists {
        /// The name; for a unique instance the type's.
        name: String,
    },
    /// The object is of another type.
    WrongType {
        /// Its name, or where it stands.
        name: String,
        /// The type that it has.
        found: String,
        /// The type that was asked for.
        expected: String,
    },
    /// A single value was asked for, but the object is a slice of another length.
    WrongCount {
        /// Its name, or where it stands.
        name: String,
        /// How many values it has.
        found: u64,
    },
    /// The bytes of the object are no value of its type: the segment is corrupt.
    InvalidValue {
        /// Its name, or where it stands.
        name: String,
        /// The type.
        expected: String,
    },
    /// No object of this process' reach stands at the offset: it was destroyed, not yet published,
    /// or never there.
    NoObject {
        /// The offset given.
        offset: u64,
    },
    /// The object has a name, and is destroyed by it.
    HasName {
        /// The offset given.
        offset: u64,
    },
    /// The thread holds as many references as it can.
    TooManyRefs {
        /// How many that is.
        limit: usize,
    },
    /// The slice is larger than any segment.
    TooLarge {
        /// Values asked for.
        count: usize,
    },
    /// The value has a block of another segment.
    Foreign {
        /// The name that it was to have.
        name: String,
    },
    /// No memory.
    Alloc(AllocError),
    /// The segment contradicts itself.
    Corrupt {
        /// What does not fit.
        what: &'static str,
    },
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectError::InvalidName { bytes } => {
                write!(
                    f,
                    "the name of an object has 1 to {} bytes, not {bytes}",
                    super::entry::MAX_NAME
                )
            }
            ObjectError::AlreadyExists { name } => {
                write!(
                    f,
                    "an object named {name:?} exists; find it, destroy it first, or use find_or_construct"
                )
            }
            ObjectError::WrongType { name, found, expected } => {
                write!(
                    f,
                    "{name:?} is of type {found}, not {expected}; both programs must declare the same type"
                )
            }
            ObjectError::WrongCount { name, found } => {
                write!(f, "{name:?} is a slice of {found} values, not a single one; use find_slice")
            }
            ObjectError::InvalidValue { name, expected } => {
                write!(
                    f,
                    "the bytes of {name:?} are no {expected}; the segment is damaged, check it with `sharena check`"
                )
            }
            ObjectError::NoObject { offset } => {
                write!(f, "no published object stands at {offset:#x}; it may have been destroyed")
            }
            ObjectError::HasName { offset } => {
                write!(f, "the object at {offset:#x} has a name; destroy it by its name")
            }
            ObjectError::TooManyRefs { limit } => {
                write!(f, "this thread holds {limit} references into the segment; drop some")
            }
            ObjectError::TooLarge { count } => {
                write!(f, "{count} values are more than any segment holds")
            }
            ObjectError::Foreign { name } => {
                write!(
                    f,
                    "the value for {name:?} has a block of another segment; make all of it in this one"
                )
            }
            ObjectError::Alloc(error) => error.fmt(f),
            ObjectError::Corrupt { what } => {
                write!(f, "the segment is damaged: {what}; see what is left with `sharena check`")
            }
        }
    }
}

impl core::error::Error for ObjectError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            ObjectError::Alloc(error) => Some(error),
            _ => None,
        }
    }
}

impl From<AllocError> for ObjectError {
    fn from(error: AllocError) -> Self {
        ObjectError::Alloc(error)
    }
}

impl ObjectError {
    /// What it says of memory, for values that have blocks.
    pub(crate) fn of_memory(self) -> AllocError {
        match self {
            ObjectError::Alloc(error) => error,
            ObjectError::Foreign { .. } => AllocError::Foreign,
            ObjectError::TooManyRefs { .. } => AllocError::TooManyRefs,
            _ => AllocError::Corrupt,
        }
    }

    /// What `refused` means for the object called `name` in a segment with so much room.
    pub(crate) fn of(
        refused: Refused,
        name: impl FnOnce() -> String,
        capacity: u64,
    ) -> ObjectError {
        match refused {
            Refused::Taken => ObjectError::AlreadyExists { name: name() },
            Refused::Exhausted(reason, asked) => {
                ObjectError::Alloc(exhausted(reason, asked, capacity))
            }
            Refused::TooManyPins => {
                ObjectError::TooManyRefs { limit: crate::process::lane::HAZARDS }
            }
            Refused::Corrupt(what) => ObjectError::Corrupt { what },
        }
    }
}

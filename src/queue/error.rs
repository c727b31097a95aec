//! Why nothing was pushed, or received.

use crate::names::error::ObjectError;
use crate::queue::raw::Nothing;
use core::error::Error;
use core::fmt;

/// Not pushed: the queue is closed. It has the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PushError<T>(pub T);

/// Not pushed. It has the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TryPushError<T> {
    /// There is no room; for the timed forms: and was none until the time was over.
    Full(T),
    /// The queue is closed.
    Closed(T),
}

impl<T> TryPushError<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        match self {
            TryPushError::Full(value) | TryPushError::Closed(value) => value,
        }
    }
}

/// Nothing was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// The queue is closed, nothing is in it, and no other process has something that may come back.
    Closed,
    /// What stood there is no value of the type: the segment's file was damaged. It is taken out of the queue.
    InvalidValue,
}

/// Nothing was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TryRecvError {
    /// There is nothing, or what is next is being pushed; for the timed forms: until the time was over.
    Empty,
    /// As [`RecvError::Closed`].
    Closed,
    /// As [`RecvError::InvalidValue`].
    InvalidValue,
}

impl From<RecvError> for TryRecvError {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Closed => TryRecvError::Closed,
            RecvError::InvalidValue => TryRecvError::InvalidValue,
        }
    }
}

/// Not pushed to an [`ObjectQueue`](super::ObjectQueue). It has the object.
#[non_exhaustive]
pub enum ObjectPushError<O> {
    /// There is no room; for the timed forms: and was none until the time was over.
    Full(O),
    /// The queue is closed.
    Closed(O),
    /// The queue does not lie in the value of a named object of the segment in which this process has the object.
    NotNamed(O),
    /// What prevents it from being published.
    Object(O, ObjectError),
}

impl<O> ObjectPushError<O> {
    /// The object.
    pub fn into_inner(self) -> O {
        match self {
            ObjectPushError::Full(object)
            | ObjectPushError::Closed(object)
            | ObjectPushError::NotNamed(object)
            | ObjectPushError::Object(object, _) => object,
        }
    }

    /// The same without the object, which is dropped: an error that lives as long as one likes, for `?`.
    pub fn without(self) -> ObjectPushError<()> {
        match self {
            ObjectPushError::Full(_) => ObjectPushError::Full(()),
            ObjectPushError::Closed(_) => ObjectPushError::Closed(()),
            ObjectPushError::NotNamed(_) => ObjectPushError::NotNamed(()),
            ObjectPushError::Object(_, error) => ObjectPushError::Object((), error),
        }
    }
}

/// Nothing was received from an [`ObjectQueue`](super::ObjectQueue).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ObjectRecvError {
    /// There is nothing, or what is next is being pushed; for the timed forms: until the time was over.
    Empty,
    /// As [`RecvError::Closed`].
    Closed,
    /// No reference to what is next can be had. Without memory for one it stays in the queue; what is no object of
    /// the type, in a damaged segment, is taken out of it.
    Object(ObjectError),
}

impl From<Nothing> for ObjectRecvError {
    fn from(nothing: Nothing) -> Self {
        match nothing {
            Nothing::Empty => ObjectRecvError::Empty,
            Nothing::Closed => ObjectRecvError::Closed,
        }
    }
}

/// An end of an [`SpscRing`](super::SpscRing) was not taken: one who lives has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ClaimError {
    /// A thread of this process has it, or leaked it.
    ThisProcess,
    /// Another process has it.
    OtherProcess,
}

/// Not pushed by a [`Producer`](super::Producer). It has the value.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpscPushError<T> {
    /// There is no room; for the timed forms: and was none until the time was over.
    Full(T),
    /// The ring is closed.
    Closed(T),
    /// There is no room, and who received is dead, or has dropped the consumer's end. It is told once: the next push
    /// that waits does so for another who takes that end.
    ConsumerGone(T),
    /// This process is a child made by fork of the one that has the producer's end.
    NotOwner(T),
}

impl<T> SpscPushError<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        match self {
            SpscPushError::Full(value)
            | SpscPushError::Closed(value)
            | SpscPushError::ConsumerGone(value)
            | SpscPushError::NotOwner(value) => value,
        }
    }
}

/// Nothing was received by a [`Consumer`](super::Consumer).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SpscRecvError {
    /// There is nothing; for the timed forms: until the time was over.
    Empty,
    /// The ring is closed, and nothing is in it.
    Closed,
    /// There is nothing, and who pushed is dead, or has dropped the producer's end without closing the ring. It is
    /// told once: the next call that waits does so for another who takes that end.
    ProducerGone,
    /// What stood there is no value of the type: the segment's file was damaged. It is taken out of the ring.
    InvalidValue,
    /// The counters of the ring were none that can be: the segment's file was damaged. It is empty now.
    Damaged,
    /// This process is a child made by fork of the one that has the consumer's end.
    NotOwner,
}

const CLOSED: &str = "the queue is closed";

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CLOSED)
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushError").finish_non_exhaustive()
    }
}

impl<T> Error for PushError<T> {}

impl<T> fmt::Display for TryPushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryPushError::Full(_) => "the queue is full",
            TryPushError::Closed(_) => CLOSED,
        })
    }
}

impl<T> fmt::Debug for TryPushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryPushError::Full(_) => "Full(..)",
            TryPushError::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> Error for TryPushError<T> {}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TryRecvError::from(*self).fmt(f)
    }
}

impl Error for RecvError {}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "nothing is there to be received",
            TryRecvError::Closed => "the queue is closed, and nothing is in it",
            TryRecvError::InvalidValue => "what stood in the queue is no value of its type",
        })
    }
}

impl Error for TryRecvError {}

impl<O> fmt::Display for ObjectPushError<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectPushError::Full(_) => f.write_str("the queue is full"),
            ObjectPushError::Closed(_) => f.write_str(CLOSED),
            ObjectPushError::NotNamed(_) => f.write_str(
                "a queue of objects must be in the value of a named object of their segment: `construct` it there",
            ),
            ObjectPushError::Object(_, error) => error.fmt(f),
        }
    }
}

impl<O> fmt::Debug for ObjectPushError<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectPushError::Full(_) => f.write_str("Full(..)"),
            ObjectPushError::Closed(_) => f.write_str("Closed(..)"),
            ObjectPushError::NotNamed(_) => f.write_str("NotNamed(..)"),
            ObjectPushError::Object(_, error) => write!(f, "Object(.., {error:?})"),
        }
    }
}

impl<O> Error for ObjectPushError<O> {}

impl fmt::Display for ObjectRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectRecvError::Empty => TryRecvError::Empty.fmt(f),
            ObjectRecvError::Closed => TryRecvError::Closed.fmt(f),
            ObjectRecvError::Object(error) => error.fmt(f),
        }
    }
}

impl Error for ObjectRecvError {}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ClaimError::ThisProcess => "this process has that end of the ring already",
            ClaimError::OtherProcess => "another process has that end of the ring",
        })
    }
}

impl Error for ClaimError {}

impl<T> fmt::Display for SpscPushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpscPushError::Full(_) => "the ring is full",
            SpscPushError::Closed(_) => "the ring is closed",
            SpscPushError::ConsumerGone(_) => "the ring is full, and who received has gone",
            SpscPushError::NotOwner(_) => "the producer's end is that of the parent process",
        })
    }
}

impl<T> fmt::Debug for SpscPushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpscPushError::Full(_) => "Full(..)",
            SpscPushError::Closed(_) => "Closed(..)",
            SpscPushError::ConsumerGone(_) => "ConsumerGone(..)",
            SpscPushError::NotOwner(_) => "NotOwner(..)",
        })
    }
}

impl<T> Error for SpscPushError<T> {}

impl fmt::Display for SpscRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpscRecvError::Empty => "nothing is there to be received",
            SpscRecvError::Closed => "the ring is closed, and nothing is in it",
            SpscRecvError::ProducerGone => "nothing is in the ring, and who pushed has gone",
            SpscRecvError::InvalidValue => "what stood in the ring is no value of its type",
            SpscRecvError::Damaged => "the counters of the ring were damaged",
            SpscRecvError::NotOwner => "the consumer's end is that of the parent process",
        })
    }
}

impl Error for SpscRecvError {}

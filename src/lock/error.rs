//! What a lock says beside giving the guard, in std's vocabulary.

use core::error::Error;
use core::fmt;

/// What [`Mutex::lock`](super::Mutex::lock) gives: the guard, also if something is to be said about it.
pub type LockResult<G> = Result<G, PoisonError<G>>;

/// What [`Mutex::try_lock`](super::Mutex::try_lock) and its kin give.
pub type TryLockResult<G> = Result<G, TryLockError<G>>;

/// Why a lock is poisoned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// A thread panicked while it held the lock.
    Panicked,
    /// A process died while it held the lock: the value may be in the middle of a change.
    OwnerDied,
    /// What stands there is no value of the type: whoever held the lock died in the middle of a store, or
    /// the segment's file was damaged.
    InvalidValue,
}

/// The lock was taken, and a holder before did not end as it should have.
pub struct PoisonError<G> {
    guard: G,
    cause: Cause,
}

impl<G> PoisonError<G> {
    pub(super) fn new(guard: G, cause: Cause) -> PoisonError<G> {
        PoisonError { guard, cause }
    }

    /// What happened. A death outdoes a panic.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The guard.
    ///
    /// # Panics
    /// If the cause is [`Cause::InvalidValue`]: there is nothing that it could lead to. It cannot be for
    /// types of which all bytes are values: numbers, and arrays and structs of such.
    pub fn into_inner(self) -> G {
        self.look();
        self.guard
    }

    /// A reference to the guard.
    ///
    /// # Panics
    /// As [`into_inner`](Self::into_inner).
    pub fn get_ref(&self) -> &G {
        self.look();
        &self.guard
    }

    /// A mutable reference to the guard.
    ///
    /// # Panics
    /// As [`into_inner`](Self::into_inner).
    pub fn get_mut(&mut self) -> &mut G {
        self.look();
        &mut self.guard
    }

    fn look(&self) {
        assert!(self.cause != Cause::InvalidValue, "{self}: repair it");
    }

    /// The guard, whatever there is behind it.
    pub(super) fn into_guard(self) -> G {
        self.guard
    }

    pub(super) fn map<H>(self, change: impl FnOnce(G) -> H) -> PoisonError<H> {
        PoisonError { guard: change(self.guard), cause: self.cause }
    }
}

impl<G> fmt::Display for PoisonError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.cause {
            Cause::Panicked => "a thread panicked while it held the lock",
            Cause::OwnerDied => "a process died while it held the lock",
            Cause::InvalidValue => "what the lock guards is no value of its type",
        })
    }
}

impl<G> fmt::Debug for PoisonError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoisonError").field("cause", &self.cause).finish_non_exhaustive()
    }
}

impl<G> Error for PoisonError<G> {}

/// The time was over before it could be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

impl Error for TimedOut {}

/// A process of the segment has died, and what was waited for is not so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SomeoneDied;

impl fmt::Display for SomeoneDied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a process died, and what was waited for is not so")
    }
}

impl Error for SomeoneDied {}

/// Why [`Mutex::try_lock`](super::Mutex::try_lock) gave no clean guard.
pub enum TryLockError<G> {
    /// The lock was taken, and something is to be said.
    Poisoned(PoisonError<G>),
    /// Somebody has it; for the timed forms: and had it until the time was over.
    WouldBlock,
}

impl<G> From<PoisonError<G>> for TryLockError<G> {
    fn from(error: PoisonError<G>) -> Self {
        TryLockError::Poisoned(error)
    }
}

/// What a form says that waits as long as it takes.
#[inline(always)]
pub(super) fn for_ever<G>(taken: TryLockResult<G>) -> LockResult<G> {
    match taken {
        Ok(guard) => Ok(guard),
        Err(TryLockError::Poisoned(error)) => Err(error),
        Err(TryLockError::WouldBlock) => unreachable!("it waits for ever"),
    }
}

impl<G> fmt::Display for TryLockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryLockError::Poisoned(error) => error.fmt(f),
            TryLockError::WouldBlock => f.write_str("somebody has the lock"),
        }
    }
}

impl<G> fmt::Debug for TryLockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryLockError::Poisoned(error) => f.debug_tuple("Poisoned").field(error).finish(),
            TryLockError::WouldBlock => f.write_str("WouldBlock"),
        }
    }
}

impl<G> Error for TryLockError<G> {}

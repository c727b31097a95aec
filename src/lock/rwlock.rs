//! [`RwLock`]: many readers or one writer, among processes, with the value inside.

use crate::lock::error::{Cause, LockResult, PoisonError, TryLockError, TryLockResult, for_ever};
use crate::lock::lent::{self, Mut, sealed::Lend};
use crate::lock::place::Place;
use crate::lock::raw::{Held, Taken};
use crate::lock::raw_rwlock::{Hold, Mended, RawRwLock};
use crate::lock::word::Who;
use crate::shareable::{LayoutHash, Shareable};
use crate::sync::futex::Moment;
use crate::trace::map::{Part, Tracer};
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit, offset_of};
use core::ops::{Deref, DerefMut};
use std::thread;
use std::time::{Duration, Instant};

/// Many readers, or one writer, among all threads of all processes that have the segment, with the value
/// inside.
///
/// Like [`std::sync::RwLock`], but in shared memory; what differs is said in [`lock`](crate::lock). It can be a
/// field of any type that is [`Shareable`]: 16 bytes and the value, and all zero is one that is free.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sharena::{Options, lock::RwLock};
///
/// let segment = Options::new().capacity(1 << 20).create_anonymous()?;
/// let limits = segment.construct("limits", RwLock::new([10u32, 20]))?;
/// {
///     let (one, other) = (limits.read().unwrap(), limits.read().unwrap());
///     assert_eq!(one[0] + other[1], 30);
///     assert!(limits.try_write().is_err());
/// }
/// limits.write().unwrap()[0] = 11;
/// # Ok(())
/// # }
/// ```
///
/// # Readers
/// Who reads says so in its own thread's record in the segment, and not in the lock: readers do not
/// disturb each other, and **one that dies leaves nothing behind**: the next writer sees that it is dead,
/// and is told nothing, as nothing was changed. A writer who dies while it writes poisons the lock, as in
/// a [`Mutex`](super::Mutex); one who only waited does not.
///
/// - A thread that reads may read again, also while a writer waits (not in a lock that lies in no
///   segment: there, as with std's, it may wait for ever).
/// - A thread may read eight locks at once. One more is read like it was written, by one process at a
///   time, and not twice by the same thread.
/// - Who wants to write goes before those who want to read after it; who has waited for a millisecond to
///   read, before those who want to write after it.
/// - A guard that is forgotten keeps its place of the eight, and whoever writes waits for it, as long as
///   its process lives; so does who writes to another `RwLock` that is made later where this one lay.
/// - Who only tries may be refused because of another who only tries, though neither then has it.
///
/// # What a guard vouches for
/// As in a [`Mutex`](super::Mutex): a reference to a value of the type. For types of which not all bytes
/// are values (`bool`, `char`, enums, `NonZero`) the lock looks each time that it is taken whether one
/// stands there, to read as well as to write, in time proportional to the size: that somebody has looked
/// before could be known only from the segment, which anybody may have damaged since.
///
/// # Progress
/// Blocking, by its purpose: a reader waits for who writes or is about to, a writer for who writes or
/// reads, and nobody for anybody else. While nobody waits, read and its end are an atomic step each, and
/// two looks; write looks at the records of all threads that have used the segment.
#[repr(C)]
pub struct RwLock<T: Shareable> {
    raw: RawRwLock,
    /// Not a `T` to the compiler: who died may have left something that is none.
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is reached by one guard that writes, or by some that read, and the lock orders the
// ones after the others. `Shareable` values are `Send` and `Sync`.
unsafe impl<T: Shareable> Sync for RwLock<T> {}

// SAFETY: two words of the crate's own, atomics, and a `T` which is shareable, in the layout that
// `repr(C)` says. What changes behind a shared reference are the words, by atomics, and what they guard.
// It lies in the processes' shared memory and names owners by their attachment to that, and lanes name it
// by its offset. No drop glue: `T` has none in a `MaybeUninit`; what has blocks is traced. Each value of the
// bytes is one of this type: of the words any is, and before the value is given out it is looked at.
unsafe impl<T: Shareable> Shareable for RwLock<T> {
    const NAME: u64 = LayoutHash::of_name("RwLock").parameter::<T>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>()
        .field("raw", offset_of!(Self, raw), <[u64; 2]>::FINGERPRINT)
        .field("value", offset_of!(Self, value), T::FINGERPRINT)
        .finish();
    // All bytes are one; but what it lends out is a `T`.
    const ANY_BITS: bool = T::ANY_BITS;
    const HAS_BLOCKS: bool = T::HAS_BLOCKS;
    const HAS_LOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("RwLock<")?;
        T::describe(out)?;
        out.write_str(">")
    }
    // SAFETY: of the caller nothing is asked, as nothing is looked at.
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
    fn trace(map: &mut Tracer) {
        if T::HAS_BLOCKS {
            let (node, at) = (map.node_of::<T>(), offset_of!(Self, value) as u32);
            map.part(Part::Lock { node, at });
        }
    }
}

impl<T: Shareable> RwLock<T> {
    /// A lock that nobody holds.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock { raw: RawRwLock::new(), value: UnsafeCell::new(MaybeUninit::new(value)) }
    }

    /// Takes the lock to read, waiting as long as it takes.
    ///
    /// Dead inside, or with the guard: as if it had not been called.
    ///
    /// # Errors
    /// [`PoisonError`], which has the guard, if who wrote before died or panicked and nobody said since
    /// that the value is mended.
    ///
    /// # Panics
    /// In a child made by fork that cannot attach to the segment, as all that take it. If a thread has a
    /// million guards of one lock.
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        for_ever(self.take_to_read(Some(None)))
    }

    /// Takes the lock to read if nobody writes or is about to, or who is, is dead.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody is; [`TryLockError::Poisoned`] as for [`read`](Self::read).
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        self.take_to_read(None)
    }

    /// Takes the lock to read if that can be had within `duration`, by the monotonic clock.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    pub fn try_read_for(&self, duration: Duration) -> TryLockResult<RwLockReadGuard<'_, T>> {
        self.take_to_read(Some(Moment::after(duration)))
    }

    /// Takes the lock to read if that can be had before `deadline`.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    pub fn try_read_until(&self, deadline: Instant) -> TryLockResult<RwLockReadGuard<'_, T>> {
        self.take_to_read(Some(Moment::of(deadline)))
    }

    /// Takes the lock to write, waiting as long as it takes.
    ///
    /// Dead inside: as if it had not been called, or the lock goes to the next who wants it, with the
    /// news if this one had been at the value. Killed in the few instructions between having the word and
    /// looking for readers, or between the last reader's end and the guard, it leaves the news as well.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Panics
    /// As [`read`](Self::read), but for the million.
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        for_ever(self.take_to_write(Some(None)))
    }

    /// Takes the lock to write if nobody has it, or who has it is dead.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody has it; [`TryLockError::Poisoned`] as for [`read`](Self::read).
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        self.take_to_write(None)
    }

    /// Takes the lock to write if that can be had within `duration`, by the monotonic clock.
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write).
    pub fn try_write_for(&self, duration: Duration) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        self.take_to_write(Some(Moment::after(duration)))
    }

    /// Takes the lock to write if that can be had before `deadline`.
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write).
    pub fn try_write_until(&self, deadline: Instant) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        self.take_to_write(Some(Moment::of(deadline)))
    }

    /// `until`: `Some(None)`: as long as it takes; `None`: it only tries.
    #[inline(always)]
    fn take_to_read(&self, until: Option<Option<Moment>>) -> TryLockResult<RwLockReadGuard<'_, T>> {
        let place = Place::of(self);
        let mended = if T::HAS_BLOCKS {
            let (word, value) = (self.raw.writer(), self.value.get().cast_const().cast::<T>());
            let is_known = || lent::is_known(&place, word);
            let end = until.unwrap_or(Some(Moment::PAST));
            let mend = |taken: Taken| lent::enter(&place, word, value, taken.died, end);
            self.raw.read_whole(&place, until, is_known, mend)
        } else {
            let read = match until {
                Some(until) => self.raw.read(&place, until),
                None => self.raw.try_read(&place),
            };
            read.map(|(hold, taken)| Mended { hold, taken, said: None })
        };
        let Ok(Mended { hold, taken, said }) = mended else {
            return Err(TryLockError::WouldBlock);
        };
        let me = place.me_fast();
        let guard = RwLockReadGuard { lock: self, place, me, hold, thread: PhantomData };
        match self.complaint(taken, said.unwrap_or(true)) {
            None => Ok(guard),
            Some(cause) => Err(TryLockError::Poisoned(PoisonError::new(guard, cause))),
        }
    }

    /// The same.
    #[inline(always)]
    fn take_to_write(
        &self,
        until: Option<Option<Moment>>,
    ) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        let place = Place::of(self);
        let taken = match until {
            Some(until) => self.raw.write(&place, until),
            None => self.raw.try_write(&place),
        };
        let Ok(taken) = taken else { return Err(TryLockError::WouldBlock) };
        let guard = RwLockWriteGuard {
            lock: self,
            place,
            me: place.me_fast(),
            was_panicking: thread::panicking(),
            thread: PhantomData,
        };
        let value = self.value.get().cast_const().cast::<T>();
        let is_ready = match T::HAS_BLOCKS {
            true => {
                let end = until.unwrap_or(Some(Moment::PAST));
                lent::enter(&place, self.raw.writer(), value, taken.died, end)
            }
            false => Ok(true),
        };
        match is_ready.map(|is_ready| self.complaint(taken, is_ready)) {
            Ok(None) => Ok(guard),
            Ok(Some(cause)) => Err(TryLockError::Poisoned(PoisonError::new(guard, cause))),
            // The lock is given back as it was: whoever takes it next hears of the death.
            Err(Held) => {
                self.raw.writer().remember_death();
                Err(TryLockError::WouldBlock)
            }
        }
    }

    /// What is to be said about the value. Whoever calls it keeps writers out.
    #[inline(always)]
    fn complaint(&self, taken: Taken, is_ready: bool) -> Option<Cause> {
        // SAFETY: others may read the bytes, but change them by atomics at most, which are looked at by
        // such; they are initialized: they were written, or are zeros from the kernel.
        let is_value = is_ready && (T::ANY_BITS || unsafe { T::is_valid(self.value.get().cast()) });
        if !is_value {
            Some(Cause::InvalidValue)
        } else if taken.died {
            Some(Cause::OwnerDied)
        } else if taken.panicked {
            Some(Cause::Panicked)
        } else {
            None
        }
    }

    /// Whether who wrote died or panicked, and nobody has said since that the value is mended.
    pub fn is_poisoned(&self) -> bool {
        self.raw.poison() != Taken::CLEAN
    }

    /// Says that the value is mended: whoever takes the lock next hears nothing.
    ///
    /// Of what has blocks, as of a [`Mutex`](super::Mutex::clear_poison).
    pub fn clear_poison(&self) {
        lent::clear_poison::<T, _>(self.raw.writer(), || self.try_read());
    }

    /// The value. No lock is needed to look at what nobody else reaches.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Panics
    /// If what stands there is no value.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let complaint = self.complaint(self.raw.poison(), true);
        let value = self.value.get_mut();
        match complaint {
            // SAFETY: `complaint` found a value.
            None => Ok(unsafe { value.assume_init_mut() }),
            Some(Cause::InvalidValue) => invalid(),
            // SAFETY: as above.
            Some(cause) => Err(PoisonError::new(unsafe { value.assume_init_mut() }, cause)),
        }
    }

    /// The value, and no lock any more.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Panics
    /// As [`get_mut`](Self::get_mut).
    pub fn into_inner(self) -> LockResult<T> {
        let complaint = self.complaint(self.raw.poison(), true);
        // SAFETY: the bytes of the one, read once, as the other is not dropped.
        let value = unsafe { ManuallyDrop::new(self).value.get().read() };
        match complaint {
            // SAFETY: `complaint` found a value.
            None => Ok(unsafe { value.assume_init() }),
            Some(Cause::InvalidValue) => invalid(),
            // SAFETY: as above.
            Some(cause) => Err(PoisonError::new(unsafe { value.assume_init() }, cause)),
        }
    }
}

impl<T: Shareable> Drop for RwLock<T> {
    /// What is dropped is private: nobody has the lock.
    #[inline]
    fn drop(&mut self) {
        if T::HAS_BLOCKS {
            // SAFETY: of what has blocks only values come to lie there, each change being made whole.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}

fn invalid() -> ! {
    panic!("what the lock guards is no value of its type")
}

impl<T: Shareable + Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T: Shareable> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for RwLock<T> {
    /// The value, if nobody writes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => out.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) if error.cause() != Cause::InvalidValue => {
                out.field("data", &&**error.get_ref())
            }
            Err(TryLockError::Poisoned(_)) => out.field("data", &format_args!("<no value>")),
            Err(TryLockError::WouldBlock) => out.field("data", &format_args!("<locked>")),
        };
        out.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

/// The lock held to read, and the value; dropped, it gives the lock back.
///
/// It stays on its thread. Leaked, or kept by a thread that has ended, it keeps writers out until the
/// process ends.
#[must_use = "a lock that is not held is given back at once"]
pub struct RwLockReadGuard<'a, T: Shareable> {
    lock: &'a RwLock<T>,
    place: Place<'a>,
    me: Who,
    hold: Hold,
    /// Of this thread alone.
    thread: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives out `&T`, and `Shareable` values are `Sync`.
unsafe impl<T: Shareable> Sync for RwLockReadGuard<'_, T> {}

impl<T: Shareable> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: `complaint` found a value there, or the error that has the guard keeps it from whoever
        // would look; and nobody writes while we hold the lock.
        unsafe { (*self.lock.value.get()).assume_init_ref() }
    }
}

impl<T: Shareable> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Who we are is asked afresh: in a child made by fork it is its parent who reads.
        if self.place.me_fast() == self.me {
            self.lock.raw.unlock_read(&self.place, self.hold);
        }
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The lock held to write, and the value; dropped, it gives the lock back.
///
/// It stays on its thread. Leaked, or kept by a thread that has ended, it keeps the lock until the
/// process ends; then the lock goes to the next who wants it, with the news.
#[must_use = "a lock that is not held is given back at once"]
pub struct RwLockWriteGuard<'a, T: Shareable> {
    lock: &'a RwLock<T>,
    place: Place<'a>,
    me: Who,
    was_panicking: bool,
    /// Of this thread alone.
    thread: PhantomData<*const ()>,
}

impl<'a, T: Shareable> RwLockWriteGuard<'a, T> {
    /// Goes on reading what it has written; nobody writes in between.
    pub fn downgrade(this: Self) -> RwLockReadGuard<'a, T> {
        let (lock, place, me, is_ours) = (this.lock, this.place, this.me, this.is_ours());
        core::mem::forget(this);
        // In a child made by fork it is nothing, as a guard that reads is.
        let hold = if is_ours { lock.raw.downgrade(&place) } else { Hold::ALONE };
        RwLockReadGuard { lock, place, me, hold, thread: PhantomData }
    }

    /// Lends the value, for changing it: see [`Mut`].
    pub fn as_mut(&mut self) -> Mut<'_, T> {
        Lend::lend(self)
    }

    pub(super) fn lock(this: &Self) -> &'a RwLock<T> {
        this.lock
    }

    pub(super) fn place(this: &Self) -> &Place<'a> {
        &this.place
    }

    /// Who we are is asked afresh: in a child made by fork the lock is its parent's.
    #[inline(always)]
    fn is_ours(&self) -> bool {
        self.place.me_fast() == self.me
    }
}

// SAFETY: a shared guard gives out `&T`, and `Shareable` values are `Sync`.
unsafe impl<T: Shareable> Sync for RwLockWriteGuard<'_, T> {}

impl<T: Shareable> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: `complaint` found a value there, or the error that has the guard keeps it from whoever
        // would look; and nobody but us has the lock.
        unsafe { (*self.lock.value.get()).assume_init_ref() }
    }
}

impl<T: Shareable> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        const {
            assert!(
                !T::HAS_BLOCKS,
                "what has blocks is changed by the methods of its place: `use sharena::collections::VecMut`, or \
                 another of these traits, or `as_mut()`"
            )
        };
        // SAFETY: as above, and we have the guard exclusively.
        unsafe { (*self.lock.value.get()).assume_init_mut() }
    }
}

impl<T: Shareable> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.is_ours() {
            self.lock.raw.unlock_write(self.me, !self.was_panicking && thread::panicking());
        }
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<'a, T: Shareable> PoisonError<RwLockWriteGuard<'a, T>> {
    /// Puts `value` in the place of whatever stands there, says that it is mended, and gives the guard.
    pub fn repair(self, value: T) -> RwLockWriteGuard<'a, T> {
        let guard = self.into_guard();
        const {
            assert!(!T::HAS_BLOCKS, "what has blocks is always a value, and changed by its methods")
        };
        // SAFETY: we have the lock; nothing there is dropped, as such values have no drop glue.
        unsafe { (*guard.lock.value.get()).write(value) };
        guard.lock.clear_poison();
        guard
    }
}

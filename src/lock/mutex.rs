//! [`Mutex`]: mutual exclusion among processes, with the value inside.

use crate::lock::error::{Cause, LockResult, PoisonError, TryLockError, TryLockResult, for_ever};
use crate::lock::lent::{self, Mut, sealed::Lend};
use crate::lock::party::Party;
use crate::lock::place::Place;
use crate::lock::raw::{Held, RawMutex, Taken};
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

/// Mutual exclusion among all threads of all processes that have the segment, with the value inside.
///
/// Like [`std::sync::Mutex`], but in shared memory; what differs is said in [`lock`](crate::lock). It can be
/// a field of any type that is [`Shareable`]: 8 bytes and the value, and all zero is one that is free.
///
/// # What a guard vouches for
/// `&mut T` to a value of the type, that nobody else reaches. A process that is killed in the middle of a
/// store may leave a mixture of the old bytes and the new ones. For a type of which all bytes are values
/// (numbers, and arrays and structs of such) that is a value, and the news of the death say that it may
/// not be one that makes sense. For others (`bool`, `char`, enums, `NonZero`) the lock looks, each time that
/// it is taken, whether a value stands there, in time proportional to the size; if not, it is not given
/// out ([`Cause::InvalidValue`]).
///
/// # Progress
/// Blocking, by its purpose: who wants it waits for who has it, and for nobody else. Lock and unlock are
/// one atomic step each while nobody waits.
#[repr(C)]
pub struct Mutex<T: Shareable> {
    raw: RawMutex,
    /// Not a `T` to the compiler: who died may have left something that is none.
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is reached by one guard at a time, and the lock orders one after the other. `Shareable`
// values are `Send`.
unsafe impl<T: Shareable> Sync for Mutex<T> {}

// SAFETY: a word of the crate's own, an atomic, and a `T` which is one, in the layout that `repr(C)` says.
// What changes behind a shared reference are the word, by atomics, and what it guards. It lies in the
// processes' shared memory and names owners by their attachment to that. No drop glue: `T` has none in a
// `MaybeUninit`. Each value of the bytes is one of this type: of the word any is, and before the value is
// given out it is looked at.
unsafe impl<T: Shareable> Shareable for Mutex<T> {
    const NAME: u64 = LayoutHash::of_name("Mutex").parameter::<T>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>()
        .field("raw", offset_of!(Self, raw), u64::FINGERPRINT)
        .field("value", offset_of!(Self, value), T::FINGERPRINT)
        .finish();
    const ANY_BITS: bool = true;
    const HAS_BLOCKS: bool = T::HAS_BLOCKS;
    const HAS_LOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("Mutex<")?;
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

impl<T: Shareable> Mutex<T> {
    /// A mutex that nobody holds.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { raw: RawMutex::new(), value: UnsafeCell::new(MaybeUninit::new(value)) }
    }

    /// Takes the lock, waiting as long as it takes.
    ///
    /// Dead inside: as if it had not been called, or the lock goes to the next who wants it, with the news.
    ///
    /// # Errors
    /// [`PoisonError`], which has the guard, if a holder before died or panicked and nobody said since that
    /// the value is mended.
    ///
    /// # Panics
    /// In a child made by fork that cannot attach to the segment, as all that lock it.
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let place = Place::of(self);
        let me = place.me_fast();
        if me != Who::NOBODY && self.raw.try_fast(me) {
            return for_ever(self.guard(place, me, Taken::CLEAN, None));
        }
        self.lock_slow(place)
    }

    #[cold]
    fn lock_slow<'a>(&'a self, place: Place<'a>) -> LockResult<MutexGuard<'a, T>> {
        let taken = self.raw.lock(&place, None);
        for_ever(self.tried(place, taken, None))
    }

    /// Takes the lock if nobody has it, or who has it is dead.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody has it; [`TryLockError::Poisoned`] as for
    /// [`lock`](Self::lock).
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        let place = Place::of(self);
        self.tried(place, self.raw.try_lock(&place), Some(Moment::PAST))
    }

    /// Takes the lock if it can be had within `duration`, by the monotonic clock.
    ///
    /// # Errors
    /// As [`try_lock`](Self::try_lock).
    pub fn try_lock_for(&self, duration: Duration) -> TryLockResult<MutexGuard<'_, T>> {
        let (place, until) = (Place::of(self), Moment::after(duration));
        self.tried(place, self.raw.lock(&place, until), until)
    }

    /// Takes the lock if it can be had before `deadline`.
    ///
    /// # Errors
    /// As [`try_lock`](Self::try_lock).
    pub fn try_lock_until(&self, deadline: Instant) -> TryLockResult<MutexGuard<'_, T>> {
        let (place, until) = (Place::of(self), Moment::of(deadline));
        self.tried(place, self.raw.lock(&place, until), until)
    }

    fn tried<'a>(
        &'a self,
        place: Place<'a>,
        taken: Result<Taken, Held>,
        until: Option<Moment>,
    ) -> TryLockResult<MutexGuard<'a, T>> {
        match taken {
            Ok(taken) => self.guard(place, place.me(), taken, until),
            Err(Held) => Err(TryLockError::WouldBlock),
        }
    }

    /// The guard of a lock that `me` has just taken, and may wait `until` then.
    #[inline(always)]
    fn guard<'a>(
        &'a self,
        place: Place<'a>,
        me: Who,
        taken: Taken,
        until: Option<Moment>,
    ) -> TryLockResult<MutexGuard<'a, T>> {
        let guard = MutexGuard {
            mutex: self,
            place,
            me,
            was_panicking: thread::panicking(),
            thread: PhantomData,
        };
        // What has blocks must be whole before it is looked at.
        let value = self.value.get().cast_const().cast::<T>();
        let is_ready = match T::HAS_BLOCKS {
            true => lent::enter(&place, &self.raw, value, taken.died, until),
            false => Ok(true),
        };
        match is_ready.map(|is_ready| self.complaint(taken, is_ready)) {
            Ok(None) => Ok(guard),
            Ok(Some(cause)) => Err(TryLockError::Poisoned(PoisonError::new(guard, cause))),
            // The lock is given back as it was: whoever takes it next hears of the death.
            Err(Held) => {
                self.raw.remember_death();
                Err(TryLockError::WouldBlock)
            }
        }
    }

    /// What is to be said about the value. Whoever calls it reaches the value alone.
    #[inline(always)]
    fn complaint(&self, taken: Taken, is_ready: bool) -> Option<Cause> {
        // SAFETY: nobody changes the bytes meanwhile, which are initialized: they were written, or are
        // zeros from the kernel.
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

    /// Whether a holder died or panicked, and nobody has said since that the value is mended.
    pub fn is_poisoned(&self) -> bool {
        self.raw.poison() != Taken::CLEAN
    }

    /// Says that the value is mended: whoever takes the lock next hears nothing.
    ///
    /// Of what has blocks a change that the dead one had begun is made first, by who takes the lock; if nobody has
    /// it, and it cannot be made now, as others have not made theirs, the lock stays poisoned.
    pub fn clear_poison(&self) {
        lent::clear_poison::<T, _>(&self.raw, || self.try_lock());
    }

    /// The value. No lock is needed to look at what nobody else reaches.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let complaint = self.complaint(self.raw.poison(), true);
        // The reference is made when somebody has made sure that it may be: `PoisonError` gives it out if
        // the complaint is another than that there is no value.
        let value = self.value.get_mut();
        match complaint {
            // SAFETY: `complaint` found a value.
            None => Ok(unsafe { value.assume_init_mut() }),
            Some(Cause::InvalidValue) => invalid(),
            Some(cause) => {
                // SAFETY: as above.
                Err(PoisonError::new(unsafe { value.assume_init_mut() }, cause))
            }
        }
    }

    /// The value, and no lock any more.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
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

impl<T: Shareable> Drop for Mutex<T> {
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

impl<T: Shareable + Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T: Shareable> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Mutex::new(value)
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for Mutex<T> {
    /// The value, if nobody has the lock.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutex");
        match self.try_lock() {
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

/// The lock held, and the value; dropped, it gives the lock back.
///
/// It stays on its thread. Leaked, or kept by a thread that has ended, it keeps the lock until the process
/// ends; then the lock goes to the next who wants it, with the news.
#[must_use = "a lock that is not held is given back at once"]
pub struct MutexGuard<'a, T: Shareable> {
    mutex: &'a Mutex<T>,
    place: Place<'a>,
    me: Who,
    was_panicking: bool,
    /// Of this thread alone.
    thread: PhantomData<*const ()>,
}

impl<'a, T: Shareable> MutexGuard<'a, T> {
    /// Lends the value, for changing it: see [`Mut`].
    pub fn as_mut(&mut self) -> Mut<'_, T> {
        Lend::lend(self)
    }

    pub(super) fn mutex(this: &Self) -> &'a Mutex<T> {
        this.mutex
    }

    pub(super) fn place(this: &Self) -> &Place<'a> {
        &this.place
    }
}

// SAFETY: a shared guard gives out `&T`, and `Shareable` values are `Sync`.
unsafe impl<T: Shareable> Sync for MutexGuard<'_, T> {}

impl<T: Shareable> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: `complaint` found a value there, or the error that has the guard keeps it from whoever
        // would look; and nobody but us has the lock.
        unsafe { (*self.mutex.value.get()).assume_init_ref() }
    }
}

impl<T: Shareable> DerefMut for MutexGuard<'_, T> {
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
        unsafe { (*self.mutex.value.get()).assume_init_mut() }
    }
}

impl<T: Shareable> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Who we are is asked afresh: in a child made by fork the lock is its parent's.
        if self.place.me_fast() == self.me {
            self.mutex.raw.unlock(self.me, !self.was_panicking && thread::panicking());
        }
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<'a, T: Shareable> PoisonError<MutexGuard<'a, T>> {
    /// Puts `value` in the place of whatever stands there, says that it is mended, and gives the guard.
    pub fn repair(self, value: T) -> MutexGuard<'a, T> {
        let guard = self.into_guard();
        const {
            assert!(!T::HAS_BLOCKS, "what has blocks is always a value, and changed by its methods")
        };
        // SAFETY: we have the lock; nothing there is dropped, as such values have no drop glue.
        unsafe { (*guard.mutex.value.get()).write(value) };
        guard.mutex.clear_poison();
        guard
    }
}

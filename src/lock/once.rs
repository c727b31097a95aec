//! [`OnceLock`]: a value that is made once, by whoever comes first.

use crate::lock::error::TimedOut;
use crate::lock::place::Place;
use crate::lock::raw::Held;
use crate::lock::raw_once::RawOnce;
use crate::shareable::{LayoutHash, Shareable};
use crate::sync::futex::Moment;
use core::cell::UnsafeCell;
use core::fmt;
use core::mem::{MaybeUninit, offset_of};
use std::time::Duration;

/// A value that is made once, by whichever process comes first, and stays.
///
/// Like [`std::sync::OnceLock`], but in shared memory: 8 bytes and the value. Once it is there, a look at it is
/// one load.
///
/// # When a process dies
/// **While it makes the value**: the next begins afresh. What the dead one had published meanwhile belongs to
/// whom it was given, which may be nobody: [`Segment::check`](crate::Segment::check) knows such objects.
/// **After it**: the value is there.
#[repr(C)]
pub struct OnceLock<T> {
    once: RawOnce,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is written by one at a time, before it is complete, and only read after it, which the
// word orders. `Shareable` values are `Send` and `Sync`.
unsafe impl<T: Shareable> Sync for OnceLock<T> {}

// SAFETY: a word of the crate's own, an atomic, and a `T` which is one, in the layout that `repr(C)` says.
// What changes behind a shared reference are the word, by atomics, and the value, by who is named there. No
// drop glue: `T` has none in a `MaybeUninit`.
unsafe impl<T: Shareable> Shareable for OnceLock<T> {
    const NAME: u64 = LayoutHash::of_name("OnceLock").parameter::<T>().finish();
    const FINGERPRINT: u64 = {
        assert!(!T::HAS_BLOCKS, "what has blocks is shared behind a `Mutex`");
        LayoutHash::of_type::<Self>()
            .field("once", offset_of!(Self, once), u64::FINGERPRINT)
            .field("value", offset_of!(Self, value), T::FINGERPRINT)
            .finish()
    };
    const ANY_BITS: bool = T::ANY_BITS;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("OnceLock<")?;
        T::describe(out)?;
        out.write_str(">")
    }
    // SAFETY: of the caller what the trait asks.
    unsafe fn is_valid(at: *const Self) -> bool {
        // SAFETY: the caller vouches for the bytes; of the word each value is one, and it changes by
        // atomics. The value is looked at only when it is complete: then it changes no more. What is
        // completed later is written by a process that lives.
        unsafe { !(*at).once.is_complete() || T::is_valid((&raw const (*at).value).cast()) }
    }
}

impl<T: Shareable> OnceLock<T> {
    /// One in which there is nothing yet.
    pub const fn new() -> OnceLock<T> {
        OnceLock { once: RawOnce::new(), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// The value, if it has been made. Wait-free.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: complete: it is written, whole, and stays.
        self.once.is_complete().then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// The value, made by `make` if there is none; of several callers at once exactly one makes it, and the
    /// others wait for it. If `make` panics, the next makes it.
    ///
    /// It must not be called, on the same one, from within `make`: that waits for ever. Nor may a child that
    /// `make` forks return from it: it would say that its parent is done.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        match self.get_or_init_until(None, make) {
            Ok(value) => value,
            Err(TimedOut) => unreachable!("it waits for ever"),
        }
    }

    /// The same, if no other is at it for longer than `duration`.
    ///
    /// # Errors
    /// [`TimedOut`], and `make` was not called.
    pub fn get_or_init_for(
        &self,
        duration: Duration,
        make: impl FnOnce() -> T,
    ) -> Result<&T, TimedOut> {
        self.get_or_init_until(Moment::after(duration), make)
    }

    fn get_or_init_until(
        &self,
        until: Option<Moment>,
        make: impl FnOnce() -> T,
    ) -> Result<&T, TimedOut> {
        if !self.once.is_complete() {
            let write = || {
                let value = make();
                // SAFETY: the word names us, and who is named writes alone; nobody reads it yet.
                unsafe { (*self.value.get()).write(value) };
            };
            self.once.call(&Place::of(self), until, write).map_err(|Held| TimedOut)?;
        }
        Ok(self.get().expect("it is complete"))
    }

    /// Puts `value` there, if there is none; waits for who is at it.
    ///
    /// # Errors
    /// `value` itself, if there is one already.
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("called once"));
        value.map_or(Ok(()), Err)
    }

    /// The value, if there is one.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        let is_there = self.once.is_complete();
        // SAFETY: as in `get`, and nobody else reaches it.
        is_there.then(|| unsafe { self.value.get_mut().assume_init_mut() })
    }

    /// The value, if there is one.
    pub fn into_inner(self) -> Option<T> {
        let is_there = self.once.is_complete();
        // SAFETY: as in `get_mut`.
        is_there.then(|| unsafe { self.value.into_inner().assume_init() })
    }
}

impl<T: Shareable> Default for OnceLock<T> {
    fn default() -> Self {
        OnceLock::new()
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceLock").field(&self.get()).finish()
    }
}

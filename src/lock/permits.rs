//! [`Permits`]: a semaphore whose permits have owners.

use crate::lock::error::TimedOut;
use crate::lock::place::Place;
use crate::lock::raw::Held;
use crate::lock::raw_permits::{Had, RawPermits};
use crate::lock::signal::Signal;
use crate::lock::word::Who;
use crate::shareable::{LayoutHash, Shareable};
use crate::sync::AtomicU64;
use crate::sync::futex::Moment;
use core::fmt;
use core::marker::PhantomData;
use core::mem::offset_of;
use std::time::Duration;

/// A semaphore: at most `N` holders at a time, of something of which there are `N`.
///
/// Each permit knows its process, so that **what a dead process had comes back by itself**: to the next who
/// wants one, which can ask whether [it was abandoned](Permit::was_abandoned). `8 + 8 N` bytes.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sharena::{Options, lock::Permits};
///
/// let segment = Options::new().capacity(1 << 20).create_anonymous()?;
/// let devices = segment.construct("devices", Permits::<2>::new())?;
/// let (one, two) = (devices.acquire(), devices.acquire());
/// assert!(devices.try_acquire().is_none());
/// drop(one);
/// assert!(devices.try_acquire().is_some());
/// # drop(two);
/// # Ok(())
/// # }
/// ```
#[repr(C)]
pub struct Permits<const N: usize> {
    signal: Signal,
    slots: [AtomicU64; N],
}

// SAFETY: words of the crate's own, atomics, of which each value is one. They name owners by their attachment
// to the segment. No drop glue.
unsafe impl<const N: usize> Shareable for Permits<N> {
    const NAME: u64 = LayoutHash::of_name("Permits").word(N as u64).finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>()
        .field("signal", offset_of!(Self, signal), u64::FINGERPRINT)
        .field("slots", offset_of!(Self, slots), u64::FINGERPRINT)
        .word(N as u64)
        .finish();
    const ANY_BITS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "Permits<{N}>")
    }
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
}

impl<const N: usize> Permits<N> {
    /// All of them free.
    pub const fn new() -> Permits<N> {
        const { assert!(N > 0, "without a permit everybody would wait for ever") };
        Permits { signal: Signal::new(), slots: [const { AtomicU64::new(0) }; N] }
    }

    fn raw(&self) -> RawPermits<'_> {
        RawPermits { slots: &self.slots, signal: &self.signal }
    }

    /// Takes a permit, waiting as long as it takes.
    ///
    /// # Panics
    /// In a child made by fork that cannot attach to the segment, as all that take one.
    pub fn acquire(&self) -> Permit<'_> {
        match self.acquire_until(None) {
            Ok(permit) => permit,
            Err(TimedOut) => unreachable!("it waits for ever"),
        }
    }

    /// Takes a permit, if there is one, or one whose holder is dead.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        let place = Place::of(self);
        self.raw().try_acquire(&place).ok().map(|had| self.permit(place, had))
    }

    /// Takes a permit, if one can be had within `duration`, by the monotonic clock.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub fn try_acquire_for(&self, duration: Duration) -> Result<Permit<'_>, TimedOut> {
        self.acquire_until(Moment::after(duration))
    }

    fn acquire_until(&self, until: Option<Moment>) -> Result<Permit<'_>, TimedOut> {
        let place = Place::of(self);
        let had = self.raw().acquire(&place, until).map_err(|Held| TimedOut)?;
        Ok(self.permit(place, had))
    }

    fn permit<'a>(&'a self, place: Place<'a>, had: Had) -> Permit<'a> {
        let me = place.me_fast();
        Permit { raw: self.raw(), place, me, had, thread: PhantomData }
    }
}

impl<const N: usize> Default for Permits<N> {
    fn default() -> Self {
        Permits::new()
    }
}

impl<const N: usize> fmt::Debug for Permits<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits").finish_non_exhaustive()
    }
}

/// One of some [`Permits`]; dropped, it is given back.
///
/// Leaked, it is taken until the process ends. In a child made by fork it does nothing.
#[must_use = "a permit that is not held is given back at once"]
pub struct Permit<'a> {
    raw: RawPermits<'a>,
    place: Place<'a>,
    me: Who,
    had: Had,
    /// Of this thread alone.
    thread: PhantomData<*const ()>,
}

impl Permit<'_> {
    /// Which of them it is, from 0: no other process has this one now.
    pub fn index(&self) -> usize {
        self.had.slot
    }

    /// Whether who had it before died with it, so that what it stands for may be in the middle of something.
    pub fn was_abandoned(&self) -> bool {
        self.had.was_abandoned
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // Who we are is asked afresh: in a child made by fork it is its parent's.
        if self.place.me_fast() == self.me {
            self.raw.release(self.had.slot, self.me);
        }
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("index", &self.index()).finish_non_exhaustive()
    }
}

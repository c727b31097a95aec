//! [`Semaphore`]: a plain count.

use crate::lock::error::{SomeoneDied, TimedOut};
use crate::lock::news::Deaths;
use crate::lock::place::Place;
use crate::lock::raw::Held;
use crate::lock::raw_semaphore::{MOST, RawSemaphore};
use crate::shareable::{LayoutHash, Shareable};
use crate::sync::futex::Moment;
use core::fmt;
use core::mem::offset_of;
use std::time::Duration;

/// A count of signals: [`release`](Self::release) adds to it, [`acquire`](Self::acquire) takes one, and waits
/// where there is none. 8 bytes, and who releases need not be who acquired.
///
/// Nobody owns what was acquired: **one that a process took is gone if it dies with it**. Where the count is of
/// things that are used and given back, take [`Permits`](super::Permits), which come back by themselves. Who
/// waits for a process that may die asks for that: [`acquire_while_alive`](Self::acquire_while_alive).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sharena::{Options, lock::Semaphore};
///
/// let segment = Options::new().capacity(1 << 20).create_anonymous()?;
/// let jobs = segment.construct("jobs", Semaphore::new(0))?;
/// assert!(!jobs.try_acquire());
/// jobs.release(2); // by any process
/// jobs.acquire();
/// assert_eq!(jobs.count(), 1);
/// # Ok(())
/// # }
/// ```
#[repr(C)]
pub struct Semaphore {
    raw: RawSemaphore,
}

// SAFETY: one word of the crate's own, an atomic, of which each value is one; it names nobody. No drop glue.
unsafe impl Shareable for Semaphore {
    const NAME: u64 = LayoutHash::of_name("Semaphore").finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>()
        .field("raw", offset_of!(Self, raw), u64::FINGERPRINT)
        .finish();
    const ANY_BITS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("Semaphore")
    }
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
}

impl Semaphore {
    /// The largest count.
    pub const MOST: u32 = MOST;

    /// A count of `count`.
    ///
    /// # Panics
    /// If it is larger than [`MOST`](Self::MOST).
    pub const fn new(count: u32) -> Semaphore {
        assert!(count <= MOST, "a semaphore counts to 2^31 - 1");
        Semaphore { raw: RawSemaphore::new(count) }
    }

    /// Takes one, waiting as long as it takes.
    pub fn acquire(&self) {
        match self.raw.acquire(&Place::of(self), None, |_| false) {
            Ok(()) => {}
            Err(Held) => unreachable!("it waits for ever"),
        }
    }

    /// Takes one, if there is one. Lock-free.
    pub fn try_acquire(&self) -> bool {
        self.raw.try_acquire().is_ok()
    }

    /// Takes one, if one can be had within `duration`, by the monotonic clock.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub fn try_acquire_for(&self, duration: Duration) -> Result<(), TimedOut> {
        let until = Moment::after(duration);
        self.raw.acquire(&Place::of(self), until, |_| false).map_err(|Held| TimedOut)
    }

    /// Takes one, waiting for it as long as nobody has died since `deaths` was made or renewed.
    ///
    /// # Errors
    /// [`SomeoneDied`], if there is none and a process of the segment has died, whichever it is.
    ///
    /// # Panics
    /// If the semaphore lies in another segment than `deaths` is about.
    pub fn acquire_while_alive(&self, deaths: &Deaths<'_>) -> Result<(), SomeoneDied> {
        let place = Place::of(self);
        deaths.assert_is_about(&place);
        self.raw.acquire(&place, None, |news| deaths.have_died_by(news)).map_err(|Held| SomeoneDied)
    }

    /// Adds `count` to it, and wakes as many who wait. Lock-free.
    ///
    /// Dead inside: it was added, or not; who waits looks again at each death.
    ///
    /// # Panics
    /// If the count would become larger than [`MOST`](Self::MOST): more was released than acquired. Then it
    /// stays as it was.
    pub fn release(&self, count: u32) {
        let added = self.raw.release(count);
        assert!(added.is_ok(), "a semaphore counts to 2^31 - 1, and has {}", self.count());
    }

    /// The count, which others may have changed by now.
    pub fn count(&self) -> u32 {
        self.raw.count()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("count", &self.count()).finish()
    }
}

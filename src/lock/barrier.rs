//! [`Barrier`]: waiting for each other.

use crate::lock::news::Deaths;
use crate::lock::place::Place;
use crate::lock::raw_barrier::{NotPassed, Passed, RawBarrier, Round};
use crate::shareable::{LayoutHash, Shareable};
use crate::sync::futex::Moment;
use core::error::Error;
use core::fmt;
use core::mem::offset_of;
use std::time::Duration;

/// Nobody passes it until so many have arrived; then all do, and it is there for the next time. 8 bytes.
///
/// # When a process dies
/// Those who wait for it would wait for ever. So each says since when a death is news to it: [`Deaths`], made
/// when the partners were agreed on. If somebody has died since, and the barrier has not opened,
/// [`wait`](Self::wait) ends with [`BarrierError::SomeoneDied`]: the caller has not arrived any more. Those who
/// are left agree anew, and [`mend`](Self::mend) it: in this order, so that no death falls in between,
/// [`Deaths::renew`], counting who is left, `mend`. Who comes first mends, for the others it is done.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sharena::{Options, lock::{Barrier, BarrierError}};
///
/// let segment = Options::new().capacity(1 << 20).create_anonymous()?;
/// let barrier = segment.construct("barrier", Barrier::new(1))?;
/// let mut deaths = segment.deaths();
/// loop {
///     match barrier.wait(&deaths) {
///         Ok(_passed) => break,
///         Err(BarrierError::SomeoneDied(round)) => {
///             deaths.renew();
///             let left = 1; // count them
///             barrier.mend(round, left);
///         }
///         Err(BarrierError::TimedOut) => unreachable!("it has no time"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[repr(C)]
pub struct Barrier {
    raw: RawBarrier,
}

// SAFETY: one word of the crate's own, an atomic, of which each value is one; it names nobody. No drop glue.
unsafe impl Shareable for Barrier {
    const NAME: u64 = LayoutHash::of_name("Barrier").finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>()
        .field("raw", offset_of!(Self, raw), u64::FINGERPRINT)
        .finish();
    const ANY_BITS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("Barrier")
    }
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
}

/// How [`Barrier::wait`] passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether this one was the last to arrive: one of them is, each time, if it does not die.
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

/// In which round a barrier could not be passed: what [`Barrier::mend`] mends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken(Round);

/// Why a [`Barrier`] was not passed. The caller has not arrived any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BarrierError {
    /// A process of the segment has died, or another who heard of a death has mended the barrier.
    SomeoneDied(Broken),
    /// The time was over.
    TimedOut,
}

impl fmt::Display for BarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BarrierError::SomeoneDied(_) => {
                "a process died, and the barrier is not open: agree on who is left, and mend it"
            }
            BarrierError::TimedOut => "the time is over, and not all have arrived",
        })
    }
}

impl Error for BarrierError {}

impl Barrier {
    /// One that opens when `parties` have arrived.
    ///
    /// # Panics
    /// If that is 0.
    pub const fn new(parties: u16) -> Barrier {
        assert!(parties > 0, "a barrier for nobody");
        Barrier { raw: RawBarrier::new(parties) }
    }

    /// Arrives, and waits for the others.
    ///
    /// # Errors
    /// [`BarrierError::SomeoneDied`].
    ///
    /// # Panics
    /// If the barrier lies in another segment than `deaths` is about.
    pub fn wait(&self, deaths: &Deaths<'_>) -> Result<BarrierWaitResult, BarrierError> {
        self.wait_until(deaths, None)
    }

    /// The same, for `duration` at most, by the monotonic clock.
    ///
    /// # Errors
    /// [`BarrierError`].
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(
        &self,
        deaths: &Deaths<'_>,
        duration: Duration,
    ) -> Result<BarrierWaitResult, BarrierError> {
        self.wait_until(deaths, Moment::after(duration))
    }

    fn wait_until(
        &self,
        deaths: &Deaths<'_>,
        until: Option<Moment>,
    ) -> Result<BarrierWaitResult, BarrierError> {
        let place = Place::of(self);
        deaths.assert_is_about(&place);
        match self.raw.wait(&place, until, |news| deaths.have_died_by(news)) {
            Ok(passed) => Ok(BarrierWaitResult(passed == Passed::Last)),
            Err(NotPassed::SomeoneDied(round)) => Err(BarrierError::SomeoneDied(Broken(round))),
            Err(NotPassed::TimedOut) => Err(BarrierError::TimedOut),
        }
    }

    /// Begins anew, for `parties`, unless another has done that since; whether it was this call. Whoever still
    /// waits in the broken round is told as the others were. Lock-free.
    ///
    /// # Panics
    /// If `parties` is 0.
    pub fn mend(&self, broken: Broken, parties: u16) -> bool {
        assert!(parties > 0, "a barrier for nobody");
        self.raw.mend(broken.0, parties)
    }

    /// How many must arrive.
    pub fn parties(&self) -> u16 {
        self.raw.parties()
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("parties", &self.parties()).finish_non_exhaustive()
    }
}

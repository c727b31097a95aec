//! [`Event`]: waiting until somebody says that something happened.

use crate::lock::error::{SomeoneDied, TimedOut};
use crate::lock::news::Deaths;
use crate::lock::place::Place;
use crate::lock::raw::Held;
use crate::lock::raw_event::RawEvent;
use crate::shareable::{LayoutHash, Shareable};
use crate::sync::futex::Moment;
use core::fmt;
use core::mem::offset_of;
use std::time::{Duration, Instant};

/// Something that happened, for which others wait: it is set, or not. 8 bytes.
///
/// Of two kinds. **Manual reset**: set, it lets all pass, who wait and who come, until it is
/// [reset](Self::reset); who waits when it is set passes, also if it is reset at once. **Auto reset**: each time
/// that it is set lets one pass, who resets it by that; to set it twice before anybody comes is to set it once.
/// Where each must count take a [`Semaphore`](super::Semaphore).
///
/// # When a process dies
/// **One that was to set it**: who waits may ask for that: [`wait_while_alive`](Self::wait_while_alive).
/// **One that passed an auto-reset event**: nobody else passes for it. **One that was woken, or was about to wake
/// others**: each death in the segment has all look again who wait.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sharena::{Options, lock::Event};
///
/// let segment = Options::new().capacity(1 << 20).create_anonymous()?;
/// let ready = segment.construct("ready", Event::manual_reset())?;
/// assert!(!ready.try_wait());
/// ready.set(); // by any process
/// ready.wait();
/// assert!(ready.is_set());
/// let next = segment.construct("next", Event::auto_reset())?;
/// next.set();
/// next.wait();
/// assert!(!next.is_set());
/// # Ok(())
/// # }
/// ```
#[repr(C)]
pub struct Event {
    raw: RawEvent,
}

// SAFETY: one word of the crate's own, an atomic, of which each value is one; it names nobody. No drop glue.
unsafe impl Shareable for Event {
    const NAME: u64 = LayoutHash::of_name("Event").finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>()
        .field("raw", offset_of!(Self, raw), u64::FINGERPRINT)
        .finish();
    const ANY_BITS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("Event")
    }
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
}

impl Event {
    /// One that lets all pass when it is set; not set.
    pub const fn manual_reset() -> Event {
        Event { raw: RawEvent::new(false) }
    }

    /// One that lets one pass each time that it is set; not set.
    pub const fn auto_reset() -> Event {
        Event { raw: RawEvent::new(true) }
    }

    /// Sets it, and wakes who waits: all, or one. Lock-free.
    ///
    /// Dead inside: it is set, or not; who waits looks again at each death.
    pub fn set(&self) {
        self.raw.set();
    }

    /// Has it not be set. Wait-free.
    pub fn reset(&self) {
        self.raw.reset();
    }

    /// Whether it is set, which others may have changed by now.
    pub fn is_set(&self) -> bool {
        self.raw.is_set()
    }

    /// Waits until it is set, as long as it takes.
    pub fn wait(&self) {
        match self.raw.wait(&Place::of(self), None, |_| false) {
            Ok(()) => {}
            Err(Held) => unreachable!("it waits for ever"),
        }
    }

    /// Passes, if it is set. Lock-free.
    pub fn try_wait(&self) -> bool {
        self.raw.try_wait().is_ok()
    }

    /// Waits until it is set, for `duration` at most, by the monotonic clock.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub fn wait_for(&self, duration: Duration) -> Result<(), TimedOut> {
        self.timed(Moment::after(duration))
    }

    /// Waits until it is set, until `deadline` at most.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub fn wait_until(&self, deadline: Instant) -> Result<(), TimedOut> {
        self.timed(Moment::of(deadline))
    }

    fn timed(&self, until: Option<Moment>) -> Result<(), TimedOut> {
        self.raw.wait(&Place::of(self), until, |_| false).map_err(|Held| TimedOut)
    }

    /// Waits until it is set, as long as nobody has died since `deaths` was made or renewed.
    ///
    /// # Errors
    /// [`SomeoneDied`], if it is not set and a process of the segment has died, whichever it is.
    ///
    /// # Panics
    /// If the event lies in another segment than `deaths` is about.
    pub fn wait_while_alive(&self, deaths: &Deaths<'_>) -> Result<(), SomeoneDied> {
        let place = Place::of(self);
        deaths.assert_is_about(&place);
        self.raw.wait(&place, None, |news| deaths.have_died_by(news)).map_err(|Held| SomeoneDied)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("set", &self.is_set()).finish()
    }
}

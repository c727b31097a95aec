//! [`Condvar`]: waiting, without a lock, until something that a lock guards is so.

use crate::lock::error::{LockResult, PoisonError, SomeoneDied};
use crate::lock::lent::Mut;
use crate::lock::mutex::MutexGuard;
use crate::lock::news::Deaths;
use crate::lock::party::news_of;
use crate::lock::signal::{Ended, Signal};
use crate::shareable::{LayoutHash, Shareable};
use crate::sync::futex::Moment;
use core::fmt;
use core::mem::offset_of;
use std::time::{Duration, Instant};

/// Waits until something that a [`Mutex`](super::Mutex) guards is so, as whoever changes it says.
///
/// Like [`std::sync::Condvar`], but in shared memory, 8 bytes. It lies in the same segment as the mutex.
///
/// # When a process dies
/// **One that was to notify**: who waits cannot know whom it waits for. It may say so:
/// [`wait_while_alive`](Self::wait_while_alive) ends when anybody has died since a moment that the caller
/// chose. The plain forms go on waiting, the timed ones until their time is over.
///
/// **One that was woken, or was about to wake others**: each death in the segment is a spurious wake-up of
/// all who wait, so that no notice is lost with it. Who waits looks at the condition again, as always.
///
/// A death is heard of when it is recovered, and by who waits itself after 50 ms at most.
#[repr(C)]
pub struct Condvar {
    signal: Signal,
}

// SAFETY: one word of the crate's own, an atomic, of which each value is one; it names nobody. No drop glue.
unsafe impl Shareable for Condvar {
    const NAME: u64 = LayoutHash::of_name("Condvar").finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>()
        .field("signal", offset_of!(Self, signal), u64::FINGERPRINT)
        .finish();
    const ANY_BITS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("Condvar")
    }
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
}

/// Whether a timed wait ended because its time was over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether it did. The condition may be so all the same.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

/// Why [`Condvar::wait_while_alive`] ended, if not because the condition was so.
pub enum WaitError<G> {
    /// A holder of the mutex died or panicked; the guard is in the error.
    Poisoned(PoisonError<G>),
    /// A process has died; the mutex is held, and what it guards is still not so.
    SomeoneDied(G),
}

impl<G> fmt::Display for WaitError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitError::Poisoned(error) => error.fmt(f),
            WaitError::SomeoneDied(_) => SomeoneDied.fmt(f),
        }
    }
}

impl<G> fmt::Debug for WaitError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitError::Poisoned(error) => f.debug_tuple("Poisoned").field(error).finish(),
            WaitError::SomeoneDied(_) => f.write_str("SomeoneDied(..)"),
        }
    }
}

impl<G> core::error::Error for WaitError<G> {}

impl Condvar {
    /// One that nobody waits for.
    pub const fn new() -> Condvar {
        Condvar { signal: Signal::new() }
    }

    /// Gives the lock back, sleeps until it is notified or somebody dies, and takes the lock again. May wake
    /// for no reason: see [`wait_while`](Self::wait_while).
    ///
    /// # Errors
    /// As [`Mutex::lock`](super::Mutex::lock).
    pub fn wait<'a, T: Shareable>(
        &self,
        guard: MutexGuard<'a, T>,
    ) -> LockResult<MutexGuard<'a, T>> {
        self.wait_from(Self::news(&guard), guard, None).0
    }

    /// Waits as long as `condition` is. That is given what the guard lends: it dereferences to the value, and
    /// may change it, also where `&mut` is not to be had.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use sharena::collections::{String, Vec, VecMut};
    /// use sharena::{Options, lock::{Condvar, Mutex}};
    ///
    /// let segment = Options::new().capacity(1 << 20).create_anonymous()?;
    /// let jobs = segment.construct("jobs", (Mutex::new(Vec::<String>::new()), Condvar::new()))?;
    /// # let worker = std::thread::spawn({ let segment = segment.clone(); move || {
    /// # let jobs = segment.find::<(Mutex<Vec<String>>, Condvar)>("jobs").unwrap().unwrap();
    /// # jobs.0.lock().unwrap().push(String::from_in("the first", &segment));
    /// # jobs.1.notify_one();
    /// # }});
    /// // Another process pushes, and notifies.
    /// let mut todo = jobs.1.wait_while(jobs.0.lock().unwrap(), |jobs| jobs.is_empty()).unwrap();
    /// assert_eq!(todo.pop().unwrap(), "the first");
    /// # worker.join().unwrap();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Mutex::lock`](super::Mutex::lock); then the condition was not looked at.
    pub fn wait_while<'a, T: Shareable>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(Mut<'_, T>) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(guard.as_mut()) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait`](Self::wait), for `duration` at most, by the monotonic clock.
    ///
    /// # Errors
    /// As [`Mutex::lock`](super::Mutex::lock).
    pub fn wait_timeout<'a, T: Shareable>(
        &self,
        guard: MutexGuard<'a, T>,
        duration: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.timed(guard, Moment::after(duration))
    }

    /// As [`wait`](Self::wait), until `deadline` at most.
    ///
    /// # Errors
    /// As [`Mutex::lock`](super::Mutex::lock).
    pub fn wait_until<'a, T: Shareable>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.timed(guard, Moment::of(deadline))
    }

    /// Waits as long as `condition` is, for `duration` at most.
    ///
    /// # Errors
    /// As [`Mutex::lock`](super::Mutex::lock); then the condition was not looked at.
    pub fn wait_timeout_while<'a, T: Shareable>(
        &self,
        mut guard: MutexGuard<'a, T>,
        duration: Duration,
        mut condition: impl FnMut(Mut<'_, T>) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let until = Moment::after(duration);
        while condition(guard.as_mut()) {
            if until.is_some_and(|until| Moment::now() >= until) {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            guard = self
                .wait_from(Self::news(&guard), guard, until)
                .0
                .map_err(|error| error.map(|guard| (guard, WaitTimeoutResult(false))))?;
        }
        Ok((guard, WaitTimeoutResult(false)))
    }

    /// Waits as long as `condition` is, and nobody has died since `deaths` was made or renewed.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use sharena::{Options, lock::{Condvar, Mutex, WaitError}};
    ///
    /// let segment = Options::new().capacity(1 << 20).create_anonymous()?;
    /// let pair = segment.construct("pair", (Mutex::new(false), Condvar::new()))?;
    /// // From when the partners are agreed on: who died since then is news also if it died before the wait.
    /// let mut deaths = segment.deaths();
    /// # pair.1.notify_all();
    /// # *pair.0.lock().unwrap() = true;
    /// match pair.1.wait_while_alive(pair.0.lock().unwrap(), &deaths, |ready| !*ready) {
    ///     Ok(_ready) => {}
    ///     Err(WaitError::SomeoneDied(_guard)) => deaths.renew(), // was it the partner?
    ///     Err(WaitError::Poisoned(error)) => return Err(error.to_string().into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`WaitError::SomeoneDied`], with the guard, if the condition is not so and a process of the segment has
    /// died, whichever it is; [`WaitError::Poisoned`] as [`Mutex::lock`](super::Mutex::lock).
    ///
    /// # Panics
    /// If the mutex lies in another segment than `deaths` is about.
    pub fn wait_while_alive<'a, T: Shareable>(
        &self,
        mut guard: MutexGuard<'a, T>,
        deaths: &Deaths<'_>,
        mut condition: impl FnMut(Mut<'_, T>) -> bool,
    ) -> Result<MutexGuard<'a, T>, WaitError<MutexGuard<'a, T>>> {
        deaths.assert_is_about(MutexGuard::place(&guard));
        loop {
            // Before the condition: what a dead one did, it did before. And the news that the sleep is about:
            // of a death between this and the sleep it would not hear otherwise.
            let news = Self::news(&guard);
            if !condition(guard.as_mut()) {
                return Ok(guard);
            }
            if deaths.have_died_by(news) {
                return Err(WaitError::SomeoneDied(guard));
            }
            guard = self.wait_from(news, guard, None).0.map_err(WaitError::Poisoned)?;
        }
    }

    fn timed<'a, T: Shareable>(
        &self,
        guard: MutexGuard<'a, T>,
        until: Option<Moment>,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let (guard, ended) = self.wait_from(Self::news(&guard), guard, until);
        let result = WaitTimeoutResult(ended == Ended::TimedOut);
        match guard {
            Ok(guard) => Ok((guard, result)),
            Err(error) => Err(error.map(|guard| (guard, result))),
        }
    }

    /// News from before what the holder of `guard` looked at: whatever was there to be seen then, it saw.
    fn news<T: Shareable>(guard: &MutexGuard<'_, T>) -> u64 {
        news_of(MutexGuard::place(guard))
    }

    fn wait_from<'a, T: Shareable>(
        &self,
        news: u64,
        guard: MutexGuard<'a, T>,
        until: Option<Moment>,
    ) -> (LockResult<MutexGuard<'a, T>>, Ended) {
        let (mutex, place) = (MutexGuard::mutex(&guard), *MutexGuard::place(&guard));
        let ended = self.signal.wait(&place, news, until, || drop(guard));
        (mutex.lock(), ended)
    }

    /// Wakes one who waits, if anybody does. The lock need not be held.
    ///
    /// Dead inside: as if it had not been called, or the one is awake, or all are, and look.
    pub fn notify_one(&self) {
        self.signal.notify_one();
    }

    /// Wakes all who wait.
    ///
    /// Dead inside: as for [`notify_one`](Self::notify_one).
    pub fn notify_all(&self) {
        self.signal.notify_all();
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

//! The kernel's sleep on shared words, and waking from it: futex(2).
//!
//! The kernel looks at the low half of a word. That is the one access of the crate that is not as wide
//! as the word; it is made by the kernel, which compares the half and does nothing else with it, and
//! whose writers are atomic operations on the whole.
//!
//! In a checker's world the kernel is a model without time: who sleeps there and is never woken is a
//! deadlock, which the checker reports. So what holds there holds without time-outs.

use super::AtomicU64;

/// A word that a sleeper listens to, and what the low half was when there was reason to sleep.
pub type Heard<'a> = (&'a AtomicU64, u32);

/// Why a sleep ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// Woken, or a word was another already, or for no reason: look again.
    Perhaps,
    /// The time is over.
    TimedOut,
}

/// Words that a sleeper may listen to at most.
pub const MOST: usize = 4;

/// The half that the kernel looks at.
pub fn low_half(word: u64) -> u32 {
    word as u32
}

#[cfg(not(loom))]
pub use real::{Moment, half, wait, wake};

#[cfg(not(loom))]
mod real {
    use super::{AtomicU64, Heard, MOST, Woken};
    use core::ptr;
    use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::time::{Duration, Instant};

    /// A time of the monotonic clock, in nanoseconds.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    pub struct Moment(u64);

    impl Moment {
        /// Before now, whenever that is.
        pub const PAST: Moment = Moment(0);

        pub fn now() -> Moment {
            let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: `now` is a place to write to; the clock is there on every Linux.
            unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
            Moment(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
        }

        /// `None`: so far away that nobody lives to see it.
        pub fn after(duration: Duration) -> Option<Moment> {
            let nanos = u64::try_from(duration.as_nanos()).ok()?;
            let end = Moment::now().0.checked_add(nanos)?;
            (end <= i64::MAX as u64).then_some(Moment(end))
        }

        pub fn of(instant: Instant) -> Option<Moment> {
            Self::after(instant.saturating_duration_since(Instant::now()))
        }

        pub fn plus(self, nanos: u64) -> Moment {
            Moment(self.0.saturating_add(nanos))
        }

        /// Nanoseconds from `earlier` to this.
        pub fn since(self, earlier: Moment) -> u64 {
            self.0.saturating_sub(earlier.0)
        }

        fn timespec(self) -> libc::timespec {
            libc::timespec {
                tv_sec: (self.0 / 1_000_000_000) as libc::time_t,
                tv_nsec: (self.0 % 1_000_000_000) as libc::c_long,
            }
        }
    }

    /// The kernel's `struct futex_waitv`.
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct WaitV {
        value: u64,
        address: u64,
        flags: u32,
        reserved: u32,
    }

    /// 32 bits, and not of one process alone.
    const SHARED_U32: u32 = 2;

    /// Where the half stands that the kernel looks at.
    pub fn half(word: &AtomicU64) -> *const u32 {
        ptr::from_ref(word).cast::<u32>().wrapping_add(usize::from(cfg!(target_endian = "big")))
    }

    fn errno() -> i32 {
        std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
    }

    /// Sleeps while each of `words` is what it was, until one is woken, or `until`.
    ///
    /// Where the kernel cannot listen to several (before Linux 5.16, or if it is forbidden) only the
    /// first is listened to: whoever sleeps looks again after a while.
    pub fn wait(words: &[Heard<'_>], until: Moment) -> Woken {
        static SEVERAL: AtomicBool = AtomicBool::new(true);
        if words.len() > 1 && SEVERAL.load(Relaxed) {
            match wait_for_several(words, until) {
                Ok(woken) => return woken,
                Err(libc::ENOSYS | libc::EPERM) => SEVERAL.store(false, Relaxed),
                Err(_) => return Woken::Perhaps,
            }
        }
        let (word, value) = words[0];
        let (until, any) = (until.timespec(), u32::MAX);
        // SAFETY: the word's address; the kernel compares its half and sleeps.
        let done = unsafe {
            libc::syscall(
                libc::SYS_futex,
                half(word),
                libc::FUTEX_WAIT_BITSET,
                value,
                &raw const until,
                ptr::null::<u32>(),
                any,
            )
        };
        woken(done)
    }

    fn wait_for_several(words: &[Heard<'_>], until: Moment) -> Result<Woken, i32> {
        let nothing = WaitV { value: 0, address: 0, flags: 0, reserved: 0 };
        let mut list = [nothing; MOST];
        for (each, (word, value)) in list.iter_mut().zip(words) {
            let address = half(word).expose_provenance() as u64;
            *each = WaitV { value: u64::from(*value), address, flags: SHARED_U32, reserved: 0 };
        }
        let until = until.timespec();
        let count = words.len().min(MOST);
        // SAFETY: a list of so many words, which are borrowed; the kernel compares their halves.
        let done = unsafe {
            libc::syscall(
                libc::SYS_futex_waitv,
                list.as_ptr(),
                count,
                0,
                &raw const until,
                libc::CLOCK_MONOTONIC,
            )
        };
        match done {
            -1 => match errno() {
                error @ (libc::ENOSYS | libc::EPERM) => Err(error),
                _ => Ok(woken(done)),
            },
            _ => Ok(Woken::Perhaps),
        }
    }

    fn woken(done: libc::c_long) -> Woken {
        let timed_out = done == -1 && errno() == libc::ETIMEDOUT;
        if timed_out { Woken::TimedOut } else { Woken::Perhaps }
    }

    /// Wakes up to `count` who listen to `word`, the longest asleep first; how many.
    ///
    /// A process may die before it: whoever owes a wake-up may owe it for good.
    pub fn wake(word: &AtomicU64, count: u32) -> u32 {
        super::super::step();
        let at = half(word);
        let count = count.min(i32::MAX as u32);
        // SAFETY: an address, of which the kernel reads nothing to wake who sleeps there.
        let woken = unsafe { libc::syscall(libc::SYS_futex, at, libc::FUTEX_WAKE, count) };
        woken.max(0) as u32
    }
}

#[cfg(loom)]
pub use model::{Moment, begin, wait, wake};

#[cfg(loom)]
mod model {
    use super::super::Acquire;
    use super::{AtomicU64, Heard, Woken, low_half};
    #[cfg(not(sharena_shuttle))]
    use loom::sync::{Condvar, Mutex};
    #[cfg(sharena_shuttle)]
    use shuttle::sync::{Condvar, Mutex};
    use std::sync::Arc;

    /// There is no time.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    pub struct Moment;

    impl Moment {
        pub fn now() -> Moment {
            Moment
        }
        pub fn plus(self, _nanos: u64) -> Moment {
            Moment
        }
        pub fn since(self, _earlier: Moment) -> u64 {
            0
        }
    }

    /// Those asleep, the longest asleep first.
    #[derive(Default)]
    struct Sleepers {
        next: u64,
        all: Vec<Sleeper>,
    }

    struct Sleeper {
        number: u64,
        bed: Arc<Condvar>,
        words: Vec<usize>,
    }

    #[cfg(not(sharena_shuttle))]
    loom::lazy_static! { static ref KERNEL: Mutex<Sleepers> = Mutex::new(Sleepers::default()); }
    #[cfg(sharena_shuttle)]
    shuttle::lazy_static! { static ref KERNEL: Mutex<Sleepers> = Mutex::new(Sleepers::default()); }

    fn place(word: &AtomicU64) -> usize {
        core::ptr::from_ref(word).addr()
    }

    /// At the beginning of an execution: its first use must order no threads.
    pub fn begin() {
        drop(KERNEL.lock().unwrap());
    }

    pub fn wait(words: &[Heard<'_>], _until: Moment) -> Woken {
        let mut sleepers = KERNEL.lock().unwrap();
        if words.iter().any(|(word, value)| low_half(word.load(Acquire)) != *value) {
            return Woken::Perhaps;
        }
        let (number, bed) = (sleepers.next, Arc::new(Condvar::new()));
        sleepers.next += 1;
        let words = words.iter().map(|(word, _)| place(word)).collect();
        sleepers.all.push(Sleeper { number, bed: bed.clone(), words });
        while sleepers.all.iter().any(|sleeper| sleeper.number == number) {
            sleepers = bed.wait(sleepers).unwrap();
        }
        Woken::Perhaps
    }

    pub fn wake(word: &AtomicU64, count: u32) -> u32 {
        if !super::super::step() {
            return 0;
        }
        let mut sleepers = KERNEL.lock().unwrap();
        let (word, mut woken) = (place(word), 0);
        sleepers.all.retain(|sleeper| {
            let is_meant = woken < count && sleeper.words.contains(&word);
            if is_meant {
                sleeper.bed.notify_one();
                woken += 1;
            }
            !is_meant
        });
        woken
    }
}

//! Time as this machine had it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long the clock sleeps between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// A look that comes later than this: the machine, or its host, did something else, and so may it
/// have done to everybody.
const LATE: Duration = Duration::from_millis(20);

/// A clock that stands still while the machine stalls. It runs on a thread of its own, which
/// competes for the processor like any other.
pub struct Clock {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    micros: AtomicU64,
    stalled_micros: AtomicU64,
    /// What the supervisor has done, as a number that changes.
    beats: AtomicU64,
}

impl Clock {
    /// Starts it. If the supervisor itself makes no progress for `patience`, the program is ended by
    /// `give_up`.
    pub fn start(patience: Duration, give_up: impl Fn() + Send + 'static) -> Clock {
        let shared = Arc::new(Shared::default());
        let clock = Clock { shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            let (mut last, mut seen) = (Instant::now(), (0, Duration::ZERO));
            loop {
                std::thread::sleep(LOOK);
                let passed = last.elapsed();
                last += passed;
                let counted = passed.min(LATE);
                let stalled = (passed - counted).as_micros() as u64;
                shared.micros.fetch_add(counted.as_micros() as u64, Ordering::Relaxed);
                shared.stalled_micros.fetch_add(stalled, Ordering::Relaxed);
                let beats = shared.beats.load(Ordering::Relaxed);
                seen = if beats == seen.0 {
                    (beats, seen.1 + counted)
                } else {
                    (beats, Duration::ZERO)
                };
                if seen.1 > patience {
                    give_up();
                    return;
                }
            }
        });
        clock
    }

    /// Time since the start, without stalls.
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.shared.micros.load(Ordering::Relaxed))
    }

    /// The stalls.
    pub fn stalled(&self) -> Duration {
        Duration::from_micros(self.shared.stalled_micros.load(Ordering::Relaxed))
    }

    /// The supervisor lives.
    pub fn beat(&self) {
        self.shared.beats.fetch_add(1, Ordering::Relaxed);
    }
}

//! Whether others are at work on the machine. On one that is shared, all that is measured becomes slower by half, or
//! twice as slow, for seconds, some works more than others: what was measured meanwhile says nothing of an allocator.

use crate::results::Said;
use anyhow::Result;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A loop that takes so much more than it ever did, in hundredths, was disturbed.
const DISTURBED: u32 = 115;
/// Turns of the loop: some 60 µs, at four instructions a cycle, which whoever shares the processor takes from.
const TURNS: u64 = 40_000;
/// Processors that are asked, at most.
const PROCESSORS: usize = 8;
/// Between two looks at a machine that is disturbed.
const PAUSE: Duration = Duration::from_millis(20);

/// Has what was disturbed done again, as long as there is time for it.
pub struct Quiet<P = fn() -> Duration> {
    /// How long the loop takes now.
    probe: P,
    /// At least.
    best: Duration,
    /// Time that is left.
    patience: Duration,
    said: Said,
}

impl Quiet {
    /// With so much time for what is done again, and for pauses.
    pub fn new(patience: Duration) -> Quiet {
        Quiet::by(slowest_processor, patience)
    }
}

impl<P: FnMut() -> Duration> Quiet<P> {
    fn by(probe: P, patience: Duration) -> Quiet<P> {
        Quiet { probe, best: Duration::MAX, patience, said: Said::default() }
    }

    /// Has it done, and done again till nobody disturbed it, neither before nor after.
    pub fn undisturbed<R>(&mut self, mut act: impl FnMut() -> Result<R>) -> Result<R> {
        loop {
            let was_quiet = self.wait();
            // What it waited is counted already.
            let begin = Instant::now();
            let done = act()?;
            let is_disturbed = !self.is_quiet() || !was_quiet;
            if is_disturbed && self.patience > Duration::ZERO {
                self.patience = self.patience.saturating_sub(begin.elapsed());
                self.said.again += 1;
                continue;
            }
            self.said.counted += 1;
            self.said.disturbed += u64::from(is_disturbed);
            return Ok(done);
        }
    }

    /// Returns when it is quiet, or no time is left: whether it is.
    fn wait(&mut self) -> bool {
        while !self.is_quiet() {
            if self.patience == Duration::ZERO {
                return false;
            }
            let begin = Instant::now();
            std::thread::sleep(PAUSE);
            self.patience = self.patience.saturating_sub(begin.elapsed());
        }
        true
    }

    fn is_quiet(&mut self) -> bool {
        let now = (self.probe)();
        self.best = self.best.min(now);
        now * 100 <= self.best * DISTURBED
    }

    /// What came of it.
    pub fn said(&self) -> &Said {
        &self.said
    }
}

/// How long the loop takes on the processor where it takes longest.
fn slowest_processor() -> Duration {
    let Some(all) = affinity() else { return best_of_loops() };
    // SAFETY: a set of bits, of which there are so many.
    let mine = (0..libc::CPU_SETSIZE as usize).filter(|it| unsafe { libc::CPU_ISSET(*it, &all) });
    let on = |processor| {
        // SAFETY: all zeros is an empty set, and the number is below its size.
        let only = unsafe {
            let mut only: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(processor, &mut only);
            only
        };
        move_to(&only);
        best_of_loops()
    };
    let slowest = mine.take(PROCESSORS).map(on).max();
    move_to(&all);
    slowest.unwrap_or_else(best_of_loops)
}

/// The processors that this process may use.
fn affinity() -> Option<libc::cpu_set_t> {
    // SAFETY: all zeros is an empty set; the kernel writes into it what it has room for.
    unsafe {
        let mut all = std::mem::zeroed();
        let size = size_of::<libc::cpu_set_t>();
        (libc::sched_getaffinity(0, size, &raw mut all) == 0).then_some(all)
    }
}

/// Goes there, if that can be.
fn move_to(processors: &libc::cpu_set_t) {
    // SAFETY: reads the set.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), processors) };
}

/// Three, of which one is not interrupted.
fn best_of_loops() -> Duration {
    let one = || {
        let begin = Instant::now();
        black_box(turn());
        begin.elapsed()
    };
    one().min(one()).min(one())
}

/// Four chains that a processor works at side by side.
fn turn() -> u64 {
    let (mut a, mut b, mut c, mut d) = (1u64, 2u64, 3u64, 4u64);
    for i in 0..black_box(TURNS) {
        a = a.wrapping_add(i ^ b.rotate_left(3));
        b = b.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ i;
        c = c.wrapping_add(d >> 7);
        d ^= c.rotate_left(11).wrapping_add(i);
    }
    a ^ b ^ c ^ d
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of one round, where the loop takes so long, time after time, with so much patience.
    fn of(loops: &[u64], patience: Duration) -> (u32, Said, usize) {
        let mut at = 0;
        let mut quiet = Quiet::by(
            || {
                at += 1;
                Duration::from_micros(loops[at - 1])
            },
            patience,
        );
        let mut rounds = 0;
        let round = quiet.undisturbed(|| {
            rounds += 1;
            Ok(rounds)
        });
        let said = quiet.said().clone();
        (round.unwrap(), said, at)
    }

    #[test]
    fn what_nobody_disturbs_is_done_once() {
        let (round, said, looks) = of(&[100, 114], Duration::from_secs(9));
        assert_eq!((round, said.counted, said.disturbed, said.again, looks), (1, 1, 0, 0, 2));
    }

    #[test]
    fn what_was_disturbed_is_done_again_once_it_is_quiet() {
        let loops = [100, 116, 150, 115, 99];
        let (round, said, looks) = of(&loops, Duration::from_secs(9));
        assert_eq!((round, said.counted, said.disturbed, said.again, looks), (2, 1, 0, 1, 5));
    }

    #[test]
    fn without_time_it_counts_and_is_told() {
        let (round, said, looks) = of(&[100, 116], Duration::ZERO);
        assert_eq!((round, said.counted, said.disturbed, said.again, looks), (1, 1, 1, 0, 2));
        // Whoever waited in vain has no time left.
        let loops = [100, 150, 150, 150, 150];
        let (_, said, looks) = of(&loops, Duration::from_nanos(1));
        assert_eq!((said.counted, said.disturbed, said.again, looks), (1, 1, 1, 4));
    }

    #[test]
    fn processors_are_left_as_they_were() {
        let before = affinity().unwrap();
        let took = slowest_processor();
        assert!(took > Duration::ZERO && took < Duration::from_secs(1));
        let after = affinity().unwrap();
        // SAFETY: two sets.
        assert!(unsafe { libc::CPU_EQUAL(&before, &after) });
    }
}

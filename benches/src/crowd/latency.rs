//! How long one pair takes, of many.

use crate::subjects::Subject;
use crate::works::{SMALL, layout, write_first_byte};
use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use std::time::Instant;

/// Pairs of one member in a round.
const PAIRS: u32 = 200_000;

/// Nanoseconds of each pair, to three digits.
pub struct Latencies(Histogram<u64>);

/// Values, and how often each was seen.
pub type Counts = Vec<(u64, u64)>;

/// Of one member: two looks at the clock beside each pair, which the control has as well.
pub fn measure<S: Subject>(subject: &S, start: impl FnOnce()) -> Result<Counts> {
    let mut histogram = Latencies::none()?;
    subject.begin(SMALL);
    start();
    for i in 0..PAIRS {
        let begin = Instant::now();
        let block = subject.allocate(layout(SMALL));
        write_first_byte(subject, &block, i as u8);
        // SAFETY: its layout.
        unsafe { subject.free(block, layout(SMALL)) };
        histogram.saturating_record(begin.elapsed().as_nanos() as u64);
    }
    Ok(histogram.iter_recorded().map(|it| (it.value_iterated_to(), it.count_at_value())).collect())
}

impl Latencies {
    fn none() -> Result<Histogram<u64>> {
        Histogram::new_with_bounds(1, 60_000_000_000, 3).context("a histogram")
    }

    /// Of all members.
    pub fn of_all(all: Vec<Counts>) -> Result<Latencies> {
        let mut together = Self::none()?;
        for (value, count) in all.into_iter().flatten() {
            together.record_n(value, count).context("a time that was recorded")?;
        }
        Ok(Latencies(together))
    }

    /// Of several rounds.
    pub fn of_rounds<'a>(rounds: impl Iterator<Item = &'a Latencies>) -> Option<Latencies> {
        rounds.map(|it| it.0.clone()).reduce(|all, it| all + it).map(Latencies)
    }

    /// What a part of all pairs takes at most.
    pub fn quantile(&self, part: f64) -> u64 {
        self.0.value_at_quantile(part)
    }

    /// The longest.
    pub fn max(&self) -> u64 {
        self.0.max()
    }
}

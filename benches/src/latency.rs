//! How long one operation takes, of many.

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Nanoseconds of each operation, to three digits.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Vec<Counts>", into = "Vec<Counts>")]
pub struct Latencies(Histogram<u64>);

/// Values, and how often each was seen.
pub type Counts = Vec<(u64, u64)>;

/// Of one member, who does `operation` so many times: two looks at the clock beside each, which a control has as well.
pub fn measure(times: u32, mut operation: impl FnMut(u32)) -> Result<Counts> {
    let mut histogram = Latencies::none()?;
    for i in 0..times {
        let begin = Instant::now();
        operation(i);
        histogram.saturating_record(begin.elapsed().as_nanos() as u64);
    }
    Ok(counts(&histogram))
}

fn counts(histogram: &Histogram<u64>) -> Counts {
    histogram.iter_recorded().map(|it| (it.value_iterated_to(), it.count_at_value())).collect()
}

impl TryFrom<Vec<Counts>> for Latencies {
    type Error = anyhow::Error;

    fn try_from(all: Vec<Counts>) -> Result<Latencies> {
        Latencies::of_all(all)
    }
}

impl From<Latencies> for Vec<Counts> {
    fn from(latencies: Latencies) -> Vec<Counts> {
        vec![counts(&latencies.0)]
    }
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

    /// What a part of all takes at most; of all, the longest.
    pub fn quantile(&self, part: f64) -> u64 {
        self.0.value_at_quantile(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_come_back_as_they_went() {
        let counts = vec![vec![(20, 5), (30, 1)], vec![(1_000_000, 2)]];
        let went = Latencies::of_all(counts).unwrap();
        let text = serde_json::to_string(&went).unwrap();
        let came: Latencies = serde_json::from_str(&text).unwrap();
        assert_eq!(came.0, went.0);
        assert_eq!(came.quantile(0.5), 20);
    }
}

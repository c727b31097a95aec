//! What blocks have beyond what was asked for.

use anyhow::{Context, Result, ensure};
use sharena::Options;
use std::alloc::Layout;

/// All sizes above 128 B: of slabs, and from 256 KiB on, for one doubling, of runs of whole units.
const SIZES: std::ops::RangeInclusive<usize> = 129..=512 << 10;

/// Hundredths of what was asked for; of the whole block it would be less.
pub struct Lost {
    /// At the worst size.
    pub worst: f64,
    /// Of all sizes.
    pub mean: f64,
}

/// By what the segment says of the block of each size.
pub fn lost() -> Result<Lost> {
    let segment = Options::new().capacity(64 << 20).create_anonymous()?;
    of_sizes(|asked| {
        let block = segment.allocate(Layout::from_size_align(asked, 8)?)?;
        let has = segment.usable_size(block)?;
        segment.deallocate(block)?;
        Ok(has)
    })
}

fn of_sizes(has: impl Fn(usize) -> Result<usize>) -> Result<Lost> {
    let (mut worst, mut sum) = (0.0, 0.0);
    for asked in SIZES {
        let beyond = has(asked)?.checked_sub(asked).context("a block is too small")?;
        let percent = beyond as f64 / asked as f64 * 100.0;
        worst = f64::max(worst, percent);
        sum += percent;
    }
    ensure!(sum > 0.0, "no size is rounded");
    Ok(Lost { worst, mean: sum / SIZES.count() as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_lose_nearly_as_much_as_is_asked_for() {
        let Lost { worst, mean } = of_sizes(|asked| Ok(asked.next_power_of_two())).unwrap();
        assert!(worst > 99.9 && worst < 100.0, "{worst}");
        // ∫ (2 / x - 1) dx from 1 to 2, within a doubling.
        let expected = (2.0 * 2f64.ln() - 1.0) * 100.0;
        assert!((mean - expected).abs() < 0.1, "{mean}");
        assert!(of_sizes(|asked| Ok(asked - 1)).is_err());
    }

    #[test]
    fn what_a_block_may_use_is_what_its_segment_counts() {
        let segment = Options::new().capacity(64 << 20).create_anonymous().unwrap();
        for asked in [129, 513, 4097, 100_000, 300_000] {
            let layout = Layout::from_size_align(asked, 8).unwrap();
            let block = segment.allocate(layout).unwrap();
            let raw = |stats: &sharena::Stats| {
                let of_class = |class: &sharena::ClassStats| class.blocks.raw * class.block;
                stats.classes.iter().map(of_class).sum::<u64>() + stats.runs.raw.bytes
            };
            let counted = raw(&segment.stats().unwrap());
            assert_eq!(segment.usable_size(block).unwrap() as u64, counted, "{asked}");
            segment.deallocate(block).unwrap();
        }
    }
}

//! What small blocks cost beside themselves.

use super::taken;
use anyhow::Result;
use sharena::Options;
use std::alloc::Layout;

/// Bytes of blocks that are allocated.
const ALLOCATED: u64 = 64 << 20;

/// Hundredths of the bytes of such blocks, that are taken beside them.
pub fn percent(block: u64) -> Result<f64> {
    let segment = Options::new().capacity(1 << 30).create_anonymous()?;
    let layout = Layout::from_size_align(block as usize, 8)?;
    let before = segment.stats()?;
    for _ in 0..ALLOCATED / block {
        segment.allocate(layout)?;
    }
    let taken = taken(&before, &segment.stats()?);
    Ok((taken as f64 / ALLOCATED as f64 - 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_byte_of_state_for_each_block_at_least() {
        for block in [16, 64] {
            let (percent, states) = (percent(block).unwrap(), 100.0 / block as f64);
            assert!(percent >= states && percent < 2.0 * states, "{percent} at {block}");
        }
    }

    #[test]
    fn what_rounding_takes_is_seen() {
        // 20 bytes have a block of 32.
        assert!(percent(20).unwrap() > 60.0);
    }
}

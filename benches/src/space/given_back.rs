//! What a segment gives back to the system when all in it is freed.

use super::backed;
use super::trace::{ALL, FULL};
use anyhow::{Result, ensure};
use sharena::{Options, Segment};

/// Named objects, beside blocks.
const NAMES: usize = 10_000;

/// Hundredths of the memory behind the segment when it was full, its tables included.
pub fn percent() -> Result<f64> {
    let segment = Options::new().capacity(1 << 30).create_anonymous()?;
    let full = fill_and_empty(&segment)?;
    segment.trim()?;
    Ok((1.0 - backed(&segment)? as f64 / full as f64) * 100.0)
}

/// Bytes behind it in between.
fn fill_and_empty(segment: &Segment) -> Result<u64> {
    let mut random = fastrand::Rng::with_seed(1);
    let (mut blocks, mut bytes) = (Vec::new(), 0);
    while bytes < FULL {
        let layout = ALL.draw(&mut random);
        blocks.push(segment.allocate(layout)?);
        bytes += layout.size() as u64;
    }
    for i in 0..NAMES {
        segment.construct(&format!("object {i}"), i as u64)?;
    }
    let full = backed(segment)?;
    random.shuffle(&mut blocks);
    for block in blocks {
        segment.deallocate(block)?;
    }
    let cleared = segment.clear()?;
    ensure!(cleared == NAMES, "{cleared} objects of {NAMES}");
    Ok(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_trim_that_gives_back() {
        let segment = Options::new().capacity(1 << 30).create_anonymous().unwrap();
        let full = fill_and_empty(&segment).unwrap();
        assert!(full > FULL && backed(&segment).unwrap() > FULL, "{full}");
        segment.trim().unwrap();
        let (kept, says) = (backed(&segment).unwrap(), segment.stats().unwrap().committed);
        assert!(kept < FULL / 2 && says.abs_diff(kept) < 1 << 20, "{kept}, {says}");
    }
}

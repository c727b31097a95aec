//! What a named object costs beside itself.

use super::taken;
use anyhow::Result;
use sharena::Options;

const NAMES: u64 = 100_000;
/// Bytes of a name.
const LENGTH: u64 = 20;

/// Bytes that are taken for each, its 8 bytes included, and without its name's.
pub fn bytes_of_each() -> Result<f64> {
    let segment = Options::new().capacity(1 << 30).create_anonymous()?;
    let before = segment.stats()?;
    for i in 0..NAMES {
        segment.construct(&name(i), i)?;
    }
    Ok(taken(&before, &segment.stats()?) as f64 / NAMES as f64 - LENGTH as f64)
}

fn name(number: u64) -> String {
    format!("object {number:013}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_costs_more_than_its_value() {
        assert_eq!(name(NAMES).len() as u64, LENGTH);
        let bytes = bytes_of_each().unwrap();
        assert!(bytes > 8.0 && bytes < 1000.0, "{bytes}");
    }
}

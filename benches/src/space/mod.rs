//! Works of space: what memory costs beside what was asked for, and whether it comes back.

mod given_back;
pub mod held;
mod metadata;
mod names;
mod rounding;
mod trace;

use crate::args::{Kind, Work};
use crate::fresh;
use crate::gate::PEERS;
use crate::measure::{Case, Scope};
use crate::results::{Key, Sample, Unit};
use anyhow::Result;
use sharena::{Segment, Stats};
use std::fs::File;
use std::os::unix::fs::MetadataExt;

/// Rounds of what comes out the same each time, but for the kernel's share of it.
const FEW: u32 = 3;

/// All that was asked for.
pub fn cases(scope: &mut Scope) -> Result<Vec<Case>> {
    let mut peers = PEERS.to_vec();
    peers.retain(|peer| scope.has(peer));
    let mut cases = Vec::new();
    let mut add = |work, size, unit, what: fn(u64) -> Result<f64>| {
        if scope.wants_by(work, Kind::Threads, 1) {
            let mut case = Case::new(Key::new(work, Kind::Threads, 1).of_size(size), unit);
            // It is counted, and the same each time.
            case.at_most = 1;
            case.add("sharena", move || Ok(Sample::Figure(what(size)?)));
            cases.push(case);
        }
    };
    add(Work::Metadata, 16, Unit::Percent, metadata::percent);
    add(Work::Metadata, 64, Unit::Percent, metadata::percent);
    add(Work::RoundingWorst, 0, Unit::Percent, |_| Ok(rounding::lost()?.worst));
    add(Work::RoundingMean, 0, Unit::Percent, |_| Ok(rounding::lost()?.mean));
    add(Work::GivenBack, 0, Unit::Percent, |_| given_back::percent());
    add(Work::NameBytes, 0, Unit::Bytes, |_| names::bytes_of_each());
    if scope.wants_by(Work::Held, Kind::Threads, 1) {
        let mut case = Case::new(Key::new(Work::Held, Kind::Threads, 1), Unit::Bytes);
        case.at_most = if scope.is_quick() { 1 } else { FEW };
        for name in ["published", held::TRIMMED].into_iter().chain(peers) {
            case.add(name, move || held::sample(fresh::ask(Work::Held, name)?));
        }
        case.add("noop", || held::sample(held::live()?));
        cases.push(case);
    }
    Ok(cases)
}

/// Bytes of memory that the kernel says are behind a segment, in whatever process' page tables they are.
fn backed(segment: &Segment) -> Result<u64> {
    let file = File::from(segment.as_fd().try_clone_to_owned()?);
    Ok(file.metadata()?.blocks() * 512)
}

/// Bytes that were taken between two counts: of what is used, which tells of slabs, and of what is committed,
/// which also tells of tables and of blocks kept at hand, the larger.
fn taken(before: &Stats, after: &Stats) -> u64 {
    /// Bytes of a unit.
    const UNIT: u64 = 64 << 10;
    // Units that stand ready for the next growth, of whatever size, are no price of these blocks.
    let committed = |stats: &Stats| stats.committed - stats.units.free * UNIT;
    (after.used - before.used).max(committed(after) - committed(before))
}

//! `bytes`: what small blocks cost beside themselves.

use crate::args::BytesArgs;
use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use sharena::Stats;
use std::alloc::Layout;

/// Bytes of blocks that are allocated.
const ALLOCATED: u64 = 64 << 20;

/// Bytes of a unit.
const UNIT: u64 = 64 << 10;

/// Size of a block and the percentage of metadata that it may have.
const BARS: [(u64, f64); 2] = [(16, 7.0), (64, 2.0)];

/// The command; whether every bar that was asked for is met.
pub fn run(args: &BytesArgs) -> Result<bool> {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "block",
        "blocks",
        "asked",
        "used",
        "committed",
        "metadata of used",
        "of committed",
        "at most",
        "",
    ]);
    let mut all = true;
    for (size, limit) in BARS {
        let segment = sharena::Options::new().capacity(1 << 30).create_anonymous()?;
        let layout = Layout::from_size_align(size as usize, 8)?;
        let before = segment.stats()?;
        for _ in 0..ALLOCATED / size {
            segment.allocate(layout)?;
        }
        let after = segment.stats()?;
        let used = after.used - before.used;
        // Units that stand ready for the next growth, of whatever size, are no price of these blocks.
        let taken = |stats: &Stats| stats.committed - stats.units.free * UNIT;
        let committed = taken(&after) - taken(&before);
        let percent = |bytes: u64| (bytes as f64 / ALLOCATED as f64 - 1.0) * 100.0;
        // What is used tells of slabs; what is committed also of tables and of blocks kept at hand.
        let met = percent(used) <= limit && percent(committed) <= limit;
        all &= met;
        table.add_row([
            format!("{size} B"),
            (ALLOCATED / size).to_string(),
            ALLOCATED.to_string(),
            used.to_string(),
            committed.to_string(),
            format!("{:.2} %", percent(used)),
            format!("{:.2} %", percent(committed)),
            format!("{limit} %"),
            if met { "met".into() } else { "NOT MET".to_owned() },
        ]);
    }
    for column in 0..8 {
        table.column_mut(column).expect("nine of them").set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    Ok(all || !args.gate)
}

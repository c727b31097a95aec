//! Law: any bytes can be checked, and looking at them changes none.

use super::tests::{assert_clean, raw};
use super::*;
use crate::Options;
use crate::heap::unit::UNIT;
use crate::sync::Relaxed;

/// Numbers as from dice (xorshift).
fn dice(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn any_bytes_can_be_checked() {
    use std::os::unix::fs::FileExt;
    let scratch = crate::file::tests::Scratch::new("check-any-bytes");
    let path = scratch.path("image");
    let segment = Options::new().capacity(1 << 20).create_at(&path).unwrap();
    for i in 0..300 {
        segment.construct(&format!("n{i}"), i as u64).unwrap();
    }
    segment.construct_slice_default::<u8>("run", 300_000).unwrap();
    segment.own_slice(1_000_000, |i| i as u8).unwrap().publish();
    raw(&segment, 5 * UNIT);
    let arena = &segment.attached().arena;
    let (layout, first, end) = (*arena.layout(), arena.first_unit(), arena.frontier());
    let current = arena.header().names_current.load(Relaxed);
    let lane_records = (layout.lanes + crate::layout::Layout::lane_stride(), 4096);
    drop(segment);
    let units = u64::from(end.0 - first.0);
    // Where words are that mean something, and how many bytes of them.
    let areas = [
        (128, 256),
        (layout.participants, 256),
        lane_records,
        (layout.unit_words + u64::from(first.0) * 8, units * 8),
        (layout.doorbells + u64::from(first.0) * 8, units * 8),
        (layout.state_lines + u64::from(first.0) * 32, units * 32),
        (current, 5000),
        (first.offset(), units << 16),
    ];
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let (mut state, mut opened) = (0x9e37_79b9_7f4a_7c15, 0);
    for round in 0..400 {
        let mut changed = Vec::new();
        for _ in 0..=dice(&mut state) % 6 {
            let (start, bytes) = areas[dice(&mut state) as usize % areas.len()];
            let at = start + dice(&mut state) % bytes / 8 * 8;
            let mut was = [0; 8];
            file.read_exact_at(&mut was, at).unwrap();
            let old = u64::from_ne_bytes(was);
            let new = match dice(&mut state) % 5 {
                0 => dice(&mut state),
                1 => old ^ 1 << (dice(&mut state) % 64),
                2 => old.wrapping_add(1 << (dice(&mut state) % 40)),
                3 => {
                    let shift = dice(&mut state) % 30;
                    let mut field = |bits: u64, at: u64| (dice(&mut state) % (1 << bits)) << at;
                    field(4, 0) | field(12, 4) | field(6, 20) | field(shift, 28)
                }
                _ => (first.offset() + dice(&mut state) % (units << 16)) & !15,
            };
            file.write_all_at(&new.to_ne_bytes(), at).unwrap();
            changed.push((at, was));
        }
        if let Ok(segment) = Segment::open_at(&path) {
            opened += 1;
            let report = segment.check().unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert!(!report.to_string().is_empty());
            segment.stats().unwrap();
            drop(segment);
        }
        for (at, was) in changed.into_iter().rev() {
            file.write_all_at(&was, at).unwrap();
        }
        for word in 0..32 {
            file.write_all_at(&[0; 64], layout.participants + word * 64).unwrap();
        }
        file.write_all_at(&vec![0; 8 * 4096], lane_records.0).unwrap();
    }
    assert!(opened > 200, "most images can be opened: {opened}");
    assert_clean(&Segment::open_at(&path).unwrap(), "as it was");
}

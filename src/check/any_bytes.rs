//! Laws: any bytes can be checked, and looking at them changes none; any bytes can be recovered.

use super::tests::{assert_clean, raw};
use super::*;
use crate::Options;
use crate::heap::unit::{UNIT, Unit};
use crate::process::lane::LaneOwner;
use crate::process::participant::{ParticipantId, ParticipantWord};
use crate::sync::Relaxed;
use std::os::unix::fs::FileExt;

/// Numbers as from dice (xorshift).
fn dice(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A segment in a file, and where in it words are that mean something.
struct Image {
    path: std::path::PathBuf,
    file: std::fs::File,
    /// Each: where, and how many bytes.
    areas: Vec<(u64, u64)>,
    participants: u64,
    lane_records: u64,
    /// Of the first unit.
    unit_words: u64,
    first: UnitIndex,
    units: u64,
}

fn image(scratch: &crate::file::tests::Scratch) -> Image {
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
    let areas = vec![
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
    let (participants, lane_records) = (layout.participants, lane_records.0);
    let unit_words = layout.unit_words + u64::from(first.0) * 8;
    Image { path, file, areas, participants, lane_records, unit_words, first, units }
}

impl Image {
    /// Changes some words at random; what stood there.
    fn spoil(&self, state: &mut u64) -> Vec<(u64, [u8; 8])> {
        let mut changed = Vec::new();
        for _ in 0..=dice(state) % 6 {
            let (start, bytes) = self.areas[dice(state) as usize % self.areas.len()];
            let at = start + dice(state) % bytes / 8 * 8;
            let mut was = [0; 8];
            self.file.read_exact_at(&mut was, at).unwrap();
            let old = u64::from_ne_bytes(was);
            let new = match dice(state) % 6 {
                0 => dice(state),
                1 => old ^ 1 << (dice(state) % 64),
                2 => old.wrapping_add(1 << (dice(state) % 40)),
                // Like a unit's word, of any lane or of the first.
                kind @ (3 | 4) => {
                    let shift = dice(state) % 30;
                    let mut field = |bits: u64, at: u64| (dice(state) % (1 << bits)) << at;
                    let lane = if kind == 3 { field(12, 4) } else { 1 << 4 };
                    field(4, 0) | lane | field(6, 20) | field(shift, 28)
                }
                _ => (self.first.offset() + dice(state) % (self.units << 16)) & !15,
            };
            self.file.write_all_at(&new.to_ne_bytes(), at).unwrap();
            changed.push((at, was));
        }
        changed
    }
}

#[test]
fn any_bytes_can_be_checked() {
    let scratch = crate::file::tests::Scratch::new("check-any-bytes");
    let image = image(&scratch);
    let (mut state, mut opened) = (0x9e37_79b9_7f4a_7c15, 0);
    let looker = Options::new().recover_at_open(false);
    for round in 0..400 {
        let changed = image.spoil(&mut state);
        if let Ok(segment) = looker.open_at(&image.path) {
            opened += 1;
            let report = segment.check().unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert!(!report.to_string().is_empty());
            segment.stats().unwrap();
            drop(segment);
        }
        for (at, was) in changed.into_iter().rev() {
            image.file.write_all_at(&was, at).unwrap();
        }
        for word in 0..32 {
            image.file.write_all_at(&[0; 64], image.participants + word * 64).unwrap();
        }
        image.file.write_all_at(&vec![0; 8 * 4096], image.lane_records).unwrap();
    }
    assert!(opened > 200, "most images can be opened: {opened}");
    assert_clean(&Segment::open_at(&image.path).unwrap(), "as it was");
}

#[test]
fn any_bytes_can_be_recovered() {
    let scratch = crate::file::tests::Scratch::new("recover-any-bytes");
    let image = image(&scratch);
    let whole = std::fs::read(&image.path).unwrap();
    let (mut state, mut opened, mut recovered) = (0x2545_f491_4f6c_dd1d, 0, 0);
    for round in 0..100 {
        // The first lane is that of a dead process, with some journal.
        let dead = ParticipantWord::Dead { counter: 0 }.word();
        let owner = LaneOwner::Active(ParticipantId(1).since(0)).word();
        image.file.write_all_at(&2u64.to_ne_bytes(), 128 + 64 + 8).unwrap();
        image.file.write_all_at(&dead.to_ne_bytes(), image.participants + 64).unwrap();
        image.file.write_all_at(&owner.to_ne_bytes(), image.lane_records).unwrap();
        let journal = image.lane_records + 64;
        for (field, value) in [(0, dice(&mut state) % 7), (4, dice(&mut state) % 5000)] {
            image.file.write_all_at(&value.to_ne_bytes(), journal + field * 8).unwrap();
        }
        for field in 1..4 {
            let at = (image.first.offset() + dice(&mut state) % (image.units << 16)) & !15;
            image.file.write_all_at(&at.to_ne_bytes(), journal + field * 8).unwrap();
        }
        for _ in 0..8 {
            let shift = dice(&mut state) % 30;
            let mut field = |bits: u64, at: u64| (dice(&mut state) % (1 << bits)) << at;
            let word = (field(4, 0) % 9) | (1 << 4) | field(6, 20) | field(shift, 28);
            let at = image.unit_words + field(20, 0) % image.units * 8;
            image.file.write_all_at(&word.to_ne_bytes(), at).unwrap();
        }
        image.spoil(&mut state);
        if let Ok(segment) = Segment::open_at(&image.path) {
            opened += 1;
            recovered += u64::from(segment.recover().is_ok());
            segment.check().unwrap_or_else(|error| panic!("round {round}: {error}"));
            drop(segment);
        }
        for (number, part) in whole.chunks(1 << 16).enumerate() {
            let at = (number << 16) as u64;
            let mut now = vec![0; part.len()];
            image.file.read_exact_at(&mut now, at).unwrap();
            if now != part {
                image.file.write_all_at(part, at).unwrap();
            }
        }
    }
    assert!(opened > 50 && recovered > 50, "of 100: {opened} opened, {recovered} recovered");
}

#[test]
fn counts_beyond_the_tables_are_no_reason_to_look_there() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    segment.construct("a lane", 1u8).unwrap();
    let arena = &segment.attached().arena;
    let header = arena.header();
    for (what, count) in [
        ("participants", &header.participants_high),
        ("lanes", &header.lanes_high),
        ("frontier", &header.frontier),
    ] {
        let was = count.swap(u64::MAX, crate::sync::SeqCst);
        assert!(segment.recover().unwrap().is_nothing());
        assert!(!segment.check().unwrap().is_clean(), "{what}");
        segment.stats().unwrap();
        count.store(was, crate::sync::SeqCst);
    }
    assert_clean(&segment, "as it was");
}

#[test]
fn a_circle_of_arrays_is_an_error() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    segment.construct("there", 1u8).unwrap();
    let arena = &segment.attached().arena;
    let current = arena.header().names_current.load(Relaxed);
    let array = crate::names::array::Array::at(arena, current).unwrap();
    array.next().store(current, crate::sync::SeqCst);
    assert!(segment.find::<u8>("there").unwrap().is_some());
    segment.construct("absent", 1u8).unwrap_err();
}

#[test]
fn what_a_dead_lane_had_beyond_the_frontier_is_left_alone() {
    use crate::heap::size_class::ClassId;
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let (arena, other) = (&segment.attached().arena, segment.clone());
    std::thread::spawn(move || drop(other.own(1u8))).join().unwrap();
    let run = crate::Offset::from_bits(raw(&segment, 5 * UNIT)).unwrap();
    segment.deallocate(run).unwrap();
    // Lane 1 is ours, the thread had the second.
    let (lane, dead) = (LaneId(2), ParticipantId(1));
    let last = UnitIndex(arena.frontier().0 - 1);
    let wide = ClassId::all().find(|class| class.cut().span > 2).unwrap();
    let (run, slot) = (Unit::Freeing { len: 2, lane }, 0);
    assert_eq!(arena.unit(last), Some(Unit::Free));
    for unit in [run, Unit::Slab { class: wide, lane, slot }] {
        let word = arena.unit_word(last);
        arena.set(crate::layout::SetId::Free).remove(last.0 as usize);
        word.store(unit.word(), crate::sync::SeqCst);
        let record = arena.lane(lane);
        record.owner.store(LaneOwner::Active(dead.since(0)).word(), crate::sync::SeqCst);
        let participant = &arena.participants()[1].word;
        participant.store(ParticipantWord::Dead { counter: 0 }.word(), crate::sync::SeqCst);
        arena.header().participants_high.store(2, crate::sync::SeqCst);
        segment.recover().unwrap();
        assert_ne!(arena.unit(last), Some(Unit::Free), "{unit:?}");
        for beyond in 1..wide.cut().span {
            let beyond = last.plus(beyond);
            assert_eq!(arena.unit_word(beyond).load(Relaxed), 0);
            assert!(!arena.set(crate::layout::SetId::Free).contains(beyond.0 as usize), "{unit:?}");
        }
    }
}

//! The account passes what is right, and names what is planted.

use super::*;
use crate::operations;
use crate::process::{self, End, Page};
use crate::stage::{Creator, Victim};
use std::alloc::Layout;
use std::mem::{ManuallyDrop, forget};
use std::path::PathBuf;

/// A directory that is removed however the test ends.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A victim performs the operation, does `more` and dies; what the account says when the survivor has
/// done something, too.
fn settle(
    test: &str,
    recoverer: Recoverer,
    more: fn(&Segment),
    survivor: fn(&Segment),
) -> Result<Outcome> {
    let name = format!("/dev/shm/sharena-account-{}-{test}", std::process::id());
    let directory = Directory(name.into());
    std::fs::create_dir(&directory.0)?;
    let operation = operations::all().find(|operation| operation.name == "construct-new");
    let (operation, page) = (operation.context("an operation")?, Page::new()?);
    let stage = Stage::new(&directory.0, Creator::Survivor, &page)?;
    let account = Account::begin(&stage, operation, operation.setup)?;
    let child = process::fork(&page, || {
        let victim = ManuallyDrop::new(Victim::new(&stage));
        (operation.prepare)(&stage, &victim)();
        more(victim.segment());
    })?;
    ensure!(process::wait(child)? == End::Exited(0), "{}", page.text());
    survivor(stage.segment());
    account.settle(true, recoverer, &Fresh::measure()?)
}

/// What is planted, and a word of what the account must say.
fn finds(test: &str, more: fn(&Segment), survivor: fn(&Segment), says: &str) {
    for recoverer in (0..3).map(Recoverer::of_turn) {
        let said = settle(test, recoverer, more, survivor).map_err(|error| format!("{error:#}"));
        let found = said.as_ref().is_err_and(|text| text.contains(says));
        assert!(found, "{recoverer:?}: not {says:?}, but {said:?}");
    }
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 16).expect("a layout")
}

fn nothing(_: &Segment) {}

#[test]
fn what_is_right_passes() {
    for recoverer in (0..3).map(Recoverer::of_turn) {
        let settled = settle("right", recoverer, nothing, nothing);
        assert_eq!(settled.expect("nothing is wrong"), Outcome::After);
    }
}

#[test]
fn a_raw_block_too_many_is_found() {
    let leak = |segment: &Segment| {
        segment.allocate(layout(100)).expect("there is room");
    };
    finds("raw", leak, nothing, "raw: 1");
}

#[test]
fn an_object_too_many_is_found() {
    let leak = |segment: &Segment| {
        segment.own([1u64; 4]).expect("there is room").publish();
    };
    finds("unnamed", leak, nothing, "unnamed: 1");
    let leak = |segment: &Segment| operations::objects::construct(segment, "made-001");
    finds("named", leak, nothing, "named: 2");
}

#[test]
fn a_private_block_that_is_lost_is_found() {
    let leak =
        |segment: &Segment| forget(segment.allocate_block(layout(100)).expect("there is room"));
    finds("private", nothing, leak, "after all was given back");
}

#[test]
fn an_object_that_is_not_there_is_found() {
    let undo = |segment: &Segment| {
        segment.destroy::<Value>("made-000").expect("it is there");
    };
    finds("undone", undo, nothing, "it is through, but");
}

#[test]
fn a_value_that_changed_is_found() {
    fn change(segment: &Segment, name: &str) {
        let object = segment.find::<Value>(name).expect("whole").expect("it is there");
        // SAFETY: nobody else looks at it now.
        unsafe { (*object.as_ptr())[1] += 1 };
    }
    finds("kept", |segment| change(segment, KEEP), nothing, "value 0 of keep");
    finds("made", |segment| change(segment, "made-000"), nothing, "value 0 of made-000");
}

#[test]
fn a_damaged_state_byte_is_found() {
    let damage = |segment: &Segment| {
        let block = segment.allocate(layout(64)).expect("there is room");
        segment.deallocate(block).expect("it is allocated");
        // The states of small blocks lie at the end of their unit: 1,008, and what fills their last line.
        let state = (block.to_bits() / UNIT + 1) * UNIT - 100;
        let state = Offset::<u8>::from_bits(state).expect("an offset");
        let state = segment.address(state).expect("it has memory");
        // SAFETY: inside the slab; that it is no state is the point.
        unsafe { state.as_ptr().write(7) };
    };
    finds("damage", damage, nothing, "damage (block-state)");
}

//! Objects: published, constructed, found, destroyed; the table of names.

use super::{
    Act, BLOCK, Held, MADE, NOTHING, Operation, RUN, SLAB, enter, free_all, named, raw, raws,
    unnamed, warm_up,
};
use crate::stage::{Stage, Value, Victim, value};
use anyhow::Result;
use sharena::{ObjectError, Segment};
use std::mem::forget;

/// A type that nobody else uses.
pub type Other = [u32; 3];
/// The only value of it.
pub const OTHER: Other = [7, 8, 9];
/// The name of an object of it.
pub const MADE_OTHER: &str = "made-other";
/// The name of a slice of [`SLICE`] values.
pub const MADE_SLICE: &str = "made-slice";
/// How many values that slice has.
pub const SLICE: usize = 100;
/// The name of an object that is a run.
pub const MADE_RUN: &str = "made-run";
/// How many values that has: 320 KB.
pub const RUN_VALUES: usize = 10_000;
/// What the survivor has constructed.
pub const KEEP: &str = "keep";

/// Names with which the table, as it is at first, takes no two more.
const NEARLY_FULL: usize = 48;
/// Names with which an array of 512 slots does not.
const NEARLY_LONG: usize = 412;

pub const OPERATIONS: &[Operation] = &[
    Operation::new("publish-owned", |_, victim| {
        let owned = victim.segment().own(value("unnamed", 0)).expect("there is room");
        Box::new(move || {
            owned.publish();
        })
    })
    .turns(NOTHING, unnamed(1))
    .of_steps(2),
    Operation::new("publish-owned-new-type", |_, victim| {
        let owned = victim.segment().own(OTHER).expect("there is room");
        Box::new(move || {
            owned.publish();
        })
    })
    .turns(NOTHING, unnamed(1))
    .of_steps(10),
    Operation::new("construct-first", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| construct(segment, "made-000"))
    })
    .turns(NOTHING, named(1))
    .of_steps(100),
    Operation::new("construct-new", |_, victim| {
        let segment = victim.segment();
        warm_up(segment);
        Box::new(|| construct(segment, "made-000"))
    })
    .turns(NOTHING, named(1))
    .of_steps(12),
    Operation::new("construct-known-name", |_, victim| {
        let segment = victim.segment();
        warm_up(segment);
        Box::new(|| construct(segment, "made-000"))
    })
    .set_up(|stage| {
        construct(stage.segment(), "made-000");
        destroy(stage.segment(), "made-000");
        Ok(Held::new())
    })
    .turns(NOTHING, named(1))
    .of_steps(10),
    Operation::new("construct-new-type", |_, victim| {
        let segment = victim.segment();
        warm_up(segment);
        Box::new(|| forget(segment.construct(MADE_OTHER, OTHER).expect("there is room")))
    })
    .turns(NOTHING, named(1))
    .of_steps(20),
    Operation::new("construct-slice", |_, victim| {
        let segment = victim.segment();
        warm_up(segment);
        Box::new(|| construct_slice(segment, MADE_SLICE, SLICE))
    })
    .turns(NOTHING, named(1))
    .of_steps(20),
    Operation::new("construct-run", |_, victim| {
        let segment = victim.segment();
        warm_up(segment);
        Box::new(|| construct_slice(segment, MADE_RUN, RUN_VALUES))
    })
    .turns(NOTHING, named(1))
    .of_steps(20),
    Operation::new("construct-loses", |_, victim| {
        let segment = victim.segment();
        warm_up(segment);
        Box::new(|| {
            let lost = segment.construct(KEEP, value(KEEP, 0)).map(|_| ());
            assert!(matches!(lost, Err(ObjectError::AlreadyExists { .. })), "{lost:?}");
        })
    })
    .of_steps(5),
    Operation::new("find", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| drop(segment.find_slice::<Value>(KEEP).expect("a slice")))
    })
    .of_steps(4),
    Operation::new("find-absent", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| assert!(segment.find::<Value>("made-000").expect("whole").is_none()))
    })
    .of_steps(2),
    Operation::new("find-or-construct-new", |_, victim| {
        let segment = victim.segment();
        warm_up(segment);
        Box::new(|| {
            let made = || value("made-000", 0);
            let (object, is_new) =
                segment.find_or_construct("made-000", made).expect("there is room");
            assert!(is_new);
            forget(object);
        })
    })
    .turns(NOTHING, named(1))
    .of_steps(12),
    Operation::new("find-or-construct-old", |_, victim| {
        let segment = victim.segment();
        warm_up(segment);
        Box::new(|| {
            let made = || value("made-000", 1);
            let (object, is_new) =
                segment.find_or_construct("made-000", made).expect("there is room");
            assert!(!is_new && *object == value("made-000", 0));
        })
    })
    .set_up(|stage| {
        construct(stage.segment(), "made-000");
        Ok(Held::new())
    })
    .keeps(named(1))
    .of_steps(4),
    Operation::new("resolve", |stage, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| drop(segment.resolve::<Value>(stage.noted(0)).expect("it is there")))
    })
    .set_up(publish_one)
    .keeps(unnamed(1))
    .of_steps(2),
    Operation::new("destroy", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| destroy(segment, "made-000"))
    })
    .set_up(|stage| {
        construct(stage.segment(), "made-000");
        Ok(Held::new())
    })
    .turns(named(1), NOTHING)
    .of_steps(8),
    Operation::new("destroy-own", |_, victim| {
        let segment = victim.segment();
        construct(segment, "made-000");
        Box::new(|| destroy(segment, "made-000"))
    })
    .turns(named(1), NOTHING)
    .of_steps(8),
    Operation::new("destroy-absent", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| assert!(!segment.destroy::<Value>("made-000").expect("whole")))
    })
    .of_steps(2),
    Operation::new("destroy-at", |stage, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| segment.destroy_at::<Value>(stage.noted(0)).expect("it is there"))
    })
    .set_up(publish_one)
    .turns(unnamed(1), NOTHING)
    .of_steps(5),
    Operation::new("destroy-run", |_, victim| {
        let segment = victim.segment();
        warm_up(segment);
        Box::new(|| destroy(segment, MADE_RUN))
    })
    .set_up(|stage| {
        construct_slice(stage.segment(), MADE_RUN, RUN_VALUES);
        Ok(Held::new())
    })
    .turns(named(1), NOTHING)
    .of_steps(15),
    Operation::new("destroy-held", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| destroy(segment, MADE_SLICE))
    })
    .set_up(|stage| hold(stage, MADE_SLICE, SLICE))
    .turns(named(1), NOTHING)
    .of_steps(8),
    Operation::new("destroy-held-run", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| destroy(segment, MADE_RUN))
    })
    .set_up(|stage| hold(stage, MADE_RUN, RUN_VALUES))
    .turns(named(1), NOTHING)
    .of_steps(8),
    Operation::new("names-growth", |_, victim| {
        let segment = victim.segment();
        warm_up(segment);
        Box::new(|| construct_from(segment, NEARLY_FULL, 6))
    })
    .set_up(|stage| {
        construct_from(stage.segment(), 0, NEARLY_FULL);
        Ok(Held::new())
    })
    .turns(named(NEARLY_FULL as u64), named(NEARLY_FULL as u64 + 6))
    .in_parts()
    .of_steps(200),
    Operation::new("names-growth-chunks", |_, victim| {
        let segment = victim.segment();
        warm_up(segment);
        Box::new(|| construct_from(segment, NEARLY_LONG, 8))
    })
    .set_up(|stage| {
        construct_from(stage.segment(), 0, NEARLY_LONG);
        Ok(Held::new())
    })
    .turns(named(NEARLY_LONG as u64), named(NEARLY_LONG as u64 + 8))
    .in_parts()
    .of_steps(1000),
    Operation::new("trim", |_, victim| {
        let segment = victim.segment();
        let blocks = raws(segment, BLOCK, 2 * SLAB);
        free_all(segment, &blocks);
        Box::new(|| {
            segment.trim().expect("there is room");
        })
    })
    .set_up(|stage| {
        free_all(stage.segment(), &[raw(stage.segment(), RUN)]);
        Ok(Held::new())
    })
    .of_steps(20),
    Operation::new("trim-names", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| {
            segment.trim().expect("there is room");
        })
    })
    .set_up(|stage| {
        let segment = stage.segment();
        construct_from(segment, 0, NEARLY_FULL + 6);
        (4..NEARLY_FULL + 6).for_each(|i| destroy(segment, &numbered(i)));
        drop(segment.construct(MADE_OTHER, OTHER)?);
        segment.destroy::<Other>(MADE_OTHER)?;
        Ok(Held::new())
    })
    .keeps(named(4))
    .of_steps(100),
    Operation::new("objects", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| forget(segment.objects().expect("whole")))
    })
    .set_up(|stage| {
        construct_from(stage.segment(), 0, 3);
        Ok(Held::new())
    })
    .keeps(named(3))
    .of_steps(6),
    Operation::new("clear", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| assert_eq!(segment.clear().expect("whole"), 6))
    })
    .set_up(|stage| {
        construct_from(stage.segment(), 0, 5);
        Ok(Held::new())
    })
    .turns(named(5), NOTHING)
    .in_parts()
    .takes_all_names()
    .of_steps(30),
    Operation::new("stats", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| forget(segment.stats().expect("whole")))
    })
    .of_steps(1),
    Operation::new("check", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| assert!(segment.check().expect("whole").is_clean()))
    })
    .of_steps(1),
];

/// Constructs a single value under a name that tells what it is.
pub fn construct(segment: &Segment, name: &str) {
    drop(segment.construct(name, value(name, 0)).expect("there is room"));
}

fn construct_slice(segment: &Segment, name: &str, count: usize) {
    drop(segment.construct_slice(name, count, |i| value(name, i)).expect("there is room"));
}

/// The victim constructs `made-000` where another one may have died.
pub fn construct_if_absent<'s>(_: &'s Stage<'_>, victim: &'s Victim<'_>) -> Act<'s> {
    let segment = victim.segment();
    warm_up(segment);
    Box::new(|| match segment.construct("made-000", value("made-000", 0)) {
        Ok(made) => forget(made),
        Err(ObjectError::AlreadyExists { .. }) => {}
        Err(error) => panic!("{error}"),
    })
}

/// The name of the `i`th object.
pub fn numbered(i: usize) -> String {
    format!("{MADE}-{i:03}")
}

fn construct_from(segment: &Segment, first: usize, count: usize) {
    (first..first + count).for_each(|i| construct(segment, &numbered(i)));
}

fn destroy(segment: &Segment, name: &str) {
    assert!(segment.destroy::<Value>(name).expect("whole"), "{name} is there");
}

fn publish_one<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    stage.note(stage.segment().own(value("unnamed", 0))?.publish());
    Ok(Held::new())
}

/// The survivor constructs a slice and keeps a reference to it.
fn hold<'s>(stage: &'s Stage<'_>, name: &str, count: usize) -> Result<Held<'s>> {
    let segment = stage.segment();
    Ok(vec![segment.construct_slice(name, count, |i| value(name, i))?])
}

/// How many values the object of this name has.
pub fn length_of(name: &str) -> usize {
    match name {
        MADE_SLICE => SLICE,
        MADE_RUN => RUN_VALUES,
        _ => 1,
    }
}

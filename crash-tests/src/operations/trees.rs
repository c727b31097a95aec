//! Objects with parts: constructed, found, destroyed, let fall.

use super::{Held, MADE, NOTHING, Operation, Things, enter, named, objects, warm_up};
use crate::stage::{Stage, Victim};
use anyhow::{Result, ensure};
use sharena::collections::{Box, HashMap, String, Vec};
use sharena::{ObjectError, Segment, Shareable};
use std::mem::forget;

/// How the names of such objects begin.
pub const MADE_TREE: &str = "made-tree";
/// The name of one of whose parts one is a run.
const MADE_TREE_RUN: &str = "made-tree-run";
/// Bytes of that part.
const RUN_BYTES: usize = 300_000;
/// What the survivor has constructed for all of a stage.
const KEEP_TREE: &str = "made-tree-keep";

/// The keys of the map in it.
const KEYS: [&str; 3] = ["one", "two, which is longer", "three"];

/// A value with parts on which parts hang.
#[derive(Shareable)]
pub struct Tree {
    name: String,
    twigs: Vec<Twig>,
    last: Option<Box<Twig>>,
    bytes: Vec<u8>,
    named: HashMap<String, u64>,
}

#[derive(Shareable)]
#[repr(u8)]
enum Twig {
    Bare(u64),
    Leafy { leaves: Vec<Box<u64>>, name: String },
}

fn twig(segment: &Segment, i: u64) -> Twig {
    if i == 0 {
        return Twig::Bare(7);
    }
    let mut leaves = Vec::new_in(segment);
    leaves.extend((0..i).map(|leaf| Box::new_in(leaf, segment)));
    Twig::Leafy { leaves, name: String::from_in(&format!("the twig of {i} leaves"), segment) }
}

/// What an object of this name is.
fn tree(segment: &Segment, name: &str) -> Tree {
    let mut twigs = Vec::new_in(segment);
    twigs.extend((0..3).map(|i| twig(segment, i)));
    let mut bytes = Vec::new_in(segment);
    if name == MADE_TREE_RUN {
        bytes.resize_with(RUN_BYTES, || 9);
    }
    let mut named = HashMap::new_in(segment);
    named.extend((0..3).map(|i| (String::from_in(KEYS[i], segment), i as u64)));
    Tree {
        named,
        name: String::from_in(name, segment),
        twigs,
        last: Some(Box::new_in(twig(segment, 1), segment)),
        bytes,
    }
}

fn is_twig(found: &Twig, i: u64) -> bool {
    match found {
        Twig::Bare(bare) => i == 0 && *bare == 7,
        Twig::Leafy { leaves, name } => {
            leaves.iter().map(|leaf| **leaf).eq(0..i) && name.ends_with(&format!("{i} leaves"))
        }
    }
}

/// The object is what its name says, to the last part.
pub fn is_whole(segment: &Segment, name: &str) -> Result<()> {
    let found = match segment.find::<Tree>(name) {
        // A copy of a segment whose collections this process uses: they cannot be followed here.
        Err(ObjectError::Alloc(sharena::AllocError::TagTaken)) => return Ok(()),
        found => found?,
    };
    let Some(found) = found else { return Ok(()) };
    let length = if name == MADE_TREE_RUN { RUN_BYTES } else { 0 };
    let is_whole = found.name == name
        && found.twigs.iter().enumerate().all(|(i, twig)| is_twig(twig, i as u64))
        && found.twigs.len() == 3
        && found.last.as_ref().is_some_and(|last| is_twig(last, 1))
        && found.bytes.len() == length
        && found.bytes.iter().all(|byte| *byte == 9)
        && KEYS.iter().enumerate().all(|(i, key)| found.named.get(*key) == Some(&(i as u64)));
    ensure!(is_whole, "{name} is not what was constructed");
    Ok(())
}

/// Has the trace map of the type stand in the segment.
pub fn know(segment: &Segment) -> Result<()> {
    drop(segment.construct(
        "known",
        Tree {
            name: String::new(),
            twigs: Vec::new(),
            last: None,
            bytes: Vec::new(),
            named: HashMap::new(),
        },
    )?);
    ensure!(segment.destroy::<Tree>("known")?, "it was just constructed");
    Ok(())
}

fn construct(segment: &Segment, name: &str) {
    forget(segment.construct(name, tree(segment, name)).expect("there is room"));
}

/// The lane has what it needs for a tree at hand, and knows the type.
fn ready(segment: &Segment) {
    warm_up(segment);
    drop(tree(segment, MADE_TREE));
    know(segment).expect("there is room");
}

fn set_up<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    set_up_named(stage, MADE_TREE)
}

fn set_up_run<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    set_up_named(stage, MADE_TREE_RUN)
}

fn set_up_named<'s>(stage: &'s Stage<'_>, name: &str) -> Result<Held<'s>> {
    let segment = stage.segment();
    drop(segment.construct(name, tree(segment, name))?);
    Ok(Held::new())
}

fn destroy(segment: &Segment, name: &str) {
    assert!(segment.destroy::<Tree>(name).expect("whole"), "{name} is there");
}

fn construct_after<'s>(victim: &'s Victim<'_>, name: &'static str) -> super::Act<'s> {
    let segment = victim.segment();
    ready(segment);
    let value = tree(segment, name);
    std::boxed::Box::new(move || {
        forget(segment.construct(name, value).expect("there is room"));
    })
}

const ONE: Things = named(1);

pub const OPERATIONS: &[Operation] = &[
    Operation::new("construct-tree", |_, victim| construct_after(victim, MADE_TREE))
        .turns(NOTHING, ONE)
        .of_steps(20),
    Operation::new("construct-tree-known-name", |_, victim| construct_after(victim, MADE_TREE))
        .set_up(|stage| {
            objects::construct(stage.segment(), MADE_TREE);
            stage.segment().destroy::<crate::stage::Value>(MADE_TREE)?;
            Ok(Held::new())
        })
        .turns(NOTHING, ONE)
        .of_steps(18),
    Operation::new("construct-tree-new-type", |_, victim| {
        let segment = victim.segment();
        warm_up(segment);
        let value = tree(segment, MADE_TREE);
        std::boxed::Box::new(move || {
            forget(segment.construct(MADE_TREE, value).expect("there is room"));
        })
    })
    .turns(NOTHING, ONE)
    .of_steps(40),
    Operation::new("construct-tree-run", |_, victim| construct_after(victim, MADE_TREE_RUN))
        .turns(NOTHING, ONE)
        .of_steps(20),
    Operation::new("construct-tree-of-threads", |_, victim| {
        // Its parts lie in slabs of another lane of the process, and of one that nobody has any more.
        let segment = victim.segment();
        ready(segment);
        let value = std::thread::scope(|scope| {
            let made = scope.spawn(|| tree(segment, MADE_TREE));
            made.join().expect("there is room")
        });
        std::boxed::Box::new(move || {
            forget(segment.construct(MADE_TREE, value).expect("there is room"));
        })
    })
    .turns(NOTHING, ONE)
    .of_steps(20),
    Operation::new("construct-tree-loses", |_, victim| {
        let segment = victim.segment();
        ready(segment);
        let value = tree(segment, KEEP_TREE);
        std::boxed::Box::new(move || {
            let lost = segment.construct(KEEP_TREE, value).map(|_| ());
            assert!(matches!(lost, Err(ObjectError::AlreadyExists { .. })), "{lost:?}");
        })
    })
    .set_up(|stage| set_up_named(stage, KEEP_TREE))
    .keeps(ONE)
    .of_steps(4),
    Operation::new("find-tree", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        std::boxed::Box::new(|| is_whole(segment, MADE_TREE).expect("it is whole"))
    })
    .set_up(set_up)
    .keeps(ONE)
    .of_steps(4),
    Operation::new("destroy-tree", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        std::boxed::Box::new(|| destroy(segment, MADE_TREE))
    })
    .set_up(set_up)
    .turns(ONE, NOTHING)
    .of_steps(60),
    Operation::new("destroy-tree-own", |_, victim| {
        let segment = victim.segment();
        ready(segment);
        drop(segment.construct(MADE_TREE, tree(segment, MADE_TREE)).expect("there is room"));
        std::boxed::Box::new(|| destroy(segment, MADE_TREE))
    })
    .turns(ONE, NOTHING)
    .of_steps(60),
    Operation::new("destroy-tree-run", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        std::boxed::Box::new(|| destroy(segment, MADE_TREE_RUN))
    })
    .set_up(set_up_run)
    .turns(ONE, NOTHING)
    .of_steps(60),
    Operation::new("let-tree-fall", |_, victim| {
        // Its last reader looks away.
        let segment = victim.segment();
        let found = segment.find::<Tree>(MADE_TREE).expect("whole").expect("it is there");
        destroy(segment, MADE_TREE);
        std::boxed::Box::new(move || drop(found))
    })
    .set_up(set_up)
    .of_steps(50),
    Operation::new("clear-trees", |_, victim| {
        let segment = victim.segment();
        ready(segment);
        construct(segment, MADE_TREE);
        construct(segment, MADE_TREE_RUN);
        std::boxed::Box::new(|| assert_eq!(segment.clear().expect("whole"), 3))
    })
    .turns(named(2), NOTHING)
    .in_parts()
    .takes_all_names()
    .of_steps(55),
];

const _: () = assert!(MADE_TREE.len() > MADE.len());

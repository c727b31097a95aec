//! Every operation that a process can die in: what must be there before, what it does, and what may
//! be there afterwards, whenever it died.

pub mod arcs;
mod deques;
pub mod frames;
mod lists;
mod maps;
mod memory;
pub mod objects;
pub mod processes;
pub mod queues;
pub mod rings;
pub mod shelf;
pub mod trees;

use crate::stage::{Stage, Value, Victim};
use anyhow::Result;
use sharena::{Block, Offset, Ref, Segment};
use std::alloc::Layout;

/// References that the survivor holds while the victim dies.
pub type Held<'s> = Vec<Ref<'s, [Value]>>;
/// The operation itself, alone.
pub type Act<'s> = Box<dyn FnOnce() + 's>;

/// What of an operation there is, counted. What survivors hold is not among it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Things {
    /// The segment: 1, or 0 if it has no name yet.
    pub segments: u64,
    /// Raw blocks, runs among them.
    pub raw: u64,
    /// Bytes of raw runs.
    pub run_bytes: u64,
    /// Published objects without a name.
    pub unnamed: u64,
    /// Objects whose names begin with [`MADE`].
    pub named: u64,
    /// What is on the shelf, in the queue or in the ring, if there is one: see [`shelf::digest_of`],
    /// [`queues::digest_of`], [`frames::digest_of`] and [`rings::digest_of`].
    pub digest: u64,
}

/// How the names of the victim's objects begin.
pub const MADE: &str = "made";

const NOTHING: Things =
    Things { segments: 1, raw: 0, run_bytes: 0, unnamed: 0, named: 0, digest: 0 };

/// One operation. A victim may have died before each of its steps.
#[derive(Clone)]
pub struct Operation {
    /// What it is called.
    pub name: &'static str,
    /// Run by the survivor before the victim begins: what must be there.
    pub setup: for<'s> fn(&'s Stage<'_>) -> Result<Held<'s>>,
    /// Run by the victim before anything is counted.
    pub prepare: for<'s> fn(&'s Stage<'_>, &'s Victim<'_>) -> Act<'s>,
    /// What there is if it did not happen.
    pub before: Things,
    /// What there is if it happened.
    pub after: Things,
    /// It does several things one after the other: anything between before and after may be there.
    pub in_parts: bool,
    /// Steps that it must have, or it does not do what it is for.
    pub least: u64,
    /// A thread other than the one that begins it performs it, until it ends: see
    /// [`TAKES_OVER`](crate::process::TAKES_OVER).
    pub in_own_thread: bool,
    /// It destroys what survivors constructed, too.
    pub takes_all_names: bool,
    /// What is set up for it holds collections. A process follows those of a segment or those of a copy of
    /// it, not both: who looks at copies has another process set it up.
    pub of_collections: bool,
}

type Prepare = for<'s> fn(&'s Stage<'_>, &'s Victim<'_>) -> Act<'s>;
type Setup = for<'s> fn(&'s Stage<'_>) -> Result<Held<'s>>;

impl Operation {
    const fn new(name: &'static str, prepare: Prepare) -> Operation {
        Operation {
            name,
            setup: |_| Ok(Held::new()),
            prepare,
            before: NOTHING,
            after: NOTHING,
            in_parts: false,
            least: 0,
            in_own_thread: false,
            takes_all_names: false,
            of_collections: false,
        }
    }

    const fn set_up(self, setup: Setup) -> Operation {
        Operation { setup, ..self }
    }

    /// Afterwards there is something else than before.
    const fn turns(self, before: Things, after: Things) -> Operation {
        Operation { before, after, ..self }
    }

    /// There is this before and after.
    const fn keeps(self, things: Things) -> Operation {
        self.turns(things, things)
    }

    const fn in_parts(self) -> Operation {
        Operation { in_parts: true, ..self }
    }

    const fn of_steps(self, least: u64) -> Operation {
        Operation { least, ..self }
    }

    const fn takes_all_names(self) -> Operation {
        Operation { takes_all_names: true, ..self }
    }

    const fn of_collections(self) -> Operation {
        Operation { of_collections: true, ..self }
    }

    const fn in_own_thread(self) -> Operation {
        Operation { in_own_thread: true, ..self }
    }
}

/// All operations.
pub fn all() -> impl Iterator<Item = &'static Operation> {
    let with_parts = trees::OPERATIONS;
    let all = processes::OPERATIONS.iter().chain(memory::OPERATIONS);
    let changes = lists::OPERATIONS.iter().chain(deques::OPERATIONS).chain(maps::OPERATIONS);
    let messages = queues::OPERATIONS.iter().chain(rings::OPERATIONS).chain(frames::OPERATIONS);
    let all = all.chain(objects::OPERATIONS).chain(with_parts).chain(changes);
    all.chain(messages).chain(arcs::OPERATIONS)
}

/// Bytes of a block of which 16 fill a unit, and a magazine.
const BLOCK: usize = 4096;
/// Blocks of a slab of such.
const SLAB: usize = 16;
/// Bytes of a block of which a unit has a thousand, and a magazine 256.
const TINY: usize = 64;
/// Bytes of a block of which two fill three units, and one a magazine.
const WIDE: usize = 96 << 10;
/// Bytes of a unit.
const UNIT: usize = 64 << 10;
/// Bytes of a block that is a run of five units.
const RUN: usize = 5 * UNIT;

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 16).expect("a layout")
}

fn raw(segment: &Segment, bytes: usize) -> Offset<u8> {
    segment.allocate(layout(bytes)).expect("there is room")
}

fn raws(segment: &Segment, bytes: usize, count: usize) -> Vec<Offset<u8>> {
    (0..count).map(|_| raw(segment, bytes)).collect()
}

fn private(segment: &Segment, bytes: usize) -> Block<'_> {
    segment.allocate_block(layout(bytes)).expect("there is room")
}

/// Takes private blocks that nobody gives back.
fn hoard(segment: &Segment, bytes: usize, count: usize) {
    (0..count).for_each(|_| std::mem::forget(private(segment, bytes)));
}

fn free(segment: &Segment, block: Offset<u8>) {
    segment.deallocate(block).expect("it is allocated");
}

fn free_all(segment: &Segment, blocks: &[Offset<u8>]) {
    blocks.iter().for_each(|block| free(segment, *block));
}

/// Has the calling thread have blocks at hand for a single value and its name.
fn warm_up(segment: &Segment) {
    objects::construct(segment, "warm");
    segment.destroy::<Value>("warm").expect("it is there");
}

/// Has the calling thread take its lane, and no more.
fn enter(segment: &Segment) {
    segment.contains(MADE).expect("the table of names is whole");
}

const fn raw_blocks(raw: u64) -> Things {
    Things { raw, ..NOTHING }
}

/// So many raw runs of so many units together.
const fn raw_runs(raw: u64, units: u64) -> Things {
    Things { raw, run_bytes: units * UNIT as u64, ..NOTHING }
}

const fn unnamed(unnamed: u64) -> Things {
    Things { unnamed, ..NOTHING }
}

const fn named(named: u64) -> Things {
    Things { named, ..NOTHING }
}

#[cfg(test)]
mod tests {
    use super::all;

    /// The names in the first column of the chapter's table; one that ends in a star stands for all
    /// that begin so.
    fn documented() -> Vec<&'static str> {
        let chapter = include_str!("../../../src/docs/death.md");
        let (_, table) = chapter.split_once("| operations |").expect("the table");
        let first = |line: &'static str| line.strip_prefix("| `")?.split_once(" | ");
        let names = table.lines().filter_map(first).flat_map(|(names, _)| names.split(", "));
        names.map(|name| name.trim_matches('`')).collect()
    }

    fn stands_for(pattern: &str, name: &str) -> bool {
        pattern.strip_suffix('*').map_or(name == pattern, |begin| name.starts_with(begin))
    }

    #[test]
    fn the_chapter_on_death_has_every_operation_once_and_no_other() {
        let documented = documented();
        for operation in all() {
            let rows = documented.iter().filter(|pattern| stands_for(pattern, operation.name));
            assert_eq!(rows.count(), 1, "rows of {}", operation.name);
        }
        for pattern in documented {
            assert!(all().any(|operation| stands_for(pattern, operation.name)), "{pattern}");
        }
    }
}

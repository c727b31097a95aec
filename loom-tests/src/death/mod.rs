//! Death at each step of each protocol, beside who lives, and recovery at any time after.
//!
//! The mortal process works in a thread of its own, and dies before each of its writes in turn, and
//! after all of them. The witness lives, and works beside it and beside the recovery by the heir, which
//! begins when the mortal is dead. In the end all that the mortal did not publish must be there again,
//! once, and its numbers must be free.

mod changes;
mod falls;
mod heap;
mod leases;
mod led;
mod names;
mod recovery;

use crate::harness::{Cells, Model};
use crate::heap::{give, hold, hold_run};
use loom::model::Builder;
use loom::thread::JoinHandle;
use sharena::model::{BLOCK, Worker, World};
use std::rc::Rc;

pub fn models() -> Vec<Model> {
    [
        heap::models(),
        names::models(),
        recovery::models(),
        changes::models(),
        falls::models(),
        leases::models(),
        led::models(),
    ]
    .concat()
}

fn model(
    name: &'static str,
    law: &'static str,
    threads: usize,
    bound: usize,
    check: fn(Builder),
) -> Model {
    Model { name, law, threads, bound: Some(bound), long: Some(bound + 1), check }
}

/// Participants, and one less than their lanes.
const MORTAL: u16 = 0;
const WITNESS: u16 = 1;
const HEIR: u16 = 2;

/// A segment, its cells, and the lanes of the three.
fn three(units: u32) -> (Rc<World>, Cells, [Worker; 3]) {
    let world = World::new(units);
    let cells = Cells::new(world.places());
    let workers = [(MORTAL, 1), (WITNESS, 2), (HEIR, 3)];
    let workers = workers.map(|(participant, lane)| world.worker_of(participant, lane));
    (world, cells, workers)
}

/// Takes `count` blocks of `bytes` and hands them out.
fn hand_out(worker: &Worker, bytes: usize, count: usize) -> Vec<u64> {
    let blocks: Vec<u64> =
        (0..count).map(|_| worker.take(bytes).expect("room for them all")).collect();
    blocks.iter().for_each(|block| worker.publish_raw(*block));
    blocks
}

/// The heir recovers when the mortal is dead, does something `early`, while the witness goes on, and
/// recovers again at rest. What each of the three has to say.
fn inherit<M: 'static, W: 'static, E>(
    heir: &Worker,
    mortal: JoinHandle<M>,
    witness: JoinHandle<W>,
    early: impl FnOnce() -> E,
) -> (M, W, E) {
    let left = mortal.join().unwrap();
    heir.recover();
    let early = early();
    let witness = witness.join().unwrap();
    assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
    (left, witness, early)
}

/// What a lane holds at the end: the blocks that it has taken.
struct Holder(Worker, Vec<u64>);

/// At rest: all blocks of `bytes` are there, each once: held by one of `holders`, published, or free, so
/// that one of them can take it.
fn all_is_there(cells: &Cells, bytes: usize, holders: &[&Holder]) {
    let world = holders[0].0.world();
    // Blocks at hand are PRIVATE: back to the slabs with them.
    holders.iter().for_each(|Holder(worker, _)| _ = worker.give_away_slabs());
    let census = world.census();
    let mut all: Vec<u64> = holders.iter().flat_map(|holder| holder.1.clone()).collect();
    assert_eq!(census.blocks[1] as usize, all.len(), "PRIVATE blocks of nobody: {census:?}");
    for Holder(worker, _) in holders {
        let more = worker.take_all(bytes);
        more.iter().for_each(|block| hold(world, cells, *block));
        all.extend(more);
    }
    let published = census.blocks[2] + census.blocks[4];
    assert_eq!(
        (all.len() + published as usize) * bytes,
        world.places() * BLOCK,
        "memory is lost, or is twice there: {census:?}"
    );
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "a block has two holders: {all:?}");
}

/// Takes blocks of `bytes` as long as there are any.
fn take_and_hold(worker: &Worker, cells: &Cells, bytes: usize) -> Vec<u64> {
    let taken = worker.take_all(bytes);
    taken.iter().for_each(|block| hold(worker.world(), cells, *block));
    taken
}

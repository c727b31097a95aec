//! Death at each step of each protocol, beside who lives, and recovery at any time after.
//!
//! The mortal process works in a thread of its own, and dies before each of its writes in turn, and
//! after all of them. The witness lives, and works beside it and beside the recovery by the heir, which
//! begins when the mortal is dead. In the end all that the mortal did not publish must be there again,
//! once, and its numbers must be free.

mod heap;
mod names;
mod recovery;

use crate::harness::{Cells, Model};
use loom::thread::JoinHandle;
use sharena::model::{BLOCK, Worker, World};
use std::rc::Rc;

pub fn models() -> Vec<Model> {
    [heap::models(), names::models(), recovery::models()].concat()
}

/// Participants, and one less than their lanes.
const MORTAL: u16 = 0;
const WITNESS: u16 = 1;
const HEIR: u16 = 2;

/// Marks a block that was just taken: its new holder writes its cell.
fn hold(world: &World, cells: &Cells, block: u64) {
    cells.write(world.place_of(block), block);
}

/// The holder's last use of a block, then its free.
fn give(worker: &Worker, cells: &Cells, block: u64) {
    cells.write(worker.world().place_of(block), 0);
    worker.free_raw(block);
}

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

/// The heir recovers when the mortal is dead, while the witness goes on, and again at rest.
fn inherit<T: 'static>(heir: &Worker, mortal: JoinHandle<()>, witness: JoinHandle<T>) -> T {
    mortal.join().unwrap();
    heir.recover();
    let witness = witness.join().unwrap();
    assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
    witness
}

/// At rest: the heir gets every block of `bytes` that is not among `others` nor published by the
/// dead, and nobody else has it.
fn takes_all_else(heir: &Worker, cells: &Cells, bytes: usize, others: &[u64]) {
    let world = heir.world();
    let census = world.census();
    let published = census.blocks[2] + census.blocks[4];
    let private = census.blocks[1];
    let mut all = heir.take_all(bytes);
    all.iter().for_each(|block| hold(world, cells, *block));
    let there = all.len() + private as usize + published as usize;
    assert_eq!(
        there * bytes,
        world.places() * BLOCK,
        "memory is lost, or is twice there: {census:?}"
    );
    all.extend(others);
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "a block has two holders: {all:?}");
}

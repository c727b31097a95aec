//! Frees from other lanes, orphans, units.

use crate::harness::{Cells, Model, builder_like, explore};
use loom::model::Builder;
use loom::thread::spawn;
use sharena::model::{BLOCK, Worker, World};
use std::rc::Rc;

/// Two blocks of this size make a slab.
const HALF: usize = 2 * BLOCK;
/// One is a slab.
const WHOLE: usize = 4 * BLOCK;

pub fn models() -> Vec<Model> {
    vec![
        Model {
            name: "heap/remote-free",
            law: "two frees by others, one refill meanwhile: refills at rest find both blocks; no block has two holders",
            threads: 3,
            bound: Some(3),
            long: None,
            check: remote_free,
        },
        Model {
            name: "heap/remote-free-rings",
            law: "a free is announced: one refill finds it, though the cursor is elsewhere",
            threads: 2,
            bound: None,
            long: None,
            check: remote_free_rings,
        },
        Model {
            name: "heap/told-together",
            law: "two frees that are told of together: one refill finds them, though the cursor is elsewhere",
            threads: 2,
            bound: None,
            long: None,
            check: told_together,
        },
        Model {
            name: "heap/orphan",
            law: "a free into a slab that is being given away: who adopts finds the block",
            threads: 2,
            bound: Some(3),
            long: None,
            check: orphan,
        },
        Model {
            name: "heap/adopt",
            law: "two frees into an orphan that is being adopted: each refill of the adopter finds one until it has both",
            threads: 2,
            bound: Some(3),
            long: None,
            check: adopt,
        },
        Model {
            name: "heap/two-adopters",
            law: "of two that adopt an orphan one does, and finds what is free in it",
            threads: 2,
            bound: Some(4),
            long: None,
            check: two_adopters,
        },
        Model {
            name: "heap/orphan-and-adopt",
            law: "the same with slab, free and adopter all under way at once",
            threads: 3,
            bound: Some(1),
            long: None,
            check: orphan_and_adopt,
        },
        Model {
            name: "heap/late-ring",
            law: "a ring for what a unit was loses no free of what it is",
            threads: 3,
            bound: Some(2),
            long: None,
            check: late_ring,
        },
        Model {
            name: "heap/units",
            law: "two that cut slabs of one free unit: one gets it, nothing leaks",
            threads: 2,
            bound: None,
            long: None,
            check: units,
        },
        Model {
            name: "heap/runs",
            law: "two that claim runs roll back whole: one gets room, no unit has two holders, nothing leaks, hints complete",
            threads: 2,
            bound: Some(3),
            long: None,
            check: runs,
        },
        Model {
            name: "heap/run-free",
            law: "a run freed beside a claimer: no unit has two holders, nothing leaks, hints complete",
            threads: 2,
            bound: Some(3),
            long: None,
            check: run_free,
        },
        Model {
            name: "heap/run-resize",
            law: "a run that shrinks and grows beside a claimer: the same",
            threads: 2,
            bound: Some(3),
            long: None,
            check: run_resize,
        },
    ]
}

/// Marks a block that was just taken: its new holder writes its cell.
pub fn hold(world: &World, cells: &Cells, block: u64) {
    cells.write(world.place_of(block), block);
}

/// The holder's last use of a block, then its free.
pub fn give(worker: &Worker, cells: &Cells, block: u64) {
    cells.write(worker.world().place_of(block), 0);
    worker.free_raw(block);
}

/// The same with several, told of together.
fn give_together(worker: &Worker, cells: &Cells, blocks: [u64; 2]) {
    for block in blocks {
        cells.write(worker.world().place_of(block), 0);
    }
    worker.free_untold(blocks[0]);
    worker.free_raw(blocks[1]);
}

/// A lane with `count` raw blocks of `bytes`, which it has handed out.
fn handed_out(world: &Rc<World>, lane: u16, bytes: usize, count: usize) -> (Worker, Vec<u64>) {
    let worker = world.worker(lane);
    let blocks: Vec<u64> =
        (0..count).map(|_| worker.take(bytes).expect("room for them all")).collect();
    blocks.iter().for_each(|block| worker.publish_raw(*block));
    (worker, blocks)
}

fn assert_distinct(blocks: &[u64]) {
    let mut sorted = blocks.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), blocks.len(), "a block has two holders: {blocks:?}");
}

fn remote_free(builder: Builder) {
    explore(builder, || {
        let world = World::new(1);
        let cells = Cells::new(world.places());
        let (owner, blocks) = handed_out(&world, 1, HALF, 2);
        let freers: Vec<_> = (2..)
            .zip(blocks.clone())
            .map(|(lane, block)| {
                let (freer, cells) = (world.worker(lane), cells.clone());
                spawn(move || give(&freer, &cells, block))
            })
            .collect();
        let mut taken: Vec<u64> = owner.take(HALF).into_iter().collect();
        taken.iter().for_each(|block| hold(&world, &cells, *block));
        freers.into_iter().for_each(|freer| freer.join().unwrap());
        for block in owner.take_all(HALF) {
            hold(&world, &cells, block);
            taken.push(block);
        }
        assert_distinct(&taken);
        assert_eq!(taken.len(), 2, "a free was lost");
        assert_eq!(world.census().blocks, [0, 2, 0, 0, 0], "the state bytes disagree");
    });
}

fn remote_free_rings(builder: Builder) {
    explore(builder, || {
        let world = World::new(2);
        let cells = Cells::new(world.places());
        let (owner, blocks) = handed_out(&world, 1, HALF, 4);
        // The cursor comes by the slab of the last block in the first refill, not in the second.
        let last = blocks[3];
        let (freer, c) = (world.worker(2), cells.clone());
        let freer = spawn(move || give(&freer, &c, last));
        let meanwhile = owner.refill(HALF);
        freer.join().unwrap();
        assert!(meanwhile || owner.refill(HALF), "a free that nobody announced");
        let taken = owner.take_at_hand(HALF).expect("a refill brought it");
        hold(&world, &cells, taken);
        assert_eq!(taken, last, "a block has two holders");
    });
}

fn told_together(builder: Builder) {
    explore(builder, || {
        let world = World::new(2);
        let cells = Cells::new(world.places());
        let (owner, blocks) = handed_out(&world, 1, BLOCK, 8);
        // The cursor comes by the slab of the last blocks in the first refill, not in the second.
        let last = [blocks[6], blocks[7]];
        let (freer, c) = (world.worker(2), cells.clone());
        let freer = spawn(move || give_together(&freer, &c, last));
        let meanwhile = owner.refill(BLOCK);
        freer.join().unwrap();
        assert!(meanwhile || owner.refill(BLOCK), "a free that nobody announced");
        let mut taken = Vec::new();
        while let Some(block) = owner.take_at_hand(BLOCK).or_else(|| owner.take(BLOCK)) {
            hold(&world, &cells, block);
            taken.push(block);
        }
        assert_distinct(&taken);
        taken.sort_unstable();
        assert_eq!(taken, last, "a free was lost");
    });
}

fn orphan(builder: Builder) {
    for given in [1, 2] {
        explore(builder_like(&builder), move || {
            let world = World::new(1);
            let cells = Cells::new(world.places());
            let (owner, blocks) = handed_out(&world, 1, HALF, given);
            let (freer, c, block) = (world.worker(2), cells.clone(), blocks[0]);
            let freer = spawn(move || give(&freer, &c, block));
            assert!(owner.give_away_slabs(), "a slab without PRIVATE blocks can be given away");
            freer.join().unwrap();
            world.census();
            let adopter = world.worker(3);
            let taken = adopter.take_all(HALF);
            taken.iter().for_each(|block| hold(&world, &cells, *block));
            assert_distinct(&taken);
            assert_eq!(taken.len(), 3 - given, "a free was lost between owner and orphan");
        });
    }
}

/// A slab of four blocks that `owner` gives away, `concurrently` with all else or before: one block
/// of it is free, one freer frees two others one after the other, told of one by one or `together`, and somebody
/// adopts it.
///
/// The adopter has another slab, and takes three times meanwhile, so that its cursor has passed the
/// adopted one when it found two blocks there: what is freed after that must be announced.
fn change_of_owner(concurrently: bool, together: bool) {
    let world = World::new(2);
    let cells = Cells::new(world.places());
    let adopter = world.worker(3);
    let held: Vec<u64> =
        (0..4).map(|_| adopter.take(BLOCK).expect("the segment is empty")).collect();
    let (owner, blocks) = handed_out(&world, 1, BLOCK, 3);
    if !concurrently {
        assert!(owner.give_away_slabs());
    }
    let (freer, c, to_free) = (world.worker(2), cells.clone(), [blocks[0], blocks[1]]);
    let freer = spawn(move || match together {
        true => give_together(&freer, &c, to_free),
        false => to_free.into_iter().for_each(|block| give(&freer, &c, block)),
    });
    let c = cells.clone();
    let adopt = move || {
        let taken: Vec<u64> = (0..3).filter_map(|_| adopter.take(BLOCK)).collect();
        taken.iter().for_each(|block| hold(adopter.world(), &c, *block));
        (adopter, taken)
    };
    let (adopter, mut taken) = if concurrently {
        let adopter = spawn(adopt);
        assert!(owner.give_away_slabs(), "a slab without PRIVATE blocks can be given away");
        adopter.join().unwrap()
    } else {
        adopt()
    };
    freer.join().unwrap();
    world.census();
    while taken.len() < 3 {
        assert!(adopter.refill(BLOCK), "a free was lost, or not announced, in a change of owner");
        while let Some(block) = adopter.take_at_hand(BLOCK) {
            hold(&world, &cells, block);
            taken.push(block);
        }
    }
    taken.extend(held);
    assert_distinct(&taken);
    assert!(!taken.contains(&blocks[2]), "a block that is held was taken");
}

fn adopt(builder: Builder) {
    for together in [false, true] {
        explore(builder_like(&builder), move || change_of_owner(false, together));
    }
}

fn orphan_and_adopt(builder: Builder) {
    for together in [false, true] {
        explore(builder_like(&builder), move || change_of_owner(true, together));
    }
}

fn two_adopters(builder: Builder) {
    explore(builder, || {
        let world = World::new(1);
        let cells = Cells::new(world.places());
        let (owner, blocks) = handed_out(&world, 1, BLOCK, 2);
        assert!(owner.give_away_slabs());
        let adopt = |lane| {
            let (adopter, cells) = (world.worker(lane), cells.clone());
            move || {
                let taken = adopter.take_all(BLOCK);
                taken.iter().for_each(|block| hold(adopter.world(), &cells, *block));
                (adopter, taken)
            }
        };
        let other = spawn(adopt(2));
        let (_mine, mut taken) = adopt(3)();
        let (_others, others) = other.join().unwrap();
        assert!(
            taken.is_empty() != others.is_empty(),
            "one adopts the slab: {taken:?}, {others:?}"
        );
        taken.extend(others);
        assert_distinct(&taken);
        assert_eq!(taken.len(), 2, "the adopter finds what is free");
        assert!(
            !taken.contains(&blocks[0]) && !taken.contains(&blocks[1]),
            "a block that is held was taken"
        );
        world.census();
    });
}

fn late_ring(builder: Builder) {
    explore(builder, || {
        let world = World::new(2);
        let cells = Cells::new(world.places());
        let filler = world.worker(4).take_run(1).expect("the segment is empty");
        let (owner, blocks) = handed_out(&world, 1, HALF, 2);
        owner.free_private(filler);
        let freers = [(2, blocks[0]), (3, blocks[1])].map(|(lane, block)| {
            let (freer, cells) = (world.worker(lane), cells.clone());
            spawn(move || {
                give(&freer, &cells, block);
                freer
            })
        });
        // If both are freed already, the slab goes back to the free units, and becomes another, the
        // second one of its class.
        owner.give_away_slabs();
        let whole = owner.take_all(WHOLE);
        whole.iter().for_each(|block| hold(&world, &cells, *block));
        let [freer, _other] = freers.map(|freer| freer.join().unwrap());
        if let [_, second] = whole[..] {
            owner.publish_raw(second);
            give(&freer, &cells, second);
            // The cursor has been at the second slab in the refill that failed.
            assert!(owner.refill(WHOLE), "a free into a new slab was not announced");
            assert_eq!(owner.take_at_hand(WHOLE), Some(second), "a block has two holders");
        }
        world.census();
    });
}

fn units(builder: Builder) {
    explore(builder, || {
        let world = World::new(1);
        let cells = Cells::new(world.places());
        let (other, c) = (world.worker(2), cells.clone());
        let other = spawn(move || {
            let taken = other.take(WHOLE);
            if let Some(block) = taken {
                hold(other.world(), &c, block);
            }
            taken
        });
        let worker = world.worker(1);
        let mine = worker.take(WHOLE);
        if let Some(block) = mine {
            hold(&world, &cells, block);
        }
        let others = other.join().unwrap();
        assert!(mine.is_some() != others.is_some(), "of two that claim one unit one gets it");
        world.census();
    });
}

/// The cells of all units of a run are its holder's.
pub fn hold_run(world: &World, cells: &Cells, run: u64, units: usize) {
    let first = world.place_of(run);
    (0..units).for_each(|unit| cells.write(first + 4 * unit, run));
}

fn runs(builder: Builder) {
    explore(builder, || {
        let world = World::new(3);
        let cells = Cells::new(world.places());
        let (other, c) = (world.worker(2), cells.clone());
        let other = spawn(move || {
            let run = other.take_run(2);
            run.iter().for_each(|run| hold_run(other.world(), &c, *run, 2));
            run
        });
        let worker = world.worker(1);
        let mine = worker.take_run(2);
        mine.iter().for_each(|run| hold_run(&world, &cells, *run, 2));
        let others = other.join().unwrap();
        assert!(
            mine.is_some() != others.is_some(),
            "three units have room for one run of two, and one there must be"
        );
        let census = world.census();
        assert_eq!((census.free_units, census.runs), (1, 2), "a unit leaked in a roll-back");
    });
}

fn run_free(builder: Builder) {
    explore(builder, || {
        let world = World::new(2);
        let cells = Cells::new(world.places());
        let worker = world.worker(1);
        let run = worker.take_run(2).expect("the segment is empty");
        hold_run(&world, &cells, run, 2);
        let (other, c) = (world.worker(2), cells.clone());
        let other = spawn(move || {
            let run = other.take_run(1);
            run.iter().for_each(|run| hold_run(other.world(), &c, *run, 1));
            (other, run)
        });
        worker.free_private(run);
        let again = worker.take_run(1);
        again.iter().for_each(|run| hold_run(&world, &cells, *run, 1));
        let (other, others) = other.join().unwrap();
        world.census();
        assert!(again.is_some(), "two units have room for two");
        let others = others.or_else(|| other.take_run(1));
        assert!(others.is_some(), "two units have room for two");
        let census = world.census();
        assert_eq!((census.free_units, census.runs), (0, 2), "a unit leaked");
    });
}

fn run_resize(builder: Builder) {
    explore(builder, || {
        let world = World::new(3);
        let cells = Cells::new(world.places());
        let worker = world.worker(1);
        let run = worker.take_run(2).expect("the segment is empty");
        hold_run(&world, &cells, run, 2);
        let (other, c) = (world.worker(2), cells.clone());
        let other = spawn(move || {
            let run = other.take_run(1);
            run.iter().for_each(|run| hold_run(other.world(), &c, *run, 1));
            run
        });
        assert!(worker.resize_run(run, 1), "a run can always shrink");
        let grew = worker.resize_run(run, 2);
        hold_run(&world, &cells, run, if grew { 2 } else { 1 });
        let others = other.join().unwrap();
        assert!(others.is_some(), "there was a free unit all the time");
        let census = world.census();
        let mine = 1 + u32::from(grew);
        assert_eq!((census.free_units, census.runs), (2 - mine, mine + 1), "a unit leaked");
    });
}

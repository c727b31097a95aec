//! Lanes and pins.

use crate::harness::{Cells, Model, explore};
use loom::model::Builder;
use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::Ordering::{AcqRel, Acquire};
use loom::thread::spawn;
use sharena::model::{BLOCK, World};
use std::rc::Rc;

pub fn models() -> Vec<Model> {
    vec![
        Model {
            name: "process/lanes",
            law: "a lane has one thread at a time, which sees what the last one left",
            threads: 3,
            bound: Some(3),
            long: None,
            check: lanes,
        },
        Model {
            name: "process/registration",
            law: "a slot has one process at a time, described as itself; who lives is not judged dead",
            threads: 3,
            bound: Some(2),
            long: None,
            check: registration,
        },
        Model {
            name: "process/pin",
            law: "a Limbo block that a pin names is not taken",
            threads: 2,
            bound: None,
            long: None,
            check: pin,
        },
        Model {
            name: "process/two-pins",
            law: "the same with two that pin",
            threads: 3,
            bound: Some(2),
            long: None,
            check: two_pins,
        },
    ]
}

fn lanes(builder: Builder) {
    explore(builder, || {
        let (world, cells) = (World::new(1), Cells::new(8));
        let others = [0, 1].map(|participant| {
            let (world, cells) = (world.clone(), cells.clone());
            spawn(move || {
                let lane = world.take_lane(participant).expect("there are lanes for all");
                cells.write(usize::from(lane), 1);
                cells.write(usize::from(lane), 0);
                world.give_back_lane(lane);
                let again = world.take_lane(participant).expect("there are lanes for all");
                assert_eq!(cells.read(usize::from(again)), 0, "a lane that somebody else uses");
                cells.write(usize::from(again), 1);
                again
            })
        });
        let taken = others.map(|other| other.join().unwrap());
        assert_ne!(taken[0], taken[1], "two threads have one lane");
        assert_eq!(world.lanes_of(2), [1, 1], "a lane that nobody has is lost");
    });
}

/// Two processes come and go in one slot, beside one who recovers whoever is dead.
fn registration(builder: Builder) {
    explore(builder, || {
        let (world, cells) = (World::new(1), Cells::new(1));
        let heir = world.worker_of(2, 1);
        let visits = [0, 1].map(|process| {
            let (world, cells) = (world.clone(), cells.clone());
            spawn(move || {
                let slot = world.attach(process, 0..1)?;
                cells.write(0, u64::from(process));
                assert_eq!(world.described(slot), u64::from(process), "another's description");
                world.detach(slot);
                Some(slot)
            })
        });
        assert_eq!(heir.recovered().processes, 0, "one who lives was judged dead");
        let came = visits.map(|visit| visit.join().unwrap());
        assert!(came.iter().any(Option::is_some), "a slot was free, and nobody got it");
        assert!(world.attach(0, 0..1).is_some(), "a slot that nobody has is lost");
    });
}

/// One lane owns the block behind `link`, unlinks and retires it, and takes whatever it can; the
/// others pin the block and look into it.
fn unlink_beside(readers: usize) {
    let (world, cells) = (World::new(1), Cells::new(4));
    let owner = world.worker(1);
    // The one other block of the slab stays held, so that the one that is retired is all there is.
    let (block, _held) = (owner.take(2 * BLOCK).unwrap(), owner.take(2 * BLOCK).unwrap());
    cells.write(world.place_of(block), 7);
    owner.publish(block);
    let link = Rc::new(AtomicU64::new(block));
    let readers: Vec<_> = (0..readers)
        .map(|i| {
            let (world, cells, link) = (world.clone(), cells.clone(), link.clone());
            let reader = world.worker(2 + i as u16);
            spawn(move || {
                let seen = link.load(Acquire);
                if seen == 0 {
                    return reader;
                }
                let pinned = reader.pin(seen);
                if link.load(Acquire) == seen {
                    assert_eq!(cells.read(world.place_of(seen)), 7, "a pinned block was taken");
                }
                reader.unpin(pinned);
                reader
            })
        })
        .collect();
    assert!(link.compare_exchange(block, 0, AcqRel, Acquire).is_ok());
    owner.retire(block);
    let taken = owner.take(2 * BLOCK);
    if let Some(taken) = taken {
        cells.write(world.place_of(taken), 8);
    }
    readers.into_iter().for_each(|reader| drop(reader.join().unwrap()));
    let at_rest = taken.or_else(|| owner.take(2 * BLOCK));
    assert_eq!(at_rest, Some(block), "a Limbo block that nobody names must be taken");
}

fn pin(builder: Builder) {
    explore(builder, || unlink_beside(1));
}

fn two_pins(builder: Builder) {
    explore(builder, || unlink_beside(2));
}

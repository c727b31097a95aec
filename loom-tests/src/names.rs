//! The table of names.

use crate::harness::{Cells, Model, explore};
use loom::model::Builder;
use loom::thread::{JoinHandle, spawn};
use sharena::model::{BLOCK, Worker, World};
use std::rc::Rc;

pub fn models() -> Vec<Model> {
    vec![
        Model {
            name: "names/two-constructors",
            law: "of two that construct a new name one does, and both find its value, whole",
            threads: 2,
            bound: Some(3),
            long: None,
            check: two_constructors,
        },
        Model {
            name: "names/known-name",
            law: "the same for a name that had an object before",
            threads: 2,
            bound: Some(3),
            long: None,
            check: known_name,
        },
        Model {
            name: "names/with-entry",
            law: "of two that construct a new name one does; its entry stands behind the object",
            threads: 2,
            bound: Some(3),
            long: None,
            check: with_entry,
        },
        Model {
            name: "names/with-entry-known",
            law: "the same for a name whose entry stands behind an object that is destroyed: it stays there",
            threads: 2,
            bound: Some(3),
            long: None,
            check: with_entry_known,
        },
        Model {
            name: "names/with-entry-find",
            law: "what a finder has pinned is not taken, though its name is forgotten whose entry stands behind it",
            threads: 2,
            bound: Some(2),
            long: None,
            check: with_entry_find,
        },
        Model {
            name: "names/with-entry-dead",
            law: "a block goes when its object is destroyed and its entry is in no array any more",
            threads: 2,
            bound: Some(2),
            long: None,
            check: with_entry_dead,
        },
        Model {
            name: "names/find-and-destroy",
            law: "what a finder has pinned is not taken: it reads the value, or finds nothing",
            threads: 2,
            bound: Some(3),
            long: None,
            check: find_and_destroy,
        },
        Model {
            name: "names/two-destroyers",
            law: "of two that destroy an object one does, and its block is taken once",
            threads: 2,
            bound: Some(3),
            long: None,
            check: two_destroyers,
        },
        Model {
            name: "names/destroy-and-construct",
            law: "a name destroyed and constructed, also in the same block, has the last object constructed, or none",
            threads: 2,
            bound: Some(2),
            long: None,
            check: destroy_and_construct,
        },
        Model {
            name: "names/migration-new",
            law: "a new name constructed while the table moves is in the new one",
            threads: 2,
            bound: Some(2),
            long: None,
            check: migration_new,
        },
        Model {
            name: "names/migration-two",
            law: "of two that construct a new name while the table moves one does, in whichever array",
            threads: 2,
            bound: Some(2),
            long: None,
            check: migration_two,
        },
        Model {
            name: "names/migration-known",
            law: "a name without object constructed while the table sheds it is there afterwards",
            threads: 2,
            bound: Some(2),
            long: None,
            check: migration_known,
        },
        Model {
            name: "names/migration-dead",
            law: "a name that one leaves behind while another copies it goes with the last array in which it stands",
            threads: 2,
            bound: Some(2),
            long: None,
            check: migration_dead,
        },
        Model {
            name: "names/migration-find",
            law: "a name that is there is found throughout a migration, and arrays are not given back under the finder",
            threads: 2,
            bound: Some(2),
            long: None,
            check: |builder| migration_find(builder, false),
        },
        Model {
            name: "names/migration-find-again",
            law: "the same, of a finder that has found the name before, and goes the usual way to the array it saw",
            threads: 2,
            bound: Some(2),
            long: None,
            check: |builder| migration_find(builder, true),
        },
        Model {
            name: "names/growth",
            law: "two that construct one name in a full table: both help, one does, all names are kept",
            threads: 2,
            bound: Some(1),
            long: None,
            check: growth,
        },
    ]
}

/// An object with its value, not yet named.
pub fn object(worker: &Worker, cells: &Cells, value: u64) -> u64 {
    let block = worker.take(BLOCK).expect("memory for an object");
    cells.write(worker.world().place_of(block), value);
    worker.write_object(block);
    block
}

/// The value of a name; the pin is over afterwards.
pub fn value_of(worker: &Worker, cells: &Cells, name: &str) -> Option<u64> {
    let found = worker.find(name)?;
    let value = cells.read(worker.world().place_of(found.object));
    worker.unpin(found);
    Some(value)
}

/// Takes a block if there is one, as its new holder.
pub fn take_and_write(worker: &Worker, cells: &Cells) -> Option<u64> {
    let block = worker.take(BLOCK)?;
    worker.overwrite(block);
    cells.write(worker.world().place_of(block), 99);
    Some(block)
}

/// A segment with a table of two slots, its cells, and a lane.
fn table(units: u32) -> (Rc<World>, Cells, Worker) {
    let world = World::new(units);
    let cells = Cells::new(world.places());
    let worker = world.worker(1);
    worker.found_names();
    (world, cells, worker)
}

pub fn names_of(worker: &Worker) -> Vec<String> {
    let mut names: Vec<String> = worker.live_names().into_iter().map(|(name, _)| name).collect();
    names.sort();
    names
}

/// Each of two lanes constructs "a"; then it must be there, with the winner's value.
fn construct_by_both(world: &Rc<World>, cells: &Cells, worker: &Worker) {
    construct_by_both_as(world, cells, worker, Worker::construct);
}

fn construct_by_both_as(
    world: &Rc<World>,
    cells: &Cells,
    worker: &Worker,
    construct: fn(&Worker, &str, u64) -> bool,
) {
    let (other, c) = (world.worker(2), cells.clone());
    let theirs = object(&other, cells, 2);
    let mine = object(worker, cells, 1);
    let other = spawn(move || {
        let won = construct(&other, "a", theirs);
        assert!(
            matches!(value_of(&other, &c, "a"), Some(1 | 2)),
            "the name is taken, and its value must be whole"
        );
        (other, won)
    });
    let won = construct(worker, "a", mine);
    let value = value_of(worker, cells, "a");
    let (other, other_won) = other.join().unwrap();
    assert!(won != other_won, "of two that construct one name one does: {won}, {other_won}");
    assert_eq!(value, Some(if won { 1 } else { 2 }), "the name has the winner's value");
    assert_eq!(
        worker.live_names().iter().filter(|(name, _)| name == "a").count(),
        1,
        "the name has two objects"
    );
    other.free_private(if won { theirs } else { mine });
}

fn two_constructors(builder: Builder) {
    explore(builder, || {
        let (world, cells, worker) = table(2);
        construct_by_both(&world, &cells, &worker);
    });
}

fn known_name(builder: Builder) {
    explore(builder, || {
        let (world, cells, worker) = table(3);
        assert!(worker.construct("a", object(&worker, &cells, 0)));
        assert!(worker.destroy("a"));
        construct_by_both(&world, &cells, &worker);
    });
}

fn with_entry(builder: Builder) {
    explore(builder, || {
        let (world, cells, worker) = table(2);
        construct_by_both_as(&world, &cells, &worker, Worker::construct_with_entry);
    });
}

fn with_entry_known(builder: Builder) {
    explore(builder, || {
        let (world, cells, worker) = table(2);
        assert!(worker.construct_with_entry("a", object(&worker, &cells, 0)));
        assert!(worker.destroy("a"));
        construct_by_both_as(&world, &cells, &worker, Worker::construct_with_entry);
        assert!(worker.destroy("a"), "one constructed it");
        worker.shed();
        worker.reap();
        assert_eq!(world.census().blocks[2], 1, "the array is all that is left");
    });
}

fn with_entry_find(builder: Builder) {
    explore(builder, || {
        let (world, cells, worker) = table(1);
        assert!(worker.construct_with_entry("a", object(&worker, &cells, 1)));
        let finder = find_meanwhile(&world, &cells);
        assert!(worker.destroy("a"), "nobody else destroys it");
        worker.shed();
        while take_and_write(&worker, &cells).is_some() {}
        finder.join().unwrap();
        worker.reap();
        assert_eq!(world.census().blocks[2], 1, "the array is all that is left");
    });
}

fn with_entry_dead(builder: Builder) {
    explore(builder, || {
        dead_as(Worker::construct_with_entry);
    });
}

/// A table with the name "a" of value 1, and no free block in the only unit but one that is to come.
fn one_name() -> (Rc<World>, Cells, Worker) {
    let (world, cells, worker) = table(1);
    assert!(worker.construct("a", object(&worker, &cells, 1)));
    let held = worker.take_all(BLOCK);
    assert_eq!(held.len(), 1, "array, object, entry, and one");
    (world, cells, worker)
}

/// A lane looks for "a", of value 1, which another destroys.
fn find_meanwhile(world: &Rc<World>, cells: &Cells) -> JoinHandle<()> {
    let (finder, c) = (world.worker(2), cells.clone());
    spawn(move || {
        let value = value_of(&finder, &c, "a");
        assert!(
            matches!(value, None | Some(1)),
            "a finder read {value:?} in a block that was taken again"
        );
    })
}

fn find_and_destroy(builder: Builder) {
    explore(builder, || {
        let (world, cells, worker) = one_name();
        let finder = find_meanwhile(&world, &cells);
        assert!(worker.destroy("a"), "nobody else destroys it");
        let taken = take_and_write(&worker, &cells);
        finder.join().unwrap();
        assert!(
            taken.is_some() || take_and_write(&worker, &cells).is_some(),
            "a destroyed object leaves its block"
        );
    });
}

fn two_destroyers(builder: Builder) {
    explore(builder, || {
        let (world, cells, worker) = one_name();
        let other = world.worker(2);
        let other = spawn(move || other.destroy("a"));
        let destroyed = worker.destroy("a");
        let first = take_and_write(&worker, &cells);
        let others = other.join().unwrap();
        assert!(destroyed != others, "an object is destroyed once: {destroyed}, {others}");
        let second = take_and_write(&worker, &cells);
        assert!(
            first.is_some() != second.is_some(),
            "its block is taken once: {first:?}, {second:?}"
        );
        assert_eq!(value_of(&worker, &cells, "a"), None, "a destroyed object is found");
    });
}

fn destroy_and_construct(builder: Builder) {
    explore(builder, || {
        let (world, cells, worker) = table(2);
        assert!(worker.construct("a", object(&worker, &cells, 1)));
        let (other, c) = (world.worker(2), cells.clone());
        let new = object(&other, &cells, 2);
        assert_eq!(worker.take_all(BLOCK).len(), 1, "array, object, entry, and one");
        let other = spawn(move || {
            let constructed = other.construct("a", new);
            let value = value_of(&other, &c, "a");
            assert!(matches!(value, None | Some(1..=3)), "a finder read {value:?}");
            constructed
        });
        assert!(worker.destroy("a"), "nobody else destroys it");
        // The same block again under the same name, as fast as can be.
        let again = worker.take(BLOCK).is_some_and(|block| {
            worker.overwrite(block);
            cells.write(world.place_of(block), 3);
            worker.write_object(block);
            worker.construct("a", block)
        });
        let constructed = other.join().unwrap();
        assert!(!(constructed && again), "a name has one object at a time");
        let expected = if constructed { Some(2) } else { again.then_some(3) };
        assert_eq!(value_of(&worker, &cells, "a"), expected, "what was constructed last is there");
        assert_eq!(worker.live_names().len(), usize::from(expected.is_some()));
    });
}

fn migration_new(builder: Builder) {
    explore(builder, || {
        let (world, cells, worker) = table(3);
        assert!(worker.construct("a", object(&worker, &cells, 1)));
        assert!(worker.destroy("a"));
        let (other, c) = (world.worker(2), cells.clone());
        let new = object(&other, &cells, 2);
        let other = spawn(move || {
            assert!(other.construct("b", new), "nobody else has the name");
            assert_eq!(value_of(&other, &c, "b"), Some(2), "constructed, and not found");
        });
        // "a" has no object: the table moves, and leaves it behind.
        worker.shed();
        other.join().unwrap();
        assert_eq!(
            value_of(&worker, &cells, "b"),
            Some(2),
            "constructed during a migration, and lost by it"
        );
        assert_eq!(names_of(&worker), ["b"]);
    });
}

/// Who is to be stalled, between its look at a place and its look for another array, begins.
fn migration_two(builder: Builder) {
    explore(builder, || {
        let (world, cells, worker) = table(4);
        assert!(worker.construct("a", object(&worker, &cells, 1)));
        assert!(worker.destroy("a"));
        let other = world.worker(2);
        let (mine, theirs) = (object(&worker, &cells, 2), object(&other, &cells, 3));
        let other = spawn(move || {
            let won = other.construct("b", theirs);
            other.shed();
            won
        });
        let won = worker.construct("b", mine);
        let value = value_of(&worker, &cells, "b");
        assert!(matches!(value, Some(2 | 3)), "the name is taken, and its value must be whole");
        let other_won = other.join().unwrap();
        assert_ne!(won, other_won, "one constructs it, and one finds that it is there");
        assert_eq!(value_of(&worker, &cells, "b"), Some(if won { 2 } else { 3 }));
        assert_eq!(names_of(&worker), ["b"], "a name has one object");
    });
}

fn migration_known(builder: Builder) {
    explore(builder, || {
        let (world, cells, worker) = table(3);
        assert!(worker.construct("a", object(&worker, &cells, 1)));
        assert!(worker.destroy("a"));
        let (other, c) = (world.worker(2), cells.clone());
        let new = object(&other, &cells, 2);
        let other = spawn(move || {
            assert!(other.construct("a", new), "nobody else constructs it");
            assert_eq!(value_of(&other, &c, "a"), Some(2), "constructed, and not found");
        });
        worker.shed();
        other.join().unwrap();
        assert_eq!(
            value_of(&worker, &cells, "a"),
            Some(2),
            "constructed, and left behind by the migration"
        );
        assert_eq!(names_of(&worker), ["a"]);
    });
}

fn migration_dead(builder: Builder) {
    explore(builder, || {
        dead_as(Worker::construct);
    });
}

/// One destroys "a" and helps a table to move that another moves.
fn dead_as(construct: fn(&Worker, &str, u64) -> bool) {
    let (world, cells, worker) = table(3);
    assert!(construct(&worker, "a", object(&worker, &cells, 1)));
    worker.begin_migration();
    let other = world.worker(2);
    let other = spawn(move || {
        assert!(other.destroy("a"), "nobody else destroys it");
        other.help_migration();
        other
    });
    worker.help_migration();
    let other = other.join().unwrap();
    worker.reap();
    // It may stand in this table as well.
    worker.shed();
    let published = world.census().blocks[2];
    assert_eq!(published, 1, "the array is all that is left, and the entry is given back");
    drop(other);
}

fn migration_find(builder: Builder, again: bool) {
    explore(builder, move || {
        let (world, cells, worker) = table(2);
        assert!(worker.construct("a", object(&worker, &cells, 1)));
        assert!(worker.construct("b", object(&worker, &cells, 2)));
        assert!(worker.destroy("b"));
        let (finder, c) = (world.worker(2), cells.clone());
        if again {
            assert_eq!(value_of(&finder, &cells, "a"), Some(1));
        }
        let finder = spawn(move || {
            assert_eq!(
                value_of(&finder, &c, "a"),
                Some(1),
                "a name that is there is found throughout"
            );
            if again {
                // No pin, and so no fence, stands between its looks and their end.
                assert_eq!(value_of(&finder, &c, "b"), None);
            }
        });
        worker.shed();
        // The first array and b's entry may be anybody's by now.
        while take_and_write(&worker, &cells).is_some() {}
        finder.join().unwrap();
        assert_eq!(names_of(&worker), ["a"]);
    });
}

fn growth(builder: Builder) {
    explore(builder, || {
        let (world, cells, worker) = table(4);
        assert!(worker.construct("x", object(&worker, &cells, 7)));
        assert!(worker.construct("y", object(&worker, &cells, 8)));
        construct_by_both(&world, &cells, &worker);
        assert_eq!(names_of(&worker), ["a", "x", "y"]);
    });
}

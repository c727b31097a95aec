//! Death in the table of names: an object is constructed whole or not at all, and destroyed whole or
//! not at all; whatever hangs in between comes back.

use super::{MORTAL, hold, inherit, model, three};
use crate::harness::{Cells, Death, Model, each_death};
use crate::names::{names_of, object, take_and_write, value_of};
use loom::model::Builder;
use loom::thread::spawn;
use sharena::model::{BLOCK, Worker, World};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub fn models() -> Vec<Model> {
    vec![
        model(
            "death/construct-and-find",
            "one dies as it constructs: a finder sees the value whole or nothing, and nothing is lost",
            3,
            1,
            construct_and_find,
        ),
        model(
            "death/two-constructors",
            "of two that construct one name one dies: the name has one value, whole",
            3,
            1,
            two_constructors,
        ),
        model(
            "death/known-name",
            "the same for a name that had an object before",
            3,
            1,
            known_name,
        ),
        model(
            "death/with-entry-construct",
            "one dies as it constructs an object and its entry in one block, beside another: one has the name",
            3,
            1,
            with_entry_construct,
        ),
        model(
            "death/with-entry-known",
            "the same for a name whose entry stands behind an object that is destroyed",
            3,
            1,
            with_entry_known,
        ),
        model(
            "death/with-entry-shed",
            "one dies as it destroys an object and forgets its name, both in one block: that comes back once",
            3,
            1,
            with_entry_shed,
        ),
        model(
            "death/destroy-and-find",
            "one dies as it destroys: a finder reads the value or finds nothing; its block comes back once",
            3,
            1,
            destroy_and_find,
        ),
        model(
            "death/two-destroyers",
            "of two that destroy an object one dies: it is gone if either says so, its block comes back once",
            3,
            1,
            two_destroyers,
        ),
        model(
            "death/destroy-and-construct",
            "one dies as it destroys what another constructs anew: the name has the new object, or the old one whole",
            3,
            1,
            destroy_and_construct,
        ),
        model(
            "death/migration-known",
            "one dies as the table moves: a name that another constructs meanwhile is there",
            3,
            1,
            migration_known,
        ),
        model(
            "death/migration-find",
            "one dies as the table moves: a name that is there is found throughout",
            3,
            1,
            migration_find,
        ),
        model(
            "death/growth",
            "one dies as it constructs in a full table, beside another: all names are kept",
            3,
            1,
            growth,
        ),
        model(
            "death/second-intent",
            "one dies as it constructs, after other uses of the blocks that its journal told before: those stay",
            2,
            1,
            second_intent,
        ),
        model(
            "death/pin",
            "one dies with an object pinned that another destroys: its block comes back when the heir cleared the pin",
            3,
            2,
            pin,
        ),
    ]
}

/// The three, with a table of two slots in `units` units.
fn table(units: u32) -> (Rc<World>, Cells, [Worker; 3]) {
    let all = three(units);
    all.2[2].found_names();
    all
}

/// The witness' end: it holds nothing but what it `took`.
fn give_back(witness: Worker, took: Option<u64>) {
    took.into_iter().for_each(|block| witness.free_private(block));
    assert!(witness.give_away_slabs(), "it holds nothing");
}

/// At rest: with all names destroyed and shed, only the array of names is not free.
pub fn only_the_table_is_left(heir: &Worker, cells: &Cells) {
    for (name, object) in heir.live_names() {
        hold(heir.world(), cells, object);
        assert!(heir.destroy(&name), "{name} was there");
    }
    // Two passes: the first one's old array may have entries that the second one leaves behind.
    for _ in 0..2 {
        heir.shed();
        heir.reap();
    }
    let world = heir.world();
    let mut free = heir.take_all(BLOCK);
    free.iter().for_each(|block| hold(world, cells, *block));
    assert_eq!(free.len() + 1, world.places(), "memory is lost: {:?}", world.census());
    free.sort_unstable();
    free.dedup();
    assert_eq!(free.len() + 1, world.places(), "a block has two holders");
}

/// What is free gets other holders, who write into it: a name that leads there shows.
fn write_over_what_is_free(heir: &Worker, cells: &Cells) {
    let free = heir.take_all(BLOCK);
    for block in &free {
        hold(heir.world(), cells, *block);
        heir.overwrite(*block);
    }
    free.into_iter().for_each(|block| heir.free_private(block));
}

fn construct_and_find(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = table(2);
        let (w, death) = (world.clone(), death.clone());
        let new = object(&mortal, &cells, 1);
        let dying = spawn(move || _ = death.of(MORTAL, &w, || mortal.construct("a", new)));
        let c = cells.clone();
        let witness = spawn(move || {
            let seen = value_of(&witness, &c, "a");
            assert!(matches!(seen, None | Some(1)), "a value that is not whole: {seen:?}");
            seen.is_some()
        });
        let (_, was_seen, ()) = inherit(&heir, dying, witness, || ());
        write_over_what_is_free(&heir, &cells);
        let there = value_of(&heir, &cells, "a");
        assert!(matches!(there, None | Some(1)), "a value that is not whole: {there:?}");
        assert!(there.is_some() || !was_seen, "what was found is gone, though nobody destroyed it");
        only_the_table_is_left(&heir, &cells);
    });
}

/// Mortal and witness construct "a", the witness with value 2.
fn construct_by_both(
    death: &Death,
    world: Rc<World>,
    cells: &Cells,
    workers: [Worker; 3],
) -> Worker {
    construct_by_both_as(death, world, cells, workers, Worker::construct)
}

fn construct_by_both_as(
    death: &Death,
    world: Rc<World>,
    cells: &Cells,
    workers: [Worker; 3],
    construct: fn(&Worker, &str, u64) -> bool,
) -> Worker {
    let [mortal, witness, heir] = workers;
    let (c, w, death) = (cells.clone(), world.clone(), death.clone());
    let (mine, theirs) = (object(&mortal, cells, 1), object(&witness, cells, 2));
    let dying = spawn(move || _ = death.of(MORTAL, &w, || construct(&mortal, "a", mine)));
    let witness = spawn(move || {
        let won = construct(&witness, "a", theirs);
        let value = value_of(&witness, &c, "a");
        assert_eq!(value, Some(if won { 2 } else { 1 }), "the name has the winner's value");
        if !won {
            witness.free_private(theirs);
        }
        (witness, won)
    });
    let (_, (witness, won), ()) = inherit(&heir, dying, witness, || ());
    give_back(witness, None);
    let value = value_of(&heir, cells, "a");
    assert_eq!(value, Some(if won { 2 } else { 1 }), "the name has the winner's value");
    heir
}

fn two_constructors(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, workers) = table(3);
        let heir = construct_by_both(death, world, &cells, workers);
        assert_eq!(names_of(&heir), ["a"]);
        only_the_table_is_left(&heir, &cells);
    });
}

fn known_name(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, workers) = table(3);
        assert!(workers[2].construct("a", object(&workers[2], &cells, 0)));
        assert!(workers[2].destroy("a"));
        let heir = construct_by_both(death, world, &cells, workers);
        assert_eq!(names_of(&heir), ["a"]);
        only_the_table_is_left(&heir, &cells);
    });
}

fn with_entry_construct(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, workers) = table(3);
        let construct = Worker::construct_with_entry;
        let heir = construct_by_both_as(death, world, &cells, workers, construct);
        assert_eq!(names_of(&heir), ["a"]);
        only_the_table_is_left(&heir, &cells);
    });
}

fn with_entry_known(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, workers) = table(3);
        let construct = Worker::construct_with_entry;
        assert!(construct(&workers[2], "a", object(&workers[2], &cells, 0)));
        assert!(workers[2].destroy("a"));
        let heir = construct_by_both_as(death, world, &cells, workers, construct);
        assert_eq!(names_of(&heir), ["a"]);
        only_the_table_is_left(&heir, &cells);
    });
}

fn with_entry_shed(builder: Builder) {
    find_while_destroyed(builder, Worker::construct_with_entry, Worker::shed);
}

fn growth(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, workers) = table(4);
        assert!(workers[2].construct("x", object(&workers[2], &cells, 7)));
        assert!(workers[2].construct("y", object(&workers[2], &cells, 8)));
        let heir = construct_by_both(death, world, &cells, workers);
        assert_eq!(names_of(&heir), ["a", "x", "y"]);
        only_the_table_is_left(&heir, &cells);
    });
}

fn destroy_and_find(builder: Builder) {
    find_while_destroyed(builder, Worker::construct, |_| ());
}

/// The mortal destroys "a", does something `then`, and takes what is free, while the witness looks for it.
fn find_while_destroyed(
    builder: Builder,
    construct: fn(&Worker, &str, u64) -> bool,
    then: fn(&Worker),
) {
    each_death(builder, move |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = table(1);
        assert!(construct(&heir, "a", object(&heir, &cells, 1)));
        assert!(heir.give_away_slabs(), "it holds nothing");
        let (c, w, death) = (cells.clone(), world.clone(), death.clone());
        let dying = spawn(move || {
            death.of(MORTAL, &w, || {
                assert!(mortal.destroy("a"), "nobody else destroys it");
                then(&mortal);
                take_and_write(&mortal, &c);
            });
        });
        let c = cells.clone();
        let witness = spawn(move || {
            let value = value_of(&witness, &c, "a");
            assert!(matches!(value, None | Some(1)), "a finder read {value:?}");
            value.is_none()
        });
        let (_, was_gone, ()) = inherit(&heir, dying, witness, || ());
        let there = value_of(&heir, &cells, "a");
        assert!(matches!(there, None | Some(1)), "the heir read {there:?}");
        assert!(!(was_gone && there.is_some()), "what was gone is there again");
        only_the_table_is_left(&heir, &cells);
    });
}

fn two_destroyers(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = table(2);
        assert!(heir.construct("a", object(&heir, &cells, 1)));
        assert!(heir.give_away_slabs(), "it holds nothing");
        let (w, death) = (world.clone(), death.clone());
        let dying = spawn(move || _ = death.of(MORTAL, &w, || mortal.destroy("a")));
        let c = cells.clone();
        let witness = spawn(move || {
            let destroyed = witness.destroy("a");
            let taken = take_and_write(&witness, &c);
            (witness, destroyed, taken)
        });
        let (_, (witness, destroyed, taken), ()) = inherit(&heir, dying, witness, || ());
        let there = value_of(&heir, &cells, "a");
        assert!(
            there.is_none(),
            "destroyed by {}, and found",
            if destroyed { "one" } else { "the other" }
        );
        give_back(witness, taken);
        only_the_table_is_left(&heir, &cells);
    });
}

fn destroy_and_construct(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = table(2);
        assert!(heir.construct("a", object(&heir, &cells, 1)));
        assert!(heir.give_away_slabs(), "it holds nothing");
        let new = object(&witness, &cells, 2);
        let (w, death) = (world.clone(), death.clone());
        let dying = spawn(move || _ = death.of(MORTAL, &w, || mortal.destroy("a")));
        let c = cells.clone();
        let witness = spawn(move || {
            let constructed = witness.construct("a", new);
            let value = value_of(&witness, &c, "a");
            if constructed {
                assert_eq!(value, Some(2), "constructed, and not found");
            } else {
                assert!(matches!(value, None | Some(1)), "a finder read {value:?}");
                witness.free_private(new);
            }
            (witness, constructed)
        });
        let (_, (witness, constructed), ()) = inherit(&heir, dying, witness, || ());
        give_back(witness, None);
        let there = value_of(&heir, &cells, "a");
        if constructed {
            assert_eq!(there, Some(2), "constructed, and gone");
        } else {
            assert!(matches!(there, None | Some(1)), "the heir read {there:?}");
        }
        only_the_table_is_left(&heir, &cells);
    });
}

fn migration_known(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = table(3);
        assert!(heir.construct("a", object(&heir, &cells, 1)));
        assert!(heir.destroy("a"));
        assert!(heir.give_away_slabs(), "it holds nothing");
        let new = object(&witness, &cells, 2);
        let (w, death) = (world.clone(), death.clone());
        let dying = spawn(move || _ = death.of(MORTAL, &w, || mortal.shed()));
        let c = cells.clone();
        let witness = spawn(move || {
            assert!(witness.construct("a", new), "nobody else constructs it");
            assert_eq!(value_of(&witness, &c, "a"), Some(2), "constructed, and not found");
            witness
        });
        let (_, witness, ()) = inherit(&heir, dying, witness, || ());
        give_back(witness, None);
        assert_eq!(value_of(&heir, &cells, "a"), Some(2), "constructed, and left behind");
        assert_eq!(names_of(&heir), ["a"]);
        only_the_table_is_left(&heir, &cells);
    });
}

fn migration_find(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = table(2);
        assert!(heir.construct("a", object(&heir, &cells, 1)));
        assert!(heir.construct("b", object(&heir, &cells, 2)));
        assert!(heir.destroy("b"));
        assert!(heir.give_away_slabs(), "it holds nothing");
        let (c, w, death) = (cells.clone(), world.clone(), death.clone());
        let dying = spawn(move || {
            death.of(MORTAL, &w, || {
                mortal.shed();
                take_and_write(&mortal, &c);
            });
        });
        let c = cells.clone();
        let witness = spawn(move || {
            let value = value_of(&witness, &c, "a");
            assert_eq!(value, Some(1), "a name that is there is found throughout");
        });
        inherit(&heir, dying, witness, || ());
        assert_eq!(names_of(&heir), ["a"]);
        only_the_table_is_left(&heir, &cells);
    });
}

/// The journal of a destroy told a block that is another object by now.
fn second_intent(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = table(2);
        let published = Arc::new(AtomicU64::new(0));
        let (c, w, death, told) = (cells.clone(), world.clone(), death.clone(), published.clone());
        let dying = spawn(move || {
            death.of(MORTAL, &w, || {
                let first = object(&mortal, &c, 1);
                assert!(mortal.construct("a", first));
                assert!(mortal.destroy("a"));
                let mut all = mortal.take_all(BLOCK);
                let at = all.iter().position(|block| *block == first);
                let again = all.swap_remove(at.expect("its block comes back"));
                mortal.write_object(again);
                mortal.publish(again);
                told.store(again, Relaxed);
                let second = all.pop().expect("there are more");
                mortal.write_object(second);
                assert!(mortal.construct("a", second));
            });
        });
        dying.join().unwrap();
        assert!(heir.recover(), "nobody else is at it");
        give_back(witness, None);
        let published = published.load(Relaxed);
        if published != 0 {
            let free = heir.take_all(BLOCK);
            assert!(!free.contains(&published), "an object that was published is free");
            free.into_iter().for_each(|block| heir.free_private(block));
            heir.retire(published);
        }
        only_the_table_is_left(&heir, &cells);
    });
}

fn pin(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = table(2);
        assert!(heir.construct("a", object(&heir, &cells, 1)));
        assert!(heir.give_away_slabs(), "it holds nothing");
        let (c, w, death) = (cells.clone(), world.clone(), death.clone());
        let dying = spawn(move || {
            death.of(MORTAL, &w, || {
                if let Some(found) = mortal.find("a") {
                    assert_eq!(
                        cells_value(&mortal, &c, found.object),
                        1,
                        "a pinned block was taken"
                    );
                }
            });
        });
        let c = cells.clone();
        let witness = spawn(move || {
            assert!(witness.destroy("a"), "nobody else destroys it");
            let taken = take_and_write(&witness, &c);
            (witness, taken)
        });
        let (_, (witness, taken), ()) = inherit(&heir, dying, witness, || ());
        give_back(witness, taken);
        only_the_table_is_left(&heir, &cells);
    });
}

fn cells_value(worker: &Worker, cells: &Cells, object: u64) -> u64 {
    cells.read(worker.world().place_of(object))
}

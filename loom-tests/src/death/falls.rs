//! Death as an object is published, and the block that hangs on it, and as both fall: they are there, or come
//! back, once.

use super::{Holder, MORTAL, WITNESS, all_is_there, inherit, model, take_and_hold, three};
use crate::harness::{Cells, Death, Model, each_death};
use crate::heap::hold;
use loom::model::Builder;
use loom::thread::spawn;
use sharena::model::{BLOCK, Ruin, Worker, World};
use std::rc::Rc;

pub fn models() -> Vec<Model> {
    vec![
        model(
            "death/publish",
            "one dies as it publishes an object on which a block hangs, beside one who destroys it: it is whole, or nothing of it is left",
            2,
            3,
            publish,
        ),
        model(
            "death/fresh",
            "one dies as it publishes an object with a lock behind which a block hangs, beside one who takes the block off: who has the lock has a part, and the block is there or comes back, once",
            3,
            1,
            fresh,
        ),
        model(
            "death/fall",
            "one dies as it lets an object fall, beside one who takes what comes back: each block does, once",
            2,
            2,
            fall,
        ),
        model(
            "recovery/fall",
            "two recover one that died as it let an object fall: one of them goes on, and each block comes back once",
            2,
            1,
            two_helpers,
        ),
    ]
}

const UNITS: u32 = 6;

/// An object that nobody looks at any more, in the slab of `owner`.
fn ready(heir: &Worker, owner: &Worker) -> Ruin {
    heir.found_names();
    heir.know_trees();
    owner.ruin()
}

/// Takes a block, if there is one.
fn take_one(worker: Worker, cells: &Cells) -> Holder {
    let taken: Vec<u64> = worker.take(BLOCK).into_iter().collect();
    taken.iter().for_each(|block| hold(worker.world(), cells, *block));
    Holder(worker, taken)
}

fn publish(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, heir, _]): (Rc<World>, Cells, _) = three(UNITS);
        heir.found_names();
        heir.know_trees();
        let tree = mortal.tree();
        let (its_world, its_death) = (world.clone(), death.clone());
        let publishes =
            spawn(move || its_death.of(MORTAL, &its_world, || mortal.construct_tree("a", tree)));
        let found = heir.destroy("a");
        heir.fall(tree.ruin());
        let through = publishes.join().unwrap();
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        let is_left = heir.destroy("a");
        assert!(!(found && is_left), "it was published twice");
        assert!(through.is_none() || found || is_left, "it was published, and is not there");
        heir.fall(tree.ruin());
        let taken = take_and_hold(&heir, &cells, BLOCK);
        all_is_there(&cells, BLOCK, &[&Holder(heir, taken)]);
    });
}

fn fresh(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]): (Rc<World>, Cells, _) = three(UNITS);
        heir.found_names();
        heir.know_guards();
        let guard = mortal.guard();
        let (its_world, its_death) = (world.clone(), death.clone());
        let dies = world.fellow(MORTAL);
        let publishes = spawn(move || {
            its_death.of(MORTAL, &its_world, || mortal.construct_guard(&dies, "a", guard)).is_some()
        });
        let its_world = world.clone();
        let takes = spawn(move || {
            let found = witness.find("a");
            let had = found.map(|found| {
                let had = witness.take_off(&its_world.fellow(WITNESS), guard);
                witness.unpin(found);
                had
            });
            (witness, had)
        });
        let (through, (witness, had), ()) = inherit(&heir, publishes, takes, || ());
        assert_ne!(had, Some(false), "nobody else takes it off");
        let found = heir.find("a");
        assert!(!through || found.is_some(), "it was published, and is not there");
        assert!(had.is_none() || found.is_some(), "it was found, and is not there");
        if let Some(found) = found {
            let is_left = heir.take_off(&world.fellow(super::HEIR), guard);
            assert_eq!(is_left, had.is_none(), "the block is there, and was taken off");
            heir.unpin(found);
            assert!(heir.destroy("a"));
            heir.fall(guard.ruin());
        }
        let taken = take_and_hold(&heir, &cells, BLOCK);
        all_is_there(&cells, BLOCK, &[&Holder(heir, taken), &Holder(witness, Vec::new())]);
    });
}

/// The recovery begins when both are through: see `recovery/fall` for one that others work beside.
fn fall(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, heir, _]): (Rc<World>, Cells, _) = three(UNITS);
        let ruin = ready(&heir, &heir);
        let (its_world, its_death) = (world.clone(), death.clone());
        let falls = spawn(move || {
            its_death.of(MORTAL, &its_world, || assert!(mortal.fall(ruin), "it is whole"))
        });
        let mut taken = take_and_hold(&heir, &cells, BLOCK);
        let through = falls.join().unwrap();
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        let is_left = heir.fall(ruin); // who died before it began left it to others
        assert!(through.is_none() || !is_left, "it fell twice");
        taken.extend(take_and_hold(&heir, &cells, BLOCK));
        all_is_there(&cells, BLOCK, &[&Holder(heir, taken)]);
    });
}

fn two_helpers(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, second, first]): (Rc<World>, Cells, _) = three(UNITS);
        let ruin = ready(&first, &second);
        death.of(MORTAL, &world, || mortal.fall(ruin));
        let its_cells = cells.clone();
        let helps = spawn(move || {
            second.recover();
            take_one(second, &its_cells)
        });
        first.recover();
        let second = helps.join().unwrap();
        assert!(first.recover(), "numbers of the dead that nobody can still act by are not free");
        first.fall(ruin);
        all_is_there(&cells, BLOCK, &[&second, &Holder(first, Vec::new())]);
    });
}

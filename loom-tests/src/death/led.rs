//! Death as an object is linked by a word of another, as it is destroyed that it leads to, and as it goes with
//! the other: it is there, or comes back, once.

use super::{Holder, MORTAL, all_is_there, model, take_and_hold, three};
use crate::harness::{Cells, Death, Model, each_death};
use crate::heap::hold;
use loom::model::Builder;
use loom::thread::spawn;
use sharena::model::{BLOCK, Root, Tree, Worker, World};
use std::rc::Rc;

pub fn models() -> Vec<Model> {
    vec![
        model(
            "death/led-linked",
            "one dies as it links an object by a word of another, beside one who takes it from there: it is whole, or nothing of it is left",
            2,
            2,
            linked,
        ),
        model(
            "death/led-destroyed",
            "one dies as it destroys an object to which a word leads, and another has the word before it is recovered: it goes once",
            2,
            1,
            destroyed,
        ),
        model(
            "death/led-falls",
            "one dies as it lets an object fall of which a word leads to another: both go, once",
            2,
            1,
            falls,
        ),
    ]
}

const UNITS: u32 = 6;

/// An object of `owner` whose word leads to none.
fn root(heir: &Worker, owner: &Worker) -> Root {
    heir.found_names();
    heir.know_trees();
    heir.know_roots();
    owner.root()
}

/// The same, but it leads to an object on which a block hangs.
fn full(heir: &Worker, owner: &Worker) -> (Root, Tree) {
    let (root, tree) = (root(heir, owner), owner.tree());
    owner.link_led(root, tree);
    (root, tree)
}

fn linked(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, _, heir]): (Rc<World>, Cells, _) = three(UNITS);
        let (root, tree) = (root(&heir, &heir), mortal.tree());
        let (its_world, its_death) = (world.clone(), death.clone());
        let links = spawn(move || {
            its_death.of(MORTAL, &its_world, || mortal.link_led(root, tree)).is_some()
        });
        let found = heir.end_led(root);
        let through = links.join().unwrap();
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        let is_left = heir.end_led(root);
        assert!(!(found && is_left), "it was linked twice");
        assert!(!through || found || is_left, "it was linked, and is not there");
        heir.fall(tree.ruin());
        let taken = take_and_hold(&heir, &cells, BLOCK);
        all_is_there(&cells, BLOCK, &[&Holder(heir, taken)]);
    });
}

fn destroyed(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]): (Rc<World>, Cells, _) = three(UNITS);
        let (root, tree) = full(&heir, &witness);
        let first = death.of(MORTAL, &world, || mortal.end_led(root));
        // Its cell is the next one's, who need not wait for the recovery.
        let its_cells = cells.clone();
        let takes = spawn(move || {
            let ended = witness.end_led(root);
            witness.fall(tree.ruin());
            let taken: Vec<u64> = witness.take(BLOCK).into_iter().collect();
            taken.iter().for_each(|block| hold(witness.world(), &its_cells, *block));
            (ended, Holder(witness, taken))
        });
        heir.recover();
        let (second, witness) = takes.join().unwrap();
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        assert!(!(first == Some(true) && second), "it was destroyed twice");
        assert!(!heir.end_led(root), "it is gone");
        heir.fall(tree.ruin());
        let taken = take_and_hold(&heir, &cells, BLOCK);
        all_is_there(&cells, BLOCK, &[&witness, &Holder(heir, taken)]);
    });
}

fn falls(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, _, heir]): (Rc<World>, Cells, _) = three(UNITS);
        let (root, tree) = full(&heir, &heir);
        let ruin = heir.ruin_root(root);
        let (its_world, its_death) = (world.clone(), death.clone());
        let falls = spawn(move || {
            its_death.of(MORTAL, &its_world, || assert!(mortal.fall(ruin), "it is whole"))
        });
        let mut taken = take_and_hold(&heir, &cells, BLOCK);
        falls.join().unwrap();
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        heir.fall(ruin);
        heir.fall(tree.ruin());
        taken.extend(take_and_hold(&heir, &cells, BLOCK));
        all_is_there(&cells, BLOCK, &[&Holder(heir, taken)]);
    });
}

//! Death in a change of what a lock guards: all of it is made, or nothing.

use super::{MORTAL, WITNESS, inherit, model, three};
use crate::harness::{Cells, Death, Model, each_death};
use loom::model::Builder;
use loom::thread::spawn;
use sharena::model::{BLOCK, Guarded, Worker, World};
use std::rc::Rc;

pub fn models() -> Vec<Model> {
    vec![
        model(
            "death/change",
            "one dies as it changes two words and hangs a block on them: who takes the lock sees all or nothing, and what it changes stays",
            3,
            1,
            change,
        ),
        model(
            "death/change-read",
            "one dies as it changes two words under a lock that several read: who reads sees all of the change, or nothing, for as long as it reads",
            3,
            1,
            read,
        ),
        model(
            "recovery/change",
            "two recover one that died in a change: it is made once, or nothing of it, and all comes back",
            2,
            1,
            two_helpers,
        ),
    ]
}

const UNITS: u32 = 6;

/// An object under a lock, and a block to be hung on it.
fn ready(heir: &Worker, mortal: &Worker) -> (Guarded, u64) {
    (heir.publish_guarded(), mortal.take(BLOCK).expect("room for it"))
}

/// At rest: what it guards was changed as a whole, and everything else is free.
fn all_or_nothing(heir: &Worker, world: &Rc<World>, it: Guarded, new: u64, workers: &[&Worker]) {
    let fellow = world.fellow(super::HEIR);
    let [first, second] = heir.look(&fellow, it);
    heir.let_go(&fellow, it);
    assert_eq!(first, second, "a part of the change is made");
    let hangs = heir.free_if_part(new);
    assert_eq!(
        hangs,
        first % 2 == 1,
        "the block hangs on a value that does not say so, or the reverse"
    );
    heir.withdraw(it);
    workers.iter().for_each(|worker| _ = worker.give_away_slabs());
    heir.give_away_slabs();
    let free = heir.take_all(BLOCK).len();
    assert_eq!(free * BLOCK, world.places() * BLOCK, "memory is lost");
}

fn change(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, _cells, [mortal, witness, heir]): (Rc<World>, Cells, _) = three(UNITS);
        let (it, new) = ready(&heir, &mortal);
        let (dies, looks) = (world.fellow(MORTAL), world.fellow(WITNESS));
        let (its_world, its_death) = (world.clone(), death.clone());
        let changes = spawn(move || {
            its_death.of(MORTAL, &its_world, || mortal.change(&dies, it, 1, Some(new))).is_some()
        });
        let watches = spawn(move || {
            let [first, second] = witness.change(&looks, it, 2, None);
            assert_eq!(first, second, "a part of the change is made");
            witness
        });
        let (through, witness, ()) = inherit(&heir, changes, watches, || ());
        let fellow = world.fellow(super::HEIR);
        let [first, _] = heir.look(&fellow, it);
        heir.let_go(&fellow, it);
        assert!(!through || first % 2 == 1, "it was through, and is not seen");
        assert!(first >= 2, "what the witness changed is lost");
        all_or_nothing(&heir, &world, it, new, &[&witness]);
    });
}

fn read(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, _cells, [mortal, witness, heir]): (Rc<World>, Cells, _) = three(UNITS);
        let (it, new) = ready(&heir, &mortal);
        // By the lanes that they have.
        let (dies, reads) = (world.reader(MORTAL, 1), world.reader(WITNESS, 2));
        let (its_world, its_death) = (world.clone(), death.clone());
        let changes = spawn(move || {
            its_death
                .of(MORTAL, &its_world, || mortal.write_change(&dies, it, 1, Some(new)))
                .is_some()
        });
        let watches = spawn(move || {
            let [first, again] = witness.read_twice(&reads, it);
            assert_eq!(first[0], first[1], "a part of the change is made");
            assert_eq!(first, again, "it changed while it was read");
            (witness, first[0])
        });
        let (through, (witness, seen), ()) = inherit(&heir, changes, watches, || ());
        let fellow = world.fellow(super::HEIR);
        let [first, _] = heir.look(&fellow, it);
        heir.let_go(&fellow, it);
        assert!(!through || first == 1, "it was through, and is not seen");
        assert!(seen <= first, "what was read is not there");
        all_or_nothing(&heir, &world, it, new, &[&witness]);
    });
}

fn two_helpers(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, _cells, [mortal, second, first]): (Rc<World>, Cells, _) = three(UNITS);
        let (it, new) = ready(&first, &mortal);
        let dies = world.fellow(MORTAL);
        death.of(MORTAL, &world, || mortal.change(&dies, it, 1, Some(new)));
        let helps = spawn(move || {
            second.recover();
            second
        });
        first.recover();
        let second = helps.join().unwrap();
        assert!(first.recover(), "numbers of the dead that nobody can still act by are not free");
        all_or_nothing(&first, &world, it, new, &[&second]);
    });
}

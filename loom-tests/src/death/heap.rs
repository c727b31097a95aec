//! Death in the heap: slabs, frees, runs.

use super::{
    Holder, MORTAL, all_is_there, give, hand_out, hold, hold_run, inherit, model, take_and_hold,
    three,
};
use crate::harness::{Cells, Death, Model, each_death};
use loom::model::Builder;
use loom::thread::{JoinHandle, spawn};
use sharena::model::{BLOCK, Worker};

/// Two blocks of this size make a slab.
const HALF: usize = 2 * BLOCK;

pub fn models() -> Vec<Model> {
    vec![
        model(
            "death/allocate",
            "one dies as it cuts a slab, takes, publishes and frees, beside one who does the same: all but what it published comes back",
            3,
            1,
            allocate,
        ),
        model(
            "death/remote-free",
            "one dies as it frees into another's slab, which the owner refills from: the owner finds the block",
            3,
            1,
            remote_free,
        ),
        model(
            "death/owner",
            "the owner of a slab dies as others free into it: the heir finds all blocks",
            3,
            1,
            owner,
        ),
        model(
            "death/orphan",
            "one dies as it gives its slab away, and another frees into it: the same",
            3,
            1,
            orphan,
        ),
        model(
            "death/adopt",
            "one dies as it adopts a slab, and another frees into it: the same",
            3,
            1,
            adopt,
        ),
        model(
            "death/two-adopters",
            "of two that adopt a slab one dies: what it did not publish comes back, the other's stays",
            3,
            1,
            two_adopters,
        ),
        model(
            "death/run",
            "one dies as it claims a run, beside a claimer: no unit has two holders, none is lost",
            3,
            1,
            run,
        ),
        model(
            "death/run-free",
            "one dies as it gives back a run, beside a claimer: the same",
            3,
            1,
            run_free,
        ),
        model(
            "death/run-resize",
            "one dies as it shrinks and grows a run in place, beside a claimer: the same",
            3,
            1,
            run_resize,
        ),
    ]
}

fn allocate(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = three(2);
        let (c, w, death) = (cells.clone(), world.clone(), death.clone());
        let work = move |worker: &Worker, cells: &Cells| {
            let first = worker.take(HALF).expect("room for both");
            hold(worker.world(), cells, first);
            worker.publish_raw(first);
            let second = worker.take(HALF).expect("room for both");
            hold(worker.world(), cells, second);
            give(worker, cells, first);
            second
        };
        let dying = spawn(move || _ = death.of(MORTAL, &w, || work(&mortal, &c)));
        let c = cells.clone();
        let witness = spawn(move || {
            let block = work(&witness, &c);
            Holder(witness, vec![block])
        });
        let (_, witness, ()) = inherit(&heir, dying, witness, || ());
        all_is_there(&cells, HALF, &[&Holder(heir, vec![]), &witness]);
    });
}

fn remote_free(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = three(2);
        let blocks = hand_out(&witness, HALF, 4);
        // The cursor comes by the slab of the last block in the first refill, not in the second.
        let last = blocks[3];
        let (c, w, death) = (cells.clone(), world.clone(), death.clone());
        let dying = spawn(move || _ = death.of(MORTAL, &w, || give(&mortal, &c, last)));
        let witness = spawn(move || (witness.refill(HALF), witness));
        let (_, (meanwhile, witness), _) = inherit(&heir, dying, witness, || ());
        let is_free = world.census().blocks[4] == 3;
        let found = meanwhile || witness.refill(HALF);
        assert_eq!(found, is_free, "one refill finds what was freed by one who died of it");
        let taken: Vec<u64> = witness.take_at_hand(HALF).into_iter().collect();
        taken.iter().for_each(|block| hold(&world, &cells, *block));
        assert!(taken.iter().all(|block| *block == last), "a block has two holders");
        all_is_there(&cells, HALF, &[&Holder(witness, taken), &Holder(heir, vec![])]);
    });
}

fn owner(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = three(1);
        let blocks = hand_out(&mortal, BLOCK, 2);
        let (c, w, death) = (cells.clone(), world.clone(), death.clone());
        let dying = spawn(move || {
            death.of(MORTAL, &w, || {
                let private = mortal.take(BLOCK).expect("two are left, or more");
                hold(mortal.world(), &c, private);
                let published = mortal.take(BLOCK).expect("one is left, or more");
                hold(mortal.world(), &c, published);
                mortal.publish_raw(published);
                give(&mortal, &c, published);
                mortal.free_private(private);
            })
        });
        let c = cells.clone();
        let witness = spawn(move || blocks.iter().for_each(|block| give(&witness, &c, *block)));
        // A run can be had when the slab is wholly free.
        let early = || {
            let run = heir.take_run(1);
            run.iter().for_each(|run| hold_run(&world, &cells, *run, 1));
            run.iter().for_each(|run| heir.free_private(*run));
            take_and_hold(&heir, &cells, BLOCK)
        };
        let (_, (), taken) = inherit(&heir, dying, witness, early);
        all_is_there(&cells, BLOCK, &[&Holder(heir, taken)]);
    });
}

fn orphan(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = three(1);
        let blocks = hand_out(&mortal, HALF, 2);
        let (w, death) = (world.clone(), death.clone());
        let dying = spawn(move || _ = death.of(MORTAL, &w, || mortal.give_away_slabs()));
        let c = cells.clone();
        let witness = spawn(move || blocks.iter().for_each(|block| give(&witness, &c, *block)));
        let early = || take_and_hold(&heir, &cells, HALF);
        let (_, (), taken) = inherit(&heir, dying, witness, early);
        all_is_there(&cells, HALF, &[&Holder(heir, taken)]);
    });
}

fn adopt(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = three(1);
        let blocks = hand_out(&witness, BLOCK, 3);
        assert!(witness.give_away_slabs(), "a slab without PRIVATE blocks can be given away");
        let (c, w, death) = (cells.clone(), world.clone(), death.clone());
        let dying = spawn(move || {
            death.of(MORTAL, &w, || {
                let block = mortal.take(BLOCK).expect("one was free all the time");
                hold(mortal.world(), &c, block);
            })
        });
        let c = cells.clone();
        let witness =
            spawn(move || blocks[1..].iter().for_each(|block| give(&witness, &c, *block)));
        let early = || take_and_hold(&heir, &cells, BLOCK);
        let (_, (), taken) = inherit(&heir, dying, witness, early);
        all_is_there(&cells, BLOCK, &[&Holder(heir, taken)]);
    });
}

fn two_adopters(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = three(1);
        hand_out(&heir, BLOCK, 2);
        assert!(heir.give_away_slabs(), "a slab without PRIVATE blocks can be given away");
        let (c, w, death) = (cells.clone(), world.clone(), death.clone());
        let dying = spawn(move || {
            death.of(MORTAL, &w, || {
                take_and_hold(&mortal, &c, BLOCK);
            })
        });
        let c = cells.clone();
        let witness = spawn(move || {
            let taken = take_and_hold(&witness, &c, BLOCK);
            Holder(witness, taken)
        });
        let early = || take_and_hold(&heir, &cells, BLOCK);
        let (_, witness, taken) = inherit(&heir, dying, witness, early);
        all_is_there(&cells, BLOCK, &[&witness, &Holder(heir, taken)]);
    });
}

/// At rest: of `units` units the heir gets all but `held`, which are runs.
fn takes_all_units(heir: &Worker, cells: &Cells, units: u32, held: u32) {
    let world = heir.world();
    let census = world.census();
    assert_eq!(
        (census.free_units, census.runs),
        (units - held, held),
        "a unit is lost, or is twice there: {census:?}"
    );
    for _ in 0..census.free_units {
        let run = heir.take_run(1).expect("the census has seen it");
        hold_run(world, cells, run, 1);
    }
}

/// The witness takes a run of `units` if it can.
fn claim(witness: Worker, cells: &Cells, units: u32) -> JoinHandle<(Worker, Option<u64>)> {
    let cells = cells.clone();
    spawn(move || {
        let run = witness.take_run(units);
        run.iter().for_each(|run| hold_run(witness.world(), &cells, *run, units as usize));
        (witness, run)
    })
}

fn run(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = three(3);
        let (c, w, death) = (cells.clone(), world.clone(), death.clone());
        let dying = spawn(move || {
            let published = death.of(MORTAL, &w, || {
                let run = mortal.take_run(2)?;
                hold_run(mortal.world(), &c, run, 2);
                mortal.publish_raw(run);
                Some(run)
            });
            published.flatten()
        });
        let witness = claim(witness, &cells, 2);
        let (published, (_witness, run), ()) = inherit(&heir, dying, witness, || ());
        let held = [published, run].into_iter().flatten().count() as u32;
        takes_all_units(&heir, &cells, 3, 2 * held);
    });
}

fn run_free(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = three(2);
        let (c, w, death) = (cells.clone(), world.clone(), death.clone());
        let run = mortal.take_run(2).expect("the segment is empty");
        hold_run(&world, &cells, run, 2);
        let dying = spawn(move || {
            death.of(MORTAL, &w, || {
                mortal.free_private(run);
                if let Some(run) = mortal.take_run(1) {
                    hold_run(mortal.world(), &c, run, 1);
                }
            })
        });
        let witness = claim(witness, &cells, 1);
        let (_, (_witness, run), ()) = inherit(&heir, dying, witness, || ());
        takes_all_units(&heir, &cells, 2, run.map_or(0, |_| 1));
    });
}

fn run_resize(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]) = three(3);
        let (c, w, death) = (cells.clone(), world.clone(), death.clone());
        let run = mortal.take_run(3).expect("the segment is empty");
        hold_run(&world, &cells, run, 3);
        let dying = spawn(move || {
            death.of(MORTAL, &w, || {
                assert!(mortal.resize_run(run, 1), "a run can always shrink");
                if mortal.resize_run(run, 2) {
                    hold_run(mortal.world(), &c, run, 2);
                }
            })
        });
        let witness = claim(witness, &cells, 1);
        let (_, (_witness, run), ()) = inherit(&heir, dying, witness, || ());
        takes_all_units(&heir, &cells, 3, run.map_or(0, |_| 1));
    });
}

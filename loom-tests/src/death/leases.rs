//! Leases: a count is what it should be, and what is shared goes with its last lease, once, whoever dies.

use super::{MORTAL, WITNESS, inherit, model, three};
use crate::harness::{Cells, Death, Model, each_death, each_two_deaths, explore};
use loom::model::Builder;
use loom::thread::spawn;
use sharena::model::{BLOCK, Lease, Ruin, Shared, Worker, World};
use std::rc::Rc;

pub fn models() -> Vec<Model> {
    vec![
        model(
            "lease/last",
            "three give up their leases: one of them has the last, and the others' use of what is shared is before",
            3,
            1,
            last,
        ),
        model(
            "death/share",
            "one dies as it publishes what is shared: it goes with it, and all comes back",
            1,
            1,
            share,
        ),
        model(
            "death/lease",
            "one dies as it takes a lease and gives one up, beside one who gives one up: the count is that of those who live",
            3,
            1,
            lease,
        ),
        model(
            "death/last-lease",
            "one dies as it gives up the last lease, beside one who takes another if there is one: it has one, or the object falls, once",
            3,
            2,
            last_dies,
        ),
        model(
            "death/fall-lease",
            "one dies as an object falls on which a lease hangs, and two recover it: it is given up once",
            2,
            1,
            falls,
        ),
        model(
            "recovery/lease",
            "one dies as it takes a lease and gives up two, and two recover it: the count is that of those who live",
            2,
            1,
            two_helpers,
        ),
        model(
            "recovery/lease-helper-dies",
            "one dies as it takes a lease and gives up two, one as it recovers that: the count is that of those who live",
            1,
            0,
            helper_dies,
        ),
        model(
            "recovery/fall-lease-helper-dies",
            "one dies as an object falls on which a lease hangs, one as it recovers that: it is given up once",
            1,
            0,
            helper_dies_of_fall,
        ),
    ]
}

const UNITS: u32 = 5;

/// At rest: nothing is left of what was shared but `it`, which is to fall, or has fallen.
fn nothing_is_left(world: &Rc<World>, it: Shared, heir: &Worker, workers: &[&Worker]) {
    heir.bury(it);
    workers.iter().for_each(|worker| worker.release());
    heir.release();
    let free = heir.take_all(BLOCK).len();
    assert_eq!(free * BLOCK, world.places() * BLOCK, "memory is lost");
}

fn last(builder: Builder) {
    explore(builder, || {
        let (world, cells, [first, second, third]): (Rc<World>, Cells, _) = three(UNITS);
        let (it, mine) = first.share();
        let place = world.place_of(it.block());
        cells.write(place, 7);
        let uses = |worker: Worker, lease: Lease| {
            let cells = cells.clone();
            move || {
                assert_eq!(cells.read(place), 7, "it is gone");
                let is_last = worker.end(lease);
                if is_last {
                    cells.write(place, 0);
                }
                (worker, is_last)
            }
        };
        let leases = [second.lease(it), third.lease(it)];
        let others = [spawn(uses(second, leases[0])), spawn(uses(third, leases[1]))];
        let (first, is_last) = uses(first, mine)();
        let [(second, two), (third, three)] = others.map(|other| other.join().unwrap());
        assert_eq!([is_last, two, three].iter().filter(|is_last| **is_last).count(), 1);
        [(&first, mine), (&second, leases[0]), (&third, leases[1])]
            .into_iter()
            .for_each(|(worker, lease)| worker.free_lease(lease));
        nothing_is_left(&world, it, &first, &[&second, &third]);
    });
}

fn share(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, _cells, [mortal, heir, _]): (Rc<World>, Cells, _) = three(MORE);
        heir.found_names();
        let drafted = mortal.draft_shared();
        death.of(MORTAL, &world, || mortal.publish_shared(drafted));
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        heir.bury(drafted.0);
        heir.release();
        assert_eq!(world.blocks_of_objects_and_entries().len(), 1, "there is more than the table");
        assert_eq!(world.census().blocks[1], 0, "PRIVATE blocks of nobody");
    });
}

/// What the mortal does that has one lease.
fn takes_and_gives_up(worker: &Worker, it: Shared, lease: Lease) {
    let more = worker.lease(it);
    worker.give_up(lease);
    worker.give_up(more);
}

fn lease(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, _cells, [mortal, witness, heir]): (Rc<World>, Cells, _) = three(UNITS);
        let (it, first) = heir.share();
        let (its, kept, spare) = (mortal.lease(it), witness.lease(it), witness.lease(it));
        let (its_world, its_death) = (world.clone(), death.clone());
        let dies = spawn(move || {
            its_death.of(MORTAL, &its_world, || {
                mortal.lease(it);
                mortal.give_up(its);
            });
        });
        let lives = spawn(move || {
            assert!(!witness.end(spare));
            witness
        });
        let ((), witness, ()) = inherit(&heir, dies, lives, || ());
        witness.free_lease(spare);
        assert_eq!(heir.leases(it), Some(2), "the count is not of those who live");
        assert!(!heir.give_up(first));
        assert!(witness.give_up(kept), "it was the last");
        assert_eq!(heir.leases(it), None, "the count is not of those who live");
        nothing_is_left(&world, it, &heir, &[&witness]);
    });
}

fn last_dies(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, [mortal, witness, heir]): (Rc<World>, Cells, _) = three(UNITS);
        let (it, first) = heir.share();
        let its = mortal.lease(it);
        assert!(!heir.give_up(first));
        let place = world.place_of(it.block());
        cells.write(place, 7);
        let (its_world, its_death) = (world.clone(), death.clone());
        let dies = spawn(move || {
            its_death.of(MORTAL, &its_world, || mortal.give_up(its));
        });
        let its_cells = cells.clone();
        let lives = spawn(move || {
            let had = witness.lease_if_there(it);
            if had.is_some() {
                assert_eq!(its_cells.read(place), 7);
            }
            (witness, had)
        });
        let ((), (witness, had), ()) = inherit(&heir, dies, lives, || ());
        assert_eq!(heir.leases(it), had.map(|_| 1), "the count is not of those who live");
        if let Some(had) = had {
            assert!(witness.give_up(had), "it was the last");
        }
        cells.write(place, 0);
        assert!(heir.bury(it), "it is to fall");
        nothing_is_left(&world, it, &heir, &[&witness]);
    });
}

fn two_helpers(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, _cells, [mortal, second, heir]): (Rc<World>, Cells, _) = three(UNITS);
        let (it, first) = heir.share();
        let its = mortal.lease(it);
        death.of(MORTAL, &world, || takes_and_gives_up(&mortal, it, its));
        let helps = spawn(move || {
            second.recover();
            second
        });
        heir.recover();
        let second = helps.join().unwrap();
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        assert_eq!(heir.leases(it), Some(1), "the count is not of those who live");
        assert!(heir.give_up(first), "it was the last");
        nothing_is_left(&world, it, &heir, &[&second]);
    });
}

fn helper_dies(builder: Builder) {
    each_two_deaths(builder, |death: &Death, of_helper: &Death| {
        let (world, _cells, [mortal, helper, heir]): (Rc<World>, Cells, _) = three(UNITS);
        let (it, first) = heir.share();
        let its = mortal.lease(it);
        death.of(MORTAL, &world, || takes_and_gives_up(&mortal, it, its));
        of_helper.of(WITNESS, &world, || helper.recover());
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        assert_eq!(heir.leases(it), Some(1), "the count is not of those who live");
        assert!(heir.give_up(first), "it was the last");
        nothing_is_left(&world, it, &heir, &[]);
    });
}

/// An object that is to fall, on which a lease of another hangs, and one that is kept.
fn ready(heir: &Worker, owner: &Worker) -> (Shared, Lease, Ruin) {
    heir.found_names();
    heir.know_sharers();
    let (it, kept) = heir.share();
    let hangs = owner.lease(it);
    (it, kept, owner.ruin_of(hangs))
}

/// Units for the table of names beside it.
const MORE: u32 = UNITS + 2;

/// Lets it fall if it has not, and gives up the lease that is left.
fn falls_once(world: &Rc<World>, heir: &Worker, it: Shared, kept: Lease, ruin: Ruin) {
    heir.fall(ruin);
    assert_eq!(heir.leases(it), Some(1), "the count is not of those who live");
    assert!(heir.give_up(kept), "it was the last");
    assert!(heir.bury(it), "it is to fall");
    heir.release();
    // What is left are the names, and the map.
    assert_eq!(world.blocks_of_objects_and_entries().len(), 3);
}

fn falls(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, _cells, [mortal, second, heir]): (Rc<World>, Cells, _) = three(MORE);
        let (it, kept, ruin) = ready(&heir, &second);
        death.of(MORTAL, &world, || mortal.fall(ruin));
        let helps = spawn(move || {
            second.recover();
            second
        });
        heir.recover();
        let second = helps.join().unwrap();
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        falls_once(&world, &heir, it, kept, ruin);
        drop(second);
    });
}

fn helper_dies_of_fall(builder: Builder) {
    each_two_deaths(builder, |death: &Death, of_helper: &Death| {
        let (world, _cells, [mortal, helper, heir]): (Rc<World>, Cells, _) = three(MORE);
        // In the slab of one who lives: of the dead nothing but the fall is left.
        let (it, kept, ruin) = ready(&heir, &heir);
        death.of(MORTAL, &world, || mortal.fall(ruin));
        of_helper.of(WITNESS, &world, || helper.recover());
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        falls_once(&world, &heir, it, kept, ruin);
    });
}

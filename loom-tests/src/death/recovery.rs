//! Recovery beside recovery: helpers help each other, may die of it, and never act on numbers that
//! were given out again.

use super::names::only_the_table_is_left;
use super::{Holder, all_is_there, give, hand_out, hold, model, take_and_hold};
use crate::harness::{Cells, Death, Model, each_death, each_two_deaths, explore};
use crate::names::{object, value_of};
use loom::model::Builder;
use loom::thread::spawn;
use sharena::model::{BLOCK, Worker, World};
use std::rc::Rc;

const HALF: usize = 2 * BLOCK;

/// Participants; 0 is dead from the beginning.
const DEAD: u16 = 0;
const FIRST: u16 = 1;
const SECOND: u16 = 2;
const HEIR: u16 = 3;

pub fn models() -> Vec<Model> {
    vec![
        model(
            "recovery/two-helpers",
            "two recover one dead owner of a slab, and take what they find: each block comes back once",
            2,
            1,
            two_helpers,
        ),
        model(
            "recovery/run",
            "two give back one private run of the dead, and claim: each unit comes back once",
            2,
            1,
            run,
        ),
        model(
            "death/attach",
            "one dies as it attaches and detaches, beside another in the same slot: it is free again, and who lives is not judged dead",
            3,
            1,
            attach,
        ),
        model(
            "recovery/free-and-claim",
            "a slab of the dead becomes free in the sweep, and another's run: its holder sees the last use of its blocks",
            3,
            2,
            free_and_claim,
        ),
        model(
            "recovery/helper-dies",
            "one dies as it recovers a dead owner, beside one who frees into the slab: all comes back once",
            3,
            1,
            helper_dies,
        ),
        model(
            "recovery/both-help",
            "one dies as it recovers a dead owner, beside one who does the same: all comes back once",
            3,
            0,
            both_help,
        ),
        model(
            "recovery/numbers",
            "a newcomer gets the numbers of the dead while a slow helper is about: nothing of it is touched",
            2,
            1,
            numbers,
        ),
        model(
            "recovery/numbers-switching-twice",
            "the same where the two switch once more",
            2,
            2,
            numbers,
        ),
        model(
            "recovery/destroy",
            "one dies as it destroys; two finish that, and one constructs the name again: it stays",
            2,
            1,
            destroy,
        ),
        model(
            "recovery/late-finisher",
            "one finishes a destroy late, when the blocks have other holders, whose data look alike: it stays",
            2,
            1,
            late_finisher,
        ),
        model(
            "recovery/helper-dies-of-construct",
            "one dies as it constructs, one as it recovers that: whole or not there, and all else comes back",
            1,
            0,
            helper_dies_of_construct,
        ),
    ]
}

fn worker(world: &Rc<World>, participant: u16) -> Worker {
    world.worker_of(participant, participant + 1)
}

/// A segment in which the dead one has left a slab: `published` blocks that it handed out and a
/// PRIVATE one.
fn left_behind(units: u32, published: usize) -> (Rc<World>, Cells, Vec<u64>) {
    let world = World::new(units);
    let cells = Cells::new(world.places());
    let dead = worker(&world, DEAD);
    let blocks = world.live_and_die(DEAD, u64::MAX, || {
        let blocks = hand_out(&dead, HALF, published);
        let private = dead.take(HALF).expect("room for it");
        hold(&world, &cells, private);
        blocks
    });
    (world, cells, blocks.expect("it dies at rest"))
}

fn two_helpers(builder: Builder) {
    explore(builder, || {
        let (world, cells, _published) = left_behind(1, 1);
        let heirs = [FIRST, SECOND].map(|participant| worker(&world, participant));
        let help = |heir: Worker| {
            let cells = cells.clone();
            move || {
                heir.recover();
                let taken = take_and_hold(&heir, &cells, HALF);
                Holder(heir, taken)
            }
        };
        let [first, second] = heirs;
        let second = spawn(help(second));
        let first = help(first)();
        let second = second.join().unwrap();
        assert!(first.0.recover(), "numbers of the dead that nobody can still act by are not free");
        all_is_there(&cells, HALF, &[&first, &second]);
    });
}

fn run(builder: Builder) {
    explore(builder, || {
        let world = World::new(2);
        let cells = Cells::new(world.places());
        let dead = worker(&world, DEAD);
        world.live_and_die(DEAD, u64::MAX, || dead.take_run(2).expect("the segment is empty"));
        let heirs = [FIRST, SECOND].map(|participant| worker(&world, participant));
        let help = |heir: Worker| {
            let cells = cells.clone();
            move || {
                heir.recover();
                let run = heir.take_run(1);
                run.iter().for_each(|run| hold(heir.world(), &cells, *run));
                (heir, run)
            }
        };
        let [first, second] = heirs;
        let second = spawn(help(second));
        let (first, mine) = help(first)();
        let (second, others) = second.join().unwrap();
        assert!(first.recover(), "numbers of the dead that nobody can still act by are not free");
        let mine = mine.or_else(|| first.take_run(1));
        let others = others.or_else(|| second.take_run(1));
        assert!(mine.is_some() && others.is_some(), "a unit is lost");
        assert_ne!(mine, others, "a unit has two holders");
        assert_eq!(world.census().free_units, 0, "a unit is twice there");
    });
}

fn attach(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells) = (World::new(1), Cells::new(1));
        let heir = worker(&world, HEIR);
        let (w, c, death) = (world.clone(), cells.clone(), death.clone());
        let dying = spawn(move || {
            let world = &w;
            death.of(FIRST, world, || {
                let Some(slot) = world.attach(FIRST, 0..1) else { return };
                c.write(0, 1);
                world.detach(slot);
            })
        });
        let (w, c) = (world.clone(), cells.clone());
        let witness = spawn(move || {
            let slot = w.attach(SECOND, 0..1)?;
            c.write(0, 2);
            assert_eq!(w.described(slot), u64::from(SECOND), "another's description");
            Some(slot)
        });
        dying.join().unwrap();
        heir.recover();
        let slot = witness.join().unwrap();
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        if let Some(slot) = slot {
            assert!(world.attach(FIRST, 0..1).is_none(), "one who lives was judged dead");
            world.detach(slot);
        }
        assert!(world.attach(FIRST, 0..1).is_some(), "a slot that nobody has is lost");
    });
}

fn free_and_claim(builder: Builder) {
    explore(builder, || {
        let world = World::new(1);
        let cells = Cells::new(world.places());
        let dead = worker(&world, DEAD);
        let published = world.live_and_die(DEAD, u64::MAX, || hand_out(&dead, HALF, 1));
        let block = published.expect("it dies at rest")[0];
        let [freer, claimer, heir] = [FIRST, SECOND, HEIR].map(|it| worker(&world, it));
        let c = cells.clone();
        let freer = spawn(move || give(&freer, &c, block));
        let c = cells.clone();
        let claimer = spawn(move || {
            let run = claimer.take_run(1);
            run.iter().for_each(|run| hold(claimer.world(), &c, *run));
            (claimer, run)
        });
        heir.recover();
        freer.join().unwrap();
        let (_claimer, run) = claimer.join().unwrap();
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        let taken = take_and_hold(&heir, &cells, HALF);
        assert_eq!(taken.len(), if run.is_some() { 0 } else { 2 }, "one unit, or its two blocks");
    });
}

fn helper_dies(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, published) = left_behind(1, 1);
        let [mortal, freer, heir] = [FIRST, SECOND, HEIR].map(|it| worker(&world, it));
        let (w, death) = (world.clone(), death.clone());
        let dying = spawn(move || _ = death.of(FIRST, &w, || mortal.recover()));
        let c = cells.clone();
        let freer = spawn(move || give(&freer, &c, published[0]));
        dying.join().unwrap();
        heir.recover();
        let taken = take_and_hold(&heir, &cells, HALF);
        freer.join().unwrap();
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        all_is_there(&cells, HALF, &[&Holder(heir, taken)]);
    });
}

fn both_help(builder: Builder) {
    each_death(builder, |death: &Death| {
        let (world, cells, _published) = left_behind(1, 1);
        let [mortal, helper, heir] = [FIRST, SECOND, HEIR].map(|it| worker(&world, it));
        let (w, death) = (world.clone(), death.clone());
        let dying = spawn(move || _ = death.of(FIRST, &w, || mortal.recover()));
        let c = cells.clone();
        let helper = spawn(move || {
            helper.recover();
            let taken = take_and_hold(&helper, &c, HALF);
            Holder(helper, taken)
        });
        dying.join().unwrap();
        let helper = helper.join().unwrap();
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        all_is_there(&cells, HALF, &[&helper, &Holder(heir, vec![])]);
    });
}

fn numbers(builder: Builder) {
    explore(builder, || {
        let (world, cells, _published) = left_behind(1, 1);
        let [slow, quick] = [FIRST, SECOND].map(|it| worker(&world, it));
        let slow = spawn(move || {
            slow.recover();
            slow
        });
        let newcomer = quick.recover().then(|| world.newcomer(DEAD)).flatten();
        let newcomer = newcomer.map(|newcomer| {
            let taken = newcomer.take(HALF).expect("what the dead one had is free");
            hold(&world, &cells, taken);
            Holder(newcomer, vec![taken])
        });
        let slow = slow.join().unwrap();
        assert!(slow.recover(), "numbers of the dead that nobody can still act by are not free");
        let slow = Holder(slow, vec![]);
        let holders: Vec<&Holder> = newcomer.iter().chain([&slow]).collect();
        all_is_there(&cells, HALF, &holders);
    });
}

fn destroy(builder: Builder) {
    each_death(builder, |death: &Death| {
        let world = World::new(2);
        let cells = Cells::new(world.places());
        let [dying, first, second] = [DEAD, FIRST, SECOND].map(|it| worker(&world, it));
        first.found_names();
        assert!(first.construct("a", object(&first, &cells, 1)));
        death.of(DEAD, &world, || dying.destroy("a"));
        let late = spawn(move || {
            second.recover();
            second
        });
        first.recover();
        let new = object(&first, &cells, 2);
        let constructed = first.construct("a", new);
        let value = value_of(&first, &cells, "a");
        let expected = Some(if constructed { 2 } else { 1 });
        assert_eq!(value, expected, "the name has its last object");
        let second = late.join().unwrap();
        assert!(second.recover(), "numbers of the dead that nobody can still act by are not free");
        assert_eq!(value_of(&second, &cells, "a"), expected, "the name has its last object");
        world.census();
    });
}

fn late_finisher(builder: Builder) {
    each_death(builder, |death: &Death| {
        let world = World::new(2);
        let cells = Cells::new(world.places());
        let [dying, first, second] = [DEAD, FIRST, SECOND].map(|it| worker(&world, it));
        first.found_names();
        let dying_object = object(&first, &cells, 1);
        assert!(first.construct("a", dying_object));
        let old_blocks = world.blocks_of_objects_and_entries();
        death.of(DEAD, &world, || dying.destroy("a"));
        let looks: Vec<_> = old_blocks.iter().map(|block| world.words(*block)).collect();
        let (c, old, look) = (cells.clone(), old_blocks.clone(), looks.clone());
        let first = spawn(move || {
            first.recover();
            if value_of(&first, &c, "a").is_some() {
                return (first, vec![]);
            }
            first.shed();
            first.reap();
            // Their next holder's data may look as they did.
            let mut taken = take_and_hold(&first, &c, BLOCK);
            taken.retain(|block| old.contains(block));
            for (block, look) in old.iter().zip(look).filter(|(block, _)| taken.contains(block)) {
                first.write_words(*block, &look);
            }
            (first, taken)
        });
        second.finish(DEAD + 1);
        let (first, taken) = first.join().unwrap();
        for (block, look) in old_blocks.iter().zip(looks).filter(|(block, _)| taken.contains(block))
        {
            assert_eq!(world.words(*block), look, "a late helper wrote into another's block");
        }
        assert!(first.recover(), "numbers of the dead that nobody can still act by are not free");
        world.census();
    });
}

fn helper_dies_of_construct(builder: Builder) {
    each_two_deaths(builder, |first_death, second_death| {
        let world = World::new(2);
        let cells = Cells::new(world.places());
        let [dying, mortal, heir] = [DEAD, FIRST, HEIR].map(|it| worker(&world, it));
        heir.found_names();
        let new = object(&dying, &cells, 1);
        first_death.of(DEAD, &world, || dying.construct("a", new));
        second_death.of(FIRST, &world, || mortal.recover());
        assert!(heir.recover(), "numbers of the dead that nobody can still act by are not free");
        let there = value_of(&heir, &cells, "a");
        assert!(matches!(there, None | Some(1)), "the heir read {there:?}");
        only_the_table_is_left(&heir, &cells);
    });
}

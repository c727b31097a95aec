//! The models: which operations, how many threads, how little memory.

use super::actor::{Mix, Op, Town, act, settle};
use super::harness::{Model, spawn};
use Op::*;

/// `threads` threads, each with `steps` operations of the mix, on a segment of `units` units.
struct Script {
    threads: usize,
    units: u32,
    /// Of the blocks that are taken, in blocks of the smallest size; four are a unit.
    sizes: &'static [usize],
    names: usize,
    steps: usize,
    mix: Mix,
}

impl Script {
    fn run(&self) {
        let town = Town::new(self.units, self.sizes, self.names);
        if self.names > 0 {
            let founder = town.world.begin_thread().expect("there are lanes for all");
            founder.found_names();
            founder.end_thread();
        }
        let others: Vec<_> = (1..self.threads)
            .map(|_| {
                let (town, mix, steps) = (town.clone(), self.mix, self.steps);
                spawn(move || act(town, mix, steps))
            })
            .collect();
        let mut workers = vec![act(town.clone(), self.mix, self.steps)];
        workers.extend(others.into_iter().map(|other| other()));
        settle(&town, self.units, workers);
    }
}

pub const MODELS: &[Model] = &[
    Model {
        name: "heap/remote-free",
        law: "blocks freed by others than who took them: none is lost, none has two holders",
        threads: 5,
        body: || {
            let mix = &[(Take, 6), (Post, 6), (FreePosted, 6), (FreePrivate, 1)];
            Script { threads: 5, units: 3, sizes: &[1, 2, 4], names: 0, steps: 24, mix }.run();
        },
    },
    Model {
        name: "heap/orphans",
        law: "the same while slabs are given away and adopted all the time",
        threads: 4,
        body: || {
            let mix =
                &[(Take, 6), (Post, 5), (FreePosted, 5), (GiveAway, 3), (Rebirth, 1), (Trim, 1)];
            Script { threads: 4, units: 4, sizes: &[1], names: 0, steps: 24, mix }.run();
        },
    },
    Model {
        name: "heap/units",
        law: "the same of slabs of one block, whose units become other slabs all the time",
        threads: 4,
        body: || {
            let mix = &[(Take, 6), (Post, 6), (FreePosted, 6), (GiveAway, 1), (Trim, 1)];
            Script { threads: 4, units: 5, sizes: &[4], names: 0, steps: 24, mix }.run();
        },
    },
    Model {
        name: "heap/runs",
        law: "runs that are claimed, resized and freed in few units: no unit has two holders, none leaks",
        threads: 4,
        body: || {
            let mix = &[(TakeRun, 6), (ResizeRun, 4), (FreeRun, 5), (Take, 1), (FreePrivate, 1)];
            Script { threads: 4, units: 5, sizes: &[1, 2, 4], names: 0, steps: 16, mix }.run();
        },
    },
    Model {
        name: "lanes/threads",
        law: "threads that end and begin: a lane has one at a time, and leaves nothing behind",
        threads: 8,
        body: || {
            let mix = &[(Rebirth, 4), (Take, 3), (Post, 2), (FreePosted, 2)];
            Script { threads: 8, units: 6, sizes: &[1, 2, 4], names: 0, steps: 8, mix }.run();
        },
    },
    Model {
        name: "names/few",
        law: "two names: each construct and destroy that succeeds has its turn, what is pinned is not taken",
        threads: 4,
        body: || {
            let mix =
                &[(Construct, 4), (Destroy, 4), (Find, 6), (Unpin, 5), (Take, 5), (FreePrivate, 4)];
            Script { threads: 4, units: 4, sizes: &[1], names: 2, steps: 20, mix }.run();
        },
    },
    Model {
        name: "names/migration",
        law: "the same of several while the table grows, sheds and moves",
        threads: 5,
        body: || {
            let mix = &[
                (Construct, 6),
                (Destroy, 4),
                (Find, 4),
                (Unpin, 3),
                (Shed, 2),
                (Reap, 1),
                (Take, 1),
                (FreePrivate, 1),
            ];
            Script { threads: 5, units: 6, sizes: &[1, 2, 4], names: 5, steps: 14, mix }.run();
        },
    },
    Model {
        name: "segment/all",
        law: "everything at once by many: the accounts are right, and all can be freed",
        threads: 8,
        body: || {
            let mix = &[
                (Take, 6),
                (Post, 4),
                (FreePosted, 4),
                (FreePrivate, 3),
                (TakeRun, 1),
                (ResizeRun, 1),
                (FreeRun, 1),
                (GiveAway, 1),
                (Trim, 1),
                (Rebirth, 1),
                (Construct, 5),
                (Destroy, 4),
                (Find, 4),
                (Unpin, 3),
                (Shed, 1),
                (Reap, 1),
            ];
            Script { threads: 8, units: 10, sizes: &[1, 2, 4], names: 4, steps: 24, mix }.run();
        },
    },
];

//! A thread that does random operations on the segment, and writes down what it has.

use super::account::Account;
use sharena::model::{BLOCK, Found, Worker, World};
use shuttle::rand::{RngCore, thread_rng};
use std::cell::RefCell;
use std::rc::Rc;

/// Blocks of smallest size in a unit.
const UNIT: usize = 4;

/// What all threads of an execution share.
pub struct Town {
    pub world: Rc<World>,
    pub account: RefCell<Account>,
    /// Raw blocks that anybody may free, and their places.
    pub post: RefCell<Vec<(u64, usize)>>,
    pub names: Vec<String>,
    /// Blocks that are taken, in places.
    sizes: &'static [usize],
}

impl Town {
    pub fn new(units: u32, sizes: &'static [usize], names: usize) -> Rc<Town> {
        Rc::new(Town {
            world: World::new(units),
            account: RefCell::new(Account::new(names)),
            post: RefCell::default(),
            names: (0..names).map(|i| format!("name {i}")).collect(),
            sizes,
        })
    }

    fn hold(&self, worker: &Worker, block: u64, places: usize) {
        self.account.borrow_mut().hold(self.world.place_of(block), places);
        // Who still reads what was here reads nonsense.
        worker.overwrite(block);
    }

    fn give(&self, block: u64, places: usize) {
        self.account.borrow_mut().give(self.world.place_of(block), places);
    }
}

/// An operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// A block of a slab, from the magazine or by a refill.
    Take,
    /// A block becomes raw memory, which everybody may free.
    Post,
    /// Frees a raw block, whosever.
    FreePosted,
    FreePrivate,
    TakeRun,
    ResizeRun,
    FreeRun,
    GiveAway,
    Trim,
    /// The thread ends, and another begins.
    Rebirth,
    Construct,
    Find,
    Unpin,
    Destroy,
    Shed,
    Reap,
}

/// How often each operation is drawn.
pub type Mix = &'static [(Op, u64)];

pub fn below(end: usize) -> usize {
    (thread_rng().next_u64() % end.max(1) as u64) as usize
}

fn draw(mix: Mix) -> Op {
    let mut left = below(mix.iter().map(|(_, weight)| *weight as usize).sum()) as u64;
    for (op, weight) in mix {
        match left.checked_sub(*weight) {
            None => return *op,
            Some(rest) => left = rest,
        }
    }
    unreachable!("below the sum of all weights")
}

/// One of a list, taken out.
fn any<T>(of: &mut Vec<T>) -> Option<T> {
    (!of.is_empty()).then(|| of.swap_remove(below(of.len())))
}

/// What a thread holds at most of each kind.
const HELD: usize = 4;
const PINS: usize = 2;

/// A thread; `None` for its lane only between two.
struct Actor {
    town: Rc<Town>,
    worker: Worker,
    private: Vec<(u64, usize)>,
    runs: Vec<(u64, usize)>,
    pins: Vec<Found>,
}

/// `steps` operations of the mix; then the thread holds nothing, but has its slabs.
pub fn act(town: Rc<Town>, mix: Mix, steps: usize) -> Worker {
    let worker = town.world.begin_thread().expect("there are lanes for all");
    let mut actor = Actor { town, worker, private: vec![], runs: vec![], pins: vec![] };
    for _ in 0..steps {
        actor = actor.step(draw(mix));
    }
    actor.empty().1
}

impl Actor {
    fn step(mut self, op: Op) -> Actor {
        match op {
            Op::Take => self.take(),
            Op::Post => {
                if let Some((block, places)) = any(&mut self.private) {
                    self.worker.publish_raw(block);
                    self.town.post.borrow_mut().push((block, places));
                }
            }
            Op::FreePosted => free_posted(&self.town, &self.worker),
            Op::FreePrivate => {
                if let Some((block, places)) = any(&mut self.private) {
                    self.town.give(block, places);
                    self.worker.free_private(block);
                }
            }
            Op::TakeRun => {
                let units = 1 + below(3);
                if self.runs.len() < 2
                    && let Some(run) = self.worker.take_run(units as u32)
                {
                    self.town.hold(&self.worker, run, units * UNIT);
                    self.runs.push((run, units));
                }
            }
            Op::ResizeRun => self.resize_run(),
            Op::FreeRun => {
                if let Some((run, units)) = any(&mut self.runs) {
                    self.town.give(run, units * UNIT);
                    self.worker.free_private(run);
                }
            }
            Op::GiveAway => {
                self.worker.give_away_slabs();
            }
            Op::Trim => self.worker.release(),
            Op::Rebirth => return self.rebirth(),
            Op::Construct => self.construct(),
            Op::Find => self.find(),
            Op::Unpin => self.unpin(),
            Op::Destroy => {
                destroy(&self.town, &self.worker, below(self.town.names.len()));
            }
            Op::Shed => self.worker.shed_if_room(),
            Op::Reap => self.worker.reap(),
        }
        self
    }

    fn take(&mut self) {
        let places = self.town.sizes[below(self.town.sizes.len())];
        if self.private.len() < HELD
            && let Some(block) = self.worker.take(BLOCK * places)
        {
            self.town.hold(&self.worker, block, places);
            self.private.push((block, places));
        }
    }

    fn resize_run(&mut self) {
        let Some((run, old)) = any(&mut self.runs) else { return };
        let wanted = 1 + below(3);
        let units = |count: usize| (count * UNIT) as u64 * BLOCK as u64;
        if wanted < old {
            self.town.give(run + units(wanted), (old - wanted) * UNIT);
        }
        let done = self.worker.resize_run(run, wanted as u32);
        assert!(done || wanted > old, "a run can always shrink");
        if done && wanted > old {
            self.town.hold(&self.worker, run + units(old), (wanted - old) * UNIT);
        }
        self.runs.push((run, if done { wanted } else { old }));
    }

    fn construct(&mut self) {
        let Some(object) = self.worker.take(BLOCK) else { return };
        self.town.hold(&self.worker, object, 1);
        self.worker.write_object(object);
        let (name, place) = (below(self.town.names.len()), self.town.world.place_of(object));
        self.town.account.borrow_mut().constructing(place, name);
        if self.worker.construct_if_room(&self.town.names[name], object) != Some(true) {
            self.town.account.borrow_mut().not_constructed(place, name);
            self.town.give(object, 1);
            self.worker.free_private(object);
        }
    }

    fn find(&mut self) {
        let name = below(self.town.names.len());
        if self.pins.len() < PINS
            && let Some(found) = self.worker.find(&self.town.names[name])
        {
            let place = self.town.world.place_of(found.object);
            self.town.account.borrow_mut().pinned(place, name);
            self.pins.push(found);
        }
    }

    fn unpin(&mut self) {
        if let Some(found) = any(&mut self.pins) {
            let place = self.town.world.place_of(found.object);
            self.town.account.borrow_mut().unpinned(place);
            self.worker.unpin(found);
        }
    }

    /// Lets go of all that is private.
    fn empty(mut self) -> (Rc<Town>, Worker) {
        while !self.pins.is_empty() {
            self.unpin();
        }
        for (block, places) in self.private {
            self.town.give(block, places);
            self.worker.free_private(block);
        }
        for (run, units) in self.runs {
            self.town.give(run, units * UNIT);
            self.worker.free_private(run);
        }
        (self.town, self.worker)
    }

    fn rebirth(self) -> Actor {
        let (town, worker) = self.empty();
        worker.end_thread();
        let worker = town.world.begin_thread().expect("there are lanes for all");
        Actor { town, worker, private: vec![], runs: vec![], pins: vec![] }
    }
}

/// Nobody else is at work: each takes what it can, and then nothing is left that is free. A free that
/// nobody announced shows here, where the owner's own search has come by before.
fn take_all(town: &Town, workers: &[Worker]) {
    let all: Vec<Vec<(u64, usize)>> = workers
        .iter()
        .map(|worker| {
            let take = |places| {
                let blocks = worker.take_all(BLOCK * places).into_iter();
                blocks.map(move |block| (block, places))
            };
            [4, 2, 1].into_iter().flat_map(take).collect()
        })
        .collect();
    for (worker, (block, places)) in
        workers.iter().zip(&all).flat_map(|(worker, all)| all.iter().map(move |it| (worker, *it)))
    {
        town.hold(worker, block, places);
    }
    let census = town.world.census();
    // A block in Limbo that was pinned when its owner looked is left to the cursor, or a trim.
    let free = census.blocks[0];
    assert_eq!((free, census.free_units), (0, 0), "blocks free, and units, that nobody finds");
    for (worker, all) in workers.iter().zip(all) {
        for (block, places) in all {
            town.give(block, places);
            worker.free_private(block);
        }
    }
}

fn free_posted(town: &Town, worker: &Worker) {
    let posted = any(&mut town.post.borrow_mut());
    if let Some((block, places)) = posted {
        town.give(block, places);
        worker.free_raw(block);
    }
}

fn destroy(town: &Town, worker: &Worker, name: usize) {
    town.account.borrow_mut().destroying(name);
    if !worker.destroy(&town.names[name]) {
        town.account.borrow_mut().not_destroyed(name);
    }
}

/// All threads have come to their last step: what is there must be what the account says, what is
/// free is found, and nothing is left once all is freed.
pub fn settle(town: &Rc<Town>, units: u32, workers: Vec<Worker>) {
    let census = town.world.census();
    let (posted, places): (Vec<_>, Vec<_>) = town.post.borrow().iter().copied().unzip();
    let raw = census.blocks[4];
    assert_eq!(census.runs, 0, "a run is held, and nobody holds one");
    assert_eq!(raw as usize, posted.len(), "raw blocks: those in the segment, those handed out");
    assert_eq!(town.account.borrow().held(), places.iter().sum::<usize>(), "the account itself");
    take_all(town, &workers);
    workers.into_iter().for_each(Worker::end_thread);
    let private = town.world.census().blocks[1];
    assert_eq!(private, 0, "something is held, and everybody has ended");
    let worker = town.world.begin_thread().expect("there are lanes for all");
    if !town.names.is_empty() {
        let live: Vec<String> = worker.live_names().into_iter().map(|(name, _)| name).collect();
        for (name, count) in town.names.iter().zip(town.account.borrow().live()) {
            let there = live.iter().filter(|other| *other == name).count();
            assert_eq!(there as u32, count, "objects of {name}: in the table, by the account");
        }
        (0..town.names.len()).for_each(|name| destroy(town, &worker, name));
        assert!(worker.live_names().is_empty(), "what is destroyed is not listed");
        worker.shed();
        worker.reap();
    }
    (0..posted.len()).for_each(|_| free_posted(town, &worker));
    worker.give_away_slabs();
    worker.release();
    worker.end_thread();
    // The one array of names lies in a slab that is nobody's.
    let census = town.world.census();
    let arrays = u32::from(!town.names.is_empty());
    let [_, private, published, limbo, raw] = census.blocks;
    assert_eq!([private, published, limbo, raw], [0, arrays, 0, 0], "blocks when all is freed");
    assert_eq!(
        (census.free_units, census.orphans, census.owned, census.runs),
        (units - arrays, arrays, 0, 0),
        "units when all is freed"
    );
}

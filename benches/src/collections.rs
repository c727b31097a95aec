//! `collections`: those of sharena beside std's and hashbrown's, private, published, and changed under a lock; the
//! queue beside crossbeam's; and the ring of one producer and one consumer beside that, and rtrb.

use crate::args::CollectionsArgs;
use crate::machine::Machine;
use crate::median::median;
use crate::until::until;
use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use crossbeam_queue::ArrayQueue;
use hashbrown::HashMap as Peer;
use rtrb::RingBuffer;
use sharena::collections::{
    Arc, BTreeMap as Tree, HashMap, HashMapMut, Vec as Shared, VecDeque as Deque, VecMut,
};
use sharena::lock::{Mutex, RwLock};
use sharena::queue::{Queue, SpscRing};
use sharena::{Options, Ref, Segment};
use std::collections::{BTreeMap as PeerTree, VecDeque as PeerDeque};
use std::hint::black_box;
use std::sync::{self, PoisonError};
use std::time::Instant;
use std::{fs, thread};

/// Elements of a vector, keys of a map.
const MANY: u64 = 1 << 16;
/// How often each work is done in a round.
const TIMES: u64 = 8;
/// Places of a queue.
const PLACES: usize = 1024;

/// Who does the work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Peer,
    Private,
    /// Looked at through a `Ref`.
    Published,
}

/// A work, its bar, and who does it.
struct Work {
    name: &'static str,
    limit: f64,
    subjects: &'static [Subject],
    run: fn(&Stage<'_>, Subject),
}

use Subject::{Peer as OfPeer, Private, Published};

static WORKS: [Work; 19] = [
    Work { name: "vec push", limit: 1.5, subjects: &[OfPeer, Private], run: push },
    Work { name: "vec iterate", limit: 1.5, subjects: &[OfPeer, Private, Published], run: iterate },
    Work { name: "vec index", limit: 1.5, subjects: &[OfPeer, Private, Published], run: index },
    Work { name: "map insert", limit: 2.0, subjects: &[OfPeer, Private], run: insert },
    Work { name: "map get", limit: 2.0, subjects: &[OfPeer, Private, Published], run: get },
    Work { name: "map miss", limit: 2.0, subjects: &[OfPeer, Private, Published], run: miss },
    Work { name: "tree insert", limit: 2.0, subjects: &[OfPeer, Private], run: plant },
    Work { name: "tree get", limit: 2.0, subjects: &[OfPeer, Private, Published], run: climb },
    Work { name: "tree iterate", limit: 2.0, subjects: &[OfPeer, Private, Published], run: walk },
    Work { name: "tree remove", limit: 2.0, subjects: &[OfPeer, Private], run: fell },
    Work { name: "deque push, pop", limit: 2.0, subjects: &[OfPeer, Private], run: through_deque },
    Work { name: "arc clone, drop", limit: NONE, subjects: &[OfPeer, Private], run: clone },
    Work {
        name: "lock, vec push",
        limit: NONE,
        subjects: &[OfPeer, Published],
        run: lock_and_push,
    },
    Work {
        name: "lock, map insert",
        limit: NONE,
        subjects: &[OfPeer, Published],
        run: lock_and_insert,
    },
    Work {
        name: "read, vec index",
        limit: NONE,
        subjects: &[OfPeer, Published],
        run: read_and_index,
    },
    Work { name: "queue one to one", limit: 2.0, subjects: &[OfPeer, Published], run: one_to_one },
    Work { name: "queue two to two", limit: 2.0, subjects: &[OfPeer, Published], run: two_to_two },
    Work { name: "ring, queue", limit: 2.0, subjects: &[OfPeer, Published], run: ring_or_queue },
    Work { name: "ring, rtrb", limit: NONE, subjects: &[OfPeer, Published], run: ring_or_rtrb },
];
/// No bar: what ours does beside, std's does not, as it knows of no deaths.
const NONE: f64 = f64::INFINITY;

/// What is read.
struct Stage<'s> {
    segment: &'s Segment,
    vec: Vec<u64>,
    shared: Shared<u64>,
    shown: Ref<'s, Shared<u64>>,
    map: Peer<u64, u64>,
    shared_map: HashMap<u64, u64>,
    shown_map: Ref<'s, HashMap<u64, u64>>,
    tree: PeerTree<u64, u64>,
    shared_tree: Tree<u64, u64>,
    shown_tree: Ref<'s, Tree<u64, u64>>,
    arc: sync::Arc<u64>,
    shared_arc: Arc<u64>,
    locked: sync::Mutex<Vec<u64>>,
    shown_locked: Ref<'s, Mutex<Shared<u64>>>,
    locked_map: sync::Mutex<Peer<u64, u64>>,
    shown_locked_map: Ref<'s, Mutex<HashMap<u64, u64>>>,
    read: sync::RwLock<Vec<u64>>,
    shown_read: Ref<'s, RwLock<Shared<u64>>>,
    queue: ArrayQueue<u64>,
    shown_queue: Ref<'s, Queue<u64, PLACES>>,
    shown_ring: Ref<'s, SpscRing<u64, PLACES>>,
    /// In the order in which keys are looked up.
    keys: Vec<u64>,
}

/// The command; whether every bar that was asked for is met.
pub fn run(args: &CollectionsArgs) -> Result<bool> {
    let segment = Options::new().capacity(256 << 20).create_anonymous()?;
    let mut keys: Vec<u64> = (0..MANY).map(key).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut keys);
    let shared = || {
        let mut made = Shared::new_in(&segment);
        made.extend(0..MANY);
        made
    };
    let shared_map = || {
        let mut made = HashMap::new_in(&segment);
        made.extend((0..MANY).map(|i| (key(i), i)));
        made
    };
    let shared_tree = || {
        let mut made = Tree::new_in(&segment);
        keys.iter().for_each(|key| assert!(made.insert(*key, *key).is_none()));
        made
    };
    let stage = Stage {
        segment: &segment,
        vec: (0..MANY).collect(),
        shared: shared(),
        shown: segment.construct("vector", shared())?,
        map: (0..MANY).map(|i| (key(i), i)).collect(),
        shared_map: shared_map(),
        shown_map: segment.construct("map", shared_map())?,
        tree: keys.iter().map(|key| (*key, *key)).collect(),
        shared_tree: shared_tree(),
        shown_tree: segment.construct("tree", shared_tree())?,
        arc: sync::Arc::new(0),
        shared_arc: Arc::new_in(0, &segment),
        locked: sync::Mutex::default(),
        shown_locked: segment.construct("locked", Mutex::new(Shared::new_in(&segment)))?,
        locked_map: sync::Mutex::default(),
        shown_locked_map: segment.construct("locked map", Mutex::new(HashMap::new_in(&segment)))?,
        read: sync::RwLock::new((0..MANY).collect()),
        shown_read: segment.construct("read", RwLock::new(shared()))?,
        queue: ArrayQueue::new(PLACES),
        shown_queue: segment.construct("queue", Queue::new())?,
        shown_ring: segment.construct("ring", SpscRing::new())?,
        keys,
    };
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(["work", "subject", "median ns", "ratio", "bar"]);
    let mut all = true;
    let wanted = wanted(&args.works)?;
    for work in wanted {
        let rounds = measure(&stage, work, args.rounds);
        for (s, subject) in work.subjects.iter().enumerate() {
            let ratio = median(rounds.iter().map(|round| round[s] / round[0]));
            let is_met = *subject == OfPeer || ratio <= work.limit;
            all &= is_met;
            let bar = format!("{} {}", work.limit, if is_met { "met" } else { "NOT MET" });
            table.add_row([
                work.name.to_owned(),
                name_of(work, *subject).to_owned(),
                format!("{:.2}", median(rounds.iter().map(|round| round[s]))),
                format!("{ratio:.2}"),
                if *subject == OfPeer || work.limit.is_infinite() { String::new() } else { bar },
            ]);
        }
    }
    for column in 2..4 {
        table.column_mut(column).expect("five of them").set_cell_alignment(CellAlignment::Right);
    }
    let below = format!(
        "ns per element over {} rounds; ratio: the median of the rounds' ratios",
        args.rounds
    );
    println!("{table}\n{below}");
    if let Some(file) = &args.report {
        table.load_preset(presets::ASCII_MARKDOWN);
        let made = Machine::here();
        let text = format!("`cargo xtask bench collections`, {made}\n\n{table}\n\n{below}.\n");
        fs::write(file, text).with_context(|| format!("{} is not written", file.display()))?;
    }
    Ok(!args.gate || all)
}

/// Those of these names, or whose names contain them; all when there are none.
fn wanted(names: &[String]) -> Result<Vec<&'static Work>> {
    let is_one_of =
        |work: &Work, is: fn(&str, &str) -> bool| names.iter().any(|name| is(work.name, name));
    let those = |is| -> Vec<_> { WORKS.iter().filter(|work| is_one_of(work, is)).collect() };
    if names.is_empty() {
        return Ok(WORKS.iter().collect());
    }
    let mut wanted = those(|work, name| work == name);
    if wanted.is_empty() {
        wanted = those(|work, name| work.contains(name));
    }
    let all = WORKS.each_ref().map(|work| work.name).join(", ");
    ensure!(!wanted.is_empty(), "no work has such a name; there are: {all}");
    Ok(wanted)
}

fn name_of(work: &Work, subject: Subject) -> &'static str {
    match subject {
        OfPeer if work.name.starts_with("queue") => "crossbeam",
        OfPeer if work.name == "ring, queue" => "crossbeam",
        OfPeer if work.name == "ring, rtrb" => "rtrb",
        OfPeer if work.name.starts_with("map") => "hashbrown",
        OfPeer if work.name == "lock, map insert" => "hashbrown",
        OfPeer => "std",
        Private => "private",
        Published => "published",
    }
}

/// Nanoseconds per element, by round and subject; the order changes from round to round.
fn measure(stage: &Stage<'_>, work: &Work, rounds: u32) -> Vec<Vec<f64>> {
    let mut times = Vec::new();
    for round in 0..=rounds as usize {
        let mut of_round = vec![0.0; work.subjects.len()];
        for turn in 0..work.subjects.len() {
            let s = (turn + round) % work.subjects.len();
            let begin = Instant::now();
            (0..TIMES).for_each(|_| (work.run)(stage, work.subjects[s]));
            of_round[s] = begin.elapsed().as_nanos() as f64 / (MANY * TIMES) as f64;
        }
        if round > 0 {
            times.push(of_round); // the first one warms up
        }
    }
    times
}

/// Scattered, all different.
fn key(i: u64) -> u64 {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn push(stage: &Stage<'_>, subject: Subject) {
    if subject == OfPeer {
        let mut vec = Vec::new();
        (0..MANY).for_each(|i| vec.push(black_box(i)));
        black_box(vec.len());
    } else {
        let mut vec = Shared::new_in(stage.segment);
        (0..MANY).for_each(|i| vec.push(black_box(i)));
        black_box(vec.len());
    }
}

fn iterate(stage: &Stage<'_>, subject: Subject) {
    let sum = |slice: &[u64]| slice.iter().fold(0u64, |sum, i| sum ^ i.rotate_left(7));
    black_box(match subject {
        OfPeer => sum(black_box(&stage.vec)),
        Private => sum(black_box(&stage.shared)),
        Published => sum(black_box(&*stage.shown)),
    });
}

fn index(stage: &Stage<'_>, subject: Subject) {
    let at = |key: &u64| (key % MANY) as usize;
    let keys = stage.keys.iter();
    black_box(match subject {
        OfPeer => keys.fold(0, |sum, key| sum ^ black_box(&stage.vec)[at(key)]),
        Private => keys.fold(0, |sum, key| sum ^ black_box(&stage.shared)[at(key)]),
        Published => keys.fold(0, |sum, key| sum ^ black_box(&*stage.shown)[at(key)]),
    });
}

fn insert(stage: &Stage<'_>, subject: Subject) {
    if subject == OfPeer {
        let mut map = Peer::new();
        stage.keys.iter().for_each(|key| {
            map.insert(black_box(*key), *key);
        });
        black_box(map.len());
    } else {
        let mut map = HashMap::new_in(stage.segment);
        stage.keys.iter().for_each(|key| {
            map.insert(black_box(*key), *key);
        });
        black_box(map.len());
    }
}

fn get(stage: &Stage<'_>, subject: Subject) {
    look_up(stage, subject, 0);
}

fn miss(stage: &Stage<'_>, subject: Subject) {
    look_up(stage, subject, 1);
}

fn look_up(stage: &Stage<'_>, subject: Subject, beside: u64) {
    let keys = stage.keys.iter().map(|key| key ^ beside);
    black_box(match subject {
        OfPeer => keys.filter_map(|key| stage.map.get(&key)).fold(0, |sum, i| sum ^ i),
        Private => keys.filter_map(|key| stage.shared_map.get(&key)).fold(0, |sum, i| sum ^ i),
        Published => keys.filter_map(|key| stage.shown_map.get(&key)).fold(0, |sum, i| sum ^ i),
    });
}

fn plant(stage: &Stage<'_>, subject: Subject) {
    if subject == OfPeer {
        let mut tree = PeerTree::new();
        stage.keys.iter().for_each(|key| {
            tree.insert(black_box(*key), *key);
        });
        black_box(tree.len());
    } else {
        let mut tree = Tree::new_in(stage.segment);
        stage.keys.iter().for_each(|key| {
            tree.insert(black_box(*key), *key);
        });
        black_box(tree.len());
    }
}

fn climb(stage: &Stage<'_>, subject: Subject) {
    let keys = stage.keys.iter();
    black_box(match subject {
        OfPeer => keys.filter_map(|key| stage.tree.get(key)).fold(0, |sum, i| sum ^ i),
        Private => keys.filter_map(|key| stage.shared_tree.get(key)).fold(0, |sum, i| sum ^ i),
        Published => keys.filter_map(|key| stage.shown_tree.get(key)).fold(0, |sum, i| sum ^ i),
    });
}

fn walk(stage: &Stage<'_>, subject: Subject) {
    let add = |sum: u64, (key, value): (&u64, &u64)| sum ^ key.rotate_left(7) ^ value;
    black_box(match subject {
        OfPeer => black_box(&stage.tree).iter().fold(0, add),
        Private => black_box(&stage.shared_tree).iter().fold(0, add),
        Published => black_box(&*stage.shown_tree).iter().fold(0, add),
    });
}

/// With the putting in before it, which the same subject does.
fn fell(stage: &Stage<'_>, subject: Subject) {
    let mut found = 0;
    if subject == OfPeer {
        let mut tree = PeerTree::new();
        stage.keys.iter().for_each(|key| assert!(tree.insert(*key, *key).is_none()));
        stage.keys.iter().rev().for_each(|key| found += u64::from(tree.remove(key).is_some()));
    } else {
        let mut tree = Tree::new_in(stage.segment);
        stage.keys.iter().for_each(|key| assert!(tree.insert(*key, *key).is_none()));
        stage.keys.iter().rev().for_each(|key| found += u64::from(tree.remove(key).is_some()));
    }
    assert_eq!(black_box(found), MANY);
}

/// A thousand are in it.
fn through_deque(stage: &Stage<'_>, subject: Subject) {
    let mut sum = 0;
    if subject == OfPeer {
        let mut deque: PeerDeque<u64> = (0..1000).collect();
        (0..MANY).for_each(|i| {
            deque.push_back(black_box(i));
            sum ^= deque.pop_front().unwrap_or_default();
        });
    } else {
        let mut deque = Deque::new_in(stage.segment);
        deque.extend(0..1000);
        (0..MANY).for_each(|i| {
            deque.push_back(black_box(i));
            sum ^= deque.pop_front().unwrap_or_default();
        });
    }
    black_box(sum);
}

fn clone(stage: &Stage<'_>, subject: Subject) {
    match subject {
        OfPeer => (0..MANY).for_each(|_| drop(black_box(stage.arc.clone()))),
        _ => (0..MANY).for_each(|_| drop(black_box(stage.shared_arc.clone()))),
    }
}

/// The lock is taken for each.
fn lock_and_push(stage: &Stage<'_>, subject: Subject) {
    if subject == OfPeer {
        let locked = || stage.locked.lock().unwrap_or_else(PoisonError::into_inner);
        (0..MANY).for_each(|i| locked().push(black_box(i)));
        locked().clear();
    } else {
        let locked = || stage.shown_locked.lock().unwrap_or_else(|it| it.into_inner());
        (0..MANY).for_each(|i| locked().push(black_box(i)));
        locked().clear();
    }
}

fn lock_and_insert(stage: &Stage<'_>, subject: Subject) {
    let keys = stage.keys.iter();
    if subject == OfPeer {
        let locked = || stage.locked_map.lock().unwrap_or_else(PoisonError::into_inner);
        keys.for_each(|key| _ = locked().insert(black_box(*key), *key));
        locked().clear();
    } else {
        let locked = || stage.shown_locked_map.lock().unwrap_or_else(|it| it.into_inner());
        keys.for_each(|key| _ = locked().insert(black_box(*key), *key));
        locked().clear();
    }
}

fn read_and_index(stage: &Stage<'_>, subject: Subject) {
    let at = |key: &u64| (key % MANY) as usize;
    let keys = stage.keys.iter();
    black_box(match subject {
        OfPeer => {
            let read = || stage.read.read().unwrap_or_else(PoisonError::into_inner);
            keys.fold(0, |sum, key| sum ^ read()[at(key)])
        }
        _ => {
            let read = || stage.shown_read.read().unwrap_or_else(|it| it.into_inner());
            keys.fold(0, |sum, key| sum ^ read()[at(key)])
        }
    });
}

fn one_to_one(stage: &Stage<'_>, subject: Subject) {
    hand_on(stage, subject, 1);
}

fn two_to_two(stage: &Stage<'_>, subject: Subject) {
    hand_on(stage, subject, 2);
}

/// So many threads push, and as many take. Nobody sleeps: crossbeam's queue cannot.
fn hand_on(stage: &Stage<'_>, subject: Subject, threads: u64) {
    if subject == OfPeer {
        let queue = &stage.queue;
        let push = |i| queue.push(i).is_ok();
        between_threads(threads, push, || queue.pop().is_some());
    } else {
        let queue = &*stage.shown_queue;
        let push = |i| queue.try_push(i).is_ok();
        between_threads(threads, push, || queue.try_recv().is_ok());
    }
}

fn between_threads(
    threads: u64,
    push: impl Fn(u64) -> bool + Sync,
    take: impl Fn() -> bool + Sync,
) {
    let each = MANY / threads;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..each).for_each(|i| until(|| push(i))));
            scope.spawn(|| (0..each).for_each(|_| until(&take)));
        }
    });
}

fn ring_or_queue(stage: &Stage<'_>, subject: Subject) {
    if subject == OfPeer { one_to_one(stage, subject) } else { through_ring(stage) }
}

/// rtrb's cannot sleep, so that it need not look whether anybody does.
fn ring_or_rtrb(stage: &Stage<'_>, subject: Subject) {
    if subject != OfPeer {
        return through_ring(stage);
    }
    let (mut producer, mut consumer) = RingBuffer::new(PLACES);
    let push = |i| producer.push(i).is_ok();
    between_ends(push, || consumer.pop().is_ok());
}

fn through_ring(stage: &Stage<'_>) {
    let ring = &*stage.shown_ring;
    let mut producer = ring.producer().expect("nobody has it");
    let mut consumer = ring.consumer().expect("nobody has it");
    let push = |i| producer.try_push(i).is_ok();
    between_ends(push, || consumer.try_recv().is_ok());
}

fn between_ends(mut push: impl FnMut(u64) -> bool + Send, mut take: impl FnMut() -> bool + Send) {
    thread::scope(|scope| {
        scope.spawn(|| (0..MANY).for_each(|i| until(|| push(i))));
        scope.spawn(|| (0..MANY).for_each(|_| until(&mut take)));
    });
}

//! Sets of unit numbers: what stands in a leaf is seen from the top, and leads to its truth.

use crate::harness::{Cells, Model, explore};
use loom::model::Builder;
use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::Ordering::{Acquire, Release};
use loom::thread::spawn;
use sharena::model::Set;
use std::rc::Rc;

/// Three levels of words of four bits.
const ITEMS: usize = 20;
/// Four items of the last leaf word, to which a find from 0 on comes by the summaries of both levels.
const A: usize = 16;
const B: usize = 17;
const C: usize = 18;
const D: usize = 19;

pub fn models() -> Vec<Model> {
    vec![
        Model {
            name: "index-set/clear",
            law: "an item that comes in while finders clear summaries is visible at rest",
            threads: 3,
            bound: Some(3),
            long: None,
            check: clear,
        },
        Model {
            name: "index-set/churn",
            law: "removes and inserts under one word hide nothing of each other",
            threads: 3,
            bound: Some(3),
            long: None,
            check: churn,
        },
        Model {
            name: "index-set/edge",
            law: "who finds an item sees what was written before its insert",
            threads: 2,
            bound: None,
            long: None,
            check: edge,
        },
        Model {
            name: "index-set/stale",
            law: "a hint dropped as stale comes back if its truth has come meanwhile",
            threads: 2,
            bound: None,
            long: None,
            check: stale,
        },
    ]
}

/// A set whose summaries still show what was removed.
fn emptied() -> Rc<Set> {
    let set = Set::new(ITEMS);
    set.insert(A);
    set.remove(A);
    Rc::new(set)
}

fn at_rest(set: &Set) {
    assert_eq!(set.first_hidden(ITEMS), None, "a set leaf bit cannot be seen from the top");
}

fn clear(builder: Builder) {
    explore(builder, || {
        let set = emptied();
        let finders = [(); 2].map(|()| {
            let set = set.clone();
            spawn(move || set.find(0))
        });
        set.insert(B);
        for finder in finders {
            let found = finder.join().unwrap();
            assert!(
                matches!(found, None | Some(B)),
                "a finder found {found:?}, which was never there"
            );
        }
        at_rest(&set);
        assert_eq!(set.find(0), Some(B), "a find at rest must find the item");
    });
}

fn churn(builder: Builder) {
    explore(builder, || {
        let set = emptied();
        set.insert(C);
        let (a, b) = (set.clone(), set.clone());
        let remover = spawn(move || {
            a.remove(C);
            a.find(0);
        });
        let mover = spawn(move || {
            b.insert(D);
            b.remove(D);
            b.find(0);
        });
        set.insert(B);
        remover.join().unwrap();
        mover.join().unwrap();
        at_rest(&set);
        assert_eq!(set.find(0), Some(B), "a find at rest must find the item");
        assert_eq!(set.find(C), None, "what was removed must not come back");
    });
}

fn edge(builder: Builder) {
    explore(builder, || {
        let (set, cells) = (emptied(), Cells::new(ITEMS));
        let (s, c) = (set.clone(), cells.clone());
        let inserter = spawn(move || {
            c.write(B, 7);
            s.insert(B);
        });
        if let Some(found) = set.find(0) {
            assert_eq!(cells.read(found), 7, "the truth behind the hint is older than the hint");
        }
        inserter.join().unwrap();
    });
}

fn stale(builder: Builder) {
    explore(builder, || {
        let (set, truth) = (emptied(), Rc::new(AtomicU64::new(0)));
        set.insert(B); // a stale hint: its truth says no
        let (s, t) = (set.clone(), truth.clone());
        let appearing = spawn(move || {
            t.store(1, Release);
            s.insert(B);
        });
        let is_in = || truth.load(Acquire) == 1;
        if set.find(0) == Some(B) && !is_in() {
            set.drop_stale(B, is_in);
        }
        appearing.join().unwrap();
        at_rest(&set);
        assert_eq!(set.find(0), Some(B), "the item is there, and no hint says so");
    });
}

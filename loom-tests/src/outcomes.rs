//! The checker first: small models whose outcomes are known by hand, each asserted as a whole set.
//!
//! The published loom 0.7.3 never reaches the outcome 1 of `load-then-cas` and of `reader-then-cas`
//! (one execution of the first, nine of the second, where the mended one has six and 36): the
//! writer's own load takes the place of the reader's in what loom remembers of the word, so that it
//! never goes back to let the writer go first. `cargo xtask loom --unmended outcomes` shows it. The
//! other sets it reaches, with fewer executions where there is a load before a CAS.

use crate::harness::{Model, outcomes};
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicU64, fence};
use loom::thread::spawn;

const fn model(name: &'static str, threads: usize, law: &'static str, check: fn(Builder)) -> Model {
    Model { name, law, threads, bound: None, long: None, check }
}

pub fn models() -> Vec<Model> {
    vec![
        model(
            "outcomes/load-then-cas",
            2,
            "a reader sees the word before or after another's load and CAS",
            load_then_cas,
        ),
        model(
            "outcomes/cas-then-reader",
            3,
            "the same between two spawned threads, the writer first",
            cas_then_reader,
        ),
        model("outcomes/reader-then-cas", 3, "the same, the reader first", reader_then_cas),
        model("outcomes/load-then-store", 2, "the same with a store", load_then_store),
        model("outcomes/lost-update", 2, "two that load, then store, count 1 or 2", lost_update),
        model(
            "outcomes/cas-loops",
            2,
            "two CAS loops: each may have to go round once, and both count",
            cas_loops,
        ),
        model("outcomes/three-cas", 3, "of three CAS of one word any may win", three_cas),
        model("outcomes/message", 2, "Release and Acquire carry a message", message),
        model("outcomes/message-relaxed", 2, "relaxed ones do not", message_relaxed),
        model("outcomes/message-by-fences", 2, "fences carry it, too", message_by_fences),
        model(
            "outcomes/store-buffering",
            2,
            "without fences both may read the old",
            store_buffering,
        ),
        model("outcomes/full-fences", 2, "with full fences one reads the new", full_fences),
        model(
            "outcomes/coherence",
            2,
            "one word never goes back, and may be seen half-way",
            coherence,
        ),
        model(
            "outcomes/release-sequence",
            3,
            "a read-modify-write continues another's release",
            release_sequence,
        ),
        model(
            "outcomes/two-words",
            2,
            "read-modify-writes of two words as loom has them: in order",
            two_words,
        ),
    ]
}

fn word() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(0))
}

fn load_and_cas(word: &AtomicU64) {
    let seen = word.load(SeqCst);
    let _ = word.compare_exchange(seen, 1, SeqCst, SeqCst);
}

/// The published loom sees 0 only.
fn load_then_cas(builder: Builder) {
    outcomes(builder, [0, 1], || {
        let x = word();
        let y = x.clone();
        let writer = spawn(move || load_and_cas(&y));
        let seen = x.load(SeqCst);
        writer.join().unwrap();
        seen
    });
}

fn cas_then_reader(builder: Builder) {
    outcomes(builder, [0, 1], || {
        let x = word();
        let (y, z) = (x.clone(), x);
        let writer = spawn(move || load_and_cas(&y));
        let reader = spawn(move || z.load(SeqCst));
        let seen = reader.join().unwrap();
        writer.join().unwrap();
        seen
    });
}

/// The published loom sees 0 only.
fn reader_then_cas(builder: Builder) {
    outcomes(builder, [0, 1], || {
        let x = word();
        let (y, z) = (x.clone(), x);
        let reader = spawn(move || z.load(SeqCst));
        let writer = spawn(move || load_and_cas(&y));
        let seen = reader.join().unwrap();
        writer.join().unwrap();
        seen
    });
}

fn load_then_store(builder: Builder) {
    outcomes(builder, [0, 1], || {
        let x = word();
        let y = x.clone();
        let reader = spawn(move || y.load(SeqCst));
        let _ = x.load(SeqCst);
        x.store(1, SeqCst);
        reader.join().unwrap()
    });
}

fn lost_update(builder: Builder) {
    outcomes(builder, [1, 2], || {
        let x = word();
        let y = x.clone();
        let other = spawn(move || y.store(y.load(Relaxed) + 1, Relaxed));
        x.store(x.load(Relaxed) + 1, Relaxed);
        other.join().unwrap();
        x.load(Relaxed)
    });
}

/// The count, and how often each went round.
fn cas_loops(builder: Builder) {
    fn count(word: &AtomicU64) -> u32 {
        let mut rounds = 0;
        let mut seen = word.load(Relaxed);
        while let Err(now) = word.compare_exchange(seen, seen + 1, AcqRel, Acquire) {
            (seen, rounds) = (now, rounds + 1);
        }
        rounds
    }
    outcomes(builder, [(2, 0, 0), (2, 0, 1), (2, 1, 0)], || {
        let x = word();
        let y = x.clone();
        let other = spawn(move || count(&y));
        let mine = count(&x);
        let others = other.join().unwrap();
        (x.load(Relaxed), mine, others)
    });
}

fn three_cas(builder: Builder) {
    outcomes(builder, [1, 2, 3], || {
        let x = word();
        let claim = |id: u64| {
            let x = x.clone();
            spawn(move || {
                if x.load(Acquire) == 0 {
                    let _ = x.compare_exchange(0, id, AcqRel, Acquire);
                }
            })
        };
        let others = [claim(2), claim(3)];
        let _ = x.compare_exchange(0, 1, AcqRel, Acquire);
        others.into_iter().for_each(|other| other.join().unwrap());
        x.load(Relaxed)
    });
}

/// What a reader sees of the flag, and then of the data.
fn pass_message(write: Ordering, read: Ordering) -> (u64, u64) {
    let (data, flag) = (word(), word());
    let (d, f) = (data.clone(), flag.clone());
    let writer = spawn(move || {
        d.store(1, Relaxed);
        f.store(1, write);
    });
    let seen = (flag.load(read), data.load(Relaxed));
    writer.join().unwrap();
    seen
}

fn message(builder: Builder) {
    outcomes(builder, [(0, 0), (0, 1), (1, 1)], || pass_message(Release, Acquire));
}

fn message_relaxed(builder: Builder) {
    outcomes(builder, [(0, 0), (0, 1), (1, 0), (1, 1)], || pass_message(Relaxed, Relaxed));
}

fn message_by_fences(builder: Builder) {
    outcomes(builder, [(0, 0), (0, 1), (1, 1)], || {
        let (data, flag) = (word(), word());
        let (d, f) = (data.clone(), flag.clone());
        let writer = spawn(move || {
            d.store(1, Relaxed);
            fence(Release);
            f.store(1, Relaxed);
        });
        let flag = flag.load(Relaxed);
        fence(Acquire);
        let seen = (flag, data.load(Relaxed));
        writer.join().unwrap();
        seen
    });
}

fn store_buffer(full: bool) -> (u64, u64) {
    let (x, y, point) = (word(), word(), word());
    let (x1, y1, point1) = (x.clone(), y.clone(), point.clone());
    let turn = move |mine: &AtomicU64, other: &AtomicU64, point: &AtomicU64| {
        mine.store(1, Relaxed);
        if full {
            // As the facade does it: the fence alone is no place to switch threads.
            point.fetch_add(1, Relaxed);
            fence(SeqCst);
        }
        other.load(Relaxed)
    };
    let other = spawn(move || turn(&y1, &x1, &point1));
    let seen = turn(&x, &y, &point);
    (seen, other.join().unwrap())
}

fn store_buffering(builder: Builder) {
    outcomes(builder, [(0, 0), (0, 1), (1, 0), (1, 1)], || store_buffer(false));
}

fn full_fences(builder: Builder) {
    outcomes(builder, [(0, 1), (1, 0), (1, 1)], || store_buffer(true));
}

fn coherence(builder: Builder) {
    outcomes(builder, [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)], || {
        let x = word();
        let y = x.clone();
        let writer = spawn(move || {
            y.store(1, Relaxed);
            y.store(2, Relaxed);
        });
        let seen = (x.load(Relaxed), x.load(Relaxed));
        writer.join().unwrap();
        seen
    });
}

/// Flag and data as a third thread sees them, once the flag is 2.
fn release_sequence(builder: Builder) {
    outcomes(builder, [None, Some(1)], || {
        let (data, flag) = (word(), word());
        let (d, f, g) = (data.clone(), flag.clone(), flag.clone());
        let writer = spawn(move || {
            d.store(1, Relaxed);
            f.store(1, Release);
        });
        let other = spawn(move || {
            let _ = g.compare_exchange(1, 2, Relaxed, Relaxed);
        });
        let seen = (flag.load(Acquire) == 2).then(|| data.load(Relaxed));
        writer.join().unwrap();
        other.join().unwrap();
        seen
    });
}

/// Known to be incomplete: C11 allows (1, 0), too, as relaxed read-modify-writes of two words may
/// pass each other. loom never does that, so no model can tell whether their orderings suffice.
fn two_words(builder: Builder) {
    outcomes(builder, [(0, 0), (0, 1), (1, 1)], || {
        let (x, y) = (word(), word());
        let (x1, y1) = (x.clone(), y.clone());
        let writer = spawn(move || {
            x1.fetch_or(1, Relaxed);
            y1.fetch_or(1, Relaxed);
        });
        let seen = (y.fetch_or(0, Relaxed), x.fetch_or(0, Relaxed));
        writer.join().unwrap();
        seen
    });
}

//! What the small models do: a few threads, a few words, and the numbers that they read.

use super::Outcome;
use crate::checker::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};
use crate::checker::{Arc, AtomicU64, JoinHandle, fence, spawn};

fn word() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(0))
}

/// A thread with words of its own names.
fn with<const N: usize, T: Send + 'static>(
    words: [&Arc<AtomicU64>; N],
    body: impl FnOnce([Arc<AtomicU64>; N]) -> T + Send + 'static,
) -> JoinHandle<T> {
    let words = words.map(Clone::clone);
    spawn(move || body(words))
}

fn load_and_cas(word: &AtomicU64) {
    let seen = word.load(SeqCst);
    let _ = word.compare_exchange(seen, 1, SeqCst, SeqCst);
}

pub fn load_then_cas() -> Outcome {
    let x = word();
    let writer = with([&x], |[x]| load_and_cas(&x));
    let seen = x.load(SeqCst);
    writer.join().unwrap();
    vec![seen]
}

pub fn load_then_add() -> Outcome {
    let x = word();
    let writer = with([&x], |[x]| {
        x.load(SeqCst);
        x.fetch_add(1, SeqCst);
    });
    let seen = x.load(SeqCst);
    writer.join().unwrap();
    vec![seen]
}

pub fn cas_then_reader() -> Outcome {
    let x = word();
    let writer = with([&x], |[x]| load_and_cas(&x));
    let reader = with([&x], |[x]| x.load(SeqCst));
    let seen = reader.join().unwrap();
    writer.join().unwrap();
    vec![seen]
}

pub fn reader_then_cas() -> Outcome {
    let x = word();
    let reader = with([&x], |[x]| x.load(SeqCst));
    let writer = with([&x], |[x]| load_and_cas(&x));
    let seen = reader.join().unwrap();
    writer.join().unwrap();
    vec![seen]
}

pub fn load_then_store() -> Outcome {
    let x = word();
    let reader = with([&x], |[x]| x.load(SeqCst));
    let _ = x.load(SeqCst);
    x.store(1, SeqCst);
    vec![reader.join().unwrap()]
}

pub fn lost_update() -> Outcome {
    let x = word();
    let other = with([&x], |[x]| x.store(x.load(Relaxed) + 1, Relaxed));
    x.store(x.load(Relaxed) + 1, Relaxed);
    other.join().unwrap();
    vec![x.load(Relaxed)]
}

/// The count, and what each found.
pub fn two_additions() -> Outcome {
    let x = word();
    let other = with([&x], |[x]| x.fetch_add(1, Relaxed));
    let mine = x.fetch_add(1, Relaxed);
    let others = other.join().unwrap();
    vec![x.load(Relaxed), mine, others]
}

/// Counts by CAS; how often it went round.
fn count(word: &AtomicU64) -> u64 {
    let mut rounds = 0;
    let mut seen = word.load(Relaxed);
    while let Err(now) = word.compare_exchange(seen, seen + 1, AcqRel, Acquire) {
        (seen, rounds) = (now, rounds + 1);
    }
    rounds
}

/// The count, and how often each went round.
pub fn cas_loops() -> Outcome {
    let x = word();
    let other = with([&x], |[x]| count(&x));
    let mine = count(&x);
    let others = other.join().unwrap();
    vec![x.load(Relaxed), mine, others]
}

pub fn three_cas_loops() -> Outcome {
    let x = word();
    let others = [with([&x], |[x]| count(&x)), with([&x], |[x]| count(&x))];
    let mine = count(&x);
    let [first, second] = others.map(|other| other.join().unwrap());
    vec![x.load(Relaxed), mine, first, second]
}

pub fn three_cas() -> Outcome {
    let x = word();
    let claim = |id: u64| {
        with([&x], move |[x]| {
            if x.load(Acquire) == 0 {
                let _ = x.compare_exchange(0, id, AcqRel, Acquire);
            }
        })
    };
    let others = [claim(2), claim(3)];
    let _ = x.compare_exchange(0, 1, AcqRel, Acquire);
    others.into_iter().for_each(|other| other.join().unwrap());
    vec![x.load(Relaxed)]
}

pub fn message() -> Outcome {
    pass_message(Release, Acquire)
}

/// What a reader sees of the flag, and then of the data.
pub fn pass_message(write: Ordering, read: Ordering) -> Outcome {
    let (data, flag) = (word(), word());
    let writer = with([&data, &flag], move |[data, flag]| {
        data.store(1, Relaxed);
        flag.store(1, write);
    });
    let seen = vec![flag.load(read), data.load(Relaxed)];
    writer.join().unwrap();
    seen
}

pub fn message_by_fences(before: bool, behind: bool) -> Outcome {
    let (data, flag) = (word(), word());
    let writer = with([&data, &flag], move |[data, flag]| {
        data.store(1, Relaxed);
        if before {
            fence(Release);
        }
        flag.store(1, Relaxed);
    });
    let flag = flag.load(Relaxed);
    if behind {
        fence(Acquire);
    }
    let seen = vec![flag, data.load(Relaxed)];
    writer.join().unwrap();
    seen
}

/// A fence as the crate's facade makes it: in loom the fence alone is no place to switch threads.
fn fence_at(point: &AtomicU64, order: Ordering) {
    if order == SeqCst {
        point.fetch_add(1, Relaxed);
    }
    fence(order);
}

/// Each of two writes its word and reads the other's, with a fence between.
pub fn store_buffer(write: Ordering, read: Ordering, between: Option<Ordering>) -> Outcome {
    let (x, y, point) = (word(), word(), word());
    let turn = move |mine: &AtomicU64, other: &AtomicU64, point: &AtomicU64| {
        mine.store(1, write);
        if let Some(order) = between {
            fence_at(point, order);
        }
        other.load(read)
    };
    let other = with([&y, &x, &point], move |[y, x, point]| turn(&y, &x, &point));
    let seen = turn(&x, &y, &point);
    vec![seen, other.join().unwrap()]
}

pub fn full_fences_alone() -> Outcome {
    let (x, y) = (word(), word());
    let turn = |mine: &AtomicU64, other: &AtomicU64| {
        mine.store(1, Relaxed);
        fence(SeqCst);
        other.load(Relaxed)
    };
    let other = with([&x, &y], move |[x, y]| turn(&y, &x));
    let seen = turn(&x, &y);
    vec![seen, other.join().unwrap()]
}

pub fn one_full_fence() -> Outcome {
    let (x, y, point) = (word(), word(), word());
    let other = with([&x, &y], |[x, y]| {
        y.store(1, Relaxed);
        x.load(Relaxed)
    });
    x.store(1, Relaxed);
    fence_at(&point, SeqCst);
    let seen = y.load(Relaxed);
    vec![seen, other.join().unwrap()]
}

pub fn load_buffer() -> Outcome {
    let (x, y) = (word(), word());
    let other = with([&x, &y], |[x, y]| {
        let seen = x.load(Relaxed);
        y.store(1, Relaxed);
        seen
    });
    let seen = y.load(Relaxed);
    x.store(1, Relaxed);
    vec![seen, other.join().unwrap()]
}

pub fn coherence() -> Outcome {
    let x = word();
    let writer = with([&x], |[x]| {
        x.store(1, Relaxed);
        x.store(2, Relaxed);
    });
    let seen = vec![x.load(Relaxed), x.load(Relaxed)];
    writer.join().unwrap();
    seen
}

/// What the writer of 1 reads, and what is there in the end.
pub fn own_write() -> Outcome {
    let x = word();
    let other = with([&x], |[x]| x.store(2, Relaxed));
    x.store(1, Relaxed);
    let seen = x.load(Relaxed);
    other.join().unwrap();
    vec![seen, x.load(Relaxed)]
}

/// The data as a third thread sees them once the flag is 2; nothing if it is not.
fn behind_two(other: impl FnOnce([Arc<AtomicU64>; 1]) + Send + 'static) -> Outcome {
    let (data, flag) = (word(), word());
    let writer = with([&data, &flag], |[data, flag]| {
        data.store(1, Relaxed);
        flag.store(1, Release);
    });
    let other = with([&flag], other);
    let mut seen = vec![];
    if flag.load(Acquire) == 2 {
        seen.push(data.load(Relaxed));
    }
    writer.join().unwrap();
    other.join().unwrap();
    seen
}

pub fn release_sequence() -> Outcome {
    behind_two(|[flag]| {
        let _ = flag.compare_exchange(1, 2, Relaxed, Relaxed);
    })
}

pub fn release_sequence_cut() -> Outcome {
    behind_two(|[flag]| {
        if flag.load(Relaxed) == 1 {
            flag.store(2, Relaxed);
        }
    })
}

pub fn release_sequence_own_store() -> Outcome {
    let (data, flag) = (word(), word());
    let writer = with([&data, &flag], |[data, flag]| {
        data.store(1, Relaxed);
        flag.store(1, Release);
        flag.store(2, Relaxed);
    });
    let mut seen = vec![];
    if flag.load(Acquire) == 2 {
        seen.push(data.load(Relaxed));
    }
    writer.join().unwrap();
    seen
}

/// The first tells the second, that one tells us: what we see of what the first did.
pub fn causality(tell: Ordering, hear: Ordering) -> Outcome {
    let (data, first, second) = (word(), word(), word());
    let writer = with([&data, &first], move |[data, first]| {
        data.store(1, Relaxed);
        first.store(1, tell);
    });
    let teller = with([&first, &second], move |[first, second]| {
        if first.load(hear) == 1 {
            second.store(1, tell);
        }
    });
    let mut seen = vec![];
    if second.load(hear) == 1 {
        seen.push(data.load(Relaxed));
    }
    writer.join().unwrap();
    teller.join().unwrap();
    seen
}

pub fn two_readers(fenced: bool) -> Outcome {
    let (x, y, point) = (word(), word(), word());
    let read = move |first: &AtomicU64, second: &AtomicU64, point: &AtomicU64| {
        let one = first.load(Acquire);
        if fenced {
            fence_at(point, SeqCst);
        }
        vec![one, second.load(Acquire)]
    };
    let writers = [&x, &y].map(|word| with([word], |[word]| word.store(1, Release)));
    let other = with([&y, &x, &point], move |[y, x, point]| read(&y, &x, &point));
    let mut seen = read(&x, &y, &point);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    seen.extend(other.join().unwrap());
    seen
}

pub fn two_words() -> Outcome {
    let (x, y) = (word(), word());
    let writer = with([&x, &y], |[x, y]| {
        x.fetch_or(1, Relaxed);
        y.fetch_or(1, Relaxed);
    });
    let seen = vec![y.fetch_or(0, Relaxed), x.fetch_or(0, Relaxed)];
    writer.join().unwrap();
    seen
}

pub fn store_beside_cas() -> Outcome {
    let x = word();
    let _changes = with([&x], |[x]| x.compare_exchange(1, 3, AcqRel, Acquire).is_ok());
    let stores = with([&x], |[x]| {
        x.store(1, Release);
        x.store(2, Release);
    });
    stores.join().unwrap();
    vec![x.load(Acquire)]
}

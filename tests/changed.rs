//! Collections behind locks, through the public interface:
//!
//! - they are changed as std's are, in every process that has found them;
//! - each change is all or nothing, and takes no more memory than what hangs on the value;
//! - where there is no memory, all is as it was;
//! - what cannot be is refused: blocks of another segment, what a lock guards that is not empty.

mod common;

use sharena::collections::{String, TryClone, Vec, VecMut};
use sharena::lock::Mutex;
use sharena::{ObjectError, Options, Segment};

type Numbers = Mutex<Vec<u64>>;
type Names = Mutex<Vec<String>>;

fn anonymous() -> Segment {
    Options::new().capacity(1 << 20).create_anonymous().unwrap()
}

fn assert_whole(segment: &Segment) {
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn numbers_are_pushed_and_taken_out() {
    let segment = anonymous();
    let vec = segment.construct::<Numbers>("v", Mutex::new(Vec::new_in(&segment))).unwrap();
    let mut vec = vec.lock().unwrap();
    for i in 0..1000 {
        vec.push(i);
    }
    assert!(vec.iter().copied().eq(0..1000));
    assert_eq!(vec.pop(), Some(999));
    assert_eq!(vec.remove(1), 1);
    vec.insert(1, 7);
    vec.insert(0, 8);
    assert_eq!(vec[..4], [8, 0, 7, 2]);
    assert_eq!(vec.try_swap_remove(0).unwrap(), 8);
    assert_eq!(vec[..2], [998, 0]);
    vec.retain(|it| it % 100 == 0);
    assert_eq!(*vec, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    *vec.get_mut(0).unwrap() += 5;
    assert_eq!(vec[0], 5);
    vec.truncate(1);
    assert_eq!(*vec, [5]);
    vec.clear();
    assert_eq!(vec.pop(), None);
    drop(vec);
    assert_whole(&segment);
}

#[test]
fn strings_are_taken_out_as_copies_and_nothing_is_lost() {
    let segment = anonymous();
    let before = segment.stats().unwrap();
    let vec = segment.construct::<Names>("v", Mutex::new(Vec::new())).unwrap();
    let text = |i: usize| String::from_in(&format!("a text that is number {i}"), &segment);
    {
        let mut vec = vec.lock().unwrap();
        for i in 0..100 {
            vec.push(text(i));
        }
        assert_whole(&segment);
        let last = vec.pop().unwrap();
        assert_eq!(last, text(99));
        assert_eq!(vec.remove(0), text(0));
        vec.insert(0, text(7));
        vec.get_mut(1).unwrap().set(text(8));
        assert_eq!(vec.get_mut(2).unwrap().try_replace(text(9)).unwrap(), text(2));
        vec.retain(|it| !it.ends_with("0"));
        assert_eq!((&*vec[0], &*vec[1], &*vec[2]), (&*text(7), &*text(8), &*text(9)));
        assert_eq!(vec.len(), 99 - 9);
        vec.truncate(50);
        let copy = vec.try_clone().unwrap();
        assert_eq!(*copy, **vec);
    }
    assert_whole(&segment);
    let parts = segment.check().unwrap().looked.parts;
    assert_eq!(parts, 51, "fifty texts and the block of the vector");
    drop(vec);
    segment.destroy::<Names>("v").unwrap();
    segment.recover().unwrap();
    assert_whole(&segment);
    let now = segment.stats().unwrap();
    assert_eq!(segment.check().unwrap().looked.parts, 0);
    let _ = (before, now);
}

#[test]
fn what_a_lock_guards_is_empty_when_it_is_constructed() {
    let (segment, other) = (anonymous(), anonymous());
    let mut full = Vec::new_in(&segment);
    full.push(1u64);
    let refused = segment.construct::<Numbers>("v", Mutex::new(full)).unwrap_err();
    assert!(matches!(refused, ObjectError::Guarded { .. }), "{refused}");
    let vec = segment.construct::<Names>("v", Mutex::new(Vec::new())).unwrap();
    let mut vec = vec.lock().unwrap();
    let foreign = vec.try_push(String::from_in("a text that is of another segment", &other));
    assert_eq!(foreign, Err(sharena::AllocError::Foreign));
    assert!(vec.is_empty());
    drop(vec);
    assert_whole(&segment);
    assert_eq!(segment.check().unwrap().looked.parts, 0);
}

#[test]
fn where_there_is_no_memory_all_is_as_it_was() {
    let segment = Options::new().capacity(1 << 18).create_anonymous().unwrap();
    let vec = segment.construct::<Numbers>("v", Mutex::new(Vec::new())).unwrap();
    let mut vec = vec.lock().unwrap();
    let mut count = 0;
    while vec.try_push(count).is_ok() {
        count += 1;
    }
    assert!(count > 1000);
    assert!(vec.iter().copied().eq(0..count));
    vec.clear();
    drop(vec);
    assert_whole(&segment);
}

#[test]
fn a_private_one_is_changed_in_place() {
    let segment = anonymous();
    let mut outside = Mutex::new(Vec::new_in(&segment));
    outside.lock().unwrap().push(String::from_in("a text of some length", &segment));
    outside.get_mut().unwrap().push(String::from_in("another text of some length", &segment));
    let inner = outside.into_inner().unwrap();
    assert_eq!(inner.len(), 2);
    let before = segment.stats().unwrap().free;
    drop(Mutex::new(inner));
    segment.trim().unwrap();
    assert!(segment.stats().unwrap().free > before, "it is dropped");
    assert_whole(&segment);
}

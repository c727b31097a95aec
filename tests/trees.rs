//! `BTreeMap` and `BTreeSet` behave as std's do, private and behind a lock, and lose no byte.
//!
//! Laws:
//! - After any operations a map is what std's is after the same: 10⁵ of private ones, and of those that a
//!   lock guards; ranges and both ends of iterators among them.
//! - All is given back; each published part hangs on the object.
//! - Where there is no memory, putting in is an error and all is as it was; taking out goes on.
//! - A file may say what it likes of a tree: it is refused, or what is found is found.
#![cfg(not(loom))]

mod common;

use common::{Name, Process, arg, fill, role, say};
use proptest::prelude::*;
use sharena::collections::{
    BTreeEntry, BTreeMap, BTreeMapMut, BTreeSet, BTreeSetMut, String, TryClone, Vec,
};
use sharena::lock::Mutex;
use sharena::{AllocError, ObjectError, Options, Segment};
use std::alloc::Layout;
use std::collections::{BTreeMap as StdMap, BTreeSet as StdSet};
use std::ops::Bound;

fn segment(capacity: u64) -> Segment {
    Options::new().capacity(capacity).create_anonymous().unwrap()
}

/// Bytes that are free when nothing is kept at hand.
fn free(segment: &Segment) -> u64 {
    segment.trim().unwrap();
    segment.stats().unwrap().free
}

#[derive(Clone, Debug)]
enum Act {
    Insert(u32, u32),
    Rising(u32),
    Remove(u32),
    PopFirst,
    PopLast,
    Entry(u32, u32),
    Modify(u32),
    Retain(u32),
    Range(Bound<u32>, Bound<u32>),
    Ends(usize),
    IntoIter(usize),
    Append(u32),
    Clone,
    Clear,
}

fn act(keys: u32) -> impl Strategy<Value = Act> {
    let key = move || 0..keys;
    let bound = move || {
        prop_oneof![
            key().prop_map(Bound::Included),
            key().prop_map(Bound::Excluded),
            Just(Bound::Unbounded)
        ]
    };
    prop_oneof![
        40 => (key(), any::<u32>()).prop_map(|(key, value)| Act::Insert(key, value)),
        2 => (1..40u32).prop_map(Act::Rising),
        32 => key().prop_map(Act::Remove),
        6 => Just(Act::PopFirst),
        6 => Just(Act::PopLast),
        8 => (key(), any::<u32>()).prop_map(|(key, value)| Act::Entry(key, value)),
        4 => key().prop_map(Act::Modify),
        1 => (2..9u32).prop_map(Act::Retain),
        8 => (bound(), bound()).prop_map(|(from, to)| Act::Range(from, to)),
        4 => any::<usize>().prop_map(Act::Ends),
        1 => (0..100usize).prop_map(Act::IntoIter),
        1 => key().prop_map(Act::Append),
        1 => Just(Act::Clone),
        1 => prop_oneof![3 => Just(Act::PopFirst), 1 => Just(Act::Clear)],
    ]
}

/// Both ends of what is left, in an order that `seed` says; and as many as there are.
fn same_from_both_ends<T: PartialEq + std::fmt::Debug>(
    mut ours: impl DoubleEndedIterator<Item = T>,
    mut theirs: impl DoubleEndedIterator<Item = T>,
    seed: usize,
) {
    for i in 0.. {
        let (one, other) = match seed >> (i % 60) & 1 {
            0 => (ours.next(), theirs.next()),
            _ => (ours.next_back(), theirs.next_back()),
        };
        assert_eq!(one, other);
        if one.is_none() {
            assert!(ours.next().is_none() && ours.next_back().is_none());
            return;
        }
    }
}

fn is_range(from: Bound<u32>, to: Bound<u32>) -> bool {
    match (from, to) {
        (Bound::Excluded(from), Bound::Excluded(to)) => from < to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from <= to,
        _ => true,
    }
}

fn perform(
    segment: &Segment,
    ours: &mut BTreeMap<u32, String>,
    theirs: &mut StdMap<u32, std::string::String>,
    act: Act,
) {
    let number = |value: u32| format!("{value}, long enough to have a block");
    let text = |value: u32| String::from_in(&number(value), segment);
    match act {
        Act::Insert(key, value) => {
            let old = ours.insert(key, text(value));
            assert_eq!(old.as_deref(), theirs.insert(key, number(value)).as_deref());
        }
        Act::Rising(count) => {
            let from = theirs.last_key_value().map_or(0, |(key, _)| key + 1);
            for key in from..from + count {
                ours.insert(key, text(key));
                theirs.insert(key, number(key));
            }
        }
        Act::Remove(key) => {
            assert_eq!(ours.remove(&key).as_deref(), theirs.remove(&key).as_deref());
        }
        Act::PopFirst => {
            let (one, other) = (ours.pop_first(), theirs.pop_first());
            assert_eq!(one.map(|(key, value)| (key, value.to_string())), other);
        }
        Act::PopLast => {
            let (one, other) = (ours.pop_last(), theirs.pop_last());
            assert_eq!(one.map(|(key, value)| (key, value.to_string())), other);
        }
        Act::Entry(key, value) => match ours.entry(key) {
            BTreeEntry::Occupied(mut entry) => {
                assert_eq!(entry.get().as_str(), theirs[&key]);
                if value % 3 == 0 {
                    assert_eq!(entry.remove().as_str(), theirs.remove(&key).unwrap());
                } else {
                    entry.insert(text(value));
                    entry.into_mut().push_str("!");
                    theirs.insert(key, number(value) + "!");
                }
            }
            BTreeEntry::Vacant(entry) => {
                assert!(!theirs.contains_key(entry.key()));
                entry.insert(text(value)).push_str("?");
                theirs.insert(key, number(value) + "?");
            }
        },
        Act::Modify(key) => {
            let (one, other) = (ours.get_mut(&key), theirs.get_mut(&key));
            assert_eq!(one.is_some(), other.is_some());
            one.into_iter().for_each(|text| text.push_str(" more"));
            other.into_iter().for_each(|text| text.push_str(" more"));
        }
        Act::Retain(by) => {
            let mut asked = std::vec::Vec::new();
            ours.retain(|key, _| {
                asked.push(*key);
                key % by != 0
            });
            assert!(theirs.keys().eq(&asked), "asked in their order");
            theirs.retain(|key, _| key % by != 0);
        }
        Act::Range(from, to) => {
            if is_range(from, to) {
                let one = ours.range((from, to)).map(|(key, value)| (*key, value.to_string()));
                let other = theirs.range((from, to)).map(|(key, value)| (*key, value.clone()));
                same_from_both_ends(one, other, 0x5a_a5f0);
                ours.range_mut((from, to)).for_each(|(_, value)| value.push_str("r"));
                theirs.range_mut((from, to)).for_each(|(_, value)| value.push('r'));
            } else {
                let range = std::panic::AssertUnwindSafe(|| ours.range((from, to)).count());
                assert!(std::panic::catch_unwind(range).is_err());
            }
        }
        Act::Ends(seed) => {
            let one = ours.iter().map(|(key, value)| (*key, value.as_str()));
            let other = theirs.iter().map(|(key, value)| (*key, value.as_str()));
            assert_eq!(one.len(), other.len());
            let (mut rest, mut std_rest) = (ours.keys(), theirs.keys());
            assert_eq!(rest.nth(seed % 20), std_rest.nth(seed % 20));
            assert_eq!(rest.nth_back(seed % 7), std_rest.nth_back(seed % 7));
            let add = |sum: u64, key: &u32| sum.wrapping_mul(31).wrapping_add(u64::from(*key));
            assert_eq!(rest.fold(0, add), std_rest.fold(0, add));
            same_from_both_ends(one, other, seed);
            ours.iter_mut().rev().for_each(|(_, value)| value.truncate(value.len() - 1));
            theirs.values_mut().for_each(|value| value.truncate(value.len() - 1));
        }
        Act::IntoIter(count) => {
            let copy = ours.clone().into_iter().map(|(key, value)| (key, value.to_string()));
            assert!(copy.take(count).eq(theirs.clone().into_iter().take(count)));
        }
        Act::Append(from) => {
            let keys = (0..60).map(|i| from + 3 * i);
            let mut more: BTreeMap<_, _> = BTreeMap::new_in(segment);
            more.extend(keys.clone().map(|key| (key, text(key))));
            ours.append(&mut more);
            assert!(more.is_empty());
            theirs.extend(keys.map(|key| (key, number(key))));
        }
        Act::Clone => {
            let copy = ours.try_clone().unwrap();
            assert_eq!(copy, *ours);
            *ours = copy;
        }
        Act::Clear => {
            ours.clear();
            theirs.clear();
        }
    }
}

fn assert_same(ours: &BTreeMap<u32, String>, theirs: &StdMap<u32, std::string::String>) {
    assert_eq!(ours.len(), theirs.len());
    let one = ours.iter().map(|(key, value)| (*key, value.as_str()));
    assert!(one.eq(theirs.iter().map(|(key, value)| (*key, value.as_str()))));
    for (key, value) in theirs {
        assert_eq!(ours[key].as_str(), value);
    }
    let ends = (ours.first_key_value().map(|it| it.0), ours.last_key_value().map(|it| it.0));
    assert_eq!(ends, (theirs.keys().next(), theirs.keys().next_back()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_private_map_is_as_std_s(
        acts in prop_oneof![
            prop::collection::vec(act(60), 500..600),
            prop::collection::vec(act(2000), 500..600),
        ]
    ) {
        let segment = segment(1 << 22);
        let before = free(&segment);
        let (mut ours, mut theirs) = (BTreeMap::new_in(&segment), StdMap::new());
        for (i, act) in acts.into_iter().enumerate() {
            perform(&segment, &mut ours, &mut theirs, act);
            if i % 16 == 0 {
                assert_same(&ours, &theirs);
            }
        }
        assert_same(&ours, &theirs);
        drop(ours);
        prop_assert_eq!(free(&segment), before);
    }

    #[test]
    fn one_that_a_lock_guards_is_as_std_s(
        acts in prop_oneof![
            prop::collection::vec(act(60), 500..600),
            prop::collection::vec(act(400), 500..600),
        ]
    ) {
        let segment = segment(1 << 22);
        let map = segment.construct("map", Mutex::new(BTreeMap::<u32, String>::new())).unwrap();
        let mut theirs = StdMap::new();
        for (i, act) in acts.into_iter().enumerate() {
            perform_behind_a_lock(&segment, &map, &mut theirs, act);
            if i % 32 == 0 {
                let ours = map.lock().unwrap();
                let ours = ours.iter().map(|(key, value)| (*key, value.as_str()));
                let theirs = theirs.iter().map(|(key, value)| (*key, value.as_str()));
                prop_assert!(ours.eq(theirs));
            }
        }
        let report = segment.check().unwrap();
        prop_assert!(report.is_clean(), "{}", report);
        map.lock().unwrap().retain(|_, _| false);
        prop_assert!(map.lock().unwrap().is_empty());
        let report = segment.check().unwrap();
        prop_assert!(report.looked.parts <= 1, "the root's own: {}", report);
        drop(map);
        prop_assert!(segment.destroy::<Mutex<BTreeMap<u32, String>>>("map").unwrap());
        let report = segment.check().unwrap();
        prop_assert!(report.is_clean(), "{}", report);
        prop_assert_eq!(report.looked.parts, 0);
    }

    #[test]
    fn a_set_is_as_std_s(acts in prop::collection::vec((0..6u8, 0..200u32), 300..400)) {
        let segment = segment(1 << 22);
        let shared = segment.construct("set", Mutex::new(BTreeSet::<u32>::new())).unwrap();
        let mut guard = shared.lock().unwrap();
        let (mut ours, mut theirs) = (BTreeSet::new_in(&segment), StdSet::new());
        for (what, key) in acts {
            let done = match what {
                0..3 => [ours.insert(key), guard.insert(key), theirs.insert(key)],
                3..5 => [ours.remove(&key), guard.remove(&key), theirs.remove(&key)],
                _ if key % 2 == 0 => {
                    let popped = [ours.pop_first(), guard.pop_first(), theirs.pop_first()];
                    popped.map(|it| it == popped[2])
                }
                _ => {
                    let popped = [ours.pop_last(), guard.pop_last(), theirs.pop_last()];
                    popped.map(|it| it == popped[2])
                }
            };
            prop_assert!(done[0] == done[2] && done[1] == done[2]);
        }
        prop_assert!(ours.iter().eq(theirs.iter()) && guard.iter().eq(theirs.iter()));
        let inside = segment.enter().unwrap();
        let thirds = (0..200).filter(|key| key % 3 == 0);
        let (other, std_other): (BTreeSet<u32>, StdSet<u32>) =
            (thirds.clone().collect(), thirds.collect());
        drop(inside);
        prop_assert!(ours.union(&other).eq(theirs.union(&std_other)));
        prop_assert!(ours.intersection(&other).eq(theirs.intersection(&std_other)));
        prop_assert!(ours.difference(&other).eq(theirs.difference(&std_other)));
        prop_assert!(ours.symmetric_difference(&other).eq(theirs.symmetric_difference(&std_other)));
        prop_assert_eq!(ours.is_subset(&other), theirs.is_subset(&std_other));
        prop_assert_eq!(ours.is_superset(&other), theirs.is_superset(&std_other));
        prop_assert_eq!(ours.is_disjoint(&other), theirs.is_disjoint(&std_other));
        guard.retain(|key| key % 3 == 0);
        ours.retain(|key| key % 3 == 0);
        prop_assert!(ours.is_subset(&other) && *guard == ours);
        guard.clear();
        prop_assert!(guard.is_empty() && guard.first().is_none());
    }
}

fn perform_behind_a_lock(
    segment: &Segment,
    map: &Mutex<BTreeMap<u32, String>>,
    theirs: &mut StdMap<u32, std::string::String>,
    act: Act,
) {
    let number = |value: u32| format!("{value}, long enough to have a block");
    let text = |value: u32| String::from_in(&number(value), segment);
    let mut ours = map.lock().unwrap();
    match act {
        Act::Insert(key, value) | Act::Entry(key, value) => {
            let old = ours.insert(key, text(value));
            assert_eq!(old.as_deref(), theirs.insert(key, number(value)).as_deref());
        }
        Act::Rising(count) => {
            let from = theirs.last_key_value().map_or(0, |(key, _)| key + 1);
            for key in from..from + count {
                assert!(ours.insert(key, text(key)).is_none());
                theirs.insert(key, number(key));
            }
        }
        Act::Remove(key) => {
            assert_eq!(ours.remove(&key).as_deref(), theirs.remove(&key).as_deref());
        }
        Act::PopFirst => {
            let (one, other) = (ours.pop_first(), theirs.pop_first());
            assert_eq!(one.map(|(key, value)| (key, value.to_string())), other);
        }
        Act::PopLast => {
            let (one, other) = (ours.pop_last(), theirs.pop_last());
            assert_eq!(one.map(|(key, value)| (key, value.to_string())), other);
        }
        Act::Modify(key) => {
            let (one, other) = (ours.get_mut(&key), theirs.get_mut(&key));
            assert_eq!(one.is_some(), other.is_some());
            one.into_iter().for_each(|mut value| value.set(text(key)));
            other.into_iter().for_each(|value| *value = number(key));
        }
        Act::Retain(by) => {
            ours.retain(|key, _| key % by != 0);
            theirs.retain(|key, _| key % by != 0);
        }
        Act::Clone => {
            let copy = ours.try_clone().unwrap();
            assert_eq!(copy, *ours);
            ours.as_mut().set(copy);
        }
        Act::Clear => {
            ours.clear();
            theirs.clear();
        }
        Act::Range(..) | Act::Ends(_) | Act::IntoIter(_) | Act::Append(_) => {}
    }
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn without_memory_what_is_there_is_found_and_taken_out() {
    let segment = segment(1 << 20);
    let before = free(&segment);
    for seed in 0..20u32 {
        let mut map = BTreeMap::new_in(&segment);
        map.extend((0..600u32).map(|key| (2 * key, u64::from(key))));
        let mut theirs: StdMap<u32, u64> = map.iter().map(|(key, value)| (*key, *value)).collect();
        let full = fill(&segment);
        let (mut refused, mut random) = (0, seed);
        let mut any = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random >> 8
        };
        for _ in 0..200 {
            let key = (any() % 1200) | 1;
            match map.try_insert(key, 1) {
                Ok(old) => assert_eq!(old, theirs.insert(key, 1)),
                Err(AllocError::OutOfCapacity { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(refused > 50, "{refused}");
        assert!(map.iter().eq(theirs.iter()));
        for step in 0.. {
            let taken = match (step + seed) % 5 {
                0 => map.pop_first() == theirs.pop_first(),
                1 => map.pop_last() == theirs.pop_last(),
                _ => {
                    let near = theirs.range(any() % 1200..).next().or(theirs.iter().next());
                    let Some(near) = near.map(|(key, _)| *key) else { break };
                    map.remove(&near) == theirs.remove(&near)
                }
            };
            assert!(taken, "step {step}");
            if step % 50 == 0 {
                assert!(map.iter().eq(theirs.iter()) && map.iter().rev().eq(theirs.iter().rev()));
                map.retain(|key, _| key % 31 != step % 31);
                theirs.retain(|key, _| key % 31 != step % 31);
            }
        }
        assert!(map.is_empty() && map.iter().next().is_none());
        drop((map, full));
        assert_eq!(free(&segment), before);
    }
}

#[test]
fn without_memory_one_behind_a_lock_is_as_it_was() {
    let segment = segment(1 << 18);
    type Map = Mutex<BTreeMap<u32, String>>;
    let map = segment.construct::<Map>("map", Mutex::new(BTreeMap::new())).unwrap();
    let spare = segment.allocate_block(Layout::from_size_align(64 << 10, 16).unwrap()).unwrap();
    let text = |value: u32| String::try_from_in(&format!("{value} and {:>60}", "more"), &segment);
    let mut map = map.lock().unwrap();
    let mut count = 0;
    let refused = loop {
        match text(count).and_then(|value| map.try_insert(count, value)) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AllocError::OutOfCapacity { .. }), "{refused}");
    assert!(count > 300 && map.len() == count as usize);
    assert!(map.keys().copied().eq(0..count));
    let mut left: StdSet<u32> = (0..count).collect();
    let mut refused = 0;
    for key in (0..count).step_by(7).take(40) {
        match map.try_remove(&key) {
            Ok(old) => assert_eq!(old.is_some(), left.remove(&key), "{key}"),
            Err(error) => {
                assert!(matches!(error, AllocError::OutOfCapacity { .. }), "{error}");
                refused += 1;
            }
        }
        assert!(map.keys().eq(&left));
    }
    assert!(refused > 0);
    drop(spare);
    while let Some((key, _)) = map.pop_first() {
        assert!(left.remove(&key));
    }
    assert!(left.is_empty());
    drop(map);
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.looked.parts <= 1, "{report}");
}

#[test]
fn a_tree_is_published_with_all_that_hangs_on_it() {
    let segment = segment(4 << 20);
    let mut tree = BTreeMap::new_in(&segment);
    for i in 0..500u32 {
        let mut list = Vec::new_in(&segment);
        list.extend((0..i % 7).map(|j| String::from_in(&format!("{j} {:>40}", "long"), &segment)));
        tree.insert(String::from_in(&format!("key {i:>30}"), &segment), list);
    }
    let tree = segment.construct("tree", tree).unwrap();
    let found = segment.find::<BTreeMap<String, Vec<String>>>("tree").unwrap().unwrap();
    assert_eq!(found[format!("key {:>30}", 6).as_str()].len(), 6);
    assert_eq!(found.range::<str, _>((Bound::Included("key"), Bound::Unbounded)).count(), 500);
    let other = segment.find::<BTreeMap<String, Vec<u8>>>("tree").map(|_| ());
    assert!(matches!(other, Err(ObjectError::WrongType { .. })), "{other:?}");
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.looked.parts > 500 + 400 + 1500);
    drop((tree, found));
    // By the map of its type alone.
    segment.clear().unwrap();
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.looked.parts, 0);
}

#[test]
fn who_opens_a_file_looks_at_the_shape_of_a_tree() {
    const TEST: &str = "who_opens_a_file_looks_at_the_shape_of_a_tree";
    type Tree = BTreeMap<u32, u32>;
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        say(match segment.find::<Tree>("tree") {
            Ok(tree) => {
                let tree = tree.unwrap();
                let found = (0..1000).filter(|key| tree.get(key).is_some()).count();
                let _ = tree.iter().rev().count() + tree.range(100..900).count();
                let copy = tree.try_clone().unwrap();
                format!("{found} found, {} copied", copy.len())
            }
            Err(ObjectError::InvalidValue { .. }) => "invalid".into(),
            Err(error) => error.to_string(),
        });
        return;
    }
    let name = Name::new("shape");
    let segment = Segment::create(&name, 16 << 20).unwrap();
    let mut tree = BTreeMap::new_in(&segment);
    tree.extend((0..1000u32).map(|key| (key, key)));
    let tree = segment.construct("tree", tree).unwrap();
    let ask = || {
        let mut other = Process::start(TEST, "opener", &[&name]);
        let said = other.listen();
        other.finish();
        said
    };
    let whole = "1000 found, 1000 copied";
    assert_eq!(ask(), whole);
    let place = |of: *const u8| segment.address(segment.offset_of(of).unwrap()).unwrap().as_ptr();
    // The root: word, length and room of its pairs, the same of its children, the length of all.
    let root = place((&raw const *tree).cast()).cast::<u64>();
    let set = |at: usize, value: u64| {
        // SAFETY: inside of the object of this test's segment, which nobody follows meanwhile.
        unsafe { std::mem::replace(&mut *root.add(at), value) }
    };
    for (at, wrong) in [(1, 0), (4, 0), (4, 1), (5, 1 << 40)] {
        let right = set(at, wrong);
        // A leaf has no child, but pairs.
        let is_leaf = (at, wrong) == (4, 0);
        assert_eq!(ask() == "invalid", !is_leaf, "word {at}: {wrong}");
        set(at, right);
    }
    // A number that is not that of the keys, and keys in no order, are no shape.
    let right = set(6, u64::MAX);
    assert_eq!(ask(), whole);
    set(6, right);
    let first = place(tree.keys().next().unwrap() as *const u32 as *const u8).cast::<u32>();
    // SAFETY: as above.
    unsafe { *first = 5000 };
    assert!(ask().ends_with("found, 1000 copied"));
    // SAFETY: as above.
    unsafe { *first = 0 };
    assert_eq!(ask(), whole);
}

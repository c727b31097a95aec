//! Private collections behave as std's do, and give back each byte.
//!
//! Laws:
//! - After any operations a `Vec`, a `String`, a `Box` is what std's is after the same; 10⁵ of each.
//! - When all are dropped the segment has as much free memory as before.
//! - Where there is no memory an operation is an error, and all is as it was.
//! - A segment is closed only when no private block is left in it.
//! - Values may be sent to other threads and dropped there; a forked child's copies do no harm.
#![cfg(not(loom))]

mod common;

use common::fill;
use proptest::prelude::*;
use sharena::collections::{Box, Entry, HashMap, String, TryClone, Vec};
use sharena::{AllocError, Options, Segment, Shareable};

fn segment(capacity: u64) -> Segment {
    Options::new().capacity(capacity).create_anonymous().unwrap()
}

/// Bytes that are free when nothing is kept at hand.
fn free(segment: &Segment) -> u64 {
    segment.trim().unwrap();
    segment.stats().unwrap().free
}

/// An operation on a vector of texts.
#[derive(Clone, Debug)]
enum Act {
    Push(std::string::String),
    Pop,
    Insert(usize, std::string::String),
    Remove(usize),
    SwapRemove(usize),
    Truncate(usize),
    Extend(std::vec::Vec<std::string::String>),
    Retain(usize),
    Drain(usize, usize, usize),
    Dedup,
    SplitOff(usize),
    Append(usize),
    Shrink,
    Reserve(usize),
    Sort,
    Clone,
    Change(usize, std::string::String),
    IntoIter(usize),
    Clear,
}

fn act() -> impl Strategy<Value = Act> {
    let text = || "[a-c]{0,3}|[α-ω]{0,9}|[a-z]{0,80}";
    let at = || 0..40usize;
    prop_oneof![
        8 => text().prop_map(Act::Push),
        2 => Just(Act::Pop),
        3 => (at(), text()).prop_map(|(at, text)| Act::Insert(at, text)),
        2 => at().prop_map(Act::Remove),
        2 => at().prop_map(Act::SwapRemove),
        1 => at().prop_map(Act::Truncate),
        2 => prop::collection::vec(text(), 0..9).prop_map(Act::Extend),
        1 => at().prop_map(Act::Retain),
        2 => (at(), at(), 0..4usize).prop_map(|(from, to, taken)| Act::Drain(from, to, taken)),
        1 => Just(Act::Dedup),
        1 => at().prop_map(Act::SplitOff),
        1 => at().prop_map(Act::Append),
        1 => Just(Act::Shrink),
        1 => at().prop_map(Act::Reserve),
        1 => Just(Act::Sort),
        1 => Just(Act::Clone),
        2 => (at(), text()).prop_map(|(at, text)| Act::Change(at, text)),
        1 => at().prop_map(Act::IntoIter),
        1 => Just(Act::Clear),
    ]
}

/// Does `act` to both, and says what either yields.
fn perform(
    segment: &Segment,
    ours: &mut Vec<String>,
    theirs: &mut std::vec::Vec<std::string::String>,
    act: Act,
) {
    let text = |text: &str| String::from_in(text, segment);
    let len = theirs.len();
    match act {
        Act::Push(value) => {
            ours.push(text(&value));
            theirs.push(value);
        }
        Act::Pop => assert_eq!(ours.pop().as_deref(), theirs.pop().as_deref()),
        Act::Insert(at, value) => {
            ours.insert(at % (len + 1), text(&value));
            theirs.insert(at % (len + 1), value);
        }
        Act::Remove(at) if len != 0 => {
            assert_eq!(ours.remove(at % len), theirs.remove(at % len).as_str());
        }
        Act::SwapRemove(at) if len != 0 => {
            assert_eq!(ours.swap_remove(at % len), theirs.swap_remove(at % len).as_str());
        }
        Act::Remove(_) | Act::SwapRemove(_) => {}
        Act::Truncate(len) => {
            ours.truncate(len);
            theirs.truncate(len);
        }
        Act::Extend(values) => {
            ours.extend(values.iter().map(|value| text(value)));
            theirs.extend(values);
        }
        Act::Retain(by) => {
            ours.retain(|value| value.len() % (by + 1) != 0);
            theirs.retain(|value| value.len() % (by + 1) != 0);
        }
        Act::Drain(from, to, taken) => {
            let to = to.min(len);
            let from = from.min(to);
            let some = |i: usize| i.is_multiple_of(2);
            let (mut one, mut other) = (ours.drain(from..to), theirs.drain(from..to));
            for i in 0..taken {
                if some(i) {
                    assert_eq!(one.next().as_deref(), other.next().as_deref());
                } else {
                    assert_eq!(one.next_back().as_deref(), other.next_back().as_deref());
                }
            }
        }
        Act::Dedup => {
            ours.dedup();
            theirs.dedup();
        }
        Act::SplitOff(at) => {
            let at = at.min(len);
            assert_eq!(ours.split_off(at), theirs.split_off(at));
        }
        Act::Append(at) => {
            let (mut one, mut other) = (ours.split_off(at.min(len)), theirs.split_off(at.min(len)));
            one.append(ours);
            other.append(theirs);
            assert!(ours.is_empty());
            (*ours, *theirs) = (one, other);
        }
        Act::Shrink => ours.shrink_to_fit(),
        Act::Reserve(more) => {
            ours.reserve(more);
            assert!(ours.capacity() >= len + more);
        }
        Act::Sort => {
            ours.sort();
            theirs.sort();
        }
        Act::Clone => *ours = ours.clone(),
        Act::Change(at, value) if len != 0 => {
            let (one, other) = (&mut ours[at % len], &mut theirs[at % len]);
            one.push_str(&value);
            other.push_str(&value);
            assert_eq!(one.pop(), other.pop());
            let middle = other.char_indices().nth(1).map_or(0, |(at, _)| at);
            one.insert_str(middle, &value);
            other.insert_str(middle, &value);
            if !other.is_empty() {
                assert_eq!(one.remove(0), other.remove(0));
            }
        }
        Act::Change(..) => {}
        Act::IntoIter(taken) => {
            let (one, other) = (std::mem::take(ours), std::mem::take(theirs));
            let (mut one, mut other) = (one.into_iter(), other.into_iter());
            for _ in 0..taken {
                assert_eq!(one.next().as_deref(), other.next().as_deref());
                assert_eq!(one.next_back().as_deref(), other.next_back().as_deref());
            }
            *ours = one.collect();
            *theirs = other.collect();
        }
        Act::Clear => {
            ours.clear();
            theirs.clear();
        }
    }
    assert_eq!(*ours, *theirs);
    assert!(ours.capacity() >= ours.len());
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_vector_of_strings_is_as_std_s(acts in prop::collection::vec(act(), 250..300)) {
        let segment = segment(1 << 22);
        let before = free(&segment);
        let (mut ours, mut theirs) = (Vec::new_in(&segment), std::vec::Vec::new());
        let inside = segment.enter().unwrap();
        for act in acts {
            perform(&segment, &mut ours, &mut theirs, act);
        }
        drop((ours, inside));
        prop_assert_eq!(free(&segment), before);
        prop_assert!(segment.check().unwrap().is_clean());
        // SAFETY: no other thread has to do with the segment.
        let closed = unsafe { segment.close() };
        prop_assert!(closed.is_ok());
    }
}

/// An operation on a map from texts to numbers.
#[derive(Clone, Debug)]
enum MapAct {
    Insert(u16, u32),
    Remove(u16),
    Get(u16),
    Entry(u16, u32),
    Modify(u16),
    Retain(u32),
    Reserve(usize),
    Shrink,
    Clone,
    Clear,
}

fn map_act() -> impl Strategy<Value = MapAct> {
    let key = || prop_oneof![0..40u16, 0..400u16];
    prop_oneof![
        12 => (key(), any::<u32>()).prop_map(|(key, value)| MapAct::Insert(key, value)),
        8 => key().prop_map(MapAct::Remove),
        4 => key().prop_map(MapAct::Get),
        4 => (key(), any::<u32>()).prop_map(|(key, value)| MapAct::Entry(key, value)),
        2 => key().prop_map(MapAct::Modify),
        1 => (0..9u32).prop_map(MapAct::Retain),
        1 => (0..200usize).prop_map(MapAct::Reserve),
        1 => Just(MapAct::Shrink),
        1 => Just(MapAct::Clone),
        1 => Just(MapAct::Clear),
    ]
}

/// Does `act` to both, and says what either yields.
fn perform_on_map(
    segment: &Segment,
    ours: &mut HashMap<String, u32>,
    theirs: &mut std::collections::HashMap<std::string::String, u32>,
    act: MapAct,
) {
    let name = |key: u16| format!("key {key:>24}");
    let text = |key: u16| String::from_in(&name(key), segment);
    match act {
        MapAct::Insert(key, value) => {
            assert_eq!(ours.insert(text(key), value), theirs.insert(name(key), value));
        }
        MapAct::Remove(key) => {
            assert_eq!(ours.remove(name(key).as_str()), theirs.remove(&name(key)));
        }
        MapAct::Get(key) => {
            assert_eq!(ours.get(name(key).as_str()), theirs.get(&name(key)));
            assert_eq!(ours.contains_key(&text(key)), theirs.contains_key(&name(key)));
        }
        MapAct::Entry(key, value) => match ours.entry(text(key)) {
            Entry::Occupied(mut entry) => {
                assert_eq!(Some(entry.get()), theirs.get(&name(key)));
                if value % 3 == 0 {
                    assert_eq!(Some(entry.remove()), theirs.remove(&name(key)));
                } else {
                    assert_eq!(Some(entry.insert(value)), theirs.insert(name(key), value));
                }
            }
            Entry::Vacant(entry) => {
                assert_eq!(entry.key().as_str(), name(key));
                assert_eq!(*entry.insert(value), value);
                assert_eq!(theirs.insert(name(key), value), None);
            }
        },
        MapAct::Modify(key) => {
            let change = |value: &mut u32| *value = value.wrapping_mul(3);
            ours.entry(text(key)).and_modify(change).or_insert(5);
            theirs.entry(name(key)).and_modify(change).or_insert(5);
        }
        MapAct::Retain(by) => {
            ours.retain(|_, value| *value % (by + 1) != 0);
            theirs.retain(|_, value| *value % (by + 1) != 0);
        }
        MapAct::Reserve(more) => {
            ours.reserve(more);
            assert!(ours.capacity() >= theirs.len() + more);
        }
        MapAct::Shrink => ours.shrink_to_fit(),
        MapAct::Clone => {
            let copy = ours.clone();
            assert!(copy == *ours);
            *ours = copy;
        }
        MapAct::Clear => {
            ours.clear();
            theirs.clear();
        }
    }
    assert_eq!(ours.len(), theirs.len());
}

fn sorted<'a>(pairs: impl Iterator<Item = (&'a str, u32)>) -> std::vec::Vec<(&'a str, u32)> {
    let mut pairs: std::vec::Vec<_> = pairs.collect();
    pairs.sort_unstable();
    pairs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_map_is_as_std_s(acts in prop::collection::vec(map_act(), 500..600)) {
        let segment = segment(1 << 22);
        let before = free(&segment);
        let (mut ours, mut theirs) = (HashMap::new_in(&segment), std::collections::HashMap::new());
        for (i, act) in acts.into_iter().enumerate() {
            perform_on_map(&segment, &mut ours, &mut theirs, act);
            if i % 16 == 0 {
                let one = sorted(ours.iter().map(|(key, value)| (key.as_str(), *value)));
                let other = sorted(theirs.iter().map(|(key, value)| (key.as_str(), *value)));
                prop_assert_eq!(one, other);
            }
        }
        drop(ours);
        prop_assert_eq!(free(&segment), before);
    }
}

#[test]
fn maps_of_many_numbers_find_each() {
    let segment = segment(64 << 20);
    let before = free(&segment);
    let mut map = HashMap::new_in(&segment);
    for i in 0..100_000u64 {
        assert_eq!(map.insert(i * 3, i), None);
    }
    assert!((0..300_000).all(|key| map.get(&key).copied() == (key % 3 == 0).then_some(key / 3)));
    for i in (0..100_000).step_by(2) {
        assert_eq!(map.remove(&(i * 3)), Some(i));
    }
    map.extend((0..10).map(|i| (u64::MAX - i, i)));
    assert_eq!(map.values().sum::<u64>(), (1..100_000u64).step_by(2).sum::<u64>() + 45);
    map.values_mut().for_each(|value| *value += 1);
    assert_eq!((map[&9], map.keys().count()), (4, 50_010));
    let mut nothing = HashMap::<(), u8>::new_in(&segment);
    assert_eq!((nothing.insert((), 1), nothing.insert((), 2), nothing[&()]), (None, Some(1), 2));
    drop((map, nothing));
    assert_eq!(free(&segment), before);
}

#[derive(Shareable, PartialEq, Debug)]
#[repr(u8)]
enum Tree {
    Leaf(u32),
    Fork { left: Box<Tree>, right: Option<Box<Tree>>, names: Vec<String> },
}

#[test]
fn values_nest_and_give_back_each_byte() {
    let segment = segment(1 << 22);
    let before = free(&segment);
    let leaf = |i| Box::new_in(Tree::Leaf(i), &segment);
    let mut tree = leaf(0);
    for i in 1..100 {
        let mut names = Vec::new_in(&segment);
        names.push(String::from_in(&format!("a name that needs a block: {i}"), &segment));
        let right = (i % 2 == 0).then(|| leaf(i));
        tree = Box::new_in(Tree::Fork { left: tree, right, names }, &segment);
    }
    let (mut depth, mut at) = (0, &*tree);
    while let Tree::Fork { left, names, .. } = at {
        assert_eq!(names[0].len(), if depth < 90 { 29 } else { 28 });
        (depth, at) = (depth + 1, left);
    }
    assert_eq!((depth, at), (99, &Tree::Leaf(0)));
    assert!(free(&segment) < before);
    let Tree::Fork { left, .. } = tree.into_inner() else { panic!("it is a fork") };
    drop(left);
    assert_eq!(free(&segment), before);
    assert_eq!(size_of::<Option<Box<Tree>>>(), 8);
}

#[test]
fn elements_without_bytes_need_no_block() {
    let segment = segment(1 << 20);
    let before = free(&segment);
    let mut units = Vec::new_in(&segment);
    units.extend([(); 1000]);
    assert_eq!((units.len(), units.capacity(), units.pop()), (1000, usize::MAX, Some(())));
    assert_eq!(units.into_iter().count(), 999);
    assert_eq!(free(&segment), before);
}

#[test]
fn large_vectors_grow_where_they_are_or_move() {
    let segment = segment(64 << 20);
    let before = free(&segment);
    let mut numbers = Vec::new_in(&segment);
    let mut other = Vec::new_in(&segment);
    for i in 0..500_000u64 {
        numbers.push(i);
        if i % 64 == 0 {
            other.push(i);
        }
    }
    assert!(numbers.iter().copied().eq(0..500_000));
    assert!(other.iter().copied().eq((0..500_000).step_by(64)));
    numbers.truncate(10);
    numbers.shrink_to_fit();
    assert!(numbers.capacity() < 20);
    drop((numbers, other));
    assert_eq!(free(&segment), before);
}

#[test]
fn a_large_vector_with_nothing_behind_it_is_not_copied_as_it_grows() {
    let segment = segment(8 << 20);
    let mut numbers = Vec::new_in(&segment);
    (0..5000u64).for_each(|i| numbers.push(i));
    let block = (numbers.as_ptr(), numbers.capacity());
    assert_eq!(block.1, 8192, "doubled, to a unit");
    (5000..100_000).for_each(|i| numbers.push(i));
    assert_eq!(numbers.as_ptr(), block.0);
    assert!(numbers.capacity() > block.1);
    assert!(numbers.iter().copied().eq(0..100_000));
}

#[test]
fn a_large_vector_of_a_known_length_takes_no_more_than_a_block_that_fits() {
    let segment = segment(8 << 20);
    for length in [8193, 9000, 16_385, 20_000u64] {
        let mut numbers = Vec::new_in(&segment);
        numbers.extend(0..length);
        let most = length as usize * 5 / 4;
        assert!(numbers.capacity() <= most, "room for {} of {length}", numbers.capacity());
    }
}

#[test]
fn without_memory_all_stays_as_it_was() {
    let segment = segment(1 << 20);
    let before = free(&segment);
    let text = "a text that is long enough to need a block of its own, and more than a small one";
    let mut texts = Vec::new_in(&segment);
    texts.extend((0..7).map(|_| String::from_in(text, &segment)));
    texts.shrink_to_fit();
    while texts.len() < texts.capacity() {
        texts.push(String::new());
    }
    let copy: std::vec::Vec<std::string::String> = texts.iter().map(ToString::to_string).collect();
    let mut map = HashMap::new_in(&segment);
    map.extend((0..100u32).map(|i| (i, 1u64)));
    let full = fill(&segment);
    let is_full = |error: AllocError| matches!(error, AllocError::OutOfCapacity { .. });
    assert!(texts.try_reserve(1).is_err_and(is_full));
    assert!(texts.try_push(String::new()).is_err_and(is_full));
    assert!(texts.try_insert(1, String::new()).is_err_and(is_full));
    assert!(texts.try_extend((0..3).map(|_| String::new())).is_err_and(is_full));
    assert!(texts.try_clone().is_err_and(is_full));
    assert!(texts[0].try_push_str(&text.repeat(3)).is_err_and(is_full));
    assert!(texts[0].try_insert_str(1, &text.repeat(3)).is_err_and(is_full));
    assert!(texts[0].try_clone().is_err_and(is_full));
    assert!(texts.try_split_off(2).is_err_and(is_full));
    while map.len() < map.capacity() {
        map.insert(map.len() as u32, 1);
    }
    let keys = map.len();
    assert!(map.try_insert(u32::MAX, 1).is_err_and(is_full));
    assert!(map.try_reserve(1).is_err_and(is_full));
    assert!(map.try_clone().is_err_and(is_full));
    assert_eq!((map.len(), map.get(&0), map.get(&u32::MAX)), (keys, Some(&1), None));
    assert!(Box::try_new_in([0u64; 32], &segment).is_err_and(is_full));
    assert!(String::try_from_in(text, &segment).is_err_and(is_full));
    texts.shrink_to_fit();
    assert_eq!(texts, copy);
    // Panics leave it so, too.
    for act in [
        (|texts| texts.push(String::new())) as fn(&mut Vec<String>),
        |texts| texts.insert(0, String::new()),
        |texts| drop(texts.clone()),
        |texts| texts[0].push_str(&"x".repeat(1000)),
    ] {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&mut texts)));
        assert!(caught.is_err());
        assert_eq!(texts, copy);
    }
    drop((texts, map, full));
    assert_eq!(free(&segment), before);
}

#[test]
fn what_belongs_to_no_segment_says_so() {
    let mut numbers: Vec<u32> = Vec::new();
    assert_eq!(numbers.try_push(1), Err(AllocError::NoSegment));
    let segment = segment(1 << 20);
    let inside = segment.enter().unwrap();
    numbers.push(1);
    assert_eq!(Box::new(7u8).into_inner(), 7);
    drop(inside);
    numbers.extend(2..100); // it belongs to one now
    assert!(numbers.iter().copied().eq(1..100));
    assert_eq!(std::mem::take(&mut numbers).len(), 99);
    assert_eq!(numbers.try_push(1), Err(AllocError::NoSegment));
}

#[test]
fn values_of_two_segments_mix_as_long_as_they_are_private() {
    let (one, other) = (segment(1 << 20), segment(1 << 20));
    let before = [free(&one), free(&other)];
    let mut texts = Vec::new_in(&one);
    texts.push(String::from_in("of one", &one));
    texts.push(String::from_in("of the other", &other));
    let mut others = Vec::new_in(&other);
    others.push(String::from_in("more of one", &one));
    std::mem::swap(&mut texts, &mut others);
    texts.append(&mut others);
    assert_eq!(texts, ["more of one", "of one", "of the other"]);
    drop((texts, others));
    assert_eq!([free(&one), free(&other)], before);
}

#[test]
fn threads_pass_values_on() {
    let segment = segment(1 << 22);
    let before = free(&segment);
    let mut texts = Vec::new_in(&segment);
    texts.push(String::from_in("made by the first", &segment));
    for i in 0..20 {
        let segment = segment.clone();
        texts = std::thread::spawn(move || {
            texts.push(String::from_in(&format!("made by thread {i}, who is gone"), &segment));
            texts
        })
        .join()
        .unwrap();
    }
    assert_eq!(texts.len(), 21);
    std::thread::spawn(move || drop(texts)).join().unwrap();
    assert_eq!(free(&segment), before);
    assert!(segment.check().unwrap().is_clean());
}

#[test]
fn a_collection_outlives_the_handle_and_the_segment_opens_again() {
    let name = common::Name::new("outlives");
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let text = String::from_in("still there", &segment);
    let id = segment.id();
    drop(segment);
    assert_eq!(text, "still there");
    let mut longer = text.clone();
    longer.push_str(" and may grow, though nobody has the segment open");
    let again = Segment::open(&name).unwrap();
    assert_eq!((again.id(), again.stats().unwrap().participants.len()), (id, 1));
    drop((text, longer));
    let more = Vec::<u8>::try_new_in(&again);
    assert!(more.is_ok(), "it is the attachment that was kept");
}

#[test]
fn a_segment_is_closed_when_no_block_is_left() {
    let name = common::Name::new("closed");
    let mut segment = Segment::create(&name, 1 << 20).unwrap();
    let watching = Options::new().recover_at_open(false).open(&name).unwrap();
    let attached = || watching.stats().unwrap().participants.len();
    let (text, mut empty) = (String::from_in("a block", &segment), Vec::<u8>::new_in(&segment));
    // SAFETY: no other thread has to do with the segment.
    let close = |segment: Segment| unsafe { segment.close() };
    let other = segment.clone();
    segment = close(segment).unwrap_err();
    drop(other);
    segment = close(segment).unwrap_err();
    assert_eq!((text.as_str(), attached()), ("a block", 2));
    drop(text);
    close(segment).unwrap();
    assert_eq!(attached(), 1);
    assert_eq!(empty.try_push(1), Err(AllocError::Closed));
    let again = Segment::open(&name).unwrap();
    empty = Vec::new_in(&again);
    empty.push(1);
    assert_eq!((attached(), empty.as_slice()), (2, &[1][..]));
}

#[test]
fn two_attachments_of_one_segment_do_not_both_have_collections() {
    let name = common::Name::new("twice");
    let first = Segment::create(&name, 1 << 20).unwrap();
    let second = Segment::open(&name).unwrap();
    let text = String::from_in("first", &first);
    assert_eq!(Vec::<u8>::try_new_in(&second).unwrap_err(), AllocError::TagTaken);
    second.construct("plain", 1u8).unwrap();
    assert_eq!((*first.find::<u8>("plain").unwrap().unwrap(), &*text), (1, "first"));
}

#[test]
fn a_child_s_copies_do_no_harm() {
    let segment = segment(1 << 20);
    let mut texts = Vec::new_in(&segment);
    texts.extend((0..100).map(|i| String::from_in(&format!("text number {i}"), &segment)));
    // SAFETY: the child uses nothing but the segment, and ends by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let before = segment.stats().map_or(0, |stats| stats.free);
        drop(texts);
        let own = String::from_in("the child's own", &segment);
        let is_own = own == "the child's own";
        drop(own);
        let is_same = segment.stats().map_or(1, |stats| stats.free) <= before;
        // SAFETY: ends the child without running anything of its parent's.
        unsafe { libc::_exit(if is_own && is_same { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: our child, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    let more: std::vec::Vec<String> =
        (0..100).map(|i| String::from_in(&format!("new text {i}"), &segment)).collect();
    assert!((0..100).all(|i| texts[i] == format!("text number {i}").as_str()));
    assert!((0..100).all(|i| more[i] == format!("new text {i}").as_str()));
}

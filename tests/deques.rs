//! `VecDeque` behaves as std's does, private and behind a lock, and loses no byte.
//!
//! Laws:
//! - After any operations a deque is what std's is after the same: 10⁵ of private ones, and of those that a
//!   lock guards; of texts, of bytes, and of elements that are no words.
//! - All is given back; each published part hangs on the object.
//! - Where there is no memory, an operation is an error and all is as it was.
//! - User code that unwinds leaves each element where it is, or dropped, once.
//! - A file may say what it likes of a ring: it is refused, or what is found is found.
#![cfg(not(loom))]

mod common;

use common::{Name, Process, arg, fill, role, say};
use proptest::prelude::*;
use sharena::collections::{String, TryClone, Vec, VecDeque, VecDequeMut};
use sharena::lock::Mutex;
use sharena::{AllocError, ObjectError, Options, Segment, Shareable};
use std::collections::VecDeque as Std;
use std::fmt::Debug;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn segment(capacity: u64) -> Segment {
    Options::new().capacity(capacity).create_anonymous().unwrap()
}

/// Bytes that are free when nothing is kept at hand.
fn free(segment: &Segment) -> u64 {
    segment.trim().unwrap();
    segment.stats().unwrap().free
}

fn assert_whole(segment: &Segment, parts: usize) {
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.looked.parts, parts as u64);
}

/// An element, and the number that std's deque has in its place.
trait Element: Shareable + TryClone + PartialEq + Ord + Debug {
    fn of(number: u32, segment: &Segment) -> Self;
    /// Parts that hang on each.
    const PARTS: usize = 0;
}

impl Element for String {
    fn of(number: u32, segment: &Segment) -> Self {
        String::from_in(&format!("{number:>8} is a number"), segment)
    }
    const PARTS: usize = 1;
}

impl Element for u64 {
    fn of(number: u32, _: &Segment) -> Self {
        u64::from(number)
    }
}

impl Element for u8 {
    fn of(number: u32, _: &Segment) -> Self {
        number as u8
    }
}

/// Of which neither one nor a block full is a number of words.
#[derive(Shareable, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Odd([u8; 17]);

impl TryClone for Odd {
    fn try_clone(&self) -> Result<Self, AllocError> {
        Ok(*self)
    }
}

impl Element for Odd {
    fn of(number: u32, _: &Segment) -> Self {
        let bytes = number.to_be_bytes();
        Odd(std::array::from_fn(|i| bytes[i % 4].wrapping_add(i as u8 / 4)))
    }
}

#[derive(Clone, Debug)]
enum Act {
    PushBack(u32),
    PushFront(u32),
    PopBack,
    PopFront,
    Insert(usize, u32),
    Remove(usize),
    Set(usize, u32),
    Swap(usize, usize),
    Truncate(usize),
    Retain(u32),
    Reserve(usize),
    Extend(u32, u32),
    Append(u32),
    Drain(usize, usize, usize),
    Rotate(usize),
    Contiguous,
    Sort,
    Clone,
    IntoIter(usize),
    Ends(usize),
    Clear,
}

fn act() -> impl Strategy<Value = Act> {
    let number = || 0..1000u32;
    let at = || 0..200usize;
    prop_oneof![
        10 => number().prop_map(Act::PushBack),
        10 => number().prop_map(Act::PushFront),
        6 => Just(Act::PopBack),
        6 => Just(Act::PopFront),
        8 => (at(), number()).prop_map(|(at, number)| Act::Insert(at, number)),
        6 => at().prop_map(Act::Remove),
        2 => (at(), number()).prop_map(|(at, number)| Act::Set(at, number)),
        2 => (at(), at()).prop_map(|(one, other)| Act::Swap(one, other)),
        1 => at().prop_map(Act::Truncate),
        1 => (2..5u32).prop_map(Act::Retain),
        1 => (0..40usize).prop_map(Act::Reserve),
        2 => (number(), 0..9u32).prop_map(|(from, count)| Act::Extend(from, count)),
        1 => number().prop_map(Act::Append),
        2 => (at(), at(), 0..5usize).prop_map(|(from, to, taken)| Act::Drain(from, to, taken)),
        2 => at().prop_map(Act::Rotate),
        1 => Just(Act::Contiguous),
        1 => Just(Act::Sort),
        1 => Just(Act::Clone),
        1 => (0..9usize).prop_map(Act::IntoIter),
        1 => any::<usize>().prop_map(Act::Ends),
        1 => Just(Act::Clear),
    ]
}

/// Both ends of what is left, in an order that `seed` says; and as many as there are.
fn same_from_both_ends<A: PartialEq<B> + Debug, B: Debug>(
    mut ours: impl ExactSizeIterator<Item = A> + DoubleEndedIterator,
    mut theirs: impl ExactSizeIterator<Item = B> + DoubleEndedIterator,
    seed: usize,
) {
    for i in 0.. {
        assert_eq!((ours.len(), ours.size_hint()), (theirs.len(), theirs.size_hint()));
        let (one, other) = match seed >> (i % 60) & 1 {
            0 => (ours.next(), theirs.next()),
            _ => (ours.next_back(), theirs.next_back()),
        };
        let (Some(one), Some(other)) = (&one, &other) else {
            assert!(one.is_none() && other.is_none());
            assert!(ours.next().is_none() && ours.next_back().is_none());
            return;
        };
        assert_eq!(one, other);
    }
}

/// Does `act` to both, and says what either yields. Elements of std's are of the same type; both are made
/// alike.
fn perform<T: Element>(segment: &Segment, ours: &mut VecDeque<T>, theirs: &mut Std<T>, act: Act) {
    let make = |number| T::of(number, segment);
    let len = theirs.len();
    let at = |place: usize| place % len.max(1);
    match act {
        Act::PushBack(it) => {
            ours.push_back(make(it));
            theirs.push_back(make(it));
        }
        Act::PushFront(it) => {
            ours.push_front(make(it));
            theirs.push_front(make(it));
        }
        Act::PopBack => assert_eq!(ours.pop_back(), theirs.pop_back()),
        Act::PopFront => assert_eq!(ours.pop_front(), theirs.pop_front()),
        Act::Insert(place, it) => {
            ours.insert(place % (len + 1), make(it));
            theirs.insert(place % (len + 1), make(it));
        }
        // Now and then behind the last.
        Act::Remove(place) => {
            assert_eq!(ours.remove(place % (len + 1)), theirs.remove(place % (len + 1)));
        }
        Act::Set(place, it) if len != 0 => {
            ours[at(place)] = make(it);
            *theirs.get_mut(at(place)).unwrap() = make(it);
            ours.front_mut().into_iter().for_each(|first| *first = make(it + 1));
            theirs.front_mut().into_iter().for_each(|first| *first = make(it + 1));
            ours.back_mut().into_iter().for_each(|last| *last = make(it + 2));
            theirs.back_mut().into_iter().for_each(|last| *last = make(it + 2));
        }
        Act::Swap(one, other) if len != 0 => {
            ours.swap(at(one), at(other));
            theirs.swap(at(one), at(other));
        }
        Act::Set(..) | Act::Swap(..) => {}
        Act::Truncate(len) => {
            ours.truncate(len);
            theirs.truncate(len);
        }
        Act::Retain(by) => {
            let keeps = |count: &mut u32| {
                *count += 1;
                !count.is_multiple_of(by)
            };
            let (mut one, mut other) = (0, 0);
            ours.retain(|_| keeps(&mut one));
            theirs.retain(|_| keeps(&mut other));
            ours.retain_mut(|it| {
                *it = make(one);
                keeps(&mut one)
            });
            theirs.retain_mut(|it| {
                *it = make(other);
                keeps(&mut other)
            });
        }
        Act::Reserve(more) => {
            ours.reserve(more);
            assert!(ours.capacity() >= len + more);
        }
        Act::Extend(from, count) => {
            ours.extend((from..from + count).map(make));
            theirs.extend((from..from + count).map(make));
            ours.try_extend((from..from + count).map(make)).unwrap();
            theirs.extend((from..from + count).map(make));
        }
        Act::Append(from) => {
            let (mut one, mut other) = (VecDeque::new_in(segment), Std::new());
            for i in 0..from % 20 {
                one.push_front(make(from + i));
                other.push_front(make(from + i));
            }
            ours.append(&mut one);
            theirs.append(&mut other);
            assert!(one.is_empty());
        }
        Act::Drain(from, to, taken) => {
            let to = to.min(len);
            let from = from.min(to);
            let (mut one, mut other) = (ours.drain(from..to), theirs.drain(from..to));
            for i in 0..taken {
                assert_eq!(one.len(), other.len());
                if i.is_multiple_of(2) {
                    assert_eq!(one.next(), other.next());
                } else {
                    assert_eq!(one.next_back(), other.next_back());
                }
            }
        }
        Act::Rotate(by) => {
            let by = by % (len + 1);
            ours.rotate_left(by);
            theirs.rotate_left(by);
            ours.rotate_right(by / 3);
            theirs.rotate_right(by / 3);
        }
        Act::Contiguous => {
            assert_eq!(ours.make_contiguous(), theirs.make_contiguous());
            assert!(ours.as_slices().1.is_empty());
        }
        Act::Sort => {
            ours.make_contiguous().sort();
            theirs.make_contiguous().sort();
        }
        Act::Clone => {
            let copy = ours.clone();
            assert_eq!(copy, *ours);
            *ours = copy;
        }
        Act::IntoIter(taken) => {
            let (one, other) = (std::mem::take(ours), std::mem::take(theirs));
            let (mut one, mut other) = (one.into_iter(), other.into_iter());
            for _ in 0..taken {
                assert_eq!(one.len(), other.len());
                assert_eq!((one.next(), one.next_back()), (other.next(), other.next_back()));
            }
            *ours = one.collect();
            *theirs = other.collect();
        }
        Act::Ends(seed) => {
            same_from_both_ends(ours.iter(), theirs.iter(), seed);
            same_from_both_ends(ours.iter_mut(), theirs.iter_mut(), seed.rotate_left(7));
            assert_eq!(ours.iter().nth(seed % 9), theirs.get(seed % 9));
            let indices = |sum: std::vec::Vec<T>, it: &T| {
                let mut sum = sum;
                sum.push(it.try_clone().unwrap());
                sum
            };
            assert_eq!(
                ours.iter().fold(std::vec::Vec::new(), indices),
                theirs.iter().fold(std::vec::Vec::new(), indices)
            );
        }
        Act::Clear => {
            ours.clear();
            theirs.clear();
        }
    }
    assert_same(ours, theirs);
}

fn assert_same<T: Element>(ours: &VecDeque<T>, theirs: &Std<T>) {
    assert_eq!((ours.len(), ours.is_empty()), (theirs.len(), theirs.is_empty()));
    assert!(ours == theirs, "{ours:?} is not {theirs:?}");
    assert!((0..=theirs.len()).all(|i| ours.get(i) == theirs.get(i)));
    assert_eq!((ours.front(), ours.back()), (theirs.front(), theirs.back()));
    assert!(ours.capacity() == 0 || ours.capacity().is_power_of_two());
    assert!(ours.capacity() >= ours.len());
    let (ahead, behind) = ours.as_slices();
    assert!(ahead.iter().chain(behind).eq(theirs));
}

/// Does such acts with elements of one type.
fn private_is_as_std_s<T: Element>(acts: &[Act]) {
    let segment = segment(1 << 22);
    let inside = segment.enter().unwrap();
    let (mut ours, mut theirs) = (VecDeque::<T>::new_in(&segment), Std::new());
    let empty = free(&segment);
    for act in acts {
        perform(&segment, &mut ours, &mut theirs, act.clone());
    }
    drop((ours, theirs, inside));
    assert_eq!(free(&segment), empty);
    assert_whole(&segment, 0);
}

/// Does the same to both.
fn perform_behind_a_lock<T: Element, G: VecDequeMut<T>>(
    segment: &Segment,
    ours: &mut G,
    theirs: &mut Std<T>,
    act: &Act,
) {
    let make = |number| T::of(number, segment);
    let len = theirs.len();
    let at = |place: usize| place % len.max(1);
    match *act {
        Act::PushBack(it) => {
            ours.push_back(make(it));
            theirs.push_back(make(it));
        }
        Act::PushFront(it) => {
            ours.push_front(make(it));
            theirs.push_front(make(it));
        }
        Act::PopBack => assert_eq!(ours.pop_back(), theirs.pop_back()),
        Act::PopFront => assert_eq!(ours.pop_front(), theirs.pop_front()),
        Act::Insert(place, it) => {
            ours.insert(place % (len + 1), make(it));
            theirs.insert(place % (len + 1), make(it));
        }
        Act::Remove(place) => {
            assert_eq!(ours.remove(place % (len + 1)), theirs.remove(place % (len + 1)));
        }
        Act::Set(place, it) if len != 0 => {
            ours.get_mut(at(place)).unwrap().set(make(it));
            *theirs.get_mut(at(place)).unwrap() = make(it);
        }
        Act::Swap(_, it) if len != 0 => {
            ours.front_mut().unwrap().set(make(it as u32));
            *theirs.front_mut().unwrap() = make(it as u32);
            ours.back_mut().unwrap().set(make(it as u32 + 1));
            *theirs.back_mut().unwrap() = make(it as u32 + 1);
        }
        Act::Set(..) | Act::Swap(..) => {
            assert!(ours.get_mut(0).is_none() && ours.back_mut().is_none());
        }
        Act::Truncate(len) => {
            ours.truncate(len);
            theirs.truncate(len);
        }
        Act::Retain(by) | Act::Append(by) => {
            let keeps = |count: &mut u32| {
                *count += 1;
                !count.is_multiple_of(2 + by % 4)
            };
            let (mut one, mut other) = (0, 0);
            ours.retain(|_| keeps(&mut one));
            theirs.retain(|_| keeps(&mut other));
        }
        Act::Drain(from, to, _) => {
            // What is left is at the front, at the back, or in the middle.
            let (from, to) = (from.min(len), to.min(len));
            let (mut one, mut other) = (0..len, 0..len);
            let keeps = |i: usize| (from.min(to)..from.max(to)).contains(&i);
            ours.retain(|_| keeps(one.next().unwrap()));
            theirs.retain(|_| keeps(other.next().unwrap()));
        }
        Act::Reserve(more) => ours.try_reserve(more).unwrap(),
        Act::Extend(from, count) => {
            ours.extend((from..from + count).map(make));
            theirs.extend((from..from + count).map(make));
        }
        Act::Rotate(by) => {
            for _ in 0..by.min(len) {
                ours.push_back(make(by as u32));
                theirs.push_back(make(by as u32));
                assert_eq!(ours.pop_front(), theirs.pop_front());
            }
        }
        Act::Clear => {
            ours.clear();
            theirs.clear();
        }
        Act::Contiguous | Act::Sort | Act::Clone | Act::IntoIter(_) | Act::Ends(_) => {}
    }
}

/// Does such acts with elements of one type behind a lock.
fn published_is_as_std_s<T: Element>(acts: &[Act]) {
    let segment = segment(1 << 22);
    let shared = segment.construct("d", Mutex::new(VecDeque::<T>::new())).unwrap();
    let mut theirs = Std::new();
    for (i, act) in acts.iter().enumerate() {
        let mut ours = shared.lock().unwrap();
        perform_behind_a_lock(&segment, &mut ours, &mut theirs, act);
        assert_same(&ours, &theirs);
        let parts = usize::from(ours.capacity() != 0) + T::PARTS * theirs.len();
        drop(ours);
        if i % 128 == 0 || i + 1 == acts.len() {
            assert_whole(&segment, parts);
        }
    }
    drop(shared);
    assert!(segment.destroy::<Mutex<VecDeque<T>>>("d").unwrap());
    assert_whole(&segment, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_private_one_is_as_std_s(acts in prop::collection::vec(act(), 350..400)) {
        private_is_as_std_s::<String>(&acts);
        private_is_as_std_s::<u64>(&acts);
        private_is_as_std_s::<Odd>(&acts);
    }

    #[test]
    fn one_that_a_lock_guards_is_as_std_s(acts in prop::collection::vec(act(), 350..400)) {
        published_is_as_std_s::<String>(&acts);
        published_is_as_std_s::<u8>(&acts);
        published_is_as_std_s::<Odd>(&acts);
    }
}

#[test]
fn elements_without_bytes_need_no_block() {
    let segment = segment(1 << 20);
    let before = free(&segment);
    let mut units = VecDeque::new_in(&segment);
    units.push_front(());
    units.extend([(); 1000]);
    units.rotate_left(7);
    assert_eq!((units.len(), units.capacity(), units.pop_back()), (1001, usize::MAX, Some(())));
    assert_eq!((units.iter().count(), units.make_contiguous().len()), (1000, 1000));
    units.insert(500, ());
    assert_eq!(
        (units.drain(1..).count(), units.remove(0), units.remove(0)),
        (1000, Some(()), None)
    );
    let full = units.try_reserve(usize::MAX);
    assert_eq!((full, units.push_back(())), (Ok(()), ()));
    assert!(units.try_reserve(usize::MAX).is_err());
    assert_eq!(units.into_iter().count(), 1);
    assert_eq!(free(&segment), before);
    let shared = segment.construct("d", Mutex::new(VecDeque::<()>::new())).unwrap();
    let mut units = shared.lock().unwrap();
    units.extend([(); 9]);
    units.push_front(());
    units.insert(3, ());
    let mut odd = [true, false].into_iter().cycle();
    units.retain(|()| odd.next().unwrap());
    assert_eq!(
        (units.len(), units.pop_front(), units.remove(2), units.remove(9)),
        (6, Some(()), Some(()), None)
    );
    units.truncate(1);
    assert_eq!((units.pop_back(), units.pop_back()), (Some(()), None));
    drop(units);
    assert_whole(&segment, 0);
}

#[test]
fn large_elements_have_rooms_of_one() {
    let segment = segment(1 << 20);
    let mut rows = VecDeque::new_in(&segment);
    rows.push_back([1u64; 20]);
    assert_eq!(rows.capacity(), 1);
    rows.push_front([0; 20]);
    rows.push_back([2; 20]);
    assert!(rows.iter().map(|row| row[19]).eq(0..3));
    assert_eq!(rows.capacity(), 4);
    let few = VecDeque::<[u8; 40]>::with_capacity_in(1, &segment);
    assert_eq!(few.capacity(), 2, "64 bytes at least");
    let shared = segment.construct("d", Mutex::new(VecDeque::<[u64; 20]>::new())).unwrap();
    let mut shared = shared.lock().unwrap();
    shared.extend(rows);
    shared.insert(1, [7; 20]);
    shared.retain(|row| row[0] != 1);
    assert!(shared.iter().map(|row| row[0]).eq([0, 7, 2]));
}

#[test]
fn deques_are_compared_hashed_and_shown_wherever_their_elements_lie() {
    let segment = segment(1 << 20);
    let inside = segment.enter().unwrap();
    let (mut one, other): (VecDeque<u32>, VecDeque<u32>) = ((1..9).collect(), (0..8).collect());
    one.pop_back();
    one.push_front(0);
    assert!(!one.as_slices().1.is_empty() && other.as_slices().1.is_empty());
    let hash = |it: &VecDeque<u32>| BuildHasherDefault::<DefaultHasher>::default().hash_one(it);
    assert_eq!((&one, hash(&one)), (&other, hash(&other)));
    use sharena::collections::HashKey;
    assert_eq!(one.hash_key(7), other.hash_key(7));
    let (numbers, std) = ([0, 1, 2, 3, 4, 5, 6, 7], Std::from([0, 1, 2, 3, 4, 5, 6, 7]));
    let (slice, vec) = (&numbers[..], numbers.to_vec());
    assert!(one == numbers && one == *slice && one == slice);
    assert!(one == vec && one == std && one != numbers[1..]);
    assert_eq!(format!("{one:?}"), "[0, 1, 2, 3, 4, 5, 6, 7]");
    assert_eq!(one.cmp(&other), std::cmp::Ordering::Equal);
    one[7] = 9;
    assert!(one > other && one.partial_cmp(&other).is_some_and(|it| it.is_gt()) && one != other);
    assert_ne!(hash(&one), hash(&other));
    assert!(one.contains(&9) && one.contains(&0) && !one.contains(&8));
    one.extend(&numbers[..2]);
    assert_eq!((one[8], one.iter().clone().next_back()), (0, Some(&1)));
    drop(inside);
    for act in [
        (|it| it[10] += 1) as fn(&mut VecDeque<u32>),
        |it| it.swap(0, 10),
        |it| it.insert(11, 0),
        |it| it.rotate_left(11),
        |it| it.rotate_right(11),
        |it| drop(it.drain(3..11)),
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
        |it| drop(it.drain(4..3)),
    ] {
        let before = one.clone();
        assert!(catch_unwind(AssertUnwindSafe(|| act(&mut one))).is_err());
        assert_eq!(one, before);
    }
}

#[test]
fn large_deques_come_round_and_give_back_each_byte() {
    let segment = segment(64 << 20);
    let before = free(&segment);
    let mut numbers = VecDeque::new_in(&segment);
    for i in 0..500_000u64 {
        numbers.push_back(i);
        if i % 3 == 0 {
            assert_eq!(numbers.pop_front(), Some(i / 3));
        }
    }
    assert!(numbers.iter().copied().eq(166_667..500_000));
    drop(numbers);
    assert_eq!(free(&segment), before);
}

#[test]
fn without_memory_all_stays_as_it_was() {
    let segment = segment(1 << 20);
    let before = free(&segment);
    let text = "a text that is long enough to need a block of its own, and more than a small one";
    let mut texts = VecDeque::new_in(&segment);
    texts.extend((0..8).map(|_| String::from_in(text, &segment)));
    texts.rotate_left(3);
    assert_eq!(texts.len(), texts.capacity());
    let copy: std::vec::Vec<std::string::String> = texts.iter().map(ToString::to_string).collect();
    let mut other = VecDeque::new_in(&segment);
    other.push_back(String::new());
    let full = fill(&segment);
    let is_full = |error: AllocError| matches!(error, AllocError::OutOfCapacity { .. });
    assert!(texts.try_reserve(1).is_err_and(is_full));
    assert!(texts.try_push_back(String::new()).is_err_and(is_full));
    assert!(texts.try_push_front(String::new()).is_err_and(is_full));
    assert!(texts.try_insert(1, String::new()).is_err_and(is_full));
    assert!(texts.try_append(&mut other).is_err_and(is_full));
    assert!(texts.try_clone().is_err_and(is_full));
    assert!(VecDeque::<u64>::try_with_capacity_in(100, &segment).is_err_and(is_full));
    let too_large = |error| matches!(error, AllocError::TooLarge { .. });
    for more in [usize::MAX, usize::MAX - 8, usize::MAX / 2, usize::MAX / 24] {
        assert!(texts.try_reserve(more).is_err_and(too_large));
    }
    assert_eq!((texts.len(), other.len()), (8, 1));
    assert_eq!(texts, copy);
    // As far as there is room some go in, and out again.
    let last = texts.pop_back();
    assert!(texts.try_extend((0..3).map(|_| String::new())).is_err_and(is_full));
    texts.extend(last);
    assert_eq!(texts, copy);
    // Panics leave it so, too.
    for act in [
        (|texts| texts.push_back(String::new())) as fn(&mut VecDeque<String>),
        |texts| texts.push_front(String::new()),
        |texts| texts.insert(3, String::new()),
        |texts| texts.reserve(1),
        |texts| drop(texts.clone()),
    ] {
        assert!(catch_unwind(AssertUnwindSafe(|| act(&mut texts))).is_err());
        assert_eq!(texts, copy);
    }
    drop((texts, other, full));
    assert_eq!(free(&segment), before);
}

#[test]
fn without_memory_one_behind_a_lock_stays_as_it_was() {
    let segment = segment(1 << 20);
    let numbers = segment.construct("n", Mutex::new(VecDeque::<u64>::new())).unwrap();
    let texts = segment.construct("t", Mutex::new(VecDeque::<String>::new())).unwrap();
    let (mut numbers, mut texts) = (numbers.lock().unwrap(), texts.lock().unwrap());
    let text = |i| String::from_in(&format!("a text that is number {i:>60}"), &segment);
    numbers.try_reserve(16).unwrap();
    numbers.extend(0..9);
    texts.extend((0..8).map(text));
    assert!(texts.pop_front().is_some(), "the type of graves is known then");
    texts.push_back(text(8));
    let (mut more, mut less) = ([text(9), text(10), text(11)].into_iter(), [text(12)].into_iter());
    let copy: std::vec::Vec<std::string::String> = texts.iter().map(ToString::to_string).collect();
    let full = fill(&segment);
    let is_full = |error: AllocError| matches!(error, AllocError::OutOfCapacity { .. });
    assert_eq!(texts.len(), texts.capacity());
    assert!(texts.try_push_back(more.next().unwrap()).is_err_and(is_full));
    // The value that was refused is gone, and leaves room for what comes next; not for a larger block.
    assert!(texts.try_push_front(more.next().unwrap()).is_err_and(is_full));
    assert!(texts.try_insert(3, more.next().unwrap()).is_err_and(is_full));
    assert!(texts.try_reserve(1).is_err_and(is_full));
    assert!(catch_unwind(AssertUnwindSafe(|| texts.push_back(less.next().unwrap()))).is_err());
    let again = fill(&segment);
    assert!(texts.try_pop_back().is_err_and(is_full));
    assert!(texts.try_pop_front().is_err_and(is_full));
    assert!(texts.try_remove(3).is_err_and(is_full));
    assert!(texts.try_truncate(3).is_err_and(is_full));
    assert!(texts.try_clear().is_err_and(is_full));
    let mut kept = [false, true].into_iter().cycle();
    assert!(texts.try_retain(|_| kept.next().unwrap()).is_err_and(is_full));
    assert_eq!(*texts, copy);
    // What has no blocks comes and goes at both ends by one store.
    for i in 0..200 {
        numbers.push_front(i);
        numbers.push_back(i);
        assert_eq!((numbers.pop_back(), numbers.pop_front()), (Some(i), Some(i)));
        numbers.push_back(9 + i);
        assert_eq!(numbers.pop_front(), Some(i));
    }
    assert!(numbers.try_insert(4, 1).is_err_and(is_full));
    assert!(numbers.try_remove(4).is_err_and(is_full));
    assert!(numbers.iter().copied().eq(200..209));
    numbers.truncate(3);
    assert_eq!(*numbers, [200, 201, 202]);
    drop((numbers, texts, full, again));
    assert_whole(&segment, 2 + 8);
}

#[test]
fn user_code_may_unwind() {
    let segment = segment(1 << 20);
    let before = free(&segment);
    let text = |i: usize| String::from_in(&format!("a text that is number {i}"), &segment);
    let rotated = || {
        let mut texts = VecDeque::new_in(&segment);
        texts.extend((0..8).map(|i| text((i + 3) % 8)));
        texts.rotate_right(3);
        assert!(!texts.as_slices().1.is_empty());
        texts
    };
    let mut texts = rotated();
    let mut count = 0;
    let mut ask = |it: &String| {
        count += 1;
        assert!(count < 5, "on purpose");
        !it.ends_with('1')
    };
    assert!(catch_unwind(AssertUnwindSafe(|| texts.retain(&mut ask))).is_err());
    let mut left: std::vec::Vec<_> = texts.iter().map(ToString::to_string).collect();
    left.sort();
    assert!(left.iter().enumerate().all(|(i, it)| it.ends_with(&i.to_string())) && left.len() == 8);
    let values = (0..5).map(|i| if i < 3 { text(i) } else { panic!("on purpose") });
    assert!(catch_unwind(AssertUnwindSafe(|| texts.extend(values))).is_err());
    assert_eq!(texts.len(), 11);
    let taken = catch_unwind(AssertUnwindSafe(|| {
        texts.drain(2..9).for_each(|it| assert!(!it.ends_with('4'), "on purpose"));
    }));
    assert!(taken.is_err());
    assert_eq!(texts.len(), 4, "those of the range are gone all the same");
    drop(texts);
    assert_eq!(free(&segment), before);
    let shared = segment.construct("d", Mutex::new(VecDeque::<String>::new())).unwrap();
    let mut shared = shared.lock().unwrap();
    shared.extend((0..4).map(text));
    let asked = catch_unwind(AssertUnwindSafe(|| shared.retain(|_| panic!("on purpose"))));
    assert!(asked.is_err() && shared.len() == 4);
    drop(shared);
    assert_whole(&segment, 5);
}

#[test]
fn what_belongs_to_another_segment_or_none_says_so() {
    let mut numbers: VecDeque<u32> = VecDeque::default();
    assert_eq!(numbers.try_push_back(1), Err(AllocError::NoSegment));
    assert_eq!(numbers.try_push_front(1), Err(AllocError::NoSegment));
    let (segment, other) = (segment(1 << 20), segment(1 << 20));
    let before = free(&other);
    let inside = segment.enter().unwrap();
    numbers.push_back(1);
    drop(inside);
    numbers.extend(2..100); // it belongs to one now
    assert!(numbers.iter().copied().eq(1..100));
    let mut full = VecDeque::new_in(&segment);
    full.push_back(1u64);
    let made = segment.construct("v", Mutex::new(full)).unwrap();
    made.lock().unwrap().push_front(0);
    assert_eq!(*made.lock().unwrap(), [0, 1]);
    drop(made);
    assert!(segment.destroy::<Mutex<VecDeque<u64>>>("v").unwrap());
    let shared = segment.construct("d", Mutex::new(VecDeque::<String>::new())).unwrap();
    let mut shared = shared.lock().unwrap();
    shared.push_back(String::from_in("a text of this segment", &segment));
    let text = || String::from_in("a text that is of another segment", &other);
    assert_eq!(shared.try_push_back(text()), Err(AllocError::Foreign));
    assert_eq!(shared.try_push_front(text()), Err(AllocError::Foreign));
    shared.push_back(String::from_in("another text of this segment", &segment));
    assert_eq!(shared.try_insert(1, text()), Err(AllocError::Foreign));
    assert_eq!(shared.len(), 2);
    drop(shared);
    assert_eq!(free(&other), before);
    assert_whole(&segment, 3);
}

#[derive(Shareable)]
struct Line {
    names: VecDeque<String>,
    boxes: VecDeque<VecDeque<Vec<u8>>>,
}

#[test]
fn deques_nest_are_published_lent_and_destroyed_by_strangers() {
    let segment = segment(4 << 20);
    let mut boxes = VecDeque::new_in(&segment);
    for i in 0..40usize {
        let mut inner = VecDeque::new_in(&segment);
        for j in 0..i % 5 {
            let mut bytes = Vec::new_in(&segment);
            bytes.extend([j as u8; 9]);
            inner.push_front(bytes);
        }
        boxes.push_front(inner);
        if i % 4 == 0 {
            boxes.rotate_left(boxes.len() / 2);
        }
    }
    let sum = |boxes: &VecDeque<VecDeque<Vec<u8>>>| {
        boxes
            .iter()
            .flatten()
            .flat_map(|bytes| bytes.iter())
            .map(|byte| u64::from(*byte))
            .sum::<u64>()
    };
    let before = sum(&boxes);
    let published = segment.construct("boxes", boxes).unwrap();
    let copy = published.try_clone().unwrap();
    assert!(*published == copy && sum(&published) == before);
    let line = Line { names: VecDeque::new(), boxes: VecDeque::new() };
    let line = segment.construct("line", Mutex::new(line)).unwrap();
    let mut guard = line.lock().unwrap();
    let mut place = guard.as_mut();
    place.part(|it| &it.names).push_front(String::from_in("a name of some length", &segment));
    let mut boxes = place.part(|it| &it.boxes);
    boxes.try_reserve(9).unwrap();
    boxes.extend(copy);
    let mut inner = boxes.get_mut(3).unwrap();
    let before = inner.len();
    let mut bytes = Vec::new_in(&segment);
    bytes.push(7u8);
    inner.push_front(bytes);
    let mut bytes = inner.front_mut().unwrap();
    sharena::collections::VecMut::push(&mut bytes, 8);
    assert_eq!((guard.boxes[3].len(), guard.boxes[3][0].as_slice()), (before + 1, &[7, 8][..]));
    drop(guard);
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{report}");
    drop((published, line));
    // By the maps of their types alone.
    segment.clear().unwrap();
    assert_whole(&segment, 0);
}

#[test]
fn a_private_one_behind_a_lock_is_changed_in_place() {
    let segment = segment(1 << 20);
    let mut outside = Mutex::new(VecDeque::new_in(&segment));
    let text = |i: usize| String::from_in(&format!("a text that is number {i}"), &segment);
    let mut guard = outside.lock().unwrap();
    guard.extend((0..4).map(text));
    guard.push_front(text(4));
    guard.insert(2, text(5));
    guard.try_reserve(20).unwrap();
    assert_eq!((guard.pop_back(), guard.remove(0)), (Some(text(3)), Some(text(4))));
    guard.retain(|it| !it.ends_with('1'));
    assert_eq!((guard.pop_front(), guard.len()), (Some(text(0)), 2));
    guard.truncate(1);
    drop(guard);
    assert_eq!(*outside.get_mut().unwrap(), [text(5)]);
    assert_whole(&segment, 0);
}

#[test]
fn who_opens_a_file_looks_at_the_numbers_of_a_ring() {
    const TEST: &str = "who_opens_a_file_looks_at_the_numbers_of_a_ring";
    type Texts = VecDeque<String>;
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let found = segment.find::<Texts>("texts").map(|texts| {
            let mut copy = texts.unwrap().try_clone().unwrap();
            copy.push_front(String::from_in("one more text with a block", &segment));
            let letters: usize =
                copy.make_contiguous().iter().map(|text| text.chars().count()).sum();
            format!("{} of {letters}", copy.len())
        });
        say(match found {
            Ok(found) => found,
            Err(ObjectError::InvalidValue { .. }) => "invalid".into(),
            Err(error) => error.to_string(),
        });
        return;
    }
    let name = Name::new("ring");
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let mut texts = VecDeque::new_in(&segment);
    texts.extend((0..6).map(|i| String::from_in(&format!("a text that is number {i}"), &segment)));
    texts.rotate_left(4);
    let texts = segment.construct("texts", texts).unwrap();
    let ask = || {
        let mut other = Process::start(TEST, "opener", &[&name]);
        let said = other.listen();
        other.finish();
        said
    };
    let whole = "7 of 164";
    assert_eq!(ask(), whole);
    let place = segment.offset_of((&raw const *texts).cast::<u8>()).unwrap();
    let root = segment.address(place).unwrap().as_ptr().cast::<u64>();
    // Word, first, end, capacity.
    let set = |at: usize, value: u64| {
        // SAFETY: inside of the object of this test's segment, which nobody follows meanwhile.
        unsafe { std::mem::replace(&mut *root.add(at), value) }
    };
    // SAFETY: as above.
    let [word, first, end] = [0, 1, 2].map(|at| unsafe { *root.add(at) });
    assert_eq!((end.wrapping_sub(first), texts.capacity()), (6, 8));
    for (at, wrong) in [
        (0, word + 16),               // not the start of a block
        (0, word ^ 1 << 50),          // another segment's
        (0, word & !0xfff_ffff_ffff), // none, though there is room
        (1, end.wrapping_sub(9)),     // longer than its room
        (1, end.wrapping_add(1)),
        (2, first.wrapping_sub(1)),
        (1, end.wrapping_sub(8)), // places where no text was
        (3, 0),
        (3, 4), // fewer places than elements
        (3, 6), // no power of two
        (3, 7),
        (3, 12),
        (3, u64::MAX),
        (3, 1 << 63),
        (3, 1 << 61), // of 24 bytes each: more than there are
        (3, 16),      // more room than its block has
    ] {
        let right = set(at, wrong);
        assert_eq!(ask(), "invalid", "word {at}: {wrong:#x}");
        set(at, right);
    }
    // 48 bytes: less room than any has.
    let was = [(1, set(1, end)), (3, set(3, 2))];
    assert_eq!(ask(), "invalid");
    for (at, value) in was {
        set(at, value);
    }
    // No block, and nothing in it, wherever it says that nothing is.
    let was = [word & !0xfff_ffff_ffff, first, first, 0]
        .into_iter()
        .enumerate()
        .map(|(at, value)| set(at, value));
    let was: std::vec::Vec<_> = was.collect();
    assert_eq!(ask(), "1 of 26");
    for (at, value) in was.into_iter().enumerate() {
        set(at, value);
    }
    // Other positions of the same places.
    set(1, first.wrapping_add(8 << 40));
    set(2, end.wrapping_add(8 << 40));
    assert_eq!(ask(), whole);
    set(1, first);
    set(2, end);
    assert_eq!(ask(), whole);
}

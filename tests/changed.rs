//! Collections behind locks, through the public interface:
//!
//! - they are changed as std's are, in every process that has found them;
//! - each change is all or nothing, and takes no more memory than what hangs on the value;
//! - where there is no memory, all is as it was;
//! - blocks of another segment are refused.

mod common;

use proptest::prelude::*;
use sharena::collections::{HashMap, HashMapMut, String, StringMut, TryClone, Vec, VecMut};
use sharena::lock::Mutex;
use sharena::{Options, Segment};

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
fn a_foreign_text_is_refused_under_a_lock() {
    let (segment, other) = (anonymous(), anonymous());
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

#[test]
fn texts_are_changed_in_place() {
    let segment = anonymous();
    let text = segment.construct::<Mutex<String>>("t", Mutex::new(String::new())).unwrap();
    let mut text = text.lock().unwrap();
    text.push_str("a text that grows, ");
    text.push('ä');
    text.push_str(" and grows, and grows, and grows, and grows, and grows");
    assert_eq!(text.pop(), Some('s'));
    text.truncate("a text that grows, ä".len());
    assert_eq!(text.pop(), Some('ä'));
    assert_eq!(*text, "a text that grows, ");
    text.as_mut().set(String::from_in("another", &segment));
    assert_eq!(*text, "another");
    text.clear();
    assert!(text.is_empty());
    drop(text);
    assert_whole(&segment);
}

#[derive(sharena::Shareable)]
struct Book {
    title: String,
    pages: u32,
    notes: Vec<String>,
    by_page: HashMap<u32, String>,
}

#[test]
fn parts_of_a_value_are_lent() {
    let segment = anonymous();
    let book = Book { title: String::new(), pages: 0, notes: Vec::new(), by_page: HashMap::new() };
    let shared = segment.construct("book", Mutex::new(book)).unwrap();
    let mut book = shared.lock().unwrap();
    let mut place = book.as_mut();
    place.part(|book| &book.title).push_str("On Growth and Form");
    *place.part(|book| &book.pages) += 1116;
    place.part(|book| &book.notes).push(String::from_in("a long note about something", &segment));
    let note = String::from_in("a note on a page, long enough", &segment);
    assert_eq!(place.part(|book| &book.by_page).insert(7, note), None);
    place.part(|book| &book.notes).get_mut(0).unwrap().push_str(", that goes on");
    assert_eq!(book.title, "On Growth and Form");
    assert_eq!((book.pages, book.notes.len(), book.by_page.len()), (1116, 1, 1));
    assert_eq!(book.notes[0], "a long note about something, that goes on");
    drop(book);
    drop(shared);
    assert_whole(&segment);
    assert!(segment.destroy::<Mutex<Book>>("book").unwrap());
    assert_whole(&segment);
    assert_eq!(segment.check().unwrap().looked.parts, 0);
}

#[test]
#[should_panic(expected = "lies within its bytes")]
fn an_element_is_no_part_of_a_vector() {
    let segment = anonymous();
    let vec = segment.construct::<Numbers>("v", Mutex::new(Vec::new())).unwrap();
    let mut vec = vec.lock().unwrap();
    vec.push(1);
    vec.as_mut().part(|vec| &vec[0]).set(2);
}

#[test]
fn another_process_finds_what_one_left() {
    let name = common::Name::new("changed");
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let vec = segment.construct::<Names>("v", Mutex::new(Vec::new())).unwrap();
    vec.lock().unwrap().push(String::from_in("a text of one of two processes", &segment));
    // SAFETY: the child does what a new process would, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let done = std::panic::catch_unwind(|| {
            let other = Segment::open(&name).unwrap();
            let vec = other.find::<Names>("v").unwrap().unwrap();
            let mut vec = vec.lock().unwrap();
            assert_eq!(vec[0], "a text of one of two processes");
            vec.push(String::from_in("a text of the other, which ends then", &other));
            std::mem::forget(vec);
        });
        // SAFETY: nothing of the parent's is to be dropped.
        unsafe { libc::_exit(i32::from(done.is_err())) };
    }
    let mut status = 0;
    // SAFETY: our child.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
    let poisoned = vec.lock().unwrap_err();
    let mut guard = poisoned.into_inner();
    assert_eq!(guard[1], "a text of the other, which ends then");
    guard.clear();
    vec.clear_poison();
    drop(guard);
    segment.recover().unwrap();
    assert_whole(&segment);
}

#[derive(Clone, Debug)]
enum Act {
    Push(u64),
    Pop,
    Insert(usize, u64),
    Remove(usize),
    SwapRemove(usize),
    Set(usize, u64),
    Truncate(usize),
    Retain(u64),
    Reserve(usize),
}

fn acts() -> impl Strategy<Value = std::vec::Vec<Act>> {
    let number = 0..1000u64;
    let place = 0..40usize;
    let act = prop_oneof![
        6 => number.clone().prop_map(Act::Push),
        2 => Just(Act::Pop),
        3 => (place.clone(), number.clone()).prop_map(|(at, number)| Act::Insert(at, number)),
        2 => place.clone().prop_map(Act::Remove),
        1 => place.clone().prop_map(Act::SwapRemove),
        2 => (place.clone(), number.clone()).prop_map(|(at, number)| Act::Set(at, number)),
        1 => place.clone().prop_map(Act::Truncate),
        1 => (2..5u64).prop_map(Act::Retain),
        1 => place.prop_map(Act::Reserve),
    ];
    proptest::collection::vec(act, 1..60)
}

/// Does the same to both.
fn act_on_both<T, G>(
    act: &Act,
    std: &mut std::vec::Vec<u64>,
    ours: &mut G,
    make: impl Fn(u64) -> T,
    number: impl Fn(&T) -> u64,
) where
    T: sharena::Shareable + TryClone,
    G: VecMut<T>,
{
    let at = |place: usize| place % std.len().max(1);
    match *act {
        Act::Push(it) => {
            std.push(it);
            ours.push(make(it));
        }
        Act::Pop => assert_eq!(std.pop(), ours.pop().map(|it| number(&it))),
        Act::Insert(place, it) => {
            let place = place % (std.len() + 1);
            std.insert(place, it);
            ours.insert(place, make(it));
        }
        Act::Remove(place) if !std.is_empty() => {
            let place = at(place);
            assert_eq!(std.remove(place), number(&ours.remove(place)));
        }
        Act::SwapRemove(place) if !std.is_empty() => {
            let place = at(place);
            assert_eq!(std.swap_remove(place), number(&ours.try_swap_remove(place).unwrap()));
        }
        Act::Set(place, it) if !std.is_empty() => {
            let place = at(place);
            std[place] = it;
            ours.get_mut(place).unwrap().set(make(it));
        }
        Act::Truncate(len) => {
            std.truncate(len);
            ours.truncate(len);
        }
        Act::Retain(by) => {
            std.retain(|it| it % by != 0);
            ours.retain(|it| !number(it).is_multiple_of(by));
        }
        Act::Reserve(more) => ours.try_reserve(more).unwrap(),
        Act::Remove(_) | Act::SwapRemove(_) | Act::Set(..) => {}
    }
}

fn number_of(text: &String) -> u64 {
    text.split(' ').next().unwrap().parse().unwrap()
}

proptest! {
    #[test]
    fn a_vector_is_as_stds(acts in acts()) {
        let segment = anonymous();
        let numbers = segment.construct::<Numbers>("n", Mutex::new(Vec::new())).unwrap();
        let texts = segment.construct::<Names>("t", Mutex::new(Vec::new())).unwrap();
        let (mut of_numbers, mut of_texts) = (std::vec::Vec::new(), std::vec::Vec::new());
        let (mut numbers, mut texts) = (numbers.lock().unwrap(), texts.lock().unwrap());
        let text = |it| String::from_in(&format!("{it} is a number"), &segment);
        for act in &acts {
            act_on_both(act, &mut of_numbers, &mut numbers, |it| it, |it| *it);
            act_on_both(act, &mut of_texts, &mut texts, text, number_of);
            prop_assert_eq!(&**numbers, &of_numbers[..]);
            prop_assert!(texts.iter().map(number_of).eq(of_texts.iter().copied()));
        }
        let blocks = [numbers.capacity(), texts.capacity()].iter().filter(|it| **it != 0).count();
        let parts = blocks + of_texts.len();
        drop((numbers, texts));
        let report = segment.check().unwrap();
        prop_assert!(report.is_clean(), "{}", report);
        prop_assert_eq!(report.looked.parts, parts as u64);
    }

    #[test]
    fn a_map_is_as_stds(acts in acts()) {
        let segment = anonymous();
        let map = segment.construct("m", Mutex::new(HashMap::<u64, String>::new())).unwrap();
        let mut map = map.lock().unwrap();
        let mut of_std = std::collections::HashMap::new();
        let text = |it| String::from_in(&format!("{it} is a number"), &segment);
        for act in &acts {
            match *act {
                Act::Push(it) => {
                    let old = map.insert(it % 50, text(it)).map(|it| number_of(&it));
                    prop_assert_eq!(old, of_std.insert(it % 50, it));
                }
                Act::Insert(at, it) | Act::Set(at, it) => {
                    if let Some(mut value) = map.get_mut(&(at as u64)) {
                        value.set(text(it));
                        of_std.insert(at as u64, it);
                    }
                }
                Act::Remove(at) | Act::SwapRemove(at) | Act::Truncate(at) => {
                    let old = map.remove(&(at as u64)).map(|it| number_of(&it));
                    prop_assert_eq!(old, of_std.remove(&(at as u64)));
                }
                Act::Retain(by) => {
                    map.retain(|key, _| key % by != 0);
                    of_std.retain(|key, _| key % by != 0);
                }
                Act::Pop | Act::Reserve(_) => {}
            }
            prop_assert_eq!(map.len(), of_std.len());
            for (key, value) in &of_std {
                prop_assert_eq!(map.get(key).map(number_of), Some(*value));
            }
        }
        let parts = usize::from(map.capacity() != 0) + of_std.len();
        drop(map);
        let report = segment.check().unwrap();
        prop_assert!(report.is_clean(), "{}", report);
        prop_assert_eq!(report.looked.parts, parts as u64);
    }
}

/// Check reads behind locks that are free, while others take them and give back what it reads.
#[test]
fn nothing_false_is_found_beside_those_who_change() {
    let segment = Options::new().capacity(8 << 20).create_anonymous().unwrap();
    let list = segment.construct::<Names>("list", Mutex::new(Vec::new())).unwrap();
    let map = Mutex::new(HashMap::<u64, String>::new());
    let map = segment.construct("map", map).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let is_done = || done.load(std::sync::atomic::Ordering::Relaxed);
    let (list, map) = (&*list, &*map);
    std::thread::scope(|scope| {
        let changes = |seed: u64| {
            let segment = segment.clone();
            move || {
                let text = |it| String::from_in(&format!("{it} {:>300}", "is long"), &segment);
                let mut number = seed;
                while !is_done() {
                    number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let mut list = list.lock().unwrap();
                    match number >> 61 {
                        0 => list.clear(),
                        1 => list.retain(|text| !text.starts_with('3')),
                        _ if list.len() < 500 => list.push(text(number)),
                        _ => list.truncate(9),
                    }
                    drop(list);
                    let mut map = map.lock().unwrap();
                    match number >> 61 {
                        0 => map.clear(),
                        1 => drop(map.remove(&(number >> 40 & 63))),
                        _ => drop(map.insert(number >> 40 & 63, text(number))),
                    }
                }
            }
        };
        scope.spawn(changes(1));
        scope.spawn(changes(2));
        for _ in 0..40 {
            let report = segment.check().unwrap();
            assert_eq!(report.damages().count(), 0, "{report}");
            segment.trim().unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_whole(&segment);
}

//! Published collections: built privately, given to everybody by `construct`, read by any process,
//! destroyed by any.
//!
//! Laws:
//! - Who finds an object finds all that hangs on it, whole, however deep; in every process.
//! - A destroyed object is seen by those who look at it until they look away; then each of its blocks is
//!   free, also if they, or who destroyed it, or who constructed it, died.
//! - A process that does not know a type destroys its objects all the same.
//! - An object that was not constructed has left nothing; a value with a foreign block is refused.
//! - Two programs that disagree about any part of a type are told so; an untrusted file that lies about
//!   one is refused.
#![cfg(all(feature = "derive", not(loom)))]

mod common;

use common::{Dice, Name, Process, arg, hear, role, say};
use sharena::collections::{Box, HashMap, String, Vec};
use sharena::{ObjectError, Options, Segment, Shareable};
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Shareable)]
struct Chain {
    next: Option<Box<Chain>>,
}

#[derive(Shareable, Debug)]
struct Library {
    name: String,
    shelves: Vec<Vec<Book>>,
    newest: Option<Box<Book>>,
    readers: HashMap<String, Vec<u32>>,
    visits: AtomicU64,
}

#[derive(Shareable, Debug, PartialEq)]
struct Book {
    title: String,
    year: u32,
    lent: Lent,
}

#[derive(Shareable, Debug, PartialEq)]
#[repr(u8)]
enum Lent {
    No,
    To(String),
    Often { readers: Vec<String>, since: [char; 2] },
}

fn book(segment: &Segment, i: u32) -> Book {
    let text = |what: &str| String::from_in(&format!("{what} number {i}, as it is"), segment);
    let lent = match i % 3 {
        0 => Lent::No,
        1 => Lent::To(text("reader")),
        _ => {
            let mut readers = Vec::new_in(segment);
            readers.extend((0..i % 5).map(|_| text("one of many")));
            Lent::Often { readers, since: ['a', char::from_u32(0x3b1 + i % 20).unwrap()] }
        }
    };
    Book { title: text("book"), year: 1900 + i, lent }
}

fn library(segment: &Segment, shelves: u32) -> Library {
    let mut made = Vec::new_in(segment);
    for shelf in 0..shelves {
        let mut books = Vec::new_in(segment);
        books.extend((0..shelf).map(|i| book(segment, 10 * shelf + i)));
        made.push(books);
    }
    let mut readers = HashMap::new_in(segment);
    for i in 0..shelves {
        let mut books = Vec::new_in(segment);
        books.extend(0..i);
        readers.insert(String::from_in(&format!("a reader called {i}"), segment), books);
    }
    Library {
        readers,
        name: String::from_in("the library with a long name", segment),
        shelves: made,
        newest: shelves.is_multiple_of(2).then(|| Box::new_in(book(segment, shelves), segment)),
        visits: AtomicU64::new(0),
    }
}

/// Whether it is what [`library`] made.
fn is_whole(library: &Library, segment: &Segment) {
    let shelves = library.shelves.len() as u32;
    assert_eq!(library.name, "the library with a long name");
    for (shelf, books) in library.shelves.iter().enumerate() {
        assert_eq!(books.len(), shelf);
        for (i, found) in books.iter().enumerate() {
            assert_eq!(*found, book(segment, 10 * shelf as u32 + i as u32));
        }
    }
    assert_eq!(library.readers.len() as u32, shelves);
    for i in 0..shelves {
        let books = library.readers.get(format!("a reader called {i}").as_str()).unwrap();
        assert!(books.iter().copied().eq(0..i));
    }
    let newest = library.newest.as_ref().map(|newest| newest.year);
    assert_eq!(newest, shelves.is_multiple_of(2).then_some(1900 + shelves));
}

/// Bytes that are free when nothing is kept at hand.
fn free(segment: &Segment) -> u64 {
    segment.trim().unwrap();
    segment.stats().unwrap().free
}

/// The same, where the types are known already.
fn free_at_first(segment: &Segment) -> u64 {
    segment.construct("first", library(segment, 1)).unwrap();
    assert!(segment.destroy::<Library>("first").unwrap());
    let free = free(segment);
    assert_eq!(parts(segment), 0);
    free
}

fn parts(segment: &Segment) -> u64 {
    let stats = segment.stats().unwrap();
    stats.classes.iter().map(|class| class.blocks.parts).sum::<u64>() + stats.runs.parts.count
}

/// Whether each part hangs on an object, as far as `check` sees.
fn is_clean(segment: &Segment) {
    // A process that used collections stays attached until it ends, and is a dead one then.
    segment.recover().unwrap();
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(report.looked.parts, parts(segment));
}

#[test]
fn what_one_process_constructs_others_read_and_destroy() {
    const TEST: &str = "what_one_process_constructs_others_read_and_destroy";
    match role().as_deref() {
        Some("reader") => {
            let segment = Segment::open(&arg(0)).unwrap();
            let library = segment.find::<Library>("library").unwrap().unwrap();
            is_whole(&library, &segment);
            library.visits.fetch_add(1, Ordering::Relaxed);
            say("read");
            hear();
            is_whole(&library, &segment);
            drop(library);
            assert!(segment.find::<Library>("library").unwrap().is_none());
            say("gone");
        }
        // It does not know the types.
        Some("stranger") => {
            let segment = Segment::open(&arg(0)).unwrap();
            assert_eq!(segment.clear().unwrap(), 1);
        }
        _ => {
            let name = Name::new("published");
            let segment = Segment::create(&name, 16 << 20).unwrap();
            let before = free_at_first(&segment);
            let made = segment.construct("library", library(&segment, 30)).unwrap();
            is_clean(&segment);
            let mut readers: std::vec::Vec<_> =
                (0..3).map(|_| Process::start(TEST, "reader", &[&name])).collect();
            readers.iter_mut().for_each(|reader| assert_eq!(reader.listen(), "read"));
            assert_eq!(made.visits.load(Ordering::Relaxed), 3);
            drop(made);
            Process::start(TEST, "stranger", &[&name]).finish();
            assert!(segment.find::<Library>("library").unwrap().is_none());
            assert!(parts(&segment) > 500, "its readers still see it");
            let mut last = readers.pop().unwrap();
            for mut reader in readers {
                reader.tell("go");
                assert_eq!(reader.listen(), "gone");
                reader.finish();
            }
            assert!(parts(&segment) > 500, "one still sees it");
            last.tell("go");
            assert_eq!(last.listen(), "gone");
            assert_eq!(parts(&segment), 0, "who looked last let it fall");
            last.finish();
            assert_eq!(free(&segment), before);
            is_clean(&segment);
        }
    }
}

#[test]
fn a_reader_s_death_lets_the_tree_fall() {
    const TEST: &str = "a_reader_s_death_lets_the_tree_fall";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let library = segment.find::<Library>("library").unwrap().unwrap();
        is_whole(&library, &segment);
        say("read");
        hear();
        unreachable!("it is killed");
    }
    let name = Name::new("reader-dies");
    let segment = Segment::create(&name, 16 << 20).unwrap();
    let before = free_at_first(&segment);
    segment.construct("library", library(&segment, 20)).unwrap();
    let mut reader = Process::start(TEST, "reader", &[&name]);
    assert_eq!(reader.listen(), "read");
    assert!(segment.destroy::<Library>("library").unwrap());
    assert!(parts(&segment) > 100);
    reader.kill();
    assert_eq!(segment.recover().unwrap().processes, 1);
    assert_eq!(parts(&segment), 0);
    assert_eq!(free(&segment), before);
    is_clean(&segment);
}

#[test]
fn workers_are_killed_and_no_byte_is_lost() {
    const TEST: &str = "workers_are_killed_and_no_byte_is_lost";
    const NAMES: usize = 6;
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let mut dice = Dice::new(arg(1).parse().unwrap());
        say("ready");
        loop {
            let name = format!("library {}", dice.roll(NAMES));
            match dice.roll(4) {
                0 => drop(segment.destroy::<Library>(&name).unwrap()),
                1 => match segment.construct(&name, library(&segment, dice.roll(6) as u32)) {
                    Ok(made) => is_whole(&made, &segment),
                    Err(ObjectError::AlreadyExists { .. }) => {}
                    Err(error) => panic!("{error}"),
                },
                2 => drop(library(&segment, 2)),
                _ => {
                    if let Some(found) = segment.find::<Library>(&name).unwrap() {
                        is_whole(&found, &segment);
                    }
                }
            }
        }
    }
    let name = Name::new("workers");
    let segment = Segment::create(&name, 64 << 20).unwrap();
    let before = free_at_first(&segment);
    let rounds = if common::long() { 200 } else { 12 };
    for round in 0..rounds {
        let start = |i| Process::start(TEST, "worker", &[&name, &format!("{}", 10 * round + i)]);
        let mut workers: std::vec::Vec<_> = (0..3).map(start).collect();
        workers.iter_mut().for_each(|worker| assert_eq!(worker.listen(), "ready"));
        std::thread::sleep(std::time::Duration::from_millis(20 + 7 * (round % 5)));
        workers.into_iter().for_each(|worker| assert_eq!(worker.kill(), [""; 0]));
        segment.recover().unwrap();
        for i in 0..NAMES {
            if let Some(found) = segment.find::<Library>(&format!("library {i}")).unwrap() {
                is_whole(&found, &segment);
            }
        }
        is_clean(&segment);
    }
    segment.clear().unwrap();
    assert_eq!(parts(&segment), 0);
    assert_eq!(free(&segment), before);
}

#[test]
fn large_blocks_and_slices_are_parts_too() {
    let segment = Options::new().capacity(64 << 20).create_anonymous().unwrap();
    let before = free_at_first(&segment);
    let numbers = |count| {
        let mut numbers = Vec::new_in(&segment);
        numbers.extend(0..count);
        numbers
    };
    let made = segment.construct_slice("runs", 3, |i| numbers(200_000 * i as u64)).unwrap();
    assert!(made.iter().enumerate().all(|(i, v)| v.iter().copied().eq(0..200_000 * i as u64)));
    assert_eq!(segment.stats().unwrap().runs.parts.count, 2);
    is_clean(&segment);
    assert!(segment.destroy::<Vec<u64>>("runs").unwrap());
    assert!(made[2].iter().copied().eq(0..400_000));
    assert_eq!(segment.stats().unwrap().runs.parts.count, 2);
    drop(made);
    assert_eq!(segment.stats().unwrap().runs.parts.count, 0);
    segment.construct_unique(numbers(5)).unwrap();
    assert_eq!(*segment.find_unique::<Vec<u64>>().unwrap().unwrap(), [0, 1, 2, 3, 4]);
    let (found, is_new) = segment.find_or_construct("other", || numbers(3)).unwrap();
    assert!(is_new && *found == [0, 1, 2]);
    let (again, is_new) = segment.find_or_construct("other", || numbers(4)).unwrap();
    assert!(!is_new && *again == [0, 1, 2]);
    drop((found, again));
    segment.destroy_unique::<Vec<u64>>().unwrap();
    segment.destroy::<Vec<u64>>("other").unwrap();
    // The map of the other type stays: two objects of it.
    assert!(before - free(&segment) < 1024);
}

#[test]
fn a_chain_of_a_hundred_thousand_boxes_is_no_matter_of_the_stack() {
    let segment = Options::new().capacity(64 << 20).create_anonymous().unwrap();
    let chain = |length| {
        let mut chain = Chain { next: None };
        (0..length).for_each(|_| {
            chain = Chain {
                next: Some(Box::new_in(
                    std::mem::replace(&mut chain, Chain { next: None }),
                    &segment,
                )),
            }
        });
        chain
    };
    segment.construct("short", chain(1)).unwrap();
    segment.destroy::<Chain>("short").unwrap();
    let before = free(&segment);
    let made = segment.construct("chain", chain(100_000)).unwrap();
    let (mut length, mut at) = (0, &*made);
    while let Some(next) = &at.next {
        (length, at) = (length + 1, next);
    }
    assert_eq!((length, parts(&segment)), (100_000, 100_000));
    drop(made);
    segment.destroy::<Chain>("chain").unwrap();
    assert_eq!(free(&segment), before);
}

#[test]
fn what_is_not_constructed_leaves_nothing() {
    let segment = Options::new().capacity(8 << 20).create_anonymous().unwrap();
    let before = free_at_first(&segment);
    let made = segment.construct("library", library(&segment, 4)).unwrap();
    let again = segment.construct("library", library(&segment, 5)).map(|_| ()).unwrap_err();
    assert!(matches!(again, ObjectError::AlreadyExists { .. }));
    is_whole(&made, &segment);
    let other = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let mut foreign = library(&segment, 4);
    foreign.shelves[3][1].title = String::from_in("of the other", &other);
    let refused = segment.construct("foreign", foreign).map(|_| ()).unwrap_err();
    assert_eq!(refused, ObjectError::Foreign { name: "foreign".into() });
    assert!(refused.to_string().contains("another segment"));
    let half = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let value = |i| if i < 3 { library(&segment, 3) } else { panic!("on purpose") };
        segment.construct_slice("half", 5, value).map(|_| ())
    }));
    assert!(half.is_err());
    let long = segment.construct(&"n".repeat(5000), library(&segment, 4)).map(|_| ());
    assert!(matches!(long, Err(ObjectError::InvalidName { .. })));
    drop(made);
    segment.destroy::<Library>("library").unwrap();
    assert_eq!(free(&segment), before);
    is_clean(&segment);
}

mod other {
    use super::*;
    /// Of the same name, but with another part.
    #[derive(Shareable)]
    pub struct Item(pub u64, pub String);
}

#[derive(Shareable)]
struct Item(u64, Vec<u8>);

#[test]
fn types_that_differ_behind_a_word_are_told_apart() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    // A vector's fingerprint has its elements' name, not their layout.
    assert_eq!(Vec::<Item>::FINGERPRINT, Vec::<other::Item>::FINGERPRINT);
    let mut items = Vec::new_in(&segment);
    items.push(Item(1, Vec::new_in(&segment)));
    segment.construct("items", items).unwrap();
    let found = segment.find::<Vec<other::Item>>("items").map(|_| ()).unwrap_err();
    assert!(matches!(found, ObjectError::WrongType { .. }), "{found}");
    let mut others = Vec::new_in(&segment);
    others.push(other::Item(1, String::new_in(&segment)));
    let made = segment.construct("others", others).map(|_| ()).unwrap_err();
    assert!(matches!(made, ObjectError::WrongType { .. }), "{made}");
    assert_eq!(segment.find::<Vec<Item>>("items").unwrap().unwrap()[0].0, 1);
}

#[test]
fn who_opens_a_file_looks_before_it_follows_a_word() {
    const TEST: &str = "who_opens_a_file_looks_before_it_follows_a_word";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let found =
            segment.find::<Library>("library").map(|found| is_whole(&found.unwrap(), &segment));
        let numbers = segment.find::<Vec<u64>>("numbers").map(|_| ());
        say(match found.and(numbers) {
            Ok(()) => "whole".into(),
            Err(ObjectError::InvalidValue { .. }) => std::string::String::from("invalid"),
            Err(error) => error.to_string(),
        });
        return;
    }
    let name = Name::new("looks");
    let segment = Segment::create(&name, 16 << 20).unwrap();
    let made = segment.construct("library", library(&segment, 10)).unwrap();
    let mut numbers = Vec::new_in(&segment);
    numbers.extend(0..2u64);
    let numbers = segment.construct("numbers", numbers).unwrap();
    let ask = || {
        let mut other = Process::start(TEST, "opener", &[&name]);
        let said = other.listen();
        other.finish();
        said
    };
    assert_eq!(ask(), "whole");
    let place = |of: *const u8| segment.address(segment.offset_of(of).unwrap()).unwrap().as_ptr();
    let word = |at: *mut u64, value: u64| {
        // SAFETY: inside of a block of this test's segment, which nobody follows meanwhile.
        unsafe { std::mem::replace(&mut *at, value) }
    };
    let shelf = place((&raw const made.shelves[7]).cast()).cast::<u64>();
    let title = place((&raw const made.shelves[7][3].title).cast()).cast::<u64>();
    // SAFETY: as above.
    let (at, len) = unsafe { (*shelf, *shelf.add(1)) };
    for (place, wrong) in [
        (shelf, at + 16),                    // not the start of a block
        (shelf, at ^ 1 << 50),               // another segment's
        (shelf, at & !0xfff_ffff_ffff),      // none, though there are elements
        (shelf, at | 0xfff_ffff_0000),       // outside
        (shelf.wrapping_add(1), len + 1000), // longer than its room
        (shelf.wrapping_add(2), 1 << 40),    // more room than its block has
        (shelf.wrapping_add(2), u64::MAX),
        (title, at), // a block that another has; it is too small or no text
    ] {
        let right = word(place, wrong);
        assert_eq!(ask(), "invalid", "{wrong:#x}");
        let found = segment.check().unwrap().findings;
        let is_named = found.iter().any(|found| found.kind == sharena::FindingKind::Part);
        assert!(is_named || place == title, "{wrong:#x}: {found:?}");
        word(place, right);
    }
    let numbers = place((&raw const *numbers).cast()).cast::<u64>();
    // SAFETY: as above.
    let right = unsafe { *numbers };
    word(numbers, right + 16);
    assert_eq!(ask(), "invalid", "inside of a block, though all would fit");
    word(numbers, right);
    let map = place((&raw const made.readers).cast()).cast::<u64>();
    for (place, wrong) in [(map.wrapping_add(2), 24), (map.wrapping_add(2), 1 << 30), (map, at)] {
        let right = word(place, wrong);
        assert_eq!(ask(), "invalid", "{wrong:#x} of a map");
        word(place, right);
    }
    let is_often = |book: &&Book| matches!(book.lent, Lent::Often { .. });
    let lent = &made.shelves[7].iter().find(is_often).unwrap().lent;
    for (at, wrong, what) in [
        (place(made.shelves[7][3].title.as_ptr()), 0xff, "not UTF-8"),
        (place((&raw const *lent).cast()), 9, "a tag of no variant"),
    ] {
        // SAFETY: as above.
        let right = unsafe { std::mem::replace(&mut *at, wrong) };
        assert_eq!(ask(), "invalid", "{what}");
        // SAFETY: as above.
        unsafe { *at = right };
    }
    assert_eq!(ask(), "whole");
}

#[test]
fn a_block_that_is_its_own_ancestor_is_not_followed_for_ever() {
    const TEST: &str = "a_block_that_is_its_own_ancestor_is_not_followed_for_ever";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let found = segment.find::<Chain>("chain").map(|_| ());
        say(matches!(found, Err(ObjectError::InvalidValue { .. })));
        return;
    }
    let name = Name::new("ancestor");
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let link = |next| Chain { next: Some(Box::new_in(next, &segment)) };
    let made = segment.construct("chain", link(link(link(Chain { next: None })))).unwrap();
    let at = |chain: &Chain| {
        let at = segment.offset_of((&raw const *chain).cast()).unwrap();
        segment.address(at).unwrap().as_ptr().cast::<u64>()
    };
    let second = made.next.as_ref().unwrap();
    let last = at(second.next.as_ref().unwrap().next.as_ref().unwrap());
    // SAFETY: words in blocks of this test's segment, which nobody follows meanwhile.
    unsafe { *last = *at(&made) };
    let mut other = Process::start(TEST, "opener", &[&name]);
    assert_eq!(other.listen(), "true");
    other.finish();
    segment.recover().unwrap();
    let found = segment.check().unwrap().findings;
    assert_eq!(found.iter().map(|one| one.kind.name()).collect::<std::vec::Vec<_>>(), ["part"]);
    drop(made);
    assert!(segment.destroy::<Chain>("chain").unwrap());
    assert_eq!(parts(&segment), 3, "nothing of it is believed");

    // SAFETY: as above: nobody has it.
    unsafe { *last = 0 };
    assert!(segment.trim().is_ok());
    assert_eq!(parts(&segment), 0, "it is whole again, and falls");
}

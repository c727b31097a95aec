//! What a lock guards when its object is constructed, and collections behind locks that several may read:
//!
//! - a value is constructed with all that its locks guard, however deep; every process finds that, and changes it;
//! - it is gone with its object, to the byte; also if it was not constructed;
//! - several read at once, one writes; what a dead writer had begun is whole before anybody reads it;
//! - who reads may read again, also before its process has looked at the value for the first time.
#![cfg(all(feature = "derive", not(loom)))]

mod common;

use common::{Name, Process, arg, assert_like_fresh, at_rest, hear, role, say};
use sharena::collections::{BTreeMap, Box, HashMap, HashMapMut, String, Vec, VecMut};
use sharena::lock::{Cause, Mutex, RwLock, TryLockError};
use sharena::{ObjectError, Options, Segment, Shareable};
use std::thread;
use std::time::Duration;

type Texts = Vec<String>;

/// Locks in locks, in boxes, in elements, beside what no lock guards.
#[derive(Shareable)]
struct House {
    name: String,
    rooms: Vec<Mutex<Texts>>,
    cellar: Box<RwLock<HashMap<u64, Mutex<Texts>>>>,
    attic: Mutex<BTreeMap<u64, Box<RwLock<Texts>>>>,
    guests: RwLock<Texts>,
    empty: Mutex<Texts>,
    numbers: RwLock<[u64; 3]>,
}

fn text(segment: &Segment, number: u64) -> String {
    String::from_in(&format!("{number} is the number of this text"), segment)
}

fn texts(segment: &Segment, count: u64) -> Texts {
    let mut texts = Vec::new_in(segment);
    texts.extend((0..count).map(|i| text(segment, i)));
    texts
}

fn house(segment: &Segment, size: u64) -> House {
    let mut rooms = Vec::new_in(segment);
    rooms.extend((0..size).map(|i| Mutex::new(texts(segment, i))));
    let (mut cellar, mut attic) = (HashMap::new_in(segment), BTreeMap::new_in(segment));
    for i in 0..size {
        cellar.insert(i, Mutex::new(texts(segment, i)));
        attic.insert(i, Box::new_in(RwLock::new(texts(segment, i)), segment));
    }
    House {
        name: String::from_in("a house with a name", segment),
        rooms,
        cellar: Box::new_in(RwLock::new(cellar), segment),
        attic: Mutex::new(attic),
        guests: RwLock::new(texts(segment, size)),
        empty: Mutex::new(Vec::new_in(segment)),
        numbers: RwLock::new([size; 3]),
    }
}

fn are(texts: &Texts, segment: &Segment, count: u64) {
    assert_eq!(*texts, self::texts(segment, count));
}

/// Looks at all of it, behind all locks.
fn is_whole(house: &House, segment: &Segment, size: u64) {
    assert_eq!(house.name, "a house with a name");
    for (i, room) in (0..).zip(house.rooms.iter()) {
        are(&room.lock().unwrap(), segment, i);
    }
    let cellar = house.cellar.read().unwrap();
    for i in 0..size {
        are(&cellar.get(&i).unwrap().lock().unwrap(), segment, i);
    }
    for (i, room) in house.attic.lock().unwrap().iter() {
        are(&room.read().unwrap(), segment, *i);
    }
    let (one, other) = (house.guests.read().unwrap(), house.guests.read().unwrap());
    are(&one, segment, size);
    are(&other, segment, size);
    assert!(house.empty.lock().unwrap().is_empty());
    assert_eq!((house.rooms.len() as u64, cellar.len() as u64), (size, size));
}

fn assert_clean(segment: &Segment) {
    segment.recover().unwrap();
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn what_locks_guard_is_constructed_with_them_and_changed_by_all() {
    const TEST: &str = "what_locks_guard_is_constructed_with_them_and_changed_by_all";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let house = segment.find::<House>("house").unwrap().unwrap();
        is_whole(&house, &segment, 9);
        house.rooms[3].lock().unwrap().push(text(&segment, 3));
        house.cellar.write().unwrap().retain(|room, _| *room != 8);
        house.guests.write().unwrap().clear();
        house.empty.lock().unwrap().push(text(&segment, 0));
        return say("changed");
    }
    let name = Name::new("guarded");
    let segment = Segment::create(&name, 4 << 20).unwrap();
    // The types are known from here on, that of what changes leave among them.
    segment.construct("first", house(&segment, 1)).unwrap().guests.write().unwrap().clear();
    assert!(segment.destroy::<House>("first").unwrap());
    let before = at_rest(&segment);
    let made = segment.construct("house", house(&segment, 9)).unwrap();
    is_whole(&made, &segment, 9);
    assert_clean(&segment);
    // Taken, and empty: what it was to have is gone.
    let again = segment.construct("house", house(&segment, 5)).map(drop);
    assert!(matches!(again, Err(ObjectError::AlreadyExists { .. })), "{again:?}");
    let mut other = Process::start(TEST, "changes", &[&name]);
    assert_eq!(other.listen(), "changed");
    other.finish();
    are(&made.rooms[3].lock().unwrap(), &segment, 4);
    assert!(made.guests.read().unwrap().is_empty());
    assert_eq!(made.cellar.read().unwrap().len(), 8);
    are(&made.empty.lock().unwrap(), &segment, 1);
    assert_clean(&segment);
    drop(made);
    assert!(segment.destroy::<House>("house").unwrap());
    assert_clean(&segment);
    assert_like_fresh(&segment, &before);
}

#[test]
fn a_lock_that_is_full_is_put_in_the_place_of_another() {
    let segment = Options::new().capacity(4 << 20).create_anonymous().unwrap();
    let outer = segment.construct("outer", Mutex::new(Vec::<Mutex<Texts>>::new())).unwrap();
    let mut guard = outer.lock().unwrap();
    for i in 0..20 {
        guard.push(Mutex::new(texts(&segment, i)));
    }
    guard.get_mut(7).unwrap().set(Mutex::new(texts(&segment, 30)));
    guard.get_mut(8).unwrap().set(Mutex::new(Vec::new()));
    guard.remove_first();
    for (i, inner) in (1..).zip(guard.iter()) {
        let count = [(7, 30), (8, 0)].into_iter().find(|(at, _)| *at == i).map_or(i, |it| it.1);
        are(&inner.lock().unwrap(), &segment, count);
    }
    guard[6].lock().unwrap().truncate(1);
    drop(guard);
    assert_clean(&segment);
    let parts = segment.check().unwrap().looked.parts;
    assert!(parts > 100, "{parts}");
    drop(outer);
    assert!(segment.destroy::<Mutex<Vec<Mutex<Texts>>>>("outer").unwrap());
    assert_clean(&segment);
    assert_eq!(segment.check().unwrap().looked.parts, 0);
}

trait RemoveFirst {
    fn remove_first(&mut self);
}

impl<G: VecMut<Mutex<Texts>>> RemoveFirst for G {
    fn remove_first(&mut self) {
        let mut is_first = true;
        self.retain(|_| !std::mem::replace(&mut is_first, false));
    }
}

#[test]
fn several_read_a_map_while_none_writes_it() {
    let segment = Options::new().capacity(4 << 20).create_anonymous().unwrap();
    let map = RwLock::new(HashMap::<u64, String>::new_in(&segment));
    let map = segment.construct("map", map).unwrap();
    let (threads, rounds) = (3, 300);
    thread::scope(|scope| {
        for seed in 0..threads {
            let (map, segment) = (&*map, &segment);
            scope.spawn(move || {
                for round in 0..rounds {
                    let key = round * threads + seed;
                    drop(map.write().unwrap().insert(key, text(segment, key)));
                    let read = map.read().unwrap();
                    let again = map.read().unwrap();
                    assert_eq!(
                        read.get(&key).map(|it| it.len()),
                        again.get(&key).map(|it| it.len())
                    );
                    assert_eq!(read.get(&key), Some(&text(segment, key)));
                }
            });
        }
    });
    assert_eq!(map.read().unwrap().len() as u64, threads * rounds);
    let reading = map.read().unwrap();
    assert!(matches!(map.try_write(), Err(TryLockError::WouldBlock)));
    let wait = map.try_write_for(Duration::from_millis(3));
    assert!(matches!(wait, Err(TryLockError::WouldBlock)));
    drop(wait);
    drop(reading);
    assert_clean(&segment);
    drop(map);
    assert!(segment.destroy::<RwLock<HashMap<u64, String>>>("map").unwrap());
    assert_eq!(segment.check().unwrap().looked.parts, 0);
}

#[test]
fn who_has_never_looked_at_a_value_reads_it_twice_though_a_writer_waits() {
    const TEST: &str = "who_has_never_looked_at_a_value_reads_it_twice_though_a_writer_waits";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let found = segment.find::<RwLock<Texts>>("list").unwrap().unwrap();
        let list = &*found;
        let reading = list.read().unwrap();
        thread::scope(|scope| {
            let writes = scope.spawn(|| {
                let wrote = list.try_write_for(Duration::from_secs(20));
                wrote.expect("the readers end").push(text(&segment, 4));
            });
            thread::sleep(Duration::from_millis(50));
            let again = list.read().unwrap();
            are(&again, &segment, 4);
            assert!(matches!(list.try_write(), Err(TryLockError::WouldBlock)));
            drop(again);
            drop(reading);
            writes.join().unwrap();
        });
        are(&list.read().unwrap(), &segment, 5);
        return say("read");
    }
    let name = Name::new("reads-twice");
    let segment = Segment::create(&name, 4 << 20).unwrap();
    let _list = segment.construct("list", RwLock::new(texts(&segment, 4))).unwrap();
    let mut other = Process::start(TEST, "reads", &[&name]);
    assert_eq!(other.listen(), "read");
    other.finish();
    assert_clean(&segment);
}

/// Who reads has the value as it is once more, though a death is not forgotten and a writer waits for it.
fn reads_again(list: &RwLock<Texts>) {
    thread::scope(|scope| {
        let writes = scope.spawn(|| {
            let wrote = list.try_write_for(Duration::from_secs(3));
            assert!(matches!(wrote, Err(TryLockError::WouldBlock)), "somebody reads");
        });
        thread::sleep(Duration::from_millis(50));
        let again = list.try_read_for(Duration::from_secs(1));
        assert!(matches!(again, Err(TryLockError::Poisoned(_))), "it waits for the writer");
        writes.join().unwrap();
    });
}

#[test]
fn what_a_dead_writer_had_begun_is_whole_for_who_reads_next() {
    const TEST: &str = "what_a_dead_writer_had_begun_is_whole_for_who_reads_next";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let list = segment.find::<RwLock<Texts>>("list").unwrap().unwrap();
        let mut guard = list.write().unwrap();
        say("writes");
        for i in 0.. {
            guard.push(text(&segment, i));
            if guard.len() > 40 {
                guard.clear();
            }
        }
        hear();
        return;
    }
    let name = Name::new("dead-writer");
    let segment = Segment::create(&name, 4 << 20).unwrap();
    let list = segment.construct("list", RwLock::new(texts(&segment, 0))).unwrap();
    for round in 0..30 {
        let mut writer = Process::start(TEST, "writes", &[&name]);
        assert_eq!(writer.listen(), "writes");
        thread::sleep(Duration::from_micros(200 * round));
        assert!(list.try_read_for(Duration::ZERO).is_err());
        writer.kill();
        let error = list.read().unwrap_err();
        assert_eq!(error.cause(), Cause::OwnerDied);
        let guard = error.into_inner();
        for pair in guard.windows(2) {
            let number = |text: &String| text.split_once(' ').unwrap().0.parse::<u64>().unwrap();
            assert_eq!(number(&pair[0]) + 1, number(&pair[1]), "in the order of the pushes");
        }
        if round == 0 {
            reads_again(&list);
        }
        // Also with a guard, and while others read.
        list.clear_poison();
        assert!(!list.is_poisoned());
        drop(guard);
        list.write().unwrap().clear();
        assert_clean(&segment);
        assert!(segment.check().unwrap().looked.parts <= 1, "more than the block of the list");
    }
}

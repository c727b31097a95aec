//! Named, unique and unnamed objects:
//!
//! - what was constructed is found as it was, by every process, until it is destroyed, once;
//! - of any number that construct one name at once, exactly one does, and all see the same object;
//! - a reference keeps seeing its object after it was destroyed, and the memory is not used again
//!   before the reference is dropped;
//! - another type, another count, another place: errors that say what stands there;
//! - a name that exists is found at every instant, also while the table grows under it;
//! - all destroyed, every byte is free again.
mod common;

use common::{Name, Process, arg, assert_like_fresh, at_rest, hear, long, role, say};
use sharena::{ObjectError, Offset, Options, Segment, Shareable, Stats};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

fn new(capacity: u64) -> (Segment, Stats) {
    let segment = Options::new().capacity(capacity).create_anonymous().unwrap();
    let fresh = at_rest(&segment);
    (segment, fresh)
}

#[derive(Shareable, Clone, Copy, Debug, PartialEq, Default)]
struct Point {
    x: f64,
    y: f64,
    tag: u8,
}

#[derive(Shareable, Clone, Copy, Debug, PartialEq, Default)]
#[repr(align(128))]
struct Wide(u64);

#[test]
fn construct_find_destroy() {
    let (segment, fresh) = new(1 << 20);
    let point = Point { x: 1.5, y: -2.5, tag: 7 };
    assert!(segment.find::<Point>("p").unwrap().is_none());
    assert!(!segment.contains("p").unwrap());
    assert!(!segment.destroy::<Point>("p").unwrap());

    let made = segment.construct("p", point).unwrap();
    assert_eq!(*made, point);
    let found = segment.find::<Point>("p").unwrap().unwrap();
    assert_eq!((*found, found.as_ptr(), found.offset()), (point, made.as_ptr(), made.offset()));
    assert!(segment.contains("p").unwrap());
    let taken = segment.construct("p", Point::default());
    assert_eq!(taken.err(), Some(ObjectError::AlreadyExists { name: "p".into() }));
    let taken = segment.construct_slice("p", 3, |_| 0u8);
    assert_eq!(taken.err(), Some(ObjectError::AlreadyExists { name: "p".into() }));
    assert_eq!(*found, point, "a loser of the race changes nothing");
    drop((made, found));

    assert!(segment.destroy::<Point>("p").unwrap());
    assert!(!segment.destroy::<Point>("p").unwrap());
    assert!(segment.find::<Point>("p").unwrap().is_none());
    for round in 0..1000u64 {
        let again = segment.construct("p", round).unwrap();
        assert_eq!(*again, round, "the same name, another type");
        drop(again);
        assert!(segment.destroy::<u64>("p").unwrap());
    }
    let wide = segment.construct("wide", Wide(5)).unwrap();
    assert_eq!((wide.as_ptr() as usize % 128, *wide), (0, Wide(5)));
    drop(wide);
    assert!(segment.destroy::<Wide>("wide").unwrap());
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn slices_of_any_length() {
    let (segment, fresh) = new(64 << 20);
    let by_index = segment.construct_slice("index", 1000, |i| i as u32 * 3).unwrap();
    assert!(by_index.iter().enumerate().all(|(i, value)| *value == i as u32 * 3));
    let default = segment.construct_slice_default::<Point>("default", 50).unwrap();
    assert_eq!(&*default, &[Point::default(); 50]);
    let copied = segment.construct_slice_from("text", b"Hello from shared memory!").unwrap();
    assert_eq!(&*copied, b"Hello from shared memory!");
    let empty = segment.construct_slice_from::<Wide>("empty", &[]).unwrap();
    assert!(empty.is_empty());
    let large = segment.construct_slice("large", 1 << 20, |i| i as u64).unwrap();
    assert_eq!((large.len(), large[1 << 19]), (1 << 20, 1 << 19));
    segment.construct("single", 9u16).unwrap();

    let found = segment.find_slice::<u32>("index").unwrap().unwrap();
    assert_eq!((&*found, found.offset()), (&*by_index, by_index.offset()));
    assert_eq!(segment.find_slice::<Wide>("empty").unwrap().unwrap().len(), 0);
    assert_eq!(
        &*segment.find_slice::<u16>("single").unwrap().unwrap(),
        &[9],
        "a single one is a slice of one"
    );
    let wrong = segment.find::<u32>("index").err();
    assert_eq!(wrong, Some(ObjectError::WrongCount { name: "index".into(), found: 1000 }));
    let wrong = segment.find::<Wide>("empty").err();
    assert_eq!(wrong, Some(ObjectError::WrongCount { name: "empty".into(), found: 0 }));
    let huge = segment.construct_slice_default::<u64>("huge", usize::MAX / 4);
    assert_eq!(huge.err(), Some(ObjectError::TooLarge { count: usize::MAX / 4 }));
    let larger = segment.construct_slice_default::<u64>("larger", 1 << 40);
    assert!(matches!(larger.err(), Some(ObjectError::Alloc(_))));

    drop((by_index, default, copied, empty, large, found));
    assert!(segment.destroy::<u32>("index").unwrap());
    assert!(segment.destroy::<Wide>("empty").unwrap());
    assert_eq!(segment.clear().unwrap(), 4);
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn a_constructor_that_panics_leaves_nothing() {
    let (segment, fresh) = new(1 << 20);
    let construct = || {
        segment
            .construct_slice("half", 100, |i| if i < 50 { i } else { panic!("half way") })
            .map(|_| ())
    };
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(construct));
    assert!(caught.is_err());
    assert!(!segment.contains("half").unwrap());
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        segment.find_or_construct::<u64>("half", || panic!("at once")).map(|_| ())
    }));
    assert!(caught.is_err());
    assert!(!segment.contains("half").unwrap());
    // The thread's lane is as good as before.
    segment.construct("half", 1u8).unwrap();
    assert!(segment.destroy::<u8>("half").unwrap());
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn unique_instances_are_found_by_type() {
    let (segment, fresh) = new(1 << 20);
    assert!(segment.find_unique::<Point>().unwrap().is_none());
    let point = segment.construct_unique(Point { x: 3.0, y: 4.0, tag: 0 }).unwrap();
    assert_eq!(point.x, 3.0);
    assert!(matches!(
        segment.construct_unique(Point::default()),
        Err(ObjectError::AlreadyExists { .. })
    ));
    assert_eq!(segment.find_unique::<Point>().unwrap().unwrap().y, 4.0);
    assert!(segment.find_unique::<Wide>().unwrap().is_none());
    let (wide, created) = segment.find_or_construct_unique(|| Wide(8)).unwrap();
    assert!(created && *wide == Wide(8));
    let (again, created) = segment.find_or_construct_unique(|| Wide(9)).unwrap();
    assert!(!created && *again == Wide(8));
    // A named object with the type's name is another thing.
    assert!(!segment.contains(&sharena::type_name::<Point>()).unwrap());
    segment.construct(&sharena::type_name::<Point>(), 1u8).unwrap();
    let listed = segment.objects().unwrap();
    assert_eq!(listed.iter().filter(|object| object.unique).count(), 2);
    assert_eq!(
        listed.iter().filter(|object| object.name == sharena::type_name::<Point>()).count(),
        2
    );
    drop((point, wide, again));
    assert!(segment.destroy_unique::<Point>().unwrap());
    assert!(!segment.destroy_unique::<Point>().unwrap());
    assert_eq!(segment.clear().unwrap(), 2);
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn a_wrong_type_names_both() {
    let (segment, _) = new(1 << 20);
    segment.construct("p", Point::default()).unwrap();
    let wrong = segment.find::<u64>("p").err().unwrap();
    let expected =
        ObjectError::WrongType { name: "p".into(), found: "Point".into(), expected: "u64".into() };
    assert_eq!(wrong, expected);
    let text = wrong.to_string();
    assert!(text.contains("Point") && text.contains("u64") && text.contains("\"p\""), "{text}");
    assert_eq!(segment.find_slice::<u64>("p").err().as_ref(), Some(&expected));
    assert_eq!(segment.destroy::<u64>("p"), Err(expected.clone()));
    assert_eq!(segment.find_or_construct("p", || 1u64).err(), Some(expected));
    assert!(segment.find::<Point>("p").unwrap().is_some(), "left as it was");
    // Same size and alignment are not the same type.
    segment.construct("i", 1i64).unwrap();
    assert!(matches!(segment.find::<u64>("i"), Err(ObjectError::WrongType { .. })));
    assert!(matches!(segment.find::<f64>("i"), Err(ObjectError::WrongType { .. })));
}

#[test]
fn names_are_any_utf8_of_1_to_4096_bytes() {
    let (segment, fresh) = new(16 << 20);
    let longest = "ü".repeat(2048);
    let names = [
        "a",
        "/",
        "..",
        "\0",
        "a\0",
        "名字",
        "🦀 and more",
        " ",
        "\n",
        "a/b\\c",
        &"x".repeat(4095),
        &longest,
    ];
    for (i, name) in names.iter().enumerate() {
        segment.construct(name, i).unwrap();
    }
    for (i, name) in names.iter().enumerate() {
        assert_eq!(*segment.find::<usize>(name).unwrap().unwrap(), i, "{name:?}");
    }
    let mut listed: Vec<String> =
        segment.objects().unwrap().into_iter().map(|object| object.name).collect();
    listed.sort();
    let mut expected: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    expected.sort();
    assert_eq!(listed, expected);
    for (bytes, name) in [(0, ""), (4097, &*"x".repeat(4097))] {
        let error = ObjectError::InvalidName { bytes };
        assert_eq!(segment.construct(name, 1u8).err().as_ref(), Some(&error));
        assert_eq!(segment.find::<u8>(name).err().as_ref(), Some(&error));
        assert_eq!(segment.find_or_construct(name, || 1u8).err().as_ref(), Some(&error));
        assert_eq!(segment.contains(name).err().as_ref(), Some(&error));
        assert_eq!(segment.destroy::<u8>(name).err(), Some(error));
    }
    for name in names {
        assert!(segment.destroy::<usize>(name).unwrap());
    }
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn objects_are_listed_as_they_are() {
    let (segment, _) = new(4 << 20);
    let point = segment.construct("point", Point::default()).unwrap();
    segment.construct_slice_default::<u32>("slice", 10).unwrap();
    segment.construct_unique(Wide(1)).unwrap();
    segment.construct("gone", 1u8).unwrap();
    segment.destroy::<u8>("gone").unwrap();
    let listed: BTreeMap<_, _> = segment
        .objects()
        .unwrap()
        .into_iter()
        .map(|object| (object.name.clone(), object))
        .collect();
    assert_eq!(listed.keys().collect::<Vec<_>>(), ["Wide", "point", "slice"]);
    let one = &listed["point"];
    assert_eq!((one.type_name.as_str(), one.count, one.unique), ("Point", 1, false));
    assert_eq!(one.fingerprint, Point::FINGERPRINT);
    assert!(one.bytes >= size_of::<Point>() as u64);
    assert!(
        one.offset <= point.offset().to_bits() && point.offset().to_bits() < one.offset + one.bytes
    );
    assert_eq!((listed["slice"].type_name.as_str(), listed["slice"].count), ("u32", 10));
    assert!(listed["Wide"].unique);
    drop(point);
    assert_eq!(segment.clear().unwrap(), 3);
    assert_eq!(segment.objects().unwrap(), []);
    assert_eq!(segment.clear().unwrap(), 0);
}

#[test]
fn a_destroyed_object_is_seen_by_who_holds_it() {
    let (segment, fresh) = new(4 << 20);
    segment.construct("small", [41u64; 8]).unwrap();
    segment.construct_slice("large", 100_000, |i| i as u64).unwrap();
    let small = segment.find::<[u64; 8]>("small").unwrap().unwrap();
    let large = segment.find_slice::<u64>("large").unwrap().unwrap();
    std::thread::scope(|scope| {
        // Destroyed by another thread, and as much constructed as fits, several times.
        let destroy = scope.spawn(|| {
            assert!(segment.destroy::<[u64; 8]>("small").unwrap());
            assert!(segment.destroy::<u64>("large").unwrap());
            for _ in 0..3 {
                let mut more = Vec::new();
                while let Ok(one) = segment.own_slice(100_000, |_| u64::MAX) {
                    more.push(one);
                }
                let mut few: Vec<_> =
                    (0..50_000).map_while(|_| segment.own([u64::MAX; 8]).ok()).collect();
                assert!(!more.is_empty());
                few.clear();
            }
            segment.construct("small", [0u64; 8]).unwrap();
        });
        destroy.join().unwrap();
    });
    // And by the thread whose slab it lies in, at each of the ways to blocks.
    segment.trim().unwrap();
    for _ in 0..3 {
        let more: Vec<_> = (0..5000).map(|_| segment.own([u64::MAX; 8]).unwrap()).collect();
        drop(more);
        segment.trim().unwrap();
    }
    assert_eq!(*small, [41; 8], "a reference saw memory that was used again");
    assert!(large.iter().enumerate().all(|(i, value)| *value == i as u64));
    assert_ne!(segment.find::<[u64; 8]>("small").unwrap().unwrap().offset(), small.offset());
    drop((small, large));
    segment.destroy::<[u64; 8]>("small").unwrap();
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn a_thread_holds_so_many_references() {
    let (segment, fresh) = new(4 << 20);
    segment.construct("one", 1u32).unwrap();
    let mut held = Vec::new();
    let refused = loop {
        match segment.find::<u32>("one") {
            Ok(found) => held.push(found.unwrap()),
            Err(error) => break error,
        }
        assert!(held.len() < 10_000);
    };
    let ObjectError::TooManyRefs { limit } = refused else { panic!("{refused}") };
    assert!(refused.to_string().contains(&format!("{limit} references")), "{refused}");
    assert!(held.len() <= limit && held.len() + 8 > limit, "{} of {limit}", held.len());
    assert!(held.iter().all(|one| **one == 1));
    let another = std::thread::scope(|scope| {
        scope.spawn(|| segment.find::<u32>("one").map(|_| ())).join().unwrap()
    });
    assert_eq!(another, Ok(()), "another thread has its own");
    held.truncate(limit / 2);
    segment.construct("two", 2u32).unwrap();
    drop(held);
    assert_eq!(segment.clear().unwrap(), 2);
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn unnamed_objects_are_resolved_by_offset() {
    let (segment, fresh) = new(4 << 20);
    let mut owned = segment.own(Point::default()).unwrap();
    owned.x = 8.0;
    let mut slice = segment.own_slice(20, |i| i as u16).unwrap();
    slice[3] = 77;
    let private =
        Offset::<u16>::from_bits(segment.offset_of(slice.as_ptr().cast()).unwrap().to_bits())
            .unwrap();
    assert!(
        matches!(segment.resolve(private), Err(ObjectError::NoObject { .. })),
        "private is private"
    );
    let (point, slice) = (owned.publish(), slice.publish());
    assert_eq!(segment.resolve(point).unwrap().x, 8.0);
    assert_eq!(segment.resolve_slice(slice).unwrap()[3], 77);
    assert!(matches!(
        segment.resolve(point.cast::<[u64; 3]>()),
        Err(ObjectError::WrongType { .. })
    ));
    let first = Offset::<u16>::from_bits(slice.to_bits()).unwrap();
    assert!(matches!(segment.resolve(first), Err(ObjectError::WrongCount { found: 20, .. })));
    // Any number is safe.
    let raw = segment.allocate(std::alloc::Layout::new::<[u64; 32]>()).unwrap();
    for bits in (1..64).chain([
        raw.to_bits() + 16,
        point.to_bits() + 8,
        point.to_bits() + 1,
        1 << 43,
        u64::MAX,
    ]) {
        let refused = segment.resolve(Offset::<u64>::from_bits(bits).unwrap());
        assert!(refused.is_err(), "{bits:#x}: {refused:?}");
    }
    // A named one is destroyed by its name.
    let named = segment.construct("named", 4u64).unwrap();
    assert_eq!(*segment.resolve(named.offset()).unwrap(), 4);
    assert!(matches!(segment.destroy_at(named.offset()), Err(ObjectError::HasName { .. })));
    drop(named);
    let held = segment.resolve(point).unwrap();
    segment.destroy_at(point).unwrap();
    assert!(matches!(segment.resolve(point), Err(ObjectError::NoObject { .. })));
    assert!(matches!(segment.destroy_at(point), Err(ObjectError::NoObject { .. })));
    assert_eq!(held.x, 8.0);
    drop(held);
    segment.destroy_slice_at(slice).unwrap();
    segment.deallocate(raw).unwrap();
    segment.clear().unwrap();
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn an_offset_is_resolved_by_another_process() {
    const TEST: &str = "an_offset_is_resolved_by_another_process";
    #[derive(Shareable)]
    struct Node {
        value: u64,
        next: Option<Offset<Node>>,
    }
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let mut next = Offset::<Node>::from_bits(hear().parse().unwrap());
        let mut values = Vec::new();
        while let Some(at) = next {
            let node = segment.resolve(at).unwrap();
            values.push(node.value.to_string());
            next = node.next;
            drop(node);
            segment.destroy_at(at).unwrap();
        }
        say(values.join(" "));
        return;
    }
    let name = Name::new(TEST);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let fresh = at_rest(&segment);
    let mut head = None;
    for value in 0..100 {
        head = Some(segment.own(Node { value, next: head }).unwrap().publish());
    }
    let mut other = Process::start(TEST, "other", &[&name]);
    other.tell(head.unwrap().to_bits());
    let expected: Vec<String> = (0..100).rev().map(|value| value.to_string()).collect();
    assert_eq!(other.listen(), expected.join(" "));
    other.finish();
    assert!(matches!(segment.resolve(head.unwrap()), Err(ObjectError::NoObject { .. })));
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn of_sixteen_threads_exactly_one_constructs() {
    let (segment, fresh) = new(16 << 20);
    let barrier = std::sync::Barrier::new(16);
    let (created, called) = (AtomicUsize::new(0), AtomicUsize::new(0));
    const ROUNDS: usize = 300;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|thread| {
                let (segment, barrier, created, called) = (&segment, &barrier, &created, &called);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let name = format!("{round}");
                        barrier.wait();
                        let value = || {
                            called.fetch_add(1, Ordering::Relaxed);
                            AtomicU64::new(0)
                        };
                        let (sum, new) = segment.find_or_construct(&name, value).unwrap();
                        created.fetch_add(usize::from(new), Ordering::Relaxed);
                        sum.fetch_add(1 << (4 * (thread % 16)), Ordering::Relaxed);
                        barrier.wait();
                        assert_eq!(
                            sum.load(Ordering::Relaxed),
                            0x1111_1111_1111_1111,
                            "all have the same object"
                        );
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(created.into_inner(), ROUNDS);
    assert!(called.into_inner() >= ROUNDS);
    assert_eq!(segment.clear().unwrap(), ROUNDS);
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn of_eight_processes_exactly_one_constructs_and_one_destroys() {
    const TEST: &str = "of_eight_processes_exactly_one_constructs_and_one_destroys";
    const ROUNDS: usize = 200;
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        say("ready");
        hear();
        for round in 0..ROUNDS {
            let (sum, new) =
                segment.find_or_construct(&format!("{round}"), || AtomicU64::new(0)).unwrap();
            sum.fetch_add(1 + (u64::from(new) << 32), Ordering::Relaxed);
        }
        say("done");
        hear();
        let destroyed = (0..ROUNDS)
            .filter(|round| segment.destroy::<AtomicU64>(&format!("{round}")).unwrap())
            .count();
        say(destroyed);
        return;
    }
    let name = Name::new(TEST);
    let segment = Segment::create(&name, 16 << 20).unwrap();
    let fresh = at_rest(&segment);
    let mut others: Vec<_> = (0..8).map(|_| Process::start(TEST, "racer", &[&name])).collect();
    others.iter_mut().for_each(|other| assert_eq!(other.listen(), "ready"));
    others.iter_mut().for_each(|other| other.tell("go"));
    others.iter_mut().for_each(|other| assert_eq!(other.listen(), "done"));
    for round in 0..ROUNDS {
        let sum = segment.find::<AtomicU64>(&format!("{round}")).unwrap().unwrap();
        assert_eq!(
            sum.load(Ordering::Relaxed),
            8 + (1 << 32),
            "round {round}: eight came, one created"
        );
    }
    others.iter_mut().for_each(|other| other.tell("go"));
    let destroyed: usize =
        others.iter_mut().map(|other| other.listen().parse::<usize>().unwrap()).sum();
    assert_eq!(destroyed, ROUNDS, "each was destroyed once");
    others.into_iter().for_each(Process::finish);
    assert_like_fresh(&segment, &fresh);
}

/// Finds what exists, over and over: the even names; and what never existed, never.
fn find_all_the_time(segment: &Segment, standing: usize, go_on: impl Fn() -> bool) -> usize {
    let mut rounds = 0;
    while go_on() {
        for i in 0..standing {
            let found = segment.find::<u64>(&format!("standing {i}")).unwrap();
            assert_eq!(
                found.as_deref(),
                Some(&(i as u64)),
                "round {rounds}: name {i} was not found"
            );
            assert!(segment.find::<u64>(&format!("absent {i}")).unwrap().is_none());
        }
        rounds += 1;
    }
    rounds
}

/// Ends what waits for it, also if the test fails.
struct SetAtTheEnd<'a>(&'a AtomicBool);

impl Drop for SetAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_exists_is_found_while_the_table_grows() {
    const TEST: &str = "what_exists_is_found_while_the_table_grows";
    const STANDING: usize = 100;
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let stop = segment.find::<AtomicBool>("stop").unwrap().unwrap();
        say("ready");
        find_all_the_time(&segment, STANDING, || !stop.load(Ordering::Relaxed));
        return;
    }
    let name = Name::new(TEST);
    let names = if long() { 1_000_000 } else { 100_000 };
    let segment = Segment::create(&name, if long() { 1 << 30 } else { 128 << 20 }).unwrap();
    let fresh = at_rest(&segment);
    for i in 0..STANDING {
        segment.construct(&format!("standing {i}"), i as u64).unwrap();
    }
    let stop = segment.construct("stop", AtomicBool::new(false)).unwrap();
    let mut others: Vec<_> = (0..2).map(|_| Process::start(TEST, "finder", &[&name])).collect();
    others.iter_mut().for_each(|other| assert_eq!(other.listen(), "ready"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (segment, done) = (&segment, &done);
        let _end = SetAtTheEnd(done);
        let finder = scope
            .spawn(move || find_all_the_time(segment, STANDING, || !done.load(Ordering::Relaxed)));
        // Two threads make the names, so that migrations meet.
        let makers: Vec<_> = (0..2)
            .map(|maker| {
                scope.spawn(move || {
                    for i in (maker..names).step_by(2) {
                        segment.construct(&format!("n{i}"), i as u64).unwrap();
                    }
                })
            })
            .collect();
        makers.into_iter().for_each(|maker| maker.join().unwrap());
        assert_eq!(segment.stats().unwrap().names.objects, (names + STANDING + 1) as u64);
        for i in (0..names).step_by(names / 5000) {
            assert_eq!(*segment.find::<u64>(&format!("n{i}")).unwrap().unwrap(), i as u64);
        }
        let listed = segment.objects().unwrap();
        assert_eq!(listed.len(), names + STANDING + 1);
        let distinct: std::collections::HashSet<_> =
            listed.into_iter().map(|object| object.name).collect();
        assert_eq!(distinct.len(), names + STANDING + 1);
        // And as it empties, by two.
        let breakers: Vec<_> = (0..2)
            .map(|breaker| {
                scope.spawn(move || {
                    for i in (breaker..names).step_by(2) {
                        assert!(segment.destroy::<u64>(&format!("n{i}")).unwrap());
                    }
                })
            })
            .collect();
        breakers.into_iter().for_each(|breaker| breaker.join().unwrap());
        segment.trim().unwrap();
        done.store(true, Ordering::Relaxed);
        assert!(finder.join().unwrap() > 1);
    });
    stop.store(true, Ordering::Relaxed);
    others.into_iter().for_each(Process::finish);
    drop(stop);
    assert_eq!(segment.clear().unwrap(), STANDING + 1);
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn names_that_come_and_go_cost_no_room() {
    let (segment, fresh) = new(4 << 20);
    let mut most = 0;
    for i in 0..60_000u64 {
        segment.construct(&format!("only once {i}"), i).unwrap();
        assert!(segment.destroy::<u64>(&format!("only once {i}")).unwrap());
        if i % 5000 == 0 {
            most = most.max(segment.stats().unwrap().used);
        }
    }
    assert!(most < fresh.total / 4, "{most} bytes for one object at a time");
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn a_taken_name_is_taken_however_often_it_is_tried() {
    let (segment, fresh) = new(1 << 20);
    segment.construct("name", 1u64).unwrap();
    for i in 0..1000u64 {
        let error = segment.construct("name", i).unwrap_err();
        assert!(matches!(error, ObjectError::AlreadyExists { .. }), "{i}: {error}");
        assert_eq!(*segment.find::<u64>("name").unwrap().unwrap(), 1);
    }
    assert!(segment.destroy::<u64>("name").unwrap());
    assert_like_fresh(&segment, &fresh);
}

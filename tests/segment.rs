//! Segments: what a name leads to, and what a capacity costs.
//!
//! - a segment is there whole or not at all: of any number that race to make it exactly one does,
//!   and all have the same;
//! - its permissions are those asked for;
//! - its name can be taken away while it is in use: users keep it, the name is free for another;
//! - a capacity is a promise of room, and address space; memory is what was used.
mod common;

use common::{Directory, Name, Process, arg, assert_like_fresh, at_rest, hear, long, role, say};
use sharena::{Error, Options, Segment};
use std::alloc::Layout;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn create_open_exists_list_remove() {
    let name = Name::new("life");
    assert!(!sharena::exists(&name).unwrap());
    let segment = Segment::create(&name, 1 << 20).unwrap();
    assert_eq!((segment.capacity(), segment.name()), (1 << 20, Some(&*name)));
    assert!(sharena::exists(&name).unwrap());
    segment.construct("object", 42u32).unwrap();

    let opened = Segment::open(&name).unwrap();
    assert_eq!(
        (opened.id(), opened.capacity(), opened.name()),
        (segment.id(), 1 << 20, Some(&*name))
    );
    assert_eq!(*opened.find::<u32>("object").unwrap().unwrap(), 42);
    let again = Segment::open_or_create(&name, 99).unwrap();
    assert!(!again.created);
    assert_eq!((again.segment.id(), again.segment.capacity()), (segment.id(), 1 << 20));
    assert!(matches!(Segment::create(&name, 1), Err(Error::AlreadyExists { .. })));

    let listed = sharena::list().unwrap();
    let one = listed.iter().find(|one| one.name == *name).expect("it is listed");
    assert_eq!((one.capacity, &one.problem), (Some(1 << 20), &None));
    assert_eq!(one.committed, std::fs::metadata(name.path()).unwrap().blocks() * 512);
    assert!(listed.is_sorted_by(|a, b| a.name < b.name));

    sharena::remove(&name).unwrap();
    assert!(!sharena::exists(&name).unwrap());
    assert!(sharena::list().unwrap().iter().all(|one| one.name != *name));
    assert!(matches!(sharena::remove(&name), Err(Error::NotFound { .. })));
    let made = Segment::open_or_create(&name, 5).unwrap();
    assert!(made.created && made.segment.capacity() == 5);
}

#[test]
fn what_is_no_segment_is_listed_with_the_reason() {
    let name = Name::new("stranger");
    std::fs::write(name.path(), "not a segment at all").unwrap();
    let listed = sharena::list().unwrap();
    let one = listed.iter().find(|one| one.name == *name).expect("it is listed");
    assert_eq!(one.capacity, None);
    assert!(one.problem.as_ref().is_some_and(|problem| problem.contains("not a segment")));
}

#[test]
fn a_name_taken_away_leaves_the_segment_to_its_users() {
    let name = Name::new("unlinked");
    let segment = Segment::create(&name, 4 << 20).unwrap();
    let opened = Segment::open(&name).unwrap();
    let fresh = at_rest(&segment);
    segment.construct("before", 1u64).unwrap();
    sharena::remove(&name).unwrap();
    assert!(matches!(Segment::open(&name), Err(Error::NotFound { .. })));
    assert_eq!(*opened.find::<u64>("before").unwrap().unwrap(), 1);
    opened.construct_slice("after", 300_000, |i| i as u8).unwrap();
    assert_eq!(segment.find_slice::<u8>("after").unwrap().unwrap()[77], 77);
    // New threads attach to it as well.
    std::thread::scope(|scope| {
        scope.spawn(|| drop(segment.own([0u8; 100]).unwrap())).join().unwrap();
    });

    let other = Segment::create(&name, 4 << 20).unwrap();
    assert_ne!(other.id(), segment.id(), "another one of that name");
    assert!(!other.contains("before").unwrap());
    other.construct("before", 2u64).unwrap();
    assert_eq!(*segment.find::<u64>("before").unwrap().unwrap(), 1);
    assert_eq!(Segment::open(&name).unwrap().id(), other.id());
    assert_eq!(segment.clear().unwrap(), 2);
    drop(opened);
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn in_a_file_of_any_file_system() {
    const TEST: &str = "in_a_file_of_any_file_system";
    if role().is_some() {
        let segment = Segment::open_at(arg(0)).unwrap();
        assert_eq!(segment.name(), None);
        assert_eq!(&*segment.find_slice::<u8>("text").unwrap().unwrap(), b"on disk");
        segment.destroy::<u8>("text").unwrap();
        segment.construct("answer", 5u32).unwrap();
        return;
    }
    let directory = Directory::new("path");
    let path = directory.join("segment");
    assert!(!sharena::exists_at(&path).unwrap());
    let segment = Options::new().capacity(1 << 20).create_at(&path).unwrap();
    assert!(sharena::exists_at(&path).unwrap());
    let fresh = at_rest(&segment);
    segment.construct_slice_from("text", b"on disk").unwrap();
    Process::start(TEST, "other", &[path.to_str().unwrap()]).finish();
    let id = segment.id();
    drop(segment);
    // It stays when nobody has it open.
    let opened = Options::new().open_or_create_at(&path).unwrap();
    assert!(!opened.created);
    let segment = opened.segment;
    assert_eq!(segment.id(), id);
    assert_eq!(*segment.find::<u32>("answer").unwrap().unwrap(), 5);
    assert!(!segment.contains("text").unwrap());
    segment.clear().unwrap();
    assert_like_fresh(&segment, &fresh);
    sharena::remove_at(&path).unwrap();
    assert!(!path.exists());
    let names: Vec<_> = std::fs::read_dir(directory.join("")).unwrap().collect();
    assert!(names.is_empty(), "nothing stays beside it: {names:?}");
}

#[test]
fn without_a_name_by_descriptor() {
    const TEST: &str = "without_a_name_by_descriptor";
    if role().is_some() {
        // SAFETY: inherited, and nobody else's in this process.
        let descriptor = unsafe { OwnedFd::from_raw_fd(arg(0).parse().unwrap()) };
        let segment = Segment::open_fd(descriptor).unwrap();
        let sum = segment.find::<AtomicU64>("sum").unwrap().unwrap();
        for _ in 0..1000 {
            sum.fetch_add(1, Ordering::Relaxed);
        }
        say(segment.id());
        return;
    }
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    assert_eq!(segment.name(), None);
    let fresh = at_rest(&segment);
    let sum = segment.construct("sum", AtomicU64::new(0)).unwrap();
    let others: Vec<_> = (0..3)
        .map(|_| {
            let descriptor = segment.as_fd().as_raw_fd();
            let mut command = Process::command(TEST, "heir", &[&descriptor.to_string()]);
            // SAFETY: clears close-on-exec of one descriptor in the child, by a call that may be made
            // after fork.
            unsafe {
                command.pre_exec(move || match libc::fcntl(descriptor, libc::F_SETFD, 0) {
                    -1 => Err(std::io::Error::last_os_error()),
                    _ => Ok(()),
                })
            };
            Process::start_by(command, "heir")
        })
        .collect();
    for mut other in others {
        assert_eq!(other.listen(), segment.id().to_string());
        other.finish();
    }
    assert_eq!(sum.load(Ordering::Relaxed), 3000);
    drop(sum);
    segment.clear().unwrap();
    assert_like_fresh(&segment, &fresh);
    // A copy of the descriptor in this process is another attachment.
    let again = Segment::open_fd(segment.as_fd().try_clone_to_owned().unwrap()).unwrap();
    assert_eq!(again.id(), segment.id());
}

/// Fills a new segment of so many bytes with blocks of mixed sizes, and says how many bytes it held.
fn room(capacity: u64, seed: usize) -> u64 {
    let segment = Options::new().capacity(capacity).create_anonymous().unwrap();
    let (mut held, mut i) = (0, seed);
    let mut blocks = Vec::new();
    loop {
        i = i.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let most = [24, 300, 4000, 30_000][i >> 40 & 3].min(capacity as usize);
        let bytes = 1 + (i >> 20) % most;
        match segment.allocate(Layout::from_size_align(bytes, 1 << (i >> 50 & 3)).unwrap()) {
            Ok(block) => blocks.push(block),
            Err(_) => break,
        }
        held += bytes as u64;
        if held >= 2 * capacity {
            break;
        }
    }
    assert!(blocks.iter().all(|block| segment.deallocate(*block).is_ok()));
    held
}

#[test]
fn a_promise_of_room_is_kept() {
    for capacity in [1, 4096, 65536, 1 << 20, 16 << 20] {
        for seed in 0..3 {
            let held = room(capacity, seed);
            assert!(held >= capacity, "{held} of {capacity} bytes");
        }
    }
    // Named objects, as in the manual: all of 65,536 bytes in a hundred of them.
    let segment = Options::new().capacity(65536).create_anonymous().unwrap();
    for i in 0..64 {
        segment.construct_slice(&format!("a name of some length {i}"), 1024, |_| i as u8).unwrap();
    }
    // Or in one.
    let segment = Options::new().capacity(65536).create_anonymous().unwrap();
    segment.construct_slice_default::<u8>("all", 65536).unwrap();
}

/// Creates, uses and opens a segment; bytes of memory that it took, and the time.
fn cost(capacity: u64, at: &Path) -> (u64, Duration) {
    let begin = Instant::now();
    let segment = Options::new().capacity(capacity).create_at(at).unwrap();
    segment.construct("object", 1u64).unwrap();
    drop(segment);
    let segment = Segment::open_at(at).unwrap();
    assert_eq!(*segment.find::<u64>("object").unwrap().unwrap(), 1);
    drop(segment);
    let took = begin.elapsed();
    let blocks = std::fs::metadata(at).unwrap().blocks() * 512;
    sharena::remove_at(at).unwrap();
    (blocks, took)
}

#[test]
fn a_large_capacity_costs_no_more_than_a_small_one() {
    let name = Name::new("cost");
    let path = name.path();
    cost(65536, &path);
    let costs = (0..5).map(|_| cost(65536, &path));
    let (small, quick) = costs.reduce(|a, b| (a.0.max(b.0), a.1.min(b.1))).unwrap();
    for capacity in [1 << 30, 1 << 40, 12 << 40] {
        // Beside others that work one try, or five, say nothing.
        let mut took = Duration::MAX;
        for _ in 0..100 {
            let (bytes, this_took) = cost(capacity, &path);
            assert!(bytes <= small + (1 << 20), "{capacity}: {bytes} bytes of memory, not {small}");
            took = took.min(this_took);
            if took < quick * 10 + Duration::from_millis(50) {
                break;
            }
        }
        assert!(
            took < quick * 10 + Duration::from_millis(50),
            "{capacity}: {took:?}, not {quick:?}"
        );
    }
    // And it is there: blocks of gigabytes, far apart. (Not touched, but backed: so not too many.)
    let segment = Options::new().capacity(1 << 40).create_anonymous().unwrap();
    let fresh = at_rest(&segment);
    assert!(fresh.total > 1 << 40 && fresh.committed < 4 << 20, "{fresh:?}");
    let block = segment.allocate(Layout::from_size_align(600 << 20, 8).unwrap()).unwrap();
    segment.deallocate(block).unwrap();
    assert!(segment.trim().unwrap() >= 600 << 20);
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn permissions_are_those_asked_for() {
    const TEST: &str = "permissions_are_those_asked_for";
    if role().is_none() {
        // The umask is the process': one of its own.
        return Process::start(TEST, "masked", &[]).finish();
    }
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let directory = Directory::new("modes");
    for umask in [0o077, 0o777, 0] {
        // SAFETY: sets a property of this process.
        unsafe { libc::umask(umask) };
        for asked in [0o600, 0o660, 0o666, 0o640] {
            let name = Name::new("mode");
            drop(Options::new().capacity(1 << 16).mode(asked).create(&name).unwrap());
            assert_eq!(mode(&name.path()), asked, "umask {umask:o}");
            let path = directory.join(&format!("{umask}-{asked}"));
            drop(Options::new().capacity(1 << 16).mode(asked).create_at(&path).unwrap());
            assert_eq!(mode(&path), asked, "umask {umask:o}");
            let name = Name::new("mode-or");
            assert!(
                Options::new().capacity(1 << 16).mode(asked).open_or_create(&name).unwrap().created
            );
            assert_eq!(mode(&name.path()), asked, "umask {umask:o}");
        }
        let name = Name::new("mode-default");
        drop(Segment::create(&name, 1 << 16).unwrap());
        assert_eq!(mode(&name.path()), 0o600, "umask {umask:o}");
    }
}

#[test]
fn of_a_hundred_processes_exactly_one_creates() {
    const TEST: &str = "of_a_hundred_processes_exactly_one_creates";
    const RACERS: usize = 100;
    if role().is_some() {
        loop {
            say("ready");
            let name = hear();
            if name == "end" {
                return;
            }
            let opened = Segment::open_or_create(&name, 1 << 20).unwrap();
            opened.segment.construct(&arg(0), std::process::id()).unwrap();
            say(if opened.created { "created" } else { "opened" });
            hear();
            let objects = opened.segment.objects().unwrap();
            assert_eq!(objects.len(), RACERS, "each wrote, and all see it");
            for i in 0..RACERS {
                assert!(opened.segment.find::<u32>(&i.to_string()).unwrap().is_some());
            }
        }
    }
    let mut racers: Vec<_> =
        (0..RACERS).map(|i| Process::start(TEST, "racer", &[&i.to_string()])).collect();
    for round in 0..if long() { 200 } else { 20 } {
        let name = Name::new(&format!("race-{round}"));
        racers.iter_mut().for_each(|racer| assert_eq!(racer.listen(), "ready"));
        racers.iter_mut().for_each(|racer| racer.tell(&*name));
        let said: Vec<String> = racers.iter_mut().map(Process::listen).collect();
        let created = said.iter().filter(|word| *word == "created").count();
        assert_eq!(created, 1, "round {round}: {said:?}");
        racers.iter_mut().for_each(|racer| racer.tell("look"));
        // The first to be ready again may find the name gone: all have what they opened.
    }
    racers.iter_mut().for_each(|racer| assert_eq!(racer.listen(), "ready"));
    racers.iter_mut().for_each(|racer| racer.tell("end"));
    racers.into_iter().for_each(Process::finish);
}

#[test]
fn of_a_hundred_threads_exactly_one_creates() {
    let barrier = Barrier::new(100);
    let names: Vec<Name> = (0..10).map(|round| Name::new(&format!("threads-{round}"))).collect();
    for name in &names {
        let created = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for i in 0..100usize {
                let (barrier, created) = (&barrier, &created);
                scope.spawn(move || {
                    barrier.wait();
                    let opened = Segment::open_or_create(name, 1 << 20).unwrap();
                    created.fetch_add(usize::from(opened.created), Ordering::Relaxed);
                    opened.segment.construct(&i.to_string(), i).unwrap();
                    barrier.wait();
                    assert_eq!(opened.segment.objects().unwrap().len(), 100);
                });
            }
        });
        assert_eq!(created.into_inner(), 1);
    }
}

#[test]
fn names_that_come_and_go_are_whole_when_seen() {
    let name = Name::new("flicker");
    let (made, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let end = Instant::now() + Duration::from_secs(if long() { 20 } else { 2 });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while Instant::now() < end {
                    match Segment::open_or_create(&name, 1 << 16) {
                        Ok(opened) => {
                            made.fetch_add(usize::from(opened.created), Ordering::Relaxed);
                            seen.fetch_add(1, Ordering::Relaxed);
                            opened.segment.find_or_construct("object", || 7u8).unwrap();
                        }
                        Err(error) => assert!(matches!(error, Error::Unstable { .. }), "{error}"),
                    }
                    match sharena::remove(&name) {
                        Ok(()) | Err(Error::NotFound { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    assert!(made.into_inner() > 10 && seen.into_inner() > 10);
    let files = std::fs::read_dir("/dev/shm").unwrap().map(|file| file.unwrap().file_name());
    let left: Vec<_> =
        files.filter(|file| file.to_string_lossy().contains(".sharena-temporary")).collect();
    assert!(left.is_empty(), "{left:?}");
}

//! What is made once, and permits, through the public interface:
//!
//! - of several processes one makes the value, and all see it; who dies while making it has not made it;
//! - as many hold a permit as there are, and what a dead process had comes back.

mod common;

use common::{Name, Process, arg, hear, role, say};
use sharena::lock::{OnceLock, Permits, TimedOut};
use sharena::{ObjectError, Options, Segment, Shareable};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(20);

fn anonymous() -> Segment {
    Options::new().capacity(1 << 20).create_anonymous().unwrap()
}

#[derive(Shareable)]
struct Hall {
    value: OnceLock<[u64; 4]>,
    made: AtomicU64,
    permits: Permits<2>,
    inside: AtomicU64,
}

impl Hall {
    fn new() -> Hall {
        Hall {
            value: OnceLock::new(),
            made: AtomicU64::new(0),
            permits: Permits::new(),
            inside: AtomicU64::new(0),
        }
    }
}

#[test]
fn it_is_there_once_it_is_made() {
    let segment = anonymous();
    let mut once = segment.own(OnceLock::<u32>::new()).unwrap();
    assert_eq!(once.get(), None);
    assert_eq!(once.set(1), Ok(()));
    assert_eq!(once.set(2), Err(2));
    assert_eq!(once.get_or_init(|| unreachable!("it is there")), &1);
    *once.get_mut().unwrap() = 3;
    assert_eq!(std::mem::take(&mut *once).into_inner(), Some(3));
    assert_eq!(once.get(), None);
    assert_eq!(size_of::<OnceLock<u64>>(), 16);
    assert_eq!(sharena::type_name::<OnceLock<u64>>(), "OnceLock<u64>");
}

#[test]
fn who_panics_has_not_made_it() {
    let segment = anonymous();
    let once = segment.construct("once", OnceLock::<u32>::new()).unwrap();
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        once.get_or_init(|| std::panic::resume_unwind(Box::new(())));
    }));
    assert!(made.is_err());
    assert_eq!(once.get(), None);
    assert_eq!(once.get_or_init(|| 5), &5);
}

/// A damaged file: what says that it is complete and is no value is not given out.
#[test]
fn what_is_no_value_is_not_found() {
    let segment = anonymous();
    let once = segment.construct("once", OnceLock::<bool>::new()).unwrap();
    once.set(true).unwrap();
    // SAFETY: the byte of the value, which nobody looks at meanwhile.
    unsafe { once.as_ptr().cast::<u8>().add(8).write(2) };
    drop(once);
    let found = segment.find::<OnceLock<bool>>("once");
    assert!(matches!(found, Err(ObjectError::InvalidValue { .. })), "{found:?}");
}

fn be_in() {
    let segment = Segment::open(&arg(0)).unwrap();
    let hall = segment.find::<Hall>("hall").unwrap().unwrap();
    match arg(1).as_str() {
        "make" => {
            say("ready");
            hear();
            let value = hall.value.get_or_init(|| {
                hall.made.fetch_add(1, SeqCst);
                [7; 4]
            });
            assert_eq!(value, &[7; 4]);
        }
        "die making" => {
            hall.value.get_or_init(|| {
                say("ready");
                hear();
                unreachable!("it was to be killed");
            });
        }
        "use" => {
            for _ in 0..500 {
                let _permit = hall.permits.acquire();
                assert!(hall.inside.fetch_add(1, SeqCst) < 2, "three are inside");
                hall.inside.fetch_sub(1, SeqCst);
            }
        }
        "die with one" => {
            let _permit = hall.permits.acquire();
            say("ready");
            hear();
            unreachable!("it was to be killed");
        }
        other => unreachable!("{other}"),
    }
}

fn in_hall(test: &str, with: impl FnOnce(&Hall, &dyn Fn(&str) -> Process)) {
    if role().is_some() {
        return be_in();
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let hall = segment.construct("hall", Hall::new()).unwrap();
    with(&hall, &|what| Process::start(test, what, &[&name, what]));
}

#[test]
fn one_of_many_processes_makes_it() {
    in_hall("one_of_many_processes_makes_it", |hall, start| {
        let mut makers: Vec<_> = (0..6).map(|_| start("make")).collect();
        makers.iter_mut().for_each(|maker| assert_eq!(maker.listen(), "ready"));
        makers.iter_mut().for_each(|maker| maker.tell("go"));
        makers.into_iter().for_each(Process::finish);
        assert_eq!(hall.made.load(SeqCst), 1);
        assert_eq!(hall.value.get(), Some(&[7; 4]));
    });
}

#[test]
fn who_dies_making_it_has_not_made_it() {
    in_hall("who_dies_making_it_has_not_made_it", |hall, start| {
        let mut maker = start("die making");
        assert_eq!(maker.listen(), "ready");
        let late = hall.value.get_or_init_for(MOMENT, || [1; 4]);
        assert_eq!(late, Err(TimedOut), "another is at it");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| hall.value.get_or_init_for(LONG, || [2; 4]).is_ok());
            std::thread::sleep(MOMENT);
            maker.kill();
            assert!(waits.join().unwrap());
        });
        assert_eq!(hall.value.get(), Some(&[2; 4]));
    });
}

#[test]
fn as_many_are_inside_as_there_are_permits() {
    in_hall("as_many_are_inside_as_there_are_permits", |hall, start| {
        let users: Vec<_> = (0..6).map(|_| start("use")).collect();
        users.into_iter().for_each(Process::finish);
        let all = [hall.permits.acquire(), hall.permits.acquire()];
        assert_ne!(all[0].index(), all[1].index());
        assert!(hall.permits.try_acquire().is_none());
        let begin = Instant::now();
        assert!(hall.permits.try_acquire_for(MOMENT).is_err() && begin.elapsed() >= MOMENT);
        let [one, _other] = all;
        drop(one);
        assert!(!hall.permits.acquire().was_abandoned());
    });
}

#[test]
fn a_permit_of_the_dead_comes_back() {
    in_hall("a_permit_of_the_dead_comes_back", |hall, start| {
        let mut holders = [start("die with one"), start("die with one")];
        holders.iter_mut().for_each(|holder| assert_eq!(holder.listen(), "ready"));
        assert!(hall.permits.try_acquire().is_none());
        let [one, other] = holders;
        one.kill();
        let permit = hall.permits.try_acquire().expect("that of the dead");
        assert!(permit.was_abandoned());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                let permit = hall.permits.try_acquire_for(LONG);
                permit.is_ok_and(|permit| permit.was_abandoned())
            });
            std::thread::sleep(MOMENT);
            other.kill();
            assert!(waits.join().unwrap(), "who waits does not hear of it");
        });
        drop(permit);
        assert!(!hall.permits.acquire().was_abandoned(), "it was given back in between");
    });
}

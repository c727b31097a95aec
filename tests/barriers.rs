//! A plain count, and a barrier, through the public interface:
//!
//! - each that was released is acquired once, by whom it may be; who waits hears of a death if he asks for
//!   that;
//! - nobody passes a barrier before all have come; if one dies first, the others are told, none of them
//!   passes, and they go on by themselves.

mod common;

use common::{Name, Process, arg, hear, role, say};
use sharena::lock::{Barrier, BarrierError, Semaphore, SomeoneDied, TimedOut};
use sharena::{Options, Segment, Shareable};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_millis(20);
const ROUNDS: u64 = 300;

#[derive(Shareable)]
struct Hall {
    full: Semaphore,
    empty: Semaphore,
    made: AtomicU64,
    taken: AtomicU64,
    barrier: Barrier,
    came: [AtomicU64; 4],
}

impl Hall {
    fn new(parties: u16) -> Hall {
        Hall {
            full: Semaphore::new(0),
            empty: Semaphore::new(3),
            made: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            barrier: Barrier::new(parties),
            came: [0; 4].map(AtomicU64::new),
        }
    }
}

#[test]
fn a_count_is_what_was_released_less_what_was_acquired() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let count = segment.construct("count", Semaphore::new(2)).unwrap();
    count.acquire();
    assert!(count.try_acquire() && !count.try_acquire());
    let begin = Instant::now();
    assert_eq!(count.try_acquire_for(MOMENT), Err(TimedOut));
    assert!(begin.elapsed() >= MOMENT);
    count.release(5);
    assert_eq!((count.count(), format!("{:?}", *count)), (5, "Semaphore { count: 5 }".into()));
    assert_eq!(count.acquire_while_alive(&segment.deaths()), Ok(()));
    let too_many = std::panic::AssertUnwindSafe(|| count.release(Semaphore::MOST - 3));
    assert!(std::panic::catch_unwind(too_many).is_err());
    assert_eq!(count.count(), 4, "it stays as it was");
    count.release(Semaphore::MOST - 4);
    assert_eq!(count.count(), Semaphore::MOST);
    assert_eq!(size_of::<Semaphore>(), 8);
}

#[test]
fn a_barrier_opens_for_all_at_once() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let hall = segment.construct("hall", Hall::new(4)).unwrap();
    let led = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for me in 0..4 {
            let (segment, hall, led) = (&segment, &*hall, &led);
            scope.spawn(move || {
                led.fetch_add(rounds(hall, segment, me), SeqCst);
            });
        }
    });
    assert_eq!(led.load(SeqCst), ROUNDS, "one leads, each time");
    let begin = Instant::now();
    let alone = hall.barrier.wait_timeout(&segment.deaths(), MOMENT);
    assert!(alone == Err(BarrierError::TimedOut) && begin.elapsed() >= MOMENT);
    assert_eq!((hall.barrier.parties(), size_of::<Barrier>()), (4, 8));
}

/// Comes so often, and sees that all others did; how often it was the last.
fn rounds(hall: &Hall, segment: &Segment, me: usize) -> u64 {
    let deaths = segment.deaths();
    let mut led = 0;
    for round in 1..=ROUNDS {
        hall.came[me].store(round, SeqCst);
        led += u64::from(hall.barrier.wait(&deaths).unwrap().is_leader());
        assert!(hall.came.iter().all(|came| came.load(SeqCst) >= round));
        hall.barrier.wait(&deaths).unwrap();
    }
    led
}

fn be_in() {
    let segment = Segment::open(&arg(0)).unwrap();
    let hall = segment.find::<Hall>("hall").unwrap().unwrap();
    match arg(1).as_str() {
        "make" => {
            for _ in 0..ROUNDS {
                hall.empty.acquire();
                hall.made.fetch_add(1, SeqCst);
                hall.full.release(1);
            }
        }
        "take" => {
            for _ in 0..ROUNDS {
                hall.full.acquire();
                assert!(hall.taken.fetch_add(1, SeqCst) < hall.made.load(SeqCst), "out of nothing");
                hall.empty.release(1);
            }
        }
        "meet" => drop(rounds(&hall, &segment, arg(2).parse().unwrap())),
        "wait and go on" => {
            let mut deaths = segment.deaths();
            say("ready");
            hear();
            let mut told = 0;
            // A death may be told twice: by each of two who found it.
            while let Err(error) = hall.barrier.wait(&deaths) {
                let BarrierError::SomeoneDied(broken) = error else {
                    unreachable!("no time is set")
                };
                told += 1;
                deaths.renew();
                hall.barrier.mend(broken, 2);
            }
            assert!(told > 0, "it opened without the one that died");
        }
        "die" => {
            say("ready");
            hear();
            unreachable!("it was to be killed");
        }
        other => unreachable!("{other}"),
    }
}

fn in_hall(
    test: &str,
    parties: u16,
    with: impl FnOnce(&Segment, &Hall, &dyn Fn(&[&str]) -> Process),
) {
    if role().is_some() {
        return be_in();
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let hall = segment.construct("hall", Hall::new(parties)).unwrap();
    with(&segment, &hall, &|what| {
        let args: Vec<&str> = [&*name].into_iter().chain(what.iter().copied()).collect();
        Process::start(test, what[0], &args)
    });
}

#[test]
fn processes_hand_things_on_by_two_counts() {
    in_hall("processes_hand_things_on_by_two_counts", 1, |_, hall, start| {
        let all: Vec<_> =
            ["make", "take", "make", "take"].iter().map(|what| start(&[what])).collect();
        all.into_iter().for_each(Process::finish);
        assert_eq!((hall.full.count(), hall.empty.count()), (0, 3));
        assert_eq!(hall.taken.load(SeqCst), 2 * ROUNDS);
    });
}

#[test]
fn who_waits_for_what_the_dead_was_to_release_is_told() {
    in_hall("who_waits_for_what_the_dead_was_to_release_is_told", 1, |segment, hall, start| {
        let mut releaser = start(&["die"]);
        assert_eq!(releaser.listen(), "ready");
        let deaths = segment.deaths();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| hall.full.acquire_while_alive(&deaths));
            std::thread::sleep(MOMENT);
            releaser.kill();
            assert_eq!(waits.join().unwrap(), Err(SomeoneDied));
        });
        assert_eq!(hall.full.acquire_while_alive(&deaths), Err(SomeoneDied), "a death from before");
        hall.full.release(1);
        assert_eq!(hall.full.acquire_while_alive(&deaths), Ok(()), "what is there is had");
    });
}

#[test]
fn processes_meet_at_a_barrier() {
    in_hall("processes_meet_at_a_barrier", 4, |_, hall, start| {
        let all: Vec<_> = ["0", "1", "2", "3"].iter().map(|me| start(&["meet", me])).collect();
        all.into_iter().for_each(Process::finish);
        assert!(hall.came.iter().all(|came| came.load(SeqCst) == ROUNDS));
    });
}

#[test]
fn those_who_are_left_go_on_without_the_dead() {
    in_hall("those_who_are_left_go_on_without_the_dead", 3, |_, hall, start| {
        let mut dies = start(&["die"]);
        assert_eq!(dies.listen(), "ready");
        let mut others = [start(&["wait and go on"]), start(&["wait and go on"])];
        others.iter_mut().for_each(|other| assert_eq!(other.listen(), "ready"));
        others.iter_mut().for_each(|other| other.tell("go"));
        std::thread::sleep(MOMENT);
        dies.kill();
        others.into_iter().for_each(Process::finish);
        assert_eq!(hall.barrier.parties(), 2);
    });
}

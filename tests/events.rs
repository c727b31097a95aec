//! Events, through the public interface:
//!
//! - set for all, all pass, who wait and who come, until it is reset; set for one, one passes each time;
//! - who waits hears of a death if he asks for that; who is killed asleep, or woken, is in nobody's way;
//! - every wait has a form that ends.

mod common;

use common::{Name, Process, arg, hear, role, say};
use sharena::lock::{Event, SomeoneDied, TimedOut};
use sharena::{Options, Segment, Shareable};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(5);
const ROUNDS: u64 = 300;

#[derive(Shareable)]
struct Hall {
    all: Event,
    one: Event,
    there: Event,
    back: Event,
    passed: AtomicU64,
}

impl Hall {
    fn new() -> Hall {
        Hall {
            all: Event::manual_reset(),
            one: Event::auto_reset(),
            there: Event::auto_reset(),
            back: Event::auto_reset(),
            passed: AtomicU64::new(0),
        }
    }
}

fn anonymous() -> Segment {
    Options::new().capacity(1 << 20).create_anonymous().unwrap()
}

#[test]
fn it_is_set_until_it_is_reset() {
    let segment = anonymous();
    let hall = segment.construct("hall", Hall::new()).unwrap();
    let all = &hall.all;
    assert!(!all.try_wait() && !all.is_set());
    all.set();
    all.wait();
    assert!(all.try_wait() && all.is_set(), "it lets all pass");
    assert_eq!(all.wait_while_alive(&segment.deaths()), Ok(()));
    assert_eq!(format!("{all:?}"), "Event { set: true }");
    all.reset();
    assert!(!all.try_wait());
    assert_eq!(size_of::<Event>(), 8);
    assert_eq!(sharena::type_name::<Event>(), "Event");
}

#[test]
fn who_passes_an_auto_reset_event_resets_it() {
    let segment = anonymous();
    let hall = segment.construct("hall", Hall::new()).unwrap();
    let one = &hall.one;
    one.set();
    one.set();
    assert!(one.is_set());
    assert!(one.try_wait(), "set");
    assert!(!one.try_wait(), "twice is once");
    one.set();
    one.reset();
    assert!(!one.try_wait());
    one.set();
    assert_eq!(one.wait_for(MOMENT), Ok(()));
    assert!(!one.is_set());
}

#[test]
fn every_wait_has_a_form_that_ends() {
    let segment = anonymous();
    let hall = segment.construct("hall", Hall::new()).unwrap();
    for event in [&hall.all, &hall.one] {
        let begin = Instant::now();
        assert_eq!(event.wait_for(MOMENT), Err(TimedOut));
        assert!(begin.elapsed() >= MOMENT);
        let soon = Instant::now() + MOMENT;
        assert_eq!(event.wait_until(soon), Err(TimedOut));
        assert!(Instant::now() >= soon);
    }
}

fn be_in() {
    let segment = Segment::open(&arg(0)).unwrap();
    let hall = segment.find::<Hall>("hall").unwrap().unwrap();
    match arg(1).as_str() {
        "answer" => {
            for _ in 0..ROUNDS {
                hall.there.wait();
                hall.passed.fetch_add(1, SeqCst);
                hall.back.set();
            }
        }
        "wait" => {
            say("ready");
            hall.one.wait();
            hall.passed.fetch_add(1, SeqCst);
        }
        "wait for all" => {
            say("ready");
            assert_eq!(hall.all.wait_for(LONG), Ok(()));
        }
        "die" => {
            say("ready");
            hear();
            unreachable!("it was to be killed");
        }
        other => unreachable!("{other}"),
    }
}

fn in_hall(test: &str, with: impl FnOnce(&Segment, &Hall, &dyn Fn(&str) -> Process)) {
    if role().is_some() {
        return be_in();
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let hall = segment.construct("hall", Hall::new()).unwrap();
    with(&segment, &hall, &|what| Process::start(test, what, &[&name, what]));
}

#[test]
fn two_processes_take_turns() {
    in_hall("two_processes_take_turns", |_, hall, start| {
        let other = start("answer");
        for round in 1..=ROUNDS {
            hall.there.set();
            hall.back.wait();
            assert_eq!(hall.passed.load(SeqCst), round);
        }
        other.finish();
    });
}

#[test]
fn who_waits_for_the_dead_is_told() {
    in_hall("who_waits_for_the_dead_is_told", |segment, hall, start| {
        let mut setter = start("die");
        assert_eq!(setter.listen(), "ready");
        let deaths = segment.deaths();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| hall.one.wait_while_alive(&deaths));
            std::thread::sleep(MOMENT);
            setter.kill();
            assert_eq!(waits.join().unwrap(), Err(SomeoneDied));
        });
        hall.one.set();
        assert_eq!(hall.one.wait_while_alive(&deaths), Ok(()), "it is set all the same");
    });
}

/// Who waits when it is set passes, though it is reset before he can look.
#[test]
fn who_is_stopped_as_it_is_set_passes() {
    in_hall("who_is_stopped_as_it_is_set_passes", |_, hall, start| {
        let mut waits = start("wait for all");
        assert_eq!(waits.listen(), "ready");
        std::thread::sleep(MOMENT);
        waits.signal(libc::SIGSTOP);
        std::thread::sleep(MOMENT);
        hall.all.set();
        hall.all.reset();
        waits.signal(libc::SIGCONT);
        waits.finish();
    });
}

/// The one that slept longest is killed before the event is set: another passes.
#[test]
fn one_that_is_killed_asleep_is_in_nobodys_way() {
    in_hall("one_that_is_killed_asleep_is_in_nobodys_way", |_, hall, start| {
        let mut dies = start("wait");
        assert_eq!(dies.listen(), "ready");
        std::thread::sleep(MOMENT);
        let mut waits = start("wait");
        assert_eq!(waits.listen(), "ready");
        std::thread::sleep(MOMENT);
        dies.kill();
        hall.one.set();
        waits.finish();
        assert_eq!(hall.passed.load(SeqCst), 1);
        assert!(!hall.one.is_set());
    });
}

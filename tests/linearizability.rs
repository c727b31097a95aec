//! The table of names is linearizable: each call takes effect at one instant between its begin and its
//! return, in every process alike, and a call that its process' death cut off takes effect before that
//! death, or never.
//!
//! Real processes construct, find and destroy objects of a few names while some are killed and others
//! come in their place; [`linear`] judges what they recorded. That the judge knows good from bad is
//! tested here, too: by histories that are known, and against all orders tried one by one.
//!
//! `cargo xtask linearizability` runs it for longer.

mod common;
mod history;
#[path = "common/linear.rs"]
mod linear;
#[path = "common/named.rs"]
mod named;
#[path = "common/report.rs"]
mod report;

use common::role;
use linear::{Answer, Call, Operation, apply, check};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[test]
fn what_real_processes_do_to_names_is_linearizable() {
    const TEST: &str = "what_real_processes_do_to_names_is_linearizable";
    if role().is_some() {
        return history::worker::run();
    }
    let seconds = report::asked("SHARENA_SECONDS").unwrap_or(6);
    let processes = report::asked("SHARENA_PROCESSES").unwrap_or(4);
    let tally = history::run(TEST, processes as usize, seconds);
    // Else nothing was tried.
    assert!(tally.overlapping * 100 > tally.operations, "hardly a call met another");
    assert!(tally.kills >= seconds && tally.cut_off > 0, "hardly a call was cut off");
    report::write(&tally);
}

/// A call with its answer, from `begin` to `end`.
fn told(begin: u64, end: u64, call: Call, answer: Answer) -> Operation {
    Operation { call, answer: Some(answer), begin, end, by: 0 }
}

fn cut_off(begin: u64, end: u64, call: Call) -> Operation {
    Operation { call, answer: None, begin, end, by: 0 }
}

use Answer::{Absent, Found, Made, No, Taken, Yes};
use Call::{Construct, Contains, Destroy, Find, FindOrConstruct, Look};

/// Values of one kind.
const A: u64 = 4;
const B: u64 = 8;

#[test]
fn the_judge_accepts_what_can_have_happened() {
    let good = [
        ("nothing", vec![], vec![None]),
        (
            "one after the other",
            vec![
                told(1, 2, Construct(A), Made),
                told(3, 4, Find(0), Found(A)),
                told(5, 6, Construct(B), Taken),
                told(7, 8, Destroy(0), Yes),
                told(9, 10, Find(0), Absent),
                told(11, 12, FindOrConstruct(B), Made),
            ],
            vec![Some(B)],
        ),
        (
            "a find beside a construct sees either",
            vec![
                told(1, 9, Construct(A), Made),
                told(2, 8, Find(0), Found(A)),
                told(3, 7, Find(0), Absent),
            ],
            vec![Some(A)],
        ),
        (
            "a construct between two that are destroyed",
            vec![
                told(1, 10, Construct(A), Made),
                told(2, 9, Construct(B), Made),
                told(3, 8, Destroy(0), Yes),
            ],
            vec![Some(A), Some(B)],
        ),
        (
            "at the same nanosecond either may be first",
            vec![told(1, 5, Construct(A), Made), told(5, 9, Contains, No)],
            vec![Some(A)],
        ),
        ("a cut off construct", vec![cut_off(1, 5, Construct(A))], vec![None, Some(A)]),
        (
            "a cut off construct that was seen before the death",
            vec![cut_off(1, 9, Construct(A)), told(2, 3, Find(0), Found(A))],
            vec![Some(A)],
        ),
        (
            "a cut off destroy that took effect late",
            vec![
                told(1, 2, Construct(A), Made),
                cut_off(3, 20, Destroy(0)),
                told(4, 5, Find(0), Found(A)),
                told(6, 7, Construct(B), Made),
            ],
            vec![Some(B)],
        ),
        (
            "types",
            vec![
                told(1, 2, Construct(A | 1), Made),
                told(3, 4, Find(0), Answer::WrongType),
                told(3, 4, Destroy(2), Answer::WrongType),
                told(5, 6, Look, Found(A | 1)),
            ],
            vec![Some(A | 1)],
        ),
    ];
    for (what, history, expected) in good {
        let finals = check(None, &history).unwrap_or_else(|no| panic!("{what}: {}", no.story));
        assert_eq!(finals, expected.into_iter().collect(), "{what}");
    }
}

#[test]
fn the_judge_refuses_what_cannot_have_happened() {
    let bad = [
        (
            "two constructors of one name",
            vec![told(1, 5, Construct(A), Made), told(2, 6, Construct(B), Made)],
        ),
        (
            "destroyed twice",
            vec![
                told(1, 2, Construct(A), Made),
                told(3, 6, Destroy(0), Yes),
                told(4, 7, Destroy(0), Yes),
            ],
        ),
        (
            "found after it was destroyed",
            vec![
                told(1, 2, Construct(A), Made),
                told(3, 4, Destroy(0), Yes),
                told(5, 6, Find(0), Found(A)),
            ],
        ),
        (
            "not found though it was there all the time",
            vec![told(1, 2, Construct(A), Made), told(3, 4, Find(0), Absent)],
        ),
        ("found before it was constructed", {
            vec![told(1, 2, Find(0), Found(A)), told(3, 4, Construct(A), Made)]
        }),
        ("found though nobody constructed it", vec![told(1, 2, Find(0), Found(A))]),
        (
            "seen and then not seen",
            vec![
                told(1, 10, Construct(A), Made),
                told(2, 3, Find(0), Found(A)),
                told(4, 5, Find(0), Absent),
            ],
        ),
        (
            "the dead's construct comes after its death",
            vec![
                cut_off(1, 5, Construct(A)),
                told(6, 7, Find(0), Absent),
                told(8, 9, Find(0), Found(A)),
            ],
        ),
        (
            "the dead's destroy comes after its death",
            vec![
                told(1, 2, Construct(A), Made),
                cut_off(3, 5, Destroy(0)),
                told(6, 7, Find(0), Found(A)),
                told(8, 9, Find(0), Absent),
            ],
        ),
        ("torn", vec![told(1, 2, Construct(A), Made), told(3, 4, Find(0), Answer::Torn)]),
        ("taken though there was none", vec![told(1, 2, Construct(A), Taken)]),
    ];
    for (what, history) in bad {
        assert!(check(None, &history).is_err(), "{what}");
    }
}

/// All orders that time allows, one by one: no cleverness.
fn check_by_trying(state: Option<u64>, rest: &[Operation], finals: &mut BTreeSet<Option<u64>>) {
    if rest.iter().all(|operation| operation.answer.is_none()) {
        finals.insert(state);
    }
    for (i, operation) in rest.iter().enumerate() {
        // Nothing that is left has ended before this begins: but what was cut off may never happen.
        let is_late = |other: &Operation| other.end < operation.begin;
        if rest.iter().any(|other| other.answer.is_some() && is_late(other)) {
            continue;
        }
        let (answer, next) = apply(state, operation.call);
        if operation.answer.is_none_or(|told| told == answer) {
            let left: Vec<Operation> = rest
                .iter()
                .enumerate()
                .filter(|(j, other)| *j != i && !is_late(other))
                .map(|(_, other)| *other)
                .collect();
            check_by_trying(next, &left, finals);
        }
    }
}

fn small_histories() -> impl Strategy<Value = Vec<Operation>> {
    let values = || prop_oneof![Just(A), Just(B), Just(A | 1)];
    let kinds = || 0u64..2;
    let with_answer = prop_oneof![
        4 => (values(), prop_oneof![4 => Just(Made), 1 => Just(Taken)])
            .prop_map(|(value, answer)| (Construct(value), answer)),
        2 => (values(), prop_oneof![Just(Made), values().prop_map(Found), Just(Answer::WrongType)])
            .prop_map(|(value, answer)| (FindOrConstruct(value), answer)),
        3 => (kinds(), prop_oneof![values().prop_map(Found), Just(Absent), Just(Answer::WrongType)])
            .prop_map(|(kind, answer)| (Find(kind), answer)),
        1 => prop_oneof![Just(Yes), Just(No)].prop_map(|answer| (Contains, answer)),
        3 => (kinds(), prop_oneof![4 => Just(Yes), 1 => Just(No), 1 => Just(Answer::WrongType)])
            .prop_map(|(kind, answer)| (Destroy(kind), answer)),
    ];
    let operation = (with_answer, 0u64..12, 0u64..8, prop::bool::weighted(0.2)).prop_map(
        |((call, answer), begin, length, is_cut_off)| Operation {
            call,
            answer: (!is_cut_off).then_some(answer),
            begin,
            end: begin + length,
            by: 0,
        },
    );
    prop::collection::vec(operation, 1..6)
}

#[test]
fn the_judge_says_what_trying_all_orders_says() {
    let (good, bad) = (AtomicU64::new(0), AtomicU64::new(0));
    let config = ProptestConfig { cases: 20_000, failure_persistence: None, ..Default::default() };
    let run = proptest::test_runner::TestRunner::new(config).run(&small_histories(), |history| {
        let mut tried = BTreeSet::new();
        check_by_trying(None, &history, &mut tried);
        let found = check(None, &history).unwrap_or_default();
        if tried.is_empty() { &bad } else { &good }.fetch_add(1, Relaxed);
        prop_assert_eq!(found, tried);
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    let (good, bad) = (good.into_inner(), bad.into_inner());
    assert!(good > 1000 && bad > 1000, "{good} good, {bad} bad ones are not much of a trial");
}

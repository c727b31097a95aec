//! Whether a history of calls on one name is linearizable: whether each call could have taken effect at
//! one instant between its begin and its end, so that all answers are those of a table that does one
//! thing at a time.
//!
//! The search is Lowe's just-in-time linearization (*Testing for linearizability*, 2017) of the
//! algorithm of Wing and Gong: along the events in the order of time goes the set of all places where
//! the table may stand, and calls are linearized no sooner than one of them ends. A place is what the
//! name leads to, and which of the calls under way have taken effect; what is in the set once is not
//! searched twice. Names are independent of each other, so each has a history of its own.
//!
//! A call that was cut off by death has no answer. It took effect before the death, or never.
#![allow(dead_code)] // each test file uses a part

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What was called. A value is unique, and says its kind in the lowest two bits ([`crate::named`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Call {
    Construct(u64),
    FindOrConstruct(u64),
    /// An object of this kind.
    Find(u64),
    /// An object of any kind.
    Look,
    Contains,
    /// An object of this kind.
    Destroy(u64),
}

/// What was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    Made,
    Taken,
    Found(u64),
    Absent,
    WrongType,
    Yes,
    No,
    /// Not what any object holds.
    Torn,
}

/// A call and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub call: Call,
    /// `None`: its process died inside.
    pub answer: Option<Answer>,
    pub begin: u64,
    /// When it returned, or its process was dead for sure.
    pub end: u64,
    /// Who called, for the message.
    pub by: usize,
}

pub fn kind_of(value: u64) -> u64 {
    value & 3
}

/// What a table that does one thing at a time answers, and what the name leads to afterwards.
pub fn apply(state: Option<u64>, call: Call) -> (Answer, Option<u64>) {
    let of_kind = |kind| state.map(|value| kind_of(value) == kind);
    match (call, state) {
        (Call::Construct(value), None) => (Answer::Made, Some(value)),
        (Call::Construct(_), Some(_)) => (Answer::Taken, state),
        (Call::FindOrConstruct(value), None) => (Answer::Made, Some(value)),
        (Call::FindOrConstruct(value), Some(found)) if kind_of(value) == kind_of(found) => {
            (Answer::Found(found), state)
        }
        (Call::FindOrConstruct(_), Some(_)) => (Answer::WrongType, state),
        (Call::Find(kind), Some(found)) if of_kind(kind) == Some(true) => {
            (Answer::Found(found), state)
        }
        (Call::Find(_), Some(_)) => (Answer::WrongType, state),
        (Call::Find(_) | Call::Look, None) => (Answer::Absent, None),
        (Call::Look, Some(found)) => (Answer::Found(found), state),
        (Call::Contains, Some(_)) => (Answer::Yes, state),
        (Call::Contains | Call::Destroy(_), None) => (Answer::No, None),
        (Call::Destroy(kind), Some(_)) if of_kind(kind) == Some(true) => (Answer::Yes, None),
        (Call::Destroy(_), Some(_)) => (Answer::WrongType, state),
    }
}

/// Where the table may stand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    state: Option<u64>,
    /// Of the calls under way those that have taken effect, a bit for each.
    done: u64,
}

/// No instants could be found for the calls of a history up to this one.
#[derive(Debug)]
pub struct Refused {
    /// The calls around it, the last being that which cannot have been answered so.
    pub story: String,
}

/// What the name may lead to afterwards.
pub fn check(
    initial: Option<u64>,
    history: &[Operation],
) -> Result<BTreeSet<Option<u64>>, Refused> {
    // At the same instant begins come before ends: such calls count as concurrent.
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * history.len());
    for (i, operation) in history.iter().enumerate() {
        assert!(operation.begin <= operation.end, "time goes backwards: {operation:?}");
        events.push((operation.begin, false, i));
        events.push((operation.end, true, i));
    }
    events.sort_unstable();
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut slot_of = vec![usize::MAX; history.len()];
    let mut places = BTreeSet::from([Place { state: initial, done: 0 }]);
    for (at, &(_, ends, i)) in events.iter().enumerate() {
        if !ends {
            let slot = open.iter().position(Option::is_none).unwrap_or_else(|| {
                open.push(None);
                open.len() - 1
            });
            assert!(slot < 64, "more than 64 calls at once");
            (open[slot], slot_of[i]) = (Some(i), slot);
            continue;
        }
        let bit = 1u64 << slot_of[i];
        let mut ended = BTreeSet::new();
        let mut tried = BTreeSet::new();
        let mut todo: Vec<Place> = places.into_iter().collect();
        while let Some(place) = todo.pop() {
            if !tried.insert(place) {
                continue;
            }
            if place.done & bit != 0 {
                ended.insert(Place { done: place.done & !bit, ..place });
                continue;
            }
            if history[i].answer.is_none() {
                ended.insert(place);
            }
            for (slot, call) in open.iter().enumerate() {
                let Some(call) = call.filter(|_| place.done >> slot & 1 == 0) else { continue };
                let (answer, state) = apply(place.state, history[call].call);
                if history[call].answer.is_none_or(|told| told == answer) {
                    todo.push(Place { state, done: place.done | 1 << slot });
                }
            }
        }
        if ended.is_empty() {
            return Err(Refused { story: story(initial, history, &events[..=at]) });
        }
        places = ended;
        open[slot_of[i]] = None;
    }
    Ok(places.into_iter().map(|place| place.state).collect())
}

/// The last calls that had begun.
fn story(initial: Option<u64>, history: &[Operation], events: &[(u64, bool, usize)]) -> String {
    const SHOWN: usize = 24;
    let begun: Vec<usize> =
        events.iter().filter(|(_, ends, _)| !ends).map(|(_, _, i)| *i).collect();
    let mut shown: BTreeSet<usize> = begun.iter().rev().take(SHOWN).copied().collect();
    let last = events.last().expect("something ended").2;
    shown.insert(last);
    let mut shown: Vec<usize> = shown.into_iter().collect();
    shown.sort_by_key(|i| history[*i].begin);
    let mut text = format!("at first {initial:x?}; {} calls later\n", begun.len() - shown.len());
    for i in shown {
        let Operation { call, answer, begin, end, by } = history[i];
        let mark = if i == last { "  <- not linearizable" } else { "" };
        let answer = answer.map_or("died".into(), |answer| format!("{answer:x?}"));
        text += &format!("{begin:>16} to {end:>16} by {by:<3} {call:x?}: {answer}{mark}\n");
    }
    text
}

//! Lists behind locks: changed in each way that there is.

use super::{Held, Operation, Things, enter, named, warm_up};
use crate::stage::{Stage, Victim};
use anyhow::{Context, Result, ensure};
use sharena::Segment;
use sharena::collections::{String, Vec, VecMut};
use sharena::lock::{Mutex, PoisonError};
use std::mem::forget;

/// How the names of such objects begin.
pub const MADE_LIST: &str = "made-list";

/// What such an object is.
pub type List = Mutex<Vec<String>>;

fn text(segment: &Segment, number: u64) -> String {
    String::from_in(&format!("{number}, with more text than nothing"), segment)
}

fn number_of(text: &str) -> Result<u64> {
    let (number, rest) = text.split_once(',').context("a comma")?;
    ensure!(rest == " with more text than nothing", "it goes on with {rest:?}");
    Ok(number.parse()?)
}

/// A number that no other list of few small numbers has.
const fn digest(numbers: &[u64]) -> u64 {
    let (mut all, mut i) = (1, 0);
    while i < numbers.len() {
        all = all * 16 + numbers[i] + 1;
        i += 1;
    }
    all
}

/// What is in the list, told by one number; each text in it is whole.
pub fn digest_of(segment: &Segment, name: &str) -> Result<u64> {
    let list = segment.find::<List>(name)?.context("it was listed")?;
    let guard = list.lock().unwrap_or_else(PoisonError::into_inner);
    let numbers = guard.iter().map(|text| number_of(text)).collect::<Result<std::vec::Vec<_>>>()?;
    drop(guard);
    list.clear_poison();
    Ok(digest(&numbers))
}

fn construct(segment: &Segment, count: u64) -> Result<()> {
    let list = segment.construct::<List>(MADE_LIST, Mutex::new(Vec::new_in(segment)))?;
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    list.try_reserve(FULL)?;
    list.extend((0..count).map(|i| text(segment, i)));
    Ok(())
}

/// Has the trace maps that changes need stand in the segment.
pub fn know(segment: &Segment) -> Result<()> {
    construct(segment, 1)?;
    let list = segment.find::<List>(MADE_LIST)?.context("it was just constructed")?;
    list.lock().unwrap_or_else(PoisonError::into_inner).clear();
    drop(list);
    ensure!(segment.destroy::<List>(MADE_LIST)?, "it was just constructed");
    Ok(())
}

/// Texts for which a list has room at first.
const FULL: usize = 4;

fn set_up<'s>(stage: &'s Stage<'_>, count: u64) -> Result<Held<'s>> {
    know(stage.segment())?;
    construct(stage.segment(), count)?;
    Ok(Held::new())
}

fn set_up_three<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    set_up(stage, 3)
}

fn set_up_full<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    set_up(stage, FULL as u64)
}

/// The victim changes the list, and gives the lock back.
fn changes<'s>(
    victim: &'s Victim<'_>,
    change: impl FnOnce(&mut sharena::lock::MutexGuard<'_, Vec<String>>) + 's,
) -> super::Act<'s> {
    let segment = victim.segment();
    warm_up(segment);
    enter(segment);
    // Knows the types, and has blocks at hand.
    drop(text(segment, 0));
    let list = segment.find::<List>(MADE_LIST).expect("whole").expect("it is there");
    Box::new(move || {
        let mut guard = list.lock().expect("nobody died");
        change(&mut guard);
        drop(guard);
        forget(list);
    })
}

/// The victim takes the lock from one who died with it, if one did, leaves one text, and gives it back.
pub fn take<'s>(_: &'s Stage<'_>, victim: &'s Victim<'_>) -> super::Act<'s> {
    let segment = victim.segment();
    enter(segment);
    let list = segment.find::<List>(MADE_LIST).expect("whole").expect("it is there");
    Box::new(move || {
        let mut guard = list.lock().unwrap_or_else(PoisonError::into_inner);
        guard.truncate(1);
        drop(guard);
        forget(list);
    })
}

const fn listed(numbers: &[u64]) -> Things {
    Things { digest: digest(numbers), ..named(1) }
}

/// What [`take`] leaves.
pub const TAKEN: Things = listed(&[0]);

const THREE: Things = listed(&[0, 1, 2]);

pub const OPERATIONS: &[Operation] = &[
    Operation::new("change-push", |_, victim| {
        let new = text(victim.segment(), 9);
        changes(victim, move |list| list.push(new))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[0, 1, 2, 9]))
    .of_its_own()
    .of_steps(12),
    Operation::new("change-push-grows", |_, victim| {
        let new = text(victim.segment(), 9);
        changes(victim, move |list| list.push(new))
    })
    .set_up(set_up_full)
    .turns(listed(&[0, 1, 2, 3]), listed(&[0, 1, 2, 3, 9]))
    .of_its_own()
    .of_steps(30),
    Operation::new("change-push-of-threads", |_, victim| {
        // Its part lies in a slab of a lane that no thread has any more.
        let segment = victim.segment();
        let new = std::thread::scope(|scope| {
            scope.spawn(|| text(segment, 9)).join().expect("there is room")
        });
        changes(victim, move |list| list.push(new))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[0, 1, 2, 9]))
    .of_its_own()
    .of_steps(12),
    Operation::new("change-pop", |_, victim| {
        changes(victim, |list| forget(list.pop().expect("there are three")))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[0, 1]))
    .of_its_own()
    .of_steps(30),
    Operation::new("change-insert", |_, victim| {
        let new = text(victim.segment(), 9);
        changes(victim, move |list| list.insert(1, new))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[0, 9, 1, 2]))
    .of_its_own()
    .of_steps(20),
    Operation::new("change-remove", |_, victim| changes(victim, |list| forget(list.remove(0))))
        .set_up(set_up_three)
        .turns(THREE, listed(&[1, 2]))
        .of_its_own()
        .of_steps(30),
    Operation::new("change-set", |_, victim| {
        let new = text(victim.segment(), 9);
        changes(victim, move |list| list.get_mut(1).expect("there are three").set(new))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[0, 9, 2]))
    .of_its_own()
    .of_steps(30),
    Operation::new("change-retain", |_, victim| {
        changes(victim, |list| list.retain(|text| text.starts_with('1')))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[1]))
    .of_its_own()
    .of_steps(30),
    Operation::new("change-clear", |_, victim| changes(victim, |list| list.clear()))
        .set_up(set_up_three)
        .turns(THREE, listed(&[]))
        .of_its_own()
        .of_steps(30),
];

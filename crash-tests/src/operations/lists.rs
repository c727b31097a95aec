//! Lists behind locks: changed in each way that there is.

use super::shelf::{self, Counts, EMPTY, FULL, In, MARKED, changes_list, set, shelf, text};
use super::{Held, NOTHING, Operation, Things};
use crate::stage::Stage;
use anyhow::Result;
use sharena::collections::{StringMut, VecMut};
use std::mem::forget;

const fn of(list: u64) -> Counts {
    Counts { list, ..EMPTY }
}

/// A list of texts with these numbers.
const fn listed(numbers: &[u64]) -> Things {
    let (mut things, mut at) = (shelf(0), 0);
    while at < numbers.len() {
        things = things.and(In::List, at as u64, numbers[at]);
        at += 1;
    }
    things
}

const THREE: Things = set(of(3));

/// More than a text has room for.
const MARKS: u64 = 100;

fn set_up_three<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    shelf::set_up(stage, of(3))
}

fn set_up_full<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    shelf::set_up(stage, of(FULL as u64))
}

/// The second text is marked.
fn set_up_marked<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    let held = set_up_three(stage)?;
    shelf::mark_second(stage.segment())?;
    Ok(held)
}

const ALL: Counts = Counts { list: 3, tree: 3, table: 3, deque: 5, numbers: 5 };

fn know<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    shelf::know(stage.segment())?;
    Ok(Held::new())
}

fn set_up_open<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    shelf::set_up_open(stage, of(FULL as u64))
}

pub const OPERATIONS: &[Operation] = &[
    Operation::new("construct-guarded", |_, victim| shelf::constructs(victim, ALL))
        .set_up(know)
        .turns(NOTHING, set(ALL))
        .of_collections()
        .of_steps(40),
    Operation::new("construct-guarded-open", |_, victim| shelf::constructs_open(victim, ALL))
        .set_up(know)
        .turns(NOTHING, set(ALL))
        .of_collections()
        .of_steps(40),
    Operation::new("write-push", |_, victim| {
        let new = text(victim.segment(), 9);
        shelf::writes_list(victim, move |list| list.push(new))
    })
    .set_up(set_up_open)
    .turns(listed(&[0, 1, 2, 3]), listed(&[0, 1, 2, 3, 9]))
    .of_collections()
    .of_steps(30),
    Operation::new("write-remove", |_, victim| {
        shelf::writes_list(victim, |list| forget(list.remove(0)))
    })
    .set_up(set_up_open)
    .turns(listed(&[0, 1, 2, 3]), listed(&[1, 2, 3]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-push", |_, victim| {
        let new = text(victim.segment(), 9);
        changes_list(victim, move |list| list.push(new))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[0, 1, 2, 9]))
    .of_collections()
    .of_steps(12),
    Operation::new("change-push-grows", |_, victim| {
        let new = text(victim.segment(), 9);
        changes_list(victim, move |list| list.push(new))
    })
    .set_up(set_up_full)
    .turns(listed(&[0, 1, 2, 3]), listed(&[0, 1, 2, 3, 9]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-push-of-threads", |_, victim| {
        // Its part lies in a slab of a lane that no thread has any more.
        let segment = victim.segment();
        let new = std::thread::scope(|scope| {
            scope.spawn(|| text(segment, 9)).join().expect("there is room")
        });
        changes_list(victim, move |list| list.push(new))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[0, 1, 2, 9]))
    .of_collections()
    .of_steps(12),
    Operation::new("change-pop", |_, victim| {
        changes_list(victim, |list| forget(list.pop().expect("there are three")))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[0, 1]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-insert", |_, victim| {
        let new = text(victim.segment(), 9);
        changes_list(victim, move |list| list.insert(1, new))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[0, 9, 1, 2]))
    .of_collections()
    .of_steps(20),
    Operation::new("change-remove", |_, victim| {
        changes_list(victim, |list| forget(list.remove(0)))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[1, 2]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-swap-remove", |_, victim| {
        changes_list(victim, |list| forget(list.swap_remove(0)))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[2, 1]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-truncate", |_, victim| changes_list(victim, |list| list.truncate(1)))
        .set_up(set_up_three)
        .turns(THREE, listed(&[0]))
        .of_collections()
        .of_steps(30),
    Operation::new("change-reserve", |_, victim| {
        changes_list(victim, |list| list.try_reserve(9).expect("there is room"))
    })
    .set_up(set_up_three)
    .keeps(THREE)
    .of_collections()
    .of_steps(30),
    Operation::new("change-text-push", |_, victim| {
        changes_list(victim, |list| list.get_mut(1).expect("there are three").push('!'))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[0, 1 + MARKED, 2]))
    .of_collections()
    .of_steps(3),
    Operation::new("change-text-push-grows", |_, victim| {
        let marks = "!".repeat(MARKS as usize);
        changes_list(victim, move |list| {
            list.get_mut(1).expect("there are three").push_str(&marks);
        })
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[0, 1 + MARKS * MARKED, 2]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-text-pop", |_, victim| {
        changes_list(victim, |list| _ = list.get_mut(1).expect("there are three").pop())
    })
    .set_up(set_up_marked)
    .turns(listed(&[0, 1 + MARKED, 2]), THREE)
    .of_collections()
    .of_steps(3),
    Operation::new("change-set", |_, victim| {
        let new = text(victim.segment(), 9);
        changes_list(victim, move |list| list.get_mut(1).expect("there are three").set(new))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[0, 9, 2]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-retain", |_, victim| {
        changes_list(victim, |list| list.retain(|text| text.starts_with('1')))
    })
    .set_up(set_up_three)
    .turns(THREE, listed(&[1]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-clear", |_, victim| changes_list(victim, |list| list.clear()))
        .set_up(set_up_three)
        .turns(THREE, listed(&[]))
        .of_collections()
        .of_steps(30),
];

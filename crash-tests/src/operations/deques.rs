//! Deques behind locks: changed in each way that there is, where their elements come round the end of the
//! block.

use super::shelf::{
    self, AROUND, Counts, EMPTY, In, changes_deque, changes_numbers, set, shelf, text,
};
use super::{Held, Operation, Things};
use crate::stage::Stage;
use anyhow::Result;
use sharena::collections::VecDequeMut;
use std::mem::forget;

const fn of(deque: u64) -> Counts {
    Counts { deque, ..EMPTY }
}

/// A deque that has these numbers.
const fn having(place: In, all: &[u64]) -> Things {
    let (mut things, mut at) = (shelf(0), 0);
    while at < all.len() {
        things = things.and(place, at as u64, all[at]);
        at += 1;
    }
    things
}

/// One of texts with these numbers.
const fn texts(all: &[u64]) -> Things {
    having(In::Deque, all)
}

const fn numbers(all: &[u64]) -> Things {
    having(In::Numbers, all)
}

const SEVEN: Things = set(of(7));
const SEVEN_NUMBERS: Counts = Counts { numbers: 7, ..EMPTY };
const NUMBERS: Things = set(SEVEN_NUMBERS);

fn set_up_seven<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    shelf::set_up(stage, of(7))
}

fn set_up_full<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    shelf::set_up(stage, of(AROUND as u64))
}

fn set_up_numbers<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    shelf::set_up(stage, SEVEN_NUMBERS)
}

pub const OPERATIONS: &[Operation] = &[
    Operation::new("change-deque-push-back", |_, victim| {
        let new = text(victim.segment(), 9);
        changes_deque(victim, move |deque| deque.push_back(new))
    })
    .set_up(set_up_seven)
    .turns(SEVEN, texts(&[0, 1, 2, 3, 4, 5, 6, 9]))
    .of_collections()
    .of_steps(12),
    Operation::new("change-deque-push-front", |_, victim| {
        let new = text(victim.segment(), 9);
        changes_deque(victim, move |deque| deque.push_front(new))
    })
    .set_up(set_up_seven)
    .turns(SEVEN, texts(&[9, 0, 1, 2, 3, 4, 5, 6]))
    .of_collections()
    .of_steps(12),
    Operation::new("change-deque-push-back-grows", |_, victim| {
        let new = text(victim.segment(), 9);
        changes_deque(victim, move |deque| deque.push_back(new))
    })
    .set_up(set_up_full)
    .turns(texts(&[0, 1, 2, 3, 4, 5, 6, 7]), texts(&[0, 1, 2, 3, 4, 5, 6, 7, 9]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-deque-insert-grows", |_, victim| {
        let new = text(victim.segment(), 9);
        changes_deque(victim, move |deque| deque.insert(3, new))
    })
    .set_up(set_up_full)
    .turns(texts(&[0, 1, 2, 3, 4, 5, 6, 7]), texts(&[0, 1, 2, 9, 3, 4, 5, 6, 7]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-deque-reserve", |_, victim| {
        changes_deque(victim, |deque| deque.try_reserve(9).expect("there is room"))
    })
    .set_up(set_up_seven)
    .keeps(SEVEN)
    .of_collections()
    .of_steps(30),
    Operation::new("change-deque-pop-back", |_, victim| {
        changes_deque(victim, |deque| forget(deque.pop_back().expect("there are seven")))
    })
    .set_up(set_up_seven)
    .turns(SEVEN, texts(&[0, 1, 2, 3, 4, 5]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-deque-pop-front", |_, victim| {
        changes_deque(victim, |deque| forget(deque.pop_front().expect("there are seven")))
    })
    .set_up(set_up_seven)
    .turns(SEVEN, texts(&[1, 2, 3, 4, 5, 6]))
    .of_collections()
    .of_steps(30),
    // Those that move come to lie on both sides of the block's end.
    Operation::new("change-deque-insert", |_, victim| {
        let new = text(victim.segment(), 9);
        changes_deque(victim, move |deque| deque.insert(3, new))
    })
    .set_up(set_up_seven)
    .turns(SEVEN, texts(&[0, 1, 2, 9, 3, 4, 5, 6]))
    .of_collections()
    .of_steps(20),
    Operation::new("change-deque-insert-behind", |_, victim| {
        let new = text(victim.segment(), 9);
        changes_deque(victim, move |deque| deque.insert(5, new))
    })
    .set_up(set_up_seven)
    .turns(SEVEN, texts(&[0, 1, 2, 3, 4, 9, 5, 6]))
    .of_collections()
    .of_steps(20),
    Operation::new("change-deque-remove", |_, victim| {
        changes_deque(victim, |deque| forget(deque.remove(2).expect("there are seven")))
    })
    .set_up(set_up_seven)
    .turns(SEVEN, texts(&[0, 1, 3, 4, 5, 6]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-deque-remove-behind", |_, victim| {
        changes_deque(victim, |deque| forget(deque.remove(4).expect("there are seven")))
    })
    .set_up(set_up_seven)
    .turns(SEVEN, texts(&[0, 1, 2, 3, 5, 6]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-deque-set", |_, victim| {
        let new = text(victim.segment(), 9);
        changes_deque(victim, move |deque| deque.get_mut(1).expect("there are seven").set(new))
    })
    .set_up(set_up_seven)
    .turns(SEVEN, texts(&[0, 9, 2, 3, 4, 5, 6]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-deque-retain", |_, victim| {
        changes_deque(victim, |deque| deque.retain(|text| text.starts_with(['1', '4'])))
    })
    .set_up(set_up_seven)
    .turns(SEVEN, texts(&[1, 4]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-deque-truncate", |_, victim| {
        changes_deque(victim, |deque| deque.truncate(1))
    })
    .set_up(set_up_seven)
    .turns(SEVEN, texts(&[0]))
    .of_collections()
    .of_steps(30),
    Operation::new("change-deque-clear", |_, victim| changes_deque(victim, |deque| deque.clear()))
        .set_up(set_up_seven)
        .turns(SEVEN, texts(&[]))
        .of_collections()
        .of_steps(30),
    // By one store.
    Operation::new("change-deque-number-push-back", |_, victim| {
        changes_numbers(victim, |deque| deque.push_back(9))
    })
    .set_up(set_up_numbers)
    .turns(NUMBERS, numbers(&[0, 1, 2, 3, 4, 5, 6, 9]))
    .of_collections()
    .of_steps(3),
    Operation::new("change-deque-number-push-front", |_, victim| {
        changes_numbers(victim, |deque| deque.push_front(9))
    })
    .set_up(set_up_numbers)
    .turns(NUMBERS, numbers(&[9, 0, 1, 2, 3, 4, 5, 6]))
    .of_collections()
    .of_steps(3),
    Operation::new("change-deque-number-pop-back", |_, victim| {
        changes_numbers(victim, |deque| assert_eq!(deque.pop_back(), Some(6)))
    })
    .set_up(set_up_numbers)
    .turns(NUMBERS, numbers(&[0, 1, 2, 3, 4, 5]))
    .of_collections()
    .of_steps(3),
    Operation::new("change-deque-number-pop-front", |_, victim| {
        changes_numbers(victim, |deque| assert_eq!(deque.pop_front(), Some(0)))
    })
    .set_up(set_up_numbers)
    .turns(NUMBERS, numbers(&[1, 2, 3, 4, 5, 6]))
    .of_collections()
    .of_steps(3),
    Operation::new("change-deque-number-truncate", |_, victim| {
        changes_numbers(victim, |deque| deque.truncate(1))
    })
    .set_up(set_up_numbers)
    .turns(NUMBERS, numbers(&[0]))
    .of_collections()
    .of_steps(3),
    // By a change.
    Operation::new("change-deque-number-insert", |_, victim| {
        changes_numbers(victim, |deque| deque.insert(3, 9))
    })
    .set_up(set_up_numbers)
    .turns(NUMBERS, numbers(&[0, 1, 2, 9, 3, 4, 5, 6]))
    .of_collections()
    .of_steps(12),
    Operation::new("change-deque-number-remove", |_, victim| {
        changes_numbers(victim, |deque| assert_eq!(deque.remove(2), Some(2)))
    })
    .set_up(set_up_numbers)
    .turns(NUMBERS, numbers(&[0, 1, 3, 4, 5, 6]))
    .of_collections()
    .of_steps(12),
    Operation::new("change-deque-number-retain", |_, victim| {
        changes_numbers(victim, |deque| deque.retain(|number| number % 3 == 1))
    })
    .set_up(set_up_numbers)
    .turns(NUMBERS, numbers(&[1, 4]))
    .of_collections()
    .of_steps(12),
];

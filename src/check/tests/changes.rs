//! Laws: the draft of a dead process says what can be made, and what is to fall then does.

use super::*;
use crate::collections::{String, Vec, VecMut};
use crate::lock::word::Who;
use crate::lock::{Cause, Mutex, TryLockError};
use crate::names::entry::{Key, Space};
use crate::shareable::Shareable;
use crate::trace::change::{Draft, Grave};
use crate::word::{Tag, Word};
use std::time::{Duration, Instant};

type List = Mutex<Vec<String>>;

/// A segment with a list of two texts behind a lock, and a draft that takes one out.
struct Changing {
    busy: Busy,
    list: u64,
    lock: u64,
    /// The blocks of the text that stays, and of the one that goes.
    kept: u64,
    grave: u64,
    draft: u64,
}

fn changing() -> Changing {
    let busy = busy();
    let list = busy.segment.construct::<List>("list", Mutex::new(Vec::new())).unwrap();
    let text = |i| String::from_in(&format!("text {i} with a block"), &busy.segment);
    let mut guard = list.lock().unwrap();
    guard.extend((0..3).map(text));
    assert!(guard.pop().is_some(), "the type of graves is known then");
    drop(guard);
    drop(list);
    let object = busy.object("list");
    let lock = object + 16;
    let leads = |at| Word::from_bits(busy.word_at(at).load(Relaxed)).offset();
    let words = leads(lock + 8);
    let (kept, grave) = (leads(words), leads(words + 24));
    let mut draft = Draft::default();
    draft.write(lock + 16, [1]);
    draft.graves.push(grave);
    let block = raw(&busy.segment, draft.bytes());
    let tag = Tag::of_header(busy.arena().header().tag);
    draft.put(busy.arena(), busy.parked, tag, block);
    Changing { list: object, lock, kept, grave, draft: block, busy }
}

/// Whether check takes it for damage that somebody died with this change begun.
fn is_damage(it: &Changing, more: &[Plant<'_>]) -> bool {
    let Changing { busy, lock, draft, list, .. } = it;
    let held = [
        set(&busy.arena().lane(busy.parked).hazards[1], *list),
        set_byte(busy.state(*draft), State::Private as u8),
    ];
    held.iter().for_each(|plant| (plant.apply)());
    let is = journals::is_damage(busy, Intent::Change { lock: *lock, draft: *draft }, more);
    held.iter().for_each(|plant| (plant.undo)());
    is
}

#[test]
fn a_draft_says_what_can_be_made_and_falls_then() {
    let it = changing();
    let (busy, draft) = (&it.busy, it.draft);
    assert!(!is_damage(&it, &[]));
    for other in [it.lock + 8, it.list + 8, it.kept] {
        let it = Changing { lock: other, ..changing() };
        assert!(is_damage(&it, &[]), "no lock is at {other:#x}");
    }
    let life = |change: fn(Life) -> Life| is_damage(&it, &[busy.life(draft, change)]);
    assert!(life(|life| Life { is_falling: false, ..life }), "nobody lets it fall");
    assert!(life(|life| Life { retired_by: LaneId(0), ..life }), "another does");
    assert!(life(|life| Life { has_parts: false, ..life }), "it has no graves");
    let kind = set(busy.word_at(draft + 8), u64::FINGERPRINT);
    assert!(is_damage(&it, &[kind]), "its values are no graves");
    for state in [State::Raw, State::Private, State::Limbo] {
        let grave = set_byte(busy.state(it.grave), state as u8);
        assert!(is_damage(&it, &[grave]), "a grave is {state:?}");
    }
    // Behind one grave: how many new blocks and runs of words, where they go, how many, and which.
    let counts = set(busy.word_at(draft + 24), 1 << 32 | 1);
    let moved = |new| {
        let words = [new, it.lock + 16, 1, 1].into_iter().enumerate();
        let words = words.map(|(i, word)| (busy.word_at(draft + 32 + 8 * i as u64), word));
        words.filter(|(at, word)| at.load(Relaxed) != *word).map(|(at, word)| set(at, word))
    };
    let with_new = |new| is_damage(&it, &moved(new).collect::<std::vec::Vec<_>>());
    (counts.apply)();
    assert!(with_new(busy.raw_block), "a new block that does not hang on the value");
    assert!(with_new(draft), "the draft itself");
    assert!(!with_new(it.kept), "one that hangs there");
    (counts.undo)();
    let place = |at| is_damage(&it, &[set(busy.word_at(draft + 32), at)]);
    assert!(place(it.list), "a word before the value");
    assert!(place(busy.unnamed + 16), "a word of another object");
    assert!(place(it.lock + 12), "a word that is none");
    assert!(place(it.lock), "the lock's own");
    assert!(!place(it.lock + 24), "another word of the value");
    let len = set(busy.word_at(draft + 48), 2);
    assert!(is_damage(&it, &[len]), "what is buried still hangs on the value");
    let word = set(busy.word_at(draft + 16), it.grave + 16);
    assert!(is_damage(&it, &[word]), "a grave is no block of this segment");
}

#[test]
fn a_draft_whose_type_has_no_map_does_not_fall() {
    let it = changing();
    let name = Grave::FINGERPRINT.to_le_bytes();
    let map = |names: Names<'_>| {
        let key = Key::new(names.heap.arena, Space::Maps, &name);
        let pinned = names.find(&key).unwrap().unwrap();
        names.unpin(pinned.hazard);
        Ok(pinned.object)
    };
    let map = it.busy.segment.with_names(map).unwrap();
    assert!(is_damage(&it, &[set(it.busy.word_at(map + 16), 77)]));
}

/// A dead process had begun the change that the draft says, and died with another list's lock.
fn with_dead_holder(it: &Changing) -> std::vec::Vec<Plant<'_>> {
    let busy = &it.busy;
    let other = busy.segment.construct::<List>("other", Mutex::new(Vec::new())).unwrap();
    drop(other);
    let (lock, draft) = (it.lock, it.draft);
    let journal = &busy.arena().lane(busy.parked).journal;
    let tenure = ParticipantId(1).since(1);
    let plants = vec![
        set(busy.participant(1), ParticipantWord::Dead { counter: 1 }.word()),
        set(busy.owner(busy.parked), LaneOwner::Active(tenure).word()),
        set(busy.word_at(busy.object("other") + 16), Who::of(tenure).0),
        Plant {
            apply: Box::new(move || journal.open(Intent::Change { lock, draft })),
            undo: Box::new(|| journal.close()),
        },
    ];
    plants.iter().for_each(|plant| (plant.apply)());
    plants
}

/// What trying to take the other lock gives. (On this thread: another would take the idle lane for itself,
/// which is the dead one's here.)
fn tried(segment: &Segment, duration: Option<Duration>) -> Option<Cause> {
    let other = segment.find::<List>("other").unwrap().unwrap();
    let guard = match duration {
        None => other.try_lock(),
        Some(duration) => other.try_lock_for(duration),
    };
    match guard {
        Ok(_) => panic!("a process died with it"),
        Err(TryLockError::Poisoned(poison)) => Some(poison.cause()),
        Err(TryLockError::WouldBlock) => None,
    }
}

#[test]
fn a_change_that_cannot_be_made_keeps_nobody() {
    // The draft is memory of no type, as only damage leaves it.
    let it = changing();
    let plants = with_dead_holder(&it);
    assert_eq!(tried(&it.busy.segment, None), Some(Cause::OwnerDied));
    plants.iter().for_each(|plant| (plant.undo)());
}

#[test]
fn who_only_tries_waits_for_nobody_at_a_change() {
    let it = changing();
    let list = it.busy.segment.find::<List>("list").unwrap().unwrap();
    let guard = list.lock().unwrap();
    let plants = with_dead_holder(&it);
    let begin = Instant::now();
    assert_eq!(tried(&it.busy.segment, None), None);
    assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
    assert_eq!(tried(&it.busy.segment, Some(Duration::from_millis(100))), None);
    let both = begin.elapsed();
    assert!((100..900).contains(&both.as_millis()), "{both:?}");
    drop(guard);
    assert_eq!(tried(&it.busy.segment, None), Some(Cause::OwnerDied), "the news was kept");
    plants.iter().for_each(|plant| (plant.undo)());
}

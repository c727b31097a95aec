//! Values that several own: shared, shared once more, hung on a list behind a lock and taken off it, let go.

use super::shelf::{In, marks};
use super::{Act, Held, NOTHING, Operation, Things, enter, named, warm_up};
use crate::stage::{Stage, Victim};
use anyhow::{Context, Result, ensure};
use sharena::collections::{Arc, String, Vec, VecMut, Weak};
use sharena::lock::{Mutex, PoisonError};
use sharena::{Segment, Shareable};
use std::collections::HashSet;
use std::mem::forget;

/// The name of a list of handles.
pub const MADE_SHARERS: &str = "made-sharers";

/// What it is.
pub type Sharers = Mutex<Sharing>;

#[derive(Shareable)]
pub struct Sharing {
    handles: Vec<Arc<Leaf>>,
    weak: Weak<Leaf>,
}

#[derive(Shareable)]
pub struct Leaf {
    number: u64,
    text: String,
}

fn leaf(segment: &Segment, number: u64) -> Arc<Leaf> {
    let text = String::from_in(&format!("the leaf of number {number}"), segment);
    Arc::new_in(Leaf { number, text }, segment)
}

/// A list of which these are the numbers, in order.
const fn sharers(from: u64, to: u64) -> Things {
    Things { digest: marks(In::List, from, to), ..named(1) }
}

/// What hangs on the list, told by one number. Each handle is counted, and nothing else is.
pub fn digest_of(segment: &Segment) -> Result<u64> {
    let found = segment.find::<Sharers>(MADE_SHARERS)?.context("it was listed")?;
    let sharing = found.lock().unwrap_or_else(PoisonError::into_inner);
    let mut digest = 0u64;
    for (at, handle) in sharing.handles.iter().enumerate() {
        let is_whole = handle.text == format!("the leaf of number {}", handle.number).as_str();
        ensure!(is_whole, "the text of leaf {} is {:?}", handle.number, handle.text);
        let there = sharing.handles.iter().filter(|it| Arc::ptr_eq(it, handle)).count();
        let counted = Arc::strong_count(handle);
        ensure!(counted == there, "leaf {} counts {counted} handles, not {there}", handle.number);
        // A leaf that stands there a second time has its place for a number.
        let number = if there == 1 { handle.number } else { at as u64 };
        digest = digest.wrapping_add(super::shelf::mark(In::List, at as u64, number));
    }
    if let Some(kept) = sharing.weak.try_upgrade()? {
        ensure!(sharing.handles.iter().any(|it| Arc::ptr_eq(it, &kept)), "nothing keeps it");
    }
    let values: HashSet<_> = sharing.handles.iter().map(Arc::as_ptr).collect();
    let there = segment.check()?.looked.shared;
    ensure!(there == values.len() as u64, "there are {there} values, not {}", values.len());
    drop(sharing);
    found.clear_poison();
    Ok(digest)
}

fn construct(segment: &Segment, count: u64) -> Result<()> {
    let mut handles = Vec::with_capacity_in(4, segment);
    handles.extend((0..count).map(|number| leaf(segment, number)));
    let weak = handles.iter().next().map_or(Weak::new(), Arc::downgrade);
    drop(segment.construct::<Sharers>(MADE_SHARERS, Mutex::new(Sharing { handles, weak }))?);
    Ok(())
}

/// Has the trace maps that all this needs stand in the segment.
pub fn know(segment: &Segment) -> Result<()> {
    construct(segment, 1)?;
    let found = segment.find::<Sharers>(MADE_SHARERS)?.context("it was just constructed")?;
    let mut guard = found.lock().unwrap_or_else(PoisonError::into_inner);
    guard.as_mut().part(|it| &it.handles).clear();
    drop(guard);
    drop(found);
    ensure!(segment.destroy::<Sharers>(MADE_SHARERS)?, "it was just constructed");
    Ok(())
}

fn set_up<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    know(stage.segment())?;
    construct(stage.segment(), 3)?;
    Ok(Held::new())
}

/// The lane has blocks at hand, and knows the types.
fn ready(segment: &Segment) {
    warm_up(segment);
    enter(segment);
    drop(leaf(segment, 0));
}

/// The victim does something with the list, and gives the lock back.
fn uses<'s>(
    victim: &'s Victim<'_>,
    act: impl FnOnce(&Segment, &mut sharena::lock::Mut<'_, Vec<Arc<Leaf>>>) + 's,
) -> Act<'s> {
    let segment = victim.segment();
    ready(segment);
    let found = segment.find::<Sharers>(MADE_SHARERS).expect("whole").expect("it is there");
    Box::new(move || {
        let mut guard = found.lock().expect("nobody died");
        act(segment, &mut guard.as_mut().part(|it| &it.handles));
        drop(guard);
        forget(found);
    })
}

/// The same, with a handle of the victim's own to the leaf at that place.
fn with_own<'s>(
    victim: &'s Victim<'_>,
    at: usize,
    act: impl FnOnce(Arc<Leaf>, &mut sharena::lock::Mut<'_, Vec<Arc<Leaf>>>) + 's,
) -> Act<'s> {
    let segment = victim.segment();
    ready(segment);
    let found = segment.find::<Sharers>(MADE_SHARERS).expect("whole").expect("it is there");
    let own = found.lock().expect("nobody died").handles[at].clone();
    forget(found);
    uses(victim, move |_, handles| act(own, handles))
}

/// The victim takes the list from one who died, and leaves nothing on it.
pub fn take<'s>(_: &'s Stage<'_>, victim: &'s Victim<'_>) -> Act<'s> {
    let segment = victim.segment();
    enter(segment);
    let found = segment.find::<Sharers>(MADE_SHARERS).expect("whole");
    Box::new(move || {
        if let Some(found) = found {
            let mut guard = found.lock().unwrap_or_else(PoisonError::into_inner);
            guard.as_mut().part(|it| &it.handles).clear();
            drop(guard);
            forget(found);
        }
    })
}

/// What [`take`] leaves.
pub const TAKEN: Things = sharers(0, 0);

const THREE: Things = sharers(0, 3);

pub const OPERATIONS: &[Operation] = &[
    Operation::new("arc-share", |_, victim| {
        let segment = victim.segment();
        ready(segment);
        Box::new(|| forget(leaf(segment, 7)))
    })
    .set_up(|stage| {
        know(stage.segment())?;
        Ok(Held::new())
    })
    .of_collections()
    .of_steps(12),
    Operation::new("arc-share-and-drop", |_, victim| {
        let segment = victim.segment();
        ready(segment);
        Box::new(|| drop(leaf(segment, 7)))
    })
    .set_up(|stage| {
        know(stage.segment())?;
        Ok(Held::new())
    })
    .of_collections()
    .of_steps(30),
    Operation::new("arc-clone", |_, victim| uses(victim, |_, handles| forget(handles[1].clone())))
        .set_up(set_up)
        .keeps(THREE)
        .of_collections()
        .of_steps(8),
    Operation::new("arc-clone-and-drop", |_, victim| {
        uses(victim, |_, handles| drop(handles[1].clone()))
    })
    .set_up(set_up)
    .keeps(THREE)
    .of_collections()
    .of_steps(14),
    Operation::new("arc-upgrade", |_, victim| {
        let segment = victim.segment();
        ready(segment);
        let found = segment.find::<Sharers>(MADE_SHARERS).expect("whole").expect("it is there");
        let weak = found.lock().expect("nobody died").weak.clone();
        forget(found);
        Box::new(move || forget(weak.try_upgrade().expect("there is room").expect("it is kept")))
    })
    .set_up(set_up)
    .keeps(THREE)
    .of_collections()
    .of_steps(8),
    // The last handle, which nothing published has.
    Operation::new("arc-drop-last", |_, victim| {
        let segment = victim.segment();
        ready(segment);
        let found = segment.find::<Sharers>(MADE_SHARERS).expect("whole").expect("it is there");
        let mut guard = found.lock().expect("nobody died");
        let own = guard.as_mut().part(|it| &it.handles).pop().expect("there are three");
        drop(guard);
        forget(found);
        Box::new(move || drop(own))
    })
    .set_up(set_up)
    .keeps(sharers(0, 2))
    .of_collections()
    .of_steps(20),
    Operation::new("arc-push", |_, victim| {
        let own = leaf(victim.segment(), 3);
        uses(victim, move |_, handles| handles.push(own))
    })
    .set_up(set_up)
    .turns(THREE, sharers(0, 4))
    .of_collections()
    .of_steps(12),
    Operation::new("arc-push-again", |_, victim| {
        with_own(victim, 2, |own, handles| handles.push(own))
    })
    .set_up(|stage| {
        know(stage.segment())?;
        construct(stage.segment(), 3)?;
        Ok(Held::new())
    })
    // Two of them share leaf 2: each counts as its place.
    .turns(THREE, sharers(0, 4))
    .of_collections()
    .of_steps(12),
    Operation::new("arc-pop", |_, victim| {
        uses(victim, |_, handles| forget(handles.pop().expect("there are three")))
    })
    .set_up(set_up)
    .turns(THREE, sharers(0, 2))
    .of_collections()
    .of_steps(40),
    Operation::new("arc-truncate-last", |_, victim| uses(victim, |_, handles| handles.truncate(1)))
        .set_up(set_up)
        .turns(THREE, sharers(0, 1))
        .of_collections()
        .of_steps(60),
    Operation::new("arc-truncate-kept", |_, victim| {
        with_own(victim, 2, |own, handles| {
            handles.truncate(2);
            forget(own);
        })
    })
    .set_up(set_up)
    .turns(THREE, sharers(0, 2))
    .of_collections()
    .of_steps(30),
    Operation::new("arc-construct", |_, victim| {
        let segment = victim.segment();
        ready(segment);
        let mut handles = Vec::with_capacity_in(4, segment);
        handles.extend((0..3).map(|number| leaf(segment, number)));
        let weak = Arc::downgrade(&handles[0]);
        Box::new(move || {
            let sharing = Mutex::new(Sharing { handles, weak });
            forget(segment.construct::<Sharers>(MADE_SHARERS, sharing).expect("there is room"));
        })
    })
    .set_up(|stage| {
        know(stage.segment())?;
        Ok(Held::new())
    })
    .turns(NOTHING, THREE)
    .of_collections()
    .of_steps(20),
    Operation::new("arc-destroy", |_, victim| {
        let segment = victim.segment();
        ready(segment);
        Box::new(|| assert!(segment.destroy::<Sharers>(MADE_SHARERS).expect("whole")))
    })
    .set_up(set_up)
    .turns(THREE, NOTHING)
    .of_collections()
    .of_steps(80),
];

//! What a lock guards when its object is published: how it comes to be marked.
//!
//! From the link on others can take a lock in the object, and change what hangs on its value. So nobody gets
//! there before all of that is marked: whoever constructs holds the locks, **fresh** ones, from before the
//! link on.
//!
//! ```text
//! before c3   each lock that guards something with blocks: word := me | FRESH     (nobody sees it yet)
//! c3 to c6    as for any object
//! behind c6   each of them: word := its poison; wake all
//! ```
//!
//! Dead before c4: all is PRIVATE. Dead after it: the lock says FRESH, and has a dead owner. Whoever takes it
//! from that one, to use it or to recover, marks what is PRIVATE there and then takes the flag back; another
//! does so again if he dies. While the flag stands nobody has been at the value, so that there is no news of the
//! death. Until a recovery has seen no such lock in what the dead had linked, nothing of the dead is swept.
//!
//! Locks behind a lock are reached through that one alone, and are not taken.

use super::change::{Hanging, Helper, Remade, lane_of, lock_at, tenure_of};
use super::map::Map;
use super::walk::{AtLock, Fault, Guarded, Limb, Tree, Walker};
use crate::arena::Arena;
use crate::heap::unit::State;
use crate::heap::{Heap, Place, locate, state_of};
use crate::lock::party::Party;
use crate::lock::raw::RawMutex;
use crate::lock::word::Who;
use crate::names::entry::ObjectHeader;
use crate::names::{Names, Refused};
use crate::process::participant::Tenure;
use crate::sync::Relaxed;

/// What hangs on a value that safe code of this process made and has alone.
#[derive(Default)]
pub struct Own {
    /// Its parts, all PRIVATE.
    pub parts: Vec<u64>,
    /// Where the locks are that guard some of them, and lie behind no other lock.
    pub locks: Vec<u64>,
}

impl Own {
    /// Of the values of a tree.
    pub fn of(tree: &Tree<'_>) -> Result<Own, Fault> {
        let mut outside = Outside::default();
        tree.walk(&mut outside)?;
        let Outside { mut parts, guards } = outside;
        let mut locks = Vec::new();
        for guarded in guards {
            let before = parts.len();
            tree.walk_inside(guarded, &mut Hanging { state: State::Private, parts: &mut parts })?;
            locks.extend((parts.len() > before).then_some(guarded.lock));
        }
        Ok(Own { parts, locks })
    }

    /// Takes the locks, which nobody else can see yet.
    pub fn take(&self, arena: &Arena, me: Who) {
        self.each_lock(arena, |lock| lock.take_fresh(me));
    }

    /// Gives them back: all that hangs behind them is marked.
    pub fn give(&self, arena: &Arena, me: Who) {
        self.each_lock(arena, |lock| lock.unlock_for_all(me, true));
    }

    fn each_lock(&self, arena: &Arena, act: impl Fn(&RawMutex)) {
        let words = self.locks.iter().filter_map(|lock| arena.word(*lock));
        words.map(RawMutex::of_word).for_each(act);
    }
}

/// Lists parts that are this process' own, and the locks that it comes by.
#[derive(Default)]
struct Outside {
    parts: Vec<u64>,
    guards: Vec<Guarded>,
}

impl Walker for Outside {
    fn accepts(&self, state: Option<State>, _: &Place) -> bool {
        state == Some(State::Private)
    }
    fn enter(&mut self, limb: Limb) -> Result<(), Fault> {
        self.parts.push(limb.word.offset());
        Ok(())
    }
    fn trusts(&self) -> bool {
        true
    }
    fn at_lock(&mut self, guarded: Guarded) -> AtLock {
        self.guards.push(guarded);
        AtLock::Skip
    }
}

/// Marks what hangs on a value behind a fresh lock, which the caller has taken from the dead; false: the
/// value is damaged, or the lock not the caller's.
pub fn mark_value(
    arena: &Arena,
    map: &Map,
    lock: &RawMutex,
    value: u64,
    party: &impl Party,
) -> bool {
    let tree = Tree { arena, map, at: value, count: 1, changes: None };
    let is_marked = tree.walk(&mut Mark { arena, party, dead: None }).is_ok();
    if is_marked {
        lock.set_marked();
    }
    is_marked
}

/// Makes parts of the blocks of the dead.
struct Mark<'a, P> {
    arena: &'a Arena,
    party: &'a P,
    /// Who was found dead last.
    dead: Option<Tenure>,
}

impl<P: Party> Walker for Mark<'_, P> {
    fn accepts(&self, state: Option<State>, _: &Place) -> bool {
        matches!(state, Some(State::Private | State::Part))
    }
    fn enter(&mut self, limb: Limb) -> Result<(), Fault> {
        let place = locate(self.arena, limb.word.offset()).ok_or(Fault::Moved)?;
        if state_of(self.arena, &place) != Some(State::Private) {
            return Ok(());
        }
        // A damaged segment may say that of a block of the living.
        let tenure = lane_of(&place).and_then(|lane| tenure_of(self.arena, lane));
        let is_dead =
            |tenure| self.dead == Some(tenure) || self.party.is_dead(Who::of(tenure), true);
        self.dead = tenure.filter(|tenure| is_dead(*tenure));
        if self.dead.is_none() {
            return Err(Fault::Damaged("a fresh lock guards what is private to the living"));
        }
        // Release: it is filled, as the link said. Nobody sweeps before the lock's flag is taken back.
        Heap::set_state(self.arena, limb.word.offset(), State::Part);
        Ok(())
    }
    fn at_lock(&mut self, _: Guarded) -> AtLock {
        AtLock::Enter
    }
}

/// Lists the locks of a published object.
#[derive(Default)]
struct Guards(Vec<Guarded>);

impl Walker for Guards {
    fn accepts(&self, state: Option<State>, _: &Place) -> bool {
        matches!(state, Some(State::Private | State::Part))
    }
    fn enter(&mut self, _: Limb) -> Result<(), Fault> {
        Ok(())
    }
    fn at_lock(&mut self, guarded: Guarded) -> AtLock {
        self.0.push(guarded);
        AtLock::Skip
    }
}

/// Marks what hangs behind the fresh locks of an object that a dead process had linked, and frees them.
///
/// The caller has pinned the object, and looked again at the journal since.
pub fn mark_object(names: &Names<'_>, object: u64) -> Result<Remade, Refused> {
    let arena = names.heap.arena;
    let header = ObjectHeader::at(arena, object).filter(|header| header.life().has_parts);
    let Some(header) = header else { return Ok(Remade::Nothing) };
    let map = names.map_of(header.fingerprint.load(Relaxed))?.filter(Map::has_locks);
    let tree = map.as_ref().and_then(|map| Tree::of(arena, map, object));
    let me = tenure_of(arena, names.heap.lane.id()).map(Who::of);
    let (Some(tree), Some(me)) = (tree, me) else { return Ok(Remade::Nothing) };
    let mut guards = Guards::default();
    let _ = tree.walk(&mut guards); // of a damaged object those that it comes to
    let helper = Helper { arena, me };
    let mut done = Remade::Nothing;
    for guarded in guards.0 {
        // Not by the word that the walk saw: if it is fresh no more, what was marked must be seen by who sweeps.
        let Some(lock) = lock_at(arena, guarded.lock).filter(|lock| lock.is_fresh()) else {
            continue;
        };
        if lock.try_lock(&helper).is_err() {
            // Who has it marks before all else.
            if lock.is_fresh() {
                return Ok(Remade::ByAnother);
            }
            continue;
        }
        let is_marked = !lock.is_fresh()
            || tree.walk_inside(guarded, &mut Mark { arena, party: &helper, dead: None }).is_ok();
        lock.unlock_for_all(me, is_marked);
        done = Remade::Done;
    }
    Ok(done)
}

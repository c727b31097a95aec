//! A destroyed object with parts: how they go. See [`trace`](super).

use super::lease::{Left, is_lease};
use super::map::Map;
use super::walk::{AtLock, Fault, Guarded, Led, Limb, Tree, Walker};
use crate::heap::unit::{LaneId, State, Unit, UnitIndex};
use crate::heap::{self, Place, PlaceKind};
use crate::names::entry::{Life, ObjectHeader};
use crate::names::{Names, Refused};
use crate::process::journal::Intent;
use crate::process::pin::{HazardIndex, REAPER, has_readers};
use crate::sync::{AcqRel, Acquire, Relaxed, Release};
use crate::word::Word;

/// Lets the destroyed object at `object` fall, if one is there and nobody looks at it any more; whether
/// it did.
///
/// The lane's journal is closed. Lock-free. Dead inside: recovery goes on.
pub fn reap(names: &Names<'_>, object: u64) -> Result<bool, Refused> {
    let mut last = Vec::new();
    let fell = reap_one(names, object, &mut last)?;
    reap_last(names, last)?;
    Ok(fell)
}

/// Lets the objects fall whose last leases fell, and those whose last leases fall with them.
pub fn reap_last(names: &Names<'_>, mut last: Vec<u64>) -> Result<(), Refused> {
    while let Some(object) = last.pop() {
        reap_one(names, object, &mut last)?;
    }
    Ok(())
}

fn reap_one(names: &Names<'_>, object: u64, last: &mut Vec<u64>) -> Result<bool, Refused> {
    // f1. Behind the pin's fence: while it is DOOMED there, it cannot be taken until we let go.
    let pin = names.pinned(object | REAPER)?;
    let done = reap_pinned(names, object, last);
    names.unpin(pin);
    if done == Ok(true) {
        give_run_back(names, object);
    }
    done
}

fn reap_pinned(names: &Names<'_>, object: u64, last: &mut Vec<u64>) -> Result<bool, Refused> {
    let arena = names.heap.arena;
    if !is_in(names, object, State::Doomed) || has_readers(arena, object) {
        return Ok(false);
    }
    let Some(header) = ObjectHeader::at(arena, object) else { return Ok(false) };
    let found = header.life();
    if found.is_whole() || found.is_falling {
        return Ok(false); // another lets it fall
    }
    let Some(map) = names.map_of(header.fingerprint.load(Relaxed))? else { return Ok(false) };
    let spare = names.pinned(0)?;
    // f2, f3.
    let journal = &names.record().journal;
    journal.open(Intent::Fall { object, word_at: 0, part: 0 });
    let falling = Life { is_falling: true, retired_by: names.heap.lane.id(), ..found };
    let won = header.life.compare_exchange(found.word(), falling.word(), AcqRel, Acquire).is_ok();
    let fell =
        won && Tree::of(arena, &map, object).is_some_and(|tree| fall(names, tree, spare, last));
    if won {
        settle(names, object, header, falling, fell);
    }
    journal.close();
    names.unpin(spare);
    Ok(fell)
}

/// Lets a draft fall of which the lane's journal says so, and its life that this lane is at it; `map`: that
/// of graves. The caller has pinned it as a reaper. The objects whose last leases were among the graves come to
/// be in `last`.
pub fn fall_of_draft(
    names: &Names<'_>,
    map: Option<&Map>,
    draft: u64,
    spare: HazardIndex,
    last: &mut Vec<u64>,
) {
    let arena = names.heap.arena;
    let Some(header) = ObjectHeader::at(arena, draft) else { return };
    let tree = map.and_then(|map| Tree::of(arena, map, draft));
    let fell = tree.is_some_and(|tree| fall(names, tree, spare, last));
    settle(names, draft, header, header.life(), fell);
    give_run_back(names, draft);
}

/// f5; or, where the tree is damaged, what of it is left stays as it is, for another try.
fn settle(names: &Names<'_>, object: u64, header: &ObjectHeader, falling: Life, fell: bool) {
    if fell {
        names.heap.retire_from(object, State::Doomed);
    } else {
        let retired = Life { is_falling: false, ..falling };
        header.life.store(retired.word(), Release);
    }
}

fn is_in(names: &Names<'_>, block: u64, state: State) -> bool {
    let place = heap::locate(names.heap.arena, block).filter(|place| place.start == block);
    place.and_then(|place| heap::state_of(names.heap.arena, &place)) == Some(state)
}

/// An object that is a run goes at once where nobody has it pinned.
fn give_run_back(names: &Names<'_>, object: u64) {
    let unit = names.heap.arena.unit(UnitIndex::containing(object));
    if matches!(unit, Some(Unit::Run { .. })) {
        names.heap.release_limbo_runs();
    }
}

/// f4; false: the tree is damaged.
fn fall(names: &Names<'_>, tree: Tree<'_>, spare: HazardIndex, last: &mut Vec<u64>) -> bool {
    let mut fall = Fall { names, spare, has_runs: false, last };
    let walked = tree.walk(&mut fall);
    if fall.has_runs {
        names.heap.lane.pins.repin(names.record(), spare, 0);
        names.heap.release_limbo_runs();
    }
    walked.is_ok()
}

struct Fall<'a, 'n> {
    names: &'a Names<'n>,
    spare: HazardIndex,
    has_runs: bool,
    /// Objects whose last leases went with it.
    last: &'a mut Vec<u64>,
}

impl Walker for Fall<'_, '_> {
    fn accepts(&self, state: Option<State>, _: &Place) -> bool {
        state == Some(State::Part)
    }

    fn enter(&mut self, _: Limb) -> Result<(), Fault> {
        Ok(())
    }

    fn leave(&mut self, limb: Limb) -> Result<(), Fault> {
        let Names { heap } = self.names;
        let (record, part) = (self.names.record(), limb.word.offset());
        let word = heap.arena.word(limb.word_at).ok_or(Fault::Damaged("a word is not aligned"))?;
        // Pinned before it may be LIMBO: it is not taken until the journal is past it.
        heap.lane.pins.repin(record, self.spare, part);
        record.journal.at(limb.word_at, part);
        if is_lease(heap.arena, part) {
            self.last.extend(self.names.give_up(part));
        }
        word.store(0, Release);
        heap.retire_from(part, State::Part);
        record.journal.at(0, 0);
        let unit = heap.arena.unit(UnitIndex::containing(part));
        self.has_runs |= matches!(unit, Some(Unit::Run { .. }));
        Ok(())
    }

    fn at_object(&mut self, Led { word_at, object }: Led) -> Result<(), Fault> {
        if object == 0 {
            return Ok(());
        }
        let Names { heap } = self.names;
        let record = self.names.record();
        let word = heap.arena.word(word_at).ok_or(Fault::Damaged("a word is not aligned"))?;
        // Pinned before it may be LIMBO: as a part.
        heap.lane.pins.repin(record, self.spare, object);
        record.journal.at(word_at, object);
        self.last.extend(retire_led(self.names, object));
        word.store(0, Release);
        record.journal.at(0, 0);
        // Of a damaged segment it may be anything.
        let place = heap::locate(heap.arena, object);
        self.has_runs |= place.is_some_and(|place| matches!(place.kind, PlaceKind::Run(..)));
        Ok(())
    }

    fn resumes(&self) -> bool {
        true
    }

    fn at_lock(&mut self, _: Guarded) -> AtLock {
        AtLock::Enter // nobody reaches the object any more, so nobody holds a lock in it
    }
}

/// Destroys an object to which only a word leads that goes; the caller has it pinned, if it is there. The
/// object, if it has parts: to be let fall.
///
/// May be done twice: who goes on with a fall of the dead does so for what the journal names.
fn retire_led(names: &Names<'_>, object: u64) -> Option<u64> {
    let arena = names.heap.arena;
    if is_in(names, object, State::Published) {
        let header = ObjectHeader::at(arena, object)?;
        let life = header.life();
        // Of a damaged segment it may be anything: what others come by is not taken from them.
        if !life.named || life.counted {
            return None;
        }
        if life.is_whole() {
            let retired = Life { retired_by: names.heap.lane.id(), ..life };
            let _ = header.life.compare_exchange(life.word(), retired.word(), AcqRel, Acquire);
        }
        names.leave(object, life);
    }
    is_in(names, object, State::Doomed).then_some(object)
}

/// Goes on with what the dead lane `of` was letting fall; whether there was something to do.
///
/// The caller has pinned `object`, `part` and looked again at the journal since.
pub fn take_over(
    names: &Names<'_>,
    of: LaneId,
    object: u64,
    word_at: u64,
    part: u64,
) -> Result<bool, Refused> {
    let arena = names.heap.arena;
    let Some(header) = ObjectHeader::at(arena, object) else { return Ok(false) };
    let found = header.life();
    // Not of the dead: it died before f3, or a helper was quicker.
    if !found.is_falling || found.retired_by != of {
        return Ok(false);
    }
    let Some(map) = names.map_of(header.fingerprint.load(Relaxed))? else { return Ok(false) };
    // What it had begun with a lease is known as long as its life names it.
    let left = names.left_by(of)?.filter(|left| left.lease() == part);
    let spare = names.pinned(part)?;
    left.iter().for_each(|left| names.carry(left));
    let journal = &names.record().journal;
    journal.open(Intent::Fall { object, word_at, part });
    let falling = Life { retired_by: names.heap.lane.id(), ..found };
    let won = header.life.compare_exchange(found.word(), falling.word(), AcqRel, Acquire).is_ok();
    let mut last = Vec::new();
    if won {
        if part != 0 {
            last.extend(finish_step(names, (word_at, part), left, spare));
            journal.at(0, 0);
        }
        let fell = is_in(names, object, State::Limbo)
            || Tree::of(arena, &map, object)
                .is_some_and(|tree| fall(names, tree, spare, &mut last));
        settle(names, object, header, falling, fell);
    } else if left.is_some() {
        names.put_down();
    }
    journal.close();
    names.unpin(spare);
    reap_last(names, last)?;
    Ok(won)
}

/// Does what was begun of the step that a dead lane was at; the part is pinned by another than `spare`. The
/// object, if the last lease of one went.
fn finish_step(
    names: &Names<'_>,
    (word_at, part): (u64, u64),
    left: Option<Left>,
    spare: HazardIndex,
) -> Option<u64> {
    let arena = names.heap.arena;
    let word = arena.word(word_at)?;
    let mut last = None;
    if let Some(left) = left {
        last = names.settle_left(&left, spare);
        names.put_down();
    }
    if !is_in(names, part, State::Part) {
        last = last.or(retire_led(names, part));
    }
    if Word::from_bits(word.load(Acquire)).offset() == part {
        // One that was given up is none any more.
        if is_in(names, part, State::Part) && is_lease(arena, part) {
            last = last.or(names.give_up(part));
        }
        word.store(0, Release);
    }
    names.heap.retire_from(part, State::Part);
    last
}

//! Shared ownership: objects that are destroyed with their last **lease**.
//!
//! A counted object is an object without a name, whose value begins with a count. Who shares it has a lease: a
//! block in a slab of [their own class](ClassId::LEASES), whose word leads to the object, and is null while it is
//! none. A lease is a block like any: PRIVATE, it is its process'; a PART, it hangs on an object, by which it is
//! one that others read, too. What makes it a lease is its slab, so that whoever frees it, knowing of no types,
//! gives it up before.
//!
//! ```text
//! a lease more, beside one that stays          give up a lease
//! u1  tally: Up(object, lease)                 w1  tally: Down(object, lease)
//! u2  lease := object                          w2  count: one less, my stamp       (CAS)
//! u3  count: one more, my stamp   (CAS)        w3  lease := null
//! u4  tally closed                             w4  none is left: life Retired(me); PUBLISHED → DOOMED
//!                                              w5  tally closed; what was the last one's falls
//! ```
//!
//! **A lease's word is the truth**, but for the one that an open [tally](crate::process::tally) names. Dead in u2
//! to u4 the lease is one if the count was changed, and else its word is taken back; dead in w2 to w4 it is none
//! if the count was changed. Each may be done twice: the words say what is left to do. It is done
//!
//! - of a PRIVATE lease by who sweeps its slab, of which there is one at a time;
//! - of one that falls with its object by who takes the fall over: one wins.
//!
//! Both carry what they have found in a tally of their own before they begin, so that it is not lost when they
//! die, nor told from a count that has changed since. They look before the lane of the dead can be another's,
//! and the object is gone only behind w4, when its lease's word is null.
//!
//! **Nobody comes back from none.** A lease comes from one that stays meanwhile, or of a count that is not 0: the
//! object is pinned then. So w4 is done by one, or by those who help him.
//!
//! Parts that hang on a counted object are marked before its first lease is given out; the words of leases do not
//! keep it from falling, nor does a walk of what they hang on go into it: it is a tree of its own.

use crate::arena::Arena;
use crate::heap::size_class::ClassId;
use crate::heap::unit::{LaneId, State, Unit, UnitIndex};
use crate::heap::{Exhausted, Heap, locate, state_of};
use crate::names::entry::{Life, ObjectHeader};
use crate::names::{Names, Refused};
use crate::process::pin::HazardIndex;
use crate::process::tally::{Step, Tally, Turn};
use crate::sync::{AcqRel, Acquire, AtomicU64, Release};
use crate::trace;

/// From a counted object's block to its count: values that begin with one are aligned to 16 at most.
pub const COUNT: u64 = ObjectHeader::value_at(16) as u64;

/// A count: how many leases there are, and the stamp of who changed it last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count {
    pub leases: u64,
    /// Whose stamp it is; nobody: of whoever made it.
    lane: LaneId,
    /// The last bits of the number of his turn.
    turn: u64,
}

const LANE_BITS: u32 = 12;
const TURN_BITS: u32 = 24;
const _: () = assert!(crate::layout::MAX_LANES <= 1 << LANE_BITS);
/// Leases of one object at most.
const MOST: u64 = (1 << (u64::BITS - LANE_BITS - TURN_BITS)) - 1;

impl Count {
    /// Of an object that has its first lease.
    pub const ONE: Count = Count { leases: 1, lane: LaneId::NOBODY, turn: 0 };

    pub const fn word(self) -> u64 {
        self.leases << (LANE_BITS + TURN_BITS) | (self.lane.0 as u64) << TURN_BITS | self.turn
    }

    pub const fn of(word: u64) -> Count {
        Count {
            leases: word >> (LANE_BITS + TURN_BITS),
            lane: LaneId((word >> TURN_BITS) as u16 & ((1 << LANE_BITS) - 1)),
            turn: word & ((1 << TURN_BITS) - 1),
        }
    }

    fn is_stamped_by(self, lane: LaneId, number: u64) -> bool {
        self.lane == lane && self.turn == Self::bits_of(number)
    }

    fn bits_of(number: u64) -> u64 {
        number & ((1 << TURN_BITS) - 1)
    }

    fn after(self, step: Step, lane: LaneId, number: u64) -> Option<Count> {
        let leases = match step {
            Step::Up => (1..MOST).contains(&self.leases).then(|| self.leases + 1),
            Step::Down => self.leases.checked_sub(1),
        };
        leases.map(|leases| Count { leases, lane, turn: Self::bits_of(number) })
    }
}

/// The count of an object that has one and stands there; `None`: none does.
///
/// Who asks keeps the object from being given back.
pub fn count_at(arena: &Arena, object: u64) -> Option<&AtomicU64> {
    let place = locate(arena, object).filter(|place| place.start == object)?;
    let header = ObjectHeader::at(arena, object)?;
    let is_one = state_of(arena, &place) == Some(State::Published) && header.life().counted;
    is_one.then(|| arena.word(object + COUNT))?
}

/// Whether the block at `offset`, which may be anything, is in a slab of leases.
pub fn is_lease(arena: &Arena, offset: u64) -> bool {
    if !arena.holds(offset, 1) {
        return false;
    }
    let class = match arena.unit(UnitIndex::containing(offset)) {
        Some(Unit::Slab { class, .. } | Unit::Orphan { class } | Unit::Sweep { class, .. }) => {
            class
        }
        _ => return false,
    };
    class == ClassId::LEASES
}

/// What a dead lane had begun.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    turn: Turn,
    /// Whether the count was changed.
    is_made: bool,
}

impl Left {
    pub fn lease(&self) -> u64 {
        self.turn.lease
    }

    pub fn counted(&self) -> u64 {
        self.turn.counted
    }

    pub fn goes(&self) -> bool {
        self.turn.step == Step::Down
    }

    pub fn has_gone(&self) -> bool {
        self.goes() && self.is_made
    }

    /// Whether the lease is none, whatever its word says.
    pub fn is_none(&self) -> bool {
        self.goes() == self.is_made
    }
}

impl Names<'_> {
    fn tally(&self) -> &Tally {
        &self.record().tally
    }

    /// A number that no other call gives in this segment.
    pub fn identity(&self) -> u64 {
        let tally = self.tally();
        let number = tally.next();
        tally.skip(number);
        u64::from(self.heap.lane.id().0) << (u64::BITS - LANE_BITS) | number
    }

    /// Makes `lease`, a block for one that is the caller's alone, a lease of `object`. False: that has none any
    /// more, or as many as can be counted.
    ///
    /// Lock-free. The object stays meanwhile. Dead inside: the lease is one, and given up by whoever frees it; or
    /// none.
    pub fn lease(&self, object: u64, lease: u64) -> bool {
        let (arena, tally) = (self.heap.arena, self.tally());
        let Some(word) = arena.word(lease) else { return false };
        let Some(count) = count_at(arena, object) else { return false };
        let number = self.begin(count, object, lease, Step::Up);
        word.store(object, Release);
        let is_made = self.step(count, object, number, Step::Up).is_some();
        if !is_made {
            word.store(0, Release);
        }
        tally.close();
        is_made
    }

    /// Gives up a lease whose block is the caller's alone, if it is one. The object, if that was its last: to be
    /// [let fall](trace::reap).
    ///
    /// Lock-free. Dead inside: as dead before, or after.
    pub fn give_up(&self, lease: u64) -> Option<u64> {
        let arena = self.heap.arena;
        let word = arena.word(lease)?;
        let object = word.load(Acquire);
        if object == 0 {
            return None;
        }
        // Of a damaged segment it may be anything.
        let Some(count) = count_at(arena, object) else {
            word.store(0, Release);
            return None;
        };
        let number = self.begin(count, object, lease, Step::Down);
        let left = self.step(count, object, number, Step::Down);
        word.store(0, Release);
        if left == Some(0) {
            self.retire_counted(object);
        }
        self.tally().close();
        (left == Some(0)).then_some(object)
    }

    /// The same; and what was its last one's falls.
    pub fn end_lease(&self, lease: u64) -> Result<(), Refused> {
        self.give_up(lease).map_or(Ok(()), |object| trace::reap(self, object).map(drop))
    }

    /// Opens the tally; the number of the turn.
    fn begin(&self, count: &AtomicU64, object: u64, lease: u64, step: Step) -> u64 {
        let (tally, me) = (self.tally(), self.heap.lane.id());
        let next = tally.next();
        // Not one whose stamp stands there, from long ago: who finds it would take it for this turn's.
        let stands = Count::of(count.load(Acquire)).is_stamped_by(me, next);
        let number = if stands { next + 1 } else { next };
        tally.open(number, object, lease, step);
        number
    }

    /// Changes the count; how many leases there are then.
    fn step(&self, count: &AtomicU64, object: u64, number: u64, step: Step) -> Option<u64> {
        let (arena, me) = (self.heap.arena, self.heap.lane.id());
        let mut word = count.load(Acquire);
        loop {
            let found = Count::of(word);
            let after = found.after(step, me, number)?;
            if !acknowledge(arena, object, count, word) {
                word = count.load(Acquire);
                continue;
            }
            // Acquire: what was done by the leases before; Release: with our stamp our tally.
            match count.compare_exchange(word, after.word(), AcqRel, Acquire) {
                Ok(_) => return Some(after.leases),
                Err(now) => word = now,
            }
        }
    }

    /// w4. By who gave up the last lease, or helps him: then with the object pinned.
    fn retire_counted(&self, object: u64) {
        let Some(header) = ObjectHeader::at(self.heap.arena, object) else { return };
        let life = header.life();
        if life.is_whole() {
            let retired = Life { retired_by: self.heap.lane.id(), ..life };
            let _ = header.life.compare_exchange(life.word(), retired.word(), AcqRel, Acquire);
        }
        self.heap.doom(object);
    }

    /// What the dead lane `of` had begun and not ended.
    pub fn left_by(&self, of: LaneId) -> Result<Option<Left>, Refused> {
        let arena = self.heap.arena;
        let tally = &arena.lane(of).tally;
        let Some(turn) = tally.read() else { return Ok(None) };
        let pin = self.pinned(turn.counted)?;
        // The count first, then the tally: who wipes a stamp out has acknowledged the turn before.
        let count = count_at(arena, turn.counted).map(|count| Count::of(count.load(Acquire)));
        let now = tally.read();
        self.unpin(pin);
        let Some(turn) = now.filter(|now| now.number == turn.number) else { return Ok(None) };
        let stands = count.is_some_and(|count| count.is_stamped_by(of, turn.number));
        Ok(Some(Left { turn, is_made: turn.is_done || stands }))
    }

    /// Takes what a dead lane left into this lane's tally, before the lane of the dead is let go.
    pub fn carry(&self, left: &Left) {
        let Turn { counted, lease, step, .. } = left.turn;
        if left.is_made {
            let tally = self.tally();
            tally.open_done(tally.next(), counted, lease, step);
        }
    }

    /// Lets go of what was [carried](Self::carry), which another does, or which is done.
    pub fn put_down(&self) {
        self.tally().close();
    }

    /// Ends what was left of a lease whose block is the caller's alone; `spare` is a pin. The object, if none is
    /// left of it: to be [let fall](trace::reap), once the pin is on something else.
    pub fn settle_left(&self, left: &Left, spare: HazardIndex) -> Option<u64> {
        let (arena, Turn { counted, lease, .. }) = (self.heap.arena, left.turn);
        let word = arena.word(lease)?;
        if left.is_none() && word.load(Acquire) == counted {
            word.store(0, Release);
        }
        if !left.has_gone() {
            return None;
        }
        self.heap.lane.pins.repin(self.record(), spare, counted);
        // Behind the pin's fence. Another may have retired it, and it may be gone: then no count is there, or
        // another's, which is not 0.
        let count = count_at(arena, counted).map(|count| Count::of(count.load(Acquire)));
        let is_last = count.is_some_and(|count| count.leases == 0);
        if is_last {
            self.retire_counted(counted);
        }
        self.heap.lane.pins.repin(self.record(), spare, 0);
        is_last.then_some(counted)
    }
}

/// Tells whose stamp `word` has that his turn was made, if that is open; false: the count has changed since.
fn acknowledge(arena: &Arena, object: u64, count: &AtomicU64, word: u64) -> bool {
    let Count { lane, turn: bits, .. } = Count::of(word);
    let is_there =
        lane != LaneId::NOBODY && u64::from(lane.0) < arena.header().lanes_high.load(Acquire);
    if !is_there {
        return true;
    }
    let tally = &arena.lane(lane).tally;
    let Some(turn) = tally.read() else { return true };
    if turn.is_done || turn.counted != object || Count::bits_of(turn.number) != bits {
        return true;
    }
    // Behind the look at the tally: the stamp of an earlier turn of these bits was gone when this one began.
    if count.load(Acquire) != word {
        return false;
    }
    tally.acknowledge(turn);
    true
}

impl Heap<'_> {
    /// A PRIVATE block for a lease, that is none yet.
    pub fn take_lease(&self) -> Result<u64, Exhausted> {
        self.take_or_refill(ClassId::LEASES)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::collections::{Arc, TryClone};
    use crate::{AllocError, Options};

    #[test]
    fn what_lies_in_no_unit_is_no_lease() {
        let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let arena = &segment.attached().arena;
        let end = arena.frontier().offset();
        for offset in [0, 8, end, end + (1 << 21), 1 << 44, u64::MAX] {
            assert!(!is_lease(arena, offset), "{offset:#x}");
        }
    }

    #[test]
    fn more_than_can_be_counted_is_an_error() {
        let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let shared = Arc::new_in(7u64, &segment);
        let weak = Arc::downgrade(&shared);
        let arena = &segment.attached().arena;
        let value = Arc::as_ptr(&shared).addr() - arena.at(0).addr();
        // Before the value stand the count and the identity.
        let count = count_at(arena, value as u64 - COUNT - 16).expect("it has a count");
        let one = count.load(Acquire);
        count.store(Count { leases: MOST, ..Count::of(one) }.word(), Release);
        assert_eq!(shared.try_clone().err(), Some(AllocError::TooManyShares));
        assert_eq!(weak.try_upgrade().err(), Some(AllocError::TooManyShares));
        assert!(weak.upgrade().is_none());
        count.store(Count { leases: MOST - 1, ..Count::of(one) }.word(), Release);
        let last = shared.try_clone().expect("one more can be counted");
        drop(last);
        count.store(one, Release);
        drop(shared);
        assert!(weak.try_upgrade().expect("no error").is_none(), "it is gone");
        assert!(segment.check().unwrap().is_clean());
    }
}

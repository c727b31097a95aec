//! Where a lock lies: its segment, by its address, and so who this process is there.
//!
//! A lock has room for nothing but its word, and a reference to it may come from anywhere: out of a
//! [`Ref`](crate::Ref), an [`Owned`](crate::Owned), a field of what a guard leads to. What all of these
//! have is an address in a mapping, and the borrow of the segment that keeps it mapped. So a table of this
//! process' mappings says which attachment it is, and each thread remembers the last one: a compare of the
//! address, one of the table's age, and a load of who we are, which a fork has wiped in the child.
//!
//! One process may have a segment attached twice; it is two participants then, and the address says which.
//! A lock that lies in no segment (it was not put there yet, or it is a static) is this process' alone, and
//! works among its threads.

use crate::arena::Arena;
use crate::attached::{Attached, lane_at_hand, with_lane};
use crate::heap::lane::Lane;
use crate::heap::unit::LaneId;
use crate::lock::party::{self, Party};
use crate::lock::raw_rwlock::{RawRwLock, Reader};
use crate::lock::word::Who;
use crate::process::bell;
use crate::process::liveness::Judge;
use crate::process::participant::ParticipantWord;
use crate::sync::futex::Heard;
use crate::sync::{self, AcqRel, Acquire};
use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// A mapping of this process. `bytes` is 0 while the entry is nobody's, or being written.
struct Range {
    bytes: AtomicUsize,
    base: AtomicUsize,
    attached: AtomicPtr<Attached>,
    taken: AtomicUsize,
}

/// As many as a process can map segments.
const RANGES: usize = 1 << 16;

static TABLE: [Range; RANGES] = [const {
    Range {
        bytes: AtomicUsize::new(0),
        base: AtomicUsize::new(0),
        attached: AtomicPtr::new(ptr::null_mut()),
        taken: AtomicUsize::new(0),
    }
}; RANGES];

/// Entries at and above this were never taken.
static HIGH: AtomicUsize = AtomicUsize::new(0);

/// Counts mappings that ended: what a thread remembers from before may be another's by now.
static AGE: AtomicU64 = AtomicU64::new(1);

/// An attachment's entry in the table.
pub struct Entry(usize);

impl Entry {
    /// Enters the mapping of `attached`; `None`: the table is full.
    pub fn of(attached: *const Attached, base: *const u8, bytes: usize) -> Option<Entry> {
        let take = |at: &usize| {
            let taken =
                TABLE[*at].taken.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed);
            taken.is_ok()
        };
        let at = (0..RANGES).find(take)?;
        let range = &TABLE[at];
        range.base.store(base.addr(), Ordering::Relaxed);
        range.attached.store(attached.cast_mut(), Ordering::Relaxed);
        // Release pairs with the Acquire of `attachment_at`: the rest is written.
        range.bytes.store(bytes, Ordering::Release);
        HIGH.fetch_max(at + 1, Ordering::AcqRel);
        Some(Entry(at))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Before the mapping ends: whoever is given that place later looks in the table.
        AGE.fetch_add(1, Ordering::AcqRel);
        let range = &TABLE[self.0];
        range.bytes.store(0, Ordering::Release);
        range.taken.store(0, Ordering::Release);
    }
}

/// The attachment in whose mapping `address` lies.
///
/// Entries come and go meanwhile, but not the one that is looked for: who asks borrows its segment. A
/// mixture of two others, the length of the one and the beginning of the next, is seen by the length, which
/// is 0 in between: of two of the same length the mixture is the next, which is somewhere else.
fn attachment_at(address: usize) -> Option<*const Attached> {
    let high = HIGH.load(Ordering::Acquire);
    TABLE[..high].iter().find_map(|range| {
        let bytes = range.bytes.load(Ordering::Acquire);
        let base = range.base.load(Ordering::Acquire);
        if address.wrapping_sub(base) >= bytes {
            return None;
        }
        let attached = range.attached.load(Ordering::Acquire);
        (range.bytes.load(Ordering::Acquire) == bytes).then_some(attached.cast_const())
    })
}

/// A place in a mapping, as a thread may remember it: when that has ended it is another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Moored {
    address: usize,
    age: u64,
}

impl Moored {
    /// Of what is borrowed.
    pub fn of<T>(it: &T) -> Moored {
        // Relaxed: a mapping that ended before this one began did so before we got the reference.
        Moored { address: ptr::from_ref(it).addr(), age: AGE.load(Ordering::Relaxed) }
    }
}

/// What a thread remembers.
#[derive(Clone, Copy)]
struct Last {
    base: usize,
    bytes: usize,
    age: u64,
    place: Place<'static>,
}

thread_local! {
    static LAST: Cell<Last> = const {
        Cell::new(Last { base: 0, bytes: 0, age: 0, place: Place::Nowhere })
    };
}

/// Where a lock lies.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// In no segment.
    Nowhere,
    /// In one; and the word of who this process is there.
    In(&'a Attached, &'a AtomicU64),
}

impl<'a> Place<'a> {
    /// Of what is borrowed.
    #[inline(always)]
    pub fn of<T>(lock: &'a T) -> Place<'a> {
        let address = ptr::from_ref(lock).addr();
        let last = LAST.get();
        // Relaxed: a mapping that ended before this one began did so before we got the reference.
        let is_it =
            address.wrapping_sub(last.base) < last.bytes && last.age == AGE.load(Ordering::Relaxed);
        if is_it { last.place } else { Self::look_up(address) }
    }

    #[cold]
    fn look_up(address: usize) -> Place<'a> {
        let age = AGE.load(Ordering::Acquire);
        let Some(attached) = attachment_at(address) else { return Place::Nowhere };
        // SAFETY: the mapping that the address lies in, of which the caller borrows something, ends when
        // its attachment does. What is remembered of it longer is used only after the same look.
        let attached: &'static Attached = unsafe { &*attached };
        let place = Place::In(attached, attached.who());
        let mapping = attached.arena.mapping();
        LAST.set(Last { base: mapping.base().addr(), bytes: mapping.len(), age, place });
        place
    }

    /// This process there, if that is known at once.
    #[inline(always)]
    pub fn me_fast(&self) -> Who {
        match self {
            Place::Nowhere => Who::SELF_ALONE,
            // Relaxed: it was written before anybody could lead us here, or it is 0.
            Place::In(_, who) => Who(who.load(Ordering::Relaxed)),
        }
    }
}

impl Party for Place<'_> {
    /// # Panics
    /// If this is a child made by fork, and cannot attach to the segment.
    fn me(&self) -> Who {
        let me = self.me_fast();
        match self {
            Place::In(attached, _) if me == Who::NOBODY => attached.join_for_lock(),
            _ => me,
        }
    }

    fn deaths(&self) -> Option<&sync::AtomicU64> {
        match self {
            Place::Nowhere => None,
            Place::In(attached, _) => Some(&attached.arena.header().deaths),
        }
    }

    fn is_dead(&self, who: Who, thoroughly: bool) -> bool {
        match self {
            // The one other name there is was left behind by a guard that was forgotten in a segment.
            Place::Nowhere => who != Who::SELF_ALONE,
            Place::In(attached, _) => attached.is_dead(who, thoroughly),
        }
    }

    fn bell(&self, who: Who) -> Option<Heard<'_>> {
        match self {
            Place::Nowhere => None,
            Place::In(attached, _) => {
                let slot = who.tenure()?.id.0;
                bell::listen(&attached.arena.participants()[usize::from(slot)], who)
            }
        }
    }

    fn look_for_dead(&self) {
        if let Place::In(attached, _) = self {
            attached.look_for_dead();
        }
    }
}

impl Reader for Place<'_> {
    #[inline(always)]
    fn key(&self, lock: &RawRwLock) -> u64 {
        self.arena().offset_of(ptr::from_ref(lock).cast())
    }

    #[inline(always)]
    fn lane_at_hand(&self) -> Option<LaneId> {
        let Place::In(attached, _) = self else { return None };
        lane_at_hand(attached).map(Lane::id)
    }

    fn in_lane<R>(&self, act: impl FnOnce(LaneId) -> R) -> Option<R> {
        let Place::In(attached, _) = self else { return None };
        let act = |lane: &Lane| {
            if !lane.is_live() {
                attached.revive(lane).ok()?; // a fork has wiped it
            }
            Some(act(lane.id()))
        };
        with_lane(attached, act).ok().flatten()
    }

    #[inline(always)]
    fn arena(&self) -> &Arena {
        match self {
            Place::Nowhere => unreachable!("who asks has seen that there are others"),
            Place::In(attached, _) => &attached.arena,
        }
    }
}

impl Attached {
    /// Whether the process that a lock names is dead; an attachment that is over is as good as that: who
    /// detaches has nothing left by which it could reach what a lock guards.
    fn is_dead(&self, who: Who, thoroughly: bool) -> bool {
        let Some(tenure) = who.tenure() else { return true };
        let record = &self.arena.participants()[usize::from(tenure.id.0)];
        // Acquire pairs with the CAS of who marked it, or gave the slot to the next.
        let seen = record.word.load(Acquire);
        let Some(word) = ParticipantWord::of(seen) else { return false };
        let is_over = |word: ParticipantWord| {
            word.counter() != tenure.counter || !matches!(word, ParticipantWord::Live { .. })
        };
        if is_over(word) {
            return true;
        }
        let Some(me) = self.participant() else { return false };
        let file = self.arena.mapping().file();
        if Judge::participant(file, me).is_dead(tenure.id, record, word) {
            self.mark_dead(tenure.id.0.into(), seen, word);
            return true;
        }
        // It may be the next one in the slot that lives, who has nothing to do with what is waited for.
        if ParticipantWord::of(record.word.load(Acquire)).is_some_and(is_over) {
            return true;
        }
        let own = &self.arena.participants()[usize::from(me.0)];
        if !thoroughly || !crate::process::exiting::is_exiting(record, own) {
            return false;
        }
        // Whoever else sleeps for that one may as well know. Its memory is not gone yet, so its place
        // is not to be marked.
        party::announce(&self.arena.header().deaths, false);
        true
    }

    /// The first step of recovery, for a process that its lock says is dead.
    fn mark_dead(&self, slot: usize, seen: u64, word: ParticipantWord) {
        // Before the mark: who dies in between is followed by another who announces.
        party::announce(&self.arena.header().deaths, true);
        if let Some(dead) = word.die() {
            let record = &self.arena.participants()[slot];
            // Lost: another marked it.
            let _ = record.word.compare_exchange(seen, dead.word(), AcqRel, Acquire);
        }
    }

    /// Marks whoever is dead, and says so.
    fn look_for_dead(&self) {
        let Some(me) = self.participant() else { return };
        let judge = Judge::participant(self.arena.mapping().file(), me);
        let records = self.arena.participants();
        let high = self.arena.header().participants_high.load(Acquire) as usize;
        for (slot, record) in records.iter().enumerate().take(high) {
            let seen = record.word.load(Acquire);
            let Some(word @ ParticipantWord::Live { .. }) = ParticipantWord::of(seen) else {
                continue;
            };
            let id = crate::process::participant::ParticipantId(slot as u16);
            if id != me && judge.is_dead(id, record, word) {
                self.mark_dead(slot, seen, word);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::Mutex;
    use crate::segment::{Options, Segment};

    fn segment() -> Segment {
        Options::new().capacity(1 << 20).create_anonymous().unwrap()
    }

    fn is_in<T>(lock: &T, segment: &Segment) -> bool {
        matches!(Place::of(lock), Place::In(attached, _) if ptr::eq(attached, segment.attached()))
    }

    #[test]
    fn a_lock_is_in_the_segment_in_whose_mapping_it_lies() {
        let (one, other) = (segment(), segment());
        let (here, there) = (one.own(Mutex::new(0)).unwrap(), other.own(Mutex::new(0)).unwrap());
        let outside = Mutex::new(0);
        for _ in 0..2 {
            assert!(is_in(&*here, &one) && is_in(&*there, &other));
            assert!(matches!(Place::of(&outside), Place::Nowhere));
        }
        drop(there);
        drop(other);
        assert!(is_in(&*here, &one));
        let next = segment();
        let there = next.own(Mutex::new(0)).unwrap();
        assert!(is_in(&*there, &next) && is_in(&*here, &one));
    }

    /// What is mapped at the place of one that has ended is something else.
    #[test]
    fn what_was_remembered_before_a_mapping_ended_is_looked_up_again() {
        let segment = segment();
        let mutex = segment.own(Mutex::new(0)).unwrap();
        assert!(is_in(&*mutex, &segment));
        let last = LAST.get();
        LAST.set(Last { place: Place::Nowhere, ..last });
        assert!(!is_in(&*mutex, &segment), "it is not remembered, and this tests nothing");
        LAST.set(Last { place: Place::Nowhere, age: last.age - 1, ..last });
        assert!(is_in(&*mutex, &segment));
        // And each end of a mapping is a new age.
        let age = AGE.load(Ordering::Relaxed);
        drop(mutex);
        drop(segment);
        assert!(AGE.load(Ordering::Relaxed) > age);
    }
}

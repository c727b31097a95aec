//! Objects that are shared by leases.

use super::{BLOCK, Ruin, TAG, VALUE, Worker};
use crate::heap::unit::State;
use crate::heap::{Heap, locate, state_of};
use crate::names::entry::{Life, ObjectHeader};
use crate::sync::{Acquire, AtomicU64};
use crate::trace::lease::{COUNT, Count, count_at};
use crate::trace::map::{Item, Map, Node, Part};
use crate::word::{Tag, Word};

/// An object that has a count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shared(u64);

/// A lease, or the block for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease(u64);

/// The fingerprint of objects that are shared.
const SHARED: u64 = 13;
/// That of objects on which a lease hangs.
const SHARER: u64 = 14;

/// The map of a word that leads to a lease.
fn sharer_map() -> Map {
    let node = |fingerprint, items| Node { fingerprint, size: 8, align: 8, items };
    let shares = vec![Item { at: 0, part: Part::Lease { node: 1, null: true } }];
    Map { nodes: vec![node(SHARER, shares), node(SHARED, Vec::new())], checks: Vec::new() }
}

impl Shared {
    /// Its block.
    pub fn block(self) -> u64 {
        self.0
    }
}

impl Worker {
    /// An object and its first lease, neither of which is one yet.
    pub fn draft_shared(&self) -> (Shared, Lease) {
        let arena = &self.world.arena;
        let lease = self.heap().take_lease().expect("room for it");
        let block = self.take(BLOCK).expect("room for it");
        let life = Life { has_parts: true, counted: true, ..Life::new(1, false) };
        ObjectHeader::write(arena, block, SHARED, life);
        let count = arena.at(block + COUNT).cast::<AtomicU64>();
        // SAFETY: inside the block, which is this lane's alone.
        unsafe { count.write(AtomicU64::new(Count::ONE.word())) };
        (Shared(block), Lease(lease))
    }

    /// Publishes them.
    pub fn publish_shared(&self, (it, lease): (Shared, Lease)) {
        let published = self.names().publish_counted(it.0, lease.0, &[]);
        published.unwrap_or_else(|refused| panic!("{refused:?}"));
    }

    /// Publishes an object that is shared; its first lease.
    pub fn share(&self) -> (Shared, Lease) {
        let drafted = self.draft_shared();
        self.publish_shared(drafted);
        drafted
    }

    /// A lease more of an object that has one meanwhile.
    pub fn lease(&self, it: Shared) -> Lease {
        let lease = self.heap().take_lease().expect("room for it");
        assert!(self.names().lease(it.0, lease), "it has a lease");
        Lease(lease)
    }

    /// A lease of an object that may have none any more; `None`: that is so.
    pub fn lease_if_there(&self, it: Shared) -> Option<Lease> {
        let lease = self.heap().take_lease().expect("room for it");
        let pinned = self.pin(it.0);
        let is_one = self.names().lease(it.0, lease);
        self.unpin(pinned);
        if !is_one {
            self.free_private(lease);
        }
        is_one.then_some(Lease(lease))
    }

    /// Gives up a lease, and its block; whether it was the last.
    pub fn give_up(&self, lease: Lease) -> bool {
        let is_last = self.end(lease);
        self.free_lease(lease);
        is_last
    }

    /// Gives up a lease, whose block it keeps; whether it was the last.
    pub fn end(&self, lease: Lease) -> bool {
        self.names().give_up(lease.0).is_some()
    }

    /// Frees the block of a lease that was given up.
    pub fn free_lease(&self, lease: Lease) {
        self.free_private(lease.0);
    }

    /// At rest: how many leases an object has; `None`: it is to fall.
    pub fn leases(&self, it: Shared) -> Option<u64> {
        count_at(&self.world.arena, it.0).map(|count| Count::of(count.load(Acquire)).leases)
    }

    /// At rest: frees an object that is to fall; whether it is.
    pub fn bury(&self, it: Shared) -> bool {
        let arena = &self.world.arena;
        let state = locate(arena, it.0).and_then(|place| state_of(arena, &place));
        let is_doomed = state == Some(State::Doomed);
        if is_doomed {
            Heap::set_state(arena, it.0, State::Raw);
            self.free_raw(it.0);
        }
        is_doomed
    }

    /// Publishes the map of objects on which a lease hangs.
    pub fn know_sharers(&self) {
        self.know(SHARER, &sharer_map());
    }

    /// What is left by who destroys an object on which a lease hangs.
    pub fn ruin_of(&self, lease: Lease) -> Ruin {
        let arena = &self.world.arena;
        let object = self.take(BLOCK).expect("room for it");
        let retired_by = self.lane.id();
        let life = Life { has_parts: true, retired_by, ..Life::new(1, false) };
        ObjectHeader::write(arena, object, SHARER, life);
        let word = Word::new(Tag::of_header(TAG).expect("a tag"), lease.0).bits();
        // SAFETY: inside the block, which is this lane's alone.
        unsafe { arena.at(object + VALUE).cast::<AtomicU64>().write(AtomicU64::new(word)) };
        Heap::set_state(arena, lease.0, State::Part);
        Heap::set_state(arena, object, State::Doomed);
        Ruin(object)
    }
}

//! The table of named objects: find, construct and destroy by any process, nobody ever waiting.
//!
//! Names are **interned**: a slot of the open-addressed [`array`] never changes once it leads to an
//! [`entry`], and what is true of an object stands in words that do not move (the entry's `value`,
//! the object's `life`), so that find, destroy and construct do not care whether a [`migration`] is
//! under way. Open addressing and cooperative migration follow Cliff Click's hash table (2007).
//!
//! ```text
//! find       slot → entry → value = Live(o) → pin o → value still Live(o)? → life Whole?
//! construct  value: Absent → Live(o) of a known name, or slot: Empty → entry of a new one; one CAS
//! destroy    life: Whole → Retired(me): the linearization point; then value: Live(o) → Absent, which
//!            anybody may do; then the block is LIMBO, and its slab's owner takes it when no hazard
//!            names it; a block in which the entry stands, too, is that only when the entry goes
//! ```
//!
//! Every loop here ends or has met another's success: a lost CAS of a slot, value or life means that
//! another construct, destroy or migration step took effect.

pub mod array;
pub mod entry;
pub mod error;
pub mod migration;

use crate::heap::lane::Lane;
use crate::heap::unit::State;
use crate::heap::{Exhausted, Heap};
use crate::process::journal::Intent;
use crate::process::lane::LaneRecord;
use crate::process::pin::HazardIndex;
use crate::sync::{AcqRel, Acquire, AtomicU64, Release, SeqCst, fence};
use crate::trace;
use array::{Array, Slot, tag};
use entry::{Entry, Key, Life, ObjectHeader, Value};

/// Why an operation on names did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The name has an object.
    Taken,
    /// No memory for an entry or a larger array.
    Exhausted(Exhausted, usize),
    /// The thread holds as many pins as it can.
    TooManyPins,
    /// Something that the segment says cannot be.
    Corrupt(&'static str),
}

/// An object that the lane has pinned.
#[derive(Clone, Copy)]
pub struct Pinned {
    pub object: u64,
    pub hazard: HazardIndex,
    /// [`Life`].
    word: u64,
    pub fingerprint: u64,
    /// Where the word is that leads to it, which is an entry's or a cell's of a queue; 0: none does.
    pub leads: u64,
}

impl Pinned {
    /// As it was when it was pinned.
    #[inline(always)]
    pub fn life(&self) -> Life {
        Life::of(self.word)
    }
}

/// The table as one live lane uses it.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    pub heap: Heap<'a>,
}

/// What readers of the table must agree on.
pub fn layout_facts() -> impl Iterator<Item = u64> {
    let retired_by = crate::heap::unit::LaneId(1);
    let life = Life { retired_by, with_entry: true, ..Life::new(1, true) };
    let key = Key { space: entry::Space::Unique, name: b"name", hash: 1 };
    let slot = Slot::Entry { tag: 1, entry: 16 };
    array::facts().into_iter().chain([
        size_of::<ObjectHeader>() as u64,
        life.word(),
        slot.word(),
        key.meta(),
    ])
}

/// An object that is to get a name: a PRIVATE block of a slab of this lane, or a run.
pub struct Newcomer<'n> {
    pub object: u64,
    /// The blocks that hang on it.
    pub parts: &'n [u64],
    /// Where in its block there is room for its entry, of which its life says that it stands there.
    pub entry: Option<u64>,
}

/// What [`Names::find_usual`] came to.
pub enum Seen {
    /// The hazard word names the object, to which the entry at `leads` led behind the fence.
    There { leads: u64, object: u64, hazard: HazardIndex },
    /// No object had the name.
    Absent,
    /// Nothing is known: [`Names::find`] goes another way.
    Unusual,
}

enum Spot<'a> {
    Found(Entry<'a>),
    /// The path ends here in an empty slot, or (`None`) in a full array.
    Vacant(Array<'a>, Option<u64>),
    Nowhere,
}

/// While it lives, no array from the one that was current at its begin on is given back.
pub struct Entered<'a> {
    lane: &'a Lane,
    record: &'a LaneRecord,
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        let pins = &self.lane.pins;
        pins.depth.set(pins.depth.get() - 1);
        if pins.depth.get() == 0 {
            // Release, partner: the reaper's scan. Our reads of slots and entries end before it, and what we said of
            // dead ones is there.
            self.record.array.store(0, Release);
        }
    }
}

/// Arrays between the oldest and the newest; more than this in a row can only be a corrupt circle.
const CHAIN: usize = 64;

impl<'a> Names<'a> {
    #[inline]
    pub(crate) fn record(&self) -> &'a LaneRecord {
        self.heap.lane.record()
    }

    #[inline(always)]
    fn array(&self, offset: u64) -> Result<Array<'a>, Refused> {
        let last = &self.heap.lane.last_array;
        last.look(self.heap.arena, offset)
            .ok_or(Refused::Corrupt("an array of names lies outside the segment"))
    }

    #[inline(always)]
    pub(crate) fn current(&self) -> Result<Array<'a>, Refused> {
        // Acquire pairs with the CAS that made it current: all copies are in.
        self.array(self.heap.arena.header().names_current.load(Acquire))
    }

    /// Pins the current array and all that follow it.
    ///
    /// Lock-free: it goes round again only if a migration ended meanwhile. Inside another operation
    /// of the lane that one's pin, on an older array, protects these, too.
    #[inline]
    pub fn enter(&self) -> Entered<'a> {
        let entered = Entered { lane: self.heap.lane, record: self.record() };
        let depth = &entered.lane.pins.depth;
        depth.set(depth.get() + 1);
        if depth.get() != 1 {
            return entered;
        }
        let current = &self.heap.arena.header().names_current;
        loop {
            let array = current.load(Acquire);
            entered.record.array.store(array, Release);
            fence(SeqCst); // [1], partner: the reaper's, between its look at `current` and its scan
            if current.load(Acquire) == array {
                return entered;
            }
        }
    }

    /// What a word leads to that is the caller's to write, pinned; `None`: to nothing, or to what was destroyed, and
    /// then to nothing any more.
    ///
    /// Lock-free.
    pub fn led(&self, (leads, word): (u64, &AtomicU64)) -> Result<Option<Pinned>, Refused> {
        // Acquire: as in `pin_led`.
        let object = match Value::of(word.load(Acquire)) {
            Value::Absent => return Ok(None),
            Value::Dead => return Err(Refused::Corrupt("a word leads to no object")),
            Value::Live(object) => object,
        };
        // Not any more: who recovers its destroyer was quicker.
        let Some(pinned) = self.pin_led((leads, word), object)? else { return Ok(None) };
        if pinned.life().is_whole() {
            return Ok(Some(pinned));
        }
        // Pinned, so that it cannot be another's meanwhile; who recovers its destroyer does the same.
        let _ = word.compare_exchange(object, Value::Absent.word(), AcqRel, Acquire);
        self.unpin(pinned.hazard);
        Ok(None)
    }

    /// The entry of a name, or where it would stand; `insert`: closes paths that a migration is on.
    #[inline(always)]
    fn locate(&self, key: &Key<'_>, insert: bool) -> Result<Spot<'a>, Refused> {
        let mut array = self.current()?;
        for _ in 0..CHAIN {
            let mut end = None;
            for i in 0..array.len() {
                let at = key.hash.wrapping_add(i);
                // Acquire pairs with the CAS that put the entry there: it is whole.
                let mut word = array.slot(at).load(Acquire);
                if word == Slot::Empty.word() {
                    if !insert {
                        return Ok(Spot::Nowhere);
                    }
                    if array.next().load(Acquire) == 0 {
                        end = Some(at);
                        break;
                    }
                    // No new name may come in behind the migration's back.
                    word = match array.slot(at).compare_exchange(
                        0,
                        Slot::Frozen.word(),
                        AcqRel,
                        Acquire,
                    ) {
                        Ok(_) => Slot::Frozen.word(),
                        Err(now) => now,
                    };
                }
                match Slot::of(word) {
                    Slot::Entry { tag: of, entry } if of == tag(key.hash) => {
                        match Entry::of(self.heap.arena, entry, key) {
                            // A dead one does not match: the path goes on past it as past any other.
                            Some(found) if found.value() != Value::Dead => {
                                return Ok(Spot::Found(found));
                            }
                            Some(_) => {}
                            // Then it is another's.
                            None => drop(self.entry(entry)?),
                        }
                    }
                    Slot::Frozen => break,
                    _ => {}
                }
            }
            match array.next().load(Acquire) {
                0 if insert => return Ok(Spot::Vacant(array, end)),
                0 => return Ok(Spot::Nowhere),
                next if end.is_none() => array = self.array(next)?,
                _ => return Ok(Spot::Vacant(array, end)),
            }
        }
        Err(Refused::Corrupt("arrays of names follow each other in a circle"))
    }

    fn entry(&self, offset: u64) -> Result<Entry<'a>, Refused> {
        Entry::at(self.heap.arena, offset).ok_or(Refused::Corrupt("a slot leads to no entry"))
    }

    /// Pins what an entry said it names, if it still does.
    #[inline(always)]
    fn pin_value(&self, entry: &Entry<'a>, object: u64) -> Result<Option<Pinned>, Refused> {
        self.pin_led((entry.offset, entry.word()), object)
    }

    /// Pins what the word at an offset said it leads to, if it still does.
    #[inline(always)]
    pub fn pin_led(
        &self,
        (leads, word): (u64, &AtomicU64),
        object: u64,
    ) -> Result<Option<Pinned>, Refused> {
        match self.hold(self.record(), word, object)? {
            Some(hazard) => self.pinned_by((leads, object), hazard).map(Some),
            None => Ok(None),
        }
    }

    /// Has a hazard word name what a word said it leads to, if it still does.
    #[inline(always)]
    fn hold(
        &self,
        record: &LaneRecord,
        word: &AtomicU64,
        object: u64,
    ) -> Result<Option<HazardIndex>, Refused> {
        let pins = &self.heap.lane.pins;
        let hazard = pins.pin(record, object).ok_or(Refused::TooManyPins)?;
        // Behind the pin's fence: the object cannot be taken again from here on. Acquire pairs with the Release
        // of who linked it.
        if word.load(Acquire) == object {
            return Ok(Some(hazard));
        }
        pins.unpin(record, hazard);
        Ok(None)
    }

    /// What a hazard word names, to which the word at an offset leads.
    #[inline(always)]
    fn pinned_by(
        &self,
        (leads, object): (u64, u64),
        hazard: HazardIndex,
    ) -> Result<Pinned, Refused> {
        let Some(header) = ObjectHeader::at(self.heap.arena, object) else {
            self.unpin(hazard);
            return Err(Refused::Corrupt("a word leads to no object"));
        };
        let fingerprint = header.fingerprint.load(crate::sync::Relaxed);
        // Acquire: as in `ObjectHeader::life`.
        Ok(Pinned { object, hazard, word: header.life.load(Acquire), fingerprint, leads })
    }

    /// Ends a pin.
    #[inline]
    pub fn unpin(&self, hazard: HazardIndex) {
        self.heap.lane.pins.unpin(self.record(), hazard);
    }

    /// The object of a name, pinned. Wait-free within an array; goes on to a successor at most as
    /// often as migrations were begun.
    #[inline]
    pub fn find(&self, key: &Key<'_>) -> Result<Option<Pinned>, Refused> {
        match self.find_usual(key) {
            Seen::There { leads, object, hazard } => self.whole((leads, object), hazard),
            Seen::Absent => Ok(None),
            Seen::Unusual => self.find_anyhow(key),
        }
    }

    /// What a hazard word names, if it is whole; else the pin is ended.
    #[inline(always)]
    fn whole(&self, led: (u64, u64), hazard: HazardIndex) -> Result<Option<Pinned>, Refused> {
        let pinned = self.pinned_by(led, hazard)?;
        if pinned.life().is_whole() {
            return Ok(Some(pinned));
        }
        self.unpin(hazard);
        Ok(None)
    }

    #[cold]
    fn find_anyhow(&self, key: &Key<'_>) -> Result<Option<Pinned>, Refused> {
        let _entered = self.enter();
        self.find_entered(key)
    }

    /// The find that most are, in one piece: the lane is at nothing else, the current array is the one that it saw last, and
    /// nothing on the way is closed, dead or damaged. Wait-free.
    #[inline(always)]
    pub fn find_usual(&self, key: &Key<'_>) -> Seen {
        let lane = self.heap.lane;
        // Of a fork inside an operation: the general way says so.
        let Some(record) = lane.live_record() else { return Seen::Unusual };
        let array = lane.last_array.offset();
        if lane.pins.depth.get() != 0 {
            return Seen::Unusual;
        }
        // As `enter` pins it, but that which one is current is known before.
        record.array.store(array, Release);
        fence(SeqCst); // [1], partner: the reaper's, as in `enter`
        let is_current = self.heap.arena.header().names_current.load(Acquire) == array;
        // If it is not current, nothing may be there any more.
        let array = if is_current { lane.last_array.again(self.heap.arena) } else { None };
        let found = match array {
            Some(array) => self.find_in(record, &array, key),
            None => Seen::Unusual,
        };
        // Release, as where `Entered` ends.
        record.array.store(0, Release);
        found
    }

    /// `array` is pinned.
    #[inline(always)]
    fn find_in(&self, record: &LaneRecord, array: &Array<'a>, key: &Key<'_>) -> Seen {
        match Slot::of(array.first_like(key.hash)) {
            Slot::Entry { entry, .. } => match Entry::of(self.heap.arena, entry, key) {
                Some(entry) => self.hold_value(record, &entry),
                None => Seen::Unusual,
            },
            Slot::Empty => Seen::Absent,
            Slot::Frozen => Seen::Unusual,
        }
    }

    #[inline(always)]
    fn hold_value(&self, record: &LaneRecord, entry: &Entry<'a>) -> Seen {
        match entry.value() {
            Value::Live(object) => match self.hold(record, entry.word(), object) {
                Ok(Some(hazard)) => Seen::There { leads: entry.offset, object, hazard },
                // As in `find_entered`.
                Ok(None) => Seen::Absent,
                Err(_) => Seen::Unusual,
            },
            Value::Absent => Seen::Absent,
            Value::Dead => Seen::Unusual,
        }
    }

    #[inline(always)]
    fn find_entered(&self, key: &Key<'_>) -> Result<Option<Pinned>, Refused> {
        match self.find_in(self.record(), &self.current()?, key) {
            Seen::There { leads, object, hazard } => return self.whole((leads, object), hazard),
            Seen::Absent => return Ok(None),
            Seen::Unusual => {}
        }
        let Spot::Found(entry) = self.locate(key, false)? else { return Ok(None) };
        let Value::Live(object) = entry.value() else { return Ok(None) };
        // If it is not the value any more, the name was absent at that moment: no second try.
        let hazard = self.hold(self.record(), entry.word(), object)?;
        let Some(hazard) = hazard else { return Ok(None) };
        self.whole((entry.offset, object), hazard)
    }

    /// Publishes `object`, a PRIVATE block of a slab of this lane (or a run), under a name.
    /// Refused: it is still the caller's.
    ///
    /// Lock-free. Dead before the CAS: nothing was constructed, and the journal tells recovery which
    /// blocks to take back. Dead after it: the object is there, whole.
    ///
    /// `parts` are the blocks that hang on it, PRIVATE ones of this process; they are marked once it is
    /// linked. The caller has the object pinned if there are any.
    pub fn construct(&self, key: &Key<'_>, object: u64, parts: &[u64]) -> Result<(), Refused> {
        self.construct_new(key, Newcomer { object, parts, entry: None })
    }

    /// The same, of an object behind which there may be room for its entry.
    pub fn construct_new(&self, key: &Key<'_>, mut new: Newcomer<'_>) -> Result<(), Refused> {
        let entered = self.enter();
        let mut spare = None;
        let made = self.construct_entered(key, &mut new, &mut spare);
        if let Some(entry) = spare {
            self.heap.free_private(entry);
        }
        let ended = self.help_migration(1);
        drop(entered);
        // Who ends a migration tries to give the old array back; if a lane had it pinned then, others
        // try later, now and then.
        if ended == Ok(true) || key.hash.is_multiple_of(64) {
            self.reap();
        }
        if ended == Ok(true) {
            // What was asked for is done; that there is no memory to make the table small is no error.
            let _ = self.settle();
        }
        made
    }

    fn construct_entered(
        &self,
        key: &Key<'_>,
        new: &mut Newcomer<'_>,
        spare: &mut Option<u64>,
    ) -> Result<(), Refused> {
        loop {
            match self.locate(key, true)? {
                Spot::Found(entry) => match entry.value() {
                    Value::Absent => {
                        if self.link(&entry, new) {
                            return Ok(());
                        }
                    }
                    Value::Dead => {}
                    Value::Live(other) => self.displace_retired(&entry, other)?,
                },
                Spot::Vacant(array, Some(slot)) => {
                    if self.intern(key, new, (array, slot), spare)? {
                        return Ok(());
                    }
                }
                Spot::Vacant(array, None) => self.make_room(array)?,
                Spot::Nowhere => unreachable!("a search to insert ends at a vacant slot"),
            }
        }
    }

    /// A known name without object: value Absent → Live.
    fn link(&self, entry: &Entry<'a>, new: &mut Newcomer<'_>) -> bool {
        let object = new.object;
        if new.entry.take().is_some()
            && let Some(header) = ObjectHeader::at(self.heap.arena, object)
        {
            // Another was quicker to intern the name: no entry stands behind the object, whose block goes with it.
            // Relaxed: it is PRIVATE.
            let life = Life { with_entry: false, ..header.life() };
            header.life.store(life.word(), crate::sync::Relaxed);
        }
        let journal = &self.record().journal;
        journal.open(Intent::Link { entry: entry.offset, object });
        Heap::set_state(self.heap.arena, object, State::Published);
        // Release: partner of every Acquire of the value; the object is whole.
        let linked =
            entry.word().compare_exchange(Value::Absent.word(), object, AcqRel, Acquire).is_ok();
        if linked {
            self.mark(new.parts);
        } else {
            Heap::set_state(self.heap.arena, object, State::Private);
        }
        journal.close();
        linked
    }

    /// Publishes `object`, a PRIVATE block of a slab of this lane (or a run) with a count of one; that one is
    /// `lease`, the caller's, which is none yet. `parts` as in [`construct`](Self::construct).
    ///
    /// Lock-free. Dead before the lease leads to it: nothing was published. Dead after it: it is there, whole, and
    /// goes with the lease.
    pub fn publish_counted(&self, object: u64, lease: u64, parts: &[u64]) -> Result<(), Refused> {
        let arena = self.heap.arena;
        let Some(word) = arena.word(lease) else {
            return Err(Refused::Corrupt("a lease lies outside the segment"));
        };
        // By the pins the one stays, and the other's word, until recovery is over.
        let pin = self.pinned(object)?;
        let pins = [pin, self.pinned(lease).inspect_err(|_| self.unpin(pin))?];
        let journal = &self.record().journal;
        journal.open(Intent::Link { entry: lease, object });
        Heap::set_state(arena, object, State::Published);
        // Release: the object is whole.
        word.store(Value::Live(object).word(), Release);
        self.mark(parts);
        journal.close();
        pins.into_iter().for_each(|pin| self.unpin(pin));
        Ok(())
    }

    /// Publishes `object`, a PRIVATE block of a slab of this lane (or a run), by the word at an offset, which is
    /// null, and the caller's alone to write. `parts` as in [`construct`](Self::construct).
    ///
    /// Wait-free. Dead before the store: nothing was published. Dead after it: it is there, whole.
    pub fn link_alone(&self, (leads, word): (u64, &AtomicU64), object: u64, parts: &[u64]) {
        let journal = &self.record().journal;
        journal.open(Intent::Link { entry: leads, object });
        Heap::set_state(self.heap.arena, object, State::Published);
        // Release: partner of every Acquire of the word; the object is whole.
        word.store(Value::Live(object).word(), Release);
        self.mark(parts);
        journal.close();
    }

    /// Destroys an object that the caller has pinned and goes on having pinned, and to which a word of the
    /// caller's leads. What is left of it is done when the pin is ended.
    pub fn destroy_led(&self, pinned: &Pinned) -> bool {
        self.destroy_pinned(pinned)
    }

    /// Marks what hangs on an object that is linked; the journal still says so.
    fn mark(&self, parts: &[u64]) {
        parts.iter().for_each(|part| Heap::set_state(self.heap.arena, *part, State::Part));
    }

    /// A new name: slot Empty → entry. False: the slot went to another, or the array was full.
    fn intern(
        &self,
        key: &Key<'_>,
        &Newcomer { object, parts, entry: beside }: &Newcomer<'_>,
        (array, slot): (Array<'a>, u64),
        spare: &mut Option<u64>,
    ) -> Result<bool, Refused> {
        let arena = self.heap.arena;
        // A block of its own, if it does not stand in the object's.
        if beside.is_none() && spare.is_none() {
            let bytes = Entry::bytes(key.name);
            let block = self.heap.allocate(bytes, 16);
            *spare = Some(block.map_err(|reason| Refused::Exhausted(reason, bytes))?);
        }
        let own = spare.filter(|_| beside.is_none());
        let Some(place) = beside.or(own) else { unreachable!("it has a block, or stands in one") };
        if !array.promise(arena.header().names_current.load(Acquire) == array.offset) {
            self.make_room(array)?;
            return Ok(false);
        }
        Entry::write(arena, place, key, Value::Live(object));
        let journal = &self.record().journal;
        journal.open(Intent::Intern {
            entry: place,
            object,
            array: array.offset,
            slot: slot & (array.len() - 1),
        });
        let set_states = |state| {
            if let Some(block) = own {
                Heap::set_state(arena, block, state);
            }
            Heap::set_state(arena, object, state);
        };
        set_states(State::Published);
        let word = Slot::entry(key.hash, place).word();
        // Release: partner of every Acquire of the slot; entry and object are whole.
        let interned =
            array.slot(slot).compare_exchange(Slot::Empty.word(), word, AcqRel, Acquire).is_ok();
        if interned {
            self.mark(parts);
        } else {
            set_states(State::Private);
        }
        journal.close();
        if interned {
            *spare = spare.filter(|_| own.is_none());
        } else {
            array.take_back_promise();
        }
        Ok(interned)
    }

    /// The name leads to an object: taken if that is whole; if it is retired, unlinks it for its
    /// destroyer, who may be slow or dead.
    fn displace_retired(&self, entry: &Entry<'a>, object: u64) -> Result<(), Refused> {
        // Pinned, so that Live(object) in the word cannot be another object's meanwhile.
        let Some(pinned) = self.pin_value(entry, object)? else { return Ok(()) };
        let taken = pinned.life().is_whole();
        if !taken {
            let _ = entry.word().compare_exchange(object, Value::Absent.word(), AcqRel, Acquire);
        }
        self.unpin(pinned.hazard);
        if taken { Err(Refused::Taken) } else { Ok(()) }
    }

    /// Destroys the object of a name if `accept` does; whether this call destroyed one.
    ///
    /// Lock-free. Dead before the CAS of the life word: the object is there, whole. Dead after it:
    /// it is gone, and recovery finishes from the journal.
    pub fn destroy<E: From<Refused>>(
        &self,
        key: &Key<'_>,
        accept: impl FnOnce(&Pinned) -> Result<(), E>,
    ) -> Result<bool, E> {
        let _entered = self.enter();
        let Some(pinned) = self.find_entered(key)? else { return Ok(false) };
        let accepted = accept(&pinned);
        let destroyed = accepted.is_ok() && self.destroy_pinned(&pinned);
        self.unpin(pinned.hazard);
        if destroyed {
            self.after_retire(&pinned);
        }
        accepted.map(|()| destroyed)
    }

    /// Destroys an object that has no name and that the caller has pinned; ends the pin.
    pub fn destroy_unnamed(&self, pinned: Pinned) -> bool {
        let destroyed = self.destroy_pinned(&pinned);
        self.unpin(pinned.hazard);
        if destroyed {
            self.after_retire(&pinned);
        }
        destroyed
    }

    fn destroy_pinned(&self, pinned: &Pinned) -> bool {
        let arena = self.heap.arena;
        let header = ObjectHeader::at(arena, pinned.object).expect("it was pinned");
        let journal = &self.record().journal;
        journal.open(Intent::Destroy { entry: pinned.leads, object: pinned.object });
        let whole = Life { retired_by: crate::heap::unit::LaneId::NOBODY, ..pinned.life() };
        let retired = Life { retired_by: self.heap.lane.id(), ..pinned.life() };
        let won =
            header.life.compare_exchange(whole.word(), retired.word(), AcqRel, Acquire).is_ok();
        if won {
            if let Some(word) = (pinned.leads != 0).then(|| arena.word(pinned.leads)).flatten() {
                // Anybody may have done it; and pinned by us, Live(object) cannot be another's.
                let (live, absent) = (pinned.object, Value::Absent.word());
                let _ = word.compare_exchange(live, absent, AcqRel, Acquire);
            }
            self.leave(pinned.object, pinned.life());
        }
        journal.close();
        won
    }

    /// Leaves the block of an object that is retired and unlinked to whoever finds it unpinned, or to the entry that
    /// stands in it.
    pub(crate) fn leave(&self, object: u64, life: Life) {
        if life.with_entry {
            return;
        }
        if life.has_parts { self.heap.doom(object) } else { self.heap.retire(object) }
    }

    /// The block that a word lies in: an array begins with what is looked at, an entry may stand behind an object, a
    /// lock or a cell anywhere in its object.
    pub(crate) fn block_around(&self, word: u64) -> u64 {
        self.heap.block_around(word).unwrap_or(0)
    }

    /// What has parts, and a retired run, is given back at once if nobody else has it pinned.
    fn after_retire(&self, pinned: &Pinned) {
        let object = pinned.object;
        if pinned.life().has_parts {
            // With all pins in use it stays, until somebody looks for such.
            let _ = trace::reap(self, object);
        } else if self.heap.is_limbo_run(object) {
            self.heap.release_limbo_runs();
        }
    }

    /// Pins the object whose block is at `object`, if a published, whole one is there.
    ///
    /// The state is read behind the pin's fence; while it says PUBLISHED there, the block cannot be
    /// taken again. A block that was freed and taken meanwhile is another object, or none.
    pub fn pin_unnamed(&self, object: u64) -> Result<Option<Pinned>, Refused> {
        let arena = self.heap.arena;
        let hazard = self.heap.lane.pins.pin(self.record(), object).ok_or(Refused::TooManyPins)?;
        let published = crate::heap::locate(arena, object)
            .filter(|place| place.start == object)
            .filter(|place| crate::heap::state_of(arena, place) == Some(State::Published));
        let header = published.and_then(|_| ObjectHeader::at(arena, object));
        let pinned = header.map(|header| Pinned {
            object,
            hazard,
            // Acquire: as in `ObjectHeader::life`.
            word: header.life.load(Acquire),
            fingerprint: header.fingerprint.load(crate::sync::Relaxed),
            leads: 0,
        });
        let whole = pinned.filter(|pinned| pinned.life().is_whole());
        if whole.is_none() {
            self.unpin(hazard);
        }
        Ok(whole)
    }

    /// Calls `each` with every entry that has a live object, each once. Weakly consistent: what is
    /// constructed or destroyed meanwhile may or may not be met.
    pub fn for_each(&self, mut each: impl FnMut(Entry<'a>, Pinned)) -> Result<(), Refused> {
        let _entered = self.enter();
        let mut seen = std::collections::HashSet::new();
        let mut array = self.current()?;
        for _ in 0..CHAIN {
            let next = array.next().load(Acquire);
            for found in array.entries_in_slots(self.heap.arena) {
                let entry = found.map_err(|_| Refused::Corrupt("a slot leads to no entry"))?;
                if next != 0 && !seen.insert(entry.offset)
                    || next == 0 && seen.contains(&entry.offset)
                {
                    continue;
                }
                let Value::Live(object) = entry.value() else { continue };
                if let Some(pinned) = self.pin_value(&entry, object)? {
                    if pinned.life().is_whole() {
                        each(entry, pinned);
                    }
                    self.unpin(pinned.hazard);
                }
            }
            if next == 0 {
                return Ok(());
            }
            array = self.array(next)?;
        }
        Err(Refused::Corrupt("arrays of names follow each other in a circle"))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

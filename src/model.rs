//! What the loom suite builds its models from: the shipped modules at small size, by plain calls.
//!
//! A [`World`] is a segment of a few units in ordinary memory, a [`Worker`] one thread's lane of it,
//! without thread-locals, so that a model says which of its threads has which lane. Nothing here is
//! an algorithm: each call leads to the module that every process runs.
//!
//! Blocks are told apart by their offsets. Panics are the models' failures.

mod leases;
mod led;
mod locks;
mod queue;
mod spsc;

pub use leases::{Lease, Shared};
pub use led::Root;
pub use locks::{AtGate, Count, Fellow, Gate, Happening, Lock, Notice, Pass, Reading, Sheet, Task};
pub use queue::{Job, NotPushed, NothingThere, Ring};
pub use spsc::{NoFront, NoRoom, Place, Stream, StreamEnd};

use crate::arena::Arena;
use crate::heap::lane::Lane;
use crate::heap::size_class::ClassId;
use crate::heap::unit::{LaneId, State, UNIT, Unit, UnitIndex};
use crate::heap::{Heap, PlaceKind, locate};
use crate::index_set::{IndexSet, Level};
use crate::layout::{FANOUT, Header, Layout, MAX_PARTICIPANTS, SetId};
use crate::lock::party::Party;
use crate::lock::raw::{Held, RawMutex, Taken as Took};
use crate::lock::raw_rwlock::{Mended, RawRwLock};
use crate::lock::read_slot::ReadSlot;
use crate::mapping::Mapping;
use crate::names::entry::{Key, Life, ObjectHeader, Space, Value};
use crate::names::{Names, Newcomer, Pinned, Refused};
use crate::process::lane::{self, LaneOwner};
use crate::process::participant::{HeldBy, ParticipantId, ParticipantRecord, ParticipantWord};
use crate::process::registration::{self, Locks, Taken};
use crate::recovery::{self, Recovered};
use crate::sync::{AcqRel, Acquire, AtomicU64, Relaxed, Release, SeqCst, death, fence, futex};
use crate::trace;
use crate::trace::change::{self, Draft};
use crate::trace::fresh::{self, Own};
use crate::trace::map::{Item, Map, Node, Part};
use crate::word::{Tag, Word};
use core::mem::offset_of;
use std::convert::Infallible;
use std::ops::Range;
use std::rc::Rc;

// What is the kernel's is no step of a process.
#[cfg(not(sharena_shuttle))]
use loom::sync::atomic::AtomicU64 as KernelWord;
#[cfg(sharena_shuttle)]
use shuttle::sync::atomic::AtomicU64 as KernelWord;

/// Bytes of the smallest block of a slab in loom's world; the blocks of class `c` have `BLOCK << c`.
pub const BLOCK: usize = 16384;

/// As many words as the largest thing has that the models put into a block.
pub const WORDS: usize = 16;

/// A segment. All threads of one execution share it; make one in each.
pub struct World {
    arena: Arena,
    /// The kernel's locks on the slots of participants: 0, or the number of the process that has it.
    locks: [KernelWord; MAX_PARTICIPANTS],
}

/// A process, as the kernel knows it.
#[derive(Clone, Copy)]
struct Process<'a> {
    world: &'a World,
    number: u64,
}

impl Locks for Process<'_> {
    type Hold = usize;
    type Fault = Infallible;

    fn take(&self, slot: usize) -> Result<Taken<usize>, Infallible> {
        let lock = &self.world.locks[slot];
        let taken = lock.compare_exchange(0, self.number, AcqRel, Acquire);
        Ok(taken.map_or(Taken::Others, |_| Taken::Ours(slot, HeldBy::Mapping)))
    }

    fn release(&self, slot: usize) {
        self.world.locks[slot].store(0, Release);
    }
}

/// What the units and blocks are at rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Units that are nobody's.
    pub free_units: u32,
    /// Units of slabs that a lane owns.
    pub owned: u32,
    /// Units of slabs that nobody owns.
    pub orphans: u32,
    /// Units of runs.
    pub runs: u32,
    /// Blocks of slabs by state, in the order Free, Private, Published, Limbo, Raw.
    pub blocks: [u32; 5],
}

impl World {
    /// A segment of `units` units, all backed, free and in the set of free units.
    pub fn new(units: u32) -> Rc<World> {
        let layout = Layout::for_room(u64::from(units) * UNIT as u64).expect("a small segment");
        let mapping = Mapping::zeroed(layout.bytes() as usize);
        // SAFETY: the mapping has the layout's bytes, zeroed and backed.
        let arena = unsafe { Arena::new(mapping, layout) };
        // SAFETY: as above, and nobody else knows it yet.
        unsafe { arena.construct_tables() };
        // SAFETY: the word of the header, which nobody else knows yet.
        unsafe { arena.at(offset_of!(Header, tag) as u64).cast::<u64>().write(TAG) };
        let first = arena.first_unit();
        arena.header().frontier.store(u64::from(first.0 + units), Release);
        (0..units).for_each(|i| arena.set(SetId::Free).insert((first.0 + i) as usize));
        // The first fence of an execution makes a word; no thread must order others by doing it.
        fence(SeqCst);
        futex::begin();
        let locks = std::array::from_fn(|_| KernelWord::new(0));
        Rc::new(World { arena, locks })
    }

    /// The thread's end of lane `lane`, from 1, which nobody else uses; participant 0's.
    pub fn worker(self: &Rc<World>, lane: u16) -> Worker {
        self.worker_of(0, lane)
    }

    /// The same, of a participant that is attached from here on.
    pub fn worker_of(self: &Rc<World>, participant: u16, lane: u16) -> Worker {
        self.claim(participant, lane);
        self.worker_in(LaneId(lane))
    }

    /// Gives lane `lane` to `participant`, which is attached from here on.
    fn claim(&self, participant: u16, lane: u16) {
        let header = self.arena.header();
        let high = header.lanes_high.load(Relaxed).max(u64::from(lane) + 1);
        header.lanes_high.store(high, Release);
        self.make_live(participant);
        let active = LaneOwner::Active(ParticipantId(participant).since(0)).word();
        self.arena.lane(LaneId(lane)).owner.store(active, Release);
    }

    /// Attaches `participant`, if it is not; nobody else does so meanwhile.
    fn make_live(&self, participant: u16) {
        let header = self.arena.header();
        let high = header.participants_high.load(Relaxed).max(u64::from(participant) + 1);
        header.participants_high.store(high, Release);
        let record = &self.arena.participants()[usize::from(participant)];
        if let Some(free) = ParticipantWord::of(record.word.load(Relaxed))
            && let Some(live) = free.attach(HeldBy::Mapping)
        {
            record.word.store(live.word(), Release);
            self.locks[usize::from(participant)].store(self.process(participant).number, Release);
        }
    }

    fn worker_in(self: &Rc<World>, lane: LaneId) -> Worker {
        // SAFETY: an all-zero lane is one that nobody uses yet.
        let memory = Box::new(unsafe { std::mem::zeroed::<Lane>() });
        memory.begin(&self.arena, lane, 1);
        Worker { world: self.clone(), lane: memory }
    }

    /// The process that is `participant`, or wants to be.
    fn process(&self, participant: u16) -> Process<'_> {
        Process { world: self, number: u64::from(participant) + 1 }
    }

    /// Registers process `process` in the first free one of `slots`; `None`: none is.
    pub fn attach(&self, process: u16, slots: Range<u16>) -> Option<u16> {
        let slots = usize::from(slots.start)..usize::from(slots.end);
        let (records, high) = (self.arena.participants(), &self.arena.header().participants_high);
        let describe = |record: &ParticipantRecord| record.pid.store(u64::from(process), Release);
        let done = registration::register(records, slots, high, &self.process(process), describe);
        done.ok().map(|registered| registered.tenure.id.0)
    }

    /// Whose description the slot has.
    pub fn described(&self, slot: u16) -> u64 {
        self.arena.participants()[usize::from(slot)].pid.load(Relaxed)
    }

    /// Gives back a slot that was got by [`attach`](Self::attach).
    pub fn detach(&self, slot: u16) {
        let records = self.arena.participants();
        let word = ParticipantWord::of(records[usize::from(slot)].word.load(Relaxed));
        let tenure = ParticipantId(slot).since(word.expect("it was attached").counter());
        let release = || self.locks[usize::from(slot)].store(0, Release);
        registration::deregister(records, tenure, HeldBy::Mapping, release);
    }

    /// A new process in the slot of `participant`, with the first lane that is free; `None`: the slot
    /// is not.
    pub fn newcomer(self: &Rc<World>, participant: u16) -> Option<Worker> {
        let slot = self.attach(participant, participant..participant + 1)?;
        let word =
            ParticipantWord::of(self.arena.participants()[usize::from(slot)].word.load(Relaxed));
        let tenure = ParticipantId(slot).since(word.expect("it is Live").counter());
        let lane = lane::take(&self.arena, tenure);
        Some(self.worker_in(lane.expect("there are lanes for all")))
    }

    /// Lets `act` be all that the process of `participant` does: it is killed before its `step`-th
    /// write, or after the last one. `None`: before one.
    pub fn live_and_die<T>(
        &self,
        participant: u16,
        step: u64,
        act: impl FnOnce() -> T,
    ) -> Option<T> {
        let done = death::before(step, act);
        // Release, and Acquire by who judges: the kernel frees a lock after the process did its last.
        let number = self.process(participant).number;
        for lock in &self.locks {
            let _ = lock.compare_exchange(number, 0, AcqRel, Acquire);
        }
        done
    }

    /// Takes a lane for a thread of participant `participant`.
    pub fn take_lane(&self, participant: u16) -> Option<u16> {
        lane::take(&self.arena, ParticipantId(participant).since(0)).ok().map(|lane| lane.0)
    }

    /// Gives it back.
    pub fn give_back_lane(&self, lane: u16) {
        lane::give_back(&self.arena, LaneId(lane));
    }

    /// A thread's beginning, as the segment has it: takes a lane for one of participant 0.
    pub fn begin_thread(self: &Rc<World>) -> Option<Worker> {
        self.make_live(0);
        let lane = lane::take(&self.arena, ParticipantId(0).since(0)).ok()?;
        Some(self.worker_in(lane))
    }

    /// How many lanes of each participant below `participants` there are.
    pub fn lanes_of(&self, participants: u16) -> Vec<usize> {
        let of = |p| LaneOwner::Active(ParticipantId(p).since(0)).word();
        (0..participants)
            .map(|p| {
                self.arena.lanes().filter(|(_, record)| record.owner.load(Relaxed) == of(p)).count()
            })
            .collect()
    }

    /// The number of the smallest block's place in which `offset` lies, from 0: an index for cells.
    pub fn place_of(&self, offset: u64) -> usize {
        (offset - self.arena.first_unit().offset()) as usize / BLOCK
    }

    /// Places of smallest blocks.
    pub fn places(&self) -> usize {
        (self.arena.frontier().0 - self.arena.first_unit().0) as usize * (UNIT / BLOCK)
    }

    /// At rest: counts everything, and panics if a unit or hint is not as it must be.
    pub fn census(&self) -> Census {
        let arena = &self.arena;
        let mut census = Census::default();
        let end = arena.frontier().0;
        let mut at = arena.first_unit().0;
        while at < end {
            let unit = UnitIndex(at);
            let is =
                arena.unit(unit).unwrap_or_else(|| panic!("the word of {unit} makes no sense"));
            match is {
                Unit::Free | Unit::Decommitted => {
                    census.free_units += 1;
                    assert!(
                        arena.set(SetId::Free).contains(at as usize),
                        "{unit} is free and no hint says so"
                    );
                }
                Unit::Slab { class, .. } | Unit::Orphan { class } => {
                    let is_orphan = matches!(is, Unit::Orphan { .. });
                    *(if is_orphan { &mut census.orphans } else { &mut census.owned }) +=
                        is.length();
                    let takeable = self.count_blocks(unit, class, &mut census.blocks);
                    let shown = arena.set(SetId::Orphans(class)).contains(at as usize);
                    assert!(
                        !is_orphan || !takeable || shown,
                        "{unit} is an orphan with room and no hint says so"
                    );
                }
                Unit::Run { len, .. } => census.runs += len,
                _ => panic!("{unit} is left as {is:?}"),
            }
            for back in 1..is.length() {
                let tail = arena.unit(unit.plus(back));
                assert!(
                    matches!(tail, Some(Unit::Tail { back: of, .. }) if of == back),
                    "{unit} covers {tail:?}"
                );
            }
            at += is.length().max(1);
        }
        for (lane, record) in arena.lanes() {
            let owner =
                LaneOwner::of(record.owner.load(Relaxed)).expect("an owner that makes sense");
            match owner.tenure() {
                None => {
                    let pins = record
                        .hazards
                        .iter()
                        .chain([&record.array, &record.helping])
                        .chain(record.reads.iter().map(ReadSlot::word));
                    let is_clear = record.journal.read().is_none()
                        && record.tally.read().is_none()
                        && pins.into_iter().all(|pin| pin.load(Relaxed) == 0);
                    assert!(is_clear, "{lane} is nobody's, and its journal or a pin still stands");
                }
                Some(tenure) => {
                    let word = arena.participants()[usize::from(tenure.id.0)].word.load(Relaxed);
                    let live =
                        ParticipantWord::Live { counter: tenure.counter, held_by: HeldBy::Mapping };
                    assert_eq!(word, live.word(), "{lane} is one's who is not attached any more");
                }
            }
        }
        for set in SetId::all() {
            let hidden = arena.set(set).first_hidden(end as usize);
            assert_eq!(hidden, None, "an item of {set:?} cannot be seen from the top");
        }
        census
    }

    /// Blocks of slabs that are published as objects, entries or arrays.
    pub fn blocks_of_objects_and_entries(&self) -> Vec<u64> {
        let arena = &self.arena;
        let slabs = arena.units().filter_map(|unit| match arena.unit(unit) {
            Some(Unit::Slab { class, .. } | Unit::Orphan { class }) => Some((unit, class)),
            _ => None,
        });
        let blocks = slabs.flat_map(|(unit, class)| {
            let cut = class.cut();
            (0..cut.count).map(move |i| unit.offset() + u64::from(i * cut.size))
        });
        let is_published = |block: &u64| {
            locate(arena, *block).and_then(|place| crate::heap::state_of(arena, &place))
                == Some(State::Published)
        };
        blocks.filter(is_published).collect()
    }

    /// The first words of a block.
    pub fn words(&self, block: u64) -> [u64; WORDS] {
        let word = |i| self.arena.word(block + (i * size_of::<AtomicU64>()) as u64);
        std::array::from_fn(|i| word(i).expect("inside a block").load(Relaxed))
    }

    /// Adds a slab's blocks to `counts`; whether one of them may be taken.
    fn count_blocks(&self, unit: UnitIndex, class: ClassId, counts: &mut [u32; 5]) -> bool {
        let mut takeable = false;
        for index in 0..class.cut().count {
            // SAFETY: the unit is a slab of the class, and the index below its count.
            let state = unsafe { &*self.arena.states(unit, class).add(index as usize) };
            let state = State::of(state.load(Relaxed)).expect("a state byte that makes sense");
            let all = [State::Free, State::Private, State::Published, State::Limbo, State::Raw];
            let of = all.iter().position(|s| *s == state);
            counts[of.expect("a part is left, or an object on which one hung")] += 1;
            takeable |= matches!(state, State::Free | State::Limbo);
        }
        takeable
    }
}

/// An object of a lock and two words that it guards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Guarded(u64);

/// The fingerprint of objects on which a block hangs.
const TREE: u64 = 7;
/// That of such on which one hangs behind a lock.
const GUARD: u64 = 10;
/// The segment's tag, in the words that name blocks.
const TAG: u64 = 1;

/// An object, and the block that hangs on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tree {
    object: u64,
    part: u64,
}

/// From the block of an object to its value.
const VALUE: u64 = ObjectHeader::value_at(align_of::<u64>()) as u64;

/// The map of a word that leads to a block.
fn tree_map() -> Map {
    let node = |fingerprint, items| Node { fingerprint, size: 8, align: 8, items };
    let hangs = vec![Item { at: 0, part: Part::Box { node: 1, null: true } }];
    Map { nodes: vec![node(TREE, hangs), node(TREE + 1, Vec::new())], checks: Vec::new() }
}

/// The map of a lock, and a word behind it that leads to a block.
fn guard_map() -> Map {
    let node = |fingerprint, size, items| Node { fingerprint, size, align: 8, items };
    const WORD: u32 = size_of::<AtomicU64>() as u32; // longer in models
    let guards = vec![Item { at: 0, part: Part::Lock { node: 1, at: WORD } }];
    let hangs = vec![Item { at: 0, part: Part::Box { node: 2, null: true } }];
    let nodes = vec![
        node(GUARD, 2 * WORD, guards),
        node(GUARD + 1, WORD, hangs),
        node(GUARD + 2, 8, Vec::new()),
    ];
    Map { nodes, checks: Vec::new() }
}

impl Tree {
    /// What it is once it is destroyed.
    pub fn ruin(self) -> Ruin {
        Ruin(self.object)
    }
}

/// A destroyed object on which a block hangs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ruin(u64);

/// One lane, and the process memory of the thread that uses it.
pub struct Worker {
    world: Rc<World>,
    lane: Box<Lane>,
}

/// An object that [`Worker::find`] pinned.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its block.
    pub object: u64,
    hazard: crate::process::pin::HazardIndex,
}

impl Worker {
    fn heap(&self) -> Heap<'_> {
        Heap { arena: &self.world.arena, lane: &self.lane }
    }

    fn names(&self) -> Names<'_> {
        Names { heap: self.heap() }
    }

    /// The segment.
    pub fn world(&self) -> &Rc<World> {
        &self.world
    }

    /// A PRIVATE block for `bytes`; `None`: there is no memory.
    pub fn take(&self, bytes: usize) -> Option<u64> {
        self.heap().allocate(bytes, 16).ok()
    }

    /// All blocks for `bytes` that this lane can get.
    pub fn take_all(&self, bytes: usize) -> Vec<u64> {
        std::iter::from_fn(|| self.take(bytes)).collect()
    }

    /// A PRIVATE block that the magazine has at hand; touches no shared memory.
    pub fn take_at_hand(&self, bytes: usize) -> Option<u64> {
        Heap::take(&self.lane, ClassId::of(bytes, 16)?)
    }

    /// One refill of the magazine for `bytes`; whether it brought something.
    pub fn refill(&self, bytes: usize) -> bool {
        self.heap().refill(ClassId::of(bytes, 16).expect("a block of a slab")).is_ok()
    }

    /// Hands a PRIVATE block of this lane to everybody, as raw memory.
    pub fn publish_raw(&self, block: u64) {
        Heap::set_state(&self.world.arena, block, State::Raw);
    }

    /// Hands it to everybody as an object.
    pub fn publish(&self, block: u64) {
        Heap::set_state(&self.world.arena, block, State::Published);
    }

    /// Frees raw memory, whosever slab it lies in, and tells of it.
    pub fn free_raw(&self, block: u64) {
        self.free_untold(block);
        self.heap().tell();
    }

    /// The same, told of with the next one.
    pub fn free_untold(&self, block: u64) {
        self.heap()
            .free_raw(block)
            .unwrap_or_else(|refused| panic!("the holder's free was refused: {refused}"));
    }

    /// Frees a block that this lane's process holds PRIVATE.
    pub fn free_private(&self, block: u64) {
        self.heap().free_private(block);
    }

    /// Recovers whoever is dead; whether nothing is left of any of them, not even their numbers.
    pub fn recover(&self) -> bool {
        self.recovered().pending == 0
    }

    /// The same; what was found.
    pub fn recovered(&self) -> Recovered {
        let locks = &self.world.locks;
        recovery::recover(self.heap(), |id, _| locks[usize::from(id.0)].load(Acquire) == 0)
            .expect("hazards for what is recovered")
    }

    /// Of a recovery, only the step that goes on with what the journal of a dead lane says.
    pub fn finish(&self, lane: u16) {
        self.names().finish(LaneId(lane)).expect("hazards for what is finished");
    }

    /// Leaves a published block in Limbo.
    pub fn retire(&self, block: u64) {
        self.heap().retire(block);
    }

    /// Empties the magazines and gives away all slabs without PRIVATE blocks; whether none is left.
    pub fn give_away_slabs(&self) -> bool {
        self.heap().give_away_slabs(false)
    }

    /// A thread's end: gives away its slabs and its lane. It holds no PRIVATE block and no pin.
    pub fn end_thread(self) {
        assert!(self.give_away_slabs(), "a slab without PRIVATE blocks can be given away");
        let (world, lane) = (self.world.clone(), self.lane.id());
        drop(self);
        lane::give_back(&world.arena, lane);
    }

    /// What a trim does: empty slabs, orphans and unnamed Limbo become free units.
    pub fn release(&self) {
        self.heap().release_idle();
        self.heap().release_empty_orphans();
        self.heap().release_limbo_runs();
    }

    /// A PRIVATE run of `units` units.
    pub fn take_run(&self, units: u32) -> Option<u64> {
        self.heap().allocate_run(units).ok()
    }

    /// Makes a run that this lane holds PRIVATE `units` units long, in place.
    pub fn resize_run(&self, run: u64, units: u32) -> bool {
        let place = locate(&self.world.arena, run).expect("a run that is held");
        let PlaceKind::Run(head, is) = place.kind else { panic!("a run that is held") };
        self.heap().resize_run(head, is, units)
    }

    /// Puts `block` into a hazard word of the lane; the fence is behind it.
    pub fn pin(&self, block: u64) -> Found {
        let record = self.lane.record();
        let hazard = self.lane.pins.pin(record, block).expect("a hazard word is left");
        Found { object: block, hazard }
    }

    /// Ends a pin.
    pub fn unpin(&self, found: Found) {
        self.lane.pins.unpin(self.lane.record(), found.hazard);
    }

    /// Makes the first array of names.
    pub fn found_names(&self) {
        Names::found(self.heap()).expect("memory for two slots");
    }

    /// Writes an object's header into a PRIVATE block.
    pub fn write_object(&self, block: u64) {
        ObjectHeader::write(&self.world.arena, block, 1, Life::new(1, true));
    }

    /// Writes over a PRIVATE block what makes no sense as anything: a late reader shows.
    pub fn overwrite(&self, block: u64) {
        self.write_words(block, &[u64::MAX; WORDS]);
    }

    /// Writes the first words of a PRIVATE block.
    pub fn write_words(&self, block: u64, words: &[u64; WORDS]) {
        let at = self.world.arena.at(block).cast::<AtomicU64>();
        for (i, word) in words.iter().enumerate() {
            // SAFETY: inside the block, which is this lane's alone.
            unsafe { at.add(i).write(AtomicU64::new(*word)) };
        }
    }

    /// Publishes an object, not found by a name, of a lock and two words that it guards.
    pub fn publish_guarded(&self) -> Guarded {
        let block = self.take(BLOCK).expect("room for it");
        self.write_words(block, &[0; WORDS]);
        self.publish(block);
        Guarded(block)
    }

    /// Adds to both words of what it guards, under its lock, which `fellow` takes; `new` hangs on it then.
    /// What they were.
    pub fn change(&self, fellow: &Fellow, it: Guarded, more: u64, new: Option<u64>) -> [u64; 2] {
        let words = self.look(fellow, it);
        self.add(it, words, more, new);
        self.let_go(fellow, it);
        words
    }

    fn add(&self, it: Guarded, words: [u64; 2], more: u64, new: Option<u64>) {
        let mut draft = Draft::default();
        for (i, word) in words.iter().enumerate() {
            draft.write(it.0 + (2 + i as u64) * size_of::<AtomicU64>() as u64, [word + more]);
        }
        draft.new.extend(new);
        let block = self.take(draft.bytes()).expect("room for it");
        self.names().change(it.0, &draft, block, None).expect("pins to spare");
    }

    /// Takes the lock, and looks at the two words.
    pub fn look(&self, fellow: &Fellow, it: Guarded) -> [u64; 2] {
        let lock = RawMutex::of_word(self.world.arena.word(it.0).expect("inside a block"));
        let taken = lock.lock(fellow, None).expect("it waits for ever");
        self.mend(fellow, it, taken);
        self.both(it)
    }

    /// What a dead owner of the lock had begun, by who has it now.
    fn mend(&self, fellow: &Fellow, it: Guarded, taken: Took) {
        if taken.died {
            let made = change::make_all_again(&self.world.arena, fellow, it.0, None);
            assert!(made == Ok(true), "nothing is damaged");
        }
    }

    fn both(&self, it: Guarded) -> [u64; 2] {
        let words = self.world.words(it.0);
        [words[2], words[3]]
    }

    /// The lock, as one that several may read: what lies beside its word is its gate.
    fn open_lock(&self, it: Guarded) -> &RawRwLock {
        // SAFETY: two atomics of the block, in the order of its fields, which stay as long as the world does.
        unsafe { &*self.world.arena.at(it.0).cast() }
    }

    /// The same as [`change`](Self::change), of one that several may read.
    pub fn write_change(&self, fellow: &Fellow, it: Guarded, more: u64, new: Option<u64>) {
        let lock = self.open_lock(it);
        let taken = lock.write(fellow, None).expect("it waits for ever");
        self.mend(fellow, it, taken);
        self.add(it, self.both(it), more, new);
        lock.unlock_write(fellow.me(), false);
    }

    /// Reads the two words, and once more before it leaves.
    pub fn read_twice(&self, fellow: &Fellow, it: Guarded) -> [[u64; 2]; 2] {
        let lock = self.open_lock(it);
        let mend = |taken| {
            self.mend(fellow, it, taken);
            Ok(())
        };
        let mended = lock.read_whole(fellow, Some(None), || true, mend);
        let Mended { hold, .. } = mended.unwrap_or_else(|Held| panic!("it waits for ever"));
        let read = [self.both(it), self.both(it)];
        lock.unlock_read(fellow, hold);
        read
    }

    /// Gives the lock back.
    pub fn let_go(&self, fellow: &Fellow, it: Guarded) {
        let lock = self.world.arena.word(it.0).expect("inside a block");
        RawMutex::of_word(lock).unlock(fellow.me(), false);
    }

    /// Whether a block hangs on something; if so it is freed now.
    pub fn free_if_part(&self, block: u64) -> bool {
        let arena = &self.world.arena;
        // None: its slab was given back whole.
        let state = locate(arena, block).and_then(|place| crate::heap::state_of(arena, &place));
        let is_part = state == Some(State::Part);
        if is_part {
            Heap::set_state(arena, block, State::Raw);
            self.free_raw(block);
        }
        is_part
    }

    /// Takes back what was published.
    pub fn withdraw(&self, it: Guarded) {
        Heap::set_state(&self.world.arena, it.0, State::Raw);
        self.free_raw(it.0);
    }

    /// Publishes the map of objects on which a block hangs: by it anybody can let one fall.
    pub fn know_trees(&self) {
        self.know(TREE, &tree_map());
    }

    /// The same, of objects on which a block hangs behind a lock.
    pub fn know_guards(&self) {
        self.know(GUARD, &guard_map());
    }

    fn know(&self, fingerprint: u64, map: &Map) {
        let arena = &self.world.arena;
        let words = map.words();
        let block = self.take(BLOCK).expect("room for it");
        ObjectHeader::write(arena, block, 1, Life::new(words.len() as u64, true));
        let first = ObjectHeader::value_at(align_of::<u32>());
        // SAFETY: inside the block, which is this lane's alone.
        let at = unsafe { arena.at(block).add(first).cast::<u32>() };
        // SAFETY: as above.
        unsafe { at.copy_from_nonoverlapping(words.as_ptr(), words.len()) };
        let name = fingerprint.to_le_bytes();
        let key = Key::new(arena, Space::Maps, &name);
        self.names().construct(&key, block, &[]).unwrap_or_else(|refused| panic!("{refused:?}"));
    }

    /// What is left by who destroys an object on which a block hangs.
    pub fn ruin(&self) -> Ruin {
        let retired_by = self.lane.id();
        let tree = self.write_tree(Life { has_parts: true, retired_by, ..Life::new(1, false) });
        Heap::set_state(&self.world.arena, tree.part, State::Part);
        Heap::set_state(&self.world.arena, tree.object, State::Doomed);
        Ruin(tree.object)
    }

    /// An object on which a block hangs, both PRIVATE.
    pub fn tree(&self) -> Tree {
        self.write_tree(Life { has_parts: true, ..Life::new(1, true) })
    }

    /// Publishes it under a name, which nobody else constructs.
    pub fn construct_tree(&self, name: &str, tree: Tree) {
        // As for each object with parts: it stays until this lane, or who recovers it, is through.
        let pin = self.pin(tree.object);
        let made = self.names().construct(&self.key(name), tree.object, &[tree.part]);
        made.unwrap_or_else(|refused| panic!("{name} was refused: {refused:?}"));
        self.unpin(pin);
    }

    fn write_tree(&self, life: Life) -> Tree {
        self.write_value(life, TREE, |part| [part, 0])
    }

    /// An object of a fingerprint, and the words of its value, by that of the block that hangs on it.
    fn write_value(&self, life: Life, fingerprint: u64, value: fn(u64) -> [u64; 2]) -> Tree {
        let arena = &self.world.arena;
        let [object, part] = [(); 2].map(|()| self.take(BLOCK).expect("room for both"));
        ObjectHeader::write(arena, object, fingerprint, life);
        let tag = Tag::of_header(TAG).expect("a tag");
        let at = arena.at(object + VALUE).cast::<AtomicU64>();
        for (i, word) in value(Word::new(tag, part).bits()).into_iter().enumerate() {
            // SAFETY: inside the block, which is this lane's alone.
            unsafe { at.add(i).write(AtomicU64::new(word)) };
        }
        Tree { object, part }
    }

    /// An object on which a block hangs behind a lock, both PRIVATE.
    pub fn guard(&self) -> Tree {
        self.write_value(Life { has_parts: true, ..Life::new(1, true) }, GUARD, |part| [0, part])
    }

    /// Publishes it under a name, as `fellow`, which nobody else constructs.
    pub fn construct_guard(&self, fellow: &Fellow, name: &str, guard: Tree) {
        let arena = &self.world.arena;
        let pin = self.pin(guard.object);
        let map = guard_map();
        let tree = trace::walk::Tree::of(arena, &map, guard.object).expect("it was just written");
        let own = Own::of(&tree).expect("its part is private");
        own.take(arena, fellow.me());
        let made = self.names().construct(&self.key(name), guard.object, &own.parts);
        made.unwrap_or_else(|refused| panic!("{name} was refused: {refused:?}"));
        own.give(arena, fellow.me());
        self.unpin(pin);
    }

    /// Takes the lock of a published one, as `fellow`, takes the block off it, if it is there, and gives the lock
    /// back; whether it was.
    pub fn take_off(&self, fellow: &Fellow, guard: Tree) -> bool {
        let arena = &self.world.arena;
        let [lock, hangs] =
            [0, 1].map(|i| guard.object + VALUE + i * size_of::<AtomicU64>() as u64);
        let [word, hangs_at] = [lock, hangs].map(|at| arena.word(at).expect("inside a block"));
        let lock = RawMutex::of_word(word);
        let taken = lock.lock(fellow, None).expect("it waits for ever");
        assert!(!taken.died, "nobody was at it");
        if lock.is_fresh() {
            assert!(fresh::mark_value(arena, &tree_map(), lock, hangs, fellow), "it is whole");
        }
        let is_there = hangs_at.load(Relaxed) != 0;
        if is_there {
            hangs_at.store(0, Release);
            assert!(self.free_if_part(guard.part), "a part is not marked");
        }
        lock.unlock(fellow.me(), false);
        is_there
    }

    /// Lets it fall, if nobody does, or has; whether it fell by this.
    pub fn fall(&self, ruin: Ruin) -> bool {
        trace::reap(&self.names(), ruin.0).unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    fn key<'k>(&self, name: &'k str) -> Key<'k> {
        Key::new(&self.world.arena, Space::Named, name.as_bytes())
    }

    /// Publishes an object under a name; false: the name is taken, and the block still PRIVATE.
    pub fn construct(&self, name: &str, object: u64) -> bool {
        self.construct_if_room(name, object)
            .unwrap_or_else(|| panic!("{name} was refused: no memory"))
    }

    /// The same where memory may run out; `None`: it did, and the block is still PRIVATE.
    pub fn construct_if_room(&self, name: &str, object: u64) -> Option<bool> {
        match self.names().construct(&self.key(name), object, &[]) {
            Ok(()) => Some(true),
            Err(Refused::Taken) => Some(false),
            Err(Refused::Exhausted(..)) => None,
            Err(other) => panic!("{name} was refused: {other:?}"),
        }
    }

    /// The same of a name whose entry is to stand behind the object, if it gets one by this.
    pub fn construct_with_entry(&self, name: &str, object: u64) -> bool {
        let life = Life { with_entry: true, ..Life::new(1, true) };
        ObjectHeader::write(&self.world.arena, object, 1, life);
        let entry = Some(object + VALUE + size_of::<AtomicU64>() as u64);
        match self.names().construct_new(&self.key(name), Newcomer { object, parts: &[], entry }) {
            Ok(()) => true,
            Err(Refused::Taken) => false,
            Err(other) => panic!("{name} was refused: {other:?}"),
        }
    }

    /// The object of a name, pinned.
    pub fn find(&self, name: &str) -> Option<Found> {
        let found: Option<Pinned> = self
            .names()
            .find(&self.key(name))
            .unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        found.map(|pinned| Found { object: pinned.object, hazard: pinned.hazard })
    }

    /// Whether this call destroyed the object of a name.
    pub fn destroy(&self, name: &str) -> bool {
        let destroyed = self.names().destroy::<Refused>(&self.key(name), |_| Ok(()));
        destroyed.unwrap_or_else(|refused| panic!("{name}: {refused:?}"))
    }

    /// Leaves the names without object behind.
    pub fn shed(&self) {
        self.names().shed().expect("memory for an array");
    }

    /// The same where memory may run out.
    pub fn shed_if_room(&self) {
        match self.names().shed() {
            Ok(_) | Err(Refused::Exhausted(..)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Begins to move the names, and leaves it to whoever helps.
    pub fn begin_migration(&self) {
        let names = self.names();
        let _entered = names.enter();
        let current = names.current().expect("there is a table");
        names.begin_migration(current, current.len()).expect("memory for an array");
    }

    /// Moves all names, if they are on their way.
    pub fn help_migration(&self) {
        let names = self.names();
        let _entered = names.enter();
        names.help_migration(u64::MAX).expect("the table is sound");
    }

    /// Gives back arrays that nobody has pinned.
    pub fn reap(&self) {
        self.names().reap();
    }

    /// At rest: the live names, each once, in order of their objects' blocks. Panics if an object
    /// is linked twice.
    pub fn live_names(&self) -> Vec<(String, u64)> {
        let mut live = Vec::new();
        let each = |entry: crate::names::entry::Entry<'_>, pinned: Pinned| {
            assert_eq!(entry.value(), Value::Live(pinned.object));
            live.push((String::from_utf8_lossy(entry.name()).into_owned(), pinned.object));
        };
        self.names().for_each(each).unwrap_or_else(|refused| panic!("{refused:?}"));
        live.sort_by_key(|(_, object)| *object);
        live.windows(2).for_each(|two| assert_ne!(two[0].1, two[1].1, "one object has two names"));
        live
    }
}

impl Drop for Worker {
    /// Frees the process memory only: what the lane holds in the segment stays as it is.
    fn drop(&mut self) {
        for class in ClassId::all() {
            while Heap::take(&self.lane, class).is_some() {}
        }
        self.lane.end();
    }
}

/// An index set in memory of its own.
pub struct Set {
    set: IndexSet,
    _words: Vec<Vec<AtomicU64>>,
}

impl Set {
    /// An empty set for `items` items.
    pub fn new(items: usize) -> Set {
        let mut words: Vec<Vec<AtomicU64>> = Vec::new();
        let mut below = items;
        while words.is_empty() || below > 1 {
            below = below.div_ceil(FANOUT);
            words.push((0..below).map(|_| AtomicU64::new(0)).collect());
        }
        let levels: Vec<Level> = words
            .iter()
            // SAFETY: the words live in the set beside them, and do not move.
            .map(|level| unsafe { Level::new(level.as_ptr(), level.len(), 63, 0) })
            .collect();
        Set { set: IndexSet::new(&levels), _words: words }
    }

    /// Puts `item` in.
    pub fn insert(&self, item: usize) {
        self.set.insert(item);
    }

    /// Takes it out.
    pub fn remove(&self, item: usize) {
        self.set.remove(item);
    }

    /// The first item from `from` on.
    pub fn find(&self, from: usize) -> Option<usize> {
        self.set.find(from)
    }

    /// Takes out an item whose truth did not agree, unless `is_in` says now that it does.
    pub fn drop_stale(&self, item: usize, is_in: impl Fn() -> bool) {
        self.set.drop_stale(item, is_in);
    }

    /// Makes each item below `end` visible again.
    pub fn repair(&self, end: usize) {
        self.set.repair(0, end);
    }

    /// At rest: an item below `end` that cannot be seen from the top.
    pub fn first_hidden(&self, end: usize) -> Option<usize> {
        self.set.first_hidden(end)
    }
}

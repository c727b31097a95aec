//! The heap: blocks of any size for every process, with nobody ever waiting.
//!
//! A reader who follows an allocation goes from [`Heap::take`] (the magazine) to [`slab`] (refill,
//! remote frees, orphans) to [`growth`] (units). Large blocks are [`run`]s. [`unit`] says what each
//! unit is, [`size_class`] how slabs are cut, [`lane`] what a thread keeps in process memory.
//!
//! A block's state is written only by its holder: the slab's owner while FREE, the process that took
//! it while PRIVATE, whoever it was given to while PUBLISHED or RAW. So no operation on a block is a
//! read-modify-write, and there is nothing to repair when its holder dies.

pub mod error;
pub mod growth;
pub mod lane;
mod orphan;
pub mod run;
pub mod size_class;
pub mod slab;
pub mod unit;

use crate::arena::Arena;
use crate::sync::{Acquire, AtomicU8, Relaxed, Release};
use error::FreeError;
pub use growth::Exhausted;
use lane::Lane;
use size_class::{Class, ClassId};
use slab::SlabBlock;
use unit::{OWNER, State, UNIT, Unit, UnitIndex, class_code, class_field, is_owned_slab};

/// The heap as one live lane uses it.
#[derive(Clone, Copy)]
pub struct Heap<'a> {
    pub arena: &'a Arena,
    pub lane: &'a Lane,
}

/// A block, as the unit words tell.
#[derive(Clone, Copy)]
pub struct Place {
    /// Where it starts.
    pub start: u64,
    /// How many bytes it has.
    pub bytes: u64,
    pub kind: PlaceKind,
}

#[derive(Clone, Copy)]
pub enum PlaceKind {
    Slab(SlabBlock, Unit),
    Run(UnitIndex, Unit),
}

/// The block that holds the byte at `offset`, if a block can be there; its state says if one is.
pub fn locate(arena: &Arena, offset: u64) -> Option<Place> {
    if !arena.holds(offset, 1) {
        return None;
    }
    let mut head = UnitIndex::containing(offset);
    let mut unit = arena.unit(head)?;
    if let Unit::Tail { back, .. } = unit {
        // Below the first unit a word may have no memory.
        head = UnitIndex(head.0.checked_sub(back).filter(|head| *head >= arena.first_unit().0)?);
        unit = arena.unit(head)?;
        if unit.length() <= back {
            return None;
        }
    }
    let place = match unit {
        Unit::Slab { class, .. } | Unit::Orphan { class } | Unit::Sweep { class, .. } => {
            let cut = class.cut();
            let at = u32::try_from(offset - head.offset()).ok()?;
            let index = cut.index_of(at);
            let start = head.offset() + u64::from(index) * u64::from(cut.size);
            let block = SlabBlock { head, class, index };
            let kind = PlaceKind::Slab(block, unit);
            (index < cut.count).then_some(Place { start, bytes: u64::from(cut.size), kind })
        }
        // Of no unit, only a damaged file has one.
        Unit::Run { len: len @ 1.., .. } => {
            let bytes = u64::from(len) * UNIT as u64;
            Some(Place { start: head.offset(), bytes, kind: PlaceKind::Run(head, unit) })
        }
        _ => None,
    };
    // A head near the frontier may say that it covers more than there is.
    place.filter(|place| arena.holds(place.start, place.bytes))
}

/// The state of a block; `None`: a byte that no version of this crate writes.
pub fn state_of(arena: &Arena, place: &Place) -> Option<State> {
    match place.kind {
        PlaceKind::Slab(block, _) => {
            // SAFETY: `locate` read that the head is a slab of this class, and made the index.
            let state =
                unsafe { &*arena.states(block.head, block.class).add(block.index as usize) };
            State::of(state.load(Acquire))
        }
        PlaceKind::Run(_, Unit::Run { state, .. }) => Some(state),
        PlaceKind::Run(..) => None,
    }
}

impl<'a> Heap<'a> {
    /// A PRIVATE block of `class`, if one is at hand. Touches no shared memory; wait-free.
    #[inline(always)]
    pub fn take(lane: &Lane, class: ClassId) -> Option<u64> {
        lane.magazine(class).pop()
    }

    /// A RAW block of `class`, whose slabs are single units, if one is at hand. Wait-free.
    #[inline(always)]
    pub fn take_raw(lane: &Lane, class: ClassId) -> Option<u64> {
        lane.magazine(class).pop_raw()
    }

    /// The owner lane's way to free a block of its own slab: false if it is not, or if the magazine
    /// is full. `was` is the state that the block must have. Wait-free.
    #[inline(always)]
    pub fn free_own(lane: &Lane, block: u64, was: State) -> bool {
        let Some(word) = lane.unit_word(block) else { return false };
        // Relaxed: a word with our tag was written by ourselves. A tag has no other bits.
        let but_tag = word.load(Relaxed) ^ lane.tag();
        if but_tag & OWNER != 0 {
            return false;
        }
        let magazine = lane.magazine(class_code(but_tag));
        magazine.push_if(block, || {
            if was == State::Private {
                return true;
            }
            let Some((_, state)) = magazine.place_of(block) else { return false };
            // SAFETY: of a slab that this lane owns, so in backed memory of its segment.
            let state = unsafe { &*state.cast::<AtomicU8>() };
            let freed = state.load(Relaxed) == was as u8;
            if freed {
                // Relaxed: the block stays with this lane; dead from here on, its recovery frees it.
                state.store(State::Private as u8, Relaxed);
            }
            freed
        })
    }

    /// Takes a block of `class`, or refills first.
    pub fn take_or_refill(&self, class: ClassId) -> Result<u64, Exhausted> {
        loop {
            if let Some(block) = Self::take(self.lane, class) {
                return Ok(block);
            }
            self.refill(class)?;
        }
    }

    /// A PRIVATE block of at least `bytes` at a multiple of `align`; `align` ≤ 64 KiB, `bytes` > 0.
    pub fn allocate(&self, bytes: usize, align: usize) -> Result<u64, Exhausted> {
        match ClassId::of(bytes, align) {
            Some(class) => self.take_or_refill(class),
            None => self.allocate_run(run::units_for(bytes)),
        }
    }

    /// Gives a block that its holder calls PRIVATE a new state, or takes it back to PRIVATE.
    ///
    /// Release: whoever sees the block by this state, and recovery, sees what was written into it.
    #[inline(always)]
    pub fn set_state(arena: &Arena, block: u64, state: State) {
        let unit = UnitIndex::containing(block);
        // Relaxed: the holder of a block read this unit's word, or a later one, when it got it.
        let word = arena.unit_word(unit).load(Relaxed);
        match class_field(word) {
            Some(class) if is_owned_slab(word) => {
                let cut = class.cut();
                let index = cut.index_of(block as u32 & (UNIT as u32 - 1));
                // SAFETY: the word says slab of this class, and the holder vouches for the block.
                unsafe {
                    (*arena.states(unit, class).add(index as usize)).store(state as u8, Release)
                };
            }
            _ => Self::set_state_elsewhere(arena, block, state),
        }
    }

    /// The same for a run, or a block whose unit is not its slab's head, or an orphan's.
    #[cold]
    fn set_state_elsewhere(arena: &Arena, block: u64, state: State) {
        match locate(arena, block).expect("a block that is held").kind {
            PlaceKind::Run(head, Unit::Run { len, lane, .. }) => {
                arena.unit_word(head).store(Unit::Run { len, lane, state }.word(), Release);
            }
            PlaceKind::Run(head, unit) => unreachable!("{head} is a run, not {unit:?}"),
            PlaceKind::Slab(block, _) => {
                // SAFETY: `locate` read the slab's class, and made the index.
                unsafe {
                    (*arena.states(block.head, block.class).add(block.index as usize))
                        .store(state as u8, Release)
                };
            }
        }
    }

    /// Frees a block that this process holds PRIVATE.
    pub fn free_private(&self, block: u64) {
        if self.free_own_with_room(block, State::Private) {
            return;
        }
        let place = locate(self.arena, block).expect("a block that is held");
        self.free_place(place);
    }

    /// [`free_own`](Self::free_own), after a full magazine has been flushed.
    fn free_own_with_room(&self, block: u64, was: State) -> bool {
        if let Some(word) = self.lane.unit_word(block).map(|word| word.load(Relaxed))
            && word & OWNER == self.lane.tag()
        {
            let class = class_code(word);
            if self.lane.magazine(class).is_full() {
                self.make_room(class);
            }
        }
        Self::free_own(self.lane, block, was)
    }

    fn free_place(&self, place: Place) {
        match place.kind {
            PlaceKind::Slab(block, Unit::Slab { class, lane, .. }) if lane == self.lane.id() => {
                // Its own, but the magazine was full, or the block lies in a further unit of its slab.
                Self::set_state(self.arena, place.start, State::Private);
                let magazine = self.lane.magazine(class);
                if magazine.is_full() {
                    self.make_room(class);
                }
                debug_assert_eq!(block.class, class);
                let pushed = magazine.push(place.start);
                debug_assert!(pushed, "it was flushed");
            }
            PlaceKind::Slab(block, _) => self.remote_free(block),
            PlaceKind::Run(head, unit) => {
                let freed = self.free_run(head, unit);
                debug_assert!(freed, "its holder is alone with it");
            }
        }
    }

    /// Frees a block in state RAW, from whatever process it came.
    pub fn free_raw(&self, offset: u64) -> Result<(), FreeError> {
        if self.free_own_with_room(offset, State::Raw) {
            return Ok(());
        }
        if self.free_raw_elsewhere(offset) {
            return Ok(());
        }
        let place = raw_place(self.arena, offset)?;
        match place.kind {
            PlaceKind::Run(head, unit) if !self.free_run(head, unit) => {
                Err(FreeError::DoubleFree { offset })
            }
            PlaceKind::Run(..) => Ok(()),
            PlaceKind::Slab(..) => {
                self.free_place(place);
                Ok(())
            }
        }
    }

    /// Leaves a published block to be freed when nobody's hazard names it. Where none stands, it is
    /// retired already, or the segment is damaged: then this does nothing.
    pub fn retire(&self, block: u64) {
        self.retire_from(block, State::Published);
    }

    /// The same, of a block whose state is `was`.
    pub fn retire_from(&self, block: u64, was: State) {
        if let Some((block, _)) = self.starts_in_owned_slab(block) {
            // Acquire, as in `state_of`.
            if self.state(block).load(Acquire) == was as u8 {
                self.retire_block(block);
            }
            return;
        }
        match self.place_in(block, was).map(|place| place.kind) {
            Some(PlaceKind::Slab(block, _)) => self.retire_block(block),
            Some(PlaceKind::Run(head, unit)) => self.retire_run(head, unit),
            None => {}
        }
    }

    /// Whether a retired block is a run, which is given back at once.
    #[inline]
    pub fn is_limbo_run(&self, block: u64) -> bool {
        let word = self.lane.unit_word(block).map(|word| word.load(Acquire));
        word.is_some_and(|word| {
            !is_owned_slab(word)
                && matches!(Unit::of(word), Some(Unit::Run { state: State::Limbo, .. }))
        })
    }

    /// Leaves a published block to be destroyed with its parts; as [`retire`](Self::retire).
    pub fn doom(&self, block: u64) {
        if let Some(place) = self.place_in(block, State::Published) {
            // Release: the object was unlinked before.
            Self::set_state(self.arena, place.start, State::Doomed);
        }
    }

    /// Whether a block of at least so many bytes starts there, as [`locate`] says; without it where the block lies in
    /// a slab of one unit that somebody owns. Wait-free.
    #[inline(always)]
    pub fn starts_block(&self, block: u64, bytes: u64) -> bool {
        match self.starts_in_owned_slab(block) {
            Some((_, size)) => bytes <= u64::from(size),
            None => self.starts_elsewhere(block, bytes),
        }
    }

    #[cold]
    fn starts_elsewhere(&self, block: u64, bytes: u64) -> bool {
        locate(self.arena, block).is_some_and(|place| place.start == block && bytes <= place.bytes)
    }

    /// Where the block starts that holds the byte at `offset`, as [`locate`] says; without it where that lies in the
    /// head of a slab that somebody owns.
    pub fn block_around(&self, offset: u64) -> Option<u64> {
        if !self.arena.holds(offset, 1) {
            return None;
        }
        let Some((block, cut, at)) = self.in_owned_slab(offset) else {
            return locate(self.arena, offset).map(|place| place.start);
        };
        let start = offset - u64::from(at - block.index * cut.size);
        self.arena.holds(start, u64::from(cut.size)).then_some(start)
    }

    /// The block that starts there, as [`locate`] says, and its size, if it lies in a slab of one unit that somebody owns.
    #[inline(always)]
    fn starts_in_owned_slab(&self, block: u64) -> Option<(SlabBlock, u32)> {
        // First: what is looked at beyond the frontier may have no memory. With one byte of a unit all are below it.
        if !self.arena.holds(block, 1) {
            return None;
        }
        // Acquire, as in `Arena::unit`.
        let word = self.lane.unit_word(block)?.load(Acquire);
        let class = class_field(word).filter(|_| is_owned_slab(word))?;
        let magazine = self.lane.magazine(class);
        let (index, _) = magazine.place_of(block)?;
        let head = UnitIndex::containing(block);
        Some((SlabBlock { head, class, index }, magazine.size()))
    }

    /// The block that holds the byte there, below the frontier, if that is in the head of a slab that somebody owns; and
    /// the byte's number in it.
    #[inline(always)]
    fn in_owned_slab(&self, offset: u64) -> Option<(SlabBlock, &'static Class, u32)> {
        // Acquire, as in `Arena::unit`.
        let word = self.lane.unit_word(offset)?.load(Acquire);
        let class = class_field(word).filter(|_| is_owned_slab(word))?;
        let cut = class.cut();
        let at = offset as u32 & (UNIT as u32 - 1);
        let index = cut.index_of(at);
        let block = SlabBlock { head: UnitIndex::containing(offset), class, index };
        (index < cut.count).then_some((block, cut, at))
    }

    /// The block that starts there, if this is its state.
    fn place_in(&self, block: u64, state: State) -> Option<Place> {
        locate(self.arena, block)
            .filter(|place| place.start == block)
            .filter(|place| state_of(self.arena, place) == Some(state))
    }

    /// Makes the block at `place`, which the caller holds alone, at least `bytes` long where it
    /// stands, or gives back what it does not need for them; its size then.
    pub fn resize_in_place(&self, place: &Place, bytes: usize) -> Option<u64> {
        match place.kind {
            PlaceKind::Slab(..) => (bytes as u64 <= place.bytes).then_some(place.bytes),
            PlaceKind::Run(head, unit) => {
                let wanted = run::units_for(bytes);
                (wanted == unit.length() || self.resize_run(head, unit, wanted))
                    .then(|| u64::from(wanted) * UNIT as u64)
            }
        }
    }
}

/// The RAW block that starts at `offset`, or why there is none.
pub fn raw_place(arena: &Arena, offset: u64) -> Result<Place, FreeError> {
    let place = locate(arena, offset).ok_or(FreeError::Foreign { offset })?;
    if place.start != offset {
        return Err(FreeError::Misaligned { offset, start: place.start });
    }
    match state_of(arena, &place) {
        Some(State::Raw) => Ok(place),
        Some(State::Published | State::Part | State::Doomed) => Err(FreeError::IsObject { offset }),
        Some(State::Private) => Err(FreeError::IsPrivate { offset }),
        Some(State::Free | State::Limbo) => Err(FreeError::DoubleFree { offset }),
        None => Err(FreeError::Foreign { offset }),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::attached::with_lane;
    use crate::{Options, Segment};
    use unit::LaneId;

    /// A segment with a run of five units, and the first of them.
    fn with_run() -> (Segment, UnitIndex) {
        let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let layout = core::alloc::Layout::from_size_align(5 * UNIT, 8).unwrap();
        let head = UnitIndex::containing(segment.allocate(layout).unwrap().to_bits());
        (segment, head)
    }

    #[test]
    fn a_run_is_found_from_each_of_its_bytes_and_no_other() {
        let (segment, head) = with_run();
        let arena = &segment.attached().arena;
        let start = head.offset();
        for at in [0, 1, UNIT as u64, 5 * UNIT as u64 - 1] {
            let place = locate(arena, start + at).unwrap();
            assert_eq!((place.start, place.bytes), (start, 5 * UNIT as u64));
        }
        // A tail that its head does not cover is no block's.
        let (word, lane) = (arena.unit_word(head), LaneId(1));
        let run = Unit::of(word.load(Acquire)).unwrap();
        word.store(Unit::Run { len: 4, lane, state: State::Raw }.word(), Release);
        assert!(locate(arena, start + 4 * UNIT as u64 - 1).is_some());
        assert!(locate(arena, start + 4 * UNIT as u64).is_none());
        word.store(run.word(), Release);
    }

    #[test]
    fn a_tail_whose_head_lies_below_the_units_is_no_block_s() {
        let (segment, head) = with_run();
        let arena = &segment.attached().arena;
        let tail = head.plus(1);
        let (word, below) = (arena.unit_word(tail), UnitIndex(arena.first_unit().0 - 1));
        let was = word.swap(Unit::Tail { back: tail.0 - below.0, lane: LaneId(1) }.word(), Release);
        // Such a word can stand there, as tables are no units.
        let run = Unit::Run { len: 1 << 20, lane: LaneId(1), state: State::Raw };
        let table = arena.unit_word(below).swap(run.word(), Release);
        assert!(locate(arena, tail.offset()).is_none());
        arena.unit_word(below).store(table, Release);
        word.store(Unit::Tail { back: tail.0 + 1, lane: LaneId(1) }.word(), Release);
        assert!(locate(arena, tail.offset()).is_none());
        word.store(was, Release);
    }

    #[test]
    fn nothing_is_found_outside_of_the_blocks() {
        let (segment, _) = with_run();
        let block = segment.allocate(core::alloc::Layout::new::<[u64; 6]>()).unwrap().to_bits();
        let arena = &segment.attached().arena;
        let place = locate(arena, block + 47).unwrap();
        assert_eq!((place.start, place.bytes), (block, 48));
        let PlaceKind::Slab(first, _) = place.kind else { panic!("a slab") };
        let cut = first.class.cut();
        let start = first.head.offset();
        let end = start + u64::from(cut.count) * u64::from(cut.size);
        assert!(end < first.head.offset() + UNIT as u64, "a rest too small for a block");
        for (offset, is_found) in [
            (start, true),
            (end - 1, true),
            (end, false),
            (start + u64::from(cut.states), false),
            (start + UNIT as u64 - 1, false),
        ] {
            assert_eq!(locate(arena, offset).is_some(), is_found, "{:#x}", offset - start);
        }
        for offset in [0, arena.first_unit().offset() - 1, arena.frontier().offset(), u64::MAX] {
            assert!(locate(arena, offset).is_none(), "{offset:#x}");
        }
    }

    #[test]
    fn a_run_in_limbo_that_ends_beyond_the_frontier_is_left_alone() {
        let (segment, head) = with_run();
        let arena = &segment.attached().arena;
        segment.deallocate(crate::Offset::from_bits(head.offset()).unwrap()).unwrap();
        let (word, limbos) = (arena.unit_word(head), arena.set(crate::layout::SetId::LimboRuns));
        let run = |len| Unit::Run { len, lane: LaneId::NOBODY, state: State::Limbo }.word();
        let beyond = run(arena.frontier().0 - head.0 + 1);
        word.store(beyond, Release);
        limbos.insert(head.0 as usize);
        segment.trim().unwrap();
        assert_eq!(word.load(Acquire), beyond);
        word.store(run(1), Release);
        segment.trim().unwrap();
        let is_free = matches!(arena.unit(head), Some(Unit::Free | Unit::Decommitted));
        assert!(is_free, "one that fits");
        assert!(segment.check().unwrap().is_clean());
    }

    #[test]
    fn a_thread_s_own_blocks_come_and_go_the_short_way() {
        // The long way does the same, and would hide that the short one is closed.
        let segment = Options::new().capacity(64 << 20).create_anonymous().unwrap();
        let arena = &segment.attached().arena;
        let state = |block| state_of(arena, &locate(arena, block).unwrap()).unwrap();
        with_lane(segment.attached(), |lane| {
            for class in ClassId::all() {
                let first = Heap { arena, lane }.take_or_refill(class).unwrap();
                assert!(Heap::free_own(lane, first, State::Private), "{class}");
                // From the stack, where the first one is, and from the row, as far as there is one.
                for _ in 0..class.cut().magazine.min(2) {
                    if class.cut().span > 1 {
                        continue; // there is no short way
                    }
                    let raw = Heap::take_raw(lane, class).unwrap();
                    assert_eq!(state(raw), State::Raw, "{class}");
                    let others = [raw + 8, raw + 1, raw + (1 << 48), arena.layout().bytes()];
                    for other in others {
                        assert!(!Heap::free_own(lane, other, State::Raw), "no block begins there");
                    }
                    assert!(!Heap::free_own(lane, raw, State::Published), "it is no object");
                    assert_eq!(state(raw), State::Raw, "{class}");
                    assert!(Heap::free_own(lane, raw, State::Raw), "{class}");
                    assert_eq!(state(raw), State::Private, "{class}");
                    assert!(!Heap::free_own(lane, raw, State::Raw), "it is free");
                    assert_eq!(Heap::take(lane, class), Some(raw), "the last one in");
                }
            }
        })
        .unwrap();
    }

    #[test]
    fn what_a_thread_frees_of_its_own_slab_is_at_hand_again() {
        let segment = Options::new().capacity(64 << 20).create_anonymous().unwrap();
        let arena = &segment.attached().arena;
        with_lane(segment.attached(), |lane| {
            for class in ClassId::all() {
                let (heap, cut) = (Heap { arena, lane }, class.cut());
                let take = || heap.take_or_refill(class).unwrap();
                let blocks: Vec<u64> = (0..cut.count).map(|_| take()).collect();
                for block in blocks.into_iter().rev() {
                    heap.free_private(block);
                    assert_eq!(Heap::take(lane, class), Some(block), "{class}");
                }
            }
        })
        .unwrap();
    }

    #[test]
    fn behind_the_last_block_of_a_slab_is_none() {
        let segment = Options::new().capacity(64 << 20).create_anonymous().unwrap();
        let arena = &segment.attached().arena;
        with_lane(segment.attached(), |lane| {
            let mut seen = 0;
            for class in ClassId::all() {
                let (heap, cut) = (Heap { arena, lane }, class.cut());
                let place = locate(arena, heap.take_or_refill(class).unwrap()).unwrap();
                let PlaceKind::Slab(block, _) = place.kind else { panic!("a slab") };
                let (start, end) = (block.head.offset(), u64::from(cut.count * cut.size));
                let last = locate(arena, start + end - 1).unwrap();
                assert_eq!(last.start + last.bytes, start + end, "{class}");
                if end < u64::from(cut.span) * UNIT as u64 {
                    assert!(locate(arena, start + end).is_none(), "{class}");
                    seen += 1;
                }
            }
            assert!(seen > 10, "{seen} classes leave something over");
        })
        .unwrap();
    }

    #[test]
    fn a_run_of_no_units_holds_no_byte() {
        let segment = Options::new().capacity(4 << 20).create_anonymous().unwrap();
        let arena = &segment.attached().arena;
        let layout = core::alloc::Layout::from_size_align(20 * UNIT, 16).unwrap();
        let at = segment.allocate(layout).unwrap().to_bits();
        assert_eq!(locate(arena, at + 2 * UNIT as u64).unwrap().start, at);
        let head = UnitIndex::containing(at);
        let Some(Unit::Run { lane, state, .. }) = arena.unit(head) else { panic!("a run") };
        arena.unit_word(head).store(Unit::Run { len: 0, lane, state }.word(), Release);
        assert!(locate(arena, at).is_none() && locate(arena, at + 2 * UNIT as u64).is_none());
    }

    #[test]
    fn a_full_magazine_gives_back_most_of_it_for_a_block_of_its_own_alone() {
        let segment = Options::new().capacity(4 << 20).create_anonymous().unwrap();
        let (arena, class) = (&segment.attached().arena, ClassId::of(64, 8).unwrap());
        let (blocks_of_others, end) =
            (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
        std::thread::scope(|scope| {
            let (send, ended) = (blocks_of_others.0, end.1);
            let segment = &segment;
            scope.spawn(move || {
                let block = segment.allocate(core::alloc::Layout::new::<[u64; 8]>()).unwrap();
                send.send(block.to_bits()).unwrap();
                ended.recv().unwrap_err(); // when the other thread is at its end, however it got there
            });
            let _ended = end.0;
            let foreign = blocks_of_others.1.recv().unwrap();
            with_lane(segment.attached(), |lane| {
                let (heap, magazine) = (Heap { arena, lane }, lane.magazine(class));
                let room = class.cut().magazine;
                let blocks: Vec<u64> =
                    (0..2 * room).map(|_| heap.take_or_refill(class).unwrap()).collect();
                let mut blocks = blocks.into_iter();
                while !magazine.is_full() {
                    assert!(Heap::free_own(lane, blocks.next().unwrap(), State::Private));
                }
                let last = blocks.next().unwrap();
                assert!(!Heap::free_own(lane, last, State::Private), "there is no room");
                assert!(!heap.free_own_with_room(foreign, State::Raw), "another's");
                assert_eq!(magazine.room(), 0);
                assert!(heap.free_own_with_room(last, State::Private));
                assert!((room / 2..room / 4 * 3).contains(&magazine.room()));
                // The blocks came group by group, and so they go.
                let place = locate(arena, magazine.oldest(1)[0]).unwrap();
                let PlaceKind::Slab(oldest, _) = place.kind else { panic!("of a slab") };
                assert_eq!(oldest.index as usize % size_class::GROUP, 0);
            })
            .unwrap();
        });
    }

    #[test]
    fn units_lanes_and_classes_are_shown_with_what_they_are() {
        let class = ClassId::of(100, 8).unwrap();
        let shown = format!("{}, {}, {class}", UnitIndex(7), LaneId(3));
        assert_eq!(shown, "unit 7, lane 3, 112 B");
    }
}

//! Changes of what a lock guards: all or nothing, whoever dies.
//!
//! A published value with blocks is changed under its lock. What changes is written down first, in a
//! **draft**: a block of the changing process' own that says which words get which values, which of its
//! own blocks hang on the value from then on, and which old ones do not any more (its **graves**).
//!
//! ```text
//! g1  draft written, PRIVATE               g2  journal: Change{lock, draft}         the change is made
//! g3  each new block: PRIVATE → PART       g4  each word := its value
//! no graves:  g5  journal closed, draft freed
//! else:       g5  draft: PRIVATE → DOOMED  g6  journal: Change → Fall{draft}        (one word)
//!             g7  the draft falls, as any destroyed object: its graves are its parts
//! ```
//!
//! Dead before g2: all that is new is PRIVATE, and is swept. Dead after it, the change is **made again**
//! from g3 on, each step of which may be done twice, *by whoever holds the lock* and by nobody else, so
//! that nobody's late store meets what the next holder wrote: recovery takes the lock from the dead for
//! that, or the next who wants it does, before it has the value. Until the journal is closed, or a fall's,
//! nothing of the dead process is swept.
//!
//! The lock of the journal may be one that is reached through another: whoever takes any lock from the
//! dead first makes all changes that these had begun, or one could bury what a late helper still writes.
//!
//! Nobody else reaches the draft when it is DOOMED: it says from the beginning that it is falling.

use super::fall::{fall_of_draft, reap_last};
use super::walk::{AtLock, Fault, Guarded, Limb, Tree, Walker};
use crate::arena::Arena;
use crate::heap::unit::{LaneId, State, Unit};
use crate::heap::{Heap, Place, PlaceKind, locate, state_of};
use crate::lock::party::Party;
use crate::lock::raw::{Held, RawMutex};
use crate::lock::word::Who;
use crate::names::entry::{Life, ObjectHeader};
use crate::names::{Names, Refused};
use crate::process::journal::Intent;
use crate::process::participant::{ParticipantWord, Tenure};
use crate::process::pin::REAPER;
use crate::shareable::{LayoutHash, Shareable};
use crate::sync::futex::Moment;
use crate::sync::{Acquire, AtomicU64, Relaxed, Release};
use crate::trace::map::{Map, Part, Tracer};
use crate::word::{Tag, Word};
use core::fmt;

/// A word that leads to a block which is to be freed, whatever is in it: the value of a draft that falls.
#[repr(transparent)]
pub struct Grave(Word);

// SAFETY: a word that means the same in every process.
unsafe impl Shareable for Grave {
    const NAME: u64 = LayoutHash::of_name("sharena::Grave").finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().finish();
    const ANY_BITS: bool = false;
    const HAS_BLOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("sharena::Grave")
    }
    // SAFETY: of the caller nothing is asked, as nothing is looked at.
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
    fn trace(map: &mut Tracer) {
        let node = map.node_of::<u8>();
        map.part(Part::Box { node, null: true });
    }
}

/// Words that follow each other, and their new values.
struct Run {
    at: u64,
    words: Vec<u64>,
}

/// What is to change, before it is written down.
#[derive(Default)]
pub struct Draft {
    runs: Vec<Run>,
    /// Blocks of this process' own that will hang on the value.
    pub new: Vec<u64>,
    /// Blocks that will not hang on it any more.
    pub graves: Vec<u64>,
}

const WORD: u64 = size_of::<AtomicU64>() as u64;
/// Words before the graves: the header of an object.
const HEAD: u64 = size_of::<ObjectHeader>() as u64 / WORD;

impl Draft {
    /// The words at `at`, a multiple of 8, get these values.
    pub fn write(&mut self, at: u64, words: impl IntoIterator<Item = u64>) {
        self.runs.push(Run { at, words: words.into_iter().collect() });
    }

    /// Bytes of a block for it.
    pub fn bytes(&self) -> usize {
        let runs: usize = self.runs.iter().map(|run| 2 + run.words.len()).sum();
        (HEAD as usize + self.graves.len() + 1 + self.new.len() + runs) * WORD as usize
    }

    /// g1. Into a block that is the caller's alone.
    pub fn put(&self, arena: &Arena, lane: LaneId, tag: Option<Tag>, block: u64) {
        let life = Life {
            has_parts: true,
            retired_by: lane,
            is_falling: true,
            ..Life::new(self.graves.len() as u64, false)
        };
        ObjectHeader::write(arena, block, Grave::FINGERPRINT, life);
        let tag = tag.unwrap_or(Tag::NONE);
        let graves = self.graves.iter().map(|grave| Word::new(tag, *grave).bits());
        let counts = (self.new.len() as u64) << 32 | self.runs.len() as u64;
        let runs = self.runs.iter().flat_map(|run| {
            [run.at, run.words.len() as u64].into_iter().chain(run.words.iter().copied())
        });
        let words = graves.chain([counts]).chain(self.new.iter().copied()).chain(runs);
        let first = arena.at(block + HEAD * WORD).cast::<AtomicU64>();
        for (i, word) in words.enumerate() {
            // SAFETY: within the block, which is the caller's alone and has `bytes`. Who reads it found it by
            // the journal, which is opened behind, by a Release.
            unsafe { first.add(i).write(AtomicU64::new(word)) };
        }
    }
}

/// A draft as it stands in its block, in whatever state a dead process or a damaged file left that.
struct Written<'a> {
    arena: &'a Arena,
    block: u64,
    /// Where its words end.
    end: u64,
    graves: u64,
}

impl<'a> Written<'a> {
    /// `None`: none can be there.
    fn at(arena: &'a Arena, block: u64) -> Option<Written<'a>> {
        let place = locate(arena, block).filter(|place| place.start == block)?;
        let graves = ObjectHeader::at(arena, block)?.life().count;
        Some(Written { arena, block, end: block + place.bytes, graves })
    }

    fn word(&self, at: u64) -> Option<u64> {
        let inside = at >= self.block && at.checked_add(WORD)? <= self.end;
        // Relaxed: written before the journal was opened, of which the caller has read that.
        inside.then(|| self.arena.word(at).map(|word| word.load(Relaxed)))?
    }

    /// Calls `mark` with each new block, and `write` with the place of each run of words, where their
    /// values are and how many; `None`: what it says cannot be, and nothing was called from there on.
    fn read(&self, mut mark: impl FnMut(u64), mut write: impl FnMut(u64, u64, u64)) -> Option<()> {
        let words = (self.end - self.block) / WORD;
        let mut at = self.block + HEAD.checked_add(self.graves).filter(|it| *it < words)? * WORD;
        let counts = self.word(at)?;
        for _ in 0..counts >> 32 {
            at += WORD;
            mark(self.word(at)?);
        }
        for _ in 0..counts & u64::from(u32::MAX) {
            let (to, len) = (self.word(at + WORD)?, self.word(at + 2 * WORD)?);
            let (from, left) = (at + 3 * WORD, (self.end - at) / WORD - 3);
            if len > left {
                return None;
            }
            write(to, from, len);
            at = from + len * WORD - WORD;
        }
        Some(())
    }

    /// g3 and g4, by whoever holds the lock, for the process of which `tenure` is said.
    fn apply(&self, tenure: Tenure) {
        let arena = self.arena;
        let mark = |block| {
            let place = locate(arena, block).filter(|place| place.start == block);
            let Some(place) = place else { return };
            let is_its = lane_of(&place).is_some_and(|lane| tenure_of(arena, lane) == Some(tenure));
            if is_its && state_of(arena, &place) == Some(State::Private) {
                // Release: it is filled.
                Heap::set_state(arena, block, State::Part);
            }
        };
        let write = |to: u64, from: u64, len: u64| {
            // A damaged file may say any place: at least it is one of values.
            let Some(place) = locate(arena, to) else { return };
            let is_of_values = matches!(
                state_of(arena, &place),
                Some(State::Published | State::Part | State::Doomed)
            );
            if !is_of_values || (place.start + place.bytes - to) / WORD < len {
                return;
            }
            for i in 0..len {
                let word = |at: u64| arena.word(at + i * WORD);
                if let (Some(from), Some(to)) = (word(from), word(to)) {
                    // Release: the new blocks are marked, and filled; partner: Acquire of the lock by who comes
                    // next. Relaxed: as in `word`.
                    to.store(from.load(Relaxed), Release);
                }
            }
        };
        let _ = self.read(mark, write);
    }
}

pub(super) fn lane_of(place: &Place) -> Option<LaneId> {
    match place.kind {
        PlaceKind::Slab(_, Unit::Slab { lane, .. }) | PlaceKind::Run(_, Unit::Run { lane, .. }) => {
            Some(lane)
        }
        PlaceKind::Slab(_, Unit::Sweep { of, .. }) => Some(of),
        _ => None,
    }
}

pub(super) fn tenure_of(arena: &Arena, lane: LaneId) -> Option<Tenure> {
    let is_there =
        lane != LaneId::NOBODY && u64::from(lane.0) < arena.header().lanes_high.load(Acquire);
    is_there.then(|| arena.lane(lane))?.tenure()
}

impl Names<'_> {
    /// Makes the change that `draft` says of what the lock at `lock` guards, which the caller holds.
    /// `block` is PRIVATE, of [`bytes`](Draft::bytes). `map`: that of graves, if there are some.
    ///
    /// Lock-free. Dead inside: nothing happened, or all does.
    ///
    /// # Errors
    /// Nothing happened; the block is still the caller's.
    pub fn change(
        &self,
        lock: u64,
        draft: &Draft,
        block: u64,
        map: Option<&Map>,
    ) -> Result<(), Refused> {
        let (arena, me) = (self.heap.arena, self.heap.lane.id());
        let tag = Tag::of_header(arena.header().tag);
        draft.put(arena, me, tag, block);
        let pin = self.pinned(block | REAPER)?;
        let spare = self.pinned(0).inspect_err(|_| self.unpin(pin))?;
        let journal = &self.record().journal;
        journal.open(Intent::Change { lock, draft: block });
        let tenure = tenure_of(arena, me).expect("a lane that is in use is somebody's");
        Written::at(arena, block).expect("it is held").apply(tenure);
        let mut last = Vec::new();
        if draft.graves.is_empty() {
            journal.close();
            self.unpin(pin);
            self.heap.free_private(block);
        } else {
            Heap::set_state(arena, block, State::Doomed);
            journal.turn_to_fall();
            fall_of_draft(self, map, block, spare, &mut last);
            journal.close();
            self.unpin(pin);
        }
        self.unpin(spare);
        // The change is made. Without a pin to spare what fell with it waits for who looks for such.
        let _ = reap_last(self, last);
        Ok(())
    }
}

/// What became of a change that a dead process had begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Remade {
    /// It is over, or none: the file is damaged.
    #[default]
    Nothing,
    Done,
    /// Whoever has the lock makes it.
    ByAnother,
}

/// Makes the change again that the dead lane `of` had begun, if its lock can be had from the dead.
///
/// The caller has pinned `draft` and the block of the lock, and looked again at the journal since.
pub fn remake(names: &Names<'_>, of: LaneId, lock: u64, draft: u64) -> Remade {
    let arena = names.heap.arena;
    let me = tenure_of(arena, names.heap.lane.id()).map(Who::of);
    let (Some(raw), Some(me)) = (lock_at(arena, lock), me) else { return Remade::Nothing };
    if raw.try_lock(&Helper { arena, me }).is_err() {
        return Remade::ByAnother;
    }
    let is_made = make_again(arena, of, lock, draft);
    raw.unlock_for_all(me, false);
    if is_made { Remade::Done } else { Remade::Nothing }
}

/// From g3 on, what the journal of the dead lane `of` says, by whoever holds its lock; false: it says
/// something else by now, or the file is damaged, and the journal is closed with the rest.
fn make_again(arena: &Arena, of: LaneId, lock: u64, draft: u64) -> bool {
    let journal = &arena.lane(of).journal;
    // Under the lock: nobody else closes it.
    if journal.read() != Some(Ok(Intent::Change { lock, draft })) {
        return false;
    }
    let (Some(tenure), Some(written)) = (tenure_of(arena, of), Written::at(arena, draft)) else {
        return false;
    };
    if !can_be_made(arena, of, draft) {
        return false;
    }
    written.apply(tenure);
    if written.graves == 0 {
        journal.close();
    } else {
        Heap::set_state(arena, draft, State::Doomed);
        journal.turn_to_fall();
    }
    true
}

/// Whether a draft of this lane can be at `draft`.
fn can_be_made(arena: &Arena, of: LaneId, draft: u64) -> bool {
    locate(arena, draft).is_some_and(|place| {
        lane_of(&place) == Some(of)
            && matches!(state_of(arena, &place), Some(State::Private | State::Doomed))
    })
}

/// What a draft says, for who judges it.
pub struct Said {
    pub new: Vec<u64>,
    pub graves: Vec<u64>,
    /// Where words get new values, where these stand, and how many.
    pub runs: Vec<(u64, u64, u64)>,
}

impl Said {
    /// What the draft says that the dead lane `of` left; `None`: none can be there.
    pub fn of(arena: &Arena, of: LaneId, draft: u64) -> Option<Said> {
        let written = Written::at(arena, draft).filter(|_| can_be_made(arena, of, draft))?;
        let (mut new, mut runs) = (Vec::new(), Vec::new());
        written.read(|block| new.push(block), |to, from, len| runs.push((to, from, len)))?;
        let at = |i: u64| written.block + (HEAD + i) * WORD;
        let graves = (0..written.graves).map(|i| written.word(at(i)));
        let graves =
            graves.map(|word| Some(Word::from_bits(word?).offset())).collect::<Option<_>>()?;
        Some(Said { new, graves, runs })
    }

    /// The words and their new values.
    pub fn words<'a>(&'a self, arena: &'a Arena) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let each = self.runs.iter().flat_map(|(to, from, len)| {
            (0..*len).map(move |i| (to.saturating_add(i * WORD), from + i * WORD))
        });
        each.filter_map(|(to, from)| Some((to, arena.word(from)?.load(Relaxed))))
    }
}

/// Makes all changes that the dead had begun, for one who has taken the lock at `held` from a dead holder,
/// before it looks at the value; false: this process should be at one itself, and is not, as may be in a
/// damaged segment. One that cannot be made there is made by nobody, and left to recovery.
///
/// Waits `until` then for who is at one of them under another lock.
pub fn make_all_again(
    arena: &Arena,
    party: &impl Party,
    held: u64,
    until: Option<Moment>,
) -> Result<bool, Held> {
    for (lane, record) in arena.lanes() {
        let Some(Ok(intent @ Intent::Change { lock, draft })) = record.journal.read() else {
            continue;
        };
        if lock == held {
            // Only who holds the lock opens or closes such a journal; its writer did, and is dead.
            make_again(arena, lane, lock, draft);
            continue;
        }
        let is_dead = tenure_of(arena, lane).is_some_and(|tenure| {
            Who::of(tenure) != party.me() && party.is_dead(Who::of(tenure), true)
        });
        let Some(raw) = lock_at(arena, lock).filter(|_| is_dead) else { continue };
        // Who has it is at the change, unless that is made: then nobody need be waited for. That it is
        // another thread of this process takes no time; a damaged file may say so of nobody.
        let mut patience = OWN_SLICES;
        while record.journal.read() == Some(Ok(intent)) {
            let slice = Moment::now().plus(SLICE);
            let end = until.filter(|until| slice.since(*until) > 0);
            if raw.lock(party, Some(end.unwrap_or(slice))).is_ok() {
                make_again(arena, lane, lock, draft);
                raw.unlock_for_all(party.me(), false);
                break;
            }
            if end.is_some() {
                return Err(Held);
            }
            if raw.owner() == party.me() {
                patience -= 1;
                if patience == 0 {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// How long one waits for a lock before one looks whether one still must, in nanoseconds.
const SLICE: u64 = 1_000_000;
/// How often, if it is this process that should have it.
const OWN_SLICES: u32 = 2_000;

/// The lock at `offset`; `None`: none can be there.
pub(super) fn lock_at(arena: &Arena, offset: u64) -> Option<&RawMutex> {
    let state = locate(arena, offset).and_then(|place| state_of(arena, &place));
    let can_be =
        matches!(state, Some(State::Published | State::Part | State::Doomed | State::Limbo));
    arena.word(offset).filter(|_| can_be).map(RawMutex::of_word)
}

/// Who makes a change again: it waits for nobody, and knows of the dead what their words say.
pub(super) struct Helper<'a> {
    pub arena: &'a Arena,
    pub me: Who,
}

impl Party for Helper<'_> {
    fn me(&self) -> Who {
        self.me
    }
    fn deaths(&self) -> Option<&AtomicU64> {
        Some(&self.arena.header().deaths)
    }
    fn is_dead(&self, who: Who, _: bool) -> bool {
        let Some(tenure) = who.tenure() else { return true };
        let record = &self.arena.participants()[usize::from(tenure.id.0)];
        // Acquire pairs with the CAS of who marked it.
        let word = ParticipantWord::of(record.word.load(Acquire));
        let live = word.filter(|word| matches!(word, ParticipantWord::Live { .. }));
        live.is_none_or(|word| word.counter() != tenure.counter)
    }
    fn look_for_dead(&self) {}
}

/// Lists the parts of a value that is about to be changed.
pub struct Hanging<'a> {
    pub state: State,
    pub parts: &'a mut Vec<u64>,
}

impl Walker for Hanging<'_> {
    fn accepts(&self, state: Option<State>, _: &Place) -> bool {
        state == Some(self.state)
    }
    fn enter(&mut self, limb: Limb) -> Result<(), Fault> {
        self.parts.push(limb.word.offset());
        Ok(())
    }
    fn trusts(&self) -> bool {
        true
    }
    fn at_lock(&mut self, _: Guarded) -> AtLock {
        AtLock::Enter // it is reached by nobody but who holds the outer lock, inner ones and all
    }
}

impl Hanging<'_> {
    /// Adds what hangs on `count` values at `at`.
    pub fn add(&mut self, arena: &Arena, map: &Map, at: u64, count: u64) -> Result<(), Fault> {
        Tree { arena, map, at, count, changes: None }.walk(self)
    }
}

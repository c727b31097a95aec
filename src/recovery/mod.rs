//! Recovery: what dead processes left is finished, undone, given back, by whoever lives and comes by.
//!
//! ```text
//! r1  judge; have the locks' sleepers look; CAS exactly the word that was judged: Live(c) → Dead(c)
//! r2  my lane says that it helps; fence [H]; the word still says Dead(c)? else let it be
//! r3  its journals: what others can finish (Destroy, Reap, Fall, Change)
//! r4  its units: slabs swept one by one, runs and claims given back; the oldest array let go
//! r5  no unit names a lane of it any more: close its journals, then clear its pins and read slots
//! r6  CAS Dead(c) → Closed(c): nobody new helps; my lane helps no more
//! r7  hints made anew, owners told to look at all their slabs
//! r8  fence [H]; no live lane says that it helps: its lanes are free, then CAS Closed(c) → Free(c + 1)
//! ```
//!
//! Any number of helpers may be at it, and each of them may die or be stopped anywhere; every step may
//! be done twice, and the word of each thing says what is left to do. The numbers of the dead (of the
//! participant, of its lanes) are given out again only when nobody who helped can still act by them:
//! first the door is shut (r6), then one looks for who is inside (r8). A helper that is stopped keeps
//! these numbers, and the slab or run that it was at; no memory beside.
//!
//! Nobody waits: where another helper is not finished, it is left to that one, and `pending` says so.

mod memory;
mod names;

use crate::heap::Heap;
use crate::heap::size_class::ClassId;
use crate::layout::MAX_PARTICIPANTS;
use crate::lock::party::announce;
use crate::names::{Names, Refused};
use crate::process::lane::{LaneOwner, helping_word};
use crate::process::participant::{ParticipantId, ParticipantWord, Tenure};
use crate::sync::{AcqRel, Acquire, Release, SeqCst, fence};
use core::fmt;
use memory::Dead;
use names::Finished;

/// What [`Segment::recover`](crate::Segment::recover) found and did.
///
/// Where several processes recover the same dead one, each counts what it did itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Dead processes that were found attached.
    pub processes: u64,
    /// Their lanes: threads that had used the segment.
    pub lanes: u64,
    /// Slabs that were taken over from them.
    pub slabs: u64,
    /// Blocks of slabs that came back: not published, or published but not linked yet.
    pub blocks: u64,
    /// Bytes that came back, of blocks and runs.
    pub bytes: u64,
    /// Units of 64 KiB that came back whole: private runs, and units that were being claimed.
    pub units: u64,
    /// Objects, names and tables that were about to be linked and are not there.
    pub undone: u64,
    /// Objects and names that were about to go and are gone.
    pub finished: u64,
    /// Dead processes whose numbers are not free yet: another process is at their recovery.
    pub pending: u64,
}

impl Recovered {
    fn count_blocks(&mut self, class: ClassId, blocks: u64) {
        self.blocks += blocks;
        self.bytes += blocks * u64::from(class.cut().size);
    }

    /// Whether no dead process was found.
    pub fn is_nothing(&self) -> bool {
        *self == Recovered::default()
    }
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nothing() {
            return f.write_str("no dead process");
        }
        write!(
            f,
            "dead processes: {} (lanes: {}); came back: {} blocks, {} units, in all {} bytes; undone: {}, finished: {}",
            self.processes,
            self.lanes,
            self.blocks,
            self.units,
            self.bytes,
            self.undone,
            self.finished
        )?;
        if self.pending != 0 {
            write!(f, "; left to another process that is at it: {}", self.pending)?;
        }
        Ok(())
    }
}

/// Recovers every participant of whom `is_dead` says so, asked with the word that it had.
///
/// The caller's lane is inside no operation that has its journal open. Lock-free.
pub fn recover(
    heap: Heap<'_>,
    is_dead: impl Fn(ParticipantId, ParticipantWord) -> bool,
) -> Result<Recovered, Refused> {
    let mut found = Recovered::default();
    let left = find_dead(heap, &is_dead);
    if left.is_empty() {
        return Ok(found);
    }
    found.processes = left.len() as u64;
    // Twice: a slab that a dead helper was sweeping is that helper's until it is helped itself.
    for tenure in left.iter().chain(&left) {
        help(heap, *tenure, &mut found)?;
    }
    // r7. Hints are remade of all, not of the dead one's alone: a helper that died before may have
    // left what nobody shows.
    heap.remake_hints();
    // Release pairs with the owners' Acquire: what was freed is free before they look.
    heap.arena.header().sweep_epoch.fetch_add(1, Release);
    heap.release_limbo_runs();
    if heap.lane.pins.depth.get() == 0 {
        Names { heap }.reap(); // goes on with what the dead were giving back
    }
    for tenure in left {
        if !reopen(heap, tenure, &is_dead) {
            found.pending += 1;
        }
    }
    Ok(found)
}

/// r1: those that are dead, by an earlier verdict or by one of now.
fn find_dead(
    heap: Heap<'_>,
    is_dead: &impl Fn(ParticipantId, ParticipantWord) -> bool,
) -> Vec<Tenure> {
    let header = heap.arena.header();
    let high = header.participants_high.load(Acquire).min(MAX_PARTICIPANTS as u64) as usize;
    let mut left = Vec::new();
    for (slot, record) in heap.arena.participants()[..high].iter().enumerate() {
        let id = ParticipantId(slot as u16);
        let seen = record.word.load(Acquire);
        let Some(word) = ParticipantWord::of(seen) else { continue };
        let is_left = match word {
            ParticipantWord::Free { .. } => false,
            ParticipantWord::Dead { .. } | ParticipantWord::Closed { .. } => true,
            ParticipantWord::Live { .. } => {
                is_dead(id, word) && {
                    // Before the mark: dead in between, and the next who finds it announces it.
                    announce(&header.deaths, true);
                    let dead = word.die().expect("it is Live").word();
                    let marked = record.word.compare_exchange(seen, dead, AcqRel, Acquire);
                    // Lost: another marked it, or closed it, or it is long over.
                    marked.is_ok() || marked == Err(dead)
                }
            }
        };
        if is_left {
            left.push(id.since(word.counter()));
        }
    }
    left
}

/// r2 to r6.
fn help(heap: Heap<'_>, tenure: Tenure, found: &mut Recovered) -> Result<(), Refused> {
    let helping = &heap.lane.record().helping;
    let word = &heap.arena.participants()[usize::from(tenure.id.0)].word;
    let dead_word = ParticipantWord::Dead { counter: tenure.counter };
    helping.store(helping_word(tenure), Release);
    fence(SeqCst); // [H], partner: the one in `reopen`, between its look at the word and at us
    let done = if word.load(Acquire) == dead_word.word() {
        help_inside(heap, tenure, found).map(|nothing_left| {
            if nothing_left {
                let closed = dead_word.close().expect("it is Dead").word();
                // Release: journals and pins are cleared before the door is shut.
                let _ = word.compare_exchange(dead_word.word(), closed, AcqRel, Acquire);
            }
        })
    } else {
        Ok(())
    };
    // Release: whatever we did by its numbers is before.
    helping.store(0, Release);
    done
}

/// Whether nothing is left of it but its numbers.
fn help_inside(heap: Heap<'_>, tenure: Tenure, found: &mut Recovered) -> Result<bool, Refused> {
    let names = Names { heap };
    let dead = Dead::with_parts(names, tenure)?;
    for lane in dead.lanes() {
        match names.finish(*lane)? {
            Finished::Nothing => {}
            Finished::Something => found.finished += 1,
            Finished::LeftToAnother => return Ok(false),
        }
    }
    heap.recover_units(&dead, found)?;
    names.let_go_of_oldest(dead.lanes())?;
    if heap.is_named_by_units(&dead) {
        return Ok(false); // another helper is at it, who comes here after us
    }
    for lane in dead.lanes() {
        let record = heap.arena.lane(*lane);
        // Journals first: see `names`.
        record.journal.close();
        record.tally.close();
        record.hazards.iter().for_each(|hazard| hazard.store(0, Release));
        record.array.store(0, Release);
        record.forget_reads();
        record.helping.store(0, Release);
    }
    found.lanes += dead.lanes().len() as u64;
    Ok(true)
}

/// r8; whether the slot is free, or another's by now.
fn reopen(
    heap: Heap<'_>,
    tenure: Tenure,
    is_dead: &impl Fn(ParticipantId, ParticipantWord) -> bool,
) -> bool {
    let records = heap.arena.participants();
    let word = &records[usize::from(tenure.id.0)].word;
    let closed = ParticipantWord::Closed { counter: tenure.counter };
    match ParticipantWord::of(word.load(Acquire)) {
        Some(now) if now == closed => {}
        Some(ParticipantWord::Dead { counter }) if counter == tenure.counter => return false,
        _ => return true,
    }
    fence(SeqCst); // [H], partner: the one in `help`
    for (_, record) in heap.arena.lanes() {
        if record.helping.load(Acquire) != helping_word(tenure) {
            continue;
        }
        let owner = LaneOwner::of(record.owner.load(Acquire)).and_then(LaneOwner::tenure);
        let is_inside = owner.is_some_and(|helper| {
            let word = ParticipantWord::of(records[usize::from(helper.id.0)].word.load(Acquire));
            word.is_some_and(|word| {
                matches!(word, ParticipantWord::Live { .. })
                    && word.counter() == helper.counter
                    && !is_dead(helper.id, word)
            })
        });
        if is_inside {
            return false;
        }
    }
    // By exact words, which tell this process from the next one in the slot: a slow one does no harm.
    for (_, record) in heap.arena.lanes() {
        let owner = record.owner.load(Acquire);
        let is_its = LaneOwner::of(owner).and_then(LaneOwner::tenure) == Some(tenure);
        if is_its {
            let free = LaneOwner::Free.word();
            // Release: the next one to take the lane sees its record cleared.
            let _ = record.owner.compare_exchange(owner, free, AcqRel, Acquire);
        }
    }
    let free = closed.reopen().expect("it is Closed").word();
    let _ = word.compare_exchange(closed.word(), free, AcqRel, Acquire);
    true
}

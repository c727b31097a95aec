//! Participants: one per attached process, each with a record in the segment, and a lock that the
//! kernel takes away when the process is gone.
//!
//! ```text
//!            attach                 detach
//! Free(c) ───────────▶ Live(c, by) ──────────▶ Free(c + 1)
//!    ▲                     │ judged dead
//!    └── Closed(c) ◀── Dead(c)              c + 1 here, too
//! ```
//!
//! **Invariant**: a process whose word is Live holds an exclusive open-file-description lock on its
//! byte, `2^62 + slot`, of the segment file: the lock is taken before the word becomes Live, and
//! falls after it became Free, or when the process' memory is gone.
//!
//! [`liveness`](super::liveness) tells how it is held and asked for.

use crate::sync::AtomicU64;

#[cfg(not(loom))]
use {
    crate::error::Error,
    crate::file::{Holder, SegmentFile},
    crate::process::liveness::{Hold, Identity, Judge, NoFork, Take},
    crate::process::registration::{Locks, Refused, Registered, Taken, deregister, register},
    crate::sync::Relaxed,
    rustix::io::Errno,
    std::ops::Range,
    std::sync::Arc,
    std::sync::atomic::{self, AtomicUsize},
};

/// Number of a participant: its slot in the table, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ParticipantId(pub u16);

impl ParticipantId {
    /// The process that had the slot when it had been given back so many times.
    pub fn since(self, counter: u32) -> Tenure {
        Tenure { id: self, counter }
    }
}

/// One attachment of one process: a slot, and how often it had been given back before. Tells apart the
/// processes that had the slot one after another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tenure {
    pub id: ParticipantId,
    pub counter: u32,
}

/// A slot of the participant table. Any process may read it.
///
/// All but `word`, `vouches` and `bell` only describes the participant, for messages. All but `word` is written
/// by the attaching process while it holds the slot's lock and the word is Free, and published by the CAS
/// that makes the word Live; `vouches` and `bell` once more later. A death in between leaves values that the
/// next to attach overwrites.
#[repr(C)]
pub struct ParticipantRecord {
    /// [`ParticipantWord`].
    pub word: AtomicU64,
    /// Process id, in the process' own pid namespace.
    pub pid: AtomicU64,
    /// Start time in clock ticks, as the process' own time namespace shows it; 0: unknown.
    pub start: AtomicU64,
    /// Inode number of its pid namespace; 0: unknown.
    pub pid_namespace: AtomicU64,
    /// Inode number of its time namespace; 0: unknown.
    pub time_namespace: AtomicU64,
    /// Nanoseconds since the epoch.
    pub attached_at: AtomicU64,
    /// Whether the process [vouches](crate::trust) for the segment: 1. It says so once it is attached; 0 from
    /// before its word is Live, so that no word of an untrusted file is taken for one of a live process.
    pub vouches: AtomicU64,
    /// By which who sleeps for the process hears of its death: see [`bell`](super::bell). 0 as above.
    pub bell: AtomicU64,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<ParticipantRecord>() == 64);

/// By what a participant holds its lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeldBy {
    /// A mapped page: nothing but the end of the process' memory, or detaching, frees it.
    Mapping,
    /// An open descriptor: other code of the process may close it, and forked children keep it.
    Descriptor,
}

/// What [`ParticipantRecord::word`] says: state in bits 0–3, by what the lock is held in bit 4, in
/// bits 32–63 how often the slot was given back (it wraps). All zero: Free(0).
///
/// Each transition is one CAS of exactly the word that was looked at; the counter tells apart the
/// processes that had the slot one after another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParticipantWord {
    /// Nobody's.
    Free {
        /// Times that the slot was given back.
        counter: u32,
    },
    /// A process is attached, or died without anyone having noticed.
    Live {
        /// As of the Free word before.
        counter: u32,
        /// By what it holds its lock.
        held_by: HeldBy,
    },
    /// Found dead; being recovered.
    Dead {
        /// As of the Live word before.
        counter: u32,
    },
    /// Recovered; waits until no helper is at it any more.
    Closed {
        /// As of the Dead word before.
        counter: u32,
    },
}

impl ParticipantWord {
    const FREE: u64 = 0;
    const LIVE: u64 = 1;
    const DEAD: u64 = 2;
    const CLOSED: u64 = 3;
    const BY_DESCRIPTOR: u64 = 1 << 4;
    const COUNTER_SHIFT: u32 = 32;

    /// As it is stored.
    pub fn word(self) -> u64 {
        let state = match self {
            ParticipantWord::Free { .. } => Self::FREE,
            ParticipantWord::Live { held_by: HeldBy::Mapping, .. } => Self::LIVE,
            ParticipantWord::Live { held_by: HeldBy::Descriptor, .. } => {
                Self::LIVE | Self::BY_DESCRIPTOR
            }
            ParticipantWord::Dead { .. } => Self::DEAD,
            ParticipantWord::Closed { .. } => Self::CLOSED,
        };
        state | u64::from(self.counter()) << Self::COUNTER_SHIFT
    }

    /// `None`: no version of this crate writes such a word.
    pub fn of(word: u64) -> Option<ParticipantWord> {
        let counter = (word >> Self::COUNTER_SHIFT) as u32;
        let held_by = match word & Self::BY_DESCRIPTOR {
            0 => HeldBy::Mapping,
            _ => HeldBy::Descriptor,
        };
        let found = match word & 0xf {
            Self::FREE => ParticipantWord::Free { counter },
            Self::LIVE => ParticipantWord::Live { counter, held_by },
            Self::DEAD => ParticipantWord::Dead { counter },
            Self::CLOSED => ParticipantWord::Closed { counter },
            _ => return None,
        };
        (found.word() == word).then_some(found)
    }

    /// Times that the slot was given back.
    pub fn counter(self) -> u32 {
        match self {
            ParticipantWord::Free { counter }
            | ParticipantWord::Live { counter, .. }
            | ParticipantWord::Dead { counter }
            | ParticipantWord::Closed { counter } => counter,
        }
    }

    /// Free → Live, by the process that attaches.
    pub fn attach(self, held_by: HeldBy) -> Option<ParticipantWord> {
        match self {
            ParticipantWord::Free { counter } => Some(ParticipantWord::Live { counter, held_by }),
            _ => None,
        }
    }

    /// Live → Dead, by whoever was told so by the kernel.
    pub fn die(self) -> Option<ParticipantWord> {
        match self {
            ParticipantWord::Live { counter, .. } => Some(ParticipantWord::Dead { counter }),
            _ => None,
        }
    }

    /// Dead → Closed, by whoever found nothing of it left.
    pub fn close(self) -> Option<ParticipantWord> {
        match self {
            ParticipantWord::Dead { counter } => Some(ParticipantWord::Closed { counter }),
            _ => None,
        }
    }

    /// Closed → Free, when no helper can act on its numbers any more.
    pub fn reopen(self) -> Option<ParticipantWord> {
        match self {
            ParticipantWord::Closed { counter } => {
                Some(ParticipantWord::Free { counter: counter.wrapping_add(1) })
            }
            _ => None,
        }
    }

    /// Live → Free, by the participant itself.
    pub fn detach(self) -> Option<ParticipantWord> {
        match self {
            ParticipantWord::Live { counter, .. } => {
                Some(ParticipantWord::Free { counter: counter.wrapping_add(1) })
            }
            _ => None,
        }
    }
}

/// This process as a participant of one segment. Process-private; any thread may use it.
///
/// Plain memory without a destructor: all zero means not attached, so it may lie in memory that fork
/// wipes. A forked child is no participant, and must not act as its parent's: where the memory was
/// not wiped it calls [`forget`](Self::forget) first.
#[cfg(not(loom))]
#[repr(C)]
#[derive(Default)]
pub struct Participant {
    /// 0, or [`ATTACHED`], the slot in bits 0–15, the word's counter in bits 16–47, and
    /// [`BY_DESCRIPTOR`]. Whoever swaps it to 0 releases what holds the lock.
    ticket: atomic::AtomicU64,
    /// The lock page's address, or the descriptor.
    hold: AtomicUsize,
    /// Device and inode of the segment file: is the descriptor still ours?
    file: (u64, u64),
}

#[cfg(not(loom))]
const ATTACHED: u64 = 1 << 63;
#[cfg(not(loom))]
const BY_DESCRIPTOR: u64 = 1 << 62;

#[cfg(not(loom))]
impl Participant {
    /// [`attach_within`](Self::attach_within) in a window of its own.
    #[cfg(test)]
    pub fn attach(
        records: &[ParticipantRecord],
        high: &AtomicU64,
        file: &SegmentFile,
    ) -> Result<Participant, Error> {
        let own = Identity::own();
        let window = NoFork::enter();
        let slots = 0..records.len();
        let done = Self::attach_within(&window, &own, records, slots.clone(), high, file);
        drop(window);
        done.map_err(|fault| fault.explain(file, records, slots.len()))
    }

    /// Makes this process a participant, in the first free one of `slots`: [`register`].
    ///
    /// Blocks while another thread of this process attaches or forks; waits for no other process.
    /// Must not be called from a signal handler, nor with a lock held that a handler registered with
    /// pthread_atfork(3) takes.
    ///
    /// # Errors
    /// `TooManyProcesses`, `ForeignLock`, `LivenessUnsupported`, `NoReopen`, `PermissionDenied`
    /// (the file must be permitted now, not when it was opened), `Os`.
    /// Allocates nothing.
    pub fn attach_within(
        window: &NoFork,
        own: &Identity,
        records: &[ParticipantRecord],
        slots: Range<usize>,
        high: &AtomicU64,
        file: &SegmentFile,
    ) -> Result<Participant, Fault> {
        let ways = [HeldBy::Mapping, HeldBy::Descriptor];
        Self::attach_by(&ways, window, own, records, slots, high, file)
    }

    /// Tries `ways` in this order.
    pub(super) fn attach_by(
        ways: &[HeldBy],
        _window: &NoFork,
        own: &Identity,
        records: &[ParticipantRecord],
        slots: Range<usize>,
        high: &AtomicU64,
        file: &SegmentFile,
    ) -> Result<Participant, Fault> {
        let locks = FileLocks { file, ways };
        match register(records, slots, high, &locks, |record| own.describe(record)) {
            Ok(registered) => Ok(Self::of(registered, file)),
            Err(Refused::Full) => Err(Fault::Full),
            Err(Refused::Foreign(pid)) => Err(Fault::ForeignLock(pid)),
            Err(Refused::Fault(fault)) => Err(fault),
        }
    }

    fn of(it: Registered<Hold>, file: &SegmentFile) -> Participant {
        let by = if it.held_by == HeldBy::Descriptor { BY_DESCRIPTOR } else { 0 };
        let Tenure { id: ParticipantId(slot), counter } = it.tenure;
        let ticket = ATTACHED | by | u64::from(slot) | u64::from(counter) << 16;
        Participant {
            ticket: ticket.into(),
            hold: it.hold.into_raw().into(),
            file: file.identity(),
        }
    }

    /// Whether this is a participant.
    pub fn is_attached(&self) -> bool {
        self.ticket.load(Relaxed) != 0
    }

    /// Which one; makes sense only while attached.
    pub fn id(&self) -> ParticipantId {
        debug_assert!(self.is_attached());
        // Relaxed, here and below: set once, before other threads could see it.
        ParticipantId(self.ticket.load(Relaxed) as u16)
    }

    /// This attachment of the participant; makes sense only while attached.
    pub fn tenure(&self) -> Tenure {
        let ticket = self.ticket.load(Relaxed);
        debug_assert!(ticket != 0);
        ParticipantId(ticket as u16).since((ticket >> 16) as u32)
    }

    /// Ends the participation: the slot is free for others. Nothing in the segment may be this
    /// participant's any more. Of several calls only the first does something.
    pub fn detach(&self, records: &[ParticipantRecord]) {
        let ticket = self.ticket.swap(0, atomic::Ordering::AcqRel);
        if ticket == 0 {
            return;
        }
        let by_descriptor = ticket & BY_DESCRIPTOR != 0;
        let held_by = if by_descriptor { HeldBy::Descriptor } else { HeldBy::Mapping };
        let tenure = ParticipantId(ticket as u16).since((ticket >> 16) as u32);
        let hold = self.hold.swap(0, atomic::Ordering::AcqRel);
        let release = || Hold::from_raw(hold, held_by).release(self.file);
        deregister(records, tenure, held_by, release);
    }

    /// The same participation in other memory.
    pub fn copy(&self) -> Participant {
        Participant {
            ticket: self.ticket.load(Relaxed).into(),
            hold: self.hold.load(Relaxed).into(),
            file: self.file,
        }
    }

    /// In a forked child that finds its parent's participant: it is not ours. Touches neither the
    /// record nor the lock page, which is not mapped here; closes our copy of the descriptor if that
    /// holds the lock, or the parent would never be seen dead.
    ///
    /// In the process that attached it would hold the slot until the process ends.
    pub fn forget(&self) {
        let ticket = self.ticket.swap(0, atomic::Ordering::AcqRel);
        let hold = self.hold.swap(0, atomic::Ordering::AcqRel);
        if ticket & BY_DESCRIPTOR != 0 {
            Hold::from_raw(hold, HeldBy::Descriptor).release(self.file);
        }
    }
}

/// The locks that the kernel keeps on bytes of the segment file.
#[cfg(not(loom))]
struct FileLocks<'a> {
    file: &'a SegmentFile,
    ways: &'a [HeldBy],
}

#[cfg(not(loom))]
impl Locks for FileLocks<'_> {
    type Hold = Hold;
    type Fault = Fault;

    fn take(&self, slot: usize) -> Result<Taken<Hold>, Fault> {
        Ok(match Hold::take(self.file, slot, self.ways)? {
            Take::Taken(hold, by) => Taken::Ours(hold, by),
            Take::Busy(Holder::OpenFile | Holder::Free) => Taken::Others,
            Take::Busy(Holder::Process(pid)) => Taken::Foreign(pid),
        })
    }

    fn release(&self, hold: Hold) {
        hold.release(self.file.identity());
    }
}

/// Why attaching failed; plain, so that it can be made while forks are held off.
#[cfg(not(loom))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// No slot is free.
    Full,
    /// A classic record lock of this process is in the way.
    ForeignLock(i32),
    /// The file could not be opened again.
    Reopen(Errno),
    /// The kernel does not lock.
    Lock(Errno),
    /// The lock could not be seen after it was taken.
    NotKept,
    /// The lock page could not be mapped.
    Page(Errno),
}

#[cfg(not(loom))]
impl Fault {
    /// The error to give to the user; `limit` is how many can be attached.
    pub fn explain(self, file: &SegmentFile, records: &[ParticipantRecord], limit: usize) -> Error {
        let path = file.shown();
        match self {
            Fault::Full => {
                let dead = Judge::visitor(file).map_or(0, |judge| judge.count_dead(records));
                Error::TooManyProcesses { path, limit, dead }
            }
            Fault::ForeignLock(pid) => Error::ForeignLock { path, pid },
            Fault::Reopen(errno) => file.no_reopen(errno),
            Fault::Lock(errno) => Error::LivenessUnsupported {
                path,
                why: "locking a byte failed",
                source: Some(Arc::new(errno.into())),
            },
            Fault::NotKept => Error::LivenessUnsupported {
                path,
                why: "a lock was not there any more after it was taken",
                source: None,
            },
            Fault::Page(errno) => Error::os("map the lock page of", &*path, errno),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

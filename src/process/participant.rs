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
use std::fmt;

#[cfg(not(loom))]
use {
    crate::error::Error,
    crate::file::{Holder, SegmentFile},
    crate::process::liveness::{Hold, Identity, NoFork, Take},
    crate::sync::{AcqRel, Acquire, Relaxed, Release},
    rustix::io::Errno,
    std::sync::Arc,
    std::sync::atomic::{self, AtomicUsize},
};

/// Number of a participant: its slot in the table, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ParticipantId(pub u16);

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "participant {}", self.0)
    }
}

/// A slot of the participant table. Any process may read it.
///
/// All but `word` and `helping` only describes the participant, for messages; it is written by the
/// attaching process while it holds the slot's lock and the word is Free, and published by the CAS
/// that makes the word Live. A death in between leaves values that the next to attach overwrites.
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
    /// 1 + the slot of the dead participant that this one is helping to recover; 0: none. Written
    /// by the participant alone.
    pub helping: AtomicU64,
    _spare: AtomicU64,
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

    /// Live → Free, by the participant itself.
    pub fn detach(self) -> Option<ParticipantWord> {
        match self {
            ParticipantWord::Live { counter, .. } => {
                Some(ParticipantWord::Free { counter: counter.wrapping_add(1) })
            }
            _ => None,
        }
    }

    /// Live → Dead, by whoever has the kernel's word that the process is gone.
    pub fn die(self) -> Option<ParticipantWord> {
        match self {
            ParticipantWord::Live { counter, .. } => Some(ParticipantWord::Dead { counter }),
            _ => None,
        }
    }

    /// Dead → Closed, by whoever found nothing of its left.
    pub fn close(self) -> Option<ParticipantWord> {
        match self {
            ParticipantWord::Dead { counter } => Some(ParticipantWord::Closed { counter }),
            _ => None,
        }
    }

    /// Closed → Free, by whoever saw no helper.
    pub fn release(self) -> Option<ParticipantWord> {
        match self {
            ParticipantWord::Closed { counter } => {
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

/// Times that the table is looked through while others are just attaching or detaching.
#[cfg(not(loom))]
const SWEEPS: usize = 16;

#[cfg(not(loom))]
impl Participant {
    /// Makes this process a participant, in the first free slot of `records`. `high` is the number
    /// below which slots have been used; it is raised before the slot's word becomes Live, so that
    /// whoever looks at the slots below it misses no live one.
    ///
    /// Blocks while another thread of this process attaches or forks; waits for no other process.
    /// Must not be called from a signal handler, nor with a lock held that a handler registered with
    /// pthread_atfork(3) takes.
    ///
    /// Dead before the CAS: the slot stays Free, `high` may be larger than need be, and the lock
    /// falls. Dead after it: a Live word whose lock is free, as after any other death.
    ///
    /// # Errors
    /// `TooManyProcesses`, `ForeignLock`, `LivenessUnsupported`, `NoReopen`, `PermissionDenied`
    /// (the file must be permitted now, not when it was opened), `Os`.
    pub fn attach(
        records: &[ParticipantRecord],
        high: &AtomicU64,
        file: &SegmentFile,
    ) -> Result<Participant, Error> {
        let own = Identity::own();
        let window = NoFork::enter();
        let done = Self::attach_within(&window, &own, records, high, file);
        drop(window);
        done.map_err(|fault| fault.explain(file, records.len()))
    }

    /// As [`attach`](Self::attach), for who has to do more before the next fork. Allocates nothing.
    pub fn attach_within(
        window: &NoFork,
        own: &Identity,
        records: &[ParticipantRecord],
        high: &AtomicU64,
        file: &SegmentFile,
    ) -> Result<Participant, Fault> {
        Self::attach_by(&[HeldBy::Mapping, HeldBy::Descriptor], window, own, records, high, file)
    }

    /// Tries `ways` in this order.
    pub(super) fn attach_by(
        ways: &[HeldBy],
        _window: &NoFork,
        own: &Identity,
        records: &[ParticipantRecord],
        high: &AtomicU64,
        file: &SegmentFile,
    ) -> Result<Participant, Fault> {
        let mut foreign = None;
        for _ in 0..SWEEPS {
            let mut again = false;
            for (slot, record) in records.iter().enumerate() {
                // Acquire pairs with the Release of `detach` and of recovery's last step: what the
                // last user of the slot did is done.
                let seen = record.word.load(Acquire);
                let Some(free @ ParticipantWord::Free { .. }) = ParticipantWord::of(seen) else {
                    continue;
                };
                let (hold, held_by) = match Hold::take(file, slot, ways)? {
                    Take::Taken(hold, by) => (hold, by),
                    // Between lock and word of somebody else, or between his word and unlocking.
                    Take::Busy(Holder::OpenFile | Holder::Free) => {
                        again = true;
                        continue;
                    }
                    Take::Busy(Holder::Process(pid)) => {
                        foreign = Some(pid);
                        continue;
                    }
                };
                // Under the lock nobody else makes the slot Live. But somebody may have before, and
                // lost his lock by closing descriptors: the description must stay his.
                if record.word.load(Acquire) != seen {
                    hold.release(file.identity());
                    again = true;
                    continue;
                }
                own.describe(record);
                raise(high, slot as u64 + 1);
                let live = free.attach(held_by).expect("it is Free").word();
                // Release publishes the description; Acquire as above.
                if record.word.compare_exchange(seen, live, AcqRel, Acquire).is_err() {
                    hold.release(file.identity());
                    again = true;
                    continue;
                }
                return Ok(Self::of(slot, free.counter(), held_by, hold, file));
            }
            if !again {
                break;
            }
        }
        Err(foreign.map_or(Fault::Full, Fault::ForeignLock))
    }

    fn of(slot: usize, counter: u32, by: HeldBy, hold: Hold, file: &SegmentFile) -> Participant {
        let slot = u16::try_from(slot).expect("a table has far fewer slots");
        let by = if by == HeldBy::Descriptor { BY_DESCRIPTOR } else { 0 };
        let ticket = ATTACHED | by | u64::from(slot) | u64::from(counter) << 16;
        Participant { ticket: ticket.into(), hold: hold.into_raw().into(), file: file.identity() }
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

    /// The counter of its word; makes sense only while attached.
    pub fn counter(&self) -> u32 {
        debug_assert!(self.is_attached());
        (self.ticket.load(Relaxed) >> 16) as u32
    }

    /// Ends the participation: the slot is free for others. Nothing in the segment may be this
    /// participant's any more. Of several calls only the first does something.
    ///
    /// Dead between word and unlocking: the slot is Free, and the lock falls with the process.
    pub fn detach(&self, records: &[ParticipantRecord]) {
        let ticket = self.ticket.swap(0, atomic::Ordering::AcqRel);
        if ticket == 0 {
            return;
        }
        let by_descriptor = ticket & BY_DESCRIPTOR != 0;
        let held_by = if by_descriptor { HeldBy::Descriptor } else { HeldBy::Mapping };
        let live = ParticipantWord::Live { counter: (ticket >> 16) as u32, held_by };
        let free = live.detach().expect("it is Live").word();
        // Release: what we did in the segment, before it can have a new user (Acquire in `attach`).
        // It fails if the word is Dead: then the slot is recovery's.
        let word = &records[usize::from(ticket as u16)].word;
        let _ = word.compare_exchange(live.word(), free, Release, Relaxed);
        Hold::from_raw(self.hold.swap(0, atomic::Ordering::AcqRel), held_by).release(self.file);
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

/// `high` becomes at least `at_least`. Release: a reader that sees it (Acquire) sees nothing newer
/// than that; the words themselves say who is live.
#[cfg(not(loom))]
fn raise(high: &AtomicU64, at_least: u64) {
    let mut seen = high.load(Acquire);
    while seen < at_least {
        match high.compare_exchange(seen, at_least, AcqRel, Acquire) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
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
    /// The error to give to the user; `limit` is the size of the table.
    pub fn explain(self, file: &SegmentFile, limit: usize) -> Error {
        let path = file.shown();
        match self {
            Fault::Full => Error::TooManyProcesses { path, limit },
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
mod tests {
    use super::*;
    use crate::file::Link;
    use crate::file::tests::{Child, Scratch, become_nobody, in_child, is_root};
    use crate::process::liveness::tests::Table;
    use crate::process::liveness::{Judge, Verdict};

    #[test]
    fn words_come_back_as_they_went() {
        for counter in [0, 1, u32::MAX] {
            let free = ParticipantWord::Free { counter };
            let by_descriptor = free.attach(HeldBy::Descriptor).unwrap();
            let live = free.attach(HeldBy::Mapping).unwrap();
            let dead = live.die().unwrap();
            for word in [free, by_descriptor, live, dead, dead.close().unwrap()] {
                assert_eq!(ParticipantWord::of(word.word()), Some(word));
            }
        }
        assert_eq!(ParticipantWord::Free { counter: 0 }.word(), 0, "fresh memory is free slots");
        for word in [4, 1 << 4, 2 | 1 << 4, 1 | 1 << 5, 1 << 31] {
            assert_eq!(ParticipantWord::of(word), None, "{word:#x}");
        }
    }

    #[test]
    fn a_word_takes_the_steps_of_the_picture_and_no_other() {
        let next = ParticipantWord::Free { counter: 0 };
        let free = ParticipantWord::Free { counter: u32::MAX };
        let live = free.attach(HeldBy::Mapping).unwrap();
        let dead = live.die().unwrap();
        let closed = dead.close().unwrap();
        assert_eq!((live.detach(), closed.release()), (Some(next), Some(next)), "it wraps");
        for word in [live, dead, closed] {
            assert_eq!(word.attach(HeldBy::Mapping), None);
        }
        for word in [free, dead, closed] {
            assert_eq!((word.detach(), word.die()), (None, None));
        }
        for word in [free, live, closed] {
            assert_eq!(word.close(), None);
        }
        for word in [free, live, dead] {
            assert_eq!(word.release(), None);
        }
    }

    #[test]
    fn two_attachments_of_a_process_are_two_participants() {
        let table = Table::new(4);
        let (first, second) = (table.attach(), table.attach());
        assert_eq!((first.id(), second.id()), (ParticipantId(0), ParticipantId(1)));
        assert_eq!(table.high().load(Acquire), 2);
        assert_eq!(table.records()[0].pid.load(Relaxed), u64::from(std::process::id()));
        first.detach(table.records());
        first.detach(table.records());
        assert!(!first.is_attached() && second.is_attached());
        assert_eq!(table.word(0), ParticipantWord::Free { counter: 1 });
        let third = table.attach();
        assert_eq!((third.id(), third.counter()), (ParticipantId(0), 1));
        second.detach(table.records());
        third.detach(table.records());
        assert_eq!(table.word(0), ParticipantWord::Free { counter: 2 });
        assert_eq!(table.high().load(Acquire), 2);
        for byte in [0, 1] {
            let free =
                crate::file::holder(table.file().fd(), crate::file::PARTICIPANT_BYTES + byte);
            assert_eq!(free, Ok(Holder::Free));
        }
    }

    #[test]
    fn a_full_table_is_an_error() {
        let table = Table::new(3);
        let all: Vec<Participant> = (0..3).map(|_| table.attach()).collect();
        let more = Participant::attach(table.records(), table.high(), table.file());
        assert!(matches!(more, Err(Error::TooManyProcesses { limit: 3, .. })));
        all[1].detach(table.records());
        assert_eq!(table.attach().id(), ParticipantId(1));
    }

    #[test]
    fn what_is_no_word_is_not_taken() {
        let table = Table::new(2);
        table.records()[0].word.store(0xf, Release);
        assert_eq!(table.attach().id(), ParticipantId(1));
        assert_eq!(table.records()[0].word.load(Acquire), 0xf);
    }

    #[test]
    fn a_strangers_record_lock_is_reported_by_its_process() {
        let table = Table::new(2);
        let stranger = Child::run(|| {
            let whole = libc::flock {
                l_type: libc::F_WRLCK as libc::c_short,
                l_whence: libc::SEEK_SET as libc::c_short,
                l_start: 0,
                l_len: 0,
                l_pid: 0,
            };
            use rustix::fd::AsRawFd;
            // SAFETY: the structure lives through the call.
            let done = unsafe {
                libc::fcntl(table.file().fd().as_raw_fd(), libc::F_SETLK, &raw const whole)
            };
            table.signal().store(done as u64 + 1, Release);
            loop {
                // SAFETY: sleeps until the signal that kills.
                unsafe { libc::pause() };
            }
        });
        table.wait_for(1);
        let refused = Participant::attach(table.records(), table.high(), table.file());
        assert!(matches!(refused, Err(Error::ForeignLock { pid, .. }) if pid == stranger.0));
        drop(stranger);
        assert_eq!(table.attach().id(), ParticipantId(0));
    }

    #[test]
    fn attaching_needs_permission_for_the_file_now() {
        if !is_root() {
            eprintln!("skipped: giving up permissions needs root");
            return;
        }
        let scratch = Scratch::new("attach-permission");
        let file = SegmentFile::create(&scratch.0, Table::BYTES, 0o600).unwrap();
        assert_eq!(file.link(&scratch.path("a")).unwrap(), Link::Linked);
        let table = Table::of(file, 2);
        assert!(in_child(|| {
            become_nobody();
            let refused = Participant::attach(table.records(), table.high(), table.file());
            matches!(refused, Err(Error::PermissionDenied { .. }))
        }));
        assert_eq!(table.word(0), ParticipantWord::Free { counter: 0 });
    }

    #[test]
    fn a_nameless_file_can_be_attached_to_before_it_gets_its_name() {
        let scratch = Scratch::new("attach-nameless");
        let file = SegmentFile::create(&scratch.0, Table::BYTES, 0o600).unwrap();
        let table = Table::of(file, 2);
        let me = table.attach();
        assert_eq!(table.file().link(&scratch.path("a")).unwrap(), Link::Linked);
        let opened = SegmentFile::open(&scratch.path("a")).unwrap();
        let visitor = Judge::visitor(&opened).unwrap();
        assert_eq!(visitor.judge(me.id(), &table.records()[0], table.word(0)), Verdict::Alive);
    }

    #[test]
    fn processes_that_attach_at_once_get_a_slot_each() {
        let table = Table::new(24);
        let children: Vec<Child> = (0..24)
            .map(|_| {
                Child::run(|| {
                    for _ in 0..20 {
                        table.attach().detach(table.records());
                    }
                    let me = table.attach();
                    table.signal().fetch_add(1, AcqRel);
                    table.wait_for(24);
                    let word = table.word(usize::from(me.id().0));
                    word == ParticipantWord::Live {
                        counter: me.counter(),
                        held_by: HeldBy::Mapping,
                    }
                })
            })
            .collect();
        assert!(children.into_iter().all(|child| child.wait() == Some(0)));
        assert_eq!(table.high().load(Acquire), 24);
    }

    #[test]
    fn a_forked_child_is_no_participant_and_can_become_one() {
        let table = Table::new(4);
        let parent = table.attach();
        assert!(in_child(|| {
            parent.forget();
            parent.detach(table.records());
            let me = table.attach();
            let alone = !parent.is_attached() && me.id() == ParticipantId(1);
            me.detach(table.records());
            alone
        }));
        let judge = Judge::participant(table.file(), parent.id());
        assert_eq!(judge.judge(parent.id(), &table.records()[0], table.word(0)), Verdict::Alive);
        assert_eq!(table.word(1), ParticipantWord::Free { counter: 1 });
    }

    #[test]
    fn threads_that_fork_and_threads_that_attach_do_not_lock_each_other_out() {
        let table = Table::new(16);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        table.attach().detach(table.records());
                    }
                });
                scope.spawn(|| {
                    for _ in 0..30 {
                        assert!(in_child(|| {
                            table.attach().detach(table.records());
                            in_child(|| {
                                table.attach().detach(table.records());
                                true
                            })
                        }));
                    }
                });
            }
        });
    }
}

//! The lock by which others know that a process lives: holding it, and asking for it.
//!
//! Only the kernel's word counts; slow, stopped or being dumped is alive. A lock lives as long as its
//! open file, and a mapping keeps an open file alive. So the lock [hangs](Hold) on one inaccessible
//! page, mapped from an opening of the file made for it and closed at once: code that closes
//! descriptors cannot free it, exec and SIGKILL do, a forked child does not inherit the page. Where
//! the file system forgets locks at close (overlay), an open descriptor has to do; then the word says
//! so, and the judge asks for more before it believes in death.
//!
//! Closing a file drops all *classic* record locks that the process holds on it: nobody may use those
//! on a segment file.
//!
//! A free lock means that the process' memory is gone, or that it detached. A lock that is free can also mean that we ask wrongly: our descriptor's number
//! came to mean another file, or the file system loses locks. Therefore nobody is judged unless a
//! lock of our own, the *canary*, is seen in the same way at the same time.
//!
//! The judge only looks: a probe that took locks would look alive to others.

use crate::error::Error;
use crate::file::{Holder, Kind, PARTICIPANT_BYTES, SegmentFile, VISITOR_BYTE, holder, lock};
use crate::process::participant::{
    Fault, HeldBy, ParticipantId, ParticipantRecord, ParticipantWord,
};
use crate::sync::{AcqRel, Acquire, Relaxed, Release, fence};
use crate::wiped;
use rustix::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
use rustix::process::{Pid, getpid, test_kill_process};
use std::cell::UnsafeCell;
use std::sync::atomic::{self, AtomicBool, AtomicUsize};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is known of a participant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It holds its lock.
    Alive,
    /// None of its instructions will ever run again, and all that it stored is visible.
    Dead,
    /// Cannot be told from here, now; to be treated as alive.
    Unknown,
}

/// Who judges: somebody with a canary.
pub(crate) struct Judge<'a> {
    file: &'a SegmentFile,
    canary: i64,
    /// What holds the canary, if we are no participant.
    _visitor: Option<OwnedFd>,
}

impl<'a> Judge<'a> {
    /// As a participant of the segment: its own lock is the canary.
    pub(crate) fn participant(file: &'a SegmentFile, me: ParticipantId) -> Judge<'a> {
        Judge { file, canary: PARTICIPANT_BYTES + i64::from(me.0), _visitor: None }
    }

    /// As one who only looks: a byte that all visitors lock, shared.
    pub(crate) fn visitor(file: &'a SegmentFile) -> Result<Judge<'a>, Error> {
        let opened = file.reopen().map_err(|errno| file.no_reopen(errno))?;
        lock(opened.as_fd(), VISITOR_BYTE, Kind::Shared).map_err(|errno| {
            Error::LivenessUnsupported {
                path: file.shown(),
                why: "locking a byte failed",
                source: Some(std::sync::Arc::new(errno.into())),
            }
        })?;
        Ok(Judge { file, canary: VISITOR_BYTE, _visitor: Some(opened) })
    }

    /// How many of the participants are dead.
    pub(crate) fn count_dead(&self, records: &[ParticipantRecord]) -> usize {
        let judge = |(slot, record): (usize, &ParticipantRecord)| {
            let word = ParticipantWord::of(record.word.load(Acquire))?;
            Some(self.judge(ParticipantId(slot as u16), record, word))
        };
        records
            .iter()
            .enumerate()
            .filter_map(judge)
            .filter(|verdict| *verdict == Verdict::Dead)
            .count()
    }

    /// Whether `who` is surely dead: see [`judge`](Self::judge).
    pub(crate) fn is_dead(
        &self,
        who: ParticipantId,
        record: &ParticipantRecord,
        word: ParticipantWord,
    ) -> bool {
        self.judge(who, record, word) == Verdict::Dead
    }

    /// Whether `who`, whose record's word was `word`, is dead. Wait-free but for the kernel's work,
    /// which is linear in the locks on the file.
    ///
    /// The verdict is about the process that had `word`: whoever acts on Dead does so by a CAS of
    /// exactly this word. Dead and Closed words were judged before: Dead. Free: nobody, Unknown; also
    /// if the slot was given back while it was judged.
    pub(crate) fn judge(
        &self,
        who: ParticipantId,
        record: &ParticipantRecord,
        word: ParticipantWord,
    ) -> Verdict {
        let held_by = match word {
            ParticipantWord::Live { held_by, .. } => held_by,
            ParticipantWord::Dead { .. } | ParticipantWord::Closed { .. } => return Verdict::Dead,
            ParticipantWord::Free { .. } => return Verdict::Unknown,
        };
        let Ok(prober) = self.file.prober() else { return Verdict::Unknown };
        // A participant has its byte alone; who waits for its death has got it shared, for a moment.
        match holder(prober.as_fd(), PARTICIPANT_BYTES + i64::from(who.0), Kind::Shared) {
            Ok(Holder::Free) => {}
            Ok(_) => return Verdict::Alive,
            Err(_) => return Verdict::Unknown,
        }
        // In this order: the same descriptor still meant our file after the question, and shows
        // that I live.
        let stat = rustix::fs::fstat(&prober);
        let is_ours = stat.is_ok_and(|stat| self.file.is_same(&stat));
        let sees_canary =
            || matches!(holder(prober.as_fd(), self.canary, Kind::Exclusive), Ok(Holder::OpenFile));
        if !(is_ours && sees_canary()) {
            return Verdict::Unknown;
        }
        if held_by == HeldBy::Descriptor && !Identity::of(record).is_gone() {
            return Verdict::Unknown;
        }
        // The kernel freed the lock after the last store of the process; what follows comes after
        // our question. Its stores need no Release for that, the kernel's own locking orders them.
        fence(Acquire);
        // Or the process has detached before it was asked for, and lives.
        let now = ParticipantWord::of(record.word.load(Acquire));
        let is_dead = ParticipantWord::Dead { counter: word.counter() };
        let is_closed = ParticipantWord::Closed { counter: word.counter() };
        let is_same = [word, is_dead, is_closed].into_iter().any(|word| now == Some(word));
        if is_same { Verdict::Dead } else { Verdict::Unknown }
    }
}

/// How a process is described in messages. Not an identity: numbers are used again, and what they
/// mean depends on who reads them. Decides nothing alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pid: u64,
    start: u64,
    pid_namespace: u64,
    time_namespace: u64,
    attached_at: u64,
}

/// What of a process' description stays as it is, and costs several files of /proc to learn: in memory
/// that a forked child finds empty. Written by any thread, by all the same.
struct Unchanging {
    /// Written last; 0: nothing is known.
    start: atomic::AtomicU64,
    pid_namespace: atomic::AtomicU64,
    time_namespace: atomic::AtomicU64,
}

/// Null: nobody has asked, or there is no such memory.
static UNCHANGING: atomic::AtomicPtr<Unchanging> = atomic::AtomicPtr::new(core::ptr::null_mut());

impl Unchanging {
    /// Of this process.
    fn get() -> Option<&'static Unchanging> {
        let mut known = UNCHANGING.load(Acquire);
        if known.is_null() {
            let new = wiped::on_fork::<Unchanging>().ok()?;
            // Release pairs with the Acquire above and below: zeros are there, as the kernel gave them.
            match UNCHANGING.compare_exchange(known, new, AcqRel, Acquire) {
                Ok(_) => known = new,
                Err(other) => {
                    // SAFETY: made above, and nobody has seen it.
                    unsafe { wiped::unmap(new) };
                    known = other;
                }
            }
        }
        // SAFETY: never unmapped once it stands there; zeros are such words.
        Some(unsafe { &*known })
    }
}

impl Identity {
    /// This process', as it was when it was first asked for: the start is told as in the time namespace of
    /// that moment, and that one stands beside it, whatever the process has entered since.
    pub(crate) fn known() -> Identity {
        let Some(known) = Unchanging::get() else { return Identity::own() };
        // Acquire pairs with the Release of `start` below: the other two words are there.
        let start = known.start.load(Acquire);
        if start == 0 {
            let own = Identity::own();
            known.pid_namespace.store(own.pid_namespace, Relaxed);
            known.time_namespace.store(own.time_namespace, Relaxed);
            // Release pairs with the Acquire above.
            known.start.store(own.start, Release);
            return own;
        }
        Identity {
            pid: own_pid(),
            start,
            pid_namespace: known.pid_namespace.load(Relaxed),
            time_namespace: known.time_namespace.load(Relaxed),
            attached_at: now(),
        }
    }

    /// This process', now. What cannot be read is 0.
    pub(crate) fn own() -> Identity {
        let inode = |path: &std::ffi::CStr| rustix::fs::stat(path).map_or(0, |stat| stat.st_ino);
        Identity {
            pid: own_pid(),
            start: start_time("/proc/self/stat").unwrap_or(0),
            pid_namespace: inode(c"/proc/self/ns/pid"),
            time_namespace: inode(c"/proc/self/ns/time"),
            attached_at: now(),
        }
    }

    /// As a record says; Relaxed, for the word was read with Acquire before.
    fn of(record: &ParticipantRecord) -> Identity {
        Identity {
            pid: record.pid.load(Relaxed),
            start: record.start.load(Relaxed),
            pid_namespace: record.pid_namespace.load(Relaxed),
            time_namespace: record.time_namespace.load(Relaxed),
            attached_at: record.attached_at.load(Relaxed),
        }
    }

    /// Writes it into the record of a slot that the caller has locked.
    /// Relaxed: the CAS that makes the word Live publishes it.
    pub(crate) fn describe(&self, record: &ParticipantRecord) {
        record.pid.store(self.pid, Relaxed);
        record.start.store(self.start, Relaxed);
        record.pid_namespace.store(self.pid_namespace, Relaxed);
        record.time_namespace.store(self.time_namespace, Relaxed);
        record.attached_at.store(self.attached_at, Relaxed);
        record.vouches.store(0, Relaxed);
        record.bell.store(0, Relaxed);
    }

    /// Whether no process of this description can be alive: its number is nobody's, or that of a
    /// process that started at another time. Only in the same namespaces do the numbers mean the
    /// same; else false.
    fn is_gone(&self) -> bool {
        let here = Identity::own();
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|_| self.pid_namespace != 0) else { return false };
        if self.pid_namespace != here.pid_namespace {
            return false;
        }
        if test_kill_process(pid) == Err(Errno::SRCH) {
            return true;
        }
        // `/proc` may be that of another namespace, in which the number is another process'.
        let own_proc = std::fs::read_link("/proc/self");
        let is_own_proc = own_proc.is_ok_and(|to| to.as_os_str() == here.pid.to_string().as_str());
        if !is_own_proc || self.time_namespace == 0 || self.time_namespace != here.time_namespace {
            return false;
        }
        let start = start_time(&format!("/proc/{}/stat", self.pid));
        self.start != 0 && start.is_some_and(|start| start != self.start)
    }
}

fn own_pid() -> u64 {
    getpid().as_raw_nonzero().get() as u64
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_nanos() as u64)
}

/// Field 22 of a `stat` file of `/proc`: clock ticks from boot to the start of the process.
fn start_time(path: &str) -> Option<u64> {
    let stat = std::fs::read(path).ok()?;
    // The second field is the program's name in parentheses and may contain anything.
    let after = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(stat.get(after..)?).ok()?;
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// What holds the lock of an attached process.
pub(crate) enum Hold {
    /// The address of the lock page.
    Page(usize),
    /// The open file itself.
    Descriptor(OwnedFd),
}

/// What came of trying.
pub(crate) enum Take {
    /// We have it, by what it says.
    Taken(Hold, HeldBy),
    /// Somebody else has it.
    Busy(Holder),
}

impl Hold {
    /// Locks the byte of `slot` in the first of `ways` by which the file system keeps it.
    pub(crate) fn take(file: &SegmentFile, slot: usize, ways: &[HeldBy]) -> Result<Take, Fault> {
        let byte = PARTICIPANT_BYTES + slot as i64;
        for way in ways {
            let opened = file.reopen().map_err(Fault::Reopen)?;
            match lock(opened.as_fd(), byte, Kind::Exclusive) {
                Ok(()) => {}
                Err(Errno::AGAIN | Errno::ACCESS) => {
                    return holder(opened.as_fd(), byte, Kind::Exclusive)
                        .map(Take::Busy)
                        .map_err(Fault::Lock);
                }
                Err(errno) => return Err(Fault::Lock(errno)),
            }
            let hold = match way {
                HeldBy::Mapping => {
                    let page = lock_page(opened.as_fd()).map_err(Fault::Page)?;
                    drop(opened);
                    Hold::Page(page)
                }
                HeldBy::Descriptor => Hold::Descriptor(opened),
            };
            // By now the page's open file has no descriptor. Is the lock there for others?
            let seen = file
                .prober()
                .map_err(Fault::Reopen)
                .and_then(|prober| holder(prober.as_fd(), byte, Kind::Shared).map_err(Fault::Lock));
            match seen {
                Ok(Holder::Free) => hold.release(file.identity()),
                Ok(_) => return Ok(Take::Taken(hold, *way)),
                Err(fault) => {
                    hold.release(file.identity());
                    return Err(fault);
                }
            }
        }
        Err(Fault::NotKept)
    }

    pub(crate) fn into_raw(self) -> usize {
        match self {
            Hold::Page(at) => at,
            Hold::Descriptor(fd) => fd.into_raw_fd() as usize,
        }
    }

    /// What `into_raw` gave.
    pub(crate) fn from_raw(raw: usize, by: HeldBy) -> Hold {
        match by {
            HeldBy::Mapping => Hold::Page(raw),
            // SAFETY: `into_raw` gave up this descriptor; `release` looks whether its number still
            // means it before closing it.
            HeldBy::Descriptor => Hold::Descriptor(unsafe { OwnedFd::from_raw_fd(raw as i32) }),
        }
    }

    /// Frees the lock. A descriptor whose number means another file than `file` by now is left open:
    /// it is another's.
    pub(crate) fn release(self, file: (u64, u64)) {
        match self {
            Hold::Page(at) => {
                let at = std::ptr::with_exposed_provenance_mut(at);
                // SAFETY: the page that `lock_page` mapped; nobody has ever accessed it.
                let done = unsafe { munmap(at, rustix::param::page_size()) };
                debug_assert!(done.is_ok(), "{done:?}");
            }
            Hold::Descriptor(fd) => {
                let stat = rustix::fs::fstat(&fd);
                if !stat.is_ok_and(|stat| (stat.st_dev, stat.st_ino) == file) {
                    let _ = fd.into_raw_fd();
                }
            }
        }
    }
}

/// Maps one page that cannot be accessed, which a forked child does not get, and gives its address.
fn lock_page(opened: BorrowedFd<'_>) -> Result<usize, Errno> {
    let bytes = rustix::param::page_size();
    // SAFETY: the kernel chooses a place where nothing is.
    let at = unsafe {
        mmap(std::ptr::null_mut(), bytes, ProtFlags::empty(), MapFlags::SHARED, opened, 0)
    }?;
    for advice in [Advice::LinuxDontFork, Advice::LinuxDontDump] {
        // SAFETY: our own page, just mapped.
        if let Err(errno) = unsafe { madvise(at, bytes, advice) } {
            // SAFETY: as above, and nobody knows of it.
            let _ = unsafe { munmap(at, bytes) };
            return Err(errno);
        }
    }
    Ok(at.expose_provenance())
}

/// While one exists, no thread of this process forks (by fork(3); a raw clone does not ask), and
/// this thread gets no signals. Short: some ten system calls.
///
/// Between opening the lock file and marking its page a forked child would inherit it, and this
/// process' lock would outlive it: death would be seen late. (A child made by a raw clone still may;
/// and one made while another thread was in here can never attach, as the gate stays shut in it.)
/// So a mutex is held meanwhile, which a
/// handler takes before each fork and gives back after it, in parent and child.
///
/// Is a mutex not what this crate shuns? This one is private to the process and dies with it: no
/// other process ever waits for it, and it is held for microseconds. Who holds it must not allocate
/// or take any other lock: a fork may have taken an allocator's locks already, when it comes here.
pub(crate) struct NoFork {
    // Dropped in this order.
    _gate: MutexGuard<'static, ()>,
    _signals: Blocked,
}

impl NoFork {
    /// Waits until nobody else is here or forking. Not from a signal handler; not twice.
    pub(crate) fn enter() -> NoFork {
        register();
        // A handler that forks here would wait for its own thread.
        let _signals = Blocked::new();
        NoFork { _gate: gate(), _signals }
    }
}

static GATE: Mutex<()> = Mutex::new(());

fn gate() -> MutexGuard<'static, ()> {
    // It guards no data, so a panic has spoiled none.
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that is forking; it holds the gate. A signal handler may fork amid its fork, and the
/// handlers may be registered twice: so it counts.
struct Forking {
    /// Which thread: the address of its [`THIS`]; 0: none.
    thread: AtomicUsize,
    depth: UnsafeCell<u32>,
    guard: UnsafeCell<Option<MutexGuard<'static, ()>>>,
}

// SAFETY: the cells are accessed by the thread that holds the gate only.
unsafe impl Sync for Forking {}

static FORKING: Forking = Forking {
    thread: AtomicUsize::new(0),
    depth: UnsafeCell::new(0),
    guard: UnsafeCell::new(None),
};

thread_local! {
    static THIS: u8 = const { 0 };
}

extern "C" fn before_fork() {
    let _signals = Blocked::new();
    let this = THIS.with(|this| std::ptr::from_ref(this).addr());
    // Relaxed: equal only if this thread has stored it.
    if FORKING.thread.load(atomic::Ordering::Relaxed) != this {
        let guard = gate();
        // SAFETY: we hold the gate.
        unsafe { *FORKING.guard.get() = Some(guard) };
        FORKING.thread.store(this, atomic::Ordering::Relaxed);
    }
    // SAFETY: we hold the gate.
    unsafe { *FORKING.depth.get() += 1 };
}

/// In the parent, and in the child, whose only thread is the copy of the one that forked.
extern "C" fn after_fork() {
    let _signals = Blocked::new();
    // SAFETY: `before_fork` ran on this thread, which has held the gate since.
    unsafe {
        *FORKING.depth.get() -= 1;
        if *FORKING.depth.get() == 0 {
            FORKING.thread.store(0, atomic::Ordering::Relaxed);
            let guard = (*FORKING.guard.get()).take();
            drop(guard);
        }
    }
}

/// Has the handlers run at every fork from now on. Two threads at once may register them twice, and
/// a child forked meanwhile again; that is counted. (Once and its kin would leave a child, forked
/// while another thread registers, waiting for ever.)
fn register() {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.load(atomic::Ordering::Acquire) {
        return;
    }
    // SAFETY: the handlers are functions that live as long as this code.
    let done =
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(after_fork)) };
    // It fails for want of memory only; then forks are not held off, and a death may be seen late.
    DONE.store(done == 0, atomic::Ordering::Release);
}

/// No signals for this thread while it exists.
struct Blocked {
    before: libc::sigset_t,
}

impl Blocked {
    fn new() -> Blocked {
        let mut all = std::mem::MaybeUninit::uninit();
        let mut before = std::mem::MaybeUninit::uninit();
        // SAFETY: sigfillset writes the whole first set, pthread_sigmask the second; with valid
        // arguments neither fails.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Blocked { before: before.assume_init() }
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: a set that pthread_sigmask gave.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut())
        };
    }
}

#[cfg(all(test, not(loom)))]
pub(crate) mod tests;

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
use crate::sync::{Acquire, Relaxed, fence};
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

    /// Whether `who`, whose record's word was `word`, is dead. Wait-free but for the kernel's work,
    /// which is linear in the locks on the file.
    ///
    /// The verdict is about the process that had `word`: whoever acts on Dead does so by a CAS of
    /// exactly this word. Dead and Closed words were judged before: Dead. Free: nobody, Unknown.
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
        match holder(prober.as_fd(), PARTICIPANT_BYTES + i64::from(who.0)) {
            Ok(Holder::Free) => {}
            Ok(_) => return Verdict::Alive,
            Err(_) => return Verdict::Unknown,
        }
        // In this order: the same descriptor still meant our file after the question, and shows
        // that I live.
        let stat = rustix::fs::fstat(&prober);
        let is_ours = stat.is_ok_and(|stat| self.file.is_same(&stat));
        if !is_ours || !matches!(holder(prober.as_fd(), self.canary), Ok(Holder::OpenFile)) {
            return Verdict::Unknown;
        }
        if held_by == HeldBy::Descriptor && !Identity::of(record).is_gone() {
            return Verdict::Unknown;
        }
        // The kernel freed the lock after the last store of the process; what follows comes after
        // our question. Its stores need no Release for that, the kernel's own locking orders them.
        fence(Acquire);
        Verdict::Dead
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

impl Identity {
    /// This process', now. What cannot be read is 0.
    pub(crate) fn own() -> Identity {
        let inode = |path: &std::ffi::CStr| rustix::fs::stat(path).map_or(0, |stat| stat.st_ino);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Identity {
            pid: getpid().as_raw_nonzero().get() as u64,
            start: start_time("/proc/self/stat").unwrap_or(0),
            pid_namespace: inode(c"/proc/self/ns/pid"),
            time_namespace: inode(c"/proc/self/ns/time"),
            attached_at: now.map_or(0, |since| since.as_nanos() as u64),
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

    /// Writes it, and that it helps nobody, into the record of a slot that the caller has locked.
    /// Relaxed: the CAS that makes the word Live publishes it.
    pub(crate) fn describe(&self, record: &ParticipantRecord) {
        record.pid.store(self.pid, Relaxed);
        record.start.store(self.start, Relaxed);
        record.pid_namespace.store(self.pid_namespace, Relaxed);
        record.time_namespace.store(self.time_namespace, Relaxed);
        record.attached_at.store(self.attached_at, Relaxed);
        record.helping.store(0, Relaxed);
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
                    return holder(opened.as_fd(), byte).map(Take::Busy).map_err(Fault::Lock);
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
                .and_then(|prober| holder(prober.as_fd(), byte).map_err(Fault::Lock));
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
pub(crate) mod tests {
    use super::*;
    use crate::file::Link;
    use crate::file::tests::{Child, Scratch, in_child, is_root, replace_descriptor};
    use crate::mapping::Mapping;
    use crate::process::participant::Participant;
    use crate::sync::{AtomicU64, Release};
    use std::time::{Duration, Instant};

    /// A participant table in a file of its own, mapped; not unmapped at exec or in children.
    pub(crate) struct Table {
        mapping: Mapping,
        slots: usize,
    }

    impl Table {
        pub(crate) const BYTES: u64 = 64 << 10;

        pub(crate) fn new(slots: usize) -> Table {
            Self::of(SegmentFile::memory("table", Self::BYTES).unwrap(), slots)
        }
        pub(crate) fn of(file: SegmentFile, slots: usize) -> Table {
            let mapping = Mapping::new(file, Self::BYTES).unwrap();
            mapping.back(0, Self::BYTES).unwrap();
            Table { mapping, slots }
        }
        pub(crate) fn file(&self) -> &SegmentFile {
            self.mapping.file()
        }
        fn word_at(&self, index: usize) -> &AtomicU64 {
            assert!(index < 512);
            // SAFETY: in the first page, which holds words only.
            unsafe { &*self.mapping.base().cast::<AtomicU64>().add(index) }
        }
        pub(crate) fn high(&self) -> &AtomicU64 {
            self.word_at(0)
        }
        /// A word for tests to speak through.
        pub(crate) fn signal(&self) -> &AtomicU64 {
            self.word_at(1)
        }
        pub(crate) fn wait_for(&self, value: u64) {
            until(|| self.signal().load(Acquire) >= value);
        }
        pub(crate) fn records(&self) -> &[ParticipantRecord] {
            assert!(self.slots <= 512);
            // SAFETY: behind the first page, inside the mapping, zero at first, atomics only.
            unsafe { std::slice::from_raw_parts(self.mapping.base().add(4096).cast(), self.slots) }
        }
        pub(crate) fn word(&self, slot: usize) -> ParticipantWord {
            ParticipantWord::of(self.records()[slot].word.load(Acquire)).unwrap()
        }
        pub(crate) fn attach(&self) -> Participant {
            Participant::attach(self.records(), self.high(), self.file()).unwrap()
        }
        fn attach_by(&self, way: HeldBy) -> Participant {
            let (own, window) = (Identity::own(), NoFork::enter());
            let (records, high) = (self.records(), self.high());
            Participant::attach_by(&[way], &window, &own, records, high, self.file()).unwrap()
        }
        fn judge(&self, judge: &Judge<'_>, slot: u16) -> Verdict {
            let record = &self.records()[usize::from(slot)];
            judge.judge(ParticipantId(slot), record, self.word(usize::from(slot)))
        }
        /// The verdict of a new visitor.
        fn verdict(&self, slot: u16) -> Verdict {
            self.judge(&Judge::visitor(self.file()).unwrap(), slot)
        }
        fn say(&self, value: u64) {
            self.signal().store(value, Release);
        }
    }

    fn until(mut reached: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !reached() {
            assert!(begin.elapsed() < Duration::from_secs(20), "it never came");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn sleep_for_ever() -> ! {
        loop {
            // SAFETY: sleeps until the signal that kills.
            unsafe { libc::pause() };
        }
    }

    fn close_all() {
        // SAFETY: in a child whose descriptors nobody needs; that is the test.
        assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) }, 0);
    }

    #[test]
    fn a_lock_survives_the_closing_of_all_descriptors_and_falls_with_the_process() {
        let table = Table::new(4);
        let child = Child::run(|| {
            table.attach();
            close_all();
            table.say(1);
            sleep_for_ever()
        });
        table.wait_for(1);
        let me = table.attach();
        for _ in 0..20 {
            assert_eq!(table.verdict(0), Verdict::Alive);
            assert_eq!(table.judge(&Judge::participant(table.file(), me.id()), 0), Verdict::Alive);
        }
        // SAFETY: our own child.
        unsafe { libc::kill(child.0, libc::SIGSTOP) };
        assert_eq!(table.verdict(0), Verdict::Alive, "stopped is alive");
        child.kill();
        until(|| table.verdict(0) == Verdict::Dead);
        assert_eq!(table.judge(&Judge::participant(table.file(), me.id()), 0), Verdict::Dead);
        assert_eq!(table.verdict(1), Verdict::Alive);
        let dead = table.word(0).die().unwrap();
        table.records()[0].word.store(dead.word(), Release);
        assert_eq!(table.verdict(0), Verdict::Dead);
        assert_eq!(table.verdict(2), Verdict::Unknown, "nobody");
    }

    #[test]
    fn exec_is_death() {
        let table = Table::new(2);
        let child = Child::run(|| {
            table.attach();
            table.say(1);
            table.wait_for(2);
            let argv = [c"sleep".as_ptr(), c"60".as_ptr(), std::ptr::null()];
            // SAFETY: a list that ends with null.
            unsafe { libc::execvp(argv[0], argv.as_ptr()) };
            false
        });
        table.wait_for(1);
        assert_eq!(table.verdict(0), Verdict::Alive);
        table.say(2);
        until(|| table.verdict(0) == Verdict::Dead);
        // SAFETY: no status is asked for.
        let state = unsafe { libc::waitpid(child.0, std::ptr::null_mut(), libc::WNOHANG) };
        assert_eq!(state, 0, "the process itself still runs");
    }

    #[test]
    fn a_forked_child_does_not_keep_its_parent_alive() {
        let table = Table::new(2);
        let parent = Child::run(|| {
            table.attach();
            let grandchild = Child::run(|| {
                table.say(1);
                table.wait_for(2);
                table.say(3);
                true
            });
            std::mem::forget(grandchild);
            sleep_for_ever()
        });
        table.wait_for(1);
        assert_eq!(table.verdict(0), Verdict::Alive);
        parent.kill();
        until(|| table.verdict(0) == Verdict::Dead);
        table.say(2);
        table.wait_for(3);
    }

    #[test]
    fn a_child_forked_while_another_thread_attaches_does_not_keep_its_parent_alive() {
        for round in 0..10 {
            let table = Table::new(2);
            let parent = Child::run(|| {
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        for _ in 0..40 {
                            // Ends when told to, or by its alarm.
                            std::mem::forget(Child::run(|| {
                                table.wait_for(2 << 32);
                                true
                            }));
                        }
                        table.say(1);
                    });
                    while table.signal().load(Acquire) == 0 {
                        table.attach().detach(table.records());
                    }
                });
                table.attach();
                table.signal().fetch_or(1 << 32, Release);
                sleep_for_ever()
            });
            table.wait_for(1 << 32);
            parent.kill();
            // A lock that a child had inherited would stay held as long as the child lives.
            let locks = |byte| holder(table.file().fd(), PARTICIPANT_BYTES + byte);
            until(|| (0..2).all(|byte| locks(byte) == Ok(Holder::Free)));
            assert_eq!(table.verdict(0), Verdict::Dead, "round {round}");
            table.say(2 << 32);
        }
    }

    #[test]
    fn a_process_whose_first_thread_ended_is_alive() {
        let table = Table::new(2);
        let child = Child::run(|| {
            table.attach();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    table.say(1);
                    sleep_for_ever()
                });
                // SAFETY: ends this thread; the other uses nothing of its stack but the table,
                // and the stack stays mapped.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
            });
            false
        });
        table.wait_for(1);
        until(|| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.0)).unwrap();
            stat.rsplit(')').next().unwrap().trim_start().starts_with('Z')
        });
        assert_eq!(table.verdict(0), Verdict::Alive);
        child.kill();
        until(|| table.verdict(0) == Verdict::Dead);
    }

    #[test]
    fn a_descriptor_that_is_closed_is_not_death_but_a_process_that_is_gone_is() {
        let table = Table::new(2);
        let child = Child::run(|| {
            let me = table.attach_by(HeldBy::Descriptor);
            table.say(1);
            table.wait_for(2);
            close_all();
            table.say(3);
            table.wait_for(4);
            me.is_attached()
        });
        table.wait_for(1);
        assert!(matches!(table.word(0), ParticipantWord::Live { held_by: HeldBy::Descriptor, .. }));
        assert_eq!(table.verdict(0), Verdict::Alive);
        table.say(2);
        table.wait_for(3);
        assert_eq!(table.verdict(0), Verdict::Unknown, "its lock is gone, it is not");
        let record = &table.records()[0];
        let namespace = record.pid_namespace.load(Acquire);
        table.say(4);
        assert_eq!(child.wait(), Some(0));
        record.pid_namespace.store(namespace + 1, Release);
        assert_eq!(table.verdict(0), Verdict::Unknown, "its number means nothing here");
        record.pid_namespace.store(namespace, Release);
        assert_eq!(table.verdict(0), Verdict::Dead);
        // Its number is used again, by this process.
        record.pid.store(u64::from(std::process::id()), Release);
        assert_eq!(table.verdict(0), Verdict::Dead, "started at another time");
        record.start.store(start_time("/proc/self/stat").unwrap(), Release);
        assert_eq!(table.verdict(0), Verdict::Unknown);
    }

    #[test]
    fn forgetting_in_a_child_lets_go_of_the_parents_descriptor() {
        let table = Table::new(2);
        let parent = Child::run(|| {
            let me = table.attach_by(HeldBy::Descriptor);
            let grandchild = Child::run(|| {
                me.forget();
                table.say(1);
                table.wait_for(2);
                true
            });
            std::mem::forget(grandchild);
            sleep_for_ever()
        });
        table.wait_for(1);
        assert_eq!(table.verdict(0), Verdict::Alive);
        parent.kill();
        parent.wait();
        until(|| table.verdict(0) == Verdict::Dead);
        table.say(2);
    }

    #[test]
    fn who_does_not_see_its_own_lock_judges_nobody() {
        let table = Table::new(4);
        assert!(in_child(|| table.attach().is_attached()));
        assert_eq!(table.verdict(0), Verdict::Dead);
        let nobody = Judge::participant(table.file(), ParticipantId(3));
        assert_eq!(table.judge(&nobody, 0), Verdict::Unknown);
    }

    #[test]
    fn a_wrong_descriptor_leads_to_no_wrong_verdict() {
        let scratch = Scratch::new("judge-replaced");
        let other = std::fs::File::create(scratch.path("other")).unwrap();
        let file = SegmentFile::create(&scratch.0, Table::BYTES, 0o600).unwrap();
        assert_eq!(file.link(&scratch.path("a")).unwrap(), Link::Linked);
        let with_path = Table::of(file, 4);
        for (table, expected) in [(with_path, Verdict::Dead), (Table::new(4), Verdict::Unknown)] {
            let me = table.attach();
            assert!(in_child(|| table.attach().is_attached()));
            let judge = Judge::participant(table.file(), me.id());
            assert_eq!(table.judge(&judge, 1), Verdict::Dead);
            replace_descriptor(table.file(), &other);
            assert_eq!(table.judge(&judge, 1), expected);
            assert_ne!(table.judge(&judge, me.id().0), Verdict::Dead);
        }
    }

    #[test]
    fn where_locks_do_not_outlive_descriptors_a_descriptor_holds_it() {
        if !is_root() {
            eprintln!("skipped: mounting an overlay needs root");
            return;
        }
        let scratch = Scratch::new("overlay");
        for part in ["lower", "upper", "work", "all"] {
            std::fs::create_dir(scratch.path(part)).unwrap();
        }
        assert!(in_child(|| {
            let text =
                |path: std::path::PathBuf| std::ffi::CString::new(path.to_str().unwrap()).unwrap();
            let at = text(scratch.path("all"));
            let part = |name| scratch.path(name).to_str().unwrap().to_string();
            let parts = [part("lower"), part("upper"), part("work")];
            let parts = format!("lowerdir={},upperdir={},workdir={}", parts[0], parts[1], parts[2]);
            let parts = text(parts.into());
            let none = std::ptr::null();
            let (flags, overlay) = (libc::MS_REC | libc::MS_PRIVATE, c"overlay".as_ptr());
            // SAFETY: strings that live through the calls; only this child sees the mounts.
            let mounted = unsafe {
                libc::unshare(libc::CLONE_NEWNS) == 0
                    && libc::mount(none, c"/".as_ptr(), none, flags, none.cast()) == 0
                    && libc::mount(overlay, at.as_ptr(), overlay, 0, parts.as_ptr().cast()) == 0
            };
            if !mounted {
                eprintln!("skipped: no permission to mount an overlay");
                return true;
            }
            let file = SegmentFile::create(&scratch.path("all"), Table::BYTES, 0o600).unwrap();
            let table = Table::of(file, 2);
            let me = table.attach();
            let by = HeldBy::Descriptor;
            assert_eq!(table.word(0), ParticipantWord::Live { counter: 0, held_by: by });
            assert_eq!(table.verdict(0), Verdict::Alive);
            me.detach(table.records());
            table.word(0) == ParticipantWord::Free { counter: 1 }
        }));
    }

    #[test]
    fn the_start_time_is_read_behind_any_program_name() {
        assert!(in_child(|| {
            let before = start_time("/proc/self/stat").unwrap();
            // SAFETY: a name that ends with 0.
            unsafe { libc::prctl(libc::PR_SET_NAME, c") 1 (2) 3".as_ptr()) };
            before > 0 && start_time("/proc/self/stat") == Some(before)
        }));
    }
}

//! The bell: who sleeps until a process gives something back hears at once that it was killed.
//!
//! When a thread ends, the kernel goes through its *robust list*, [get_robust_list(2)]: in each word there that
//! holds the thread's id it notes that the owner died, and wakes one who sleeps on the word. It does so before it
//! takes the process' memory apart, which for a gibibyte takes a tenth of a second, and long before the locks on
//! its files fall. A thread has one such list, and libc has those of all its threads for the robust mutexes of the
//! program.
//!
//! So a process that has locks in a segment has one thread more for it, `sharena-bell`. It sleeps, with all
//! signals blocked, until the attachment ends; on its list is one word, the *bell* in the participant's record.
//! Whatever ends the process (a signal, exec, its own end) ends that thread, and rings the bell.
//!
//! ```text
//! bits 0–29   the id of the thread, as it sees itself; 0: no bell, or it rang     30  it rang
//! bits 32–63  the participant's counter, as in its word                           31  somebody sleeps on it
//! ```
//!
//! **Ringing is no verdict**: it says "look now". Who is woken by it wakes all others who listen, as the kernel
//! woke one, and that one may wait for another lock of the dead. Then all ask for the verdict, and ask again soon:
//! other threads of the process may still be at their last instructions.
//!
//! **Nothing rests on it.** There is no bell where the thread cannot be made, before it is made, in a child made by
//! fork until it uses a lock itself; and a bell of a damaged file never rings. Then the sleeper's slice ends.
//!
//! The list is memory of this process alone: who writes nonsense into the segment can make the bell ring, or keep
//! it from ringing, and no more.
//!
//! [get_robust_list(2)]: https://man7.org/linux/man-pages/man2/get_robust_list.2.html

use crate::lock::word::Who;
use crate::process::participant::ParticipantRecord;
use crate::sync::futex::{self, Heard};
use crate::sync::{Acquire, AtomicU64, Relaxed};

/// Bit 31: somebody sleeps on it.
const WAITERS: u64 = 1 << 31;
/// Bit 30, which the kernel sets: the owner died.
const RANG: u64 = 1 << 30;
/// The id of a thread.
const THREAD: u64 = RANG - 1;

/// The bell of `who`, for one who is about to sleep until that one has done something; `None`: it has none, or
/// it has rung.
pub fn listen(record: &ParticipantRecord, who: Who) -> Option<Heard<'_>> {
    let tenure = who.tenure()?;
    let bell = &record.bell;
    // Acquire pairs with the Release in `hang`. Nothing is read by it but the word, which the kernel compares again.
    let seen = bell.load(Acquire);
    // The kernel leaves no thread where it rang; others might.
    let hangs = seen & THREAD != 0 && seen & RANG == 0;
    if !hangs || (seen >> 32) as u32 != tenure.counter {
        return None;
    }
    let marked = seen | WAITERS;
    // Relaxed: it tells the kernel to wake somebody, and nothing else.
    if seen != marked && bell.compare_exchange(seen, marked, Relaxed, Relaxed).is_err() {
        return None; // it rings, or another marks it: the slice is short enough
    }
    Some((bell, futex::low_half(marked)))
}

/// Whether the bell has rung to which somebody listened; if so, all who listen hear it.
pub fn rang(bell: &AtomicU64) -> bool {
    // Acquire: its partner is the kernel, behind the thread's last instruction; the verdict is asked for anyhow.
    let rang = bell.load(Acquire) & RANG != 0;
    if rang {
        futex::wake(bell, u32::MAX);
    }
    rang
}

#[cfg(not(loom))]
pub use hung::Bell;

#[cfg(not(loom))]
mod hung {
    use super::*;
    use crate::process::participant::Tenure;
    use crate::sync::Release;
    use core::mem::MaybeUninit;
    use core::ptr;
    use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};

    /// Bytes of the thread's stack.
    const STACK: usize = 64 << 10;

    /// `struct robust_list_head` of the kernel, with the one node that its list has: pointers to the next node's.
    #[repr(C)]
    struct List {
        first: AtomicUsize,
        /// From a node to its word.
        offset: AtomicUsize,
        pending: AtomicUsize,
        node: AtomicUsize,
    }

    struct Rope {
        list: List,
        /// 1: the thread is to end.
        over: AtomicU32,
    }

    impl Rope {
        /// From here on the kernel finds nothing on the list.
        fn cut(&self) {
            let head = &raw const self.list.first;
            self.list.first.store(head.expose_provenance(), Ordering::Release);
        }

        /// Sleeps or wakes where the thread sleeps.
        fn futex(&self, operation: i32, value: u32) {
            let at = &raw const self.over;
            let forever = ptr::null::<libc::timespec>();
            // SAFETY: an address of ours, which nobody else has mapped: the kernel compares what stands there
            // and sleeps, or wakes who does.
            unsafe {
                let operation = operation | libc::FUTEX_PRIVATE_FLAG;
                libc::syscall(libc::SYS_futex, at, operation, value, forever)
            };
        }
    }

    /// A bell that hangs in the record of a participant.
    pub struct Bell {
        rope: Arc<Rope>,
    }

    impl Bell {
        /// Hangs the bell of `tenure`, which is this process, into its record; `None`: no thread can be made.
        ///
        /// Waits for the thread to begin. Dead meanwhile: the bell says 0, and who listens hears nothing.
        pub fn hang(record: &ParticipantRecord, tenure: Tenure) -> Option<Bell> {
            let rope = Arc::new(Rope {
                list: List {
                    first: AtomicUsize::new(0),
                    offset: AtomicUsize::new(0),
                    pending: AtomicUsize::new(0),
                    node: AtomicUsize::new(0),
                },
                over: AtomicU32::new(0),
            });
            let list = &rope.list;
            let (head, node) = (&raw const list.first, &raw const list.node);
            let offset = futex::half(&record.bell).addr().wrapping_sub(node.addr());
            list.node.store(head.expose_provenance(), Ordering::Relaxed);
            list.offset.store(offset, Ordering::Relaxed);
            list.first.store(node.expose_provenance(), Ordering::Relaxed);
            let (begins, begun) = mpsc::channel();
            let pulls = rope.clone();
            let thread = std::thread::Builder::new().name("sharena-bell".into()).stack_size(STACK);
            let signals = Signals::block();
            let thread = thread.spawn(move || hold(&pulls, &begins));
            drop(signals);
            thread.ok()?;
            let thread = u64::from(begun.recv().ok()?);
            // Release pairs with the Acquire in `listen`; the kernel had the list before. Dead before it: as above;
            // after it: the bell rings.
            record.bell.store(u64::from(tenure.counter) << 32 | thread & THREAD, Release);
            Some(Bell { rope })
        }

        /// Takes it out of the record, which may be another's, or unmapped, once this returns.
        ///
        /// Dead between the two: a bell that never rings, and is nobody's once the slot is the next one's.
        pub fn take_down(&self, record: &ParticipantRecord) {
            self.rope.cut();
            record.bell.store(0, Release);
        }
    }

    impl Drop for Bell {
        fn drop(&mut self) {
            self.rope.cut();
            self.rope.over.store(1, Ordering::Release);
            self.rope.futex(libc::FUTEX_WAKE, 1);
        }
    }

    /// What the thread does: it is there until the bell is taken down.
    fn hold(rope: &Rope, begins: &mpsc::Sender<u32>) {
        const BYTES: usize = 3 * size_of::<usize>();
        let give = |list: *const List| {
            // SAFETY: a list as the kernel has it, which is memory until it is taken back below, or none. It is
            // that of this thread alone, which locks no robust mutex.
            unsafe { libc::syscall(libc::SYS_set_robust_list, list, BYTES) == 0 }
        };
        if !give(&raw const rope.list) {
            return;
        }
        // SAFETY: asks for a number.
        let thread = unsafe { libc::syscall(libc::SYS_gettid) };
        if begins.send(thread as u32).is_ok() {
            while rope.over.load(Ordering::Acquire) == 0 {
                rope.futex(libc::FUTEX_WAIT, 0);
            }
        }
        give(ptr::null());
    }

    /// The signals that the calling thread had blocked before it blocked all.
    struct Signals(libc::sigset_t);

    impl Signals {
        /// A thread that is made meanwhile never handles a signal of the program.
        fn block() -> Signals {
            let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
            // SAFETY: both are places to write to; the first is a set once it was filled, and the second is written
            // by a call that cannot fail with a valid `how`.
            unsafe {
                libc::sigfillset(all.as_mut_ptr());
                libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
                Signals(before.assume_init())
            }
        }
    }

    impl Drop for Signals {
        fn drop(&mut self) {
            // SAFETY: a whole set.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
        }
    }
}

#[cfg(all(test, not(loom), not(sharena_shuttle)))]
mod tests {
    use super::*;
    use crate::lock::Mutex;
    use crate::process::participant::{ParticipantId, Tenure};
    use crate::sync::Release;
    use crate::sync::futex::{Moment, Woken, wait};
    use crate::{Options, Segment};
    use std::path::Path;
    use std::time::{Duration, Instant};

    const SOON: Duration = Duration::from_secs(10);

    fn tenure() -> Tenure {
        ParticipantId(0).since(7)
    }

    fn until(is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < SOON, "it never is");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A record that this process and its children share.
    fn shared() -> &'static ParticipantRecord {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh mapping of zeros, which are a record, and which stays.
        unsafe {
            let at = libc::mmap(core::ptr::null_mut(), 4096, protection, flags, -1, 0);
            assert_ne!(at, libc::MAP_FAILED);
            &*at.cast()
        }
    }

    /// A child that does `work`, and then nothing more.
    fn child(work: impl FnOnce()) -> libc::pid_t {
        // SAFETY: the child uses memory, and makes a thread, for which libc is ready in a child.
        let child = unsafe { libc::fork() };
        if child == 0 {
            work();
            loop {
                // SAFETY: waits for the signal that kills it; it dies with this process, if it is forgotten.
                unsafe {
                    libc::alarm(60);
                    libc::pause()
                };
            }
        }
        assert!(child > 0);
        child
    }

    fn kill(child: libc::pid_t) {
        // SAFETY: our child, which was not waited for.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, core::ptr::null_mut(), 0);
        }
    }

    #[test]
    fn all_who_listen_hear_that_it_was_killed() {
        let record = shared();
        let child = child(|| core::mem::forget(Bell::hang(record, tenure())));
        until(|| record.bell.load(Acquire) != 0);
        let listener = || {
            let heard = listen(record, Who::of(tenure())).expect("it hangs");
            let begin = Instant::now();
            let woken = wait(&[heard], Moment::now().plus(4 * SOON.as_nanos() as u64));
            assert!(rang(&record.bell) && woken == Woken::Perhaps);
            assert!(begin.elapsed() < SOON, "the kernel wakes one, and that one the other");
        };
        std::thread::scope(|scope| {
            let both = [(); 2].map(|()| scope.spawn(listener));
            std::thread::sleep(Duration::from_millis(50));
            assert!(both.iter().all(|one| !one.is_finished()), "it does not ring before");
            kill(child);
        });
        assert!(listen(record, Who::of(tenure())).is_none(), "it rings once");
    }

    #[test]
    fn what_is_taken_down_never_rings() {
        let record = shared();
        let child = child(|| {
            let bell = Bell::hang(record, tenure()).expect("a thread can be made");
            let word = record.bell.load(Acquire);
            bell.take_down(record);
            // As if the next in the slot had a thread of that number.
            record.bell.store(word, Release);
            record.pid.store(1, Release);
            core::mem::forget(bell);
        });
        until(|| record.pid.load(Acquire) == 1);
        kill(child);
        let word = record.bell.load(Acquire);
        assert!(word & THREAD != 0 && word & RANG == 0, "{word:#x}");
    }

    #[test]
    fn nobody_listens_to_what_is_no_bell_of_whom_he_waits_for() {
        let record = shared();
        let me = Who::of(tenure());
        let says = |word: u64| {
            record.bell.store(word, Release);
            listen(record, me).map(|(_, half)| half)
        };
        assert_eq!(says(7 << 32 | 99), Some(1 << 31 | 99));
        assert_eq!(record.bell.load(Acquire), 7 << 32 | WAITERS | 99, "the kernel wakes somebody");
        assert_eq!(says(7 << 32 | WAITERS | 99), Some(1 << 31 | 99));
        for word in
            [0, 7 << 32, 7 << 32 | WAITERS, 8 << 32 | 99, 7 << 32 | RANG, 7 << 32 | RANG | 99]
        {
            assert_eq!(says(word), None, "{word:#x}");
            assert_eq!(record.bell.load(Acquire), word);
        }
        assert!(listen(record, Who::NOBODY).is_none());
        let rings = |word| rang(&AtomicU64::new(word));
        assert_eq!(
            [7 << 32 | 99, WAITERS, RANG, RANG | WAITERS].map(rings),
            [false, false, true, true]
        );
    }

    /// Whether a thread of this process has a signal blocked.
    fn blocks(thread: u64, signal: i32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        u64::from_str_radix(blocked.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
    }

    #[test]
    fn it_hangs_while_who_uses_locks_is_attached() {
        let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let other = Segment::open_fd(segment.as_fd().try_clone_to_owned().unwrap()).unwrap();
        let records = segment.attached().arena.participants();
        let bell_of = |attached: &crate::attached::Attached| {
            records[usize::from(attached.participant().unwrap().0)].bell.load(Acquire)
        };
        segment.construct("number", 1u32).unwrap();
        assert_eq!(bell_of(segment.attached()), 0, "no thread for who has no locks");
        segment.construct("lock", Mutex::new(1u32)).unwrap();
        let found = other.find::<Mutex<u32>>("lock").unwrap().unwrap();
        let (one, two) = (bell_of(segment.attached()), bell_of(other.attached()));
        assert!(one & THREAD != 0 && two & THREAD != 0 && one != two);
        // SAFETY: asks for a number.
        let me = unsafe { libc::gettid() } as u64;
        assert!(
            blocks(one & THREAD, libc::SIGUSR1),
            "a signal of the program is none of its business"
        );
        assert!(!blocks(me, libc::SIGUSR1), "who hung it has them as before");
        let slot = usize::from(other.attached().participant().unwrap().0);
        drop(found);
        drop(other);
        assert_eq!(records[slot].bell.load(Acquire), 0, "the next in the slot is somebody else");
        let thread = format!("/proc/self/task/{}", two & THREAD);
        until(|| !Path::new(&thread).exists());
        assert_eq!(bell_of(segment.attached()), one);

        // A child made by fork has one of its own, and leaves its parent's alone.
        let lock = segment.find::<Mutex<u32>>("lock").unwrap().unwrap();
        let rings = |word: u64| word != 0 && word != one;
        let of_child =
            || records.iter().map(|record| record.bell.load(Acquire)).find(|it| rings(*it));
        let finds = child(|| drop(segment.find::<Mutex<u32>>("lock")));
        until(|| of_child().is_some());
        kill(finds);
        segment.recover().unwrap();
        assert!(of_child().is_some_and(|word| word & RANG != 0));
        records.iter().filter(|record| rings(record.bell.load(Acquire))).for_each(|record| {
            record.bell.store(0, Release);
        });
        let locks = child(|| core::mem::forget(lock.lock()));
        until(|| of_child().is_some());
        until(|| lock.try_lock().is_err());
        kill(locks);
        assert!(of_child().is_some_and(|word| word & RANG != 0));
        assert_eq!(bell_of(segment.attached()), one);
        assert!(lock.lock().is_err(), "its holder died");
    }
}

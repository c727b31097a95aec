//! What supervisor and workers share beside the segment: ledgers, heartbeats, requests. It lies in a
//! memory file of its own, so that it survives every worker.

use super::operation::{OPERATIONS, Operation};
use anyhow::{Context, Result};
use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Workers at most.
const WORKERS: usize = 64;
/// Threads of a worker at most; the first is its main thread.
pub const THREADS: usize = 3;
/// Blocks, objects and names that a thread holds at most.
const ENTRIES: usize = 48;

/// The shared memory. All of it zero: nobody has begun.
#[repr(C)]
pub struct Board {
    /// Odd: every thread is to park between two operations.
    pause: AtomicU32,
    /// Not 0: every worker is to end.
    finish: AtomicU32,
    /// 0, 1: somebody is writing the message, 2: it is there.
    failed: AtomicU32,
    message_bytes: AtomicU32,
    message: [AtomicU8; 1024],
    places: [Place; WORKERS * THREADS],
}

/// Where a thread is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Activity {
    /// There is none, or it has not touched the segment yet.
    Off = 0,
    Running = 1,
    /// It waits for the end of the pause, between two operations.
    Parked = 2,
    /// Its last operation is over; what is left is to give its lane away, which the end of a thread
    /// does.
    Ending = 3,
}

/// What a thread is asked to do next.
pub const RECOVER: u32 = 1;
/// To look at all that it holds privately.
pub const VERIFY: u32 = 2;
/// To die very soon.
pub const DIE: u32 = 4;

/// The place of a thread. Threads, and workers, take over what their predecessors there held.
#[repr(C, align(128))]
pub struct Place {
    activity: AtomicU32,
    /// The kernel's number of the thread.
    pub thread: AtomicU32,
    /// The heartbeat: operations done.
    pub beats: AtomicU64,
    doing: AtomicU32,
    /// [`RECOVER`], [`VERIFY`], [`DIE`].
    pub asked: AtomicU32,
    generation: AtomicU64,
    pub counts: [AtomicU64; OPERATIONS],
    /// Sums of what the thread's own recoveries gave back: processes, blocks, bytes.
    pub recovered: [AtomicU64; 3],
    pub ledger: [Entry; ENTRIES],
}

/// What is known of a block, an object or a name.
///
/// **Invariant**: what is published is in exactly one ledger, from before it is published until after
/// it is freed. (A block of `allocate` has no offset before: its entry says that there may be one.)
#[repr(C)]
pub struct Entry {
    word: AtomicU64,
    offset: AtomicU64,
    bytes: AtomicU64,
    generation: AtomicU64,
}

/// How far an entry is. Between two operations of a thread that lives it is Empty, Held or Mailed;
/// the others are what the dead leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Step {
    Empty,
    /// There may be a raw block of so many bytes.
    Allocating,
    /// It is private, or published.
    Publishing,
    /// It is published, and the thread's.
    Held,
    /// It is published, and whoever makes it Freeing may free it.
    Mailed,
    /// It is published, or freed.
    Freeing,
}

/// What an entry is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A raw block.
    Raw,
    /// A [`Sealed`](super::pattern::Sealed) without a name.
    One,
    /// A slice of words without a name.
    Slice,
    /// A [`Sealed`](super::pattern::Sealed) whose name is that of the entry.
    Name,
}

/// A copy of an entry.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    pub step: Step,
    pub kind: Kind,
    pub offset: u64,
    /// Bytes of the block that hold its pattern; values of a slice.
    pub bytes: u64,
    pub generation: u64,
}

impl Item {
    fn word(step: Step, kind: Kind) -> u64 {
        step as u64 | (kind as u64) << 8
    }

    fn of(word: u64) -> (Step, Kind) {
        use Step::*;
        let steps = [Empty, Allocating, Publishing, Held, Mailed, Freeing];
        let kinds = [Kind::Raw, Kind::One, Kind::Slice, Kind::Name];
        (steps[word as usize & 0xff], kinds[word as usize >> 8])
    }
}

impl Entry {
    /// Acquire: who made it so, has written the rest before.
    pub fn item(&self) -> Item {
        let (step, kind) = Item::of(self.word.load(Ordering::Acquire));
        Item {
            step,
            kind,
            offset: self.offset.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            generation: self.generation.load(Ordering::Relaxed),
        }
    }

    /// Writes all of it, the word last. For who has the place, or the supervisor in a pause.
    pub fn set(&self, item: Item) {
        self.offset.store(item.offset, Ordering::Relaxed);
        self.bytes.store(item.bytes, Ordering::Relaxed);
        self.generation.store(item.generation, Ordering::Relaxed);
        self.turn(item.kind, item.step);
    }

    /// Release: pairs with [`item`](Self::item).
    pub fn turn(&self, kind: Kind, step: Step) {
        self.word.store(Item::word(step, kind), Ordering::Release);
    }

    pub fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Release);
    }

    /// Takes what was left for anybody; it is Freeing from then on.
    pub fn claim(&self) -> Option<Item> {
        let word = self.word.load(Ordering::Acquire);
        let (step, kind) = Item::of(word);
        let claimed = Item::word(Step::Freeing, kind);
        (step == Step::Mailed
            && self
                .word
                .compare_exchange(word, claimed, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok())
        .then(|| self.item())
    }
}

impl Place {
    /// The thread gets going. The supervisor asks for a pause, then looks at `activity`; the thread
    /// does the reverse, both SeqCst: one of the two sees the other.
    pub fn enter(&self, board: &Board) {
        // SAFETY: asks the kernel for a number.
        let thread = unsafe { libc::gettid() };
        self.thread.store(thread as u32, Ordering::Relaxed);
        self.activity.store(Activity::Running as u32, Ordering::SeqCst);
        self.park_if_asked(board);
    }

    /// Waits for the end of a pause, if there is one.
    pub fn park_if_asked(&self, board: &Board) {
        loop {
            let pause = board.pause.load(Ordering::SeqCst);
            if pause.is_multiple_of(2) {
                return;
            }
            self.activity.store(Activity::Parked as u32, Ordering::SeqCst);
            futex_wait(&board.pause, pause);
            self.activity.store(Activity::Running as u32, Ordering::SeqCst);
        }
    }

    pub fn set_activity(&self, activity: Activity) {
        self.activity.store(activity as u32, Ordering::SeqCst);
    }

    pub fn activity(&self) -> Activity {
        use Activity::*;
        [Off, Running, Parked, Ending][self.activity.load(Ordering::SeqCst) as usize]
    }

    pub fn begin(&self, operation: Operation) {
        self.doing.store(operation as u32, Ordering::Release);
    }

    /// One more is done; a heartbeat.
    pub fn end(&self, operation: Operation) {
        add(&self.counts[operation as usize], 1);
        self.begin(Operation::Between);
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    pub fn doing(&self) -> Operation {
        Operation::ALL[self.doing.load(Ordering::Acquire) as usize]
    }

    /// A number that no block ever had, of `number`, the place's own.
    pub fn next_generation(&self, number: usize) -> u64 {
        let count = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        (number as u64 + 1) << 48 | count
    }

    pub fn note_recovered(&self, recovered: &sharena::Recovered) {
        let sums = [recovered.processes, recovered.blocks, recovered.bytes];
        self.recovered.iter().zip(sums).for_each(|(sum, more)| add(sum, more));
    }
}

/// Adds to a number that one thread at a time writes.
fn add(number: &AtomicU64, more: u64) {
    number.store(number.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

impl Board {
    /// A new board, and the path by which workers find it as long as this process lives.
    pub fn create() -> Result<(&'static Board, String)> {
        // SAFETY: a literal name; the result is looked at.
        let fd = unsafe { libc::memfd_create(c"sharena-kill".as_ptr(), libc::MFD_CLOEXEC) };
        anyhow::ensure!(fd >= 0, std::io::Error::last_os_error());
        // SAFETY: ours, and of nobody else.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(size_of::<Board>() as u64)?;
        let board = Self::map(&file)?;
        // Open as long as the process lives, for the workers.
        std::mem::forget(file);
        Ok((board, format!("/proc/{}/fd/{fd}", std::process::id())))
    }

    pub fn open(path: &str) -> Result<&'static Board> {
        Self::map(&OpenOptions::new().read(true).write(true).open(path).context("open the board")?)
    }

    fn map(file: &File) -> Result<&'static Board> {
        let (bytes, access) = (size_of::<Board>(), libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: a new mapping where the kernel likes; the result is looked at.
        let memory = unsafe {
            libc::mmap(std::ptr::null_mut(), bytes, access, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        anyhow::ensure!(memory != libc::MAP_FAILED, std::io::Error::last_os_error());
        // SAFETY: so many bytes of the file, never unmapped; atomics all, which may be zero.
        Ok(unsafe { &*memory.cast::<Board>() })
    }

    pub fn place(&self, number: usize) -> &Place {
        &self.places[number]
    }

    /// Begins or ends a pause.
    pub fn turn_pause(&self) {
        self.pause.fetch_add(1, Ordering::SeqCst);
        // SAFETY: wakes who waits at a word of ours.
        unsafe {
            libc::syscall(libc::SYS_futex, &raw const self.pause, libc::FUTEX_WAKE, i32::MAX)
        };
    }

    /// Asks all workers to end.
    pub fn finish(&self) {
        self.finish.store(1, Ordering::SeqCst);
    }

    pub fn is_finishing(&self) -> bool {
        self.finish.load(Ordering::SeqCst) != 0
    }

    /// A worker has found something wrong. The first who says so is heard.
    pub fn fail(&self, text: &str) {
        let first = self.failed.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !first {
            return;
        }
        for (to, byte) in self.message.iter().zip(text.bytes()) {
            to.store(byte, Ordering::Relaxed);
        }
        let bytes = text.len().min(self.message.len());
        self.message_bytes.store(bytes as u32, Ordering::Relaxed);
        self.failed.store(2, Ordering::SeqCst);
    }

    /// What a worker has found.
    pub fn failure(&self) -> Option<String> {
        (self.failed.load(Ordering::SeqCst) == 2).then(|| {
            let bytes = self.message_bytes.load(Ordering::Relaxed) as usize;
            let text: Vec<u8> =
                self.message[..bytes].iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
            String::from_utf8_lossy(&text).into_owned()
        })
    }
}

/// Waits while the word is `value`, for a tenth of a second at most.
fn futex_wait(word: &AtomicU32, value: u32) {
    let limit = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    // SAFETY: a word that stays, and a time that outlives the call.
    unsafe {
        libc::syscall(libc::SYS_futex, &raw const *word, libc::FUTEX_WAIT, value, &raw const limit)
    };
}

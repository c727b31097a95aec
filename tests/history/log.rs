//! What processes called and were answered, in memory that outlives them: a file that all of them map,
//! with orders and a log for each. A record is begun before the call and ended after it, so
//! that of who is killed the last one stands there without an end.

use crate::linear::{Answer, Call};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::*, fence};

/// Records of one log.
pub const RECORDS: usize = 1 << 14;
/// Processes at the same time, the dead of the round among them.
pub const LOGS: usize = 64;

/// What the supervisor says.
#[repr(C)]
pub struct Orders {
    /// The round that goes on, or that is to begin.
    pub go: AtomicU64,
    /// The last round that is over.
    pub stop: AtomicU64,
}

/// Of one process.
#[repr(C)]
pub struct Log {
    /// Calls begun in this round.
    count: AtomicU64,
    /// The last round that it has ended.
    pub through: AtomicU64,
    /// The last round that it has begun.
    pub began: AtomicU64,
    records: [Record; RECORDS],
}

#[repr(C)]
struct Record {
    begin: AtomicU64,
    /// 0: not yet.
    end: AtomicU64,
    /// Name and call.
    call: AtomicU64,
    value: AtomicU64,
    answer: AtomicU64,
    found: AtomicU64,
}

#[repr(C)]
struct Shared {
    orders: Orders,
    logs: [Log; LOGS],
}

/// The mapping.
#[derive(Clone, Copy)]
pub struct Board(&'static Shared);

impl Board {
    /// A new one, and the path by which other processes open it while this one has it.
    pub fn create() -> (Board, PathBuf) {
        // SAFETY: a name and no flags; what it returns is a new descriptor, which is ours.
        let file = unsafe {
            let descriptor = libc::memfd_create(c"histories".as_ptr(), libc::MFD_CLOEXEC);
            assert_ne!(descriptor, -1, "a memory file: {}", std::io::Error::last_os_error());
            File::from_raw_fd(descriptor)
        };
        file.set_len(size_of::<Shared>() as u64).expect("room for the board");
        let board = Board::map(&file);
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.into_raw_fd());
        (board, path.into())
    }

    pub fn open(path: &Path) -> Board {
        Board::map(&File::options().read(true).write(true).open(path).unwrap())
    }

    fn map(file: &File) -> Board {
        // SAFETY: a new mapping where the kernel chooses; it stays until the process ends.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Shared>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(at, libc::MAP_FAILED, "map the board: {}", std::io::Error::last_os_error());
        // SAFETY: as long as the file is; all of it are atomics, of which zeros are valid ones.
        Board(unsafe { &*at.cast::<Shared>() })
    }

    pub fn orders(self) -> &'static Orders {
        &self.0.orders
    }

    pub fn log(self, log: usize) -> &'static Log {
        &self.0.logs[log]
    }
}

/// A call as it stands in a log.
pub struct Recorded {
    pub name: usize,
    pub call: Call,
    pub answer: Option<Answer>,
    pub begin: u64,
    /// `None`: the process did not get so far.
    pub end: Option<u64>,
}

impl Log {
    /// For a new round, or a new process.
    pub fn clear(&self) {
        self.count.store(0, Release);
    }

    pub fn is_full(&self) -> bool {
        self.count.load(Relaxed) as usize >= RECORDS
    }

    /// Records a call with its answer; `None`: it came to nothing and is not to be in the history.
    pub fn record<R>(
        &self,
        name: usize,
        call: Call,
        perform: impl FnOnce() -> (Option<Answer>, R),
    ) -> R {
        let count = self.count.load(Relaxed);
        let record = &self.records[count as usize];
        let (code, value) = encode_call(call);
        record.end.store(0, Relaxed);
        record.call.store((name as u64) << 8 | code, Relaxed);
        record.value.store(value, Relaxed);
        record.begin.store(now(), Relaxed);
        self.count.store(count + 1, Release);
        // Whatever the call reads or writes, it does after that time…
        fence(SeqCst);
        let (answer, rest) = perform();
        // … and before this one.
        fence(SeqCst);
        let Some(answer) = answer else {
            self.count.store(count, Release);
            return rest;
        };
        let (code, found) = encode_answer(answer);
        record.answer.store(code, Relaxed);
        record.found.store(found, Relaxed);
        record.end.store(now(), Release);
        rest
    }

    /// What stands there. Its process has ended, or has no round.
    pub fn read(&self) -> impl Iterator<Item = Recorded> {
        let count = self.count.load(Acquire) as usize;
        self.records[..count].iter().map(|record| {
            let end = Some(record.end.load(Acquire)).filter(|end| *end != 0);
            let call = record.call.load(Relaxed);
            let answer = || decode_answer(record.answer.load(Relaxed), record.found.load(Relaxed));
            Recorded {
                name: (call >> 8) as usize,
                call: decode_call(call & 0xff, record.value.load(Relaxed)),
                answer: end.map(|_| answer()),
                begin: record.begin.load(Relaxed),
                end,
            }
        })
    }
}

/// Nanoseconds, the same for all processes.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to `time`.
    let told = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    assert_eq!(told, 0, "there is such a clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn encode_call(call: Call) -> (u64, u64) {
    match call {
        Call::Construct(value) => (0, value),
        Call::FindOrConstruct(value) => (1, value),
        Call::Find(kind) => (2, kind),
        Call::Look => (3, 0),
        Call::Contains => (4, 0),
        Call::Destroy(kind) => (5, kind),
    }
}

fn decode_call(code: u64, value: u64) -> Call {
    match code {
        0 => Call::Construct(value),
        1 => Call::FindOrConstruct(value),
        2 => Call::Find(value),
        3 => Call::Look,
        4 => Call::Contains,
        5 => Call::Destroy(value),
        _ => panic!("no call has the code {code}"),
    }
}

const ANSWERS: [Answer; 7] = [
    Answer::Made,
    Answer::Taken,
    Answer::Absent,
    Answer::WrongType,
    Answer::Yes,
    Answer::No,
    Answer::Torn,
];

fn encode_answer(answer: Answer) -> (u64, u64) {
    match answer {
        Answer::Found(value) => (ANSWERS.len() as u64, value),
        answer => (ANSWERS.iter().position(|one| *one == answer).expect("all others") as u64, 0),
    }
}

fn decode_answer(code: u64, found: u64) -> Answer {
    ANSWERS.get(code as usize).copied().unwrap_or(Answer::Found(found))
}

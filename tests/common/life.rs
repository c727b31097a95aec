//! What the tests of liveness share: a process that holds something of a segment and does what it is
//! told, whatever may befall processes; and what the segment says of it.
#![allow(dead_code)] // each test file uses a part

use crate::common::{Process, arg, assert_like_fresh, hear, long, pattern, role, say};
use sharena::{Liveness, Options, Segment, Shareable, Stats};
use std::alloc::Layout;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Ended by the kernel after this, if its test does not end it.
const PATIENCE: u32 = 120;

/// Waits until it is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn signal(pid: u32, signal: i32) {
    // SAFETY: a process that the test started and has not waited for.
    assert_eq!(unsafe { libc::kill(pid as i32, signal) }, 0, "signal {signal} to {pid}");
}

/// The state of a process as `/proc` says, which is not to be believed: `Z` for one whose first thread
/// has ended. `None`: it is not there.
pub fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

/// What `segment` says of the attachments of processes with this number, the oldest first.
pub fn verdicts(segment: &Segment, pid: u32) -> Vec<Liveness> {
    let mut of_pid = segment.stats().unwrap().participants;
    of_pid.retain(|one| one.pid == pid);
    of_pid.sort_by_key(|one| one.attached_at);
    of_pid.into_iter().map(|one| one.liveness).collect()
}

pub fn assert_alive(segment: &Segment, pid: u32) {
    assert_eq!(verdicts(segment, pid), [Liveness::Alive], "process {pid}");
}

pub fn await_death(segment: &Segment, pid: u32) {
    until("its death", || verdicts(segment, pid) == [Liveness::Dead]);
}

/// After a recovery nothing of the dead is left, and what all others hold is what they held.
pub fn assert_recovered(segment: &Segment, fresh: &Stats) {
    segment.recover().unwrap();
    assert_like_fresh(segment, fresh);
    let others = segment.stats().unwrap().participants.into_iter().filter(|one| !one.is_self);
    assert_eq!(others.collect::<Vec<_>>(), [], "somebody was not recovered");
}

/// Recovers nobody: the tests ask for that.
pub fn open(place: &str) -> Segment {
    let options = Options::new().recover_at_open(false);
    match place.starts_with('/') {
        true => options.open_at(place).unwrap(),
        false => options.open(place).unwrap(),
    }
}

/// Words for processes that share nothing else; `construct`ed as "words".
#[derive(Shareable, Default)]
pub struct Words {
    /// Counted up by whoever shows that it runs.
    pub beat: AtomicU64,
    /// Not 0: whoever beats is to end.
    pub stop: AtomicU64,
}

impl Words {
    /// It still beats.
    pub fn assert_beats(&self) {
        let before = self.beat.load(Ordering::Acquire);
        until("a beat", || self.beat.load(Ordering::Acquire) > before + 1);
    }

    /// Beats until told to stop. Allocates nothing and uses nothing of the thread that calls it.
    pub fn beat(&self) {
        while self.stop.load(Ordering::Acquire) == 0 {
            self.beat.fetch_add(1, Ordering::AcqRel);
            // SAFETY: sleeps.
            unsafe { libc::usleep(500) };
        }
    }
}

/// What is a process' own in a segment: blocks in slabs and a run.
pub struct Held<'s> {
    segment: &'s Segment,
    small: Vec<sharena::Owned<'s, [u64; 16]>>,
    block: sharena::Block<'s>,
    large: sharena::Owned<'s, [u8]>,
}

const LARGE: usize = 400_000;

impl<'s> Held<'s> {
    pub fn take(segment: &'s Segment) -> Held<'s> {
        let block = segment.allocate_block(Layout::from_size_align(3000, 8).unwrap()).unwrap();
        // SAFETY: the block is ours, and so long.
        unsafe { block.as_ptr().as_ptr().write_bytes(0x5a, 3000) };
        Held {
            segment,
            small: (0..300).map(|i| segment.own([i; 16]).unwrap()).collect(),
            block,
            large: segment.own_slice(LARGE, |i| pattern(7, i)).unwrap(),
        }
    }

    /// Nobody has touched it, and more can be had.
    pub fn assert_intact(&self) {
        assert!(self.small.iter().enumerate().all(|(i, small)| **small == [i as u64; 16]));
        // SAFETY: as in `take`.
        let block = unsafe { std::slice::from_raw_parts(self.block.as_ptr().as_ptr(), 3000) };
        assert!(block.iter().all(|byte| *byte == 0x5a));
        assert!(self.large.iter().enumerate().all(|(i, byte)| *byte == pattern(7, i)));
        let more: Vec<_> = (0..300).map(|i| self.segment.own([!i; 16]).unwrap()).collect();
        assert!(more.iter().enumerate().all(|(i, more)| **more == [!(i as u64); 16]));
    }
}

/// Starts a process that [obeys](obey), of a segment with the name or path `place`.
pub fn holder(test: &str, place: &str) -> Process {
    let mut holder = Process::start(test, "holder", &[place]);
    assert_eq!(holder.listen(), "ready");
    holder
}

/// It holds what it held, and can use the segment.
pub fn assert_works(holder: &mut Process) {
    holder.tell("prove");
    assert_eq!(holder.listen(), "proved");
}

/// What it says of process `pid`.
pub fn verdict_by(holder: &mut Process, pid: u32) -> String {
    holder.tell(format_args!("judge {pid}"));
    holder.listen()
}

/// The process that `holder` starts, and `true`; `false` in the test itself.
pub fn is_holder() -> bool {
    match role().as_deref() {
        Some("holder") => {
            let segment = open(&arg(0));
            obey(&segment, &Held::take(&segment));
            true
        }
        _ => false,
    }
}

/// Does what it is told, until the parent is gone or says "end".
pub fn obey(segment: &Segment, held: &Held<'_>) {
    let mut opened = Vec::new();
    say("ready");
    loop {
        let line = hear();
        let mut words = line.split(' ');
        let order = words.next().unwrap();
        let mut word = || words.next().expect("an order with arguments").to_owned();
        match order {
            "end" => return,
            "prove" => {
                held.assert_intact();
                say("proved");
            }
            "judge" => say(format_args!("{:?}", verdicts(segment, word().parse().unwrap()))),
            "recover" => {
                segment.recover().unwrap();
                say("recovered");
            }
            "exit" => std::process::exit(0),
            // SAFETY: ends the process.
            "_exit" => unsafe { libc::_exit(0) },
            "abort" => {
                no_core();
                std::process::abort()
            }
            "panic" => {
                no_core();
                std::panic::set_hook(Box::new(|_| {}));
                // A panic that may not unwind aborts.
                extern "C" fn no_way_out() {
                    panic!("as the test wants it");
                }
                no_way_out()
            }
            "exec" => {
                let error = Process::command(&word(), "holder", &[&arg(0)]).exec();
                panic!("exec: {error}");
            }
            // Programs that become daemons do so.
            "close" => {
                // SAFETY: no descriptor from 3 on is used any more but by the segment; that is the test.
                assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) }, 0);
                say("closed");
            }
            // The numbers that were closed come to mean another file.
            "open" => {
                let path = word();
                opened.extend(
                    (0..64).map(|_| File::options().read(true).write(true).open(&path).unwrap()),
                );
                say("opened");
            }
            "opened?" => {
                let all = opened.iter().all(|file| file.metadata().is_ok());
                say(all);
            }
            "fork" => {
                let pid = fork(|| {
                    close_pipes();
                    segment.find::<Words>("words").unwrap().unwrap().beat();
                });
                say(pid);
            }
            _ => panic!("what is {line}?"),
        }
    }
}

fn no_core() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads the structure.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
}

/// Whoever reads from this process shall not wait for a child of it.
pub fn close_pipes() {
    // SAFETY: the child uses neither.
    unsafe {
        libc::close(0);
        libc::close(1);
    }
}

/// Forks; the child runs `child`, nothing else, and ends. Its number.
pub fn fork(child: impl FnOnce()) -> u32 {
    // SAFETY: the child uses its own memory and the segment.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: sets a timer, which a fork does not inherit.
            unsafe { libc::alarm(if long() { 3600 } else { PATIENCE }) };
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the child, without the destructors that are its parent's.
            unsafe { libc::_exit(i32::from(done.is_err())) };
        }
        pid => pid as u32,
    }
}

/// Waits for a forked child; its exit code, `None` if a signal ended it.
pub fn reap(pid: u32) -> Option<i32> {
    let mut status = 0;
    // SAFETY: waits for our own child.
    assert_eq!(unsafe { libc::waitpid(pid as i32, &mut status, 0) }, pid as i32);
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

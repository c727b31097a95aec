//! Judging under fire: processes that fork, spawn, exec, close all descriptors, lose their first
//! thread, detach and attach again, are stopped and killed at any moment; and everybody judges and
//! recovers everybody all the time.
//!
//! - No live process is ever called dead: who is alive and finds itself condemned, or its place in the
//!   table not its own any more, says so; and nobody is seen to store after a verdict.
//! - No death is missed: in the end all places of the dead are free.
//! - What the living hold is theirs: it is never given out.
#[path = "common/mod.rs"]
mod common;
#[path = "common/life.rs"]
mod life;

use common::{Name, Process, arg, assert_like_fresh, at_rest, long, role, say};
use life::{Held, fork, reap, signal, until};
use sharena::{Liveness, Options, ParticipantStats, Segment, Shareable};
use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

const TEST: &str = "no_live_process_is_ever_judged_dead";
/// Processes that are killed.
const MEMBERS: usize = 12;

/// What the holder of a place in the table of participants shows of itself. Who it is, is the time at
/// which it attached.
#[derive(Shareable, Default)]
struct Sign {
    owner: AtomicU64,
    beat: AtomicU64,
    /// The latest owner whom somebody called dead.
    condemned: AtomicU64,
}

#[derive(Shareable)]
struct Fire {
    signs: [Sign; 512],
    /// Verdicts that were wrong.
    wrong: AtomicU64,
    /// Verdicts of death that were watched.
    watched: AtomicU64,
    verdicts: AtomicU64,
    /// Members that came to work, and what they did.
    came: AtomicU64,
    forks: AtomicU64,
    execs: AtomicU64,
    /// Not 0: all are to end.
    stop: AtomicU64,
}

impl Fire {
    fn new() -> Fire {
        let zero = || AtomicU64::new(0);
        Fire {
            signs: std::array::from_fn(|_| Sign::default()),
            wrong: zero(),
            watched: zero(),
            verdicts: zero(),
            came: zero(),
            forks: zero(),
            execs: zero(),
            stop: zero(),
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Acquire) != 0
    }

    fn wrong(&self, what: &str) {
        self.wrong.fetch_add(1, Ordering::AcqRel);
        eprintln!("process {}: {what}", std::process::id());
    }
}

/// Numbers that differ by seed (xorshift).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    /// Below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

fn born(one: &ParticipantStats) -> u64 {
    one.attached_at.duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// One process at its work on one attachment.
struct Member<'s> {
    segment: &'s Segment,
    fire: &'s Fire,
    slot: usize,
    born: u64,
    /// Verdicts to be watched: place, owner, and how far it had counted.
    dead: Vec<(usize, u64, u64)>,
}

impl<'s> Member<'s> {
    /// `None`: its place in the table is not its own.
    fn new(segment: &'s Segment, fire: &'s Fire) -> Option<Member<'s>> {
        let participants = segment.stats().unwrap().participants;
        let me = participants.iter().find(|one| one.is_self && one.pid == std::process::id());
        let Some(me) = me else {
            fire.wrong("is nobody");
            return None;
        };
        let (slot, born) = (usize::from(me.slot), born(me));
        fire.signs[slot].owner.store(born, Ordering::Release);
        Some(Member { segment, fire, slot, born, dead: Vec::new() })
    }

    /// It lives, as all may see.
    fn beat(&self) {
        let sign = &self.fire.signs[self.slot];
        sign.beat.fetch_add(1, Ordering::AcqRel);
        if sign.condemned.load(Ordering::Acquire) == self.born {
            self.fire.wrong("was called dead");
        }
    }

    /// Judges all, and watches those that were called dead before.
    fn judge(&mut self) {
        self.beat();
        let participants = self.segment.stats().unwrap().participants;
        let mut is_there = false;
        for one in &participants {
            let sign = &self.fire.signs[usize::from(one.slot)];
            let born = born(one);
            if one.is_self {
                is_there = born == self.born && one.liveness != Liveness::Dead;
            } else if one.liveness == Liveness::Dead {
                sign.condemned.fetch_max(born, Ordering::AcqRel);
                if sign.owner.load(Ordering::Acquire) == born {
                    let beat = sign.beat.load(Ordering::Acquire);
                    self.dead.push((usize::from(one.slot), born, beat));
                }
            }
        }
        self.fire.verdicts.fetch_add(participants.len() as u64, Ordering::Relaxed);
        if !is_there {
            self.fire.wrong("has lost its place");
        }
        self.dead.retain(|(slot, born, before)| {
            let sign = &self.fire.signs[*slot];
            let beat = sign.beat.load(Ordering::Acquire);
            // In this order: as long as nobody else has the place, the count is the dead one's.
            if sign.owner.load(Ordering::Acquire) != *born {
                return false;
            }
            if beat != *before {
                self.fire.wrong("saw a store of one called dead");
            }
            beat == *before
        });
        let many = self.dead.len().saturating_sub(64);
        self.fire.watched.fetch_add(many as u64, Ordering::Relaxed);
        self.dead.drain(..many);
        self.beat();
    }

    /// Works for a while, or until all is over.
    fn work(&mut self, rounds: u64, dice: &mut Dice) {
        let held = Held::take(self.segment);
        for _ in 0..rounds {
            if self.fire.is_over() {
                break;
            }
            self.judge();
            if dice.roll(4) == 0 {
                self.segment.recover().unwrap();
            }
            self.beat();
            if dice.roll(16) == 0 {
                held.assert_intact();
            }
            let_close();
            std::thread::sleep(Duration::from_micros(dice.roll(1000)));
        }
        self.fire.watched.fetch_add(self.dead.len() as u64, Ordering::Relaxed);
        if dice.roll(2) == 0 {
            // As many programs end.
            std::mem::forget(held);
        }
    }
}

/// What else a process does, on a thread of its own.
fn make_noise(segment: &Segment, fire: &Fire, done: &AtomicBool, mut dice: Dice) {
    while !done.load(Ordering::Acquire) && !fire.is_over() {
        match dice.roll(8) {
            0..4 => {
                let seed = dice.roll(u64::MAX);
                let child = fork(|| {
                    let mut dice = Dice::new(seed);
                    match dice.roll(3) {
                        // Inherits what it inherits, and does nothing with it.
                        0 => std::thread::sleep(Duration::from_millis(dice.roll(30))),
                        // Is a process of its own, whatever becomes of its parent.
                        1 => {
                            if segment.allocate_block(std::alloc::Layout::new::<u64>()).is_ok()
                                && let Some(mut me) = Member::new(segment, fire)
                            {
                                me.work(dice.roll(20), &mut dice);
                            }
                        }
                        // Attaches anew.
                        _ => be_member(&mut dice, 10),
                    }
                });
                fire.forks.fetch_add(1, Ordering::Relaxed);
                if dice.roll(2) == 0 {
                    reap(child);
                }
            }
            4..6 => spawn_true(),
            6 => close_all(dice.roll(4), || done.load(Ordering::Acquire) || fire.is_over()),
            _ => std::thread::sleep(Duration::from_millis(dice.roll(10))),
        }
        // SAFETY: no status is asked for.
        while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
    }
}

/// 0; 1 while a thread wants to close all descriptors; 2 while the other lets it. In the middle of an
/// operation the standard library takes a closed descriptor for a bug, and aborts a debug build.
static CLOSING: AtomicU64 = AtomicU64::new(0);

/// Closes all descriptors, and makes so many of their numbers mean another file.
fn close_all(others: u64, is_over: impl Fn() -> bool) {
    CLOSING.store(1, Ordering::Release);
    while CLOSING.load(Ordering::Acquire) != 2 {
        if is_over() {
            return CLOSING.store(0, Ordering::Release);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    // SAFETY: nobody here uses a descriptor from 3 on but the segment; that is the test.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    for _ in 0..others {
        // SAFETY: a name that ends with 0; it stays open.
        unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY) };
    }
    CLOSING.store(0, Ordering::Release);
}

/// Lets the other thread of this process close all descriptors, if it wants to.
fn let_close() {
    if CLOSING.compare_exchange(1, 2, Ordering::AcqRel, Ordering::Acquire).is_ok() {
        while CLOSING.load(Ordering::Acquire) == 2 {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Starts a program that ends at once.
fn spawn_true() {
    let argv = [c"true".as_ptr().cast_mut(), std::ptr::null_mut()];
    let mut pid = 0;
    // SAFETY: lists that end with null.
    let done = unsafe {
        libc::posix_spawnp(
            &mut pid,
            argv[0],
            std::ptr::null(),
            std::ptr::null(),
            argv.as_ptr(),
            argv.as_ptr().add(1),
        )
    };
    if done == 0 {
        // SAFETY: our own child; no status is asked for.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
}

/// Opens the segment and works on it, `rounds` times.
fn be_member(dice: &mut Dice, rounds: u64) {
    let options = Options::new().recover_at_open(dice.roll(2) == 0);
    // In the end the name is gone, and the orphans of the killed are still there.
    let Ok(segment) = options.open(&arg(0)) else { return };
    let Some(fire) = segment.find::<Fire>("fire").unwrap() else { return };
    if let Some(mut me) = Member::new(&segment, &fire) {
        fire.came.fetch_add(1, Ordering::Relaxed);
        me.work(rounds, dice);
    }
}

/// A process that will be killed.
fn live(segment: &Segment, fire: &Fire, seed: u64) {
    let mut dice = Dice::new(seed);
    let done = AtomicBool::new(false);
    let noise = Dice::new(dice.roll(u64::MAX));
    let kind = dice.roll(8);
    if kind == 0 {
        fire.execs.fetch_add(1, Ordering::Relaxed);
        be_member(&mut dice, 3);
        // The attachment of this program that is still there ends with it.
        let left = Options::new().open(&arg(0)).map(std::mem::ManuallyDrop::new);
        let error = Process::command(TEST, "member", &[&arg(0), &seed.to_string()]).exec();
        drop(left);
        panic!("exec: {error}");
    }
    std::thread::scope(|scope| {
        let done = &done;
        scope.spawn(move || make_noise(segment, fire, done, noise));
        let mut work = move || {
            // Used before the fork, so inherited; or opened anew, again and again.
            if kind < 4 && segment.contains("fire").is_ok() {
                if let Some(mut me) = Member::new(segment, fire) {
                    fire.came.fetch_add(1, Ordering::Relaxed);
                    me.work(u64::MAX, &mut dice);
                }
            } else {
                while !fire.is_over() {
                    be_member(&mut dice, 20);
                }
            }
            done.store(true, Ordering::Release);
        };
        if kind % 4 != 1 {
            return work();
        }
        scope.spawn(move || {
            work();
            // SAFETY: ends the process; its first thread has ended.
            unsafe { libc::_exit(0) };
        });
        // SAFETY: ends this thread alone; its stack stays mapped.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    });
}

/// Starts members, stops and kills them, and judges as they do.
fn host() {
    let kills = if long() { 5000 } else { 300 };
    let segment = Segment::open(&arg(0)).unwrap();
    let fire = segment.find::<Fire>("fire").unwrap().unwrap();
    let mut me = Member::new(&segment, &fire).unwrap();
    let mut dice = Dice::new(arg(1).parse().unwrap());
    let held = Held::take(&segment);
    let mut members: Vec<u32> = Vec::new();
    let mut killed = 0;
    let begin = Instant::now();
    // A slow machine need not see all of them.
    let is_enough = |killed| killed >= 100 && begin.elapsed() > Duration::from_secs(15) && !long();
    while killed < kills && !is_enough(killed) && fire.wrong.load(Ordering::Acquire) == 0 {
        while members.len() < MEMBERS {
            let seed = dice.roll(u64::MAX);
            members.push(fork(|| live(&segment, &fire, seed)));
        }
        me.judge();
        if dice.roll(8) == 0 {
            segment.recover().unwrap();
        }
        std::thread::sleep(Duration::from_millis(dice.roll(16)));
        match dice.roll(4) {
            0 => {
                let one = members[dice.roll(MEMBERS as u64) as usize];
                signal(one, libc::SIGSTOP);
                for _ in 0..dice.roll(5) {
                    std::thread::sleep(Duration::from_millis(3));
                    me.judge();
                    segment.recover().unwrap();
                }
                signal(one, libc::SIGCONT);
            }
            _ => {
                let one = members.swap_remove(dice.roll(MEMBERS as u64) as usize);
                signal(one, libc::SIGKILL);
                if dice.roll(2) == 0 {
                    me.judge();
                }
                assert_eq!(reap(one), None, "it ended before it was killed");
                killed += 1;
            }
        }
    }
    held.assert_intact();
    drop(held);
    fire.stop.store(1, Ordering::Release);
    for one in members {
        reap(one);
    }
    let time = begin.elapsed();
    let count = |count: &AtomicU64| count.load(Ordering::Acquire);
    eprintln!(
        "{killed} killed in {time:.1?}, {} forks and {} execs beside, {} attached; {} verdicts, {} dead watched",
        count(&fire.forks),
        count(&fire.execs),
        count(&fire.came),
        count(&fire.verdicts),
        count(&fire.watched),
    );
    say(count(&fire.wrong));
}

#[test]
fn no_live_process_is_ever_judged_dead() {
    match role().as_deref() {
        // In a process with one thread, for it forks.
        Some("host") => return host(),
        // The program that a member has become.
        Some("member") => {
            let mut dice = Dice::new(arg(1).parse::<u64>().unwrap() + 1);
            loop {
                be_member(&mut dice, 20);
                let Ok(segment) = Options::new().open(&arg(0)) else { return };
                if segment.find::<Fire>("fire").unwrap().unwrap().is_over() {
                    return;
                }
            }
        }
        _ => {}
    }
    let name = Name::new("fire");
    let segment = Segment::create(&name, 256 << 20).unwrap();
    let fire = segment.construct("fire", Fire::new()).unwrap();
    let fresh = at_rest(&segment);
    let seed = std::process::id().to_string();
    let mut host = Process::start(TEST, "host", &[&name, &seed]);
    assert_eq!(host.listen(), "0", "verdicts were wrong; seed {seed}");
    host.finish();
    assert!(fire.watched.load(Ordering::Acquire) > 0, "nobody was seen dead");
    drop(fire);
    // Whoever outlived its parent ends by itself.
    until("all deaths", || {
        segment.recover().unwrap();
        segment.stats().unwrap().participants.len() == 1
    });
    assert_like_fresh(&segment, &fresh);
}

//! The supervisor: starts workers, kills them, asks whether the others go on.

use super::account::{Accountant, Troubles};
use super::board::{Activity, Board, DIE, Place, RECOVER, THREADS, VERIFY};
use super::clock::Clock;
use super::operation::{OPERATIONS, Operation};
use crate::args::SoakArgs;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use sharena::{Liveness, Recovered};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A thread that does not end an operation for so long is stopped.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for operations that look at the whole segment, with a system call for each unit or
/// process at times: on a machine with much else to do these take their time.
const PATIENCE_WITH_LONG: Duration = Duration::from_secs(10);

fn patience(operation: Operation) -> Duration {
    use Operation::*;
    match operation {
        Trim | Recover | Attach | Detach | EndThread => PATIENCE_WITH_LONG,
        _ => PATIENCE,
    }
}

/// Kills by how they were done, and what came of them.
#[derive(Default, Serialize)]
pub struct Figures {
    pub kills: u64,
    pub killed_alone: u64,
    pub killed_two_at_once: u64,
    pub killed_while_stopped: u64,
    /// Of all, those that struck a thread in `recover`.
    pub killed_in_recovery: u64,
    /// Of all, those whose zombie stayed for a while.
    pub reaped_late: u64,
    /// Workers that were stopped for a while, and went on.
    pub stopped_and_continued: u64,
    pub workers_started: u64,
    pub accounts: u64,
    /// Kills that were followed by an account of their own, before the next kill.
    pub kills_with_own_account: u64,
    /// Who called `recover` first after a kill.
    pub recovered_beside_load: u64,
    pub recovered_by_worker: u64,
    pub recovered_by_attach_or_account: u64,
    /// What recoveries by the supervisor and by workers gave back.
    pub recovered_processes: u64,
    pub recovered_blocks: u64,
    pub recovered_bytes: u64,
    /// Until all threads had parked, and for the accounts.
    pub parking_seconds: f64,
    pub account_seconds: f64,
    #[serde(skip)]
    pub deaths: [u64; OPERATIONS],
}

struct Worker {
    child: Child,
    is_stopped: bool,
}

/// A thread as it was last seen to make progress.
#[derive(Clone, Copy, Default)]
struct Seen {
    beats: u64,
    at: Duration,
}

/// The workers, and all that is known of them.
pub struct Crew<'a> {
    pub args: &'a SoakArgs,
    pub segment_name: &'a str,
    pub board: &'static Board,
    pub board_path: String,
    pub clock: Clock,
    pub random: fastrand::Rng,
    pub accountant: Accountant<'a>,
    pub troubles: Troubles,
    pub figures: Figures,
    workers: Vec<Worker>,
    /// Killed and not reaped, and for how many rounds they shall stay so.
    zombies: Vec<(Child, u32)>,
    seen: Vec<Seen>,
    kills_since_account: u64,
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // Ended already, unless something failed.
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
        self.reap(true);
    }
}

/// Before workers, where the system allows that: a supervisor that waits kills nobody.
pub const FAST: i32 = -10;

/// How nice a thread of the kernel's number is; 0: the calling one.
pub fn set_nice(thread: u32, nice: i32) {
    // SAFETY: asks the kernel, which may refuse.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, nice) };
}

impl<'a> Crew<'a> {
    pub fn new(
        args: &'a SoakArgs,
        segment_name: &'a str,
        board: (&'static Board, String),
        accountant: Accountant<'a>,
        clock: Clock,
        random: fastrand::Rng,
    ) -> Result<Crew<'a>> {
        let mut crew = Crew {
            args,
            segment_name,
            board: board.0,
            board_path: board.1,
            clock,
            random,
            seen: vec![Seen::default(); accountant.places],
            accountant,
            troubles: Troubles::default(),
            figures: Figures::default(),
            workers: Vec::new(),
            zombies: Vec::new(),
            kills_since_account: 0,
        };
        for number in 0..args.processes {
            let worker = crew.start(number)?;
            crew.workers.push(worker);
        }
        Ok(crew)
    }

    fn start(&mut self, number: u32) -> Result<Worker> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["soak-worker", self.segment_name, &self.board_path])
            .args(["--number", &number.to_string()])
            .args(["--processes", &self.args.processes.to_string()])
            .args(["--seed", &self.random.u64(..).to_string()])
            .stdin(Stdio::null());
        if let (Some(plant), 0) = (self.args.plant, number) {
            command.args(["--plant", &format!("{plant:?}").to_lowercase()]);
        }
        let child = command.spawn().context("start a worker")?;
        self.figures.workers_started += 1;
        Ok(Worker { child, is_stopped: false })
    }

    /// Puts heirs in the places of the dead, whose zombies stay for a while now and then.
    fn replace(&mut self, numbers: &[usize]) -> Result<()> {
        for &number in numbers {
            let late = if self.random.u8(..3) == 0 { self.random.u32(1..8) } else { 0 };
            self.figures.reaped_late += u64::from(late != 0);
            let heir = self.start(number as u32)?;
            let dead = std::mem::replace(&mut self.workers[number], heir);
            self.zombies.push((dead.child, late));
        }
        self.reap(false);
        Ok(())
    }

    fn places(&self, number: usize) -> impl Iterator<Item = &'static Place> + use<> {
        let board = self.board;
        (number * THREADS..(number + 1) * THREADS).map(|place| board.place(place))
    }

    /// One round: a kill or two, and what follows.
    pub fn round(&mut self) -> Result<()> {
        self.clock.beat();
        self.work_for(4000)?;
        let victims = match self.random.u8(..100) {
            0..72 => {
                self.figures.killed_alone += 1;
                vec![self.any()]
            }
            72..82 => {
                let (one, other) = self.two();
                self.figures.killed_two_at_once += 2;
                vec![one, other]
            }
            82..95 => return self.kill_in_recovery(),
            _ => return self.kill_beside_stopped(),
        };
        self.kill(&victims)?;
        self.after_kill(&victims)
    }

    /// Lets the workers work for a moment of at most so many microseconds.
    fn work_for(&mut self, micros: u64) -> Result<()> {
        std::thread::sleep(Duration::from_micros(self.random.u64(..micros)));
        self.watch()
    }

    fn any(&mut self) -> usize {
        self.random.usize(..self.workers.len())
    }

    fn two(&mut self) -> (usize, usize) {
        let one = self.any();
        let other = (one + self.random.usize(1..self.workers.len())) % self.workers.len();
        (one, other)
    }

    /// Kills one, and has another die while it recovers that one.
    fn kill_in_recovery(&mut self) -> Result<()> {
        let (one, other) = self.two();
        self.kill(&[one])?;
        self.figures.killed_alone += 2;
        self.ask(other, RECOVER | DIE);
        let begin = Instant::now();
        // While it is attaching or waits for a thread it does not hear; then it is killed at that.
        while !self.has_died(other) && begin.elapsed() < Duration::from_millis(20) {
            std::thread::sleep(Duration::from_micros(100));
        }
        self.kill(&[other])?;
        self.after_kill(&[one, other])
    }

    /// Asks the main thread of a worker.
    fn ask(&self, number: usize, what: u32) {
        self.board.place(number * THREADS).asked.fetch_or(what, Ordering::AcqRel);
    }

    /// Stops one in the middle of whatever it does, and kills others meanwhile: it is alive, and
    /// nobody may take anything of its.
    fn kill_beside_stopped(&mut self) -> Result<()> {
        let stopped = self.any();
        self.signal(stopped, libc::SIGSTOP)?;
        self.workers[stopped].is_stopped = true;
        self.await_state(stopped, libc::WSTOPPED)?;
        for _ in 0..self.random.u32(1..5) {
            self.work_for(4000)?;
            let other = (stopped + self.random.usize(1..self.workers.len())) % self.workers.len();
            self.kill(&[other])?;
            self.figures.killed_alone += 1;
            self.recover()?;
            self.see_alive(stopped)?;
            self.replace(&[other])?;
        }
        if self.random.u8(..4) == 0 {
            self.figures.killed_while_stopped += 1;
            self.kill(&[stopped])?;
            return self.after_kill(&[stopped]);
        }
        self.signal(stopped, libc::SIGCONT)?;
        self.workers[stopped].is_stopped = false;
        self.figures.stopped_and_continued += 1;
        for place in self.places(stopped) {
            place.asked.fetch_or(VERIFY, Ordering::AcqRel);
        }
        self.forgive();
        self.account()
    }

    /// A stopped worker must not be taken for a dead one.
    fn see_alive(&mut self, number: usize) -> Result<()> {
        let pid = self.workers[number].child.id();
        for one in self.accountant.segment.stats()?.participants {
            if one.pid == pid && one.liveness == Liveness::Dead {
                self.troubles.damage(format!("process {pid} is stopped, and judged dead: {one:?}"));
            }
        }
        Ok(())
    }

    fn signal(&self, number: usize, signal: i32) -> Result<()> {
        let pid = self.workers[number].child.id();
        // SAFETY: a process of ours that was not reaped.
        let sent = unsafe { libc::kill(pid as i32, signal) };
        if sent != 0 {
            bail!("signal worker {number}: {}", std::io::Error::last_os_error());
        }
        Ok(())
    }

    /// Waits until the kernel says that the worker is stopped, or dead; it is not reaped.
    fn await_state(&self, number: usize, state: i32) -> Result<()> {
        self.wait(number, state).map(|_| ())
    }

    fn has_died(&self, number: usize) -> bool {
        self.wait(number, libc::WEXITED | libc::WNOHANG).unwrap_or(false)
    }

    /// False: not yet.
    fn wait(&self, number: usize, how: i32) -> Result<bool> {
        let pid = self.workers[number].child.id();
        // SAFETY: all zero is a siginfo that says nothing.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: a child of ours, and a place for what is said.
        let done = unsafe { libc::waitid(libc::P_PID, pid, &mut info, how | libc::WNOWAIT) };
        if done != 0 {
            bail!("wait for worker {number}: {}", std::io::Error::last_os_error());
        }
        Ok(info.si_signo != 0)
    }

    /// Kills workers at once, and waits until they are dead.
    fn kill(&mut self, numbers: &[usize]) -> Result<()> {
        for &number in numbers {
            self.signal(number, libc::SIGKILL)?;
        }
        // The sooner it gets the processor, the sooner it is dead.
        for place in numbers.iter().flat_map(|number| self.places(*number)) {
            if place.activity() != Activity::Off {
                set_nice(place.thread.load(Ordering::Relaxed), FAST);
            }
        }
        for &number in numbers {
            self.await_state(number, libc::WEXITED)?;
            self.figures.kills += 1;
            self.kills_since_account += 1;
            for place in self.places(number) {
                let doing = place.doing();
                if place.activity() == Activity::Running || place.activity() == Activity::Ending {
                    self.figures.deaths[doing as usize] += 1;
                    self.figures.killed_in_recovery += u64::from(doing == Operation::Recover);
                }
                place.set_activity(Activity::Off);
                place.begin(Operation::Between);
                place.asked.store(0, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Recovery by one or another, replacement, account.
    fn after_kill(&mut self, victims: &[usize]) -> Result<()> {
        match self.random.u8(..3) {
            0 => {
                self.figures.recovered_beside_load += 1;
                self.recover()?;
            }
            1 => {
                self.figures.recovered_by_worker += 1;
                let other = self.any();
                if !victims.contains(&other) {
                    self.ask(other, RECOVER);
                }
            }
            _ => self.figures.recovered_by_attach_or_account += 1,
        }
        self.replace(victims)?;
        self.account()
    }

    /// Reaps the zombies whose time has come.
    fn reap(&mut self, all: bool) {
        self.zombies.retain_mut(|(child, rounds)| {
            if *rounds == 0 || all {
                // It is dead; nothing is left to wait for.
                let _ = child.wait();
                return false;
            }
            *rounds -= 1;
            true
        });
    }

    fn recover(&mut self) -> Result<()> {
        let recovered = self.accountant.segment.recover()?;
        self.note_recovered(&recovered);
        Ok(())
    }

    fn note_recovered(&mut self, recovered: &Recovered) {
        self.figures.recovered_processes += recovered.processes;
        self.figures.recovered_blocks += recovered.blocks;
        self.figures.recovered_bytes += recovered.bytes;
    }

    /// The exact account, in a pause.
    fn account(&mut self) -> Result<()> {
        let begin = Instant::now();
        self.board.turn_pause();
        if self.await_parked() {
            let parked = Instant::now();
            self.recover()?;
            self.accountant.take(&mut self.troubles)?;
            self.figures.parking_seconds += (parked - begin).as_secs_f64();
            self.figures.account_seconds += parked.elapsed().as_secs_f64();
            self.figures.accounts += 1;
            self.figures.kills_with_own_account += u64::from(self.kills_since_account == 1);
            self.kills_since_account = 0;
        }
        self.forgive();
        if self.troubles.none() {
            self.board.turn_pause();
        }
        Ok(())
    }

    /// Whether all threads came to stand between two operations.
    fn await_parked(&mut self) -> bool {
        let begin = self.clock.now();
        loop {
            let late = (0..self.accountant.places).find(|place| !self.is_at_rest(*place));
            let Some(late) = late else { return true };
            if self.failed() {
                return false;
            }
            if self.clock.now() - begin > patience(self.board.place(late).doing()) {
                self.say_stopped(late);
                return false;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    fn is_at_rest(&self, number: usize) -> bool {
        let place = self.board.place(number);
        match place.activity() {
            Activity::Off | Activity::Parked => true,
            Activity::Running => false,
            Activity::Ending => {
                let pid = self.workers[number / THREADS].child.id();
                let thread = place.thread.load(Ordering::Relaxed);
                !std::fs::exists(format!("/proc/{pid}/task/{thread}")).unwrap_or(true)
            }
        }
    }

    fn say_stopped(&mut self, number: usize) {
        let place = self.board.place(number);
        let pid = self.workers[number / THREADS].child.id();
        let thread = place.thread.load(Ordering::Relaxed);
        let of_kernel = |what: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/{what}")).unwrap_or_default()
        };
        self.troubles.stop(format!(
            "thread {thread} of worker {} (process {pid}) made no progress for {:?}, in \
             \"{}\", {:?}; the kernel: {} {}",
            number / THREADS,
            patience(place.doing()),
            place.doing().text(),
            place.activity(),
            of_kernel("wchan"),
            of_kernel("stat"),
        ));
    }

    /// Begins to count anew how long threads make no progress.
    fn forgive(&mut self) {
        let at = self.clock.now();
        self.seen.iter_mut().for_each(|seen| seen.at = at);
    }

    /// Whether a worker has said that something is wrong, or has ended without being told to.
    fn failed(&mut self) -> bool {
        if let Some(text) = self.board.failure()
            && self.troubles.none()
        {
            self.troubles.damage(text);
        }
        for (number, worker) in self.workers.iter_mut().enumerate() {
            if let Ok(Some(status)) = worker.child.try_wait()
                && self.troubles.none()
            {
                // What it said comes before its end.
                let said = self.board.failure().unwrap_or_else(|| "it said nothing".into());
                self.troubles.damage(format!("worker {number} ended with {status}: {said}"));
            }
        }
        !self.troubles.none()
    }

    /// Looks whether each thread that can run makes progress.
    fn watch(&mut self) -> Result<()> {
        if self.failed() {
            return Ok(());
        }
        let now = self.clock.now();
        for number in 0..self.accountant.places {
            let place = self.board.place(number);
            let beats = place.beats.load(Ordering::Relaxed);
            let seen = &mut self.seen[number];
            let may_rest = self.workers[number / THREADS].is_stopped
                || matches!(place.activity(), Activity::Off | Activity::Parked);
            if seen.beats != beats || may_rest {
                *seen = Seen { beats, at: now };
            } else if now.saturating_sub(seen.at) > patience(place.doing()) {
                self.say_stopped(number);
            }
        }
        Ok(())
    }

    /// Has all workers end by themselves, and takes the last account.
    pub fn finish(&mut self) -> Result<()> {
        self.board.finish();
        let begin = self.clock.now();
        for number in 0..self.workers.len() {
            loop {
                self.clock.beat();
                if let Some(status) = self.workers[number].child.try_wait()? {
                    if !status.success() {
                        let said = self.board.failure().unwrap_or_default();
                        self.troubles
                            .damage(format!("worker {number} ended with {status}: {said}"));
                    }
                    break;
                }
                if self.clock.now() - begin > PATIENCE_WITH_LONG {
                    self.say_stopped(number * THREADS);
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.reap(true);
        self.recover()?;
        self.accountant.take(&mut self.troubles)?;
        self.figures.accounts += 1;
        Ok(())
    }

    /// What all threads did, and what their recoveries gave back, are added up.
    pub fn operations(&mut self) -> Vec<(&'static str, u64)> {
        let places = 0..self.accountant.places;
        for place in places.clone().map(|place| self.board.place(place)) {
            let [processes, blocks, bytes] =
                std::array::from_fn(|i| place.recovered[i].load(Ordering::Relaxed));
            self.figures.recovered_processes += processes;
            self.figures.recovered_blocks += blocks;
            self.figures.recovered_bytes += bytes;
        }
        let count = |operation: Operation| {
            let of =
                |place| self.board.place(place).counts[operation as usize].load(Ordering::Relaxed);
            places.clone().map(of).sum()
        };
        Operation::ALL.iter().map(|operation| (operation.text(), count(*operation))).collect()
    }
}

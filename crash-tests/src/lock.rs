//! Processes are killed while they hold a lock, and at any moment of taking and giving it back, while
//! others want it: the next must have it soon, with the news if it was held, and nobody may hang.

use crate::args::LockArgs;
use crate::machine::Machine;
use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sharena::lock::{Cause, Mutex, MutexGuard};
use sharena::{Segment, Shareable};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// What takes longer is a hang.
const HANG: Duration = Duration::from_secs(10);
/// The next taker has the lock so soon.
const BAR_WORST: Duration = Duration::from_millis(100);
const BAR_MEDIAN: Duration = Duration::from_millis(1);
/// Workers at most.
pub const MOST: usize = 64;

const BOARD: &str = "board";

/// What harness and workers share.
#[derive(Shareable)]
struct Board {
    counts: Mutex<Counts>,
    /// Who is inside, by number from 1; 0: nobody.
    inside: AtomicU64,
    /// Who is to stay inside until it is killed, likewise.
    victim: AtomicU64,
    /// It is there.
    is_inside: AtomicU64,
    /// When who took the lock from the dead one had it, in nanoseconds of the monotonic clock.
    taken_at: AtomicU64,
    /// How often a taker heard of a death.
    news: AtomicU64,
    /// What a worker found that must not be, in words of the code below; 0: nothing.
    wrong: AtomicU64,
    /// Additions of all workers.
    additions: AtomicU64,
}

/// Guarded by the lock: the sum is that of the parts, but in the middle of an addition.
#[derive(Shareable, Clone, Copy)]
struct Counts {
    sum: u64,
    parts: [u64; MOST + 1],
}

impl Counts {
    fn parts(&self) -> u64 {
        self.parts.iter().sum()
    }
}

/// What may be wrong.
const WRONG: [&str; 4] = [
    "",
    "two were inside at once",
    "an addition was half there, and nobody had said that its process died",
    "the lock said something else than that a process died",
];

fn board(segment: &Segment) -> Result<sharena::Ref<'_, Board>> {
    segment.find(BOARD)?.context("there is a board")
}

impl Board {
    fn new() -> Board {
        let zero = || AtomicU64::new(0);
        Board {
            counts: Mutex::new(Counts { sum: 0, parts: [0; MOST + 1] }),
            inside: zero(),
            victim: zero(),
            is_inside: zero(),
            taken_at: zero(),
            news: zero(),
            wrong: zero(),
            additions: zero(),
        }
    }

    /// The lock, with the counts as they must be.
    fn lock(&self, me: u64) -> MutexGuard<'_, Counts> {
        match self.counts.lock() {
            Ok(counts) => {
                if self.inside.swap(me, SeqCst) != 0 {
                    self.wrong.store(1, SeqCst);
                }
                if counts.sum != counts.parts() {
                    self.wrong.store(2, SeqCst);
                }
                counts
            }
            Err(error) => {
                self.taken_at.store(now(), SeqCst);
                if error.cause() != Cause::OwnerDied {
                    self.wrong.store(3, SeqCst);
                }
                let mut counts = error.into_inner();
                self.inside.store(me, SeqCst);
                counts.sum = counts.parts();
                self.counts.clear_poison();
                self.news.fetch_add(1, SeqCst);
                counts
            }
        }
    }

    fn unlock(&self, counts: MutexGuard<'_, Counts>) {
        self.inside.store(0, SeqCst);
        drop(counts);
    }
}

fn now() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place to write to, and a clock that is there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// What the suite tells a worker.
#[derive(clap::Args)]
pub struct WorkerArgs {
    segment: String,
    number: u64,
    /// MiB of its own memory that it uses.
    memory: usize,
}

/// A process that adds in the lock until it is killed; asked to, it stays inside.
pub fn worker(args: &WorkerArgs) -> Result<bool> {
    // SAFETY: asks the kernel to end this process with the thread that started it.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let segment = Segment::open(&args.segment)?;
    let board = board(&segment)?;
    let memory = vec![1u8; args.memory << 20];
    println!("ready");
    let me = args.number;
    loop {
        let mut counts = board.lock(me);
        counts.sum += 1;
        if board.victim.load(SeqCst) == me {
            board.is_inside.store(me, SeqCst);
            loop {
                std::thread::sleep(HANG);
                std::hint::black_box(&memory);
            }
        }
        counts.parts[me as usize] += 1;
        board.unlock(counts);
        board.additions.fetch_add(1, SeqCst);
    }
}

struct Worker(Child);

impl Worker {
    fn start(segment: &str, number: u64, memory: usize) -> Result<Worker> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("lock-worker").args([segment, &number.to_string(), &memory.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut worker = Worker(child.context("start a worker")?);
        let mut told = std::io::BufReader::new(worker.0.stdout.take().context("piped")?);
        let mut line = String::new();
        std::io::BufRead::read_line(&mut told, &mut line)?;
        ensure!(line == "ready\n", "a worker did not begin: {line:?}");
        Ok(worker)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Times from a kill until somebody else had the lock.
#[derive(Default, Serialize)]
struct Latency {
    kills: u64,
    median_micros: u64,
    p99_micros: u64,
    worst_micros: u64,
}

impl Latency {
    fn of(mut nanos: Vec<u64>) -> Latency {
        nanos.sort_unstable();
        let at = |part: f64| {
            let last = nanos.len().saturating_sub(1);
            nanos.get((last as f64 * part) as usize).map_or(0, |nanos| nanos / 1000)
        };
        Latency {
            kills: nanos.len() as u64,
            median_micros: at(0.5),
            p99_micros: at(0.99),
            worst_micros: at(1.0),
        }
    }
}

#[derive(Serialize)]
struct Results {
    machine: Machine,
    seed: u64,
    processes: u64,
    /// MiB that each had in use.
    memory: usize,
    /// Whether the harness recovered the dead at once.
    watched: bool,
    /// The lock was held for this long at most before its holder was killed.
    held_micros: u64,
    seconds: f64,
    /// Killed while they held the lock.
    inside: Latency,
    /// Killed at any moment.
    anywhere: Latency,
    /// How often a taker was told of a death.
    news: u64,
    additions: u64,
    passed: bool,
}

/// The command; whether nobody hung, and nothing was wrong.
pub fn run(args: &LockArgs) -> Result<bool> {
    let machine = Machine::here();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let name = format!("kill-lock-{}", std::process::id());
    let segment = Segment::create(&name, 1 << 20)?;
    let done = kill_all(args, &mut dice, &segment, &name);
    sharena::remove(&name)?;
    let mut results = done?;
    (results.machine, results.seed) = (machine, seed);
    show(&results);
    if let Some(path) = &args.json {
        crate::write_json(path, &results)?;
    }
    let met = gate(&results);
    Ok(results.passed && (met || !args.gate))
}

fn kill_all(
    args: &LockArgs,
    dice: &mut fastrand::Rng,
    segment: &Segment,
    name: &str,
) -> Result<Results> {
    let processes = u64::from(args.processes);
    let board = segment.construct(BOARD, Board::new())?;
    let board = &*board;
    let _watcher = args.watch.then(|| segment.watch(|_| {})).transpose()?;
    let mut workers = (1..=processes)
        .map(|number| Worker::start(name, number, args.memory))
        .collect::<Result<Vec<_>>>()?;
    let begin = Instant::now();
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %").expect("a template");
    let progress = ProgressBar::new(args.kills).with_style(style);
    let (mut inside, mut anywhere) = (Vec::new(), Vec::new());
    for kill in 0..args.kills {
        let victim = dice.usize(..workers.len());
        let number = victim as u64 + 1;
        let waited = dice.u64(0..=args.held_micros);
        if kill % 4 != 3 {
            board.taken_at.store(0, SeqCst);
            board.victim.store(number, SeqCst);
            wait_for("the victim gets the lock", || board.is_inside.load(SeqCst) == number)?;
            std::thread::sleep(Duration::from_micros(waited));
            board.victim.store(0, SeqCst);
            board.is_inside.store(0, SeqCst);
            let killed = now();
            workers[victim].0.kill()?;
            wait_for("somebody takes the lock of the dead", || board.taken_at.load(SeqCst) != 0)?;
            inside.push(board.taken_at.load(SeqCst).saturating_sub(killed));
        } else {
            std::thread::sleep(Duration::from_micros(waited));
            workers[victim].0.kill()?;
            let killed = now();
            board.unlock(board.lock(processes + 1));
            anywhere.push(now() - killed);
        }
        let additions = board.additions.load(SeqCst);
        wait_for("others go on", || board.additions.load(SeqCst) != additions)?;
        workers[victim] = Worker::start(name, number, args.memory)?;
        let wrong = WRONG[board.wrong.load(SeqCst) as usize];
        ensure!(wrong.is_empty(), "after {} kills: {wrong}", kill + 1);
        progress.inc(1);
    }
    progress.finish_and_clear();
    drop(workers);
    let counts = board.lock(processes + 1);
    ensure!(counts.sum == counts.parts(), "an addition is half there at the end");
    board.unlock(counts);
    segment.recover()?;
    let report = segment.check()?;
    ensure!(report.is_clean(), "{report}");
    let told = board.news.load(SeqCst);
    let (inside, anywhere) = (Latency::of(inside), Latency::of(anywhere));
    // Of those who were killed elsewhere some had the lock.
    let passed = told >= inside.kills && told <= inside.kills + anywhere.kills + processes;
    Ok(Results {
        machine: Machine::here(),
        seed: 0,
        processes,
        memory: args.memory,
        watched: args.watch,
        held_micros: args.held_micros,
        seconds: begin.elapsed().as_secs_f64(),
        inside,
        anywhere,
        news: told,
        additions: board.additions.load(SeqCst),
        passed,
    })
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) -> Result<()> {
    let begin = Instant::now();
    while !is_so() {
        if begin.elapsed() > HANG {
            bail!("a hang: {what}, but not within {HANG:?}");
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    Ok(())
}

fn show(results: &Results) {
    for (what, latency) in [("holding it", &results.inside), ("anywhere", &results.anywhere)] {
        println!(
            "{} killed {what}: the lock was another's after {} µs (median), {} (99 %), {} at most",
            latency.kills, latency.median_micros, latency.p99_micros, latency.worst_micros
        );
    }
    println!(
        "{} kills in {:.1} s: news of a death {}, additions {}; no hang: {}",
        results.inside.kills + results.anywhere.kills,
        results.seconds,
        results.news,
        results.additions,
        if results.passed { "passed" } else { "FAILED: the news do not add up" }
    );
}

/// Prints each bar as met or not; whether all are.
fn gate(results: &Results) -> bool {
    let bars = [
        ("median", results.inside.median_micros, BAR_MEDIAN),
        ("worst", results.inside.worst_micros, BAR_WORST),
    ];
    let mut all = true;
    for (what, micros, most) in bars {
        let met = u128::from(micros) <= most.as_micros();
        all &= met;
        println!(
            "{:<8} {what}: {micros} µs, at most {most:?}",
            if met { "met" } else { "NOT MET" }
        );
    }
    all
}

//! Runs one model under one scheduler, or replays it; `cargo xtask shuttle` runs them all.

use crate::outcomes::{KNOWN, Known, Outcome};
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A script of random operations; each execution draws another one.
#[derive(Clone, Copy)]
pub struct Model {
    /// `module/scenario`.
    pub name: &'static str,
    /// What holds in every execution.
    pub law: &'static str,
    /// Threads, the first one among them.
    pub threads: usize,
    pub body: fn(),
}

/// A thread of an execution.
///
/// What it takes along need not be `Send`: shuttle runs all threads of an execution on one of the
/// system's, and switches at the scheduling points alone.
pub fn spawn<T: 'static>(body: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    struct OneThread<T>(T);
    // SAFETY: all of an execution's threads are coroutines of one thread of the system.
    unsafe impl<T> Send for OneThread<T> {}
    impl<F: FnOnce() -> T, T> OneThread<F> {
        fn run(self) -> OneThread<T> {
            OneThread((self.0)())
        }
    }
    let body = OneThread(body);
    let handle = shuttle::thread::spawn(move || body.run());
    Box::new(move || handle.join().expect("a panic ends the process").0)
}

/// Waits for the thread's end; its value.
pub type JoinHandle<T> = Box<dyn FnOnce() -> T>;

/// A lock-free program that takes more steps than this in one execution does not end.
const STEPS: usize = 200_000;

/// Executions that this process has begun.
static EXECUTIONS: AtomicUsize = AtomicUsize::new(0);

/// `list`; `run NAME SCHEDULER ITERATIONS SEED DIR`, where the schedule of a failure goes to a new file
/// in DIR; `replay NAME FILE`.
pub fn main(models: &[Model]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["list"] => {
            for known in KNOWN {
                println!("{}\t{}\tdfs\t{}", known.name, known.threads, known.law);
            }
            for model in models {
                println!("{}\t{}\tscript\t{}", model.name, model.threads, model.law);
            }
        }
        ["run", name, scheduler, iterations, seed, dir] => {
            let number = |text: &str| text.parse().expect("a number");
            let (iterations, seed) = (number(iterations) as usize, number(seed));
            let mut config = config();
            config.failure_persistence = FailurePersistence::File(Some(PathBuf::from(dir)));
            say_what_failed();
            match (KNOWN.iter().find(|known| known.name == name), scheduler) {
                (Some(known), "dfs") => every_interleaving(known, config),
                (None, "random") => explore(
                    RandomScheduler::new_from_seed(seed, iterations),
                    config,
                    body(models, name),
                ),
                (None, pct) => {
                    let depth = pct.strip_prefix("pct").expect("a scheduler");
                    let depth = number(depth) as usize;
                    let scheduler = PctScheduler::new_from_seed(seed, depth, iterations);
                    explore(scheduler, config, body(models, name));
                }
                _ => panic!("what has known outcomes has every interleaving"),
            }
            println!("held {}", EXECUTIONS.load(Ordering::Relaxed));
        }
        ["replay", name, file] => {
            let mut config = config();
            config.failure_persistence = FailurePersistence::None;
            say_what_failed();
            let schedule = ReplayScheduler::new_from_file(file).expect("a schedule");
            explore(schedule, config, body(models, name));
            println!("held {}", EXECUTIONS.load(Ordering::Relaxed));
        }
        _ => {
            eprintln!("list | run NAME SCHEDULER ITERATIONS SEED DIR | replay NAME FILE");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn config() -> Config {
    let mut config = Config::new();
    config.max_steps = MaxSteps::FailAfter(STEPS);
    config.stack_size = 256 << 10;
    // What it warns of stands in the first lines of this program.
    config.silence_warnings = true;
    config
}

fn body(models: &[Model], name: &str) -> fn() {
    models.iter().find(|model| model.name == name).expect("the name of a model").body
}

/// The first assertion that fails ends the process; shuttle writes its schedule first.
fn say_what_failed() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("a panic without a text");
        let at = panic.location().map(|at| format!(" ({}:{})", at.file(), at.line()));
        println!(
            "failed {} {}{}",
            EXECUTIONS.load(Ordering::Relaxed),
            text.lines().collect::<Vec<_>>().join(" "),
            at.unwrap_or_default()
        );
        let _ = std::io::stdout().flush();
        std::process::exit(1);
    }));
}

fn explore(scheduler: impl Scheduler + 'static, config: Config, body: fn()) {
    Runner::new(scheduler, config).run(move || {
        EXECUTIONS.fetch_add(1, Ordering::Relaxed);
        body();
    });
}

/// Asserts that the outcomes over all interleavings are those of the list.
fn every_interleaving(known: &Known, config: Config) {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let (all, body) = (seen.clone(), known.body);
    Runner::new(DfsScheduler::new(None, false), config).run(move || {
        EXECUTIONS.fetch_add(1, Ordering::Relaxed);
        let outcome = body();
        all.lock().expect("nobody panics in it").insert(outcome);
    });
    let expected: BTreeSet<Outcome> =
        known.interleaved.iter().map(|outcome| outcome.to_vec()).collect();
    let seen = seen.lock().expect("nobody panics in it");
    assert_eq!(*seen, expected, "the outcomes of all interleavings, and those known by hand");
}

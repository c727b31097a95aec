//! Runs models, each in a process of its own, and prints the table.

use loom::cell::UnsafeCell;
use loom::model::Builder;
use sharena::model::World;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A model: one call explores it.
#[derive(Clone, Copy)]
pub struct Model {
    /// `module/scenario`.
    pub name: &'static str,
    /// What holds in every execution.
    pub law: &'static str,
    /// Threads, the first one among them.
    pub threads: usize,
    /// Preemptions in an execution at most; `None`: any number.
    pub bound: Option<usize>,
    /// The same in the long form.
    pub long: Option<usize>,
    pub check: fn(Builder),
}

/// Executions that this process has explored.
static EXECUTIONS: AtomicUsize = AtomicUsize::new(0);

/// Explores `body` in every execution.
pub fn explore(builder: Builder, body: impl Fn() + Sync + Send + 'static) {
    builder.check(move || {
        EXECUTIONS.fetch_add(1, Ordering::Relaxed);
        body();
    });
}

/// How a process ends: the argument of a body of [`each_death`].
#[derive(Clone)]
pub struct Death {
    step: u64,
    came: Arc<AtomicBool>,
}

impl Death {
    /// Lets `act` be all that the process of `participant` does: it dies before the write that is the
    /// turn of this exploration, or after the last one. `None`: before one.
    pub fn of<T>(&self, participant: u16, world: &World, act: impl FnOnce() -> T) -> Option<T> {
        let done = world.live_and_die(participant, self.step, act);
        if done.is_none() {
            self.came.store(true, Ordering::Relaxed);
        }
        done
    }
}

/// Steps at which processes died in this process' explorations; the last exploration, of those who
/// die after all they had to do, counts as one.
static DEATHS: AtomicUsize = AtomicUsize::new(0);

/// Explores `body` for each step at which the process in it that is mortal may die.
pub fn each_death(builder: Builder, body: impl Fn(&Death) + Clone + Send + Sync + 'static) {
    for step in 0.. {
        DEATHS.fetch_add(1, Ordering::Relaxed);
        let came = Arc::new(AtomicBool::new(false));
        let death = Death { step, came: came.clone() };
        let body = body.clone();
        explore(builder_like(&builder), move || body(&death));
        if !came.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// The same for two who die one after the other: `body` is explored for each pair of steps.
pub fn each_two_deaths(builder: Builder, body: fn(&Death, &Death)) {
    for step in 0.. {
        let came = Arc::new(AtomicBool::new(false));
        let first = Death { step, came: came.clone() };
        each_death(builder_like(&builder), move |second| body(&first, second));
        if !came.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// A second builder with the same bounds: a check uses one up.
pub fn builder_like(builder: &Builder) -> Builder {
    let mut again = Builder::new();
    again.preemption_bound = builder.preemption_bound;
    again.max_branches = builder.max_branches;
    again.max_threads = builder.max_threads;
    again
}

/// Explores `body`, and asserts that its outcomes over all executions are exactly `expected`.
pub fn outcomes<T: Ord + Debug + Clone + Send + 'static>(
    builder: Builder,
    expected: impl IntoIterator<Item = T>,
    body: impl Fn() -> T + Sync + Send + 'static,
) {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let all = seen.clone();
    explore(builder, move || {
        let outcome = body();
        all.lock().expect("nobody panics in it").insert(outcome);
    });
    let expected: BTreeSet<T> = expected.into_iter().collect();
    let seen = seen.lock().expect("nobody panics in it").clone();
    let missed: Vec<_> = expected.difference(&seen).collect();
    let wrong: Vec<_> = seen.difference(&expected).collect();
    assert!(
        missed.is_empty() && wrong.is_empty(),
        "outcomes never seen: {missed:?}; outcomes that cannot be: {wrong:?}"
    );
}

/// A plain cell for each place of a block: who holds the block writes it.
#[derive(Clone)]
pub struct Cells(Rc<Vec<UnsafeCell<u64>>>);

impl Cells {
    pub fn new(count: usize) -> Cells {
        Cells(Rc::new((0..count).map(|_| UnsafeCell::new(0)).collect()))
    }

    /// A write by whoever holds place `place` alone. loom reports it if somebody else is at it.
    pub fn write(&self, place: usize, value: u64) {
        // SAFETY: loom runs one thread at a time, and fails the execution if another's access is
        // not ordered before this one.
        self.0[place].with_mut(|cell| unsafe { *cell = value });
    }

    /// A read by whoever may look at place `place`.
    pub fn read(&self, place: usize) -> u64 {
        // SAFETY: as in `write`.
        self.0[place].with(|cell| unsafe { *cell })
    }
}

pub fn main(models: Vec<Model>) -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let long = arguments
        .iter()
        .position(|argument| argument == "--long")
        .map(|i| arguments.remove(i))
        .is_some();
    if arguments.first().is_some_and(|argument| argument == "--one") {
        let model =
            models.iter().find(|model| Some(model.name) == arguments.get(1).map(String::as_str));
        return one(model.expect("the name of a model"), long);
    }
    let wanted = |model: &&Model| {
        arguments.is_empty() || arguments.iter().any(|name| model.name.starts_with(name))
    };
    let chosen: Vec<Model> = models.iter().filter(wanted).copied().collect();
    if chosen.is_empty() {
        eprintln!("no model's name begins so; there are:");
        models.iter().for_each(|model| eprintln!("  {}", model.name));
        return ExitCode::FAILURE;
    }
    all(&chosen, long)
}

/// Explores one model in this process; its last line on stdout says how far it came.
fn one(model: &Model, long: bool) -> ExitCode {
    let mut builder = Builder::new();
    builder.preemption_bound = if long { model.long } else { model.bound };
    builder.max_branches = 100_000;
    builder.max_threads = model.threads;
    // The first assertion that fails ends the process: unwinding the other threads of an execution
    // would only add panics of their own.
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("a panic without a text");
        let at = panic
            .location()
            .map(|at| format!(" ({}:{})", at.file(), at.line()))
            .unwrap_or_default();
        // A second line of a text may be loom's list of places, which it has only with LOOM_LOCATION.
        println!(
            "failed {} {} {}{at}",
            EXECUTIONS.load(Ordering::Relaxed),
            DEATHS.load(Ordering::Relaxed),
            text.lines().collect::<Vec<_>>().join(" ")
        );
        let _ = std::io::stdout().flush();
        std::process::exit(1);
    }));
    (model.check)(builder);
    println!("held {} {}", EXECUTIONS.load(Ordering::Relaxed), DEATHS.load(Ordering::Relaxed));
    ExitCode::SUCCESS
}

/// Each execution has a segment of its own: malloc keeps the memory of the last one, which is most of
/// what a short execution costs.
const MEMORY: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "1000000000"), ("MALLOC_TRIM_THRESHOLD_", "1000000000")];

struct Report {
    held: bool,
    executions: String,
    deaths: String,
    text: String,
    took: Duration,
}

fn run(model: &Model, long: bool) -> Report {
    let begin = Instant::now();
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.args(["--one", model.name]).args(long.then_some("--long"));
    command.envs(MEMORY);
    let done = command.stdin(Stdio::null()).output().expect("a second process of this program");
    let output = String::from_utf8_lossy(&done.stdout).into_owned();
    let last = output.lines().last().unwrap_or_default();
    let mut words = last.splitn(4, ' ');
    let (verdict, executions) = (words.next(), words.next().unwrap_or("-"));
    let (deaths, text) = (words.next().unwrap_or("-"), words.next());
    let text = match text {
        Some(text) => text.to_owned(),
        None => format!(
            "{} {}",
            done.status,
            String::from_utf8_lossy(&done.stderr).lines().last().unwrap_or_default()
        ),
    };
    Report {
        held: done.status.success() && verdict == Some("held"),
        executions: executions.to_owned(),
        deaths: if deaths == "0" { "-".to_owned() } else { deaths.to_owned() },
        text,
        took: begin.elapsed(),
    }
}

/// Runs models on all processors, and prints a line as each ends.
fn all(models: &[Model], long: bool) -> ExitCode {
    let begin = Instant::now();
    println!(
        "{:<28} {:>7} {:>5} {:>6} {:>10} {:>7}  law",
        "model", "threads", "bound", "deaths", "executions", "s"
    );
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(model) = models.get(next.fetch_add(1, Ordering::Relaxed)) {
            let report = run(model, long);
            let bound = if long { model.long } else { model.bound };
            let bound = bound.map_or("all".to_owned(), |bound| bound.to_string());
            let mut failed = failed.lock().expect("nobody panics in it");
            println!(
                "{:<28} {:>7} {:>5} {:>6} {:>10} {:>7.1}  {}",
                model.name,
                model.threads,
                bound,
                report.deaths,
                report.executions,
                report.took.as_secs_f64(),
                model.law
            );
            if !report.held {
                println!("    FAILED at execution {}: {}", report.executions, report.text);
                failed.push(model.name);
            }
        }
    };
    std::thread::scope(|scope| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        (0..processors).for_each(|_| drop(scope.spawn(work)));
    });
    let failed = failed.into_inner().expect("nobody panics in it");
    println!(
        "{} models, {} failed, {:.0} s",
        models.len(),
        failed.len(),
        begin.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

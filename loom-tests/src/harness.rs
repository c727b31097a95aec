//! Runs models, each in a process of its own, and prints the table.

use crate::outcomes::Known;
use loom::cell::UnsafeCell;
use loom::model::Builder;
use sharena::model::World;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
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
/// Whether the loom is the published one, which misses outcomes.
static PUBLISHED: AtomicBool = AtomicBool::new(false);
/// The one that this process explores, if it is one of those with known outcomes.
static KNOWN: OnceLock<&Known> = OnceLock::new();
/// What the report on a model that held says beside that.
static SAID: Mutex<String> = Mutex::new(String::new());

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

/// A model of each of `all`.
pub fn models_of(all: &'static [Known]) -> Vec<Model> {
    let check = |builder| outcomes(builder, KNOWN.get().expect("the process explores one"));
    let model = |known: &Known| Model {
        name: known.name,
        law: known.law,
        threads: known.threads,
        bound: known.bound,
        long: None,
        check,
    };
    all.iter().map(model).collect()
}

/// Explores a small model, and asserts that its outcomes over all executions are those that this loom
/// must see. What the published loom misses of them is in the text of the report.
fn outcomes(builder: Builder, known: &Known) {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let (all, body) = (seen.clone(), known.body);
    explore(builder, move || {
        let outcome = body();
        all.lock().expect("nobody panics in it").insert(outcome);
    });
    let set_of = |sets: &[&[&[u64]]]| -> BTreeSet<Vec<u64>> {
        sets.concat().into_iter().map(<[u64]>::to_vec).collect()
    };
    let mut expected = set_of(&[known.interleaved, known.weak, known.alarm]);
    if PUBLISHED.load(Ordering::Relaxed) {
        let missed = set_of(&[known.missed]);
        assert!(missed.is_subset(&expected), "a set that does not fit together");
        expected = &expected - &missed;
        if !missed.is_empty() {
            *SAID.lock().expect("nobody panics in it") = format!("misses {missed:?}, as is known");
        }
    }
    let seen = seen.lock().expect("nobody panics in it").clone();
    assert!(
        seen.is_disjoint(&set_of(&[known.blind])),
        "loom was blind to this and is no more: {seen:?}; mend the list and VERIFICATION.md"
    );
    let (missed, wrong) = (&expected - &seen, &seen - &expected);
    assert!(
        missed.is_empty() && wrong.is_empty(),
        "outcomes never seen: {missed:?}; outcomes not in the set: {wrong:?}"
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

/// Models of which each takes minutes, one of them nine and more: left out of the short form, in which there are
/// others of their protocols.
const LONGEST: [&str; 9] = [
    "death/growth",
    "lock/barrier",
    "lock/semaphore-late-sleeper",
    "recovery/change",
    "recovery/destroy",
    "recovery/fall",
    "recovery/numbers-switching-twice",
    "recovery/run",
    "recovery/two-helpers",
];

pub fn main(models: Vec<Model>) -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut flag = |name| {
        let at = arguments.iter().position(|argument| argument == name);
        at.map(|i| arguments.remove(i)).is_some()
    };
    let (long, short) = (flag("--long"), flag("--short"));
    PUBLISHED.store(flag("--published"), Ordering::Relaxed);
    if arguments.first().is_some_and(|argument| argument == "--one") {
        let model =
            models.iter().find(|model| Some(model.name) == arguments.get(1).map(String::as_str));
        return one(model.expect("the name of a model"), long);
    }
    let wanted = |model: &&Model| {
        arguments.is_empty() || arguments.iter().any(|name| model.name.starts_with(name))
    };
    assert!(LONGEST.iter().all(|name| models.iter().any(|model| model.name == *name)));
    let is_left_out = |model: &&Model| short && LONGEST.contains(&model.name);
    let chosen: Vec<Model> =
        models.iter().filter(wanted).filter(|model| !is_left_out(model)).copied().collect();
    if short {
        println!("left out, as each takes minutes: {}\n", LONGEST.join(", "));
    }
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
    if let Some(known) = crate::outcomes::KNOWN.iter().find(|known| known.name == model.name) {
        let _ = KNOWN.set(known);
    }
    (model.check)(builder);
    let said = SAID.lock().expect("nobody panics in it");
    println!(
        "held {} {} {said}",
        EXECUTIONS.load(Ordering::Relaxed),
        DEATHS.load(Ordering::Relaxed)
    );
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
    command.args(PUBLISHED.load(Ordering::Relaxed).then_some("--published"));
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
            } else if !report.text.is_empty() {
                println!("    {}", report.text);
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

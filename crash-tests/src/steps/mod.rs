//! `steps`: a process dies before each write to shared memory of each operation, and what is left is
//! accounted for. Or it is stopped there, another goes on beside it, it goes on, and then all is accounted for.
//!
//! The harness starts a few workers. A worker has one thread, so that it can fork the victims; it takes
//! every so many-th step. A worker that hangs or crashes while it looks at what a victim left is a
//! failure of that step, and another takes its place.

mod stopped;
mod trial;
pub mod worker;

use crate::args::StepsArgs;
use crate::machine::Machine;
use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;
use trial::{Place, Trial};
use worker::{Event, Job};

/// Failures of one operation after which a worker leaves it.
const ENOUGH: usize = 5;

/// What became of one trial.
#[derive(Default, Serialize)]
struct Row {
    operation: String,
    /// Writes to shared memory; of the second operation, where one dies after another.
    steps: u64,
    deaths: u64,
    not_happened: u64,
    in_part: u64,
    happened: u64,
    failures: Vec<Failure>,
    seconds: f64,
}

#[derive(Serialize)]
struct Failure {
    place: Place,
    found: String,
}

#[derive(Serialize)]
struct Results<'a> {
    machine: Machine,
    operations: &'a [Row],
    deaths: u64,
    failures: usize,
    seconds: f64,
}

/// The command; whether all accounts are right.
pub fn run(args: &StepsArgs) -> Result<bool> {
    ensure!(
        cfg!(sharena_steps),
        "built without `--cfg sharena_steps`, by which a process dies at a step: `cargo xtask kill steps` sets it"
    );
    if let Some(directory) = &args.worker {
        worker::work(directory)?;
        return Ok(true);
    }
    let machine = Machine::here();
    let wanted = args.operation.as_deref().unwrap_or_default();
    let mut trials: Vec<Trial> = trial::all().filter(|trial| trial.name == wanted).collect();
    if trials.is_empty() {
        trials = trial::all().filter(|trial| trial.name.contains(wanted)).collect();
    }
    if args.short {
        trials
            .iter_mut()
            .filter(|trial| trial.first.is_some() || trial.is_stopped)
            .for_each(|trial| trial.every *= 3);
    }
    let with_stops = stopped::NAME.contains(wanted);
    ensure!(with_stops || !trials.is_empty(), "no operation's name contains {wanted:?}");
    let begin = Instant::now();
    let directory = Directory::new()?;
    // First, while this process has one thread and can fork.
    let stops = with_stops.then(|| stopped::run(&directory.0)).transpose()?;
    let mut rows = match trials.is_empty() {
        true => Vec::new(),
        false => Harness::new(&trials, directory).work()?,
    };
    rows.extend(stops);
    let deaths = rows.iter().map(|row| row.deaths).sum();
    let failures = rows.iter().map(|row| row.failures.len()).sum();
    let seconds = begin.elapsed().as_secs_f64();
    show(&rows, deaths, seconds);
    if let Some(path) = &args.json {
        let results = Results { machine, operations: &rows, deaths, failures, seconds };
        let text = serde_json::to_string_pretty(&results)?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    Ok(failures == 0)
}

fn show(rows: &[Row], deaths: u64, seconds: f64) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "operation",
        "steps",
        "deaths",
        "not happened",
        "in part",
        "happened",
        "failures",
        "seconds",
    ]);
    for row in rows {
        let counts = [row.steps, row.deaths, row.not_happened, row.in_part, row.happened];
        let cells = [row.operation.clone()].into_iter().chain(counts.map(|n| n.to_string()));
        table.add_row(cells.chain([row.failures.len().to_string(), format!("{:.1}", row.seconds)]));
    }
    table
        .column_iter_mut()
        .skip(1)
        .for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    println!("{table}");
    for row in rows.iter().filter(|row| !row.failures.is_empty()) {
        for Failure { place, found } in &row.failures {
            println!("\nFAILED: {}, at {place}: {found}", row.operation);
        }
        println!("\nto repeat it alone: cargo xtask kill steps {}", row.operation);
    }
    let failures: usize = rows.iter().map(|row| row.failures.len()).sum();
    println!(
        "\n{} operations, {deaths} deaths and stops, {failures} failures, {seconds:.1} s: {}",
        rows.len(),
        if failures == 0 { "passed" } else { "FAILED" }
    );
}

/// A directory in shared memory for the segments of this run.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Result<Directory> {
        let path = PathBuf::from(format!("/dev/shm/sharena-steps-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Directory(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

struct Harness<'a> {
    trials: &'a [Trial],
    rows: Vec<Row>,
    directory: Directory,
    told: mpsc::Sender<(usize, Option<Event>)>,
    heard: mpsc::Receiver<(usize, Option<Event>)>,
}

/// A process that kills others, and what it is at.
struct Worker {
    child: Child,
    input: ChildStdin,
    jobs: VecDeque<Job>,
    place: Place,
    since: Instant,
    failures: usize,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Ended already, unless something went wrong.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Harness<'a> {
    fn new(trials: &'a [Trial], directory: Directory) -> Harness<'a> {
        let (told, heard) = mpsc::channel();
        let row = |trial: &Trial| Row { operation: trial.name.clone(), ..Row::default() };
        let rows = trials.iter().map(row).collect();
        Harness { trials, rows, directory, told, heard }
    }

    fn work(mut self) -> Result<Vec<Row>> {
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(8);
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed} {msg}")?;
        let progress = ProgressBar::new((self.trials.len() * count) as u64).with_style(style);
        let mut workers = Vec::new();
        for number in 0..count {
            let job = |trial| Job { trial, first: number as u64, stride: count as u64 };
            let jobs = (0..self.trials.len()).map(job).collect();
            workers.push(Some(self.start(number, jobs)?));
        }
        while workers.iter().any(Option::is_some) {
            let (number, event) = self.heard.recv().context("a worker is left")?;
            let slot = &mut workers[number];
            let Some(worker) = slot else { continue };
            let trial = worker.jobs[0].trial;
            let row = &mut self.rows[trial];
            match event {
                Some(Event::Begins(place)) => worker.place = place,
                Some(Event::Settled { outcome, through }) => {
                    row.count(outcome);
                    if let Some(steps) = through {
                        row.steps = row.steps.max(steps);
                    }
                }
                Some(Event::Failed(found)) => {
                    worker.failures += 1;
                    row.failures.push(Failure { place: worker.place, found });
                }
                Some(Event::Finished) => {
                    row.seconds += worker.since.elapsed().as_secs_f64();
                    progress.inc(1);
                    progress.set_message(row.operation.clone());
                    worker.jobs.pop_front();
                    if worker.jobs.is_empty() {
                        *slot = None;
                    } else {
                        worker.next(self.trials)?;
                    }
                }
                None => {
                    let status = worker.child.wait()?;
                    let found = format!("the survivor ended: {status}");
                    row.failures.push(Failure { place: worker.place, found });
                    worker.failures += 1;
                    let (failures, mut jobs) = (worker.failures, std::mem::take(&mut worker.jobs));
                    if failures >= ENOUGH {
                        jobs.pop_front();
                        progress.inc(1);
                    } else {
                        jobs[0].first = worker.place.turn(&self.trials[trial]) + jobs[0].stride;
                    }
                    *slot = None;
                    if !jobs.is_empty() {
                        let mut another = self.start(number, jobs)?;
                        another.failures = failures % ENOUGH;
                        workers[number] = Some(another);
                    }
                }
            }
        }
        progress.finish_and_clear();
        for (row, trial) in self.rows.iter_mut().zip(self.trials) {
            row.seconds /= count as f64;
            let least = trial.operation.least;
            if row.failures.is_empty() && row.steps < least {
                let found = format!("it has {} steps, and must have {least}", row.steps);
                row.failures.push(Failure { place: Place::default(), found });
            }
        }
        Ok(self.rows)
    }

    fn start(&self, number: usize, jobs: VecDeque<Job>) -> Result<Worker> {
        let directory = self.directory.0.join(number.to_string());
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?; // of one that crashed
        }
        std::fs::create_dir(&directory)?;
        let mut child = start_worker(&directory)?;
        let input = child.stdin.take().context("piped")?;
        let output = BufReader::new(child.stdout.take().context("piped")?);
        let told = self.told.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str(&line) else { continue };
                let _ = told.send((number, Some(event)));
            }
            let _ = told.send((number, None));
        });
        let (place, since) = (Place::default(), Instant::now());
        let mut worker = Worker { child, input, jobs, place, since, failures: 0 };
        worker.next(self.trials)?;
        Ok(worker)
    }
}

fn start_worker(directory: &Path) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["steps", "--worker"]).arg(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start a worker")
}

impl Worker {
    /// Sends the job that is next.
    fn next(&mut self, trials: &[Trial]) -> Result<()> {
        (self.failures, self.since) = (0, Instant::now());
        let trial = &trials[self.jobs[0].trial];
        serde_json::to_writer(&self.input, &(&trial.name, trial.every, self.jobs[0]))?;
        Ok(writeln!(self.input)?)
    }
}

impl Row {
    fn count(&mut self, outcome: crate::account::Outcome) {
        use crate::account::Outcome;
        self.deaths += 1;
        *match outcome {
            Outcome::Before => &mut self.not_happened,
            Outcome::Between => &mut self.in_part,
            Outcome::After => &mut self.happened,
        } += 1;
    }
}

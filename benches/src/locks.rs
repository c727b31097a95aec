//! `locks`: the mutex beside std's and a robust process-shared one of pthread's; the reader-writer lock beside std's.

use crate::args::LocksArgs;
use crate::machine::Machine;
use crate::median::median;
use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use sharena::Segment;
use sharena::lock::{Mutex, RwLock};
use std::cell::UnsafeCell;
use std::hint::black_box;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::time::Instant;

/// Pairs of one uncontended round.
const PAIRS: u64 = 1_000_000;

/// A counter behind a lock.
trait Subject {
    fn name(&self) -> &'static str;
    /// Adds one, `pairs` times, each in the lock. May be called in a child made by fork, but for std's.
    fn add(&self, pairs: u64);
    fn count(&self) -> u64;
}

struct Ours(Segment);

const NAME: &str = "counter";

impl Subject for Ours {
    fn name(&self) -> &'static str {
        "sharena"
    }
    fn add(&self, pairs: u64) {
        let counter = self.0.find::<Mutex<u64>>(NAME).expect("the type").expect("it is there");
        for _ in 0..pairs {
            *counter.lock().expect("nobody dies") += 1;
        }
    }
    fn count(&self) -> u64 {
        let counter = self.0.find::<Mutex<u64>>(NAME).expect("the type").expect("it is there");
        *counter.lock().expect("nobody dies")
    }
}

#[derive(Default)]
struct Std(std::sync::Mutex<u64>);

impl Subject for Std {
    fn name(&self) -> &'static str {
        "std"
    }
    fn add(&self, pairs: u64) {
        let counter = std::hint::black_box(&self.0);
        for _ in 0..pairs {
            *counter.lock().expect("nobody dies") += 1;
        }
    }
    fn count(&self) -> u64 {
        *self.0.lock().expect("nobody dies")
    }
}

/// A robust mutex of pthread's, and a counter, in memory that children made by fork share.
struct Robust(*mut (UnsafeCell<libc::pthread_mutex_t>, u64));

impl Robust {
    fn new() -> Result<Robust> {
        let bytes = size_of::<(UnsafeCell<libc::pthread_mutex_t>, u64)>();
        let (read, share) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a fresh mapping at an address that the kernel chooses; then a mutex made in it, which is
        // never moved.
        unsafe {
            let at =
                libc::mmap(std::ptr::null_mut(), bytes, read, share | libc::MAP_ANONYMOUS, -1, 0);
            ensure!(at != libc::MAP_FAILED, "map memory for a mutex");
            let it = Robust(at.cast());
            let mut how = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
            ensure!(libc::pthread_mutexattr_init(how.as_mut_ptr()) == 0, "attributes");
            libc::pthread_mutexattr_setpshared(how.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_mutexattr_setrobust(how.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST);
            ensure!(libc::pthread_mutex_init((*it.0).0.get(), how.as_ptr()) == 0, "a mutex");
            Ok(it)
        }
    }
}

impl Subject for Robust {
    fn name(&self) -> &'static str {
        "pthread robust"
    }
    fn add(&self, pairs: u64) {
        for _ in 0..pairs {
            // SAFETY: made by `new`; the counter is changed in the lock only.
            unsafe {
                assert_eq!(libc::pthread_mutex_lock((*self.0).0.get()), 0);
                (*self.0).1 += 1;
                assert_eq!(libc::pthread_mutex_unlock((*self.0).0.get()), 0);
            }
        }
    }
    fn count(&self) -> u64 {
        // SAFETY: nobody is at it when it is asked for.
        unsafe { (*self.0).1 }
    }
}

/// A number that is read, or written, in a lock that many may read.
struct Shared<'a>(&'static str, Box<dyn Fn() + 'a>);

impl Subject for Shared<'_> {
    fn name(&self) -> &'static str {
        self.0
    }
    fn add(&self, pairs: u64) {
        (0..pairs).for_each(|_| (self.1)());
    }
    fn count(&self) -> u64 {
        unreachable!("it is measured alone")
    }
}

/// The reader-writer locks, by one thread.
fn compare_shared(rounds: u32) -> Result<Vec<Row>> {
    let segment = sharena::Options::new().capacity(1 << 20).create_anonymous()?;
    let ours = segment.construct(NAME, RwLock::new(0u64))?;
    let std = std::sync::RwLock::new(0u64);
    let reads: [Shared<'_>; 2] = [
        Shared("sharena", Box::new(|| _ = black_box(*ours.read().expect("nobody dies")))),
        Shared("std", Box::new(|| _ = black_box(*std.read().expect("nobody dies")))),
    ];
    let writes: [Shared<'_>; 2] = [
        Shared("sharena", Box::new(|| *ours.write().expect("nobody dies") += 1)),
        Shared("std", Box::new(|| *std.write().expect("nobody dies") += 1)),
    ];
    let mut rows = Vec::new();
    for (work, subjects) in [("read alone", reads), ("write alone", writes)] {
        let subjects: Vec<&dyn Subject> = subjects.iter().map(|it| it as &dyn Subject).collect();
        rows.extend(compare(work, &subjects, rounds, |subject| alone(subject))?);
    }
    Ok(rows)
}

/// One work by one subject.
#[derive(Serialize)]
struct Row {
    work: &'static str,
    subject: &'static str,
    median_ns: f64,
    min_ns: f64,
    /// Median over the rounds of the time of sharena by that of this one in the same round.
    sharena_by_it: f64,
    rounds_ns: Vec<f64>,
}

#[derive(Serialize)]
struct Results {
    machine: Machine,
    processes: u32,
    rows: Vec<Row>,
}

/// Nanoseconds per pair of one thread, alone.
fn alone(subject: &dyn Subject) -> Result<f64> {
    let begin = Instant::now();
    subject.add(PAIRS);
    Ok(begin.elapsed().as_nanos() as f64 / PAIRS as f64)
}

/// Nanoseconds per pair of `processes` at once, from when they are told to begin till the last is through.
fn contended(subject: &dyn Subject, processes: u32, pairs: u64) -> Result<f64> {
    let before = subject.count();
    let (mut gate, mut open) = std::io::pipe()?;
    let children: Vec<_> = (0..processes)
        .map(|_| {
            // SAFETY: this process has one thread.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let waited = gate.read_exact(&mut [0]);
                subject.add(if waited.is_ok() { pairs } else { 0 });
                // SAFETY: ends the child; its parent's ends are not its own.
                unsafe { libc::_exit(0) };
            }
            child
        })
        .collect();
    let begin = Instant::now();
    open.write_all(&vec![0; processes as usize])?;
    for child in children {
        let mut status = 0;
        // SAFETY: a place to write to.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        ensure!(waited == child && status == 0, "a child ended with {status}");
    }
    let took = begin.elapsed();
    let all = u64::from(processes) * pairs;
    ensure!(subject.count() == before + all, "{} has lost additions", subject.name());
    Ok(took.as_nanos() as f64 / all as f64)
}

/// The command; whether the bars that were asked for are met.
pub fn run(args: &LocksArgs) -> Result<bool> {
    let machine = Machine::here();
    let segment = sharena::Options::new().capacity(1 << 20).create_anonymous()?;
    segment.construct(NAME, Mutex::new(0u64))?;
    let (ours, std, robust) = (Ours(segment), Std::default(), Robust::new()?);
    let subjects: [&dyn Subject; 3] = [&ours, &std, &robust];
    let shared: [&dyn Subject; 2] = [&ours, &robust];
    let mut rows = compare("alone", &subjects, args.rounds, |subject| alone(subject))?;
    rows.extend(compare("contended", &shared, args.rounds, |subject| {
        contended(subject, args.processes, args.pairs)
    })?);
    rows.extend(compare_shared(args.rounds)?);
    println!("{}", table(&rows));
    println!(
        "ns per lock and unlock over {} rounds; contended: {} processes; sharena / it: the median of the \
         rounds' ratios",
        args.rounds, args.processes
    );
    let met = gate(&rows);
    if let Some(path) = &args.json {
        let results = Results { machine, processes: args.processes, rows };
        let text = serde_json::to_string_pretty(&results)?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    Ok(!args.gate || met)
}

fn compare(
    work: &'static str,
    subjects: &[&dyn Subject],
    rounds: u32,
    measure: impl Fn(&dyn Subject) -> Result<f64>,
) -> Result<Vec<Row>> {
    let mut times = vec![Vec::new(); subjects.len()];
    for round in 0..=rounds as usize {
        for turn in 0..subjects.len() {
            let s = (turn + round) % subjects.len();
            let time = measure(subjects[s])?;
            if round > 0 {
                times[s].push(time); // the first warms up
            }
        }
    }
    let row = |(subject, its): (&&dyn Subject, &Vec<f64>)| Row {
        work,
        subject: subject.name(),
        median_ns: median(its.iter().copied()),
        min_ns: its.iter().copied().fold(f64::INFINITY, f64::min),
        sharena_by_it: median(times[0].iter().zip(its).map(|(ours, its)| ours / its)),
        rounds_ns: its.clone(),
    };
    Ok(subjects.iter().zip(&times).map(row).collect())
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(["work", "subject", "median ns", "min ns", "sharena / it"]);
    for row in rows {
        table.add_row([
            row.work.to_owned(),
            row.subject.to_owned(),
            format!("{:.1}", row.median_ns),
            format!("{:.1}", row.min_ns),
            format!("{:.2}", row.sharena_by_it),
        ]);
    }
    for column in 2..5 {
        table.column_mut(column).expect("five of them").set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Work, peer, and the most that sharena may take of its time.
const BARS: [(&str, &str, f64); 2] = [("alone", "std", 1.2), ("contended", "pthread robust", 1.25)];

/// Prints each bar as met or not; whether all are.
fn gate(rows: &[Row]) -> bool {
    let mut all = true;
    for (work, peer, most) in BARS {
        for row in rows.iter().filter(|row| row.work == work && row.subject == peer) {
            let met = row.sharena_by_it <= most;
            all &= met;
            println!(
                "{:<8} {work}: sharena / {peer} {:.3}, at most {most}",
                if met { "met" } else { "NOT MET" },
                row.sharena_by_it
            );
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_that_is_missed_fails_the_gate() {
        let row = |work, subject, sharena_by_it| Row {
            work,
            subject,
            median_ns: 1.0,
            min_ns: 1.0,
            sharena_by_it,
            rounds_ns: Vec::new(),
        };
        let rows = |std| [row("alone", "std", std), row("contended", "pthread robust", 1.0)];
        assert!(gate(&rows(1.1)));
        assert!(!gate(&rows(1.3)));
    }

    #[test]
    fn additions_of_processes_are_counted() {
        let robust = Robust::new().unwrap();
        contended(&robust, 2, 100).unwrap();
        assert_eq!(robust.count(), 200);
    }
}

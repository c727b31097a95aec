//! The soak: many processes do everything at once on one segment; then all is freed, and the
//! accounts must be those of a new segment, to the byte.

mod load;
mod pattern;
pub mod worker;

use crate::args::SoakArgs;
use crate::machine::Machine;
use anyhow::{Context, Result, ensure};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use load::Counts;
use serde::Serialize;
use sharena::{Options, Segment, Stats};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The named slice by which processes hand blocks to each other; a word is 0 or a [`pattern::Parcel`].
const MAILBOXES: &str = "mailboxes";
const MAILBOX_COUNT: usize = 1024;

/// A worker that runs so much longer than it was told is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a segment of the soak is.
fn options() -> Options {
    Options::new().capacity(1 << 30)
}

#[derive(Serialize)]
struct Results {
    machine: Machine,
    processes: u32,
    seconds: u64,
    seed: u64,
    /// Processes that were started, one after the other in each place.
    started: u64,
    counts: Counts,
    /// Segment used at most, of the looks that were taken while the load ran.
    most_used: u64,
    /// Bytes free afterwards, and in a new segment of the same options.
    free: u64,
    free_when_new: u64,
    used: u64,
    used_when_new: u64,
    committed: u64,
    committed_when_new: u64,
    clean: bool,
    passed: bool,
}

/// Takes the segment's name away, however the soak ends.
struct Named(String);

impl Drop for Named {
    fn drop(&mut self) {
        if let Err(error) = sharena::remove(&self.0) {
            eprintln!("{error}");
        }
    }
}

/// The command; whether the accounts are right.
pub fn run(args: &SoakArgs) -> Result<bool> {
    let machine = Machine::here();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("{} processes, {} s, seed {seed}", args.processes, args.seconds);
    let fresh = settled(&options().create_anonymous()?)?;
    let name = Named(format!("sharena-soak-{}", std::process::id()));
    let segment = options().create(&name.0)?;
    drop(segment.construct_slice(MAILBOXES, MAILBOX_COUNT, |_| AtomicU64::new(0))?);

    let mut crew = Crew {
        name: &name.0,
        random: fastrand::Rng::with_seed(seed),
        started: 0,
        counts: Counts::default(),
    };
    let most_used = crew.work(args, &segment)?;

    collect_mail(&segment)?;
    segment.clear()?;
    let after = settled(&segment)?;
    let report = segment.check()?;
    let passed = report.is_clean() && after.free == fresh.free && after.total == fresh.total;
    let results = Results {
        machine,
        processes: args.processes,
        seconds: args.seconds,
        seed,
        started: crew.started,
        counts: crew.counts,
        most_used,
        free: after.free,
        free_when_new: fresh.free,
        used: after.used,
        used_when_new: fresh.used,
        committed: after.committed,
        committed_when_new: fresh.committed,
        clean: report.is_clean(),
        passed,
    };
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&results)?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    show(&results);
    if !passed {
        println!("{report}");
        println!("{after:#?}\na new segment:\n{fresh:#?}");
    }
    Ok(passed)
}

/// The accounts of a segment once this process keeps nothing at hand.
fn settled(segment: &Segment) -> Result<Stats> {
    segment.trim()?;
    Ok(segment.stats()?)
}

/// Frees what nobody has taken out of the mailboxes.
fn collect_mail(segment: &Segment) -> Result<()> {
    let boxes = segment
        .find_slice::<AtomicU64>(MAILBOXES)?
        .context("the mailboxes are there to the end")?;
    let mut random = fastrand::Rng::new();
    for mailbox in boxes.iter() {
        // Acquire pairs with the Release of who put the parcel in: its bytes are written.
        let bits = mailbox.swap(0, Ordering::Acquire);
        if let Some(parcel) = pattern::Parcel::from_bits(bits) {
            parcel.open(segment, &mut random)?;
        }
    }
    Ok(())
}

fn show(results: &Results) {
    println!(
        "{} processes were started, one after the other in each place; together they did",
        results.started
    );
    for (what, count) in results.counts.rows() {
        println!("  {what:<42} {count:>14}");
    }
    println!(
        "at most seen in use                          {:>14}",
        HumanBytes(results.most_used).to_string()
    );
    println!("                                      {:>17} {:>17}", "afterwards", "a new segment");
    for (what, now, new) in [
        ("bytes free", results.free, results.free_when_new),
        ("bytes used", results.used, results.used_when_new),
        ("bytes committed", results.committed, results.committed_when_new),
    ] {
        println!("  {what:<36}{now:>17} {new:>17}");
    }
    println!("check: {}", if results.clean { "clean" } else { "NOT CLEAN" });
    println!("{}", if results.passed { "passed" } else { "FAILED" });
}

/// The processes at work.
struct Crew<'a> {
    name: &'a str,
    random: fastrand::Rng,
    started: u64,
    counts: Counts,
}

/// A process at work, and when it should have ended.
struct Hand {
    child: Child,
    until: Instant,
}

impl Drop for Hand {
    fn drop(&mut self) {
        // Ended already, unless another one failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Crew<'_> {
    /// Keeps so many processes at work until the time is over; what was used at most.
    fn work(&mut self, args: &SoakArgs, segment: &Segment) -> Result<u64> {
        let end = Instant::now() + Duration::from_secs(args.seconds);
        let style = ProgressStyle::with_template("{bar:40} {elapsed} {msg}").expect("a template");
        let progress = ProgressBar::new(args.seconds).with_style(style); // draws nothing but on a terminal
        let mut hands = Vec::new();
        let mut most_used = 0;
        let mut next_look = Instant::now();
        loop {
            while hands.len() < args.processes as usize && Instant::now() < end {
                hands.push(self.start(end)?);
            }
            let mut at_work = Vec::new();
            for hand in hands {
                at_work.extend(self.attend(hand)?);
            }
            hands = at_work;
            if hands.is_empty() {
                progress.finish_and_clear();
                return Ok(most_used);
            }
            if Instant::now() >= next_look {
                next_look += Duration::from_millis(500);
                let used = segment.stats()?.used;
                most_used = most_used.max(used);
                progress
                    .set_position(args.seconds.saturating_sub((end - Instant::now()).as_secs()));
                progress.set_message(format!(
                    "{} in use, {} processes started",
                    HumanBytes(used),
                    self.started
                ));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A process that lives for a moment or for some seconds.
    fn start(&mut self, end: Instant) -> Result<Hand> {
        let left = end.saturating_duration_since(Instant::now());
        let life = Duration::from_millis(self.random.u64(1..4000)).min(left);
        let child = Command::new(std::env::current_exe()?)
            .args(["worker", self.name])
            .args(["--seed", &self.random.u64(..).to_string()])
            .args(["--millis", &life.as_millis().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start a worker")?;
        self.started += 1;
        Ok(Hand { child, until: Instant::now() + life })
    }

    /// `None`: it has ended well, and its counts are taken.
    fn attend(&mut self, mut hand: Hand) -> Result<Option<Hand>> {
        let Some(status) = hand.child.try_wait()? else {
            ensure!(
                Instant::now() < hand.until + PATIENCE,
                "worker {} is stuck: it should have ended {} s ago",
                hand.child.id(),
                PATIENCE.as_secs()
            );
            return Ok(Some(hand));
        };
        ensure!(
            status.success(),
            "worker {} ended with {status}; what it said stands above",
            hand.child.id()
        );
        // A line, which fits a pipe: a worker never waits to be read.
        let mut told = String::new();
        hand.child.stdout.take().context("piped")?.read_to_string(&mut told)?;
        self.counts.add(&serde_json::from_str(&told)?);
        Ok(None)
    }
}

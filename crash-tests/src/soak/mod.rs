//! The soak: workers do everything at once on one segment, and one after the other is killed. After
//! each kill the others must go on, and the accounts be exact; see [`account`].

mod account;
mod board;
mod clock;
mod crew;
mod goods;
mod load;
mod operation;
mod pattern;
mod plant;
pub mod worker;

use crate::args::SoakArgs;
use crate::machine::Machine;
use account::{Accountant, Settled, Troubles};
use anyhow::{Context, Result};
use board::{Board, Step};
use clock::Clock;
use crew::{Crew, FAST, Figures, set_nice};
use goods::Good;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use operation::Operation;
use serde::Serialize;
use sharena::{Options, Segment, Stats};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// The supervisor calls `recover`, `check` and the like; if it makes no progress for so long, it is
/// stopped as any other would be.
const SUPERVISOR_PATIENCE: Duration = Duration::from_secs(20);

fn options() -> Options {
    Options::new().capacity(256 << 20)
}

#[derive(Serialize)]
struct Results {
    machine: Machine,
    processes: u32,
    seed: u64,
    seconds: f64,
    kills_per_second: f64,
    /// Of these, the machine did nothing for any of ours.
    stalled_seconds: f64,
    /// Threads that stopped though nothing stopped them.
    stopped: u64,
    leaked_bytes: u64,
    /// Blocks, objects and names whose contents are not what was written, findings of `check`, errors
    /// that there should not be.
    damaged: u64,
    troubles: Vec<String>,
    #[serde(flatten)]
    figures: Figures,
    settled: Settled,
    operations: BTreeMap<&'static str, u64>,
    /// What threads were at when they were killed.
    deaths: BTreeMap<&'static str, u64>,
    most_used: u64,
    /// Bytes free at last, and in a new segment.
    free: u64,
    free_when_new: u64,
    passed: bool,
}

/// The command; whether nothing stopped, leaked or was damaged.
pub fn run(args: &SoakArgs) -> Result<bool> {
    let machine = Machine::here();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("{} kills among {} processes, seed {seed}", args.kills, args.processes);
    let fresh = settled(&options().create_anonymous()?)?;
    // Of a run that failed the segment is kept, and process ids come again.
    let name = format!("sharena-kill-{}-{seed:x}", std::process::id());
    let segment = options().create(&name)?;
    let (board, path) = Board::create()?;
    let begin = Instant::now();
    let accountant = Accountant {
        segment: &segment,
        board,
        places: load::places_of(args.processes),
        settled: Settled::default(),
        most_used: 0,
    };
    let clock = Clock::start(SUPERVISOR_PATIENCE, give_up(&name, seed, args.json.as_deref()));
    set_nice(0, FAST);
    let random = fastrand::Rng::with_seed(seed);
    let mut crew = Crew::new(args, &name, (board, path), accountant, clock, random)?;
    if let Err(error) = work(&mut crew) {
        crew.troubles.damage(format!("the supervisor: {error:#}"));
    }
    let mut after = segment.stats()?;
    if crew.troubles.none() {
        after = free_all(&segment, &crew.accountant, &mut crew.troubles)?;
        if after.free != fresh.free || after.total != fresh.total {
            let bytes = fresh.free.abs_diff(after.free).max(1);
            let text =
                format!("all is freed, and {} bytes are free, not {}", after.free, fresh.free);
            crew.troubles.leak(bytes, text);
        }
    }

    let seconds = begin.elapsed().as_secs_f64();
    let operations = crew.operations().into_iter().skip(1).collect();
    let (stalled_seconds, most_used) =
        (crew.clock.stalled().as_secs_f64(), crew.accountant.most_used);
    let settled = crew.accountant.settled;
    let troubles = std::mem::take(&mut crew.troubles);
    let figures = std::mem::take(&mut crew.figures);
    drop(crew);
    let texts = Operation::ALL.iter().map(|operation| operation.text());
    let results = Results {
        machine,
        processes: args.processes,
        seed,
        seconds,
        kills_per_second: figures.kills as f64 / seconds,
        stalled_seconds,
        stopped: troubles.stopped,
        leaked_bytes: troubles.leaked_bytes,
        damaged: troubles.damaged,
        passed: troubles.none(),
        troubles: troubles.texts,
        settled,
        operations,
        deaths: texts.zip(figures.deaths).collect(),
        figures,
        most_used,
        free: after.free,
        free_when_new: fresh.free,
    };
    if let Some(path) = &args.json {
        crate::write_json(path, &results)?;
    }
    show(&results);
    if results.passed {
        sharena::remove(&name)?;
    } else {
        println!(
            "the segment is kept: `cargo run -p sharena-cli -- check {name}`, and `remove {name}` when \
             it was looked at\nthe same again: --seed {seed} --processes {} --kills {}",
            args.processes, args.kills
        );
    }
    Ok(results.passed)
}

/// What to do if the supervisor itself is stopped.
fn give_up(name: &str, seed: u64, json: Option<&Path>) -> impl Fn() + Send + 'static {
    let (name, json) = (name.to_owned(), json.map(Path::to_owned));
    move || {
        println!(
            "the supervisor makes no progress: an operation on segment {name} does not end; seed {seed}"
        );
        let results = serde_json::json!({
            "seed": seed, "stopped": 1, "leaked_bytes": 0, "damaged": 0, "passed": false,
            "troubles": ["the supervisor makes no progress"],
        });
        if let Some(path) = &json
            && let Err(error) = crate::write_json(path, &results)
        {
            println!("{error:#}");
        }
        std::process::exit(1);
    }
}

/// Kills until there were enough, or something is wrong.
fn work(crew: &mut Crew<'_>) -> Result<()> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} kills, {eta} left, {msg}")?;
    let progress = ProgressBar::new(crew.args.kills).with_style(style); // draws nothing but on a terminal
    while crew.figures.kills < crew.args.kills && crew.troubles.none() {
        crew.round()?;
        progress.set_position(crew.figures.kills);
        progress.set_message(format!("{} in use at most", HumanBytes(crew.accountant.most_used)));
    }
    progress.finish_and_clear();
    if crew.troubles.none() { crew.finish() } else { Ok(()) }
}

/// Frees all that the ledgers have, and all names; the accounts then.
fn free_all(
    segment: &Segment,
    accountant: &Accountant<'_>,
    troubles: &mut Troubles,
) -> Result<Stats> {
    for place in 0..accountant.places {
        for (entry, found) in accountant.board.place(place).ledger.iter().enumerate() {
            let item = found.item();
            if item.step != Step::Empty
                && let Err(error) = (Good { place, entry, item }).free(segment)
            {
                troubles.damage(format!("{error:#}"));
            }
        }
    }
    segment.clear()?;
    let after = settled(segment)?;
    let report = segment.check()?;
    if !report.is_clean() {
        troubles.damage(format!("all is freed: {report}"));
    }
    Ok(after)
}

/// The accounts of a segment once this process keeps nothing at hand.
fn settled(segment: &Segment) -> Result<Stats> {
    segment.trim().context("trim")?;
    Ok(segment.stats()?)
}

fn show(results: &Results) {
    let figures = &results.figures;
    println!(
        "{} kills in {:.1} s ({:.0} a second), {} accounts; {} kills had one of their own, the others \
         one together with the next kills",
        figures.kills,
        results.seconds,
        results.kills_per_second,
        figures.accounts,
        figures.kills_with_own_account
    );
    println!(
        "  killed alone {}, two at once {}, while stopped {}; in the middle of recovery {}; reaped late {}",
        figures.killed_alone,
        figures.killed_two_at_once,
        figures.killed_while_stopped,
        figures.killed_in_recovery,
        figures.reaped_late
    );
    println!("  stopped for a while, and continued {}", figures.stopped_and_continued);
    println!(
        "  recovered {} processes, {} blocks, {}; first beside the load {} times, by a worker {}, by \
         who attached or in the account {}",
        figures.recovered_processes,
        figures.recovered_blocks,
        HumanBytes(figures.recovered_bytes),
        figures.recovered_beside_load,
        figures.recovered_by_worker,
        figures.recovered_by_attach_or_account
    );
    let Settled { published, not_published, found, freed, not_freed } = results.settled;
    println!(
        "  cut short: {published} were published, {not_published} not; {found} were published without \
         anybody's knowledge, and found; {freed} were freed, {not_freed} not"
    );
    println!("  {:<50}{:>14}{:>10}", "", "done", "died in");
    for (what, count) in &results.operations {
        println!("  {what:<50}{count:>14}{:>10}", results.deaths[what]);
    }
    println!(
        "  {:<50}{:>14}{:>10}",
        Operation::Between.text(),
        "",
        results.deaths[Operation::Between.text()]
    );
    println!(
        "at most seen in use {}; free at last {} bytes, in a new segment {}",
        HumanBytes(results.most_used),
        results.free,
        results.free_when_new
    );
    for text in &results.troubles {
        println!("WRONG: {text}");
    }
    println!(
        "stopped {}, leaked bytes {}, damaged {}: {}",
        results.stopped,
        results.leaked_bytes,
        results.damaged,
        if results.passed { "passed" } else { "FAILED" }
    );
}

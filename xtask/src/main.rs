//! The project's tasks: `cargo xtask --help`.

// Read by the program that they are passed on to; here they make `--help` and find mistakes.
#[allow(dead_code, reason = "the fields are read by the program that shares this file")]
#[path = "../../benches/src/args.rs"]
mod args;
mod bench;
mod ci;
mod coverage;
mod fuzz;
mod kill;
#[allow(dead_code, reason = "as above")]
#[path = "../../crash-tests/src/args.rs"]
mod kill_args;
mod long;
mod loom;
#[path = "../../benches/src/machine.rs"]
mod machine;
mod mutants;
mod paper;
#[allow(dead_code, reason = "as above")]
#[path = "../../paper/build/src/options.rs"]
mod paper_args;
mod reasons;
mod shuttle;
mod valgrind;
mod verify;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::path::Path;
use std::process::{Command, ExitCode};

/// The project's tasks, each one command. The tests are `cargo test --workspace`.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs all that a change must pass, one step after the other; stops at the first that fails.
    ///
    /// Formatting, lints, tests, documentation, examples, models, a short soak, and one round of the
    /// benchmarks to see that they run.
    Ci,
    /// Runs the loom models: every interleaving of each protocol at small size.
    Loom(loom::LoomArgs),
    /// Runs the shuttle models: random scripts on a whole segment, by random schedules and by PCT.
    ///
    /// And the small models whose outcomes are known, in every interleaving. A schedule that fails is
    /// kept, and printed with the command that replays it.
    Shuttle(shuttle::ShuttleArgs),
    /// Runs the tests of objects under valgrind's memcheck, once that has seen a fault planted on purpose.
    Valgrind,
    /// Plants known bugs, one at a time, and checks that the check named for each catches it.
    ///
    /// The bugs are patches, in `mutants/planted/`; each says what it breaks and what must fail. With
    /// --general, what cargo-mutants would change in the core is tried instead, by all suites in turn,
    /// and who survives must be explained in `mutants/equivalent.txt`. Exits with 1 otherwise.
    Mutants(mutants::MutantsArgs),
    /// Runs the tests with counters, and prints per file which lines they run.
    ///
    /// Lines of the core that no test runs must be explained in `mutants/uncovered.txt`. Exits with 1
    /// otherwise.
    Coverage(coverage::CoverageArgs),
    /// Climbs the ladder of what is verified, from models to processes that are killed, and prints it.
    ///
    /// Exits with 1 if a rung does not hold.
    Verify(verify::VerifyArgs),
    /// Runs generated scripts against a reference that knows no cleverness, until so many operations
    /// were done.
    ///
    /// Threads, attachments and real processes, of which some are killed, allocate, free, publish,
    /// resize, construct, find, destroy, as a script says; a map of intervals and a map of names say what
    /// must come of it, to the byte. A script that fails is shrunk, and printed. Exits with 1 then.
    Property(long::PropertyArgs),
    /// Lets real processes fight over a few names, kills some, and judges whether what they recorded is
    /// linearizable.
    ///
    /// Exits with 1, and with the calls in question, if it is not.
    Linearizability(long::LinearizabilityArgs),
    /// Lets real processes do everything at once on one segment, then verifies the accounts.
    ///
    /// They allocate and free their own blocks and each other's, publish, resolve and destroy objects,
    /// construct, find and destroy names of a common pool; threads and processes begin and end all the
    /// time, and whatever is freed must hold what was written. Afterwards all is freed and trimmed:
    /// `check` must be clean, and the segment must have as many bytes free as a new one. Exits with 1
    /// otherwise.
    Soak(args::SoakArgs),
    /// Kills processes that use a segment, at every step and at random, and verifies what is left.
    ///
    /// Exits with 1 if survivors find anything damaged, lost or left behind.
    #[command(subcommand)]
    Kill(kill_args::Kill),
    /// Feeds segment files of any bytes, damaged ones, call sequences and names to the crate, to see
    /// what breaks.
    ///
    /// By libFuzzer with the address sanitizer (cargo-fuzz, a nightly compiler); --replay runs what is
    /// kept of earlier runs with the stable one. Exits with 1 if something breaks.
    Fuzz(fuzz::FuzzArgs),
    Bench(args::BenchArgs),
    /// Sets the paper, with each of its figures read from what is kept in the project: `paper/sharena.pdf`.
    ///
    /// Fails if a figure is not there. Minutes for the first time, as the typesetter is compiled.
    Paper(paper_args::PaperArgs),
}

fn main() -> Result<ExitCode> {
    let passed = match Cli::parse().task {
        Task::Ci => ci::run()?,
        Task::Loom(args) => {
            loom::run(args)?;
            true
        }
        Task::Shuttle(args) => {
            shuttle::run(args)?;
            true
        }
        Task::Valgrind => {
            valgrind::run()?;
            true
        }
        Task::Mutants(args) => mutants::run(&args)?,
        Task::Coverage(args) => coverage::run(&args)?,
        Task::Verify(args) => verify::run(&args)?,
        Task::Property(args) => long::property(&args)?,
        Task::Linearizability(args) => long::linearizability(&args)?,
        Task::Soak(_) => bench::run(std::env::args_os().skip(1))?,
        Task::Kill(suite) => kill::run(&suite, std::env::args_os().skip(2))?,
        Task::Fuzz(args) => fuzz::run(&args)?,
        Task::Bench(_) => bench::run(std::env::args_os().skip(1))?,
        Task::Paper(_) => paper::run(std::env::args_os().skip(2))?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The project's folder.
fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the project")
}

/// The cargo that runs this.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

//! What can be asked for. Read by xtask, too, so that `--help` answers before anything is built.

use std::path::PathBuf;

/// The suites that kill processes.
#[derive(clap::Subcommand)]
pub enum Kill {
    /// Death at each step of shared memory, of each operation; and stops there, beside which others go on.
    ///
    /// `stopped-in-OPERATION` is stopped, all others are killed.
    Steps(StepsArgs),
    /// Death after each machine instruction of each operation.
    Instructions(InstructionsArgs),
    /// Death at random moments, under load, over and over.
    Soak(SoakArgs),
    /// Death of creators: the next opener succeeds, or is told that there is nothing.
    Creation(CreationArgs),
    /// Death of who holds a lock, or is about to: the next has it soon, with the news.
    Lock(LockArgs),
}

/// How to run `steps`.
#[derive(clap::Args)]
pub struct StepsArgs {
    /// Only the operation of this name; if there is none, those whose names contain it.
    pub operation: Option<String>,
    /// Where one dies after another, of the first one's deaths every third is tried; and every third stop.
    #[arg(long)]
    pub short: bool,
    /// Writes the figures there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// What the suite starts itself with: segments are made in this directory.
    #[arg(long, hide = true)]
    pub worker: Option<PathBuf>,
}

/// How to run `instructions`.
#[derive(clap::Args)]
pub struct InstructionsArgs {
    /// Only operations whose names contain this.
    pub operation: Option<String>,
    /// Writes the figures there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Verifies each image, also of an instruction that writes thousands of words of one value.
    #[arg(long)]
    pub every: bool,
    /// Operations that break the laws, instead: they must be found out.
    #[arg(long, hide = true)]
    pub planted: bool,
}

/// How to run `soak`.
#[derive(clap::Args)]
pub struct SoakArgs {
    /// Processes to kill, one after the other.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub kills: u64,
    /// Processes at work at the same time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=64))]
    pub processes: u32,
    /// Where the random choices begin; printed, so that a run can be tried again.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Writes the figures there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// A fault that one worker has; the soak must find it.
    #[arg(long, hide = true)]
    pub plant: Option<Plant>,
}

/// What a worker of the soak does wrong, in a test of the soak.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Plant {
    /// Gives blocks to everybody and forgets them.
    Leak,
    /// Writes into blocks that it has freed.
    Write,
    /// Stops in the middle of an operation.
    Stop,
}

/// How to run `creation`.
#[derive(clap::Args)]
pub struct CreationArgs {
    /// Creators to kill, one after the other.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub kills: u64,
    /// Where the random choices begin; printed, so that a run can be tried again.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Writes the figures there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// How to run `lock`.
#[derive(clap::Args)]
pub struct LockArgs {
    /// Processes to kill, one after the other: of four, three while they hold the lock, one at any moment.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub kills: u64,
    /// Processes that want the lock all the time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=63))]
    pub processes: u32,
    /// MiB that each of them has in use: the more, the longer the kernel takes to end one.
    #[arg(long, default_value_t = 0)]
    pub memory: usize,
    /// A holder is killed after so many microseconds at most.
    #[arg(long, default_value_t = 3000)]
    pub held_micros: u64,
    /// The suite recovers the dead at once, by a watcher; else nobody does, but who waits.
    #[arg(long)]
    pub watch: bool,
    /// Where the random choices begin; printed, so that a run can be tried again.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Writes the figures there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Exits with 1, too, unless the next has the lock within 1 ms (median) and 100 ms (at most).
    #[arg(long)]
    pub gate: bool,
}

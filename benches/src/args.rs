//! What can be asked for. Read by xtask, too, so that `--help` answers before anything is built.

use std::path::PathBuf;

/// Measures speed, latency and memory beside other allocators and maps; judges what was measured.
///
/// Every subject of a work does the same, one after the other, round by round; a ratio is taken within a
/// round, and the median of these ratios is what counts, since a busy machine slows all subjects of a
/// round. Of all figures, less is better. `noop` is the harness itself: the loop, the ring by which blocks
/// are handed on, the clock.
///
/// Subjects of sharena: `private` is Handle::allocate_block and free_block, `published` is
/// Handle::allocate and deallocate; `-tls` is the same without a handle, by way of the thread-local
/// look-up, and `-prepared` after Segment::prepare; `huge` and `-huge` with Options::huge_pages. Processes share one segment. An allocator of a process' own memory has nothing to share, but
/// does the same beside itself; only its threads can free each other's blocks.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub what: Option<Bench>,
    #[command(flatten)]
    pub scope: ScopeArgs,
}

/// What to do with what was measured, and what has tables of its own.
#[derive(clap::Subcommand)]
pub enum Bench {
    /// Prints each bar as met or not, by a file of results.
    ///
    /// Exits with 1 unless all are met.
    Gate(GateArgs),
    /// Writes BENCHMARKS.md, with plots, by a file of results.
    ///
    /// The page goes to the root of the project, the plots and a copy of the results to `benches/results/`.
    Page(PageArgs),
    /// Compares two runs of the same: a ratio to a peer that is not the same in both is noise.
    ///
    /// Prints the ratios that differ most. Exits with 1 if one of ours to mimalloc differs by 5 % or more.
    /// Quantiles of latencies are shown and not judged: what the slowest of ten thousand took is the
    /// scheduler's doing.
    Same(SameArgs),
    /// The mutex beside std's and a robust process-shared one of pthread's: alone, and fought over.
    Locks(LocksArgs),
    /// Collections beside std's and hashbrown's: 65,536 numbers, private and published.
    Collections(CollectionsArgs),
}

/// What is measured.
#[derive(clap::Args, Default)]
pub struct ScopeArgs {
    /// Fewer members, sizes and rounds: within five minutes.
    #[arg(long)]
    pub quick: bool,
    /// Does this work only; may be given several times.
    #[arg(long = "work", value_name = "WORK")]
    pub works: Vec<Work>,
    /// Beside this peer only, or several, with commas between; `none`: beside nobody.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub peers: Vec<String>,
    /// So many processes or threads; may be given several times. By default 1, 2, 4, 8 and 16.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=128))]
    pub members: Vec<u32>,
    /// Only such members.
    #[arg(long)]
    pub kind: Option<Kind>,
    /// Rounds that are counted; one more before them warms up. By default 7, of what takes little time
    /// more; quick 3.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: Option<u32>,
    /// Writes the results there, for `gate`.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// A work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, clap::ValueEnum)]
pub enum Work {
    /// Allocates 64 B, writes the first byte, frees it.
    Churn,
    /// Allocates 100,000 blocks of 64 B, then frees them in that order.
    Threadtest,
    /// Replaces random ones of 1,000 blocks of 16 to 1,024 B.
    Larson,
    /// Half of the members allocate 64 B, the others free it (xmalloc-test).
    Remote,
    /// As churn, each pair by the clock.
    Latency,
    /// Batches of 1,000 blocks of 16 to 977 B, freed in various orders, some kept for longer (sh6bench).
    Sizes,
    /// Allocates 8 B, writes them a hundred times, frees them (cache-thrash).
    Thrash,
    /// The same, after each has freed a block that another allocated beside those of the others (cache-scratch).
    Scratch,
    /// What a real program allocated and freed, as it was recorded.
    Trace,
    /// Constructs named objects of 8 bytes, until there are so many.
    Construct,
    /// Finds names, in random order, of so many.
    Find,
    /// Looks for names that are not there, beside so many.
    Miss,
    /// Destroys named objects, in random order, until none of so many is left.
    Destroy,
    /// As find, each by the clock.
    FindLatency,
    /// Creates a segment that can grow to so many bytes.
    Create,
    /// Opens one.
    Attach,
    /// Takes back what a killed process owned; `noop` reads the states of as many blocks, and no more.
    Recovery,
    /// As latency, beside a process that recovers what a killed one owned.
    RecoveryBeside,
    /// Allocates blocks of 64 B, the memory of which nobody has touched, and writes the first byte.
    Growth,
    /// As growth, each block by the clock.
    GrowthLatency,
    /// Bytes of metadata for each allocated byte, of 64 MiB of small blocks.
    Metadata,
    /// Bytes that a block has beyond what was asked for: the worst size above 128 B.
    RoundingWorst,
    /// The same: the mean of all sizes above 128 B.
    RoundingMean,
    /// Memory held by a long random run, over time.
    Held,
    /// What a segment gives back of it when all is freed.
    GivenBack,
    /// Bytes for a named object of 8 bytes, beside its name's.
    NameBytes,
}

/// What the members of a crowd are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Kind {
    /// Each with one thread.
    Processes,
    /// Of one process.
    Threads,
}

/// How to judge.
#[derive(clap::Args)]
pub struct GateArgs {
    /// Of `bench --json`.
    #[arg(value_name = "FILE")]
    pub results: PathBuf,
}

/// Of what to make the page.
#[derive(clap::Args)]
pub struct PageArgs {
    /// Of `bench --json`.
    #[arg(value_name = "FILE")]
    pub results: PathBuf,
    /// Writes it there instead of into the project.
    #[arg(long, value_name = "FOLDER")]
    pub to: Option<PathBuf>,
}

/// What to compare.
#[derive(clap::Args)]
pub struct SameArgs {
    /// Of `bench --json`.
    #[arg(value_name = "FILE")]
    pub one: PathBuf,
    /// Of the same command on the same machine.
    #[arg(value_name = "FILE")]
    pub other: PathBuf,
}

/// How to run `collections`.
#[derive(clap::Args)]
pub struct CollectionsArgs {
    /// Rounds that are counted; one more before them warms up.
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Exits with 1 unless vectors take at most 1.5 times as long as std's, maps twice hashbrown's, a
    /// queue, or a ring, twice crossbeam's queue.
    #[arg(long)]
    pub gate: bool,
    /// Does only the work of this name, or those whose names contain it; may be given several times.
    #[arg(long = "work", value_name = "PART")]
    pub works: Vec<String>,
    /// Writes the table there, as Markdown.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// How to run `locks`.
#[derive(clap::Args)]
pub struct LocksArgs {
    /// Rounds that are counted; one more before them warms up.
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Processes that fight over the lock.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=128))]
    pub processes: u32,
    /// Locks and unlocks of each of them.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub pairs: u64,
    /// Writes the results there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Exits with 1 unless it takes at most 1.2 times as long as std's alone, and as pthread's 1.25 times
    /// when fought over.
    #[arg(long)]
    pub gate: bool,
}

/// How to run the soak.
#[derive(clap::Args)]
pub struct SoakArgs {
    /// Processes at work at the same time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=128))]
    pub processes: u32,
    /// How long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Where the random choices begin; printed, so that a run can be tried again. What the
    /// processes do to each other depends on the scheduler all the same.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Writes the figures there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

//! What can be asked for. Read by xtask, too, so that `--help` answers before anything is built.

use std::path::PathBuf;

/// The benchmarks.
#[derive(clap::Subcommand)]
pub enum Bench {
    /// Speed of one thread beside mimalloc, jemalloc and glibc, within a minute.
    ///
    /// Nanoseconds per pair of one allocation and one free, of each subject doing the same work:
    ///
    ///   churn       allocate 64 B, write its first byte, free it
    ///   threadtest  allocate 100,000 blocks of 64 B, then free them in that order
    ///   larson      1,000 blocks of 16 to 1,024 B, of which a random one is replaced
    ///
    /// Subjects of sharena: `private` is Handle::allocate_block and free_block, `published` is
    /// Handle::allocate and deallocate; `-tls` is the same without a handle, by way of the
    /// thread-local look-up. `noop` takes the next bytes of a ring: what the loop itself costs.
    ///
    /// Each round runs all subjects one after the other, in an order that changes from round to
    /// round. A ratio is taken within a round; the median of these ratios is what counts, since a
    /// busy machine slows all subjects of a round.
    #[command(verbatim_doc_comment)]
    Quick(QuickArgs),
    /// Speed of many processes, or threads, at once: scaling, remote frees, latencies.
    ///
    /// Millions of pairs of one allocation and one free in a second, of all together, from when all
    /// begin till the last is through:
    ///
    ///   churn, threadtest, larson   as in `quick`, each member by itself
    ///   remote                      half of them allocate 64 B, the others free it (xmalloc-test)
    ///   latency                     as churn, each pair by the clock: quantiles in nanoseconds
    ///
    /// Processes share one segment. An allocator of a process' own memory has nothing to share, but does
    /// the same beside itself; only its threads can free each other's blocks. `noop` is the harness
    /// itself: the loop, the ring by which blocks are handed on, the clock.
    #[command(verbatim_doc_comment)]
    Crowd(CrowdArgs),
    /// Bytes of metadata for each allocated byte, with 64 MiB of blocks of 16 B and of 64 B.
    Bytes(BytesArgs),
    /// How long it takes to recover a process that owned a GiB, and whether others notice.
    Recovery(RecoveryArgs),
    /// The mutex beside std's and a robust process-shared one of pthread's: alone, and fought over.
    Locks(LocksArgs),
    /// Collections beside std's and hashbrown's: 65,536 numbers, private and published.
    Collections(CollectionsArgs),
}

/// A work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Work {
    /// Allocates 64 B and frees it.
    Churn,
    /// Allocates 100,000 blocks of 64 B, then frees them in that order.
    Threadtest,
    /// Replaces random ones of 1,000 blocks of random sizes.
    Larson,
}

/// How to run `quick`.
#[derive(clap::Args)]
pub struct QuickArgs {
    /// Rounds that are counted; one more before them warms up.
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Does this work only; may be given several times.
    #[arg(long = "work", value_name = "WORK")]
    pub works: Vec<Work>,
    /// Writes the results there: `{"machine": …, "rows": [{"work", "subject", "median_ns", …}]}`.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Exits with 1 unless private is at most 0.8 times mimalloc on each work, published 1.1 times.
    #[arg(long)]
    pub gate: bool,
}

/// What a crowd does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum CrowdWork {
    /// Allocates 64 B and frees it.
    Churn,
    /// Allocates 100,000 blocks of 64 B, then frees them in that order.
    Threadtest,
    /// Replaces random ones of 1,000 blocks of random sizes.
    Larson,
    /// Half of the members allocate, the others free.
    Remote,
    /// Quantiles of one pair.
    Latency,
}

/// What the members of a crowd are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Kind {
    /// Each with one thread.
    Processes,
    /// Of one process.
    Threads,
}

/// How to run `crowd`.
#[derive(clap::Args)]
pub struct CrowdArgs {
    /// Rounds that are counted; one more before them warms up.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Does this work only; may be given several times.
    #[arg(long = "work", value_name = "WORK")]
    pub works: Vec<CrowdWork>,
    /// So many members; may be given several times. By default 1, 2, 4, 8 and 16.
    #[arg(long = "members", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=128))]
    pub members: Vec<u32>,
    /// Only such members.
    #[arg(long)]
    pub kind: Option<Kind>,
    /// Beside this peer only; may be given several times.
    #[arg(long = "peer", value_name = "NAME")]
    pub peers: Vec<String>,
    /// Writes the results there: `{"machine": …, "rows": [{"work", "subject", "kind", …}]}`.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Exits with 1 unless larson scales over processes, blocks are freed remotely as fast as by the best
    /// peer's threads, and of ten thousand pairs the slowest is within 1.2 times an empty loop's.
    #[arg(long)]
    pub gate: bool,
}

/// How to run `bytes`.
#[derive(clap::Args)]
pub struct BytesArgs {
    /// Exits with 1 unless metadata is at most 7 % at 16 B and at most 2 % at 64 B.
    #[arg(long)]
    pub gate: bool,
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

/// How to run `recovery`.
#[derive(clap::Args)]
pub struct RecoveryArgs {
    /// Processes that are killed and recovered for each block size.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// MiB that each of them owns.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..))]
    pub mib: u32,
    /// Writes the results there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Exits with 1 unless recovery takes at most 1 ms per GiB beyond the sweep of state bytes.
    #[arg(long)]
    pub gate: bool,
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

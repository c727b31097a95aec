//! What can be asked for. Read by the fuzzer, too.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0  done; what was asked for is there, and all is well
  1  nothing to list (ls, objects), not clean (check), or left to another process (recover)
  2  wrong usage, or the segment cannot be opened, or its removal was refused; the reason is on
     standard error";

const EXAMPLES: &str = "\
Examples:
  sharena ls                      which segments are there, and how much memory each has
  sharena stat prices             how full is it, who is attached
  sharena objects prices          what is in it
  sharena check prices            is it whole? (exit code 0 if so)
  sharena check --path /data/seg  the same for a segment in a file
  sharena recover prices          take back what processes left that were killed
  sharena rm prices               take its name away; programs that have it open keep it
  sharena ls --json | jq -r '.[] | select(.problem) | .name'
                                  the leftovers that no program of this version can open

All commands but recover and rm change nothing, and all may be used while programs work on the
segment. They attach to it as one more process for as long as they look, and so appear in `stat`.";

/// Look at segments of shared memory, check them, recover them, remove them.
#[derive(Parser)]
#[command(name = "sharena", version, after_help = EXIT_CODES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Cli {
    /// Print JSON, with all numbers in bytes
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// List the segments in shared memory
    ///
    /// Leftovers that cannot be opened (of another version, damaged, of another user) are listed with
    /// the reason.
    Ls,
    /// Show how full a segment is, and who is attached
    ///
    /// Beside programs at work the numbers are those of several moments.
    #[command(after_help = "Example:\n  sharena stat prices --json | jq .free")]
    Stat(Target),
    /// List the named objects of a segment
    #[command(after_help = "Example:\n  sharena objects prices --json | jq -r '.[].name'")]
    Objects(Target),
    /// Verify that a segment is whole, and name what is not
    ///
    /// Findings are `damage` (an invariant is broken) or `leftover` (a process died and is to be
    /// recovered). Exact if no program is in the middle of an operation; beside programs at work,
    /// findings that do not last are left out.
    #[command(after_help = "Exits with 1 if something is found.")]
    Check(Target),
    /// Take back what processes left that died in a segment
    ///
    /// What they had not published is free again, what they were about to construct is not there, what
    /// they had published stays. Programs that open the segment or run out of memory in it do the same
    /// by themselves. A process that is slow or stopped is alive, and keeps what it has.
    #[command(
        after_help = "Exits with 1 if another process is at it that has not finished.\nExample:\n  sharena recover prices && sharena check prices"
    )]
    Recover(Target),
    /// Remove a segment: take its name away, without asking
    ///
    /// Programs that have it open keep it until they close it; then its memory is free.
    Rm {
        #[command(flatten)]
        target: Target,
        /// Remove also what cannot be recognized as a segment of this version
        #[arg(long)]
        force: bool,
    },
}

/// Which segment.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Target {
    /// Name of a segment in shared memory
    pub name: Option<String>,
    /// File of a segment that has a path
    #[arg(long, value_name = "FILE")]
    pub path: Option<PathBuf>,
}

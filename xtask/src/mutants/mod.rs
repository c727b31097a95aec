//! `cargo xtask mutants`: bugs put into the core on purpose, and whether the suites see them.

mod general;
mod list;
pub mod planted;
mod report;
mod suites;
mod switches;
pub mod tree;

use anyhow::Result;
use std::path::PathBuf;

/// What to plant.
#[derive(clap::Args)]
pub struct MutantsArgs {
    /// Bugs whose names contain one of these (all when none is given); with --general, mutants whose
    /// file, description or line do.
    names: Vec<String>,
    /// Only sees whether each patch still applies to the sources.
    #[arg(long, conflicts_with_all = ["general", "report"])]
    apply_only: bool,
    /// Writes the table there.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    general: general::GeneralArgs,
}

/// The command; whether the suites saw all that they should.
pub fn run(args: &MutantsArgs) -> Result<bool> {
    if args.general.general {
        return general::run(&args.names, &args.general, args.report.as_deref());
    }
    if args.apply_only {
        return planted::apply_all(&args.names);
    }
    planted::run(&args.names, args.report.as_deref())
}

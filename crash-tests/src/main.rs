//! The suites that kill processes. Run them by `cargo xtask kill`.

mod account;
mod args;
mod instructions;
#[path = "../../benches/src/machine.rs"]
mod machine;
mod operations;
mod process;
mod stage;
mod steps;

use anyhow::{Result, bail};
use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Kills processes that use sharena: see `cargo xtask kill`")]
struct Cli {
    #[command(subcommand)]
    suite: args::Kill,
}

fn main() -> Result<ExitCode> {
    let passed = match Cli::parse().suite {
        args::Kill::Steps(args) => steps::run(&args)?,
        args::Kill::Instructions(args) => instructions::run(&args)?,
        _ => bail!("not yet"),
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

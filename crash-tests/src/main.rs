//! The suites that kill processes. Run them by `cargo xtask kill`.

mod account;
mod args;
mod creation;
mod images;
mod instructions;
mod lock;
#[path = "../../benches/src/machine.rs"]
mod machine;
mod operations;
mod process;
mod soak;
#[allow(dead_code, reason = "the fuzzer reads what is written here")]
#[path = "../../fuzz/src/sparse.rs"]
mod sparse;
mod stage;
mod steps;

use anyhow::{Context, Result};
use clap::Parser;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Kills processes that use sharena: see `cargo xtask kill`")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(clap::Subcommand)]
enum Task {
    #[command(flatten)]
    Suite(args::Kill),
    /// Makes what the fuzzer begins from.
    #[command(hide = true)]
    Images(images::ImagesArgs),
    /// A process of `soak`.
    #[command(hide = true)]
    SoakWorker(soak::worker::WorkerArgs),
    /// A process of `creation`.
    #[command(hide = true)]
    Creator(creation::CreatorArgs),
    /// A process of `lock`.
    #[command(hide = true)]
    LockWorker(lock::WorkerArgs),
}

fn main() -> Result<ExitCode> {
    let passed = match Cli::parse().task {
        Task::Suite(args::Kill::Steps(args)) => steps::run(&args)?,
        Task::Suite(args::Kill::Instructions(args)) => instructions::run(&args)?,
        Task::Suite(args::Kill::Soak(args)) => soak::run(&args)?,
        Task::Suite(args::Kill::Creation(args)) => creation::run(&args)?,
        Task::Suite(args::Kill::Lock(args)) => lock::run(&args)?,
        Task::Images(args) => {
            images::run(&args)?;
            true
        }
        Task::SoakWorker(args) => soak::worker::run(&args)?,
        Task::Creator(args) => creation::creator(&args)?,
        Task::LockWorker(args) => lock::worker(&args)?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes figures for programs.
fn write_json(path: &Path, results: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(results)?;
    std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))
}

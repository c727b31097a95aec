//! Benchmarks and soak. Run them by `cargo xtask bench` and `cargo xtask soak`.

mod args;
mod bytes;
mod collections;
mod crowd;
mod locks;
mod machine;
mod median;
mod quick;
mod recovery;
mod soak;
mod subjects;
mod until;
mod works;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Benchmarks and soak of sharena: see `cargo xtask bench` and `cargo xtask soak`")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Bench(args::Bench),
    /// Many processes at work on one segment, and then the accounts.
    Soak(args::SoakArgs),
    /// One process that owns memory until it is killed; started by `recovery`.
    #[command(hide = true)]
    Owner(recovery::OwnerArgs),
    /// One process of a soak; started by it.
    #[command(hide = true)]
    Worker(soak::worker::WorkerArgs),
}

fn main() -> Result<ExitCode> {
    let passed = match Cli::parse().command {
        Command::Bench(args::Bench::Quick(args)) => quick::run(&args)?,
        Command::Bench(args::Bench::Bytes(args)) => bytes::run(&args)?,
        Command::Bench(args::Bench::Recovery(args)) => recovery::run(&args)?,
        Command::Bench(args::Bench::Locks(args)) => locks::run(&args)?,
        Command::Bench(args::Bench::Collections(args)) => collections::run(&args)?,
        Command::Bench(args::Bench::Crowd(args)) => crowd::run(&args)?,
        Command::Owner(args) => recovery::own(&args)?,
        Command::Soak(args) => soak::run(&args)?,
        Command::Worker(args) => soak::worker::run(&args)?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

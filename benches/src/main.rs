//! Benchmarks and soak. Run them by `cargo xtask bench` and `cargo xtask soak`.

mod alloc;
mod args;
mod bench;
mod boost;
mod collections;
mod fresh;
mod gate;
mod latency;
mod locks;
mod machine;
mod measure;
mod median;
mod members;
mod names;
mod page;
mod quiet;
mod results;
mod same;
mod segments;
mod soak;
mod space;
mod until;

use anyhow::Result;
use args::{Bench, BenchArgs};
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
    Bench(BenchArgs),
    /// Many processes at work on one segment, and then the accounts.
    Soak(args::SoakArgs),
    /// One work by one allocator in a process of its own; started by `bench`.
    #[command(hide = true)]
    Fresh(fresh::FreshArgs),
    /// One process of a soak; started by it.
    #[command(hide = true)]
    Worker(soak::worker::WorkerArgs),
}

fn main() -> Result<ExitCode> {
    let passed = match Cli::parse().command {
        Command::Bench(BenchArgs { what: None, scope }) => bench::run(scope)?,
        Command::Bench(BenchArgs { what: Some(what), .. }) => match what {
            Bench::Gate(args) => gate::run(&args)?,
            Bench::Page(args) => page::run(&args)?,
            Bench::Same(args) => same::run(&args)?,
            Bench::Locks(args) => locks::run(&args)?,
            Bench::Collections(args) => collections::run(&args)?,
        },
        Command::Fresh(args) => fresh::run(&args)?,
        Command::Soak(args) => soak::run(&args)?,
        Command::Worker(args) => soak::worker::run(&args)?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

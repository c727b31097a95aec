//! `cargo xtask property` and `cargo xtask linearizability`: tests of `tests/` that can run for long,
//! asked for more than `cargo test` has time for, and their figures.

use crate::machine::Machine;
use crate::mutants::tree;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The test of `tests/linearizability.rs` with real processes.
const HISTORIES: &str = "what_real_processes_do_to_names_is_linearizable";
/// Bugs that it must catch. What needs a stop between two certain instructions is left to the models.
const PLANTED: [&str; 4] =
    ["link-by-store", "destroy-by-store", "displace-unlinks-whole", "scan-skips-hazards"];
/// What it says of them.
const REASONS: [&str; 2] = ["is not linearizable", "an object changed under a reference"];

/// How to run `property`.
#[derive(clap::Args)]
pub struct PropertyArgs {
    /// Operations to generate at least, a quarter of them for real processes.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    operations: u64,
    /// Writes the figures there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How to run `linearizability`.
#[derive(clap::Args)]
pub struct LinearizabilityArgs {
    /// How long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Processes at work at the same time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=16))]
    processes: u32,
    /// Writes the figures there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Plants bugs of `mutants/planted/` that a few seconds bring to light, instead: each must be
    /// refused.
    #[arg(long)]
    planted: bool,
}

/// The command; whether everything agreed with the reference.
pub fn property(args: &PropertyArgs) -> Result<bool> {
    let machine = Machine::here();
    let of_processes = args.operations.div_ceil(4);
    let mut crews = Vec::new();
    for (test, operations) in [
        (
            "any_script_of_threads_and_attachments_agrees_with_the_reference",
            args.operations - of_processes,
        ),
        ("any_script_of_processes_agrees_with_the_reference", of_processes),
    ] {
        let asked = operations.to_string();
        let Some(tally) = run("property", test, &[("SHARENA_OPERATIONS", &asked)])? else {
            return Ok(false);
        };
        show(&tally);
        crews.push(tally);
    }
    let sum = |key: &str| crews.iter().filter_map(|crew| crew[key].as_u64()).sum::<u64>();
    println!("operations: {}, cases: {}", sum("operations"), sum("cases"));
    let (operations, cases) = (sum("operations"), sum("cases"));
    let report = json!({
        "machine": machine, "operations": operations, "cases": cases, "crews": crews,
    });
    write(args.json.as_deref(), &report)?;
    Ok(true)
}

/// The command; whether all histories were linearizable.
pub fn linearizability(args: &LinearizabilityArgs) -> Result<bool> {
    if args.planted {
        return planted();
    }
    let machine = Machine::here();
    let (seconds, processes) = (args.seconds.to_string(), args.processes.to_string());
    let asked = [("SHARENA_SECONDS", &*seconds), ("SHARENA_PROCESSES", &processes)];
    let Some(tally) = run("linearizability", HISTORIES, &asked)? else { return Ok(false) };
    show(&tally);
    write(args.json.as_deref(), &json!({ "machine": machine, "tally": tally }))?;
    Ok(true)
}

/// Whether the test refuses each of the bugs, for the reason that it is made for.
fn planted() -> Result<bool> {
    let root = crate::root()?;
    let tree = root.join("target/planted/histories");
    let mut missed = 0;
    for bug in std::iter::once(None).chain(PLANTED.iter().copied().map(Some)) {
        tree::copy(root, &tree)?;
        if let Some(bug) = bug {
            tree::apply(&root.join(format!("mutants/planted/{bug}.patch")), &tree)?;
        }
        let mut command = test_command(&tree, "linearizability", HISTORIES);
        let told = command.env("SHARENA_SECONDS", "30").output()?;
        let said = String::from_utf8_lossy(&told.stderr) + String::from_utf8_lossy(&told.stdout);
        let reason = REASONS.into_iter().find(|reason| said.contains(reason));
        match bug {
            // A test that fails anyhow finds nothing.
            None => ensure!(told.status.success(), "it fails without a bug: {said}"),
            Some(bug) => {
                missed += usize::from(told.status.success() || reason.is_none());
                println!("{bug:<26} {}", reason.unwrap_or("NOT CAUGHT"));
            }
        }
    }
    println!("{} planted bugs, {missed} not caught", PLANTED.len());
    Ok(missed == 0)
}

fn test_command(root: &Path, file: &str, test: &str) -> Command {
    let mut command = crate::cargo();
    command.args(["test", "--package", "sharena", "--test", file]);
    command.arg("--manifest-path").arg(root.join("Cargo.toml"));
    command.args(["--", "--exact", test, "--nocapture", "--test-threads=1"]);
    command
}

/// Runs one test; what it reported, or `None`: it failed.
fn run(file: &str, test: &str, asked: &[(&str, &str)]) -> Result<Option<Value>> {
    let target = crate::root()?.join("target");
    fs::create_dir_all(&target)?;
    let report = target.join(format!("{test}.json"));
    let mut command = test_command(crate::root()?, file, test);
    command.envs(asked.iter().copied()).env("SHARENA_REPORT", &report);
    // Where processes live for as long as the test runs, they are given the time.
    command.env("SHARENA_LONG", "1");
    if !command.status()?.success() {
        return Ok(None);
    }
    let text = fs::read(&report).with_context(|| format!("read {}", report.display()))?;
    fs::remove_file(&report)?;
    Ok(Some(serde_json::from_slice(&text)?))
}

/// A line for each figure.
fn show(tally: &Value) {
    let figures = tally.as_object().into_iter().flatten();
    for (name, value) in figures {
        match value.as_object() {
            Some(more) => {
                more.iter().for_each(|(name, value)| println!("    {name:<22} {value:>10}"))
            }
            None => println!("{:<26} {value:>10}", name.replace('_', " ")),
        }
    }
}

fn write(path: Option<&Path>, report: &Value) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(report)?;
    fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))
}

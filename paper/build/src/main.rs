//! Sets the paper, with each figure read from a file that is kept in the project.
//!
//! The bars are judged by the gate of the benchmarks itself, whose sources are a part of this program.

#[allow(dead_code, reason = "the gate asks for a few of them")]
#[path = "../../../benches/src/args.rs"]
mod args;
mod figures;
#[allow(dead_code, reason = "the bars alone are of interest here")]
#[path = "../../../benches/src/gate.rs"]
mod gate;
#[allow(dead_code, reason = "nothing is measured here")]
#[path = "../../../benches/src/latency.rs"]
mod latency;
#[allow(dead_code, reason = "as above")]
#[path = "../../../benches/src/machine.rs"]
mod machine;
#[path = "../../../benches/src/median.rs"]
mod median;
mod options;
mod project;
#[allow(dead_code, reason = "as above")]
#[path = "../../../benches/src/results.rs"]
mod results;

use anyhow::{Context, Result, bail};
use clap::Parser;
use options::PaperArgs;
use project::Project;
use std::fs;
use std::path::Path;

/// What is kept of the measurements, from the project's folder.
const RESULTS: &str = "benches/results/results.json";
/// The paper, likewise.
const OUT: &str = "paper/sharena.pdf";

/// Sets the paper.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: PaperArgs,
}

fn main() -> Result<()> {
    let args = Cli::parse().args;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .context("this lies in the project")?;
    let results = args.results.unwrap_or_else(|| root.join(RESULTS));
    let out = args.out.unwrap_or_else(|| root.join(OUT));
    let set = Project::new(root, figures::read(&results)?)?.set("paper/main.typ")?;
    for what in &set.missing {
        eprintln!("missing: {what}");
    }
    if !set.missing.is_empty() && !args.draft {
        bail!(
            "by {} the paper lacks {} of what it shows; --draft sets it without",
            results.display(),
            set.missing.len()
        );
    }
    fs::write(&out, set.pdf).with_context(|| format!("write {}", out.display()))?;
    println!("{} pages: {}", set.pages, out.display());
    Ok(())
}

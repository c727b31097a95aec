//! `cargo xtask ci`: what a change must pass.

use anyhow::{Context, Result};
use std::process::Command;
use std::time::{Duration, Instant};

/// A command, and what to do if it fails.
struct Step {
    name: &'static str,
    /// Of cargo, at the project's root.
    args: &'static [&'static str],
    /// One variable of the environment.
    env: Option<(&'static str, &'static str)>,
    advice: &'static str,
}

/// The quick ones first; of the slow ones those that a mistake is likeliest to break.
const STEPS: &[Step] = &[
    Step {
        name: "format",
        args: &["fmt", "--all", "--check"],
        env: None,
        advice: "run `cargo fmt --all`",
    },
    Step {
        name: "format of the models",
        args: &["fmt", "--manifest-path", "loom-tests/Cargo.toml", "--check"],
        env: None,
        advice: "run `cargo fmt --manifest-path loom-tests/Cargo.toml`",
    },
    Step {
        name: "lints",
        args: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        env: None,
        advice: "mend what clippy says; an `allow` needs a reason beside it",
    },
    Step {
        name: "lints, all features",
        args: &[
            "clippy",
            "--package",
            "sharena",
            "--all-targets",
            "--all-features",
            "--",
            "-D",
            "warnings",
        ],
        env: None,
        advice: "code behind a feature is broken: try with --all-features",
    },
    Step {
        name: "lints, no features",
        args: &["clippy", "--package", "sharena", "--no-default-features", "--", "-D", "warnings"],
        env: None,
        advice: "something outside a feature needs it: try with --no-default-features",
    },
    Step {
        name: "tests",
        args: &["test", "--workspace"],
        env: None,
        advice: "run the test alone by its name: `cargo test --workspace NAME -- --nocapture`",
    },
    Step {
        name: "documentation",
        args: &["doc", "--workspace", "--no-deps"],
        env: Some(("RUSTDOCFLAGS", "-Dwarnings")),
        advice: "mend the links and the missing texts that rustdoc names",
    },
    Step {
        name: "models",
        args: &["xtask", "loom"],
        env: None,
        advice: "run the model alone: `cargo xtask loom NAME`; it prints the interleaving that failed",
    },
    Step {
        name: "lints of the benchmarks",
        args: &[
            "clippy",
            "--release",
            "--package",
            "sharena-bench",
            "--all-targets",
            "--features",
            "peers",
            "--",
            "-D",
            "warnings",
        ],
        env: None,
        advice: "mend what clippy says in benches/",
    },
    Step {
        name: "tests of the benchmarks",
        args: &["test", "--release", "--package", "sharena-bench", "--features", "peers"],
        env: None,
        advice: "run the test alone by its name, with --release --package sharena-bench --features peers",
    },
    Step {
        name: "soak",
        args: &["xtask", "soak", "--seconds", "10"],
        env: None,
        advice: "run `cargo xtask soak` with the seed that it printed; what failed is in its last lines",
    },
    Step {
        name: "bytes",
        args: &["xtask", "bench", "bytes", "--gate"],
        env: None,
        advice: "a small block costs more than it may: see what lies in a slab beside its blocks",
    },
    Step {
        name: "benchmarks, one round",
        args: &["xtask", "bench", "quick", "--rounds", "1"],
        env: None,
        advice: "run `cargo xtask bench quick`; this step asks only that it runs",
    },
];

/// The command; whether all steps passed.
pub fn run() -> Result<bool> {
    let begin = Instant::now();
    let mut times = Vec::new();
    for (number, step) in STEPS.iter().enumerate() {
        println!("\n[{}/{}] {}: cargo {}", number + 1, STEPS.len(), step.name, step.args.join(" "));
        let start = Instant::now();
        let passed = step
            .command()?
            .status()
            .with_context(|| format!("start the step {:?}", step.name))?
            .success();
        times.push((step.name, start.elapsed()));
        if !passed {
            println!("\nfailed: {} after {}; {}", step.name, seconds(start.elapsed()), step.advice);
            return Ok(false);
        }
    }
    println!("\n{:<26} {:>9}", "step", "time");
    for (name, time) in times.into_iter().chain([("all", begin.elapsed())]) {
        println!("{name:<26} {:>9}", seconds(time));
    }
    Ok(true)
}

impl Step {
    fn command(&self) -> Result<Command> {
        // The steps that are tasks run this program, so that it is not built again meanwhile.
        let mut command = match self.args {
            ["xtask", args @ ..] => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(args);
                command
            }
            args => {
                let mut command = crate::cargo();
                command.args(args);
                command
            }
        };
        command.current_dir(crate::root()?).envs(self.env);
        Ok(command)
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

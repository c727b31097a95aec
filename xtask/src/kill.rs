//! `cargo xtask kill`: builds the program of `crash-tests/`, passes on what is asked for.

use crate::kill_args::Kill;
use anyhow::Result;
use std::ffi::OsString;

/// Runs it with `args`; whether it succeeded.
pub fn run(suite: &Kill, args: impl Iterator<Item = OsString>) -> Result<bool> {
    let root = crate::root()?;
    let mut command = crate::cargo();
    command.args(["run", "--release", "--package", "sharena-crash"]);
    command.arg("--manifest-path").arg(root.join("Cargo.toml"));
    if let Kill::Steps(_) = suite {
        // A build of its own, so that no other is made anew after it.
        let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
        flags.push_str(" --cfg sharena_steps");
        command.env("RUSTFLAGS", flags.trim()).env_remove("CARGO_ENCODED_RUSTFLAGS");
        command.arg("--target-dir").arg(root.join("target/steps"));
    }
    Ok(command.arg("--").args(args).status()?.success())
}

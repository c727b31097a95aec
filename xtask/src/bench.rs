//! `cargo xtask bench` and `cargo xtask soak`: builds the program of `benches/`, passes on what is
//! asked for.

use anyhow::Result;
use std::ffi::OsString;

/// Runs it with `args`; whether it succeeded.
pub fn run(args: impl Iterator<Item = OsString>) -> Result<bool> {
    let mut command = crate::cargo();
    command.args(["run", "--release", "--package", "sharena-bench", "--features", "peers"]);
    command.arg("--manifest-path").arg(crate::root()?.join("Cargo.toml"));
    Ok(command.arg("--").args(args).status()?.success())
}

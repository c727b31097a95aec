//! `cargo xtask paper`: builds the program of `paper/build/`, passes on what is asked for.

use anyhow::Result;
use std::ffi::OsString;

/// Runs it with `args`; whether it succeeded.
pub fn run(args: impl Iterator<Item = OsString>) -> Result<bool> {
    let manifest = crate::root()?.join("paper/build/Cargo.toml");
    let mut command = crate::cargo();
    command.args(["run", "--release", "--locked", "--quiet", "--manifest-path"]).arg(manifest);
    Ok(command.arg("--").args(args).status()?.success())
}

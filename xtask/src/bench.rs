//! `cargo xtask bench` and `cargo xtask soak`: builds the program of `benches/`, passes on what is
//! asked for.

use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
use std::process::{Command, Stdio};

/// Every loop begins at a line of the cache, of ours and of the peers: a loop of ten instructions takes half again as
/// long if it lies across one and another has the core's other half, and where it lies changes with any other code.
const ALIGNED: &str = "llvm-args=-align-loops=64";

/// Runs it with `args`; whether it succeeded.
pub fn run(args: impl Iterator<Item = OsString>) -> Result<bool> {
    let mut command = crate::cargo();
    command.args(["rustc", "--release", "--package", "sharena-bench", "--features", "peers"]);
    command.arg("--manifest-path").arg(crate::root()?.join("Cargo.toml"));
    command.args(["--bin", "sharena-bench", "--message-format", "json-render-diagnostics"]);
    // The program is optimized as a whole when it is linked, with this for all of it.
    let built =
        command.args(["--", "-C", ALIGNED]).stderr(Stdio::inherit()).output().context("cargo")?;
    ensure!(built.status.success(), "the benchmarks do not compile");
    let program = String::from_utf8(built.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(str::to_owned))
        .context("cargo names no program")?;
    Ok(Command::new(program).args(args).status()?.success())
}

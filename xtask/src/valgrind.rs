//! `cargo xtask valgrind`: tests under memcheck, which watches each access to the process' own memory.
//!
//! The watcher is tried first: a program with a fault planted on purpose must be reported, and the same
//! one without it must not. Why no other sanitizer is here says `VERIFICATION.md`.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Threads come to their turn, and what it reports is the exit code.
const MEMCHECK: [&str; 4] = ["valgrind", "--quiet", "--error-exitcode=9", "--fair-sched=yes"];

/// What memcheck must report: a byte of memory that was freed is read.
const LATE_READ: &str = "fn main() {
    let at = vec![7u8; 16].as_ptr();
    // SAFETY: none, on purpose: this is what must be seen.
    println!(\"{}\", unsafe { at.add(3).read_volatile() });
}
";
/// What it must not.
const READ: &str = "fn main() {
    let bytes = vec![7u8; 16];
    // SAFETY: the fourth of sixteen bytes.
    println!(\"{}\", unsafe { bytes.as_ptr().add(3).read_volatile() });
}
";

/// Tests of objects, threads and processes among them, but two that take a minute under memcheck.
const TESTS: [&str; 9] = [
    "test",
    "--test",
    "objects",
    "--",
    "--test-threads=1",
    "--skip",
    "what_exists_is_found_while_the_table_grows",
    "--skip",
    "names_that_come_and_go_cost_no_room",
];

/// The command.
pub fn run() -> Result<()> {
    let dir = crate::root()?.join("target/sanitizers");
    fs::create_dir_all(&dir)?;
    let late = watched(&program(&dir, "late-read", LATE_READ)?)?;
    let said = String::from_utf8_lossy(&late.stderr);
    ensure!(
        late.status.code() == Some(9) && said.contains("Invalid read of size 1"),
        "memcheck does not see a read of freed memory: {}, {said}",
        late.status
    );
    let sound = watched(&program(&dir, "read", READ)?)?;
    ensure!(sound.status.success(), "memcheck reports a program that is sound");
    println!("memcheck sees the read of freed memory that was planted, and nothing without it");
    let mut tests = crate::cargo();
    tests.arg("--config").arg(format!("target.'cfg(unix)'.runner={MEMCHECK:?}"));
    let status = tests.args(TESTS).current_dir(crate::root()?).status()?;
    ensure!(status.success(), "the tests under memcheck: {status}");
    Ok(())
}

fn program(dir: &Path, name: &str, source: &str) -> Result<PathBuf> {
    let (file, program) = (dir.join(format!("{name}.rs")), dir.join(name));
    fs::write(&file, source)?;
    let mut command = Command::new("rustc");
    command.args(["--edition", "2024", "-o"]).arg(&program).arg(&file);
    ensure!(command.status()?.success(), "{name} does not compile");
    Ok(program)
}

fn watched(program: &Path) -> Result<Output> {
    let mut command = Command::new(MEMCHECK[0]);
    command.args(&MEMCHECK[1..]).arg(program).output().context("start valgrind; is it installed?")
}

//! `cargo xtask coverage`: which lines of the crate the tests run.
//!
//! The tests are built with counters, every process writes its own when it ends, and LLVM's tools put
//! them together. Those must be able to read what the compiler writes: of its version of LLVM, or a
//! later one. rustup has them as the component `llvm-tools`; elsewhere `--tools` says where they are.
//!
//! Counters are kept in a file that is mapped (`%c`), so that a process that is killed has counted
//! until then. Not counted are processes that the kernel ends while they attach (their file may be half
//! made), and what a test starts that is no test.

use crate::reasons::reasons;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where LLVM's tools are.
#[derive(clap::Args)]
pub struct Tools {
    /// The directory of llvm-profdata and llvm-cov, where it is not the toolchain's.
    #[arg(long, value_name = "DIR", env = "SHARENA_LLVM_TOOLS")]
    tools: Option<PathBuf>,
}

impl Tools {
    /// Theirs: the toolchain's when none is said.
    pub fn directory(&self) -> Result<PathBuf> {
        self.tools.clone().map_or_else(of_the_toolchain, Ok)
    }
}

/// How to run `coverage`.
#[derive(clap::Args)]
pub struct CoverageArgs {
    #[command(flatten)]
    tools: Tools,
    /// Writes the table there, and the lines that no test runs.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Lines of a file, each with how often it ran.
type Lines = BTreeMap<u32, u64>;

/// The command; whether each line of the core that is not covered has its reason.
pub fn run(args: &CoverageArgs) -> Result<bool> {
    let root = crate::root()?;
    let target = root.join("target/coverage");
    let tools = args.tools.directory()?;
    let raw = target.join("raw");
    if raw.exists() {
        fs::remove_dir_all(&raw)?;
    }
    let mut cargo = crate::cargo();
    cargo.args(["test", "--package", "sharena", "--no-fail-fast"]).current_dir(root);
    cargo.args(["--lib", "--tests", "--target-dir"]).arg(&target);
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS");
    // Names that are not compressed: not every build of LLVM's tools can read others.
    let counters = "-C instrument-coverage -C llvm-args=-runtime-counter-relocation \
                    -C llvm-args=-enable-name-compression=false";
    cargo.env("RUSTFLAGS", counters).env("LLVM_PROFILE_FILE", raw.join("%p-%m%c.profraw"));
    ensure!(cargo.status()?.success(), "the tests fail");
    let files = count(&tools, &target, &raw)?;
    report(root, &files, args.report.as_deref())
}

fn of_the_toolchain() -> Result<PathBuf> {
    let told = |args: &[&str]| -> Result<String> {
        Ok(String::from_utf8(Command::new("rustc").args(args).output()?.stdout)?)
    };
    let verbose = told(&["-vV"])?;
    let host = verbose.lines().find_map(|line| line.strip_prefix("host: ")).context("a host")?;
    let sysroot = told(&["--print", "sysroot"])?;
    let tools = Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin");
    ensure!(
        tools.join("llvm-cov").exists(),
        "no llvm-cov in {}: `rustup component add llvm-tools`, or --tools",
        tools.display()
    );
    Ok(tools)
}

/// What the processes counted, by file of the crate.
fn count(tools: &Path, target: &Path, raw: &Path) -> Result<BTreeMap<String, Lines>> {
    let merged = target.join("merged.profdata");
    let list = target.join("raw.list");
    let mut names = Vec::new();
    for item in fs::read_dir(raw)? {
        let path = item?.path();
        // A process that was killed before it had made its file whole.
        if fs::metadata(&path)?.len() > 0 {
            names.push(path.to_str().context("a path of UTF-8")?.to_owned());
        }
    }
    println!("{} processes counted", names.len());
    fs::write(&list, names.join("\n"))?;
    let done = Command::new(tools.join("llvm-profdata"))
        .args(["merge", "--sparse", "--failure-mode=all", "-o"])
        .arg(&merged)
        .arg("--input-files")
        .arg(&list)
        .output()
        .context("llvm-profdata")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut export = Command::new(tools.join("llvm-cov"));
    export.args(["export", "--format=lcov", "--instr-profile"]).arg(&merged);
    for (number, program) in programs(&target.join("debug/deps"))?.iter().enumerate() {
        if number > 0 {
            export.arg("--object");
        }
        export.arg(program);
    }
    let told = export.arg("--sources").arg(crate::root()?.join("src")).output()?;
    ensure!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    parse(&String::from_utf8(told.stdout)?)
}

/// The test programs, the newest of each name.
fn programs(deps: &Path) -> Result<Vec<PathBuf>> {
    let mut newest = BTreeMap::new();
    for item in fs::read_dir(deps)? {
        let path = item?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some((test, _)) = name.rsplit_once('-').filter(|(_, hash)| !hash.contains('.')) else {
            continue;
        };
        let made = fs::metadata(&path)?.modified()?;
        let is_program = fs::read(&path)?.starts_with(b"\x7fELF");
        if is_program && newest.get(test).is_none_or(|(when, _)| *when < made) {
            newest.insert(test.to_owned(), (made, path.clone()));
        }
    }
    Ok(newest.into_values().map(|(_, path)| path).collect())
}

/// The lines of an lcov file, without those of tests.
fn parse(lcov: &str) -> Result<BTreeMap<String, Lines>> {
    let root = crate::root()?;
    let (mut files, mut file, mut tests_from) = (BTreeMap::new(), String::new(), u32::MAX);
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let name = Path::new(path).strip_prefix(root).unwrap_or(Path::new(path));
            file = name.display().to_string();
            let text = fs::read_to_string(path)?;
            let tests =
                |line: &str| line.starts_with("#[cfg(all(test") || line.starts_with("#[cfg(test)]");
            tests_from = text.lines().position(tests).map_or(u32::MAX, |line| line as u32 + 1);
            if text.contains("\n//! Laws")
                || file.ends_with("tests.rs")
                || file.ends_with("any_bytes.rs")
            {
                tests_from = 0;
            }
        } else if let Some(counted) = line.strip_prefix("DA:") {
            let (line, times) = counted.split_once(',').context("a line and a count")?;
            let line: u32 = line.parse()?;
            if line < tests_from {
                let times: u64 = times.split(',').next().unwrap_or("0").parse()?;
                *files.entry(file.clone()).or_insert_with(Lines::new).entry(line).or_default() +=
                    times;
            }
        }
    }
    Ok(files)
}

/// Part of the core: what the mutants change, recovery, and the arithmetic of the layout.
fn is_core(file: &str) -> bool {
    ["src/heap/", "src/names/", "src/process/", "src/recovery/"]
        .iter()
        .any(|dir| file.starts_with(dir))
        || ["src/index_set.rs", "src/arena.rs", "src/layout.rs"].contains(&file)
}

fn report(root: &Path, files: &BTreeMap<String, Lines>, path: Option<&Path>) -> Result<bool> {
    let reasons = reasons("mutants/uncovered.txt")?;
    let mut text = String::from("# Lines that the tests run\n\n");
    text += &crate::reasons::provenance("cargo xtask coverage");
    text += "| file | lines | run | |\n|---|---|---|---|\n";
    let row = |name: &str, all: usize, ran: usize| {
        format!("| {name} | {all} | {ran} | {:.1} % |\n", 100.0 * ran as f64 / all.max(1) as f64)
    };
    let ran = |lines: &Lines| lines.values().filter(|times| **times > 0).count();
    let (mut core, mut whole) = ((0, 0), (0, 0));
    for (file, lines) in files {
        let (all, ran) = (lines.len(), ran(lines));
        text += &row(&format!("`{file}`"), all, ran);
        whole = (whole.0 + all, whole.1 + ran);
        if is_core(file) {
            core = (core.0 + all, core.1 + ran);
        }
    }
    text += &row(
        "**the core**: heap, names, process, recovery, index_set, arena, layout",
        core.0,
        core.1,
    );
    text += &row("**all**", whole.0, whole.1);
    let (mut by_reason, mut unexplained) = (BTreeMap::<String, Vec<String>>::new(), 0);
    for (file, lines) in files.iter().filter(|(file, _)| is_core(file)) {
        let source = fs::read_to_string(root.join(file))?;
        let source: Vec<&str> = source.lines().map(str::trim).collect();
        for line in lines.iter().filter(|(_, times)| **times == 0).map(|(line, _)| *line) {
            let shown = format!("{file}: {}", source[line as usize - 1]);
            let reason = reasons.get(&shown).cloned();
            unexplained += usize::from(reason.is_none());
            let reason = reason.unwrap_or_else(|| "Without a reason yet".to_owned());
            by_reason
                .entry(reason)
                .or_default()
                .push(format!("{file}:{line}: {}", source[line as usize - 1]));
        }
    }
    text += "\n## Lines of the core that no test runs\n";
    for (reason, lines) in by_reason {
        text += &format!("\n**{reason}**\n\n");
        lines.iter().for_each(|line| text += &format!("- `{}`\n", line.replace('`', "'")));
    }
    print!("{text}");
    if let Some(path) = path {
        fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(unexplained == 0)
}

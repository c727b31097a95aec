//! `cargo xtask fuzz`: builds the targets of `fuzz/` for libFuzzer, runs each for its time, replays
//! what is kept.

mod coverage;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Fuzzes; without a target, all of them, one after the other.
#[derive(clap::Args)]
pub struct FuzzArgs {
    /// Only these targets.
    targets: Vec<String>,
    /// Minutes for each target.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Writes the figures there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Afterwards makes what is kept of inputs anew, the smallest that reach all that was reached.
    #[arg(long)]
    minimize: bool,
    /// Only runs what is kept, with the stable compiler.
    #[arg(long, conflicts_with_all = ["minutes", "json", "minimize"])]
    replay: bool,
    /// Only runs what is kept, and says which lines of the code that reads a file it does not reach.
    #[arg(long, conflicts_with_all = ["minutes", "json", "minimize", "replay"])]
    coverage: bool,
    #[command(flatten)]
    tools: crate::coverage::Tools,
    /// Makes the segments anew that the targets change: after a change of the layout.
    #[arg(long, conflicts_with_all = ["minutes", "json", "minimize", "replay", "coverage"])]
    images: bool,
}

/// Bytes of the longest input; most are of scripts of some steps.
const LONGEST: [(&str, u32); 2] = [("hostile", 32_768), ("", 1_200)];
/// Seconds for one input.
const PATIENCE: u32 = 20;
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// What became of one target.
#[derive(Serialize)]
struct Row {
    target: String,
    executions: u64,
    seconds: f64,
    /// Seconds of a processor: fewer than those that passed, where others work on the machine too.
    processor_seconds: f64,
    /// Executions per second of a processor.
    speed: f64,
    /// Inputs that reach something of their own.
    corpus: u64,
    /// Edges of the program that were reached.
    edges: u64,
    findings: Vec<String>,
}

#[derive(Serialize)]
struct Results {
    cpu: String,
    kernel: String,
    load_average: String,
    rustc: String,
    date: String,
    commit: String,
    command: Vec<String>,
    targets: Vec<Row>,
}

/// The command; whether nothing was found.
pub fn run(args: &FuzzArgs) -> Result<bool> {
    let fuzz = crate::root()?.join("fuzz");
    if args.images {
        return images(&fuzz);
    }
    if args.replay {
        let mut command = crate::cargo();
        command.args(["test", "--release", "--", "--nocapture"]).current_dir(&fuzz);
        return Ok(command.status()?.success());
    }
    if args.coverage {
        return coverage::run(&fuzz, &args.tools);
    }
    let targets = chosen(&fuzz, &args.targets)?;
    build(&fuzz)?;
    let mut rows = Vec::new();
    for target in &targets {
        rows.push(fuzz_one(&fuzz, target, Duration::from_secs_f64(60.0 * args.minutes))?);
        if args.minimize {
            minimize(&fuzz, target)?;
        }
    }
    show(&rows);
    let passed = rows.iter().all(|row| row.findings.is_empty());
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&Results::here(rows)?)?;
        fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    Ok(passed)
}

/// The names of the targets that are asked for.
fn chosen(fuzz: &Path, names: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for item in fs::read_dir(fuzz.join("fuzz_targets"))? {
        let path = item?.path();
        all.push(path.file_stem().context("a target's name")?.to_string_lossy().into_owned());
    }
    all.sort();
    let unknown = names.iter().find(|name| !all.contains(name));
    ensure!(unknown.is_none(), "no target {unknown:?}; there are {}", all.join(", "));
    all.retain(|name| names.is_empty() || names.contains(name));
    Ok(all)
}

/// What rustup runs with the nightly compiler.
fn nightly(fuzz: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).args(args).current_dir(fuzz);
    // This program's own cargo said these of another compiler.
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}

fn build(fuzz: &Path) -> Result<()> {
    let has = |args: &[&str]| {
        let mut command = nightly(fuzz, args);
        let told = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        told.is_ok_and(|status| status.success())
    };
    ensure!(has(&["--version"]), "no nightly compiler: `rustup toolchain install nightly`");
    ensure!(has(&["fuzz", "--version"]), "no cargo-fuzz: `cargo install cargo-fuzz`");
    // Comparisons are not traced: a target's inputs are made of the layout's own words already, and it
    // would take twice the time.
    let args = [
        "fuzz",
        "build",
        "--release",
        "--debug-assertions",
        "--no-trace-compares",
        "--features",
        "libfuzzer",
    ];
    ensure!(nightly(fuzz, &args).status()?.success(), "the targets do not compile");
    Ok(())
}

fn program(fuzz: &Path, target: &str) -> Command {
    let mut command = Command::new(fuzz.join("target").join(TRIPLE).join("release").join(target));
    // Of a mapped segment the sanitizer knows nothing; of the rest this is enough, and quicker.
    let asan = "detect_odr_violation=0:malloc_context_size=4:detect_stack_use_after_return=0:quarantine_size_mb=8";
    command.env("ASAN_OPTIONS", asan).env("RUST_BACKTRACE", "0").current_dir(fuzz);
    command
}

/// Where inputs gather, beside what is kept.
fn gathered(fuzz: &Path, target: &str) -> Result<PathBuf> {
    let directory = fuzz.join("target/corpus").join(target);
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// What is kept, as far as there is something.
fn kept(fuzz: &Path, target: &str) -> Vec<PathBuf> {
    let kept = ["corpus", "findings"].map(|kind| fuzz.join(kind).join(target));
    kept.into_iter().filter(|directory| directory.is_dir()).collect()
}

fn longest(target: &str) -> u32 {
    let found = LONGEST.iter().find(|(begin, _)| target.starts_with(begin));
    found.expect("the last one is of all").1
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for item in fs::read_dir(directory)? {
        files.push(item?.path());
    }
    files.sort();
    Ok(files)
}

/// Until its time is over: libFuzzer ends with the first finding, so it is begun again.
fn fuzz_one(fuzz: &Path, target: &str, time: Duration) -> Result<Row> {
    let (begin, corpus) = (Instant::now(), gathered(fuzz, target)?);
    let artifacts = fuzz.join("artifacts").join(target);
    fs::create_dir_all(&artifacts)?;
    let before = files(&artifacts)?;
    let (mut executions, mut edges, mut inputs, mut processor) = (0, 0, 0, Duration::ZERO);
    while let Some(left) = time.checked_sub(begin.elapsed()).filter(|left| left.as_secs() > 0) {
        let mut command = program(fuzz, target);
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        command.arg(format!("-max_total_time={}", left.as_secs()));
        command.arg(format!("-max_len={}", longest(target)));
        command.arg(format!("-timeout={PATIENCE}"));
        command.args(["-print_final_stats=1", "-rss_limit_mb=4096"]);
        command.arg(&corpus).args(kept(fuzz, target));
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let mut told = Vec::new();
        child.stderr.take().context("piped")?.read_to_end(&mut told)?;
        // It has ended, or is about to; until it is waited for, its times can be read.
        processor += processor_time(child.id())?;
        let status = child.wait()?;
        let text = String::from_utf8_lossy(&told);
        let after = |name: &str| text.lines().rev().find_map(|line| number_after(line, name));
        let done = after("stat::number_of_executed_units:").unwrap_or(0);
        executions += done;
        edges = after("cov:").unwrap_or(edges).max(edges);
        inputs = after("corp:").unwrap_or(inputs);
        if status.success() {
            break;
        }
        let said =
            text.lines().find(|line| line.contains("panicked at") || line.contains("ERROR:"));
        println!("{target}: {}", said.unwrap_or("it ended, and did not say why"));
        ensure!(done > 0, "{target} does not run: {}", text.lines().last().unwrap_or_default());
    }
    let new = files(&artifacts)?.into_iter().filter(|path| !before.contains(path));
    let findings = new.map(|path| {
        let inside = path.strip_prefix(fuzz).unwrap_or(&path);
        format!("fuzz/{}", inside.display())
    });
    let seconds = begin.elapsed().as_secs_f64();
    Ok(Row {
        target: target.into(),
        executions,
        seconds,
        processor_seconds: processor.as_secs_f64(),
        speed: executions as f64 / processor.as_secs_f64(),
        corpus: inputs,
        edges,
        findings: findings.collect(),
    })
}

/// What a process has had of the processors.
fn processor_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The program's name may hold anything but ends with the last bracket; the 12th and the 13th field
    // behind it are ticks in user mode and in the kernel.
    let (_, fields) = stat.rsplit_once(')').context("a process without a name")?;
    let ticks = |field: &str| field.parse::<u64>().context("ticks of a process");
    let spent: u64 = fields.split_whitespace().skip(11).take(2).map(ticks).sum::<Result<_>>()?;
    Ok(Duration::from_secs_f64(spent as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// The number behind the last `name` in a line.
fn number_after(line: &str, name: &str) -> Option<u64> {
    let (_, behind) = line.rsplit_once(name)?;
    let digits: String = behind.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Bytes of kept inputs of one target, at most.
const ROOM: u64 = 800 << 10;

/// Puts the smallest inputs that reach everything in the place of what is kept, as far as there is room.
fn minimize(fuzz: &Path, target: &str) -> Result<()> {
    let (merged, place) =
        (fuzz.join("target/merged").join(target), fuzz.join("corpus").join(target));
    if merged.exists() {
        fs::remove_dir_all(&merged)?;
    }
    fs::create_dir_all(&merged)?;
    let mut command = program(fuzz, target);
    command.args([
        "-set_cover_merge=1",
        &format!("-max_len={}", longest(target)),
        "-rss_limit_mb=4096",
    ]);
    command.arg(&merged).arg(gathered(fuzz, target)?).args(kept(fuzz, target));
    let merging = command.stderr(Stdio::null()).status()?;
    ensure!(merging.success(), "the inputs of {target} could not be merged: {merging}");
    let mut inputs = Vec::new();
    for path in files(&merged)? {
        inputs.push((fs::metadata(&path)?.len(), path));
    }
    inputs.sort();
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    let (mut bytes, mut count) = (0, 0);
    for (size, path) in &inputs {
        bytes += size;
        if bytes > ROOM {
            break;
        }
        fs::copy(path, place.join(path.file_name().context("a file's name")?))?;
        count += 1;
    }
    println!("{target}: {count} of {} inputs are kept", inputs.len());
    Ok(())
}

fn show(rows: &[Row]) {
    println!(
        "\n{:<12} {:>12} {:>9} {:>9} {:>10} {:>8} {:>8} {:>9}",
        "target", "executions", "seconds", "cpu s", "per cpu s", "corpus", "edges", "findings"
    );
    for row in rows {
        println!(
            "{:<12} {:>12} {:>9.0} {:>9.0} {:>10.0} {:>8} {:>8} {:>9}",
            row.target,
            row.executions,
            row.seconds,
            row.processor_seconds,
            row.speed,
            row.corpus,
            row.edges,
            row.findings.len()
        );
    }
    for row in rows.iter().filter(|row| !row.findings.is_empty()) {
        println!("\n{} broke at:", row.target);
        row.findings.iter().for_each(|path| println!("  {path}"));
        println!("what it does: `cargo run --example show {} FILE` in fuzz/", row.target);
        println!("mended, it goes to fuzz/findings/{}/", row.target);
    }
}

/// Segments as deaths leave them, from the suite that kills at steps.
fn images(fuzz: &Path) -> Result<bool> {
    let root = crate::root()?;
    let mut command = crate::cargo();
    command.args(["run", "--release", "--package", "sharena-crash", "--manifest-path"]);
    command.arg(root.join("Cargo.toml")).arg("--target-dir").arg(root.join("target/steps"));
    command.env("RUSTFLAGS", "--cfg sharena_steps").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.args(["--", "images", "--into"]).arg(fuzz.join("images"));
    Ok(command.status()?.success())
}

impl Results {
    fn here(targets: Vec<Row>) -> Result<Results> {
        let read = |path| fs::read_to_string(path).map(|text| text.trim().to_owned());
        let cpus = read("/proc/cpuinfo")?;
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
        let first_line = |command: &mut Command| -> Result<String> {
            let told = String::from_utf8(command.output()?.stdout)?;
            match told.lines().next() {
                Some(line) => Ok(line.to_owned()),
                None => bail!("{:?} says nothing", command.get_program()),
            }
        };
        let describe = ["describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"];
        let name = |arg: String| match Path::new(&arg).file_name() {
            Some(name) if arg.contains('/') => name.to_string_lossy().into_owned(),
            _ => arg,
        };
        Ok(Results {
            cpu: model.unwrap_or("unknown").trim_start_matches([' ', '\t', ':']).to_owned(),
            kernel: read("/proc/sys/kernel/osrelease")?,
            load_average: read("/proc/loadavg")?,
            rustc: first_line(Command::new("rustup").args([
                "run",
                "nightly",
                "rustc",
                "--version",
            ]))?,
            date: first_line(Command::new("date").arg("--utc").arg("+%FT%TZ"))?,
            commit: first_line(Command::new("git").args(describe).current_dir(crate::root()?))?,
            command: std::env::args().map(name).collect(),
            targets,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::number_after;

    #[test]
    fn numbers_are_found_in_what_a_fuzzer_says() {
        let line = "#803\tINITED cov: 5732 ft: 18804 corp: 593/4386Kb exec/s: 267 rss: 408Mb";
        assert_eq!(number_after(line, "cov:"), Some(5732));
        assert_eq!(number_after(line, "corp:"), Some(593));
        assert_eq!(number_after(line, "none:"), None);
    }
}

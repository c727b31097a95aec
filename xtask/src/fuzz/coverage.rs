//! Which lines of the code that reads an untrusted file the kept inputs reach: the compiler counts, and
//! LLVM's own tools read the counts.

use crate::coverage::Tools;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Files and folders of `src/` that read what a file says.
const READERS: [&str; 14] = [
    "arena.rs",
    "check.rs",
    "check/",
    "heap/mod.rs",
    "heap/unit.rs",
    "index_set.rs",
    "names/array.rs",
    "names/entry.rs",
    "names/m",
    "process/journal.rs",
    "process/lane.rs",
    "recovery/",
    "stats/look.rs",
    "trace/",
];
/// Of this file the part between these lines: the rest makes files, and finds them by name.
const IN_PART: (&str, &str, &str) =
    ("segment.rs", "/// Reads the header and", "/// Removes the segment");
/// In hundredths: what must be reached.
const BAR: f64 = 95.0;

/// The command; whether enough is reached.
pub fn run(fuzz: &Path, tools: &Tools) -> Result<bool> {
    let tools = tools.directory()?;
    let out = fuzz.join("target/coverage");
    let counts = out.join("counts");
    if counts.exists() {
        fs::remove_dir_all(&counts)?;
    }
    fs::create_dir_all(&counts)?;
    let mut command = crate::cargo();
    command.args(["test", "--test", "replay", "--target-dir"]).arg(&out).current_dir(fuzz);
    command.env("RUSTFLAGS", "--cfg fuzzing -C instrument-coverage");
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.env("LLVM_PROFILE_FILE", counts.join("%p.profraw"));
    command.args(["--message-format", "json-render-diagnostics", "--no-run"]);
    let built = command.output().context("build the replay")?;
    ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let program = String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter(|line| line.contains("\"replay\""))
        .find_map(|line| {
            Some(line.split_once("\"executable\":\"")?.1.split_once('"')?.0.to_owned())
        })
        .context("the program that replays")?;
    let mut replay = Command::new(&program);
    replay.current_dir(fuzz).env("LLVM_PROFILE_FILE", counts.join("%p.profraw"));
    ensure!(replay.status()?.success(), "an input that is kept breaks its target");
    let profile = out.join("merged.profdata");
    let mut merge = Command::new(tools.join("llvm-profdata"));
    let merged = merge.args(["merge", "--sparse", "-o"]).arg(&profile).arg(&counts).output()?;
    ensure!(merged.status.success(), "{}", String::from_utf8_lossy(&merged.stderr));
    let mut lines = Command::new(tools.join("llvm-cov"));
    lines.args(["export", "--format=lcov", "--instr-profile"]).arg(&profile).arg(&program);
    let told = lines.output()?;
    ensure!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let mut found = read(&String::from_utf8_lossy(&told.stdout));
    let (file, first, end) = IN_PART;
    let source = fs::read_to_string(crate::root()?.join("src").join(file))?;
    let line = |begin: &str| source.lines().position(|line| line.starts_with(begin));
    let (first, end) =
        line(first).zip(line(end)).context("the part of a file that is asked for")?;
    if let Some(lines) = found.get_mut(file) {
        lines.retain(|line, _| (first..end).contains(&(*line as usize - 1)));
    }
    Ok(show(&found))
}

/// Prints a table of files, and the lines that are not reached; whether enough is.
fn show(found: &Found) -> bool {
    println!(
        "{:<28} {:>7} {:>9} {:>8}  not reached",
        "file of src/", "lines", "reached", "percent"
    );
    let (mut all, mut all_reached) = (0, 0);
    for (file, lines) in found {
        let reached = lines.values().filter(|count| **count > 0).count();
        (all, all_reached) = (all + lines.len(), all_reached + reached);
        let missed: Vec<String> =
            ranges(lines.iter().filter(|(_, count)| **count == 0).map(|(line, _)| *line));
        let percent = 100.0 * reached as f64 / lines.len() as f64;
        println!("{file:<28} {:>7} {reached:>9} {percent:>8.1}  {}", lines.len(), missed.join(" "));
    }
    let percent = 100.0 * all_reached as f64 / f64::max(all as f64, 1.0);
    println!("{:<28} {all:>7} {all_reached:>9} {percent:>8.1}  (at least {BAR})", "all");
    all > 0 && percent >= BAR
}

/// By file, how often each line was reached.
type Found = BTreeMap<String, BTreeMap<u32, u64>>;

/// Of [`READERS`] and [`IN_PART`].
fn read(lcov: &str) -> Found {
    let is_reader = |file: &str| file == IN_PART.0 || READERS.iter().any(|it| file.starts_with(it));
    let mut found = Found::new();
    let mut file = None;
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let inside = path.rsplit_once("/src/").map(|(_, inside)| inside.to_owned());
            let is_fuzz = path.contains("/fuzz/") || path.contains("/registry/");
            file = inside.filter(|inside| !is_fuzz && is_reader(inside));
        } else if let (Some(file), Some(data)) = (&file, line.strip_prefix("DA:"))
            && let Some((line, count)) = data.split_once(',')
            && let (Ok(line), Ok(count)) = (line.parse(), count.parse::<u64>())
        {
            *found.entry(file.clone()).or_default().entry(line).or_default() += count;
        }
    }
    found
}

/// Neighbours together: `12-15 20`.
fn ranges(lines: impl Iterator<Item = u32>) -> Vec<String> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for line in lines {
        match ranges.last_mut() {
            Some((_, end)) if *end + 1 == line => *end = line,
            _ => ranges.push((line, line)),
        }
    }
    let shown = ranges.into_iter().map(|(start, end)| match start == end {
        true => start.to_string(),
        false => format!("{start}-{end}"),
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::{ranges, read};

    #[test]
    fn lines_are_counted_by_file() {
        let lcov = "SF:/x/src/arena.rs\nDA:1,5\nDA:2,0\nend_of_record\nSF:/x/fuzz/src/file.rs\nDA:1,1\nSF:/x/src/offset.rs\nDA:1,1\n";
        let found = read(lcov);
        assert_eq!(found.len(), 1);
        assert_eq!(found["arena.rs"].iter().collect::<Vec<_>>(), [(&1, &5), (&2, &0)]);
        assert_eq!(ranges([1, 2, 3, 7].into_iter()), ["1-3", "7"]);
    }
}

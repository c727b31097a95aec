//! The tables: bugs and what caught them; the score of the general run, and its survivors.

use super::general::{Fate, Fates};
use super::list::Mutant;
use super::planted::{Planted, Row};
use super::suites::SUITES;
use crate::reasons::{provenance, reasons};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Writes the table of the planted bugs, with what is known of each.
pub fn planted(bugs: &[Planted], known: &[Row], file: &Path) -> Result<()> {
    let (mut caught, mut missed, mut untried) = (0, 0, 0);
    let mut table = String::from(
        "| bug | file | kind | what goes wrong | check | s | on | |\n|---|---|---|---|---|---|---|---|\n",
    );
    for bug in bugs {
        let Planted { name, file, kind, breaks, .. } = bug;
        for check in bug.checks() {
            let row = known.iter().find(|row| row.name == *name && row.check == check);
            let (seconds, on, verdict) = match row {
                Some(row) => {
                    *(if row.caught { &mut caught } else { &mut missed }) += 1;
                    let verdict = if row.caught { CAUGHT } else { "NOT CAUGHT" };
                    let on = format!("{}, {}", row.date, row.commit);
                    (format!("{:.1}", row.seconds), on, verdict)
                }
                None => {
                    untried += 1;
                    (String::new(), String::new(), "not tried")
                }
            };
            writeln!(
                table,
                "| {name} | `{file}` | {kind} | {breaks} | `{check}` | {seconds} | {on} | {verdict} |"
            )?;
        }
    }
    let mut text = String::from("# Planted bugs, and what catches each\n\n");
    text += &provenance("cargo xtask mutants");
    writeln!(
        text,
        "{} bugs; of their {} checks {caught} caught, {missed} did not catch, {untried} were not tried.\n",
        bugs.len(),
        caught + missed + untried
    )?;
    text += "The seconds are those of the check, without building it; a row says when and on which commit it\nwas made.\n\n";
    fs::write(file, text + &table).with_context(|| format!("write {}", file.display()))
}

const CAUGHT: &str = "caught";

/// The rows of such a table, as far as they were tried; none if there is no such file.
pub fn kept(file: &Path) -> Result<Vec<Row>> {
    let Ok(text) = fs::read_to_string(file) else { return Ok(Vec::new()) };
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, _, _, _, check, seconds, on, verdict] = cells[..] else {
            bail!("{}: a row of {} cells: {line}", file.display(), cells.len());
        };
        let Some((date, commit)) = on.split_once(", ") else { continue };
        rows.push(Row {
            name: name.to_owned(),
            check: check.trim_matches('`').to_owned(),
            seconds: seconds.parse().with_context(|| line.to_owned())?,
            caught: verdict == CAUGHT,
            date: date.to_owned(),
            commit: commit.to_owned(),
        });
    }
    Ok(rows)
}

/// Prints the score, and writes it with the survivors to `file`; whether each survivor is explained.
pub fn general(all: &[Mutant], fates: &Fates, file: Option<&Path>) -> Result<bool> {
    let reasons = reasons("mutants/equivalent.txt")?;
    let (mut by_file, mut by_suite) =
        (BTreeMap::<&str, [u32; 5]>::new(), BTreeMap::<&str, [u32; 2]>::new());
    let (mut explained, mut open) = (BTreeMap::<&str, Vec<&Mutant>>::new(), Vec::new());
    for mutant in all {
        let counts = by_file.entry(&mutant.file).or_default();
        match fates.get(&mutant.key) {
            None => counts[4] += 1,
            Some(Fate::Unviable) => counts[3] += 1,
            Some(Fate::Caught { by, hung, .. }) => {
                counts[0] += 1;
                by_suite.entry(by).or_default()[usize::from(*hung)] += 1;
            }
            Some(Fate::Survived { .. }) => match reasons.get(&mutant.key) {
                Some(reason) => {
                    counts[1] += 1;
                    explained.entry(reason).or_default().push(mutant);
                }
                None => {
                    counts[2] += 1;
                    open.push(mutant);
                }
            },
        }
    }
    let mut text = String::from("# Mutants of the core, by cargo-mutants\n\n");
    text += &provenance("cargo xtask mutants --general");
    text += "| file | caught | equivalent | survived | not viable | not tried | caught of viable |\n|---|---|---|---|---|---|---|\n";
    let mut sum = [0; 5];
    let score = |[caught, explained, open, ..]: [u32; 5]| {
        format!(
            "{:.1} %",
            100.0 * f64::from(caught) / f64::from((caught + explained + open).max(1))
        )
    };
    for (file, counts) in &by_file {
        sum = std::array::from_fn(|i| sum[i] + counts[i]);
        let [caught, explained, open, unviable, untried] = counts;
        writeln!(
            text,
            "| `{file}` | {caught} | {explained} | {open} | {unviable} | {untried} | {} |",
            score(*counts)
        )?;
    }
    let [caught, same, survived, unviable, untried] = sum;
    writeln!(
        text,
        "| all | {caught} | {same} | {survived} | {unviable} | {untried} | {} |",
        score(sum)
    )?;
    text += "\n| caught by | failed | did not end |\n|---|---|---|\n";
    for suite in SUITES {
        if let Some([failed, hung]) = by_suite.get(suite.name) {
            writeln!(text, "| {} | {failed} | {hung} |", suite.name)?;
        }
    }
    print!("{text}");
    println!("{} viable mutants tried", caught + same + survived);
    open.iter().for_each(|mutant| println!("survived, not explained: {}", mutant.key));
    // A reason for what is not there, or is caught, is wrong.
    let keys: HashSet<&str> = all.iter().map(|mutant| mutant.key.as_str()).collect();
    let is_wrong = |key: &&String| {
        !keys.contains(key.as_str()) || matches!(fates.get(*key), Some(Fate::Caught { .. }))
    };
    let wrong: Vec<&String> = reasons.keys().filter(is_wrong).collect();
    wrong.iter().for_each(|key| println!("explained, and caught or no mutant: {key}"));
    for (title, mutants) in explained
        .into_iter()
        .chain((!open.is_empty()).then_some(("Survivors without a reason yet", open)))
    {
        writeln!(text, "\n**{title}**\n")?;
        mutants
            .iter()
            .try_for_each(|mutant| writeln!(text, "- `{}`", mutant.key.replace('`', "'")))?;
    }
    if let Some(file) = file {
        fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(survived == 0 && wrong.is_empty())
}

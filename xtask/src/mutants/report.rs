//! The tables: bugs and what caught them; the score of the general run, and its survivors.

use super::general::{Fate, Fates};
use super::list::Mutant;
use super::planted::Row;
use super::suites::SUITES;
use crate::reasons::{provenance, reasons};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Writes the table of the planted bugs.
pub fn planted(rows: &[Row], file: &Path) -> Result<()> {
    let mut text = String::from("# Planted bugs, and what catches each\n\n");
    text += &provenance("cargo xtask mutants")?;
    text += "The seconds are those of the check, without building it.\n\n";
    text +=
        "| bug | file | kind | what goes wrong | check | s | |\n|---|---|---|---|---|---|---|\n";
    for row in rows {
        let verdict = match row.check.as_str() {
            "not tried" => "",
            _ if row.caught => "caught",
            _ => "NOT CAUGHT",
        };
        let Row { name, file, kind, breaks, check, seconds, .. } = row;
        writeln!(
            text,
            "| {name} | `{file}` | {kind} | {breaks} | `{check}` | {seconds:.1} | {verdict} |"
        )?;
    }
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
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
    text += &provenance("cargo xtask mutants --general")?;
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
    Ok(survived == 0)
}

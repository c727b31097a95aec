//! The page: what was reached first, then the pictures, where ours loses, how it was measured, all figures.

use super::contest::by_work;
use super::details::{self, CELL};
use super::words::Table;
use super::{FOLDER, Picture, losses};
use crate::args::BenchArgs;
use crate::gate::{self, Bar};
use crate::results::Results;
use clap::Args;
use std::collections::BTreeSet;

/// As Markdown.
pub fn page(results: &Results, pictures: &[Picture]) -> String {
    let source = format!("{FOLDER}/results.json");
    let mut text = format!(
        "# Benchmarks\n\nMade by `cargo xtask bench page` of [what was measured]({source}): no figure \
         here is written by hand. {}.\n\n",
        results.machine
    );
    text += &bars(&gate::bars(results));
    text += "## Pictures\n\n";
    text += "Ours has thick lines, the harness alone (`noop`) a dashed grey one. A bar with a slit is cut: \
        the figure beside it holds.\n\n";
    for Picture { name, title, .. } in pictures {
        text += &format!("![{title}]({FOLDER}/{name}.svg)\n\n");
    }
    text += "## Where ours loses\n\n";
    text += &losses::text(&results.rows);
    text += "## How it was measured\n\n";
    text += &method(results, &source);
    text += "## All figures\n\n";
    text += &format!("{CELL}\n\n");
    for work in by_work(&results.rows) {
        text += &details::text(&work);
    }
    text.trim_end().to_owned() + "\n"
}

/// Which targets are reached.
fn bars(bars: &[Bar]) -> String {
    let met = bars.iter().filter(|it| it.is_met()).count();
    let missing = bars.iter().filter(|it| it.figure.is_none()).count();
    let mut text = format!("**{met} of {} bars are met", bars.len());
    text += &format!("; {} are not", bars.len() - met - missing);
    text += &format!(", {missing} were not measured.**\n\n");
    for bar in bars.iter().filter(|it| it.figure.is_some() && !it.is_met()) {
        text += &format!("- not met: {}: {}, must be {}\n", bar.says, bar.shown(), bar.limit);
    }
    text += "\n";
    let mut table = Table::new(3, &["target", "verdict", "what", "figure", "bar"]);
    for bar in bars {
        table.row(&[
            bar.target.to_owned(),
            bar.verdict().to_owned(),
            bar.says.clone(),
            bar.shown(),
            bar.limit.to_string(),
        ]);
    }
    text + &table.text()
}

/// By what, on what, beside whom, and how again.
fn method(results: &Results, source: &str) -> String {
    let help = BenchArgs::augment_args(clap::Command::new("bench"));
    let says = help.get_long_about().or(help.get_about());
    let mut text = says.map(|it| format!("{it}\n\n")).unwrap_or_default();
    text += &format!(
        "Rounds that were counted: {}; fewer of a work that takes minutes. One more before them warmed up. \
         Each round of an allocator is in a process of its own, with memory of its own: which pages it \
         happens to have is not the same in all of them. Before and after each round a loop tells on each \
         processor whether others are at work there: {}.\n\n",
        results.rounds, results.disturbed
    );
    let mut machine = Table::new(2, &["", ""]);
    for (fact, value) in results.machine.facts() {
        machine.row(&[fact, &value]);
    }
    text += &machine.text();
    text += &format!(
        "Measured by the first of these commands; the second judges it, the third makes this page:\n\n\
         ```sh\n{}\ncargo xtask bench gate {source}\ncargo xtask bench page {source}\n```\n\n",
        results.machine.command()
    );
    if results.absent.is_empty() {
        text += "No peer was missing.\n\n";
    } else {
        text += "Peers that were not there:\n\n";
        // Two suites may say the same.
        let said = results.absent.iter().map(|it| format!("- {}: {}\n", it.peer, it.why));
        text.extend(said.collect::<BTreeSet<_>>());
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Kind, Work};
    use crate::page::contest::tests::row;
    use crate::results::{Absent, Key};

    /// The page of such rows of churn by one thread.
    fn of(rows: &[(&str, f64)]) -> String {
        let key = Key::new(Work::Churn, Kind::Threads, 1);
        let absent = || Absent { peer: "boost".into(), why: "there is no compiler".into() };
        let rows = rows.iter().map(|(subject, figure)| row(&key, subject, &[*figure])).collect();
        page(&Results { absent: vec![absent(), absent()], ..Results::here(rows) }, &[])
    }

    #[test]
    fn the_bars_are_counted_and_what_is_not_met_is_told_first() {
        let all = gate::bars(&Results::here(Vec::new()));
        let page = of(&[("private", 9.0), ("published", 9.0), ("mimalloc", 10.0)]);
        let (all, missing) = (all.len(), all.len() - 3);
        let sum = format!("**2 of {all} bars are met; 1 are not, {missing} were not measured.**");
        assert!(page.contains(&sum), "{page}");
        assert!(page.contains("- not met: churn: private by mimalloc: 0.900, must be ≤ 0.75\n"));
        assert!(page.contains("| 2 | met | churn: published by mimalloc | 0.900 | < 1 |"));
    }

    #[test]
    fn it_says_how_it_was_measured_and_who_was_not_there() {
        let page = of(&[("published", 9.0)]);
        assert!(page.contains("`noop` is the harness itself"), "{page}");
        assert_eq!(page.matches("- boost: there is no compiler\n").count(), 1, "{page}");
    }
}

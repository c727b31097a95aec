//! `cargo xtask bench`: measures what is asked for, prints it, keeps it.

use crate::args::ScopeArgs;
use crate::machine::Machine;
use crate::measure::{Case, Scope, measure};
use crate::names;
use crate::page::contest::OURS;
use crate::quiet::Quiet;
use crate::results::{Results, Row};
use crate::{alloc, segments, space};
use anyhow::{Result, ensure};
use comfy_table::{CellAlignment, Table, presets};

/// What of it was asked for.
type Suite = fn(&mut Scope) -> Result<Vec<Case>>;

/// All that can be measured.
const SUITES: [Suite; 4] = [alloc::cases, names::cases, segments::cases, space::cases];

/// The command.
pub fn run(args: ScopeArgs) -> Result<bool> {
    let machine = Machine::here();
    let json = args.json.clone();
    let mut scope = Scope::new(args);
    let mut cases = Vec::new();
    for suite in SUITES {
        cases.extend(suite(&mut scope)?);
    }
    let (rounds, patience) = (scope.rounds(), scope.patience());
    let absent = scope.absent()?;
    ensure!(
        !cases.is_empty(),
        "no work can be done so: see `--help` for how many members each has"
    );
    let mut quiet = Quiet::new(patience);
    let rows = measure(cases, rounds, &mut quiet)?;
    let disturbed = quiet.said().clone();
    let results = Results { machine, rounds: rounds.to_string(), disturbed, rows, absent };
    if let Some(path) = json {
        results.write(&path)?;
    }
    println!("{}", table(&results.rows));
    println!(
        "median of the rounds, {rounds}; of latencies: of what the slowest of ten thousand took"
    );
    println!("{}", results.disturbed);
    println!("by ours: by {}: the median of the rounds' ratios", OURS.join(" or "));
    for absent in &results.absent {
        println!("without {}: {}", absent.peer, absent.why);
    }
    Ok(true)
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(["work", "members", "subject", "median", "min", "max", "by ours"]);
    for row in rows {
        let key = &row.key;
        let work =
            if key.size == 0 { key.work.clone() } else { format!("{} {}", key.work, key.size) };
        let ours = rows.iter().find(|it| it.key == *key && OURS.contains(&&*it.subject));
        table.add_row([
            work,
            key.crowd(),
            row.subject.clone(),
            row.unit.show(row.median()),
            row.unit.show(row.min()),
            row.unit.show(row.max()),
            ours.map_or(String::new(), |ours| format!("{:.2}", row.ratio(ours))),
        ]);
    }
    for column in 3..7 {
        table.column_mut(column).expect("seven of them").set_cell_alignment(CellAlignment::Right);
    }
    table
}

//! What was measured, as the paper's text reads it.

use crate::gate::{Bar, bars};
use crate::results::Results;
use anyhow::{Context, Result};
use serde_json::json;
use std::fs;
use std::path::Path;
use typst::foundations::{Dict, Value};

/// A file of results, and the bars as its figures meet them: `sys.inputs.results`, `sys.inputs.bars`.
pub fn read(path: &Path) -> Result<Dict> {
    let results = Results::read(path)?;
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let bars: Vec<_> = bars(&results).iter().map(shown).collect();
    let mut inputs = Dict::new();
    inputs.insert("results".into(), serde_json::from_str(&text)?);
    inputs.insert("bars".into(), serde_json::from_value::<Value>(json!(bars))?);
    Ok(inputs)
}

/// A bar as a row of a table.
fn shown(bar: &Bar) -> serde_json::Value {
    json!({
        "target": bar.target,
        "says": bar.says,
        "shown": bar.shown(),
        "limit": bar.limit.to_string(),
        "measured": bar.figure.is_some(),
        "met": bar.is_met(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Kind, Work};
    use crate::machine::Machine;
    use crate::results::{Key, Row, Sample, Unit};

    #[test]
    fn the_text_reads_each_row_and_each_bar() {
        let key = Key::new(Work::Churn, Kind::Threads, 1);
        let row = |subject, ns| {
            Row::of(&key, subject, Unit::Nanoseconds, &[Sample::Figure(ns)]).expect("a round")
        };
        let results = Results {
            machine: Machine::here(),
            rounds: 1,
            rows: vec![row("private", 3.0), row("mimalloc", 6.0)],
            absent: Vec::new(),
        };
        let file = std::env::temp_dir().join(format!("paper-{}.json", std::process::id()));
        results.write(&file).unwrap();
        let inputs = read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let bars = inputs.get("bars").unwrap().clone().cast::<typst::foundations::Array>().unwrap();
        let met = |says: &str| {
            let bar = bars.iter().map(|bar| bar.clone().cast::<Dict>().unwrap()).find(|bar| {
                bar.get("says").unwrap().clone().cast::<String>().unwrap().starts_with(says)
            });
            bar.expect("there is such a bar").get("met").unwrap().clone().cast::<bool>().unwrap()
        };
        assert!(met("churn: private by mimalloc"), "a half of what mimalloc takes");
        assert!(!met("larson: private"), "not measured");
        assert!(inputs.get("results").is_ok());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/nowhere/results.json")).unwrap_err();
        assert!(format!("{error:#}").contains("/nowhere/results.json"), "{error:#}");
    }
}

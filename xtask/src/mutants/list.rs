//! What cargo-mutants would try: the list, and names of mutants that outlive edits elsewhere in a file.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// What is mutated.
const CORE: [&str; 4] = ["src/heap/**", "src/names/**", "src/process/**", "src/index_set.rs"];

/// As cargo-mutants lists it.
#[derive(Deserialize, Clone, Debug)]
pub struct Mutant {
    pub file: String,
    /// `FILE:LINE:COLUMN: what it does`.
    pub name: String,
    pub genre: Genre,
    pub replacement: String,
    pub span: Extent,
    function: Option<Function>,
    #[serde(skip)]
    pub key: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

#[derive(Deserialize, Clone, Copy, Debug)]
pub struct Extent {
    pub start: LineColumn,
    pub end: LineColumn,
}

#[derive(Deserialize, Clone, Debug)]
struct Function {
    function_name: String,
}

/// Both from 1.
#[derive(Deserialize, Clone, Copy, Debug)]
pub struct LineColumn {
    pub line: usize,
    pub column: usize,
}

impl Mutant {
    /// What it does, without where.
    pub fn does(&self) -> &str {
        self.name.splitn(4, ':').nth(3).unwrap_or(&self.name).trim()
    }

    /// The text of its file with it.
    pub fn applied(&self, text: &str) -> Result<String> {
        let byte = |at: LineColumn| -> Result<usize> {
            let lines: usize = text.split_inclusive('\n').take(at.line - 1).map(str::len).sum();
            let line = text[lines..].chars().take(at.column - 1).map(char::len_utf8);
            Ok(lines + line.sum::<usize>())
        };
        let (start, end) = (byte(self.span.start)?, byte(self.span.end)?);
        Ok([&text[..start], &self.replacement, &text[end..]].concat())
    }
}

/// All mutants of the core of the project at `root`, each with its key: the file, what it does, the
/// line that it is in, and which one of that line.
pub fn list(root: &Path) -> Result<Vec<Mutant>> {
    let mut command = crate::cargo();
    command.args(["mutants", "--list", "--json", "--package", "sharena", "-e", "**/tests.rs"]);
    CORE.iter().for_each(|files| {
        command.args(["-f", files]);
    });
    let told = command.current_dir(root).output()?;
    ensure!(
        told.status.success(),
        "cargo-mutants is needed (`cargo install --locked cargo-mutants`): {}",
        String::from_utf8_lossy(&told.stderr)
    );
    let mut mutants: Vec<Mutant> = serde_json::from_slice(&told.stdout)?;
    // It knows tests by `cfg(test)` alone.
    mutants.retain(|mutant| {
        let is_test = |function: &Function| function.function_name.starts_with("tests::");
        !mutant.function.as_ref().is_some_and(is_test)
    });
    let (mut lines, mut seen) = (HashMap::new(), HashMap::<String, u32>::new());
    for mutant in &mut mutants {
        if !lines.contains_key(&mutant.file) {
            let text = fs::read_to_string(root.join(&mutant.file))?;
            let text: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
            lines.insert(mutant.file.clone(), text);
        }
        let line = lines[&mutant.file].get(mutant.span.start.line - 1);
        let line = line.context("a line of the file")?;
        let key = format!("{}: {} | {line}", mutant.file, mutant.does());
        let count = seen.entry(key.clone()).or_default();
        *count += 1;
        mutant.key = if *count == 1 { key } else { format!("{key} #{count}") };
    }
    Ok(mutants)
}

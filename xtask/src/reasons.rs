//! What stands in a report beside its figures: where it was made, and the reasons that people gave.

use anyhow::{Context, Result, bail, ensure};
use std::collections::HashMap;
use std::fs;
use std::process::Command;

fn told(program: &str, args: &[&str]) -> Result<String> {
    let told = Command::new(program).args(args).current_dir(crate::root()?).output()?;
    Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
}

/// Today, and the commit that is there.
pub fn now() -> Result<(String, String)> {
    Ok((told("date", &["-u", "+%F"])?, told("git", &["rev-parse", "--short", "HEAD"])?))
}

/// Where and when a report was made.
pub fn provenance(command: &str) -> String {
    format!("`{command}`, {}\n\n", crate::machine::Machine::here())
}

/// A file of reasons: one begins with `= ` and is that of the lines below it, up to the next.
pub fn reasons(file: &str) -> Result<HashMap<String, String>> {
    let text = fs::read_to_string(crate::root()?.join(file)).with_context(|| file.to_owned())?;
    let (mut reasons, mut reason) = (HashMap::new(), None);
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        match (line.strip_prefix("= "), reason) {
            (Some(new), _) => reason = Some(new),
            (None, Some(reason)) => {
                let is_new = reasons.insert(line.to_owned(), reason.to_owned()).is_none();
                ensure!(is_new, "{file}: {line} is explained twice");
            }
            (None, None) => bail!("{file}: {line} stands under no reason"),
        }
    }
    Ok(reasons)
}

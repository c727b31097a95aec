//! What the tasks ask of tests that can run for long, and what these tell them.
#![allow(dead_code)] // each test file uses a part

use std::fmt::Display;
use std::str::FromStr;

/// The number in an environment variable.
pub fn asked<T: FromStr<Err: Display>>(variable: &str) -> Option<T> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{variable}={value}: {error}")))
}

/// Writes what was done to the file that `SHARENA_REPORT` names, if any.
pub fn write(report: &impl serde::Serialize) {
    if let Some(path) = std::env::var_os("SHARENA_REPORT") {
        std::fs::write(path, serde_json::to_vec(report).unwrap()).unwrap();
    }
}

//! That the suites find what is wrong.
//!
//! Laws: a block that is lost is found after each instruction from the one that loses it; damage that
//! lasts from one store to the next is found exactly between them.

use std::process::Command;

#[test]
fn death_after_each_instruction_finds_what_is_planted() {
    let path = std::env::temp_dir().join(format!("sharena-planted-{}.json", std::process::id()));
    let command = ["instructions", "--planted", "--json"];
    let ran = Command::new(env!("CARGO_BIN_EXE_sharena-crash"))
        .args(command)
        .arg(&path)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let text = std::fs::read_to_string(&path).expect("the results");
    std::fs::remove_file(&path).expect("they were there");
    let results: serde_json::Value = serde_json::from_str(&text).expect("they are JSON");
    let found = |operation: &str| -> Vec<String> {
        let rows = results["operations"].as_array().expect("a list");
        let row = rows.iter().find(|row| row["operation"] == operation).expect("a row");
        let failures = row["failures"].as_array().expect("a list");
        failures.iter().map(|failure| failure["found"].as_str().expect("a text").into()).collect()
    };
    // Where it is lost, and once more where the operation is over.
    let leaks = found("planted-leak");
    assert_eq!(leaks.len(), 2, "{leaks:#?}");
    assert!(leaks.iter().all(|found| found.contains("raw: 1")), "{leaks:#?}");
    let instants = found("planted-instant");
    assert_eq!(instants.len(), 1, "{instants:#?}");
    assert!(instants[0].contains("frontier"), "{instants:#?}");
}

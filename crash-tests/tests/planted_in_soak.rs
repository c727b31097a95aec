//! The soak can fail. Laws: a worker that leaks, that writes where it must not, that stops, is
//! reported, and by the right figure; the same run without a fault passes.

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// The figures of a short soak with this fault; and whether it passed.
fn soak(plant: Option<&str>, kills: u32) -> (Value, bool) {
    let name = format!("soak-{}-{}.json", plant.unwrap_or("none"), std::process::id());
    let json = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sharena-crash"));
    command.args(["soak", "--processes", "3", "--kills", &kills.to_string(), "--json"]).arg(&json);
    if let Some(plant) = plant {
        command.args(["--plant", plant]);
    }
    let done = command.output().expect("the soak runs");
    let told = String::from_utf8_lossy(&done.stdout);
    println!("{told}{}", String::from_utf8_lossy(&done.stderr));
    // A soak that fails keeps its segment for who wants to look at it: nobody does.
    if let Some(kept) = told.split_whitespace().find(|word| word.starts_with("sharena-kill-")) {
        sharena::remove(kept.trim_end_matches(['`', ','])).expect("the segment was kept");
    }
    let figures = std::fs::read(&json).expect("the figures were written");
    std::fs::remove_file(&json).expect("they were just read");
    (serde_json::from_slice(&figures).expect("JSON"), done.status.success())
}

fn figure(figures: &Value, of: &str) -> u64 {
    figures[of].as_u64().unwrap_or_else(|| panic!("there is a figure {of:?}"))
}

#[test]
fn a_soak_without_fault_passes() {
    let (figures, passed) = soak(None, 30);
    assert!(passed);
    assert!(figure(&figures, "kills") >= 30);
    for of in ["stopped", "leaked_bytes", "damaged"] {
        assert_eq!(figure(&figures, of), 0, "{of}");
    }
}

#[test]
fn a_leak_is_found() {
    let (figures, passed) = soak(Some("leak"), 1000);
    assert!(!passed);
    // Blocks of 80 bytes, all of them.
    let leaked = figure(&figures, "leaked_bytes");
    assert!(leaked > 0 && leaked.is_multiple_of(80), "{leaked}");
    assert_eq!(figure(&figures, "stopped"), 0);
}

#[test]
fn a_write_into_a_freed_block_is_found() {
    let (figures, passed) = soak(Some("write"), 1000);
    assert!(!passed);
    assert!(figure(&figures, "damaged") > 0);
    assert_eq!(figure(&figures, "stopped"), 0);
}

#[test]
fn a_worker_that_stops_is_found() {
    let (figures, passed) = soak(Some("stop"), 1000);
    assert!(!passed);
    assert!(figure(&figures, "stopped") > 0);
    assert_eq!(figure(&figures, "leaked_bytes"), 0);
    assert_eq!(figure(&figures, "damaged"), 0);
}

//! Laws: every input that a fuzzer found worth keeping, and every one that once broke a target, comes
//! to its end.

use sharena_fuzz::targets::{self, Target};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// For one input; on a busy machine, without optimization.
const PATIENCE: Duration = Duration::from_secs(60);

fn files(directory: &Path) -> Vec<PathBuf> {
    let list = std::fs::read_dir(directory).into_iter().flatten();
    let mut files: Vec<PathBuf> = list.map(|item| item.unwrap().path()).collect();
    files.sort();
    files
}

/// Runs all inputs that are kept of a target; how many.
fn replay(target: &Target) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kept = ["corpus", "findings"].map(|kind| files(&root.join(kind).join(target.name)));
    let paths: Vec<PathBuf> = kept.into_iter().flatten().collect();
    let (begins, begun) = mpsc::channel();
    // What hangs cannot be stopped: the process ends.
    let watch = std::thread::spawn(move || {
        let mut at: Option<PathBuf> = None;
        loop {
            match begun.recv_timeout(PATIENCE) {
                Ok(path) => at = Some(path),
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    eprintln!("no end after {PATIENCE:?}: {at:?}");
                    std::process::abort();
                }
            }
        }
    });
    let mut broken = Vec::new();
    for path in &paths {
        let data = std::fs::read(path).unwrap();
        begins.send(path.clone()).unwrap();
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&data))).is_err() {
            broken.push(path);
        }
    }
    drop(begins);
    watch.join().unwrap();
    assert!(broken.is_empty(), "{}: {broken:#?}", target.name);
    paths.len()
}

#[test]
fn what_was_found_comes_to_its_end() {
    for target in targets::ALL {
        let count = replay(target);
        println!("{}: {count} inputs", target.name);
        assert!(count > 0, "no input of {} is kept", target.name);
    }
}

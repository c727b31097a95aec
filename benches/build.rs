//! Notes which compiler builds the benchmarks and the tasks, for their results.

use std::process::Command;

/// All that is to be done for the tasks; the benchmarks have more to build.
pub fn main() {
    println!("cargo::rerun-if-env-changed=RUSTC");
    let rustc = std::env::var_os("RUSTC").expect("cargo says which compiler");
    let told = Command::new(rustc).arg("--version").output().expect("the compiler runs");
    let told = String::from_utf8_lossy(&told.stdout);
    println!("cargo::rustc-env=BUILT_BY={}", told.trim());
}

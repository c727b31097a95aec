//! What can be asked for. Read by xtask, too, so that `--help` answers before anything is built.

use std::path::PathBuf;

/// How the paper is built.
#[derive(clap::Args)]
pub struct PaperArgs {
    /// The measurements that it shows: a file of `cargo xtask bench --json`.
    #[arg(long, value_name = "FILE")]
    pub results: Option<PathBuf>,
    /// Where the PDF goes; by default `paper/sharena.pdf`.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Sets it though something is missing: a red question mark stands there.
    #[arg(long)]
    pub draft: bool,
}

//! `cargo xtask loom`: the models of `loom-tests/`, on a loom that is mended first.
//!
//! The published source of loom comes from cargo's own cache (fetched if it is not there), is copied
//! below `loom-tests/target/`, and patched; a stamp says of which patch, so that it is done once.

use crate::mutants::tree;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LOOM: &str = "0.7.3";
const MEND: &str = "loom-0.7.3-last-access-of-each-thread.patch";

/// Runs the loom models.
#[derive(clap::Args)]
pub struct LoomArgs {
    /// Models whose names begin so (all when none is given).
    names: Vec<String>,
    /// Explores every interleaving, without a bound on preemptions: hours.
    #[arg(long)]
    long: bool,
    /// Leaves out the few models that take minutes each, and says which.
    #[arg(long, conflicts_with_all = ["long", "names"])]
    short: bool,
    /// Uses loom as published, which misses outcomes: with `outcomes`, fails unless it misses those that
    /// are known.
    #[arg(long)]
    unmended: bool,
}

/// The command.
pub fn run(args: LoomArgs) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies in the project")?
        .canonicalize()?;
    let tests = root.join("loom-tests");
    let target = tests.join("target");
    let mended = if args.unmended { None } else { Some(mended(&root)?) };
    let program = build(&tests, &target, mended.as_deref())?;
    let mut command = Command::new(program);
    command.args(args.long.then_some("--long")).args(&args.names);
    command.args(args.short.then_some("--short"));
    command.args(args.unmended.then_some("--published"));
    ensure!(command.status()?.success(), "a model failed");
    Ok(())
}

/// Builds `tests`, a copy of `loom-tests/` beside a copy of the crate or the original; the program.
fn build(tests: &Path, target: &Path, loom: Option<&Path>) -> Result<PathBuf> {
    let out = target.join(if loom.is_some() { "build" } else { "build-unmended" });
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" --cfg loom");
    let mut command = cargo();
    command
        .args(["build", "--release", "--quiet", "--bin", "loom-tests"])
        .current_dir(tests)
        .env("RUSTFLAGS", flags.trim());
    command.arg("--target-dir").arg(&out);
    if let Some(loom) = loom {
        command.arg("--config").arg(format!("patch.crates-io.loom.path={:?}", utf8(loom)?));
    }
    ensure!(command.status()?.success(), "the models do not compile");
    Ok(out.join("release/loom-tests"))
}

pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // It would go before RUSTFLAGS.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
    command
}

pub fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Where the mended loom of the project at `root` is.
pub fn mended(root: &Path) -> Result<PathBuf> {
    let tests = root.join("loom-tests");
    let target = tests.join("target");
    fs::create_dir_all(&target)?;
    mended_loom(&tests, &target)
}

/// The mended copy of loom, made if it is not there.
pub fn mended_loom(tests: &Path, target: &Path) -> Result<PathBuf> {
    let patch = tests.join(MEND);
    let stamp = format!("{LOOM}\n{}", fs::read_to_string(&patch).context("the patch of loom")?);
    let mended = target.join("mended-loom");
    if fs::read_to_string(mended.join(".stamp")).is_ok_and(|found| found == stamp) {
        return Ok(mended);
    }
    // Made under another name: a copy that was cut off must not look whole.
    let making = target.join("mended-loom.making");
    for old in [&making, &mended] {
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    tree::copy_all(&published_loom(target)?, &making)?;
    tree::apply(&patch, &making).context("loom cannot be mended")?;
    fs::write(making.join(".stamp"), stamp)?;
    fs::rename(&making, &mended)?;
    Ok(mended)
}

/// Where cargo keeps the published source.
fn published_loom(target: &Path) -> Result<PathBuf> {
    let fetch = target.join("fetch-loom");
    fs::create_dir_all(fetch.join("src"))?;
    fs::write(fetch.join("src/lib.rs"), "")?;
    let manifest = fetch.join("Cargo.toml");
    let text = format!(
        "[workspace]\n[package]\nname = \"fetch-loom\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\nloom = \"={LOOM}\"\n"
    );
    fs::write(&manifest, text)?;
    let told = cargo()
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(&manifest)
        .output()?;
    ensure!(
        told.status.success(),
        "cargo cannot fetch loom: {}",
        String::from_utf8_lossy(&told.stderr)
    );
    let told = String::from_utf8(told.stdout)?;
    // One string of one package is all that is asked of the answer, so no parser is.
    let package = format!("\"name\":\"loom\",\"version\":\"{LOOM}\"");
    let path = told
        .split_once(&package)
        .and_then(|(_, rest)| rest.split_once("\"manifest_path\":\""))
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(path, _)| path)
        .context("cargo metadata names no loom")?;
    Ok(Path::new(path).parent().context("the manifest lies in a directory")?.to_owned())
}

/// Builds the models of the project that lies at `tree`, a copy; the program.
pub fn build_in(tree: &Path, target: &Path) -> Result<PathBuf> {
    let loom = mended(crate::root()?)?;
    build(&tree.join("loom-tests"), target, Some(&loom))
}

/// Whether a model fails, and what it says.
pub fn one(program: &Path, model: &str) -> Result<(bool, String)> {
    let mut command = Command::new(program);
    let memory =
        [("MALLOC_MMAP_THRESHOLD_", "1000000000"), ("MALLOC_TRIM_THRESHOLD_", "1000000000")];
    let told = command.args(["--one", model]).envs(memory).output()?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let last = told.lines().last().unwrap_or_default();
    Ok((last.starts_with("failed "), last.to_owned()))
}

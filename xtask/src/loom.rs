//! `cargo xtask loom`: the models of `loom-tests/`, on a loom that is mended first.
//!
//! The published source of loom comes from cargo's own cache (fetched if it is not there), is copied
//! below `loom-tests/target/`, and patched; a stamp says of which patch, so that it is done once.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LOOM: &str = "0.7.3";
const MEND: &str = "loom-0.7.3-last-access-of-each-thread.patch";

/// Runs the loom models.
#[derive(clap::Args)]
pub struct LoomArgs {
    /// Models whose names begin so (all when none is given); with --planted, the planted bugs.
    names: Vec<String>,
    /// Explores every interleaving, without a bound on preemptions: hours.
    #[arg(long, conflicts_with = "planted")]
    long: bool,
    /// Plants bugs in a copy of the sources, one at a time, and checks that the models catch them.
    #[arg(long)]
    planted: bool,
    /// Uses loom as published, to show what it misses.
    #[arg(long, conflicts_with = "planted")]
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
    fs::create_dir_all(&target)?;
    let mended = if args.unmended { None } else { Some(mended_loom(&tests, &target)?) };
    if args.planted {
        return planted(&root, &target, mended.as_deref(), &args.names);
    }
    let program = build(&tests, &target, mended.as_deref())?;
    let mut command = Command::new(program);
    command.args(args.long.then_some("--long")).args(&args.names);
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
        .args(["build", "--release", "--quiet"])
        .current_dir(tests)
        .env("RUSTFLAGS", flags.trim());
    command.arg("--target-dir").arg(&out);
    if let Some(loom) = loom {
        command.arg("--config").arg(format!("patch.crates-io.loom.path={:?}", utf8(loom)?));
    }
    ensure!(command.status()?.success(), "the models do not compile");
    Ok(out.join("release/loom-tests"))
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // It would go before RUSTFLAGS.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
    command
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// The mended copy of loom, made if it is not there.
fn mended_loom(tests: &Path, target: &Path) -> Result<PathBuf> {
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
    copy_tree(&published_loom(target)?, &making)?;
    apply(&patch, &making).context("loom cannot be mended")?;
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

/// Applies a patch to the files below `dir`.
pub fn apply(patch: &Path, dir: &Path) -> Result<()> {
    // Inside a repository git would take the paths from its root: it must not find one.
    let above = dir.parent().context("a directory below target")?;
    let mut command = Command::new("git");
    command.env_remove("GIT_DIR").env("GIT_CEILING_DIRECTORIES", above).current_dir(dir);
    let done = command
        .args(["apply", "-C1"])
        .arg(patch)
        .output()
        .context("git is needed to apply a patch")?;
    ensure!(
        done.status.success(),
        "{}: {}",
        patch.display(),
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(())
}

/// Copies files below `from` that are not the same below `to`, and removes there what `from` has not.
pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut names = Vec::new();
    for item in fs::read_dir(from).with_context(|| format!("{}", from.display()))? {
        let item = item?;
        let (source, copy) = (item.path(), to.join(item.file_name()));
        names.push(item.file_name());
        if item.file_type()?.is_dir() {
            if item.file_name() != "target" {
                copy_tree(&source, &copy)?;
            }
            continue;
        }
        let bytes = fs::read(&source)?;
        // The same bytes keep their time, so that cargo builds only what changed.
        if fs::read(&copy).ok().as_ref() != Some(&bytes) {
            fs::write(&copy, bytes)?;
        }
    }
    for item in fs::read_dir(to)? {
        let item = item?;
        if !names.contains(&item.file_name())
            && item.file_type()?.is_file()
            && item.file_name() != "Cargo.lock"
        {
            fs::remove_file(item.path())?;
        }
    }
    Ok(())
}

/// A patch of `loom-tests/planted/`. Its first lines say what it breaks (`Breaks:`), which models must
/// fail (`Caught by:`), and words of what they must say (`Says:`, any one of several, `|` between).
struct Planted {
    name: String,
    patch: PathBuf,
    breaks: String,
    caught_by: Vec<String>,
    says: Vec<String>,
}

fn planted_bugs(dir: &Path) -> Result<Vec<Planted>> {
    let mut bugs = Vec::new();
    for item in fs::read_dir(dir)? {
        let patch = item?.path();
        if patch.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let text = fs::read_to_string(&patch)?;
        let field = |name: &str| -> Result<&str> {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim).with_context(|| format!("{} has no line {name}", patch.display()))
        };
        bugs.push(Planted {
            name: patch
                .file_stem()
                .and_then(|stem| stem.to_str())
                .context("a patch's name")?
                .to_owned(),
            breaks: field("Breaks:")?.to_owned(),
            caught_by: field("Caught by:")?.split_whitespace().map(str::to_owned).collect(),
            says: field("Says:")?.split('|').map(|says| says.trim().to_owned()).collect(),
            patch,
        });
    }
    bugs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(bugs)
}

fn planted(root: &Path, target: &Path, loom: Option<&Path>, names: &[String]) -> Result<()> {
    let bugs = planted_bugs(&root.join("loom-tests/planted"))?;
    let chosen: Vec<&Planted> = bugs
        .iter()
        .filter(|bug| names.is_empty() || names.iter().any(|name| bug.name.starts_with(name)))
        .collect();
    ensure!(!chosen.is_empty(), "no planted bug's name begins so");
    // The sources as they are now, whatever happens to them while this runs.
    let (sound, tree) = (target.join("planted/sound"), target.join("planted/sharena"));
    copy_sources(root, &sound)?;
    println!("{:<34} {:<30} {:>10}  says", "planted bug", "caught by", "execution");
    let mut missed = 0;
    for bug in &chosen {
        copy_sources(&sound, &tree)?;
        apply(&bug.patch, &tree)?;
        let program =
            build(&tree.join("loom-tests"), target, loom).with_context(|| bug.name.clone())?;
        for model in &bug.caught_by {
            let mut command = Command::new(&program);
            let memory = [
                ("MALLOC_MMAP_THRESHOLD_", "1000000000"),
                ("MALLOC_TRIM_THRESHOLD_", "1000000000"),
            ];
            let told = command.args(["--one", model]).envs(memory).output()?;
            let told_text = String::from_utf8_lossy(&told.stdout).into_owned();
            let last = told_text.lines().last().unwrap_or_default();
            let mut words = last.splitn(3, ' ');
            let (verdict, execution, said) =
                (words.next(), words.next(), words.next().unwrap_or_default());
            let caught = verdict == Some("failed")
                && bug.says.iter().any(|says| said.contains(says.as_str()));
            let short: String = said.chars().take(100).collect();
            println!("{:<34} {:<30} {:>10}  {short}", bug.name, model, execution.unwrap_or("-"));
            if !caught {
                missed += 1;
                println!("    NOT CAUGHT ({}): {last}", bug.breaks);
            }
        }
    }
    println!("{} planted bugs, {missed} not caught", chosen.len());
    if missed > 0 {
        bail!("a model is blind to a bug that it should catch");
    }
    Ok(())
}

/// What the models are built from, into a tree of its own.
fn copy_sources(root: &Path, tree: &Path) -> Result<()> {
    for dir in ["src", "derive", "loom-tests/src"] {
        copy_tree(&root.join(dir), &tree.join(dir))?;
    }
    for manifest in ["Cargo.toml", "README.md", "loom-tests/Cargo.toml"] {
        let (bytes, copy) = (fs::read(root.join(manifest))?, tree.join(manifest));
        if fs::read(&copy).ok().as_ref() != Some(&bytes) {
            fs::write(copy, bytes)?;
        }
    }
    Ok(())
}

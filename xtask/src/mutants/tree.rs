//! Copies of the project, in which bugs are planted.

use anyhow::{Context, Result, ensure};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The project's files, below `root`, tracked or about to be.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let told = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git is needed")?;
    ensure!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told = String::from_utf8(told.stdout)?;
    let names = told.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    Ok(names.filter(|name| root.join(name).is_file()).collect())
}

/// Makes `tree` the project at `root`, a repository. A file that is the same already keeps its time, so
/// that cargo builds only what changed.
pub fn copy(root: &Path, tree: &Path) -> Result<()> {
    sync(root, tree, &files(root)?)
}

/// The same for a folder of which all but what cargo makes is wanted.
pub fn copy_all(from: &Path, tree: &Path) -> Result<()> {
    let mut names = Vec::new();
    walk(from, &mut |path| names.push(path.to_owned()))?;
    let names = names.iter().map(|path| path.strip_prefix(from).map(Path::to_owned));
    sync(from, tree, &names.collect::<Result<Vec<_>, _>>()?)
}

fn sync(root: &Path, tree: &Path, names: &[PathBuf]) -> Result<()> {
    for name in names {
        write(&tree.join(name), &fs::read(root.join(name))?)?;
    }
    fs::create_dir_all(tree)?;
    let wanted: HashSet<&Path> = names.iter().map(PathBuf::as_path).collect();
    let mut others = Vec::new();
    walk(tree, &mut |path| {
        if path.strip_prefix(tree).is_ok_and(|name| !wanted.contains(name)) {
            others.push(path.to_owned());
        }
    })?;
    others.iter().try_for_each(fs::remove_file).context("remove a file that is no more")
}

/// Calls `each` with every file below `dir`, but for what cargo makes.
fn walk(dir: &Path, each: &mut impl FnMut(&Path)) -> Result<()> {
    for item in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let item = item?;
        match item.file_type()?.is_dir() {
            true if item.file_name() == "target" => {}
            true => walk(&item.path(), each)?,
            false if item.path() == dir.join("Cargo.lock") && dir.ends_with("loom-tests") => {}
            false => each(&item.path()),
        }
    }
    Ok(())
}

/// Writes a file if that changes it.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("a file lies in a directory")?)?;
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
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

//! `cargo xtask mutants`: plants the bugs of `mutants/planted/` into a copy of the sources, one at a
//! time, and sees whether the check that is named for each finds it.
//!
//! A report is written anew after each bug; rows of bugs that were not tried now stay in it, with their
//! dates and commits, so that it can grow by several runs.

use super::suites::{self, End, Limits, Program};
use super::{report, tree};
use crate::reasons::now;
use crate::{loom, shuttle};
use anyhow::{Context, Result, bail, ensure};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A patch. Its first lines say what it breaks (`Breaks:`), of which kind it is (`Kind:`), and which
/// check must fail (`Caught by:`):
///
/// | | |
/// |---|---|
/// | `loom MODEL…` | each of these models, by an assertion with the words of `Says:` (any of several, with a bar between) |
/// | `steps OPERATION` | `cargo xtask kill steps OPERATION` |
/// | `test ARGUMENTS` | `cargo test ARGUMENTS` |
/// | `shuttle MODEL` | `cargo xtask shuttle MODEL`, and its schedule fails again |
///
/// `Shuttle:` names a model of shuttle's that catches it, too, if one does.
pub struct Planted {
    pub name: String,
    pub patch: PathBuf,
    pub breaks: String,
    pub shuttle: Option<String>,
    pub kind: String,
    pub file: String,
    check: Check,
}

#[derive(Clone)]
enum Check {
    Loom { models: Vec<String>, says: Vec<String> },
    Suite { program: Program, args: Vec<String>, shown: String },
    Shuttle { model: String },
}

/// How a bug fared before a check.
pub struct Row {
    pub name: String,
    pub check: String,
    pub seconds: f64,
    pub caught: bool,
    /// When, and on which commit.
    pub date: String,
    pub commit: String,
}

impl Planted {
    fn read(patch: PathBuf) -> Result<Planted> {
        let text = fs::read_to_string(&patch)?;
        let field = |name: &str| -> Result<&str> {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim).with_context(|| format!("{} has no line {name}", patch.display()))
        };
        let caught_by = field("Caught by:")?;
        let mut words = caught_by.split_whitespace().map(str::to_owned);
        let check = match (words.next().as_deref(), words.collect::<Vec<_>>()) {
            (Some("loom"), models) => {
                let says = field("Says:")?.split('|').map(|says| says.trim().to_owned());
                Check::Loom { models, says: says.collect() }
            }
            (Some("steps"), operation) => Check::Suite {
                program: Program::Steps,
                args: [vec!["steps".to_owned()], operation].concat(),
                shown: format!("kill {caught_by}"),
            },
            (Some("test"), mut args) => {
                let program = match args.remove(0).as_str() {
                    "--lib" => Program::Lib,
                    "--test" => Program::Test(args.remove(0).leak()),
                    other => bail!("{}: which tests are {other}?", patch.display()),
                };
                Check::Suite { program, args, shown: caught_by.to_owned() }
            }
            (Some("shuttle"), mut models) => {
                ensure!(models.len() == 1, "{}: one model of shuttle's", patch.display());
                Check::Shuttle { model: models.remove(0) }
            }
            _ => bail!("{}: no such check: {caught_by}", patch.display()),
        };
        Ok(Planted {
            name: patch.file_stem().and_then(|stem| stem.to_str()).context("a name")?.to_owned(),
            breaks: field("Breaks:")?.to_owned(),
            shuttle: field("Shuttle:").ok().map(str::to_owned),
            kind: field("Kind:")?.to_owned(),
            file: field("+++ b/")?.to_owned(),
            check,
            patch,
        })
    }
}

impl Planted {
    /// Each check that must fail, as it is shown.
    pub fn checks(&self) -> Vec<String> {
        match &self.check {
            Check::Loom { models, .. } => {
                models.iter().map(|model| format!("loom {model}")).collect()
            }
            Check::Suite { shown, .. } => vec![shown.clone()],
            Check::Shuttle { model } => vec![format!("shuttle {model}")],
        }
    }
}

/// The patches whose names contain one of `names`, or all.
pub fn chosen(names: &[String]) -> Result<Vec<Planted>> {
    let dir = crate::root()?.join("mutants/planted");
    let mut bugs =
        fs::read_dir(dir)?.map(|item| Planted::read(item?.path())).collect::<Result<Vec<_>>>()?;
    let wanted = |bug: &Planted| names.iter().any(|name| bug.name.contains(name.as_str()));
    bugs.retain(|bug| names.is_empty() || wanted(bug));
    ensure!(!bugs.is_empty(), "no planted bug has such a name");
    bugs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(bugs)
}

/// Whether each patch still applies.
pub fn apply_all(names: &[String]) -> Result<bool> {
    let bench = Bench::open("applied")?;
    let bugs = chosen(names)?;
    let mut failed = 0;
    for bug in &bugs {
        if let Err(error) = bench.plant(Some(bug)) {
            println!("{error:#}");
            failed += 1;
        }
    }
    println!("{} patches, {failed} do not apply", bugs.len());
    Ok(failed == 0)
}

/// The command; whether each bug was caught.
pub fn run(names: &[String], file: Option<&Path>) -> Result<bool> {
    let mut bugs = chosen(names)?;
    // Checks of one kind in a row, so that less is built anew.
    bugs.sort_by_key(|bug| (bug.check.rank(), bug.name.clone()));
    let mut bench = Bench::open("planted")?;
    let mut known = file.map_or(Ok(Vec::new()), report::kept)?;
    let (mut checks, mut missed) = (0, 0);
    println!("{:<28} {:<44} {:>7}  ", "planted bug", "check", "s");
    for bug in &bugs {
        known.retain(|row| row.name != bug.name);
        for (row, told) in bench.try_bug(bug).with_context(|| bug.name.clone())? {
            let verdict = if row.caught { "" } else { "NOT CAUGHT: " };
            let told: String = told.chars().take(100).collect();
            println!("{:<28} {:<44} {:>7.1}  {verdict}{told}", row.name, row.check, row.seconds);
            (checks, missed) = (checks + 1, missed + u32::from(!row.caught));
            known.push(row);
        }
        if let Some(file) = file {
            report::planted(&chosen(&[])?, &known, file)?;
        }
    }
    println!("{} planted bugs, {checks} checks, {missed} of them did not catch", bugs.len());
    Ok(missed == 0)
}

impl Check {
    fn rank(&self) -> u8 {
        match self {
            Check::Suite { program: Program::Steps, .. } => 1,
            Check::Suite { .. } => 0,
            Check::Loom { .. } => 2,
            Check::Shuttle { .. } => 3,
        }
    }
}

/// Where shuttle's schedules begin.
const SEED: u64 = 1;

/// Where bugs are planted.
struct Bench {
    sound: PathBuf,
    tree: PathBuf,
    target: PathBuf,
    /// Checks that passed without a bug.
    sane: HashSet<String>,
}

/// What a check may take; without a bug none takes a tenth of it.
const LIMITS: Limits = Limits { cpu: 120, clock: Duration::from_secs(600) };

impl Bench {
    /// The sources as they are now, whatever happens to them while this runs.
    fn open(name: &str) -> Result<Bench> {
        let root = crate::root()?;
        let dir = root.join("target/mutants").join(name);
        let (sound, tree) = (dir.join("sound"), dir.join("sharena"));
        tree::copy(root, &sound)?;
        Ok(Bench { sound, tree, target: dir, sane: HashSet::new() })
    }

    /// A row for each check, with what that said.
    fn try_bug(&mut self, bug: &Planted) -> Result<Vec<(Row, String)>> {
        let (date, commit) = now()?;
        let row = |check: &str, began: Instant, caught, told| {
            let (name, check) = (bug.name.clone(), check.to_owned());
            let seconds = began.elapsed().as_secs_f64();
            (Row { name, check, seconds, caught, date: date.clone(), commit: commit.clone() }, told)
        };
        match &bug.check {
            Check::Loom { models, says } => {
                self.plant(Some(bug))?;
                let program = loom::build_in(&self.tree, &self.target.join("loom"))?;
                let mut rows = Vec::new();
                for model in models {
                    let began = Instant::now();
                    let (failed, told) = loom::one(&program, model)?;
                    let caught = failed && says.iter().any(|says| told.contains(says.as_str()));
                    rows.push(row(&format!("loom {model}"), began, caught, told));
                }
                Ok(rows)
            }
            Check::Shuttle { model } => {
                self.plant(Some(bug))?;
                let program = shuttle::build_in(&self.tree)?;
                let began = Instant::now();
                let found = shuttle::catch(&program, model, shuttle::CAUGHT_WITHIN, SEED)?;
                let caught = found.as_ref().is_some_and(|found| found.replays);
                let told = found.map_or("it holds".to_owned(), |found| found.told);
                Ok(vec![row(&format!("shuttle {model}"), began, caught, told)])
            }
            Check::Suite { program, args, shown } => {
                // A check that fails anyhow catches nothing.
                if self.sane.insert(shown.clone()) {
                    self.plant(None)?;
                    let end = self.check(*program, args)?;
                    ensure!(end == End::Passed, "{shown} fails without a bug");
                }
                self.plant(Some(bug))?;
                self.build(*program)?;
                let began = Instant::now();
                let end = self.check(*program, args)?;
                let told = match end {
                    End::Passed => "it passes",
                    End::Failed => "it fails",
                    End::Hung => "it does not end",
                };
                Ok(vec![row(shown, began, end != End::Passed, told.to_owned())])
            }
        }
    }

    fn plant(&self, bug: Option<&Planted>) -> Result<()> {
        tree::copy_all(&self.sound, &self.tree)?;
        bug.map_or(Ok(()), |bug| tree::apply(&bug.patch, &self.tree))
    }

    fn build(&self, program: Program) -> Result<PathBuf> {
        suites::build(program, &self.tree, &self.target, true)?
            .map_err(|told| anyhow::anyhow!("it does not compile: {}", suites::rendered(&told)))
    }

    fn check(&self, program: Program, args: &[String]) -> Result<End> {
        let path = self.build(program)?;
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Ok(suites::run(&path, &args, &self.tree, 0, LIMITS)?.0)
    }
}

//! `cargo xtask shuttle`: the models of `loom-tests/src/shuttle/`.
//!
//! Each model runs under each scheduler in a process of its own. A schedule that fails is kept below
//! `loom-tests/target/shuttle/`, as shuttle writes it: the choices, and the seed of the script.

use crate::loom::{cargo, mended, utf8};
use crate::mutants::{planted, tree};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Random schedules, and PCT of these depths.
const SCHEDULERS: [&str; 5] = ["random", "pct2", "pct3", "pct4", "pct5"];

/// Runs the shuttle models.
#[derive(clap::Args)]
pub struct ShuttleArgs {
    /// Models whose names begin so (all when none is given); with --planted, the planted bugs.
    names: Vec<String>,
    /// Executions of each model under each scheduler: 1,000, and of a planted bug at most 20,000.
    #[arg(long)]
    iterations: Option<u64>,
    /// Where the schedules and scripts begin; another one each time when it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs one model by a schedule that failed.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["iterations", "seed"])]
    replay: Option<PathBuf>,
    /// Plants bugs in a copy of the sources, one at a time, and checks that the models catch them, and
    /// that the schedules replay.
    #[arg(long, conflicts_with = "replay")]
    planted: bool,
}

/// The command.
pub fn run(args: ShuttleArgs) -> Result<()> {
    let root = crate::root()?.canonicalize()?;
    let target = root.join("loom-tests/target");
    fs::create_dir_all(&target)?;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let seed = args.seed.unwrap_or_else(now);
    if args.planted {
        return all_planted(&root, &target, &args, seed);
    }
    let program = build(&root, &root.join("loom-tests"))?;
    let models = models(&program)?;
    let chosen: Vec<&Model> = models
        .iter()
        .filter(|model| {
            args.names.is_empty() || args.names.iter().any(|name| model.name.starts_with(name))
        })
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        bail!("no model's name begins so; there are: {}", names.join(", "));
    }
    if let Some(file) = &args.replay {
        let [model] = chosen[..] else { bail!("a schedule is one model's: name it") };
        let told = tell(Command::new(&program).args(["replay", &model.name]).arg(file))?;
        println!("{told}");
        ensure!(told.starts_with("held "), "the model failed");
        return Ok(());
    }
    all(&program, &target.join("shuttle"), &chosen, args.iterations.unwrap_or(1000), seed)
}

/// Builds the models in `tests`, a copy of `loom-tests/` beside a copy of the crate or the original.
fn build(root: &Path, tests: &Path) -> Result<PathBuf> {
    let out = root.join("loom-tests/target/build-shuttle");
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" --cfg loom --cfg sharena_shuttle");
    let mut command = cargo();
    command
        .args(["build", "--release", "--quiet", "--bin", "shuttle-tests"])
        .current_dir(tests)
        .env("RUSTFLAGS", flags.trim());
    command.arg("--target-dir").arg(&out);
    // Not built here, but both worlds have one lock file.
    let loom = mended(root)?;
    command.arg("--config").arg(format!("patch.crates-io.loom.path={:?}", utf8(&loom)?));
    ensure!(command.status()?.success(), "the models do not compile");
    Ok(out.join("release/shuttle-tests"))
}

struct Model {
    name: String,
    threads: String,
    law: String,
    schedulers: &'static [&'static str],
}

fn models(program: &Path) -> Result<Vec<Model>> {
    let listed = Command::new(program).arg("list").output()?;
    String::from_utf8(listed.stdout)?
        .lines()
        .map(|line| {
            let [name, threads, kind, law] = line.split('\t').collect::<Vec<_>>()[..] else {
                bail!("a line of the list: {line}");
            };
            Ok(Model {
                name: name.to_owned(),
                threads: threads.to_owned(),
                law: law.to_owned(),
                schedulers: if kind == "dfs" { &["dfs"] } else { &SCHEDULERS },
            })
        })
        .collect()
}

/// The last line that a command prints.
fn tell(command: &mut Command) -> Result<String> {
    let done = command.stdin(Stdio::null()).output()?;
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    let last = told.lines().last().unwrap_or_default();
    if last.starts_with("held ") || last.starts_with("failed ") {
        return Ok(last.to_owned());
    }
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    Ok(format!("failed ? {}: {}", done.status, error.lines().last().unwrap_or_default()))
}

/// What came of one model under one scheduler: `held N` or `failed N …`, and the failing schedule.
struct Trial {
    told: String,
    schedule: Option<PathBuf>,
    took: Duration,
}

impl Trial {
    fn held(&self) -> bool {
        self.told.starts_with("held ")
    }

    fn executions(&self) -> &str {
        self.told.split(' ').nth(1).unwrap_or("-")
    }

    fn text(&self) -> &str {
        self.told.splitn(3, ' ').nth(2).unwrap_or_default()
    }
}

fn trial(
    program: &Path,
    dir: &Path,
    (name, scheduler): (&str, &str),
    iterations: u64,
    seed: u64,
) -> Result<Trial> {
    let begin = Instant::now();
    let key = format!("{}-{scheduler}-{seed}", name.replace('/', "-"));
    let own = dir.join(&key);
    if own.exists() {
        fs::remove_dir_all(&own)?;
    }
    fs::create_dir_all(&own)?;
    let mut command = Command::new(program);
    command.args(["run", name, scheduler, &iterations.to_string(), &seed.to_string()]).arg(&own);
    let told = tell(&mut command)?;
    let mut schedule = None;
    for file in fs::read_dir(&own)? {
        let kept = dir.join(format!("{key}.schedule"));
        fs::rename(file?.path(), &kept)?;
        schedule = Some(kept);
    }
    fs::remove_dir(&own)?;
    Ok(Trial { told, schedule, took: begin.elapsed() })
}

/// Runs models on all processors, and prints a line as each ends.
fn all(program: &Path, dir: &Path, models: &[&Model], iterations: u64, seed: u64) -> Result<()> {
    let begin = Instant::now();
    println!("seed {seed}");
    println!(
        "{:<36} {:>7} {:>9} {:>10} {:>7}  law",
        "model", "threads", "scheduler", "executions", "s"
    );
    let turns = models
        .iter()
        .flat_map(|model| model.schedulers.iter().map(move |scheduler| (*model, *scheduler)));
    let (turns, ended) = (Mutex::new(turns), Mutex::new((0, 0)));
    let work = || -> Result<()> {
        loop {
            let turn = turns.lock().expect("nobody panics in it").next();
            let Some((model, scheduler)) = turn else { return Ok(()) };
            let trial = trial(program, dir, (&model.name, scheduler), iterations, seed)?;
            let mut ended = ended.lock().expect("nobody panics in it");
            println!(
                "{:<36} {:>7} {:>9} {:>10} {:>7.1}  {}",
                model.name,
                model.threads,
                scheduler,
                trial.executions(),
                trial.took.as_secs_f64(),
                model.law
            );
            ended.0 += 1;
            if !trial.held() {
                ended.1 += 1;
                println!("    FAILED at execution {}: {}", trial.executions(), trial.text());
                if let Some(file) = &trial.schedule {
                    println!("    cargo xtask shuttle {} --replay {}", model.name, file.display());
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("it does not panic"))
    })?;
    let (turns, failed) = *ended.lock().expect("nobody panics in it");
    println!("{turns} runs, {failed} failed, {:.0} s", begin.elapsed().as_secs_f64());
    ensure!(failed == 0, "a model failed");
    Ok(())
}

/// Each planted bug that says which of these models catches it (`Shuttle:`) must be caught by it under
/// one of the schedulers, and its schedule must fail again in the same way.
fn all_planted(root: &Path, target: &Path, args: &ShuttleArgs, seed: u64) -> Result<()> {
    let bugs = planted::chosen(&args.names)?;
    let chosen: Vec<(&planted::Planted, &str)> =
        bugs.iter().filter_map(|bug| Some((bug, bug.shuttle.as_deref()?))).collect();
    ensure!(!chosen.is_empty(), "no planted bug for shuttle has such a name");
    let (sound, tree) = (target.join("planted/sound"), target.join("planted/sharena"));
    // The sources as they are now, whatever happens to them while this runs.
    tree::copy(root, &sound)?;
    println!("seed {seed}");
    println!("{:<34} {:<18} {:>9} {:>10}  says", "planted bug", "model", "scheduler", "execution");
    let iterations = args.iterations.unwrap_or(CAUGHT_WITHIN);
    let mut missed = 0;
    for (bug, model) in &chosen {
        tree::copy_all(&sound, &tree)?;
        tree::apply(&bug.patch, &tree)?;
        let program = build_in(&tree).with_context(|| bug.name.clone())?;
        match catch(&program, model, iterations, seed)? {
            Some(Catch { scheduler, executions, told, replays }) => {
                let short: String = told.chars().take(100).collect();
                println!("{:<34} {model:<18} {scheduler:>9} {executions:>10}  {short}", bug.name);
                if !replays {
                    missed += 1;
                    println!("    DOES NOT REPLAY");
                }
            }
            None => {
                missed += 1;
                println!("{:<34} {model:<18} NOT CAUGHT ({})", bug.name, bug.breaks);
            }
        }
    }
    println!("{} planted bugs, {missed} not caught or not replayed", chosen.len());
    ensure!(missed == 0, "a model is blind to a bug that it should catch");
    Ok(())
}

/// Executions under each scheduler in which a planted bug must be caught.
pub const CAUGHT_WITHIN: u64 = 20_000;

/// Builds the models of the project that lies at `tree`, a copy; the program.
pub fn build_in(tree: &Path) -> Result<PathBuf> {
    build(&crate::root()?.canonicalize()?, &tree.join("loom-tests"))
}

/// How a model failed.
pub struct Catch {
    pub scheduler: &'static str,
    pub executions: String,
    pub told: String,
    /// Whether the same schedule fails again in the same way.
    pub replays: bool,
}

/// Runs a model under one scheduler after the other until it fails.
pub fn catch(program: &Path, model: &str, iterations: u64, seed: u64) -> Result<Option<Catch>> {
    let dir = crate::root()?.join("loom-tests/target/shuttle");
    for scheduler in SCHEDULERS {
        let trial = trial(program, &dir, (model, scheduler), iterations, seed)?;
        if trial.held() {
            continue;
        }
        let file = trial.schedule.as_deref().context("a failure without a schedule")?;
        let again = tell(Command::new(program).args(["replay", model]).arg(file))?;
        fs::remove_file(file)?;
        return Ok(Some(Catch {
            scheduler,
            executions: trial.executions().to_owned(),
            told: trial.text().to_owned(),
            replays: again.splitn(3, ' ').nth(2) == Some(trial.text()),
        }));
    }
    Ok(None)
}

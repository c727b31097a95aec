//! The suites that try a mutant, the quick ones first.

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Which program a suite is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Program {
    /// The unit tests.
    Lib,
    /// A file of `tests/`.
    Test(&'static str),
    /// `crash-tests`, built so that it counts steps.
    Steps,
    /// The models.
    Loom,
}

pub struct Suite {
    pub name: &'static str,
    pub program: Program,
    pub args: &'static [&'static str],
}

impl Suite {
    /// The unit tests of a file alone, which most of its mutants do not outlive; `None`: this is another
    /// suite.
    pub fn of_file(&self, file: &str) -> Option<Vec<String>> {
        let module = file.strip_prefix("src/")?.strip_suffix(".rs")?.replace('/', "::");
        let module = module.strip_suffix("mod").map_or(module.clone(), |dir| format!("{dir}tests"));
        let args = self.args.iter().map(|arg| (*arg).to_owned());
        (self.name == SUITES[0].name).then(|| std::iter::once(module).chain(args).collect())
    }

    /// Of the models, and of the operations that are killed, the part that a file is of; the rest would
    /// only take its time.
    pub fn args_for(&self, file: &str) -> Vec<&'static str> {
        let part = PARTS.iter().find(|part| file.starts_with(part.file));
        let more = match self.program {
            Steps => part.map_or(&[][..], |part| std::slice::from_ref(&part.operations)),
            Loom => part.map_or(&[][..], |part| part.models),
            Lib | Test(_) => &[],
        };
        [self.args, more].concat()
    }
}

/// What of the slow suites has to do with a file.
struct Part {
    /// How its path begins; the first one counts.
    file: &'static str,
    /// What names of operations contain.
    operations: &'static str,
    /// How names of models begin.
    models: &'static [&'static str],
}

const PARTS: &[Part] = &[
    Part { file: "src/index_set", operations: "allocate-grow", models: &["index-set"] },
    Part {
        file: "src/heap/growth",
        operations: "run",
        models: &["heap/units", "heap/run", "death/run", "recovery/run"],
    },
    Part {
        file: "src/heap/run",
        operations: "run",
        models: &["heap/run", "death/run", "recovery/run"],
    },
    Part {
        file: "src/heap/orphan",
        operations: "free",
        models: &["heap/orphan", "heap/adopt", "heap/two", "death/orphan", "death/adopt"],
    },
    Part { file: "src/heap", operations: "allocate", models: &["heap", "death/remote"] },
    Part {
        file: "src/names/migration",
        operations: "names-growth",
        models: &["names/migration", "names/growth", "names/few", "death/growth"],
    },
    Part {
        file: "src/names",
        operations: "construct",
        models: &["names", "death/known-name", "death/construct", "death/destroy"],
    },
    Part {
        file: "src/process",
        operations: "thread-end",
        models: &["process", "recovery/numbers", "death/attach"],
    },
];

use Program::{Lib, Loom, Steps, Test};

/// The tests of a second first, as most mutants live no longer.
pub const SUITES: &[Suite] = &[
    Suite {
        name: "unit tests",
        program: Lib,
        args: &["--skip", "any_bytes", "--skip", "nothing_false"],
    },
    Suite { name: "tests/objects", program: Test("objects"), args: &[] },
    Suite { name: "tests/reuse", program: Test("reuse"), args: &[] },
    Suite { name: "tests/memory", program: Test("memory"), args: &[] },
    Suite { name: "tests/recovery", program: Test("recovery"), args: &[] },
    Suite { name: "tests/status", program: Test("status"), args: &[] },
    Suite { name: "tests/errors", program: Test("errors"), args: &[] },
    Suite { name: "tests/refusals", program: Test("refusals"), args: &[] },
    Suite { name: "tests/processes", program: Test("processes"), args: &[] },
    Suite { name: "unit tests, any bytes", program: Lib, args: &["any_bytes", "nothing_false"] },
    Suite { name: "tests/property", program: Test("property"), args: &[] },
    Suite { name: "tests/segment", program: Test("segment"), args: &[] },
    Suite { name: "tests/liveness", program: Test("liveness"), args: &[] },
    Suite { name: "tests/locks", program: Test("locks"), args: &[] },
    Suite { name: "tests/rwlocks", program: Test("rwlocks"), args: &[] },
    Suite { name: "tests/published", program: Test("published"), args: &[] },
    Suite { name: "kill steps", program: Steps, args: &["steps"] },
    Suite { name: "models", program: Loom, args: &[] },
];

/// So many of them take a few seconds at most.
pub const QUICK: usize = 6;

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    Passed,
    /// By a test that failed or by a signal of its own.
    Failed,
    /// By the limit on its time.
    Hung,
}

/// What a run may take: seconds of the processor for each process, and by the clock for all.
#[derive(Clone, Copy)]
pub struct Limits {
    pub cpu: u64,
    pub clock: Duration,
}

impl Limits {
    /// Many times what the suite takes without a mutant.
    pub fn of(usual: Duration) -> Limits {
        Limits { cpu: 3 + (3 * usual).as_secs(), clock: Duration::from_secs(20) + 20 * usual }
    }
}

/// What a suite prints when one of its tests or models failed.
const FAILED: &str = " FAILED";

/// KiB of its own memory that a run may have.
const DATA: u64 = 4 << 20;

/// Runs a suite with a mutant on (0: none); how it ended, and in what time. What fails once must fail
/// again: the tests of liveness and of full file systems depend on what else the machine does.
pub fn run(
    program: &Path,
    args: &[&str],
    tree: &Path,
    mutant: u32,
    limits: Limits,
) -> Result<(End, Duration)> {
    let mutant = ("SHARENA_MUTANT", mutant.to_string());
    match run_once(program, args, tree, &mutant, limits)? {
        (End::Failed, _) => run_once(program, args, tree, &mutant, limits),
        other => Ok(other),
    }
}

/// Runs a suite without a mutant; how it ended, and the numbers of those below `count` that it could have
/// seen.
pub fn reached(
    program: &Path,
    args: &[&str],
    tree: &Path,
    limits: Limits,
    count: usize,
) -> Result<(End, HashSet<u32>)> {
    let file = tree.join("target/reached");
    fs::create_dir_all(tree.join("target"))?;
    fs::write(&file, vec![0; count])?;
    let noting = ("SHARENA_REACHED", file.to_str().context("a path of UTF-8")?.to_owned());
    let (end, _) = run_once(program, args, tree, &noting, limits)?;
    let noted = (0..).zip(fs::read(&file)?).filter(|(_, reached)| *reached != 0);
    Ok((end, noted.map(|(number, _)| number).collect()))
}

fn run_once(
    program: &Path,
    args: &[&str],
    tree: &Path,
    variable: &(&str, String),
    limits: Limits,
) -> Result<(End, Duration)> {
    let begin = Instant::now();
    let mut command = Command::new("sh");
    let script =
        format!("ulimit -c 0; ulimit -S -t {}; ulimit -d {DATA}; exec \"$0\" \"$@\"", limits.cpu);
    command.arg("-c").arg(script).arg(program).args(args).current_dir(tree);
    command.env(variable.0, &variable.1);
    // A counterexample that is found is as good as the smallest one.
    command
        .env("RUST_TEST_THREADS", "6")
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
    let (id, told) = (child.id(), child.stdout.take().context("piped")?);
    // The first test that fails is enough; others may never end.
    let failed = Arc::new(AtomicBool::new(false));
    let seen = failed.clone();
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(told).lines().map_while(Result::ok);
        lines.filter(|line| line.contains(FAILED)).for_each(|_| seen.store(true, Relaxed));
    });
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if begin.elapsed() > limits.clock || failed.load(Relaxed) {
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    // What it started goes with it.
    let group = Pid::from_raw(id as i32).context("a process has a number")?;
    let _ = kill_process_group(group, Signal::KILL);
    if status.is_none() {
        child.wait()?;
    }
    reader.join().ok().context("the reader")?;
    remove_leftovers(id);
    let _ = fs::remove_file(tree.join("tests/property.regressions"));
    let end = match status {
        _ if failed.load(Relaxed) => End::Failed,
        None => End::Hung,
        Some(status) if status.success() => End::Passed,
        Some(status) if status.signal() == Some(Signal::XCPU.as_raw()) => End::Hung,
        Some(_) => End::Failed,
    };
    Ok((end, begin.elapsed()))
}

/// The segments and directories of a test process that did not come to remove them.
fn remove_leftovers(process: u32) {
    let ours = [format!("sharena.test-{process}-"), format!("sharena-test-{process}-")];
    for dir in [Path::new("/dev/shm"), &std::env::temp_dir()] {
        let Ok(items) = fs::read_dir(dir) else { continue };
        for item in items.flatten() {
            let name = item.file_name();
            if ours.iter().any(|start| name.to_string_lossy().starts_with(start.as_str())) {
                let path = item.path();
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            }
        }
    }
}

/// Builds the programs of `tree` into `target`. `Err(told)`: what the compiler said, a JSON object a
/// line. `often`: for one run, so that building counts.
pub fn build(
    program: Program,
    tree: &Path,
    target: &Path,
    often: bool,
) -> Result<Result<PathBuf, String>> {
    let mut command = crate::cargo();
    command.current_dir(tree).env_remove("CARGO_ENCODED_RUSTFLAGS").stderr(Stdio::null());
    let flags = "--cap-lints=warn";
    let target = |world: &str| target.join(world);
    let settings: &[&str] = match often {
        // What takes the time is to build it, over and over.
        true => {
            &["test.opt-level=0", "test.debug=0", "release.debug=0", "release.incremental=true"]
        }
        false => &["test.debug=0", "release.debug=0"],
    };
    for setting in settings {
        command.arg("--config").arg(format!("profile.{setting}"));
    }
    match program {
        Lib => {
            command.args(["test", "--no-run", "--package", "sharena", "--lib"]);
            command.arg("--target-dir").arg(target("tests")).env("RUSTFLAGS", flags);
        }
        Test(name) => {
            command.args(["test", "--no-run", "--package", "sharena", "--test", name]);
            command.arg("--target-dir").arg(target("tests")).env("RUSTFLAGS", flags);
        }
        Steps => {
            command.args(["build", "--release", "--package", "sharena-crash"]);
            command.args(["--config", "profile.release.lto=false"]);
            command.args(["--config", "profile.release.codegen-units=16"]);
            command.args(["--config", "profile.release.opt-level=1"]);
            command.arg("--target-dir").arg(target("steps"));
            command.env("RUSTFLAGS", format!("{flags} --cfg sharena_steps"));
        }
        Loom => {
            let loom = crate::loom::mended(crate::root()?)?;
            let loom = loom.to_str().context("a path of UTF-8")?;
            command.args(["build", "--release", "--bin", "loom-tests"]);
            command.current_dir(tree.join("loom-tests"));
            command.arg("--config").arg(format!("patch.crates-io.loom.path={loom:?}"));
            command.arg("--target-dir").arg(target("loom"));
            command.env("RUSTFLAGS", format!("{flags} --cfg loom"));
        }
    }
    let told = command.arg("--message-format=json").stdout(Stdio::piped()).output()?;
    let text = String::from_utf8(told.stdout)?;
    if !told.status.success() {
        return Ok(Err(text));
    }
    for line in text.lines().rev() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if let Some(path) = message["executable"].as_str() {
            ensure!(Path::new(path).exists(), "{path} was built");
            return Ok(Ok(path.into()));
        }
    }
    bail!("cargo names no program for {program:?}")
}

/// The errors among what `build` told.
pub fn rendered(told: &str) -> String {
    let messages = told.lines().filter_map(|line| serde_json::from_str(line).ok());
    let errors =
        messages.filter(|message: &serde_json::Value| message["message"]["level"] == "error");
    errors.filter_map(|error| Some(error["message"]["rendered"].as_str()?.to_owned())).collect()
}

//! Creators are killed before, inside and after the creation of a segment. Whoever opens then must
//! succeed or be told that there is nothing, at once; and nothing may be left in the directory.

use crate::args::CreationArgs;
use crate::machine::Machine;
use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sharena::{Error, Opened, Options, Segment};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Opening, and creating, may take so long and no longer.
const LIMIT: Duration = Duration::from_secs(1);
/// Creations that are measured first, of each way.
const MEASURED: usize = 20;
const SHARED_MEMORY: &str = "/dev/shm";
/// What files begin with that are no segments yet.
const TEMPORARY: &str = ".sharena-temporary.";

/// Where a segment is created.
#[derive(Clone, Debug, clap::Args)]
pub struct Target {
    /// A name in shared memory; otherwise it is a path.
    #[arg(long)]
    named: bool,
    target: PathBuf,
    /// `open_or_create`, not `create`.
    #[arg(long)]
    or_open: bool,
}

impl Target {
    fn name(&self) -> &str {
        self.target.to_str().expect("a name of our own")
    }

    fn create(&self) -> Result<Segment, Error> {
        let options = options();
        match (self.named, self.or_open) {
            (true, false) => options.create(self.name()),
            (false, false) => options.create_at(&self.target),
            (true, true) => options.open_or_create(self.name()).map(|opened| opened.segment),
            (false, true) => options.open_or_create_at(&self.target).map(|opened| opened.segment),
        }
    }

    fn open(&self) -> Result<Segment, Error> {
        if self.named { Segment::open(self.name()) } else { Segment::open_at(&self.target) }
    }

    fn open_or_create(&self) -> Result<Opened, Error> {
        let options = options();
        if self.named {
            options.open_or_create(self.name())
        } else {
            options.open_or_create_at(&self.target)
        }
    }

    fn remove(&self) -> Result<(), Error> {
        if self.named { sharena::remove(self.name()) } else { sharena::remove_at(&self.target) }
    }

    fn directory(&self) -> &Path {
        if self.named {
            Path::new(SHARED_MEMORY)
        } else {
            self.target.parent().expect("a file in a directory")
        }
    }

    /// Temporary names in its directory.
    fn temporaries(&self) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        for file in std::fs::read_dir(self.directory())? {
            let name = file?.file_name().to_string_lossy().into_owned();
            if name.starts_with(TEMPORARY) {
                found.insert(name);
            }
        }
        Ok(found)
    }
}

fn options() -> Options {
    Options::new().capacity(64 << 20)
}

/// What the suite tells a creator.
#[derive(clap::Args)]
pub struct CreatorArgs {
    #[command(flatten)]
    target: Target,
}

/// A process that creates a segment: a line before, a line with the nanoseconds it took after. Then
/// it waits to be killed.
pub fn creator(args: &CreatorArgs) -> Result<bool> {
    // SAFETY: asks the kernel to end this process with the thread that started it.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    println!("begin");
    let begin = Instant::now();
    let segment = args.target.create()?;
    println!("{}", begin.elapsed().as_nanos());
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let _ = &segment;
    }
}

#[derive(Default, Serialize)]
struct Figures {
    kills: u64,
    /// Where the kills struck: before the creation began, inside it, after it.
    before: u64,
    inside: u64,
    after: u64,
    /// What who opened next met.
    opened: u64,
    not_found: u64,
    /// A second creator at the same time, which was not killed.
    rivals: u64,
    slowest_open_micros: u64,
    slowest_open_or_create_micros: u64,
    /// Openings that took longer than a second.
    stopped: u64,
    /// Temporary files that were left.
    left: u64,
    /// Segments, and errors, that are not as they should be.
    damaged: u64,
    troubles: Vec<String>,
}

#[derive(Serialize)]
struct Results {
    machine: Machine,
    seed: u64,
    seconds: f64,
    /// Median time of a creation, by where and how.
    creation_micros: Vec<(String, u64)>,
    #[serde(flatten)]
    figures: Figures,
    passed: bool,
}

/// A creator at work.
struct Creator {
    child: Child,
    told: BufReader<std::process::ChildStdout>,
}

impl Creator {
    fn start(target: &Target) -> Result<Creator> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("creator").arg(&target.target).stdin(Stdio::null()).stdout(Stdio::piped());
        if target.named {
            command.arg("--named");
        }
        if target.or_open {
            command.arg("--or-open");
        }
        let mut child = command.spawn().context("start a creator")?;
        let told = BufReader::new(child.stdout.take().context("piped")?);
        Ok(Creator { child, told })
    }

    /// What it says next; empty: it is dead.
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Creator {
    fn drop(&mut self) {
        // Dead already, unless something failed, or it is a rival.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Removes a directory when it is over.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("remove {}: {error}", self.0.display());
        }
    }
}

/// The command; whether every opener got on, and nothing was left.
pub fn run(args: &CreationArgs) -> Result<bool> {
    let machine = Machine::here();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("{} kills of creators, seed {seed}", args.kills);
    let name = format!("sharena-creation-{}", std::process::id());
    // Beside the program: on a disk, if anything is.
    let program = std::env::current_exe()?;
    let directory = Directory(program.with_file_name(&name));
    std::fs::create_dir(&directory.0)?;
    let file = directory.0.join("segment");
    let places = [(true, PathBuf::from(&name)), (false, file)];
    let targets: Vec<Target> = places
        .into_iter()
        .flat_map(|(named, target)| {
            [false, true].map(|or_open| Target { named, target: target.clone(), or_open })
        })
        .collect();

    let begin = Instant::now();
    let medians: Vec<Duration> = targets.iter().map(measure).collect::<Result<_>>()?;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut figures = Figures::default();
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} kills, {eta} left")?;
    let progress = ProgressBar::new(args.kills).with_style(style); // draws nothing but on a terminal
    while figures.kills < args.kills && figures.troubles.is_empty() {
        let which = random.usize(..targets.len());
        if let Err(error) = round(&targets[which], medians[which], &mut random, &mut figures) {
            figures.damaged += 1;
            figures.troubles.push(format!("{:?}: {error:#}", targets[which]));
        }
        figures.kills += 1;
        progress.set_position(figures.kills);
    }
    progress.finish_and_clear();

    let titles = ["name, create", "name, open_or_create", "file, create", "file, open_or_create"];
    let medians = medians.iter().map(|median| median.as_micros() as u64);
    let results = Results {
        machine,
        seed,
        seconds: begin.elapsed().as_secs_f64(),
        creation_micros: titles.map(str::to_owned).into_iter().zip(medians).collect(),
        passed: figures.troubles.is_empty(),
        figures,
    };
    if let Some(path) = &args.json {
        crate::write_json(path, &results)?;
    }
    show(&results);
    Ok(results.passed)
}

/// How long a creation takes, as its creator measures it.
fn measure(target: &Target) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..MEASURED {
        let mut creator = Creator::start(target)?;
        creator.line()?;
        let nanos = creator.line()?.trim().parse().context("the creator failed")?;
        times.push(Duration::from_nanos(nanos));
        drop(creator);
        target.remove()?;
    }
    times.sort();
    Ok(times[MEASURED / 2])
}

/// One creator is killed; then others open.
fn round(
    target: &Target,
    median: Duration,
    random: &mut fastrand::Rng,
    figures: &mut Figures,
) -> Result<()> {
    let before = target.temporaries()?;
    let mut creator = Creator::start(target)?;
    // Now and then two create at once; with `create` one of them is refused.
    let rival =
        (target.or_open && random.u8(..4) == 0).then(|| Creator::start(target)).transpose()?;
    let mut began = false;
    // Now and then before it gets so far.
    if random.u8(..20) != 0 {
        began = !creator.line()?.is_empty();
        let nanos = median.as_nanos() as u64 * 13 / 10;
        let until = Instant::now() + Duration::from_nanos(random.u64(..nanos));
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }
    creator.child.kill()?;
    creator.child.wait()?;
    let told = if began { creator.line()? } else { creator.line()? + &creator.line()? };
    match (began || told.starts_with("begin"), told.trim_start_matches("begin\n").is_empty()) {
        (false, _) => figures.before += 1,
        (true, true) => figures.inside += 1,
        (true, false) => figures.after += 1,
    }
    if let Some(mut rival) = rival {
        figures.rivals += 1;
        let begin = Instant::now();
        rival.line()?;
        ensure!(!rival.line()?.is_empty(), "the creator beside the killed one failed");
        within_limit("the creation beside the killed one", begin.elapsed(), figures);
    }

    let begin = Instant::now();
    let opened = target.open();
    let took = begin.elapsed();
    figures.slowest_open_micros = figures.slowest_open_micros.max(took.as_micros() as u64);
    within_limit("open", took, figures);
    match opened {
        Ok(_) => figures.opened += 1,
        Err(Error::NotFound { .. }) => figures.not_found += 1,
        Err(error) => return Err(error).context("open"),
    }

    let begin = Instant::now();
    let segment = target.open_or_create().context("open or create")?.segment;
    let took = begin.elapsed();
    figures.slowest_open_or_create_micros =
        figures.slowest_open_or_create_micros.max(took.as_micros() as u64);
    within_limit("open or create", took, figures);
    segment.recover()?;
    drop(segment.construct("probe", 1u64)?);
    let report = segment.check()?;
    ensure!(report.is_clean(), "{report}");
    drop(segment);
    target.remove()?;

    let left = target.temporaries()?.difference(&before).count() as u64;
    if left != 0 {
        figures.left += left;
        figures.troubles.push(format!("{left} temporary files are left: {target:?}"));
    }
    Ok(())
}

fn within_limit(what: &str, took: Duration, figures: &mut Figures) {
    if took > LIMIT {
        figures.stopped += 1;
        figures.troubles.push(format!("{what} took {took:?}"));
    }
}

fn show(results: &Results) {
    let figures = &results.figures;
    for (what, micros) in &results.creation_micros {
        println!("  {what:<24} takes {micros:>7} µs");
    }
    println!(
        "{} kills in {:.1} s: {} before the creation, {} inside, {} after it; {} with a second creator",
        figures.kills,
        results.seconds,
        figures.before,
        figures.inside,
        figures.after,
        figures.rivals
    );
    println!(
        "who opened then: {} succeeded, {} were told that there is nothing; in {} µs at most, and to \
         open or create in {}",
        figures.opened,
        figures.not_found,
        figures.slowest_open_micros,
        figures.slowest_open_or_create_micros
    );
    for text in &figures.troubles {
        println!("WRONG: {text}");
    }
    println!(
        "stopped {}, left {}, damaged {}: {}",
        figures.stopped,
        figures.left,
        figures.damaged,
        if results.passed { "passed" } else { "FAILED" }
    );
}

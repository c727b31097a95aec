//! Death after each machine instruction.
//!
//! A child performs an operation one instruction at a time. After each the segment is looked at; if
//! its bytes changed, or where it has memory did, the file is copied, and the copy is what a death at
//! that moment leaves: no process has locks on it, so all that were attached are dead in it. A death
//! at an instruction that changed nothing leaves the image before it, which was verified already.
//!
//! A death inside a system call is not tried: what the segment asks of the kernel (memory, ahead or no
//! longer) changes no byte that means anything.

pub mod image;
mod judges;
mod place;
mod planted;
mod victim;

use crate::account::{Account, Fresh};
use crate::args::InstructionsArgs;
use crate::machine::Machine;
use crate::operations::{self, Held, Operation};
use crate::process::{Page, TAKES_OVER};
use crate::stage::{self, Creator, Stage};
use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use image::Image;
use indicatif::{ProgressBar, ProgressStyle};
use judges::{Judges, Wrong};
use serde::Serialize;
use std::collections::HashMap;
use std::io::Error;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::time::Instant;
use victim::{Step, Victim};

/// Failures of one operation that are shown; the results hold all.
const SHOWN: usize = 5;
/// Images that one instruction makes in an operation of which each is verified, unless all are asked
/// for; an instruction that makes more writes a value of many bytes, word by word.
const MANY: u64 = 2000;
/// Of the images beyond those each so many-th is.
const EACH_OF: u64 = 50;
/// How the name of the directory of a run begins; its process id follows.
const DIRECTORY: &str = "sharena-instructions-";

#[derive(Serialize)]
struct Results {
    machine: Machine,
    operations: Vec<Row>,
    instructions: u64,
    images: u64,
    verified: u64,
    failures: usize,
    seconds: f64,
    passed: bool,
}

/// What became of one operation.
#[derive(Serialize)]
struct Row {
    operation: &'static str,
    /// Executed from its beginning to its end.
    instructions: u64,
    /// States of the segment on the way, the first among them.
    images: u64,
    /// Those of them that were verified, and the last once more, as that of an operation that happened.
    verified: u64,
    failures: Vec<Failure>,
    seconds: f64,
}

/// A death that left something wrong.
#[derive(Serialize)]
struct Failure {
    /// Instructions of the operation that were executed before it.
    after: u64,
    /// Where the last of them is in the program; 0: none, or the operation is over.
    #[serde(skip)]
    address: u64,
    place: String,
    found: String,
}

/// A moment of an operation.
struct Death {
    after: u64,
    /// Address of the instruction before it; 0: the operation had not begun.
    address: u64,
}

/// The command; whether every death left a segment that is whole.
pub fn run(args: &InstructionsArgs) -> Result<bool> {
    let is_chosen = |name: &str| args.operation.as_deref().is_none_or(|part| name.contains(part));
    let all: Vec<&Operation> = if args.planted {
        planted::OPERATIONS.iter().collect()
    } else {
        operations::all().collect()
    };
    let chosen: Vec<_> = all.into_iter().filter(|one| is_chosen(one.name)).collect();
    ensure!(!chosen.is_empty(), "no operation has such a name");
    let machine = Machine::here();
    let start = Instant::now();
    let harness = Harness::new(args.every)?;
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}")?;
    let progress = ProgressBar::new(chosen.len() as u64).with_style(style);
    let mut rows = Vec::new();
    for operation in chosen {
        let row = harness.lead(operation, &progress);
        rows.push(row.with_context(|| operation.name.to_owned())?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    locate(&mut rows);
    let results = Results {
        machine,
        instructions: rows.iter().map(|row| row.instructions).sum(),
        images: rows.iter().map(|row| row.images).sum(),
        verified: rows.iter().map(|row| row.verified).sum(),
        failures: rows.iter().map(|row| row.failures.len()).sum(),
        seconds: start.elapsed().as_secs_f64(),
        passed: rows.iter().all(|row| row.failures.is_empty()),
        operations: rows,
    };
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&results)?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    show(&results);
    Ok(results.passed)
}

/// What all operations are tried with.
struct Harness {
    /// Verifies each image, without exception.
    every: bool,
    cpus: Cpus,
    fresh: Fresh,
    page: Page,
    directory: Directory,
}

impl Harness {
    fn new(every: bool) -> Result<Harness> {
        victim::interruptible();
        Ok(Harness {
            every,
            cpus: Cpus::keep_to_one()?,
            fresh: Fresh::measure()?,
            page: Page::new()?,
            directory: Directory::new()?,
        })
    }

    /// Leads a victim through an operation, and has what each death would leave verified.
    fn lead(&self, operation: &'static Operation, progress: &ProgressBar) -> Result<Row> {
        let start = Instant::now();
        let creator = match operation.before.segments {
            0 => Creator::Nobody,
            _ => Creator::Survivor,
        };
        let stage = Stage::new(&self.directory.make(operation.name)?, creator, &self.page)?;
        let account = Account::begin(&stage, operation, |stage| {
            if operation.of_collections {
                stage.set_up_elsewhere(operation.setup)?;
                return Ok(Held::new());
            }
            (operation.setup)(stage)
        })?;
        let mut victim = Victim::start(|| {
            let victim = ManuallyDrop::new(stage::Victim::new(&stage));
            let act = (operation.prepare)(&stage, &victim);
            if operation.in_own_thread {
                TAKES_OVER.set(victim::begin).expect("one operation a process");
            } else {
                victim::begin();
            }
            act();
            victim::end();
        })?;
        let mut deaths = Deaths {
            harness: self,
            account: &account,
            image: None,
            judges: Judges::new(self.cpus.count()),
            made_at: HashMap::new(),
            row: Row::new(operation.name),
        };
        deaths.look(stage.path(), Death { after: 0, address: 0 }, 0)?;
        while let Step::Done { address, faults } = victim.step()? {
            deaths.row.instructions += 1;
            let after = deaths.row.instructions;
            deaths.look(stage.path(), Death { after, address }, faults)?;
            if after.is_multiple_of(1024) {
                let images = deaths.row.images;
                progress.set_message(format!("{}: {after}, {images}", operation.name));
            }
        }
        drop(victim);
        let mut row = deaths.end()?;
        row.seconds = start.elapsed().as_secs_f64();
        Ok(row)
    }

    /// Verifies what a death leaves, in a process that is there for nothing else.
    fn verify(
        &self,
        account: &Account<'_>,
        image: &Image,
        after: u64,
        is_through: bool,
    ) -> Result<()> {
        self.cpus.use_all()?;
        let name = format!("{}-{after}-{is_through}", account.operation().name);
        let directory = self.directory.make(&name)?;
        let copy = Stage::new(&directory, Creator::Nobody, &self.page)?;
        image.copy(copy.path())?;
        let settled = account.settle_copy(&copy, is_through, &self.fresh);
        drop(copy);
        std::fs::remove_dir(directory)?;
        settled.map(|_| ())
    }
}

/// All deaths within one operation.
struct Deaths<'a> {
    harness: &'a Harness,
    account: &'a Account<'a>,
    /// `None`: the segment has no name yet.
    image: Option<Image>,
    judges: Judges<Death>,
    /// Images by the address of the instruction that made them.
    made_at: HashMap<u64, u64>,
    row: Row,
}

impl Deaths<'_> {
    /// Has the segment verified if it differs from what it was at the last look.
    fn look(&mut self, segment: &Path, death: Death, faults: u64) -> Result<()> {
        let is_new = match &mut self.image {
            Some(image) => image.look(faults)?,
            None if segment.exists() => {
                self.image = Some(Image::new(segment, faults)?);
                true
            }
            None => false,
        };
        if is_new {
            self.row.images += 1;
            let made = self.made_at.entry(death.address).or_default();
            *made += 1;
            if self.harness.every || *made <= MANY || made.is_multiple_of(EACH_OF) {
                self.judge(death, false)?;
            }
        }
        Ok(())
    }

    fn judge(&mut self, death: Death, is_through: bool) -> Result<()> {
        let Deaths { harness, account, image, .. } = self;
        let Some(image) = image else { return Ok(()) };
        let after = death.after;
        self.row.verified += 1;
        let verify = || harness.verify(account, image, after, is_through);
        let wrong = self.judges.judge(death, verify)?;
        self.row.failures.extend(wrong.map(Failure::new));
        Ok(())
    }

    /// After the operation, which must have happened now.
    fn end(mut self) -> Result<Row> {
        self.judge(Death { after: self.row.instructions, address: 0 }, true)?;
        self.row.failures.extend(self.judges.end()?.into_iter().map(Failure::new));
        Ok(self.row)
    }
}

/// A directory in shared memory, removed with all that is in it when this is dropped.
struct Directory(PathBuf);

impl Directory {
    /// Removes those of interrupted runs, too.
    fn new() -> Result<Directory> {
        let parent = Path::new("/dev/shm");
        for other in std::fs::read_dir(parent)? {
            let name = other?.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix(DIRECTORY));
            if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                let _ = std::fs::remove_dir_all(parent.join(&name));
            }
        }
        let path = parent.join(format!("{DIRECTORY}{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Directory(path))
    }

    /// A new directory in it.
    fn make(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        std::fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Row {
    fn new(operation: &'static str) -> Row {
        Row {
            operation,
            instructions: 0,
            images: 0,
            verified: 0,
            failures: Vec::new(),
            seconds: 0.0,
        }
    }
}

impl Failure {
    fn new(wrong: Wrong<Death>) -> Failure {
        let Death { after, address } = wrong.death;
        let place = if after == 0 { "before the first" } else { "when it was over" };
        Failure { after, address, place: place.to_owned(), found: wrong.found }
    }
}

/// Says of all failures where in the program they are.
fn locate(rows: &mut [Row]) {
    let failures = || rows.iter().flat_map(|row| &row.failures);
    let places = place::of(&failures().map(|of| of.address).filter(|at| *at != 0).collect());
    for failure in rows.iter_mut().flat_map(|row| &mut row.failures) {
        if let Some(place) = places.get(&failure.address) {
            failure.place.clone_from(place);
        }
    }
}

fn show(results: &Results) {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_BORDERS_ONLY_CONDENSED);
    table.set_header(["operation", "instructions", "images", "verified", "failures", "seconds"]);
    let mut add = |of: &str, counts: [u64; 4], seconds: f64| {
        let counts = counts.map(|count| count.to_string());
        let cells = [of.to_owned()].into_iter().chain(counts).chain([format!("{seconds:.1}")]);
        table.add_row(cells);
    };
    for row in &results.operations {
        let Row { operation, instructions, images, verified, failures, seconds } = row;
        add(operation, [*instructions, *images, *verified, failures.len() as u64], *seconds);
    }
    let Results { instructions, images, verified, failures, seconds, .. } = results;
    add("total", [*instructions, *images, *verified, *failures as u64], *seconds);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    for row in &results.operations {
        for failure in row.failures.iter().take(SHOWN) {
            let Failure { after, place, found, .. } = failure;
            println!("\n{}, dead after instruction {after}, {place}:\n{found}", row.operation);
        }
        if row.failures.len() > SHOWN {
            println!("\n{}: and {} more", row.operation, row.failures.len() - SHOWN);
        }
    }
}

/// The processors that this process may use.
struct Cpus(libc::cpu_set_t);

impl Cpus {
    /// Keeps this process and its children on one of them: a victim and who leads it take turns, and
    /// on two processors each turn would wake the other one up.
    fn keep_to_one() -> Result<Cpus> {
        // SAFETY: the set is as large as is said, and zero is a value of it.
        unsafe {
            let mut all: libc::cpu_set_t = std::mem::zeroed();
            let got = libc::sched_getaffinity(0, size_of_val(&all), &mut all);
            ensure!(got == 0, "sched_getaffinity: {}", Error::last_os_error());
            let mut one: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(usize::try_from(libc::sched_getcpu())?, &mut one);
            let set = libc::sched_setaffinity(0, size_of_val(&one), &one);
            ensure!(set == 0, "sched_setaffinity: {}", Error::last_os_error());
            Ok(Cpus(all))
        }
    }

    fn use_all(&self) -> Result<()> {
        // SAFETY: the set is as large as is said.
        let set = unsafe { libc::sched_setaffinity(0, size_of_val(&self.0), &self.0) };
        ensure!(set == 0, "sched_setaffinity: {}", Error::last_os_error());
        Ok(())
    }

    fn count(&self) -> usize {
        // SAFETY: a whole set.
        unsafe { libc::CPU_COUNT(&self.0) as usize }
    }
}

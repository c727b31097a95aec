//! `images`: segments as deaths leave them, kept in files for the fuzzer (`cargo xtask fuzz --images`).
//!
//! A victim dies at a few steps of each operation, and nobody recovers. The copy is of no process
//! that has it: whoever opens it finds the survivor dead, too. A few whole segments are among them.

use crate::account::Account;
use crate::instructions::image::extents;
use crate::operations::{self, Operation};
use crate::process::{self, End, Page};
use crate::sparse::Sparse;
use crate::stage::{Creator, Stage, Victim, value};
use crate::steps::{self, worker::steps as at_step};
use anyhow::{Context, Result, bail, ensure};
use sharena::Segment;
use std::alloc::Layout;
use std::fs::File;
use std::mem::{ManuallyDrop, forget};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How to make images.
#[derive(clap::Args)]
pub struct ImagesArgs {
    /// Where they are written; images that are there are removed.
    #[arg(long, value_name = "DIRECTORY")]
    into: PathBuf,
}

/// Bytes of a part that are kept: more in a row are values, which nobody looks into.
const LONGEST: usize = 65_536;

/// Where a victim dies: each so many-th part of the way through its operation.
const PLACES: [(u64, u64); 3] = [(1, 4), (5, 8), (7, 8)];

/// The command.
pub fn run(args: &ImagesArgs) -> Result<()> {
    ensure!(
        cfg!(sharena_steps),
        "built without `--cfg sharena_steps`: `cargo xtask fuzz --images`"
    );
    std::fs::create_dir_all(&args.into)?;
    for old in std::fs::read_dir(&args.into)? {
        std::fs::remove_file(old?.path())?;
    }
    let directory = steps::Directory::new()?;
    let page = Page::new()?;
    for (name, fill, is_killed) in WHOLE {
        let stage = Stage::new(directory.path(), Creator::Survivor, &page)?;
        if is_killed {
            stage.killed_elsewhere(|victim| fill(victim.segment()))?;
        } else {
            process::run(&page, || fill(&stage.open()))?;
        }
        keep(&stage, &args.into, name)?;
    }
    for operation in operations::all().filter(|operation| operation.before.segments != 0) {
        let steps = die(directory.path(), &page, operation, u64::MAX, None)?
            .with_context(|| format!("{} does not end", operation.name))?;
        let mut last = None;
        for (part, of) in PLACES {
            let step = steps * part / of;
            if last != Some(step) && step < steps {
                die(directory.path(), &page, operation, step, Some(&args.into))?;
            }
            last = Some(step);
        }
    }
    Ok(())
}

/// What a whole segment is filled with, and whether who did so is killed.
type Whole = (&'static str, fn(&Segment), bool);

const WHOLE: [Whole; 4] = [
    ("empty", |_| {}, false),
    ("busy", fill_heap, false),
    ("busy-killed", fill_heap, true),
    ("names", fill_names, false),
];

/// Blocks of every class, some freed again, with a lane that keeps slabs of its own.
fn fill_heap(segment: &Segment) {
    let block = |bytes| Layout::from_size_align(bytes, 16).expect("a layout");
    for bytes in [16, 48, 64, 320, 1024, 4096, 20_000, 65_536, 98_304, 262_144, 300_000] {
        let blocks: Vec<_> =
            (0..3).map(|_| segment.allocate(block(bytes)).expect("there is room")).collect();
        forget(segment.allocate_block(block(bytes)).expect("there is room"));
        segment.deallocate(blocks[1]).expect("it is allocated");
    }
    for i in 0..4 {
        segment.own(value("unnamed", i)).expect("there is room").publish();
    }
    segment.construct_slice_from("bytes", b"some bytes").expect("there is room");
    segment.construct("number", 7u64).expect("there is room");
    segment.construct_slice_default::<u8>("run", 300_000).expect("there is room");
    segment.construct_unique(9u64).expect("there is room");
    forget(segment.find::<u64>("number").expect("whole"));
    segment.destroy::<u64>("number").expect("whole");
}

/// More names than the first table has room for, some without an object, one that would disturb a
/// terminal.
fn fill_names(segment: &Segment) {
    segment.construct("\u{1b}[31mred\u{7}", 0u64).expect("there is room");
    for i in 0..70u64 {
        segment.construct(&format!("name-{i}"), i).expect("there is room");
        if i % 3 == 0 {
            segment.destroy::<u64>(&format!("name-{i}")).expect("whole");
        }
    }
}

/// A victim begins the operation and dies at the step, which is written `into`; how many steps it
/// took if it came to the end.
fn die(
    directory: &Path,
    page: &Page,
    operation: &Operation,
    step: u64,
    into: Option<&Path>,
) -> Result<Option<u64>> {
    let stage = Stage::new(directory, Creator::Survivor, page)?;
    let account = Account::begin(&stage, operation, operation.setup)?;
    page.clear();
    let child = process::fork(page, || {
        let victim = ManuallyDrop::new(Victim::new(&stage));
        let act = (operation.prepare)(&stage, &victim);
        page.begin();
        at_step::die_at(step);
        act();
        page.done(at_step::taken());
    })?;
    let end = process::wait(child)?;
    if let Some(into) = into {
        keep(&stage, into, &format!("{}-{step}", operation.name))?;
    }
    drop(account);
    match end {
        End::Exited(0) => Ok(page.steps()),
        End::Killed(libc::SIGKILL) if page.has_begun() => Ok(None),
        end => bail!("{}: the victim ended with {end:?}: {}", operation.name, page.text()),
    }
}

fn keep(stage: &Stage<'_>, into: &Path, name: &str) -> Result<()> {
    let file = File::open(stage.path())?;
    let parts = extents(&file)?.into_iter().map(|(start, bytes)| {
        let mut part = vec![0; bytes];
        file.read_exact_at(&mut part, start as u64).map(|()| (start as u64, part))
    });
    let parts = parts.collect::<std::io::Result<Vec<_>>>()?;
    let mut sparse = Sparse::of(file.metadata()?.len(), parts);
    sparse.parts.iter_mut().for_each(|(_, part)| part.truncate(LONGEST));
    std::fs::write(into.join(format!("{name}.image")), sparse.encode())?;
    Ok(())
}

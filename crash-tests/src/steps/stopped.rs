//! A process that recovers is stopped (not killed) before each of its writes to shared memory, and
//! another one recovers beside it.
//!
//! Laws: the other one gets back all that the dead had but the one slab or run that the stopped one was
//! at; nothing is damaged; when the stopped one goes on, and a third time somebody recovers,
//! every byte is back and everybody's numbers are free.

use super::{ENOUGH, Failure, Row, trial::Place};
use crate::process::{self, End, Page};
use crate::stage::{Creator, Stage, Victim};
use anyhow::{Context, Result, ensure};
use sharena::Segment;
use std::alloc::Layout;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::time::Instant;

/// What it is called beside the operations.
pub const NAME: &str = "recoverer-stopped";

/// Bytes of the blocks that the dead had; each has slabs of its own, of one unit.
const BLOCKS: [usize; 4] = [64, 256, 1024, 4096];
const UNIT: u64 = 64 << 10;
/// And of its run.
const RUN: u64 = 5 * UNIT;

/// All steps, one after the other, with segments in `directory`.
pub fn run(directory: &Path) -> Result<Row> {
    let (page, begin) = (Page::new()?, Instant::now());
    let mut row = Row { operation: NAME.into(), ..Row::default() };
    for step in 0.. {
        match stop_at(directory, &page, step) {
            Ok(None) => row.deaths += 1,
            Ok(Some(steps)) => {
                row.steps = steps;
                break;
            }
            Err(error) => {
                let place = Place { first: None, step };
                row.failures.push(Failure { place, found: format!("{error:#}") });
                if row.failures.len() == ENOUGH {
                    break;
                }
            }
        }
    }
    row.seconds = begin.elapsed().as_secs_f64();
    Ok(row)
}

/// The steps of the recovery, if it came to its end without being stopped.
fn stop_at(directory: &Path, page: &Page, step: u64) -> Result<Option<u64>> {
    let stage = Stage::new(directory, Creator::Survivor, page)?;
    let survivor = stage.segment();
    survivor.trim()?;
    let fresh = survivor.stats()?.free;
    stage.killed_elsewhere(have_much)?;

    page.clear();
    let child = process::fork(page, || {
        let helper = ManuallyDrop::new(Victim::new(&stage));
        let segment = helper.segment();
        page.begin();
        super::worker::steps::stop_at(step);
        segment.recover().expect("it can recover");
        page.done(super::worker::steps::taken());
    })?;
    let is_stopped = process::wait_for_stop(child)?;
    if !is_stopped {
        return Ok(Some(page.steps().context("the helper panicked")?));
    }
    let beside = beside(survivor, fresh);
    // SAFETY: a signal to a child of ours that is stopped.
    unsafe { libc::kill(child, libc::SIGCONT) };
    let end = process::wait(child)?;
    beside?;
    ensure!(end == End::Exited(0), "the stopped one ended with {end:?}: {}", page.text());
    survivor.recover()?; // of itself nothing is left: it ended without detaching
    ensure!(survivor.recover()?.is_nothing(), "something is left for a third recovery");
    let report = survivor.check()?;
    ensure!(report.is_clean(), "at last: {report}");
    survivor.trim()?;
    let free = survivor.stats()?.free;
    ensure!(free == fresh, "{free} bytes are free at last, {fresh} were in the beginning");
    Ok(None)
}

/// What there is while the helper is stopped.
fn beside(survivor: &Segment, fresh: u64) -> Result<()> {
    let recovered = survivor.recover()?;
    let report = survivor.check()?;
    ensure!(report.damages().next().is_none(), "while it is stopped: {report}");
    survivor.trim()?;
    let free = survivor.stats()?.free;
    ensure!(
        free + RUN >= fresh,
        "while it is stopped {} bytes are missing, after {recovered}",
        fresh - free
    );
    // And others go on.
    let layout = Layout::from_size_align(1000, 16)?;
    drop(survivor.allocate_block(layout)?);
    survivor.construct("meanwhile", 1u64)?;
    ensure!(survivor.destroy::<u64>("meanwhile")?, "what was constructed can be destroyed");
    Ok(())
}

/// What the one has that dies first: private blocks, a private run.
fn have_much(victim: &Victim<'_>) {
    let segment = victim.segment();
    for bytes in BLOCKS.into_iter().chain([RUN as usize]) {
        let layout = Layout::from_size_align(bytes, 16).expect("a layout");
        for _ in 0..3 {
            std::mem::forget(segment.allocate_block(layout).expect("there is room"));
        }
    }
}

//! A worker: kills, and looks at what is left. It has one thread, except while it looks, and
//! beside those that hold bells and sleep.

use super::ENOUGH;
use super::trial::{self, Place, Trial};
use crate::account::{Account, Fresh, Outcome, Recoverer, look_beside};
use crate::operations::Operation;
use crate::process::{self, End, Page};
use crate::stage::{Creator, Stage, Victim, close};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::io::{BufRead, Write};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[cfg(sharena_steps)]
pub use sharena::steps;

/// In a build without steps nobody dies at one.
#[cfg(not(sharena_steps))]
pub mod steps {
    pub fn die_at(_: u64) {}
    pub fn stop_at(_: u64) {}
    pub fn taken() -> u64 {
        0
    }
}

/// Seconds for one death and all that is looked at afterwards.
const PATIENCE: u32 = 60;

/// Every `stride`th step of a trial, from `first` on.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Job {
    /// Its number among all that this run tries.
    pub trial: usize,
    pub first: u64,
    pub stride: u64,
}

/// Steps of an operation of which each is tried with everyone who may recover.
const MANY: u64 = 120;

/// Steps of a second victim from one death to the next.
const PACE: u64 = 5;

/// What a worker tells the harness.
#[derive(Serialize, Deserialize)]
pub enum Event {
    /// A victim is about to die there.
    Begins(Place),
    /// All is as it must be; `through`: the victim came to the end, after so many steps.
    Settled { outcome: Outcome, through: Option<u64> },
    /// It is not.
    Failed(String),
    /// The job is done.
    Finished,
}

/// Takes jobs from standard input until there are no more.
pub fn work(directory: &Path) -> Result<()> {
    let (page, fresh) = (Page::new()?, Fresh::measure()?);
    let worker = Worker { directory, page, fresh, count: Cell::new(0) };
    for line in std::io::stdin().lock().lines() {
        let (name, every, job): (String, u64, Job) = serde_json::from_str(&line?)?;
        let trial = trial::all().find(|trial| trial.name == name).context("a trial's name")?;
        worker.do_job(&Trial { every, ..trial }, job)?;
        tell(&Event::Finished)?;
    }
    Ok(())
}

fn tell(event: &Event) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, event)?;
    Ok(writeln!(out).and_then(|()| out.flush())?)
}

struct Worker<'a> {
    directory: &'a Path,
    page: Page,
    fresh: Fresh,
    /// Deaths so far.
    count: Cell<u64>,
}

/// How one death went.
struct Death {
    outcome: Outcome,
    /// The steps of the victim, if it came to the end.
    steps: Option<u64>,
    /// Whether the first victim came to the end.
    first_is_through: bool,
}

impl Worker<'_> {
    fn do_job(&self, trial: &Trial, job: Job) -> Result<()> {
        let mut failures = 0;
        let mut turn = job.first;
        while failures < ENOUGH {
            let is_last = match &trial.first {
                None if trial.is_stopped => {
                    let place = Place { first: None, step: turn * trial.every };
                    let halt = self.try_death(trial, place, turn, &mut failures)?;
                    halt.is_some_and(|halt| halt.steps.is_some())
                }
                None => {
                    // Each step for each that recovers; of the many steps of long ones, in turn.
                    let mut recoverers = if turn < MANY { 0..3 } else { turn..turn + 1 };
                    recoverers.try_fold(true, |is_last, recoverer| {
                        let place = Place { first: None, step: turn };
                        let death = self.try_death(trial, place, recoverer, &mut failures)?;
                        anyhow::Ok(is_last & death.is_some_and(|death| death.steps.is_some()))
                    })?
                }
                Some(_) => self.do_row(trial, turn, &mut failures)?,
            };
            if is_last {
                break;
            }
            turn += job.stride;
        }
        Ok(())
    }

    /// The first victim dies at one step, the second at every [`PACE`]th, from another one on each
    /// time; whether the first came to its end.
    fn do_row(&self, trial: &Trial, turn: u64, failures: &mut usize) -> Result<bool> {
        let first = turn * trial.every;
        for step in (turn % PACE..).step_by(PACE as usize) {
            let place = Place { first: Some(first), step };
            let death = self.try_death(trial, place, turn + step / PACE, failures)?;
            match death {
                Some(death) if death.steps.is_some() => return Ok(death.first_is_through),
                None if *failures >= ENOUGH => break,
                _ => {}
            }
        }
        Ok(false)
    }

    /// Each in turn.
    fn creator_of(&self, trial: &Trial) -> Creator {
        self.count.update(|count| count + 1);
        match self.count.get() % 2 {
            _ if trial.operation.before.segments == 0 => Creator::Nobody,
            0 => Creator::Survivor,
            _ => Creator::Another,
        }
    }

    /// One death, told to the harness; `None`: it failed.
    fn try_death(
        &self,
        trial: &Trial,
        place: Place,
        turn: u64,
        failures: &mut usize,
    ) -> Result<Option<Death>> {
        tell(&Event::Begins(place))?;
        // SAFETY: sets a timer and touches no memory.
        unsafe { libc::alarm(PATIENCE) };
        let recoverer = Recoverer::of_turn(turn);
        let died = catch_unwind(AssertUnwindSafe(|| {
            self.death(trial, place, recoverer, self.creator_of(trial))
        }));
        let died = died.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
            bail!("the survivor panicked: {text}")
        });
        match died {
            Ok(death) => {
                tell(&Event::Settled { outcome: death.outcome, through: death.steps })?;
                Ok(Some(death))
            }
            Err(error) => {
                *failures += 1;
                tell(&Event::Failed(format!("({recoverer:?} recovers) {error:#}")))?;
                Ok(None)
            }
        }
    }

    fn death(
        &self,
        trial: &Trial,
        place: Place,
        recoverer: Recoverer,
        creator: Creator,
    ) -> Result<Death> {
        let operation = &trial.operation;
        let stage = Stage::new(self.directory, creator, &self.page)?;
        let account = Account::begin(&stage, operation, operation.setup)?;
        let mut first_is_through = false;
        if let (Some(first), Some(step)) = (&trial.first, place.first) {
            first_is_through = self.kill(&stage, first, step)?.is_some();
        }
        let steps = match trial.is_stopped {
            true => self.stop(&stage, operation, place.step)?,
            false => self.kill(&stage, operation, place.step)?,
        };
        // After another's death, whether something is there depends on where that was.
        let is_through = trial.is_stopped || steps.is_some() && trial.first.is_none();
        let outcome = account.settle(is_through, recoverer, &self.fresh)?;
        Ok(Death { outcome, steps, first_is_through })
    }

    /// A process begins the operation; when it is prepared it does `arm`.
    fn begin(
        &self,
        stage: &Stage<'_>,
        operation: &Operation,
        arm: impl FnOnce(),
    ) -> Result<libc::pid_t> {
        self.page.clear();
        process::fork(&self.page, || {
            let victim = ManuallyDrop::new(Victim::new(stage));
            let act = (operation.prepare)(stage, &victim);
            self.page.begin();
            arm();
            act();
            self.page.done(steps::taken());
        })
    }

    /// A process begins the operation and dies at the step; how many it took if it came to the end.
    fn kill(&self, stage: &Stage<'_>, operation: &Operation, step: u64) -> Result<Option<u64>> {
        match process::wait(self.begin(stage, operation, || steps::die_at(step))?)? {
            End::Exited(0) => Ok(self.page.steps()),
            End::Killed(libc::SIGKILL) if self.page.has_begun() => Ok(None),
            end => bail!("the victim ended with {end:?}: {}", self.page.text()),
        }
    }

    /// A process begins the operation and is stopped at the step: others go on beside it. Then it comes to its end;
    /// how many steps it took, if it was not stopped.
    fn stop(&self, stage: &Stage<'_>, operation: &Operation, step: u64) -> Result<Option<u64>> {
        let page = Page::new()?;
        let child = self.begin(stage, operation, || steps::stop_at(step))?;
        let is_stopped = process::wait_for_stop(child).with_context(|| self.page.text())?;
        if is_stopped {
            let beside = || {
                let segment = stage.open();
                look_beside(&segment).expect("beside one that is stopped");
                close(segment);
            };
            let ran = process::run(&page, beside).context("who goes on beside it");
            // SAFETY: a signal to a child of ours that is stopped.
            unsafe { libc::kill(child, libc::SIGCONT) };
            let end = process::wait(child)?;
            ran?;
            ensure!(
                end == End::Exited(0),
                "the stopped one ended with {end:?}: {}",
                self.page.text()
            );
        }
        Ok(self.page.steps().filter(|_| !is_stopped))
    }
}

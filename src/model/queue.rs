//! The queue, for the models: its values are plain cells of theirs, by number.

use super::Fellow;
use crate::queue::raw::{Content, Had, Nothing, RawQueue, Refused};
use crate::sync::{Acquire, AtomicU64, Release};
use std::rc::Rc;

/// The value of a place.
pub struct Cellar {
    place: usize,
    /// Not 0: of one whose writer said that it is there.
    there: AtomicU64,
}

impl Content for Cellar {
    fn is_there(&self) -> bool {
        self.there.load(Acquire) != 0
    }
}

/// A queue of `N` places.
pub struct Ring<const N: usize>(RawQueue<Cellar, N>);

/// Something that was taken, and is not acknowledged.
pub struct Job {
    had: Had,
    /// In which place it is.
    pub place: usize,
}

impl Job {
    /// Whether somebody had it before.
    pub fn is_again(&self) -> bool {
        self.had.is_again()
    }
}

/// What came of wanting to take something.
pub type Got = Result<Job, Nothing>;

pub use crate::queue::raw::{Nothing as NothingThere, Refused as NotPushed};

impl<const N: usize> Ring<N> {
    /// An empty one.
    pub fn new() -> Rc<Ring<N>> {
        Rc::new(Ring(RawQueue::new(|place| Cellar { place, there: AtomicU64::new(0) })))
    }

    /// Pushes, waiting for room; `write` is given the place.
    pub fn push(&self, fellow: &Fellow, write: impl Fn(usize)) -> Result<(), Refused> {
        self.0.push(fellow, None, |cell| write(cell.place))
    }

    /// The same of what is there once that is said, and `said` was called, though who writes it dies before its cell
    /// is full.
    pub fn push_said(
        &self,
        fellow: &Fellow,
        write: impl Fn(usize),
        said: impl Fn(),
    ) -> Result<(), Refused> {
        self.0.push(fellow, None, |cell| {
            write(cell.place);
            cell.there.store(1, Release);
            said();
        })
    }

    /// What was said of it is no more: by who has it, before it is acknowledged.
    pub fn unsay(&self, job: &Job) {
        self.0.value(job.had).there.store(0, Release);
    }

    /// Pushes, if there is room.
    pub fn try_push(&self, fellow: &Fellow, write: impl Fn(usize)) -> Result<(), Refused> {
        self.0.try_push(fellow, |cell| write(cell.place))
    }

    fn job(&self, had: Had) -> Job {
        Job { had, place: self.0.value(had).place }
    }

    /// Takes what is next, waiting for it, to have it done at once.
    pub fn take(&self, fellow: &Fellow) -> Got {
        self.0.pop(fellow, None).map(|had| self.job(had))
    }

    /// The same, if there is something.
    pub fn try_take(&self, fellow: &Fellow) -> Got {
        self.0.try_pop(fellow).map(|had| self.job(had))
    }

    /// Takes what is next, waiting for it, to keep it.
    pub fn take_job(&self, fellow: &Fellow) -> Got {
        self.0.pop(fellow, None).map(|had| self.job(self.0.keep(had)))
    }

    /// The same, if there is something.
    pub fn try_take_job(&self, fellow: &Fellow) -> Got {
        self.0.try_pop(fellow).map(|had| self.job(self.0.keep(had)))
    }

    /// Acknowledges it.
    pub fn done(&self, job: Job) {
        self.0.done(job.had);
    }

    /// Puts it back.
    pub fn give_back(&self, job: Job) {
        self.0.give_back(job.had);
    }

    /// Nothing can be pushed any more.
    pub fn close(&self) {
        self.0.close();
    }
}

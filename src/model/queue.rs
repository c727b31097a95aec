//! The queue, for the models: its values are plain cells of theirs, by number.

use super::Fellow;
use crate::queue::raw::{Had, Nothing, RawQueue, Refused};
use std::rc::Rc;

/// A queue of `N` places.
pub struct Ring<const N: usize>(RawQueue<usize, N>);

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
        Rc::new(Ring(RawQueue::new()))
    }

    /// Pushes, waiting for room; `write` is given the place.
    pub fn push(&self, fellow: &Fellow, write: impl Fn(usize)) -> Result<(), Refused> {
        self.0.push(fellow, None, |place| write(*place))
    }

    /// Pushes, if there is room.
    pub fn try_push(&self, fellow: &Fellow, write: impl Fn(usize)) -> Result<(), Refused> {
        self.0.try_push(fellow, |place| write(*place))
    }

    fn job(&self, had: Had) -> Job {
        Job { had, place: *self.0.value(had) }
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

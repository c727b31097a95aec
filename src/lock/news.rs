//! News of deaths, for those who wait for nobody in particular.

use crate::attached::Attached;
use crate::lock::party::deaths_in;
use crate::lock::place::Place;
use crate::segment::Segment;
use crate::sync::Acquire;
use core::fmt;

/// Whether a process of a segment has died since a moment that the user chose: made by
/// [`Segment::deaths`].
///
/// A death is known when somebody has found it: whoever recovers it, or who waits in a lock. One may be told
/// twice: where two find it at a time, or whoever found it dies of it.
pub struct Deaths<'s> {
    attached: &'s Attached,
    since: u64,
}

impl Segment {
    /// A look-out for deaths from now on.
    pub fn deaths(&self) -> Deaths<'_> {
        let mut deaths = Deaths { attached: self.attached(), since: 0 };
        deaths.renew();
        deaths
    }
}

impl Deaths<'_> {
    fn now(&self) -> u64 {
        // Acquire pairs with `announce`: what the dead one did is seen.
        self.attached.arena.header().deaths.load(Acquire)
    }

    /// Whether a process had died when the word of deaths was `news`.
    pub(super) fn have_died_by(&self, news: u64) -> bool {
        deaths_in(news) != self.since
    }

    /// Whether a process has died since this was made or renewed.
    pub fn have_died(&self) -> bool {
        self.have_died_by(self.now())
    }

    /// From now on.
    pub fn renew(&mut self) {
        self.since = deaths_in(self.now());
    }

    pub(super) fn assert_is_about(&self, place: &Place<'_>) {
        let is_it =
            matches!(place, Place::In(attached, _) if core::ptr::eq(*attached, self.attached));
        assert!(is_it, "the lock lies in another segment than the deaths are about");
    }
}

impl fmt::Debug for Deaths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deaths").field("have_died", &self.have_died()).finish_non_exhaustive()
    }
}

//! Who uses a lock, as the protocols see it; and patience: how long a sleep is.

use crate::lock::word::Who;
use crate::process::bell;
use crate::sync::futex::{self, Heard, Moment, Woken};
use crate::sync::{AcqRel, Acquire, AtomicU64};

/// A process at a lock: who it is, and what it can find out about the others.
pub trait Party {
    /// This process, asked afresh: a forked child is not its parent.
    fn me(&self) -> Who;
    /// The segment's word of [`deaths`](crate::layout::Header::deaths); `None`: there is no other
    /// process.
    fn deaths(&self) -> Option<&AtomicU64>;
    /// Whether no instruction of `who` will ever run again. Asks the kernel; `thoroughly`: also what takes
    /// longer to say, but is said sooner after a death.
    fn is_dead(&self, who: Who, thoroughly: bool) -> bool;
    /// What rings if `who` is killed: see [`bell`](crate::process::bell).
    fn bell(&self, _who: Who) -> Option<Heard<'_>> {
        None
    }
    /// After a sleep in which nothing was heard, by one who does not know for whom it waits: looks
    /// whether anybody is dead, and says so.
    fn look_for_dead(&self);
}

/// One death, in [`deaths`](crate::layout::Header::deaths): the count of deaths is the high half, that of
/// announcements the low one.
pub const ONE_DEATH: u64 = 1 << 32 | 1;
/// One more reason to look again.
const LOOK_AGAIN: u64 = 1;

/// How many deaths a word counts.
pub fn deaths_in(word: u64) -> u64 {
    word >> 32
}

/// What a sleeper remembers of `deaths` from before it looked at what it waits for.
pub fn news_of(party: &impl Party) -> u64 {
    // Acquire pairs with `announce`: what was announced after this is not slept through.
    party.deaths().map_or(0, |deaths| deaths.load(Acquire))
}

/// Has everybody look again who sleeps in the segment, because somebody is dead.
///
/// Dead before the wake-up: the participant's word still says Live, and the next to find it dead
/// announces again; a sleeper looks by itself after its slice.
pub fn announce(deaths: &AtomicU64, is_counted: bool) {
    deaths.fetch_add(if is_counted { ONE_DEATH } else { LOOK_AGAIN }, AcqRel);
    futex::wake(deaths, u32::MAX);
}

/// The first slice, and the longest, in nanoseconds.
const FIRST: u64 = 200_000;
const LONGEST: u64 = 50_000_000;
/// Who has waited so long is hungry.
const HUNGER: u64 = 1_000_000;

/// How long a call is ready to wait, and how long its next sleep is.
///
/// A sleep is never longer than a slice, whatever the time-out: then the sleeper looks by itself at the
/// word, and whether its owner is dead. It is the net under all wake-ups that the dead swallow or owe.
/// Slices are a fifth of what was waited before, within bounds, so that a death is noticed soon after it
/// by all but those who have long been waiting.
pub struct Patience {
    until: Option<Moment>,
    since: Option<Moment>,
    slice: u64,
    slept: bool,
    /// For whom it waits, if that is known.
    of: Who,
}

impl Patience {
    /// `None`: for ever.
    pub fn until(until: Option<Moment>) -> Patience {
        Patience { until, since: None, slice: FIRST, slept: false, of: Who::NOBODY }
    }

    /// Whether the time is over.
    pub fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Moment::now() >= until)
    }

    /// Whether it has slept.
    pub fn has_slept(&self) -> bool {
        self.slept
    }

    /// Whether it has waited so long that others should stand back. Time does not pass in a model: there
    /// everybody is hungry who has slept.
    pub fn is_hungry(&self) -> bool {
        let waited = |since| Moment::now().since(since) >= HUNGER;
        self.slept && (cfg!(loom) || self.since.is_some_and(waited))
    }

    /// From now on it is `who` for whom it waits.
    pub fn wait_for(&mut self, who: Who) {
        self.of = who;
    }

    /// Sleeps for a slice at most, while nothing happens to `word`, nor to the news of deaths since
    /// `news`, and the bell does not ring of whom it waits for. Then the time counts as over: it is to be looked
    /// whether that one is dead, and soon again.
    pub fn sleep(&mut self, party: &impl Party, word: Heard<'_>, news: u64) -> Woken {
        let now = Moment::now();
        self.since.get_or_insert(now);
        self.slept = true;
        let slice = now.plus(self.slice);
        let end = self.until.map_or(slice, |until| until.min(slice));
        let deaths = party.deaths().map(|deaths| (deaths, futex::low_half(news)));
        // A first slice is as short as it takes to hear a bell; who is handed the lock in it needs no third word.
        let bell = if self.slice > FIRST { party.bell(self.of) } else { None };
        let woken = match (deaths, bell) {
            (Some(deaths), Some(bell)) => futex::wait(&[word, deaths, bell], end),
            (Some(deaths), None) => futex::wait(&[word, deaths], end),
            (None, _) => futex::wait(&[word], end),
        };
        if bell.is_some_and(|(bell, _)| bell::rang(bell)) {
            self.slice = FIRST;
            return Woken::TimedOut;
        }
        if woken == Woken::TimedOut {
            self.slice = (self.slice + self.slice / 4).min(LONGEST);
        }
        woken
    }
}

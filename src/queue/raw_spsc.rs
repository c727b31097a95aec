//! The ring of one producer and one consumer without its values: two counters, two owners, and the steps.
//!
//! ```text
//! tail   bits 0–62   the position that is pushed to next      63   CLOSED
//! head   bits 0–62   the position that is received next
//! ```
//!
//! Position `p` is cell `p % N`. What is there are the positions from head to tail. The tail is changed by who
//! has the producer's end and by who closes, the head by who has the consumer's end ([`Claim`]).
//!
//! ```text
//! push   s1  tail − head = N: full, or with CLOSED refused
//!        s2  write the value
//!        s3  CAS tail → tail + 1; CLOSED: refused
//!        s4  the consumer sleeps: wake him
//! pop    s5  tail = head: nothing, and with CLOSED nothing will come
//!        s6  read the value
//!        s7  swap head → head + 1
//!        s8  the producer sleeps: wake him
//! close  s9  tail := tail | CLOSED; wake both
//! ```
//!
//! The counters and who writes them: L. Lamport, "Specifying Concurrent Program Modules", 1983. Each end remembers
//! the other's counter, and looks again when that says full or empty, so that a line is not fetched for each
//! value: P. Lee, T. Bu, G. Chandranmenon, "A lock-free, cache-efficient shared ring buffer for multi-core
//! architectures" (MCRingBuffer), 2009.
//!
//! **Each value once, in order**: only the producer moves the tail, behind the value, and only the consumer the
//! head. **Closed is final**: CLOSED stands in the word that a push changes, so that what a consumer sees beside
//! it is all that will ever be there.
//!
//! **No wake-up is lost**: who sleeps marks the signal, and looks again; who changes a counter, or leaves an end,
//! looks for the mark behind that. Between the two steps of each stands a full fence, and the later of these sees
//! what was before the other. This is why s7 is not a mere store: a store and the fence that it needs cost more.
//!
//! | dies | is left | who goes on |
//! |---|---|---|
//! | before s3 | nothing: the cell is written again | the next producer |
//! | before s7 | the value | the next consumer receives it |
//! | behind s3, s7, s9 or having left, before the wake-up; or woken and not yet looking | others asleep | `deaths`, and the slice of each sleeper |
//!
//! There is nothing to repair, and no journal: each operation is one step.
//!
//! Of damaged words nothing is believed. A position is one below [`Position::END`], a multiple of `N`; a head that
//! is not within `N` before the tail is full to the producer, and the consumer moves it to the tail, and says so.

use crate::lock::party::{Party, Patience, news_of};
use crate::lock::signal::Signal;
use crate::lock::word::Who;
use crate::queue::claim::{Asked, Claim, Gone, Taken};
use crate::sync::futex::{Moment, Woken};
use crate::sync::{Acquire, AtomicU64, Relaxed, Release, SeqCst, fence, fence_behind_rmw, pause};
#[cfg(not(loom))]
use core::{
    cell::UnsafeCell,
    mem::{MaybeUninit, offset_of},
};

/// Looks at the other end's counter before the first sleep.
const SPINS: u32 = if cfg!(loom) { 0 } else { 100 };

/// How many pauses a consumer that is close behind the producer makes before it looks at the tail again: looked at
/// after each value, that line and the value's go to and fro for each, and the producer waits for them.
const PAUSES: u32 = 10;
/// Who found no more than so many values is close behind.
const CLOSE: u64 = 4;

const CLOSED: u64 = 1 << 63;

/// How many were pushed, or received, before; of a ring of `N` cells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position<const N: usize>(u64);

impl<const N: usize> Position<N> {
    /// Behind the last one comes 0. A multiple of `N`, so that neighbours never share a cell.
    const END: u64 = CLOSED / N as u64 * N as u64;

    /// The one that a counter says, whatever its bytes are.
    const fn of(word: u64) -> Self {
        let position = word & !CLOSED;
        Position(if position < Self::END { position } else { position - Self::END })
    }

    /// The one `by` behind it, which is at most `N`.
    const fn plus(self, by: u64) -> Self {
        Self::of(self.0 + by)
    }

    /// How many there are from `earlier` on.
    const fn since(self, earlier: Self) -> u64 {
        if self.0 >= earlier.0 { self.0 - earlier.0 } else { self.0 + (Self::END - earlier.0) }
    }

    /// Its cell, below `N`.
    pub const fn cell(self) -> usize {
        (self.0 % N as u64) as usize
    }
}

/// What the producer changes, on lines of their own: two, as some machines fetch lines in pairs.
#[repr(C, align(128))]
struct Producing {
    tail: AtomicU64,
    claim: Claim,
}

/// What the consumer changes.
#[repr(C, align(128))]
struct Consuming {
    head: AtomicU64,
    claim: Claim,
    /// The position, from 1, that was last given out to be looked at, if the consumer has not changed.
    shown: AtomicU64,
}

/// What both look at, and few change.
#[repr(C, align(128))]
struct Common {
    /// The consumer sleeps until there is something.
    items: Signal,
    /// The producer sleeps until there is room.
    space: Signal,
}

/// A ring of `N` cells with a `V` each. All zero but for the values: empty, open, and both ends are free.
#[repr(C)]
pub struct RawSpsc<V, const N: usize> {
    producing: Producing,
    consuming: Consuming,
    common: Common,
    cells: [V; N],
}

/// An end that this process has.
#[derive(Debug)]
pub struct End<const N: usize> {
    /// This process.
    pub me: Who,
    /// The word of its counter, which nobody changes but the owner, and who closes: read once, when the end was taken,
    /// as the other end reads that line, too.
    own: u64,
    /// The other end's counter as it was seen last. It only grows.
    seen: Position<N>,
    /// Whether a consumer found few values when it looked last.
    is_close: bool,
    /// Of whose going the caller was told last, and what `own` was then.
    told: Option<(Gone, u64)>,
}

/// Not pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// There is no room; for a call with an end: and was none until then.
    Full,
    /// Somebody has closed it.
    Closed,
    /// There is no room, and who made some has gone: of a call that waits, once for each who goes.
    Gone,
}

/// Nothing to be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nothing {
    /// There is nothing; for a call with an end: until then.
    Empty,
    /// Nor will there be.
    Closed,
    /// There is nothing, and who pushed has gone: of a call that waits, once for each who goes.
    Gone,
    /// The counters were none that can be. Now it is empty.
    Damaged,
}

#[cfg(not(loom))]
impl<T, const N: usize> RawSpsc<UnsafeCell<MaybeUninit<T>>, N> {
    pub const fn new() -> Self {
        const fn word() -> AtomicU64 {
            AtomicU64::new(0)
        }
        RawSpsc {
            producing: Producing { tail: word(), claim: Claim::new() },
            consuming: Consuming { head: word(), claim: Claim::new(), shown: word() },
            common: Common { items: Signal::new(), space: Signal::new() },
            cells: [const { UnsafeCell::new(MaybeUninit::zeroed()) }; N],
        }
    }
}

#[cfg(loom)]
impl<const N: usize> RawSpsc<usize, N> {
    /// The value of each cell is its number.
    pub fn new() -> Self {
        let word = || AtomicU64::new(0);
        RawSpsc {
            producing: Producing { tail: word(), claim: Claim::new() },
            consuming: Consuming { head: word(), claim: Claim::new(), shown: word() },
            common: Common { items: Signal::new(), space: Signal::new() },
            cells: std::array::from_fn(|cell| cell),
        }
    }
}

impl<V, const N: usize> RawSpsc<V, N> {
    /// Where the first value lies in it.
    #[cfg(not(loom))]
    pub const CELLS: usize = offset_of!(Self, cells);

    /// The cells.
    #[inline(always)]
    pub fn cells(&self) -> &[V; N] {
        &self.cells
    }

    /// Takes the producer's end.
    pub fn produce(&self, party: &impl Party) -> Result<End<N>, Taken> {
        let me = self.producing.claim.take(party)?;
        // Relaxed: the last owner's, whom we came behind. Of who closes it nothing is looked at.
        let own = self.producing.tail.load(Relaxed) & !CLOSED;
        Ok(End { me, own, seen: self.look_at_head(), is_close: false, told: None })
    }

    /// Takes the consumer's end.
    pub fn consume(&self, party: &impl Party) -> Result<End<N>, Taken> {
        let me = self.consuming.claim.take(party)?;
        // Relaxed: as above.
        let own = self.consuming.head.load(Relaxed);
        let seen = Position::of(self.look_at_tail());
        Ok(End { me, own, seen, is_close: false, told: None })
    }

    /// Gives the producer's end back.
    pub fn stop_producing(&self, end: &End<N>) {
        if self.producing.claim.leave(end.me) {
            Self::tell(&self.common.items);
        }
    }

    /// Gives the consumer's end back.
    pub fn stop_consuming(&self, end: &End<N>) {
        if self.consuming.claim.leave(end.me) {
            Self::tell(&self.common.space);
        }
    }

    /// Acquire pairs with s7: the values before it are read, and may be written over.
    #[inline(always)]
    fn look_at_head(&self) -> Position<N> {
        Position::of(self.consuming.head.load(Acquire))
    }

    /// Acquire pairs with s3, also by way of s9, which continues its release: the values before it are written;
    /// and with s9: what was done before it was closed is seen.
    #[inline(always)]
    fn look_at_tail(&self) -> u64 {
        self.producing.tail.load(Acquire)
    }

    /// Behind the step that changed what one who sleeps at the other end waits for: wakes him.
    #[inline(always)]
    fn tell(signal: &Signal) {
        // Partner: the fence between a sleeper's mark and its look. Either the mark is seen, or it sees the change.
        fence_behind_rmw();
        if signal.is_marked() {
            // There is one at most, and the mark goes with it.
            signal.notify_all();
        }
    }

    /// Whether somebody has closed it.
    pub fn is_closed(&self) -> bool {
        self.look_at_tail() & CLOSED != 0
    }

    /// How much is between the counters. Relaxed: nothing follows from it.
    pub fn len(&self) -> usize {
        let head = Position::<N>::of(self.consuming.head.load(Relaxed));
        let tail = Position::<N>::of(self.producing.tail.load(Relaxed));
        let between = tail.since(head);
        // Read one after the other: the head may be older than the tail by any number.
        between.min(N as u64) as usize
    }

    /// s1 to s4 for as many of `most` values, one at least, as there is room for: how many. `write` is given the position
    /// of the first, and their number: perhaps in vain, if somebody closes the ring meanwhile.
    #[inline]
    pub fn try_push(
        &self,
        end: &mut End<N>,
        most: u64,
        mut write: impl FnMut(Position<N>, u64),
    ) -> Result<u64, Refused> {
        loop {
            let tail = Position::of(end.own);
            let room = |head| (N as u64).saturating_sub(tail.since(head));
            if room(end.seen) < most {
                end.seen = self.look_at_head();
            }
            let count = room(end.seen).min(most);
            if count == 0 {
                return Err(if self.is_closed() { Refused::Closed } else { Refused::Full });
            }
            write(tail, count);
            let pushed = tail.plus(count).0;
            // Release pairs with `look_at_tail`: they are written. Relaxed: of who closed it nothing is looked at.
            match self.producing.tail.compare_exchange(end.own, pushed, Release, Relaxed) {
                Ok(_) => {
                    end.own = pushed;
                    Self::tell(&self.common.items);
                    return Ok(count);
                }
                Err(word) if word & CLOSED != 0 => return Err(Refused::Closed),
                Err(word) => end.own = word,
            }
        }
    }

    /// Pushes one value as [`try_push`](Self::try_push), waiting for room until then at most.
    #[inline]
    pub fn push(
        &self,
        party: &impl Party,
        end: &mut End<N>,
        until: Option<Moment>,
        mut write: impl FnMut(Position<N>),
    ) -> Result<(), Refused> {
        let mut attempt = |end: &mut End<N>| self.try_push(end, 1, |at, _| write(at)).map(|_| ());
        match attempt(end) {
            Err(Refused::Full) => {
                let wait = Wait { signal: &self.common.space, other: &self.consuming.claim };
                wait.through(party, end, until, &mut attempt, (Refused::Full, Refused::Gone))
            }
            done => done,
        }
    }

    /// s5: the first position that is there, and how many are: `most` at least, or all.
    #[inline]
    pub fn try_front(&self, end: &mut End<N>, most: u64) -> Result<(Position<N>, u64), Nothing> {
        let head = Position::of(end.own);
        let there = end.seen.since(head);
        if (most..=N as u64).contains(&there) {
            return Ok((head, there));
        }
        if end.is_close {
            pause(PAUSES);
        }
        let word = self.look_at_tail();
        end.seen = Position::of(word);
        let there = end.seen.since(head);
        end.is_close = (1..=CLOSE).contains(&there);
        match there {
            0 if word & CLOSED != 0 => Err(Nothing::Closed),
            0 => Err(Nothing::Empty),
            there if there <= N as u64 => Ok((head, there)),
            _ => {
                self.done_until(end, end.seen);
                Err(Nothing::Damaged)
            }
        }
    }

    /// The first position that is there, waiting for it until then at most.
    #[inline]
    pub fn front(
        &self,
        party: &impl Party,
        end: &mut End<N>,
        until: Option<Moment>,
    ) -> Result<Position<N>, Nothing> {
        let mut attempt = |end: &mut End<N>| self.try_front(end, 1).map(|(head, _)| head);
        match attempt(end) {
            Err(Nothing::Empty) => {
                let wait = Wait { signal: &self.common.items, other: &self.producing.claim };
                wait.through(party, end, until, &mut attempt, (Nothing::Empty, Nothing::Gone))
            }
            done => done,
        }
    }

    /// s7 and s8, of the `count` positions from `front` on, which were there.
    #[inline(always)]
    pub fn done(&self, end: &mut End<N>, front: Position<N>, count: u64) {
        self.done_until(end, front.plus(count));
    }

    #[inline(always)]
    fn done_until(&self, end: &mut End<N>, head: Position<N>) {
        end.own = head.0;
        // Release pairs with `look_at_head`: they are read.
        self.consuming.head.swap(head.0, Release);
        Self::tell(&self.common.space);
    }

    /// Says that the value at `front` is given out to be looked at; whether it was before, and is not done.
    #[inline]
    pub fn show(&self, front: Position<N>) -> bool {
        // Relaxed: the consumer's alone, and the next consumer comes behind it.
        let is_again = self.consuming.shown.load(Relaxed) == front.0 + 1;
        self.consuming.shown.store(front.0 + 1, Relaxed);
        is_again
    }

    /// s9.
    pub fn close(&self) {
        // Release pairs with `look_at_tail`: what the closer did before is seen.
        self.producing.tail.fetch_or(CLOSED, Release);
        // Read-modify-writes of the words that sleepers mark before they look: no fence is needed.
        self.common.items.notify_all();
        self.common.space.notify_all();
    }
}

/// How one end waits for the other.
struct Wait<'a> {
    signal: &'a Signal,
    /// Who has the other end.
    other: &'a Claim,
}

impl Wait<'_> {
    /// Attempts it again and again while it says the first of the `errors`, until then at most; the second: it says
    /// that still, and who was waited for has gone.
    #[cold]
    fn through<R, E: Copy + PartialEq, const N: usize>(
        &self,
        party: &impl Party,
        end: &mut End<N>,
        until: Option<Moment>,
        attempt: &mut impl FnMut(&mut End<N>) -> Result<R, E>,
        errors: (E, E),
    ) -> Result<R, E> {
        let (not_yet, gone) = errors;
        for _ in 0..SPINS {
            match attempt(end) {
                Err(error) if error == not_yet => core::hint::spin_loop(),
                done => return done,
            }
        }
        let (mut patience, mut asked) = (Patience::until(until), Asked::NOBODY);
        loop {
            let news = news_of(party);
            let seen = self.signal.mark();
            // Partner: `tell`.
            fence(SeqCst);
            match attempt(end) {
                Err(error) if error == not_yet => {}
                done => return done,
            }
            let owner = match self.other.owner(party, news, &mut asked) {
                Ok(owner) => owner,
                Err(who) => {
                    let going = Some((who, end.own));
                    if end.told != going {
                        // What that one did last came before.
                        return attempt(end).map_err(|error| {
                            if error != not_yet {
                                return error;
                            }
                            end.told = going;
                            gone
                        });
                    }
                    Who::NOBODY // It is known: the next one is waited for.
                }
            };
            if patience.is_over() {
                return Err(not_yet);
            }
            patience.wait_for(owner);
            let woken = patience.sleep(party, self.signal.heard(seen), news);
            asked.thoroughly = woken == Woken::TimedOut;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn positions_come_round_without_a_gap() {
        type At = Position<5>;
        let last = At::of(At::END - 1);
        assert_eq!(last.cell(), 4);
        assert_eq!((last.plus(1), last.plus(3)), (Position(0), Position(2)));
        assert_eq!((last.plus(3).since(last), last.since(last.plus(1))), (3, At::END - 1));
        assert_eq!(At::of(u64::MAX).0, !CLOSED - At::END, "whatever a word says");
        assert_eq!(Position::<8>::END, CLOSED);
        assert_eq!(Position::<8>::of(u64::MAX).plus(1), Position(0));
    }
}

//! The queue without its values: a ring of cells, each with one word, and the steps.
//!
//! ```text
//! bits 0–11    who is at the cell: as in the word of a lock     12–13  kind
//! bits 32–63   likewise                                         14     AGAIN
//!                                                               15–31  lap: how often the ring came round
//! ```
//!
//! Position `p` is cell `p % N` in lap `p / N`. `tail` and `head` are the positions to be written and read
//! next, or one that is taken already: hints, moved by **anyone** who sees that the cell there is taken.
//!
//! ```text
//! push   q1  look at the cell of tail
//!            EMPTY(lap)             CAS → WRITING(lap, me)
//!            taken, or lap + 1      CAS tail → tail + 1; again
//!            of the lap before      full
//!        q2  closed: CAS → EMPTY(lap + 1), as if the writer had died; wake all
//!        q3  write; FULL(lap)
//!        q4  CAS tail → tail + 1; somebody sleeps for items: wake one; the next cell is empty, and
//!            somebody sleeps for space: wake one
//! pop    q5  there is news: sweep (q9)
//!        q6  look at the cell of head
//!            FULL(lap)              CAS → READING(lap, me)
//!            WRITING(lap, dead)     CAS exactly that → EMPTY(lap + 1); wake one who wants space
//!                                   of a queue of objects whose word leads to one: → READING(lap, me)
//!            READING(lap), or lap + 1:  CAS head → head + 1; again
//!            WRITING(lap, live), EMPTY(lap), of the lap before: nothing to be had
//!        q7  CAS head → head + 1; the next cell is full, and somebody sleeps for items: wake one
//! done   q8  CAS READING(lap, me) → EMPTY(lap + 1); somebody sleeps for space: wake one
//!            of a value that is only copied out, q8 comes before q7, as a store
//! back       CAS READING(lap, me) → FULL(lap) + AGAIN; count it in `returned`; wake one who wants items
//! sweep  q9  each cell that is READING(dead) or FULL + AGAIN: CAS exactly that → READING(lap, me) + AGAIN
//!            none is: note of which news that is known
//! ```
//!
//! **Nothing is lost**: a value is gone when its cell is EMPTY of the next lap, the last step of who had it.
//! **Nothing is had twice** but what was not acknowledged, and that says so: AGAIN. **One writer, one reader**:
//! every cell is taken by a CAS of the word that was judged. **Nothing sticks**: behind a dead writer the cell is
//! EMPTY of the *next* lap, which both hints pass; and who died before it moved a hint is helped by who comes by.
//!
//! **No wake-up is lost**: who sleeps marks the signal, and looks again; who makes a cell full or empty looks
//! for the mark behind that. Between the two steps of each stands a full fence, and the later of these sees what
//! was before the other. But cells may become ready *behind* one that is not, and whoever is woken for such a
//! one goes back to sleep; so who takes a cell looks whether the next one is ready, and passes the wake-up on
//! (q4, q7).
//!
//! **Closed is final**: who finds the queue closed looks again at the cell of head, behind a full fence; who has
//! claimed a cell looks whether the queue is closed, behind one, too. So either it is seen to be written to, or its
//! writer gives up. And closed means that nothing is there that could come back: while another process has
//! something unacknowledged, the queue is empty.
//!
//! | dies | is left | who goes on |
//! |---|---|---|
//! | before q1 or q6 takes effect | nothing | |
//! | between q1 and q3 | WRITING: the value was never there; of objects: once the word leads to it, it is | who pops next: the cell is skipped, or had |
//! | between q6 and q8 | READING | `deaths`: who pops next sweeps, and has it again |
//! | before it moved a hint | the hint | who comes by |
//! | between q3, q7, q8 or a giving back, and the wake-up or `returned`; or woken and not yet looking | others asleep, news untold | `deaths`, and the slice of each sleeper |
//!
//! A word that slept while the ring came round 2¹⁷ times is taken for the present one: the order of one value
//! changes by that.
//!
//! Of damaged words nothing is believed: each loop passes a cell twice at most unless somebody changes it.

use crate::lock::party::{Party, Patience, news_of};
use crate::lock::signal::Signal;
use crate::lock::word::Who;
use crate::sync::futex::{Moment, Woken};
use crate::sync::{
    AcqRel, Acquire, AtomicU64, Relaxed, Release, SeqCst, fence, fence_behind_rmw, pause,
};
use core::mem;
#[cfg(not(loom))]
use core::{
    cell::UnsafeCell,
    mem::{MaybeUninit, offset_of},
};

/// Looks at a cell that is being written, before the writer is asked for.
const SPINS: u32 = if cfg!(loom) { 0 } else { 50 };

/// Pauses of a pusher who finds no room, before it looks again; and of one who finds room then: see
/// [`RawQueue::claim`].
const LOOKS_AGAIN: u32 = 4;
const STANDS_BACK: u32 = 60;

/// How often the ring had come round, as far as a cell's word can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Lap(u32);

impl Lap {
    const BITS: u32 = 17;
    const MASK: u32 = (1 << Self::BITS) - 1;

    const fn next(self) -> Lap {
        Lap((self.0 + 1) & Self::MASK)
    }

    /// 0: the same, 1: the next; all else is the lap before, or damage.
    const fn ahead_of(self, other: Lap) -> u32 {
        self.0.wrapping_sub(other.0) & Self::MASK
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Empty,
    Writing,
    Full,
    Reading,
}

/// The word of a cell. All zero: empty, in lap 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State(u64);

impl State {
    const KIND_SHIFT: u32 = 12;
    /// Somebody had it, and did not acknowledge it.
    const AGAIN: u64 = 1 << 14;
    const LAP_SHIFT: u32 = 15;

    const fn of(kind: Kind, lap: Lap) -> State {
        State((kind as u64) << Self::KIND_SHIFT | (lap.0 as u64) << Self::LAP_SHIFT)
    }

    const fn by(self, who: Who) -> State {
        State(self.0 | who.0)
    }

    const fn again(self) -> State {
        State(self.0 | Self::AGAIN)
    }

    const fn is_again(self) -> bool {
        self.0 & Self::AGAIN != 0
    }

    const fn kind(self) -> Kind {
        match (self.0 >> Self::KIND_SHIFT) & 3 {
            0 => Kind::Empty,
            1 => Kind::Writing,
            2 => Kind::Full,
            _ => Kind::Reading,
        }
    }

    const fn lap(self) -> Lap {
        Lap((self.0 >> Self::LAP_SHIFT) as u32 & Lap::MASK)
    }

    fn who(self) -> Who {
        Who::in_word(self.0)
    }
}

const _: () = assert!(State::LAP_SHIFT + Lap::BITS == 32, "the flags end where the counter begins");
const _: () = assert!(State::of(Kind::Empty, Lap(0)).0 == 0, "all zero is an empty queue");

/// What lies in a cell beside its word.
pub trait Content {
    /// Whether a cell whose writer is dead has what he was to write.
    fn is_there(&self) -> bool {
        false
    }
}

#[cfg(not(loom))]
impl<T> Content for UnsafeCell<MaybeUninit<T>> {}

/// A cell: its word, and its value, which is of whoever has the word WRITING or READING.
#[repr(C)]
pub struct Cell<V> {
    state: AtomicU64,
    value: V,
}

#[cfg(not(loom))]
impl<V> Cell<V> {
    /// From a cell to its value.
    pub const VALUE: usize = offset_of!(Self, value);

    /// An empty one.
    pub const fn with(value: V) -> Self {
        Cell { state: AtomicU64::new(0), value }
    }
}

/// A word on a line of its own.
#[repr(C, align(64))]
struct Hint(AtomicU64);

/// What all look at, and few change.
#[repr(C, align(64))]
struct Common {
    /// Who sleeps until there is something.
    items: Signal,
    /// Who sleeps until there is room.
    space: Signal,
    /// Not 0: closed.
    closed: AtomicU64,
    /// How often something was given back.
    returned: AtomicU64,
    /// The news of deaths, and `returned`, from before a sweep that found nothing.
    swept_deaths: AtomicU64,
    swept_returned: AtomicU64,
}

/// A ring of `N` cells with a `V` each. All zero but for the values: empty and open.
#[repr(C)]
pub struct RawQueue<V, const N: usize> {
    tail: Hint,
    head: Hint,
    common: Common,
    cells: [Cell<V>; N],
}

/// Not pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// There is no room; for a call with an end: and was none until then.
    Full,
    /// Somebody has closed it.
    Closed,
}

/// Nothing was had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nothing {
    /// There is nothing, or what is next is being written; for a call with an end: until then.
    Empty,
    /// Nor will there be.
    Closed,
}

/// A cell that is the caller's to read, until [`RawQueue::done`] or [`RawQueue::give_back`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Had {
    cell: usize,
    state: State,
    /// Its position, if the hint was not moved on from there.
    hint: Option<u64>,
}

impl Had {
    /// Whether somebody had it before.
    pub fn is_again(self) -> bool {
        self.state.is_again()
    }
}

/// What is known before a cell is looked at: the news, how often something was given back, and whether who sweeps
/// would find nothing, as all of that was followed.
struct Known {
    news: u64,
    returned: u64,
    is_swept: bool,
}

/// What a sweep found.
enum Swept {
    Had(Had),
    /// Nothing for the caller, and what is in so many cells other processes have.
    Nothing {
        others: usize,
    },
}

/// Of whom a sweep asks not only whether the kernel has given up all that was his, but also what takes longer to
/// say and is said sooner after a death.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thoroughly {
    /// Of all: somebody is dead.
    All,
    /// Of who has something as the `n`th of the other processes.
    One(usize),
    Nobody,
}

#[cfg(not(loom))]
impl<V, const N: usize> RawQueue<V, N> {
    /// An empty one, of cells as [`Cell::with`] makes them.
    pub const fn new(cells: [Cell<V>; N]) -> Self {
        const fn word() -> AtomicU64 {
            AtomicU64::new(0)
        }
        let common = Common {
            items: Signal::new(),
            space: Signal::new(),
            closed: word(),
            returned: word(),
            swept_deaths: word(),
            swept_returned: word(),
        };
        RawQueue { tail: Hint(word()), head: Hint(word()), common, cells }
    }
}

#[cfg(loom)]
impl<V, const N: usize> RawQueue<V, N> {
    /// An empty one; the values of the cells by their numbers.
    pub fn new(value: impl Fn(usize) -> V) -> Self {
        let word = || AtomicU64::new(0);
        let common = Common {
            items: Signal::new(),
            space: Signal::new(),
            closed: word(),
            returned: word(),
            swept_deaths: word(),
            swept_returned: word(),
        };
        let cells = std::array::from_fn(|cell| Cell { state: word(), value: value(cell) });
        RawQueue { tail: Hint(word()), head: Hint(word()), common, cells }
    }
}

impl<V: Content, const N: usize> RawQueue<V, N> {
    /// Where the cells lie in it.
    #[cfg(not(loom))]
    pub const CELLS: usize = offset_of!(Self, cells);

    /// The value of a cell that the caller has.
    #[inline(always)]
    pub fn value(&self, had: Had) -> &V {
        &self.cells[had.cell].value
    }

    /// The cell of a position, and the lap in which it is that.
    #[inline(always)]
    fn place(position: u64) -> (usize, Lap) {
        let cells = N as u64;
        ((position % cells) as usize, Lap((position / cells) as u32 & Lap::MASK))
    }

    /// Acquire pairs with the swap or CAS by which the word was made what it is: what its maker did to the
    /// value came before; and whoever judges who is at it sees that it had attached.
    #[inline(always)]
    fn look(&self, cell: usize) -> State {
        State(self.cells[cell].state.load(Acquire))
    }

    /// Changes exactly the word that was seen. Acquire as for `look`; Release: who sees the new one sees that
    /// we have attached, and that we are done with the value.
    #[inline(always)]
    fn change(&self, cell: usize, seen: State, next: State) -> bool {
        self.cells[cell].state.compare_exchange(seen.0, next.0, AcqRel, Relaxed).is_ok()
    }

    /// Moves a hint on from a position that is taken. Lost: another moved it.
    ///
    /// Release, and Acquire of who reads it: who looks at a later cell comes behind the fence of who claimed this
    /// one ("closed is final").
    #[inline(always)]
    fn help(hint: &Hint, from: u64) {
        let _ = hint.0.compare_exchange(from, from.wrapping_add(1), AcqRel, Relaxed);
    }

    /// Whether somebody has closed it. Acquire pairs with `close`.
    pub fn is_closed(&self) -> bool {
        self.common.closed.load(Acquire) != 0
    }

    /// How much is between the hints. Relaxed: nothing follows from it.
    pub fn len(&self) -> usize {
        let head = self.head.0.load(Relaxed);
        let between = self.tail.0.load(Relaxed).saturating_sub(head);
        between.min(N as u64) as usize
    }

    /// Pushes what `write` puts into the value that it is given, if there is room.
    ///
    /// What there is most of the time, an open queue with room, comes first and by itself: without the rest beside it
    /// all of it stays in registers.
    #[inline]
    pub fn try_push(&self, party: &impl Party, write: impl FnOnce(&V)) -> Result<(), Refused> {
        if self.is_closed() {
            return Err(Refused::Closed);
        }
        let me = party.me();
        let tail = self.tail.0.load(Acquire);
        let (cell, lap) = Self::place(tail);
        let (seen, empty) = (self.look(cell), State::of(Kind::Empty, lap));
        if seen == empty && self.change(cell, empty, State::of(Kind::Writing, lap).by(me)) {
            return self.fill(tail, me, write);
        }
        let tail = self.claim(me, tail, seen)?;
        self.fill(tail, me, write)
    }

    /// q1: the position of a cell that is WRITING by the caller now; `tail` was the hint, and its cell was `seen`.
    ///
    /// A pusher who has caught up with those who receive would stay at their heels: each of its looks takes from
    /// them the line of the cells that they are at, and all are as slow as that line's way between processors. So
    /// who finds no room looks again soon, and if there is some by then, stands back before it takes it. Pauses of
    /// a fixed number, once for a call: nobody is waited for.
    #[cold]
    #[inline(never)]
    fn claim(&self, me: Who, mut tail: u64, mut seen: State) -> Result<u64, Refused> {
        let (mut was_full, mut stands_back) = (cfg!(loom), 0);
        loop {
            let (cell, lap) = Self::place(tail);
            match (seen.lap().ahead_of(lap), seen.kind()) {
                (0, Kind::Empty) => {
                    pause(mem::take(&mut stands_back));
                    let writing = State::of(Kind::Writing, lap).by(me);
                    if self.change(cell, seen, writing) {
                        return Ok(tail);
                    }
                }
                (0 | 1, _) => Self::help(&self.tail, tail),
                _ if self.tail.0.load(Acquire) != tail => {} // what was seen is of another lap
                _ if was_full => return Err(Refused::Full),
                _ => {
                    pause(LOOKS_AGAIN);
                    (was_full, stands_back) = (true, STANDS_BACK);
                }
            }
            if self.is_closed() {
                return Err(Refused::Closed);
            }
            tail = self.tail.0.load(Acquire);
            seen = self.look(Self::place(tail).0);
        }
    }

    /// q2 to q4, with the cell of position `tail` claimed.
    #[inline(always)]
    fn fill(&self, tail: u64, me: Who, write: impl FnOnce(&V)) -> Result<(), Refused> {
        let (cell, lap) = Self::place(tail);
        // Partners: the fence of who found it closed, and of who sleeps for space. One of the two sees what
        // was before the other's.
        fence_behind_rmw();
        if self.is_closed() {
            self.give_up(tail, me);
            return Err(Refused::Closed);
        }
        write(&self.cells[cell].value);
        // Release pairs with `look`: it is written. Nobody but us changes the word while we live. The hint is
        // moved behind it: that is the read-modify-write whose fence the looks at the marks need.
        self.cells[cell].state.store(State::of(Kind::Full, lap).0, Release);
        Self::help(&self.tail, tail);
        self.made_ready(&self.common.items);
        self.pass_on(&self.common.space, tail.wrapping_add(1), Kind::Empty);
        Ok(())
    }

    /// The cell of position `tail`, which the caller has claimed, is as if he had died.
    #[cold]
    fn give_up(&self, tail: u64, me: Who) {
        let (cell, lap) = Self::place(tail);
        let writing = State::of(Kind::Writing, lap).by(me);
        self.change(cell, writing, State::of(Kind::Empty, lap.next()));
        Self::help(&self.tail, tail);
        self.common.items.notify_all();
    }

    /// Behind the step that made a cell full or empty: wakes one who sleeps for that.
    #[inline(always)]
    fn made_ready(&self, signal: &Signal) {
        // Partner: the fence between a sleeper's mark and its look. Either it is seen, or it sees the cell.
        fence_behind_rmw();
        if signal.is_marked() {
            signal.notify_one();
        }
    }

    /// Behind the claim of a cell, and a fence: wakes one more if the next cell is ready, for whom a wake-up
    /// may have been spent on this one while it was not.
    #[inline(always)]
    fn pass_on(&self, signal: &Signal, next: u64, kind: Kind) {
        if signal.is_marked() {
            let (cell, lap) = Self::place(next);
            if self.look(cell) == State::of(kind, lap) {
                signal.notify_one();
            }
        }
    }

    /// Pushes as [`try_push`](Self::try_push), waiting for room until then at most.
    #[inline]
    pub fn push(
        &self,
        party: &impl Party,
        until: Option<Moment>,
        mut write: impl FnMut(&V),
    ) -> Result<(), Refused> {
        match self.try_push(party, &mut write) {
            Err(Refused::Full) => self.push_slow(party, until, &mut write),
            done => done,
        }
    }

    #[cold]
    fn push_slow(
        &self,
        party: &impl Party,
        until: Option<Moment>,
        write: &mut impl FnMut(&V),
    ) -> Result<(), Refused> {
        let mut patience = Patience::until(until);
        loop {
            let news = news_of(party);
            let seen = self.common.space.mark();
            // Partner: `made_ready`, and the one behind a claim.
            fence(SeqCst);
            match self.try_push(party, &mut *write) {
                Err(Refused::Full) if !patience.is_over() => {}
                done => return done,
            }
            if patience.sleep(party, self.common.space.heard(seen), news) == Woken::TimedOut {
                party.look_for_dead();
            }
        }
    }

    /// Takes what is next, if there is something: until it is done it is the caller's to read. Who does more than
    /// that [keeps](Self::keep) it.
    ///
    /// What there is most of the time, something in its order and no news, comes first, as in
    /// [`try_push`](Self::try_push).
    #[inline]
    pub fn try_pop(&self, party: &impl Party) -> Result<Had, Nothing> {
        let (me, known) = (party.me(), self.known(news_of(party)));
        if !known.is_swept {
            return self.pop_by(party, &known, None);
        }
        let head = self.head.0.load(Acquire);
        let (cell, lap) = Self::place(head);
        let (seen, full) = (self.look(cell), State::of(Kind::Full, lap));
        let reading = State::of(Kind::Reading, lap).by(me);
        if seen == full && self.change(cell, full, reading) {
            return Ok(Had { cell, state: reading, hint: Some(head) });
        }
        self.pop_in_order(party, head, seen, false)
    }

    /// What is to be known before a cell is looked at; `news` are from before it.
    #[inline(always)]
    fn known(&self, news: u64) -> Known {
        // Acquire pairs with `give_back`: the sweep sees the cell.
        let returned = self.common.returned.load(Acquire);
        // Relaxed: whoever wrote them had looked at all cells behind that news.
        let is_swept = self.common.swept_deaths.load(Relaxed) == news
            && self.common.swept_returned.load(Relaxed) == returned;
        Known { news, returned, is_swept }
    }

    /// The same, waiting until then at most.
    #[inline]
    pub fn pop(&self, party: &impl Party, until: Option<Moment>) -> Result<Had, Nothing> {
        match self.try_pop(party) {
            Err(Nothing::Empty) => self.pop_slow(party, until),
            done => done,
        }
    }

    #[cold]
    fn pop_slow(&self, party: &impl Party, until: Option<Moment>) -> Result<Had, Nothing> {
        let mut patience = Patience::until(until);
        // Whose turn it is to be asked for, after a slice in which nothing was heard.
        let (mut turn, mut is_turn) = (0, false);
        loop {
            let news = news_of(party);
            let seen = self.common.items.mark();
            // Partner: `made_ready`, and the one behind a claim.
            fence(SeqCst);
            match self.pop_by(party, &self.known(news), is_turn.then_some(&mut turn)) {
                Err(Nothing::Empty) if !patience.is_over() => {}
                done => return done,
            }
            let woken = patience.sleep(party, self.common.items.heard(seen), news);
            is_turn = woken == Woken::TimedOut;
            if is_turn {
                party.look_for_dead();
            }
        }
    }

    /// A look at all that could be had. `turn`, of one who was told nothing for a while: he asks for the dead himself,
    /// for one of those who have something at a time.
    #[cold]
    #[inline(never)]
    fn pop_by(
        &self,
        party: &impl Party,
        known: &Known,
        turn: Option<&mut usize>,
    ) -> Result<Had, Nothing> {
        let thoroughly = turn.is_some();
        if !known.is_swept || thoroughly {
            let ask = match &turn {
                Some(turn) if known.is_swept => Thoroughly::One(**turn),
                _ => Thoroughly::All,
            };
            match self.sweep(party, party.me(), ask) {
                Swept::Had(had) => return Ok(had),
                Swept::Nothing { others } => {
                    if let Some(turn) = turn {
                        *turn = if *turn + 1 < others { *turn + 1 } else { 0 };
                    }
                    // Relaxed: an older note in the place of a newer one costs a sweep.
                    self.common.swept_deaths.store(known.news, Relaxed);
                    self.common.swept_returned.store(known.returned, Relaxed);
                }
            }
        }
        let head = self.head.0.load(Acquire);
        self.pop_in_order(party, head, self.look(Self::place(head).0), thoroughly)
    }

    /// q6 of what is in its order; `head` was the hint, and its cell was `seen`.
    #[cold]
    #[inline(never)]
    fn pop_in_order(
        &self,
        party: &impl Party,
        mut head: u64,
        mut seen: State,
        thoroughly: bool,
    ) -> Result<Had, Nothing> {
        let me = party.me();
        let mut was_closed = false;
        loop {
            let (cell, lap) = Self::place(head);
            match (seen.lap().ahead_of(lap), seen.kind()) {
                (0, Kind::Full) if !seen.is_again() => {
                    let reading = State::of(Kind::Reading, lap).by(me);
                    if self.change(cell, seen, reading) {
                        return Ok(Had { cell, state: reading, hint: Some(head) });
                    }
                }
                (0, Kind::Writing) => {
                    if self.is_being_written(party, me, cell, seen, thoroughly) {
                        return Err(Nothing::Empty);
                    }
                    // Behind the verdict: all that the dead one stored.
                    if self.cells[cell].value.is_there() {
                        let reading = State::of(Kind::Reading, lap).by(me);
                        if self.change(cell, seen, reading) {
                            return Ok(Had { cell, state: reading, hint: Some(head) });
                        }
                    } else if self.change(cell, seen, State::of(Kind::Empty, lap.next())) {
                        Self::help(&self.head, head);
                        self.made_ready(&self.common.space);
                    }
                }
                (0, Kind::Reading | Kind::Full) | (1, _) => Self::help(&self.head, head),
                _ if self.head.0.load(Acquire) != head => {} // what was seen is of another lap
                _ if was_closed => return self.last(party, me),
                _ if self.is_closed() => {
                    was_closed = true;
                    // Partner: the one behind a claim. Who claimed a cell that is still seen to be empty finds
                    // the queue closed.
                    fence(SeqCst);
                }
                _ => return Err(Nothing::Empty),
            }
            head = self.head.0.load(Acquire);
            seen = self.look(Self::place(head).0);
        }
    }

    /// Whether the writer of a cell is at it still. Otherwise the word is another by now, or he is dead.
    #[cold]
    fn is_being_written(
        &self,
        party: &impl Party,
        me: Who,
        cell: usize,
        seen: State,
        thoroughly: bool,
    ) -> bool {
        for _ in 0..SPINS {
            if self.look(cell) != seen {
                return false;
            }
            core::hint::spin_loop();
        }
        seen.who() == me || !party.is_dead(seen.who(), thoroughly)
    }

    /// Of a queue that is closed and to which nothing will come: what comes back to it, if anything may.
    #[cold]
    fn last(&self, party: &impl Party, me: Who) -> Result<Had, Nothing> {
        match self.sweep(party, me, Thoroughly::Nobody) {
            Swept::Had(had) => Ok(had),
            Swept::Nothing { others: 0 } => Err(Nothing::Closed),
            Swept::Nothing { others: _ } => Err(Nothing::Empty),
        }
    }

    /// q9
    #[cold]
    fn sweep(&self, party: &impl Party, me: Who, ask: Thoroughly) -> Swept {
        let mut others = 0;
        for cell in 0..N {
            let seen = self.look(cell);
            let is_mine = match seen.kind() {
                Kind::Full => seen.is_again(),
                Kind::Reading if seen.who() == me => false,
                Kind::Reading => {
                    let thoroughly = ask == Thoroughly::All || ask == Thoroughly::One(others);
                    party.is_dead(seen.who(), thoroughly)
                }
                Kind::Empty | Kind::Writing => false,
            };
            let reading = State::of(Kind::Reading, seen.lap()).by(me).again();
            if is_mine && self.change(cell, seen, reading) {
                return Swept::Had(Had { cell, state: reading, hint: None });
            }
            // Lost, it is another's.
            let is_others = is_mine || seen.kind() == Kind::Reading && seen.who() != me;
            others += usize::from(is_others);
        }
        Swept::Nothing { others }
    }

    /// q7, for who has it longer than a copy takes: others need not pass it, nor sleep beside what is behind it.
    #[inline(always)]
    pub fn keep(&self, had: Had) -> Had {
        self.move_on(had);
        Had { hint: None, ..had }
    }

    #[inline(always)]
    fn move_on(&self, had: Had) {
        if let Some(head) = had.hint {
            Self::help(&self.head, head);
            // Partner: the fence of who sleeps for items.
            fence_behind_rmw();
            self.pass_on(&self.common.items, head.wrapping_add(1), Kind::Full);
        }
    }

    /// q8: acknowledges what the caller had, which is gone by that.
    #[inline(always)]
    pub fn done(&self, had: Had) {
        let empty = State::of(Kind::Empty, had.state.lap().next());
        if had.hint.is_some() {
            // Release pairs with `look`: it was read. Nobody but us changes the word while we live. The hint is
            // moved behind it: that is the read-modify-write whose fence the looks at the marks need.
            self.cells[had.cell].state.store(empty.0, Release);
            self.move_on(had);
        } else if !self.change(had.cell, had.state, empty) {
            return;
        }
        self.made_ready(&self.common.space);
        if self.is_closed() {
            // Some may wait to see whether it comes back.
            self.common.items.notify_all();
        }
    }

    /// Puts what the caller had back for another, or for the caller.
    #[cold]
    pub fn give_back(&self, had: Had) {
        let full = State::of(Kind::Full, had.state.lap()).again();
        if self.change(had.cell, had.state, full) {
            // Release pairs with `pop_by`.
            self.common.returned.fetch_add(1, AcqRel);
            self.common.items.notify_one();
        }
    }

    /// Nothing can be pushed any more. All who sleep look.
    pub fn close(&self) {
        // Release pairs with `is_closed`: what the closer did before is seen.
        self.common.closed.swap(1, AcqRel);
        // Read-modify-writes of the words that sleepers mark before they look: no fence is needed.
        self.common.items.notify_all();
        self.common.space.notify_all();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::process::participant::ParticipantId;

    #[test]
    fn a_cells_word_has_what_was_put_into_it() {
        let who = Who::of(ParticipantId(511).since(u32::MAX));
        for kind in [Kind::Empty, Kind::Writing, Kind::Full, Kind::Reading] {
            for lap in [Lap(0), Lap(1), Lap(Lap::MASK)] {
                let state = State::of(kind, lap).by(who);
                assert_eq!((state.kind(), state.lap(), state.who()), (kind, lap, who));
                assert!(!state.is_again());
                let again = state.again();
                assert!(again.is_again());
                assert_eq!((again.kind(), again.lap(), again.who()), (kind, lap, who));
            }
        }
    }

    #[test]
    fn laps_come_round() {
        let last = Lap(Lap::MASK);
        assert_eq!(last.next(), Lap(0));
        assert_eq!(last.next().ahead_of(last), 1);
        assert!(last.ahead_of(last.next()) > 1, "the lap before");
    }
}

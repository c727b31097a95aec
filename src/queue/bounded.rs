//! [`Queue`]: what is pushed by any process any other receives, once.

use crate::lock::party::Party;
use crate::lock::place::Place;
use crate::lock::word::Who;
use crate::queue::error::{PushError, RecvError, TryPushError, TryRecvError};
use crate::queue::raw::{Cell, Had, Nothing, RawQueue, Refused};
use crate::shareable::{LayoutHash, Shareable};
use crate::sync::futex::Moment;
use core::cell::UnsafeCell;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit, offset_of};
use core::ops::Deref;
use core::ptr;
use std::time::{Duration, Instant};

/// A cell's value. Not a `T` to the compiler: it may be nobody's, or damaged.
type Value<T> = UnsafeCell<MaybeUninit<T>>;

/// A queue of at most `N` values, for all threads of all processes that have the segment.
///
/// It lies in place, `192 + N × (8 + size)` bytes and what alignment adds; all zero is an empty one. Values are
/// copied in and out, and have no blocks of their own. In order: what one thread pushed before another value it
/// pushed is received before that, but for what was received before and comes back.
///
/// # When a process dies
/// - **Pushing**: the value is in the queue, or never was. It is in nobody's way.
/// - **Receiving** by [`recv`](Self::recv): it has the value, which dies with it, or another receives that.
/// - **At a job**, received by [`recv_job`](Self::recv_job) and not [acknowledged](Delivery::done): another
///   receives it, and can ask: [`Delivery::is_redelivered`].
///
/// What the dead had comes before all else to whoever receives next, once the death is known: when it is
/// recovered (a [`Watcher`](crate::Watcher) does so at once), or when one who waits here finds out, after 50 ms
/// at most. Who only ever tries ([`try_recv`](Self::try_recv)) finds out nothing: somebody must
/// [recover](crate::Segment::recover).
///
/// # Progress
/// Lock-free where nothing has to be waited for: a step that fails has met another's success, and who is stopped
/// or dead keeps nobody from pushing. But the order is kept: who is stopped *inside* a push keeps others from
/// receiving what was pushed behind it, and who holds a job unacknowledged keeps its place in the ring, which is
/// full when it comes round to that: a queue for long jobs has more places than there are jobs under way.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sharena::{Options, queue::{Queue, RecvError}};
///
/// let segment = Options::new().capacity(1 << 20).create_anonymous()?;
/// let queue = segment.construct("jobs", Queue::<u64, 16>::new())?;
/// queue.push(1)?; // in any process that has found it
/// queue.push(2)?;
/// queue.close();
/// assert_eq!(queue.recv()?, 1);
/// let job = queue.recv_job()?;
/// assert_eq!((*job, job.is_redelivered()), (2, false));
/// drop(job); // not acknowledged
/// let job = queue.recv_job()?;
/// assert!(job.is_redelivered());
/// job.done();
/// assert_eq!(queue.recv(), Err(RecvError::Closed));
/// # Ok(())
/// # }
/// ```
///
/// What has blocks of its own would take them along if who received it died. It is sent by an
/// [`ObjectQueue`](super::ObjectQueue), and stays where it is:
///
/// ```compile_fail
/// # use sharena::{collections::Vec, queue::Queue};
/// let queue = Queue::<Vec<u64>, 4>::new();
/// ```
#[repr(C)]
pub struct Queue<T, const N: usize> {
    raw: RawQueue<Value<T>, N>,
}

// SAFETY: a value is reached by one thread at a time: who has its cell's word WRITING or READING, by a CAS of
// that (one writer, one reader: `queue::raw`), which orders one after the other. `Shareable` values are `Send`.
unsafe impl<T: Shareable, const N: usize> Sync for Queue<T, N> {}

// SAFETY: words of the crate's own, atomics, of which each value is one, and `N` times a `T`, in the layout that
// `repr(C)` says. What changes behind a shared reference are the words, by atomics, and what they guard. They
// name processes by their attachment to the segment. No drop glue: `T` has none in a `MaybeUninit`. Each value
// of the bytes is one of this type: before a value is given out it is looked at.
unsafe impl<T: Shareable, const N: usize> Shareable for Queue<T, N> {
    const NAME: u64 = LayoutHash::of_name("Queue").parameter::<T>().word(N as u64).finish();
    const FINGERPRINT: u64 = {
        let () = Self::MAKES_SENSE;
        LayoutHash::of_type::<Self>()
            .field("raw", offset_of!(Self, raw), u64::FINGERPRINT)
            .field(
                "values",
                RawQueue::<Value<T>, N>::CELLS + Cell::<Value<T>>::VALUE,
                T::FINGERPRINT,
            )
            .word(N as u64)
            .finish()
    };
    const ANY_BITS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("Queue<")?;
        T::describe(out)?;
        write!(out, ", {N}>")
    }
    // SAFETY: of the caller nothing is asked, as nothing is looked at.
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
}

impl<T: Shareable, const N: usize> Queue<T, N> {
    /// Asked for by whoever makes one, and whoever finds one.
    const MAKES_SENSE: () = {
        assert!(N > 0, "a queue without a place");
        assert!(
            !T::HAS_BLOCKS,
            "what is in a queue has no blocks of its own: use an `ObjectQueue`"
        );
    };

    /// An empty one.
    pub const fn new() -> Queue<T, N> {
        let () = Self::MAKES_SENSE;
        let cells = [const { Cell::with(UnsafeCell::new(MaybeUninit::zeroed())) }; N];
        Queue { raw: RawQueue::new(cells) }
    }

    /// How many values have room: `N`.
    pub const fn capacity(&self) -> usize {
        N
    }

    /// How many values are there to be received: of some moment or none, while others push and receive. Those
    /// that were received and not acknowledged, or given back, do not count.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether [`len`](Self::len) is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pushes a value, if there is room. Lock-free.
    ///
    /// Who finds none looks again after some 0.1 µs, and if there is some by then, pushes after a µs more: so it does
    /// not slow down those who receive by being at their heels.
    ///
    /// Dead inside: it was pushed, or not; and who waits hears of the death.
    ///
    /// # Errors
    /// [`TryPushError`], which has the value.
    ///
    /// # Panics
    /// In a child made by fork that cannot attach to the segment, as all that push and receive.
    #[inline]
    pub fn try_push(&self, value: T) -> Result<(), TryPushError<T>> {
        let value = MaybeUninit::new(value);
        let pushed = self.raw.try_push(&Place::of(self), |to| Self::write(&value, to));
        Self::pushed(pushed, value)
    }

    /// Pushes a value, waiting for room as long as it takes. Waits for those who have what was pushed `N`
    /// before, and for nobody else.
    ///
    /// Dead inside: as for [`try_push`](Self::try_push).
    ///
    /// # Errors
    /// [`PushError`], which has the value: the queue is closed.
    ///
    /// # Panics
    /// As [`try_push`](Self::try_push).
    #[inline]
    pub fn push(&self, value: T) -> Result<(), PushError<T>> {
        match self.push_by(value, None) {
            Ok(()) => Ok(()),
            Err(TryPushError::Closed(value)) => Err(PushError(value)),
            Err(TryPushError::Full(_)) => unreachable!("it waits for ever"),
        }
    }

    /// Pushes a value, if there is room within `duration`, by the monotonic clock.
    ///
    /// # Errors
    /// As [`try_push`](Self::try_push).
    pub fn push_for(&self, value: T, duration: Duration) -> Result<(), TryPushError<T>> {
        self.push_by(value, Moment::after(duration))
    }

    /// Pushes a value, if there is room before `deadline`.
    ///
    /// # Errors
    /// As [`try_push`](Self::try_push).
    pub fn push_until(&self, value: T, deadline: Instant) -> Result<(), TryPushError<T>> {
        self.push_by(value, Moment::of(deadline))
    }

    #[inline]
    fn push_by(&self, value: T, until: Option<Moment>) -> Result<(), TryPushError<T>> {
        let value = MaybeUninit::new(value);
        let pushed = self.raw.push(&Place::of(self), until, |to| Self::write(&value, to));
        Self::pushed(pushed, value)
    }

    /// Puts a value into a cell that the caller has claimed.
    #[inline(always)]
    fn write(value: &MaybeUninit<T>, to: &Value<T>) {
        // SAFETY: the cell is WRITING by us: nobody else reaches its value. Nothing there is dropped, as
        // shareable values without blocks have no drop glue.
        unsafe { ptr::copy_nonoverlapping(value, to.get(), 1) };
    }

    /// The value, if it was not pushed.
    #[inline(always)]
    fn pushed(pushed: Result<(), Refused>, value: MaybeUninit<T>) -> Result<(), TryPushError<T>> {
        // SAFETY: it was made of one, and is not in the queue.
        let value = || unsafe { value.assume_init() };
        match pushed {
            Ok(()) => Ok(()),
            Err(Refused::Full) => Err(TryPushError::Full(value())),
            Err(Refused::Closed) => Err(TryPushError::Closed(value())),
        }
    }

    /// Receives what is next, if there is something. Lock-free.
    ///
    /// Dead inside: another receives it, or nobody, as if it had been received before.
    ///
    /// # Errors
    /// [`TryRecvError`].
    ///
    /// # Panics
    /// As [`try_push`](Self::try_push).
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let place = Place::of(self);
        self.received(self.raw.try_pop(&place))
    }

    /// Receives what is next, waiting for it as long as it takes.
    ///
    /// What another had received as a job, and that came back, is not told from the rest: see
    /// [`recv_job`](Self::recv_job).
    ///
    /// Dead inside: as for [`try_recv`](Self::try_recv).
    ///
    /// # Errors
    /// [`RecvError`].
    ///
    /// # Panics
    /// As [`try_push`](Self::try_push).
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        let place = Place::of(self);
        self.received(self.raw.pop(&place, None)).map_err(never_empty)
    }

    /// Receives what is next, if something is there within `duration`, by the monotonic clock.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn recv_for(&self, duration: Duration) -> Result<T, TryRecvError> {
        let place = Place::of(self);
        self.received(self.raw.pop(&place, Moment::after(duration)))
    }

    /// Receives what is next, if something is there before `deadline`.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn recv_until(&self, deadline: Instant) -> Result<T, TryRecvError> {
        let place = Place::of(self);
        self.received(self.raw.pop(&place, Moment::of(deadline)))
    }

    #[inline(always)]
    fn received(&self, had: Result<Had, Nothing>) -> Result<T, TryRecvError> {
        let had = had?;
        let value = self.copy(had);
        self.raw.done(had);
        Self::looked_at(value)
    }

    /// What stands in a cell that the caller has.
    #[inline(always)]
    fn copy(&self, had: Had) -> MaybeUninit<T> {
        // SAFETY: the cell is READING by us: nobody changes its value. Any bytes may be copied.
        unsafe { self.raw.value(had).get().read() }
    }

    /// A copy, if it is a value.
    #[inline(always)]
    fn looked_at(value: MaybeUninit<T>) -> Result<T, TryRecvError> {
        // SAFETY: the copy is ours. Its bytes are initialized: they were pushed, or are the zeros that a queue
        // begins with, or what the file of a segment had.
        let is_value = T::ANY_BITS || unsafe { T::is_valid(value.as_ptr()) };
        // SAFETY: it is one.
        if is_value { Ok(unsafe { value.assume_init() }) } else { Err(TryRecvError::InvalidValue) }
    }

    /// Receives what is next as a job, waiting for it as long as it takes: it stays in the queue until it is
    /// acknowledged, and another has it if this process dies before.
    ///
    /// Dead inside: another receives it.
    ///
    /// # Errors
    /// [`RecvError`].
    ///
    /// # Panics
    /// As [`try_push`](Self::try_push).
    pub fn recv_job(&self) -> Result<Delivery<'_, T, N>, RecvError> {
        self.job_by(|raw, place| raw.pop(place, None)).map_err(never_empty)
    }

    /// The same, if there is something. Lock-free.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn try_recv_job(&self) -> Result<Delivery<'_, T, N>, TryRecvError> {
        self.job_by(|raw, place| raw.try_pop(place))
    }

    /// The same, if something is there within `duration`, by the monotonic clock.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn recv_job_for(&self, duration: Duration) -> Result<Delivery<'_, T, N>, TryRecvError> {
        self.job_by(|raw, place| raw.pop(place, Moment::after(duration)))
    }

    /// The same, if something is there before `deadline`.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn recv_job_until(&self, deadline: Instant) -> Result<Delivery<'_, T, N>, TryRecvError> {
        self.job_by(|raw, place| raw.pop(place, Moment::of(deadline)))
    }

    fn job_by(
        &self,
        pop: impl FnOnce(&RawQueue<Value<T>, N>, &Place<'_>) -> Result<Had, Nothing>,
    ) -> Result<Delivery<'_, T, N>, TryRecvError> {
        let place = Place::of(self);
        let had = self.raw.keep(pop(&self.raw, &place)?);
        match Self::looked_at(self.copy(had)) {
            Ok(value) => Ok(Delivery { queue: self, me: place.me(), place, had, value }),
            Err(invalid) => {
                self.raw.done(had);
                Err(invalid)
            }
        }
    }

    /// Nothing can be pushed any more; what is in it can be received. All who wait are told. Lock-free.
    ///
    /// A push beside it either succeeds, and what was pushed is received by those who receive until they are told
    /// that the queue is closed, or is told itself.
    ///
    /// Dead inside: it is closed, or not; who waits hears of the death.
    pub fn close(&self) {
        self.raw.close();
    }

    /// Whether somebody has closed it.
    pub fn is_closed(&self) -> bool {
        self.raw.is_closed()
    }
}

fn never_empty(error: TryRecvError) -> RecvError {
    match error {
        TryRecvError::Closed => RecvError::Closed,
        TryRecvError::InvalidValue => RecvError::InvalidValue,
        TryRecvError::Empty => unreachable!("it waits for ever"),
    }
}

impl From<Nothing> for TryRecvError {
    fn from(nothing: Nothing) -> Self {
        match nothing {
            Nothing::Empty => TryRecvError::Empty,
            Nothing::Closed => TryRecvError::Closed,
        }
    }
}

impl<T: Shareable, const N: usize> Default for Queue<T, N> {
    fn default() -> Self {
        Queue::new()
    }
}

impl<T: Shareable, const N: usize> fmt::Debug for Queue<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .field("capacity", &N)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// A value that was received and is not acknowledged: [`done`](Self::done). Dropped before, it is given back to
/// the queue, for whoever receives next.
///
/// Leaked, it keeps its place until the process ends, and then another receives it. It may be sent to another
/// thread. In a child made by fork it does nothing.
#[must_use = "what is not acknowledged is given back"]
pub struct Delivery<'a, T: Shareable, const N: usize> {
    queue: &'a Queue<T, N>,
    place: Place<'a>,
    me: Who,
    had: Had,
    /// A copy: what stands in the cell is for the next, if there is one.
    value: T,
}

impl<T: Shareable, const N: usize> Delivery<'_, T, N> {
    /// Whether somebody had it before, and gave it back or died, so that what it asks for may be done in part,
    /// or wholly.
    pub fn is_redelivered(&self) -> bool {
        self.had.is_again()
    }

    /// Acknowledges it: nobody receives it any more. Lock-free.
    ///
    /// Dead inside: it is acknowledged, or not; and who waits for room hears of the death.
    pub fn done(self) {
        let _ = self.into_inner();
    }

    /// The same; the value.
    pub fn into_inner(self) -> T {
        let delivery = ManuallyDrop::new(self);
        if delivery.is_ours() {
            delivery.queue.raw.done(delivery.had);
        }
        // SAFETY: the delivery is not used any more, nor dropped.
        unsafe { ptr::read(&raw const delivery.value) }
    }

    /// Who we are is asked afresh: in a child made by fork it is its parent's.
    fn is_ours(&self) -> bool {
        self.place.me_fast() == self.me
    }
}

impl<T: Shareable, const N: usize> Deref for Delivery<'_, T, N> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Shareable, const N: usize> Drop for Delivery<'_, T, N> {
    fn drop(&mut self) {
        if self.is_ours() {
            self.queue.raw.give_back(self.had);
        }
    }
}

impl<T: Shareable + fmt::Debug, const N: usize> fmt::Debug for Delivery<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("value", &self.value)
            .field("redelivered", &self.is_redelivered())
            .finish_non_exhaustive()
    }
}

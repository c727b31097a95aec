//! [`SpscRing`]: a stream of values from one process to another.

use crate::lock::place::Place;
use crate::queue::claim::Taken;
use crate::queue::error::{ClaimError, SpscPushError, SpscRecvError};
use crate::queue::raw_spsc::{End, Nothing, Position, RawSpsc, Refused};
use crate::shareable::{LayoutHash, Shareable};
use crate::sync::futex::Moment;
use core::cell::UnsafeCell;
use core::fmt;
use core::mem::{MaybeUninit, offset_of};
use core::ops::Deref;
use core::ptr;
use std::time::{Duration, Instant};

/// A cell's value. Not a `T` to the compiler: it may be nobody's, or damaged.
type Value<T> = UnsafeCell<MaybeUninit<T>>;

/// A ring of at most `N` values, from one who pushes to one who receives: SPSC.
///
/// It lies in place, in `384 + N × size` bytes and what alignment adds; all zero is an empty one. Values are copied in
/// and out, or read where they lie ([`Consumer::peek`]), and have no blocks of their own. Where several push, or
/// several receive, take a [`Queue`](crate::queue::Queue).
///
/// # Ends
/// Who pushes has the [`producer`](Self::producer)'s end, who receives the [`consumer`](Self::consumer)'s. Each is
/// had by one process at a time, and by one thread of it, which may hand it to another. It is given back when it is
/// dropped, and can be had at once when the process that had it is dead; what was pushed stays.
///
/// # When a process dies
/// - **Pushing**: the value is in the ring, or never was.
/// - **Receiving** by [`recv`](Consumer::recv): it has the value, which dies with it, or the next consumer receives
///   that.
/// - **Looking at a value** by [`peek`](Consumer::peek), before it says that it is [done](Front::done): the next
///   consumer receives it, and can ask: [`Front::is_redelivered`].
///
/// Who waits for one who dies, or who drops the end and does not close the ring, is told:
/// [`ProducerGone`](SpscRecvError::ProducerGone) when all is received, [`ConsumerGone`](SpscPushError::ConsumerGone)
/// when there is no room. He is told once; who goes on waits for the next who takes the end, as for one who has not
/// come yet. Who only ever tries finds out nothing.
///
/// # Progress
/// To push and to receive are wait-free where nothing has to be waited for: one CAS or swap, and a wake-up if the
/// other sleeps. Who is stopped keeps nobody from anything but what it is waited for.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sharena::{Options, queue::{SpscRecvError, SpscRing}};
///
/// let segment = Options::new().capacity(1 << 20).create_anonymous()?;
/// let ring = segment.construct("samples", SpscRing::<u64, 16>::new())?;
/// let mut producer = ring.producer()?; // in one process that has found it
/// producer.push(1)?;
/// producer.push(2)?;
/// let mut consumer = ring.consumer()?; // in another
/// assert_eq!(consumer.recv()?, 1);
/// let front = consumer.peek()?;
/// assert_eq!(*front, 2);
/// drop(front); // not done
/// let front = consumer.peek()?;
/// assert!(front.is_redelivered());
/// front.done();
/// drop(producer);
/// assert_eq!(consumer.recv(), Err(SpscRecvError::ProducerGone));
/// ring.close();
/// assert_eq!(consumer.recv(), Err(SpscRecvError::Closed));
/// # Ok(())
/// # }
/// ```
///
/// What has blocks of its own would take them along if who received it died. It stays where it is, and an
/// [`Offset`](crate::Offset) is sent:
///
/// ```compile_fail
/// # use sharena::{collections::Vec, queue::SpscRing};
/// let ring = SpscRing::<Vec<u64>, 4>::new();
/// ```
#[repr(C)]
pub struct SpscRing<T, const N: usize> {
    raw: RawSpsc<Value<T>, N>,
}

// SAFETY: a value is written by the producer alone, while its position is not below the tail, and reached by the
// consumer alone, while it is between head and tail: `queue::raw_spsc`, whose counters order one after the other. An
// end is one thread's at a time (`&mut`), and one process' (`queue::claim`). `Shareable` values are `Send`.
unsafe impl<T: Shareable, const N: usize> Sync for SpscRing<T, N> {}

// SAFETY: words of the crate's own, atomics, of which each value is one, and `N` times a `T`, in the layout that
// `repr(C)` says. What changes behind a shared reference are the words, by atomics, and what they guard. They
// name processes by their attachment to the segment. No drop glue: `T` has none in a `MaybeUninit`. Each value
// of the bytes is one of this type: before a value is given out it is looked at.
unsafe impl<T: Shareable, const N: usize> Shareable for SpscRing<T, N> {
    const NAME: u64 = LayoutHash::of_name("SpscRing").parameter::<T>().word(N as u64).finish();
    const FINGERPRINT: u64 = {
        let () = Self::MAKES_SENSE;
        LayoutHash::of_type::<Self>()
            .field("raw", offset_of!(Self, raw), u64::FINGERPRINT)
            .field("cells", RawSpsc::<Value<T>, N>::CELLS, T::FINGERPRINT)
            .word(N as u64)
            .finish()
    };
    const ANY_BITS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("SpscRing<")?;
        T::describe(out)?;
        write!(out, ", {N}>")
    }
    // SAFETY: of the caller nothing is asked, as nothing is looked at.
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
}

impl<T: Shareable, const N: usize> SpscRing<T, N> {
    /// Asked for by whoever makes one, and whoever finds one.
    const MAKES_SENSE: () = {
        assert!(N > 0, "a ring without a place");
        assert!(!T::HAS_BLOCKS, "what is in a ring has no blocks of its own: use an `ObjectQueue`");
    };

    /// An empty one, of which nobody has an end.
    pub const fn new() -> SpscRing<T, N> {
        let () = Self::MAKES_SENSE;
        SpscRing { raw: RawSpsc::new() }
    }

    /// How many values have room: `N`.
    pub const fn capacity(&self) -> usize {
        N
    }

    /// How many values are there to be received: of some moment or none, while others push and receive.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether [`len`](Self::len) is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the end at which values are pushed, if nobody has it, or one who is dead. Lock-free.
    ///
    /// Dead inside: nobody has it, or one who is dead.
    ///
    /// # Errors
    /// [`ClaimError`]: one who lives has it.
    ///
    /// # Panics
    /// In a child made by fork that cannot attach to the segment.
    pub fn producer(&self) -> Result<Producer<'_, T, N>, ClaimError> {
        let place = Self::place_of(self);
        let end = self.raw.produce(&place).map_err(|taken| refused(&place, taken))?;
        Ok(Producer { ring: self, place, end })
    }

    /// Takes the end at which values are received, if nobody has it, or one who is dead. Lock-free.
    ///
    /// Dead inside: nobody has it, or one who is dead.
    ///
    /// # Errors
    /// As [`producer`](Self::producer).
    ///
    /// # Panics
    /// As [`producer`](Self::producer).
    pub fn consumer(&self) -> Result<Consumer<'_, T, N>, ClaimError> {
        let place = Self::place_of(self);
        let end = self.raw.consume(&place).map_err(|taken| refused(&place, taken))?;
        Ok(Consumer { ring: self, place, end })
    }

    /// Where it lies, for one who wants an end: who waits at the other one hears of his death at once.
    fn place_of(&self) -> Place<'_> {
        let place = Place::of(self);
        if let Place::In(attached, _) = place {
            attached.hang_bell();
        }
        place
    }

    /// Nothing can be pushed any more; what is in it can be received. Both are told who wait. Lock-free.
    ///
    /// By whoever has the ring, also without an end. A push beside it either succeeds, and what was pushed is received
    /// before the consumer is told, or is told itself.
    ///
    /// Dead inside: it is closed, or not; who waits hears of the death.
    pub fn close(&self) {
        self.raw.close();
    }

    /// Whether somebody has closed it.
    pub fn is_closed(&self) -> bool {
        self.raw.is_closed()
    }

    fn cell(&self, at: Position<N>) -> &Value<T> {
        &self.raw.cells()[at.cell()]
    }

    /// Of `count` positions from `first` on, at most `N`: the cells up to the end of the ring, and those from its
    /// beginning on.
    fn cells(&self, first: Position<N>, count: usize) -> [&[Value<T>]; 2] {
        let (before, from) = self.raw.cells().split_at(first.cell());
        let until_end = count.min(from.len());
        [&from[..until_end], &before[..count - until_end]]
    }
}

fn refused(place: &Place<'_>, Taken(who): Taken) -> ClaimError {
    if who == place.me_fast() { ClaimError::ThisProcess } else { ClaimError::OtherProcess }
}

impl<T: Shareable, const N: usize> Default for SpscRing<T, N> {
    fn default() -> Self {
        SpscRing::new()
    }
}

impl<T: Shareable, const N: usize> fmt::Debug for SpscRing<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpscRing")
            .field("len", &self.len())
            .field("capacity", &N)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// The end of an [`SpscRing`] at which values are pushed. Dropped, it is given back: another may take it.
///
/// It may be sent to another thread. Leaked, it is the process' until that ends. In a child made by fork it does
/// nothing.
#[must_use = "dropped, it is given back"]
pub struct Producer<'a, T: Shareable, const N: usize> {
    ring: &'a SpscRing<T, N>,
    place: Place<'a>,
    end: End<N>,
}

impl<T: Shareable, const N: usize> Producer<'_, T, N> {
    /// Pushes a value, if there is room. Wait-free.
    ///
    /// Dead inside: it was pushed, or not; and who waits hears of the death.
    ///
    /// # Errors
    /// [`SpscPushError`], which has the value.
    #[inline]
    pub fn try_push(&mut self, value: T) -> Result<(), SpscPushError<T>> {
        if !self.is_ours() {
            return Err(SpscPushError::NotOwner(value));
        }
        let value = MaybeUninit::new(value);
        let ring = self.ring;
        let write = |at, _| Self::write(&value, ring.cell(at));
        let pushed = ring.raw.try_push(&mut self.end, 1, write);
        Self::pushed(pushed.map(|_| ()), value)
    }

    /// Pushes a value, waiting for room as long as it takes.
    ///
    /// Dead inside: as for [`try_push`](Self::try_push).
    ///
    /// # Errors
    /// As [`try_push`](Self::try_push), but not [`Full`](SpscPushError::Full); and
    /// [`ConsumerGone`](SpscPushError::ConsumerGone).
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), SpscPushError<T>> {
        self.push_by(value, None)
    }

    /// Pushes a value, if there is room within `duration`, by the monotonic clock.
    ///
    /// # Errors
    /// As [`push`](Self::push), and [`Full`](SpscPushError::Full).
    pub fn push_for(&mut self, value: T, duration: Duration) -> Result<(), SpscPushError<T>> {
        self.push_by(value, Moment::after(duration))
    }

    /// Pushes a value, if there is room before `deadline`.
    ///
    /// # Errors
    /// As [`push_for`](Self::push_for).
    pub fn push_until(&mut self, value: T, deadline: Instant) -> Result<(), SpscPushError<T>> {
        self.push_by(value, Moment::of(deadline))
    }

    #[inline]
    fn push_by(&mut self, value: T, until: Option<Moment>) -> Result<(), SpscPushError<T>> {
        if !self.is_ours() {
            return Err(SpscPushError::NotOwner(value));
        }
        let value = MaybeUninit::new(value);
        let ring = self.ring;
        let write = |at| Self::write(&value, ring.cell(at));
        let pushed = ring.raw.push(&self.place, &mut self.end, until, write);
        Self::pushed(pushed, value)
    }

    /// Puts a value into a cell that the producer may write to.
    #[inline(always)]
    fn write(value: &MaybeUninit<T>, to: &Value<T>) {
        // SAFETY: the cell has room and we have the producer's end: nobody else reaches its value. Nothing there is
        // dropped, as shareable values without blocks have no drop glue.
        unsafe { ptr::copy_nonoverlapping(value, to.get(), 1) };
    }

    /// The value, if it was not pushed.
    #[inline(always)]
    fn pushed(pushed: Result<(), Refused>, value: MaybeUninit<T>) -> Result<(), SpscPushError<T>> {
        // SAFETY: it was made of one, and is not in the ring.
        let value = || unsafe { value.assume_init() };
        match pushed {
            Ok(()) => Ok(()),
            Err(Refused::Full) => Err(SpscPushError::Full(value())),
            Err(Refused::Closed) => Err(SpscPushError::Closed(value())),
            Err(Refused::Gone) => Err(SpscPushError::ConsumerGone(value())),
        }
    }

    /// Pushes as many of `values`, from the first on, as there is room for: how many, in one step. Wait-free.
    ///
    /// Dead inside: they were pushed, or none was.
    ///
    /// # Errors
    /// [`SpscPushError`], without a value; [`Full`](SpscPushError::Full) if there is room for none.
    pub fn try_push_slice(&mut self, values: &[T]) -> Result<usize, SpscPushError<()>>
    where
        T: Copy,
    {
        if !self.is_ours() {
            return Err(SpscPushError::NotOwner(()));
        }
        if values.is_empty() {
            return Ok(0);
        }
        let ring = self.ring;
        let pushed = ring.raw.try_push(&mut self.end, values.len() as u64, |first, count| {
            let mut rest = values;
            for cells in ring.cells(first, count as usize) {
                let (now, later) = rest.split_at(cells.len());
                rest = later;
                // SAFETY: as in `write`, of so many cells, of which the slice has as many values. A cell is its
                // value, and its own way to be written.
                unsafe {
                    let to = UnsafeCell::raw_get(cells.as_ptr()).cast::<T>();
                    ptr::copy_nonoverlapping(now.as_ptr(), to, now.len());
                }
            }
        });
        match pushed {
            Ok(count) => Ok(count as usize),
            Err(Refused::Closed) => Err(SpscPushError::Closed(())),
            Err(Refused::Full | Refused::Gone) => Err(SpscPushError::Full(())),
        }
    }

    /// Who we are is asked afresh: in a child made by fork it is its parent's.
    #[inline(always)]
    fn is_ours(&self) -> bool {
        self.place.me_fast() == self.end.me
    }
}

impl<T: Shareable, const N: usize> Drop for Producer<'_, T, N> {
    fn drop(&mut self) {
        if self.is_ours() {
            self.ring.raw.stop_producing(&self.end);
        }
    }
}

impl<T: Shareable, const N: usize> fmt::Debug for Producer<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("ring", self.ring).finish_non_exhaustive()
    }
}

/// The end of an [`SpscRing`] at which values are received. Dropped, it is given back: another may take it.
///
/// It may be sent to another thread. Leaked, it is the process' until that ends. In a child made by fork it does
/// nothing.
#[must_use = "dropped, it is given back"]
pub struct Consumer<'a, T: Shareable, const N: usize> {
    ring: &'a SpscRing<T, N>,
    place: Place<'a>,
    end: End<N>,
}

impl<'a, T: Shareable, const N: usize> Consumer<'a, T, N> {
    /// Receives what is next, if there is something. Wait-free.
    ///
    /// Dead inside: it was received, or the next consumer receives it.
    ///
    /// # Errors
    /// [`SpscRecvError`].
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, SpscRecvError> {
        let ring = self.ours()?;
        let (front, _) = ring.raw.try_front(&mut self.end, 1)?;
        self.take(front)
    }

    /// Receives what is next, waiting for it as long as it takes.
    ///
    /// Dead inside: as for [`try_recv`](Self::try_recv).
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), but not [`Empty`](SpscRecvError::Empty); and
    /// [`ProducerGone`](SpscRecvError::ProducerGone).
    #[inline]
    pub fn recv(&mut self) -> Result<T, SpscRecvError> {
        self.recv_by(None)
    }

    /// Receives what is next, if something is there within `duration`, by the monotonic clock.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`Empty`](SpscRecvError::Empty).
    pub fn recv_for(&mut self, duration: Duration) -> Result<T, SpscRecvError> {
        self.recv_by(Moment::after(duration))
    }

    /// Receives what is next, if something is there before `deadline`.
    ///
    /// # Errors
    /// As [`recv_for`](Self::recv_for).
    pub fn recv_until(&mut self, deadline: Instant) -> Result<T, SpscRecvError> {
        self.recv_by(Moment::of(deadline))
    }

    #[inline]
    fn recv_by(&mut self, until: Option<Moment>) -> Result<T, SpscRecvError> {
        let ring = self.ours()?;
        let front = ring.raw.front(&self.place, &mut self.end, until)?;
        self.take(front)
    }

    /// Copies what stands at `front`, which is there, and says that it is done.
    #[inline(always)]
    fn take(&mut self, front: Position<N>) -> Result<T, SpscRecvError> {
        // SAFETY: it is there and we have the consumer's end: nobody changes it. Any bytes may be copied.
        let value = unsafe { self.ring.cell(front).get().read() };
        self.ring.raw.done(&mut self.end, front, 1);
        // SAFETY: the copy is ours. Its bytes are initialized: they were pushed, or are the zeros that a ring begins
        // with, or what the file of a segment had.
        let is_value = T::ANY_BITS || unsafe { T::is_valid(value.as_ptr()) };
        // SAFETY: it is one.
        if is_value { Ok(unsafe { value.assume_init() }) } else { Err(SpscRecvError::InvalidValue) }
    }

    /// Looks at what is next, waiting for it as long as it takes: it is read where it lies, and stays there until it
    /// is said to be [done](Front::done), so that the next consumer receives it if this process dies before.
    ///
    /// Dead inside: the next consumer receives it.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn peek(&mut self) -> Result<Front<'_, 'a, T, N>, SpscRecvError> {
        self.peek_by(None)
    }

    /// The same, if there is something. Wait-free.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn try_peek(&mut self) -> Result<Front<'_, 'a, T, N>, SpscRecvError> {
        let ring = self.ours()?;
        let (front, _) = ring.raw.try_front(&mut self.end, 1)?;
        self.show(front)
    }

    /// The same, if something is there within `duration`, by the monotonic clock.
    ///
    /// # Errors
    /// As [`recv_for`](Self::recv_for).
    pub fn peek_for(&mut self, duration: Duration) -> Result<Front<'_, 'a, T, N>, SpscRecvError> {
        self.peek_by(Moment::after(duration))
    }

    /// The same, if something is there before `deadline`.
    ///
    /// # Errors
    /// As [`recv_for`](Self::recv_for).
    pub fn peek_until(&mut self, deadline: Instant) -> Result<Front<'_, 'a, T, N>, SpscRecvError> {
        self.peek_by(Moment::of(deadline))
    }

    fn peek_by(&mut self, until: Option<Moment>) -> Result<Front<'_, 'a, T, N>, SpscRecvError> {
        let ring = self.ours()?;
        let front = ring.raw.front(&self.place, &mut self.end, until)?;
        self.show(front)
    }

    fn show(&mut self, front: Position<N>) -> Result<Front<'_, 'a, T, N>, SpscRecvError> {
        let value = self.ring.cell(front).get().cast_const().cast::<T>();
        // SAFETY: it is there and we have the consumer's end: nobody changes it. Its bytes are initialized, as in
        // `take`.
        let is_value = T::ANY_BITS || unsafe { T::is_valid(value) };
        if !is_value {
            self.ring.raw.done(&mut self.end, front, 1);
            return Err(SpscRecvError::InvalidValue);
        }
        let is_redelivered = self.ring.raw.show(front);
        Ok(Front { consumer: self, at: front, is_redelivered })
    }

    /// Receives as many values as there are and `to` has room for, into its beginning: how many, in one step.
    /// Wait-free.
    ///
    /// Those before one that is no value are received, and that one is what comes next.
    ///
    /// Dead inside: they were received, or the next consumer receives them.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn try_recv_slice(&mut self, to: &mut [T]) -> Result<usize, SpscRecvError>
    where
        T: Copy,
    {
        let ring = self.ours()?;
        if to.is_empty() {
            return Ok(0);
        }
        let (front, there) = ring.raw.try_front(&mut self.end, to.len() as u64)?;
        let most = to.len().min(there as usize);
        let cells = ring.cells(front, most).into_iter().flatten();
        let mut count = 0;
        for (to, cell) in to.iter_mut().zip(cells) {
            // SAFETY: as in `take`.
            let value = unsafe { cell.get().read() };
            // SAFETY: as in `take`.
            if !T::ANY_BITS && !unsafe { T::is_valid(value.as_ptr()) } {
                break;
            }
            // SAFETY: it is a value.
            *to = unsafe { value.assume_init() };
            count += 1;
        }
        if count == 0 {
            ring.raw.done(&mut self.end, front, 1);
            return Err(SpscRecvError::InvalidValue);
        }
        ring.raw.done(&mut self.end, front, count);
        Ok(count as usize)
    }

    /// The ring, if the end is ours.
    #[inline(always)]
    fn ours(&self) -> Result<&'a SpscRing<T, N>, SpscRecvError> {
        if self.is_ours() { Ok(self.ring) } else { Err(SpscRecvError::NotOwner) }
    }

    /// Who we are is asked afresh: in a child made by fork it is its parent's.
    #[inline(always)]
    fn is_ours(&self) -> bool {
        self.place.me_fast() == self.end.me
    }
}

impl From<Nothing> for SpscRecvError {
    fn from(nothing: Nothing) -> Self {
        match nothing {
            Nothing::Empty => SpscRecvError::Empty,
            Nothing::Closed => SpscRecvError::Closed,
            Nothing::Gone => SpscRecvError::ProducerGone,
            Nothing::Damaged => SpscRecvError::Damaged,
        }
    }
}

impl<T: Shareable, const N: usize> Drop for Consumer<'_, T, N> {
    fn drop(&mut self) {
        if self.is_ours() {
            self.ring.raw.stop_consuming(&self.end);
        }
    }
}

impl<T: Shareable, const N: usize> fmt::Debug for Consumer<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("ring", self.ring).finish_non_exhaustive()
    }
}

/// What is next in an [`SpscRing`], where it lies. It is received when it is said to be [`done`](Self::done);
/// dropped before, it is what is next again.
#[must_use = "what is not done is received again"]
pub struct Front<'c, 'a, T: Shareable, const N: usize> {
    consumer: &'c mut Consumer<'a, T, N>,
    at: Position<N>,
    is_redelivered: bool,
}

impl<T: Shareable, const N: usize> Front<'_, '_, T, N> {
    /// Whether somebody looked at it before and did not say that it is done: dropped it, or died, so that what it
    /// asks for may be done in part, or wholly.
    pub fn is_redelivered(&self) -> bool {
        self.is_redelivered
    }

    /// Says that it is done: nobody receives it any more, and there is room for another. Wait-free.
    ///
    /// Dead inside: it is done, or the next consumer receives it; and who waits for room hears of the death.
    pub fn done(self) {
        if self.consumer.is_ours() {
            self.consumer.ring.raw.done(&mut self.consumer.end, self.at, 1);
        }
    }
}

impl<T: Shareable, const N: usize> Deref for Front<'_, '_, T, N> {
    type Target = T;
    fn deref(&self) -> &T {
        let value = self.consumer.ring.cell(self.at).get().cast_const().cast::<T>();
        // SAFETY: a value, by `show`, and it is there until `done`, which consumes this: the producer does not write
        // to it, and the consumer is borrowed.
        unsafe { &*value }
    }
}

impl<T: Shareable + fmt::Debug, const N: usize> fmt::Debug for Front<'_, '_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front")
            .field("value", &**self)
            .field("redelivered", &self.is_redelivered)
            .finish_non_exhaustive()
    }
}

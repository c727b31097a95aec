//! [`ObjectQueue`]: objects that go from process to process, and stay where they are.

use crate::lock::party::Party;
use crate::lock::place::Place;
use crate::lock::word::Who;
use crate::names::error::ObjectError;
use crate::objects::{Led, Owned, Ready, may_lead};
use crate::queue::error::{ObjectPushError, ObjectRecvError};
use crate::queue::raw::{Cell, Content, Had, Nothing, RawQueue, Refused};
use crate::shareable::{LayoutHash, Shareable};
use crate::sync::futex::Moment;
use crate::sync::{Acquire, AtomicU64, Release};
use crate::trace::map::{Part, Tracer};
use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, offset_of};
use core::ops::Deref;
use core::ptr;
use std::time::{Duration, Instant};

/// Where the object of a cell is; null: there is none.
#[repr(transparent)]
struct Leads(AtomicU64);

impl Content for Leads {
    /// Its link is the last that a writer does to it. Acquire: with the word what it leads to.
    fn is_there(&self) -> bool {
        self.0.load(Acquire) != 0
    }
}

// SAFETY: two numbers, of which each value is one, both atomics, in the layout that `repr(C)` says. It has no drop
// glue, as it has no blocks of its own: what the one leads to is an object, and `trace` names it.
unsafe impl Shareable for Cell<Leads> {
    const NAME: u64 = LayoutHash::of_name("ObjectCell").finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>()
        .field("leads", Self::VALUE, <core::sync::atomic::AtomicU64 as Shareable>::FINGERPRINT)
        .finish();
    const ANY_BITS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("ObjectCell")
    }
    // SAFETY: of the caller nothing is asked, as nothing is looked at.
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
    fn trace(map: &mut Tracer) {
        map.field(Self::VALUE, |map| map.part(Part::Leads));
    }
}

/// A queue of at most `N` objects, for all threads of all processes that have the segment.
///
/// What is pushed is an [`Owned`], which its maker has alone until then; who receives it reads it where it lies.
/// So a value of any size goes from process to process at the price of a word, and values with blocks of their own
/// ([collections](crate::collections)) go with all that hangs on them. The queue has what is in it: it is never
/// lost, and gone when it is acknowledged, or when the queue is destroyed.
///
/// Otherwise it is as a [`Queue`](super::Queue) of which each receipt is a job: in order, bounded, lock-free; what
/// a process has and does not [acknowledge](ObjectDelivery::done) another receives if it dies.
///
/// It lies in place, `192 + N × 16` bytes and what alignment adds, in the value of a named object; only there can
/// be pushed to it.
///
/// # When a process dies
/// - **Pushing**: the object is in the queue, or freed by who recovers the process. At no instruction is it neither.
/// - **Receiving**, or at what it received: another receives it, and can ask:
///   [`ObjectDelivery::is_redelivered`].
/// - **Acknowledging**: it is acknowledged, and who recovers the process frees what it had not yet; or not.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sharena::{Options, collections::Vec, queue::{ObjectPushError, ObjectQueue}};
///
/// let segment = Options::new().capacity(1 << 20).create_anonymous()?;
/// let frames = segment.construct("frames", ObjectQueue::<Vec<u8>, 16>::new())?;
///
/// let mut frame = segment.own(Vec::new_in(&segment))?;
/// frame.extend(0..100); // nobody else sees it
/// frames.push(frame).map_err(ObjectPushError::without)?;
///
/// let frame = frames.recv_job()?; // in any process that has found it
/// assert_eq!(frame.len(), 100);
/// frame.done(); // and its memory is free
/// # Ok(())
/// # }
/// ```
#[repr(C)]
pub struct ObjectQueue<T, const N: usize> {
    raw: RawQueue<Leads, N>,
    objects: PhantomData<T>,
}

// SAFETY: words of the crate's own, atomics, of which each value is one, in the layout that `repr(C)` says. They
// name processes by their attachment to the segment. What they lead to is looked at before it is given out. The
// drop glue is that of a collection, and `trace` names the words that lead to objects.
unsafe impl<T: Shareable, const N: usize> Shareable for ObjectQueue<T, N> {
    const NAME: u64 = LayoutHash::of_name("ObjectQueue").parameter::<T>().word(N as u64).finish();
    const FINGERPRINT: u64 = {
        let () = Self::MAKES_SENSE;
        LayoutHash::of_type::<Self>()
            .field("raw", offset_of!(Self, raw), u64::FINGERPRINT)
            .field("cells", RawQueue::<Leads, N>::CELLS, Cell::<Leads>::FINGERPRINT)
            .field("objects", 0, T::FINGERPRINT)
            .word(N as u64)
            .finish()
    };
    const ANY_BITS: bool = false;
    const HAS_BLOCKS: bool = true;
    const HAS_LOCKS: bool = T::HAS_LOCKS;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("ObjectQueue<")?;
        T::describe(out)?;
        write!(out, ", {N}>")
    }
    // SAFETY: of the caller nothing is asked, as nothing is looked at.
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
    fn trace(map: &mut Tracer) {
        let cells = |map: &mut Tracer| map.array::<Cell<Leads>>(N);
        map.field(offset_of!(Self, raw) + RawQueue::<Leads, N>::CELLS, cells);
    }
}

impl<T: Shareable, const N: usize> ObjectQueue<T, N> {
    /// Asked for by whoever makes one, and whoever finds one.
    const MAKES_SENSE: () = assert!(N > 0, "a queue without a place");

    /// An empty one.
    pub const fn new() -> Self {
        let () = Self::MAKES_SENSE;
        let cells = [const { Cell::with(Leads(AtomicU64::new(0))) }; N];
        ObjectQueue { raw: RawQueue::new(cells), objects: PhantomData }
    }
}

impl<T, const N: usize> Drop for ObjectQueue<T, N> {
    /// Nothing was ever in one that is still a value of its own.
    fn drop(&mut self) {}
}

impl<T: Shareable, const N: usize> ObjectQueue<T, N> {
    /// How many objects have room: `N`.
    pub const fn capacity(&self) -> usize {
        N
    }

    /// How many objects are there to be received, as [`Queue::len`](super::Queue::len).
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether [`len`](Self::len) is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pushes an object, if there is room. Lock-free; of a full queue as [`Queue::try_push`](super::Queue::try_push).
    ///
    /// One that another thread made is copied, with what hangs on it left where it is.
    ///
    /// Dead inside: it is in the queue, or its memory is free again.
    ///
    /// # Errors
    /// [`ObjectPushError`], which has the object.
    ///
    /// # Panics
    /// In a child made by fork that cannot attach to the segment, as all that push and receive.
    pub fn try_push<'s>(&self, object: Owned<'s, T>) -> Result<(), ObjectPushError<Owned<'s, T>>> {
        self.push_by(object, |raw, place, link| raw.try_push(place, link))
    }

    /// Pushes an object, waiting for room as long as it takes. Waits for those who have what was pushed `N`
    /// before, and for nobody else.
    ///
    /// Dead inside: as for [`try_push`](Self::try_push).
    ///
    /// # Errors
    /// As [`try_push`](Self::try_push), but not `Full`.
    ///
    /// # Panics
    /// As [`try_push`](Self::try_push).
    pub fn push<'s>(&self, object: Owned<'s, T>) -> Result<(), ObjectPushError<Owned<'s, T>>> {
        self.push_by(object, |raw, place, link| raw.push(place, None, link))
    }

    /// Pushes an object, if there is room within `duration`, by the monotonic clock.
    ///
    /// # Errors
    /// As [`try_push`](Self::try_push).
    pub fn push_for<'s>(
        &self,
        object: Owned<'s, T>,
        duration: Duration,
    ) -> Result<(), ObjectPushError<Owned<'s, T>>> {
        self.push_by(object, |raw, place, link| raw.push(place, Moment::after(duration), link))
    }

    /// Pushes an object, if there is room before `deadline`.
    ///
    /// # Errors
    /// As [`try_push`](Self::try_push).
    pub fn push_until<'s>(
        &self,
        object: Owned<'s, T>,
        deadline: Instant,
    ) -> Result<(), ObjectPushError<Owned<'s, T>>> {
        self.push_by(object, |raw, place, link| raw.push(place, Moment::of(deadline), link))
    }

    fn push_by<'s>(
        &self,
        object: Owned<'s, T>,
        push: impl FnOnce(
            &RawQueue<Leads, N>,
            &Place<'_>,
            &mut dyn FnMut(&Leads),
        ) -> Result<(), Refused>,
    ) -> Result<(), ObjectPushError<Owned<'s, T>>> {
        let place = Place::of(self);
        let can = match place {
            Place::In(attached, _) => {
                object.is_of(attached) && may_lead(attached, ptr::from_ref(self).cast())
            }
            Place::Nowhere => false,
        };
        if !can {
            return Err(ObjectPushError::NotNamed(object));
        }
        let ready = match Ready::new(object) {
            Ok(ready) => ready,
            Err((error, object)) => return Err(ObjectPushError::Object(object, error)),
        };
        let mut linked = Ok(());
        match push(&self.raw, &place, &mut |cell| linked = ready.link(&cell.0)) {
            Ok(()) => match linked {
                Ok(()) => {
                    ready.linked();
                    Ok(())
                }
                // Who receives next passes the cell.
                Err(error) => Err(ObjectPushError::Object(ready.back(), error)),
            },
            Err(Refused::Full) => Err(ObjectPushError::Full(ready.back())),
            Err(Refused::Closed) => Err(ObjectPushError::Closed(ready.back())),
        }
    }

    /// Receives what is next, waiting for it as long as it takes: it stays in the queue until it is
    /// acknowledged, and another has it if this process dies before.
    ///
    /// Dead inside: another receives it.
    ///
    /// # Errors
    /// [`ObjectRecvError`], but not `Empty`.
    ///
    /// # Panics
    /// As [`try_push`](Self::try_push).
    pub fn recv_job(&self) -> Result<ObjectDelivery<'_, T, N>, ObjectRecvError> {
        self.job_by(|raw, place| raw.pop(place, None))
    }

    /// The same, if there is something. Lock-free.
    ///
    /// # Errors
    /// [`ObjectRecvError`].
    pub fn try_recv_job(&self) -> Result<ObjectDelivery<'_, T, N>, ObjectRecvError> {
        self.job_by(|raw, place| raw.try_pop(place))
    }

    /// The same, if something is there within `duration`, by the monotonic clock.
    ///
    /// # Errors
    /// [`ObjectRecvError`].
    pub fn recv_job_for(
        &self,
        duration: Duration,
    ) -> Result<ObjectDelivery<'_, T, N>, ObjectRecvError> {
        let until = Moment::after(duration);
        self.job_by(|raw, place| raw.pop(place, until))
    }

    /// The same, if something is there before `deadline`.
    ///
    /// # Errors
    /// [`ObjectRecvError`].
    pub fn recv_job_until(
        &self,
        deadline: Instant,
    ) -> Result<ObjectDelivery<'_, T, N>, ObjectRecvError> {
        let until = Moment::of(deadline);
        self.job_by(|raw, place| raw.pop(place, until))
    }

    /// A cell that is had and leads to nothing was left by one who died when its object was gone, or, in a damaged
    /// segment, by anybody: each that is met is passed, and met no more.
    fn job_by(
        &self,
        pop: impl Fn(&RawQueue<Leads, N>, &Place<'_>) -> Result<Had, Nothing>,
    ) -> Result<ObjectDelivery<'_, T, N>, ObjectRecvError> {
        let place = Place::of(self);
        loop {
            let had = self.raw.keep(pop(&self.raw, &place)?);
            let Place::In(attached, _) = place else {
                self.raw.done(had);
                continue;
            };
            let leads = &self.raw.value(had).0;
            match Led::of(attached, leads) {
                Ok(Some(object)) => {
                    let me = place.me();
                    return Ok(ObjectDelivery { queue: self, place, me, had, object });
                }
                Ok(None) => self.raw.done(had),
                Err(error @ (ObjectError::Alloc(_) | ObjectError::TooManyRefs { .. })) => {
                    self.raw.give_back(had);
                    return Err(ObjectRecvError::Object(error));
                }
                Err(error) => {
                    // Release: as who links; nobody but us writes it.
                    leads.store(0, Release);
                    self.raw.done(had);
                    return Err(ObjectRecvError::Object(error));
                }
            }
        }
    }

    /// Nothing can be pushed any more; what is in it can be received. As [`Queue::close`](super::Queue::close).
    pub fn close(&self) {
        self.raw.close();
    }

    /// Whether somebody has closed it.
    pub fn is_closed(&self) -> bool {
        self.raw.is_closed()
    }
}

impl<T: Shareable, const N: usize> Default for ObjectQueue<T, N> {
    fn default() -> Self {
        ObjectQueue::new()
    }
}

impl<T: Shareable, const N: usize> fmt::Debug for ObjectQueue<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectQueue")
            .field("len", &self.len())
            .field("capacity", &N)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// An object that was received and is not acknowledged: [`done`](Self::done). Dropped before, it is given back to
/// the queue, for whoever receives next.
///
/// It is read where it lies; what several processes change in it are atomics, and what locks guard. It occupies a
/// hazard word of its thread, as a [`Ref`](crate::Ref) does, and stays there. Leaked, it keeps its place until the
/// process ends, and then another receives it. In a child made by fork it does nothing.
#[must_use = "what is not acknowledged is given back"]
pub struct ObjectDelivery<'a, T: Shareable, const N: usize> {
    queue: &'a ObjectQueue<T, N>,
    place: Place<'a>,
    me: Who,
    had: Had,
    object: Led<'a, T>,
}

impl<T: Shareable, const N: usize> ObjectDelivery<'_, T, N> {
    /// Whether somebody had it before, and gave it back or died, so that what it asks for may be done in part,
    /// or wholly.
    pub fn is_redelivered(&self) -> bool {
        self.had.is_again()
    }

    /// Acknowledges it: nobody receives it any more, and its memory is free, with all that hangs on it, when nobody
    /// looks at it any more. Lock-free.
    ///
    /// Dead inside: it is acknowledged, or not.
    pub fn done(self) {
        let delivery = ManuallyDrop::new(self);
        if !delivery.is_ours() {
            return;
        }
        let (raw, had) = (&delivery.queue.raw, delivery.had);
        // SAFETY: the delivery is not used any more, nor dropped.
        let object = unsafe { ptr::read(&raw const delivery.object) };
        let Place::In(attached, _) = delivery.place else { return };
        if !object.destroy(attached, || raw.done(had)) {
            raw.give_back(had);
        }
    }

    #[cfg(test)]
    pub(crate) fn linked(&self) -> (u64, u64) {
        self.object.linked()
    }

    /// Who we are is asked afresh: in a child made by fork it is its parent's.
    fn is_ours(&self) -> bool {
        self.place.me_fast() == self.me
    }
}

impl<T: Shareable, const N: usize> Deref for ObjectDelivery<'_, T, N> {
    type Target = T;
    fn deref(&self) -> &T {
        self.object.value()
    }
}

impl<T: Shareable, const N: usize> Drop for ObjectDelivery<'_, T, N> {
    fn drop(&mut self) {
        if self.is_ours() {
            self.queue.raw.give_back(self.had);
        }
    }
}

impl<T: Shareable + fmt::Debug, const N: usize> fmt::Debug for ObjectDelivery<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectDelivery")
            .field("value", &**self)
            .field("redelivered", &self.is_redelivered())
            .finish_non_exhaustive()
    }
}

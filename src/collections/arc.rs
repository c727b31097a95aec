//! `Arc` and `Weak`: values that several own.

use super::as_value::as_its_value;
use super::{TryClone, or_panic, raw};
use crate::heap::error::AllocError;
use crate::objects::Counted;
use crate::segment::Segment;
use crate::shareable::{LayoutHash, Shareable};
use crate::sync::{AtomicU64, Relaxed};
use crate::trace::lease::{COUNT, Count};
use crate::trace::map::{Part, Tracer};
use crate::word::{Tag, Word};
use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU64;
use core::ops::Deref;

/// std's `Arc`, in a segment: a value that goes with the last of its handles, in whatever process that is.
///
/// A value that is behind an `Arc` is published from the beginning: it does not change, unless a
/// [lock](crate::lock) in it guards what changes. Handles may be private or lie in published values; a thread
/// that clones one under a lock may let the lock go and read on. A process that dies gives up its handles.
///
/// Each handle has a block of 16 bytes beside it, and goes to the value by way of that. Cloning takes a block
/// and one read-modify-write of the count, which all handles share; it is lock-free. There is no `get_mut`, no
/// `make_mut` and no `try_unwrap`: what others can read is not taken back. A circle of handles is not
/// freed, as in std; break it by a [`Weak`].
///
/// The value is aligned to 16 bytes at most: what must be aligned further is put into a [`Box`](super::Box).
///
/// ```
/// # use sharena::{Options, Shareable, collections::{Arc, HashMap, HashMapMut}, lock::Mutex};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let segment = Options::new().capacity(1 << 20).create_anonymous()?;
/// # let _inside = segment.enter()?;
/// let prices = segment.construct("prices", Mutex::new(HashMap::<u32, Arc<[f64; 2]>>::new()))?;
/// prices.lock().unwrap().insert(7, Arc::new([99.5, 100.5]));
///
/// let quote = prices.lock().unwrap()[&7].clone(); // any process
/// prices.lock().unwrap().insert(7, Arc::new([99.0, 100.0])); // any other
/// assert_eq!(*quote, [99.5, 100.5]);
/// # Ok(())
/// # }
/// ```
#[repr(transparent)]
pub struct Arc<T: Shareable> {
    /// Of its lease: not null.
    bits: NonZeroU64,
    value: PhantomData<T>,
}

// SAFETY: a word, which means the same in every process that has the segment open, and leads to a lease,
// whose word leads to a published value. That is Shareable, and reached as `&T` alone. The drop glue is a
// collection's, and `trace` names the lease.
unsafe impl<T: Shareable> Shareable for Arc<T> {
    const NAME: u64 = LayoutHash::of_name("Arc").parameter::<T>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().parameter::<T>().finish();
    const ANY_BITS: bool = false;
    const HAS_BLOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("Arc<")?;
        T::describe(out)?;
        out.write_str(">")
    }
    // SAFETY: the trait's. What the word leads to is looked at by whoever has the segment.
    unsafe fn is_valid(at: *const Self) -> bool {
        // SAFETY: the caller vouches for the aligned bytes; a `u64` may be any.
        unsafe { at.cast::<u64>().read() != 0 }
    }
    fn trace(map: &mut Tracer) {
        let node = map.node_of::<Counted<T>>();
        map.part(Part::Lease { node, null: false });
    }
}

// SAFETY: as above; the language promises for a transparent wrapper of `NonZeroU64` that the option
// has its layout, with `None` as zero.
unsafe impl<T: Shareable> Shareable for Option<Arc<T>> {
    const NAME: u64 = LayoutHash::of_name("Option").parameter::<Arc<T>>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().parameter::<T>().finish();
    const ANY_BITS: bool = false;
    const HAS_BLOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("Option<")?;
        Arc::<T>::describe(out)?;
        out.write_str(">")
    }
    // SAFETY: relies on nothing that the trait has the caller promise.
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
    fn trace(map: &mut Tracer) {
        let node = map.node_of::<Counted<T>>();
        map.part(Part::Lease { node, null: true });
    }
}

impl<T: Shareable> Arc<T> {
    /// `value`, shared, in a segment.
    ///
    /// # Panics
    /// Where [`try_new_in`](Self::try_new_in) is an error.
    #[track_caller]
    pub fn new_in(value: T, segment: &Segment) -> Self {
        or_panic(Self::try_new_in(value, segment))
    }

    /// `value`, shared, in a segment. Lock-free. Dead inside: it is gone.
    ///
    /// # Errors
    /// [`AllocError`]; the value is dropped.
    pub fn try_new_in(value: T, segment: &Segment) -> Result<Self, AllocError> {
        Self::try_with_tag(value, segment.tag()?)
    }

    /// `value`, shared, in the segment that the thread has [entered](Segment::enter).
    ///
    /// # Panics
    /// Where [`try_new`](Self::try_new) is an error.
    #[track_caller]
    pub fn new(value: T) -> Self {
        or_panic(Self::try_new(value))
    }

    /// `value`, shared, in the segment that the thread has [entered](Segment::enter).
    ///
    /// # Errors
    /// As [`try_new_in`](Self::try_new_in).
    pub fn try_new(value: T) -> Result<Self, AllocError> {
        Self::try_with_tag(value, Tag::NONE)
    }

    fn try_with_tag(value: T, tag: Tag) -> Result<Self, AllocError> {
        let (tag, attached) = raw::segment_of(tag)?;
        Ok(Self::of_lease(tag, attached.share(value)?))
    }

    fn of_lease(tag: Tag, lease: u64) -> Self {
        let bits = NonZeroU64::new(Word::new(tag, lease).bits()).expect("the header stands at 0");
        Arc { bits, value: PhantomData }
    }

    fn word(&self) -> Word {
        Word::from_bits(self.bits.get())
    }

    /// The object, by the lease.
    #[inline(always)]
    fn object(&self) -> Word {
        let word = self.word();
        // SAFETY: a lease, which this handle has, and nobody changes while it does. Relaxed: it was written
        // before there was the handle.
        let object = unsafe { (*word.address::<AtomicU64>()).load(Relaxed) };
        Word::new(word.tag(), object)
    }

    /// Where the value is, in this process.
    #[inline(always)]
    pub fn as_ptr(this: &Self) -> *const T {
        this.object().address::<u8>().wrapping_add(Counted::<T>::VALUE).cast::<T>().cast_const()
    }

    /// Whether both share one value.
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        this.object() == other.object()
    }

    /// How many handles there are, in all processes; others may make it another number at any time.
    pub fn strong_count(this: &Self) -> usize {
        let count = this.object().address::<u8>().wrapping_add(COUNT as usize).cast::<AtomicU64>();
        // SAFETY: the object stays while the handle does. Relaxed: a number to be shown.
        Count::of(unsafe { (*count).load(Relaxed) }).leases as usize
    }

    /// A handle that does not keep the value.
    pub fn downgrade(this: &Self) -> Weak<T> {
        let object = this.object();
        let counted = object.address::<u8>().wrapping_add(COUNT as usize).cast::<Counted<T>>();
        // SAFETY: the object stays while the handle does; that number does not change.
        let identity = unsafe { (*counted).identity };
        Weak { bits: object.bits(), identity, value: PhantomData }
    }
}

impl<T: Shareable> Deref for Arc<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a published value, which stays while the handle does; only atomics in it change.
        unsafe { &*Self::as_ptr(self) }
    }
}

impl<T: Shareable> Drop for Arc<T> {
    fn drop(&mut self) {
        if let Some(attached) = self.word().tag().holder() {
            attached.unshare(self.word().offset());
        }
    }
}

impl<T: Shareable> TryClone for Arc<T> {
    /// A further handle to the same value, private. Lock-free. Dead inside: it is not there.
    ///
    /// # Errors
    /// [`AllocError`], [`TooManyShares`](AllocError::TooManyShares) among them.
    fn try_clone(&self) -> Result<Self, AllocError> {
        let (tag, attached) = raw::segment_of(self.word().tag())?;
        Ok(Self::of_lease(tag, attached.share_again(self.word().offset())?))
    }
}

impl<T: Shareable> Clone for Arc<T> {
    /// A further handle to the same value, private.
    ///
    /// # Panics
    /// Where [`try_clone`](TryClone::try_clone) is an error.
    #[track_caller]
    fn clone(&self) -> Self {
        or_panic(self.try_clone())
    }
}

as_its_value!(Arc);

/// std's `Weak`, in a segment: a handle that does not keep the value of an [`Arc`].
///
/// It is two numbers, and counted nowhere: where the value was, and which of all that were ever there it is. So the
/// value's memory is free with the last `Arc`, however many of these there are.
#[repr(C)]
pub struct Weak<T: Shareable> {
    /// Of the object; 0: of none.
    bits: u64,
    /// The object's.
    identity: u64,
    value: PhantomData<T>,
}

// SAFETY: two numbers, which may be any: who follows them looks what is there. Drop does nothing; that there
// is one, and that they count as words of blocks, has whoever finds such a value enter its segment.
unsafe impl<T: Shareable> Shareable for Weak<T> {
    const NAME: u64 = LayoutHash::of_name("Weak").parameter::<T>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().parameter::<T>().finish();
    const ANY_BITS: bool = false;
    const HAS_BLOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("Weak<")?;
        T::describe(out)?;
        out.write_str(">")
    }
    // SAFETY: relies on nothing that the trait has the caller promise.
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
    fn trace(_: &mut Tracer) {}
}

impl<T: Shareable> Weak<T> {
    /// One that leads to no value.
    pub const fn new() -> Self {
        Weak { bits: 0, identity: 0, value: PhantomData }
    }

    /// A handle that keeps the value; `None`: it is gone, or [`try_upgrade`](Self::try_upgrade) is an error.
    pub fn upgrade(&self) -> Option<Arc<T>> {
        self.try_upgrade().ok().flatten()
    }

    /// A handle that keeps the value; `None`: it is gone.
    ///
    /// Lock-free. Dead inside: the handle is not there.
    ///
    /// # Errors
    /// [`AllocError`], [`TooManyShares`](AllocError::TooManyShares) among them.
    pub fn try_upgrade(&self) -> Result<Option<Arc<T>>, AllocError> {
        if self.bits == 0 {
            return Ok(None);
        }
        let (tag, attached) = raw::segment_of(Word::from_bits(self.bits).tag())?;
        let object = Word::from_bits(self.bits).offset();
        let found = attached.share_found::<T>(object, self.identity)?;
        Ok(found.map(|lease| Arc::of_lease(tag, lease)))
    }

    /// Whether both lead to one value, or to none.
    pub fn ptr_eq(&self, other: &Self) -> bool {
        (self.bits, self.identity) == (other.bits, other.identity)
    }
}

impl<T: Shareable> Drop for Weak<T> {
    fn drop(&mut self) {}
}

impl<T: Shareable> TryClone for Weak<T> {
    fn try_clone(&self) -> Result<Self, AllocError> {
        Ok(self.clone())
    }
}

impl<T: Shareable> Clone for Weak<T> {
    fn clone(&self) -> Self {
        Weak { bits: self.bits, identity: self.identity, value: PhantomData }
    }
}

impl<T: Shareable> Default for Weak<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Shareable> fmt::Debug for Weak<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(Weak)")
    }
}

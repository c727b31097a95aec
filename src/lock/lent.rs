//! [`Mut`]: what a guard lends for changing, where `&mut` is not to be had.
//!
//! `&mut T` to a published collection would let `mem::swap` move a private block into an object, or an
//! object's block out of it, without this crate's knowing. So a guard of what has blocks lends a place,
//! whose every change is written down first and made as one: see [`change`](crate::trace::change).

use super::error::{TryLockError, TryLockResult};
use super::mutex::MutexGuard;
use super::place::{Moored, Place};
use super::raw::{Held, RawMutex};
use super::rwlock::RwLockWriteGuard;
use super::word::Who;
use crate::attached::{Attached, with_lane};
use crate::collections::TryClone;
use crate::heap::Heap;
use crate::heap::error::AllocError;
use crate::heap::unit::State;
use crate::heap::{locate, state_of};
use crate::memory::take;
use crate::names::error::ObjectError;
use crate::names::{Names, Refused};
use crate::shareable::Shareable;
use crate::sync::futex::Moment;
use crate::sync::{AtomicU64, Relaxed, Release};
use crate::trace::change::{self, Draft, Grave, Hanging};
use crate::trace::fresh;
use crate::trace::map::Map;
use crate::trace::walk::{Fault, Limb, Tree, Walker};
use crate::word::Tag;
use core::alloc::Layout;
use core::any::TypeId;
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop};
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use std::rc::Rc;

/// A value that a guard lends for changing.
///
/// It dereferences to the value. Where that is published, **each call that changes it is all or nothing**:
/// whoever dies in the middle leaves the old value or the new one, whole, and no block is lost. A value of
/// which any bytes are one (numbers, and arrays and structs of such) can be written in place as well, by
/// `*place = …`; that is as much as the machine makes of a store.
///
/// What changes a collection is in the traits [`VecMut`](crate::collections::VecMut),
/// [`StringMut`](crate::collections::StringMut): for guards and for places alike.
pub struct Mut<'a, T> {
    value: NonNull<T>,
    home: Home<'a>,
    lent: PhantomData<(&'a mut T, *const ())>,
}

/// What lends its value for changing: guards, and [`Mut`] itself.
///
/// Sealed: what a place is, only this crate knows.
pub trait Lend: sealed::Lend {}

impl<G: sealed::Lend> Lend for G {}

pub(crate) mod sealed {
    use super::Mut;

    pub trait Lend {
        type Value;
        fn lend(&mut self) -> Mut<'_, Self::Value>;
    }
}

impl<T> sealed::Lend for Mut<'_, T> {
    type Value = T;
    fn lend(&mut self) -> Mut<'_, T> {
        Mut { value: self.value, home: self.home, lent: PhantomData }
    }
}

impl<T: Shareable> sealed::Lend for MutexGuard<'_, T> {
    type Value = T;
    fn lend(&mut self) -> Mut<'_, T> {
        let value = NonNull::from(&**self);
        Mut { value, home: Home::of(Self::place(self), Self::mutex(self)), lent: PhantomData }
    }
}

impl<T: Shareable> sealed::Lend for RwLockWriteGuard<'_, T> {
    type Value = T;
    fn lend(&mut self) -> Mut<'_, T> {
        let value = NonNull::from(&**self);
        Mut { value, home: Home::of(Self::place(self), Self::lock(self)), lent: PhantomData }
    }
}

/// Where a value that is lent lives.
#[derive(Clone, Copy)]
pub(crate) enum Home<'a> {
    /// In memory of this process' own: changed in place.
    Own,
    /// In an object of others, too, under the lock at this offset, which is held.
    Published { attached: &'a Attached, lock: u64 },
}

impl<'a> Home<'a> {
    /// Of what the lock guards that is held there.
    fn of<L>(place: &Place<'a>, lock: &L) -> Home<'a> {
        let Place::In(attached, _) = *place else { return Home::Own };
        let lock = attached.arena.offset_of(ptr::from_ref(lock).cast());
        let state = locate(&attached.arena, lock).and_then(|it| state_of(&attached.arena, &it));
        match state {
            Some(State::Private) => Home::Own,
            Some(State::Published | State::Part | State::Doomed) => {
                Home::Published { attached, lock }
            }
            // Raw memory: nobody could find there what hangs on the value.
            _ => panic!("a collection behind a lock lies in an object, not in memory of no type"),
        }
    }
}

impl<'a, T> Mut<'a, T> {
    /// A part of what is lent.
    ///
    /// # Safety
    /// `value` is one, and reached through this place alone.
    pub(crate) unsafe fn part_at<U>(&mut self, value: NonNull<U>) -> Mut<'_, U> {
        Mut { value, home: self.home, lent: PhantomData }
    }

    /// The same, for as long as the place was lent.
    ///
    /// # Safety
    /// As of [`part_at`](Self::part_at).
    pub(crate) unsafe fn into_part_at<U>(self, value: NonNull<U>) -> Mut<'a, U> {
        Mut { value, home: self.home, lent: PhantomData }
    }

    pub(crate) fn home(&self) -> Home<'a> {
        self.home
    }

    pub(crate) fn as_ptr(&self) -> *mut T {
        self.value.as_ptr()
    }
}

impl<T: Shareable> Mut<'_, T> {
    /// Lends a field, or whatever else lies within the value's own bytes: `place.part(|it| &it.names)`.
    ///
    /// # Panics
    /// If what `of` gives does not lie within them: an element of a collection is lent by its methods.
    pub fn part<U: Shareable>(&mut self, of: impl FnOnce(&T) -> &U) -> Mut<'_, U> {
        let part = NonNull::from(of(self));
        let (whole, at) = (self.value.addr().get(), part.addr().get());
        let fits = at >= whole && at + size_of::<U>() <= whole + size_of::<T>();
        assert!(fits, "a part of a value lies within its bytes");
        // SAFETY: within the value, which we have alone; the pointer is made of ours, as that may change it.
        unsafe { self.part_at(self.value.byte_add(at - whole).cast()) }
    }

    /// Puts `value` in the place of what stands there, which is dropped.
    ///
    /// # Panics
    /// Where [`try_set`](Self::try_set) is an error.
    #[track_caller]
    pub fn set(&mut self, value: T) {
        self.try_set(value).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Puts `value` in the place of what stands there, which is dropped.
    ///
    /// Dead inside: the old value, or the new one.
    ///
    /// # Errors
    /// [`AllocError`]; the old value stands there, and the new one is dropped.
    pub fn try_set(&mut self, value: T) -> Result<(), AllocError> {
        let Home::Published { attached, .. } = self.home else {
            // SAFETY: the value is ours alone.
            unsafe { *self.as_ptr() = value };
            return Ok(());
        };
        let value = Draftsman::new(attached, value)?;
        let mut change = Change::of(self.home).expect("it is published");
        change.bury(self.as_ptr(), 1)?;
        change.hang(value.at.as_ptr(), 1)?;
        change.write(self.as_ptr(), value.at.as_ptr(), 1);
        change.make()?;
        value.forget();
        Ok(())
    }

    /// What stands there, for `value`.
    ///
    /// The old value is given as a copy: its blocks are of others, too.
    ///
    /// # Errors
    /// As [`try_set`](Self::try_set).
    pub fn try_replace(&mut self, value: T) -> Result<T, AllocError>
    where
        T: TryClone,
    {
        let old = (**self).try_clone()?;
        self.try_set(value)?;
        Ok(old)
    }
}

impl<T> Deref for Mut<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a value, which the lender has alone, and lends to us.
        unsafe { self.value.as_ref() }
    }
}

impl<T: Shareable> DerefMut for Mut<'_, T> {
    /// Only of values of which any bytes are one: a death in the middle of a store leaves some. Others are
    /// [set](Self::set); of collections each method changes as a whole.
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        const {
            assert!(
                T::ANY_BITS && !T::HAS_BLOCKS,
                "a store may be cut in half by a death: use `set`, or the traits in `sharena::collections`"
            )
        };
        // SAFETY: as above, and we have the place exclusively.
        unsafe { self.value.as_mut() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Mut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A value of this process' own, in a block where its parts can be found, until they hang elsewhere.
struct Draftsman<'a, T> {
    attached: &'a Attached,
    block: u64,
    at: NonNull<T>,
}

impl<'a, T> Draftsman<'a, T> {
    fn new(attached: &'a Attached, value: T) -> Result<Self, AllocError> {
        let layout = Layout::new::<T>();
        let layout = Layout::from_size_align(layout.size().max(1), layout.align().max(16))
            .expect("a value is no larger than a segment");
        let block = with_lane(attached, |lane| take(attached, lane, layout))??;
        let at = NonNull::new(attached.arena.at(block).cast::<T>()).expect("not at null");
        // SAFETY: a block of ours, laid out for it.
        unsafe { at.write(value) };
        Ok(Draftsman { attached, block, at })
    }

    /// The value lies elsewhere from now on.
    fn forget(self) {
        self.free();
        mem::forget(self);
    }

    fn free(&self) {
        let arena = &self.attached.arena;
        let _ = with_lane(self.attached, |lane| {
            if lane.is_live() {
                Heap { arena, lane }.free_private(self.block);
            }
        });
    }
}

impl<T> Drop for Draftsman<'_, T> {
    fn drop(&mut self) {
        // SAFETY: it was written, and nobody took it.
        unsafe { self.at.drop_in_place() };
        self.free();
    }
}

/// A change of a published value, as it is put together.
pub(crate) struct Change<'a> {
    attached: &'a Attached,
    lock: u64,
    draft: Draft,
}

const WORD: usize = size_of::<u64>();

impl<'a> Change<'a> {
    /// `None`: what lives there is changed in place.
    pub fn of(home: Home<'a>) -> Option<Change<'a>> {
        match home {
            Home::Own => None,
            Home::Published { attached, lock } => {
                Some(Change { attached, lock, draft: Draft::default() })
            }
        }
    }

    /// By which what hangs on the value is found.
    pub fn tag(&self) -> Result<Tag, AllocError> {
        self.attached.tag()
    }

    fn offset<T>(&self, at: *const T) -> u64 {
        self.attached.arena.offset_of(at.cast())
    }

    /// `count` values come to lie at `to`, which are now at `from`.
    ///
    /// The words that they begin and end in have nothing else in them that changes meanwhile.
    pub fn write<T>(&mut self, to: *mut T, from: *const T, count: usize) {
        let bytes = count * size_of::<T>();
        if bytes == 0 {
            return;
        }
        let at = self.offset(to);
        let (first, ahead) = (at / WORD as u64 * WORD as u64, at as usize % WORD);
        let mut words = vec![0u64; (ahead + bytes).div_ceil(WORD)];
        let last = words.len() - 1;
        for i in [0, last] {
            words[i] = self
                .attached
                .arena
                .word(first + (i * WORD) as u64)
                .map_or(0, |word| word.load(Relaxed));
        }
        let into = words.as_mut_ptr().cast::<u8>();
        // SAFETY: so many bytes are there, and room for them.
        unsafe { into.add(ahead).copy_from_nonoverlapping(from.cast(), bytes) };
        // Padding among them is of no value, and none is asked for.
        let words = core::hint::black_box(words);
        self.draft.write(first, words);
    }

    /// Whether a block is this process' own, and hangs on no published value.
    pub fn is_own(&self, block: u64) -> bool {
        let place = locate(&self.attached.arena, block);
        place.and_then(|place| state_of(&self.attached.arena, &place)) == Some(State::Private)
    }

    /// A block of this process' own hangs on the value from now on.
    pub fn hang_block(&mut self, block: u64) {
        self.draft.new.push(block);
    }

    /// A block does not hang on it any more.
    pub fn bury_block(&mut self, block: u64) {
        self.draft.graves.push(block);
    }

    /// So do all that hang on values of this process' own, which lie there for now.
    pub fn hang<T: Shareable>(&mut self, at: *const T, count: usize) -> Result<(), AllocError> {
        let at = self.offset(at);
        let parts = &mut self.draft.new;
        Self::list::<T>(self.attached, at, count, State::Private, parts)
    }

    /// All that hangs on published values hangs on them no more.
    pub fn bury<T: Shareable>(&mut self, at: *const T, count: usize) -> Result<(), AllocError> {
        let at = self.offset(at);
        let parts = &mut self.draft.graves;
        Self::list::<T>(self.attached, at, count, State::Part, parts)
    }

    /// So does all that hangs on a value whose bytes were taken out of published ones.
    pub fn bury_taken<T: Shareable>(&mut self, value: ManuallyDrop<T>) -> Result<(), AllocError> {
        if !T::HAS_BLOCKS {
            return Ok(());
        }
        // Where its parts can be found; it is not dropped there.
        let lying = Draftsman::new(self.attached, value)?;
        self.bury(lying.at.as_ptr().cast::<T>(), 1)
    }

    fn list<T: Shareable>(
        attached: &Attached,
        at: u64,
        count: usize,
        state: State,
        parts: &mut Vec<u64>,
    ) -> Result<(), AllocError> {
        if !T::HAS_BLOCKS || count == 0 {
            return Ok(());
        }
        let map = map_of::<T>(attached)?;
        let listed = Hanging { state, parts }.add(&attached.arena, &map, at, count as u64);
        listed.map_err(|fault| match fault {
            Fault::Foreign => AllocError::Foreign,
            Fault::Moved | Fault::Damaged(_) => AllocError::Corrupt,
        })
    }

    /// Makes it.
    ///
    /// Dead inside: nothing happened, or all does.
    ///
    /// # Errors
    /// Nothing happened.
    pub fn make(self) -> Result<(), AllocError> {
        let Change { attached, lock, draft } = self;
        let map = match draft.graves.is_empty() {
            true => None,
            false => Some(attached.agree::<Grave>(String::new).map_err(ObjectError::of_memory)?),
        };
        let layout = Layout::from_size_align(draft.bytes(), 16)
            .map_err(|_| AllocError::TooLarge { asked: usize::MAX, capacity: attached.room() })?;
        with_lane(attached, |lane| {
            let block = take(attached, lane, layout)?;
            let names = Names { heap: Heap { arena: &attached.arena, lane } };
            names.change(lock, &draft, block, map.as_deref()).map_err(|refused| {
                names.heap.free_private(block);
                match refused {
                    Refused::TooManyPins => AllocError::TooManyRefs,
                    _ => AllocError::Corrupt,
                }
            })
        })?
    }
}

/// The trace map of `T`, made once for each lane.
fn map_of<T: Shareable>(attached: &Attached) -> Result<Rc<Map>, AllocError> {
    with_lane(attached, |lane| {
        if !lane.is_live() {
            attached.revive(lane)?;
        }
        let mut types = lane.types().borrow_mut();
        let map = types.own.entry(TypeId::of::<T>()).or_insert_with(|| Rc::new(Map::of::<T>()));
        Ok(map.clone())
    })?
}

/// Stores a number into a word of a published value, as one step.
///
/// # Safety
/// An aligned word of a value that the caller may change.
pub(crate) unsafe fn store<T>(at: *mut T, number: u64) {
    const { assert!(size_of::<T>() == WORD) };
    // SAFETY: the caller's promise. Release: what it counts was written before.
    unsafe { (*at.cast::<AtomicU64>()).store(number, Release) };
}

/// What stands behind a lock that was just taken is ready to be looked at: what dead holders had begun is
/// made, and it has been looked at once by this process; false: it is no value.
///
/// # Errors
/// Somebody was at a change that a dead process had begun, `until` then.
pub(super) fn enter<T: Shareable>(
    place: &Place<'_>,
    lock: &RawMutex,
    value: *const T,
    has_died: bool,
    until: Option<Moment>,
) -> Result<bool, Held> {
    let Place::In(attached, _) = *place else { return Ok(true) };
    let arena = &attached.arena;
    let at = arena.offset_of(ptr::from_ref(lock).cast());
    let state = locate(arena, at).and_then(|it| state_of(arena, &it));
    if state == Some(State::Private) {
        return Ok(true);
    }
    let value = arena.offset_of(value.cast());
    if lock.is_fresh() {
        let Ok(map) = map_of::<T>(attached) else { return Ok(false) };
        if !fresh::mark_value(arena, &map, lock, value, place) {
            return Ok(false);
        }
    }
    let is_known = is_known_in(attached, lock, at);
    if (has_died || !is_known) && !change::make_all_again(arena, place, at, until)? {
        return Ok(false);
    }
    if is_known {
        return Ok(true);
    }
    let Ok(map) = map_of::<T>(attached) else { return Ok(false) };
    let tree = Tree { arena, map: &map, at: value, count: 1, changes: None };
    let is_whole = tree.walk(&mut Look).is_ok();
    if is_whole && let Ok(mut whole) = attached.whole.try_write() {
        whole.insert(at);
    }
    Ok(is_whole)
}

thread_local! {
    /// Where the lock is of which this thread asked last, if what it guards is known.
    static KNOWN: Cell<Option<Moored>> = const { Cell::new(None) };
}

/// Whether this process need not look at what a lock guards, the one at `at`, before it believes that.
///
/// A thread that takes one lock again and again asks nobody: readers of one process do not meet here.
fn is_known_in(attached: &Attached, lock: &RawMutex, at: u64) -> bool {
    if attached.is_creator() {
        return true;
    }
    let here = Moored::of(lock);
    if KNOWN.get() == Some(here) {
        return true;
    }
    let is_known = attached.whole.try_read().is_ok_and(|whole| whole.contains(&at));
    if is_known {
        KNOWN.set(Some(here));
    }
    is_known
}

/// The same, wherever the lock is.
#[inline]
pub(super) fn is_known(place: &Place<'_>, lock: &RawMutex) -> bool {
    let Place::In(attached, _) = *place else { return true };
    let at = attached.arena.offset_of(ptr::from_ref(lock).cast());
    let state = || locate(&attached.arena, at).and_then(|it| state_of(&attached.arena, &it));
    is_known_in(attached, lock, at) || state() == Some(State::Private)
}

/// Forgets that a holder of a lock died or panicked; `take` takes the lock.
///
/// What has blocks is mended before that, or whoever came next would have half a change: who has the lock has
/// done so, or remembers the death when it gives the lock back.
pub(super) fn clear_poison<T: Shareable, G>(lock: &RawMutex, take: impl Fn() -> TryLockResult<G>) {
    while T::HAS_BLOCKS && lock.owner() == Who::NOBODY {
        match take() {
            // It cannot be mended now.
            Err(TryLockError::WouldBlock) if lock.owner() == Who::NOBODY => return,
            Err(TryLockError::WouldBlock) => {}
            taken => {
                lock.clear_poison();
                drop(taken);
                return;
            }
        }
    }
    lock.clear_poison();
}

/// Looks whether what a lock guards is whole.
struct Look;

impl Walker for Look {
    fn accepts(&self, state: Option<State>, _: &crate::heap::Place) -> bool {
        state == Some(State::Part)
    }
    fn enter(&mut self, _: Limb) -> Result<(), Fault> {
        Ok(())
    }
    fn looks_at_values(&self) -> bool {
        true
    }
    fn enters_counted(&self) -> bool {
        true
    }
}

/// A value that is read out of its place and must not be dropped there.
pub(crate) fn taken<T>(at: *const T) -> ManuallyDrop<T> {
    // SAFETY: the callers read values that lie there, and see to it that nobody else drops them.
    unsafe { at.cast::<ManuallyDrop<T>>().read() }
}

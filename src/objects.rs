//! Typed objects: private ones, published ones, named ones; and references that keep them.

use crate::attached::{Attached, release_user, with_lane};
use crate::heap::Heap;
use crate::heap::error::AllocError;
use crate::heap::lane::Lane;
use crate::heap::unit::State;
use crate::memory::{Block, take};
use crate::names::entry::{Key, MAX_NAME, ObjectHeader, Space};
use crate::names::error::ObjectError;
use crate::names::{Names, Pinned, Refused};
use crate::offset::Offset;
use crate::process::pin::HazardIndex;
use crate::segment::Segment;
use crate::shareable::{Shareable, type_name};
use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop};
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};

/// A value in the segment that is still this process' alone.
///
/// Like a `Box`: changed freely, dropped by any thread of the process, gone when the process dies.
/// [`publish`](Self::publish) gives it to everybody.
pub struct Owned<'s, T: ?Sized> {
    value: NonNull<T>,
    block: ManuallyDrop<Block<'s>>,
}

// SAFETY: the value is reached through this alone, as through a Box.
unsafe impl<T: ?Sized + Send> Send for Owned<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for Owned<'_, T> {}

impl<T: ?Sized> Deref for Owned<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: initialized when it was made, and PRIVATE: nobody else reaches it.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for Owned<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and we have it exclusively.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized> Drop for Owned<'_, T> {
    fn drop(&mut self) {
        // Shareable values have no drop glue: the block is all there is to give back.
        // SAFETY: dropped here, once.
        unsafe { ManuallyDrop::drop(&mut self.block) };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Owned<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owned").field(&&**self).finish()
    }
}

impl<T: Shareable> Owned<'_, T> {
    /// Gives the value to everybody: any process that learns the offset can
    /// [`resolve`](Segment::resolve) it, and any can [`destroy_at`](Segment::destroy_at) it. It
    /// outlives this process.
    ///
    /// Dead inside: the value is gone, or published though nobody may know.
    pub fn publish(self) -> Offset<T> {
        publish::<T, T>(self)
    }
}

impl<T: Shareable> Owned<'_, [T]> {
    /// As for a single value; found again by [`resolve_slice`](Segment::resolve_slice).
    pub fn publish(self) -> Offset<[T]> {
        publish::<T, [T]>(self)
    }
}

fn publish<T: Shareable, U: ?Sized>(owned: Owned<'_, U>) -> Offset<U> {
    let attached = owned.block.attached();
    let at = attached.arena.offset_of(owned.value.as_ptr().cast());
    // A segment too full for the type's description has the object all the same.
    let _ = attached.describe_type::<T>();
    // SAFETY: `owned` is forgotten below, so the block is taken out once.
    let block = unsafe { ptr::read(&*owned.block) };
    mem::forget(owned);
    if block.is_ours() {
        Heap::set_state(&attached.arena, block.offset(), State::Published);
    }
    mem::forget(block);
    Offset::from_bits(at).expect("the header stands at 0")
}

/// A reference to an object that others can reach, too. While it lives the object's memory is not
/// used for anything else, in any process, even if the object is destroyed meanwhile.
///
/// Each occupies a hazard word of its thread, of which there are 256; so it stays on its thread.
/// If the process dies, its references are gone. In a child made by fork it must not be used:
/// it protects only the parent.
pub struct Ref<'s, T: ?Sized> {
    value: NonNull<T>,
    attached: &'s Attached,
    lane: *const Lane,
    birth: u32,
    hazard: HazardIndex,
    /// Of this thread alone.
    thread: PhantomData<*const ()>,
}

impl<T: ?Sized> Deref for Ref<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: a whole object of this type stood there when it was pinned, and the pin keeps its
        // memory; others change it through shared atomics only, as it is Shareable.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> Drop for Ref<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this thread's lane, of a segment that is attached while it is borrowed.
        let lane = unsafe { &*self.lane };
        if lane.birth() == self.birth {
            lane.pins.unpin(self.attached.arena.lane(lane.id()), self.hazard);
            release_user(self.attached, lane, self.birth);
        }
    }
}

impl<T: ?Sized> Ref<'_, T> {
    /// The value's address in this process. Changing the value through it needs an agreement among
    /// all processes about who may when; the types made for that are atomics.
    pub fn as_ptr(&self) -> *mut T {
        self.value.as_ptr()
    }
}

impl<T> Ref<'_, T> {
    /// Where the value stands.
    pub fn offset(&self) -> Offset<T> {
        offset_of(self.attached, self.value.as_ptr())
    }
}

impl<T> Ref<'_, [T]> {
    /// Where the first value stands.
    pub fn offset(&self) -> Offset<[T]> {
        let at = offset_of(self.attached, self.value.as_ptr().cast::<T>());
        Offset::from_bits(at.to_bits()).expect("the same number")
    }
}

fn offset_of<T>(attached: &Attached, value: *const T) -> Offset<T> {
    let at = attached.arena.offset_of(value.cast());
    Offset::from_bits(at).expect("the header stands at 0")
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ref").field(&&**self).finish()
    }
}

/// An object as [`Segment::objects`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its name; for a unique instance the name of its type.
    pub name: String,
    /// Whether it is the unique instance of its type.
    pub unique: bool,
    /// The name of its type, as the program that constructed it declared it.
    pub type_name: String,
    /// Fingerprint of the type's layout.
    pub fingerprint: u64,
    /// How many values it has; 1 for a single one.
    pub count: u64,
    /// Bytes of its block, header and rounding included.
    pub bytes: u64,
    /// Where its first byte stands.
    pub offset: u64,
}

/// What is to be constructed: how to write `count` values.
struct Recipe<F> {
    count: usize,
    write: F,
}

impl<F> Recipe<F> {
    /// Allocates, writes header and values; the block is PRIVATE.
    fn make<T: Shareable>(self, attached: &Attached, lane: &Lane, named: bool) -> Result<u64, ObjectError>
    where
        F: FnMut(usize) -> T,
    {
        const { assert!(!mem::needs_drop::<T>(), "a shared value has no drop glue") };
        let layout = layout::<T>(self.count).ok_or(ObjectError::TooLarge { count: self.count })?;
        let block = take(attached, lane, layout)?;
        // If `write` unwinds, the block goes back.
        let guard = Block::new(attached, lane, block);
        ObjectHeader::write(&attached.arena, block, T::FINGERPRINT, self.count as u64, named);
        let values = value_of::<T>(attached, block);
        let mut write = self.write;
        for i in 0..self.count {
            // SAFETY: the block is ours alone and was laid out for `count` values.
            unsafe { values.add(i).write(write(i)) };
        }
        mem::forget(guard);
        Ok(block)
    }
}

fn layout<T>(count: usize) -> Option<Layout> {
    let values = Layout::array::<T>(count).ok()?;
    let bytes = ObjectHeader::value_at(align_of::<T>()).checked_add(values.size())?;
    Layout::from_size_align(bytes, align_of::<T>().max(16)).ok()
}

fn value_of<T>(attached: &Attached, block: u64) -> NonNull<T> {
    let at = attached.arena.at(block + ObjectHeader::value_at(align_of::<T>()) as u64);
    NonNull::new(at.cast()).expect("a mapping does not start at null")
}

/// What the caller asked an object to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Single,
    Slice,
}

/// Private and unnamed objects.
impl Segment {
    /// A private copy of `value` in the segment. Lock-free.
    ///
    /// # Errors
    /// [`ObjectError::Alloc`].
    pub fn own<T: Shareable>(&self, value: T) -> Result<Owned<'_, T>, ObjectError> {
        let mut value = Some(value);
        let (block, at) = self.own_with(1, move |_| value.take().expect("called once"))?;
        Ok(Owned { value: at, block })
    }

    /// A private slice whose value `i` is `value(i)`. Lock-free.
    ///
    /// # Errors
    /// [`ObjectError::Alloc`], [`ObjectError::TooLarge`].
    pub fn own_slice<T: Shareable>(
        &self,
        count: usize,
        value: impl FnMut(usize) -> T,
    ) -> Result<Owned<'_, [T]>, ObjectError> {
        let (block, at) = self.own_with(count, value)?;
        Ok(Owned { value: NonNull::slice_from_raw_parts(at, count), block })
    }

    fn own_with<T: Shareable>(
        &self,
        count: usize,
        write: impl FnMut(usize) -> T,
    ) -> Result<(ManuallyDrop<Block<'_>>, NonNull<T>), ObjectError> {
        with_lane(self.attached(), |lane| {
            let attached = self.attached();
            let block = Recipe { count, write }.make(attached, lane, false)?;
            Ok((ManuallyDrop::new(Block::new(attached, lane, block)), value_of(attached, block)))
        })?
    }

    /// The published object at `offset`. Wait-free.
    ///
    /// The offset may come from anywhere. After the object was destroyed, another of the same type
    /// may be found at its place.
    ///
    /// # Errors
    /// [`ObjectError::NoObject`], [`ObjectError::WrongType`], [`ObjectError::WrongCount`],
    /// [`ObjectError::TooManyRefs`].
    pub fn resolve<T: Shareable>(&self, offset: Offset<T>) -> Result<Ref<'_, T>, ObjectError> {
        self.resolve_as::<T, _>(offset.to_bits(), Shape::Single, |found| found.single())
    }

    /// As [`resolve`](Self::resolve), for a slice of any length.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_slice<T: Shareable>(&self, offset: Offset<[T]>) -> Result<Ref<'_, [T]>, ObjectError> {
        self.resolve_as::<T, _>(offset.to_bits(), Shape::Slice, |found| found.slice())
    }

    fn resolve_as<'s, T: Shareable, R>(
        &'s self,
        offset: u64,
        shape: Shape,
        make: impl FnOnce(Found<'s, T>) -> R,
    ) -> Result<R, ObjectError> {
        let name = || format!("offset {offset:#x}");
        self.with_names(|names| {
            let pinned = self.pin_at::<T>(names, offset)?;
            self.attached().accept::<T>(names, pinned, shape, name).map(make)
        })
    }

    fn pin_at<T: Shareable>(&self, names: Names<'_>, offset: u64) -> Result<Pinned, ObjectError> {
        let block = offset.checked_sub(ObjectHeader::value_at(align_of::<T>()) as u64);
        let pinned = match block {
            Some(block) => names.pin_unnamed(block).map_err(|refused| self.attached().explain(refused, "")),
            None => Ok(None),
        }?;
        pinned.ok_or(ObjectError::NoObject { offset })
    }

    /// Destroys a published object that has no name. Lock-free.
    ///
    /// Whoever holds a [`Ref`] to it keeps seeing it; its memory is free when the last one is dropped.
    /// Dead inside: it is destroyed, or still there whole.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), and [`ObjectError::HasName`].
    pub fn destroy_at<T: Shareable>(&self, offset: Offset<T>) -> Result<(), ObjectError> {
        self.destroy_at_as::<T>(offset.to_bits(), Shape::Single)
    }

    /// As [`destroy_at`](Self::destroy_at), for a slice of any length.
    ///
    /// # Errors
    /// As [`destroy_at`](Self::destroy_at).
    pub fn destroy_slice_at<T: Shareable>(&self, offset: Offset<[T]>) -> Result<(), ObjectError> {
        self.destroy_at_as::<T>(offset.to_bits(), Shape::Slice)
    }

    fn destroy_at_as<T: Shareable>(&self, offset: u64, shape: Shape) -> Result<(), ObjectError> {
        self.with_names(|names| {
            let pinned = self.pin_at::<T>(names, offset)?;
            let checked = match self.attached().check_type::<T>(names, &pinned, shape, || format!("offset {offset:#x}")) {
                Ok(()) if pinned.life.named => Err(ObjectError::HasName { offset }),
                checked => checked,
            };
            if let Err(error) = checked {
                names.unpin(pinned.hazard);
                return Err(error);
            }
            // Lost to another destroyer: then it is gone as well, but not by us.
            names.destroy_unnamed(pinned).then_some(()).ok_or(ObjectError::NoObject { offset })
        })
    }
}

/// Named objects. All lock-free; a `find` takes as many steps whatever others do.
///
/// Names are UTF-8 of 1 to 4096 bytes. An object is constructed whole or not at all, also if its
/// constructor dies: nobody ever sees half of one. It stays until it is destroyed, whoever dies.
impl Segment {
    /// Constructs the object `name`.
    ///
    /// # Errors
    /// [`ObjectError::AlreadyExists`], [`ObjectError::InvalidName`], [`ObjectError::Alloc`],
    /// [`ObjectError::TooManyRefs`].
    pub fn construct<T: Shareable>(&self, name: &str, value: T) -> Result<Ref<'_, T>, ObjectError> {
        let mut value = Some(value);
        let write = move |_| value.take().expect("called once");
        self.construct_in(Space::Named, name, 1, write).map(|found| found.single())
    }

    /// Constructs the slice `name`, whose value `i` is `value(i)`; `count` may be 0.
    ///
    /// # Errors
    /// As [`construct`](Self::construct), and [`ObjectError::TooLarge`].
    pub fn construct_slice<T: Shareable>(
        &self,
        name: &str,
        count: usize,
        value: impl FnMut(usize) -> T,
    ) -> Result<Ref<'_, [T]>, ObjectError> {
        self.construct_in(Space::Named, name, count, value).map(|found| found.slice())
    }

    /// Constructs the slice `name` of `count` default values.
    ///
    /// # Errors
    /// As [`construct_slice`](Self::construct_slice).
    pub fn construct_slice_default<T: Shareable + Default>(
        &self,
        name: &str,
        count: usize,
    ) -> Result<Ref<'_, [T]>, ObjectError> {
        self.construct_slice(name, count, |_| T::default())
    }

    /// Constructs the slice `name` as a copy of `values`.
    ///
    /// # Errors
    /// As [`construct_slice`](Self::construct_slice).
    pub fn construct_slice_from<T: Shareable + Copy>(
        &self,
        name: &str,
        values: &[T],
    ) -> Result<Ref<'_, [T]>, ObjectError> {
        self.construct_slice(name, values.len(), |i| values[i])
    }

    fn construct_in<T: Shareable>(
        &self,
        space: Space,
        name: &str,
        count: usize,
        write: impl FnMut(usize) -> T,
    ) -> Result<Found<'_, T>, ObjectError> {
        check_name(name)?;
        self.attached().describe_type::<T>()?;
        self.with_names(|names| {
            let key = Key::new(names.heap.arena, space, name.as_bytes());
            let block = Recipe { count, write }.make(self.attached(), names.heap.lane, true)?;
            // Pinned before anybody else can see it, and so destroy it: no second look is needed.
            let lane = names.heap.lane;
            let record = names.heap.arena.lane(lane.id());
            let pinned = lane.pins.pin(record, block).ok_or(Refused::TooManyPins);
            let made = pinned.and_then(|hazard| match names.construct(&key, block) {
                Ok(()) => Ok(hazard),
                Err(refused) => {
                    names.unpin(hazard);
                    Err(refused)
                }
            });
            match made {
                Ok(hazard) => Ok(Found::new(self.attached(), lane, block, count as u64, hazard)),
                Err(refused) => {
                    names.heap.free_private(block);
                    Err(self.attached().explain(refused, name))
                }
            }
        })
    }

    /// The object `name`; `None`: there is none. Wait-free while no migration begins.
    ///
    /// # Errors
    /// [`ObjectError::WrongType`] names both types; [`ObjectError::WrongCount`],
    /// [`ObjectError::TooManyRefs`], [`ObjectError::InvalidName`].
    pub fn find<T: Shareable>(&self, name: &str) -> Result<Option<Ref<'_, T>>, ObjectError> {
        self.find_in(Space::Named, name, Shape::Single).map(|found| found.map(Found::single))
    }

    /// The slice `name`, of whatever length; a single object is a slice of one.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_slice<T: Shareable>(&self, name: &str) -> Result<Option<Ref<'_, [T]>>, ObjectError> {
        self.find_in(Space::Named, name, Shape::Slice).map(|found| found.map(Found::slice))
    }

    fn find_in<T: Shareable>(&self, space: Space, name: &str, shape: Shape) -> Result<Option<Found<'_, T>>, ObjectError> {
        check_name(name)?;
        self.with_names(|names| {
            let key = Key::new(names.heap.arena, space, name.as_bytes());
            match names.find(&key).map_err(|refused| self.attached().explain(refused, name))? {
                Some(pinned) => self.attached().accept(names, pinned, shape, || name.into()).map(Some),
                None => Ok(None),
            }
        })
    }

    /// The object `name`, constructed from `value()` if there is none; and whether this call
    /// constructed it. Of several callers at once exactly one does.
    ///
    /// `value` is called at most once per attempt and its result dropped if another was quicker.
    ///
    /// # Errors
    /// Those of [`find`](Self::find) and [`construct`](Self::construct), but not `AlreadyExists`.
    pub fn find_or_construct<T: Shareable>(
        &self,
        name: &str,
        value: impl FnMut() -> T,
    ) -> Result<(Ref<'_, T>, bool), ObjectError> {
        self.find_or_construct_in(Space::Named, name, value)
    }

    fn find_or_construct_in<T: Shareable>(
        &self,
        space: Space,
        name: &str,
        mut value: impl FnMut() -> T,
    ) -> Result<(Ref<'_, T>, bool), ObjectError> {
        loop {
            if let Some(found) = self.find_in(space, name, Shape::Single)? {
                return Ok((found.single(), false));
            }
            match self.construct_in(space, name, 1, |_| value()) {
                Ok(made) => return Ok((made.single(), true)),
                // Another constructed it since we looked; if it is gone again, we try again.
                Err(ObjectError::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether there is an object `name`, of any type.
    ///
    /// # Errors
    /// [`ObjectError::InvalidName`], [`ObjectError::TooManyRefs`], [`ObjectError::Corrupt`].
    pub fn contains(&self, name: &str) -> Result<bool, ObjectError> {
        check_name(name)?;
        self.with_names(|names| {
            let key = Key::new(names.heap.arena, Space::Named, name.as_bytes());
            let found = names.find(&key).map_err(|refused| self.attached().explain(refused, name))?;
            if let Some(pinned) = &found {
                names.unpin(pinned.hazard);
            }
            Ok(found.is_some())
        })
    }

    /// Destroys the object `name`, a single one or a slice; whether there was one, which this call
    /// destroyed. Of several callers at once exactly one does.
    ///
    /// Whoever holds a [`Ref`] to it keeps seeing it; its memory is free when the last one is dropped.
    /// Dead inside: it is destroyed, or still there whole.
    ///
    /// # Errors
    /// [`ObjectError::WrongType`]: it is left as it is; [`ObjectError::TooManyRefs`].
    pub fn destroy<T: Shareable>(&self, name: &str) -> Result<bool, ObjectError> {
        self.destroy_in::<T>(Space::Named, name)
    }

    fn destroy_in<T: Shareable>(&self, space: Space, name: &str) -> Result<bool, ObjectError> {
        check_name(name)?;
        self.with_names(|names| {
            let key = Key::new(names.heap.arena, space, name.as_bytes());
            let checked = names.destroy(&key, |pinned| {
                self.attached().check_type::<T>(names, pinned, Shape::Slice, || name.into()).map_err(Stopped::ByType)
            });
            checked.map_err(|stopped| match stopped {
                Stopped::ByType(error) => error,
                Stopped::By(refused) => self.attached().explain(refused, name),
            })
        })
    }

    /// Destroys all named objects and unique instances, of whatever type; how many.
    ///
    /// # Errors
    /// [`ObjectError::TooManyRefs`], [`ObjectError::Corrupt`]; some may be destroyed then.
    pub fn clear(&self) -> Result<usize, ObjectError> {
        let mut destroyed = 0;
        for object in self.objects()? {
            let space = if object.unique { Space::Unique } else { Space::Named };
            destroyed += usize::from(self.with_names(|names| {
                let key = Key::new(names.heap.arena, space, object.name.as_bytes());
                names.destroy(&key, |_| Ok(())).map_err(|refused: Refused| self.attached().explain(refused, &object.name))
            })?);
        }
        Ok(destroyed)
    }

    /// All named objects and unique instances. Weakly consistent: what others construct or destroy
    /// meanwhile may or may not be listed; nothing is listed twice. Takes time and process memory in
    /// proportion to the number of names.
    ///
    /// # Errors
    /// [`ObjectError::TooManyRefs`], [`ObjectError::Corrupt`].
    pub fn objects(&self) -> Result<Vec<ObjectInfo>, ObjectError> {
        self.with_names(|names| {
            let (mut objects, mut types) = (Vec::new(), std::collections::HashMap::new());
            let arena = names.heap.arena;
            let each = |entry: crate::names::entry::Entry<'_>, pinned: Pinned| {
                let name = String::from_utf8_lossy(entry.name()).into_owned();
                match entry.space() {
                    Some(Space::Types) => {
                        let fingerprint = entry.name().try_into().map_or(0, u64::from_le_bytes);
                        types.insert(fingerprint, self.attached().text(&pinned));
                    }
                    space => objects.push(ObjectInfo {
                        name,
                        unique: space == Some(Space::Unique),
                        type_name: String::new(),
                        fingerprint: pinned.fingerprint,
                        count: pinned.life.count,
                        bytes: crate::heap::locate(arena, pinned.object).map_or(0, |place| place.bytes),
                        offset: pinned.object,
                    }),
                }
            };
            names.for_each(each).map_err(|refused| self.attached().explain(refused, ""))?;
            for object in &mut objects {
                object.type_name = types.get(&object.fingerprint).cloned().unwrap_or_else(|| unknown(object.fingerprint));
            }
            Ok(objects)
        })
    }
}

/// The unique instance of a type: an object that is found by its type alone.
impl Segment {
    /// Constructs the unique instance of `T`.
    ///
    /// # Errors
    /// As [`construct`](Self::construct).
    pub fn construct_unique<T: Shareable>(&self, value: T) -> Result<Ref<'_, T>, ObjectError> {
        let mut value = Some(value);
        let write = move |_| value.take().expect("called once");
        self.construct_in(Space::Unique, &unique_name::<T>(), 1, write).map(|found| found.single())
    }

    /// The unique instance of `T`; `None`: there is none.
    ///
    /// # Errors
    /// As [`find`](Self::find). `WrongType`: another program's type of that name has another layout.
    pub fn find_unique<T: Shareable>(&self) -> Result<Option<Ref<'_, T>>, ObjectError> {
        self.find_in(Space::Unique, &unique_name::<T>(), Shape::Single).map(|found| found.map(Found::single))
    }

    /// The unique instance of `T`, constructed from `value()` if there is none; and whether this
    /// call constructed it.
    ///
    /// # Errors
    /// As [`find_or_construct`](Self::find_or_construct).
    pub fn find_or_construct_unique<T: Shareable>(
        &self,
        value: impl FnMut() -> T,
    ) -> Result<(Ref<'_, T>, bool), ObjectError> {
        self.find_or_construct_in(Space::Unique, &unique_name::<T>(), value)
    }

    /// Destroys the unique instance of `T`; whether there was one.
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy).
    pub fn destroy_unique<T: Shareable>(&self) -> Result<bool, ObjectError> {
        self.destroy_in::<T>(Space::Unique, &unique_name::<T>())
    }
}

/// The name of a type, as far as it fits a name.
fn unique_name<T: Shareable>() -> String {
    let mut name = type_name::<T>();
    while name.len() > MAX_NAME {
        name.pop();
    }
    name
}

fn unknown(fingerprint: u64) -> String {
    format!("an undescribed type ({fingerprint:016x})")
}

fn check_name(name: &str) -> Result<(), ObjectError> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(ObjectError::InvalidName { bytes: name.len() });
    }
    Ok(())
}

/// Why a destroy stopped.
enum Stopped {
    By(Refused),
    ByType(ObjectError),
}

impl From<Refused> for Stopped {
    fn from(refused: Refused) -> Stopped {
        Stopped::By(refused)
    }
}

/// A pinned object of the right type.
struct Found<'s, T> {
    attached: &'s Attached,
    lane: *const Lane,
    birth: u32,
    hazard: HazardIndex,
    first: NonNull<T>,
    count: u64,
}

impl<'s, T> Found<'s, T> {
    fn new(attached: &'s Attached, lane: &Lane, block: u64, count: u64, hazard: HazardIndex) -> Self {
        lane.users.set(lane.users.get() + 1);
        Found { attached, lane, birth: lane.birth(), hazard, first: value_of(attached, block), count }
    }

    fn single(self) -> Ref<'s, T> {
        self.with(self.first)
    }

    fn slice(self) -> Ref<'s, [T]> {
        self.with(NonNull::slice_from_raw_parts(self.first, self.count as usize))
    }

    fn with<U: ?Sized>(&self, value: NonNull<U>) -> Ref<'s, U> {
        let Found { attached, lane, birth, hazard, .. } = *self;
        Ref { value, attached, lane, birth, hazard, thread: PhantomData }
    }
}

impl Attached {
    /// Runs `with` with the table of names, on the calling thread's lane.
    pub(crate) fn with_names<R>(
        &self,
        with: impl FnOnce(Names<'_>) -> Result<R, ObjectError>,
    ) -> Result<R, ObjectError> {
        with_lane(self, |lane| {
            if !lane.is_live() {
                self.revive(lane)?;
            }
            with(Names { heap: Heap { arena: &self.arena, lane } })
        })
        .map_err(|error: AllocError| ObjectError::Alloc(error))?
    }

    fn explain(&self, refused: Refused, name: &str) -> ObjectError {
        ObjectError::of(refused, || name.into(), self.room())
    }

    /// The pinned object as what the caller asked for; refused: the pin is ended.
    fn accept<'s, T: Shareable>(
        &'s self,
        names: Names<'_>,
        pinned: Pinned,
        shape: Shape,
        name: impl Fn() -> String,
    ) -> Result<Found<'s, T>, ObjectError> {
        let checked = self.check_type::<T>(names, &pinned, shape, &name).and_then(|()| {
            let first = value_of::<T>(self, pinned.object);
            // SAFETY: the object is pinned, and the fingerprint says that `count` values of T, or
            // bytes that claim to be, were written there.
            let valid = |i| unsafe { T::is_valid(first.as_ptr().add(i)) };
            if T::ANY_BITS || (0..pinned.life.count as usize).all(valid) {
                Ok(())
            } else {
                Err(ObjectError::InvalidValue { name: name(), expected: type_name::<T>() })
            }
        });
        match checked {
            Ok(()) => Ok(Found::new(self, names.heap.lane, pinned.object, pinned.life.count, pinned.hazard)),
            Err(error) => {
                names.unpin(pinned.hazard);
                Err(error)
            }
        }
    }

    fn check_type<T: Shareable>(
        &self,
        names: Names<'_>,
        pinned: &Pinned,
        shape: Shape,
        name: impl Fn() -> String,
    ) -> Result<(), ObjectError> {
        if pinned.fingerprint != T::FINGERPRINT {
            let found = self.described(names, pinned.fingerprint);
            return Err(ObjectError::WrongType { name: name(), found, expected: type_name::<T>() });
        }
        if shape == Shape::Single && pinned.life.count != 1 {
            return Err(ObjectError::WrongCount { name: name(), found: pinned.life.count });
        }
        let bytes = usize::try_from(pinned.life.count).ok().and_then(layout::<T>).map(|layout| layout.size() as u64);
        let place = crate::heap::locate(names.heap.arena, pinned.object);
        match (bytes, place) {
            (Some(bytes), Some(place)) if place.start == pinned.object && bytes <= place.bytes => Ok(()),
            _ => Err(ObjectError::Corrupt { what: "an object is larger than its block" }),
        }
    }

    /// What was written of the type with this fingerprint.
    fn described(&self, names: Names<'_>, fingerprint: u64) -> String {
        let bytes = fingerprint.to_le_bytes();
        let key = Key::new(names.heap.arena, Space::Types, &bytes);
        match names.find(&key) {
            Ok(Some(pinned)) => {
                let text = self.text(&pinned);
                names.unpin(pinned.hazard);
                text
            }
            _ => unknown(fingerprint),
        }
    }

    /// The text in a pinned object that was written by `describe_type`.
    fn text(&self, pinned: &Pinned) -> String {
        let arena = &self.arena;
        let first = ObjectHeader::value_at(1) as u64;
        let fits = crate::heap::locate(arena, pinned.object).is_some_and(|place| {
            place.start == pinned.object && pinned.life.count <= place.bytes.saturating_sub(first)
        });
        if !fits || pinned.fingerprint != u8::FINGERPRINT {
            return unknown(pinned.fingerprint);
        }
        // SAFETY: so many bytes are in the block, which is pinned; they do not change.
        let bytes = unsafe { core::slice::from_raw_parts(arena.at(pinned.object + first), pinned.life.count as usize) };
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// Writes the name of `T` into the segment, for programs that do not know the type; once per
    /// lane, as far as it knows.
    fn describe_type<T: Shareable>(&self) -> Result<(), ObjectError> {
        let fingerprint = T::FINGERPRINT;
        self.with_names(|names| {
            let arena = names.heap.arena;
            let epoch = arena.header().types_epoch.load(crate::sync::Acquire);
            let types = names.heap.lane.types();
            if types.borrow().epoch == epoch && types.borrow().known.contains(&fingerprint) {
                return Ok(());
            }
            let key_bytes = fingerprint.to_le_bytes();
            let key = Key::new(arena, Space::Types, &key_bytes);
            let text = type_name::<T>().into_bytes();
            let found = names.find(&key).map_err(|refused| self.explain(refused, ""))?;
            if let Some(pinned) = found {
                names.unpin(pinned.hazard);
            } else {
                let block = Recipe { count: text.len(), write: |i| text[i] }.make::<u8>(self, names.heap.lane, true)?;
                if let Err(refused) = names.construct(&key, block) {
                    names.heap.free_private(block);
                    if refused != Refused::Taken {
                        return Err(self.explain(refused, ""));
                    }
                }
            }
            let mut types = types.borrow_mut();
            if types.epoch != epoch {
                types.known.clear();
                types.epoch = epoch;
            }
            types.known.insert(fingerprint);
            Ok(())
        })
    }
}

impl Segment {
    /// Removes the descriptions of types that no named object has.
    pub(crate) fn forget_unused_types(&self) -> Result<(), ObjectError> {
        let used: std::collections::HashSet<u64> = self.objects()?.iter().map(|object| object.fingerprint).collect();
        let attached = self.attached();
        self.with_names(|names| {
            let mut unused = Vec::new();
            let each = |entry: crate::names::entry::Entry<'_>, _| {
                if entry.space() == Some(Space::Types) {
                    unused.push(entry.name().to_vec());
                }
            };
            names.for_each(each).map_err(|refused| attached.explain(refused, ""))?;
            unused.retain(|name| name.as_slice().try_into().map_or(true, |bytes| !used.contains(&u64::from_le_bytes(bytes))));
            for name in &unused {
                let key = Key::new(names.heap.arena, Space::Types, name);
                names.destroy(&key, |_| Ok(())).map_err(|refused: Refused| attached.explain(refused, ""))?;
            }
            if !unused.is_empty() {
                // Who described such a type describes it again. If a constructor was between the
                // description and its object, messages show a number in place of the type's name.
                names.heap.arena.header().types_epoch.fetch_add(1, crate::sync::AcqRel);
            }
            Ok(())
        })
    }
}

//! Objects without a name: private ones, and published ones that are found by their offset.

use super::Owned;
use super::Ref;
use super::typed::{Found, Recipe, Shape, value_of};
use crate::attached::with_lane;
use crate::memory::Block;
use crate::names::entry::{Life, ObjectHeader};
use crate::names::error::ObjectError;
use crate::names::{Names, Pinned};
use crate::offset::Offset;
use crate::segment::Segment;
use crate::shareable::Shareable;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

/// Private and unnamed objects.
impl Segment {
    /// A private copy of `value` in the segment. Lock-free.
    ///
    /// # Errors
    /// [`ObjectError::Alloc`]; [`ObjectError::Corrupt`] as for [`find`](Self::find).
    pub fn own<T: Shareable>(&self, value: T) -> Result<Owned<'_, T>, ObjectError> {
        let mut value = Some(value);
        let (block, at) = self.own_with(1, move |_| value.take().expect("called once"))?;
        Ok(Owned { value: at, block })
    }

    /// A private slice whose value `i` is `value(i)`. Lock-free.
    ///
    /// # Errors
    /// [`ObjectError::Alloc`], [`ObjectError::TooLarge`]; [`ObjectError::Corrupt`] as for [`find`](Self::find).
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
        self.trusts::<T>()?;
        with_lane(self.attached(), |lane| {
            let attached = self.attached();
            let block = Recipe { count, write }.make(attached, lane, Life::new(0, false))?;
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
    pub fn resolve_slice<T: Shareable>(
        &self,
        offset: Offset<[T]>,
    ) -> Result<Ref<'_, [T]>, ObjectError> {
        self.resolve_as::<T, _>(offset.to_bits(), Shape::Slice, |found| found.slice())
    }

    fn resolve_as<'s, T: Shareable, R>(
        &'s self,
        offset: u64,
        shape: Shape,
        make: impl FnOnce(Found<'s, T>) -> R,
    ) -> Result<R, ObjectError> {
        let name = || format!("offset {offset:#x}");
        self.trusts::<T>()?;
        self.with_names(|names| {
            let pinned = self.pin_at::<T>(names, offset)?;
            self.attached().accept::<T>(names, pinned, shape, name).map(make)
        })
    }

    fn pin_at<T: Shareable>(&self, names: Names<'_>, offset: u64) -> Result<Pinned, ObjectError> {
        let block = offset.checked_sub(ObjectHeader::value_at(align_of::<T>()) as u64);
        let pinned = match block {
            Some(block) => {
                names.pin_unnamed(block).map_err(|refused| self.attached().explain(refused, ""))
            }
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
            let checked = match self
                .attached()
                .check_type::<T>(names, &pinned, shape, || format!("offset {offset:#x}"))
            {
                Ok(()) if pinned.life().named => Err(ObjectError::HasName { offset }),
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

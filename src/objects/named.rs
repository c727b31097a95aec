//! Named objects and unique instances.

use super::Ref;
use super::typed::{
    Found, Plain, Recipe, Shape, Spotted, make_with_entry, stands_with_entry, unknown,
};
use crate::attached::last_lane;
use crate::lock::party::Party;
use crate::lock::place::Place;
use crate::names::entry::{Key, Life, MAX_NAME, ObjectHeader, Space};
use crate::names::error::ObjectError;
use crate::names::{Names, Newcomer, Pinned, Refused};
use crate::process::pin::HazardIndex;
use crate::segment::Segment;
use crate::shareable::{Shareable, type_name};
use crate::trace::fresh::Own;
use crate::trace::map::Map;
use crate::trace::walk::{Fault, Tree};
use core::ptr;

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
    /// Bytes of its block, header and rounding included; of a small object also its name, if that stands there.
    pub bytes: u64,
    /// Where its first byte stands.
    pub offset: u64,
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
    /// [`ObjectError::TooManyRefs`]; [`ObjectError::Corrupt`] as for [`find`](Self::find).
    pub fn construct<T: Shareable>(&self, name: &str, value: T) -> Result<Ref<'_, T>, ObjectError> {
        let mut value = Some(value);
        let write = move |_| value.take().expect("called once");
        self.construct_in(Space::Named, name, 1, write, Found::single)
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
        self.construct_in(Space::Named, name, count, value, Found::slice)
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

    /// `give`: what is made of it once it is there, at once, so that it is not moved about.
    #[inline(always)]
    fn construct_in<'s, T: Shareable, R>(
        &'s self,
        space: Space,
        name: &str,
        count: usize,
        mut write: impl FnMut(usize) -> T,
        give: impl FnOnce(Found<'s, T>) -> R,
    ) -> Result<R, ObjectError> {
        check_name(name)?;
        self.trusts::<T>()?;
        let attached = self.attached();
        attached.describe_type::<T>()?;
        if count == 1 && const { stands_with_entry::<T>() } {
            return self.construct_with_entry(space, name, write(0), give);
        }
        let map = match T::HAS_BLOCKS {
            true => {
                attached.tag()?;
                Some(attached.agree::<T>(|| name.into())?)
            }
            false => None,
        };
        self.with_names(|names| {
            let key = Key::new(names.heap.arena, space, name.as_bytes());
            let block =
                Recipe { count, write }.make(attached, names.heap.lane, Life::new(0, true))?;
            let unmake = |error| {
                unmake::<T>(names, block, count);
                error
            };
            let own = match &map {
                Some(map) => own_parts(names, map, block, name).map_err(unmake)?,
                None => Own::default(),
            };
            let me = || Place::In(attached, attached.who()).me();
            if !own.locks.is_empty() {
                own.take(&attached.arena, me());
            }
            let new = Newcomer { object: block, parts: &own.parts, entry: None };
            let made = construct_pinned(names, &key, new);
            if made.is_ok() && !own.locks.is_empty() {
                own.give(&attached.arena, me());
            }
            match made {
                Ok(hazard) => {
                    let lane = names.heap.lane;
                    Ok(give(Found::new(attached, lane, block, count as u64, hazard)))
                }
                Err(refused) => Err(unmake(attached.explain(refused, name))),
            }
        })
    }

    /// Constructs a single small object; of a new name in one block with its entry.
    #[inline(always)]
    fn construct_with_entry<'s, T: Shareable, R>(
        &'s self,
        space: Space,
        name: &str,
        value: T,
        give: impl FnOnce(Found<'s, T>) -> R,
    ) -> Result<R, ObjectError> {
        let attached = self.attached();
        self.with_names(|names| {
            let key = Key::new(names.heap.arena, space, name.as_bytes());
            let lane = names.heap.lane;
            let (block, entry) = make_with_entry(attached, lane, value, name.as_bytes())?;
            let new = Newcomer { object: block, parts: &[], entry: Some(entry) };
            match construct_pinned(names, &key, new) {
                Ok(hazard) => Ok(give(Found::new(attached, lane, block, 1, hazard))),
                Err(refused) => {
                    names.heap.free_private(block);
                    Err(attached.explain(refused, name))
                }
            }
        })
    }

    /// The object `name`; `None`: there is none. Wait-free while no migration begins.
    ///
    /// But the first call of a process for a type of which not all bytes are values (`bool`, enums, locks,
    /// collections), where it did not create the segment and nobody alive vouches for it, [checks](Self::check)
    /// all of it.
    ///
    /// # Errors
    /// [`ObjectError::WrongType`] names both types; [`ObjectError::WrongCount`],
    /// [`ObjectError::TooManyRefs`], [`ObjectError::InvalidName`]; [`ObjectError::Corrupt`] if that check
    /// found damage.
    #[inline(always)]
    pub fn find<T: Shareable>(&self, name: &str) -> Result<Option<Ref<'_, T>>, ObjectError> {
        self.find_in(Space::Named, name, Shape::Single).map(|found| found.map(Found::single))
    }

    /// The slice `name`, of whatever length; a single object is a slice of one.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_slice<T: Shareable>(
        &self,
        name: &str,
    ) -> Result<Option<Ref<'_, [T]>>, ObjectError> {
        self.find_in(Space::Named, name, Shape::Slice).map(|found| found.map(Found::slice))
    }

    #[inline(always)]
    fn find_in<T: Shareable>(
        &self,
        space: Space,
        name: &str,
        shape: Shape,
    ) -> Result<Option<Found<'_, T>>, ObjectError> {
        check_name(name)?;
        self.trusts::<T>()?;
        let attached = self.attached();
        if shape == Shape::Single
            && let Some(plain) = const { &Plain::of::<T>() }
            && let Some(lane) = last_lane(attached)
        {
            let spotted = attached.find_plain(lane, space, name.as_bytes(), plain);
            match spotted.object {
                Spotted::ABSENT => return Ok(None),
                Spotted::UNUSUAL => {}
                object => return Ok(Some(Found::new(attached, lane, object, 1, spotted.hazard))),
            }
        }
        match self.find_anyhow(space, name, shape) {
            Ok(found) => Ok(found.map(Found::by_fields)),
            Err(error) => Err(error),
        }
    }

    /// As [`find_in`](Self::find_in), of whatever is there.
    #[inline(never)]
    fn find_anyhow<T: Shareable>(
        &self,
        space: Space,
        name: &str,
        shape: Shape,
    ) -> Result<Option<Found<'_, T>>, ObjectError> {
        self.with_names(|names| {
            let key = Key::new(names.heap.arena, space, name.as_bytes());
            match names.find(&key).map_err(|refused| self.attached().explain(refused, name))? {
                Some(pinned) => {
                    self.attached().accept(names, pinned, shape, || name.into()).map(Some)
                }
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
            match self.construct_in(space, name, 1, |_| value(), Found::single) {
                Ok(made) => return Ok((made, true)),
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
            let found =
                names.find(&key).map_err(|refused| self.attached().explain(refused, name))?;
            if let Some(pinned) = &found {
                names.unpin(pinned.hazard);
            }
            Ok(found.is_some())
        })
    }

    /// Destroys the object `name`, a single one or a slice; whether there was one, which this call
    /// destroyed. Of several callers at once exactly one does.
    ///
    /// Whoever holds a [`Ref`] to it keeps seeing it; its memory is free when the last one is dropped. But a single value
    /// of up to 48 bytes, all of which are values ([`ANY_BITS`](Shareable::ANY_BITS)), shares a block with its name if it was
    /// the first of that: the block is free once the name is forgotten, by the table's next growth or by
    /// [`trim`](Self::trim).
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
                self.attached()
                    .check_type::<T>(names, pinned, Shape::Slice, || name.into())
                    .map_err(Stopped::ByType)
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
        // The names as they stand there: a damaged one need not be text.
        let mut names = Vec::new();
        self.with_names(|table| {
            let each = |entry: crate::names::entry::Entry<'_>, _| {
                if let Some(space @ (Space::Named | Space::Unique)) = entry.space() {
                    names.push((space, entry.name().to_vec()));
                }
            };
            table.for_each(each).map_err(|refused| self.attached().explain(refused, ""))
        })?;
        for (space, name) in names {
            destroyed += usize::from(self.with_names(|table| {
                let key = Key::new(table.heap.arena, space, &name);
                table.destroy(&key, |_| Ok(())).map_err(|refused: Refused| {
                    self.attached().explain(refused, &String::from_utf8_lossy(&name))
                })
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
                    Some(Space::Maps) => {}
                    space => objects.push(ObjectInfo {
                        name,
                        unique: space == Some(Space::Unique),
                        type_name: String::new(),
                        fingerprint: pinned.fingerprint,
                        count: pinned.life().count,
                        bytes: crate::heap::locate(arena, pinned.object)
                            .map_or(0, |place| place.bytes),
                        offset: pinned.object,
                    }),
                }
            };
            names.for_each(each).map_err(|refused| self.attached().explain(refused, ""))?;
            for object in &mut objects {
                object.type_name = types
                    .get(&object.fingerprint)
                    .cloned()
                    .unwrap_or_else(|| unknown(object.fingerprint));
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
        self.construct_in(Space::Unique, &unique_name::<T>(), 1, write, Found::single)
    }

    /// The unique instance of `T`; `None`: there is none.
    ///
    /// # Errors
    /// As [`find`](Self::find). `WrongType`: another program's type of that name has another layout.
    pub fn find_unique<T: Shareable>(&self) -> Result<Option<Ref<'_, T>>, ObjectError> {
        self.find_in(Space::Unique, &unique_name::<T>(), Shape::Single)
            .map(|found| found.map(Found::single))
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

impl Segment {
    /// Removes the descriptions of types that no named object has.
    pub(crate) fn forget_unused_types(&self) -> Result<(), ObjectError> {
        let used: std::collections::HashSet<u64> =
            self.objects()?.iter().map(|object| object.fingerprint).collect();
        let attached = self.attached();
        self.with_names(|names| {
            let mut unused = Vec::new();
            let each = |entry: crate::names::entry::Entry<'_>, _| {
                if entry.space() == Some(Space::Types) {
                    unused.push(entry.name().to_vec());
                }
            };
            names.for_each(each).map_err(|refused| attached.explain(refused, ""))?;
            unused.retain(|name| {
                name.as_slice()
                    .try_into()
                    .map_or(true, |bytes| !used.contains(&u64::from_le_bytes(bytes)))
            });
            for name in &unused {
                let key = Key::new(names.heap.arena, Space::Types, name);
                names
                    .destroy(&key, |_| Ok(()))
                    .map_err(|refused: Refused| attached.explain(refused, ""))?;
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

/// Gives an object a name, and pins it before anybody else can see it, and so destroy it: no second look is needed.
#[inline(always)]
fn construct_pinned(
    names: Names<'_>,
    key: &Key<'_>,
    new: Newcomer<'_>,
) -> Result<HazardIndex, Refused> {
    let hazard = names.pinned(new.object)?;
    match names.construct_new(key, new) {
        Ok(()) => Ok(hazard),
        Err(refused) => {
            names.unpin(hazard);
            Err(refused)
        }
    }
}

/// What hangs on values that are this process' own, in a block that is.
pub(super) fn own_parts(
    names: Names<'_>,
    map: &Map,
    block: u64,
    name: &str,
) -> Result<Own, ObjectError> {
    let tree = Tree::of(names.heap.arena, map, block);
    let tree = tree.ok_or(ObjectError::Corrupt { what: "a new object does not fit its block" })?;
    Own::of(&tree).map_err(|fault| match fault {
        Fault::Foreign => ObjectError::Foreign { name: name.into() },
        Fault::Moved => ObjectError::Corrupt { what: "a private value was changed by another" },
        Fault::Damaged(what) => ObjectError::Corrupt { what },
    })
}

/// Drops the values in a block that was not published, and gives it back.
pub(super) fn unmake<T: Shareable>(names: Names<'_>, block: u64, count: usize) {
    let first = names.heap.arena.at(block + ObjectHeader::value_at(align_of::<T>()) as u64);
    // SAFETY: so many were written there, and the block is ours alone.
    unsafe { ptr::slice_from_raw_parts_mut(first.cast::<T>(), count).drop_in_place() };
    names.heap.free_private(block);
}

/// The name of a type, as far as it fits a name.
fn unique_name<T: Shareable>() -> String {
    let mut name = type_name::<T>();
    while name.len() > MAX_NAME {
        name.pop();
    }
    name
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

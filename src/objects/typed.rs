//! How an object is made, and what a pinned one must be before it becomes a reference.

use super::Ref;
use crate::attached::{Attached, LaneInUse};
use crate::heap::Heap;
use crate::heap::lane::Lane;
use crate::heap::unit::{State, Unit};
use crate::heap::{Place, PlaceKind};
use crate::memory::{Block, take};
use crate::names::entry::{Entry, Key, Life, ObjectHeader, Space};
use crate::names::error::ObjectError;
use crate::names::{Names, Pinned, Refused, Seen};
use crate::process::lane::LaneRecord;
use crate::process::pin::{HazardIndex, Held};
use crate::shareable::{Shareable, type_name};
use crate::trace::map::Map;
use crate::trace::walk::{Fault, Limb, Tree, Walker};
use core::alloc::Layout;
use core::any::TypeId;
use core::marker::PhantomData;
use core::mem;
use core::ptr::NonNull;
use std::rc::Rc;

/// What is to be constructed: how to write `count` values.
pub(super) struct Recipe<F> {
    pub(super) count: usize,
    pub(super) write: F,
}

impl<F> Recipe<F> {
    /// Allocates, writes header and values; the block is PRIVATE. `kind`: what is said of it beside their number.
    pub(super) fn make<T: Shareable>(
        self,
        attached: &Attached,
        lane: &Lane,
        kind: Life,
    ) -> Result<u64, ObjectError>
    where
        F: FnMut(usize) -> T,
    {
        const {
            assert!(
                mem::needs_drop::<T>() == (T::HAS_BLOCKS || T::HAS_LOCKS),
                "a shared value has no drop glue but that of collections and locks"
            )
        };
        let layout = layout::<T>(self.count).ok_or(ObjectError::TooLarge { count: self.count })?;
        let block = take(attached, lane, layout)?;
        // If `write` unwinds, the block goes back, and what is in it.
        let mut guard = Unfinished {
            _block: Block::new(attached, lane, block),
            first: value_of::<T>(attached, block),
            written: 0,
        };
        let has_parts = kind.has_parts || T::HAS_BLOCKS;
        let life = Life { count: self.count as u64, has_parts, ..kind };
        ObjectHeader::write(&attached.arena, block, T::FINGERPRINT, life);
        let mut write = self.write;
        for i in 0..self.count {
            // SAFETY: the block is ours alone and was laid out for `count` values.
            unsafe { guard.first.add(i).write(write(i)) };
            guard.written += 1;
        }
        mem::forget(guard);
        Ok(block)
    }
}

/// Bytes of the largest object, header included, behind which an entry stands: what is destroyed keeps them until its
/// name is forgotten.
const LARGEST_WITH_ENTRY: usize = 64;

/// Whether an object of one such value stands in one block with its entry. Of a type of which not all bytes are values none
/// does: how long a value is nobody knows but its type, so in a damaged segment the two could overlap.
pub(super) const fn stands_with_entry<T: Shareable>() -> bool {
    let is_plain = T::ANY_BITS && !T::HAS_BLOCKS && !T::HAS_LOCKS && !mem::needs_drop::<T>();
    let bytes = size_of::<ObjectHeader>() + size_of::<T>();
    is_plain && align_of::<T>() <= 16 && bytes <= LARGEST_WITH_ENTRY
}

/// Makes an object of one such value that says that the entry of its name stands behind it, with room for that; its
/// block, which is PRIVATE, and where the room is.
#[inline(always)]
pub(super) fn make_with_entry<T: Shareable>(
    attached: &Attached,
    lane: &Lane,
    value: T,
    name: &[u8],
) -> Result<(u64, u64), ObjectError> {
    let bytes = size_of::<ObjectHeader>() + size_of::<T>();
    let behind = bytes.next_multiple_of(align_of::<ObjectHeader>());
    let layout = Layout::from_size_align(behind + Entry::bytes(name), 16)
        .map_err(|_| ObjectError::TooLarge { count: 1 })?;
    let block = take(attached, lane, layout)?;
    let life = Life { with_entry: true, ..Life::new(1, true) };
    ObjectHeader::write(&attached.arena, block, T::FINGERPRINT, life);
    // SAFETY: the block is ours alone and was laid out for the value.
    unsafe { value_of::<T>(attached, block).write(value) };
    Ok((block, block + behind as u64))
}

/// A block in which values are being written.
struct Unfinished<'s, T> {
    _block: Block<'s>,
    first: NonNull<T>,
    written: usize,
}

impl<T> Drop for Unfinished<'_, T> {
    fn drop(&mut self) {
        let written = NonNull::slice_from_raw_parts(self.first, self.written);
        // SAFETY: so many were written, and the block is ours alone.
        unsafe { written.drop_in_place() };
    }
}

#[inline]
pub(super) fn layout<T>(count: usize) -> Option<Layout> {
    let values = Layout::array::<T>(count).ok()?;
    let bytes = ObjectHeader::value_at(align_of::<T>()).checked_add(values.size())?;
    Layout::from_size_align(bytes, align_of::<T>().max(16)).ok()
}

#[inline]
pub(super) fn value_of<T>(attached: &Attached, block: u64) -> NonNull<T> {
    let at = attached.arena.at(block + ObjectHeader::value_at(align_of::<T>()) as u64);
    NonNull::new(at.cast()).expect("a mapping does not start at null")
}

/// What the caller asked an object to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Single,
    Slice,
}

/// A pinned object of the right type.
pub(super) struct Found<'s, T> {
    first: Ref<'s, T>,
    count: u64,
}

impl<'s, T: Shareable> Found<'s, T> {
    #[inline(always)]
    pub(super) fn new(
        attached: &'s Attached,
        lane: &Lane,
        block: u64,
        count: u64,
        hazard: HazardIndex,
    ) -> Self {
        lane.users.set(lane.users.get() + 1);
        let first = Ref {
            value: value_of(attached, block),
            attached,
            lane,
            held: Held::new(hazard, lane.birth()),
            tree: if T::HAS_BLOCKS { block } else { 0 },
            thread: PhantomData,
        };
        Found { first, count }
    }

    #[inline(always)]
    pub(super) fn single(self) -> Ref<'s, T> {
        self.first
    }

    /// The same, field by field: what a call has left in memory is not where it is made in registers, too, so that
    /// nobody who moves it reads two fields at once that were just written one by one, for which a processor waits.
    #[inline(always)]
    pub(super) fn by_fields(self) -> Self {
        let first = mem::ManuallyDrop::new(self.first);
        let Ref { value, attached, lane, held, tree, .. } = *first;
        Found {
            first: Ref { value, attached, lane, held, tree, thread: PhantomData },
            count: self.count,
        }
    }

    #[inline]
    pub(super) fn slice(self) -> Ref<'s, [T]> {
        let first = mem::ManuallyDrop::new(self.first);
        let Ref { attached, lane, held, tree, .. } = *first;
        let value = NonNull::slice_from_raw_parts(first.value, self.count as usize);
        Ref { value, attached, lane, held, tree, thread: PhantomData }
    }
}

/// One value, all bytes of which are values, as a find wants it.
pub(super) struct Plain {
    fingerprint: u64,
    /// Of its object.
    bytes: u64,
    align: u64,
    may_have_entry: bool,
}

impl Plain {
    /// `None`: values of this type need a closer look.
    pub(super) const fn of<T: Shareable>() -> Option<Plain> {
        if !T::ANY_BITS || T::HAS_BLOCKS || T::HAS_LOCKS {
            return None;
        }
        Some(Plain {
            fingerprint: T::FINGERPRINT,
            bytes: (ObjectHeader::value_at(align_of::<T>()) + size_of::<T>()) as u64,
            align: align_of::<T>() as u64,
            may_have_entry: stands_with_entry::<T>(),
        })
    }
}

/// What a find of a plain value came to: two words, so that a call gives them back in registers.
#[derive(Clone, Copy)]
pub(super) struct Spotted {
    /// Or [`ABSENT`](Self::ABSENT), [`UNUSUAL`](Self::UNUSUAL): no block begins there.
    pub(super) object: u64,
    /// What names it; says nothing where there is none.
    pub(super) hazard: HazardIndex,
}

impl Spotted {
    /// No object has the name.
    pub(super) const ABSENT: u64 = 0;
    /// It is not that one, so look closer.
    pub(super) const UNUSUAL: u64 = 1;
}

impl Attached {
    /// The find that most are, of one plain value, by one look at each thing. A call of its own: what it has in
    /// registers must not compete with its caller's.
    #[inline(never)]
    pub(super) fn find_plain(
        &self,
        lane: &Lane,
        space: Space,
        name: &[u8],
        wanted: &Plain,
    ) -> Spotted {
        let names = Names { heap: Heap { arena: &self.arena, lane } };
        let nothing = |object| Spotted { object, hazard: HazardIndex::FIRST };
        match names.find_usual(&Key::new(&self.arena, space, name)) {
            Seen::There { object, hazard, .. } => {
                let is_it = names.heap.starts_block(object, wanted.bytes) && {
                    // SAFETY: the block is long enough for it, and the object is pinned.
                    let header = unsafe { ObjectHeader::in_block(&self.arena, object) };
                    // Acquire, as in `ObjectHeader::life`.
                    let life = header.life.load(crate::sync::Acquire);
                    header.fingerprint.load(crate::sync::Relaxed) == wanted.fingerprint
                        && object & (wanted.align - 1) == 0
                        && Life::is_single(life, wanted.may_have_entry)
                };
                if is_it {
                    return Spotted { object, hazard };
                }
                names.unpin(hazard);
                nothing(Spotted::UNUSUAL)
            }
            Seen::Absent => nothing(Spotted::ABSENT),
            Seen::Unusual => nothing(Spotted::UNUSUAL),
        }
    }
}

impl Attached {
    /// Runs `with` with the table of names, on the calling thread's lane.
    #[inline(always)]
    pub(crate) fn with_names<R>(
        &self,
        with: impl FnOnce(Names<'_>) -> Result<R, ObjectError>,
    ) -> Result<R, ObjectError> {
        let lane = LaneInUse::of(self).map_err(ObjectError::Alloc)?;
        if !lane.is_live() {
            self.revive(&lane)?;
        }
        with(Names { heap: Heap { arena: &self.arena, lane: &lane } })
    }

    #[cold]
    pub(super) fn explain(&self, refused: Refused, name: &str) -> ObjectError {
        ObjectError::of(refused, || name.into(), self.room())
    }

    /// The pinned object as what the caller asked for; refused: the pin is ended.
    #[inline]
    pub(super) fn accept<'s, T: Shareable>(
        &'s self,
        names: Names<'_>,
        pinned: Pinned,
        shape: Shape,
        name: impl Fn() -> String,
    ) -> Result<Found<'s, T>, ObjectError> {
        let checked = self.check_type::<T>(names, &pinned, shape, &name).and_then(|()| {
            if pinned.life().with_entry && !const { stands_with_entry::<T>() } {
                let what = "an object of such a type has no entry behind it";
                return Err(ObjectError::Corrupt { what });
            }
            if T::HAS_BLOCKS {
                return self.check_parts::<T>(names, &pinned, &name);
            }
            let first = value_of::<T>(self, pinned.object);
            // SAFETY: the object is pinned, and the fingerprint says that `count` values of T, or
            // bytes that claim to be, were written there.
            let valid = |i| unsafe { T::is_valid(first.as_ptr().add(i)) };
            if T::ANY_BITS || (0..pinned.life().count as usize).all(valid) {
                Ok(())
            } else {
                Err(ObjectError::InvalidValue { name: name(), expected: type_name::<T>() })
            }
        });
        match checked {
            Ok(()) => Ok(Found::new(
                self,
                names.heap.lane,
                pinned.object,
                pinned.life().count,
                pinned.hazard,
            )),
            Err(error) => {
                names.unpin(pinned.hazard);
                Err(error)
            }
        }
    }

    /// Whether the object's words may be followed.
    pub(super) fn check_parts<T: Shareable>(
        &self,
        names: Names<'_>,
        pinned: &Pinned,
        name: impl Fn() -> String,
    ) -> Result<(), ObjectError> {
        if !pinned.life().has_parts {
            return Err(ObjectError::Corrupt { what: "an object does not say that it has parts" });
        }
        self.tag()?;
        let map = self.agree::<T>(&name)?;
        // Nobody waits for another thread here, nor, in a child made by fork, for one that is not there.
        let known = || self.whole.try_read().is_ok_and(|whole| whole.contains(&pinned.object));
        if self.is_creator() || known() {
            return Ok(());
        }
        let object = pinned.object;
        let tree = Tree::of(names.heap.arena, &map, object);
        let is_whole = |tree: &Tree<'_>| tree.walk(&mut Look { attached: self, object }).is_ok();
        // Once more, if who recovers a dead one was between the looks at a part's state and at the journal: all are
        // marked before that is closed.
        if !tree.is_some_and(|tree| is_whole(&tree) || is_whole(&tree)) {
            return Err(ObjectError::InvalidValue { name: name(), expected: type_name::<T>() });
        }
        // At its place there are from now on objects of processes that have the segment open.
        if let Ok(mut whole) = self.whole.try_write() {
            whole.insert(pinned.object);
        }
        Ok(())
    }

    /// Has the trace map of `T` stand in the segment, and agree with this program's.
    pub(crate) fn agree<T: Shareable>(
        &self,
        name: impl Fn() -> String,
    ) -> Result<Rc<Map>, ObjectError> {
        self.with_names(|names| {
            let types = names.heap.lane.types();
            if let Some(map) = types.borrow().maps.get(&TypeId::of::<T>()) {
                return Ok(map.clone());
            }
            let map = Map::of::<T>();
            let (words, bytes) = (map.words(), T::FINGERPRINT.to_le_bytes());
            let key = Key::new(names.heap.arena, Space::Maps, &bytes);
            loop {
                let found = names.find(&key).map_err(|refused| self.explain(refused, ""))?;
                if let Some(pinned) = found {
                    let is_same = pinned.fingerprint == u32::FINGERPRINT
                        && names.words_of(pinned.object, pinned.life().count) == Some(words);
                    names.unpin(pinned.hazard);
                    if is_same {
                        break;
                    }
                    let found = format!("{} with other parts", type_name::<T>());
                    let (name, expected) = (name(), type_name::<T>());
                    return Err(ObjectError::WrongType { name, found, expected });
                }
                let recipe = Recipe { count: words.len(), write: |i| words[i] };
                let block = recipe.make::<u32>(self, names.heap.lane, Life::new(0, true))?;
                match names.construct(&key, block, &[]) {
                    Ok(()) => break,
                    Err(refused) => {
                        names.heap.free_private(block);
                        if refused != Refused::Taken {
                            return Err(self.explain(refused, ""));
                        }
                    }
                }
            }
            let map = Rc::new(map);
            types.borrow_mut().maps.insert(TypeId::of::<T>(), map.clone());
            Ok(map)
        })
    }

    #[inline]
    pub(super) fn check_type<T: Shareable>(
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
        if shape == Shape::Single && pinned.life().count != 1 {
            return Err(ObjectError::WrongCount { name: name(), found: pinned.life().count });
        }
        let layout = match pinned.life().count {
            1 => layout::<T>(1), // known ahead
            count => usize::try_from(count).ok().and_then(layout::<T>),
        };
        let what = match layout {
            Some(layout) if !names.heap.starts_block(pinned.object, layout.size() as u64) => {
                "an object is larger than its block"
            }
            Some(layout) if !pinned.object.is_multiple_of(layout.align() as u64) => {
                "an object is not aligned for its type"
            }
            Some(_) => return Ok(()),
            None => "an object is larger than any block",
        };
        Err(ObjectError::Corrupt { what })
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
    pub(super) fn text(&self, pinned: &Pinned) -> String {
        let arena = &self.arena;
        let first = ObjectHeader::value_at(1) as u64;
        let fits = crate::heap::locate(arena, pinned.object).is_some_and(|place| {
            place.start == pinned.object && pinned.life().count <= place.bytes.saturating_sub(first)
        });
        if !fits || pinned.fingerprint != u8::FINGERPRINT {
            return unknown(pinned.fingerprint);
        }
        // SAFETY: so many bytes are in the block, which is pinned; they do not change.
        let bytes = unsafe {
            core::slice::from_raw_parts(
                arena.at(pinned.object + first),
                pinned.life().count as usize,
            )
        };
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// Writes the name of `T` into the segment, for programs that do not know the type; once per
    /// lane, as far as it knows.
    pub(super) fn describe_type<T: Shareable>(&self) -> Result<(), ObjectError> {
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
                let block = Recipe { count: text.len(), write: |i| text[i] }.make::<u8>(
                    self,
                    names.heap.lane,
                    Life::new(0, true),
                )?;
                if let Err(refused) = names.construct(&key, block, &[]) {
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

/// Looks whether a tree is whole, before a reference into it is made.
struct Look<'a> {
    attached: &'a Attached,
    /// Where that is.
    object: u64,
}

impl Walker for Look<'_> {
    /// Its own parts, and such as a process has not marked yet that lives, or whose recovery marks them.
    fn accepts(&self, state: Option<State>, place: &Place) -> bool {
        let owner = match (state, place.kind) {
            (Some(State::Part), _) => return true,
            (Some(State::Private), PlaceKind::Slab(_, Unit::Slab { lane, .. })) => lane,
            (Some(State::Private), PlaceKind::Run(_, Unit::Run { lane, .. })) => lane,
            _ => return false,
        };
        let (attached, arena) = (self.attached, &self.attached.arena);
        let its = arena.lanes().find(|(id, _)| *id == owner).and_then(|(_, it)| it.tenure());
        let links = |record: &LaneRecord| record.tenure() == its && record.links(self.object);
        attached.is_of_the_living(owner)
            || its.is_some() && arena.lanes().any(|(_, record)| links(record))
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

pub(super) fn unknown(fingerprint: u64) -> String {
    format!("an undescribed type ({fingerprint:016x})")
}

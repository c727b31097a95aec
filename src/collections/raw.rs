//! Blocks that values own: taken, given back, made larger. All PRIVATE, so no other process sees any of
//! this, and a death frees them.

use crate::attached::{Attached, with_lane};
use crate::heap::error::AllocError;
use crate::heap::lane::Lane;
use crate::heap::size_class::ClassId;
use crate::heap::unit::{State, UNIT, Unit};
use crate::heap::{self, Heap, PlaceKind};
use crate::memory::take;
use crate::tag::current;
use crate::word::{Tag, Word};
use core::alloc::Layout;

/// The segment to take memory from for a value that has this tag.
pub fn segment_of(tag: Tag) -> Result<(Tag, &'static Attached), AllocError> {
    let (tag, why) = match tag {
        Tag::NONE => (current(), AllocError::NoSegment),
        tag => (tag, AllocError::Closed),
    };
    tag.holder().map(|attached| (tag, attached)).ok_or(why)
}

/// A PRIVATE block for `layout`, which is not empty, and how many bytes it has.
pub fn allocate(tag: Tag, layout: Layout) -> Result<(Word, usize), AllocError> {
    let (tag, attached) = segment_of(tag)?;
    let block = with_lane(attached, |lane| take(attached, lane, layout))??;
    let bytes = match ClassId::of(layout.size(), layout.align()) {
        Some(class) => class.cut().size as usize,
        None => heap::run::units_for(layout.size()) as usize * UNIT,
    };
    Ok((Word::new(tag, block), bytes))
}

/// The same, for what is likely to become longer: of a unit and more it is a run, which
/// [can](grow_in_place) where it stands. A vector of many elements is copied no more, and lies in memory that was
/// used just before.
pub fn allocate_to_grow(tag: Tag, layout: Layout) -> Result<(Word, usize), AllocError> {
    if layout.size() < UNIT {
        return allocate(tag, layout);
    }
    let (tag, attached) = segment_of(tag)?;
    let block = with_lane(attached, |lane| attached.allocate_run(lane, layout))??;
    Ok((Word::new(tag, block), heap::run::units_for(layout.size()) as usize * UNIT))
}

/// Gives a block back. In a child made by fork this leaves alone what is its parent's.
///
/// # Safety
/// `word` is from [`allocate`], and nobody uses the block any more.
pub unsafe fn free(word: Word) {
    let Some(attached) = word.tag().holder() else { return };
    // Without a lane (all are in use) the block stays private until the process ends.
    let _ = with_lane(attached, |lane| {
        if !Heap::free_own(lane, word.offset(), State::Private) {
            free_slow(attached, lane, word.offset());
        }
    });
}

#[cold]
#[inline(never)]
fn free_slow(attached: &Attached, lane: &Lane, block: u64) {
    if attached.owns_block(block) && (lane.is_live() || attached.revive(lane).is_ok()) {
        Heap { arena: &attached.arena, lane }.free_private(block);
    }
}

/// Makes a block of more than a slab's longer without moving it; its bytes then.
///
/// # Safety
/// `word` is from [`allocate`], and the caller has it alone.
pub unsafe fn grow_in_place(word: Word, bytes: usize) -> Option<usize> {
    let attached = word.tag().holder()?;
    if bytes as u64 > attached.room() {
        return None;
    }
    with_lane(attached, |lane| {
        let place = heap::locate(&attached.arena, word.offset())?;
        let PlaceKind::Run(_, Unit::Run { lane: owner, .. }) = place.kind else { return None };
        if !attached.owns(owner) || !lane.is_live() {
            return None;
        }
        Heap { arena: &attached.arena, lane }.resize_in_place(&place, bytes).map(|len| len as usize)
    })
    .ok()?
}

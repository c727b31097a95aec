//! Raw memory for users: blocks by layout, private or given to everybody, and handles for hot loops.

use crate::attached::{Attached, last_lane, of_birth, release_user, with_lane};
use crate::heap::error::{AllocError, FreeError, check_layout};
use crate::heap::lane::Lane;
use crate::heap::size_class::ClassId;
use crate::heap::unit::State;
use crate::heap::{self, Heap};
use crate::offset::Offset;
use crate::segment::Segment;
use core::alloc::Layout;
use core::fmt;
use core::hint::cold_path;
use core::marker::PhantomData;
use core::mem;
use core::num::NonZeroU64;
use core::ptr::{self, NonNull};

/// A private block of raw memory: this process' alone until it is [published](Block::publish).
///
/// Dropped, the block is free again; so it is when the process dies. May be sent to and dropped by
/// any thread of the process. In a child made by fork dropping it does nothing: the block is the
/// parent's.
#[must_use = "a block that is dropped is free again"]
pub struct Block<'s> {
    /// Its address, and from bit 48 on the birth of the process that took it, by which its attachment
    /// is found: another's is not ours to free.
    bits: NonZeroU64,
    segment: PhantomData<&'s Segment>,
}

// SAFETY: the block belongs to the process, not to a thread; its memory is raw.
unsafe impl Send for Block<'_> {}
// SAFETY: a shared Block gives out nothing but its address.
unsafe impl Sync for Block<'_> {}

impl<'s> Block<'s> {
    /// The block's first byte in this process. Valid for reads and writes of the bytes asked for (and
    /// of [`usable_size`](Self::usable_size)) while the block is; uninitialized.
    #[inline]
    pub fn as_ptr(&self) -> NonNull<u8> {
        let address = self.bits.get() & ((1 << Lane::BIRTH_SHIFT) - 1);
        // SAFETY: a block lies in the mapping, which does not start at null and whose provenance was
        // exposed when the lane began.
        unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(address as usize)) }
    }

    /// Bytes that may be used: as many as were asked for, or a few more.
    pub fn usable_size(&self) -> usize {
        let place =
            heap::locate(&self.attached().arena, self.offset()).expect("a block that is held");
        place.bytes as usize
    }

    /// Gives the block to everybody: any process that learns the offset may use it, and any may
    /// [deallocate](Segment::deallocate) it. It outlives this process.
    ///
    /// Wait-free: one store. Dead before it: the block is free again; dead after it: it is published,
    /// though nobody may know.
    pub fn publish(self) -> Offset<u8> {
        let offset = self.offset();
        if self.is_ours() {
            Heap::set_state(&self.attached().arena, offset, State::Raw);
        }
        mem::forget(self);
        Offset::from_bits(offset).expect("the header stands at 0")
    }

    #[inline]
    pub(crate) fn offset(&self) -> u64 {
        self.attached().arena.offset_of(self.as_ptr().as_ptr())
    }

    #[inline]
    fn birth(&self) -> u32 {
        (self.bits.get() >> Lane::BIRTH_SHIFT) as u32
    }

    /// The attachment that it was taken by.
    #[inline]
    pub(crate) fn attached(&self) -> &'s Attached {
        // SAFETY: the segment is borrowed, so its attachment is alive.
        unsafe { of_birth(self.birth()) }
    }

    /// False in a child made by fork.
    pub(crate) fn is_ours(&self) -> bool {
        self.attached().is_own_birth(self.birth())
    }

    #[inline(always)]
    pub(crate) fn new(_attached: &'s Attached, lane: &Lane, block: u64) -> Block<'s> {
        // SAFETY: the segment does not lie at 0.
        let bits = unsafe { NonZeroU64::new_unchecked(block + lane.tagged_base()) };
        Block { bits, segment: PhantomData }
    }

    /// Frees it, on `lane` if that is of its segment; the block is not used after.
    #[inline(always)]
    fn free_on(&self, lane: &Lane) {
        // Of another birth (another segment, a parent's), it is no offset of the lane's segment, as the
        // top bits differ. (A lane that fork has wiped has birth 0, which no block has.)
        let block = self.bits.get().wrapping_sub(lane.tagged_base());
        if !Heap::free_own(lane, block, State::Private) {
            self.free_slow(lane);
        }
    }

    #[cold]
    #[inline(never)]
    fn free_on_found_lane(&self) {
        // If there is none (all are in use) the block stays private until the segment is closed.
        let _ = with_lane(self.attached(), |lane| self.free_on(lane));
    }

    #[cold]
    #[inline(never)]
    fn free_slow(&self, lane: &Lane) {
        let attached = self.attached();
        if !self.is_ours() {
            return;
        }
        let free = |lane: &Lane| Heap { arena: &attached.arena, lane }.free_private(self.offset());
        if lane.birth() == self.birth() {
            free(lane);
        } else {
            // A handle's, of another segment; or wiped by a fork that we were born by.
            let _ = with_lane(attached, |lane| {
                if lane.is_live() || attached.revive(lane).is_ok() {
                    free(lane);
                }
            });
        }
    }
}

impl Drop for Block<'_> {
    #[inline]
    fn drop(&mut self) {
        match last_lane(self.attached()) {
            Some(lane) => self.free_on(lane),
            None => self.free_on_found_lane(),
        }
    }
}

impl fmt::Debug for Block<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({:#x})", self.offset())
    }
}

/// A PRIVATE block for `layout` on `lane`.
#[inline(always)]
pub(crate) fn take(attached: &Attached, lane: &Lane, layout: Layout) -> Result<u64, AllocError> {
    match at_hand(lane, layout) {
        Some(block) => Ok(block),
        None => take_slow(attached, lane, layout),
    }
}

/// The same, if one is at hand.
#[inline(always)]
fn at_hand(lane: &Lane, layout: Layout) -> Option<u64> {
    Heap::take(lane, ClassId::of_small(layout.size(), layout.align())?)
}

#[cold]
#[inline(never)]
fn take_slow(attached: &Attached, lane: &Lane, layout: Layout) -> Result<u64, AllocError> {
    check_layout(layout, attached.room())?;
    attached.allocate(lane, layout.size(), layout.align())
}

#[inline(always)]
fn allocate_on(segment: &Segment, lane: &Lane, layout: Layout) -> Result<Offset<u8>, AllocError> {
    let class = ClassId::of_small(layout.size(), layout.align());
    let block = match class.and_then(|class| Heap::take_raw(lane, class)) {
        Some(block) => block,
        None => allocate_slow(segment, lane, layout)?,
    };
    // SAFETY: a block of the lane's segment starts there, so the lane is live.
    unsafe { lane.promise(block) };
    Ok(offset_of_block(block))
}

#[cold]
#[inline(never)]
fn allocate_slow(segment: &Segment, lane: &Lane, layout: Layout) -> Result<u64, AllocError> {
    let block = take_slow(segment.attached(), lane, layout)?;
    Heap::set_state(&segment.attached().arena, block, State::Raw);
    Ok(block)
}

#[inline(always)]
fn offset_of_block(block: u64) -> Offset<u8> {
    // SAFETY: no block starts at 0, where the header stands.
    unsafe { Offset::from_bits(block).unwrap_unchecked() }
}

#[inline(always)]
fn deallocate_on(segment: &Segment, lane: &Lane, offset: u64) -> Result<(), FreeError> {
    if Heap::free_own(lane, offset, State::Raw) {
        return Ok(());
    }
    cold_path(); // for the compiler alone, so that the way of an owner goes straight on
    deallocate_elsewhere(segment, lane, offset)
}

#[inline(never)]
fn deallocate_elsewhere(segment: &Segment, lane: &Lane, offset: u64) -> Result<(), FreeError> {
    let attached = segment.attached();
    if (Heap { arena: &attached.arena, lane }).free_raw_elsewhere(offset) {
        return Ok(());
    }
    deallocate_slow(attached, lane, offset)
}

#[cold]
#[inline(never)]
fn deallocate_slow(attached: &Attached, lane: &Lane, offset: u64) -> Result<(), FreeError> {
    if !lane.is_live() {
        attached.revive(lane).map_err(FreeError::NoLane)?;
    }
    Heap { arena: &attached.arena, lane }.free_raw(offset)
}

/// Raw memory. Lock-free, all of it; errors leave everything as it was.
impl Segment {
    /// A private block of `layout.size()` bytes (more than 0) at a multiple of `layout.align()` (at
    /// most 64 KiB), uninitialized. On a small size that is at hand: no shared memory is touched.
    ///
    /// # Errors
    /// [`AllocError`] says which limit was met and what to do.
    #[inline]
    pub fn allocate_block(&self, layout: Layout) -> Result<Block<'_>, AllocError> {
        if let Some(lane) = last_lane(self.attached())
            && let Some(block) = at_hand(lane, layout)
        {
            return Ok(Block::new(self.attached(), lane, block));
        }
        self.allocate_block_slow(layout)
    }

    #[cold]
    #[inline(never)]
    fn allocate_block_slow(&self, layout: Layout) -> Result<Block<'_>, AllocError> {
        with_lane(self.attached(), |lane| {
            let block = take_slow(self.attached(), lane, layout)?;
            Ok(Block::new(self.attached(), lane, block))
        })?
    }

    /// A block that is everybody's at once: it stays until any process
    /// [deallocates](Self::deallocate) it, also when this one dies. Uninitialized; see
    /// [`allocate_block`](Self::allocate_block) for layouts and errors.
    ///
    /// Dead inside: the block is free again, or allocated though nobody knows its offset: who cannot
    /// have that links it into a structure of his own by way of an object.
    #[inline]
    pub fn allocate(&self, layout: Layout) -> Result<Offset<u8>, AllocError> {
        match last_lane(self.attached()) {
            Some(lane) => allocate_on(self, lane, layout),
            None => self.allocate_on_found_lane(layout),
        }
    }

    #[cold]
    #[inline(never)]
    fn allocate_on_found_lane(&self, layout: Layout) -> Result<Offset<u8>, AllocError> {
        with_lane(self.attached(), |lane| allocate_on(self, lane, layout))?
    }

    /// As [`allocate`](Self::allocate), all bytes zero.
    pub fn allocate_zeroed(&self, layout: Layout) -> Result<Offset<u8>, AllocError> {
        let block = self.allocate_block(layout)?;
        // SAFETY: the block is ours alone and has that many bytes.
        unsafe { block.as_ptr().write_bytes(0, layout.size()) };
        Ok(block.publish())
    }

    /// Frees a block of [`allocate`](Self::allocate) or [`Block::publish`], whoever allocated it.
    ///
    /// Safe to call with any offset: what is no such block, or is free already, is an error. But the
    /// caller must know that nobody uses the block's bytes any more, as the next
    /// [`allocate`](Self::allocate) may return it.
    ///
    /// Dead inside: the block is free, or still allocated.
    ///
    /// # Errors
    /// [`FreeError`]; nothing was freed.
    #[inline]
    pub fn deallocate(&self, offset: Offset<u8>) -> Result<(), FreeError> {
        match last_lane(self.attached()) {
            Some(lane) => deallocate_on(self, lane, offset.to_bits()),
            None => self.deallocate_on_found_lane(offset),
        }
    }

    #[cold]
    #[inline(never)]
    fn deallocate_on_found_lane(&self, offset: Offset<u8>) -> Result<(), FreeError> {
        with_lane(self.attached(), |lane| deallocate_on(self, lane, offset.to_bits()))
            .map_err(FreeError::NoLane)?
    }

    /// Bytes that may be used of the block at `offset`: as many as were asked for, or a few more.
    ///
    /// # Errors
    /// [`FreeError`] if no raw block starts there.
    pub fn usable_size(&self, offset: Offset<u8>) -> Result<usize, FreeError> {
        heap::raw_place(&self.attached().arena, offset.to_bits()).map(|place| place.bytes as usize)
    }

    /// Makes the raw block at `offset` at least `bytes` long without moving it, or gives back what it
    /// need not have for so many; `Some` usable size, or `None`: it stays as it was, as what lies
    /// behind it is in use.
    ///
    /// The caller holds the block alone: nobody else resizes or frees it meanwhile.
    /// Dead inside: the block has its old or its new size.
    ///
    /// # Errors
    /// [`FreeError`] if no raw block starts there.
    pub fn resize_in_place(
        &self,
        offset: Offset<u8>,
        bytes: usize,
    ) -> Result<Option<usize>, FreeError> {
        let arena = &self.attached().arena;
        let resized = with_lane(self.attached(), |lane| {
            if !lane.is_live() {
                self.attached().revive(lane).map_err(FreeError::NoLane)?;
            }
            let place = heap::raw_place(arena, offset.to_bits())?;
            if bytes == 0 || bytes as u64 > self.attached().room() {
                return Ok(None);
            }
            Ok(Heap { arena, lane }.resize_in_place(&place, bytes).map(|bytes| bytes as usize))
        });
        resized.map_err(FreeError::NoLane)?
    }

    /// The address in this process of the byte at `offset`; `None`: there is no memory there.
    ///
    /// Valid for the block's bytes as long as the block is and the segment is open here.
    pub fn address(&self, offset: Offset<u8>) -> Option<NonNull<u8>> {
        let arena = &self.attached().arena;
        arena.holds(offset.to_bits(), 1).then(|| NonNull::new(arena.at(offset.to_bits()))).flatten()
    }

    /// The offset of an address inside the segment's memory; `None`: it lies elsewhere.
    pub fn offset_of(&self, address: *const u8) -> Option<Offset<u8>> {
        let arena = &self.attached().arena;
        Offset::from_bits(arena.offset_of(address))
            .filter(|offset| arena.holds(offset.to_bits(), 1))
    }

    /// A handle for hot loops: the calling thread's lane without the look-up.
    ///
    /// # Errors
    /// [`AllocError::TooManyThreads`], if every lane is in use.
    pub fn handle(&self) -> Result<Handle<'_>, AllocError> {
        with_lane(self.attached(), |lane| {
            if !lane.is_live() {
                self.attached().revive(lane)?;
            }
            lane.users.set(lane.users.get() + 1);
            Ok(Handle { segment: self, lane, birth: lane.birth(), thread: PhantomData })
        })?
    }
}

/// The calling thread's lane of a segment, looked up once: for loops in which the few nanoseconds of
/// a thread-local look-up count. Does what the methods of the same names of [`Segment`] do.
pub struct Handle<'s> {
    segment: &'s Segment,
    lane: *const Lane,
    birth: u32,
    /// Of this thread alone.
    thread: PhantomData<*const ()>,
}

impl<'s> Handle<'s> {
    #[inline(always)]
    pub(crate) fn lane(&self) -> &'s Lane {
        // SAFETY: the segment is attached while it is borrowed, and lanes stay mapped so long; the
        // lane is this thread's, which the handle cannot leave.
        unsafe { &*self.lane }
    }

    /// The segment that it is for.
    pub fn segment(&self) -> &'s Segment {
        self.segment
    }

    /// See [`Segment::allocate_block`].
    #[inline(always)]
    pub fn allocate_block(&self, layout: Layout) -> Result<Block<'s>, AllocError> {
        let block = match at_hand(self.lane(), layout) {
            Some(block) => block,
            None => take_slow(self.segment.attached(), self.lane(), layout)?,
        };
        Ok(Block::new(self.segment.attached(), self.lane(), block))
    }

    /// Frees a private block: what dropping it does, without the look-up.
    ///
    /// A block of another segment goes the slow way.
    #[inline(always)]
    pub fn free_block(&self, block: Block<'_>) {
        block.free_on(self.lane());
        mem::forget(block);
    }

    /// See [`Segment::allocate`].
    #[inline(always)]
    pub fn allocate(&self, layout: Layout) -> Result<Offset<u8>, AllocError> {
        allocate_on(self.segment, self.lane(), layout)
    }

    /// The address in this process of the byte at `offset`; `None`: it lies outside the segment.
    ///
    /// Valid for the block's bytes as long as the block is and the segment is open here. Does not look
    /// whether there is memory, as [`Segment::address`] does.
    #[inline(always)]
    pub fn address(&self, offset: Offset<u8>) -> Option<NonNull<u8>> {
        self.lane().address(offset.to_bits())
    }

    /// See [`Segment::deallocate`].
    #[inline(always)]
    pub fn deallocate(&self, offset: Offset<u8>) -> Result<(), FreeError> {
        deallocate_on(self.segment, self.lane(), offset.to_bits())
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        release_user(self.segment.attached(), self.lane(), self.birth);
    }
}

impl fmt::Debug for Handle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.lane().id())
    }
}

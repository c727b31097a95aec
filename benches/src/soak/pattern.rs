//! What is written into blocks and objects, so that whoever frees one can tell that nobody else has
//! written there.

use anyhow::{Context, Result, ensure};
use sharena::{Offset, Segment, Shareable};

/// Bytes of the smallest block that can hold its own description.
pub const SMALLEST: usize = 8;

/// From a block's first word on to the words that follow: different at every place.
fn word(first: u64, index: usize) -> u64 {
    (first ^ index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Of a large block a word in so many is written, so that a soak is more than a test of memory.
fn step(words: usize) -> usize {
    if words <= 1024 { 1 } else { 61 }
}

/// Fills `bytes` (at least [`SMALLEST`]) bytes: the first word says how many they are.
///
/// # Safety
/// The caller holds the block at `at` alone, it is aligned to 8, and has that many bytes.
pub unsafe fn fill(at: *mut u8, bytes: usize, seed: u32) {
    let (first, at) = ((bytes as u64) << 32 | u64::from(seed), at.cast::<u64>());
    let words = bytes / 8;
    // SAFETY: inside the block, as the caller promises.
    unsafe {
        at.write(first);
        for i in (1..words).step_by(step(words)) {
            at.add(i).write(word(first, i));
        }
    }
}

/// Verifies what [`fill`] wrote; how many bytes it was told.
///
/// # Safety
/// The caller holds the block at `at` alone; it is aligned to 8, has `room` bytes, and was filled.
pub unsafe fn verify(at: *const u8, room: usize) -> Result<usize> {
    let at = at.cast::<u64>();
    // SAFETY: the smallest block has a word.
    let first = unsafe { at.read() };
    let bytes = (first >> 32) as usize;
    ensure!(
        (SMALLEST..=room).contains(&bytes),
        "a block of {room} bytes says that it has {bytes}: overwritten"
    );
    let words = bytes / 8;
    for i in (1..words).step_by(step(words)) {
        // SAFETY: inside the block.
        let found = unsafe { at.add(i).read() };
        ensure!(
            found == word(first, i),
            "word {i} of a block of {bytes} bytes is {found:#x}: overwritten"
        );
    }
    Ok(bytes)
}

/// A value that shows whether it is whole.
#[derive(Shareable, Clone, Copy)]
#[repr(C)]
pub struct Sealed {
    /// Which name it was made for, or any number.
    pub owner: u64,
    random: [u64; 5],
    seal: u64,
}

impl Sealed {
    pub fn new(owner: u64, random: &mut fastrand::Rng) -> Sealed {
        let random = std::array::from_fn(|_| random.u64(..));
        Sealed { owner, random, seal: seal(owner, &random) }
    }

    pub fn verify(&self, owner: Option<u64>) -> Result<()> {
        ensure!(
            self.seal == seal(self.owner, &self.random),
            "an object is not as it was constructed"
        );
        ensure!(
            owner.is_none_or(|owner| owner == self.owner),
            "an object of name {} has another's place",
            self.owner
        );
        Ok(())
    }
}

fn seal(owner: u64, random: &[u64]) -> u64 {
    random.iter().enumerate().fold(owner, |seal, (i, value)| seal.rotate_left(7) ^ word(*value, i))
}

/// Value `i` of a slice that begins with `first`.
pub fn value_of_slice(first: u64, i: usize) -> u64 {
    if i == 0 { first } else { word(first, i) }
}

/// Verifies a slice of such values.
pub fn verify_slice(values: &[u64]) -> Result<()> {
    let first = values.first().copied().unwrap_or_default();
    let right = values.iter().enumerate().all(|(i, value)| *value == value_of_slice(first, i));
    ensure!(right, "a slice of {} values is not as it was constructed", values.len());
    Ok(())
}

/// Something published that one process gives to another: whoever has it may destroy it, nobody else.
///
/// As bits: the offset, and in its low bits, which are 0 as all of these are aligned to 8, the kind.
#[derive(Clone, Copy, Debug)]
pub enum Parcel {
    Raw(Offset<u8>),
    One(Offset<Sealed>),
    Slice(Offset<[u64]>),
}

impl Parcel {
    pub fn bits(self) -> u64 {
        match self {
            Parcel::Raw(offset) => offset.to_bits(),
            Parcel::One(offset) => offset.to_bits() | 1,
            Parcel::Slice(offset) => offset.to_bits() | 2,
        }
    }

    pub fn from_bits(bits: u64) -> Option<Parcel> {
        let offset = bits & !7;
        match bits & 7 {
            0 => Offset::from_bits(offset).map(Parcel::Raw),
            1 => Offset::from_bits(offset).map(Parcel::One),
            _ => Offset::from_bits(offset).map(Parcel::Slice),
        }
    }

    /// Verifies what is in it, and destroys it; of a raw block, how many bytes it had.
    pub fn open(self, segment: &Segment, random: &mut fastrand::Rng) -> Result<()> {
        let context = || format!("{self:?}");
        match self {
            Parcel::Raw(offset) => {
                verify_raw(segment, offset).with_context(context)?;
                segment.deallocate(offset).with_context(context)?;
            }
            Parcel::One(offset) => {
                // Now and then without a look, which would be a pin.
                if random.u8(..4) > 0 {
                    segment
                        .resolve(offset)
                        .with_context(context)?
                        .verify(None)
                        .with_context(context)?;
                }
                segment.destroy_at(offset).with_context(context)?;
            }
            Parcel::Slice(offset) => {
                verify_slice(&segment.resolve_slice(offset).with_context(context)?)
                    .with_context(context)?;
                segment.destroy_slice_at(offset).with_context(context)?;
            }
        }
        Ok(())
    }
}

/// Verifies a raw block that the caller holds; how many bytes it was filled with.
pub fn verify_raw(segment: &Segment, offset: Offset<u8>) -> Result<usize> {
    let room = segment.usable_size(offset)?;
    let at = segment.address(offset).context("an allocated block has an address")?;
    // SAFETY: the caller holds the block; every raw block of a soak is aligned to 8 and filled.
    unsafe { verify(at.as_ptr(), room) }
}

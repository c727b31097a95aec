//! What stands in a block, an object, a slice: words that follow from its generation, so that
//! whoever frees it can tell that nobody else has written there.

use anyhow::{Result, ensure};
use sharena::Shareable;

/// The smallest block: a word for its generation.
pub const SMALLEST: usize = 16;

/// Of a large block few words are written, always the same, whatever its length.
const DENSE: usize = 128;
const SPARSE: usize = 61;

/// Word `index` of what is of this generation.
pub fn word(generation: u64, index: usize) -> u64 {
    match index {
        0 => generation,
        _ => (generation ^ (index as u64).rotate_left(40)).wrapping_mul(0xd6e8_feb8_6659_fd93),
    }
}

fn indices(bytes: usize) -> impl Iterator<Item = usize> {
    let words = bytes / 8;
    (0..words.min(DENSE)).chain((DENSE..words).step_by(SPARSE))
}

/// Fills a block of so many bytes.
///
/// # Safety
/// The caller holds the block at `at` alone; it is aligned to 8 and has so many bytes.
pub unsafe fn fill(at: *mut u8, bytes: usize, generation: u64) {
    for index in indices(bytes) {
        // SAFETY: inside the block, as the caller promises.
        unsafe { at.cast::<u64>().add(index).write(word(generation, index)) };
    }
}

/// Verifies what [`fill`] wrote.
///
/// # Safety
/// Nobody writes to the block at `at`; it is aligned to 8 and has so many bytes.
pub unsafe fn verify(at: *const u8, bytes: usize, generation: u64) -> Result<()> {
    for index in indices(bytes) {
        // SAFETY: inside the block, as the caller promises.
        let found = unsafe { at.cast::<u64>().add(index).read() };
        let expected = word(generation, index);
        ensure!(
            found == expected,
            "word {index} of a block of {bytes} bytes, generation {generation:#x}, is {found:#x}, \
             not {expected:#x}"
        );
    }
    Ok(())
}

/// A value that shows whether it is whole.
#[derive(Shareable, Clone, Copy)]
#[repr(C)]
pub struct Sealed {
    pub generation: u64,
    /// Which name it was made for; [`NOBODY`].
    owner: u64,
    words: [u64; 6],
}

/// The owner of values without a name.
pub const NOBODY: u64 = u64::MAX;

impl Sealed {
    pub fn new(owner: u64, generation: u64) -> Sealed {
        Sealed { generation, owner, words: Self::words(owner, generation) }
    }

    fn words(owner: u64, generation: u64) -> [u64; 6] {
        std::array::from_fn(|i| word(generation.wrapping_add(owner.rotate_left(32)), i + 1))
    }

    pub fn verify(&self, owner: u64) -> Result<()> {
        ensure!(
            self.words == Self::words(self.owner, self.generation),
            "a value of generation {:#x}, owner {:#x}, is not as it was constructed: {:x?}",
            self.generation,
            self.owner,
            self.words
        );
        ensure!(self.owner == owner, "a value of {:#x} stands where {owner:#x} should", self.owner);
        Ok(())
    }
}

/// Verifies a slice whose value `i` is `word(generation, i)`.
pub fn verify_slice(values: &[u64]) -> Result<()> {
    let generation = values.first().copied().unwrap_or_default();
    let right = values.iter().enumerate().all(|(i, value)| *value == word(generation, i));
    ensure!(
        right,
        "a slice of {} values, generation {generation:#x}, is not as it was constructed",
        values.len()
    );
    Ok(())
}

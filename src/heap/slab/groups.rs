//! What is asked of a group of blocks, whose state bytes fill a cache line, and of eight of them, whose state bytes are
//! read and written at once.

use crate::heap::size_class::{Class, ClassId, GROUP};
use crate::heap::unit::{UNIT, UnitIndex};

/// Whether the first `N` blocks are neighbours, up or down, with states in one aligned `N`: the index
/// of the lowest. `index` is that of the first block.
#[inline(always)]
pub(super) fn in_a_row<const N: usize>(blocks: &[u64], index: usize, size: u64) -> Option<usize> {
    let blocks: &[u64; N] = blocks.first_chunk()?;
    let (lowest, step) = match index % N {
        0 => (index, size),
        at if at == N - 1 => (index - at, size.wrapping_neg()),
        _ => return None,
    };
    let mut expected = blocks[0];
    if blocks[N - 1] != expected.wrapping_add((N as u64 - 1).wrapping_mul(step)) {
        return None;
    }
    let differing = blocks.iter().fold(0, |differing, block| {
        let differs = block ^ expected;
        expected = expected.wrapping_add(step);
        differing | differs
    });
    let in_a_row = differing == 0;
    in_a_row.then_some(lowest)
}

/// How many blocks at the end begin a group, up or down, without ending it.
pub(super) fn begun_group(cut: &Class, blocks: &[u64]) -> usize {
    let [.., before, last] = *blocks else { return 0 };
    let at = cut.index_of(last as u32 & (UNIT as u32 - 1)) as usize % GROUP;
    let size = u64::from(cut.size);
    let (begun, first) = if before == last.wrapping_sub(size) {
        (at + 1, last.wrapping_sub(at as u64 * size))
    } else if before == last.wrapping_add(size) {
        (GROUP - at, last.wrapping_add((GROUP - 1 - at) as u64 * size))
    } else {
        return 0;
    };
    let is_all_there = blocks.len() >= begun && blocks[blocks.len() - begun] == first;
    if is_all_there { begun % GROUP } else { 0 }
}

/// The announced group to take from first. Where that is depends on the unit: the state bytes of all
/// slabs begin at the same place of a unit, and caches keep few lines of one place.
pub(super) fn first_group(class: ClassId, unit: UnitIndex, pending: u64) -> usize {
    let groups = u64::from(class.cut().groups().count_ones());
    let turn = ((u64::from(unit.0.wrapping_mul(0x9e37_79b9)) * groups) >> 32) as u32;
    ((pending.rotate_right(turn).trailing_zeros() + turn) % 64) as usize
}

/// Of eight state bytes, as [`load_eight`] gives them: the lowest bit of each that is FREE, and of
/// each that is LIMBO.
#[inline(always)]
pub(super) fn flags(bytes: u64) -> (u64, u64) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The states are 0, 1, 2, 3, 6, 10 and 14: FREE has neither of the two low bits, LIMBO both.
    (!(bytes | bytes >> 1) & ONES, bytes & (bytes >> 1) & ONES)
}

/// The same, eight bits each.
pub(super) fn classify(bytes: u64) -> (u8, u8) {
    let gather = |flags: u64| (flags.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8;
    let (free, limbo) = flags(bytes);
    (gather(free), gather(limbo))
}

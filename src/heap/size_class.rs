//! Size classes: how big a block is, how a slab of such blocks is cut, where their state bytes lie.
//!
//! Steps of 16 bytes to 128, then four per doubling to 256 KiB, so that above 128 bytes at most a
//! fifth of a block is unused (on average a tenth). A slab is one unit, or for the larger classes
//! as many as waste least. Blocks begin at the slab's start, and are aligned to what divides their
//! size. Slabs of at most [`LINE`] blocks keep their state bytes in the dense table of state lines,
//! so that blocks of a power of two fill their units exactly; in others they lie behind the blocks,
//! in each class somewhere else: at the start of each slab the lines that are written most would
//! share few sets of a cache, as slabs are aligned to more than a cache has sets for.

use super::unit::{UNIT, UNIT_SHIFT};

/// State bytes in the dense table per unit; eight in loom's world, whose atomics are made anew for
/// each execution.
pub const LINE: usize = if cfg!(loom) { 8 } else { 128 };
/// Blocks per doorbell bit: one cache line of state bytes.
pub const GROUP: usize = 64;

/// Classes by size. In loom's world three are enough: 16 KiB, 32 KiB and 64 KiB, whose state bytes are dense.
const SIZES: usize = if cfg!(loom) { 3 } else { 52 };

/// And one of [leases](ClassId::LEASES).
pub const CLASS_COUNT: usize = SIZES + 1;

/// The largest block of a slab; larger ones are runs of whole units.
pub const LARGEST: usize = size_of_class(SIZES - 1);

/// Number of a size class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ClassId(u8);

/// A class as the slabs of it are cut.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub struct Class {
    /// Bytes of a block.
    pub size: u32,
    /// ⌈2⁴⁰ / size⌉: `index = at * reciprocal >> 40` for each `at` inside a slab, as an error of less
    /// than `size` times the at most 2¹⁹ bytes of a slab stays below 2⁴⁰.
    reciprocal: u64,
    /// Bytes from the slab's start to its state bytes, which lie behind its blocks; 0 if it has none of its own.
    pub states: u32,
    /// Blocks of a slab.
    pub count: u32,
    /// Units of a slab.
    pub span: u32,
    /// Blocks of the class that a lane keeps at hand at most.
    pub magazine: u32,
    /// The power of two to which each block is aligned.
    pub align: u32,
    /// State bytes in the table of lines, not in the slab.
    pub dense: bool,
}

const fn size_of_class(class: usize) -> usize {
    // The smallest once more.
    let class = if class == SIZES { 0 } else { class };
    if cfg!(loom) {
        return 16384 << class;
    }
    if class < 8 {
        return 16 * (class + 1);
    }
    let (doubling, quarter) = ((class - 8) / 4, (class - 8) % 4);
    (128 << doubling) + (32 << doubling) * (quarter + 1)
}

const fn cut(class: usize) -> Class {
    let size = size_of_class(class);
    let natural = 1usize << size.trailing_zeros();
    let align = if natural > UNIT { UNIT } else { natural };
    let dense = size * LINE >= UNIT;
    let (mut span, mut states, mut count) = (1, 0, UNIT / (size + 1));
    if dense {
        // The least waste wins, the smaller slab at equal waste; a sixteenth is good enough.
        let (mut best, mut tried) = (usize::MAX, 1);
        while tried <= 8 {
            let waste = (tried * UNIT % size) * 64 / tried;
            let fits = tried * UNIT >= size && tried * UNIT / size <= LINE;
            if fits && waste < best && (best == usize::MAX || best > UNIT * 64 / 16) {
                (best, span) = (waste, tried);
            }
            tried += 1;
        }
        count = span * UNIT / size;
    } else {
        // The largest count whose state bytes and blocks fit together.
        loop {
            // One more than the blocks: a byte that is FREE in each slab, and damage where it is not.
            states = (UNIT - (count + 1)) / GROUP * GROUP;
            if count * size <= states {
                break;
            }
            count -= 1;
        }
    }
    let magazine = match 65536 / size {
        0 | 1 => 1,
        n if n > 256 => 256,
        n => n,
    };
    Class {
        size: size as u32,
        reciprocal: (1u64 << 40).div_ceil(size as u64),
        states: states as u32,
        count: count as u32,
        span: span as u32,
        magazine: magazine as u32,
        align: align as u32,
        dense,
    }
}

/// Blocks in a magazine of class `class`.
pub const fn magazine_of(class: usize) -> usize {
    cut(class).magazine as usize
}

static CLASSES: [Class; CLASS_COUNT] = {
    let mut classes = [cut(0); CLASS_COUNT];
    let mut class = 0;
    while class < CLASS_COUNT {
        classes[class] = cut(class);
        class += 1;
    }
    classes
};

/// Class by size in steps of 16 bytes, for the sizes that most programs ask for.
const SMALL: usize = 1024;
static SMALL_CLASSES: [u8; SMALL / 16 + 1] = {
    // No bytes at all: a code of no class, whose magazine is always empty.
    let mut table = [ClassId::CODES as u8 - 1; SMALL / 16 + 1];
    let mut step = 1;
    while step <= SMALL / 16 {
        table[step] = compute(step * 16) as u8;
        step += 1;
    }
    table
};

const _: () = {
    let mut class = 0;
    while class <= compute(SMALL) {
        assert!(cut(class).span == 1, "the short ways to allocate and to free rely on it");
        class += 1;
    }
};

const fn compute(size: usize) -> usize {
    let mut class = 0;
    while class < SIZES - 1 && size_of_class(class) < size {
        class += 1;
    }
    class
}

impl ClassId {
    /// Values that the field of a class in a word can have.
    pub const CODES: usize = 64;

    /// Blocks that are [leases](crate::trace::lease), and nothing else: whoever frees one without knowing
    /// what hung on it sees so by its slab. No size has this class.
    pub const LEASES: ClassId = ClassId(SIZES as u8);

    /// The class in six bits of a word that is known to have one.
    #[inline(always)]
    pub fn from_code(code: u8) -> ClassId {
        ClassId(code & (Self::CODES as u8 - 1))
    }

    /// The class of small blocks for `size` bytes, of which there may be none for no bytes; `None`:
    /// ask [`of`](Self::of).
    #[inline(always)]
    pub fn of_small(size: usize, align: usize) -> Option<ClassId> {
        (size <= SMALL && align <= 16).then(|| ClassId(SMALL_CLASSES[(size + 15) >> 4]))
    }

    /// The class of blocks for `size` bytes at a multiple of `align`; `None`: no slab has such.
    pub fn of(size: usize, align: usize) -> Option<ClassId> {
        if align > 16 {
            return Self::of_aligned(size, align);
        }
        Self::of_small(size.max(1), align).or_else(|| Self::of_larger(size))
    }

    fn of_larger(size: usize) -> Option<ClassId> {
        if size > LARGEST {
            return None;
        }
        if cfg!(loom) {
            return Some(ClassId(compute(size) as u8));
        }
        // Four classes per doubling: the two bits below the leading one of size - 1 choose.
        let below = size - 1;
        let doubling = below.ilog2() - 7;
        let quarter = below >> (5 + doubling) & 3;
        Some(ClassId((8 + 4 * doubling as usize + quarter) as u8))
    }

    fn of_aligned(size: usize, align: usize) -> Option<ClassId> {
        let mut class = Self::of(size.max(align), 1)?;
        while class.cut().align < align as u32 {
            class = Self::new(class.index() + 1)?;
        }
        Some(class)
    }

    /// `None` if there is no such class.
    #[inline(always)]
    pub fn new(index: usize) -> Option<ClassId> {
        (index < CLASS_COUNT).then_some(ClassId(index as u8))
    }

    #[inline(always)]
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// All classes, the smallest first.
    pub fn all() -> impl Iterator<Item = ClassId> {
        (0..CLASS_COUNT).map(|index| ClassId(index as u8))
    }

    #[inline(always)]
    pub fn cut(self) -> &'static Class {
        // A ClassId is below CLASS_COUNT by construction: this index check is optimized away in
        // none of the hot paths but costs nothing measurable beside the load.
        &CLASSES[self.0 as usize]
    }
}

impl core::fmt::Display for ClassId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            ClassId::LEASES => f.write_str("leases"),
            sized => write!(f, "{} B", sized.cut().size),
        }
    }
}

impl Class {
    /// Index of the block that holds the byte `at` of a slab.
    #[inline(always)]
    pub fn index_of(&self, at: u32) -> u32 {
        ((u64::from(at) * self.reciprocal) >> 40) as u32
    }

    /// The number with which [`divide`](Self::divide) divides by the size, of a class whose slabs are single units.
    ///
    /// Of the size odd · 2ᵗ it is odd⁻¹ · 2¹⁶⁻ᵗ modulo 2³², by the inverse of the odd part as in Granlund and
    /// Montgomery, PLDI'94, section 9.
    pub fn divisor(&self) -> u32 {
        let twos = self.size.trailing_zeros();
        let odd = self.size >> twos;
        // Each step doubles the bits that are right, of which any odd number has three (Newton).
        let inverse = (0..4).fold(odd, |inverse, _| {
            inverse.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(inverse)))
        });
        inverse.wrapping_shl(UNIT_SHIFT.saturating_sub(twos))
    }

    /// The index of the block that starts at the byte `at` of a slab; where none starts, a number that is no block's.
    ///
    /// q · size becomes q · 2¹⁶, so that q is in the upper half and the lower one is 0. Of what is no multiple of 2ᵗ
    /// the lower half is not 0; of what is none of the odd part the upper half is no quotient, as all of these are
    /// taken: to multiply by an odd number is to permute. Turned by half, either is too much.
    #[inline(always)]
    pub fn divide(at: u32, divisor: u32) -> u32 {
        at.wrapping_mul(divisor).rotate_right(UNIT_SHIFT)
    }

    /// The doorbell bits that stand for blocks of this class.
    pub fn groups(&self) -> u64 {
        let groups = (self.count as usize).div_ceil(GROUP);
        u64::MAX >> (64 - groups)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_size_gets_the_smallest_class_that_holds_it() {
        for size in 1..=LARGEST {
            let class = ClassId::of(size, 1).unwrap();
            assert!(class.cut().size as usize >= size, "{size} in {class}");
            assert!(
                class.index() == 0 || size_of_class(class.index() - 1) < size,
                "{size} in {class}"
            );
        }
        assert_eq!(ClassId::of(LARGEST + 1, 1), None);
    }

    #[test]
    fn no_bytes_have_a_code_of_no_class() {
        let none = ClassId::of_small(0, 1).unwrap().index();
        assert!((CLASS_COUNT..ClassId::CODES).contains(&none), "{none}");
    }

    #[test]
    fn alignment_is_kept_by_every_block() {
        for align in (0..=16).map(|shift| 1usize << shift) {
            for size in (1..5000).chain([8191, 8192, 8193, 40_000, 65_536, 65_537, 200_000]) {
                let Some(class) = ClassId::of(size, align) else { continue };
                let cut = class.cut();
                assert!(cut.size as usize >= size);
                assert_eq!(cut.size as usize % align, 0, "{size} at {align}");
            }
        }
    }

    #[test]
    fn a_slab_has_no_more_units_than_it_takes_to_waste_a_sixteenth_at_most() {
        for class in ClassId::all() {
            let (cut, size) = (class.cut(), class.cut().size as usize);
            let wastes_more =
                |units: usize| units * UNIT < size || units * UNIT % size * 16 > units * UNIT;
            assert!(!cut.dense || (1..cut.span as usize).all(wastes_more), "{class}: {cut:?}");
            assert!(cut.dense || cut.span == 1);
        }
    }

    #[test]
    fn an_aligned_size_gets_the_smallest_class_that_is_so_aligned() {
        for align in (0..=16).map(|shift| 1usize << shift) {
            for size in [1, 16, 100, 128, 1000, 4096, 5000, 65_536, 65_537, 200_000] {
                let is_so = |class: &ClassId| {
                    class.cut().size as usize >= size && class.cut().align as usize >= align
                };
                assert_eq!(ClassId::of(size, align), ClassId::all().find(is_so), "{size}, {align}");
            }
        }
    }

    #[test]
    fn blocks_and_state_bytes_fit_and_little_is_wasted() {
        for class in ClassId::all() {
            let cut = class.cut();
            let blocks = cut.count as usize * cut.size as usize;
            let states = cut.states as usize;
            assert!(blocks <= cut.span as usize * UNIT && cut.count >= 1, "{class}: {cut:?}");
            assert!(cut.dense || blocks <= states && states + (cut.count as usize) < UNIT);
            assert!(cut.dense || states.is_multiple_of(GROUP));
            assert!(!cut.dense || cut.count as usize <= LINE);
            assert!((cut.count as usize).div_ceil(GROUP) <= 64);
            let bytes = cut.span as usize * UNIT;
            let wasted = bytes - cut.count as usize * cut.size as usize;
            assert!(wasted * 100 <= bytes * 7, "{class} wastes {wasted} of {bytes}");
        }
    }

    #[test]
    fn the_reciprocal_divides_exactly() {
        for class in ClassId::all() {
            let cut = class.cut();
            for at in 0..cut.count * cut.size {
                assert_eq!(cut.index_of(at), at / cut.size, "{class} at {at}");
            }
        }
    }

    #[test]
    fn the_divisor_divides_multiples_and_takes_all_else_beyond_the_blocks() {
        for class in ClassId::all().filter(|class| class.cut().span == 1) {
            let cut = class.cut();
            for at in 0..UNIT as u32 {
                let index = Class::divide(at, cut.divisor());
                if at % cut.size == 0 {
                    assert_eq!(index, at / cut.size, "{class} at {at}");
                } else {
                    assert!(index >= cut.count, "{class} at {at}");
                }
            }
        }
    }

    #[test]
    fn internal_fragmentation_stays_below_a_quarter() {
        for size in 129..=LARGEST {
            let block = ClassId::of(size, 1).unwrap().cut().size as usize;
            assert!((block - size) * 4 <= block, "{size} in {block}");
        }
    }
}

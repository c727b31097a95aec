//! What entries are about, in the segment: to verify it, to free it, to see whether it is there.

use super::board::{Item, Kind};
use super::pattern::{self, NOBODY, Sealed, verify_slice};
use anyhow::{Context, Result, ensure};
use sharena::{Offset, Segment};

/// Names that all workers construct, find and destroy.
pub const POOL: u64 = 300;
/// The owner of the unique instance.
pub const UNIQUE: u64 = POOL;

/// Name of the pool; some are long.
pub fn pool_name(number: u64) -> String {
    let padding = if number.is_multiple_of(16) { 300 } else { 0 };
    format!("pool {number:padding$}")
}

/// Whether a name of the pool is that of a slice.
pub fn is_slice(number: u64) -> bool {
    number % 4 == 3
}

/// An entry and where it stands, which is what its name and owner are, if it has any.
#[derive(Clone, Copy, Debug)]
pub struct Good {
    pub place: usize,
    pub entry: usize,
    pub item: Item,
}

impl Good {
    pub fn owner(place: usize, entry: usize) -> u64 {
        1 << 32 | (place as u64) << 16 | entry as u64
    }

    pub fn name(place: usize, entry: usize) -> String {
        format!("kept {place} {entry}")
    }

    fn offset<T: ?Sized>(&self) -> Result<Offset<T>> {
        Offset::from_bits(self.item.offset).context("an entry without an offset")
    }

    /// Whether its bytes are what was written.
    pub fn verify(&self, segment: &Segment) -> Result<()> {
        let Item { kind, bytes, generation, .. } = self.item;
        let verified = match kind {
            Kind::Raw => self.verify_raw(segment),
            Kind::One => {
                let value = segment.resolve(self.offset::<Sealed>()?);
                value.map_err(Into::into).and_then(|value| self.verify_sealed(&value, NOBODY))
            }
            Kind::Slice => {
                let values = segment.resolve_slice(self.offset::<[u64]>()?);
                values.map_err(Into::into).and_then(|values| {
                    ensure!(values.len() as u64 == bytes, "it has {} values", values.len());
                    ensure!(values[0] == generation, "it is of generation {:#x}", values[0]);
                    verify_slice(&values)
                })
            }
            Kind::Name => segment
                .find::<Sealed>(&Self::name(self.place, self.entry))
                .map_err(Into::into)
                .and_then(|value| {
                    let value = value.context("the name is lost")?;
                    self.verify_sealed(&value, Self::owner(self.place, self.entry))
                }),
        };
        verified.with_context(|| format!("{self:x?}"))
    }

    fn verify_raw(&self, segment: &Segment) -> Result<()> {
        let Item { bytes, generation, .. } = self.item;
        let offset = self.offset()?;
        let room = segment.usable_size(offset)?;
        ensure!(room as u64 >= bytes, "the block has {room} bytes");
        let at = segment.address(offset).context("a block without an address")?;
        // SAFETY: a raw block of at least so many bytes; all that write know that it is not theirs.
        unsafe { pattern::verify(at.as_ptr(), bytes as usize, generation) }
    }

    /// Whether the first so many bytes of a raw block are what was written.
    pub fn verify_kept(&self, segment: &Segment, bytes: usize) -> Result<()> {
        let item = Item { bytes: bytes as u64, ..self.item };
        Good { item, ..*self }.verify(segment)
    }

    fn verify_sealed(&self, value: &Sealed, owner: u64) -> Result<()> {
        let (expected, found) = (self.item.generation, value.generation);
        ensure!(found == expected, "it is of generation {found:#x}");
        value.verify(owner)
    }

    /// Frees it.
    pub fn free(&self, segment: &Segment) -> Result<()> {
        let freed = match self.item.kind {
            Kind::Raw => segment.deallocate(self.offset()?).map_err(anyhow::Error::from),
            Kind::One => segment.destroy_at(self.offset::<Sealed>()?).map_err(Into::into),
            Kind::Slice => segment.destroy_slice_at(self.offset::<[u64]>()?).map_err(Into::into),
            Kind::Name => segment
                .destroy::<Sealed>(&Self::name(self.place, self.entry))
                .map_err(Into::into)
                .and_then(|was_there| {
                    ensure!(was_there, "the name is lost");
                    Ok(())
                }),
        };
        freed.with_context(|| format!("free {self:x?}"))
    }

    /// Whether it is published: something of exactly this generation is, which nothing else ever has.
    pub fn is_there(&self, segment: &Segment) -> bool {
        let Item { kind, offset, bytes, generation, .. } = self.item;
        let found = match kind {
            Kind::Raw => Offset::from_bits(offset).and_then(|offset| {
                let room = segment.usable_size(offset).ok()?;
                let at = segment.address(offset)?;
                // SAFETY: the smallest block has a word; in a pause nobody writes there.
                (room as u64 >= bytes).then(|| unsafe { at.cast::<u64>().read() })
            }),
            Kind::One => Offset::from_bits(offset)
                .and_then(|offset| Some(segment.resolve::<Sealed>(offset).ok()?.generation)),
            Kind::Slice => Offset::from_bits(offset)
                .and_then(|offset| segment.resolve_slice::<u64>(offset).ok()?.first().copied()),
            Kind::Name => segment
                .find::<Sealed>(&Self::name(self.place, self.entry))
                .ok()
                .flatten()
                .map(|value| value.generation),
        };
        found == Some(generation)
    }
}

/// Verifies an object of the pool by its name; whether it is there.
pub fn verify_pool(segment: &Segment, number: u64) -> Result<bool> {
    let name = pool_name(number);
    if is_slice(number) {
        let found = segment.find_slice::<u64>(&name)?;
        found.as_deref().map_or(Ok(()), verify_slice).with_context(|| name.clone())?;
        Ok(found.is_some())
    } else {
        let found = segment.find::<Sealed>(&name)?;
        found
            .as_deref()
            .map_or(Ok(()), |value| value.verify(number))
            .with_context(|| name.clone())?;
        Ok(found.is_some())
    }
}

//! What the survivor has in the segment while the other one dies, and must find as it was.

use super::holds;
use crate::operations::objects::{KEEP, MADE_RUN, MADE_SLICE, length_of};
use crate::operations::{Held, Things};
use crate::stage::{Value, value};
use anyhow::{Context, Result, ensure};
use sharena::{Offset, Owned, Segment};
use std::alloc::Layout;

/// Bytes of the kept raw block, and of the kept run.
const BLOCK: usize = 200;
const RUN: usize = 300_000;
const RUN_BYTES: u64 = 5 << 16;
/// What objects without a name are made of.
const UNNAMED: &str = "kept";
/// What the setups of operations hold.
const NAMES: [&str; 3] = [KEEP, MADE_SLICE, MADE_RUN];

/// One thing of each kind.
pub struct Keepsakes<'s> {
    segment: &'s Segment,
    private: Owned<'s, [Value]>,
    raw: [(Offset<u8>, usize); 2],
    unnamed: Offset<Value>,
    named: Offset<Value>,
    /// What the operation's setup holds.
    held: Held<'s>,
}

fn byte(i: usize) -> u8 {
    (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7]
}

impl<'s> Keepsakes<'s> {
    pub fn leave(segment: &'s Segment) -> Result<Keepsakes<'s>> {
        let named = segment.construct(KEEP, value(KEEP, 0))?.offset();
        let mut raw = [(Offset::from_bits(1).context("an offset")?, 0); 2];
        for (at, bytes) in raw.iter_mut().zip([BLOCK, RUN]) {
            *at = (segment.allocate(Layout::from_size_align(bytes, 16)?)?, bytes);
            let address = segment.address(at.0).context("it has memory")?.as_ptr();
            // A run is looked at where its units begin and end: the rest would take its time.
            // SAFETY: inside the block, which is ours.
            looked_at(bytes).for_each(|i| unsafe { *address.add(i) = byte(i) });
        }
        Ok(Keepsakes {
            segment,
            private: segment.own_slice(3, |i| value(UNNAMED, i))?,
            raw,
            unnamed: segment.own(value(UNNAMED, 0))?.publish(),
            named,
            held: Held::new(),
        })
    }

    pub fn hold(&mut self, held: Held<'s>) {
        self.held = held;
    }

    /// What of it others can see.
    pub fn things(&self) -> Things {
        Things { segments: 1, raw: 2, run_bytes: RUN_BYTES, unnamed: 1, named: 1, digest: 0 }
    }

    /// Where what others can see stands; an object with a name can be resolved as well.
    pub fn offsets(&self) -> Vec<u64> {
        let raw = self.raw.iter().map(|(at, _)| at.to_bits());
        raw.chain([self.unnamed.to_bits(), self.named.to_bits()]).collect()
    }

    /// All of it is as it was; `but_names`: somebody may have destroyed those.
    pub fn are_intact(&self, but_names: bool) -> Result<()> {
        let of_unnamed = |i: usize| value(UNNAMED, i);
        let private = self.private.iter().enumerate().all(|(i, found)| *found == of_unnamed(i));
        ensure!(private, "a private value of the survivor became {:x?}", self.private);
        for (at, bytes) in self.raw {
            let address = self.segment.address(at).context("a raw block lost its memory")?;
            // SAFETY: inside the block, which is ours.
            let lost = looked_at(bytes).find(|i| unsafe { *address.as_ptr().add(*i) } != byte(*i));
            ensure!(lost.is_none(), "byte {lost:?} of a kept block of {bytes} bytes changed");
            let usable = self.segment.usable_size(at)?;
            ensure!(usable >= bytes, "a kept block of {bytes} bytes has {usable}");
        }
        let unnamed = self.segment.resolve(self.unnamed).context("a kept object")?;
        ensure!(*unnamed == of_unnamed(0), "a kept object holds {:x?}", *unnamed);
        for held in &self.held {
            let name = NAMES.into_iter().find(|name| length_of(name) == held.len());
            holds(held, name.context("held of another length")?)
                .context("through a reference held all the time")?;
        }
        match self.segment.find::<Value>(KEEP)? {
            Some(kept) => holds(std::slice::from_ref(&*kept), KEEP),
            None => {
                ensure!(but_names, "the object {KEEP} is gone");
                Ok(())
            }
        }
    }

    /// Gives all of it back.
    pub fn give_back(self) -> Result<()> {
        let Keepsakes { segment, private, raw, unnamed, held, .. } = self;
        drop((private, held));
        for (at, _) in raw {
            segment.deallocate(at)?;
        }
        segment.destroy_at(unnamed)?;
        segment.destroy::<Value>(KEEP)?;
        // What of it this thread keeps at hand is not anybody's.
        segment.trim()?;
        Ok(())
    }

    /// Gives back what of it others can see, in a copy of the segment where nobody survived;
    /// `but_names`: as above.
    pub fn give_back_in(&self, copy: &Segment, but_names: bool) -> Result<()> {
        for (at, bytes) in self.raw {
            let address = copy.address(at).context("a raw block lost its memory")?;
            // SAFETY: inside the block, which nobody else has.
            let lost = looked_at(bytes).find(|i| unsafe { *address.as_ptr().add(*i) } != byte(*i));
            ensure!(lost.is_none(), "byte {lost:?} of a kept block of {bytes} bytes changed");
            copy.deallocate(at)?;
        }
        copy.destroy_at(self.unnamed)?;
        let named = copy.destroy::<Value>(KEEP)?;
        ensure!(named || but_names, "the object {KEEP} is gone");
        copy.trim()?;
        Ok(())
    }
}

fn looked_at(bytes: usize) -> impl Iterator<Item = usize> {
    (0..bytes).filter(|i| i % 4096 < 100 || i % 4096 > 4090)
}

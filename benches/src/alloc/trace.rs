//! What a program allocated and freed, in order; kept as bytes, to be done again by any allocator.
//!
//! The bytes are numbers, seven bits to a byte, whose eighth bit says that the number goes on: the totals, then one for
//! each step: twice the size of what is allocated; or twice the way to what is freed, and 1. Blocks are numbered as they
//! are allocated, and the way begins behind the one that was freed before, since blocks often go in the order in which
//! they came: 0, 2, 4, … are so many forwards, by half; 1, 3, 5, … backwards.

use anyhow::{Context, Result, ensure};

/// A recorded trace.
pub struct Trace {
    /// In order.
    pub steps: Vec<Step>,
    /// Blocks that live at the same time, at most.
    pub slots: usize,
    /// What it sums up to.
    pub totals: Totals,
}

/// One call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Puts a block into a slot that is empty.
    Allocate {
        /// Which.
        slot: u32,
        /// Bytes.
        size: u32,
    },
    /// Empties a slot.
    Free {
        /// Which.
        slot: u32,
    },
}

/// What a trace sums up to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Totals {
    /// Blocks that are allocated, each of which is freed.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that live at the same time, at most.
    pub most_live: u64,
    /// Bytes of the largest.
    pub largest: u64,
}

/// A call as it is recorded: blocks by number, in the order in which they are allocated.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "the recorder alone makes one")]
pub enum Call {
    /// The next block, of so many bytes.
    Allocate(u64),
    /// That block.
    Free(u64),
}

/// As bytes; what is not freed is freed at the end.
#[allow(dead_code, reason = "the recorder alone writes one")]
pub fn encode(calls: &[Call], totals: Totals) -> Vec<u8> {
    let Totals { blocks, bytes, most_live, largest } = totals;
    let mut encoded = Vec::new();
    for number in [blocks, bytes, most_live, largest] {
        put(&mut encoded, number);
    }
    let mut living = std::collections::BTreeSet::new();
    let (mut next, mut behind) = (0, 0);
    for call in calls {
        match *call {
            Call::Allocate(size) => {
                put(&mut encoded, size << 1);
                living.insert(next);
                next += 1;
            }
            Call::Free(block) => {
                put_free(&mut encoded, &mut behind, block);
                living.remove(&block);
            }
        }
    }
    for block in living {
        put_free(&mut encoded, &mut behind, block);
    }
    encoded
}

fn put_free(encoded: &mut Vec<u8>, behind: &mut i64, block: u64) {
    let way = block as i64 - *behind;
    put(encoded, (((way << 1) ^ (way >> 63)) as u64) << 1 | 1);
    *behind = block as i64 + 1;
}

/// Of bytes.
///
/// # Errors
/// Something is freed that is not there, or never freed, or the totals are not those of the steps.
pub fn decode(encoded: &[u8]) -> Result<Trace> {
    let mut rest = encoded;
    let [blocks, bytes, most_live, largest] =
        [take(&mut rest)?, take(&mut rest)?, take(&mut rest)?, take(&mut rest)?];
    let says = Totals { blocks, bytes, most_live, largest };
    let mut totals = Totals::default();
    let (mut steps, mut empty, mut slots, mut live) = (Vec::new(), Vec::new(), 0, 0);
    let mut behind = 0i64;
    // Of each block that was allocated: its slot and size, while it lives.
    let mut born: Vec<Option<(u32, u64)>> = Vec::new();
    while !rest.is_empty() {
        let number = take(&mut rest)?;
        let (is_free, number) = (number & 1 == 1, number >> 1);
        if is_free {
            let block = behind + ((number >> 1) as i64 ^ -((number & 1) as i64));
            let living = usize::try_from(block).ok().and_then(|it| born.get_mut(it)?.take());
            let (slot, size) = living
                .with_context(|| format!("step {} frees a block that is not there", steps.len()))?;
            behind = block + 1;
            live -= size;
            empty.push(slot);
            steps.push(Step::Free { slot });
        } else {
            let size = u32::try_from(number)?;
            ensure!(size > 0, "a block of no bytes");
            let slot = empty.pop().unwrap_or_else(|| {
                slots += 1;
                slots - 1
            });
            live += number;
            totals.blocks += 1;
            totals.bytes += number;
            totals.most_live = totals.most_live.max(live);
            totals.largest = totals.largest.max(number);
            born.push(Some((slot, number)));
            steps.push(Step::Allocate { slot, size });
        }
    }
    ensure!(born.iter().all(Option::is_none), "not all is freed");
    ensure!(totals == says, "it says {says:?}, and has {totals:?}");
    Ok(Trace { steps, slots: slots as usize, totals })
}

fn put(encoded: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        encoded.push(number as u8 | 0x80);
        number >>= 7;
    }
    encoded.push(number as u8);
}

fn take(rest: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, after) = rest.split_first().context("it ends within a number")?;
        *rest = after;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    anyhow::bail!("a number that is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two blocks, the second of which is never freed.
    const CALLS: [Call; 4] =
        [Call::Allocate(300), Call::Allocate(7), Call::Free(0), Call::Allocate(1)];
    const TOTALS: Totals = Totals { blocks: 3, bytes: 308, most_live: 307, largest: 300 };

    #[test]
    fn what_is_recorded_is_read_and_all_of_it_freed() {
        let trace = decode(&encode(&CALLS, TOTALS)).unwrap();
        let (allocate, free) =
            (|slot, size| Step::Allocate { slot, size }, |slot| Step::Free { slot });
        let steps = [allocate(0, 300), allocate(1, 7), free(0), allocate(0, 1), free(1), free(0)];
        assert_eq!((&trace.steps[..], trace.slots), (&steps[..], 2));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let twice = [Call::Allocate(8), Call::Free(0), Call::Free(0)];
        let of_twice = Totals { blocks: 1, bytes: 8, most_live: 8, largest: 8 };
        let says = |encoded: &[u8]| decode(encoded).err().unwrap().to_string();
        assert!(says(&encode(&twice, of_twice)).contains("step 2 frees"));
        assert!(says(&encode(&CALLS, of_twice)).contains("it says"));
        let whole = encode(&CALLS, TOTALS);
        assert!(says(&whole[..whole.len() - 1]).contains("not all is freed"));
        assert!(says(&[0x80]).contains("within a number"));
    }
}

//! Faults planted into a worker, to see that the soak finds them.

use super::board::{Item, Kind};
use crate::args::Plant;
use anyhow::Result;
use sharena::{Offset, Segment};
use std::alloc::Layout;
use std::time::Duration;

/// Steps that a thread does right before it does wrong.
const INNOCENT: u64 = 200;

/// What a thread does wrong, if anything.
pub struct Planted {
    plant: Option<Plant>,
    steps: u64,
    freed: Vec<Item>,
}

impl Planted {
    pub fn new(plant: Option<Plant>) -> Planted {
        Planted { plant, steps: 0, freed: Vec::new() }
    }

    /// The thread has freed this.
    pub fn note_freed(&mut self, item: Item) {
        if self.plant == Some(Plant::Write) && item.kind == Kind::Raw {
            self.freed.push(item);
        }
    }

    /// After each step of the thread.
    pub fn act(&mut self, segment: &Segment, random: &mut fastrand::Rng) -> Result<()> {
        let Some(plant) = self.plant else { return Ok(()) };
        self.steps += 1;
        if self.steps < INNOCENT {
            return Ok(());
        }
        match plant {
            Plant::Leak => drop(segment.allocate(Layout::new::<[u64; 10]>())?),
            Plant::Write => {
                let at = random
                    .choice(&self.freed)
                    .and_then(|item| segment.address(Offset::from_bits(item.offset)?));
                if let Some(at) = at {
                    // SAFETY: memory of the segment. It is not ours any more: that is the fault.
                    unsafe { at.cast::<u64>().write_volatile(0xbad) };
                }
            }
            Plant::Stop => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
        }
        Ok(())
    }
}

//! A long random run: what is allocated and freed, the same for all.

use std::alloc::Layout;

/// Operations of all phases.
pub const OPERATIONS: u64 = {
    let (mut all, mut i) = (0, 0);
    while i < PHASES.len() {
        all += PHASES[i].operations;
        i += 1;
    }
    all
};

/// Blocks that live at once, at most.
pub const MOST: usize = 500_000;

const ALIGN: usize = 16;

/// A part of the run.
struct Phase {
    operations: u64,
    /// Bytes that live, once it has come there.
    live: u64,
    sizes: Sizes,
    /// Of so many new blocks one is [`LARGE`]; 0: none is.
    large: u32,
}

/// Sizes of new blocks: in each of so many doublings from the smallest on, as many as in any other.
#[derive(Clone, Copy)]
pub struct Sizes {
    smallest: usize,
    doublings: u32,
}

/// To a KiB, to 64 KiB, and all together; beyond them.
const SMALL: Sizes = Sizes { smallest: 16, doublings: 6 };
const MEDIUM: Sizes = Sizes { smallest: 1 << 10, doublings: 6 };
pub const ALL: Sizes = Sizes { smallest: 16, doublings: 12 };
const LARGE: Sizes = Sizes { smallest: 64 << 10, doublings: 6 };

pub const FULL: u64 = 64 << 20;
const QUARTER: u64 = FULL / 4;

/// What one phase leaves free must serve for the sizes of the next.
const PHASES: [Phase; 6] = [
    Phase { operations: 450_000, live: FULL, sizes: SMALL, large: 0 },
    Phase { operations: 300_000, live: QUARTER, sizes: SMALL, large: 0 },
    Phase { operations: 350_000, live: FULL, sizes: MEDIUM, large: 0 },
    Phase { operations: 100_000, live: QUARTER, sizes: MEDIUM, large: 0 },
    Phase { operations: 400_000, live: FULL, sizes: ALL, large: 0 },
    Phase { operations: 500_000, live: FULL, sizes: ALL, large: 1000 },
];

impl Sizes {
    /// One of them.
    pub fn draw(self, random: &mut fastrand::Rng) -> Layout {
        let least = self.smallest << random.u32(0..self.doublings);
        let size = random.usize(least..2 * least);
        Layout::from_size_align(size, ALIGN).expect("a size and a power of two")
    }
}

/// What is to be done next.
pub enum Step {
    /// A block, which is put behind those that live.
    Allocate(Layout),
    /// The block at that place, which the last one takes.
    Free(usize, Layout),
}

/// The run.
pub struct Trace {
    random: fastrand::Rng,
    phase: usize,
    /// Operations of the phases before.
    before: u64,
    done: u64,
    blocks: Vec<Layout>,
    live: u64,
}

impl Trace {
    /// From its beginning. It asks for no memory later.
    pub fn new() -> Trace {
        let mut blocks = vec![Layout::new::<u64>(); MOST];
        blocks.clear();
        Trace { random: fastrand::Rng::with_seed(1), phase: 0, before: 0, done: 0, blocks, live: 0 }
    }

    /// Operations that were done.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Bytes that live.
    pub fn live(&self) -> u64 {
        self.live
    }

    fn allocate(&mut self, phase: &Phase) -> Step {
        let is_large = phase.large != 0 && self.random.u32(0..phase.large) == 0;
        let layout = if is_large { LARGE } else { phase.sizes }.draw(&mut self.random);
        assert!(self.blocks.len() < MOST);
        self.blocks.push(layout);
        self.live += layout.size() as u64;
        Step::Allocate(layout)
    }

    fn free(&mut self) -> Step {
        let place = self.random.usize(0..self.blocks.len());
        let layout = self.blocks.swap_remove(place);
        self.live -= layout.size() as u64;
        Step::Free(place, layout)
    }
}

impl Iterator for Trace {
    type Item = Step;

    /// Seven of eight steps lead to where the phase wants to be; there, as many to each side.
    fn next(&mut self) -> Option<Step> {
        let phase = PHASES.get(self.phase)?;
        self.done += 1;
        if self.done - self.before == phase.operations {
            (self.phase, self.before) = (self.phase + 1, self.done);
        }
        let strays = self.random.u8(0..8) == 0;
        let allocates = (self.live < phase.live) != strays || self.blocks.is_empty();
        Some(if allocates { self.allocate(phase) } else { self.free() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_comes_where_it_wants_to_be() {
        let mut trace = Trace::new();
        for phase in &PHASES {
            let mut blocks = [0, 0];
            for step in trace.by_ref().take(phase.operations as usize) {
                let (Step::Allocate(layout) | Step::Free(_, layout)) = step;
                blocks[usize::from(layout.size() >= LARGE.smallest)] += 1;
            }
            let off = trace.live().abs_diff(phase.live) as f64 / phase.live as f64;
            assert!(off < 0.1, "{} bytes of {}", trace.live(), phase.live);
            assert_eq!(blocks[1] > 0, phase.large > 0);
        }
        assert!(trace.next().is_none());
        assert_eq!(trace.done(), OPERATIONS);
    }

    #[test]
    fn what_is_freed_was_allocated() {
        let mut blocks = Vec::new();
        for step in Trace::new() {
            match step {
                Step::Allocate(layout) => blocks.push(layout),
                Step::Free(place, layout) => assert_eq!(blocks.swap_remove(place), layout),
            }
        }
        assert!(blocks.len() > 1000);
    }

    #[test]
    fn sizes_are_spread_over_the_doublings() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut seen = [0; 12];
        for _ in 0..12_000 {
            seen[ALL.draw(&mut random).size().ilog2() as usize - 4] += 1;
        }
        assert!(seen.iter().all(|it| (800..1200).contains(it)), "{seen:?}");
    }
}

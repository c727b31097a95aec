//! A real program's allocations, again and again.

use super::subjects::Subject;
use super::trace::{self, Step, Trace};
use super::works::{Done, layout, write_first_byte};
use std::mem::MaybeUninit;
use std::sync::LazyLock;
use std::time::Instant;

/// What `cargo run -p sharena-bench --features peers --example record-trace` recorded: `serde_json` reads all that
/// `cargo metadata` says of this project and its dependencies, and prints a part of it; words of this project's sources
/// are counted.
pub static RECORDED: LazyLock<Trace> = LazyLock::new(|| {
    trace::decode(include_bytes!("../../traces/metadata.bin")).expect("it was recorded")
});

/// Blocks that are allocated and freed by a member, at least.
const BLOCKS: u32 = 1_000_000;

/// The trace from its beginning to its end, until there are enough blocks: each gets a byte written.
#[inline(never)]
pub fn replay<S: Subject>(subject: &S, parts: u32, start: impl FnOnce()) -> Done {
    let Trace { steps, slots, totals } = &*RECORDED;
    let blocks = totals.blocks as u32;
    let times = (BLOCKS / parts).div_ceil(blocks);
    subject.begin(totals.most_live as usize);
    let mut living: Vec<_> =
        (0..*slots).map(|_| MaybeUninit::<(S::Block, u32)>::uninit()).collect();
    start();
    let begin = Instant::now();
    for i in 0..times {
        for step in steps {
            match *step {
                Step::Allocate { slot, size } => {
                    let block = subject.allocate(layout(size as usize));
                    write_first_byte(subject, &block, i as u8);
                    living[slot as usize].write((block, size));
                }
                Step::Free { slot } => {
                    // SAFETY: a trace that was decoded fills each slot before it empties it, and empties it once.
                    let (block, size) = unsafe { living[slot as usize].assume_init_read() };
                    // SAFETY: the size that it was allocated with.
                    unsafe { subject.free(block, layout(size as usize)) };
                }
            }
        }
    }
    Done { pairs: times * blocks, begin, took: begin.elapsed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_trace_of_a_program_and_whole() {
        // Its totals were counted while it was recorded, and are compared where it is decoded.
        let Trace { steps, slots, totals } = &*RECORDED;
        assert_eq!(steps.len() as u64, 2 * totals.blocks);
        assert!(*slots as u64 <= totals.blocks && totals.largest <= totals.most_live);
        let mut is_full = vec![false; *slots];
        for step in steps {
            match *step {
                Step::Allocate { slot, .. } => {
                    assert!(!std::mem::replace(&mut is_full[slot as usize], true))
                }
                Step::Free { slot } => assert!(std::mem::take(&mut is_full[slot as usize])),
            }
        }
        assert!(!is_full.contains(&true));
    }
}

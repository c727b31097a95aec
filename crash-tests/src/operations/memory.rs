//! Raw memory: allocate, free, resize, publish.

use super::{
    BLOCK, Held, NOTHING, Operation, RUN, SLAB, TINY, UNIT, WIDE, enter, free, free_all, hoard,
    layout, private, raw, raw_blocks, raw_runs, raws,
};
use crate::stage::Stage;
use anyhow::Result;
use sharena::collections;
use sharena::{Offset, Segment};
use std::alloc::Layout;
use std::mem::forget;

/// Blocks of [`TINY`] bytes in a full magazine.
const MAGAZINE: usize = 256;

pub const OPERATIONS: &[Operation] = &[
    Operation::new("allocate-private", |_, victim| {
        let segment = victim.segment();
        hoard(segment, BLOCK, 1); // the others of its slab are at hand
        Box::new(|| hoard(segment, BLOCK, 1))
    }),
    Operation::new("allocate-raw", |_, victim| {
        let segment = victim.segment();
        hoard(segment, BLOCK, 1);
        Box::new(|| {
            raw(segment, BLOCK);
        })
    })
    .turns(NOTHING, raw_blocks(1))
    .of_steps(1),
    Operation::new("allocate-zeroed", |_, victim| {
        let segment = victim.segment();
        hoard(segment, BLOCK, 1);
        Box::new(|| {
            segment.allocate_zeroed(layout(BLOCK)).expect("there is room");
        })
    })
    .turns(NOTHING, raw_blocks(1))
    .of_steps(1),
    Operation::new("allocate-refill", |_, victim| {
        let segment = victim.segment();
        hoard(segment, TINY, 1);
        Box::new(|| hoard(segment, TINY, MAGAZINE))
    })
    .of_steps(8),
    Operation::new("allocate-refill-bells", |_, victim| {
        let segment = victim.segment();
        let blocks = raws(segment, BLOCK, SLAB);
        free_by_thread(segment, blocks[..SLAB / 2].to_vec());
        Box::new(|| {
            raw(segment, BLOCK);
        })
    })
    .turns(raw_blocks(8), raw_blocks(9))
    .of_steps(4),
    Operation::new("allocate-refill-bells-all", |_, victim| {
        let segment = victim.segment();
        let blocks = raws(segment, BLOCK, SLAB);
        free_by_thread(segment, blocks);
        Box::new(|| {
            raw(segment, BLOCK);
        })
    })
    .turns(NOTHING, raw_blocks(1))
    .of_steps(5),
    Operation::new("allocate-adopt", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| {
            raw(segment, BLOCK);
        })
    })
    .set_up(half_an_orphan)
    .turns(raw_blocks(8), raw_blocks(9))
    .of_steps(4),
    Operation::new("allocate-fresh-slab", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| {
            raw(segment, BLOCK);
        })
    })
    .set_up(|stage| free_units(stage, false))
    .turns(NOTHING, raw_blocks(1))
    .of_steps(10),
    Operation::new("allocate-fresh-slab-decommitted", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| {
            raw(segment, TINY);
        })
    })
    .set_up(|stage| free_units(stage, true))
    .turns(NOTHING, raw_blocks(1))
    .of_steps(100),
    Operation::new("prepare", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| {
            segment.prepare(40 * UNIT as u64).expect("there is room");
        })
    })
    .set_up(|stage| free_units(stage, true))
    .of_steps(40),
    Operation::new("allocate-wide", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| {
            raw(segment, WIDE);
        })
    })
    .set_up(|stage| free_units(stage, false))
    .turns(NOTHING, raw_blocks(1))
    .of_steps(10),
    Operation::new("allocate-grow", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| {
            raw(segment, 20 * UNIT);
        })
    })
    .turns(NOTHING, raw_runs(1, 20))
    .of_steps(60),
    Operation::new("allocate-run", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| {
            raw(segment, RUN);
        })
    })
    .set_up(|stage| free_units(stage, false))
    .turns(NOTHING, raw_runs(1, 5))
    .of_steps(7),
    Operation::new("allocate-run-decommitted", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| {
            raw(segment, RUN);
        })
    })
    .set_up(|stage| free_units(stage, true))
    .turns(NOTHING, raw_runs(1, 5))
    .of_steps(7),
    Operation::new("allocate-private-run", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| hoard(segment, RUN, 1))
    })
    .of_steps(7),
    Operation::new("allocate-aligned", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| aligned(segment, 100, UNIT))
    })
    .turns(NOTHING, raw_blocks(1))
    .of_steps(5),
    Operation::new("allocate-aligned-run", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| aligned(segment, RUN, UNIT))
    })
    .turns(NOTHING, raw_runs(1, 5))
    .of_steps(7),
    Operation::new("resize-grow", |stage, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| resize(segment, stage.noted(0), 8))
    })
    .set_up(|stage| {
        let segment = stage.segment();
        let (run, behind) = (raw(segment, RUN), raw(segment, RUN));
        free(segment, behind);
        stage.note(run);
        Ok(Held::new())
    })
    .turns(raw_runs(1, 5), raw_runs(1, 8))
    .of_steps(5),
    Operation::new("resize-grow-frontier", |_, victim| {
        let segment = victim.segment();
        let run = raw(segment, 20 * UNIT);
        Box::new(move || resize(segment, run, 23))
    })
    .turns(raw_runs(1, 20), raw_runs(1, 23))
    .of_steps(5),
    Operation::new("vector-grows-in-place", |_, victim| {
        let segment = victim.segment();
        enter(segment);
        let mut numbers = collections::Vec::new_in(segment);
        (0..UNIT as u64 / 8).for_each(|number| numbers.push(number));
        let full = numbers.as_ptr();
        Box::new(move || {
            numbers.push(0);
            assert_eq!((numbers.as_ptr(), numbers.capacity()), (full, 2 * UNIT / 8));
            forget(numbers);
        })
    })
    .of_steps(2),
    Operation::new("resize-shrink", |stage, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| resize(segment, stage.noted(0), 3))
    })
    .set_up(|stage| {
        stage.note(raw(stage.segment(), 8 * UNIT));
        Ok(Held::new())
    })
    .turns(raw_runs(1, 8), raw_runs(1, 3))
    .of_steps(10),
    Operation::new("free-private", |_, victim| {
        let block = private(victim.segment(), BLOCK);
        Box::new(move || drop(block))
    }),
    Operation::new("free-raw", |_, victim| {
        let segment = victim.segment();
        let block = raw(segment, BLOCK);
        Box::new(move || free(segment, block))
    })
    .turns(raw_blocks(1), NOTHING)
    .of_steps(1),
    Operation::new("free-raw-flush", |_, victim| {
        let segment = victim.segment();
        let blocks = raws(segment, BLOCK, 2 * SLAB);
        free_all(segment, &blocks[..SLAB]); // the magazine is full
        Box::new(move || free(segment, blocks[SLAB]))
    })
    .turns(raw_blocks(16), raw_blocks(15))
    .of_steps(2),
    Operation::new("free-private-flush", |_, victim| {
        let segment = victim.segment();
        let mut blocks: Vec<_> = (0..3 * MAGAZINE).map(|_| private(segment, TINY)).collect();
        let rest = blocks.split_off(MAGAZINE);
        drop(blocks);
        Box::new(move || drop(rest))
    })
    .of_steps(8),
    // Of a second slab, so that it tells of the first.
    Operation::new("free-remote", |stage, victim| {
        let segment = victim.segment();
        enter(segment);
        free(segment, stage.noted(0));
        Box::new(|| free(segment, stage.noted(SLAB)))
    })
    .set_up(|stage| {
        raws(stage.segment(), BLOCK, SLAB + 1).into_iter().for_each(|block| stage.note(block));
        Ok(Held::new())
    })
    .turns(raw_blocks(16), raw_blocks(15))
    .of_steps(3),
    Operation::new("free-remote-wide", |stage, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| free(segment, stage.noted(1)))
    })
    .set_up(|stage| {
        raws(stage.segment(), WIDE, 2).into_iter().for_each(|block| stage.note(block));
        Ok(Held::new())
    })
    .turns(raw_blocks(2), raw_blocks(1))
    .of_steps(3),
    Operation::new("free-to-orphan", |stage, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| free(segment, stage.noted(SLAB / 2)))
    })
    .set_up(half_an_orphan)
    .turns(raw_blocks(8), raw_blocks(7))
    .of_steps(2),
    Operation::new("free-last-of-slab", |_, victim| {
        let segment = victim.segment();
        let blocks = raws(segment, BLOCK, 3 * SLAB);
        // One magazine and a half more: two slabs are wholly free by the next flush.
        let last = 2 * SLAB + SLAB / 2;
        free_all(segment, &blocks[..last]);
        Box::new(move || free(segment, blocks[last]))
    })
    .turns(raw_blocks(8), raw_blocks(7))
    .of_steps(4),
    Operation::new("free-last-of-wide-slab", |_, victim| {
        let segment = victim.segment();
        let blocks = raws(segment, WIDE, 6);
        free_all(segment, &blocks[..4]);
        Box::new(move || free(segment, blocks[4]))
    })
    .turns(raw_blocks(2), raw_blocks(1))
    .of_steps(6),
    Operation::new("free-run", |stage, victim| {
        let segment = victim.segment();
        enter(segment);
        Box::new(|| free(segment, stage.noted(0)))
    })
    .set_up(|stage| {
        stage.note(raw(stage.segment(), RUN));
        Ok(Held::new())
    })
    .turns(raw_runs(1, 5), NOTHING)
    .of_steps(10),
    Operation::new("free-private-run", |_, victim| {
        let block = private(victim.segment(), RUN);
        Box::new(move || drop(block))
    })
    .of_steps(10),
    Operation::new("publish-block", |_, victim| {
        let block = private(victim.segment(), BLOCK);
        Box::new(move || {
            block.publish();
        })
    })
    .turns(NOTHING, raw_blocks(1))
    .of_steps(1),
    Operation::new("publish-run", |_, victim| {
        let block = private(victim.segment(), RUN);
        Box::new(move || {
            block.publish();
        })
    })
    .turns(NOTHING, raw_runs(1, 5))
    .of_steps(1),
];

/// Free units that are no longer untouched; `trimmed`: without memory.
fn free_units<'s>(stage: &'s Stage<'_>, trimmed: bool) -> Result<Held<'s>> {
    let segment = stage.segment();
    free(segment, raw(segment, RUN));
    if trimmed {
        segment.trim()?;
    }
    Ok(Held::new())
}

/// A slab that its owner left when it ended, half of it free; its blocks are noted.
fn half_an_orphan<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    stage.elsewhere(|segment| {
        let blocks = raws(segment, BLOCK, SLAB);
        free_all(segment, &blocks[..SLAB / 2]);
        blocks
    })?;
    Ok(Held::new())
}

/// Another thread frees blocks of the calling one.
fn free_by_thread(segment: &Segment, blocks: Vec<Offset<u8>>) {
    let segment = segment.clone();
    let thread = std::thread::spawn(move || free_all(&segment, &blocks));
    thread.join().expect("it freed them");
}

fn aligned(segment: &Segment, bytes: usize, align: usize) {
    let layout = Layout::from_size_align(bytes, align).expect("a layout");
    segment.allocate(layout).expect("there is room");
}

fn resize(segment: &Segment, run: Offset<u8>, units: usize) {
    let resized = segment.resize_in_place(run, units * UNIT).expect("a raw run");
    assert_eq!(resized, Some(units * UNIT));
}

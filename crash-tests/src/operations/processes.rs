//! Processes and threads that come and go; recovery.

use super::{
    Act, BLOCK, Held, NOTHING, Operation, RUN, SLAB, TINY, Things, WIDE, enter, free_all, hoard,
    private, raw, raw_blocks, raws,
};
use crate::operations::objects::construct;
use crate::process::TAKES_OVER;
use crate::stage::{Stage, Value, Victim, options};
use anyhow::Result;
use sharena::Segment;
use std::mem::forget;
use std::sync::mpsc;

const NO_SEGMENT: Things = Things { segments: 0, ..NOTHING };

pub const OPERATIONS: &[Operation] = &[
    Operation::new("create", |stage, _| {
        Box::new(|| forget(options().create_at(stage.path()).expect("created")))
    })
    .turns(NO_SEGMENT, NOTHING)
    .of_steps(20),
    Operation::new("open-or-create-new", |stage, _| {
        Box::new(|| {
            let opened = options().open_or_create_at(stage.path()).expect("created");
            assert!(opened.created);
            forget(opened);
        })
    })
    .turns(NO_SEGMENT, NOTHING)
    .of_steps(20),
    Operation::new("open-or-create-old", |stage, _| {
        Box::new(|| {
            let opened = options().open_or_create_at(stage.path()).expect("opened");
            assert!(!opened.created);
            forget(opened);
        })
    })
    .of_steps(2),
    Operation::new("attach", |stage, _| Box::new(|| forget(stage.open()))).of_steps(2),
    Operation::new("first-allocation", |_, victim| {
        let segment = victim.segment();
        Box::new(|| {
            raw(segment, BLOCK);
        })
    })
    .turns(NOTHING, raw_blocks(1))
    .of_steps(5),
    Operation::new("detach", |stage, _| {
        let segment = stage.open();
        // Something of each kind to be given back, given away, or left.
        hoard(&segment, BLOCK, 3);
        hoard(&segment, WIDE, 1);
        hoard(&segment, RUN, 1);
        raws(&segment, BLOCK, 2);
        raws(&segment, TINY, 2);
        drop(private(&segment, TINY));
        construct(&segment, "made-000");
        leave_parked_lane(&segment);
        Box::new(move || drop(segment))
    })
    .keeps(Things { raw: 4, named: 1, ..NOTHING })
    .of_steps(50),
    Operation::new("detach-unused", |stage, _| {
        let segment = stage.open();
        Box::new(move || drop(segment))
    })
    .of_steps(1),
    Operation::new("thread-end", |_, victim| {
        end_of_thread(victim, |segment| {
            let blocks = raws(segment, BLOCK, SLAB + 3);
            free_all(segment, &blocks[3..]);
            drop(private(segment, TINY));
        })
    })
    .keeps(raw_blocks(3))
    .of_steps(5)
    .in_own_thread(),
    Operation::new("thread-end-parked", |_, victim| {
        end_of_thread(victim, |segment| {
            hoard(segment, BLOCK, 3);
            hoard(segment, RUN, 1);
            raws(segment, TINY, 2);
        })
    })
    .keeps(raw_blocks(2))
    .of_steps(3)
    .in_own_thread(),
    Operation::new("recover", recover).set_up(leave_a_dead_one).keeps(OF_THE_DEAD).of_steps(20),
    Operation::new("attach-recovering", |stage, _| {
        Box::new(|| forget(Segment::open_at(stage.path()).expect("opened")))
    })
    .set_up(leave_a_dead_one)
    .keeps(OF_THE_DEAD)
    .of_steps(20),
];

/// What stays of the one that [`leave_a_dead_one`] kills.
const OF_THE_DEAD: Things = Things { raw: 4, unnamed: 1, named: 1, ..NOTHING };

/// The victim recovers others.
pub fn recover<'s>(_: &'s Stage<'_>, victim: &'s Victim<'_>) -> Act<'s> {
    let segment = victim.segment();
    enter(segment);
    Box::new(|| {
        segment.recover().expect("recovery");
    })
}

fn leave_a_dead_one<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    stage.killed_elsewhere(die_with_everything)?;
    Ok(Held::new())
}

/// A thread works; what is measured is its end.
fn end_of_thread<'s>(victim: &'s Victim<'_>, work: fn(&Segment)) -> Act<'s> {
    let segment = victim.segment().clone();
    let ((done, is_done), (end, may_end)) = (mpsc::channel(), mpsc::channel());
    let thread = std::thread::spawn(move || {
        work(&segment);
        drop(segment);
        done.send(()).expect("it is waited for");
        may_end.recv().expect("told");
        if let Some(take_over) = TAKES_OVER.get() {
            take_over();
        }
    });
    is_done.recv().expect("it worked");
    Box::new(move || {
        end.send(()).expect("it waits");
        thread.join().expect("it ended");
    })
}

/// A thread that ends with private blocks left: its lane stays.
fn leave_parked_lane(segment: &Segment) {
    let segment = segment.clone();
    let thread = std::thread::spawn(move || hoard(&segment, BLOCK, 2));
    thread.join().expect("it ended");
}

/// What there is to recover: private blocks of each kind, values, references, a parked lane.
fn die_with_everything(victim: &Victim<'_>) {
    let segment = victim.segment();
    leave_parked_lane(segment);
    enter(segment);
    for bytes in [TINY, BLOCK, WIDE, RUN] {
        hoard(segment, bytes, 3);
    }
    raws(segment, TINY, 3);
    raw(segment, BLOCK);
    drop(private(segment, TINY));
    construct(segment, "made-000");
    let value: Value = crate::stage::value("unnamed", 0);
    segment.own(value).expect("there is room").publish();
    forget(segment.own(value).expect("there is room"));
    forget(segment.find_slice::<Value>("keep").expect("a slice"));
    // Destroyed, while the dead one looks at it.
    construct(segment, "made-001");
    forget(segment.find::<Value>("made-001").expect("a value"));
    segment.destroy::<Value>("made-001").expect("it is there");
}

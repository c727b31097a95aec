//! A ring: pushed to, received from, looked at, closed; and its ends taken and given back.

use super::{Act, Held, Operation, Things, enter, named};
use crate::stage::{Stage, Victim};
use anyhow::{Context, Result, ensure};
use sharena::queue::{Consumer, Producer, SpscRecvError, SpscRing};
use sharena::{Ref, Segment};
use std::mem::forget;

/// The name of such an object.
pub const MADE_RING: &str = "made-ring";

/// What such an object is.
pub type Samples = SpscRing<u64, 8>;

/// What tells a closed ring from an open one.
const CLOSED: u64 = 1 << 63;
/// What tells one of which the first value was given out to be looked at.
const LOOKED_AT: u64 = 1 << 62;

/// A ring in which the numbers from `first` to `last` wait.
const fn waiting(first: u64, last: u64) -> Things {
    Things { digest: digest(first, last), ..named(1) }
}

const fn digest(first: u64, last: u64) -> u64 {
    first << 8 | last
}

impl Things {
    /// The same ring, and something beside.
    const fn beside(self, what: u64) -> Things {
        Things { digest: self.digest | what, ..self }
    }
}

/// What waits in the ring, told by one number; it is received by that. Of both ends one must be to be had.
pub fn digest_of(segment: &Segment, name: &str) -> Result<u64> {
    let ring = segment.find::<Samples>(name)?.context("it was listed")?;
    let (_producer, mut consumer) = (ring.producer()?, ring.consumer()?);
    let mut more = if ring.is_closed() { CLOSED } else { 0 };
    let mut numbers = Vec::new();
    let end = loop {
        match consumer.try_peek() {
            Ok(front) => {
                if front.is_redelivered() {
                    ensure!(numbers.is_empty(), "{} was given out before its turn", *front);
                    more |= LOOKED_AT;
                }
                numbers.push(*front);
                front.done();
            }
            Err(end) => break end,
        }
    };
    let is_end_of_closed = end == SpscRecvError::Closed;
    ensure!(is_end_of_closed == ring.is_closed(), "it ends with {end:?}");
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return Ok(more) };
    ensure!(numbers.iter().copied().eq(*first..=*last), "not in order: {numbers:?}");
    Ok(digest(*first, *last) | more)
}

/// So that the counters have come round: a ring in which 1, 2 and 3 wait.
fn set_up<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    let ring = stage.segment().construct(MADE_RING, Samples::new())?;
    let (mut producer, mut consumer) = (ring.producer()?, ring.consumer()?);
    for number in [9, 9, 9, 9, 9, 9, 1, 2, 3] {
        producer.push(number)?;
        if number == 9 {
            consumer.recv()?;
        }
    }
    Ok(Held::new())
}

/// The same, and 1 was looked at.
fn set_up_looked_at<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    let held = set_up(stage)?;
    let ring = stage.segment().find::<Samples>(MADE_RING)?.context("it was just constructed")?;
    drop(ring.consumer()?.peek()?);
    Ok(held)
}

/// The ring, for as long as the victim lives.
fn ring<'s>(victim: &'s Victim<'_>) -> &'s Samples {
    let segment = victim.segment();
    enter(segment);
    let ring: Ref<'s, Samples> = segment.find(MADE_RING).expect("whole").expect("it is there");
    Box::leak(Box::new(ring))
}

/// The victim does something with the ring.
fn uses<'s>(victim: &'s Victim<'_>, act: impl FnOnce(&Samples) + 's) -> Act<'s> {
    let ring = ring(victim);
    Box::new(move || act(ring))
}

/// The victim, who has the producer's end, does something with it.
fn pushes<'s>(victim: &'s Victim<'_>, act: impl FnOnce(&mut Producer<'_, u64, 8>) + 's) -> Act<'s> {
    let mut end = ring(victim).producer().expect("nobody has it");
    Box::new(move || {
        act(&mut end);
        forget(end);
    })
}

/// The victim, who has the consumer's end, does something with it.
fn receives<'s>(
    victim: &'s Victim<'_>,
    act: impl FnOnce(&mut Consumer<'_, u64, 8>) + 's,
) -> Act<'s> {
    let mut end = ring(victim).consumer().expect("nobody has it");
    Box::new(move || {
        act(&mut end);
        forget(end);
    })
}

/// The victim takes both ends, which a dead one had, and receives all.
pub fn take<'s>(_: &'s Stage<'_>, victim: &'s Victim<'_>) -> Act<'s> {
    uses(victim, |ring| {
        let producer = ring.producer().expect("who had it is dead");
        let mut consumer = ring.consumer().expect("who had it is dead");
        while consumer.try_recv().is_ok() {}
        forget((producer, consumer));
    })
}

/// What [`take`] leaves.
pub const TAKEN: Things = waiting(0, 0);

const THREE: Things = waiting(1, 3);

pub const OPERATIONS: &[Operation] = &[
    Operation::new("ring-push", |_, victim| pushes(victim, |end| end.push(4).expect("room")))
        .set_up(set_up)
        .turns(THREE, waiting(1, 4))
        .of_steps(1),
    Operation::new("ring-push-slice", |_, victim| {
        pushes(victim, |end| assert_eq!(end.try_push_slice(&[4, 5, 6]), Ok(3)))
    })
    .set_up(set_up)
    .turns(THREE, waiting(1, 6))
    .of_steps(1),
    Operation::new("ring-receive", |_, victim| {
        receives(victim, |end| assert_eq!(end.recv(), Ok(1)))
    })
    .set_up(set_up)
    .turns(THREE, waiting(2, 3))
    .of_steps(1),
    Operation::new("ring-receive-slice", |_, victim| {
        receives(victim, |end| assert_eq!(end.try_recv_slice(&mut [0; 2]), Ok(2)))
    })
    .set_up(set_up)
    .turns(THREE, waiting(3, 3))
    .of_steps(1),
    Operation::new("ring-peek", |_, victim| {
        receives(victim, |end| drop(end.peek().expect("there are three")))
    })
    .set_up(set_up)
    .turns(THREE, THREE.beside(LOOKED_AT))
    .of_steps(1),
    Operation::new("ring-done", |_, victim| {
        receives(victim, |end| end.peek().expect("there are three").done())
    })
    .set_up(set_up_looked_at)
    .turns(THREE.beside(LOOKED_AT), waiting(2, 3))
    .of_steps(2),
    Operation::new("ring-claim", |_, victim| {
        uses(victim, |ring| {
            forget((ring.producer().expect("free"), ring.consumer().expect("free")))
        })
    })
    .set_up(set_up)
    .keeps(THREE)
    .of_steps(2),
    Operation::new("ring-leave", |_, victim| {
        let ring = ring(victim);
        let ends = (ring.producer().expect("free"), ring.consumer().expect("free"));
        Box::new(move || drop(ends))
    })
    .set_up(set_up)
    .keeps(THREE)
    .of_steps(2),
    Operation::new("ring-close", |_, victim| uses(victim, Samples::close))
        .set_up(set_up)
        .turns(THREE, THREE.beside(CLOSED))
        .of_steps(1),
];

//! A queue: pushed to, received from, closed; and a job that is taken, acknowledged or given back.

use super::{Act, Held, Operation, Things, enter, named};
use crate::stage::{Stage, Victim};
use anyhow::{Context, Result, ensure};
use sharena::queue::{Queue, TryPushError, TryRecvError};
use sharena::{Ref, Segment};
use std::mem::forget;

/// The name of such an object.
pub const MADE_QUEUE: &str = "made-queue";

/// What such an object is.
pub type Jobs = Queue<u64, 4>;

/// What tells a closed queue from an open one.
const CLOSED: u64 = 1 << 63;

/// A queue in which these numbers wait: a bit for each, whatever their order. A number that is there twice makes
/// it another.
pub const fn waiting(numbers: &[u64]) -> Things {
    let (mut digest, mut at) = (0, 0);
    while at < numbers.len() {
        digest += bit(numbers[at]);
        at += 1;
    }
    Things { digest, ..named(1) }
}

/// Bits of its own, so that two of the same number are no other number.
pub const fn bit(number: u64) -> u64 {
    1 << (number * 3)
}

impl Things {
    /// The same queue, closed.
    const fn closed(self) -> Things {
        Things { digest: self.digest | CLOSED, ..self }
    }
}

/// What waits in the queue, told by one number. What nobody had before stands in the order in which it was pushed.
pub fn digest_of(segment: &Segment, name: &str) -> Result<u64> {
    let queue = segment.find::<Jobs>(name)?.context("it was listed")?;
    let mut digest = if queue.is_closed() { CLOSED } else { 0 };
    let (mut jobs, mut last) = (Vec::new(), None);
    let end = loop {
        match queue.try_recv_job() {
            Ok(job) => {
                ensure!(*job < 20, "{} was never pushed", *job);
                if !job.is_redelivered() {
                    ensure!(last < Some(*job), "{} stands behind {last:?}", *job);
                    last = Some(*job);
                }
                digest += bit(*job);
                jobs.push(job);
            }
            Err(end) => break end,
        }
    };
    ensure!((end == TryRecvError::Closed) == queue.is_closed(), "it ends with {end:?}");
    Ok(digest)
}

/// So that its ring has come round: a queue in which 0, 1 and 2 wait.
fn set_up<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    let queue = stage.segment().construct(MADE_QUEUE, Jobs::new())?;
    for number in [9, 9, 9, 0, 1, 2] {
        queue.push(number)?;
        if number == 9 {
            queue.recv()?;
        }
    }
    Ok(Held::new())
}

/// The victim does something with the queue.
fn uses<'s>(victim: &'s Victim<'_>, act: impl FnOnce(&Jobs) + 's) -> Act<'s> {
    let segment = victim.segment();
    enter(segment);
    let queue: Ref<'_, Jobs> = segment.find(MADE_QUEUE).expect("whole").expect("it is there");
    Box::new(move || {
        act(&queue);
        forget(queue);
    })
}

/// The victim has and acknowledges all that waits, and what others had and did not acknowledge.
pub fn take<'s>(_: &'s Stage<'_>, victim: &'s Victim<'_>) -> Act<'s> {
    uses(victim, |queue| while queue.try_recv().is_ok() {})
}

/// What [`take`] leaves.
pub const TAKEN: Things = waiting(&[]);

const THREE: Things = waiting(&[0, 1, 2]);

pub const OPERATIONS: &[Operation] = &[
    Operation::new("queue-push", |_, victim| uses(victim, |queue| queue.push(3).expect("room")))
        .set_up(set_up)
        .turns(THREE, waiting(&[0, 1, 2, 3]))
        .of_steps(3),
    Operation::new("queue-push-full", |_, victim| {
        uses(victim, |queue| assert_eq!(queue.try_push(4), Err(TryPushError::Full(4))))
    })
    .set_up(|stage| {
        let held = set_up(stage)?;
        let queue = stage.segment().find::<Jobs>(MADE_QUEUE)?.context("it was just constructed")?;
        queue.push(3)?;
        Ok(held)
    })
    .keeps(waiting(&[0, 1, 2, 3])),
    Operation::new("queue-receive", |_, victim| {
        uses(victim, |queue| assert_eq!(queue.recv(), Ok(0)))
    })
    .set_up(set_up)
    .turns(THREE, waiting(&[1, 2]))
    .of_steps(3),
    Operation::new("queue-job-done", |_, victim| {
        uses(victim, |queue| queue.recv_job().expect("there are three").done())
    })
    .set_up(set_up)
    .turns(THREE, waiting(&[1, 2]))
    .of_steps(3),
    Operation::new("queue-job-back", |_, victim| {
        uses(victim, |queue| drop(queue.recv_job().expect("there are three")))
    })
    .set_up(set_up)
    .keeps(THREE)
    .of_steps(3),
    Operation::new("queue-close", |_, victim| uses(victim, Jobs::close))
        .set_up(set_up)
        .turns(THREE, THREE.closed())
        .of_steps(1),
];

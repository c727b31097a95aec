//! A queue of objects: pushed to, received from, destroyed with what is in it; objects with blocks and locks of
//! their own, and such as are a run of units.

use super::queues::{bit, waiting};
use super::{Act, Held, NOTHING, Operation, Things, enter, warm_up};
use crate::stage::{Stage, Victim};
use anyhow::{Context, Result, ensure};
use sharena::collections::{String, Vec, VecMut};
use sharena::lock::{Mutex, PoisonError};
use sharena::queue::{ObjectPushError, ObjectQueue, ObjectRecvError};
use sharena::{Owned, Ref, Segment, Shareable};
use std::mem::forget;

/// The names of such objects.
pub const MADE_FRAMES: &str = "made-frames";
pub const MADE_PLATES: &str = "made-plates";

/// What they are.
pub type Frames = ObjectQueue<Frame, 4>;
pub type Plates = ObjectQueue<Plate, 2>;

#[derive(Shareable)]
pub struct Frame {
    number: u64,
    text: String,
    notes: Mutex<Vec<String>>,
}

/// One that is a run.
#[derive(Shareable)]
pub struct Plate {
    number: u64,
    bytes: [u8; super::RUN - 1000],
}

/// What is looked at of an object in a queue.
pub trait Numbered: Shareable {
    fn make(segment: &Segment, number: u64) -> Self;
    fn number(&self) -> u64;
    fn is_whole(&self) -> bool;
}

impl Numbered for Frame {
    fn make(segment: &Segment, number: u64) -> Frame {
        let text = String::from_in(&format!("the frame of number {number}"), segment);
        let mut notes = Vec::new_in(segment);
        notes.push(String::from_in(&format!("a note on the frame of number {number}"), segment));
        Frame { number, text, notes: Mutex::new(notes) }
    }
    fn number(&self) -> u64 {
        self.number
    }
    fn is_whole(&self) -> bool {
        // Who died in here has done all or nothing of each call.
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_its = notes.first().is_some_and(|note| {
            *note == format!("a note on the frame of number {}", self.number).as_str()
        });
        // What a lock guards is marked, or this would not be taken off it.
        notes.push(String::new());
        notes.pop();
        is_its && self.text == format!("the frame of number {}", self.number).as_str()
    }
}

impl Numbered for Plate {
    fn make(_: &Segment, number: u64) -> Plate {
        Plate { number, bytes: [number as u8; super::RUN - 1000] }
    }
    fn number(&self) -> u64 {
        self.number
    }
    fn is_whole(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == self.number as u8)
    }
}

/// What waits in the queue, told by one number. What nobody had before stands in the order in which it was pushed;
/// each object is whole.
pub fn digest_of<T: Numbered, const N: usize>(segment: &Segment, name: &str) -> Result<u64> {
    let queue = segment.find::<ObjectQueue<T, N>>(name)?.context("it was listed")?;
    let mut digest = 0;
    let (mut jobs, mut last) = (std::vec::Vec::new(), None);
    let end = loop {
        match queue.try_recv_job() {
            Ok(job) => {
                let number = job.number();
                ensure!(number < 20 && job.is_whole(), "{number} was not pushed so");
                if !job.is_redelivered() {
                    ensure!(last < Some(number), "{number} stands behind {last:?}");
                    last = Some(number);
                }
                digest += bit(number);
                jobs.push(job);
            }
            Err(end) => break end,
        }
    };
    ensure!(end == ObjectRecvError::Empty, "it ends with {end:?}");
    Ok(digest)
}

fn own<T: Numbered>(segment: &Segment, number: u64) -> Owned<'_, T> {
    segment.own(T::make(segment, number)).expect("there is room")
}

fn construct<T: Numbered, const N: usize>(
    segment: &Segment,
    name: &str,
    numbers: &[u64],
) -> Result<()> {
    let queue = segment.construct(name, ObjectQueue::<T, N>::new())?;
    for number in numbers {
        queue.push(own(segment, *number)).map_err(ObjectPushError::without)?;
        if *number == 9 {
            queue.recv_job()?.done();
        }
    }
    Ok(())
}

/// Has the trace maps that frames need stand in the segment.
pub fn know(segment: &Segment) -> Result<()> {
    construct::<Frame, 4>(segment, MADE_FRAMES, &[1])?;
    let queue = segment.find::<Frames>(MADE_FRAMES)?.context("it was just constructed")?;
    let job = queue.recv_job()?;
    let mut notes = job.notes.lock().unwrap_or_else(PoisonError::into_inner);
    // It outgrows its block.
    (0..9).for_each(|_| notes.push(String::new()));
    drop(notes);
    drop(job);
    drop(queue);
    ensure!(segment.destroy::<Frames>(MADE_FRAMES)?, "it was just constructed");
    Ok(())
}

/// Has the trace map that plates need stand in the segment.
pub fn know_plates(segment: &Segment) -> Result<()> {
    construct::<Plate, 2>(segment, MADE_PLATES, &[1])?;
    ensure!(segment.destroy::<Plates>(MADE_PLATES)?, "it was just constructed");
    Ok(())
}

/// So that its ring has come round: a queue in which 0, 1 and 2 wait.
fn set_up<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    know(stage.segment())?;
    construct::<Frame, 4>(stage.segment(), MADE_FRAMES, &[9, 9, 9, 0, 1, 2])?;
    Ok(Held::new())
}

/// In which 1 waits.
fn set_up_plates<'s>(stage: &'s Stage<'_>) -> Result<Held<'s>> {
    construct::<Plate, 2>(stage.segment(), MADE_PLATES, &[9, 1])?;
    Ok(Held::new())
}

/// The lane has blocks at hand, and knows the types.
fn ready(segment: &Segment) {
    warm_up(segment);
    enter(segment);
    drop(own::<Frame>(segment, 0));
}

/// The victim does something with the queue.
fn uses<'s, T: Numbered, const N: usize>(
    victim: &'s Victim<'_>,
    name: &str,
    act: impl FnOnce(&ObjectQueue<T, N>) + 's,
) -> Act<'s> {
    let segment = victim.segment();
    ready(segment);
    let queue: Ref<'_, ObjectQueue<T, N>> = segment.find(name).expect("whole").expect("is there");
    Box::new(move || {
        act(&queue);
        forget(queue);
    })
}

/// The victim pushes an object of that number, which it has from before.
fn push<'s, T: Numbered, const N: usize>(
    victim: &'s Victim<'_>,
    name: &str,
    number: u64,
) -> Act<'s> {
    let object = own::<T>(victim.segment(), number);
    uses(victim, name, move |queue: &ObjectQueue<T, N>| queue.push(object).expect("room"))
}

/// The victim has and acknowledges all that waits, and what others had and did not acknowledge.
pub fn take<'s>(_: &'s Stage<'_>, victim: &'s Victim<'_>) -> Act<'s> {
    let segment = victim.segment();
    enter(segment);
    let queue = segment.find::<Frames>(MADE_FRAMES).expect("whole").expect("it is there");
    let more: std::vec::Vec<_> = (10..14).map(|number| own::<Frame>(segment, number)).collect();
    Box::new(move || {
        let drain = || loop {
            match queue.try_recv_job() {
                Ok(job) => {
                    assert!(job.is_whole());
                    job.done();
                }
                Err(end) => break assert_eq!(end, ObjectRecvError::Empty),
            }
        };
        drain();
        // Each place leads to nothing, or it would take none. One who died with a job may have a place still.
        for object in more {
            let pushed = queue.try_push(object);
            assert!(matches!(pushed, Ok(()) | Err(ObjectPushError::Full(_))), "{pushed:?}");
            forget(pushed);
        }
        drain();
        forget(queue);
    })
}

/// What [`take`] leaves, once it is through: before that there may be anything.
pub const TAKEN: Things = waiting(&[]);

const THREE: Things = waiting(&[0, 1, 2]);

pub const OPERATIONS: &[Operation] = &[
    Operation::new("frame-push", |_, victim| push::<Frame, 4>(victim, MADE_FRAMES, 3))
        .set_up(set_up)
        .turns(THREE, waiting(&[0, 1, 2, 3]))
        .of_collections()
        .of_steps(14),
    Operation::new("frame-push-full", |_, victim| {
        let object = own(victim.segment(), 4);
        uses(victim, MADE_FRAMES, |queue: &Frames| {
            let refused = queue.try_push(object);
            assert!(matches!(refused, Err(ObjectPushError::Full(_))));
            forget(refused);
        })
    })
    .set_up(|stage| {
        know(stage.segment())?;
        construct::<Frame, 4>(stage.segment(), MADE_FRAMES, &[9, 0, 1, 2, 3])?;
        Ok(Held::new())
    })
    .keeps(waiting(&[0, 1, 2, 3]))
    .of_collections(),
    Operation::new("frame-push-of-another-thread", |_, victim| {
        let segment = victim.segment();
        let object = std::thread::scope(|scope| {
            scope.spawn(|| own::<Frame>(segment, 3)).join().expect("it makes one")
        });
        uses(victim, MADE_FRAMES, |queue: &Frames| queue.push(object).expect("room"))
    })
    .set_up(set_up)
    .turns(THREE, waiting(&[0, 1, 2, 3]))
    .of_collections()
    .of_steps(16),
    Operation::new("frame-job-done", |_, victim| {
        uses(victim, MADE_FRAMES, |queue: &Frames| {
            queue.recv_job().expect("there are three").done()
        })
    })
    .set_up(set_up)
    .turns(THREE, waiting(&[1, 2]))
    .of_collections()
    .of_steps(20),
    Operation::new("frame-job-back", |_, victim| {
        uses(victim, MADE_FRAMES, |queue: &Frames| drop(queue.recv_job().expect("there are three")))
    })
    .set_up(set_up)
    .keeps(THREE)
    .of_collections()
    .of_steps(5),
    Operation::new("frame-destroy", |_, victim| {
        let segment = victim.segment();
        ready(segment);
        Box::new(|| assert!(segment.destroy::<Frames>(MADE_FRAMES).expect("whole")))
    })
    .set_up(set_up)
    .turns(THREE, NOTHING)
    .of_collections()
    .of_steps(60),
    Operation::new("plate-push", |_, victim| push::<Plate, 2>(victim, MADE_PLATES, 2))
        .set_up(set_up_plates)
        .turns(waiting(&[1]), waiting(&[1, 2]))
        .of_collections()
        .of_steps(12),
    Operation::new("plate-job-done", |_, victim| {
        uses(victim, MADE_PLATES, |queue: &Plates| queue.recv_job().expect("there is one").done())
    })
    .set_up(set_up_plates)
    .turns(waiting(&[1]), waiting(&[]))
    .of_collections()
    .of_steps(15),
    Operation::new("plate-destroy", |_, victim| {
        let segment = victim.segment();
        ready(segment);
        Box::new(|| assert!(segment.destroy::<Plates>(MADE_PLATES).expect("whole")))
    })
    .set_up(set_up_plates)
    .turns(waiting(&[1]), NOTHING)
    .of_collections()
    .of_steps(25),
];

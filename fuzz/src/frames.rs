//! Operations on queues of objects, as records say.
//!
//! The types are those of the objects in the kill suite, as in [`shelf`](crate::shelf).

use crate::record::Record;
use crate::shelf::guard_of;
use sharena::collections::{String, Vec, VecMut};
use sharena::lock::Mutex;
use sharena::queue::ObjectQueue;
use sharena::{ObjectError, Owned, Ref, Segment, Shareable};

type Frames = ObjectQueue<Frame, 4>;
type Plates = ObjectQueue<Plate, 2>;

#[derive(Shareable)]
struct Frame {
    number: u64,
    text: String,
    notes: Mutex<Vec<String>>,
}

/// One that is a run.
#[derive(Shareable)]
struct Plate {
    number: u64,
    bytes: [u8; 326_680],
}

/// Queues of each kind that are referred to at once, at most.
const MOST: usize = 3;

/// What a script has of such objects.
pub struct Queues<'s> {
    segment: &'s Segment,
    frames: std::vec::Vec<Ref<'s, Frames>>,
    plates: std::vec::Vec<Ref<'s, Plates>>,
}

fn name(index: u16) -> &'static str {
    ["made-frames", "made-plates", "a", "b"][usize::from(index) % 4]
}

fn frame(segment: &Segment, number: u64) -> Result<Owned<'_, Frame>, ObjectError> {
    let text = |bytes| String::try_from_in(&format!("{number:bytes$}"), segment);
    let made = text([0, 8, 40, 300][number as usize % 4]).and_then(|name| {
        let mut notes = Vec::try_new_in(segment)?;
        for bytes in 0..number % 3 {
            notes.try_push(text(40 * bytes as usize)?)?;
        }
        Ok((name, notes))
    });
    let (text, notes) = made.map_err(ObjectError::Alloc)?;
    segment.own(Frame { number, text, notes: Mutex::new(notes) })
}

impl<'s> Queues<'s> {
    /// On this segment.
    pub fn new(segment: &'s Segment) -> Queues<'s> {
        let (frames, plates) = Default::default();
        Queues { segment, frames, plates }
    }

    /// Does what the record says. What an operation says is not looked at: it must only come back.
    pub fn act(&mut self, record: &Record) {
        let (segment, name) = (self.segment, name(record.index));
        self.frames.truncate(MOST);
        self.plates.truncate(MOST);
        let is_plate = record.kind % 4 == 3;
        match record.what % 8 {
            0 if is_plate => self.plates.extend(segment.find::<Plates>(name).ok().flatten()),
            0 => self.frames.extend(segment.find::<Frames>(name).ok().flatten()),
            1 if is_plate => self.plates.extend(segment.construct(name, Plates::new()).ok()),
            1 => self.frames.extend(segment.construct(name, Frames::new()).ok()),
            2 if is_plate => drop(segment.destroy::<Plates>(name)),
            2 => drop(segment.destroy::<Frames>(name)),
            3 if is_plate => drop(self.plates.pop()),
            3 => drop(self.frames.pop()),
            4 | 5 => self.push(record),
            _ => self.receive(record),
        }
    }

    fn push(&self, record: &Record) {
        if let Some(queue) = self.frames.last() {
            let pushed = frame(self.segment, record.large).map(|frame| queue.try_push(frame));
            drop(pushed.map(|pushed| pushed.map_err(|error| error.to_string())));
        }
        if let Some(queue) = self.plates.last() {
            let number = record.large;
            let plate = self.segment.own(Plate { number, bytes: [record.small; 326_680] });
            drop(plate.map(|plate| queue.try_push(plate).map_err(|error| error.to_string())));
        }
        if record.small == 255 {
            self.frames.last().into_iter().for_each(|queue| queue.close());
        }
    }

    /// Has some at once, reads all that is led to, and acknowledges some.
    fn receive(&self, record: &Record) {
        let mut sum = 0u64;
        if let Some(queue) = self.frames.last() {
            let jobs: std::vec::Vec<_> =
                (0..1 + record.index % 5).map(|_| queue.try_recv_job()).collect();
            for (bit, job) in jobs.into_iter().flatten().enumerate() {
                sum ^= job.number ^ job.text.chars().fold(0, |sum, letter| sum ^ u64::from(letter));
                if let Some(mut notes) = guard_of(&job.notes) {
                    sum ^= notes.iter().map(|note| note.len() as u64).sum::<u64>();
                    if record.large >> bit & 1 == 1
                        && let Ok(note) = String::try_from_in("another note", self.segment)
                    {
                        let _ = notes.try_push(note);
                    }
                }
                if record.small >> bit & 1 == 1 {
                    job.done();
                }
            }
        }
        if let Some(job) = self.plates.last().and_then(|queue| queue.try_recv_job().ok()) {
            sum ^= job.number ^ u64::from(job.bytes[record.index as usize]);
            if record.small & 1 == 1 {
                job.done();
            }
        }
        std::hint::black_box(sum);
    }
}

//! Operations on values that several own, on a list behind a lock and held beside it, as records say.
//!
//! The types are those of the objects in the kill suite, as in [`shelf`](crate::shelf).

use crate::record::Record;
use crate::shelf::guard_of;
use sharena::collections::{Arc, String, TryClone, Vec, VecMut, Weak};
use sharena::lock::{Mutex, MutexGuard};
use sharena::{AllocError, Ref, Segment, Shareable};

type Sharers = Mutex<Sharing>;

#[derive(Shareable)]
struct Sharing {
    handles: Vec<Arc<Leaf>>,
    weak: Weak<Leaf>,
}

#[derive(Shareable)]
struct Leaf {
    number: u64,
    text: String,
}

/// Handles that are held at once, at most.
const MOST: usize = 5;

/// What a script has of such objects.
pub struct Shared<'s> {
    segment: &'s Segment,
    lists: std::vec::Vec<Ref<'s, Sharers>>,
    held: std::vec::Vec<Arc<Leaf>>,
    weak: std::vec::Vec<Weak<Leaf>>,
}

fn name(index: u16) -> &'static str {
    ["made-sharers", "made-shelf", "a", "b"][usize::from(index) % 4]
}

fn leaf(number: u64, segment: &Segment) -> Result<Arc<Leaf>, AllocError> {
    let bytes = [0, 8, 40, 300][number as usize % 4];
    let text = String::try_from_in(&format!("{number:bytes$}"), segment)?;
    Arc::try_new_in(Leaf { number, text }, segment)
}

impl<'s> Shared<'s> {
    /// On this segment.
    pub fn new(segment: &'s Segment) -> Shared<'s> {
        let (lists, held, weak) = Default::default();
        Shared { segment, lists, held, weak }
    }

    /// Does what the record says. What an operation says is not looked at: it must only come back.
    pub fn act(&mut self, record: &Record) {
        let segment = self.segment;
        match record.what % 16 {
            0..3 => {
                let found = segment.find::<Sharers>(name(record.index)).ok().flatten();
                self.lists.truncate(MOST);
                self.lists.extend(found);
            }
            3 => {
                let empty = Vec::try_new_in(segment);
                let made =
                    empty.map(|handles| Sharing { handles, weak: Weak::new() }).map(Mutex::new);
                let made = made.ok().and_then(|it| segment.construct(name(record.index), it).ok());
                self.lists.truncate(MOST);
                self.lists.extend(made);
            }
            4 => drop(segment.destroy::<Sharers>(name(record.index))),
            5 => drop(self.lists.pop()),
            6 => self.hold(leaf(record.large, segment).ok()),
            7 => drop(self.held.pop()),
            8 => {
                let again = self.held.last().and_then(|it| TryClone::try_clone(it).ok());
                self.hold(again);
            }
            9 => {
                self.weak.truncate(MOST);
                self.weak.extend(self.held.last().map(Arc::downgrade));
            }
            10 => {
                let up = self.weak.get(usize::from(record.small) % MOST).map(Weak::try_upgrade);
                self.hold(up.and_then(|up| up.ok().flatten()));
            }
            11 => self.read(),
            _ => {
                let taken = self.change(record);
                self.hold(taken);
            }
        }
    }

    fn hold(&mut self, it: Option<Arc<Leaf>>) {
        self.held.extend(it);
        if self.held.len() > MOST {
            drop(self.held.remove(0));
        }
    }

    fn guard(&self) -> Option<MutexGuard<'_, Sharing>> {
        guard_of(self.lists.last()?)
    }

    /// Reads all that is led to.
    fn read(&self) {
        let of = |it: &Arc<Leaf>| {
            it.text.chars().fold(it.number, |sum, letter| sum ^ u64::from(letter))
                ^ Arc::strong_count(it) as u64
        };
        let mut sum = self.held.iter().map(of).fold(0, |a, b| a ^ b);
        if let Some(sharing) = self.guard() {
            sum ^= sharing.handles.iter().map(of).fold(0, |a, b| a ^ b);
            sum ^= sharing.weak.try_upgrade().ok().flatten().as_ref().map_or(0, of);
        }
        std::hint::black_box(sum);
    }

    /// A handle that came off the list, or from it.
    fn change(&self, record: &Record) -> Option<Arc<Leaf>> {
        let mut guard = self.guard()?;
        let mut sharing = guard.as_mut();
        let number = record.large % 16;
        let mut handles = sharing.part(|it| &it.handles);
        let place = number as usize;
        let taken = match record.small % 8 {
            0 | 1 => {
                let _ = handles.try_push(leaf(number, self.segment).ok()?);
                None
            }
            2 => {
                let again = TryClone::try_clone(self.held.last()?).ok()?;
                let _ = handles.try_push(again);
                None
            }
            3 => handles.get(place).and_then(|it| TryClone::try_clone(it).ok()),
            4 => handles.try_pop().ok().flatten(),
            5 if place < handles.len() => handles.try_remove(place).ok(),
            6 => {
                let _ = handles.try_truncate(place);
                None
            }
            7 => {
                let weak = self.held.last().map_or(Weak::new(), Arc::downgrade);
                let _ = sharing.part(|it| &it.weak).try_set(weak);
                None
            }
            _ => None,
        };
        if record.kind.is_multiple_of(4) {
            drop(guard);
            self.lists.last()?.clear_poison();
        }
        taken
    }
}

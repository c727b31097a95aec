//! Where an operation is tried: a segment of its own for each death, and a process that survives.

use crate::operations::Held;
use crate::process::{self, Page};
use anyhow::{Context, Result, ensure};
use sharena::{Offset, Options, Segment};
use std::cell::{OnceCell, RefCell};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

/// What the values of all objects are here.
pub type Value = [u64; 4];

/// Value `i` of the object `name`: no other object has it.
pub fn value(name: &str, i: usize) -> Value {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (seed ^ i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    [seed, i as u64, mixed, !mixed]
}

/// How the segments of a suite are created.
pub fn options() -> Options {
    Options::new().capacity(16 << 20)
}

/// One segment file in shared memory, removed when this is dropped, and its survivor: the harness.
pub struct Stage<'p> {
    path: PathBuf,
    survivor: Option<Segment>,
    notes: RefCell<Vec<u64>>,
    page: &'p Page,
}

/// Who creates the segment of a stage: who did not looks at objects that are found in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Creator {
    /// The harness.
    Survivor,
    /// A process that is gone before the harness opens it.
    Another,
    /// Nobody: there is none yet.
    Nobody,
}

impl<'p> Stage<'p> {
    /// In `directory`, which has nothing else in it.
    pub fn new(directory: &Path, creator: Creator, page: &'p Page) -> Result<Stage<'p>> {
        let path = directory.join("segment");
        let survivor = match creator {
            Creator::Survivor => Some(options().create_at(&path)?),
            Creator::Another => {
                process::run(page, || {
                    options().create_at(&path).expect("nothing else has the name");
                })?;
                Some(Segment::open_at(&path)?)
            }
            Creator::Nobody => None,
        };
        Ok(Stage { path, survivor, notes: RefCell::default(), page })
    }

    /// The segment's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many files are in its directory.
    pub fn files(&self) -> Result<usize> {
        let directory = self.path.parent().context("a file in a directory")?;
        Ok(std::fs::read_dir(directory)?.count())
    }

    /// Opens the segment anew; recovers nobody.
    pub fn open(&self) -> Segment {
        let options = Options::new().recover_at_open(false);
        options.open_at(&self.path).expect("what has a name opens")
    }

    /// The segment as the harness has it; `None`: it was not to be created.
    pub fn survivor(&self) -> Option<&Segment> {
        self.survivor.as_ref()
    }

    /// The same, where the operation needs a segment.
    pub fn segment(&self) -> &Segment {
        self.survivor().expect("created with the stage")
    }

    /// Leaves word for the victim where something stands.
    pub fn note<T: ?Sized>(&self, offset: Offset<T>) {
        self.notes.borrow_mut().push(offset.to_bits());
    }

    /// Note `i`.
    pub fn noted<T: ?Sized>(&self, i: usize) -> Offset<T> {
        Offset::from_bits(self.notes.borrow()[i]).expect("of something")
    }

    /// Another process attaches, does `work`, notes the offsets that it returns, and detaches.
    pub fn elsewhere(&self, work: impl FnOnce(&Segment) -> Vec<Offset<u8>>) -> Result<()> {
        let list = Page::new()?;
        process::run(self.page, || {
            let segment = self.open();
            let offsets = work(&segment);
            drop(segment);
            list.list(offsets.iter().map(|offset| offset.to_bits()));
        })?;
        self.notes.borrow_mut().extend(list.listed());
        Ok(())
    }

    /// Another process attaches, sets an operation up as the survivor would, and detaches.
    pub fn set_up_elsewhere(
        &self,
        set_up: for<'s> fn(&'s Stage<'_>) -> Result<Held<'s>>,
    ) -> Result<()> {
        process::run(self.page, || {
            // Not dropped: the file stays.
            let mut there = ManuallyDrop::new(Stage {
                path: self.path.clone(),
                survivor: Some(self.open()),
                notes: RefCell::default(),
                page: self.page,
            });
            let held = set_up(&there).expect("it is set up");
            assert!(held.is_empty(), "what is held ends with who holds it");
            drop(held);
            close(there.survivor.take().expect("just opened"));
        })
    }

    /// Another process attaches, does `work` and is killed.
    pub fn killed_elsewhere(&self, work: impl FnOnce(&Victim<'_>)) -> Result<()> {
        self.page.clear();
        let child = process::fork(self.page, || {
            let victim = ManuallyDrop::new(Victim::new(self));
            work(&victim);
            // SAFETY: `raise` has no memory-safety conditions.
            unsafe { libc::raise(libc::SIGKILL) };
        })?;
        let end = process::wait(child)?;
        let is_killed = end == process::End::Killed(libc::SIGKILL);
        ensure!(is_killed, "the first victim ended with {end:?}: {}", self.page.text());
        Ok(())
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // Not there: it was not created, or died before it had its name.
        let _ = std::fs::remove_file(&self.path);
        if let Some(survivor) = self.survivor.take() {
            close(survivor);
        }
    }
}

/// Drops a handle; the last one detaches, also if collections were used, as thousands of segments are
/// more than a process can stay attached to.
pub fn close(segment: Segment) {
    // SAFETY: the harness has one thread that uses collections, and no collection by now. Refused: there
    // is another handle, which is closed later.
    let _ = unsafe { segment.close() };
}

/// What the process that is to die has.
pub struct Victim<'a> {
    stage: &'a Stage<'a>,
    segment: OnceCell<Segment>,
}

impl<'a> Victim<'a> {
    /// Made in the victim itself, which never drops it.
    pub fn new(stage: &'a Stage<'a>) -> Victim<'a> {
        Victim { stage, segment: OnceCell::new() }
    }

    /// The segment, opened anew at first use.
    pub fn segment(&self) -> &Segment {
        self.segment.get_or_init(|| self.stage.open())
    }
}

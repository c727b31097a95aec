//! The mixed load of one thread.

use super::pattern::{self, Parcel, Sealed, value_of_slice, verify_raw, verify_slice};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sharena::{AllocError, Block, Handle, ObjectError, Offset, Owned, Ref, Segment};
use std::alloc::Layout;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many names all processes construct, find and destroy.
const NAMES: u64 = 600;
/// The owner of the unique instance; of those that have none.
const UNIQUE: u64 = NAMES;
const NOBODY: u64 = NAMES + 1;

/// Blocks that a thread keeps of each kind, and references, of which it can have 256.
const KEPT: usize = 256;
const KEPT_REFS: usize = 24;

macro_rules! counts {
    ($($field:ident: $text:literal),* $(,)?) => {
        /// What was done, how often.
        #[derive(Clone, Debug, Default, Serialize, Deserialize)]
        pub struct Counts {
            $(pub $field: u64,)*
        }

        impl Counts {
            /// Adds what another did.
            pub fn add(&mut self, other: &Counts) {
                $(self.$field += other.$field;)*
            }

            /// In words.
            pub fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![$(($text, self.$field),)*]
            }
        }
    };
}

counts! {
    threads: "threads that began and ended",
    allocated: "raw blocks allocated",
    freed: "raw blocks freed by who allocated them",
    zeroed: "zeroed blocks allocated",
    large: "runs of 64 KiB to 2 MiB allocated",
    resized: "blocks resized in place",
    private: "private blocks allocated",
    passed_on: "private blocks freed by another thread",
    published: "private blocks published",
    owned: "private values constructed",
    mailed: "blocks and objects put into mailboxes",
    foreign: "freed or destroyed by who found them there",
    found: "names found",
    missed: "names not found",
    constructed: "names constructed",
    existed: "constructions that found the name taken",
    destroyed: "names destroyed",
    refused: "allocations refused, the segment being full",
}

/// One thread at work.
pub struct Load<'p, 's> {
    segment: &'s Segment,
    boxes: Ref<'s, [AtomicU64]>,
    /// Some threads work without one.
    handle: Option<Handle<'s>>,
    /// Where threads of this process leave private blocks to each other.
    pool: &'p Mutex<Vec<Block<'s>>>,
    random: fastrand::Rng,
    counts: Counts,
    raw: Vec<Offset<u8>>,
    blocks: Vec<Block<'s>>,
    values: Vec<Owned<'s, Sealed>>,
    refs: Vec<(Ref<'s, Sealed>, u64)>,
}

impl<'p, 's> Load<'p, 's> {
    pub fn new(
        segment: &'s Segment,
        pool: &'p Mutex<Vec<Block<'s>>>,
        seed: u64,
    ) -> Result<Load<'p, 's>> {
        let mut random = fastrand::Rng::with_seed(seed);
        let boxes =
            segment.find_slice(super::MAILBOXES)?.context("the mailboxes are there to the end")?;
        let handle = random.bool().then(|| segment.handle()).transpose()?;
        let (raw, blocks, values, refs) = Default::default();
        Ok(Load {
            segment,
            boxes,
            handle,
            pool,
            random,
            counts: Counts::default(),
            raw,
            blocks,
            values,
            refs,
        })
    }

    /// One thing after the other, until `over` says so; what it did.
    pub fn run(mut self, over: impl Fn() -> bool) -> Result<Counts> {
        while !over() {
            for _ in 0..64 {
                self.step()?;
            }
        }
        self.end()
    }

    fn step(&mut self) -> Result<()> {
        match self.random.u8(..100) {
            0..24 => self.allocate(),
            24..42 => self.free(),
            42..50 => self.allocate_private(),
            50..58 => self.give_up_private(),
            58..68 => self.mail(),
            68..73 => self.own(),
            73..76 => self.drop_owned(),
            76..83 => self.find(),
            83..88 => self.construct(),
            88..91 => self.find_or_construct(),
            91..95 => self.destroy(),
            95 => self.allocate_large(),
            96..98 => self.resize(),
            98 => self.allocate_zeroed(),
            _ => self.unique(),
        }
    }

    /// `None`: the segment is full, which is no failure.
    fn unless_full<T, E: Into<ObjectError>>(&mut self, result: Result<T, E>) -> Result<Option<T>> {
        match result.map_err(Into::into) {
            Ok(value) => Ok(Some(value)),
            Err(ObjectError::Alloc(AllocError::OutOfCapacity { .. })) => {
                self.counts.refused += 1;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn layout(&mut self) -> Layout {
        let bytes = match self.random.u8(..100) {
            0..70 => self.random.usize(pattern::SMALLEST..=256),
            70..95 => self.random.usize(257..=4096),
            _ => self.random.usize(4097..65_536),
        };
        let align = match self.random.u8(..50) {
            0 => 1 << self.random.u8(5..=16),
            1..5 => 16,
            _ => 8,
        };
        Layout::from_size_align(bytes, align).expect("a power of two")
    }

    /// One of `of`, chosen at random and taken out.
    fn pick<T>(random: &mut fastrand::Rng, of: &mut Vec<T>) -> Option<T> {
        (!of.is_empty()).then(|| of.swap_remove(random.usize(..of.len())))
    }

    fn allocate(&mut self) -> Result<()> {
        let layout = self.layout();
        self.allocate_raw(layout)?;
        self.counts.allocated += 1;
        Ok(())
    }

    fn allocate_large(&mut self) -> Result<()> {
        let layout = Layout::from_size_align(self.random.usize(1 << 16..=2 << 20), 8)?;
        self.allocate_raw(layout)?;
        self.counts.large += 1;
        Ok(())
    }

    fn allocate_raw(&mut self, layout: Layout) -> Result<()> {
        let made = match &self.handle {
            Some(handle) => handle.allocate(layout),
            None => self.segment.allocate(layout),
        };
        let Some(offset) = self.unless_full(made)? else { return Ok(()) };
        ensure!(
            offset.to_bits().is_multiple_of(layout.align() as u64),
            "{offset:?} for {layout:?}"
        );
        self.fill(offset, layout.size())?;
        self.keep_raw(offset)
    }

    fn fill(&mut self, offset: Offset<u8>, bytes: usize) -> Result<()> {
        let at = self.segment.address(offset).context("an allocated block has an address")?;
        // SAFETY: the block is this thread's, and has that many bytes; all are aligned to 8.
        unsafe { pattern::fill(at.as_ptr(), bytes, self.random.u32(..)) };
        Ok(())
    }

    fn keep_raw(&mut self, offset: Offset<u8>) -> Result<()> {
        self.raw.push(offset);
        if self.raw.len() > KEPT { self.free() } else { Ok(()) }
    }

    fn free(&mut self) -> Result<()> {
        let Some(offset) = Self::pick(&mut self.random, &mut self.raw) else { return Ok(()) };
        verify_raw(self.segment, offset).with_context(|| format!("{offset:?}"))?;
        match &self.handle {
            Some(handle) => handle.deallocate(offset)?,
            None => self.segment.deallocate(offset)?,
        }
        self.counts.freed += 1;
        Ok(())
    }

    fn allocate_zeroed(&mut self) -> Result<()> {
        let layout = self.layout();
        let made = self.segment.allocate_zeroed(layout);
        let Some(offset) = self.unless_full(made)? else { return Ok(()) };
        let at = self.segment.address(offset).context("an allocated block has an address")?;
        // SAFETY: the block is this thread's, and was written when it was zeroed.
        let bytes = unsafe { std::slice::from_raw_parts(at.as_ptr(), layout.size()) };
        ensure!(bytes.iter().all(|byte| *byte == 0), "{offset:?} is not zeroed");
        self.fill(offset, layout.size())?;
        self.counts.zeroed += 1;
        self.keep_raw(offset)
    }

    fn resize(&mut self) -> Result<()> {
        let Some(offset) = Self::pick(&mut self.random, &mut self.raw) else { return Ok(()) };
        let old = verify_raw(self.segment, offset).with_context(|| format!("{offset:?}"))?;
        let bytes = self.random.usize(pattern::SMALLEST..=old * 2);
        if let Some(room) = self.segment.resize_in_place(offset, bytes)? {
            ensure!(room >= bytes, "{offset:?} was resized to {room} bytes, not {bytes}");
            self.fill(offset, bytes)?;
            self.counts.resized += 1;
        }
        self.raw.push(offset);
        Ok(())
    }

    fn allocate_private(&mut self) -> Result<()> {
        // Now and then of a size that no slab has.
        let large = self.random.u8(..200) == 0;
        let layout = if large {
            Layout::from_size_align(self.random.usize(1 << 16..1 << 19), 8)?
        } else {
            self.layout()
        };
        let made = match &self.handle {
            Some(handle) => handle.allocate_block(layout),
            None => self.segment.allocate_block(layout),
        };
        let Some(block) = self.unless_full(made)? else { return Ok(()) };
        // SAFETY: the block is this thread's, and has that many bytes; all are aligned to 8.
        unsafe { pattern::fill(block.as_ptr().as_ptr(), layout.size(), self.random.u32(..)) };
        self.counts.private += 1;
        self.blocks.push(block);
        if self.blocks.len() > KEPT { self.give_up_private() } else { Ok(()) }
    }

    /// Frees a private block, leaves it to another thread (and frees one of another), or publishes it.
    fn give_up_private(&mut self) -> Result<()> {
        let Some(block) = Self::pick(&mut self.random, &mut self.blocks) else { return Ok(()) };
        match self.random.u8(..3) {
            0 => self.free_private(block),
            1 => {
                let left = {
                    let mut pool = self.pool.lock().expect("no thread panics with it");
                    pool.push(block);
                    if pool.len() > KEPT { Self::pick(&mut self.random, &mut pool) } else { None }
                };
                let Some(left) = left else { return Ok(()) };
                self.counts.passed_on += 1;
                self.free_private(left)
            }
            _ => {
                // It stays filled; from here on it is a raw block.
                let offset = block.publish();
                self.counts.published += 1;
                self.keep_raw(offset)
            }
        }
    }

    fn free_private(&mut self, block: Block<'s>) -> Result<()> {
        // SAFETY: the block is this thread's, and was filled.
        unsafe { pattern::verify(block.as_ptr().as_ptr(), block.usable_size()) }
            .with_context(|| format!("{block:?}"))?;
        match &self.handle {
            Some(handle) if self.random.bool() => handle.free_block(block),
            _ => drop(block),
        }
        Ok(())
    }

    fn own(&mut self) -> Result<()> {
        let made = self.segment.own(Sealed::new(NOBODY, &mut self.random));
        let Some(value) = self.unless_full(made)? else { return Ok(()) };
        self.counts.owned += 1;
        self.values.push(value);
        if self.values.len() > KEPT { self.drop_owned() } else { Ok(()) }
    }

    fn drop_owned(&mut self) -> Result<()> {
        Self::pick(&mut self.random, &mut self.values)
            .map_or(Ok(()), |value| value.verify(Some(NOBODY)))
    }

    /// Puts something published into a mailbox, and destroys what another process had put there.
    fn mail(&mut self) -> Result<()> {
        let parcel = match self.random.u8(..8) {
            0..5 => Self::pick(&mut self.random, &mut self.raw).map(Parcel::Raw),
            5..7 => Self::pick(&mut self.random, &mut self.values)
                .map(|value| Parcel::One(value.publish())),
            _ => {
                let (first, count) = (self.random.u64(..), self.random.usize(..200));
                let made = self.segment.own_slice(count, |i| value_of_slice(first, i));
                self.unless_full(made)?.map(|slice| Parcel::Slice(slice.publish()))
            }
        };
        let bits = parcel.map_or(0, Parcel::bits);
        self.counts.mailed += u64::from(bits != 0);
        // Release: what is in the parcel is written; Acquire: the same of what comes out.
        let found = self.boxes[self.random.usize(..self.boxes.len())].swap(bits, Ordering::AcqRel);
        if let Some(found) = Parcel::from_bits(found) {
            found.open(self.segment, &mut self.random)?;
            self.counts.foreign += 1;
        }
        Ok(())
    }

    /// A name of the pool; some of them are long, some are those of slices.
    fn name(&mut self) -> (u64, String) {
        let number = self.random.u64(..NAMES);
        let padding = if number.is_multiple_of(16) { 300 } else { 0 };
        (number, format!("object {number:padding$}"))
    }

    fn is_slice(number: u64) -> bool {
        number % 4 == 3
    }

    fn find(&mut self) -> Result<()> {
        let (number, name) = self.name();
        let found = if Self::is_slice(number) {
            let slice = self.segment.find_slice::<u64>(&name)?;
            slice.as_deref().map_or(Ok(()), verify_slice).with_context(|| name.clone())?;
            slice.is_some()
        } else if let Some(object) = self.segment.find::<Sealed>(&name)? {
            self.keep_ref(object, number)?;
            true
        } else {
            false
        };
        *(if found { &mut self.counts.found } else { &mut self.counts.missed }) += 1;
        Ok(())
    }

    /// Looks at an object, now and again when it may have been destroyed for long.
    fn keep_ref(&mut self, object: Ref<'s, Sealed>, owner: u64) -> Result<()> {
        object.verify(Some(owner))?;
        self.refs.push((object, owner));
        if self.refs.len() > KEPT_REFS { self.drop_ref() } else { Ok(()) }
    }

    fn drop_ref(&mut self) -> Result<()> {
        let Some((object, owner)) = Self::pick(&mut self.random, &mut self.refs) else {
            return Ok(());
        };
        object.verify(Some(owner)).context("while a reference kept it")
    }

    fn construct(&mut self) -> Result<()> {
        let (number, name) = self.name();
        let made = if Self::is_slice(number) {
            let (first, count) = (self.random.u64(..), self.random.usize(..300));
            self.segment.construct_slice(&name, count, |i| value_of_slice(first, i)).map(|_| None)
        } else {
            self.segment.construct(&name, Sealed::new(number, &mut self.random)).map(Some)
        };
        if let Err(ObjectError::AlreadyExists { .. }) = made {
            self.counts.existed += 1;
            return Ok(());
        }
        let Some(made) = self.unless_full(made)? else { return Ok(()) };
        self.counts.constructed += 1;
        made.map_or(Ok(()), |object| self.keep_ref(object, number))
    }

    fn find_or_construct(&mut self) -> Result<()> {
        let (number, name) = self.name();
        if Self::is_slice(number) {
            return Ok(());
        }
        let random = &mut self.random;
        let made = self.segment.find_or_construct(&name, || Sealed::new(number, random));
        let Some((object, constructed)) = self.unless_full(made)? else { return Ok(()) };
        *(if constructed { &mut self.counts.constructed } else { &mut self.counts.found }) += 1;
        self.keep_ref(object, number)
    }

    fn destroy(&mut self) -> Result<()> {
        let (number, name) = self.name();
        let was_there = if Self::is_slice(number) {
            self.segment.destroy::<u64>(&name)?
        } else {
            self.segment.destroy::<Sealed>(&name)?
        };
        self.counts.destroyed += u64::from(was_there);
        Ok(())
    }

    fn unique(&mut self) -> Result<()> {
        if self.random.u8(..4) == 0 {
            self.counts.destroyed += u64::from(self.segment.destroy_unique::<Sealed>()?);
            return Ok(());
        }
        let random = &mut self.random;
        let made = self.segment.find_or_construct_unique(|| Sealed::new(UNIQUE, random));
        let Some((object, constructed)) = self.unless_full(made)? else { return Ok(()) };
        *(if constructed { &mut self.counts.constructed } else { &mut self.counts.found }) += 1;
        self.keep_ref(object, UNIQUE)
    }

    /// Frees all, but for private blocks that are left to other threads.
    fn end(mut self) -> Result<Counts> {
        while !self.raw.is_empty() {
            self.free()?;
        }
        while !self.values.is_empty() {
            self.drop_owned()?;
        }
        while !self.refs.is_empty() {
            self.drop_ref()?;
        }
        self.pool.lock().expect("no thread panics with it").append(&mut self.blocks);
        self.counts.threads += 1;
        Ok(self.counts)
    }
}

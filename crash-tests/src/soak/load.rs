//! The mixed load of one thread of a worker.
//!
//! What it publishes is noted before and after, so that whoever comes after a kill knows what there
//! may be. What is private is noted nowhere: a death gives it back.

use super::board::{Board, DIE, Item, Kind, Place, RECOVER, Step, THREADS, VERIFY};
use super::goods::{Good, POOL, UNIQUE, is_slice, pool_name, verify_pool};
use super::operation::Operation;
use super::pattern::{self, NOBODY, SMALLEST, Sealed, word};
use super::plant::Planted;
use crate::args::Plant;
use anyhow::{Context, Result, ensure};
use sharena::{Block, Handle, ObjectError, Offset, Owned, Ref, Segment};
use std::alloc::Layout;
use std::mem;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Private things of each kind, and references, that a thread keeps.
const KEPT: usize = 24;

/// Who is told to die does so within this time.
const LAST_NANOS: u64 = 120_000;

/// How often what is done, of [`ALL_WEIGHTS`].
const WEIGHTS: [(Operation, u32); 23] = {
    use Operation::*;
    [
        (Take, 160),
        (TakeRun, 8),
        (Allocate, 60),
        (Zeroed, 15),
        (Free, 150),
        (Mail, 90),
        (Collect, 120),
        (Resize, 25),
        (Hold, 110),
        (Release, 70),
        (PassOn, 40),
        (Own, 50),
        (Disown, 20),
        (PublishOne, 35),
        (PublishSlice, 25),
        (Find, 80),
        (Construct, 60),
        (FindOrConstruct, 30),
        (DestroyName, 50),
        (Keep, 30),
        (Unique, 15),
        (Trim, 1),
        (Recover, 3),
    ]
};
const ALL_WEIGHTS: u32 = {
    let (mut sum, mut i) = (0, 0);
    while i < WEIGHTS.len() {
        sum += WEIGHTS[i].1;
        i += 1;
    }
    sum
};

/// A private block and what was written into it.
pub struct Private<'s> {
    block: Block<'s>,
    bytes: usize,
    generation: u64,
}

impl Private<'_> {
    fn verify(&self) -> Result<()> {
        // SAFETY: the block is this process', and was made for so many bytes.
        unsafe { pattern::verify(self.block.as_ptr().as_ptr(), self.bytes, self.generation) }
            .with_context(|| format!("private {:?}", self.block))
    }
}

/// Where the threads of a worker leave private blocks to each other.
pub type Pool<'s> = Mutex<Vec<Private<'s>>>;

/// Which worker it is, and where it writes.
#[derive(Clone, Copy)]
pub struct Post {
    pub board: &'static Board,
    /// The number of its place.
    pub number: usize,
    /// All places in use.
    pub places: usize,
}

impl Post {
    pub fn place(&self) -> &'static Place {
        self.board.place(self.number)
    }

    pub fn generation(&self) -> u64 {
        self.place().next_generation(self.number)
    }
}

/// One thread at work.
pub struct Load<'p, 's> {
    post: Post,
    place: &'static Place,
    segment: &'s Segment,
    /// Some threads work without one.
    handle: Option<Handle<'s>>,
    pool: &'p Pool<'s>,
    random: fastrand::Rng,
    /// The sizes that it takes blocks of: a thread has a slab for each size class that it uses.
    sizes: [usize; 6],
    blocks: Vec<Private<'s>>,
    values: Vec<Owned<'s, Sealed>>,
    refs: Vec<(Ref<'s, Sealed>, u64)>,
    planted: Planted,
}

impl<'p, 's> Load<'p, 's> {
    pub fn new(
        post: Post,
        segment: &'s Segment,
        pool: &'p Pool<'s>,
        mut random: fastrand::Rng,
        plant: Option<Plant>,
    ) -> Result<Load<'p, 's>> {
        let handle = random.bool().then(|| segment.handle()).transpose()?;
        let sizes = std::array::from_fn(|_| match random.u8(..100) {
            0..70 => random.usize(SMALLEST..=256),
            70..95 => random.usize(257..=4096),
            _ => random.usize(4097..150_000),
        });
        let (blocks, values, refs) = Default::default();
        let planted = Planted::new(plant);
        let place = post.place();
        Ok(Load {
            post,
            place,
            segment,
            handle,
            pool,
            random,
            sizes,
            blocks,
            values,
            refs,
            planted,
        })
    }

    /// One thing after the other, until `over` says so; then what is private is given back.
    pub fn run(mut self, over: impl Fn() -> bool) -> Result<()> {
        while !over() {
            self.step()?;
        }
        self.verify_private()?;
        self.place.end(Operation::Release);
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        self.place.park_if_asked(self.post.board);
        let asked = self.place.asked.swap(0, Ordering::AcqRel);
        if asked & VERIFY != 0 {
            self.verify_private()?;
        }
        if asked & DIE != 0 {
            die_after(Duration::from_nanos(self.random.u64(1..LAST_NANOS)))?;
        }
        let operation = if asked & RECOVER != 0 { Operation::Recover } else { self.choose() };
        self.place.begin(operation);
        let done = self.run_one(operation).with_context(|| operation.text());
        self.planted.act(self.segment, &mut self.random)?;
        self.place.end(done?);
        Ok(())
    }

    fn choose(&mut self) -> Operation {
        let mut at = self.random.u32(..ALL_WEIGHTS);
        for (operation, weight) in WEIGHTS {
            if at < weight {
                return operation;
            }
            at -= weight;
        }
        Operation::Between
    }

    /// Does it, or what it has to do instead; what it did.
    fn run_one(&mut self, operation: Operation) -> Result<Operation> {
        use Operation::*;
        let done = match operation {
            Take | TakeRun => self.take(operation)?,
            Allocate | Zeroed => self.allocate(operation)?,
            Free => self.free()?,
            Mail => self.mail(),
            Collect => self.collect()?,
            Resize => self.resize()?,
            Hold => self.hold()?,
            Release => self.release()?,
            PassOn => self.pass_on()?,
            Own => self.own()?,
            Disown => self.disown()?,
            PublishOne => self.publish_one()?,
            PublishSlice => self.publish_slice()?,
            Find => self.find()?,
            Construct => self.construct()?,
            FindOrConstruct => self.find_or_construct()?,
            DestroyName => self.destroy_name()?,
            Keep => self.keep()?,
            Unique => self.unique()?,
            Trim => self.segment.trim().map(|_| true)?,
            Recover => {
                self.place.note_recovered(&self.segment.recover()?);
                true
            }
            Between | Attach | Detach | EndThread | Destroy | Forget => false,
        };
        // Where it did something else instead, it said so.
        Ok(if done { self.place.doing() } else { Between })
    }

    fn verify_private(&self) -> Result<()> {
        self.blocks.iter().try_for_each(Private::verify)?;
        self.values.iter().try_for_each(|value| value.verify(NOBODY)).context("a private value")?;
        self.refs
            .iter()
            .try_for_each(|(value, owner)| value.verify(*owner))
            .context("while a reference kept it")
    }

    /// An entry that says nothing, from a random one on.
    fn free_entry(&mut self) -> Option<usize> {
        self.entry_that(|item| item.step == Step::Empty)
    }

    fn entry_that(&mut self, is: impl Fn(Item) -> bool) -> Option<usize> {
        let ledger = &self.place.ledger;
        let first = self.random.usize(..ledger.len());
        (first..first + ledger.len())
            .map(|entry| entry % ledger.len())
            .find(|entry| is(ledger[*entry].item()))
    }

    /// Something that it holds.
    fn held(&mut self, is: impl Fn(Kind) -> bool) -> Option<Good> {
        let entry = self.entry_that(|item| item.step == Step::Held && is(item.kind))?;
        let item = self.place.ledger[entry].item();
        Some(Good { place: self.post.number, entry, item })
    }

    fn layout(&mut self, is_run: bool) -> Result<Layout> {
        if is_run {
            return Ok(Layout::from_size_align(self.random.usize(300_000..1_200_000), 8)?);
        }
        let bytes = self.sizes[self.random.usize(..self.sizes.len())];
        let align = match self.random.u8(..100) {
            0 => 1 << self.random.u8(5..=12),
            1..8 => 16,
            _ => 8,
        };
        Ok(Layout::from_size_align(bytes, align)?)
    }

    /// A private block with its pattern.
    fn private(&mut self, layout: Layout) -> Result<Private<'s>> {
        let block = match &self.handle {
            Some(handle) => handle.allocate_block(layout),
            None => self.segment.allocate_block(layout),
        }?;
        let (bytes, generation) = (layout.size(), self.post.generation());
        let at = block.as_ptr();
        ensure!(at.addr().get().is_multiple_of(layout.align()), "{block:?} for {layout:?}");
        // SAFETY: the block is this process', has that many bytes, and all are aligned to 8.
        unsafe { pattern::fill(at.as_ptr(), bytes, generation) };
        Ok(Private { block, bytes, generation })
    }

    fn take(&mut self, operation: Operation) -> Result<bool> {
        let Some(entry) = self.free_entry() else { return self.free() };
        let layout = self.layout(operation == Operation::TakeRun)?;
        let private = self.private(layout)?;
        self.publish(entry, private)
    }

    fn publish(&mut self, entry: usize, private: Private<'s>) -> Result<bool> {
        let Private { block, bytes, generation } = private;
        let offset = self.segment.offset_of(block.as_ptr().as_ptr()).context("no offset")?;
        self.note(entry, Kind::Raw, offset.to_bits(), bytes, generation);
        ensure!(block.publish() == offset, "a block is published elsewhere");
        self.place.ledger[entry].turn(Kind::Raw, Step::Held);
        Ok(true)
    }

    /// Writes what is about to be published.
    fn note(&self, entry: usize, kind: Kind, offset: u64, bytes: usize, generation: u64) {
        let item = Item { step: Step::Publishing, kind, offset, bytes: bytes as u64, generation };
        self.place.ledger[entry].set(item);
    }

    /// A block that is everybody's at once, so its offset can be noted only afterwards.
    fn allocate(&mut self, operation: Operation) -> Result<bool> {
        let Some(entry) = self.free_entry() else { return self.free() };
        let layout = self.layout(false)?;
        let (bytes, generation) = (layout.size(), self.post.generation());
        let item = Item {
            step: Step::Allocating,
            kind: Kind::Raw,
            offset: 0,
            bytes: bytes as u64,
            generation,
        };
        self.place.ledger[entry].set(item);
        let offset = match &self.handle {
            _ if operation == Operation::Zeroed => self.segment.allocate_zeroed(layout),
            Some(handle) => handle.allocate(layout),
            None => self.segment.allocate(layout),
        }?;
        let at = self.segment.address(offset).context("a block without an address")?.as_ptr();
        if operation == Operation::Zeroed {
            // SAFETY: the block is this thread's, and was written when it was zeroed.
            let written = unsafe { std::slice::from_raw_parts(at, bytes) };
            ensure!(written.iter().all(|byte| *byte == 0), "{offset:?} is not zeroed");
        }
        // SAFETY: the block is this thread's, has that many bytes, and all are aligned to 8.
        unsafe { pattern::fill(at, bytes, generation) };
        self.place.ledger[entry].set(Item { step: Step::Held, offset: offset.to_bits(), ..item });
        Ok(true)
    }

    fn free(&mut self) -> Result<bool> {
        let Some(good) = self.held(|_| true) else { return Ok(false) };
        self.place.begin(match good.item.kind {
            Kind::Raw => Operation::Free,
            Kind::One | Kind::Slice => Operation::Destroy,
            Kind::Name => Operation::Forget,
        });
        good.verify(self.segment)?;
        let entry = &self.place.ledger[good.entry];
        entry.turn(good.item.kind, Step::Freeing);
        match (&self.handle, good.item.kind, Offset::from_bits(good.item.offset)) {
            (Some(handle), Kind::Raw, Some(offset)) => handle.deallocate(offset)?,
            _ => good.free(self.segment)?,
        }
        entry.turn(good.item.kind, Step::Empty);
        self.planted.note_freed(good.item);
        Ok(true)
    }

    fn mail(&mut self) -> bool {
        let Some(good) = self.held(|_| true) else { return false };
        self.place.ledger[good.entry].turn(good.item.kind, Step::Mailed);
        true
    }

    /// Looks into others' ledgers for something left for anybody.
    fn collect(&mut self) -> Result<bool> {
        for _ in 0..16 {
            let place = self.random.usize(..self.post.places);
            let ledger = &self.post.board.place(place).ledger;
            let entry = self.random.usize(..ledger.len());
            if let Some(item) = ledger[entry].claim() {
                let good = Good { place, entry, item };
                good.verify(self.segment)?;
                good.free(self.segment)?;
                ledger[entry].turn(item.kind, Step::Empty);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn resize(&mut self) -> Result<bool> {
        let Some(good) = self.held(|kind| kind == Kind::Raw) else { return Ok(false) };
        good.verify(self.segment)?;
        let (entry, old) = (&self.place.ledger[good.entry], good.item.bytes as usize);
        let offset = Offset::from_bits(good.item.offset).context("no offset")?;
        let bytes = self.random.usize(SMALLEST..=old * 2);
        // While it is resized the entry says how many bytes there are in any case.
        entry.set_bytes(bytes.min(old) as u64);
        let Some(room) = self.segment.resize_in_place(offset, bytes)? else {
            entry.set_bytes(old as u64);
            return Ok(false);
        };
        ensure!(room >= bytes, "{offset:?} was resized to {room} bytes, not {bytes}");
        good.verify_kept(self.segment, bytes.min(old))?;
        let at = self.segment.address(offset).context("a block without an address")?;
        // SAFETY: the block is this thread's, and has that many bytes now.
        unsafe { pattern::fill(at.as_ptr(), bytes, good.item.generation) };
        entry.set_bytes(bytes as u64);
        Ok(true)
    }

    fn hold(&mut self) -> Result<bool> {
        if self.blocks.len() >= KEPT {
            return self.release();
        }
        let is_run = self.random.u8(..60) == 0;
        let layout = self.layout(is_run)?;
        let private = self.private(layout)?;
        self.blocks.push(private);
        Ok(true)
    }

    fn release(&mut self) -> Result<bool> {
        let Some(private) = pick(&mut self.random, &mut self.blocks) else { return Ok(false) };
        self.give_back(private)
    }

    fn give_back(&mut self, private: Private<'s>) -> Result<bool> {
        private.verify()?;
        // A block from another thread may be of the other attachment of this process.
        let is_here = self.segment.offset_of(private.block.as_ptr().as_ptr()).is_some();
        match self.random.u8(..4) {
            0 if is_here => match self.free_entry() {
                Some(entry) => return self.publish(entry, private),
                None => drop(private.block),
            },
            1 => drop(private.block),
            _ => match &self.handle {
                Some(handle) => handle.free_block(private.block),
                None => drop(private.block),
            },
        }
        Ok(true)
    }

    /// Leaves a private block to another thread of the worker, and frees one that another left.
    fn pass_on(&mut self) -> Result<bool> {
        let Some(private) = pick(&mut self.random, &mut self.blocks) else { return Ok(false) };
        let left = {
            let mut pool = self.pool.lock().expect("no thread panics with it");
            pool.push(private);
            if pool.len() > KEPT { pick(&mut self.random, &mut pool) } else { None }
        };
        left.map_or(Ok(false), |left| self.give_back(left))
    }

    fn own(&mut self) -> Result<bool> {
        if self.values.len() >= KEPT {
            return self.disown();
        }
        self.values.push(self.segment.own(Sealed::new(NOBODY, self.post.generation()))?);
        Ok(true)
    }

    fn disown(&mut self) -> Result<bool> {
        let Some(value) = pick(&mut self.random, &mut self.values) else { return Ok(false) };
        value.verify(NOBODY).context("a private value")?;
        Ok(true)
    }

    fn publish_one(&mut self) -> Result<bool> {
        let Some(entry) = self.free_entry() else { return self.free() };
        let Some(value) = pick(&mut self.random, &mut self.values) else { return Ok(false) };
        value.verify(NOBODY).context("a private value")?;
        let at: *const Sealed = &*value;
        let offset = self.segment.offset_of(at.cast()).context("no offset")?.to_bits();
        self.note(entry, Kind::One, offset, size_of::<Sealed>(), value.generation);
        ensure!(value.publish().to_bits() == offset, "a value is published elsewhere");
        self.place.ledger[entry].turn(Kind::One, Step::Held);
        Ok(true)
    }

    fn publish_slice(&mut self) -> Result<bool> {
        let Some(entry) = self.free_entry() else { return self.free() };
        let (count, generation) = (self.random.usize(1..200), self.post.generation());
        let values = self.segment.own_slice(count, |i| word(generation, i))?;
        let offset = self.segment.offset_of(values.as_ptr().cast()).context("no offset")?.to_bits();
        self.note(entry, Kind::Slice, offset, count, generation);
        ensure!(values.publish().to_bits() == offset, "a slice is published elsewhere");
        self.place.ledger[entry].turn(Kind::Slice, Step::Held);
        Ok(true)
    }

    fn find(&mut self) -> Result<bool> {
        let number = self.random.u64(..POOL);
        if is_slice(number) {
            return verify_pool(self.segment, number);
        }
        let Some(value) = self.segment.find::<Sealed>(&pool_name(number))? else {
            return Ok(false);
        };
        self.keep_ref(value, number)?;
        Ok(true)
    }

    /// Looks at an object, and again when it may have been destroyed for long.
    fn keep_ref(&mut self, value: Ref<'s, Sealed>, owner: u64) -> Result<()> {
        value.verify(owner)?;
        self.refs.push((value, owner));
        if self.refs.len() > KEPT
            && let Some((value, owner)) = pick(&mut self.random, &mut self.refs)
        {
            value.verify(owner).context("while a reference kept it")?;
        }
        Ok(())
    }

    fn construct(&mut self) -> Result<bool> {
        let (number, generation) = (self.random.u64(..POOL), self.post.generation());
        let name = pool_name(number);
        if is_slice(number) {
            let count = self.random.usize(..200);
            return unless_taken(
                self.segment.construct_slice(&name, count, |i| word(generation, i)).map(drop),
            );
        }
        match self.segment.construct(&name, Sealed::new(number, generation)) {
            Ok(value) => self.keep_ref(value, number).map(|()| true),
            Err(error) => unless_taken(Err(error)),
        }
    }

    fn find_or_construct(&mut self) -> Result<bool> {
        // One that is no slice.
        let number = self.random.u64(..POOL) & !3;
        let (name, post) = (pool_name(number), self.post);
        let make = || Sealed::new(number, post.generation());
        let (value, _) = self.segment.find_or_construct(&name, make)?;
        self.keep_ref(value, number)?;
        Ok(true)
    }

    fn destroy_name(&mut self) -> Result<bool> {
        let number = self.random.u64(..POOL);
        let name = pool_name(number);
        Ok(if is_slice(number) {
            self.segment.destroy::<u64>(&name)?
        } else {
            self.segment.destroy::<Sealed>(&name)?
        })
    }

    /// A name that nobody else constructs or destroys: it must be there while the ledger says so.
    fn keep(&mut self) -> Result<bool> {
        let Some(entry) = self.free_entry() else { return self.free() };
        let (place, generation) = (self.post.number, self.post.generation());
        self.note(entry, Kind::Name, 0, 0, generation);
        let value = Sealed::new(Good::owner(place, entry), generation);
        drop(self.segment.construct(&Good::name(place, entry), value)?);
        self.place.ledger[entry].turn(Kind::Name, Step::Held);
        Ok(true)
    }

    fn unique(&mut self) -> Result<bool> {
        if self.random.u8(..3) == 0 {
            return Ok(self.segment.destroy_unique::<Sealed>()?);
        }
        let post = self.post;
        let make = || Sealed::new(UNIQUE, post.generation());
        let (value, _) = self.segment.find_or_construct_unique(make)?;
        self.keep_ref(value, UNIQUE)?;
        Ok(true)
    }
}

/// One of `of`, chosen at random and taken out.
fn pick<T>(random: &mut fastrand::Rng, of: &mut Vec<T>) -> Option<T> {
    (!of.is_empty()).then(|| of.swap_remove(random.usize(..of.len())))
}

/// Has the kernel kill this process in so much time: closer than another process could time it.
fn die_after(time: Duration) -> Result<()> {
    // SAFETY: all zero are values of both.
    let (mut event, mut when): (libc::sigevent, libc::itimerspec) = unsafe { mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = libc::SIGKILL;
    when.it_value.tv_nsec = i64::from(time.subsec_nanos());
    let mut timer = std::ptr::null_mut();
    // SAFETY: places for what is asked and told, which outlive the call.
    let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) };
    ensure!(made == 0, "make a timer: {}", std::io::Error::last_os_error());
    // SAFETY: the timer was just made.
    let set = unsafe { libc::timer_settime(timer, 0, &when, std::ptr::null_mut()) };
    ensure!(set == 0, "set a timer: {}", std::io::Error::last_os_error());
    Ok(())
}

/// False: the name was taken.
fn unless_taken(made: Result<(), ObjectError>) -> Result<bool> {
    match made {
        Ok(()) => Ok(true),
        Err(ObjectError::AlreadyExists { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What a worker's threads left to each other is given back by detaching, or by dropping it.
pub fn end_pool(pool: Pool<'_>, forget: bool) -> Result<()> {
    let left = pool.into_inner().expect("no thread panics with it");
    left.iter().try_for_each(Private::verify)?;
    if forget {
        mem::forget(left);
    }
    Ok(())
}

/// Of all places in use, how many there are.
pub fn places_of(processes: u32) -> usize {
    processes as usize * THREADS
}

//! Who does what the script says: threads of a process, each doing one thing at a time as it is told.
//! Whatever a block holds is verified by whoever is about to give it up.

use super::script::{How, UNIQUE, name_of};
use crate::common::pattern;
use crate::linear::{Answer, Call};
use crate::named::{self, Held, Private};
use serde::{Deserialize, Serialize};
use sharena::{AllocError, Block, FreeError, ObjectError, Offset, Segment};
use std::alloc::Layout;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, mpsc};

/// To a process.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// To a thread. It sees to it that its process is killed so many ns after it has begun.
    Do(usize, Order, Option<u32>),
    End {
        forgets: bool,
    },
}

/// To a thread. Things are named by where they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Order {
    /// `count` of them; block `i` is filled by `seed + i`.
    Allocate {
        bytes: usize,
        align: usize,
        count: usize,
        how: How,
        seed: u64,
    },
    Free {
        blocks: Vec<Filled>,
        by_handle: bool,
    },
    Publish {
        block: Filled,
    },
    Resize {
        block: Filled,
        bytes: usize,
    },
    /// It must be refused.
    Deallocate {
        at: u64,
    },
    Own {
        value: u64,
    },
    DropOwned {
        at: u64,
        value: u64,
    },
    PublishOwned {
        at: u64,
        value: u64,
    },
    Resolve {
        at: u64,
        value: u64,
        hold: Option<u64>,
    },
    DestroyAt {
        at: u64,
        value: u64,
    },
    /// Each must be refused: by another type, by its place if it has a name, as a raw block.
    Mistake {
        at: u64,
        value: u64,
        is_named: bool,
    },
    Names {
        calls: Vec<NameCall>,
    },
    /// A reference that it holds.
    LetGo {
        reference: u64,
        value: u64,
    },
    Objects,
    Clear,
    Trim,
    Recover,
    Check,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct NameCall {
    pub name: usize,
    pub call: Call,
    /// What to call the reference that comes of it, which is kept.
    pub hold: Option<u64>,
}

/// A block as it was left. Without a seed nobody knows what is in it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Filled {
    pub start: u64,
    pub bytes: usize,
    pub seed: Option<u64>,
    pub is_private: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Told {
    /// Start and usable bytes of each; `None`: the capacity is in use.
    Blocks(Vec<Option<(u64, usize)>>),
    Done,
    /// Its usable bytes, and whether that is enough.
    Resized(usize, bool),
    Refused(Refusal),
    /// Where it stands; `None`: the capacity is in use.
    Owned(Option<u64>),
    /// The answer, and where the object stands if it came with one; `None`: the capacity is in use.
    Names(Vec<Option<(Answer, u64)>>),
    /// Names and counts of values, sorted; unique ones without a name.
    Objects(Vec<(Option<String>, u64)>),
    Cleared(usize),
    Recovered {
        processes: u64,
        pending: u64,
    },
    /// Nothing is damaged; what is left behind, if anything.
    Checked(Option<String>),
    Failed(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    Misaligned { start: u64 },
    IsPrivate,
    Other,
}

/// What a process has that all its threads can reach.
struct House<'s> {
    segment: &'s Segment,
    private: Mutex<HashMap<u64, Own<'s>>>,
}

enum Own<'s> {
    Block(Block<'s>),
    Object(Private<'s>),
}

struct Actor<'h, 's> {
    house: &'h House<'s>,
    held: HashMap<u64, Held<'s>>,
}

/// Does what it is told, by so many threads, until it is to end.
pub fn host(
    segment: Segment,
    threads: usize,
    messages: impl Iterator<Item = Message>,
    tell: impl Fn(usize, Told) + Sync,
) {
    let house = House { segment: &segment, private: Mutex::default() };
    let mut forgets = false;
    std::thread::scope(|scope| {
        let (house, tell) = (&house, &tell);
        let hire = |thread: usize| {
            let (orders, todo) = mpsc::channel::<(Order, Option<u32>)>();
            let work = move || {
                let mut actor = Actor { house, held: HashMap::new() };
                for (order, kill) in todo {
                    if let Some(after) = kill {
                        die_in(after);
                    }
                    let told = catch_unwind(AssertUnwindSafe(|| actor.perform(order)));
                    tell(thread, told.unwrap_or_else(|panic| Told::Failed(text_of(&*panic))));
                }
            };
            (orders, scope.spawn(work))
        };
        let threads: Vec<_> = (0..threads).map(hire).collect();
        for message in messages {
            match message {
                Message::Do(thread, order, kill) => {
                    threads[thread].0.send((order, kill)).expect("it works")
                }
                Message::End { forgets: so } => {
                    forgets = so;
                    break;
                }
            }
        }
        // Joined one by one: a scope waits for their closures only, not until they have given back
        // what they held of the segment.
        for (orders, thread) in threads {
            drop(orders);
            thread.join().unwrap();
        }
    });
    if forgets {
        std::mem::forget(house.private);
    }
}

/// The kernel kills this process then.
fn die_in(nanoseconds: u32) {
    // SAFETY: plain structures, of which zeros are valid ones, and calls that read and write them.
    let told = unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        (event.sigev_notify, event.sigev_signo) = (libc::SIGEV_SIGNAL, libc::SIGKILL);
        let (mut timer, mut time) = (std::mem::zeroed(), std::mem::zeroed::<libc::itimerspec>());
        time.it_value.tv_nsec = nanoseconds.into();
        libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer)
            | libc::timer_settime(timer, 0, &time, std::ptr::null_mut())
    };
    assert_eq!(told, 0, "a timer: {}", std::io::Error::last_os_error());
}

/// What a panic said.
pub fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref().copied()).unwrap_or("a panic without words").to_owned()
}

/// The indices of a block's bytes that are looked at: all of a small one.
fn looked_at(bytes: usize) -> impl Iterator<Item = usize> {
    let step = if bytes <= 8192 { 1 } else { 509 };
    (0..bytes).step_by(step).chain(bytes.saturating_sub(64)..bytes)
}

pub fn fill(segment: &Segment, start: u64, bytes: usize, seed: u64) {
    let at = segment.address(offset(start)).expect("a block has memory").as_ptr();
    for i in looked_at(bytes) {
        // SAFETY: whoever fills a block holds it.
        unsafe { at.add(i).write(pattern(seed, i)) };
    }
}

/// The first `bytes` of a block are as they were left.
pub fn verify(segment: &Segment, block: &Filled, bytes: usize) {
    let Some(seed) = block.seed else { return };
    let at = segment.address(offset(block.start)).expect("a block has memory").as_ptr();
    for i in looked_at(block.bytes).filter(|i| *i < bytes) {
        // SAFETY: nobody writes to a block but by the script, one thing at a time.
        let found = unsafe { at.add(i).read() };
        assert_eq!(found, pattern(seed, i), "byte {i} of {block:x?} was overwritten");
    }
}

pub fn offset(bits: u64) -> Offset<u8> {
    Offset::from_bits(bits).expect("nothing stands at 0")
}

impl<'s> Actor<'_, 's> {
    fn segment(&self) -> &'s Segment {
        self.house.segment
    }

    fn take_own(&self, at: u64) -> Own<'s> {
        self.house.private.lock().unwrap().remove(&at).expect("the process has it")
    }

    fn take_object(&self, at: u64, value: u64) -> Private<'s> {
        let Own::Object(object) = self.take_own(at) else { panic!("a block at {at:#x}") };
        assert_eq!(object.value(), Some(value), "a private object was overwritten");
        object
    }

    fn perform(&mut self, order: Order) -> Told {
        let segment = self.segment();
        match order {
            Order::Allocate { bytes, align, count, how, seed } => {
                let layout = Layout::from_size_align(bytes, align).unwrap();
                let seeds = (0..count as u64).map(|i| seed + i);
                Told::Blocks(seeds.map(|seed| self.allocate(layout, how, seed)).collect())
            }
            Order::Free { blocks, by_handle } => {
                blocks.iter().for_each(|block| self.free(block, by_handle));
                Told::Done
            }
            Order::Publish { block } => {
                verify(segment, &block, block.bytes);
                let Own::Block(own) = self.take_own(block.start) else { panic!("an object") };
                assert_eq!(own.publish().to_bits(), block.start);
                Told::Done
            }
            Order::Resize { block, bytes } => {
                let at = offset(block.start);
                let resized = segment.resize_in_place(at, bytes).unwrap();
                let usable = segment.usable_size(at).unwrap();
                assert_eq!(usable, resized.unwrap_or(block.bytes));
                verify(segment, &block, usable);
                Told::Resized(usable, resized.is_some())
            }
            Order::Deallocate { at } => match segment.deallocate(offset(at)) {
                Ok(()) => panic!("{at:#x} was freed"),
                Err(FreeError::Misaligned { start, .. }) => {
                    Told::Refused(Refusal::Misaligned { start })
                }
                Err(FreeError::IsPrivate { .. }) => Told::Refused(Refusal::IsPrivate),
                Err(_) => Told::Refused(Refusal::Other),
            },
            Order::Own { value } => match Private::own(segment, value) {
                Ok(object) => {
                    let at = segment.offset_of(object.address()).unwrap().to_bits();
                    self.house.private.lock().unwrap().insert(at, Own::Object(object));
                    Told::Owned(Some(at))
                }
                Err(ObjectError::Alloc(AllocError::OutOfCapacity { .. })) => Told::Owned(None),
                Err(error) => panic!("own: {error}"),
            },
            Order::DropOwned { at, value } => {
                drop(self.take_object(at, value));
                Told::Done
            }
            Order::PublishOwned { at, value } => {
                assert_eq!(self.take_object(at, value).publish(), at);
                Told::Done
            }
            Order::Resolve { at, value, hold } => {
                let found = named::resolve(segment, at, crate::linear::kind_of(value)).unwrap();
                assert_eq!((found.value(), found.offset()), (Some(value), at));
                if let Some(reference) = hold {
                    self.held.insert(reference, found);
                }
                Told::Done
            }
            Order::DestroyAt { at, value } => {
                named::destroy_at(segment, at, crate::linear::kind_of(value)).unwrap();
                Told::Done
            }
            Order::Mistake { at, value, is_named } => {
                let kind = crate::linear::kind_of(value);
                for other in (0..named::KINDS).filter(|other| *other != kind) {
                    assert!(named::resolve(segment, at, other).is_err(), "of kind {other}");
                    assert!(named::destroy_at(segment, at, other).is_err(), "of kind {other}");
                }
                if is_named {
                    let refused = named::destroy_at(segment, at, kind);
                    assert!(matches!(refused, Err(ObjectError::HasName { .. })), "{refused:?}");
                }
                assert!(segment.deallocate(offset(at)).is_err(), "it is no raw block");
                Told::Done
            }
            Order::Names { calls } => {
                Told::Names(calls.iter().map(|call| self.call(call)).collect())
            }
            Order::LetGo { reference, value } => {
                let held = self.held.remove(&reference).expect("it holds it");
                assert_eq!(held.value(), Some(value), "an object changed under a reference");
                Told::Done
            }
            Order::Objects => {
                let listed = segment.objects().unwrap().into_iter();
                let mut listed: Vec<_> = listed
                    .map(|object| ((!object.unique).then_some(object.name), object.count))
                    .collect();
                listed.sort();
                Told::Objects(listed)
            }
            Order::Clear => Told::Cleared(segment.clear().unwrap()),
            Order::Trim => {
                segment.trim().unwrap();
                Told::Done
            }
            Order::Recover => {
                let recovered = segment.recover().unwrap();
                Told::Recovered { processes: recovered.processes, pending: recovered.pending }
            }
            Order::Check => {
                let report = segment.check().unwrap();
                assert_eq!(report.damages().count(), 0, "{report}");
                Told::Checked((!report.is_clean()).then(|| report.to_string()))
            }
        }
    }

    fn allocate(&self, layout: Layout, how: How, seed: u64) -> Option<(u64, usize)> {
        let segment = self.segment();
        let raw = |offset: Offset<u8>| (offset.to_bits(), segment.usable_size(offset).unwrap());
        let private = |block: Block<'s>| {
            let start = segment.offset_of(block.as_ptr().as_ptr()).unwrap().to_bits();
            let usable = block.usable_size();
            self.house.private.lock().unwrap().insert(start, Own::Block(block));
            (start, usable)
        };
        let made = match how {
            How::Raw => segment.allocate(layout).map(raw),
            How::RawByHandle => segment.handle().unwrap().allocate(layout).map(raw),
            How::Zeroed => segment.allocate_zeroed(layout).map(raw),
            How::Private => segment.allocate_block(layout).map(private),
            How::PrivateByHandle => segment.handle().unwrap().allocate_block(layout).map(private),
        };
        match made {
            Ok((start, usable)) => {
                let at = segment.address(offset(start)).expect("a block has memory").as_ptr();
                assert_eq!(at as usize % layout.align(), 0, "{at:?} for {layout:?}");
                assert!(usable >= layout.size(), "{usable} bytes for {layout:?}");
                if how == How::Zeroed {
                    // SAFETY: the block is new and ours.
                    let is_zero = |i| unsafe { at.add(i).read() } == 0;
                    assert!((0..layout.size()).all(is_zero), "zeroed bytes are not zero");
                }
                fill(segment, start, usable, seed);
                Some((start, usable))
            }
            Err(AllocError::OutOfCapacity { asked, .. }) => {
                assert_eq!(asked, layout.size());
                None
            }
            Err(error) => panic!("{layout:?}: {error}"),
        }
    }

    fn free(&self, block: &Filled, by_handle: bool) {
        let segment = self.segment();
        verify(segment, block, block.bytes);
        let own = block.is_private.then(|| match self.take_own(block.start) {
            Own::Block(own) => own,
            Own::Object(_) => panic!("an object at {block:x?}"),
        });
        match (own, by_handle) {
            (Some(own), true) => segment.handle().unwrap().free_block(own),
            (Some(own), false) => drop(own),
            (None, true) => segment.handle().unwrap().deallocate(offset(block.start)).unwrap(),
            (None, false) => segment.deallocate(offset(block.start)).unwrap(),
        }
    }

    fn call(&mut self, &NameCall { name, call, hold }: &NameCall) -> Option<(Answer, u64)> {
        let called = name_of(name);
        debug_assert_eq!(called.is_none(), UNIQUE.contains(&name));
        let (answer, held) = named::perform(self.segment(), called.as_deref(), call).unwrap()?;
        let at = held.as_ref().map_or(0, Held::offset);
        if let (Some(reference), Some(held)) = (hold, held) {
            self.held.insert(reference, held);
        }
        Some((answer, at))
    }
}

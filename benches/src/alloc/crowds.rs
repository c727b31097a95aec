//! Who takes part, and in what.

use super::subjects::{
    GLIBC, JEMALLOC, MIMALLOC, Noop, Pool, PoolMemory, Private, PrivateTls, Process, Published,
    PublishedTls, RPMALLOC, RtsAlloc, SNMALLOC, TALC,
};
use super::{What, works};
use crate::args::Kind;
use crate::measure::Scope;
use crate::results::Sample;
use anyhow::{Result, bail};
use sharena::Segment;
use std::alloc::GlobalAlloc;
use std::rc::Rc;

/// What a crowd works with.
pub trait Crowd {
    /// Whether it can do that.
    fn can(&self, what: &What) -> bool;

    /// Does it once, in memory that nobody has worked with.
    fn run(&self, what: &What) -> Result<Sample>;
}

/// A crowd as it is called.
pub type Named = (&'static str, Rc<dyn Crowd>);

/// Ours, peers that are wanted and there, and the harness. Peers that are not there are named.
pub fn all(scope: &mut Scope) -> Result<Vec<Named>> {
    let mut all: Vec<Named> = vec![
        ("private", Rc::new(InPrivate)),
        ("private-tls", Rc::new(InPrivateTls)),
        ("published", Rc::new(InPublished)),
        ("published-tls", Rc::new(InPublishedTls)),
        ("published-prepared", Rc::new(InPrepared)),
    ];
    for (name, make) in PEERS {
        if scope.has(name) {
            match make() {
                Ok(crowd) => all.push((name, crowd)),
                Err(error) => scope.lacks(name, format!("{error:#}")),
            }
        }
    }
    all.push(("noop", Rc::new(NoCrowd)));
    Ok(all)
}

/// How a peer is made, or why it is not there.
type Make = fn() -> Result<Rc<dyn Crowd>>;

const PEERS: [(&str, Make); 10] = [
    ("mimalloc", || Ok(Rc::new(MIMALLOC))),
    ("jemalloc", || Ok(Rc::new(JEMALLOC))),
    ("snmalloc", || Ok(Rc::new(SNMALLOC))),
    ("rpmalloc", || Ok(Rc::new(RPMALLOC))),
    ("glibc", || Ok(Rc::new(GLIBC))),
    ("talc", || Ok(Rc::new(Slow { crowd: TALC, alone: 1, together: 20 }))),
    ("rts-alloc", || Ok(Rc::new(InRtsAlloc))),
    ("iceoryx2", || Ok(Rc::new(Slow { crowd: InPools, alone: 1, together: 10 }))),
    ("boost", boost),
    ("cxlalloc", || bail!("crates.io has no crate of it, and cargo must build every peer")),
];

/// Bytes of each memory that is shared.
const MEMORY: usize = 1 << 30;

/// Members whose blocks fit in it, for who takes 256 B for a block of 64.
const MEMBERS: u32 = 32;

/// A crowd that does one of so many parts of a work, where all of it would take too long: those under a lock, and
/// those of one list.
struct Slow<C> {
    crowd: C,
    /// With one member.
    alone: u32,
    /// With more, who are in each other's way.
    together: u32,
}

impl<C: Crowd> Crowd for Slow<C> {
    fn can(&self, what: &What) -> bool {
        self.crowd.can(what)
    }

    fn run(&self, what: &What) -> Result<Sample> {
        let part = if what.members == 1 { self.alone } else { self.together };
        self.crowd.run(&What { parts: what.parts * part, ..*what })
    }
}

/// Ours.
fn segment() -> Result<Segment> {
    Ok(sharena::Options::new().capacity(MEMORY as u64).create_anonymous()?)
}

/// Blocks that their member alone can free.
struct InPrivate;

impl Crowd for InPrivate {
    fn can(&self, what: &What) -> bool {
        !what.hands_on()
    }

    fn run(&self, what: &What) -> Result<Sample> {
        let segment = segment()?;
        what.side_by_side(|| Private::new(&segment))
    }
}

/// The same by way of the thread-local look-up.
struct InPrivateTls;

impl Crowd for InPrivateTls {
    fn can(&self, what: &What) -> bool {
        !what.hands_on() && what.members == 1
    }

    fn run(&self, what: &What) -> Result<Sample> {
        let segment = segment()?;
        what.side_by_side(|| Ok(PrivateTls(&segment)))
    }
}

/// Blocks that anybody can free.
struct InPublished;

impl Crowd for InPublished {
    fn can(&self, _: &What) -> bool {
        true
    }

    fn run(&self, what: &What) -> Result<Sample> {
        let segment = segment()?;
        what.with_hand_on(|| Published::new(&segment))
    }
}

/// The same, of a segment that each member has prepared: to see what the first touch of memory and growth cost.
struct InPrepared;

/// More than any member has in use.
const PREPARED: u64 = 16 << 20;

impl Crowd for InPrepared {
    fn can(&self, what: &What) -> bool {
        what.is_timed_each()
    }

    fn run(&self, what: &What) -> Result<Sample> {
        let segment = segment()?;
        what.side_by_side(|| {
            segment.prepare(PREPARED)?;
            Published::new(&segment)
        })
    }
}

/// The same by way of the thread-local look-up.
struct InPublishedTls;

impl Crowd for InPublishedTls {
    fn can(&self, what: &What) -> bool {
        !what.hands_on() && what.members == 1
    }

    fn run(&self, what: &What) -> Result<Sample> {
        let segment = segment()?;
        what.side_by_side(|| Ok(PublishedTls(&segment)))
    }
}

impl<A: GlobalAlloc + Sync> Crowd for Process<A> {
    /// Processes have nothing of each other's to free.
    fn can(&self, what: &What) -> bool {
        !what.hands_on() || what.kind == Kind::Threads
    }

    fn run(&self, what: &What) -> Result<Sample> {
        what.with_hand_on(|| Ok(Process(self.0)))
    }
}

/// Blocks of rts-alloc's sizes.
struct InRtsAlloc;

impl Crowd for InRtsAlloc {
    fn can(&self, what: &What) -> bool {
        what.members <= MEMBERS && works::largest(what.work) <= rts_alloc::MAX_ALLOC_SIZE
    }

    fn run(&self, what: &What) -> Result<Sample> {
        let memory = RtsAlloc::memory(MEMORY, MEMBERS)?;
        what.with_hand_on(|| RtsAlloc::join(&memory))
    }
}

/// A pool of small buckets, or one whose buckets hold any block of works with several sizes.
struct InPools;

impl Crowd for InPools {
    fn can(&self, what: &What) -> bool {
        what.members <= MEMBERS && works::largest(what.work) <= works::LARGE
    }

    fn run(&self, what: &What) -> Result<Sample> {
        let is_small = works::largest(what.work) <= works::SMALL;
        let (bucket, each) = if is_small {
            (works::SMALL, works::MOST_BLOCKS)
        } else {
            (works::LARGE, works::MOST_LARGE_BLOCKS)
        };
        let memory = PoolMemory::new(works::layout(bucket), each * MEMBERS as usize)?;
        what.with_hand_on(|| Ok::<Pool<'_>, _>(memory.pool()))
    }
}

/// Boost's segment.
#[cfg(has_boost)]
struct InBoost;

#[cfg(has_boost)]
impl Crowd for InBoost {
    fn can(&self, what: &What) -> bool {
        what.members <= MEMBERS
    }

    fn run(&self, what: &What) -> Result<Sample> {
        // Half as much, as the system must have all of it: enough for these members.
        let segment = crate::boost::Segment::new(MEMORY / 2)?;
        what.with_hand_on(|| Ok(super::subjects::Boost(&segment)))
    }
}

#[cfg(has_boost)]
fn boost() -> Result<Rc<dyn Crowd>> {
    Ok(Rc::new(Slow { crowd: InBoost, alone: 50, together: 50 }))
}

#[cfg(not(has_boost))]
fn boost() -> Result<Rc<dyn Crowd>> {
    bail!(crate::boost::ABSENT)
}

/// The harness.
struct NoCrowd;

impl Crowd for NoCrowd {
    fn can(&self, _: &What) -> bool {
        true
    }

    fn run(&self, what: &What) -> Result<Sample> {
        what.with_hand_on(|| Ok(Noop::new(works::most_live())))
    }
}

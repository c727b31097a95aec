#![doc = include_str!("../README.md")]
// A model uses a part of the crate.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

#[cfg(all(feature = "rkyv", not(loom)))]
pub mod archive;
mod arena;
#[cfg(not(loom))]
mod attached;
#[cfg(not(loom))]
mod check;
#[cfg(not(loom))]
pub mod collections;
pub mod docs;
#[cfg(all(fuzzing, not(loom)))]
#[doc(hidden)]
pub mod door;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod file;
mod heap;
mod index_set;
mod layout;
pub mod lock;
mod mapping;
#[cfg(not(loom))]
mod memory;
#[cfg(loom)]
#[doc(hidden)]
pub mod model;
mod names;
#[cfg(not(loom))]
mod objects;
mod offset;
mod plain;
mod process;
pub mod queue;
mod recovery;
#[cfg(not(loom))]
mod segment;
mod shareable;
#[cfg(not(loom))]
mod stats;
mod sync;
#[cfg(not(loom))]
mod tag;
mod trace;
#[cfg(not(loom))]
mod trust;
#[cfg(not(loom))]
mod watcher;
#[cfg(not(loom))]
mod wiped;
mod word;

pub use offset::Offset;
#[cfg(feature = "zerocopy")]
pub use plain::Plain;
#[cfg(feature = "bytemuck")]
pub use plain::Pod;
#[doc(hidden)]
pub use shareable::derive_support;
pub use shareable::{LayoutHash, Shareable, type_name};
#[cfg(feature = "derive")]
pub use sharena_derive::Shareable;
#[doc(hidden)]
pub use trace::map::Tracer;
#[cfg(not(loom))]
pub use {
    check::{Finding, FindingKind, FindingPlace, Looked, Report, Severity},
    error::{CapacityLimit, Error, FileKind},
    heap::error::{AllocError, FreeError},
    memory::{Block, Handle},
    names::error::ObjectError,
    objects::{ObjectInfo, Owned, Ref},
    recovery::Recovered,
    segment::{Listed, Opened, Options, Segment, exists, exists_at, list, remove, remove_at},
    stats::{
        BlockCounts, ClassStats, Liveness, NameStats, ParticipantStats, RunStats, Stats, Sum,
        UnitStats,
    },
    tag::Inside,
    watcher::Watcher,
};

/// Death at a chosen step of shared memory.
#[cfg(sharena_steps)]
#[doc(hidden)]
pub use sync::steps;

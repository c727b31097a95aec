#![doc = include_str!("../README.md")]

mod arena;
#[cfg(not(loom))]
mod attached;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod file;
mod heap;
mod index_set;
mod layout;
mod mapping;
#[cfg(not(loom))]
mod memory;
mod names;
#[cfg(not(loom))]
mod objects;
mod offset;
mod process;
#[cfg(not(loom))]
mod segment;
mod shareable;
mod sync;

#[cfg(not(loom))]
pub use {
    error::{CapacityLimit, Error, FileKind},
    heap::error::{AllocError, FreeError},
    memory::{Block, Handle},
    names::error::ObjectError,
    objects::{ObjectInfo, Owned, Ref},
    segment::{Listed, Opened, Options, Segment, exists, exists_at, list, remove, remove_at},
};
pub use offset::Offset;
pub use shareable::{Shareable, type_name};
#[doc(hidden)]
pub use shareable::derive_support;

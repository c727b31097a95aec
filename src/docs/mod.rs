//! How it works, and why it can be believed: chapters beside the reference.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("death.md")]
pub mod death {}

#[doc = include_str!("progress.md")]
pub mod progress {}

/// # How fast collections are
///
/// Beside std's, hashbrown's, and the queues of crossbeam and rtrb, in the same run, in turn: 65,536 numbers each, the
/// queues from thread to thread. *Private*: held by value. *Published*: found by name, and looked at, or changed under its
/// lock, which is taken and given back for each. Such a change is all or nothing whoever dies in it; std's knows of
/// no deaths, nor does rtrb's ring, and neither crossbeam's queue nor that can sleep. So there is no bar where
/// none is named. In the program all loops, ours and theirs, begin at a line of the cache, so that no figure
/// depends on where the compiler happened to put one.
///
#[doc = include_str!("collections-speed.md")]
pub mod collections_speed {}

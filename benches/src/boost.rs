//! Boost.Interprocess, where its headers were found when this was built.

#[cfg(has_boost)]
mod segment;

#[cfg(has_boost)]
pub use segment::Segment;

/// Why it is not here.
#[cfg(not(has_boost))]
pub const ABSENT: &str = "its headers are not here: apt-get install libboost-dev, then build again";

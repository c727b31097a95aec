//! What the known outcomes are written in: the words of loom, or of shuttle.

#[cfg(not(sharena_shuttle))]
pub use loom::{
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering, fence},
    thread::{JoinHandle, spawn},
};
#[cfg(sharena_shuttle)]
pub use shuttle::{
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering, fence},
    thread::{JoinHandle, spawn},
};

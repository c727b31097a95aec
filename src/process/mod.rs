//! Who takes part: processes (participants), their threads (lanes), and what each has under way.

pub mod bell;
#[cfg(not(loom))]
pub mod exiting;
pub mod journal;
pub mod lane;
#[cfg(not(loom))]
pub mod liveness;
pub mod participant;
pub mod pin;
pub mod registration;
pub mod tally;

//! How it works, and why it can be believed: chapters beside the reference.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("death.md")]
pub mod death {}

#[doc = include_str!("progress.md")]
pub mod progress {}

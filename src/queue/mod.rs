//! A bounded queue among processes, whose messages survive the death of who had them: [`Queue`].
//!
//! It lies in place in any object, as the [locks](crate::lock) do, needs no call to initialize it, and sleeps
//! and hears of deaths as they do. Nothing in this crate's own machinery uses it.

#[cfg(not(loom))]
mod bounded;
#[cfg(not(loom))]
mod error;
pub(crate) mod raw;

#[cfg(not(loom))]
pub use self::{
    bounded::{Delivery, Queue},
    error::{PushError, RecvError, TryPushError, TryRecvError},
};

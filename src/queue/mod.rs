//! Values from process to process, which survive the death of who had them: a bounded queue for any number
//! who push and receive, [`Queue`]; one of objects, which stay where they are, [`ObjectQueue`]; and a ring for one of
//! each, [`SpscRing`].
//!
//! They lie in place in any object, as the [locks](crate::lock) do, need no call to initialize them, and sleep
//! and hear of deaths as they do. Nothing in this crate's own machinery uses them.

#[cfg(not(loom))]
mod bounded;
mod claim;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod objects;
pub(crate) mod raw;
pub(crate) mod raw_spsc;
#[cfg(not(loom))]
mod spsc;

#[cfg(not(loom))]
pub use self::{
    bounded::{Delivery, Queue},
    error::{
        ClaimError, ObjectPushError, ObjectRecvError, PushError, RecvError, SpscPushError,
        SpscRecvError, TryPushError, TryRecvError,
    },
    objects::{ObjectDelivery, ObjectQueue},
    spsc::{Consumer, Front, Producer, SpscRing},
};

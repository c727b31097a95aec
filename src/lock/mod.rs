//! Locks that survive their holders: for values in a segment that need more than atomics.
//!
//! They lie in place in any object (`Mutex<T>` is 8 bytes and the value), need no call to initialize them,
//! and are named and used like std's. An uncontended lock is one atomic step, and so is its unlock; who
//! must wait sleeps in the kernel.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use sharena::{Segment, lock::Mutex};
//!
//! let name = format!("doc-lock-{}", std::process::id());
//! let segment = Segment::create(&name, 1 << 20)?;
//! let (counter, _) = segment.find_or_construct("counter", || Mutex::new(0u64))?;
//! *counter.lock().unwrap() += 1; // in any process that has found it
//! # assert_eq!(*counter.lock().unwrap(), 1);
//! # drop(counter);
//! # sharena::remove(&name)?;
//! # Ok(())
//! # }
//! ```
//!
//! Nothing in this crate's own machinery uses them: a process that holds one, or is stopped inside,
//! keeps nobody from allocating, finding, recovering.
//!
//! # When a holder dies
//!
//! Who only read leaves nothing ([`RwLock`]). As for others:
//!
//! The next who wants the lock has it, with the news: [`PoisonError`], as std tells of a panic, whose
//! [`cause`](PoisonError::cause) is [`Cause::OwnerDied`]. The value is as the dead one left it, perhaps in
//! the middle of a change; [`into_inner`](PoisonError::into_inner) gives the guard, to mend it, and
//! [`clear_poison`](Mutex::clear_poison) says that it is mended.
//!
//! - **Only the death of the whole process frees its locks.** A guard that was leaked, or whose thread
//!   ended, keeps the lock as long as the process lives: another thread may use what it leads to.
//! - A process is dead for a lock when the kernel says that none of its instructions will run any more: all
//!   its tasks are exiting, or its memory is gone. One that is slow, stopped, or whose core is being dumped
//!   is alive, and the lock waits for it; so does one in another pid namespace until its memory is gone,
//!   which takes a while if there is much of it. (Who writes to a segment by unsafe code from a child that
//!   shares its parent's memory, made by vfork, or by a transfer that the kernel still has under way, must
//!   see to it himself.)
//! - Who waits for one process (a mutex' holder, a writer, who initializes) is woken by the kernel when that
//!   one is killed, within a millisecond as a rule: a process that has locks in a segment has one thread for
//!   it, `sharena-bell`, which sleeps with all signals blocked, and at whose end the kernel rings. It is made when the
//!   process first finds or constructs an object with a lock, or takes an end of a
//!   [ring](crate::queue::SpscRing), and ends with the attachment.
//! - Who waits for more than one, or for nobody in particular, or where that thread cannot be made, hears of a
//!   death when it is recovered (a [`Watcher`](crate::Watcher) does so at once), and looks by itself at the
//!   latest after a fifth of the time that it has waited, and always after 50 ms.
//! - A value that is not one any more (a store to an `enum` or a `bool` may have been cut in half, or a
//!   file may have been damaged) is not given out: see [`PoisonError::repair`].
//!
//! # Collections
//! A `Mutex` or an `RwLock` may guard [collections](crate::collections#changing-what-is-published). There its
//! guard has no `&mut`: each change goes by a method, and is all or nothing. So what a dead holder left is always
//! a value, of which only what *several* changes were to make together may be missing. Who constructs the object
//! holds its locks until all that they guard is published: who finds it in that moment waits for them, or is
//! refused by the forms that only try.
//!
//! # What they do not do
//!
//! - There is no order among locks: two that are taken in different orders by two processes are a
//!   deadlock, and so is one that a thread takes twice (it may [read](RwLock) twice). Every wait has a
//!   form that ends: `try_`, [`try_lock_for`](Mutex::try_lock_for).
//! - No priority is inherited: who waits for a holder of lower priority waits for it.
//! - Who has waited for a millisecond goes before those who come then; it is not a queue.
//! - In a child made by fork its parent's guards do nothing, and must not be used, as all references.

#[cfg(not(loom))]
mod barrier;
#[cfg(not(loom))]
mod condvar;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod event;
#[cfg(not(loom))]
pub(crate) mod lent;
#[cfg(not(loom))]
mod mutex;
#[cfg(not(loom))]
mod news;
#[cfg(not(loom))]
mod once;
pub(crate) mod party;
#[cfg(not(loom))]
mod permits;
#[cfg(not(loom))]
pub(crate) mod place;
pub(crate) mod raw;
pub(crate) mod raw_barrier;
pub(crate) mod raw_event;
pub(crate) mod raw_once;
pub(crate) mod raw_permits;
pub(crate) mod raw_rwlock;
pub(crate) mod raw_semaphore;
pub(crate) mod read_slot;
#[cfg(not(loom))]
mod rwlock;
#[cfg(not(loom))]
mod semaphore;
pub(crate) mod signal;
pub(crate) mod word;

#[cfg(not(loom))]
pub use self::{
    barrier::{Barrier, BarrierError, BarrierWaitResult, Broken},
    condvar::{Condvar, WaitError, WaitTimeoutResult},
    error::{Cause, LockResult, PoisonError, SomeoneDied, TimedOut, TryLockError, TryLockResult},
    event::Event,
    lent::{Lend, Mut},
    mutex::{Mutex, MutexGuard},
    news::Deaths,
    once::OnceLock,
    permits::{Permit, Permits},
    rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    semaphore::Semaphore,
};

//! A thread that recovers the dead as soon as they die, without looking again and again.
//!
//! Who dies loses its lock, so whoever waits for that lock is woken by the kernel. A watcher has one
//! sleeping thread for each other participant, in `fcntl(F_OFD_SETLKW)` on that one's byte, through an
//! opening of the file made for it, and one that sleeps in a futex on the header's count of attachments
//! until there is a participant to be waited for.
//!
//! Such a thread gets the lock shared, and lets go at once. A participant holds its own alone, and that
//! is what judges ask for, so that a waiter makes no dead one look alive; a slot whose byte a waiter has
//! just then is passed over by who attaches.

use crate::attached::Attached;
use crate::error::Error;
use crate::file::{self, Kind, PARTICIPANT_BYTES};
use crate::process::participant::{ParticipantId, ParticipantWord, Tenure};
use crate::recovery::Recovered;
use crate::segment::Segment;
use crate::sync::Acquire;
use core::fmt;
use rustix::fd::{AsFd, OwnedFd};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};

/// Bytes of stack of a thread that only sleeps and recovers.
const STACK: usize = 256 << 10;

/// Recovers processes that die in a segment, as soon as they do; made by [`Segment::watch`].
///
/// It keeps this process attached. Dropped, it watches no more, at once; its sleeping threads, one for
/// each process that was attached then, end when that process does, and keep nothing but a descriptor.
/// In a child made by fork there is no watcher.
pub struct Watcher {
    shared: Arc<Shared>,
    lookout: Option<JoinHandle<()>>,
    /// Whose threads they are.
    process: u32,
}

struct Shared {
    segment: Segment,
    on_recovery: Box<dyn Fn(&Recovered) + Send + Sync>,
    is_over: AtomicBool,
}

impl Segment {
    /// Starts to watch: whoever dies in the segment from now on, or died before, is recovered by this
    /// process within moments. `on_recovery` is called with what was found, on a thread of the watcher.
    ///
    /// It needs one sleeping thread for each attached process, and no processor time until one attaches
    /// or dies. Without a watcher the dead are recovered when the next process opens the segment, or
    /// when memory runs out.
    ///
    /// # Errors
    /// [`Error::Os`] if no thread can be started.
    pub fn watch(
        &self,
        on_recovery: impl Fn(&Recovered) + Send + Sync + 'static,
    ) -> Result<Watcher, Error> {
        let shared = Arc::new(Shared {
            segment: self.clone(),
            on_recovery: Box::new(on_recovery),
            is_over: AtomicBool::new(false),
        });
        let watched = shared.clone();
        let lookout = Builder::new()
            .name("sharena-lookout".into())
            .stack_size(STACK)
            .spawn(move || keep_lookout(&watched))
            .map_err(|error| {
                let errno = rustix::io::Errno::from_io_error(&error);
                let path = self.attached().arena.mapping().file().shown();
                Error::os("start a thread for", &*path, errno.unwrap_or(rustix::io::Errno::AGAIN))
            })?;
        Ok(Watcher { shared, lookout: Some(lookout), process: std::process::id() })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.shared.segment.attached().announce_attachment();
        if let Some(lookout) = self.lookout.take().filter(|_| self.process == std::process::id()) {
            let _ = lookout.join();
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("segment", &self.shared.segment).finish_non_exhaustive()
    }
}

/// Sends a waiter after each participant, until the watcher is dropped.
fn keep_lookout(shared: &Arc<Shared>) {
    let attached = shared.segment.attached();
    let mut watched: HashSet<Tenure> = HashSet::new();
    while !shared.is_over.load(Ordering::Acquire) {
        // Read before the participants: who attaches after we looked at his slot changes it.
        let count = attached.attachments();
        let live = live_others(attached);
        watched.retain(|tenure| live.contains(tenure));
        for tenure in live {
            if !watched.contains(&tenure) && send_waiter(shared, tenure) {
                watched.insert(tenure);
            }
        }
        // Of those who died before anybody waited for them.
        recover(shared);
        attached.await_attachment(count);
    }
}

fn live_others(attached: &Attached) -> HashSet<Tenure> {
    let records = attached.arena.participants();
    let high = attached.arena.header().participants_high.load(Acquire) as usize;
    let me = attached.participant();
    let tenure = |slot: usize| {
        let id = ParticipantId(slot as u16);
        match ParticipantWord::of(records[slot].word.load(Acquire))? {
            ParticipantWord::Live { counter, .. } if Some(id) != me => Some(id.since(counter)),
            _ => None,
        }
    };
    (0..high.min(records.len())).filter_map(tenure).collect()
}

/// Starts a thread that sleeps until `tenure` is over; false: it could not, and may be tried again.
fn send_waiter(shared: &Arc<Shared>, tenure: Tenure) -> bool {
    let Ok(opened) = shared.segment.attached().arena.mapping().file().reopen() else {
        return false;
    };
    let shared = Arc::downgrade(shared);
    let waiter = Builder::new().name("sharena-waiter".into()).stack_size(STACK);
    waiter.spawn(move || wait_for(opened, tenure, shared)).is_ok()
}

fn wait_for(opened: OwnedFd, tenure: Tenure, shared: Weak<Shared>) {
    let byte = PARTICIPANT_BYTES + i64::from(tenure.id.0);
    let woken = file::wait_for_lock(opened.as_fd(), byte, Kind::Shared);
    // So that the slot can be had again. Closing would not do: a child forked meanwhile has the
    // descriptor, too, and so would keep the lock.
    let _ = file::lock(opened.as_fd(), byte, Kind::None);
    drop(opened);
    if woken.is_ok()
        && let Some(shared) = shared.upgrade()
        && !shared.is_over.load(Ordering::Acquire)
    {
        recover(&shared);
    }
}

fn recover(shared: &Shared) {
    // Who detached has left nothing. With no lane to be had another will do it.
    if let Ok(recovered) = shared.segment.recover()
        && !recovered.is_nothing()
    {
        (shared.on_recovery)(&recovered);
    }
}

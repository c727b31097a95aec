//! This process's attachment to one segment: its participant, its lanes, and which thread has which.
//!
//! What must not survive a fork (who we are in the segment, our lanes) lies in memory that fork
//! wipes. A forked child finds an all-zero [`Identity`], so it becomes a participant of its own at
//! its first slow path and can touch nothing of its parent's.

use crate::arena::Arena;
use crate::error::Error;
use crate::file::SegmentFile;
use crate::heap::error::{AllocError, check_layout, exhausted};
use crate::heap::lane::Lane;
use crate::heap::run::units_for;
use crate::heap::size_class::ClassId;
use crate::heap::unit::{LaneId, State, Unit};
use crate::heap::{Exhausted, Heap, PlaceKind, locate};
use crate::layout::{MAX_LANES, MAX_PARTICIPANTS};
use crate::lock::place::Entry;
use crate::lock::word::Who;
use crate::mapping::Mapping;
use crate::names::{Names, Refused};
use crate::process::bell::Bell;
use crate::process::lane::{self, LaneOwner, NoLane};
use crate::process::liveness::{self, Judge, NoFork, Verdict};
use crate::process::participant::{Fault, Participant, ParticipantId, ParticipantWord, Tenure};
use crate::recovery::{self, Recovered};
use crate::sync::{AcqRel, Acquire, Release};
use crate::trace;
use crate::wiped;
use crate::word::Tag;
use core::alloc::Layout;
use core::cell::{Cell, RefCell, UnsafeCell};
use core::mem::size_of;
use core::ops::{Deref, Range};
use core::ptr;
use core::sync::atomic::{self, AtomicBool, AtomicPtr, AtomicU32, AtomicU64};
use std::collections::HashSet;
use std::sync::{Arc, RwLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// A mapped segment of which this process is a participant.
pub struct Attached {
    pub arena: Arena,
    /// Tells attachments of this process apart, for good: what a thread remembers is never another's.
    id: u64,
    identity: *const Identity,
    /// The slots that it may take as a participant.
    slots: Range<usize>,
    /// The participant that this process last was, in memory that fork does not wipe: its parent's,
    /// in a child that has not joined. Touched within the window of [`join`](Self::join) only.
    known: UnsafeCell<Participant>,
    /// For those who must know whether it is still there.
    me: Weak<Attached>,
    /// By which a lock in the mapping finds this.
    entry: Option<Entry>,
    /// Whether it stands in the table of tags, and so stays until the process ends.
    is_kept: AtomicBool,
    /// Whether this process created the segment, so that nothing in it is older than its processes.
    is_creator: bool,
    /// Whether this process [vouches](crate::trust) for the segment.
    pub vouches: AtomicBool,
    /// For whom, as in the words of locks, a [bell](crate::process::bell) hangs or could not be hung.
    rings_for: AtomicU64,
    /// The bell; in a child made by fork that has none, the parent's, whose thread the child has not.
    bell: AtomicPtr<Bell>,
    /// Objects with parts that were found whole, where that had to be looked at.
    pub whole: RwLock<HashSet<u64>>,
}

/// The slot that is kept for recovering the dead when all others are taken.
const RESCUER: usize = MAX_PARTICIPANTS - 1;

/// How long it is looked whether another process, which recovers the dead, has made room.
const PATIENCE_FOR_ROOM: Duration = Duration::from_secs(1);
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// The attachments of this process by birth number, so that a block needs no pointer to its own.
///
/// An attachment gets a number when it becomes a participant; a forked child gets another one, and
/// keeps its parent's, so that it can tell what was its parent's. A number is given back when the
/// attachment ends: then nothing of it is left.
static BIRTHS: [AtomicPtr<Attached>; 1 << Lane::BIRTH_BITS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; 1 << Lane::BIRTH_BITS];

/// The attachment in which something of this birth was made.
///
/// # Safety
/// The number is that of an attachment that is alive as long as the result is used.
#[inline(always)]
pub unsafe fn of_birth<'a>(birth: u32) -> &'a Attached {
    // SAFETY: the caller's promise. Relaxed: whoever has something of that birth got it after it was
    // registered.
    unsafe { &*BIRTHS[birth as usize].load(atomic::Ordering::Relaxed) }
}

fn register(attached: &Attached) -> Option<u32> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let me = ptr::from_ref(attached).cast_mut();
    (0..BIRTHS.len()).find_map(|_| {
        let birth = NEXT.fetch_add(1, atomic::Ordering::Relaxed) as usize % BIRTHS.len();
        let free = birth != 0
            && BIRTHS[birth]
                .compare_exchange(
                    ptr::null_mut(),
                    me,
                    atomic::Ordering::AcqRel,
                    atomic::Ordering::Acquire,
                )
                .is_ok();
        free.then_some(birth as u32)
    })
}

/// Who this process is in the segment. All zero, as fork leaves it: nobody.
#[repr(C)]
struct Identity {
    participant: Participant,
    /// Who it is in the words of locks.
    who: AtomicU64,
    birth: AtomicU32,
    /// The lanes of this process, newest first; none is ever taken out while it is attached.
    lanes: AtomicPtr<Lane>,
}

// SAFETY: `identity` is memory of the process, not of a thread; all of it is atomics, but for
// `participant`, which is written once, before `birth` says that it is there; `known` is touched
// within a window that one thread at a time is in.
unsafe impl Send for Attached {}
// SAFETY: as above.
unsafe impl Sync for Attached {}

impl Attached {
    /// Attaches this process.
    pub fn new(arena: Arena) -> Result<Arc<Attached>, Error> {
        Self::in_slots(arena, 0..RESCUER, false)
    }

    /// Attaches this process to a segment that it has just made.
    pub fn create(arena: Arena) -> Result<Arc<Attached>, Error> {
        Self::in_slots(arena, 0..RESCUER, true)
    }

    fn in_slots(
        arena: Arena,
        slots: Range<usize>,
        is_creator: bool,
    ) -> Result<Arc<Attached>, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let identity = wiped::on_fork::<Identity>()
            .map_err(|source| Error::os("reserve process memory", None, source))?;
        let id = NEXT.fetch_add(1, atomic::Ordering::Relaxed);
        let mapping = (arena.mapping().base().cast_const(), arena.mapping().len());
        let attached = Arc::new_cyclic(|me| Attached {
            // Nobody uses it before there are references into the mapping.
            entry: Entry::of(me.as_ptr(), mapping.0, mapping.1),
            arena,
            id,
            identity,
            slots: slots.clone(),
            known: UnsafeCell::default(),
            me: me.clone(),
            is_kept: AtomicBool::new(false),
            is_creator,
            vouches: AtomicBool::new(is_creator),
            rings_for: AtomicU64::new(Who::NOBODY.0),
            bell: AtomicPtr::new(ptr::null_mut()),
            whole: RwLock::default(),
        });
        if attached.entry.is_none() {
            return Err(attached.too_many_segments());
        }
        attached.join()?;
        Ok(attached)
    }

    fn identity(&self) -> &Identity {
        // SAFETY: mapped by `new`, unmapped when this is dropped.
        unsafe { &*self.identity }
    }

    /// Which participant this process is; `None` in a forked child that has not used the segment.
    pub fn participant(&self) -> Option<ParticipantId> {
        self.is_joined().then(|| self.identity().participant.id())
    }

    fn is_joined(&self) -> bool {
        // Acquire pairs with the Release in `join`: the participant is whole.
        self.identity().birth.load(atomic::Ordering::Acquire) != 0
    }

    /// Becomes a participant, once per process. If no slot is free, but some are of the dead, these
    /// are recovered first; where another process is at that, it has a second for it.
    fn join(&self) -> Result<(), Error> {
        match self.try_join()? {
            Ok(()) => return Ok(()),
            Err(full) if self.slots.contains(&RESCUER) => return Err(full),
            Err(_) => {}
        }
        let begin = Instant::now();
        loop {
            let is_hopeless = !self.has_dead() || begin.elapsed() > PATIENCE_FOR_ROOM;
            if !is_hopeless {
                self.recover_from_outside();
            }
            // Also where nobody is dead: another may have recovered them a moment ago.
            match self.try_join()? {
                Ok(()) => return Ok(()),
                Err(full) if is_hopeless => return Err(full),
                Err(_) => thread::sleep(BETWEEN_LOOKS),
            }
        }
    }

    fn has_dead(&self) -> bool {
        let records = &self.arena.participants()[self.slots.clone()];
        Judge::visitor(self.arena.mapping().file())
            .is_ok_and(|judge| judge.count_dead(records) != 0)
    }

    /// Recovers by way of a short second attachment, in the slot that is kept for this. If another process has the
    /// slot, that one recovers.
    fn recover_from_outside(&self) {
        let file = self.arena.mapping().file();
        let layout = *self.arena.layout();
        let rescuer = file
            .reopen()
            .ok()
            .and_then(|file| Mapping::new(SegmentFile::from_fd(file).ok()?, layout.bytes()).ok())
            .and_then(|mapping| {
                // SAFETY: the same file as ours, and as long; its head is backed.
                let arena = unsafe { Arena::new(mapping, layout) };
                Self::in_slots(arena, RESCUER..MAX_PARTICIPANTS, false).ok()
            });
        if let Some(rescuer) = rescuer {
            rescuer.recover_at_attach();
        }
    }

    /// `Ok(Err)`: no slot is free.
    ///
    /// Threads of this process wait for each other here, and for a fork that is under way: the one
    /// lock of the crate, process-private, held for the system calls of attaching.
    fn try_join(&self) -> Result<Result<(), Error>, Error> {
        if self.is_joined() {
            return Ok(Ok(()));
        }
        let (records, file) = (self.arena.participants(), self.arena.mapping().file());
        let own = liveness::Identity::known();
        let window = NoFork::enter();
        if self.is_joined() {
            return Ok(Ok(()));
        }
        let Some(birth) = register(self) else {
            drop(window);
            return Err(self.too_many_segments());
        };
        // SAFETY: only touched within the window, of which there is one at a time.
        let known = unsafe { &mut *self.known.get() };
        known.forget();
        let high = &self.arena.header().participants_high;
        let joined =
            Participant::attach_within(&window, &own, records, self.slots.clone(), high, file);
        let participant = match joined {
            Ok(participant) => participant,
            Err(fault) => {
                BIRTHS[birth as usize].store(ptr::null_mut(), atomic::Ordering::Release);
                drop(window);
                let error = fault.explain(file, records, self.slots.len());
                return if fault == Fault::Full { Ok(Err(error)) } else { Err(error) };
            }
        };
        *known = participant.copy();
        // SAFETY: nobody reads the participant before `birth` says that it is there, and the window
        // keeps other threads out of here.
        unsafe { (&raw const self.identity().participant).cast_mut().write(participant) };
        let who = Who::of(self.identity().participant.tenure());
        self.identity().who.store(who.0, atomic::Ordering::Release);
        self.identity().birth.store(birth, atomic::Ordering::Release);
        drop(window);
        if self.vouches() {
            self.vouch();
        }
        self.announce_attachment();
        Ok(Ok(()))
    }

    fn too_many_segments(&self) -> Error {
        let path = self.arena.mapping().file().shown();
        Error::os("attach more segments to", &*path, rustix::io::Errno::MFILE)
    }

    /// The word of who this process is in the words of locks; 0 in a child made by fork that has not
    /// joined.
    pub fn who(&self) -> &AtomicU64 {
        &self.identity().who
    }

    /// Becomes a participant in a child made by fork, to take a lock.
    #[cold]
    pub fn join_for_lock(&self) -> Who {
        if let Err(error) = self.join() {
            panic!("a child made by fork cannot attach to the segment of the lock: {error}");
        }
        self.hang_bell();
        Who(self.who().load(atomic::Ordering::Acquire))
    }

    /// Has those hear of this process' death at once who wait for what it has of a lock: called before it can
    /// have one.
    #[inline(always)]
    pub fn hang_bell(&self) {
        // Relaxed: at worst it is looked again.
        let me = self.who().load(atomic::Ordering::Relaxed);
        if self.rings_for.load(atomic::Ordering::Relaxed) != me {
            self.hang_bell_slow();
        }
    }

    #[cold]
    fn hang_bell_slow(&self) {
        // A child made by fork is nobody yet. If it cannot join, it is told so by what it does next.
        if self.join().is_err() {
            return;
        }
        let me = Who(self.who().load(atomic::Ordering::Acquire));
        let Some(tenure) = me.tenure() else { return };
        if self.rings_for.swap(me.0, atomic::Ordering::AcqRel) == me.0 {
            return; // another thread is at it
        }
        let record = &self.arena.participants()[usize::from(tenure.id.0)];
        if let Some(bell) = Bell::hang(record, tenure) {
            // What was there is the parent's, whose thread this child does not have.
            self.bell.store(Box::into_raw(Box::new(bell)), atomic::Ordering::Release);
        }
    }

    /// The bell, for the last time.
    fn bell(&mut self) -> Option<Box<Bell>> {
        let bell = core::mem::replace(self.bell.get_mut(), ptr::null_mut());
        // SAFETY: made of a box by `hang_bell_slow`, and taken out here alone.
        (!bell.is_null()).then(|| unsafe { Box::from_raw(bell) })
    }

    /// Wakes the watchers of the segment. Who dies before this is found by the next to look.
    pub fn announce_attachment(&self) {
        let word = &self.arena.header().attachments;
        // Release: who sees the count sees the participant.
        word.fetch_add(1, AcqRel);
        let at = low_half(word);
        // SAFETY: the word's address; the kernel reads nothing to wake who sleeps on it.
        unsafe { libc::syscall(libc::SYS_futex, at, libc::FUTEX_WAKE, i32::MAX) };
    }

    /// How many attachments were announced, as a number to sleep on.
    pub fn attachments(&self) -> u32 {
        self.arena.header().attachments.load(Acquire) as u32
    }

    /// Sleeps until more than `count` attachments were announced; may wake before.
    pub fn await_attachment(&self, count: u32) {
        let at = low_half(&self.arena.header().attachments);
        let forever = ptr::null::<libc::timespec>();
        // SAFETY: the kernel compares the word's low half, and sleeps if it is `count`.
        unsafe { libc::syscall(libc::SYS_futex, at, libc::FUTEX_WAIT, count, forever) };
    }

    /// Takes a lane for the calling thread: one that another thread has left, else a new one.
    pub fn take_lane(&self) -> Result<&Lane, AllocError> {
        self.join().map_err(|_| AllocError::NotAttached)?;
        let parked = self.own_lanes().find(|lane| claim_lane(lane));
        let lane = match parked {
            Some(lane) => lane,
            None => self.new_lane()?,
        };
        if let Err(error) = self.make_live(lane) {
            lane.busy.store(0, atomic::Ordering::Release);
            return Err(error);
        }
        Ok(lane)
    }

    /// The lanes of this process.
    fn own_lanes(&self) -> impl Iterator<Item = &Lane> {
        let mut next: *const Lane = self.identity().lanes.load(atomic::Ordering::Acquire);
        core::iter::from_fn(move || {
            // SAFETY: lanes in the list are mapped until this is dropped.
            let lane = unsafe { next.as_ref()? };
            next = lane.next.get();
            Some(lane)
        })
    }

    fn new_lane(&self) -> Result<&Lane, AllocError> {
        let memory = wiped::on_fork::<Lane>()
            .map_err(|_| AllocError::FileSystemFull { asked: size_of::<Lane>() })?;
        // SAFETY: fresh zeroed memory, and all zero is a lane that is not live.
        let lane = unsafe { &*memory };
        lane.busy.store(1, atomic::Ordering::Relaxed);
        self.enlist(lane);
        Ok(lane)
    }

    fn enlist(&self, lane: &Lane) {
        let lanes = &self.identity().lanes;
        let mut head = lanes.load(atomic::Ordering::Acquire);
        loop {
            lane.next.set(head);
            // Release pairs with `own_lanes`. A failure means that another thread enlisted one.
            match lanes.compare_exchange(
                head,
                ptr::from_ref(lane).cast_mut(),
                atomic::Ordering::AcqRel,
                atomic::Ordering::Acquire,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Gives a lane that this thread has claimed a number, if it has none, and says so in its record.
    fn make_live(&self, lane: &Lane) -> Result<(), AllocError> {
        let tenure = self.identity().participant.tenure();
        if lane.is_live() {
            let record = self.arena.lane(lane.id());
            record.owner.store(LaneOwner::Active(tenure).word(), Release);
            return Ok(());
        }
        let id = lane::take(&self.arena, tenure).map_err(|why| match why {
            NoLane::TooMany => AllocError::TooManyThreads { limit: MAX_LANES - 1 },
            NoLane::NoSpace => AllocError::FileSystemFull { asked: 4096 },
        })?;
        lane.begin(&self.arena, id, self.identity().birth.load(atomic::Ordering::Acquire));
        Ok(())
    }

    /// A lane that this thread has, but that a fork has wiped since: makes it one of this process.
    ///
    /// Those who led to it before the fork (the thread-local entry, handles) still do, but the count
    /// of them was wiped and they do not count down. They stay one user for good: the lane is not
    /// parked when the thread ends but given back when the segment is closed.
    #[cold]
    pub fn revive(&self, lane: &Lane) -> Result<(), AllocError> {
        self.join().map_err(|_| AllocError::NotAttached)?;
        lane.busy.store(1, atomic::Ordering::Relaxed);
        self.make_live(lane)?;
        lane.users.set(1);
        self.enlist(lane);
        Ok(())
    }

    /// The thread that has `lane` needs it no more: what can be given away is; with nothing left,
    /// its number, too. A read guard that it has not dropped keeps the lane this process'.
    #[cold]
    pub fn park(&self, lane: &Lane) {
        if lane.is_live() {
            let heap = Heap { arena: &self.arena, lane };
            debug_assert_eq!(lane.pins.count(), 0, "each pin is a user");
            let is_reading = self.arena.lane(lane.id()).has_reads();
            let empty = heap.give_away_slabs(false) && !self.has_private_run(lane) && !is_reading;
            let tenure = self.identity().participant.tenure();
            if empty {
                let id = lane.id();
                lane.end();
                lane::give_back(&self.arena, id);
            } else {
                self.arena.lane(lane.id()).owner.store(LaneOwner::Parked(tenure).word(), Release);
            }
        }
        lane.busy.store(0, atomic::Ordering::Release);
    }

    fn has_private_run(&self, lane: &Lane) -> bool {
        lane.made_runs.get() && self.private_runs(lane.id()).next().is_some()
    }

    fn private_runs(
        &self,
        of: LaneId,
    ) -> impl Iterator<Item = (crate::heap::unit::UnitIndex, Unit)> {
        self.arena.units().filter_map(move |unit| match self.arena.unit(unit)? {
            run @ Unit::Run { lane, state: State::Private, .. } if lane == of => Some((unit, run)),
            _ => None,
        })
    }

    /// A PRIVATE block for the calling thread's lane. Lock-free.
    pub fn allocate(&self, lane: &Lane, bytes: usize, align: usize) -> Result<u64, AllocError> {
        if !lane.is_live() {
            self.revive(lane)?;
        }
        let heap = Heap { arena: &self.arena, lane };
        let allocate = || heap.allocate(bytes, align);
        allocate().or_else(|_| self.at_last(heap, bytes, allocate))
    }

    /// The same, a run also where a slab has blocks for that.
    pub fn allocate_run(&self, lane: &Lane, layout: Layout) -> Result<u64, AllocError> {
        check_layout(layout, self.room())?;
        if !lane.is_live() {
            self.revive(lane)?;
        }
        let heap = Heap { arena: &self.arena, lane };
        let allocate = || heap.allocate_run(units_for(layout.size()));
        allocate().or_else(|_| self.at_last(heap, layout.size(), allocate))
    }

    /// The same, for a lease, which is none yet.
    pub fn allocate_lease(&self, heap: Heap<'_>) -> Result<u64, AllocError> {
        let bytes = ClassId::LEASES.cut().size as usize;
        heap.take_lease().or_else(|_| self.at_last(heap, bytes, || heap.take_lease()))
    }

    /// Recovers what dead processes left; see [`recovery`].
    pub fn recover(&self, heap: Heap<'_>) -> Result<Recovered, Refused> {
        let found = self.recover_dead(heap)?;
        if !found.is_nothing() {
            // Objects that fall with the last reader, who was one of the dead.
            trace::reap_all(Names { heap })?;
        }
        Ok(found)
    }

    fn recover_dead(&self, heap: Heap<'_>) -> Result<Recovered, Refused> {
        // Without a participant there is nobody to judge; a lane has one.
        let Some(me) = self.participant() else { return Ok(Recovered::default()) };
        let (judge, records) =
            (Judge::participant(self.arena.mapping().file(), me), self.arena.participants());
        recovery::recover(heap, |who, word| {
            judge.judge(who, &records[usize::from(who.0)], word) == Verdict::Dead
        })
    }

    /// The same, by a process that has just come. What cannot be done now is left to others: it came
    /// for something else.
    pub fn recover_at_attach(&self) {
        let Some(me) = self.participant() else { return };
        let judge = Judge::participant(self.arena.mapping().file(), me);
        let high = self.arena.header().participants_high.load(Acquire) as usize;
        let records = self.arena.participants();
        if judge.count_dead(&records[..high.min(records.len())]) != 0 {
            let _ = with_lane(self, |lane| self.recover(Heap { arena: &self.arena, lane }));
        }
    }

    /// Before the answer is no: what the dead left, and what threads of this process, and nobody at
    /// all, hold for nothing.
    #[cold]
    fn at_last(
        &self,
        heap: Heap<'_>,
        bytes: usize,
        allocate: impl Fn() -> Result<u64, Exhausted>,
    ) -> Result<u64, AllocError> {
        // With all pins in use it cannot recover; then others may.
        let _ = self.recover(heap);
        self.release_idle(heap);
        allocate()
            .or_else(|_| {
                // And what nobody can see, as its hint was lost with whoever was to give it.
                heap.remake_hints();
                self.release_idle(heap);
                allocate()
            })
            .map_err(|reason: Exhausted| exhausted(reason, bytes, self.room()))
    }

    /// Gives back what is kept for speed: by this lane, by parked ones of this process, by no one.
    pub fn release_idle(&self, heap: Heap<'_>) {
        // Without a pin to spare what waits for its readers stays.
        let _ = trace::reap_all(Names { heap });
        heap.release_idle();
        for lane in self.own_lanes() {
            if claim_lane(lane) {
                if lane.is_live() {
                    Heap { arena: &self.arena, lane }.give_away_slabs(false);
                }
                lane.busy.store(0, atomic::Ordering::Release);
            }
        }
        heap.release_empty_orphans();
        heap.release_limbo_runs();
    }

    /// Bytes of all units that blocks can be made of.
    pub fn room(&self) -> u64 {
        let layout = self.arena.layout();
        (layout.units - layout.first_unit) << crate::heap::unit::UNIT_SHIFT
    }

    /// The tag of the segment, under which words find it from now on: the attachment is kept, until the
    /// process ends.
    pub fn tag(&self) -> Result<Tag, AllocError> {
        let tag = Tag::of_header(self.arena.header().tag).ok_or(AllocError::TagTaken)?;
        // Acquire: with the entry of whoever kept it.
        if !self.is_kept.load(atomic::Ordering::Acquire) {
            self.keep(tag)?;
        }
        Ok(tag)
    }

    #[cold]
    fn keep(&self, tag: Tag) -> Result<(), AllocError> {
        let me = self.again().expect("it is borrowed");
        // SAFETY: `me` is forgotten if it is entered.
        if !unsafe { tag.enter(self) } {
            return Err(AllocError::TagTaken);
        }
        core::mem::forget(me);
        self.is_kept.store(true, atomic::Ordering::Release);
        Ok(())
    }

    /// Ends a kept attachment; refused if another handle leads to it, if a block is private to this
    /// process, or if another thread has a lane.
    ///
    /// # Safety
    /// No other thread uses a word of the segment meanwhile.
    pub unsafe fn close(self: Arc<Attached>) -> Result<(), Arc<Attached>> {
        if self.is_kept.load(atomic::Ordering::Acquire)
            && (!self.is_last_handle() || !self.gives_up_lanes())
        {
            return Err(self);
        }
        // SAFETY: nobody has a word with a block, and by the caller's promise nobody makes one.
        unsafe { self.abandon() }
    }

    /// Ends a kept attachment whatever is private to this process; refused if another handle leads to it.
    ///
    /// # Safety
    /// From here on nobody uses a word of the segment.
    pub unsafe fn abandon(self: Arc<Attached>) -> Result<(), Arc<Attached>> {
        if !self.is_kept.load(atomic::Ordering::Acquire) {
            return Ok(());
        }
        if !self.is_last_handle() {
            return Err(self);
        }
        let tag = Tag::of_header(self.arena.header().tag).expect("it was entered");
        // SAFETY: by the caller's promise.
        unsafe { tag.leave() };
        self.is_kept.store(false, atomic::Ordering::Release);
        // SAFETY: that of the handle that was forgotten when it was entered.
        unsafe { Arc::decrement_strong_count(Arc::as_ptr(&self)) };
        Ok(())
    }

    /// Whether no other handle leads here but the one that was forgotten when it was entered.
    fn is_last_handle(self: &Arc<Attached>) -> bool {
        Arc::strong_count(self) == 2
    }

    /// Whether all lanes of this process are this thread's or nobody's, and hold nothing.
    fn gives_up_lanes(&self) -> bool {
        let is_mine = |lane: &Lane| {
            HELD.try_with(|held| held.0.borrow().iter().any(|one| ptr::eq(one.lane, lane)))
                .unwrap_or(false)
        };
        let mut claimed = Vec::new();
        let gives_up = self.own_lanes().all(|lane| {
            let is_mine = is_mine(lane);
            if !is_mine && !claim_lane(lane) {
                return false;
            }
            if !is_mine {
                claimed.push(lane);
            }
            !lane.is_live()
                || Heap { arena: &self.arena, lane }.give_away_slabs(false)
                    && !self.has_private_run(lane)
        });
        if !gives_up {
            claimed.into_iter().for_each(|lane| lane.busy.store(0, atomic::Ordering::Release));
        }
        gives_up
    }

    /// Whether nothing in the segment was there before its processes, who write no nonsense.
    pub fn is_creator(&self) -> bool {
        self.is_creator
    }

    /// One more handle to it.
    pub fn again(&self) -> Option<Arc<Attached>> {
        self.me.upgrade()
    }

    /// Whether a lane is one of this process: in a child made by fork those of its parent are not.
    pub fn owns(&self, lane: LaneId) -> bool {
        let is_lane = lane != LaneId::NOBODY && usize::from(lane.0) < MAX_LANES;
        let owner = is_lane.then(|| LaneOwner::of(self.arena.lane(lane).owner.load(Acquire)));
        self.is_joined()
            && owner.flatten().and_then(LaneOwner::tenure)
                == Some(self.identity().participant.tenure())
    }

    /// Whether a block that is PRIVATE is this process'.
    pub fn owns_block(&self, block: u64) -> bool {
        let owner = locate(&self.arena, block).and_then(|place| match place.kind {
            PlaceKind::Slab(_, Unit::Slab { lane, .. })
            | PlaceKind::Run(_, Unit::Run { lane, .. }) => Some(lane),
            _ => None,
        });
        owner.is_some_and(|owner| self.owns(owner))
    }

    /// Whether a lane is one of a process that is alive.
    pub fn is_of_the_living(&self, lane: LaneId) -> bool {
        let Some(me) = self.participant() else { return false };
        let owner = LaneOwner::of(self.arena.lane(lane).owner.load(Acquire));
        let Some(Tenure { id, counter }) = owner.and_then(LaneOwner::tenure) else { return false };
        let record = &self.arena.participants()[usize::from(id.0)];
        let word = ParticipantWord::of(record.word.load(Acquire));
        let judge = Judge::participant(self.arena.mapping().file(), me);
        word.is_some_and(|word| {
            word.counter() == counter
                && matches!(word, ParticipantWord::Live { .. })
                && judge.judge(id, record, word) == Verdict::Alive
        })
    }

    /// Whether `birth` is that of this process, not of one that it was forked from.
    pub fn is_own_birth(&self, birth: u32) -> bool {
        self.identity().birth.load(atomic::Ordering::Relaxed) == birth
    }
}

/// Where the low four bytes of a word stand, for the kernel.
fn low_half(word: &crate::sync::AtomicU64) -> *const u32 {
    ptr::from_ref(word).cast::<u32>().wrapping_add(usize::from(cfg!(target_endian = "big")))
}

/// Claims a lane that no thread uses.
fn claim_lane(lane: &Lane) -> bool {
    // Acquire pairs with the Release of who parked it.
    lane.busy.load(atomic::Ordering::Relaxed) == 0
        && lane
            .busy
            .compare_exchange(0, 1, atomic::Ordering::AcqRel, atomic::Ordering::Acquire)
            .is_ok()
}

impl Drop for Attached {
    /// Detaches. No thread is inside an operation, as each borrows the segment; so no reference into
    /// it is left, and what is still PRIVATE was forgotten.
    fn drop(&mut self) {
        // No thread may take this for what is mapped here next.
        drop(self.entry.take());
        if self.is_joined() {
            for lane in self.own_lanes() {
                if !lane.is_live() {
                    continue;
                }
                let record = self.arena.lane(lane.id());
                record.hazards.iter().for_each(|hazard| hazard.store(0, Release));
                record.array.store(0, Release);
                record.forget_reads();
                let heap = Heap { arena: &self.arena, lane };
                heap.give_away_slabs(true);
                // A lane that made none has none: what a damaged segment says is not acted upon.
                if lane.made_runs.get() {
                    for (head, run) in self.private_runs(lane.id()) {
                        heap.free_run(head, run);
                    }
                }
                let id = lane.id();
                lane.end();
                lane::give_back(&self.arena, id);
            }
            let bell = self.bell();
            if let Some(bell) = &bell {
                let me = self.identity().participant.id();
                bell.take_down(&self.arena.participants()[usize::from(me.0)]);
            }
            self.identity().participant.detach(self.arena.participants());
            drop(bell);
            let birth = self.identity().birth.load(atomic::Ordering::Acquire);
            BIRTHS[birth as usize].store(ptr::null_mut(), atomic::Ordering::Release);
            let mut next: *const Lane = self.identity().lanes.load(atomic::Ordering::Acquire);
            while let Some(lane) = ptr::NonNull::new(next.cast_mut()) {
                // SAFETY: mapped by `new_lane`, and nobody uses it any more.
                next = unsafe { lane.as_ref() }.next.get();
                // SAFETY: as above; the threads that remember it ask by the id of this attachment.
                unsafe { wiped::unmap(lane.as_ptr()) };
            }
        }
        // SAFETY: mapped by `new`; this is the last use.
        unsafe { wiped::unmap(self.identity.cast_mut()) };
    }
}

/// A thread's memory of the lane that it used last, for the hot path.
#[derive(Clone, Copy)]
struct LastLane {
    attached: u64,
    lane: *const Lane,
}

/// The lanes that a thread has, each parked when the thread ends.
struct HeldLanes(RefCell<Vec<HeldLane>>);

struct HeldLane {
    attached: Weak<Attached>,
    id: u64,
    birth: u32,
    lane: *const Lane,
}

thread_local! {
    static LAST: Cell<LastLane> = const { Cell::new(LastLane { attached: 0, lane: ptr::null() }) };
    static HELD: HeldLanes = const { HeldLanes(RefCell::new(Vec::new())) };
}

impl Drop for HeldLanes {
    fn drop(&mut self) {
        let _ = LAST.try_with(|last| last.set(LastLane { attached: 0, lane: ptr::null() }));
        for held in self.0.take() {
            if let Some(attached) = held.attached.upgrade() {
                // SAFETY: the attachment is alive, so its lanes are mapped.
                let lane = unsafe { &*held.lane };
                release_user(&attached, lane, held.birth);
            }
        }
    }
}

/// One handle or thread-local entry that led to `lane` is gone; the last one parks it.
#[inline]
pub fn release_user(attached: &Attached, lane: &Lane, birth: u32) {
    // Else it was counted before a fork: the lane was wiped, and the count with it.
    if lane.birth() == birth {
        release(attached, lane);
    }
}

/// The same, of a lane that is not of before a fork.
#[inline(always)]
pub fn release(attached: &Attached, lane: &Lane) {
    let users = lane.users.get() - 1;
    lane.users.set(users);
    if users == 0 {
        attached.park(lane);
    }
}

/// Calls `with` with the calling thread's lane of `attached`: a thread-local look-up, wait-free after
/// the first time.
#[inline(always)]
pub fn with_lane<R>(attached: &Attached, with: impl FnOnce(&Lane) -> R) -> Result<R, AllocError> {
    match LAST.try_with(Cell::get) {
        // SAFETY: this thread's lane of an attachment that is alive, as we borrow it.
        Ok(last) if last.attached == attached.id => Ok(with(unsafe { &*last.lane })),
        _ => with_found_lane(attached, with),
    }
}

#[cold]
fn with_found_lane<R>(attached: &Attached, with: impl FnOnce(&Lane) -> R) -> Result<R, AllocError> {
    LaneInUse::of(attached).map(|lane| with(&lane))
}

/// The calling thread's lane, while something is done with it that is too long to stand in the code twice, as
/// [`with_lane`] has it for what takes a few instructions.
pub struct LaneInUse<'a> {
    attached: &'a Attached,
    lane: &'a Lane,
    is_for_once: bool,
}

impl<'a> LaneInUse<'a> {
    /// A thread-local look-up, wait-free after the first time.
    #[inline(always)]
    pub fn of(attached: &'a Attached) -> Result<LaneInUse<'a>, AllocError> {
        let (lane, is_for_once) = match LAST.try_with(Cell::get) {
            Ok(last) if last.attached == attached.id => (last.lane, false),
            _ => find_lane(attached)?,
        };
        // SAFETY: this thread's lane of an attachment that is alive, as we borrow it.
        Ok(LaneInUse { attached, lane: unsafe { &*lane }, is_for_once })
    }
}

impl Deref for LaneInUse<'_> {
    type Target = Lane;
    #[inline(always)]
    fn deref(&self) -> &Lane {
        self.lane
    }
}

impl Drop for LaneInUse<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.is_for_once {
            release_user(self.attached, self.lane, self.lane.birth());
        }
    }
}

/// The calling thread's lane of `attached`, if it is live and what this thread used last.
#[inline(always)]
pub fn lane_at_hand(attached: &Attached) -> Option<&Lane> {
    last_lane(attached).filter(|lane| lane.is_live())
}

/// The same, live or not: for what does nothing with one that is not.
#[inline(always)]
pub fn last_lane(attached: &Attached) -> Option<&Lane> {
    let last = LAST.try_with(Cell::get).ok()?;
    // SAFETY: as in `with_lane`.
    (last.attached == attached.id).then(|| unsafe { &*last.lane })
}

/// The calling thread's lane of `attached`, and whether it is to be released after this once.
#[cold]
fn find_lane(attached: &Attached) -> Result<(*const Lane, bool), AllocError> {
    let held = HELD.try_with(|held| {
        held.0.borrow_mut().retain(|one| one.attached.strong_count() != 0);
        if let Some(one) = held.0.borrow().iter().find(|one| one.id == attached.id) {
            return Ok(one.lane);
        }
        // Nothing is borrowed here: to take a lane may mean to recover by another attachment first.
        let lane = attached.take_lane()?;
        lane.users.set(1);
        held.0.borrow_mut().push(HeldLane {
            attached: attached.me.clone(),
            id: attached.id,
            birth: lane.birth(),
            lane,
        });
        Ok(ptr::from_ref(lane))
    });
    let Ok(lane) = held else {
        // The thread is ending and its thread-local values are gone: a lane for this once.
        let lane = attached.take_lane()?;
        lane.users.set(1);
        return Ok((lane, true));
    };
    let lane = lane?;
    LAST.set(LastLane { attached: attached.id, lane });
    Ok((lane, false))
}

//! The facade: every shared word is one of these atomics, so that one source runs in several worlds.
//!
//! | world | cfg | what an operation is |
//! |---|---|---|
//! | the real mapping | none | the machine's instruction |
//! | loom | `loom` | a step of the model checker; [`death`] may end the thread before a write |
//! | shuttle | `loom`, `sharena_shuttle` | the machine's instruction, before which shuttle may go on with another thread; likewise |
//! | step injection | `sharena_steps` | the machine's instruction, after [`steps`] had a chance to kill the process |
//!
//! A process dies between two instructions, and a load leaves no trace in shared memory: dying
//! before a load is dying after the store before it. So only operations that write count as steps.

pub mod futex;

use core::mem::size_of;

#[cfg(any(not(loom), sharena_shuttle))]
use core::sync::atomic as world;
#[cfg(all(loom, not(sharena_shuttle)))]
use loom::sync::atomic as world;

pub use world::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

/// A full fence when `order` is `SeqCst`.
///
/// loom does not treat a fence as a scheduling point, so in its world a read-modify-write of a word
/// that nobody reads goes before a full one. Before a weaker one it does not: an Acquire fence would
/// read in that word what another thread wrote there behind its full fence, and order the two.
#[inline(always)]
pub fn fence(order: Ordering) {
    #[cfg(all(loom, not(sharena_shuttle)))]
    if order == SeqCst {
        model::scheduling_point();
    }
    world::fence(order);
}

/// A full fence behind a read-modify-write of this thread: between that, with what was stored before it, and a load.
///
/// On x86-64 a read-modify-write is a full barrier itself, a CAS that fails as well: stores before it are seen before it
/// is over. So there the fence is for the compiler alone. Under
/// Miri, which knows the language's memory model and no machine, it is the real one.
#[inline(always)]
pub fn fence_behind_rmw() {
    #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
    core::sync::atomic::compiler_fence(SeqCst);
    #[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
    fence(SeqCst);
}

/// Has the line at `at` come to the cache, as it will be read soon. A hint: any address will do.
#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
    // SAFETY: a prefetch touches nothing, and never faults.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
    let _ = at;
}

/// Lets the processor rest so many times, some 10 to 50 ns each. In models time does not pass.
#[inline]
pub fn pause(times: u32) {
    if !cfg!(loom) {
        (0..times).for_each(|_| core::hint::spin_loop());
    }
}

/// Between a SeqCst read-modify-write and a SeqCst load: in the memory model as it is, nothing more is
/// needed for the two to stand in the order of all SeqCst operations. loom takes such accesses for AcqRel
/// ones, and has that order for fences alone.
#[inline(always)]
pub fn fence_in_models() {
    #[cfg(loom)]
    fence(SeqCst);
}

#[cfg(all(loom, not(sharena_shuttle)))]
mod model {
    use super::world::{AtomicU64, Ordering::Relaxed};
    loom::lazy_static! { static ref POINT: AtomicU64 = AtomicU64::new(0); }
    pub fn scheduling_point() {
        POINT.fetch_add(1, Relaxed);
    }
}

/// shuttle runs all threads of an execution on one of the system's, and switches before it touches a
/// word of its own: this one goes before each of ours, which are then the machine's, of its size.
#[cfg(sharena_shuttle)]
mod model {
    use shuttle::sync::atomic::{AtomicBool, Ordering::SeqCst};
    static POINT: AtomicBool = AtomicBool::new(false);
    pub fn scheduling_point() {
        // A thread that dies of [`super::death`] unwinds, and does so in one step.
        if !std::thread::panicking() {
            POINT.load(SeqCst);
        }
    }
}

/// Whether there is still somebody to write: false only in the destructors of a thread of a model that
/// died.
#[inline(always)]
fn step() -> bool {
    point();
    #[cfg(sharena_steps)]
    steps::step();
    #[cfg(loom)]
    return death::step();
    #[cfg(not(loom))]
    true
}

/// Runs before each access.
#[inline(always)]
fn point() {
    #[cfg(sharena_shuttle)]
    model::scheduling_point();
}

/// An atomic word of the world that the crate is built for; [`step`] runs before each write.
macro_rules! facade_atomic {
    ($(#[$doc:meta])* $name:ident, $value:ty) => {
        $(#[$doc])*
        #[cfg_attr(any(not(loom), sharena_shuttle), repr(transparent))]
        // Whatever loom's own has: a power of two, so that positions can be shifted there, too.
        #[cfg_attr(all(loom, not(sharena_shuttle)), repr(align(16)))]
        pub struct $name(world::$name);

        impl $name {
            #[inline(always)]
            pub fn load(&self, order: Ordering) -> $value {
                point();
                self.0.load(order)
            }
            #[inline(always)]
            pub fn store(&self, value: $value, order: Ordering) {
                if step() {
                    self.0.store(value, order);
                }
            }
        }
    };
}

facade_atomic!(
    /// A shared word of eight bytes.
    AtomicU64,
    u64
);
facade_atomic!(
    /// A shared byte: the state of a block. It is never changed by read-modify-write.
    AtomicU8,
    u8
);

const GHOST: &str = "a destructor of a dead thread does more than store";

impl AtomicU64 {
    #[cfg(loom)]
    pub fn new(value: u64) -> Self {
        Self(world::AtomicU64::new(value))
    }
    #[cfg(not(loom))]
    pub const fn new(value: u64) -> Self {
        Self(world::AtomicU64::new(value))
    }
    /// A Release store by the one who alone stores into a word which others change by read-modify-write.
    ///
    /// What they change is before it, or they find what it stored. loom lets such a change be before it that comes
    /// to be after it (its `outcomes/store-beside-cas`), so in its world this is a read-modify-write, too.
    #[inline(always)]
    pub fn store_beside_rmw(&self, value: u64) {
        #[cfg(loom)]
        self.swap(value, Ordering::AcqRel);
        #[cfg(not(loom))]
        self.store(value, Ordering::Release);
    }
    #[inline(always)]
    pub fn swap(&self, value: u64, order: Ordering) -> u64 {
        assert!(step(), "{GHOST}");
        self.0.swap(value, order)
    }
    /// The value found, as `Ok` if it was `current` and is now `new`.
    #[inline(always)]
    pub fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        assert!(step(), "{GHOST}");
        self.0.compare_exchange(current, new, success, failure)
    }
    #[inline(always)]
    pub fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
        assert!(step(), "{GHOST}");
        self.0.fetch_or(bits, order)
    }
    #[inline(always)]
    pub fn fetch_and(&self, bits: u64, order: Ordering) -> u64 {
        assert!(step(), "{GHOST}");
        self.0.fetch_and(bits, order)
    }
    #[inline(always)]
    pub fn fetch_add(&self, by: u64, order: Ordering) -> u64 {
        assert!(step(), "{GHOST}");
        self.0.fetch_add(by, order)
    }
    #[inline(always)]
    pub fn fetch_sub(&self, by: u64, order: Ordering) -> u64 {
        assert!(step(), "{GHOST}");
        self.0.fetch_sub(by, order)
    }
}

#[cfg(loom)]
impl AtomicU8 {
    pub fn new(value: u8) -> Self {
        Self(world::AtomicU8::new(value))
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<AtomicU64>() == 8 && size_of::<AtomicU8>() == 1);
const _: () = assert!(size_of::<AtomicU8>().is_power_of_two());

/// Makes `count` words at `at`, each zero: memory from the kernel is that already, but loom's atomics
/// are more than their value.
///
/// # Safety
/// `at` is valid for writes of `count` words, aligned, and nobody else uses it.
#[cfg(loom)]
pub unsafe fn construct_zeroed(at: *mut AtomicU64, count: usize) {
    for i in 0..count {
        // SAFETY: in range by the caller's promise, which also makes us the only user.
        unsafe { at.add(i).write(AtomicU64::new(0)) };
    }
}

/// The same for state bytes.
///
/// # Safety
/// As [`construct_zeroed`].
#[cfg(loom)]
pub unsafe fn construct_zeroed_bytes(at: *mut AtomicU8, count: usize) {
    for i in 0..count {
        // SAFETY: in range by the caller's promise, which also makes us the only user.
        unsafe { at.add(i).write(AtomicU8::new(0)) };
    }
}

/// Eight neighbouring state bytes in one look, the first in the lowest byte; each as by a relaxed load.
///
/// Others store single bytes of the eight meanwhile. Rust's memory model knows no atomic access of
/// mixed size, so the load is one machine instruction that the compiler does not look into: its
/// meaning is that of eight relaxed byte loads, which is what other targets and loom do. A caller
/// that acts on what it saw puts an Acquire fence behind it.
///
/// # Safety
/// `at` is aligned to eight bytes and valid for reads of eight state bytes.
#[inline(always)]
pub unsafe fn load_eight(at: *const AtomicU8) -> u64 {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    {
        let bytes: u64;
        // SAFETY: an aligned load of eight bytes that the caller vouches for; it is one access on
        // this architecture and changes neither memory, flags nor stack.
        unsafe {
            core::arch::asm!("mov {}, qword ptr [{}]", out(reg) bytes, in(reg) at, options(nostack, preserves_flags, readonly));
        }
        bytes
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom))))]
    {
        (0..8).fold(0, |bytes, i| {
            // SAFETY: the caller vouches for eight bytes.
            let byte = unsafe { (*at.add(i)).load(Relaxed) };
            bytes | u64::from(byte) << (8 * i)
        })
    }
}

/// Gives eight neighbouring state bytes one value, each as by a relaxed store.
///
/// Nobody else writes any of the eight meanwhile; others may read them. See [`load_eight`].
///
/// # Safety
/// `at` is aligned to eight bytes and valid for writes of eight state bytes, which are the caller's
/// alone to write.
#[inline(always)]
pub unsafe fn store_eight(at: *const AtomicU8, byte: u8) {
    assert!(step(), "{GHOST}");
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    {
        let bytes = u64::from(byte) * 0x0101_0101_0101_0101;
        // SAFETY: an aligned store of eight bytes that the caller vouches for, one access.
        unsafe {
            core::arch::asm!("mov qword ptr [{}], {}", in(reg) at, in(reg) bytes, options(nostack, preserves_flags));
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom))))]
    {
        for i in 0..8 {
            // SAFETY: the caller vouches for eight bytes.
            unsafe { (*at.add(i)).store(byte, Relaxed) };
        }
    }
}

/// Death or a stop at a chosen step, for the crash suites: built with `--cfg sharena_steps`.
#[cfg(sharena_steps)]
pub mod steps {
    use core::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

    static TAKEN: AtomicU64 = AtomicU64::new(0);
    static CHOSEN: AtomicU64 = AtomicU64::new(u64::MAX);
    static SIGNAL: AtomicI32 = AtomicI32::new(libc::SIGKILL);

    /// Starts to count; the process is killed (SIGKILL to itself) before its `step`-th write, from 0.
    pub fn die_at(step: u64) {
        signal_at(step, libc::SIGKILL);
    }

    /// The same, but it is stopped (SIGSTOP).
    pub fn stop_at(step: u64) {
        signal_at(step, libc::SIGSTOP);
    }

    fn signal_at(step: u64, signal: i32) {
        TAKEN.store(0, Relaxed);
        SIGNAL.store(signal, Relaxed);
        CHOSEN.store(step, Relaxed);
    }

    /// Writes since then.
    pub fn taken() -> u64 {
        TAKEN.load(Relaxed)
    }

    #[inline]
    pub(super) fn step() {
        if TAKEN.fetch_add(1, Relaxed) == CHOSEN.load(Relaxed) {
            // SAFETY: `raise` has no memory-safety conditions.
            unsafe { libc::raise(SIGNAL.load(Relaxed)) };
        }
    }
}

/// Death of a thread of a model at a chosen step: it unwinds, and what its destructors would write is
/// not written.
#[cfg(loom)]
pub mod death {
    #[cfg(not(sharena_shuttle))]
    use loom::thread::{ThreadId, current};
    #[cfg(sharena_shuttle)]
    use shuttle::thread::{ThreadId, current};
    use std::cell::RefCell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    struct Died;

    thread_local! {
        /// Of each mortal thread: its writes until it dies, `None` when it is dead. Checkers run
        /// all threads of an execution in one of the system's.
        static MORTALS: RefCell<Vec<(ThreadId, Option<u64>)>> = const { RefCell::new(Vec::new()) };
    }

    /// Runs `act` in this thread until its `step`-th write, from 0; `None`: it came to that.
    pub fn before<T>(step: u64, act: impl FnOnce() -> T) -> Option<T> {
        let me = current().id();
        MORTALS.with_borrow_mut(|mortals| mortals.push((me, Some(step))));
        let done = catch_unwind(AssertUnwindSafe(act));
        MORTALS.with_borrow_mut(|mortals| mortals.retain(|(mortal, _)| *mortal != me));
        match done {
            Ok(value) => Some(value),
            Err(died) if died.is::<Died>() => None,
            Err(failure) => resume_unwind(failure),
        }
    }

    pub(super) fn step() -> bool {
        let is_last = MORTALS.with_borrow_mut(|mortals| {
            if mortals.is_empty() {
                return Some(false);
            }
            let me = current().id();
            let Some((_, left)) = mortals.iter_mut().find(|(mortal, _)| *mortal == me) else {
                return Some(false);
            };
            let steps = (*left)?;
            *left = steps.checked_sub(1);
            Some(left.is_none())
        });
        match is_last {
            Some(true) => resume_unwind(Box::new(Died)),
            alive => alive.is_some(),
        }
    }
}

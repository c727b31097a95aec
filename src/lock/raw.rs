//! The mutex without its value: one word, and the steps.
//!
//! ```text
//! lock    m1  CAS 0 → me
//!         else, again and again:
//!         m2  news := deaths                                 before the look
//!         m3  look at the word
//!             free   CAS word → me | flags | WAITERS if we have slept
//!             dead   CAS exactly this word → me | WAITERS | DIED
//!             held   CAS word → word | WAITERS; sleep while the word is that and deaths is news
//! unlock  m4  CAS me → 0, else CAS word → its flags without WAITERS
//!         m5  there were WAITERS: wake one
//! ```
//!
//! **One owner**: every change is a CAS of a word that has the owner in it, and from a dead owner the lock
//! is taken by a CAS of exactly the word that was judged.
//!
//! **No wake-up is lost**: who sleeps has seen WAITERS in the word, and unlock takes owner and flag in one
//! step; who takes the lock after having slept puts WAITERS back, for the others who sleep.
//!
//! | dies | is left | who goes on |
//! |---|---|---|
//! | before m1, in m2, m3 | perhaps WAITERS: one needless wake-up | everybody |
//! | as owner | the word | who looks at it: takes it, with the news |
//! | between m4 and m5, or woken and not yet at m3 | a free lock, and others asleep | `deaths`, and the slice of each sleeper |

use crate::lock::party::{Party, Patience, news_of};
use crate::lock::word::{DIED, FRESH, HUNGRY, KEPT, PANICKED, UNTOUCHED, WAITERS, Who};
use crate::sync::futex::{self, Moment, Woken, low_half};
use crate::sync::{AcqRel, Acquire, AtomicU64, Relaxed, Release};

/// Looks before the first sleep. In a model a look more is a look more in each interleaving.
const SPINS: u32 = if cfg!(loom) { 0 } else { 100 };

/// The word of a lock. All zero: free.
#[repr(transparent)]
pub struct RawMutex(pub(super) AtomicU64);

/// What was known of the lock when it was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// A holder panicked.
    pub panicked: bool,
    /// A holder died.
    pub died: bool,
}

impl Taken {
    /// Nothing is to be said.
    pub const CLEAN: Taken = Taken { panicked: false, died: false };

    pub(super) fn of(word: u64) -> Taken {
        Taken { panicked: word & PANICKED != 0, died: word & DIED != 0 }
    }
}

/// Not taken: somebody has it, and the time is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held;

impl RawMutex {
    #[cfg(not(loom))]
    pub const fn new() -> RawMutex {
        RawMutex(AtomicU64::new(0))
    }

    #[cfg(loom)]
    pub fn new() -> RawMutex {
        RawMutex(AtomicU64::new(0))
    }

    /// The lock whose word it is.
    pub fn of_word(word: &AtomicU64) -> &RawMutex {
        // SAFETY: a transparent wrapper of it.
        unsafe { &*core::ptr::from_ref(word).cast() }
    }

    /// Takes a lock that is free and clean.
    #[inline(always)]
    pub fn try_fast(&self, me: Who) -> bool {
        // Acquire pairs with the Release of unlock: what the last holder did.
        self.0.compare_exchange(0, me.0, AcqRel, Relaxed).is_ok()
    }

    /// Takes the lock if it is free, or its owner dead.
    pub fn try_lock(&self, party: &impl Party) -> Result<Taken, Held> {
        let me = party.me();
        loop {
            let word = self.look();
            let owner = Who::in_word(word);
            if owner == Who::NOBODY {
                if self.take(word, me.0 | word & (KEPT | WAITERS)) {
                    return Ok(Taken::of(word));
                }
            } else if owner != me && party.is_dead(owner, false) {
                let taken = Self::taken_over(word, me);
                if self.take(word, taken) {
                    return Ok(Taken::of(taken));
                }
            } else {
                return Err(Held);
            }
        }
    }

    /// Takes the lock, waiting `until` then at most.
    pub fn lock(&self, party: &impl Party, until: Option<Moment>) -> Result<Taken, Held> {
        if self.try_fast(party.me()) { Ok(Taken::CLEAN) } else { self.lock_slow(party, until) }
    }

    #[cold]
    pub fn lock_slow(&self, party: &impl Party, until: Option<Moment>) -> Result<Taken, Held> {
        let me = party.me();
        self.spin();
        let mut patience = Patience::until(until);
        // Of whom, and after which news, the kernel said last that he lives.
        let mut lives = (Who::NOBODY, 0);
        let mut thoroughly = false;
        loop {
            let news = news_of(party);
            let word = self.look();
            let owner = Who::in_word(word);
            let slept = if patience.has_slept() { WAITERS } else { 0 };
            let may_take = || word & HUNGRY == 0 || patience.has_slept() || patience.is_over();
            if owner == Who::NOBODY && may_take() {
                // Whoever else is hungry says so again when it looks next.
                let kept = word & (PANICKED | DIED | FRESH | WAITERS);
                if self.take(word, me.0 | kept | slept) {
                    return Ok(Taken::of(word));
                }
                continue;
            }
            if owner != Who::NOBODY && owner != me && (lives != (owner, news) || thoroughly) {
                if party.is_dead(owner, thoroughly) {
                    let taken = Self::taken_over(word, me);
                    if self.take(word, taken) {
                        return Ok(Taken::of(taken));
                    }
                    continue;
                }
                (lives, thoroughly) = ((owner, news), false);
            }
            patience.wait_for(owner);
            if patience.is_over() {
                return Err(Held);
            }
            let hungry = if owner != Who::NOBODY && patience.is_hungry() { HUNGRY } else { 0 };
            let waiting = word | WAITERS | hungry;
            // Relaxed: it tells who unlocks to wake, and nothing else.
            if waiting != word && self.0.compare_exchange(word, waiting, Relaxed, Relaxed).is_err()
            {
                continue;
            }
            let heard = (&self.0, low_half(waiting));
            thoroughly = patience.sleep(party, heard, news) == Woken::TimedOut;
        }
    }

    /// m3, the look. Acquire pairs with the CAS by which an owner took the lock: whoever judges that one
    /// sees that it had attached before.
    pub(super) fn look(&self) -> u64 {
        self.0.load(Acquire)
    }

    /// The word of a lock that `me` took from a dead owner. Somebody may sleep whom that one was to wake.
    fn taken_over(word: u64, me: Who) -> u64 {
        me.0 | WAITERS | word & (PANICKED | DIED | FRESH) | Self::news(word)
    }

    /// What is to be said of the death of a word's owner.
    fn news(word: u64) -> u64 {
        if word & (UNTOUCHED | FRESH) == 0 { DIED } else { 0 }
    }

    /// Frees the lock of a dead owner, if its word is still `word`, for one who does not want it himself.
    pub(super) fn bury(&self, word: u64) {
        let free = word & KEPT | Self::news(word);
        // Release: the verdict comes before. Whoever takes it next comes behind it by the Acquire of its CAS.
        if self.0.compare_exchange(word, free, AcqRel, Relaxed).is_ok() {
            // Also those whom the dead one was to wake, and did not.
            futex::wake(&self.0, u32::MAX);
        }
    }

    /// m3: takes the lock, if its word is still `word`.
    fn take(&self, word: u64, taken: u64) -> bool {
        // Acquire pairs with the Release of unlock. Of a dead owner all stores came before the verdict.
        self.0.compare_exchange(word, taken, AcqRel, Relaxed).is_ok()
    }

    /// While the lock is held, and nobody waits in earnest.
    pub(super) fn spin(&self) {
        for _ in 0..SPINS {
            let word = self.0.load(Relaxed);
            if Who::in_word(word) == Who::NOBODY || word & (WAITERS | HUNGRY) != 0 {
                return;
            }
            core::hint::spin_loop();
        }
    }

    /// Gives the lock back, if it is `me` who has it.
    #[inline(always)]
    pub fn unlock(&self, me: Who, panicked: bool) {
        // Release pairs with who takes it next: what we did is done.
        if panicked || self.0.compare_exchange(me.0, 0, Release, Relaxed).is_err() {
            self.unlock_slow(me, panicked);
        }
    }

    #[cold]
    fn unlock_slow(&self, me: Who, panicked: bool) {
        let word = self.release(me, panicked);
        if word & WAITERS != 0 {
            futex::wake(&self.0, 1);
        }
    }

    /// m4 of a lock that somebody waits for, or that is poisoned. The word from before, by which the caller
    /// knows whether it owes a wake-up; 0: `me` does not have the lock.
    pub(super) fn release(&self, me: Who, panicked: bool) -> u64 {
        self.release_as(me, |word| word & KEPT | if panicked { PANICKED } else { 0 })
    }

    fn release_as(&self, me: Who, free: impl Fn(u64) -> u64) -> u64 {
        let mut word = self.0.load(Relaxed);
        loop {
            if Who::in_word(word) != me {
                return 0;
            }
            match self.0.compare_exchange(word, free(word), Release, Relaxed) {
                Ok(_) => return word,
                Err(now) => word = now,
            }
        }
    }

    /// Gives the lock back, if it is `me` who has it, and wakes all who wait, whatever they wait to do; `marked`:
    /// all that hangs on the value is.
    pub fn unlock_for_all(&self, me: Who, marked: bool) {
        let kept = if marked { KEPT & !FRESH } else { KEPT };
        if self.release_as(me, |word| word & kept) & WAITERS != 0 {
            futex::wake(&self.0, u32::MAX);
        }
    }

    /// Takes a lock that nobody else can see yet, so that nobody has it before what hangs on its value is marked.
    pub fn take_fresh(&self, me: Who) {
        // Relaxed: whoever comes to see the lock does so by a Release of who publishes it.
        let poison = self.0.load(Relaxed) & (PANICKED | DIED);
        self.0.store(me.0 | poison | FRESH, Relaxed);
    }

    /// Whether what hangs on the value may not be marked yet. Acquire: if not, it is.
    pub fn is_fresh(&self) -> bool {
        self.look() & FRESH != 0
    }

    /// All that hangs on the value is marked: said by the owner.
    pub fn set_marked(&self) {
        // Release: the marks come before. The owner alone takes the flag back, and others the word's other flags.
        self.0.fetch_and(!FRESH, Release);
    }

    /// Whether a holder panicked or died, and nobody has cleared it since.
    pub fn poison(&self) -> Taken {
        Taken::of(self.0.load(Relaxed))
    }

    /// Whose the lock is. Relaxed: nothing of the owner's is looked at.
    pub fn owner(&self) -> Who {
        Who::in_word(self.0.load(Relaxed))
    }

    /// Whoever takes the lock next hears of a death, whatever was forgotten meanwhile: said by the owner.
    pub fn remember_death(&self) {
        // Relaxed: it is given back behind this, by a Release.
        self.0.fetch_or(DIED, Relaxed);
    }

    /// Forgets that a holder panicked or died.
    pub fn clear_poison(&self) {
        self.0.fetch_and(!(PANICKED | DIED), Relaxed);
    }
}

//! Who has an end of a ring: one word, and the steps.
//!
//! ```text
//! bits 0–11, 32–63   the owner, as in the word of a lock; 0: nobody had it yet
//! bit 16             LEFT: it is nobody's, and that one had it last
//! ```
//!
//! ```text
//! take   a1  look at the word
//!            nobody's          CAS word → me
//!            of one who died   CAS exactly this word → me
//!            of one who lives  refused
//! leave  a2  CAS me → me | LEFT
//!        a3  somebody sleeps at the other end: wake him
//! ```
//!
//! **One owner**: every change is a CAS of a word that has the owner in it, and from a dead owner the end is taken
//! by a CAS of exactly the word that was judged. The owner is a process, as for locks: two threads of one do not
//! both get an end.
//!
//! | dies | is left | who goes on |
//! |---|---|---|
//! | as owner | the word | who wants the end takes it; who waits at the other end judges it |
//! | between a2 and a3 | LEFT, and one asleep | `deaths`, and the slice of the sleeper |

use crate::lock::party::Party;
use crate::lock::word::Who;
use crate::sync::{AcqRel, Acquire, AtomicU64, Relaxed, Release};

const LEFT: u64 = 1 << 16;

/// The word. All zero: nobody has it, and nobody had.
#[repr(transparent)]
pub struct Claim(AtomicU64);

/// Not taken: this one has it, who lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken(pub Who);

/// Who had it has given it back, or is dead: by the word that says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone(pub u64);

/// What one who sleeps at the other end knows of the owner.
pub struct Asked {
    /// Of whom, and after which news, the kernel said last that he lives.
    lives: (Who, u64),
    /// Whether to ask for what takes longer to say: nothing was heard for a slice.
    pub thoroughly: bool,
}

impl Asked {
    pub const NOBODY: Asked = Asked { lives: (Who::NOBODY, 0), thoroughly: false };
}

impl Claim {
    #[cfg(not(loom))]
    pub const fn new() -> Claim {
        Claim(AtomicU64::new(0))
    }

    #[cfg(loom)]
    pub fn new() -> Claim {
        Claim(AtomicU64::new(0))
    }

    /// Acquire pairs with a1: who judges the owner sees that it had attached; and with a2: who is told that it has
    /// left sees what it did before.
    fn look(&self) -> u64 {
        self.0.load(Acquire)
    }

    /// Takes the end, if nobody has it, or a dead one.
    pub fn take(&self, party: &impl Party) -> Result<Who, Taken> {
        let me = party.me();
        loop {
            let word = self.look();
            let owner = Who::in_word(word);
            let is_free = owner == Who::NOBODY || word & LEFT != 0;
            if !is_free && (owner == me || !party.is_dead(owner, true)) {
                return Err(Taken(owner));
            }
            // Acquire pairs with a2: what the last owner did with the end. Of a dead one all stores came before
            // the verdict. Release pairs with the look. Lost: another has taken it, or left.
            if self.0.compare_exchange(word, me.0, AcqRel, Relaxed).is_ok() {
                return Ok(me);
            }
        }
    }

    /// a2; whether it was the caller's.
    pub fn leave(&self, me: Who) -> bool {
        // Release pairs with who takes it next, and with who waits at the other end.
        self.0.compare_exchange(me.0, me.0 | LEFT, Release, Relaxed).is_ok()
    }

    /// Who has the end, for one who sleeps at the other, and has `news` from before; nobody: there was none yet.
    pub fn owner(&self, party: &impl Party, news: u64, asked: &mut Asked) -> Result<Who, Gone> {
        let word = self.look();
        let owner = Who::in_word(word);
        if owner == Who::NOBODY {
            return Ok(owner);
        }
        if word & LEFT != 0 {
            return Err(Gone(word));
        }
        let is_known = asked.lives == (owner, news) && !asked.thoroughly;
        if owner != party.me() && !is_known {
            if party.is_dead(owner, asked.thoroughly) {
                return Err(Gone(word));
            }
            *asked = Asked { lives: (owner, news), thoroughly: false };
        }
        Ok(owner)
    }
}

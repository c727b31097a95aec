//! Values with blocks of their own: what hangs on an object, for processes that do not know its type.
//!
//! An object whose values have blocks is a **tree**: the object's block is its root, the others are its
//! PARTs. By the [`map`] of its type, which stands in the segment, anybody can [`walk`] it.
//!
//! ```text
//! construct, with the object pinned              destroy
//! c1  map of the type: interned                  d1  as for any object; but DOOMED instead of LIMBO
//! c2  walk: all PRIVATE, all of this segment     then whoever finds it named by no reader lets it fall:
//! c3  journal: Link or Intern                    f1  pin as a reaper; DOOMED still? named by nobody?
//! c4  object PUBLISHED; the CAS that links it    f2  journal: Fall{object}
//! c5  each part PRIVATE → PART                   f3  life: Retired → Falling(me)      (CAS: one of many)
//! c6  journal closed                             f4  each part, children first:
//!                                                        pin it; journal: at (word, part)
//!                                                        a lease: given up
//!                                                        word := 0; PART → LIMBO; journal: at nothing
//!                                                f5  object: DOOMED → LIMBO; journal closed
//! ```
//!
//! **Publication is redone, not undone.** Dead before c4: all parts are PRIVATE, so the sweep of the dead
//! process' slabs frees them like any. Dead after it: nobody lets the tree fall, as the dead one's pin is
//! on its root until its recovery is over; so each helper walks it before it sweeps, and makes parts of
//! what is PRIVATE in it. Until c5 a part is PRIVATE, and so keeps its slab with its lane: no slab is
//! given away between the link and the mark.
//!
//! **A fall goes on where it stopped.** Whoever dies in it is followed by one helper, who wins Falling(dead)
//! → Falling(me). It redoes the step that the journal is at: the part is pinned by the dead one, so it has
//! not been taken since; its word stands in a block that goes after it. All that is gone has a null
//! word, so the walk begins anew at the root.
//!
//! **What a lock guards changes** meanwhile: walks leave it alone, but those of who knows that nobody can be
//! there. How it is changed: [`change`].
//!
//! **What several own** hangs on none of them: see [`lease`].
//!
//! **What a word leads to** as an entry does to a named object, in a cell of a queue, is an object of its own, linked
//! and destroyed by the steps of [names](crate::names). It goes with the object in which the word is, as a part does
//! in f4, but that it is retired, and left to fall when that has fallen; then its word is null.
//!
//! A reaper's pin keeps the object's memory like any, but does not count as a reader's, or two reapers
//! would leave it to each other.

pub mod change;
mod fall;
pub mod fresh;
pub mod lease;
pub mod map;
#[cfg(not(loom))]
mod waiting;
pub mod walk;

pub use fall::{reap, take_over};
#[cfg(not(loom))]
pub use waiting::reap_all;

//! The checker first: small models whose outcomes are known by hand, each asserted as a whole set.
//!
//! Two checkers run the same bodies. The mended loom must see each outcome that C11 allows and it can
//! know of, and no other. shuttle, which knows interleavings only, must see exactly those outcomes that
//! some interleaving has: an opinion on the hand-made sets, and on loom's exploration, from a program
//! that shares no line with it.
//!
//! Where loom is not C11 the list says so: [`Known::blind`] is what loom never shows (a model cannot
//! tell whether an ordering that forbids it is needed), [`Known::alarm`] what it shows though it cannot
//! be (an error of a model that it may report wrongly). What the published loom 0.7.3 misses is
//! [`Known::missed`]: a thread's own load takes the place of another's in what loom remembers of the
//! word, so that it never goes back to let the write go first. `cargo xtask loom --unmended outcomes`
//! asserts that it misses just that.

mod bodies;

use crate::checker::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use bodies::*;

/// The numbers that a body returns.
pub type Outcome = Vec<u64>;
type Set = &'static [&'static [u64]];

/// A small model, and all that can come out of it.
#[cfg_attr(sharena_shuttle, allow(dead_code, reason = "shuttle knows interleavings only"))]
pub struct Known {
    pub name: &'static str,
    /// Threads, the first one among them.
    pub threads: usize,
    pub law: &'static str,
    pub body: fn() -> Outcome,
    /// Preemptions in an execution of loom's at most; `None`: any number.
    pub bound: Option<usize>,
    /// What some interleaving of the steps has.
    pub interleaved: Set,
    /// What C11 allows beside it, and loom must see.
    pub weak: Set,
    /// What C11 allows, and loom never shows.
    pub blind: Set,
    /// What C11 forbids, and loom shows.
    pub alarm: Set,
    /// What the published loom does not see of `interleaved`, `weak` and `alarm`.
    pub missed: Set,
}

impl Known {
    const fn new(
        name: &'static str,
        threads: usize,
        law: &'static str,
        body: fn() -> Outcome,
        interleaved: Set,
    ) -> Known {
        Known {
            name,
            threads,
            law,
            body,
            bound: None,
            interleaved,
            weak: &[],
            blind: &[],
            alarm: &[],
            missed: &[],
        }
    }
    const fn bound(self, bound: usize) -> Known {
        Known { bound: Some(bound), ..self }
    }
    const fn weak(self, weak: Set) -> Known {
        Known { weak, ..self }
    }
    const fn blind(self, blind: Set) -> Known {
        Known { blind, ..self }
    }
    const fn alarm(self, alarm: Set) -> Known {
        Known { alarm, ..self }
    }
    const fn missed(self, missed: Set) -> Known {
        Known { missed, ..self }
    }
}

/// What two loads can see of two words that another thread writes one after the other, in the order of
/// the second one's value and the first one's; the last is the one that orderings forbid.
const PASSED: Set = &[&[0, 0], &[0, 1], &[1, 1]];
const NOT_PASSED: Set = &[&[1, 0]];
const ONE_NEW: Set = &[&[0, 1], &[1, 0], &[1, 1]];
const BOTH_OLD: Set = &[&[0, 0]];
/// Two writers, two readers that read in opposite orders: all but that they disagree.
const AGREED: Set = &[
    &[0, 0, 0, 0],
    &[0, 0, 0, 1],
    &[0, 0, 1, 0],
    &[0, 0, 1, 1],
    &[0, 1, 0, 0],
    &[0, 1, 0, 1],
    &[0, 1, 1, 0],
    &[0, 1, 1, 1],
    &[1, 0, 0, 0],
    &[1, 0, 0, 1],
    &[1, 0, 1, 1],
    &[1, 1, 0, 0],
    &[1, 1, 0, 1],
    &[1, 1, 1, 0],
    &[1, 1, 1, 1],
];
const DISAGREED: Set = &[&[1, 0, 1, 0]];

pub const KNOWN: &[Known] = &[
    Known::new(
        "outcomes/load-then-cas",
        2,
        "a reader sees the word before or after another's load and CAS",
        load_then_cas,
        &[&[0], &[1]],
    )
    .missed(&[&[1]]),
    Known::new(
        "outcomes/load-then-add",
        2,
        "the same with an addition",
        load_then_add,
        &[&[0], &[1]],
    )
    .missed(&[&[1]]),
    Known::new(
        "outcomes/cas-then-reader",
        3,
        "the same between two spawned threads, the writer first",
        cas_then_reader,
        &[&[0], &[1]],
    ),
    Known::new(
        "outcomes/reader-then-cas",
        3,
        "the same, the reader first",
        reader_then_cas,
        &[&[0], &[1]],
    )
    .missed(&[&[1]]),
    Known::new(
        "outcomes/load-then-store",
        2,
        "the same with a store",
        load_then_store,
        &[&[0], &[1]],
    ),
    Known::new(
        "outcomes/lost-update",
        2,
        "two that load, then store, count 1 or 2",
        lost_update,
        &[&[1], &[2]],
    ),
    Known::new(
        "outcomes/two-additions",
        2,
        "two additions: each sees the other's or not, and none is lost",
        two_additions,
        &[&[2, 0, 1], &[2, 1, 0]],
    ),
    Known::new(
        "outcomes/cas-loops",
        2,
        "two CAS loops: each may have to go round once, and both count",
        cas_loops,
        &[&[2, 0, 0], &[2, 0, 1], &[2, 1, 0]],
    ),
    Known::new(
        "outcomes/three-cas-loops",
        3,
        "three CAS loops: all count, and who fails has met another's success",
        three_cas_loops,
        // Who comes first never fails, the second once at most, the third twice at most.
        &[
            &[3, 0, 0, 0],
            &[3, 0, 0, 1],
            &[3, 0, 0, 2],
            &[3, 0, 1, 0],
            &[3, 0, 1, 1],
            &[3, 0, 1, 2],
            &[3, 0, 2, 0],
            &[3, 0, 2, 1],
            &[3, 1, 0, 0],
            &[3, 1, 0, 1],
            &[3, 1, 0, 2],
            &[3, 1, 1, 0],
            &[3, 1, 2, 0],
            &[3, 2, 0, 0],
            &[3, 2, 0, 1],
            &[3, 2, 1, 0],
        ],
    ),
    Known::new(
        "outcomes/three-cas",
        3,
        "of three CAS of one word any may win",
        three_cas,
        &[&[1], &[2], &[3]],
    ),
    Known::new("outcomes/message", 2, "Release and Acquire carry a message", message, PASSED),
    Known::new(
        "outcomes/message-sequential",
        2,
        "so do SeqCst and SeqCst",
        || pass_message(SeqCst, SeqCst),
        PASSED,
    ),
    Known::new(
        "outcomes/message-relaxed",
        2,
        "relaxed ones do not",
        || pass_message(Relaxed, Relaxed),
        PASSED,
    )
    .weak(NOT_PASSED),
    Known::new(
        "outcomes/message-release-alone",
        2,
        "a Release that nobody acquires does not",
        || pass_message(Release, Relaxed),
        PASSED,
    )
    .weak(NOT_PASSED),
    Known::new(
        "outcomes/message-acquire-alone",
        2,
        "an Acquire of what nobody released does not",
        || pass_message(Relaxed, Acquire),
        PASSED,
    )
    .weak(NOT_PASSED),
    Known::new(
        "outcomes/message-by-fences",
        2,
        "fences carry it, too",
        || message_by_fences(true, true),
        PASSED,
    ),
    Known::new(
        "outcomes/message-fence-before-flag",
        2,
        "a fence of the writer alone does not",
        || message_by_fences(true, false),
        PASSED,
    )
    .weak(NOT_PASSED),
    Known::new(
        "outcomes/message-fence-behind-flag",
        2,
        "a fence of the reader alone does not",
        || message_by_fences(false, true),
        PASSED,
    )
    .weak(NOT_PASSED),
    Known::new(
        "outcomes/store-buffering",
        2,
        "without fences both may read the old",
        || store_buffer(Relaxed, Relaxed, None),
        ONE_NEW,
    )
    .weak(BOTH_OLD),
    Known::new(
        "outcomes/store-buffering-released",
        2,
        "Release and Acquire do not help",
        || store_buffer(Release, Acquire, None),
        ONE_NEW,
    )
    .weak(BOTH_OLD),
    Known::new(
        "outcomes/store-buffering-sequential",
        2,
        "with SeqCst one reads the new; loom takes it for Release and Acquire",
        || store_buffer(SeqCst, SeqCst, None),
        ONE_NEW,
    )
    .alarm(BOTH_OLD),
    Known::new(
        "outcomes/full-fences",
        2,
        "with full fences one reads the new",
        || store_buffer(Relaxed, Relaxed, Some(SeqCst)),
        ONE_NEW,
    ),
    Known::new(
        "outcomes/full-fences-alone",
        2,
        "the same where the fence is no place to switch threads: loom does not try all",
        full_fences_alone,
        ONE_NEW,
    ),
    Known::new(
        "outcomes/lesser-fences",
        2,
        "with lesser fences both may read the old",
        || store_buffer(Relaxed, Relaxed, Some(AcqRel)),
        ONE_NEW,
    )
    .weak(BOTH_OLD),
    Known::new(
        "outcomes/one-full-fence",
        2,
        "with a full fence on one side both may read the old",
        one_full_fence,
        ONE_NEW,
    )
    .weak(BOTH_OLD),
    Known::new(
        "outcomes/load-buffering",
        2,
        "each may read what the other writes later: loom never looks ahead",
        load_buffer,
        &[&[0, 0], &[0, 1], &[1, 0]],
    )
    .blind(&[&[1, 1]]),
    Known::new(
        "outcomes/coherence",
        2,
        "one word never goes back, and may be seen half-way",
        coherence,
        &[&[0, 0], &[0, 1], &[0, 2], &[1, 1], &[1, 2], &[2, 2]],
    ),
    Known::new(
        "outcomes/own-write",
        2,
        "who wrote a word reads that or what came after it",
        own_write,
        &[&[1, 1], &[1, 2], &[2, 2]],
    ),
    Known::new(
        "outcomes/release-sequence",
        3,
        "a read-modify-write continues another's release",
        release_sequence,
        &[&[], &[1]],
    ),
    Known::new(
        "outcomes/release-sequence-cut",
        3,
        "another's store ends it",
        release_sequence_cut,
        &[&[], &[1]],
    )
    .weak(&[&[0]]),
    Known::new(
        "outcomes/release-sequence-own-store",
        2,
        "the writer's own relaxed store ends it, too",
        release_sequence_own_store,
        &[&[], &[1]],
    )
    .weak(&[&[0]]),
    Known::new(
        "outcomes/causality",
        3,
        "who acquires what was told on sees what the first one did",
        || causality(Release, Acquire),
        &[&[], &[1]],
    ),
    Known::new(
        "outcomes/causality-relaxed",
        3,
        "not by a relaxed word",
        || causality(Relaxed, Relaxed),
        &[&[], &[1]],
    )
    .weak(&[&[0]]),
    Known::new(
        "outcomes/readers-disagree",
        4,
        "two readers may see two independent writes in opposite orders",
        || two_readers(false),
        AGREED,
    )
    .bound(2)
    .weak(DISAGREED),
    Known::new(
        "outcomes/readers-agree",
        4,
        "not with full fences between their reads",
        || two_readers(true),
        AGREED,
    )
    .bound(2),
    Known::new(
        "outcomes/two-words",
        2,
        "relaxed read-modify-writes of two words may pass each other: in loom they never do",
        two_words,
        PASSED,
    )
    .blind(NOT_PASSED),
    Known::new(
        "outcomes/store-beside-cas",
        3,
        "what a store is behind in its own thread no CAS of that puts back",
        store_beside_cas,
        &[&[2]],
    )
    .alarm(&[&[3]]),
];

//! Whether what lies in a segment may be taken for what it seems: **somebody vouches for it**.
//!
//! Processes that write nonsense while others are attached are out of scope; a segment's *file* is not
//! trusted. What is read from it as plain numbers may be any; but a `bool`, an enum or a vector that other
//! bytes come into while it is referred to is undefined behaviour, and a file can be made so that two things
//! lie over each other: say the table of names, and a block that is taken for free. Whoever gives out a value
//! cannot see that from the value.
//!
//! So before a process gives out anything of which not all bytes are a value, it has
//! - created the segment, so that nothing in it is older than its processes, or
//! - found a process alive that vouches for it already (which has seen it when it was sound, or found one
//!   that did, and so on), by the kernel's word and by what that one says in its record, or
//! - [checked](Segment::check) the whole segment, and found no damage;
//!
//! and then it vouches for the segment itself. The check takes time in proportion to what the segment holds.
//! It is made by the first who comes after all others were gone, and by nobody else.
//!
//! What a process says in its record, a file may say, too. But a slot's lock is held by nobody then, or by
//! who has taken the slot since, which has said 0 before.

use crate::attached::Attached;
use crate::heap::error::AllocError;
use crate::names::error::ObjectError;
use crate::process::liveness::{Judge, Verdict};
use crate::process::participant::{ParticipantId, ParticipantRecord, ParticipantWord};
use crate::segment::Segment;
use crate::shareable::Shareable;
use crate::sync::{Acquire, Release};
use crate::word::Tag;

impl Attached {
    /// Whether this process vouches for the segment.
    #[inline(always)]
    pub(crate) fn vouches(&self) -> bool {
        // Acquire pairs with the Release in `vouch`: what was looked at was so before.
        self.vouches.load(Acquire)
    }

    /// It does from now on, and tells the others.
    pub(crate) fn vouch(&self) {
        self.vouches.store(true, Release);
        if let Some(me) = self.participant() {
            // Release pairs with the Acquire in `is_vouched_for` of others. Dead before it: nobody hears of it,
            // and the next looks for itself; after it: the kernel says that who says so is dead.
            self.arena.participants()[usize::from(me.0)].vouches.store(1, Release);
        }
    }

    /// Whether another process does, which is alive by the kernel's word.
    pub(crate) fn is_vouched_for(&self) -> bool {
        let Some(me) = self.participant() else { return false };
        let judge = Judge::participant(self.arena.mapping().file(), me);
        let vouches = |(slot, record): (usize, &ParticipantRecord)| {
            // Acquire pairs with the CAS in `register`: behind a Live word `vouches` is not what a file said.
            let seen = record.word.load(Acquire);
            let Some(word) = ParticipantWord::of(seen) else { return false };
            // Its slot has been its own from before it said so until after the verdict.
            slot != usize::from(me.0)
                && matches!(word, ParticipantWord::Live { .. })
                // Acquire pairs with the Release in `vouch`.
                && record.vouches.load(Acquire) == 1
                && judge.judge(ParticipantId(slot as u16), record, word) == Verdict::Alive
                && record.word.load(Acquire) == seen
        };
        let high = self.arena.header().participants_high.load(Acquire) as usize;
        self.arena.participants().iter().enumerate().take(high).any(vouches)
    }
}

impl Segment {
    /// Refused: values of this type cannot be given out, or taken.
    #[inline(always)]
    pub(crate) fn trusts<T: Shareable>(&self) -> Result<(), ObjectError> {
        if T::ANY_BITS && !T::HAS_BLOCKS && !T::HAS_LOCKS {
            return Ok(());
        }
        self.vouch()?;
        if T::HAS_LOCKS {
            self.attached().hang_bell();
        }
        Ok(())
    }

    /// Refused: nothing that relies on bytes that nobody changes.
    #[inline(always)]
    pub(crate) fn vouch(&self) -> Result<(), ObjectError> {
        if self.attached().vouches() { Ok(()) } else { self.vouch_slow() }
    }

    #[cold]
    fn vouch_slow(&self) -> Result<(), ObjectError> {
        let is_sound = || self.check().map(|report| report.damages().next().is_none());
        if !self.attached().is_vouched_for() && !is_sound()? {
            return Err(ObjectError::Corrupt {
                what: "not all in it fits together, so only plain numbers can be used of it",
            });
        }
        self.attached().vouch();
        Ok(())
    }

    /// [`Attached::tag`](crate::attached::Attached::tag), for who makes a collection.
    pub(crate) fn tag(&self) -> Result<Tag, AllocError> {
        self.vouch().map_err(|error| match error {
            ObjectError::Alloc(error) => error,
            ObjectError::TooManyRefs { .. } => AllocError::TooManyRefs,
            _ => AllocError::Corrupt,
        })?;
        self.attached().tag()
    }
}

#[cfg(all(test, not(sharena_shuttle)))]
mod tests {
    use super::*;
    use crate::Options;
    use crate::collections::Vec;
    use crate::heap::unit::UnitIndex;
    use crate::lock::{Mutex, RwLock};
    use crate::process::participant::HeldBy;
    use crate::sync::Relaxed;
    use std::path::{Path, PathBuf};

    struct File(PathBuf);

    impl File {
        fn new(test: &str) -> File {
            let name = format!("sharena-trust-{test}-{}", std::process::id());
            File(std::env::temp_dir().join(name))
        }

        fn open(&self) -> Segment {
            Segment::open_at(&self.0).unwrap()
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn create(at: &Path) -> Segment {
        let segment = Options::new().capacity(1 << 20).create_at(at).unwrap();
        segment.construct("number", 7u64).unwrap();
        segment.construct("truth", true).unwrap();
        segment.construct("guarded", Mutex::new(5u64)).unwrap();
        segment.construct("read", RwLock::new(true)).unwrap();
        segment
    }

    /// One word of the tables is none that there is, and each record says that its process vouches.
    fn damage(segment: &Segment) {
        let arena = &segment.attached().arena;
        let never_used = UnitIndex((arena.layout().units - 1) as u32);
        arena.unit_word(never_used).store(0xf, Relaxed);
        arena.participants().iter().for_each(|record| record.vouches.store(1, Relaxed));
        assert!(segment.check().unwrap().damages().next().is_some());
    }

    /// What can be had of it.
    fn is_trusted(segment: &Segment) -> bool {
        assert_eq!(segment.find::<u64>("number").unwrap().as_deref(), Some(&7), "any are numbers");
        let answers = [
            segment.find::<bool>("truth").map(drop),
            segment.find::<Mutex<u64>>("guarded").map(drop),
            segment.find::<RwLock<bool>>("read").map(drop),
            segment.construct("more", 'x').map(drop),
            segment.own(true).map(drop),
            segment.find_or_construct("most", || false).map(drop),
        ];
        let is_refused =
            |answer: &Result<(), ObjectError>| matches!(answer, Err(ObjectError::Corrupt { .. }));
        let refused = answers.iter().filter(|answer| is_refused(answer)).count();
        assert!([0, answers.len()].contains(&refused), "{answers:?}");
        #[cfg(feature = "rkyv")]
        for answer in [
            segment.construct_archive("archive", &1u8).map(drop),
            segment.find_archive::<u8>("archive").map(drop),
        ] {
            use crate::archive::ArchiveError::Object;
            let is_refused = matches!(answer, Err(Object(ObjectError::Corrupt { .. })));
            assert_eq!(is_refused, refused != 0, "{answer:?}");
        }
        if refused != 0 {
            // Where they are not, they would keep the attachment.
            assert_eq!(Vec::<u64>::try_new_in(segment).err(), Some(AllocError::Corrupt));
            assert_eq!(segment.enter().err(), Some(AllocError::Corrupt));
        }
        refused == 0
    }

    #[test]
    fn who_finds_nobody_alive_trusts_a_sound_file_alone() {
        let file = File::new("alone");
        drop(create(&file.0));
        assert!(is_trusted(&file.open()), "it was checked");
        damage(&file.open());
        // Slots that were used are described anew; of others the file's word is no live one's.
        let (one, other) = (file.open(), file.open());
        // As a process leaves it that vouched, and was killed.
        let arena = &one.attached().arena;
        let live = ParticipantWord::Live { counter: 0, held_by: HeldBy::Mapping }.word();
        arena.participants()[5].word.store(live, Relaxed);
        arena.header().participants_high.store(6, Relaxed);
        assert!(!is_trusted(&one));
        assert!(!is_trusted(&other), "nor by the word of who does not vouch");
    }

    #[test]
    fn who_is_alive_vouches_for_what_it_made_or_saw() {
        let file = File::new("beside");
        let creator = create(&file.0);
        let beside = file.open();
        damage(&creator);
        assert!(is_trusted(&beside), "its creator vouches");
        drop(creator);
        let third = file.open();
        assert!(is_trusted(&third), "and then whoever relied on it");
        drop((beside, third));
        assert!(!is_trusted(&file.open()), "nobody is left");
    }
}

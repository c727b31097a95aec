//! Whether a segment is what it should be: [`Segment::check`] verifies the invariants that all else
//! relies on, and names what is wrong.
//!
//! It goes over the whole segment in passes. What is damaged or was left behind stays; what is only
//! on its way from one state to the next does not: a finding is reported if several passes over the
//! segment met it, word for word. So a pass that finds nothing ends the check, and one that finds
//! something is followed by a few more. No pass waits for anybody.
//!
//! Nothing read from the segment is believed: each offset and number is checked before it is
//! followed, each loop is bounded by the size of the tables, so that any bytes can be checked.

#[cfg(test)]
mod any_bytes;
mod heap;
#[cfg(test)]
mod hostile;
mod journals;
mod lanes;
mod leases;
mod names;
mod parts;
#[cfg(test)]
mod tests;

use crate::arena::Arena;
use crate::heap::unit::{LaneId, UnitIndex};
use crate::names::Names;
use crate::names::error::ObjectError;
use crate::segment::Segment;
use crate::stats::look::Looker;
use crate::trace::lease::Count;
use core::fmt;
use lanes::Standing;
use std::collections::{HashMap, HashSet};

/// Passes over the segment before what is found in each of them is reported.
const PASSES: u32 = 4;
/// Findings of one kind that are kept; of more only the number is.
const LIMIT: usize = 10_000;

/// What [`Segment::check`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// What is damaged, or was left behind by dead processes; empty: all is well.
    pub findings: Vec<Finding>,
    /// What is no error, but worth knowing: operations under way, stale hints.
    pub notes: Vec<Finding>,
    /// Findings beyond those that are listed.
    pub omitted: u64,
    /// What was looked at, in the last pass.
    pub looked: Looked,
    /// Lanes of other threads and processes. With none at work the report is exact; beside others at
    /// work see [`Segment::check`].
    pub others: u64,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Looked {
    /// Units below the frontier.
    pub units: u64,
    /// Slabs.
    pub slabs: u64,
    /// Blocks of slabs.
    pub blocks: u64,
    /// Runs.
    pub runs: u64,
    /// Participants: attached, or died attached.
    pub participants: u64,
    /// Lanes in use.
    pub lanes: u64,
    /// Arrays of names.
    pub arrays: u64,
    /// Names, those without an object among them.
    pub names: u64,
    /// Objects that have a name, descriptions and maps of types among them.
    pub objects: u64,
    /// Blocks that hang on objects.
    pub parts: u64,
    /// Published objects without a name.
    pub unnamed: u64,
    /// Values that several own, behind an [`Arc`](crate::collections::Arc).
    pub shared: u64,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// No error.
    Note,
    /// A process died and left it; it is to be recovered. Nothing is damaged.
    Leftover,
    /// An invariant is broken: the segment was written to by something else than this crate, or this
    /// crate has a fault.
    Damage,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which invariant.
    pub kind: FindingKind,
    /// Where.
    pub place: FindingPlace,
    /// What was found there, in words.
    pub text: String,
}

impl core::hash::Hash for Severity {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (*self as u8).hash(state);
    }
}

/// Where something was found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingPlace {
    /// In the segment's header.
    Header,
    /// In the unit of this number.
    Unit(u32),
    /// In the lane of this number.
    Lane(u16),
    /// In the participant's record of this number.
    Participant(u16),
    /// At this many bytes from the segment's start.
    Offset(u64),
    /// At the entry of this name.
    Name(String),
    /// In the segment as a whole.
    Segment,
}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident => $name:literal,)+) => {
        /// Which invariant a finding is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum FindingKind {
            $($(#[$doc])+ $kind,)+
        }

        impl FindingKind {
            /// All of them.
            pub const ALL: &[FindingKind] = &[$(FindingKind::$kind,)+];

            /// A short name, for programs: words of lower case, joined by hyphens.
            pub fn name(self) -> &'static str {
                match self {
                    $(FindingKind::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    /// The numbers of the header are possible and agree with each other.
    Header => "header",
    /// A participant's word is one of those that are written, and only slots that were ever used
    /// are.
    Participant => "participant",
    /// No participant is dead.
    DeadProcess => "dead-process",
    /// A lane's owner word is one of those that are written, and names an attached participant.
    LaneOwner => "lane-owner",
    /// A lane that no thread uses has no hazard and pins no array.
    Hazard => "hazard",
    /// A lane reads locks that can be where it says, and none if it is nobody's.
    Reading => "reading",
    /// A lane that no thread uses has its journal closed; an open one says what there is, and that of
    /// a dead process what recovery can finish or undo without harm to anything else.
    Journal => "journal",
    /// A unit's word is one of those that are written; that of a unit that was never in use is 0.
    UnitWord => "unit-word",
    /// What begins at a unit has units, and ends below the frontier.
    Extent => "extent",
    /// What begins at a unit covers no other head and no free unit.
    Overlap => "overlap",
    /// Each further unit of something says how far below its head is.
    Tail => "tail",
    /// What is neither free nor in use is being claimed or given back by a lane that is in use.
    Claim => "claim",
    /// Slabs and private runs belong to a lane in use, whose notes on each slab have a place of
    /// their own.
    Owner => "owner",
    /// A block's state is one of the five, FREE behind the last block; only in a slab that has an
    /// owner is it PRIVATE.
    BlockState => "block-state",
    /// The set of free units shows each of them from the top.
    FreeSet => "free-set",
    /// The set of orphans of a class shows each that has room.
    OrphanSet => "orphan-set",
    /// The set of runs that wait for their readers shows each.
    LimboSet => "limbo-set",
    /// The sets name units in use only. (That one names a unit that is something else is a note.)
    ForeignHint => "foreign-hint",
    /// The arrays of names follow each other from the oldest to the newest, the current one among
    /// them, each in a published block large enough; those before the current one were moved whole.
    Array => "array",
    /// A slot leads to an entry in a published block large enough, once in its array, and shows the
    /// top bits of its hash.
    Slot => "slot",
    /// A search for a name comes by the slot that leads to its entry, also in the array to which that
    /// was moved.
    Path => "path",
    /// An entry has the hash of its name, which is one that can be given.
    Entry => "entry",
    /// No name has two entries in use.
    TwoEntries => "two-entries",
    /// A name that has an object leads to a published block.
    Value => "value",
    /// An object with a name has a whole header that says so, and fits its block.
    Object => "object",
    /// No object has two names.
    TwoNames => "two-names",
    /// A published block is an array, an entry, an object with a name, or a whole object without.
    Block => "block",
    /// Each part hangs on one object; what hangs on an object is whole.
    Part => "part",
    /// Each lease leads to an object that has a count, or to none; each such object has as many as it counts.
    Lease => "lease",
    /// The bytes that are free, counted unit by unit and block by block, are those of
    /// [`Segment::stats`].
    Accounting => "accounting",
}

impl Report {
    /// Whether nothing is damaged and nothing left behind.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The findings that are damage.
    pub fn damages(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Damage)
    }

    /// The findings that dead processes left.
    pub fn leftovers(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Leftover)
    }
}

impl Segment {
    /// Verifies the invariants of the whole segment; each is the meaning of one [`FindingKind`].
    ///
    /// May be called while others use the segment: it waits for nobody, hinders nobody, and changes
    /// nothing. Takes time and process memory in proportion to what the segment holds.
    ///
    /// **Exact at rest**, when no other thread is inside an operation on the segment: what is
    /// reported is wrong, and what is not reported is as it should be. **Beside others at work** a
    /// finding is reported if it was there, unchanged, in each of four passes over the segment; so
    /// what a running thread is about to do is not reported, but what one does that is *stopped* in
    /// the middle of an operation may be, and something that broke after a pass went by may be
    /// missed.
    ///
    /// Any bytes can be checked: damage is found, not followed.
    ///
    /// # Errors
    /// [`ObjectError::Alloc`] if the calling thread can have no lane, and
    /// [`ObjectError::TooManyRefs`]. Damage is no error but a finding.
    pub fn check(&self) -> Result<Report, ObjectError> {
        let mut last = self.pass()?;
        for _ in 1..PASSES {
            if last.findings.iter().all(|finding| finding.severity == Severity::Note) {
                break;
            }
            let mut again = self.pass()?;
            let before: HashSet<Finding> = last.findings.into_iter().collect();
            again.findings.retain(|finding| before.contains(finding));
            again.omitted = again.omitted.min(last.omitted);
            last = again;
        }
        let is_note = |finding: &Finding| finding.severity == Severity::Note;
        let (notes, mut findings): (Vec<_>, Vec<_>) = last.findings.into_iter().partition(is_note);
        findings.sort_by_key(|finding| core::cmp::Reverse(finding.severity));
        Ok(Report {
            findings,
            notes,
            omitted: last.omitted,
            looked: last.looked,
            others: last.others,
        })
    }

    fn pass(&self) -> Result<Passed, ObjectError> {
        self.with_names(|names| {
            let mut pass = Pass::new(self, names)?;
            pass.check_header();
            pass.check_participants();
            pass.check_lanes();
            pass.check_names();
            pass.check_units();
            pass.check_sharing();
            pass.check_entered();
            pass.check_nameless();
            pass.check_parts();
            pass.check_journals();
            pass.check_counts();
            pass.check_sets();
            pass.report_dead();
            pass.check_accounting()?;
            Ok(Passed {
                findings: pass.findings,
                omitted: pass.omitted,
                looked: pass.looked,
                others: pass.others,
            })
        })
    }
}

/// What one pass found.
struct Passed {
    findings: Vec<Finding>,
    omitted: u64,
    looked: Looked,
    others: u64,
}

/// What is known of a dead participant.
#[derive(Default)]
struct Dead {
    lanes: u64,
    slabs: u64,
    private_bytes: u64,
}

/// One pass over the segment, and what it knows so far.
struct Pass<'a> {
    segment: &'a Segment,
    arena: &'a Arena,
    names: Names<'a>,
    looker: Looker<'a>,
    findings: Vec<Finding>,
    kept: HashMap<FindingKind, usize>,
    omitted: u64,
    looked: Looked,
    others: u64,
    /// By lane.
    standings: Vec<Standing>,
    /// Lanes of live participants whose threads are inside no operation: the present one's, and
    /// those that wait for a thread.
    resting: HashSet<u16>,
    /// By slot.
    dead: HashMap<u16, Dead>,
    /// What open journals name, and the lane of each.
    announced: HashMap<u64, LaneId>,
    arrays: HashSet<u64>,
    entries: HashSet<u64>,
    /// Blocks in which an entry stands behind an object, and where.
    homes: HashMap<u64, u64>,
    /// Objects that a name leads to, and its entry; or a cell of a queue, and that.
    objects: HashMap<u64, u64>,
    /// Words of queues that lead to objects, or to none, and in which object they are.
    led: HashMap<u64, u64>,
    /// Objects to which those lead, and on which more may hang.
    to_enter: Vec<u64>,
    /// Objects that say that they have a name, met in the units before anything that leads to them.
    nameless: Vec<u64>,
    /// Parts that were met in the units, and their bytes.
    parts: Vec<(u64, u64)>,
    /// Blocks that hang on objects, and on which.
    reached: HashMap<u64, u64>,
    /// Locks that guard something with blocks, and in which object they are.
    locks: HashMap<u64, u64>,
    /// Words that will have other values when the changes are made that the dead had begun.
    changes: HashMap<u64, u64>,
    /// Objects that are being given their first lease, and by which lane.
    sharing: Vec<(u64, LaneId)>,
    /// Objects to which leases lead, and how many to each.
    leases: HashMap<u64, u64>,
    /// Objects whose counts open tallies name, and the lane of each.
    tallied: HashMap<u64, LaneId>,
    /// Objects that have a count, as they were met, and that.
    counted: HashMap<u64, Count>,
    /// Whether more may hang on some, behind locks that are held.
    has_more: bool,
    /// Bytes that are free.
    free: u64,
}

impl<'a> Pass<'a> {
    fn new(segment: &'a Segment, names: Names<'a>) -> Result<Pass<'a>, ObjectError> {
        Ok(Pass {
            segment,
            arena: names.heap.arena,
            names,
            looker: Looker::new(names)?,
            findings: Vec::new(),
            kept: HashMap::new(),
            omitted: 0,
            looked: Looked::default(),
            others: 0,
            standings: Vec::new(),
            resting: HashSet::new(),
            dead: HashMap::new(),
            announced: HashMap::new(),
            arrays: HashSet::new(),
            entries: HashSet::new(),
            homes: HashMap::new(),
            objects: HashMap::new(),
            led: HashMap::new(),
            to_enter: Vec::new(),
            nameless: Vec::new(),
            parts: Vec::new(),
            reached: HashMap::new(),
            locks: HashMap::new(),
            changes: HashMap::new(),
            sharing: Vec::new(),
            leases: HashMap::new(),
            tallied: HashMap::new(),
            counted: HashMap::new(),
            has_more: false,
            free: 0,
        })
    }

    fn add(&mut self, severity: Severity, kind: FindingKind, place: FindingPlace, text: String) {
        let kept = self.kept.entry(kind).or_default();
        if *kept == LIMIT {
            self.omitted += u64::from(severity != Severity::Note);
            return;
        }
        *kept += 1;
        self.findings.push(Finding { severity, kind, place, text });
    }

    fn damage(
        &mut self,
        kind: FindingKind,
        place: impl Into<FindingPlace>,
        text: impl Into<String>,
    ) {
        self.add(Severity::Damage, kind, place.into(), text.into());
    }

    fn note(&mut self, kind: FindingKind, place: impl Into<FindingPlace>, text: impl Into<String>) {
        self.add(Severity::Note, kind, place.into(), text.into());
    }

    /// Something that its lane has not finished: that is what `doing` says.
    fn unfinished(
        &mut self,
        kind: FindingKind,
        place: impl Into<FindingPlace>,
        lane: LaneId,
        doing: &str,
    ) {
        let (severity, text) = match self.standing(lane) {
            Standing::Live(_) if self.resting.contains(&lane.0) => {
                (Severity::Damage, format!("{lane}, whose thread is at rest, is {doing}"))
            }
            Standing::Live(_) => (Severity::Note, format!("{lane} is {doing}")),
            Standing::Dead(slot) => {
                (Severity::Leftover, format!("{lane} of participant {slot} died {doing}"))
            }
            Standing::Nobody => {
                (Severity::Damage, format!("{lane}, which nobody uses, is {doing}"))
            }
        };
        self.add(severity, kind, place.into(), text);
    }

    /// A hint that is missing: a death loses some, and recovery makes them anew.
    fn lost_hint(&mut self, kind: FindingKind, unit: UnitIndex, text: &str) {
        let severity = if self.dead.is_empty() { Severity::Damage } else { Severity::Leftover };
        self.add(severity, kind, unit.into(), text.into());
    }

    /// Compares with the other count. Beside others at work the two differ from one pass to the next.
    fn check_accounting(&mut self) -> Result<(), ObjectError> {
        let stats = self.segment.stats()?;
        if stats.free != self.free {
            let text = format!(
                "{} bytes are free, unit by unit, but {} by the statistics",
                self.free, stats.free
            );
            self.damage(FindingKind::Accounting, FindingPlace::Segment, text);
        }
        Ok(())
    }
}

impl From<UnitIndex> for FindingPlace {
    fn from(unit: UnitIndex) -> FindingPlace {
        FindingPlace::Unit(unit.0)
    }
}

impl From<LaneId> for FindingPlace {
    fn from(lane: LaneId) -> FindingPlace {
        FindingPlace::Lane(lane.0)
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Note => "note",
            Severity::Leftover => "leftover",
            Severity::Damage => "damage",
        })
    }
}

impl fmt::Display for FindingPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FindingPlace::Header => f.write_str("header"),
            FindingPlace::Unit(unit) => write!(f, "unit {unit}"),
            FindingPlace::Lane(lane) => write!(f, "lane {lane}"),
            FindingPlace::Participant(slot) => write!(f, "participant {slot}"),
            FindingPlace::Offset(offset) => write!(f, "offset {offset:#x}"),
            FindingPlace::Name(name) => write!(f, "name {name:?}"),
            FindingPlace::Segment => f.write_str("segment"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}), {}: {}", self.severity, self.kind, self.place, self.text)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.damages().count(), self.leftovers().count()) {
            (0, 0) => writeln!(f, "clean")?,
            (damages, leftovers) => writeln!(
                f,
                "not clean: {damages} damages, {leftovers} leftovers of dead processes"
            )?,
        }
        for finding in self.findings.iter().chain(&self.notes) {
            writeln!(f, "{finding}")?;
        }
        if self.omitted != 0 {
            writeln!(f, "and {} more", self.omitted)?;
        }
        let Looked {
            units,
            slabs,
            blocks,
            runs,
            participants,
            lanes,
            arrays,
            names,
            objects,
            parts,
            unnamed,
            shared,
        } = self.looked;
        write!(
            f,
            "looked at {units} units, {slabs} slabs, {blocks} blocks, {runs} runs, {participants} participants, \
             {lanes} lanes, {arrays} arrays of names, {names} names, {objects} named and {unnamed} other objects, {parts} parts, {shared} shared values"
        )?;
        if self.others != 0 {
            write!(
                f,
                "; {} other lanes are in use: exact only if their threads are at rest",
                self.others
            )?;
        }
        writeln!(f)
    }
}

//! The account: what survivors must find when a process has died, to the byte.
//!
//! Laws:
//! - Recovery returns, and a second one finds nothing left to do.
//! - `check` finds nothing damaged and nothing left behind; no participant is dead.
//! - What survivors hold is as they left it: private, published, named, and looked at.
//! - The operation happened or did not; its objects are whole. Beside them there is nothing.
//! - When all of that is given back, as many bytes are free as in a new segment; and the same again
//!   after a second workload.

mod keepsakes;
mod orphaned;
mod workload;

use crate::operations::arcs::{self, MADE_SHARERS, Sharers};
use crate::operations::frames::{self, Frame, Frames, MADE_FRAMES, MADE_PLATES, Plate, Plates};
use crate::operations::objects::{KEEP, MADE_OTHER, OTHER, Other, length_of, numbered};
use crate::operations::queues::{self, Jobs, MADE_QUEUE};
use crate::operations::rings::{self, MADE_RING, Samples};
use crate::operations::shelf::{self, MADE_OPEN_SHELF, MADE_SHELF, OpenShelf, Shelf};
use crate::operations::trees::{self, MADE_TREE, Tree};
use crate::operations::{Held, MADE, Operation, Things};
use crate::stage::{Stage, Value, close, options, value};
use anyhow::{Context, Result, bail, ensure};
use keepsakes::Keepsakes;
use serde::{Deserialize, Serialize};
use sharena::{FindingKind, Liveness, ObjectError, Offset, Segment, Stats};
use std::collections::BTreeSet;

/// Bytes of a unit, of which a segment consists.
const UNIT: u64 = 64 << 10;

/// Whether an operation in which the process died happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// It did not; or it changes nothing that stays.
    Before,
    /// A part of it, where it has parts.
    Between,
    /// It did.
    After,
}

/// Who recovers, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recoverer {
    /// The process that was attached while the other one died, at once.
    Survivor,
    /// The same, after it has gone on for a while as if nothing had happened.
    SurvivorLater,
    /// One that opens the segment afterwards, which does it.
    Opener,
}

impl Recoverer {
    /// Each in turn.
    pub fn of_turn(turn: u64) -> Recoverer {
        [Recoverer::Survivor, Recoverer::Opener, Recoverer::SurvivorLater][(turn % 3) as usize]
    }
}

/// What a segment has on which nothing has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fresh {
    without: Bytes,
    /// The same, with the trace map of the trees, which stays.
    with_map: Bytes,
    /// With those of the shelf and its changes.
    with_shelf: Bytes,
    /// With those of what is shared, and its changes.
    with_sharers: Bytes,
    /// With those of a queue of objects, and of these.
    with_frames: Bytes,
    /// With that of a queue of large ones, which have none.
    with_plates: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bytes {
    total: u64,
    free: u64,
    used: u64,
}

impl Fresh {
    /// Looks at a new one.
    pub fn measure() -> Result<Fresh> {
        let segment = options().create_anonymous()?;
        segment.trim()?;
        let without = Bytes::of(&segment.stats()?);
        trees::know(&segment)?;
        segment.trim()?;
        let stats = segment.stats()?;
        ensure!(stats.names.types == 1, "the map stays, and nothing else");
        let with_map = Bytes::of(&stats);
        let segment = options().create_anonymous()?;
        shelf::know(&segment)?;
        segment.trim()?;
        let stats = segment.stats()?;
        ensure!(stats.names.types == 3, "three maps stay, and nothing else");
        let with_shelf = Bytes::of(&stats);
        let segment = options().create_anonymous()?;
        arcs::know(&segment)?;
        segment.trim()?;
        let stats = segment.stats()?;
        ensure!(stats.names.types == 3, "three maps stay, and nothing else");
        let with_sharers = Bytes::of(&stats);
        let segment = options().create_anonymous()?;
        frames::know(&segment)?;
        segment.trim()?;
        let with_frames = Bytes::of(&segment.stats()?);
        let segment = options().create_anonymous()?;
        frames::know_plates(&segment)?;
        segment.trim()?;
        let with_plates = Bytes::of(&segment.stats()?);
        Ok(Fresh { without, with_map, with_shelf, with_sharers, with_frames, with_plates })
    }
}

impl Bytes {
    fn of(stats: &Stats) -> Bytes {
        Bytes { total: stats.total, free: stats.free, used: stats.used }
    }
}

/// The survivor's account of one stage: begun before the victim, settled after its death.
pub struct Account<'s> {
    stage: &'s Stage<'s>,
    operation: &'s Operation,
    keepsakes: Option<Keepsakes<'s>>,
}

impl<'s> Account<'s> {
    /// Leaves what the survivor must find again, and has the operation set up.
    pub fn begin(
        stage: &'s Stage<'s>,
        operation: &'s Operation,
        set_up: impl FnOnce(&'s Stage<'s>) -> Result<Held<'s>>,
    ) -> Result<Account<'s>> {
        let mut keepsakes = stage.survivor().map(Keepsakes::leave).transpose()?;
        let held = set_up(stage).context("the setup")?;
        if let Some(keepsakes) = &mut keepsakes {
            keepsakes.hold(held);
        }
        Ok(Account { stage, operation, keepsakes })
    }

    /// After the death: whether the operation happened. An error says which law is broken.
    ///
    /// `is_through`: the victim came to the operation's end before it died, so it did happen.
    pub fn settle(
        mut self,
        is_through: bool,
        recoverer: Recoverer,
        fresh: &Fresh,
    ) -> Result<Outcome> {
        let files = self.stage.files()?;
        let is_there = self.stage.path().exists();
        ensure!(files == usize::from(is_there), "{files} files are left");
        if !is_there {
            let outcome = self.outcome(&Things::default(), is_through)?;
            let made = options().create_at(self.stage.path()).context("after it")?;
            workload::run(&made).context("in a segment created after it")?;
            return Ok(outcome);
        }
        let mut last_opener = None;
        let opener = match (self.stage.survivor(), recoverer) {
            (Some(_), Recoverer::Survivor | Recoverer::SurvivorLater) => None,
            _ => Some(Segment::open_at(self.stage.path()).context("open it afterwards")?),
        };
        let by = opener.as_ref().or(self.stage.survivor()).context("somebody is left")?;
        if recoverer == Recoverer::SurvivorLater {
            go_on(by).context("before recovery")?;
        }
        recover(by, opener.is_some())?;
        is_sound(by).context("after recovery")?;
        let found = self.take_stock(by)?;
        let outcome = self.outcome(&found.things, is_through)?;
        found.give_back(by, self.stage)?;
        if let Some(keepsakes) = &self.keepsakes {
            keepsakes.are_intact(self.operation.takes_all_names).context("afterwards")?;
        }
        let last = match (self.stage.survivor(), opener) {
            (Some(survivor), Some(opener)) => {
                workload::run(&opener).context("a second workload, by the opener")?;
                close(opener);
                survivor
            }
            (survivor, opener) => {
                last_opener = opener;
                last_opener.as_ref().or(survivor).context("somebody is left")?
            }
        };
        if let Some(keepsakes) = self.keepsakes.take() {
            keepsakes.give_back()?;
        }
        is_like(fresh, last).context("after all was given back")?;
        workload::run(last).context("the second workload")?;
        is_like(fresh, last).context("after the second workload")?;
        last_opener.into_iter().for_each(close);
        Ok(outcome)
    }

    fn outcome(&self, found: &Things, is_through: bool) -> Result<Outcome> {
        let Operation { before, after, in_parts, .. } = self.operation;
        if found == after && (is_through || after != before) {
            return Ok(Outcome::After);
        }
        ensure!(!is_through, "it is through, but there is {found:?} instead of {after:?}");
        if found == before {
            return Ok(Outcome::Before);
        }
        let lies_between = |of: fn(&Things) -> u64| {
            let (from, to) = (of(before), of(after));
            (from.min(to)..=from.max(to)).contains(&of(found))
        };
        let all: [fn(&Things) -> u64; 5] =
            [|of| of.segments, |of| of.raw, |of| of.run_bytes, |of| of.unnamed, |of| of.named];
        ensure!(
            *in_parts && all.into_iter().all(lies_between),
            "there is {found:?}, which is neither {before:?} nor {after:?}"
        );
        Ok(Outcome::Between)
    }

    /// Everything in the segment that is not the survivor's.
    fn take_stock(&self, segment: &Segment) -> Result<Found> {
        let kept = self.keepsakes.as_ref().map(Keepsakes::things).unwrap_or_default();
        let stats = segment.stats()?;
        let looked = segment.check()?.looked;
        let raw: u64 = stats.classes.iter().map(|class| class.blocks.raw).sum();
        let less = |all: u64, kept: u64, what: &str| {
            all.checked_sub(kept).with_context(|| format!("{what} of the survivor are gone"))
        };
        let mut things = Things {
            segments: 1,
            raw: less(raw + stats.runs.raw.count, kept.raw, "raw blocks")?,
            run_bytes: less(stats.runs.raw.bytes, kept.run_bytes, "raw runs")?,
            unnamed: less(looked.unnamed, kept.unnamed, "published objects")?,
            named: 0,
            digest: 0,
        };
        let mut names = BTreeSet::new();
        for object in segment.objects()? {
            if object.name == KEEP && kept.named != 0 {
                continue;
            }
            ensure!(object.name.starts_with(MADE), "there is an object {:?}", object.name);
            match object.name.as_str() {
                MADE_SHELF => things.digest = shelf::digest_of(segment)?,
                MADE_OPEN_SHELF => things.digest = shelf::digest_of_open(segment)?,
                MADE_QUEUE => things.digest = queues::digest_of(segment, MADE_QUEUE)?,
                MADE_FRAMES => things.digest = frames::digest_of::<Frame, 4>(segment, MADE_FRAMES)?,
                MADE_PLATES => things.digest = frames::digest_of::<Plate, 2>(segment, MADE_PLATES)?,
                MADE_RING => things.digest = rings::digest_of(segment, MADE_RING)?,
                MADE_SHARERS => things.digest = arcs::digest_of(segment)?,
                other => is_whole(segment, other)?,
            }
            ensure!(names.insert(object.name), "a name has two objects");
        }
        things.named = names.len() as u64;
        let Operation { before, after, .. } = self.operation;
        if after.named > before.named && self.operation.in_parts {
            // They were constructed in this order.
            let in_order: BTreeSet<_> = (0..names.len()).map(numbered).collect();
            let is_one_of_a_kind =
                |name: &std::string::String| name.starts_with(MADE_TREE) || name.ends_with("shelf");
            ensure!(
                names.iter().all(is_one_of_a_kind) || names == in_order,
                "not the first ones are there, but {names:?}"
            );
        }
        let kept = self.keepsakes.as_ref().map(Keepsakes::offsets).unwrap_or_default();
        let phase = kept.last().map_or(0, |value| value % 16);
        Ok(Found { things, names, kept, phase })
    }
}

/// What of the operation was found.
struct Found {
    things: Things,
    names: BTreeSet<String>,
    /// What is not to be given back.
    kept: Vec<u64>,
    /// From a multiple of 16 to where the value of an object stands.
    phase: u64,
}

impl Found {
    /// Destroys and frees it, wherever it stands.
    fn give_back(&self, segment: &Segment, stage: &Stage<'_>) -> Result<()> {
        for name in &self.names {
            let destroyed = match name.as_str() {
                MADE_OTHER => segment.destroy::<Other>(name)?,
                tree if tree.starts_with(MADE_TREE) => segment.destroy::<Tree>(name)?,
                MADE_SHELF => segment.destroy::<Shelf>(name)?,
                MADE_OPEN_SHELF => segment.destroy::<OpenShelf>(name)?,
                MADE_QUEUE => segment.destroy::<Jobs>(name)?,
                MADE_FRAMES => segment.destroy::<Frames>(name)?,
                MADE_PLATES => segment.destroy::<Plates>(name)?,
                MADE_RING => segment.destroy::<Samples>(name)?,
                MADE_SHARERS => segment.destroy::<Sharers>(name)?,
                _ => segment.destroy::<Value>(name)?,
            };
            ensure!(destroyed, "{name} was there and cannot be destroyed");
        }
        let is_kept = |at: &u64| self.kept.contains(at);
        if self.things.raw != 0 {
            let is_raw = |at: u64| segment.usable_size(offset(at)).is_ok();
            let blocks: Vec<u64> = blocks(segment, stage)?
                .filter(|at| is_raw(*at))
                .filter(|at| !is_kept(at))
                .take(self.things.raw as usize)
                .collect();
            ensure!(
                blocks.len() as u64 == self.things.raw,
                "{} raw blocks are counted, but {} stand in the segment",
                self.things.raw,
                blocks.len()
            );
            for block in blocks {
                segment.deallocate(offset(block))?;
            }
        }
        if self.things.unnamed != 0 {
            let mut destroyed = 0;
            for block in blocks(segment, stage)? {
                if destroyed == self.things.unnamed {
                    break;
                }
                let at = block + self.phase;
                destroyed += u64::from(!is_kept(&at) && destroy_at(segment, at)?);
            }
            ensure!(
                destroyed == self.things.unnamed,
                "{} objects without name are counted, but {destroyed} stand in the segment",
                self.things.unnamed
            );
        }
        Ok(())
    }
}

/// Destroys the published object at `at`, if there is one; it must be whole.
fn destroy_at(segment: &Segment, at: u64) -> Result<bool> {
    let of_values = Offset::<Value>::from_bits(at).context("no offset")?;
    match segment.resolve(of_values) {
        Ok(found) if *found == value(KEEP, 0) => return Ok(false), // it has a name
        Ok(found) => {
            ensure!(*found == value("unnamed", 0), "an object without name holds {:x?}", *found);
            drop(found);
            segment.destroy_at(of_values)?;
        }
        Err(ObjectError::NoObject { .. }) => return Ok(false),
        // Both have their header in front alike; or it is a type's description.
        Err(_) => {
            let of_others = Offset::<Other>::from_bits(at).context("no offset")?;
            let Ok(found) = segment.resolve(of_others) else { return Ok(false) };
            ensure!(*found == OTHER, "an object without name holds {:x?}", *found);
            drop(found);
            segment.destroy_at(of_others)?;
        }
    }
    Ok(true)
}

/// Every place where a block can start.
fn blocks(segment: &Segment, stage: &Stage<'_>) -> Result<impl Iterator<Item = u64> + use<>> {
    let stats = segment.stats()?;
    let units = &stats.units;
    let used = units.free + units.decommitted + units.slabs + units.runs + units.other;
    let first = std::fs::metadata(stage.path())?.len() - stats.total;
    Ok((first..first + used * UNIT).step_by(16))
}

fn offset(at: u64) -> Offset<u8> {
    Offset::from_bits(at).expect("behind the header")
}

/// The object is what its name says, to the last value.
fn is_whole(segment: &Segment, name: &str) -> Result<()> {
    if name.starts_with(MADE_TREE) {
        return trees::is_whole(segment, name);
    }
    if name == MADE_OTHER {
        let object = segment.find::<Other>(name)?.context("it was listed")?;
        ensure!(*object == OTHER, "{name} holds {:?}", *object);
        return Ok(());
    }
    let object = segment.find_slice::<Value>(name)?.context("it was listed")?;
    holds(&object, name)
}

/// The values are those of an object of this name.
fn holds(values: &[Value], name: &str) -> Result<()> {
    let length = length_of(name);
    ensure!(values.len() == length, "{name} has {} values instead of {length}", values.len());
    match values.iter().enumerate().find(|(i, found)| **found != value(name, *i)) {
        Some((i, found)) => bail!("value {i} of {name} is {found:x?}"),
        None => Ok(()),
    }
}

/// Death stops nobody: what others do needs no recovery, and finds nothing damaged.
fn go_on(segment: &Segment) -> Result<()> {
    let report = segment.check()?;
    ensure!(report.damages().next().is_none(), "{report}");
    workload::run(segment)
}

/// What anybody can do while the process is stopped in the midst of the operation, another than who constructed
/// what there is: it goes on, and what it finds is whole. Nothing that the operation would have had otherwise.
pub fn look_beside(segment: &Segment) -> Result<()> {
    // What one who is stopped is about to show is not shown yet.
    let is_hint = |kind| {
        matches!(kind, FindingKind::FreeSet | FindingKind::OrphanSet | FindingKind::LimboSet)
    };
    let report = segment.check()?;
    ensure!(report.damages().all(|damage| is_hint(damage.kind)), "{report}");
    workload::run(segment)?;
    for object in segment.objects()? {
        let name = object.name.as_str();
        let is_there = match name {
            MADE_SHELF => segment.find::<Shelf>(name)?.is_some(),
            MADE_OPEN_SHELF => segment.find::<OpenShelf>(name)?.is_some(),
            MADE_QUEUE => segment.find::<Jobs>(name)?.is_some(),
            MADE_FRAMES => segment.find::<Frames>(name)?.is_some(),
            MADE_PLATES => segment.find::<Plates>(name)?.is_some(),
            MADE_RING => segment.find::<Samples>(name)?.is_some(),
            MADE_SHARERS => segment.find::<Sharers>(name)?.is_some(),
            other => !other.starts_with(MADE) || is_whole(segment, other).map(|()| true)?,
        };
        ensure!(is_there, "{name} was listed");
    }
    Ok(())
}

/// Recovers; a second recovery has nothing to do, nor has one behind an opening.
fn recover(segment: &Segment, is_opened: bool) -> Result<()> {
    let first = segment.recover().context("recovery")?;
    ensure!(!is_opened || first.is_nothing(), "after an opening, recovery did {first:?}");
    let again = segment.recover().context("the second recovery")?;
    ensure!(again.is_nothing(), "a second recovery did {again:?}");
    Ok(())
}

/// Nothing is damaged or left behind, and nobody is dead.
fn is_sound(segment: &Segment) -> Result<()> {
    let report = segment.check()?;
    ensure!(report.is_clean() && report.omitted == 0, "{report}");
    for one in segment.stats()?.participants {
        ensure!(one.liveness == Liveness::Alive, "process {} is {}", one.pid, one.liveness);
    }
    Ok(())
}

/// As many bytes are free as when nothing had happened.
fn is_like(fresh: &Fresh, segment: &Segment) -> Result<()> {
    segment.trim()?;
    is_sound(segment)?;
    let stats = segment.stats()?;
    let now = Bytes::of(&stats);
    let fresh = match stats.names.types {
        0 => fresh.without,
        1 if now == fresh.with_plates => fresh.with_plates,
        1 => fresh.with_map,
        // Of either three maps stand there.
        _ if now == fresh.with_sharers => fresh.with_sharers,
        _ if now == fresh.with_frames => fresh.with_frames,
        _ => fresh.with_shelf,
    };
    ensure!(now == fresh, "{now:?} instead of {fresh:?}\n{stats}");
    Ok(())
}

#[cfg(test)]
mod tests;

//! The exact account: what the ledgers say is what the segment has, to the byte.
//!
//! It is taken in a pause, when every thread stands between two operations. So whatever a ledger says
//! to be under way was begun by somebody who is dead: once the segment is recovered, it is there or
//! it is not, and the ledger is set right accordingly. After that:
//!
//! - nobody is attached but the living, and [`check`](Segment::check) is clean;
//! - raw blocks and runs are those of the ledgers, in number and bytes, each with its pattern whole;
//! - so are unnamed objects, and names that only one thread constructs; every other object has a name
//!   of the common pool, and a value that is whole;
//! - what is private belongs to the living;
//! - free bytes, blocks in use and what slabs need for themselves are all that there is.

use super::board::{Board, Item, Kind, Step};
use super::goods::{Good, POOL, UNIQUE, pool_name, verify_pool};
use super::pattern::Sealed;
use anyhow::Result;
use serde::Serialize;
use sharena::{Liveness, Offset, Report, Segment, Stats};
use std::collections::{HashMap, HashSet};

const UNIT: u64 = 64 << 10;

/// What was found wrong.
#[derive(Default)]
pub struct Troubles {
    pub stopped: u64,
    pub leaked_bytes: u64,
    pub damaged: u64,
    pub texts: Vec<String>,
}

impl Troubles {
    pub fn none(&self) -> bool {
        self.texts.is_empty()
    }

    pub fn stop(&mut self, text: String) {
        self.stopped += 1;
        self.texts.push(text);
    }

    pub fn leak(&mut self, bytes: u64, text: String) {
        self.leaked_bytes += bytes;
        self.texts.push(text);
    }

    pub fn damage(&mut self, text: String) {
        self.damaged += 1;
        self.texts.push(text);
    }
}

/// What became of operations that a death cut short.
#[derive(Clone, Copy, Default, Serialize)]
pub struct Settled {
    pub published: u64,
    pub not_published: u64,
    /// Published, nobody knew where, and found by looking for it.
    pub found: u64,
    pub freed: u64,
    pub not_freed: u64,
}

/// Takes accounts.
pub struct Accountant<'a> {
    pub segment: &'a Segment,
    pub board: &'static Board,
    pub places: usize,
    pub settled: Settled,
    pub most_used: u64,
}

impl Accountant<'_> {
    /// The account of a pause, after recovery. What the dead left under way is settled by it.
    pub fn take(&mut self, troubles: &mut Troubles) -> Result<()> {
        let allocating = self.settle()?;
        let report = self.segment.check()?;
        let mut stats = self.segment.stats()?;
        let goods = self.goods();
        let (count, bytes) = self.verify(&goods, troubles);
        let raw = raw_of(&stats);
        if raw != (count, bytes) {
            let excess = self.unknown_raw(&stats, &goods);
            let explained = self.free_unknown(&excess, allocating, troubles)?;
            if explained != (raw.0.wrapping_sub(count), raw.1.wrapping_sub(bytes)) {
                let text = format!(
                    "{} raw blocks of {} bytes, but the ledgers have {count} of {bytes}; unknown: {excess:x?}",
                    raw.0, raw.1
                );
                troubles.leak(raw.1.abs_diff(bytes).max(1), text);
            }
            stats = self.segment.stats()?;
        }
        self.most_used = self.most_used.max(stats.used);
        compare(&report, &stats, &goods, troubles);
        self.verify_names(&goods, troubles)
    }

    fn goods(&self) -> Vec<Good> {
        let mut goods = Vec::new();
        for place in 0..self.places {
            for (entry, found) in self.board.place(place).ledger.iter().enumerate() {
                let item = found.item();
                if item.step != Step::Empty {
                    goods.push(Good { place, entry, item });
                }
            }
        }
        goods
    }

    /// Sets right what the dead left under way; the sizes of what `allocate` may have allocated.
    fn settle(&mut self) -> Result<Vec<Item>> {
        let mut allocating = Vec::new();
        for good in self.goods() {
            let entry = &self.board.place(good.place).ledger[good.entry];
            let is_there = || good.is_there(self.segment);
            match good.item.step {
                Step::Empty | Step::Held | Step::Mailed => {}
                Step::Allocating => {
                    allocating.push(good.item);
                    entry.turn(good.item.kind, Step::Empty);
                }
                Step::Publishing if is_there() => {
                    self.settled.published += 1;
                    entry.turn(good.item.kind, Step::Held);
                }
                Step::Publishing => {
                    self.settled.not_published += 1;
                    entry.turn(good.item.kind, Step::Empty);
                }
                Step::Freeing => {
                    if is_there() {
                        self.settled.not_freed += 1;
                        good.free(self.segment)?;
                    } else {
                        self.settled.freed += 1;
                    }
                    entry.turn(good.item.kind, Step::Empty);
                }
            }
        }
        Ok(allocating)
    }

    /// Verifies all that is in the ledgers; number and bytes of raw blocks.
    fn verify(&self, goods: &[Good], troubles: &mut Troubles) -> (u64, u64) {
        let (mut count, mut bytes) = (0, 0);
        for good in goods {
            if let Err(error) = good.verify(self.segment) {
                troubles.damage(format!("{error:#}"));
            }
            let offset = Offset::from_bits(good.item.offset);
            if good.item.kind == Kind::Raw
                && let Some(offset) = offset
                && let Ok(room) = self.segment.usable_size(offset)
            {
                count += 1;
                bytes += room as u64;
            }
        }
        (count, bytes)
    }

    /// Offsets and sizes of the raw blocks that no ledger has.
    fn unknown_raw(&self, stats: &Stats, goods: &[Good]) -> Vec<(u64, u64)> {
        let known: HashSet<u64> = goods
            .iter()
            .filter(|good| good.item.kind == Kind::Raw)
            .map(|good| good.item.offset)
            .collect();
        let end =
            std::fs::File::from(self.segment.as_fd().try_clone_to_owned().expect("a descriptor"))
                .metadata()
                .map_or(0, |data| data.len())
                - stats.units.untouched * UNIT;
        let mut unknown = Vec::new();
        let mut at = UNIT;
        while at < end {
            let offset = Offset::from_bits(at).expect("not 0");
            let Ok(room) = self.segment.usable_size(offset) else {
                at += 16;
                continue;
            };
            if !known.contains(&at) {
                unknown.push((at, room as u64));
            }
            at += room as u64;
        }
        unknown
    }

    /// Frees the blocks that somebody was about to learn of when he died; number and bytes.
    fn free_unknown(
        &mut self,
        unknown: &[(u64, u64)],
        mut allocating: Vec<Item>,
        troubles: &mut Troubles,
    ) -> Result<(u64, u64)> {
        let (mut count, mut bytes) = (0, 0);
        for &(at, room) in unknown {
            // The least that fits, as an allocation of fewer bytes may have a smaller block.
            let fitting = allocating
                .iter()
                .enumerate()
                .filter(|(_, item)| item.bytes <= room)
                .max_by_key(|(_, item)| item.bytes)
                .map(|(i, _)| i);
            let Some(fitting) = fitting else { continue };
            allocating.swap_remove(fitting);
            let offset = Offset::from_bits(at).expect("not 0");
            if let Err(error) = self.segment.deallocate(offset) {
                troubles.damage(format!("free what was found at {at:#x}: {error}"));
            }
            self.settled.found += 1;
            count += 1;
            bytes += room;
        }
        Ok((count, bytes))
    }

    /// Each object that has a name is of the pool or in a ledger, and whole; each of the ledgers is there.
    fn verify_names(&self, goods: &[Good], troubles: &mut Troubles) -> Result<()> {
        let pool: HashMap<String, u64> =
            (0..POOL).map(|number| (pool_name(number), number)).collect();
        let kept: HashSet<String> = goods
            .iter()
            .filter(|good| good.item.kind == Kind::Name)
            .map(|good| Good::name(good.place, good.entry))
            .collect();
        let mut listed = HashSet::new();
        for object in self.segment.objects()? {
            if !listed.insert((object.unique, object.name.clone())) {
                troubles.damage(format!("name {:?} is listed twice", object.name));
            }
            let verified = if object.unique {
                let value = self.segment.find_unique::<Sealed>()?;
                value.map_or(Ok(false), |value| value.verify(UNIQUE).map(|()| true))
            } else if let Some(number) = pool.get(&object.name) {
                verify_pool(self.segment, *number)
            } else {
                // Those of the ledgers are verified by them.
                Ok(kept.contains(&object.name))
            };
            match verified {
                Ok(true) => {}
                Ok(false) => troubles.leak(
                    object.bytes,
                    format!("object {:?} is listed, but nobody has it", object.name),
                ),
                Err(error) => troubles.damage(format!("{error:#}")),
            }
        }
        for name in kept {
            if !listed.contains(&(false, name.clone())) {
                troubles.damage(format!("name {name:?} is lost"));
            }
        }
        Ok(())
    }
}

/// Number and bytes of the raw blocks and runs.
fn raw_of(stats: &Stats) -> (u64, u64) {
    let of_slabs =
        stats.classes.iter().map(|class| (class.blocks.raw, class.blocks.raw * class.block));
    of_slabs.fold((stats.runs.raw.count, stats.runs.raw.bytes), |sum, more| {
        (sum.0 + more.0, sum.1 + more.1)
    })
}

fn compare(report: &Report, stats: &Stats, goods: &[Good], troubles: &mut Troubles) {
    for finding in report.damages() {
        troubles.damage(finding.to_string());
    }
    for finding in report.leftovers() {
        troubles.leak(1, finding.to_string());
    }
    for one in stats.participants.iter().filter(|one| one.liveness != Liveness::Alive) {
        let text = format!("process {} is {}, and still there: {one:?}", one.pid, one.liveness);
        troubles.leak(one.private.max(1), text);
    }
    let count =
        |is: fn(Kind) -> bool| goods.iter().filter(|good| is(good.item.kind)).count() as u64;
    let unnamed = count(|kind| matches!(kind, Kind::One | Kind::Slice));
    if report.looked.unnamed != unnamed {
        let found = report.looked.unnamed;
        troubles.leak(1, format!("{found} objects without a name, but the ledgers have {unnamed}"));
    }
    let sum = |of: fn(&sharena::ClassStats) -> u64| stats.classes.iter().map(of).sum::<u64>();
    let private = sum(|class| class.blocks.private * class.block) + stats.runs.private.bytes;
    let of_the_living: u64 = stats.participants.iter().map(|one| one.private).sum();
    if private != of_the_living {
        let text = format!("{private} bytes are private, {of_the_living} of them to somebody");
        troubles.leak(private.abs_diff(of_the_living), text);
    }
    let blocks = sum(|class| {
        let sharena::BlockCounts { free, private, published, raw, limbo, unknown, .. } =
            class.blocks;
        class.block * (free + private + published + raw + limbo + unknown)
    });
    let free_blocks = sum(|class| class.block * class.blocks.free);
    let runs = stats.runs.private.bytes
        + stats.runs.published.bytes
        + stats.runs.raw.bytes
        + stats.runs.limbo.bytes;
    let units = stats.units;
    let free = (units.free + units.decommitted + units.untouched) * UNIT + free_blocks;
    let used = blocks - free_blocks + (units.slabs * UNIT - blocks) + runs;
    if stats.free != free || free + used != stats.total || units.other != 0 {
        let text = format!(
            "{free} bytes are free, {used} used, {} neither, of {}",
            units.other * UNIT,
            stats.total
        );
        troubles.leak(stats.total.abs_diff(free + used).max(1), text);
    }
}

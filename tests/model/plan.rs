//! From what the script says to what a thread is told: picks become things that there are.

use super::actor::{Filled, NameCall, Order};
use super::reference::{Reference, What};
use super::script::{NameOp, Op, UNIQUE, crowd_calls};
use super::{Run, unique_kind};
use crate::linear::{Call, kind_of};
use crate::named;
use std::collections::HashSet;

/// References that a thread keeps at most.
const HELD: usize = 8;
const UNIT: usize = 64 << 10;

/// As reports name it.
pub fn kind(op: &Op) -> &'static str {
    match op {
        Op::Allocate { .. } => "allocate",
        Op::Many { .. } => "allocate many",
        Op::Free { .. } => "free",
        Op::FreeHalf { .. } => "free half",
        Op::Publish { .. } => "publish",
        Op::Resize { .. } => "resize",
        Op::Grow { .. } => "grow",
        Op::FreeTwice { .. } => "free twice",
        Op::FreeInside { .. } => "free inside",
        Op::Own { .. } => "own",
        Op::Resolve { .. } => "resolve",
        Op::DestroyAt { .. } => "destroy at",
        Op::Mistake { .. } => "mistake an object",
        Op::Name { call: NameOp::Construct { .. }, .. } => "construct",
        Op::Name { call: NameOp::FindOrConstruct { .. }, .. } => "find or construct",
        Op::Name { call: NameOp::Find { .. }, .. } => "find",
        Op::Name { call: NameOp::Contains, .. } => "contains",
        Op::Name { call: NameOp::Destroy { .. } | NameOp::DestroyRight, .. } => "destroy",
        Op::Crowd { .. } => "crowd of names",
        Op::LetGo { .. } => "let go",
        Op::Objects => "objects",
        Op::Clear => "clear",
        Op::Trim => "trim",
        Op::Recover => "recover",
        Op::Check => "check",
    }
}

impl Run<'_> {
    /// What `thread` of `process` is told; `None`: there is nothing to do it to. `busy`: what others are
    /// told to give up or change at the same time.
    pub(super) fn plan(
        &mut self,
        process: usize,
        thread: usize,
        op: &Op,
        alone: bool,
        busy: &mut HashSet<u64>,
    ) -> Option<Order> {
        let is_own_or_raw = |what: &What| match what {
            What::Raw { .. } => true,
            What::Private { by, .. } => *by == process,
            _ => false,
        };
        let is_raw = |what: &What| matches!(what, What::Raw { .. });
        Some(match *op {
            Op::Allocate { bytes, align, how } => {
                let seed = self.serial();
                Order::Allocate { bytes, align: 1 << align, count: 1, how, seed }
            }
            Op::Many { bytes, count } => {
                let seed = self.serial();
                self.serial += count as u64;
                let how = super::script::How::Raw;
                Order::Allocate { bytes, align: 8, count, how, seed }
            }
            Op::Free { pick, by_handle } => {
                let droppable = |what: &What| is_own_or_raw(what) || what.is_private_of(process);
                let start = self.pick(pick, busy, droppable)?;
                match self.table.get(start)?.what {
                    What::Owned { value, .. } => Order::DropOwned { at: start, value },
                    _ => Order::Free { blocks: vec![self.table.filled(start)], by_handle },
                }
            }
            Op::FreeHalf { pick } => {
                let half: Vec<Filled> = self
                    .table
                    .iter()
                    .filter(|(start, used)| is_own_or_raw(&used.what) && !busy.contains(start))
                    .map(|(start, _)| self.table.filled(start))
                    .skip(pick % 2)
                    .step_by(2)
                    .collect();
                busy.extend(half.iter().map(|block| block.start));
                Order::Free { blocks: half, by_handle: false }
            }
            Op::Publish { pick } => {
                let start = self.pick(pick, busy, |what| what.is_private_of(process))?;
                match self.table.get(start)?.what {
                    What::Owned { value, .. } => Order::PublishOwned { at: start, value },
                    _ => Order::Publish { block: self.table.filled(start) },
                }
            }
            Op::Resize { pick, bytes } => {
                let start = self.pick(pick, busy, is_raw)?;
                Order::Resize { block: self.table.filled(start), bytes }
            }
            Op::Grow { units } => {
                let raw = self
                    .table
                    .iter()
                    .filter(|(start, used)| is_raw(&used.what) && !busy.contains(start));
                let (bytes, start) = raw.map(|(start, used)| (used.bytes, start)).max()?;
                busy.insert(start);
                Order::Resize { block: self.table.filled(start), bytes: bytes + units * UNIT }
            }
            Op::FreeTwice { pick } => {
                // Somebody else may be given the block at the same time, or have been before it died.
                if !alone || !self.orphans.is_empty() || self.freed.is_empty() {
                    return None;
                }
                let at = self.freed[pick % self.freed.len()];
                if self.table.get(at).is_some_and(|used| is_raw(&used.what)) {
                    return None;
                }
                Order::Deallocate { at }
            }
            Op::FreeInside { pick, bytes } => {
                let is_block = |what: &What| is_raw(what) || matches!(what, What::Private { .. });
                let start = self.pick(pick, busy, is_block)?;
                let long = self.table.get(start)?.bytes;
                (long > 1)
                    .then(|| Order::Deallocate { at: start + (1 + bytes % (long - 1)) as u64 })?
            }
            Op::Own { kind, bytes } => Order::Own { value: self.value(kind, bytes) },
            Op::Resolve { pick, holds } => {
                let (at, value) = self.pick_object(pick, busy)?;
                let hold = (holds && self.may_hold(process, thread)).then(|| self.serial());
                Order::Resolve { at, value, hold }
            }
            Op::DestroyAt { pick } => {
                let (at, value) = self.pick_object(pick, busy)?;
                Order::DestroyAt { at, value }
            }
            // At the same time another object may come to stand there.
            Op::Mistake { .. } if !alone => return None,
            Op::Mistake { pick } => {
                let is_object =
                    |what: &What| matches!(what, What::Object { .. } | What::Named { .. });
                let at = self.pick(pick, busy, is_object)?;
                match self.table.get(at)?.what {
                    What::Object { value } => Order::Mistake { at, value, is_named: false },
                    What::Named { value } => Order::Mistake { at, value, is_named: true },
                    _ => return None,
                }
            }
            Op::Name { name, call, holds } => {
                let hold = (holds && self.may_hold(process, thread)).then(|| self.serial());
                let call = self.call(name, call);
                let is_answerable = !(UNIQUE.contains(&name) && call == Call::Contains);
                is_answerable
                    .then(|| Order::Names { calls: vec![NameCall { name, call, hold }] })?
            }
            Op::Crowd { from, count, is_made } => {
                let calls = crowd_calls(from, count, is_made, || {
                    self.serial += 1;
                    named::value(self.serial, named::WORD, 8)
                });
                let calls =
                    calls.into_iter().map(|(name, call)| NameCall { name, call, hold: None });
                Order::Names { calls: calls.collect() }
            }
            Op::LetGo { pick } => {
                let held: Vec<(u64, Reference)> = self
                    .table
                    .references
                    .iter()
                    .filter(|(_, one)| (one.process, one.thread) == (process, thread))
                    .map(|(id, one)| (*id, *one))
                    .collect();
                let (reference, Reference { value, .. }) = *held.get(pick % held.len().max(1))?;
                Order::LetGo { reference, value }
            }
            Op::Objects => Order::Objects,
            // Of all names: what others do to them at the same time is not told apart.
            Op::Clear if !alone => return None,
            Op::Clear => Order::Clear,
            Op::Trim => Order::Trim,
            Op::Recover => Order::Recover,
            Op::Check => Order::Check,
        })
    }

    /// One of the things that fit; it is busy from here on.
    fn pick(
        &self,
        pick: usize,
        busy: &mut HashSet<u64>,
        fits: impl Fn(&What) -> bool,
    ) -> Option<u64> {
        let fitting = |busy: &HashSet<u64>| {
            let fitting = self.table.iter();
            fitting
                .filter(|(start, used)| fits(&used.what) && !busy.contains(start))
                .map(|(start, _)| start)
                .collect::<Vec<u64>>()
        };
        let fitting = fitting(busy);
        let start = *fitting.get(pick % fitting.len().max(1))?;
        busy.insert(start);
        Some(start)
    }

    fn pick_object(&self, pick: usize, busy: &mut HashSet<u64>) -> Option<(u64, u64)> {
        let at = self.pick(pick, busy, |what| matches!(what, What::Object { .. }))?;
        match self.table.get(at)?.what {
            What::Object { value } => Some((at, value)),
            _ => None,
        }
    }

    fn may_hold(&self, process: usize, thread: usize) -> bool {
        let held = self.table.references.values();
        held.filter(|one| (one.process, one.thread) == (process, thread)).count() < HELD
    }

    fn value(&mut self, kind: u64, bytes: usize) -> u64 {
        let serial = self.serial();
        named::value(serial, kind, if kind == named::BYTES { bytes } else { 8 })
    }

    fn call(&mut self, name: usize, op: NameOp) -> Call {
        // A type names one kind only.
        let kind = |kind| if UNIQUE.contains(&name) { unique_kind(name) } else { kind };
        match op {
            NameOp::Construct { kind: of, bytes } => Call::Construct(self.value(kind(of), bytes)),
            NameOp::FindOrConstruct { kind: of } => Call::FindOrConstruct(self.value(kind(of), 8)),
            NameOp::Find { kind: of } => Call::Find(kind(of)),
            NameOp::Contains => Call::Contains,
            NameOp::Destroy { kind: of } => Call::Destroy(kind(of)),
            NameOp::DestroyRight => {
                let of = self.table.names.get(&name).map_or(named::WORD, |value| kind_of(*value));
                Call::Destroy(kind(of))
            }
        }
    }
}

//! What was answered, or left by the dead, and what of it the reference takes over.

use super::actor::{Filled, Order, Refusal, Told, offset};
use super::reference::{Reference, What};
use super::script::{How, UNIQUE, name_of};
use super::{CAPACITY, Done, Orphans, Run, unique_kind};
use crate::linear::{Answer, Call, Operation, check, kind_of};
use crate::named;
use std::collections::{BTreeMap, HashMap, HashSet};

/// When all that is done at once has begun, and has ended; and when the test looks what came of it.
const BEGIN: u64 = 0;
const END: u64 = 1;
const LOOK: u64 = 2;

/// Things that enter the reference when all that left it is gone.
#[derive(Default)]
struct Entering(Vec<(u64, usize, What)>);

impl Entering {
    fn push(&mut self, start: u64, bytes: usize, what: What) {
        self.0.push((start, bytes, what));
    }
}

impl Run<'_> {
    pub(super) fn judge(&mut self, done: &[Done], killed: Option<usize>) {
        let taken = taken(done);
        let bytes_taken = self.table.in_use + asked_bytes(done);
        let cut_off = || done.iter().filter(|one| one.told.is_none());
        // What may hold anything: a dying thread may have been given it, and have written to it.
        let anybodys = cut_off().any(|one| matches!(one.order, Order::Allocate { .. }));
        let mut entering = Entering::default();

        self.names(done, bytes_taken, &mut entering);
        for one in done {
            match &one.told {
                Some(told) => {
                    self.answered(one, told, done.len() == 1, killed, bytes_taken, &mut entering)
                }
                None => self.cut_off(one, &taken, anybodys, &mut entering),
            }
        }
        if let Some(process) = killed {
            self.table.left(process);
            // Also if it had recovered all others just before.
            self.dead = self.dead.max(1);
        }
        // Those of the killed that were private are not his any more.
        for (start, bytes, what) in entering.0 {
            if killed.is_none_or(|process| !what.is_private_of(process)) {
                self.table.enter(start, bytes, what);
            }
        }
        let unreferred: Vec<u64> = self
            .table
            .iter()
            .filter(|(_, used)| match used.what {
                What::Gone { value } => !self.table.is_referred_to(value),
                _ => false,
            })
            .map(|(start, _)| start)
            .collect();
        for start in unreferred {
            self.table.remove(start);
        }
    }

    fn answered(
        &mut self,
        one: &Done,
        told: &Told,
        alone: bool,
        killed: Option<usize>,
        bytes_taken: u64,
        entering: &mut Entering,
    ) {
        let process = one.process;
        match (&one.order, told) {
            (Order::Allocate { bytes, align, count, how, seed }, Told::Blocks(blocks)) => {
                assert_eq!(blocks.len(), *count);
                for (seed, block) in (*seed..).zip(blocks) {
                    let Some((start, usable)) = *block else {
                        assert_refusable(bytes_taken, *bytes);
                        continue;
                    };
                    assert_eq!(start % *align as u64, 0, "{start:#x} is not aligned to {align}");
                    let what = match how.is_private() {
                        true => What::Private { by: process, seed },
                        false => What::Raw { seed: Some(seed) },
                    };
                    entering.push(start, usable, what);
                }
            }
            (Order::Free { blocks, .. }, Told::Done) => {
                for block in blocks {
                    self.table.remove(block.start);
                    self.freed.push(block.start);
                }
            }
            (Order::Publish { block }, Told::Done) => {
                self.table.remove(block.start);
                entering.push(block.start, block.bytes, What::Raw { seed: block.seed });
            }
            (Order::Resize { block, bytes }, Told::Resized(usable, is_enough)) => {
                assert!(if *is_enough { usable >= bytes } else { *bytes > block.bytes });
                self.resized(block, *usable, *is_enough, entering);
            }
            (Order::Deallocate { at }, Told::Refused(refusal)) => {
                let covering = self
                    .table
                    .iter()
                    .find(|(start, used)| *start <= *at && *at < start + used.bytes as u64);
                match covering {
                    // Who attached meanwhile may have recovered it: the block is anybody's then.
                    Some((_, used)) if killed.is_some_and(|it| used.what.is_private_of(it)) => {}
                    Some((start, used)) if start != *at => match used.what {
                        What::Raw { .. } | What::Private { .. } => {
                            assert_eq!(*refusal, Refusal::Misaligned { start });
                        }
                        _ => {}
                    },
                    Some((_, used)) if matches!(used.what, What::Private { .. }) => {
                        assert_eq!(*refusal, Refusal::IsPrivate);
                    }
                    _ => {}
                }
            }
            (Order::Own { value }, Told::Owned(at)) => match at {
                Some(at) => {
                    let what = What::Owned { by: process, value: *value };
                    entering.push(*at, named::bytes_of(*value), what);
                }
                None => assert_refusable(bytes_taken, named::bytes_of(*value)),
            },
            (Order::DropOwned { at, .. }, Told::Done) => {
                self.table.remove(*at);
            }
            (Order::PublishOwned { at, value }, Told::Done) => {
                let used = self.table.remove(*at);
                entering.push(*at, used.bytes, What::Object { value: *value });
            }
            (Order::Resolve { value, hold, .. }, Told::Done) => {
                if let Some(id) = hold {
                    let thread = one.thread;
                    self.table.references.insert(*id, Reference { process, thread, value: *value });
                }
            }
            (Order::DestroyAt { at, .. }, Told::Done) => self.table.destroyed(*at),
            (Order::Names { .. }, Told::Names(_)) => {} // judged together
            (Order::LetGo { reference, .. }, Told::Done) => self.table.let_go(*reference),
            (Order::Objects, Told::Objects(listed)) => {
                let is_named = |one: &&(Option<String>, u64)| one.0.is_some();
                let names = listed.iter().filter(is_named).map(|(name, _)| name);
                assert!(names.is_sorted_by(|a, b| a < b), "listed twice: {listed:?}");
                assert!(!alone || *listed == self.expected_objects(), "{listed:?}");
            }
            (Order::Clear, Told::Cleared(count)) => {
                assert_eq!(*count, self.table.names.len(), "{:?}", self.table.names);
                for value in std::mem::take(&mut self.table.names).into_values() {
                    let place = self.table.place(value).expect("a named object");
                    self.table.destroyed(place);
                }
            }
            (Order::Trim | Order::Mistake { .. }, Told::Done) => {}
            (Order::Recover, Told::Recovered { processes, pending }) => {
                assert!(*processes <= self.dead, "{processes} dead of {}", self.dead);
                if alone {
                    assert_eq!(*pending, 0, "nobody else is at it");
                    self.dead = 0;
                }
            }
            (Order::Check, Told::Checked(left)) => {
                let may_leave = !alone || self.dead > 0;
                assert!(may_leave || left.is_none(), "left behind: {}", left.as_ref().unwrap());
            }
            (order, told) => panic!("{told:?} is no answer to {order:x?}"),
        }
    }

    /// What a list of all objects says.
    fn expected_objects(&self) -> Vec<(Option<String>, u64)> {
        let count = |value: u64| match kind_of(value) {
            named::BYTES => named::bytes_of(value) as u64,
            _ => 1,
        };
        let names = self.table.names.iter();
        let mut expected: Vec<_> =
            names.map(|(name, value)| (name_of(*name), count(*value))).collect();
        expected.sort();
        expected
    }

    fn resized(&mut self, block: &Filled, usable: usize, refill: bool, entering: &mut Entering) {
        self.table.remove(block.start);
        let mut seed = block.seed;
        if refill {
            // What it has more, nobody has written to.
            let new = self.serial();
            super::actor::fill(self.segment, block.start, usable, new);
            seed = Some(new);
        }
        entering.push(block.start, usable, What::Raw { seed });
    }

    /// It has happened or not: looks which. Only what is the dead's own is not asked after.
    fn cut_off(
        &mut self,
        one: &Done,
        taken: &HashSet<u64>,
        anybodys: bool,
        entering: &mut Entering,
    ) {
        let raw_bytes = |start: u64| self.segment.usable_size(offset(start)).ok();
        match &one.order {
            Order::Allocate { bytes, count, how, .. } if !how.is_private() => {
                self.orphans.push(Orphans { bytes: *bytes, count: *count });
            }
            Order::Free { blocks, .. } => {
                for block in blocks.iter().filter(|block| !block.is_private) {
                    let stays = !taken.contains(&block.start)
                        && raw_bytes(block.start) == Some(block.bytes);
                    self.table.remove(block.start);
                    self.counts.cut_off_but_done += u64::from(!stays);
                    if stays {
                        let seed = block.seed.filter(|_| !anybodys);
                        entering.push(block.start, block.bytes, What::Raw { seed });
                    }
                }
            }
            Order::Publish { block }
                if !taken.contains(&block.start) && raw_bytes(block.start).is_some() =>
            {
                self.counts.cut_off_but_done += 1;
                self.table.remove(block.start);
                entering.push(block.start, block.bytes, What::Raw { seed: block.seed });
            }
            Order::Resize { block, .. } => {
                let usable = raw_bytes(block.start).expect("a block that nobody frees");
                let is_other = usable != block.bytes;
                self.resized(block, usable, is_other, entering);
            }
            Order::PublishOwned { at, value }
                if !taken.contains(at) && self.resolves(*at, *value) =>
            {
                self.counts.cut_off_but_done += 1;
                let used = self.table.remove(*at);
                entering.push(*at, used.bytes, What::Object { value: *value });
            }
            Order::DestroyAt { at, value } if taken.contains(at) || !self.resolves(*at, *value) => {
                self.counts.cut_off_but_done += 1;
                self.table.destroyed(*at);
            }
            // References and private things go with the process; names are judged together.
            _ => {}
        }
    }

    fn resolves(&self, at: u64, value: u64) -> bool {
        named::resolve(self.segment, at, kind_of(value))
            .is_ok_and(|found| found.value() == Some(value))
    }

    /// All calls on names, by name.
    fn names(&mut self, done: &[Done], bytes_taken: u64, entering: &mut Entering) {
        let mut histories: BTreeMap<usize, Vec<Operation>> = BTreeMap::new();
        let mut places: HashMap<u64, u64> = HashMap::new();
        let mut held: HashSet<u64> = HashSet::new();
        for (by, one) in done.iter().enumerate() {
            let Order::Names { calls } = &one.order else { continue };
            let answers = match &one.told {
                Some(Told::Names(answers)) => Some(answers),
                None => None,
                Some(told) => panic!("{told:?} is no answer to {:?}", one.order),
            };
            for (i, call) in calls.iter().enumerate() {
                let answer = answers.map(|answers| answers[i]);
                if answer == Some(None) {
                    // There was no room for the object: nothing happened.
                    let value = match call.call {
                        Call::Construct(value) | Call::FindOrConstruct(value) => value,
                        call => panic!("{call:?} needs no room"),
                    };
                    assert_refusable(bytes_taken, named::bytes_of(value));
                    continue;
                }
                let answer = answer.flatten();
                if let Some(value) = answer.and_then(|(answer, _)| object_of(call.call, answer)) {
                    let place = answer.expect("answered").1;
                    let before = places.insert(value, place).or(self.table.place(value));
                    assert!(before.is_none_or(|before| before == place), "it has moved");
                    if let Some(id) = call.hold {
                        let (process, thread) = (one.process, one.thread);
                        let reference = Reference { process, thread, value };
                        self.table.references.insert(id, reference);
                        held.insert(value);
                    }
                }
                let answer = answer.map(|(answer, _)| answer);
                let (call, begin, end) = (call.call, BEGIN, END);
                let operation = Operation { call, answer, begin, end, by };
                histories.entry(calls[i].name).or_default().push(operation);
            }
        }
        for (name, mut history) in histories {
            let before = self.table.names.get(&name).copied();
            if history.len() > 1 || history[0].answer.is_none() {
                let found = self.look(name);
                places.extend(found);
                let found = found.map(|(value, _)| value);
                let answer = Some(found.map_or(Answer::Absent, Answer::Found));
                // A type has objects of its own kind only, so that this looks at it.
                let call = match UNIQUE.contains(&name) {
                    true => Call::Find(unique_kind(name)),
                    false => Call::Look,
                };
                history.push(Operation { call, answer, begin: LOOK, end: LOOK, by: usize::MAX });
            }
            let finals = check(before, &history).unwrap_or_else(|refused| {
                panic!("{:?} is not linearizable: {}", name_of(name), refused.story)
            });
            assert_eq!(finals.len(), 1, "{history:?}");
            let after = finals.into_iter().next().flatten();
            let nobody_else = history.iter().all(|one| one.answer.is_none() || one.begin == LOOK);
            self.counts.cut_off_but_done += u64::from(nobody_else && after != before);
            self.becomes(name, before, after, &places, entering);
        }
        // Made and destroyed at once, and yet somebody refers to it.
        for value in held {
            let is_known = self.table.place(value).is_some()
                || entering.0.iter().any(|(_, _, what)| *what == What::Named { value });
            if !is_known {
                entering.push(places[&value], named::bytes_of(value), What::Gone { value });
            }
        }
    }

    fn becomes(
        &mut self,
        name: usize,
        before: Option<u64>,
        after: Option<u64>,
        places: &HashMap<u64, u64>,
        entering: &mut Entering,
    ) {
        if before == after {
            return;
        }
        if let Some(value) = before {
            let place = self.table.place(value).expect("a named object");
            self.table.destroyed(place);
            self.table.names.remove(&name);
        }
        if let Some(value) = after {
            let place = places[&value];
            entering.push(place, named::bytes_of(value), What::Named { value });
            self.table.names.insert(name, value);
        }
    }
}

/// The object that an answer came with.
fn object_of(call: Call, answer: Answer) -> Option<u64> {
    match (call, answer) {
        (_, Answer::Found(value)) => Some(value),
        (Call::Construct(value) | Call::FindOrConstruct(value), Answer::Made) => Some(value),
        _ => None,
    }
}

/// Where new things stand.
fn taken(done: &[Done]) -> HashSet<u64> {
    let mut taken = HashSet::new();
    for one in done {
        match &one.told {
            Some(Told::Blocks(blocks)) => taken.extend(blocks.iter().flatten().map(|one| one.0)),
            Some(Told::Owned(Some(at))) => taken.extend([*at]),
            _ => {}
        }
    }
    taken
}

/// Bytes that were asked for, and that the dead may have taken.
fn asked_bytes(done: &[Done]) -> u64 {
    let asked = |one: &Done| match &one.order {
        Order::Allocate { bytes, count, how, .. } => {
            let rounded = if *how == How::Zeroed { 2 * bytes } else { *bytes };
            (rounded * count) as u64
        }
        Order::Own { value } => named::bytes_of(*value) as u64,
        Order::Names { calls } => calls.iter().map(|call| call_bytes(call.call)).sum(),
        Order::Resize { bytes, .. } => *bytes as u64,
        _ => 0,
    };
    done.iter().map(asked).sum()
}

fn call_bytes(call: Call) -> u64 {
    match call {
        Call::Construct(value) | Call::FindOrConstruct(value) => named::bytes_of(value) as u64,
        _ => 0,
    }
}

/// Memory is refused only if more would be in use than the segment promised.
fn assert_refusable(in_use: u64, bytes: usize) {
    assert!(in_use + bytes as u64 > CAPACITY, "{bytes} bytes refused with {in_use} in use");
}

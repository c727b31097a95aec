//! Runs a script on a segment and on the reference, and sees that they agree.
//!
//! All that is done at once is told to the threads first, and judged when all have answered, or died:
//! what was freed leaves the reference, then what is new enters it, where it must find room. Calls on
//! names are judged by [`crate::linear`], as any order of them may be what happened. What death cut off
//! has happened or not: the test looks which.

pub mod actor;
pub mod crew;
mod judge;
mod plan;
pub mod reference;
pub mod script;

use crate::common::{Name, assert_like_fresh, at_rest};
use crate::linear::Call;
use crate::named;
use actor::{Message, Order, Told};
use crew::Process;
use reference::{Table, What};
use script::{PROCESSES, Step, THREADS, Turn};
use sharena::{Options, Segment, Stats};
use std::collections::{BTreeMap, HashSet};

/// What the segment promises.
pub const CAPACITY: u64 = 24 << 20;

/// Where the processes of a script come from.
#[derive(Clone, Copy)]
pub enum Crew<'a> {
    /// They are attachments of this process.
    Threads,
    /// They run this test.
    Processes(&'a str),
}

/// What was done, over all scripts.
#[derive(Default)]
pub struct Counts {
    pub cases: u64,
    pub kinds: BTreeMap<&'static str, u64>,
    /// Operations of the above that had no answer, as their process died.
    pub cut_off: u64,
    /// Blocks, objects and names of which the test found that it had happened all the same.
    pub cut_off_but_done: u64,
}

impl Counts {
    pub fn operations(&self) -> u64 {
        self.kinds.values().sum()
    }

    fn count(&mut self, kind: &'static str) {
        *self.kinds.entry(kind).or_default() += 1;
    }
}

/// What a thread was told, and what it answered.
struct Done {
    process: usize,
    thread: usize,
    order: Order,
    /// `None`: it died before it could.
    told: Option<Told>,
}

/// Raw blocks that somebody may have allocated before he died, so that nobody knows where.
struct Orphans {
    bytes: usize,
    count: usize,
}

struct Run<'a> {
    crew: Crew<'a>,
    segment: &'a Segment,
    processes: [Option<Process>; PROCESSES],
    table: Table,
    freed: Vec<u64>,
    serial: u64,
    orphans: Vec<Orphans>,
    /// Dead processes that may not have been recovered yet.
    dead: u64,
    counts: &'a mut Counts,
}

/// Runs a script from a new segment on, and frees everything.
pub fn run(crew: Crew<'_>, script: &[Step], counts: &mut Counts) {
    let options = Options::new().capacity(CAPACITY);
    let (name, segment);
    match crew {
        Crew::Threads => segment = options.create_anonymous().unwrap(),
        Crew::Processes(_) => {
            name = Name::new("property");
            segment = options.create(&name).unwrap();
        }
    }
    let fresh = at_rest(&segment);
    counts.cases += 1;
    let mut run = Run {
        crew,
        segment: &segment,
        processes: [const { None }; PROCESSES],
        table: Table::default(),
        freed: Vec::new(),
        serial: 0,
        orphans: Vec::new(),
        dead: 0,
        counts,
    };
    for step in script {
        run.step(step);
    }
    run.finish(&fresh);
}

impl Run<'_> {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Round(turns) => self.round(turns),
            Step::Detach { process, forgets } => {
                if let Some(leaving) = self.processes[*process].take() {
                    self.counts.count("detach");
                    leaving.end(*forgets);
                    self.table.left(*process);
                }
            }
            Step::Kill { process } => {
                if let Crew::Processes(_) = self.crew
                    && let Some(victim) = self.processes[*process].take()
                {
                    self.counts.count("kill");
                    assert!(
                        victim.kill(false, self.segment).is_empty(),
                        "an answer that was not asked for"
                    );
                    self.dead += 1;
                    self.table.left(*process);
                }
            }
        }
    }

    fn attach(&mut self, process: usize) {
        if self.processes[process].is_some() {
            return;
        }
        self.counts.count("attach");
        let attached = match self.crew {
            Crew::Threads => {
                let descriptor = self.segment.as_fd().try_clone_to_owned().unwrap();
                Process::here(Segment::open_fd(descriptor).unwrap())
            }
            Crew::Processes(test) => {
                Process::apart(test, self.segment.name().expect("it has a name"))
            }
        };
        self.processes[process] = Some(attached);
    }

    fn tell(&mut self, process: usize, thread: usize, order: &Order, kill: Option<u32>) {
        self.attach(process);
        let message = Message::Do(thread, order.clone(), kill);
        self.processes[process].as_mut().expect("attached").send(message);
    }

    fn round(&mut self, turns: &[Turn]) {
        let mut busy = HashSet::new();
        let mut done: Vec<Done> = Vec::new();
        let mut kill = None;
        for turn in turns {
            let (process, thread) = (turn.process, turn.thread);
            if done.iter().any(|one| (one.process, one.thread) == (process, thread)) {
                continue;
            }
            let alone = turns.len() == 1;
            let Some(order) = self.plan(process, thread, &turn.op, alone, &mut busy) else {
                continue;
            };
            self.counts.count(plan::kind(&turn.op));
            if let Some(after) = turn.kill
                && let Crew::Processes(_) = self.crew
                && !matches!(order, Order::Clear)
            {
                kill.get_or_insert((done.len(), after));
            }
            done.push(Done { process, thread, order, told: None });
        }
        done.iter().for_each(|one| self.attach(one.process));
        for (i, one) in done.iter().enumerate() {
            // Who is to die is told last, so that it can still be told what others of it do.
            if kill.is_none_or(|(dying, _)| dying != i) {
                self.tell(one.process, one.thread, &one.order, None);
            }
        }
        let mut killed = None;
        if let Some((dying, after)) = kill {
            self.counts.count("kill in an operation");
            let Done { process, thread, ref order, .. } = done[dying];
            self.tell(process, thread, order, Some(after));
            let victim = self.processes[process].take().expect("it was told something");
            for (thread, told) in victim.kill(true, self.segment) {
                answer(&mut done, process, thread, told);
            }
            self.dead += 1;
            killed = Some(process);
            let unanswered = |one: &&Done| one.process == process && one.told.is_none();
            self.counts.cut_off += done.iter().filter(unanswered).count() as u64;
        }
        for process in 0..PROCESSES {
            let asked = done.iter().filter(|one| one.process == process).count();
            if killed == Some(process) {
                continue;
            }
            for _ in 0..asked {
                let (thread, told) = self.processes[process].as_mut().expect("asked").receive();
                answer(&mut done, process, thread, told);
            }
        }
        self.judge(&done, killed);
    }

    /// Everything is as the reference says; then it is freed by all who are there, who leave.
    fn finish(mut self, fresh: &Stats) {
        for (start, used) in self.table.iter() {
            match used.what {
                What::Raw { .. } | What::Private { .. } => {
                    let block = self.table.filled(start);
                    actor::verify(self.segment, &block, block.bytes);
                }
                What::Object { value } => {
                    let found = named::resolve(self.segment, start, value & 3).unwrap();
                    assert_eq!(found.value(), Some(value));
                }
                What::Owned { .. } | What::Named { .. } | What::Gone { .. } => {}
            }
        }
        let report = self.segment.check().unwrap();
        assert_eq!(report.damages().count(), 0, "{report}");
        assert!(self.dead > 0 || report.is_clean(), "{report}");

        let names: Vec<usize> = self.table.names.keys().copied().collect();
        for name in names {
            let expected = self.table.names[&name];
            assert_eq!(self.look(name).map(|(value, _)| value), Some(expected), "name {name}");
        }
        self.free_all();
        for process in 0..PROCESSES {
            self.step(&Step::Detach { process, forgets: false });
        }
        let cleared = self.segment.clear().unwrap();
        assert_eq!(cleared, self.table.names.len(), "{:?}", self.table.names);
        let recovered = self.segment.recover().unwrap();
        assert!(recovered.processes <= self.dead && recovered.pending == 0, "{recovered}");
        self.free_orphans();
        assert_eq!(self.segment.stats().unwrap().participants.len(), 1, "all others have left");
        assert_like_fresh(self.segment, fresh);
    }

    /// By each in turn, whoever took it; what is private only by those who can.
    fn free_all(&mut self) {
        let there: Vec<usize> = (0..PROCESSES).filter(|i| self.processes[*i].is_some()).collect();
        let rest: Vec<(u64, What)> =
            self.table.iter().map(|(start, used)| (start, used.what)).collect();
        for (i, (start, what)) in rest.into_iter().enumerate() {
            let order = match what {
                What::Raw { .. } | What::Private { .. } => {
                    Order::Free { blocks: vec![self.table.filled(start)], by_handle: i % 2 == 0 }
                }
                What::Owned { value, .. } => Order::DropOwned { at: start, value },
                What::Object { value } => Order::DestroyAt { at: start, value },
                What::Named { .. } | What::Gone { .. } => continue,
            };
            let process = match what {
                What::Private { by, .. } | What::Owned { by, .. } => by,
                _ => there.get(i % there.len().max(1)).copied().unwrap_or(0),
            };
            self.tell(process, i % THREADS, &order, None);
            let told = self.processes[process].as_mut().expect("attached").receive();
            assert!(matches!(told.1, Told::Done), "{order:x?}: {:?}", told.1);
        }
    }

    /// What is found and known to nobody, somebody was allocating when he died.
    fn free_orphans(&mut self) {
        if self.orphans.is_empty() {
            return;
        }
        const UNIT: u64 = 1 << 16;
        let file = std::fs::File::from(self.segment.as_fd().try_clone_to_owned().unwrap());
        let untouched = self.segment.stats().unwrap().units.untouched;
        let end = file.metadata().unwrap().len() - untouched * UNIT;
        let mut at = UNIT;
        while at < end {
            let Ok(usable) = self.segment.usable_size(actor::offset(at)) else {
                at += 16;
                continue;
            };
            let lost = self
                .orphans
                .iter_mut()
                .filter(|orphans| orphans.count > 0 && orphans.bytes <= usable)
                .max_by_key(|orphans| orphans.bytes)
                .unwrap_or_else(|| panic!("nobody allocated {usable} bytes at {at:#x}"));
            lost.count -= 1;
            self.segment.deallocate(actor::offset(at)).unwrap();
            at += usable as u64;
        }
    }

    /// What a name leads to, and where that is, asked by the test itself.
    fn look(&self, name: usize) -> Option<(u64, u64)> {
        let call = match name {
            name if script::UNIQUE.contains(&name) => Call::Find(unique_kind(name)),
            _ => Call::Look,
        };
        let called = script::name_of(name);
        let told = named::perform(self.segment, called.as_deref(), call).unwrap();
        let held = told.expect("a look needs no memory").1?;
        Some((held.value().expect("an object is whole"), held.offset()))
    }

    fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

/// Of a unique instance: its name is its type.
fn unique_kind(name: usize) -> u64 {
    (name - script::UNIQUE.start) as u64
}

fn answer(done: &mut [Done], process: usize, thread: usize, told: Told) {
    let one = done.iter_mut().find(|one| (one.process, one.thread) == (process, thread));
    let one = one.expect("who was asked answers");
    if let Told::Failed(why) = &told {
        panic!("process {process}, thread {thread}, {:x?}: {why}", one.order);
    }
    assert!(one.told.replace(told).is_none(), "answered twice");
}

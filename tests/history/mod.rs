//! Real processes that fight over a few names while some of them are killed, and what they recorded.

pub mod log;
pub mod worker;

use crate::common::{Dice, Name, Process, assert_like_fresh, at_rest};
use crate::linear::{Answer, Call, Operation, check};
use crate::named;
use log::{Board, LOGS, now};
use serde::Serialize;
use sharena::Segment;
use std::path::PathBuf;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Names that all processes use.
pub const NAMES: usize = 4;
/// A round may take so long at most after it was ended; more is a process that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn name(which: usize) -> &'static str {
    ["a", "the second", "the third of the names, which is longer than others", "d"][which]
}

/// What was done.
#[derive(Default, Serialize)]
pub struct Tally {
    pub processes: usize,
    pub seconds: f64,
    pub rounds: u64,
    pub operations: u64,
    /// Calls that were under way together with another on the same name.
    pub overlapping: u64,
    /// Processes that were stopped and went on.
    pub stops: u64,
    pub kills: u64,
    /// Calls that death cut off.
    pub cut_off: u64,
    /// Of these, such as had taken effect for sure: what they made was found.
    pub cut_off_but_done: u64,
}

struct Worker {
    process: Process,
    log: usize,
    id: usize,
}

struct Show<'a> {
    test: &'a str,
    segment: &'a Segment,
    board: Board,
    path: PathBuf,
    living: Vec<Worker>,
    /// Log, number and end of those killed in this round.
    dead: Vec<(usize, usize, u64)>,
    free: Vec<usize>,
    next_id: usize,
    dice: Dice,
    tally: Tally,
}

/// Runs `processes` workers for so long; panics if a history is not linearizable.
pub fn run(test: &str, processes: usize, seconds: u64) -> Tally {
    let name = Name::new(test);
    let segment = Segment::create(&name, 64 << 20).unwrap();
    let fresh = at_rest(&segment);
    let (board, path) = Board::create();
    let mut show = Show {
        test,
        segment: &segment,
        board,
        path,
        living: Vec::new(),
        dead: Vec::new(),
        free: (0..LOGS).collect(),
        next_id: 1,
        dice: Dice::new(now()),
        tally: Tally { processes, ..Tally::default() },
    };
    let begin = Instant::now();
    for _ in 0..processes {
        show.start();
    }
    while begin.elapsed() < Duration::from_secs(seconds) {
        show.round();
    }
    board.orders().go.store(u64::MAX, SeqCst);
    show.living.into_iter().for_each(|worker| worker.process.finish());
    let mut tally = show.tally;
    tally.seconds = begin.elapsed().as_secs_f64();
    segment.recover().unwrap();
    segment.clear().unwrap();
    assert_like_fresh(&segment, &fresh);
    tally
}

impl Show<'_> {
    fn start(&mut self) {
        let log = self.free.pop().expect("fewer processes than logs");
        let id = self.next_id;
        self.next_id += 1;
        self.board.log(log).clear();
        let name = self.segment.name().expect("it has one");
        let path = self.path.to_str().expect("digits and slashes");
        let process =
            Process::start(self.test, "worker", &[name, path, &log.to_string(), &id.to_string()]);
        self.living.push(Worker { process, log, id });
    }

    fn look(&self, which: usize) -> Option<u64> {
        match named::perform(self.segment, Some(name(which)), Call::Look).unwrap() {
            Some((Answer::Found(value), _)) => Some(value),
            Some((Answer::Absent, None)) => None,
            told => panic!("{} holds {:?}", name(which), told.map(|told| told.0)),
        }
    }

    fn round(&mut self) {
        let initial: Vec<_> = (0..NAMES).map(|which| self.look(which)).collect();
        self.living.iter().for_each(|worker| self.board.log(worker.log).clear());
        self.tally.rounds += 1;
        let round = self.tally.rounds;
        self.board.orders().go.store(round, SeqCst);
        let begin = Instant::now();
        let length = Duration::from_millis(20 + self.dice.roll(200) as u64);
        while begin.elapsed() < length && !self.is_through(round) {
            std::thread::sleep(Duration::from_micros(self.dice.roll(1500) as u64));
            if !self.free.is_empty() && self.dice.roll(4) == 0 {
                self.kill_one();
                self.start();
            } else {
                self.stop_some();
            }
        }
        self.board.orders().stop.store(round, SeqCst);
        self.await_end(round);
        self.judge(&initial);
        for (log, ..) in self.dead.drain(..) {
            self.free.push(log);
        }
        self.segment.recover().unwrap();
        let report = self.segment.check().unwrap();
        assert_eq!(report.damages().count(), 0, "{report}");
    }

    /// Some stand wherever they were, so long that the others have taken what they were looking at.
    fn stop_some(&mut self) {
        let running = self.dice.roll(self.living.len());
        let stopped: Vec<usize> =
            (0..self.living.len()).filter(|i| *i != running && self.dice.roll(3) != 0).collect();
        stopped.iter().for_each(|i| self.living[*i].process.signal(libc::SIGSTOP));
        std::thread::sleep(Duration::from_micros(self.dice.roll(10_000) as u64));
        stopped.iter().for_each(|i| self.living[*i].process.signal(libc::SIGCONT));
        self.tally.stops += stopped.len() as u64;
    }

    fn kill_one(&mut self) {
        let worker = self.living.swap_remove(self.dice.roll(self.living.len()));
        worker.process.kill();
        self.dead.push((worker.log, worker.id, now()));
        self.tally.kills += 1;
    }

    /// Whether all have filled their logs.
    fn is_through(&self, round: u64) -> bool {
        self.living.iter().all(|worker| self.board.log(worker.log).through.load(SeqCst) == round)
    }

    /// Who has begun the round, ends it; who has not will see that it is over.
    fn await_end(&mut self, round: u64) {
        let begin = Instant::now();
        for worker in &mut self.living {
            let log = self.board.log(worker.log);
            while log.began.load(SeqCst) == round && log.through.load(SeqCst) != round {
                assert!(!worker.process.has_ended(), "process {} ended by itself", worker.id);
                assert!(begin.elapsed() < PATIENCE, "process {} hangs", worker.id);
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }

    fn judge(&mut self, initial: &[Option<u64>]) {
        let mut histories: Vec<Vec<Operation>> = vec![Vec::new(); NAMES];
        let living = self.living.iter().map(|worker| (worker.log, worker.id, None));
        let dead = self.dead.iter().map(|(log, id, end)| (*log, *id, Some(*end)));
        for (log, by, death) in living.chain(dead) {
            for recorded in self.board.log(log).read() {
                let end = recorded.end.or(death).expect("who lives has ended its calls");
                let (call, answer, begin) = (recorded.call, recorded.answer, recorded.begin);
                histories[recorded.name].push(Operation { call, answer, begin, end, by });
            }
        }
        for (which, mut history) in histories.into_iter().enumerate() {
            self.count(&mut history);
            let (begin, found) = (now(), self.look(which));
            let answer = Some(found.map_or(Answer::Absent, Answer::Found));
            let look = Operation { call: Call::Look, answer, begin, end: now(), by: 0 };
            history.push(look);
            if let Err(refused) = check(initial[which], &history) {
                panic!("the history of {:?} is not linearizable: {}", name(which), refused.story);
            }
        }
    }

    fn count(&mut self, history: &mut [Operation]) {
        history.sort_by_key(|operation| operation.begin);
        let mut latest = 0;
        let found: std::collections::HashSet<u64> = history
            .iter()
            .filter_map(|operation| match operation.answer {
                Some(Answer::Found(value)) => Some(value),
                _ => None,
            })
            .collect();
        for operation in history.iter() {
            self.tally.operations += 1;
            self.tally.overlapping += u64::from(operation.begin < latest);
            latest = latest.max(operation.end);
            if operation.answer.is_none() {
                self.tally.cut_off += 1;
                self.tally.cut_off_but_done += u64::from(matches!(
                    operation.call,
                    Call::Construct(value) | Call::FindOrConstruct(value) if found.contains(&value)
                ));
            }
        }
    }
}

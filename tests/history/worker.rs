//! A process of the linearizability test: calls on a few names that all use, as fast as it can.

use super::log::{Board, Log};
use super::{NAMES, name};
use crate::common::{Dice, arg};
use crate::linear::{Answer, Call};
use crate::named;
use sharena::Segment;
use std::path::Path;
use std::sync::atomic::Ordering::*;

/// Of so many turns one goes to the table itself: names that come and go, and arrays with them.
const UPHEAVAL: usize = 400;
/// Names of its own that a process makes at once: they make the table grow.
const CROWD: usize = 80;

struct Worker<'s> {
    segment: &'s Segment,
    log: &'static Log,
    dice: Dice,
    id: u64,
    made: u64,
}

pub fn run() {
    let segment = Segment::open(&arg(0)).unwrap();
    let board = Board::open(Path::new(&arg(1)));
    let log = board.log(arg(2).parse().unwrap());
    let id: u64 = arg(3).parse().unwrap();
    let mut worker = Worker { segment: &segment, log, dice: Dice::new(id), id, made: 0 };
    let orders = board.orders();
    let mut last = orders.stop.load(SeqCst);
    loop {
        let round = orders.go.load(SeqCst);
        if round == u64::MAX {
            return;
        }
        if round == last {
            std::thread::sleep(std::time::Duration::from_micros(200));
            continue;
        }
        log.began.store(round, SeqCst);
        while orders.stop.load(SeqCst) < round && !log.is_full() {
            worker.turn();
        }
        log.through.store(round, Release);
        last = round;
    }
}

impl Worker<'_> {
    fn turn(&mut self) {
        if self.dice.roll(UPHEAVAL) == 0 {
            return self.upheave();
        }
        let which = self.dice.roll(NAMES);
        // Mostly those of which a slab has few: their places are taken again soon.
        let kind = [named::WORD, named::BYTES, named::ROW, named::ROW][self.dice.roll(4)];
        let call = match self.dice.roll(16) {
            0..4 => Call::Construct(self.value(kind)),
            4..6 => Call::FindOrConstruct(self.value(kind % 2)),
            6..11 => Call::Find(kind),
            11 => Call::Contains,
            _ => Call::Destroy(kind),
        };
        let held = self.log.record(which, call, || {
            let told = named::perform(self.segment, Some(name(which)), call).unwrap();
            // Without memory nothing happened.
            let Some((answer, held)) = told else { return (None, None) };
            (Some(answer), held.map(|held| (answer, held)))
        });
        let Some((answer, held)) = held else { return };
        // What is referred to stays as it was, whatever others do to the name meanwhile.
        if self.dice.roll(8) == 0 {
            for _ in 0..self.dice.roll(300) {
                std::hint::spin_loop();
            }
            let value = match (answer, call) {
                (Answer::Found(value), _) => value,
                (Answer::Made, Call::Construct(value) | Call::FindOrConstruct(value)) => value,
                _ => return, // torn already
            };
            assert_eq!(held.value(), Some(value), "an object changed under a reference");
        }
    }

    fn value(&mut self, kind: u64) -> u64 {
        self.made += 1;
        named::value(self.id << 24 | self.made & 0xff_ffff, kind, 8 + self.dice.roll(60))
    }

    /// Moves the table: names are added until it grows, and those without object are shed.
    fn upheave(&mut self) {
        if self.dice.roll(2) == 0 {
            self.segment.trim().unwrap();
            return;
        }
        let own = |i: usize| format!("{} of {}", i, self.id);
        let made =
            (0..CROWD).take_while(|i| self.segment.construct(&own(*i), 0u64).is_ok()).count();
        assert!((0..made).all(|i| self.segment.destroy::<u64>(&own(i)).unwrap()));
    }
}

//! Works of whole segments: made, opened, recovered, grown.

pub mod growth;
mod mapped;
mod opening;
mod recovery;
mod states;

use crate::args::{Kind, Work};
use crate::fresh;
use crate::gate::PEERS;
use crate::latency::Latencies;
use crate::measure::{Case, Scope};
use crate::results::{Key, Sample, Unit};
use anyhow::Result;

/// Bytes of capacity of segments that are made and opened.
const CAPACITIES: [u64; 2] = [1 << 30, 1 << 40];

/// Sizes of the blocks that a dead process owned; the last are runs.
const OWNED: [usize; 4] = [64, 1024, 16 << 10, 1 << 20];

/// Rounds of what takes seconds.
const FEW: u32 = 5;
const FEW_QUICK: u32 = 2;

/// All that was asked for.
pub fn cases(scope: &mut Scope) -> Result<Vec<Case>> {
    let mut cases = opening(scope);
    cases.extend(recovery(scope));
    cases.extend(growth(scope));
    Ok(cases)
}

fn opening(scope: &Scope) -> Vec<Case> {
    let mut cases = Vec::new();
    for work in [Work::Create, Work::Attach] {
        if !scope.wants_by(work, Kind::Threads, 1) {
            continue;
        }
        for capacity in CAPACITIES {
            let key = Key::new(work, Kind::Threads, 1).of_size(capacity);
            let mut case = Case::new(key, Unit::Microseconds);
            if work == Work::Create {
                case.add("sharena", move || opening::create(capacity));
                case.add("noop", move || opening::create_plain(capacity));
            } else {
                case.add("sharena", move || opening::attach(capacity));
                case.add("noop", move || opening::attach_plain(capacity));
            }
            cases.push(case);
        }
    }
    cases
}

fn recovery(scope: &Scope) -> Vec<Case> {
    let (bytes, at_most) = if scope.is_quick() { (256 << 20, FEW_QUICK) } else { (1 << 30, FEW) };
    let mut cases = Vec::new();
    if scope.wants_by(Work::Recovery, Kind::Threads, 1) {
        for block in OWNED {
            let key = Key::new(Work::Recovery, Kind::Threads, 1).of_size(block as u64);
            let mut case = Case::new(key, Unit::MillisecondsPerGib);
            case.at_most = at_most;
            case.add("sharena", move || recovery::whole(bytes, block));
            case.add("noop", move || states::alone(bytes, block));
            cases.push(case);
        }
    }
    // Of the smallest blocks alone, where recovery takes long enough for ten thousand pairs.
    let block = OWNED[0];
    if scope.wants_by(Work::RecoveryBeside, Kind::Processes, 2) {
        let key = Key::new(Work::RecoveryBeside, Kind::Processes, 2).of_size(block as u64);
        let mut case = Case::new(key, Unit::Nanoseconds);
        case.at_most = at_most;
        case.add("quiet", move || recovery::beside_a_reader(bytes, block));
        case.add("recovering", move || recovery::beside_recovery(bytes, block));
        cases.push(case);
    }
    cases
}

/// Each round of each in a fresh process, whose heap has nothing at hand.
fn growth(scope: &mut Scope) -> Vec<Case> {
    let mut subjects = vec!["published", "warmed", "huge"];
    subjects.extend(PEERS.into_iter().filter(|peer| scope.has(peer)));
    subjects.push("noop");
    let mut cases = Vec::new();
    for work in [Work::Growth, Work::GrowthLatency] {
        if !scope.wants_by(work, Kind::Threads, 1) {
            continue;
        }
        let mut case = Case::new(Key::new(work, Kind::Threads, 1), Unit::Nanoseconds);
        case.at_most = if scope.is_quick() { FEW_QUICK } else { FEW };
        for name in subjects.clone() {
            case.add(name, move || {
                Ok(match work {
                    Work::Growth => Sample::Figure(fresh::ask(work, name)?),
                    _ => Sample::Latencies(Latencies::of_all(vec![fresh::ask(work, name)?])?),
                })
            });
        }
        cases.push(case);
    }
    cases
}

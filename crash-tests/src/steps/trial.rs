//! What is tried: each operation alone, and some while what another victim left is not recovered yet.

use crate::operations::{self, Operation, arcs, frames, objects, processes, queues, rings, shelf};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A victim dies, or is stopped for a while, at each step of an operation; before, perhaps, another one dies at each
/// step of another.
pub struct Trial {
    pub name: String,
    pub operation: Operation,
    /// Of the victim before the victim.
    pub first: Option<&'static Operation>,
    /// It does not die: it is stopped, others go on beside it, and so does it.
    pub is_stopped: bool,
    /// Tried is every so many-th step: of the first victim, or of one that is stopped.
    pub every: u64,
}

/// Where a death is.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub struct Place {
    /// The step of the first victim, where there are two.
    pub first: Option<u64>,
    pub step: u64,
}

impl Place {
    /// The turn of a worker in which it comes there.
    pub fn turn(self, trial: &Trial) -> u64 {
        self.first.unwrap_or(self.step) / trial.every
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first {
            Some(first) => write!(f, "step {} after one at step {first}", self.step),
            None => write!(f, "step {}", self.step),
        }
    }
}

/// Operations in which one died whom the victim recovers, and every how many-th step of them.
const RECOVERED: [(&str, u64); 39] = [
    ("construct-new", 1),
    ("construct-known-name", 1),
    ("construct-run", 3),
    ("destroy", 1),
    ("destroy-at", 2),
    ("destroy-run", 2),
    ("destroy-held", 3),
    ("construct-tree", 2),
    ("construct-tree-known-name", 3),
    ("construct-tree-run", 4),
    ("destroy-tree", 2),
    ("destroy-tree-run", 5),
    ("let-tree-fall", 3),
    ("allocate-refill-bells", 4),
    ("allocate-adopt", 4),
    ("allocate-wide", 2),
    ("allocate-run", 2),
    ("allocate-grow", 15),
    ("free-run", 3),
    ("resize-shrink", 3),
    ("thread-end-parked", 4),
    ("names-growth", 61),
    ("trim-names", 61),
    ("recover", 40),
    ("change-push-grows", 3),
    ("change-set", 3),
    ("change-tree-insert-splits", 4),
    ("change-tree-pop-merges", 5),
    ("change-table-insert-grows", 5),
    ("construct-guarded", 7),
    ("write-push", 9),
    ("arc-share-and-drop", 3),
    ("arc-clone-and-drop", 2),
    ("arc-truncate-last", 5),
    ("arc-destroy", 7),
    ("frame-push", 6),
    ("frame-job-done", 11),
    ("frame-destroy", 23),
    ("plate-destroy", 9),
];

/// Operations in which one died, and how many of its steps are between two of its deaths that are tried,
/// while it had a lock, a job, or the end of a ring, that the victim then takes from it.
const TAKEN: [(&str, u64); 16] = [
    ("change-push-grows", 3),
    ("change-set", 2),
    ("change-tree-insert-splits", 4),
    ("change-tree-pop-merges", 6),
    ("construct-guarded", 2),
    ("construct-guarded-open", 3),
    ("write-push", 2),
    ("queue-push", 1),
    ("queue-job-back", 1),
    ("ring-push", 1),
    ("ring-done", 1),
    ("arc-push", 2),
    ("arc-truncate-last", 5),
    ("frame-push", 3),
    ("frame-job-done", 7),
    ("frame-job-back", 3),
];

/// Operations in which one died while it destroyed the object of a name that the victim constructs.
const DISPLACED: [&str; 2] = ["destroy", "destroy-own"];

/// All trials.
pub fn all() -> impl Iterator<Item = Trial> {
    let alone = operations::all().map(|operation| Trial {
        name: operation.name.into(),
        operation: operation.clone(),
        first: None,
        is_stopped: false,
        every: 1,
    });
    // Where there is no segment yet nobody can go on in it.
    let stopped = operations::all().filter(|it| it.before.segments != 0).map(|operation| Trial {
        name: format!("stopped-in-{}", operation.name),
        operation: operation.clone(),
        first: None,
        is_stopped: true,
        every: 1,
    });
    let recovered = RECOVERED.into_iter().map(|(name, every)| {
        let operation = of(name);
        Trial {
            name: format!("recover-after-{name}"),
            operation: Operation { prepare: processes::recover, least: 10, ..operation.clone() },
            first: Some(operation),
            is_stopped: false,
            every,
        }
    });
    let displaced = DISPLACED.into_iter().map(|name| Trial {
        name: format!("construct-after-{name}"),
        // Whether there is one before depends on where the first died.
        operation: Operation {
            prepare: objects::construct_if_absent,
            in_parts: true,
            least: 10,
            ..of(name).clone()
        },
        first: Some(of(name)),
        is_stopped: false,
        every: 1,
    });
    let taken = TAKEN.into_iter().map(|(name, every)| {
        let operation = of(name);
        let alone = Operation { in_parts: true, ..operation.clone() };
        Trial {
            name: format!("take-after-{name}"),
            // Whether what the first one did was done is told by what is left, if it is.
            operation: match name.split_once('-').map_or(name, |(of, _)| of) {
                // What it reads it leaves.
                _ if name.ends_with("-open") || name.starts_with("write-") => {
                    Operation { prepare: shelf::read, least: 3, ..alone }
                }
                "queue" => {
                    Operation { prepare: queues::take, after: queues::TAKEN, least: 9, ..alone }
                }
                "ring" => {
                    Operation { prepare: rings::take, after: rings::TAKEN, least: 4, ..alone }
                }
                "frame" => {
                    Operation { prepare: frames::take, after: frames::TAKEN, least: 9, ..alone }
                }
                "arc" => Operation { prepare: arcs::take, after: arcs::TAKEN, least: 10, ..alone },
                _ => Operation { prepare: shelf::take, after: shelf::TAKEN, least: 30, ..alone },
            },
            first: Some(operation),
            is_stopped: false,
            every,
        }
    });
    alone.chain(stopped).chain(recovered).chain(displaced).chain(taken)
}

fn of(name: &str) -> &'static Operation {
    operations::all().find(|operation| operation.name == name).expect("an operation's name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_trial_has_a_name_of_its_own() {
        let mut names = HashSet::new();
        assert!(all().all(|trial| names.insert(trial.name)));
    }
}

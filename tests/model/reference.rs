//! The reference: an interval for each thing that is in use, and what each name leads to. It knows no
//! cleverness: no classes, no slabs, no lanes.

use super::actor::Filled;
use crate::named;
use std::collections::{BTreeMap, HashMap};

/// A process, by its number in the script.
pub type ProcessId = usize;

#[derive(Clone, Debug)]
pub struct Used {
    pub bytes: usize,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Everybody's. Without a seed nobody knows what it holds.
    Raw {
        seed: Option<u64>,
    },
    Private {
        by: ProcessId,
        seed: u64,
    },
    /// A private object.
    Owned {
        by: ProcessId,
        value: u64,
    },
    /// A published object without a name.
    Object {
        value: u64,
    },
    Named {
        value: u64,
    },
    /// A destroyed object that somebody still refers to.
    Gone {
        value: u64,
    },
}

impl What {
    pub fn is_private_of(&self, process: ProcessId) -> bool {
        matches!(self, What::Private { by, .. } | What::Owned { by, .. } if *by == process)
    }
}

/// A reference that a thread holds.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    pub process: ProcessId,
    pub thread: usize,
    pub value: u64,
}

#[derive(Default)]
pub struct Table {
    used: BTreeMap<u64, Used>,
    /// What each name leads to.
    pub names: BTreeMap<usize, u64>,
    /// Where the objects are that everybody can reach, or that somebody refers to.
    places: HashMap<u64, u64>,
    pub references: BTreeMap<u64, Reference>,
    /// Bytes of all that is used.
    pub in_use: u64,
}

impl Table {
    pub fn get(&self, start: u64) -> Option<&Used> {
        self.used.get(&start)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &Used)> {
        self.used.iter().map(|(start, used)| (*start, used))
    }

    /// Where the object of this value is.
    pub fn place(&self, value: u64) -> Option<u64> {
        self.places.get(&value).copied()
    }

    /// The block at `start`, which has to be one.
    pub fn filled(&self, start: u64) -> Filled {
        let used = &self.used[&start];
        let (seed, is_private) = match used.what {
            What::Raw { seed } => (seed, false),
            What::Private { seed, .. } => (Some(seed), true),
            what => panic!("{what:?} is no block"),
        };
        Filled { start, bytes: used.bytes, seed, is_private }
    }

    /// Something new: nothing else may be there.
    pub fn enter(&mut self, start: u64, bytes: usize, what: What) {
        if let Some((before, used)) = self.used.range(..=start).next_back() {
            assert!(
                before + used.bytes as u64 <= start,
                "{what:?} of {bytes} bytes at {start:#x} lies in {used:?} at {before:#x}"
            );
        }
        if let Some((behind, used)) = self.used.range(start..).next() {
            assert!(
                start + bytes as u64 <= *behind,
                "{what:?} of {bytes} bytes at {start:#x} reaches into {used:?} at {behind:#x}"
            );
        }
        if let What::Object { value } | What::Named { value } | What::Gone { value } = what {
            assert_eq!(bytes, named::bytes_of(value));
            self.places.insert(value, start);
        }
        self.in_use += bytes as u64;
        self.used.insert(start, Used { bytes, what });
    }

    pub fn remove(&mut self, start: u64) -> Used {
        let used = self.used.remove(&start).unwrap_or_else(|| panic!("nothing at {start:#x}"));
        if let What::Object { value } | What::Named { value } | What::Gone { value } = used.what {
            self.places.remove(&value);
        }
        self.in_use -= used.bytes as u64;
        used
    }

    pub fn is_referred_to(&self, value: u64) -> bool {
        self.references.values().any(|reference| reference.value == value)
    }

    /// An object was destroyed: it stays as long as somebody refers to it.
    pub fn destroyed(&mut self, start: u64) {
        let used = self.remove(start);
        let (What::Object { value } | What::Named { value } | What::Gone { value }) = used.what
        else {
            panic!("{used:?} is no object")
        };
        if self.is_referred_to(value) {
            self.enter(start, used.bytes, What::Gone { value });
        }
    }

    /// A reference is no more.
    pub fn let_go(&mut self, reference: u64) {
        let Reference { value, .. } = self.references.remove(&reference).expect("it was held");
        if let Some(start) = self.place(value)
            && let What::Gone { .. } = self.used[&start].what
        {
            self.destroyed(start);
        }
    }

    /// A process left, or died: what it referred to, and what was its alone.
    pub fn left(&mut self, process: ProcessId) {
        let of_it =
            |(id, reference): (&u64, &Reference)| (reference.process == process).then_some(*id);
        let references: Vec<u64> = self.references.iter().filter_map(of_it).collect();
        references.into_iter().for_each(|reference| self.let_go(reference));
        let private: Vec<u64> = self
            .iter()
            .filter(|(_, used)| used.what.is_private_of(process))
            .map(|(start, _)| start)
            .collect();
        for start in private {
            self.remove(start);
        }
    }
}

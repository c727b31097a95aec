//! The tables that are measured, each behind the same few lines.
//!
//! All have the same names, each a copy of its own, and the same numbers as values; each has its default hasher. Those
//! of a process' own memory keep the number beside the name, which is the quickest that they can do, and move it when
//! they grow. An object of ours has a block of its own and stays where it is, whoever looks at it.

use super::keys::Name;
use anyhow::Result;
use sharena::{Options, Segment};
use std::alloc::Layout;
use std::hint::black_box;

/// A table as a work uses it. Every method is inlined into the work's loop.
pub trait Table {
    /// Has a name lead to its value; false: it leads to one already.
    fn construct(&mut self, name: &Name) -> bool;

    /// What a name leads to.
    fn find(&self, name: &Name) -> Option<u64>;

    /// Has a name lead to nothing; whether it led to something.
    fn destroy(&mut self, name: &Name) -> bool;
}

/// Named objects of 8 bytes. A name is looked up by way of the thread-local look-up: there is no other.
pub struct Sharena(Segment);

/// More than any work needs.
const CAPACITY: u64 = 1 << 30;
/// Bytes that a segment needs for a name, its object and its part of the tables while they grow, and fewer than twice
/// as many.
const BYTES_PER_NAME: usize = 160;
/// Bytes that it needs beside, however few there are.
const BYTES: usize = 8 << 20;
const PAGE: usize = 4096;

impl Sharena {
    /// In a new segment, whose memory is not there yet.
    pub fn cold(_: u64) -> Result<Sharena> {
        Sharena::new(&Options::new())
    }

    fn new(options: &Options) -> Result<Sharena> {
        Ok(Sharena(options.clone().capacity(CAPACITY).create_anonymous()?))
    }

    /// In a new segment, which has had memory for so many names in use before, as the allocators of the others have
    /// since the first round.
    pub fn warm(names: u64) -> Result<Sharena> {
        Sharena::cold(names)?.used_by(names)
    }

    /// The same, with huge pages, where the kernel has them.
    pub fn warm_huge(names: u64) -> Result<Sharena> {
        Sharena::new(&Options::new().huge_pages(true))?.used_by(names)
    }

    fn used_by(self, names: u64) -> Result<Sharena> {
        let table = self;
        let bytes = BYTES + names as usize * BYTES_PER_NAME;
        let block = table.0.allocate_block(Layout::from_size_align(bytes, PAGE)?)?;
        for at in (0..bytes).step_by(PAGE) {
            // SAFETY: in a block that is ours alone.
            unsafe { block.as_ptr().add(at).write_volatile(1) };
        }
        drop(block);
        Ok(table)
    }
}

const FITS: &str = "the benchmark fits the segment";

impl Table for Sharena {
    #[inline(always)]
    fn construct(&mut self, name: &Name) -> bool {
        self.0.construct(name.text(), name.value).is_ok()
    }

    #[inline(always)]
    fn find(&self, name: &Name) -> Option<u64> {
        self.0.find(name.text()).expect(FITS).map(|found| *found)
    }

    #[inline(always)]
    fn destroy(&mut self, name: &Name) -> bool {
        self.0.destroy::<u64>(name.text()).expect(FITS)
    }
}

/// Of one thread, or of many as long as nobody changes it.
#[derive(Default)]
pub struct Hashbrown(hashbrown::HashMap<Box<str>, u64>);

impl Table for Hashbrown {
    #[inline(always)]
    fn construct(&mut self, name: &Name) -> bool {
        self.0.insert(name.text().into(), name.value).is_none()
    }

    #[inline(always)]
    fn find(&self, name: &Name) -> Option<u64> {
        self.0.get(name.text()).copied()
    }

    #[inline(always)]
    fn destroy(&mut self, name: &Name) -> bool {
        self.0.remove(name.text()).is_some()
    }
}

/// Of threads, lock-free. Each operation pins what it looks at, as ours does.
#[derive(Default)]
pub struct Papaya(papaya::HashMap<Box<str>, u64>);

impl Table for Papaya {
    #[inline(always)]
    fn construct(&mut self, name: &Name) -> bool {
        self.0.pin().insert(name.text().into(), name.value).is_none()
    }

    #[inline(always)]
    fn find(&self, name: &Name) -> Option<u64> {
        self.0.pin().get(name.text()).copied()
    }

    #[inline(always)]
    fn destroy(&mut self, name: &Name) -> bool {
        self.0.pin().remove(name.text()).is_some()
    }
}

/// Of threads, with a lock for each of its parts.
#[derive(Default)]
pub struct Dashmap(dashmap::DashMap<Box<str>, u64>);

impl Table for Dashmap {
    #[inline(always)]
    fn construct(&mut self, name: &Name) -> bool {
        self.0.insert(name.text().into(), name.value).is_none()
    }

    #[inline(always)]
    fn find(&self, name: &Name) -> Option<u64> {
        self.0.get(name.text()).map(|found| *found)
    }

    #[inline(always)]
    fn destroy(&mut self, name: &Name) -> bool {
        self.0.remove(name.text()).is_some()
    }
}

/// Of processes, under one lock. A name leads to memory that others can destroy while it is read; nobody does.
#[cfg(has_boost)]
pub struct Boost(crate::boost::Segment);

#[cfg(has_boost)]
impl Boost {
    /// With memory for twice as many names as its tables and blocks take.
    pub fn new(names: u64) -> Result<Boost> {
        let bytes = BYTES + 2 * names as usize * BYTES_PER_NAME;
        Ok(Boost(crate::boost::Segment::new(bytes)?))
    }
}

#[cfg(has_boost)]
impl Table for Boost {
    #[inline(always)]
    fn construct(&mut self, name: &Name) -> bool {
        self.0.construct(name.c_text(), name.value).is_some()
    }

    #[inline(always)]
    fn find(&self, name: &Name) -> Option<u64> {
        // SAFETY: constructed with this value, and nobody destroys it while others look.
        self.0.find(name.c_text()).map(|found| unsafe { found.read() })
    }

    #[inline(always)]
    fn destroy(&mut self, name: &Name) -> bool {
        self.0.destroy(name.c_text())
    }
}

/// Reads the name and keeps nothing: what the harness itself costs.
#[derive(Default)]
pub struct Noop;

impl Noop {
    #[inline(always)]
    fn value(name: &Name) -> u64 {
        let text = black_box(name.text()).as_bytes();
        black_box(text[0] ^ text[text.len() - 1]);
        name.value
    }
}

impl Table for Noop {
    #[inline(always)]
    fn construct(&mut self, name: &Name) -> bool {
        Noop::value(name) != 0
    }

    #[inline(always)]
    fn find(&self, name: &Name) -> Option<u64> {
        Some(Noop::value(name)).filter(|value| *value != 0)
    }

    #[inline(always)]
    fn destroy(&mut self, name: &Name) -> bool {
        Noop::value(name) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::keys::{Looks, there};

    fn is_a_table(mut table: impl Table) {
        let (names, misses) = (there(1000), Looks::Miss.of(1000, 1000));
        let (gone, kept) = names.split_at(500);
        assert!(names.iter().all(|name| table.construct(name)));
        assert!(names.iter().all(|name| table.find(name) == Some(name.value)));
        assert!(misses.iter().all(|name| table.find(name).is_none() && !table.destroy(name)));
        assert!(gone.iter().all(|name| table.destroy(name) && !table.destroy(name)));
        assert!(gone.iter().all(|name| table.find(name).is_none()));
        assert!(kept.iter().all(|name| !table.construct(name)), "it is there");
        assert!(kept.iter().all(|name| table.find(name) == Some(name.value)));
    }

    #[test]
    fn each_of_them_is_a_table() {
        is_a_table(Sharena::cold(1000).unwrap());
        is_a_table(Sharena::warm(1000).unwrap());
        is_a_table(Sharena::warm_huge(1000).unwrap());
        is_a_table(Hashbrown::default());
        is_a_table(Papaya::default());
        is_a_table(Dashmap::default());
        #[cfg(has_boost)]
        is_a_table(Boost::new(1000).unwrap());
    }

    #[test]
    fn a_warm_segment_has_had_the_memory_that_its_names_need_and_no_more_than_twice_as_much() {
        let names = 100_000;
        let held = |table: &Sharena| table.0.stats().unwrap().committed;
        let warm = |names: &[Name]| {
            let mut table = Sharena::warm(names.len() as u64).unwrap();
            let before = held(&table);
            assert!(names.iter().all(|name| table.construct(name)));
            (before, held(&table))
        };
        let (before, after) = warm(&there(names));
        assert_eq!(before, after);
        let mut cold = Sharena::cold(names).unwrap();
        assert!(there(names).iter().all(|name| cold.construct(name)));
        assert!(before - (BYTES as u64) < 2 * held(&cold));
    }
}

//! The works: the same loop for every table, compiled for each, and what it has to come to.

use super::keys::{Name, Sets};
use super::subjects::Table;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// Which names come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Comers {
    /// Such as were never there: each set is another.
    New,
    /// Such as were there before and have gone: always the same set.
    Known,
}

/// How long names took to come, and to go, all sets together; and how many they were.
#[derive(Default)]
pub struct Came {
    pub coming: Duration,
    pub going: Duration,
    pub names: u64,
}

/// Every set comes, and goes. What the table does to grow belongs to that.
pub fn come_and_go<T: Table>(table: &mut T, sets: &Sets, who: Comers) -> Result<Came> {
    if who == Comers::Known {
        turn(table, sets.set(0), &mut Came::default())?;
    }
    let mut came = Came::default();
    for number in 0..sets.count() {
        let set = match who {
            Comers::New => sets.set(number),
            Comers::Known => sets.set(0),
        };
        turn(table, set, &mut came)?;
    }
    Ok(came)
}

/// One set comes, and goes.
fn turn<T: Table>(
    table: &mut T,
    (coming, going): (&[Name], &[Name]),
    came: &mut Came,
) -> Result<()> {
    let begin = Instant::now();
    let constructed = construct(table, coming);
    came.coming += begin.elapsed();
    ensure!(constructed == coming.len(), "{constructed} names of {} came", coming.len());
    check(table, going.iter().step_by(going.len().div_ceil(LOOKED_AT)))?;
    let begin = Instant::now();
    let destroyed = destroy(table, going);
    came.going += begin.elapsed();
    ensure!(destroyed == going.len(), "{destroyed} names of {} went", going.len());
    came.names += coming.len() as u64;
    Ok(())
}

/// Names of a set that are looked at once it is there: few, so that they do not come into the caches by it.
const LOOKED_AT: usize = 100;

#[inline(never)]
fn construct<T: Table>(table: &mut T, names: &[Name]) -> usize {
    names.iter().filter(|name| table.construct(name)).count()
}

#[inline(never)]
fn destroy<T: Table>(table: &mut T, names: &[Name]) -> usize {
    names.iter().filter(|name| table.destroy(name)).count()
}

/// Finds each; the sum of what they lead to.
#[inline(never)]
pub fn find<T: Table>(table: &T, names: &[Name]) -> u64 {
    names.iter().map(|name| table.find(name).unwrap_or(0)).sum()
}

/// Whether each leads to what it should.
pub fn check<'n, T: Table>(table: &T, names: impl Iterator<Item = &'n Name>) -> Result<()> {
    for name in names {
        let found = table.find(name).unwrap_or(0);
        ensure!(found == name.value, "{} leads to {found}, not to {}", name.text(), name.value);
    }
    Ok(())
}

/// What [`find`] has to come to.
pub fn sum(names: &[Name]) -> u64 {
    names.iter().map(|name| name.value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::subjects::Hashbrown;
    use std::collections::BTreeSet;

    /// Counts the names that have come; forgets each so many-th.
    #[derive(Default)]
    struct Counting {
        table: Hashbrown,
        seen: BTreeSet<String>,
        came: usize,
        forgets: Option<usize>,
    }

    impl Table for Counting {
        fn construct(&mut self, name: &Name) -> bool {
            self.seen.insert(name.text().to_owned());
            self.came += 1;
            let forgets = self.forgets.is_some_and(|each| self.came.is_multiple_of(each));
            forgets || self.table.construct(name)
        }

        fn find(&self, name: &Name) -> Option<u64> {
            self.table.find(name)
        }

        fn destroy(&mut self, name: &Name) -> bool {
            self.table.destroy(name)
        }
    }

    #[test]
    fn names_that_come_are_new_or_known() {
        let sets = Sets::of(50_000);
        for (who, came, seen) in [(Comers::New, 200_000, 200_000), (Comers::Known, 250_000, 50_000)]
        {
            let mut table = Counting::default();
            let done = come_and_go(&mut table, &sets, who).unwrap();
            assert_eq!((table.came, table.seen.len(), done.names), (came, seen, 200_000));
            assert!(done.coming > Duration::ZERO && done.going > Duration::ZERO);
        }
    }

    #[test]
    fn a_table_that_forgets_a_name_fails_the_work() {
        let mut table = Counting { forgets: Some(150_000), ..Counting::default() };
        assert!(come_and_go(&mut table, &Sets::of(100), Comers::New).is_err());
        let mut table = Counting { forgets: Some(50_000), ..Counting::default() };
        assert!(come_and_go(&mut table, &Sets::of(100_000), Comers::New).is_err());
    }

    #[test]
    fn a_find_that_is_wrong_is_seen() {
        let sets = Sets::of(100);
        let (names, _) = sets.set(0);
        let mut table = Hashbrown::default();
        assert_eq!(construct(&mut table, names), 100);
        assert!(check(&table, names.iter()).is_ok());
        assert_eq!(find(&table, names), sum(names));
        assert!(table.destroy(&names[7]));
        assert!(check(&table, names.iter()).is_err());
        assert_eq!(find(&table, names), sum(names) - names[7].value);
    }
}

//! Names as works use them, all made before the clock runs.

use std::ops::Range;

/// A name, and what it leads to. It lies in the order in which it is used, so that what is measured is the table and
/// not the way to the name.
#[derive(Clone)]
pub struct Name {
    /// 0: nothing.
    pub value: u64,
    length: u8,
    text: [u8; 23],
}

/// What is traded, as names say it.
const TRADED: [&str; 8] =
    ["EURUSD", "USDJPY", "GBPUSD", "USDCHF", "AUDUSD", "USDCAD", "NZDUSD", "EURGBP"];

impl Name {
    /// The name of that number, which leads to a value.
    fn there(number: usize) -> Name {
        Name::new(number, number, number as u64 + 1)
    }

    /// One that differs in a few letters from one that is there, and is not.
    fn elsewhere(number: usize) -> Name {
        Name::new(number + 1, number, 0)
    }

    fn new(traded: usize, number: usize, value: u64) -> Name {
        let made = format!("market/{}/{number:06}", TRADED[traded % TRADED.len()]);
        let mut text = [0; 23];
        assert!(made.len() < text.len());
        text[..made.len()].copy_from_slice(made.as_bytes());
        Name { value, length: made.len() as u8, text }
    }

    /// The name as C has it, with a 0 behind.
    #[cfg(has_boost)]
    #[inline(always)]
    pub fn c_text(&self) -> &std::ffi::CStr {
        // SAFETY: `new` put a text without a 0 there, with at least one behind, as it is shorter than its place.
        unsafe {
            let text = self.text.get_unchecked(..=usize::from(self.length));
            std::ffi::CStr::from_bytes_with_nul_unchecked(text)
        }
    }

    /// The name.
    #[inline(always)]
    pub fn text(&self) -> &str {
        // SAFETY: `new` put a text of so many bytes there.
        unsafe { str::from_utf8_unchecked(self.text.get_unchecked(..usize::from(self.length))) }
    }
}

/// So many names that are there.
pub fn there(names: u64) -> Vec<Name> {
    (0..names as usize).map(Name::there).collect()
}

/// Looks at so many names, at random.
#[derive(Clone, Copy)]
pub enum Looks {
    /// For what is there.
    Hit,
    /// For what is not.
    Miss,
}

impl Looks {
    /// What is looked for, one after the other, beside so many names.
    pub fn of(self, names: u64, count: usize) -> Vec<Name> {
        let mut random = fastrand::Rng::with_seed(1);
        let name = match self {
            Looks::Hit => Name::there,
            Looks::Miss => Name::elsewhere,
        };
        (0..count).map(|_| name(random.usize(..names as usize))).collect()
    }
}

/// Sets of names: each comes, and goes again.
pub struct Sets {
    size: usize,
    coming: Vec<Name>,
    /// The same, each set in random order.
    going: Vec<Name>,
}

/// Names of all sets of a round, at least.
const COMING: u64 = 200_000;

impl Sets {
    /// Of so many names each; no name is in two.
    pub fn of(size: u64) -> Sets {
        let (size, sets) = (size as usize, COMING.div_ceil(size));
        let coming = there(sets * size as u64);
        let mut going = coming.clone();
        let mut random = fastrand::Rng::with_seed(2);
        going.chunks_mut(size).for_each(|set| random.shuffle(set));
        Sets { size, coming, going }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.coming.len() / self.size
    }

    /// One, in the orders in which it comes and goes.
    pub fn set(&self, number: usize) -> (&[Name], &[Name]) {
        let Range { start, end } = number * self.size..(number + 1) * self.size;
        (&self.coming[start..end], &self.going[start..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn what_is_missed_looks_like_what_is_there_and_is_not_there() {
        let there = there(1000);
        let texts: BTreeSet<&str> = there.iter().map(Name::text).collect();
        assert_eq!(texts.len(), 1000);
        assert_eq!((there[123].text(), there[123].value), ("market/USDCHF/000123", 124));
        for miss in Looks::Miss.of(1000, 5000) {
            assert!(!texts.contains(miss.text()) && miss.value == 0);
            assert_eq!(miss.text().len(), there[0].text().len());
        }
    }

    #[test]
    fn all_that_is_there_is_looked_for_and_leads_to_its_value() {
        let there = there(100);
        let of: BTreeMap<&str, u64> = there.iter().map(|it| (it.text(), it.value)).collect();
        let looks = Looks::Hit.of(100, 5000);
        assert!(looks.iter().all(|it| of[it.text()] == it.value));
        assert_eq!(looks.iter().map(Name::text).collect::<BTreeSet<_>>().len(), 100);
    }

    #[test]
    fn of_each_set_the_same_names_come_and_go_in_another_order_and_never_again() {
        let sets = Sets::of(1000);
        let mut seen = BTreeSet::new();
        for (coming, going) in (0..sets.count()).map(|number| sets.set(number)) {
            let texts = |of: &[Name]| of.iter().map(|it| it.text().to_owned()).collect::<Vec<_>>();
            let (mut coming, mut going) = (texts(coming), texts(going));
            assert_ne!(coming, going);
            coming.sort_unstable();
            going.sort_unstable();
            assert_eq!(coming, going);
            assert!(coming.into_iter().all(|it| seen.insert(it)));
        }
        assert_eq!(seen.len() as u64, COMING);
    }
}

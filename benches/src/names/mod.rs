//! Works of tables of names: construct, destroy, find, of few and of many.

mod keys;
mod subjects;
mod works;

use crate::args::{Kind, Work};
use crate::latency::{self, Latencies};
use crate::measure::{Case, Scope};
use crate::members::{Span, Start, per_operation, together};
use crate::results::{Key, Sample, Unit};
use anyhow::{Result, ensure};
use keys::{Looks, Name, Sets, there};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;
use subjects::{Dashmap, Hashbrown, Noop, Papaya, Sharena, Table};
use works::{Came, Comers, check, come_and_go, find, sum};

const WORKS: [Work; 5] =
    [Work::Construct, Work::Find, Work::Miss, Work::Destroy, Work::FindLatency];
/// What a peer does of which it is enough to know how quick it is.
const UNTIMED: [Work; 4] = [Work::Construct, Work::Find, Work::Miss, Work::Destroy];

const SIZES: [u64; 3] = [100, 10_000, 1_000_000];
const SIZES_QUICK: [u64; 2] = [100, 10_000];
/// Names beside which many look for some at once.
const OF_MANY: u64 = 10_000;

/// Finds of one member in a round.
const FINDS: usize = 300_000;
/// The same, each by the clock.
const TIMED_FINDS: usize = 200_000;
/// Finds of one member before: enough to meet all of [`OF_MANY`] names.
const FINDS_BEFORE: usize = 50_000;

/// What is done.
#[derive(Clone, Copy)]
struct What {
    work: Work,
    kind: Kind,
    members: u32,
    size: u64,
}

/// The names that a work is done with.
enum Names {
    Sets(Sets),
    Looks(Vec<Name>),
}

impl Names {
    fn of(work: Work, size: u64) -> Names {
        match work {
            Work::Construct | Work::Destroy => Names::Sets(Sets::of(size)),
            Work::Miss => Names::Looks(Looks::Miss.of(size, FINDS)),
            Work::FindLatency => Names::Looks(Looks::Hit.of(size, TIMED_FINDS)),
            _ => Names::Looks(Looks::Hit.of(size, FINDS)),
        }
    }
}

/// Who does it.
trait Subject {
    /// Does it once.
    fn run(&self, what: &What, names: &Names) -> Result<Sample>;
}

/// Tables of one kind.
struct Tables<T> {
    /// An empty one, for so many names.
    new: fn(u64) -> Result<T>,
    comers: Comers,
    /// Those that are full of so many names, for all who look for some.
    full: RefCell<BTreeMap<u64, Rc<T>>>,
}

impl<T: Table> Tables<T> {
    fn of(new: fn(u64) -> Result<T>, comers: Comers) -> Rc<Tables<T>> {
        Rc::new(Tables { new, comers, full: RefCell::default() })
    }

    fn full(&self, size: u64) -> Result<Rc<T>> {
        if let Some(full) = self.full.borrow().get(&size) {
            return Ok(full.clone());
        }
        let mut table = (self.new)(size)?;
        ensure!(there(size).iter().all(|name| table.construct(name)), "a name is refused");
        let full = Rc::new(table);
        self.full.borrow_mut().insert(size, full.clone());
        Ok(full)
    }
}

impl<T: Table + Sync> Subject for Tables<T> {
    fn run(&self, what: &What, names: &Names) -> Result<Sample> {
        match names {
            Names::Sets(sets) => {
                let Came { coming, going, names } =
                    come_and_go(&mut (self.new)(what.size)?, sets, self.comers)?;
                let took = if what.work == Work::Construct { coming } else { going };
                Ok(Sample::Figure(took.as_nanos() as f64 / names as f64))
            }
            Names::Looks(looks) => what.looked_for(&*self.full(what.size)?, looks),
        }
    }
}

impl What {
    /// Whether it is done at all: what many do at once, they do at one size.
    fn can_be(&self) -> bool {
        let is_alone = self.kind == Kind::Threads && self.members == 1;
        match self.work {
            Work::Find => is_alone || self.size == OF_MANY,
            Work::FindLatency => self.size == OF_MANY,
            _ => is_alone,
        }
    }

    /// Each member looks for all, one after the other, when it has done so for some to see that all is right.
    fn looked_for<T: Table + Sync>(&self, table: &T, looks: &[Name]) -> Result<Sample> {
        if self.work == Work::FindLatency {
            let one = |_, start: &Start<'_>| {
                check(table, looks.iter().take(FINDS_BEFORE))?;
                start.wait();
                let mut found = 0;
                let counts = latency::measure(looks.len() as u32, |i| {
                    found += table.find(&looks[i as usize]).unwrap_or(0);
                })?;
                ensure!(found == sum(looks), "something else was found");
                Ok(counts)
            };
            let all = together(self.kind, self.members, one)?;
            return Ok(Sample::Latencies(Latencies::of_all(all)?));
        }
        let base = Instant::now();
        let one = |_, start: &Start<'_>| {
            check(table, looks.iter().take(FINDS_BEFORE))?;
            start.wait();
            let begin = Instant::now();
            let found = find(table, looks);
            let span = Span::since(base, begin, begin.elapsed());
            ensure!(found == sum(looks), "something else was found");
            Ok((looks.len() as u64, span))
        };
        Ok(per_operation(&together(self.kind, self.members, one)?))
    }
}

/// All that was asked for.
pub fn cases(scope: &mut Scope) -> Result<Vec<Case>> {
    let subjects = subjects(scope);
    let mut cases = Vec::new();
    for work in WORKS.into_iter().filter(|it| scope.wants(*it)) {
        let sizes: &[u64] = if scope.is_quick() { &SIZES_QUICK } else { &SIZES };
        for size in sizes {
            let names = Rc::new(OnceCell::new());
            for kind in scope.kinds() {
                for members in scope.members() {
                    let what = What { work, kind, members: *members, size: *size };
                    if what.can_be() {
                        cases.push(case(what, &names, &subjects));
                    }
                }
            }
        }
    }
    Ok(cases)
}

/// How a subject is called, what it does, and its tables.
type Row = (&'static str, &'static [Work], Rc<dyn Subject>);

fn subjects(scope: &mut Scope) -> Vec<Row> {
    use Comers::{Known, New};
    let ours: [Row; 5] = [
        ("sharena", &WORKS, Tables::of(Sharena::warm, New)),
        ("sharena-known", &[Work::Construct], Tables::of(Sharena::warm, Known)),
        ("sharena-cold", &[Work::Construct], Tables::of(Sharena::cold, New)),
        ("sharena-huge", &UNTIMED, Tables::of(Sharena::warm_huge, New)),
        ("noop", &WORKS, Tables::of(|_| Ok(Noop), New)),
    ];
    let peers: [Row; 3] = [
        ("hashbrown", &WORKS, Tables::of(|_| Ok(Hashbrown::default()), New)),
        ("papaya", &UNTIMED, Tables::of(|_| Ok(Papaya::default()), New)),
        ("dashmap", &UNTIMED, Tables::of(|_| Ok(Dashmap::default()), New)),
    ];
    let mut all: Vec<Row> = ours.into_iter().collect();
    all.extend(peers.into_iter().filter(|(name, ..)| scope.has(name)));
    if scope.has("boost") {
        #[cfg(has_boost)]
        all.push(("boost", &UNTIMED, Tables::of(subjects::Boost::new, New)));
        #[cfg(not(has_boost))]
        scope.lacks("boost", crate::boost::ABSENT);
    }
    all
}

fn case(what: What, names: &Rc<OnceCell<Names>>, subjects: &[Row]) -> Case {
    let key = Key::new(what.work, what.kind, what.members).of_size(what.size);
    let mut case = Case::new(key, Unit::Nanoseconds);
    for (name, _, subject) in subjects.iter().filter(|(_, works, _)| works.contains(&what.work)) {
        let (subject, names) = (subject.clone(), names.clone());
        case.add(name, move || {
            subject.run(&what, names.get_or_init(|| Names::of(what.work, what.size)))
        });
    }
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ScopeArgs;

    fn keys(quick: bool) -> Vec<Key> {
        let mut scope = Scope::new(ScopeArgs { quick, ..ScopeArgs::default() });
        cases(&mut scope).unwrap().into_iter().map(|it| it.key).collect()
    }

    #[test]
    fn what_the_bars_are_about_is_done() {
        let crowd = |work, members| Key::new(work, Kind::Processes, members).of_size(OF_MANY);
        for (quick, sizes) in [(false, &SIZES[..]), (true, &SIZES_QUICK)] {
            let keys = keys(quick);
            for size in sizes {
                for work in UNTIMED {
                    assert!(keys.contains(&Key::new(work, Kind::Threads, 1).of_size(*size)));
                }
            }
            let crowds = [(Work::Find, 1), (Work::Find, 8), (Work::FindLatency, 8)];
            assert!(crowds.into_iter().all(|(work, members)| keys.contains(&crowd(work, members))));
            assert!(keys.iter().all(|it| it.members == 1 || it.size == OF_MANY));
        }
    }

    #[test]
    fn every_subject_does_its_works_alone_and_beside_others() {
        let subjects = subjects(&mut Scope::new(ScopeArgs::default()));
        for work in WORKS {
            let members = if work == Work::FindLatency || work == Work::Find { 2 } else { 1 };
            let what = What { work, kind: Kind::Threads, members, size: 100 };
            let case = case(what, &Rc::default(), &subjects);
            assert!(case.subjects.len() >= 3);
            for mut it in case.subjects {
                let took = match (it.run)().unwrap() {
                    Sample::Figure(took) => took,
                    Sample::Latencies(all) => all.quantile(1.0) as f64,
                    Sample::Course(..) => unreachable!("nothing goes on over time"),
                };
                assert!(took > 0.0, "{} at {work:?}", it.name);
            }
        }
    }

    /// Has another value for one name.
    struct Mistaken;

    impl Table for Mistaken {
        fn construct(&mut self, _: &Name) -> bool {
            true
        }

        fn find(&self, name: &Name) -> Option<u64> {
            Some(name.value.max(2))
        }

        fn destroy(&mut self, _: &Name) -> bool {
            true
        }
    }

    #[test]
    fn whoever_finds_something_else_fails_the_work() {
        let tables = Tables::of(|_| Ok(Mistaken), Comers::New);
        for work in WORKS {
            let what = What { work, kind: Kind::Threads, members: 1, size: 100 };
            assert!(tables.run(&what, &Names::of(work, 100)).is_err(), "{work:?}");
        }
    }
}

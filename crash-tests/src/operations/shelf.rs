//! A shelf behind a lock: a list, two maps and two deques, of which the victim changes one.

use super::{Act, Held, Things, enter, named, warm_up};
use crate::stage::{Stage, Victim};
use anyhow::{Context, Result, ensure};
use sharena::collections::{
    BTreeMap, BTreeMapMut, HashMap, HashMapMut, String, StringMut, Vec, VecDeque, VecDequeMut,
    VecMut,
};
use sharena::lock::{Mut, Mutex, PoisonError, RwLock};
use sharena::{Segment, Shareable};
use std::mem::forget;

/// The name of such an object.
pub const MADE_SHELF: &str = "made-shelf";

/// What such an object is.
pub type Shelf = Mutex<Books>;

/// The name of one that several may read at once.
pub const MADE_OPEN_SHELF: &str = "made-open-shelf";

/// What such an object is.
pub type OpenShelf = RwLock<Books>;

#[derive(Shareable)]
pub struct Books {
    list: Vec<String>,
    tree: BTreeMap<u64, String>,
    table: HashMap<u64, String>,
    deque: VecDeque<String>,
    /// What changes at either end by one store.
    numbers: VecDeque<u64>,
}

/// Texts in each: those of the maps have the numbers of their keys; and numbers.
#[derive(Clone, Copy)]
pub struct Counts {
    pub list: u64,
    pub tree: u64,
    pub table: u64,
    pub deque: u64,
    pub numbers: u64,
}

pub const EMPTY: Counts = Counts { list: 0, tree: 0, table: 0, deque: 0, numbers: 0 };

/// Where a text stands.
#[derive(Clone, Copy)]
pub enum In {
    List,
    Tree,
    Table,
    Deque,
    Numbers,
}

pub fn text(segment: &Segment, number: u64) -> String {
    String::from_in(&format!("{number}{REST}"), segment)
}

const REST: &str = ", with more text than nothing";

/// What a mark behind a text adds to its number.
pub const MARKED: u64 = 1000;

fn number_of(text: &str) -> Result<u64> {
    let (number, marks) = text.split_once(REST).with_context(|| format!("the text is {text:?}"))?;
    ensure!(marks.chars().all(|mark| mark == '!'), "it goes on with {marks:?}");
    Ok(number.parse::<u64>()? + MARKED * marks.len() as u64)
}

/// What a text adds to the number that tells shelves apart.
pub const fn mark(place: In, at: u64, number: u64) -> u64 {
    let word = (place as u64) << 60 | at << 30 | (number + 1);
    let word = (word ^ word >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (word ^ word >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// The same, of texts whose numbers are their places, from one to before the other.
pub const fn marks(place: In, from: u64, to: u64) -> u64 {
    let (mut all, mut at) = (0u64, from);
    while at < to {
        all = all.wrapping_add(mark(place, at, at));
        at += 1;
    }
    all
}

/// A shelf of which this is the sum of marks.
pub const fn shelf(digest: u64) -> Things {
    Things { digest, ..named(1) }
}

/// One that was just set up so.
pub const fn set(counts: Counts) -> Things {
    let list = marks(In::List, 0, counts.list);
    let maps = marks(In::Tree, 0, counts.tree).wrapping_add(marks(In::Table, 0, counts.table));
    let texts = marks(In::Deque, 0, counts.deque);
    let deques = texts.wrapping_add(marks(In::Numbers, 0, counts.numbers));
    shelf(list.wrapping_add(maps).wrapping_add(deques))
}

impl Things {
    /// With one text more.
    pub const fn and(self, place: In, at: u64, number: u64) -> Things {
        Things { digest: self.digest.wrapping_add(mark(place, at, number)), ..self }
    }

    /// With one text less.
    pub const fn without(self, place: In, at: u64, number: u64) -> Things {
        Things { digest: self.digest.wrapping_sub(mark(place, at, number)), ..self }
    }
}

/// What is on the shelf, told by one number.
pub fn digest_of(segment: &Segment) -> Result<u64> {
    let shelf = segment.find::<Shelf>(MADE_SHELF)?.context("it was listed")?;
    let digest = digest(&shelf.lock().unwrap_or_else(PoisonError::into_inner))?;
    shelf.clear_poison();
    Ok(digest)
}

/// The same, of the open one.
pub fn digest_of_open(segment: &Segment) -> Result<u64> {
    let shelf = segment.find::<OpenShelf>(MADE_OPEN_SHELF)?.context("it was listed")?;
    let digest = digest(&shelf.read().unwrap_or_else(PoisonError::into_inner))?;
    shelf.clear_poison();
    ensure!(!shelf.is_poisoned(), "nobody is at it, and it cannot be cleared");
    Ok(digest)
}

/// Each text in it is whole, and maps find what they have.
fn digest(books: &Books) -> Result<u64> {
    let mut digest = 0u64;
    for (at, text) in books.list.iter().enumerate() {
        digest = digest.wrapping_add(mark(In::List, at as u64, number_of(text)?));
    }
    let mut last = None;
    for (at, text) in &books.tree {
        ensure!(last < Some(*at), "key {at} of the tree stands behind {last:?}");
        ensure!(books.tree.get(at) == Some(text), "key {at} of the tree is not found");
        last = Some(*at);
        digest = digest.wrapping_add(mark(In::Tree, *at, number_of(text)?));
    }
    for (at, text) in books.table.iter() {
        ensure!(books.table.get(at) == Some(text), "key {at} of the table is not found");
        digest = digest.wrapping_add(mark(In::Table, *at, number_of(text)?));
    }
    for (at, text) in books.deque.iter().enumerate() {
        digest = digest.wrapping_add(mark(In::Deque, at as u64, number_of(text)?));
    }
    for (at, number) in books.numbers.iter().enumerate() {
        digest = digest.wrapping_add(mark(In::Numbers, at as u64, *number));
    }
    let lens = (books.tree.iter().len(), books.table.iter().count());
    ensure!(
        (books.tree.iter().count(), books.table.len()) == lens,
        "a map says that it has another number of keys"
    );
    Ok(digest)
}

/// Texts for which a list has room at first.
pub const FULL: usize = 4;

/// The same of a deque.
pub const AROUND: usize = 8;
/// Elements of a deque that lie at the end of its block; the others lie at its start.
const AHEAD: u64 = 2;

/// The first of so many numbers before the others, so that they come round the end of the block.
fn fill<T: Shareable>(
    mut deque: Mut<'_, VecDeque<T>>,
    count: u64,
    of: impl Fn(u64) -> T,
) -> Result<()> {
    if count != 0 {
        deque.try_reserve(AROUND)?;
        let ahead = AHEAD.min(count);
        deque.extend((ahead..count).map(&of));
        (0..ahead).rev().for_each(|i| deque.push_front(of(i)));
    }
    Ok(())
}

fn construct(segment: &Segment, counts: Counts) -> Result<()> {
    let shelf = segment.construct::<Shelf>(MADE_SHELF, Mutex::new(books(segment, EMPTY)))?;
    let mut books = shelf.lock().unwrap_or_else(PoisonError::into_inner);
    let mut books = books.as_mut();
    if counts.list != 0 {
        let mut list = books.part(|it| &it.list);
        list.try_reserve(FULL)?;
        list.extend((0..counts.list).map(|i| text(segment, i)));
    }
    for i in 0..counts.tree {
        forget(books.part(|it| &it.tree).insert(i, text(segment, i)));
    }
    for i in 0..counts.table {
        forget(books.part(|it| &it.table).insert(i, text(segment, i)));
    }
    fill(books.part(|it| &it.deque), counts.deque, |i| text(segment, i))?;
    fill(books.part(|it| &it.numbers), counts.numbers, |i| i)
}

/// Marks the second text of the list.
pub fn mark_second(segment: &Segment) -> Result<()> {
    let shelf = segment.find::<Shelf>(MADE_SHELF)?.context("it was set up")?;
    let mut books = shelf.lock().unwrap_or_else(PoisonError::into_inner);
    let mut books = books.as_mut();
    books.part(|it| &it.list).get_mut(1).context("there are two")?.push('!');
    Ok(())
}

/// Has the trace maps that changes need stand in the segment.
pub fn know(segment: &Segment) -> Result<()> {
    construct(segment, Counts { list: 1, tree: 1, table: 1, deque: 1, numbers: 1 })?;
    let shelf = segment.find::<Shelf>(MADE_SHELF)?.context("it was just constructed")?;
    clear(&mut shelf.lock().unwrap_or_else(PoisonError::into_inner).as_mut());
    drop(shelf);
    ensure!(segment.destroy::<Shelf>(MADE_SHELF)?, "it was just constructed");
    let empty = RwLock::new(books(segment, EMPTY));
    drop(segment.construct::<OpenShelf>(MADE_OPEN_SHELF, empty)?);
    ensure!(segment.destroy::<OpenShelf>(MADE_OPEN_SHELF)?, "it was just constructed");
    Ok(())
}

fn clear(books: &mut Mut<'_, Books>) {
    books.part(|it| &it.list).clear();
    books.part(|it| &it.tree).clear();
    books.part(|it| &it.table).clear();
    books.part(|it| &it.deque).clear();
    books.part(|it| &it.numbers).clear();
}

/// What stands on a shelf, made before that is published.
fn books(segment: &Segment, counts: Counts) -> Books {
    let mut books = Books {
        list: Vec::new(),
        tree: BTreeMap::new(),
        table: HashMap::new(),
        deque: VecDeque::new(),
        numbers: VecDeque::new(),
    };
    if counts.list != 0 {
        books.list = Vec::with_capacity_in(FULL, segment);
        books.list.extend((0..counts.list).map(|i| text(segment, i)));
    }
    if counts.deque != 0 {
        books.deque = VecDeque::new_in(segment);
        books.deque.extend((0..counts.deque).map(|i| text(segment, i)));
    }
    if counts.numbers != 0 {
        books.numbers = VecDeque::new_in(segment);
        books.numbers.extend(0..counts.numbers);
    }
    if counts.tree != 0 {
        books.tree = BTreeMap::new_in(segment);
        (0..counts.tree).for_each(|i| drop(books.tree.insert(i, text(segment, i))));
    }
    if counts.table != 0 {
        books.table = HashMap::new_in(segment);
        (0..counts.table).for_each(|i| drop(books.table.insert(i, text(segment, i))));
    }
    books
}

/// The victim constructs a shelf with books on it.
pub fn constructs<'s>(victim: &'s Victim<'_>, counts: Counts) -> Act<'s> {
    let segment = victim.segment();
    warm_up(segment);
    let books = books(segment, counts);
    Box::new(move || {
        forget(segment.construct::<Shelf>(MADE_SHELF, Mutex::new(books)).expect("there is room"));
    })
}

/// The same, of an open one.
pub fn constructs_open<'s>(victim: &'s Victim<'_>, counts: Counts) -> Act<'s> {
    let segment = victim.segment();
    warm_up(segment);
    let books = books(segment, counts);
    Box::new(move || {
        let made = segment.construct::<OpenShelf>(MADE_OPEN_SHELF, RwLock::new(books));
        forget(made.expect("there is room"));
    })
}

/// A list on an open shelf.
pub fn set_up_open<'s>(stage: &'s Stage<'_>, counts: Counts) -> Result<Held<'s>> {
    let segment = stage.segment();
    know(segment)?;
    segment.construct::<OpenShelf>(MADE_OPEN_SHELF, RwLock::new(books(segment, counts)))?;
    Ok(Held::new())
}

/// The victim changes the list on the open shelf, and gives the lock back.
pub fn writes_list<'s>(
    victim: &'s Victim<'_>,
    change: impl FnOnce(&mut Mut<'_, Vec<String>>) + 's,
) -> Act<'s> {
    let segment = victim.segment();
    warm_up(segment);
    enter(segment);
    drop(text(segment, 0));
    let shelf = segment.find::<OpenShelf>(MADE_OPEN_SHELF).expect("whole").expect("it is there");
    Box::new(move || {
        let mut guard = shelf.write().expect("nobody died");
        change(&mut guard.as_mut().part(|it| &it.list));
        drop(guard);
        forget(shelf);
    })
}

/// The victim reads what is on the open shelf, if it is there.
pub fn read<'s>(_: &'s Stage<'_>, victim: &'s Victim<'_>) -> Act<'s> {
    let segment = victim.segment();
    enter(segment);
    let shelf = segment.find::<OpenShelf>(MADE_OPEN_SHELF).expect("whole");
    Box::new(move || {
        if let Some(shelf) = shelf {
            let guard = shelf.read().unwrap_or_else(PoisonError::into_inner);
            digest(&guard).expect("it is whole");
            drop(guard);
            forget(shelf);
        }
    })
}

pub fn set_up<'s>(stage: &'s Stage<'_>, counts: Counts) -> Result<Held<'s>> {
    know(stage.segment())?;
    construct(stage.segment(), counts)?;
    Ok(Held::new())
}

/// The victim changes what is on the shelf, and gives the lock back.
pub fn changes<'s>(victim: &'s Victim<'_>, change: impl FnOnce(Mut<'_, Books>) + 's) -> Act<'s> {
    let segment = victim.segment();
    warm_up(segment);
    enter(segment);
    // Knows the types, and has blocks at hand.
    drop(text(segment, 0));
    let shelf = segment.find::<Shelf>(MADE_SHELF).expect("whole").expect("it is there");
    Box::new(move || {
        let mut guard = shelf.lock().expect("nobody died");
        change(guard.as_mut());
        drop(guard);
        forget(shelf);
    })
}

/// The same, of the list.
pub fn changes_list<'s>(
    victim: &'s Victim<'_>,
    change: impl FnOnce(&mut Mut<'_, Vec<String>>) + 's,
) -> Act<'s> {
    changes(victim, |mut books| change(&mut books.part(|it| &it.list)))
}

/// The same, of the tree.
pub fn changes_tree<'s>(
    victim: &'s Victim<'_>,
    change: impl FnOnce(&mut Mut<'_, BTreeMap<u64, String>>) + 's,
) -> Act<'s> {
    changes(victim, |mut books| change(&mut books.part(|it| &it.tree)))
}

/// The same, of the table.
pub fn changes_table<'s>(
    victim: &'s Victim<'_>,
    change: impl FnOnce(&mut Mut<'_, HashMap<u64, String>>) + 's,
) -> Act<'s> {
    changes(victim, |mut books| change(&mut books.part(|it| &it.table)))
}

/// The same, of the deque of texts.
pub fn changes_deque<'s>(
    victim: &'s Victim<'_>,
    change: impl FnOnce(&mut Mut<'_, VecDeque<String>>) + 's,
) -> Act<'s> {
    changes(victim, |mut books| change(&mut books.part(|it| &it.deque)))
}

/// The same, of the deque of numbers.
pub fn changes_numbers<'s>(
    victim: &'s Victim<'_>,
    change: impl FnOnce(&mut Mut<'_, VecDeque<u64>>) + 's,
) -> Act<'s> {
    changes(victim, |mut books| change(&mut books.part(|it| &it.numbers)))
}

/// The victim takes the lock from one who died with it, if one did, leaves nothing on the shelf, if it is there,
/// and gives it back.
pub fn take<'s>(_: &'s Stage<'_>, victim: &'s Victim<'_>) -> Act<'s> {
    let segment = victim.segment();
    enter(segment);
    let shelf = segment.find::<Shelf>(MADE_SHELF).expect("whole");
    Box::new(move || {
        if let Some(shelf) = shelf {
            let mut guard = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            clear(&mut guard.as_mut());
            drop(guard);
            forget(shelf);
        }
    })
}

/// What [`take`] leaves.
pub const TAKEN: Things = set(EMPTY);

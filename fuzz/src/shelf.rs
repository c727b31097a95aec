//! Operations on objects of collections, behind a lock and without, and on a queue, as records say.
//!
//! The types are those of the objects in the kill suite, whose deaths many images are of: names of types and
//! fields make the fingerprint.

use crate::record::Record;
use sharena::collections::{
    BTreeMap, BTreeMapMut, Box, HashMap, HashMapMut, String, StringMut, Vec, VecMut,
};
use sharena::lock::{Mut, Mutex, MutexGuard, TryLockError};
use sharena::queue::Queue;
use sharena::{AllocError, Ref, Segment, Shareable};

/// An object that is changed under its lock.
pub type Shelf = Mutex<Books>;

/// What is on a shelf.
#[derive(Shareable)]
pub struct Books {
    list: Vec<String>,
    tree: BTreeMap<u64, String>,
    table: HashMap<u64, String>,
}

/// An object that nobody changes, with parts on which parts hang.
#[derive(Shareable)]
pub struct Tree {
    name: String,
    twigs: Vec<Twig>,
    last: Option<Box<Twig>>,
    bytes: Vec<u8>,
    named: HashMap<String, u64>,
}

#[derive(Shareable)]
#[repr(u8)]
enum Twig {
    Bare(u64),
    Leafy { leaves: Vec<Box<u64>>, name: String },
}

type Jobs = Queue<u64, 4>;

/// Objects of each kind that are referred to at once, at most.
const MOST: usize = 3;

/// What a script has of such objects.
pub struct Shelves<'s> {
    segment: &'s Segment,
    shelves: std::vec::Vec<Ref<'s, Shelf>>,
    trees: std::vec::Vec<Ref<'s, Tree>>,
    queues: std::vec::Vec<Ref<'s, Jobs>>,
}

fn name(index: u16) -> &'static str {
    ["made-shelf", "made-tree", "made-tree-keep", "made-tree-run", "a", "b", "c", "d"]
        [usize::from(index) % 8]
}

fn push<T>(to: &mut std::vec::Vec<T>, found: Option<T>) {
    to.extend(found);
    if to.len() > MOST {
        drop(to.remove(0));
    }
}

impl<'s> Shelves<'s> {
    /// On this segment.
    pub fn new(segment: &'s Segment) -> Shelves<'s> {
        let (shelves, trees, queues) = Default::default();
        Shelves { segment, shelves, trees, queues }
    }

    /// Does what the record says. What an operation says is not looked at: it must only come back.
    pub fn act(&mut self, record: &Record) {
        let (segment, name) = (self.segment, name(record.index));
        match record.what % 16 {
            0 | 1 => push(&mut self.shelves, segment.find::<Shelf>(name).ok().flatten()),
            2 => push(&mut self.trees, segment.find::<Tree>(name).ok().flatten()),
            3 => push(&mut self.queues, segment.find::<Jobs>(name).ok().flatten()),
            4 => {
                let books =
                    Books { list: Vec::new(), tree: BTreeMap::new(), table: HashMap::new() };
                push(&mut self.shelves, segment.construct(name, Mutex::new(books)).ok());
            }
            5 => {
                let made = tree(segment, record);
                let made = made.ok().and_then(|tree| segment.construct(name, tree).ok());
                push(&mut self.trees, made);
            }
            6 => push(&mut self.queues, segment.construct(name, Jobs::new()).ok()),
            7 => match record.small % 3 {
                0 => drop(segment.destroy::<Shelf>(name)),
                1 => drop(segment.destroy::<Tree>(name)),
                _ => drop(segment.destroy::<Jobs>(name)),
            },
            8 => self.let_go(record.small),
            9 => self.read(record),
            10 => drop(self.queue(record)),
            what => drop(self.change(what, record)),
        }
    }

    fn let_go(&mut self, which: u8) {
        match which % 3 {
            0 => drop(self.shelves.pop()),
            1 => drop(self.trees.pop()),
            _ => drop(self.queues.pop()),
        }
    }

    fn guard(&self) -> Option<MutexGuard<'_, Books>> {
        guard_of(self.shelves.last()?)
    }

    /// Reads every byte that hangs on what is referred to, and asks maps for some key.
    fn read(&self, record: &Record) {
        let mut sum = 0;
        if let Some(books) = self.guard() {
            sum += books.list.iter().map(|text| letters(text)).sum::<u64>();
            sum += books.tree.iter().map(|(key, text)| key ^ letters(text)).fold(0, |a, b| a ^ b);
            sum += books.table.iter().map(|(key, text)| key ^ letters(text)).fold(0, |a, b| a ^ b);
            let key = &(record.large % 64);
            sum += books.tree.get(key).map_or(0, |text| letters(text));
            sum += books.table.get(key).map_or(0, |text| letters(text));
            let (from, to) = (record.large % 40, record.large % 40 + u64::from(record.small));
            sum += books.tree.range(from..to).rev().map(|(_, text)| letters(text)).sum::<u64>();
            sum += books.tree.first_key_value().map_or(0, |(_, text)| letters(text));
            sum += books.tree.last_key_value().map_or(0, |(_, text)| letters(text));
        }
        for tree in &self.trees {
            let all = tree.twigs.iter().chain(tree.last.as_deref());
            sum ^= letters(&tree.name) ^ all.map(twigs).fold(0, |a, b| a ^ b);
            sum ^= tree.bytes.iter().fold(0, |sum, byte| sum ^ u64::from(*byte));
            sum ^= tree.named.iter().fold(0, |sum, (key, value)| sum ^ letters(key) ^ value);
            sum ^= tree.named.get("one").copied().unwrap_or(0);
        }
        std::hint::black_box(sum);
    }

    fn queue(&self, record: &Record) -> Option<()> {
        let queue = self.queues.last()?;
        for step in 0..record.large % 12 {
            match record.small >> (step % 8) & 3 {
                0 => drop(queue.try_push(record.large)),
                1 => drop(queue.try_recv()),
                2 => drop(queue.try_recv_job()),
                _ => drop(queue.try_recv_job().map(|job| job.done())),
            }
        }
        if record.kind.is_multiple_of(16) {
            queue.close();
        }
        std::hint::black_box((queue.len(), queue.is_closed()));
        Some(())
    }

    fn change(&self, what: u8, record: &Record) -> Option<()> {
        let mut guard = self.guard()?;
        let mut books = guard.as_mut();
        for step in 0..1 + u64::from(record.behind) % 16 {
            let number = (record.large >> (step % 48)) % 64;
            // Whether it is done is not looked at.
            let _ = match what {
                11 => list(&mut books.part(|it| &it.list), record.small, number, self.segment),
                12 => tree_map(&mut books.part(|it| &it.tree), record.small, number, self.segment),
                13 => table(&mut books.part(|it| &it.table), record.small, number, self.segment),
                14 => texts(&mut books, record.small, number),
                _ => exchange(&mut books, number, self.segment),
            };
        }
        if record.kind.is_multiple_of(4) {
            drop(guard);
            self.shelves.last()?.clear_poison();
        }
        Some(())
    }
}

/// The guard of a lock, if it is to be had now.
pub fn guard_of<T: Shareable>(lock: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match lock.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poison)) => {
            let is_value = poison.cause() != sharena::lock::Cause::InvalidValue;
            is_value.then(|| poison.into_inner())
        }
        Err(TryLockError::WouldBlock) => None,
    }
}

fn letters(text: &str) -> u64 {
    text.chars().fold(0, |sum, letter| sum ^ u64::from(letter))
}

fn twigs(twig: &Twig) -> u64 {
    match twig {
        Twig::Bare(number) => *number,
        Twig::Leafy { leaves, name } => leaves.iter().fold(letters(name), |sum, leaf| sum ^ **leaf),
    }
}

fn text(number: u64, segment: &Segment) -> Result<String, AllocError> {
    let bytes = [0, 8, 40, 300][number as usize % 4];
    String::try_from_in(&format!("{number:bytes$}"), segment)
}

fn tree(segment: &Segment, record: &Record) -> Result<Tree, AllocError> {
    let mut twigs = Vec::try_new_in(segment)?;
    for i in 0..u64::from(record.small) % 5 {
        let (mut leaves, name) = (Vec::try_new_in(segment)?, text(i, segment)?);
        for leaf in 0..i {
            leaves.try_push(Box::try_new_in(leaf, segment)?)?;
        }
        twigs.try_push(Twig::Bare(i))?;
        twigs.try_push(Twig::Leafy { leaves, name })?;
    }
    let last = match record.kind % 2 {
        0 => None,
        _ => Some(Box::try_new_in(Twig::Bare(record.large), segment)?),
    };
    let mut bytes = Vec::try_with_capacity_in(usize::from(record.behind) * 16, segment)?;
    bytes.try_extend_from_slice(&[7; 16])?;
    let mut named = HashMap::try_new_in(segment)?;
    for i in 0..u64::from(record.small) % 7 {
        named.try_insert(text(i, segment)?, i)?;
    }
    Ok(Tree { name: text(record.large, segment)?, twigs, last, bytes, named })
}

fn list(
    list: &mut Mut<'_, Vec<String>>,
    what: u8,
    number: u64,
    segment: &Segment,
) -> Result<(), AllocError> {
    let (len, number) = (list.len(), number as usize);
    match what % 10 {
        0..3 => list.try_push(text(number as u64, segment)?)?,
        3 => drop(list.try_pop()?),
        4 => list.try_insert(number % (len + 1), text(number as u64, segment)?)?,
        5 if len > 0 => drop(list.try_remove(number % len)?),
        6 if len > 0 => drop(list.try_swap_remove(number % len)?),
        7 => list.try_truncate(number)?,
        8 => list.try_retain(|text| text.len() % 2 == number % 2)?,
        9 => list.try_reserve(number)?,
        _ => {}
    }
    Ok(())
}

fn tree_map(
    map: &mut Mut<'_, BTreeMap<u64, String>>,
    what: u8,
    number: u64,
    segment: &Segment,
) -> Result<(), AllocError> {
    match what % 8 {
        0..4 => drop(map.try_insert(number, text(number, segment)?)?),
        4 => drop(map.try_remove(&number)?),
        5 => drop((map.try_pop_first()?, map.try_pop_last()?)),
        6 => map.try_retain(|key, text| (key ^ text.len() as u64) % 2 == number % 2)?,
        _ if number == 0 => map.try_clear()?,
        _ => {}
    }
    Ok(())
}

fn table(
    map: &mut Mut<'_, HashMap<u64, String>>,
    what: u8,
    number: u64,
    segment: &Segment,
) -> Result<(), AllocError> {
    match what % 8 {
        0..4 => drop(map.try_insert(number, text(number, segment)?)?),
        4..6 => drop(map.try_remove(&number)?),
        _ => map.try_retain(|key, text| (key ^ text.len() as u64) % 2 == number % 2)?,
    }
    Ok(())
}

/// Texts as they stand on the shelf.
fn texts(books: &mut Mut<'_, Books>, what: u8, number: u64) -> Result<(), AllocError> {
    let mut list = books.part(|it| &it.list);
    if what.is_multiple_of(3)
        && let Some(mut text) = list.get_mut(number as usize)
    {
        return text.try_push_str("more");
    }
    let mut tree = books.part(|it| &it.tree);
    if what % 3 == 1
        && let Some(mut text) = tree.get_mut(&number)
    {
        text.pop();
        return text.try_push_str("other");
    }
    let mut table = books.part(|it| &it.table);
    if let Some(mut text) = table.get_mut(&number) {
        return text.try_set(String::new());
    }
    Ok(())
}

/// All that is on the shelf, for other things.
fn exchange(books: &mut Mut<'_, Books>, number: u64, segment: &Segment) -> Result<(), AllocError> {
    let (mut list, mut tree) = (Vec::try_new_in(segment)?, BTreeMap::try_new_in(segment)?);
    let mut table = HashMap::try_new_in(segment)?;
    for i in 0..number % 20 {
        list.try_push(text(i, segment)?)?;
        tree.try_insert(i * 7 % 64, text(i, segment)?)?;
        table.try_insert(i, text(i, segment)?)?;
    }
    books.try_set(Books { list, tree, table })
}

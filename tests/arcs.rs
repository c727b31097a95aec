//! Values that several own, in several processes.
//!
//! Laws:
//! - A value stays while there is a handle to it, in whatever process, private or published; it is gone with the
//!   last one, to the byte, and all that hangs on it.
//! - Whoever dies gives up the handles that it had, and no others; whenever it dies.
//! - A `Weak` keeps nothing; it leads to its value or to none, never to another that came to its place.
//! - What does not fit (no memory, another segment) is refused, and leaves nothing.
#![cfg(all(feature = "derive", not(loom)))]

mod common;

use common::{Dice, Name, Process, arg, hear, role, say};
use sharena::collections::{Arc, Box, HashMap, String, TryClone, Vec, VecDeque, VecMut, Weak};
use sharena::lock::{Mutex, RwLock};
use sharena::{AllocError, Options, Segment, Shareable};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

#[derive(Shareable)]
struct Page {
    number: u64,
    text: String,
    readers: AtomicU64,
}

type Pages = Mutex<Vec<Arc<Page>>>;

fn page(segment: &Segment, number: u64) -> Page {
    let text = String::from_in(&format!("what stands on page {number}"), segment);
    Page { number, text, readers: AtomicU64::new(0) }
}

fn is_page(page: &Page) {
    assert_eq!(page.text, format!("what stands on page {}", page.number).as_str());
}

fn small() -> Segment {
    Options::new().capacity(4 << 20).create_anonymous().unwrap()
}

/// Bytes in use but those that a segment keeps once a type was used.
fn used(segment: &Segment) -> u64 {
    segment.trim().unwrap();
    segment.stats().unwrap().free
}

fn parts(segment: &Segment) -> u64 {
    segment.check().unwrap().looked.parts
}

fn is_clean(segment: &Segment) {
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn it_is_a_word_and_its_option_too() {
    assert_eq!(size_of::<Arc<Page>>(), 8);
    assert_eq!(size_of::<Option<Arc<Page>>>(), 8);
    assert_eq!(size_of::<Weak<Page>>(), 16);
}

#[test]
fn a_value_goes_with_its_last_handle() {
    let segment = small();
    // By it the slab of its lease stays one, and is looked at.
    let _kept = Arc::new_in(page(&segment, 0), &segment);
    let before = used(&segment);
    let first = Arc::new_in(page(&segment, 1), &segment);
    let others: std::vec::Vec<_> = (0..1000).map(|_| first.clone()).collect();
    assert_eq!(Arc::strong_count(&first), 1001);
    is_clean(&segment);
    drop(first);
    assert!(others.iter().all(|other| Arc::ptr_eq(other, &others[0])));
    is_page(&others[999]);
    assert_eq!(Arc::strong_count(&others[0]), 1000);
    drop(others);
    assert_eq!(used(&segment), before);
    is_clean(&segment);
}

#[test]
fn handles_are_dropped_by_any_thread() {
    let segment = small();
    drop(Arc::new_in(page(&segment, 0), &segment));
    let before = used(&segment);
    let shared = Arc::new_in(page(&segment, 1), &segment);
    // A scope ends before the threads have given their lanes back.
    let threads = (0..4).map(|_| {
        let mine = shared.clone();
        thread::spawn(move || {
            for _ in 0..2000 {
                let again = mine.clone();
                again.readers.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let threads: std::vec::Vec<_> = threads.collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(shared.readers.load(Ordering::Relaxed), 8000);
    assert_eq!(Arc::strong_count(&shared), 1);
    drop(shared);
    assert_eq!(used(&segment), before);
    is_clean(&segment);
}

/// What can have handles in it.
#[derive(Shareable)]
struct Shelf {
    one: Arc<Page>,
    maybe: Option<Arc<Page>>,
    many: Vec<Arc<Page>>,
    deque: VecDeque<Arc<Page>>,
    named: HashMap<String, Arc<Page>>,
    boxed: Box<Arc<Arc<Page>>>,
    locked: RwLock<Vec<Arc<Page>>>,
}

#[test]
fn published_handles_keep_it_and_go_with_what_they_hang_on() {
    let segment = small();
    let _inside = segment.enter().unwrap();
    let shelf = |shared: &Arc<Page>| Shelf {
        one: shared.clone(),
        maybe: Some(shared.clone()),
        many: (0..3).map(|_| shared.clone()).collect(),
        deque: (0..3).map(|_| shared.clone()).collect(),
        named: (0..3).map(|i| (String::from(format!("{i}").as_str()), shared.clone())).collect(),
        boxed: Box::new(Arc::new(shared.clone())),
        locked: RwLock::new((0..3).map(|_| shared.clone()).collect()),
    };
    let shared = Arc::new(page(&segment, 0));
    drop(segment.construct("shelf", shelf(&shared)).unwrap());
    assert!(segment.destroy::<Shelf>("shelf").unwrap());
    drop(shared);
    let before = used(&segment);

    let shared = Arc::new(page(&segment, 1));
    drop(segment.construct("shelf", shelf(&shared)).unwrap());
    assert_eq!(Arc::strong_count(&shared), 16);
    is_clean(&segment);
    drop(shared);
    let found = segment.find::<Shelf>("shelf").unwrap().unwrap();
    is_page(&found.named["2"]);
    is_page(&found.boxed);
    let kept = found.locked.read().unwrap()[1].clone();
    assert!(segment.destroy::<Shelf>("shelf").unwrap());
    is_page(&found.many[2]); // as long as it is looked at
    drop(found);
    is_clean(&segment);
    assert_eq!(Arc::strong_count(&kept), 1);
    is_page(&kept);
    drop(kept);
    assert_eq!(used(&segment), before);
    is_clean(&segment);
}

#[test]
fn what_is_behind_a_lock_takes_and_gives_handles() {
    let segment = small();
    let _inside = segment.enter().unwrap();
    let pages = segment.construct("pages", Pages::new(Vec::new())).unwrap();
    let mut guard = pages.lock().unwrap();
    guard.extend((0..10).map(|number| Arc::new(page(&segment, number))));
    guard.clear(); // it keeps its room
    let before = used(&segment);

    for number in 0..10 {
        guard.push(Arc::new(page(&segment, number)));
    }
    let third = guard[3].clone();
    guard.get_mut(4).unwrap().set(third.clone());
    assert_eq!(Arc::strong_count(&third), 3);
    let popped = guard.pop().unwrap();
    assert_eq!((popped.number, Arc::strong_count(&popped)), (9, 1));
    guard.retain(|page| page.number != 3);
    assert_eq!((guard.len(), Arc::strong_count(&third)), (7, 1));
    is_page(&third);
    guard.clear();
    is_page(&popped);
    drop((popped, third));
    assert_eq!(used(&segment), before);
    is_clean(&segment);
}

/// A node that leads back to where it hangs.
#[derive(Shareable)]
struct Node {
    number: u64,
    parent: Weak<Node>,
    children: Mutex<Vec<Arc<Node>>>,
}

#[test]
fn a_tree_whose_nodes_know_their_parents_goes_as_a_whole() {
    fn node(segment: &Segment, number: u64, parent: Weak<Node>) -> Arc<Node> {
        Arc::new_in(Node { number, parent, children: Mutex::new(Vec::new_in(segment)) }, segment)
    }
    fn grow(segment: &Segment, root: &Arc<Node>, depth: u64) {
        for i in 0..depth {
            let child = node(segment, 10 * root.number + i, Arc::downgrade(root));
            grow(segment, &child, depth - 1);
            root.children.lock().unwrap().push(child);
        }
    }
    let segment = small();
    let make = || {
        let root = node(&segment, 1, Weak::new());
        grow(&segment, &root, 4);
        root
    };
    drop(make());
    let before = used(&segment);
    let root = make();
    is_clean(&segment);
    let grandchild = root.children.lock().unwrap()[2].children.lock().unwrap()[1].clone();
    assert_eq!(grandchild.number, 121);
    let parent = grandchild.parent.upgrade().unwrap();
    assert_eq!(parent.number, 12);
    assert!(Arc::ptr_eq(&parent.parent.upgrade().unwrap(), &root));
    let weak = Arc::downgrade(&root);
    drop(root);
    assert!(weak.upgrade().is_none() && parent.parent.upgrade().is_none());
    drop(parent);
    assert!(grandchild.parent.upgrade().is_none());
    is_clean(&segment);
    drop(grandchild);
    assert_eq!(used(&segment), before);
    is_clean(&segment);
}

#[test]
fn a_chain_of_a_hundred_thousand_is_no_matter_of_the_stack() {
    #[derive(Shareable)]
    struct Link {
        next: Option<Arc<Link>>,
    }
    let segment = Options::new().capacity(64 << 20).create_anonymous().unwrap();
    let chain = |length| {
        let mut next = None;
        for _ in 0..length {
            next = Some(Arc::new_in(Link { next }, &segment));
        }
        next
    };
    drop(chain(1));
    let before = used(&segment);
    drop(chain(100_000));
    assert_eq!(used(&segment), before);
    is_clean(&segment);
}

#[test]
fn a_weak_one_leads_to_its_value_or_to_none() {
    let segment = small();
    let place = |shared: &Arc<Page>| core::ptr::from_ref::<Page>(shared).addr();
    let (mut weak, mut first) = (std::vec::Vec::new(), 0);
    for number in 0..200 {
        let shared = Arc::new_in(page(&segment, number), &segment);
        first = if number == 0 { place(&shared) } else { first };
        weak.push(Arc::downgrade(&shared));
        assert_eq!(weak[number as usize].upgrade().unwrap().number, number);
        assert!(weak[..number as usize].iter().all(|weak| weak.upgrade().is_none()));
    }
    // Until one comes to the place of the first.
    let shared = (0..100_000)
        .map(|_| Arc::new_in(page(&segment, 1000), &segment))
        .find(|shared| place(shared) == first)
        .expect("places are used again");
    assert!(weak.iter().all(|weak| weak.upgrade().is_none()));
    let again = Arc::downgrade(&shared).clone();
    assert!(again.ptr_eq(&Arc::downgrade(&shared)) && !again.ptr_eq(&weak[0]));
    assert!(Weak::<Page>::new().upgrade().is_none());
    assert!(Weak::<Page>::new().try_upgrade().is_ok());
    is_clean(&segment);
}

#[test]
fn where_there_is_no_memory_nothing_is_left() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let first = Arc::new_in(page(&segment, 0), &segment);
    drop(Arc::new_in([0u8; 1000], &segment));
    let before = used(&segment);
    let mut all = std::vec::Vec::new();
    let error = loop {
        match Arc::try_new_in([0u8; 1000], &segment) {
            Ok(more) => all.push(more),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AllocError::OutOfCapacity { .. }), "{error}");
    let mut clones = std::vec::Vec::new();
    let error = loop {
        match first.try_clone() {
            Ok(more) => clones.push(more),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AllocError::OutOfCapacity { .. }), "{error}");
    assert!(Arc::downgrade(&first).try_upgrade().is_err());
    assert_eq!(Arc::strong_count(&first), 1 + clones.len());
    is_clean(&segment);
    drop((all, clones));
    assert_eq!(used(&segment), before);
    is_clean(&segment);
}

#[test]
fn what_is_another_segment_s_is_not_published() {
    let (one, other) = (small(), small());
    let foreign = Arc::new_in(page(&one, 0), &one);
    let refused = Arc::try_new_in(Some(foreign.clone()), &other);
    assert!(matches!(refused, Err(AllocError::Foreign)));
    assert_eq!(Arc::strong_count(&foreign), 1);
    let mut vec = Vec::new_in(&one);
    vec.push(foreign.clone());
    assert!(other.construct("pages", Pages::new(vec)).is_err());
    assert_eq!(Arc::strong_count(&foreign), 1);
    [one, other].iter().for_each(is_clean);
}

#[test]
fn a_fork_drops_nothing_of_its_parent_s() {
    let segment = small();
    let shared = Arc::new_in(page(&segment, 5), &segment);
    // SAFETY: the child drops a handle and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(shared);
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: `status` is a place to write to.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!((status, Arc::strong_count(&shared)), (0, 1));
    is_page(&shared);
    is_clean(&segment);
}

#[test]
fn what_a_dead_process_had_is_given_up() {
    const TEST: &str = "what_a_dead_process_had_is_given_up";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let pages = segment.find::<Pages>("pages").unwrap().unwrap();
        let kept: std::vec::Vec<_> = pages.lock().unwrap().iter().cloned().collect();
        let own = Arc::new_in(page(&segment, 100), &segment);
        pages.lock().unwrap().push(own.clone());
        pages.lock().unwrap().push(Arc::new_in(page(&segment, 101), &segment));
        say(kept.len());
        hear();
        unreachable!("it is killed");
    }
    let name = Name::new("dead");
    let segment = Segment::create(&name, 4 << 20).unwrap();
    let pages = segment.construct("pages", Pages::new(Vec::new_in(&segment))).unwrap();
    for number in 0..3 {
        pages.lock().unwrap().push(Arc::new_in(page(&segment, number), &segment));
    }
    let mut child = Process::start(TEST, "owner", &[&name]);
    assert_eq!(child.listen(), "3");
    let first = pages.lock().unwrap()[0].clone();
    assert_eq!(Arc::strong_count(&first), 3);
    pages.lock().unwrap().truncate(0);
    assert_eq!(Arc::strong_count(&first), 2);
    child.kill();
    segment.recover().unwrap();
    assert_eq!(Arc::strong_count(&first), 1);
    is_page(&first);
    is_clean(&segment);
    drop(first);
    drop(pages);
    assert!(segment.destroy::<Pages>("pages").unwrap());
    is_clean(&segment);
    assert_eq!(parts(&segment), 0);
}

#[test]
fn workers_are_killed_and_no_handle_is_lost() {
    const TEST: &str = "workers_are_killed_and_no_handle_is_lost";
    const LISTS: usize = 4;
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let lists: std::vec::Vec<_> = (0..LISTS)
            .map(|i| segment.find::<Pages>(&format!("pages {i}")).unwrap().unwrap())
            .collect();
        let mut dice = Dice::new(arg(1).parse().unwrap());
        let (mut held, mut weak) = (std::vec::Vec::new(), std::vec::Vec::<Weak<Page>>::new());
        say("ready");
        loop {
            let mut list = match lists[dice.roll(LISTS)].lock() {
                Ok(list) => list,
                Err(poisoned) => poisoned.into_inner(),
            };
            let len = list.len();
            match dice.roll(8) {
                0 | 1 if len < 12 => list.push(Arc::new_in(page(&segment, len as u64), &segment)),
                2 if len > 0 => held.push(list[dice.roll(len)].clone()),
                3 if len > 0 => held.extend(list.pop()),
                4 => held.truncate(held.len() / 2),
                5 if !held.is_empty() => {
                    let again = held[dice.roll(held.len())].clone();
                    weak.push(Arc::downgrade(&again));
                    list.push(again);
                }
                6 if len > 0 => {
                    let at = dice.roll(len);
                    drop(list.remove(at));
                }
                _ => held.extend(weak.pop().and_then(|weak| weak.upgrade())),
            }
            held.iter().for_each(|page| is_page(page));
            list.truncate(12);
        }
    }
    let name = Name::new("workers");
    let segment = Segment::create(&name, 16 << 20).unwrap();
    drop(Arc::new_in(page(&segment, 0), &segment));
    let lists = |i| format!("pages {i}");
    for i in 0..LISTS {
        drop(segment.construct(&lists(i), Pages::new(Vec::new_in(&segment))).unwrap());
    }
    let rounds = if common::long() { 300 } else { 12 };
    for round in 0..rounds {
        let start = |i| Process::start(TEST, "worker", &[&name, &format!("{}", 10 * round + i)]);
        let mut workers: std::vec::Vec<_> = (0..3).map(start).collect();
        workers.iter_mut().for_each(|worker| assert_eq!(worker.listen(), "ready"));
        thread::sleep(Duration::from_millis(20 + 7 * (round % 5)));
        workers.into_iter().for_each(|worker| assert_eq!(worker.kill(), [""; 0]));
        segment.recover().unwrap();
        for i in 0..LISTS {
            let found = segment.find::<Pages>(&lists(i)).unwrap().unwrap();
            let list = found.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            list.iter().for_each(|page| is_page(page));
            drop(list);
            found.clear_poison();
        }
        is_clean(&segment);
    }
    segment.clear().unwrap();
    is_clean(&segment);
    assert_eq!((parts(&segment), segment.check().unwrap().looked.shared), (0, 0));
}

//! Call sequences against a reference: after each call the segment holds what a few maps of std do.

use crate::record::Record;
use sharena::{Block, ObjectError, Offset, Options, Ref, Segment};
use std::alloc::Layout;
use std::collections::{BTreeMap, HashMap};

const SIZES: [usize; 12] =
    [1, 16, 50, 64, 129, 1000, 4096, 30_000, 65_536, 90_000, 262_145, 400_000];

/// What the reference knows of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Known {
    Word(u64),
    Bytes(Vec<u8>),
}

/// A raw block: its bytes, and what each is.
type Raws = BTreeMap<u64, (usize, u8)>;

/// Offsets of published objects without a name.
type Published = Vec<(Offset<u64>, u64)>;

struct Reference<'s> {
    /// Two attachments of one segment.
    segments: [&'s Segment; 2],
    named: HashMap<String, Known>,
    unique: Option<u64>,
    raws: Raws,
    published: Published,
    blocks: Vec<(Block<'s>, usize, u8)>,
    held: Vec<(Ref<'s, u64>, u64)>,
}

/// Records, each a call.
pub fn calls(data: &[u8]) {
    let first = Options::new().capacity(4 << 20).create_anonymous().expect("a segment");
    let descriptor = first.as_fd().try_clone_to_owned().expect("a descriptor");
    let second = Segment::open_fd(descriptor).expect("it is one");
    first.trim().expect("whole");
    let fresh = first.stats().expect("whole").free;
    let mut reference = Reference {
        segments: [&first, &second],
        named: HashMap::new(),
        unique: None,
        raws: Raws::new(),
        published: Published::new(),
        blocks: Vec::new(),
        held: Vec::new(),
    };
    Record::all(data).take(400).for_each(|record| reference.call(&record));
    reference.compare();
    reference.give_all_back();
    drop(reference);
    drop(second);
    first.trim().expect("whole");
    let report = first.check().expect("it can be checked");
    assert!(report.is_clean(), "{report}");
    let free = first.stats().expect("whole").free;
    assert_eq!(free, fresh, "bytes are missing when all was given back");
}

impl<'s> Reference<'s> {
    fn call(&mut self, record: &Record) {
        let segment = self.segments[usize::from(record.hops) % 2];
        let (small, large) = (record.small, record.large);
        let name = format!("name-{}", record.index % 150);
        let bytes = SIZES[usize::from(record.kind) % SIZES.len()];
        match record.what % 20 {
            0 | 1 => match segment.construct(&name, large) {
                Ok(made) => {
                    self.held.extend((small & 1 == 0).then_some((made, large)));
                    assert_eq!(self.named.insert(name, Known::Word(large)), None);
                }
                Err(error) => self.refused(&error, &name),
            },
            2 => {
                let content: Vec<u8> = (0..bytes).map(|i| i as u8 ^ small).collect();
                match segment.construct_slice_from(&name, &content) {
                    Ok(_) => assert_eq!(self.named.insert(name, Known::Bytes(content)), None),
                    Err(error) => self.refused(&error, &name),
                }
            }
            3 => match (segment.find::<u64>(&name), self.named.get(&name)) {
                (Ok(Some(found)), Some(Known::Word(word))) => {
                    assert_eq!(*found, *word);
                    self.held.push((found, *word));
                }
                (Ok(None), None) => {}
                (Err(ObjectError::WrongType { .. }), Some(Known::Bytes(_))) => {}
                (Err(ObjectError::TooManyRefs { .. }), _) => self.held.clear(),
                (found, known) => panic!("{name}: {found:?}, but {known:?}"),
            },
            4 => {
                let destroyed = segment.destroy::<u64>(&name);
                self.destroyed(&name, destroyed, |known| matches!(known, Known::Word(_)));
            }
            5 => {
                let destroyed = segment.destroy::<u8>(&name);
                self.destroyed(&name, destroyed, |known| matches!(known, Known::Bytes(_)));
            }
            6 => {
                let (found, constructed) = match segment.find_or_construct(&name, || large) {
                    Ok(found) => found,
                    Err(ObjectError::WrongType { .. }) => {
                        return assert!(matches!(self.named[&name], Known::Bytes(_)));
                    }
                    Err(error) => return self.refused(&error, ""),
                };
                let known = self.named.entry(name).or_insert(Known::Word(large));
                assert_eq!(*known, Known::Word(*found), "constructed: {constructed}");
            }
            7 => {
                let layout = Layout::from_size_align(bytes, 16).expect("a layout");
                if let Ok(raw) = segment.allocate(layout) {
                    self.fill(segment, raw, bytes, small);
                    self.raws.insert(raw.to_bits(), (bytes, small));
                }
            }
            8 => {
                let picked = self.raws.iter().nth(usize::from(record.index) % 64);
                let picked = picked.map(|(at, (bytes, fill))| (*at, *bytes, *fill));
                if let Some((at, bytes, fill)) = picked {
                    self.assert_filled(segment, at, bytes, fill);
                    let offset = Offset::from_bits(at).expect("of a block");
                    segment.deallocate(offset).expect("it is allocated");
                    self.raws.remove(&at);
                    assert!(segment.deallocate(offset).is_err(), "freed twice");
                }
            }
            9 => {
                let picked = self.raws.iter().nth(usize::from(record.index) % 64);
                if let Some((at, (had, fill))) = picked.map(|(at, raw)| (*at, *raw)) {
                    let offset = Offset::from_bits(at).expect("of a block");
                    let resized = segment.resize_in_place(offset, bytes).expect("it is one");
                    if resized.is_some() {
                        self.assert_filled(segment, at, had.min(bytes), fill);
                        self.fill(segment, offset, bytes, fill);
                        self.raws.insert(at, (bytes, fill));
                    }
                }
            }
            10 => {
                if let Ok(owned) = segment.own(large) {
                    self.published.push((owned.publish(), large));
                }
            }
            11 => {
                if let Some((offset, word)) = self.published.pop() {
                    assert_eq!(*segment.resolve(offset).expect("it is there"), word);
                    segment.destroy_at(offset).expect("it is there");
                    assert!(segment.resolve(offset).is_err());
                }
            }
            12 => {
                let layout = Layout::from_size_align(bytes, 16).expect("a layout");
                if let Ok(block) = segment.allocate_block(layout) {
                    // SAFETY: ours alone, and so long.
                    unsafe { block.as_ptr().write_bytes(small, bytes) };
                    self.blocks.push((block, bytes, small));
                }
            }
            13 => {
                if let Some((block, bytes, fill)) = self.blocks.pop() {
                    if record.behind & 1 == 0 {
                        self.raws.insert(block.publish().to_bits(), (bytes, fill));
                    } else {
                        // SAFETY: ours alone, and so long.
                        let held =
                            unsafe { std::slice::from_raw_parts(block.as_ptr().as_ptr(), bytes) };
                        assert!(held.iter().all(|byte| *byte == fill));
                    }
                }
            }
            14 => {
                if let Some((held, word)) = self.held.pop() {
                    assert_eq!(*held, word, "what is referred to stays");
                }
            }
            15 => drop(segment.trim().expect("whole")),
            16 => self.compare(),
            17 => {
                let made = segment.find_or_construct_unique(|| large);
                if let Ok((found, _)) = made {
                    assert_eq!(*found, *self.unique.get_or_insert(large));
                }
            }
            18 => {
                let was = self.unique.take().is_some();
                assert_eq!(segment.destroy_unique::<u64>().expect("whole"), was);
            }
            _ => {
                for i in 0..u64::from(small) % 120 {
                    let name = format!("many-{i}");
                    match segment.construct(&name, i) {
                        Ok(_) => drop(self.named.insert(name, Known::Word(i))),
                        Err(error) => self.refused(&error, &name),
                    }
                }
            }
        }
    }

    /// An error that constructing may say.
    fn refused(&mut self, error: &ObjectError, name: &str) {
        match error {
            ObjectError::AlreadyExists { .. } => assert!(self.named.contains_key(name)),
            ObjectError::TooManyRefs { .. } => self.held.clear(),
            ObjectError::Alloc(_) => {}
            other => panic!("{name}: {other}"),
        }
    }

    fn destroyed(
        &mut self,
        name: &str,
        done: Result<bool, ObjectError>,
        is_of_type: impl Fn(&Known) -> bool,
    ) {
        match (done, self.named.get(name)) {
            (Ok(true), Some(known)) if is_of_type(known) => drop(self.named.remove(name)),
            (Ok(false), None) => {}
            (Err(ObjectError::WrongType { .. }), Some(known)) => assert!(!is_of_type(known)),
            (Err(ObjectError::TooManyRefs { .. }), _) => self.held.clear(),
            (done, known) => panic!("{name}: {done:?}, but {known:?}"),
        }
    }

    fn fill(&self, segment: &Segment, offset: Offset<u8>, bytes: usize, fill: u8) {
        let at = segment.address(offset).expect("of a block");
        // SAFETY: a block of so many bytes, of which nobody else knows.
        unsafe { at.write_bytes(fill, bytes) };
    }

    fn assert_filled(&self, segment: &Segment, at: u64, bytes: usize, fill: u8) {
        let at = segment.address(Offset::from_bits(at).expect("of a block")).expect("of a block");
        // SAFETY: as above.
        let held = unsafe { std::slice::from_raw_parts(at.as_ptr(), bytes) };
        assert!(held.iter().all(|byte| *byte == fill), "a block that others changed");
    }

    /// All at once, by both attachments.
    fn compare(&mut self) {
        self.held.retain(|(held, word)| {
            assert_eq!(**held, *word);
            false
        });
        for segment in self.segments {
            let mut names: Vec<String> = segment
                .objects()
                .expect("whole")
                .into_iter()
                .filter(|object| !object.unique)
                .map(|object| object.name)
                .collect();
            names.sort();
            let mut expected: Vec<&String> = self.named.keys().collect();
            expected.sort();
            assert!(names.iter().eq(expected), "{names:?}");
            for (name, known) in &self.named {
                let found = match known {
                    Known::Word(_) => Known::Word(*found(segment.find::<u64>(name))),
                    Known::Bytes(_) => Known::Bytes(found(segment.find_slice::<u8>(name)).to_vec()),
                };
                assert_eq!(found, *known, "{name}");
            }
            for (at, (bytes, fill)) in &self.raws {
                self.assert_filled(segment, *at, *bytes, *fill);
            }
        }
        let report = self.segments[0].check().expect("it can be checked");
        assert!(report.is_clean(), "{report}");
    }

    fn give_all_back(&mut self) {
        let [first, second] = self.segments;
        self.held.clear();
        self.blocks.clear();
        let count = self.named.len() + usize::from(self.unique.is_some());
        assert_eq!(second.clear().expect("whole"), count);
        for (offset, _) in self.published.drain(..) {
            first.destroy_at(offset).expect("it is there");
        }
        for at in std::mem::take(&mut self.raws).into_keys() {
            second.deallocate(Offset::from_bits(at).expect("of a block")).expect("it is allocated");
        }
    }
}

fn found<R: std::fmt::Debug>(found: Result<Option<R>, ObjectError>) -> R {
    found.expect("whole").expect("it is there")
}

//! Operations on an open segment, as records say: each may fail, none may do worse.

use crate::file::File;
use crate::frames::Queues;
use crate::image::UNIT;
use crate::record::Record;
use crate::sharers::Shared;
use crate::shelf::Shelves;
use sharena::{Block, Offset, Options, Ref, Segment};
use std::alloc::Layout;

/// What the kill suite, whose deaths many images are of, gives its objects.
pub type Value = [u64; 4];

const SIZES: [usize; 16] = [
    1,
    16,
    48,
    64,
    128,
    320,
    1000,
    4096,
    20_000,
    65_536,
    98_304,
    262_144,
    262_145,
    300_000,
    2 << 20,
    1 << 40,
];

/// From this operation on it is one on values that several own.
const SHARERS: u8 = 240;
/// From this operation on it is one on queues of objects.
const FRAMES: u8 = 232;
/// From this operation on it is one on collections.
const SHELVES: u8 = 128;

/// What a script has on the way.
pub struct Runner<'s> {
    segment: &'s Segment,
    file: &'s File,
    /// Offsets that mean something: of blocks, of objects.
    offsets: Vec<u64>,
    names: Vec<String>,
    blocks: Vec<Block<'s>>,
    values: Vec<Ref<'s, Value>>,
    slices: Vec<Ref<'s, [u8]>>,
    others: Vec<Segment>,
    shelves: Shelves<'s>,
    shared: Shared<'s>,
    queues: Queues<'s>,
}

impl<'s> Runner<'s> {
    /// On a segment that is in `file`.
    pub fn new(segment: &'s Segment, file: &'s File) -> Runner<'s> {
        let names = ["keep", "made-000", "made-001", "bytes", "number", "run", "name-1", "name-3"];
        Runner {
            segment,
            file,
            offsets: Vec::new(),
            names: names.map(String::from).into(),
            blocks: Vec::new(),
            values: Vec::new(),
            slices: Vec::new(),
            others: Vec::new(),
            shelves: Shelves::new(segment),
            shared: Shared::new(segment),
            queues: Queues::new(segment),
        }
    }

    fn name(&self, index: u16) -> String {
        match index {
            0..128 => format!("new-{index}"),
            _ => self.names[usize::from(index) % self.names.len()].clone(),
        }
    }

    /// One that is known, or any.
    fn offset<T: ?Sized>(&self, record: &Record) -> Option<Offset<T>> {
        let known = self.offsets.get(usize::from(record.index) % self.offsets.len().max(1));
        let any = record.large % (800 * UNIT);
        let near = u64::from(record.small) * 8;
        Offset::from_bits(match (record.kind % 4, known) {
            (0 | 1, Some(known)) => *known,
            (2, Some(known)) => known.wrapping_add(near),
            _ => any & !7,
        })
    }

    fn layout(record: &Record) -> Layout {
        let size = SIZES[usize::from(record.index) % SIZES.len()];
        let align = [1, 16, 16, 64, 4096, 65_536][usize::from(record.small) % 6];
        Layout::from_size_align(size, align).expect("a layout")
    }

    fn remember<T: ?Sized>(&mut self, offset: Offset<T>) {
        if self.offsets.len() < 64 {
            self.offsets.push(offset.to_bits());
        }
    }

    /// Writes all over a block that was just allocated.
    fn fill(&self, offset: Offset<u8>, bytes: usize) {
        let Some(at) = self.segment.address(offset) else { return };
        // SAFETY: a block of so many bytes that was just allocated, of which nobody else knows. (Where
        // damage has it overlap another, that one's bytes are changed, as by any other damage.)
        unsafe { at.write_bytes(0x5a, bytes) };
    }

    /// Does what the record says. What an operation says is not looked at: it must only come back.
    pub fn act(&mut self, record: &Record) {
        let segment = self.segment;
        let (index, small, large) = (record.index, record.small, record.large);
        if record.what >= SHARERS {
            return self.shared.act(record);
        }
        if record.what >= FRAMES {
            return self.queues.act(record);
        }
        if record.what >= SHELVES {
            return self.shelves.act(record);
        }
        match record.what % 32 {
            0 => drop(segment.check().map(|report| report.to_string())),
            1 => drop(segment.stats().map(|stats| format!("{stats}{stats:?}"))),
            2 => {
                for object in segment.objects().into_iter().flatten().take(16) {
                    self.offsets
                        .extend(Offset::<u8>::from_bits(object.offset).map(|at| at.to_bits()));
                    self.names.push(object.name);
                }
                self.offsets.truncate(64);
                self.names.truncate(64);
            }
            3 => self.values.extend(segment.find::<Value>(&self.name(index)).ok().flatten()),
            4 => self.slices.extend(segment.find_slice::<u8>(&self.name(index)).ok().flatten()),
            5 => drop(
                segment
                    .find_slice::<u64>(&self.name(index))
                    .map(|found| found.map(|found| found.len())),
            ),
            6 => {
                let made = segment.construct::<Value>(&self.name(index), [large; 4]);
                if let Ok(made) = made {
                    self.remember(made.offset());
                    self.values.extend((small & 1 == 0).then_some(made));
                }
            }
            7 => {
                let bytes = SIZES[usize::from(small) % 14];
                let made = segment.construct_slice_default::<u8>(&self.name(index), bytes);
                self.slices.extend(made.ok().filter(|_| large & 1 == 0));
            }
            8 => drop(segment.destroy::<Value>(&self.name(index))),
            9 => drop(segment.destroy::<u8>(&self.name(index))),
            10 => drop(segment.destroy::<u64>(&self.name(index))),
            11 => {
                let layout = Self::layout(record);
                if let Ok(offset) = segment.allocate(layout) {
                    self.fill(offset, layout.size());
                    self.remember(offset);
                }
            }
            12 => drop(self.offset(record).map(|offset| segment.deallocate(offset))),
            13 => {
                let bytes = SIZES[usize::from(large as u8) % SIZES.len()];
                let _ = self.offset(record).map(|offset| segment.resize_in_place(offset, bytes));
            }
            14 => drop(self.offset(record).map(|offset| segment.usable_size(offset))),
            15 => {
                if let Ok(owned) = segment.own::<Value>([large; 4]) {
                    self.remember(owned.publish());
                }
            }
            16 => self
                .values
                .extend(self.offset(record).and_then(|at| segment.resolve::<Value>(at).ok())),
            17 => self
                .slices
                .extend(self.offset(record).and_then(|at| segment.resolve_slice::<u8>(at).ok())),
            18 => drop(self.offset(record).map(|at| segment.destroy_at::<Value>(at))),
            19 => drop(self.offset(record).map(|at| segment.destroy_slice_at::<u8>(at))),
            20 => drop(segment.trim()),
            21 => drop(segment.recover().map(|recovered| recovered.to_string())),
            22 => drop(segment.clear()),
            23 => drop(segment.find_or_construct_unique(|| large)),
            24 => drop(segment.destroy_unique::<u64>()),
            25 => self.blocks.extend(segment.allocate_block(Self::layout(record)).ok()),
            26 => drop(self.blocks.pop()),
            27 => {
                self.values.pop();
                self.slices.pop();
            }
            28 => self.touch(),
            29 => {
                for i in 0..u16::from(small) % 80 {
                    drop(segment.construct(&format!("many-{i}"), u64::from(i)));
                }
            }
            30 => {
                let options = Options::new().recover_at_open(small & 1 == 0);
                if self.others.pop().is_none() {
                    self.others.extend(options.open_fd(self.file.descriptor()).ok());
                }
            }
            _ => self.elsewhere(record),
        }
    }

    /// Reads all that is referred to.
    fn touch(&self) {
        let sums = self.values.iter().map(|value| value.iter().fold(0, |sum, word| sum ^ word));
        let bytes = self.slices.iter().flat_map(|slice| slice.iter().take(1 << 16));
        std::hint::black_box((sums.fold(0, |a, b| a ^ b), bytes.fold(0, |a, b| a ^ b)));
    }

    /// In a second attachment of this process, if there is one, or in a thread.
    fn elsewhere(&mut self, record: &Record) {
        let (layout, offset) = (Self::layout(record), self.offset(record));
        let work = |segment: &Segment| {
            let kept = segment.allocate_block(layout);
            let raw = segment.allocate(layout);
            drop(segment.construct("elsewhere", record.large));
            let _ = offset.map(|offset| segment.deallocate(offset));
            drop(segment.destroy::<u64>("elsewhere"));
            std::mem::forget(kept.ok().filter(|_| record.small & 8 == 0));
            raw
        };
        let raw = match self.others.last() {
            Some(other) => work(other),
            None => {
                let segment = self.segment;
                let done = std::thread::scope(|scope| scope.spawn(|| work(segment)).join());
                done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
        };
        if let Ok(raw) = raw {
            self.remember(raw);
        }
    }
}

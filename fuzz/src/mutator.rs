//! How a fuzzer changes inputs so that they stay what a target reads: by records and by words, beside
//! the changes of bytes that it makes by itself.

use crate::image::{self, Base, Image};
use crate::mutation;
use crate::record::{ACT, BYTES, Record};
use crate::sparse::Sparse;

/// Numbers as from dice (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn record(&mut self, tag: u8) -> Record {
        let (low, high) = (self.next(), self.next());
        // Small numbers mean more than large ones.
        let index = [low as u16, low as u16 % 16][self.below(2)];
        let hops = [0, 0, 0, 1, 2, 3][self.below(6)];
        let small = [high as u8, high as u8 % 10][self.below(2)];
        let large = [self.next(), self.next() >> 32, self.next() % 4096][self.below(3)];
        let (what, behind, kind) = ((low >> 16) as u8, (low >> 24) as u8, (low >> 32) as u8);
        Record { tag, what, index, hops, behind, kind, small, large }
    }
}

/// Leaves `bytes` in `data`, as far as it has room; how many.
fn put(data: &mut [u8], bytes: &[u8], most: usize) -> usize {
    let size = bytes.len().min(most).min(data.len());
    data[..size].copy_from_slice(&bytes[..size]);
    size
}

/// Changes the script of a target of images (two bytes, and records).
pub fn script(
    data: &mut [u8],
    size: usize,
    most: usize,
    seed: u32,
    by_bytes: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut dice = Dice(u64::from(seed));
    if size < 2 || dice.below(4) == 0 {
        return by_bytes(data, size, most);
    }
    let mut head = [data[0], data[1]];
    let mut records: Vec<Record> = Record::all(&data[2..size]).collect();
    for _ in 0..=dice.below(3) {
        let at = dice.below(records.len());
        match dice.below(12) {
            0 => head[0] = dice.next() as u8,
            1 => head[1] = dice.next() as u8,
            2 if records.len() > 1 => drop(records.remove(at)),
            3 if !records.is_empty() => records.insert(at, records[at]),
            4 if !records.is_empty() => {
                let to = dice.below(records.len());
                records.swap(at, to);
            }
            5 | 6 if !records.is_empty() => {
                // One field is another record's or a random one's.
                let from = dice.record(records[at].tag);
                let record = &mut records[at];
                match dice.below(6) {
                    0 => record.what = from.what,
                    1 => record.index = from.index,
                    2 => (record.hops, record.behind) = (from.hops, from.behind),
                    3 => record.kind = from.kind,
                    4 => record.small = from.small,
                    _ => record.large = from.large,
                }
            }
            7 | 8 => {
                let record = dice.record(ACT);
                let at = dice.below(records.len() + 1);
                records.insert(at, record);
            }
            _ => {
                let record = dice.record(0);
                records.insert(0, record);
            }
        }
    }
    records.truncate(most.saturating_sub(2) / BYTES);
    let bytes: Vec<u8> =
        head.into_iter().chain(records.into_iter().flat_map(Record::bytes)).collect();
    put(data, &bytes, most)
}

/// Changes a file (see [`hostile`](crate::targets::hostile)): a word of it, as of the segment that it
/// may be.
pub fn file(
    data: &mut [u8],
    size: usize,
    most: usize,
    seed: u32,
    by_bytes: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut dice = Dice(u64::from(seed));
    if size < 2 || data[0].is_multiple_of(2) || dice.below(4) == 0 {
        return by_bytes(data, size, most);
    }
    let (head, acts) = ([data[0], data[1]], usize::from(data[1]) % 32 * BYTES);
    let (file, acts) = data[2..size].split_at((size - 2).saturating_sub(acts));
    let (mut sparse, mut acts) = (Sparse::decode(file), acts.to_vec());
    let (mut mode, mut count) = (head[0], head[1] % 32);
    if dice.below(8) == 0 {
        mode = dice.next() as u8 | 1;
    }
    if dice.below(4) == 0 && count < 31 {
        (count, acts) = (count + 1, [acts, dice.record(ACT).bytes().to_vec()].concat());
    }
    if let Some(base) = Base::of(String::new(), std::mem::take(&mut sparse)) {
        let mut image = Image::of(&base);
        for _ in 0..=dice.below(3) {
            mutation::apply(&mut image, &dice.record(0));
        }
        sparse = image.sparse();
    } else {
        let all = image::all();
        sparse = all[dice.below(all.len())].sparse.clone();
    }
    let bytes = [&[mode, count][..], &sparse.encode(), &acts].concat();
    if bytes.len() > most {
        return by_bytes(data, size, most);
    }
    put(data, &bytes, most)
}

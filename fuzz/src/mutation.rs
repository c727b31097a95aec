//! Changes of an image that know what lies where and what words are made of.

use crate::image::{Image, UNIT};
use crate::record::Record;
use sharena::door;

/// Bytes of a lane's record, and of a participant's.
const LANE: u64 = 4096;
const PARTICIPANT: u64 = 64;

/// Where a record points to.
pub fn place(image: &Image<'_>, record: &Record) -> u64 {
    let index = u64::from(record.index);
    let words_of = |name: &str, each: u64| {
        let area = image.area(name);
        // One unit past the frontier, too.
        area.at + index % ((image.units() + 1) * each) * 8 % area.bytes
    };
    let start = match record.what % 14 {
        0 => index % 16 * 8,
        1 => image.area("counts").at + index % 24 * 8,
        2 => image.area("participants").at + index % 6 * PARTICIPANT + index / 6 % 8 * 8,
        // The head of a lane's record with its journal; its bells and hazards.
        3 | 4 => image.area("lanes").at + (1 + index % 6) * LANE + index / 6 % 16 * 8,
        5 => image.area("lanes").at + (1 + index % 6) * LANE + (16 + index / 6 % 310) * 8,
        6 | 7 => words_of("unit words", 1),
        8 => words_of("doorbells", 1),
        9 => words_of("state lines", 16),
        10 => {
            let sets: Vec<_> = image.base.areas.iter().filter(|area| area.name == "sets").collect();
            let set = sets[usize::from(record.index) % sets.len()];
            set.at + u64::from(record.small) * 8 % set.bytes
        }
        11 => {
            let units = image.area("units");
            // A unit's first words, or its last page, where the states of small blocks are.
            let word = match index / image.units() % 640 {
                first @ 0..128 => first,
                last => UNIT / 8 - 640 + last,
            };
            units.at + index % image.units() * UNIT + word * 8
        }
        12 => image.base.words[usize::from(record.index) % image.base.words.len()],
        _ => door::roots()[usize::from(record.index) % 2],
    };
    (0..record.hops % 5).fold(start, |at, hop| match image.follow(at) {
        Some(to) => to + u64::from(record.behind >> (2 * hop)) % 64 * 8,
        None => at,
    })
}

/// An offset at which a block of some unit may begin.
fn block(image: &Image<'_>, number: u64) -> u64 {
    let units = image.area("units");
    (units.at + number % (image.units() * UNIT)) & !15
}

/// Changes the image as a record says.
pub fn apply(image: &mut Image<'_>, record: &Record) {
    let at = place(image, record);
    let (old, small, large) = (image.get(at), record.small, record.large);
    let (low, high) = (large as u32, (large >> 32) as u32);
    let lane = [low as u16 % 8, low as u16 % 4096][usize::from(high & 0xf == 0)];
    let other = Record {
        what: large as u8,
        index: (large >> 8) as u16,
        hops: (large >> 24) as u8,
        behind: (large >> 32) as u8,
        small: (large >> 40) as u8,
        ..Record::default()
    };
    let new = match record.kind % 20 {
        0 => large,
        1 => u64::from(small) % 3,
        2 => u64::MAX >> (small % 64),
        3 => old ^ 1 << (small % 64),
        4 => old.wrapping_add((small as i8) as u64),
        5 => old.wrapping_add(1 << (small % 48)),
        6 => image.get(place(image, &other)),
        7 => {
            let there = place(image, &other);
            let word = image.get(there);
            image.set(there, old);
            word
        }
        8 | 9 => {
            // As of few lanes and units, which there are.
            let rest = if high & 1 == 0 { low >> 16 } else { low >> 16 & 0x1f };
            door::unit_word(small, lane, (high >> 8) as u8, rest)
        }
        10 => door::participant_word(small, high & 3),
        11 => door::owner_word(small, low as u16 % 8, high & 3),
        12 => door::life_word(
            u64::from(high) >> (low & 31),
            small & 1 == 1,
            lane * u16::from(small >> 1 & 1),
        ),
        13 => door::slot_word(large, block(image, large)),
        14 => block(image, large),
        15 => place(image, &other),
        16 => image.base.words[low as usize % image.base.words.len()],
        17 => {
            let states = [0, 1, 2, 3, 6, 4, 255, small];
            let (byte, state) = (low % 8, u64::from(states[high as usize % 8]));
            old & !(0xff << (8 * byte)) | state << (8 * byte)
        }
        18 => door::oldest_word(block(image, large), lane),
        _ => door::helping_word(low as u16 % 8, high & 3),
    };
    image.set(at, new);
}

//! Objects that say which they are, and calls on their names as [`crate::linear`] judges them.
//!
//! An object is told by a number, its *value*: `serial << 24 | count << 2 | kind`. Its bytes follow from
//! the value, so that whoever sees them knows which object it is, and that no byte of it is another's.
#![allow(dead_code)] // each test file uses a part

use crate::common::pattern;
use crate::linear::{Answer, Call, kind_of};
use sharena::{AllocError, ObjectError, Offset, Owned, Ref, Segment};

pub const WORD: u64 = 0;
pub const ROW: u64 = 1;
pub const BYTES: u64 = 2;
/// Kinds of objects.
pub const KINDS: u64 = 3;
/// The most bytes that an object of `BYTES` has; at least it has 8.
pub const MOST: usize = (1 << 22) - 1;

/// So long that a slab has few, and a place is soon taken again.
type Row = [u64; 500];

/// The value of an object; `count` matters to `BYTES` alone.
pub fn value(serial: u64, kind: u64, count: usize) -> u64 {
    assert!(serial < 1 << 40 && kind < KINDS && (8..=MOST).contains(&count));
    serial << 24 | (count as u64) << 2 | kind
}

/// Bytes of its object.
pub fn bytes_of(value: u64) -> usize {
    match kind_of(value) {
        WORD => 8,
        ROW => size_of::<Row>(),
        _ => (value >> 2) as usize & MOST,
    }
}

fn row_word(value: u64, i: usize) -> u64 {
    value.wrapping_mul(2 * i as u64 + 1)
}

fn row(value: u64) -> Row {
    std::array::from_fn(|i| row_word(value, i))
}

/// The byte `i` of its object, if that is of `BYTES`.
fn byte(value: u64, i: usize) -> u8 {
    value.to_le_bytes().get(i).copied().unwrap_or_else(|| pattern(value, i))
}

/// Which object these bytes are; `None`: they are none of ours.
fn read_bytes(bytes: &[u8]) -> Option<u64> {
    let value = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let whole = kind_of(value) == BYTES
        && bytes_of(value) == bytes.len()
        && bytes.iter().enumerate().all(|(i, found)| *found == byte(value, i));
    whole.then_some(value)
}

fn read_word(word: u64) -> Option<u64> {
    (kind_of(word) == WORD && word != 0).then_some(word)
}

/// By its ends: who reads all of it hardly looks at the table.
fn read_row(found: &Row) -> Option<u64> {
    let value = found[0];
    let mut ends = (0..16).chain(found.len() - 16..found.len());
    (kind_of(value) == ROW && ends.all(|i| found[i] == row_word(value, i))).then_some(value)
}

/// A reference to an object.
pub enum Held<'s> {
    Word(Ref<'s, u64>),
    Row(Ref<'s, Row>),
    Bytes(Ref<'s, [u8]>),
}

impl Held<'_> {
    /// Which object it is, read anew; `None`: it is torn, or another's.
    pub fn value(&self) -> Option<u64> {
        // What a bug would do behind a reference, the compiler must not assume away.
        match self {
            Held::Word(word) => read_word(*std::hint::black_box(&**word)),
            Held::Row(row) => read_row(std::hint::black_box(row)),
            Held::Bytes(bytes) => read_bytes(std::hint::black_box(bytes)),
        }
    }

    /// Where its first byte stands.
    pub fn offset(&self) -> u64 {
        match self {
            Held::Word(word) => word.offset().to_bits(),
            Held::Row(row) => row.offset().to_bits(),
            Held::Bytes(bytes) => bytes.offset().to_bits(),
        }
    }
}

/// A private object.
pub enum Private<'s> {
    Word(Owned<'s, u64>),
    Row(Owned<'s, Row>),
    Bytes(Owned<'s, [u8]>),
}

impl<'s> Private<'s> {
    pub fn own(segment: &'s Segment, value: u64) -> Result<Private<'s>, ObjectError> {
        Ok(match kind_of(value) {
            WORD => Private::Word(segment.own(value)?),
            ROW => Private::Row(segment.own(row(value))?),
            _ => Private::Bytes(segment.own_slice(bytes_of(value), |i| byte(value, i))?),
        })
    }

    pub fn value(&self) -> Option<u64> {
        match self {
            Private::Word(word) => read_word(**word),
            Private::Row(row) => read_row(row),
            Private::Bytes(bytes) => read_bytes(bytes),
        }
    }

    pub fn address(&self) -> *const u8 {
        match self {
            Private::Word(word) => (&raw const **word).cast(),
            Private::Row(row) => (&raw const **row).cast(),
            Private::Bytes(bytes) => bytes.as_ptr(),
        }
    }

    pub fn publish(self) -> u64 {
        match self {
            Private::Word(word) => word.publish().to_bits(),
            Private::Row(row) => row.publish().to_bits(),
            Private::Bytes(bytes) => bytes.publish().to_bits(),
        }
    }
}

/// The published object of this kind at `at`.
pub fn resolve(segment: &Segment, at: u64, kind: u64) -> Result<Held<'_>, ObjectError> {
    Ok(match kind {
        WORD => Held::Word(segment.resolve(offset(at))?),
        ROW => Held::Row(segment.resolve(offset(at))?),
        _ => Held::Bytes(segment.resolve_slice(offset(at))?),
    })
}

pub fn destroy_at(segment: &Segment, at: u64, kind: u64) -> Result<(), ObjectError> {
    match kind {
        WORD => segment.destroy_at::<u64>(offset(at)),
        ROW => segment.destroy_at::<Row>(offset(at)),
        _ => segment.destroy_slice_at::<u8>(offset(at)),
    }
}

fn offset<T: ?Sized>(at: u64) -> Offset<T> {
    Offset::from_bits(at).expect("nothing stands at 0")
}

/// Calls by a name, or (`None`) by the type alone.
fn find<'s>(
    segment: &'s Segment,
    name: Option<&str>,
    kind: u64,
) -> Result<Option<Held<'s>>, ObjectError> {
    Ok(match (name, kind) {
        (Some(name), WORD) => segment.find(name)?.map(Held::Word),
        (Some(name), ROW) => segment.find(name)?.map(Held::Row),
        (Some(name), _) => segment.find_slice(name)?.map(Held::Bytes),
        (None, WORD) => segment.find_unique()?.map(Held::Word),
        (None, _) => segment.find_unique()?.map(Held::Row),
    })
}

fn construct<'s>(
    segment: &'s Segment,
    name: Option<&str>,
    value: u64,
) -> Result<Held<'s>, ObjectError> {
    Ok(match (name, kind_of(value)) {
        (Some(name), WORD) => Held::Word(segment.construct(name, value)?),
        (Some(name), ROW) => Held::Row(segment.construct(name, row(value))?),
        (Some(name), _) => {
            Held::Bytes(segment.construct_slice(name, bytes_of(value), |i| byte(value, i))?)
        }
        (None, WORD) => Held::Word(segment.construct_unique(value)?),
        (None, _) => Held::Row(segment.construct_unique(row(value))?),
    })
}

/// There is no such call for slices: `BYTES` are not asked for.
fn find_or_construct<'s>(
    segment: &'s Segment,
    name: Option<&str>,
    value: u64,
) -> Result<(Held<'s>, bool), ObjectError> {
    Ok(match (name, kind_of(value)) {
        (Some(name), WORD) => {
            let (word, made) = segment.find_or_construct(name, || value)?;
            (Held::Word(word), made)
        }
        (Some(name), _) => {
            let (found, made) = segment.find_or_construct(name, || row(value))?;
            (Held::Row(found), made)
        }
        (None, WORD) => {
            let (word, made) = segment.find_or_construct_unique(|| value)?;
            (Held::Word(word), made)
        }
        (None, _) => {
            let (found, made) = segment.find_or_construct_unique(|| row(value))?;
            (Held::Row(found), made)
        }
    })
}

fn destroy(segment: &Segment, name: Option<&str>, kind: u64) -> Result<bool, ObjectError> {
    match (name, kind) {
        (Some(name), WORD) => segment.destroy::<u64>(name),
        (Some(name), ROW) => segment.destroy::<Row>(name),
        (Some(name), _) => segment.destroy::<u8>(name),
        (None, WORD) => segment.destroy_unique::<u64>(),
        (None, _) => segment.destroy_unique::<Row>(),
    }
}

/// Calls; the answer, and the reference that came with it. `Ok(None)`: there was no memory.
pub fn perform<'s>(
    segment: &'s Segment,
    name: Option<&str>,
    call: Call,
) -> Result<Option<(Answer, Option<Held<'s>>)>, ObjectError> {
    let found = |held: Held<'s>| (held.value().map_or(Answer::Torn, Answer::Found), Some(held));
    let made = |held: Held<'s>, value| match held.value() {
        Some(same) if same == value => (Answer::Made, Some(held)),
        _ => (Answer::Torn, Some(held)),
    };
    let yes = |is| (if is { Answer::Yes } else { Answer::No }, None);
    let told = match call {
        Call::Construct(value) => construct(segment, name, value).map(|held| made(held, value)),
        Call::FindOrConstruct(value) => {
            find_or_construct(segment, name, value).map(|(held, is_made)| match is_made {
                true => made(held, value),
                false => found(held),
            })
        }
        Call::Find(kind) => {
            find(segment, name, kind).map(|held| held.map_or((Answer::Absent, None), found))
        }
        Call::Look => {
            for kind in 0..KINDS {
                match perform(segment, name, Call::Find(kind))? {
                    Some((Answer::WrongType, _)) => {}
                    told => return Ok(told),
                }
            }
            Ok((Answer::WrongType, None))
        }
        Call::Contains => segment.contains(name.expect("types are found, not asked for")).map(yes),
        Call::Destroy(kind) => destroy(segment, name, kind).map(yes),
    };
    match told {
        Ok(told) => Ok(Some(told)),
        Err(ObjectError::AlreadyExists { .. }) => Ok(Some((Answer::Taken, None))),
        Err(ObjectError::WrongType { .. }) => Ok(Some((Answer::WrongType, None))),
        Err(ObjectError::Alloc(AllocError::OutOfCapacity { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

//! Names and types: any text as a name, objects of several types, and bytes that are no value of them.

use sharena::{ObjectError, Options, Ref, Segment, Shareable, type_name};
use std::collections::HashMap;
use std::num::NonZeroU32;

/// Bytes of the longest name.
const LONGEST: usize = 4096;

/// An enum as a user would share it.
#[derive(Shareable, Clone, Copy, PartialEq, Debug)]
#[repr(u8)]
pub enum Signal {
    /// No payload.
    Off,
    /// A payload of which not all bytes are values.
    On {
        /// A byte.
        steady: bool,
        /// Four bytes.
        colour: char,
    } = 7,
    /// A payload of one number.
    Level(u32) = 200,
}

/// Two programs' types of one name that differ in their layout.
#[derive(Shareable, Clone, Copy, PartialEq, Debug)]
pub struct Pair {
    /// One.
    pub left: NonZeroU32,
    /// Another.
    pub right: bool,
}

/// An object's bytes, and whether they are a value of its type.
trait Judged: Shareable + Copy {
    fn is_value(bytes: &[u8]) -> bool;
    fn value() -> Self;
}

impl Judged for u64 {
    fn is_value(_: &[u8]) -> bool {
        true
    }
    fn value() -> u64 {
        5
    }
}

impl Judged for bool {
    fn is_value(bytes: &[u8]) -> bool {
        bytes[0] < 2
    }
    fn value() -> bool {
        true
    }
}

impl Judged for char {
    fn is_value(bytes: &[u8]) -> bool {
        char::from_u32(u32::from_ne_bytes(bytes.try_into().expect("four bytes"))).is_some()
    }
    fn value() -> char {
        'x'
    }
}

impl Judged for Signal {
    fn is_value(bytes: &[u8]) -> bool {
        // repr(u8): a union of repr(C) structs that begin with the tag.
        match bytes[0] {
            0 | 200 => true,
            7 => bytes[1] < 2 && char::is_value(&bytes[4..8]),
            _ => false,
        }
    }
    fn value() -> Signal {
        Signal::Level(3)
    }
}

impl Judged for Pair {
    fn is_value(bytes: &[u8]) -> bool {
        let (left, right) = (std::mem::offset_of!(Pair, left), std::mem::offset_of!(Pair, right));
        bytes[left..left + 4] != [0; 4] && bytes[right] < 2
    }
    fn value() -> Pair {
        Pair { left: NonZeroU32::MIN, right: false }
    }
}

/// Steps: what to do, how long the name is, the name, eight bytes for the object.
pub fn names(data: &[u8]) {
    let segment = Options::new().capacity(1 << 20).create_anonymous().expect("a segment");
    let (mut rest, mut known) = (data, HashMap::new());
    for _ in 0..100 {
        let Some((&[what, low, high], more)) = rest.split_first_chunk() else { break };
        let bytes = usize::from(u16::from_le_bytes([low, high & 0x1f])).min(more.len());
        let (name, more) = more.split_at(bytes);
        let mut value = [0; 8];
        let taken = more.len().min(8);
        value[..taken].copy_from_slice(&more[..taken]);
        rest = &more[taken..];
        let name = String::from_utf8_lossy(name);
        match what & 7 {
            0 => step::<u64>(&segment, &mut known, &name, what, value),
            1 => step::<bool>(&segment, &mut known, &name, what, value),
            2 => step::<char>(&segment, &mut known, &name, what, value),
            3 => step::<Pair>(&segment, &mut known, &name, what, value),
            _ => step::<Signal>(&segment, &mut known, &name, what, value),
        }
    }
    let mut listed: Vec<String> =
        segment.objects().expect("whole").into_iter().map(|object| object.name).collect();
    listed.sort();
    let mut expected: Vec<String> = known.into_keys().collect();
    expected.sort();
    assert_eq!(listed, expected);
    let report = segment.check().expect("it can be checked");
    assert!(report.is_clean(), "{report}");
}

/// What is known of a name: its object's type, and whether its bytes are a value.
type Known = HashMap<String, (String, bool)>;

fn step<T: Judged>(segment: &Segment, known: &mut Known, name: &str, what: u8, bytes: [u8; 8]) {
    let is_name = (1..=LONGEST).contains(&name.len());
    let had = known.get(name).cloned();
    let of_type = had.as_ref().is_some_and(|(ty, _)| *ty == type_name::<T>());
    match what >> 3 & 3 {
        0 | 1 => match segment.construct(name, T::value()) {
            Ok(made) => {
                assert!(is_name && had.is_none());
                let is_value = scribble(&made, &bytes);
                known.insert(name.into(), (type_name::<T>(), is_value));
            }
            Err(ObjectError::AlreadyExists { .. }) => assert!(had.is_some()),
            Err(ObjectError::InvalidName { bytes }) => assert!(!is_name && bytes == name.len()),
            Err(ObjectError::Alloc(_)) => {}
            Err(error) => panic!("{error}"),
        },
        2 => match segment.find::<T>(name).map(|found| found.is_some()) {
            Ok(true) => assert!(of_type && had.expect("it was constructed").1),
            Ok(false) => assert!(is_name && had.is_none()),
            Err(ObjectError::WrongType { found, .. }) => {
                assert!(!of_type);
                assert_eq!(found, had.expect("it was constructed").0);
            }
            Err(ObjectError::InvalidValue { .. }) => {
                assert!(of_type && !had.expect("it was constructed").1);
            }
            Err(ObjectError::InvalidName { .. }) => assert!(!is_name),
            Err(error) => panic!("{error}"),
        },
        _ => match segment.destroy::<T>(name) {
            Ok(true) => {
                assert!(of_type);
                known.remove(name);
            }
            Ok(false) => assert!(is_name && had.is_none()),
            Err(ObjectError::WrongType { .. }) => assert!(had.is_some() && !of_type),
            Err(ObjectError::InvalidName { .. }) => assert!(!is_name),
            Err(error) => panic!("{error}"),
        },
    }
}

/// Changes the bytes of an object, as a damaged file may have them; whether they are a value.
fn scribble<T: Judged>(made: &Ref<'_, T>, bytes: &[u8; 8]) -> bool {
    let size = size_of::<T>();
    let mut all = [0; 8];
    all[..size].copy_from_slice(&bytes[..size]);
    if bytes[7] & 1 == 0 {
        // SAFETY: the object's own bytes, which nobody reads as a value before they were judged.
        unsafe { made.as_ptr().cast::<u8>().copy_from_nonoverlapping(all.as_ptr(), size) };
        return T::is_value(&all[..size]);
    }
    true
}

//! What a segment refuses, once it is open: layouts, types, names, blocks to free, damaged objects. Each is
//! an error (never a panic, a signal or a hang), which
//!
//! - is of the kind that tells it from every other;
//! - says in its text what was wrong, where, and what to do;
//! - leaves everything as it was.
mod common;

use common::{Directory, assert_like_fresh, at_rest, says};
use sharena::{AllocError, FreeError, ObjectError, Offset, Options};
use std::alloc::Layout;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

#[test]
fn layouts_that_cannot_be() {
    let segment = Options::new().capacity(1 << 16).create_anonymous().unwrap();
    let fresh = at_rest(&segment);
    let total = fresh.total as usize;
    let each = |layout: Layout| {
        let error = segment.allocate(layout).unwrap_err();
        assert_eq!(segment.allocate_zeroed(layout).unwrap_err(), error);
        assert_eq!(segment.allocate_block(layout).unwrap_err(), error);
        assert_eq!(segment.handle().unwrap().allocate(layout).unwrap_err(), error);
        assert_eq!(segment.handle().unwrap().allocate_block(layout).unwrap_err(), error);
        error
    };
    let layout = |size, align| Layout::from_size_align(size, align).unwrap();
    assert_eq!(says(each(layout(0, 1)), &["no bytes", "at least one"]), AllocError::ZeroSize);
    assert_eq!(each(layout(0, 1 << 20)), AllocError::ZeroSize);
    let error = says(each(layout(8, 128 << 10)), &["131072", "65536"]);
    assert_eq!(error, AllocError::Alignment { asked: 128 << 10 });
    for asked in [total + 1, 1 << 40, isize::MAX as usize - 7] {
        let error = says(each(layout(asked, 8)), &[&asked.to_string(), "larger capacity"]);
        assert_eq!(error, AllocError::TooLarge { asked, capacity: total as u64 });
    }
    let error = says(each(layout(total, 1)), &["in use", "larger capacity"]);
    assert_eq!(error, AllocError::OutOfCapacity { asked: total, capacity: total as u64 });
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn objects_that_are_not_as_asked_for() {
    let segment = Options::new().capacity(1 << 16).create_anonymous().unwrap();
    segment.construct_slice("numbers", 3, |i| i as u32).unwrap();
    let error = says(
        segment.find::<u64>("numbers").unwrap_err(),
        &["numbers", "u32", "u64", "declare the same type"],
    );
    assert!(matches!(error, ObjectError::WrongType { .. }));
    let error =
        says(segment.find::<u32>("numbers").unwrap_err(), &["numbers", "3 values", "find_slice"]);
    assert!(matches!(error, ObjectError::WrongCount { found: 3, .. }));
    let error = says(
        segment.construct("numbers", 1u8).unwrap_err(),
        &["numbers", "exists", "find_or_construct"],
    );
    assert!(matches!(error, ObjectError::AlreadyExists { .. }));
    says(segment.construct("", 1u8).unwrap_err(), &["1 to 4096 bytes", "not 0"]);
    says(segment.construct(&"x".repeat(4097), 1u8).unwrap_err(), &["1 to 4096 bytes", "not 4097"]);
    says(
        segment.construct_slice("many", usize::MAX, |_| 1u8).unwrap_err(),
        &["more than any segment"],
    );
    let error = says(
        segment.construct_slice_default::<u8>("many", 1 << 30).unwrap_err(),
        &["larger capacity"],
    );
    let source = std::error::Error::source(&error).expect("what memory says");
    assert_eq!(source.to_string(), error.to_string());
    says(
        segment.resolve(Offset::<u8>::from_bits(77).unwrap()).unwrap_err(),
        &["0x4d", "destroyed"],
    );
    let offset = segment.find_slice::<u32>("numbers").unwrap().unwrap().offset();
    says(segment.destroy_slice_at(offset).unwrap_err(), &["by its name"]);
    says(segment.deallocate(offset.cast()).unwrap_err(), &["inside the block"]);
    says(
        segment.deallocate(Offset::from_bits(77).unwrap()).unwrap_err(),
        &["0x4d", "no block of this segment"],
    );
}

/// Blocks for the objects are left when there are none for their names.
#[test]
fn more_names_than_there_is_memory_for() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let name = |number: usize| format!("{number:04000}");
    let mut count = 0;
    let error = loop {
        match segment.construct(&name(count), count as u8) {
            Ok(_) => count += 1,
            Err(error) => break says(error, &["in use", "larger capacity"]),
        }
    };
    assert!(matches!(error, ObjectError::Alloc(AllocError::OutOfCapacity { .. })), "{error:?}");
    assert!(count > 100, "only {count} names");
    for number in 0..count {
        assert_eq!(*segment.find::<u8>(&name(number)).unwrap().unwrap(), number as u8);
    }
    assert!(segment.find::<u8>(&name(count)).unwrap().is_none());
    assert!(segment.check().unwrap().is_clean());
}

#[test]
fn what_cannot_be_freed() {
    let segment = Options::new().capacity(4 << 20).create_anonymous().unwrap();
    let fresh = at_rest(&segment);
    for bytes in [64, 1 << 20] {
        let layout = Layout::from_size_align(bytes, 16).unwrap();
        let private = segment.allocate_block(layout).unwrap();
        let at = segment.offset_of(private.as_ptr().as_ptr()).unwrap();
        let error = says(
            segment.deallocate(at).unwrap_err(),
            &["private to a process", "not yet published"],
        );
        assert_eq!(error, FreeError::IsPrivate { offset: at.to_bits() });
        drop(private);
        segment.construct_slice_default::<u8>("object", bytes).unwrap();
        let offset = segment.objects().unwrap().pop().unwrap().offset;
        let at = Offset::from_bits(offset).unwrap();
        let error = says(segment.deallocate(at).unwrap_err(), &["typed object", "use destroy"]);
        assert_eq!(error, FreeError::IsObject { offset });
        segment.destroy::<u8>("object").unwrap();
    }
    // Blocks of another thread go back to their slab, and are not kept at hand.
    let blocks: Vec<_> = (0..3000)
        .map(|_| segment.allocate(Layout::from_size_align(200, 8).unwrap()).unwrap())
        .collect();
    std::thread::scope(|scope| {
        let free = || blocks.iter().for_each(|block| segment.deallocate(*block).unwrap());
        scope.spawn(free).join().unwrap();
    });
    let errors = blocks.iter().map(|block| segment.deallocate(*block).unwrap_err());
    let twice: Vec<_> =
        errors.filter(|error| matches!(error, FreeError::DoubleFree { .. })).collect();
    assert!(!twice.is_empty());
    for error in twice {
        says(error, &["the block at 0x", "free already"]);
    }
    segment.trim().unwrap();
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn objects_whose_bytes_are_damaged() {
    let directory = Directory::new("damaged-objects");
    let path = directory.join("segment");
    let segment = Options::new().capacity(1 << 20).create_at(&path).unwrap();
    let at = segment.construct("flag", true).unwrap().offset().to_bits();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[2], at).unwrap();
    let error =
        says(segment.find::<bool>("flag").unwrap_err(), &["flag", "no bool", "`sharena check`"]);
    assert!(matches!(error, ObjectError::InvalidValue { .. }));
    // In the object's header its count, of the slice whose bytes would not fit the block.
    segment.construct_slice_from("bytes", b"some bytes").unwrap();
    let header = segment.objects().unwrap();
    let header = header.iter().find(|info| info.name == "bytes").unwrap().offset;
    let original = segment.find_slice::<u8>("bytes").unwrap().unwrap().len() as u64;
    let words: Vec<u64> = (0..4)
        .map(|word| {
            let mut bytes = [0; 8];
            let file = File::open(&path).unwrap();
            file.read_exact_at(&mut bytes, header + 8 * word).unwrap();
            u64::from_le_bytes(bytes)
        })
        .collect();
    let life = words.iter().position(|word| word >> 17 == original).expect("a word has the count");
    let damaged = (1u64 << 40 << 17 | words[life] & 0x1ffff).to_le_bytes();
    file.write_all_at(&damaged, header + 8 * life as u64).unwrap();
    let error = says(
        segment.find_slice::<u8>("bytes").unwrap_err(),
        &["is damaged", "larger than its block", "`sharena check`"],
    );
    assert!(matches!(error, ObjectError::Corrupt { .. }));
    assert!(std::error::Error::source(&error).is_none());
}

#[test]
fn what_memory_refused_stands_behind_what_an_object_was_refused_for() {
    use std::error::Error as _;
    let alloc = AllocError::TooLarge { asked: 2, capacity: 1 };
    let error = ObjectError::Alloc(alloc);
    assert_eq!(error.source().and_then(|source| source.downcast_ref()), Some(&alloc));
    assert!(ObjectError::InvalidName { bytes: 0 }.source().is_none());
}

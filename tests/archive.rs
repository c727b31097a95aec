//! Archives: what one process archived another reads in place; bytes that are no value of the type are an
//! error, and so are other objects of that name.
#![cfg(feature = "rkyv")]

mod common;

use common::{Name, Process, arg, role};
use rkyv::{Archive, Deserialize, Serialize};
use sharena::archive::{ArchiveError, ArchiveRef};
use sharena::{ObjectError, Options, Segment};
use std::collections::BTreeMap;

#[derive(Archive, Serialize, Deserialize, PartialEq, Debug)]
#[rkyv(derive(Debug))]
struct Book {
    title: String,
    asks: BTreeMap<String, Vec<f64>>,
    kind: Kind,
}

#[derive(Archive, Serialize, Deserialize, PartialEq, Debug)]
#[rkyv(derive(Debug))]
enum Kind {
    Empty,
    Of(Vec<Option<char>>),
}

fn book() -> Book {
    let asks = [("XYZ".to_owned(), vec![1.5, 1.75]), ("ABC".to_owned(), vec![])];
    Book { title: "today".into(), asks: asks.into(), kind: Kind::Of(vec![None, Some('ß')]) }
}

fn anonymous() -> Segment {
    Options::new().capacity(1 << 20).create_anonymous().unwrap()
}

#[test]
fn an_archive_is_read_in_place_by_another_process() {
    let test = "an_archive_is_read_in_place_by_another_process";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let found = segment.find_archive::<Book>("book").unwrap().unwrap();
        assert_eq!(found.asks.get("XYZ").unwrap()[1], 1.75);
        let read: Book = rkyv::deserialize::<Book, rkyv::rancor::Error>(&*found).unwrap();
        assert_eq!(read, book());
        assert!(segment.destroy_archive("book").unwrap());
        assert_eq!(found.title, "today", "it stays as long as somebody looks at it");
        return;
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    segment.construct_archive("book", &book()).unwrap();
    let made = segment.find_archive::<Book>("book").unwrap().unwrap();
    assert!(format!("{made:?}").contains("XYZ"));
    drop(made);
    Process::start(test, "reader", &[&name]).finish();
    assert!(segment.find_archive::<Book>("book").unwrap().is_none());
    assert!(!segment.destroy_archive("book").unwrap());
    assert!(segment.check().unwrap().is_clean());
}

#[test]
fn what_is_no_archive_of_the_type_is_an_error() {
    let segment = anonymous();
    segment.construct("number", 7u64).unwrap();
    segment.construct_slice_from("bytes", &[7u8; 64]).unwrap();
    for name in ["number", "bytes"] {
        let refused = segment.find_archive::<Book>(name);
        assert!(matches!(refused, Err(ArchiveError::Object(ObjectError::WrongType { .. }))));
        assert!(matches!(segment.destroy_archive(name), Err(ObjectError::WrongType { .. })));
    }
    segment.construct_archive("text", &"some text".to_owned()).unwrap();
    assert!(matches!(segment.find_slice::<u8>("text"), Err(ObjectError::WrongType { .. })));
    let refused = segment.find_archive::<Book>("text").map(|_| ()).unwrap_err();
    assert!(matches!(refused, ArchiveError::Invalid { .. }), "{refused}");
    assert!(refused.to_string().contains("\"text\" is no archive of the type"), "{refused}");
    let twice = segment.construct_archive("text", &1u8).unwrap_err();
    assert!(matches!(twice, ArchiveError::Object(ObjectError::AlreadyExists { .. })), "{twice}");
    assert_eq!(segment.find_archive::<String>("text").unwrap().unwrap().as_str(), "some text");
    assert_eq!(segment.objects().unwrap().iter().filter(|it| it.type_name == "Archive").count(), 1);
}

/// Each byte of an archive changed: it is refused, or some book, which can be read.
#[test]
fn damaged_bytes_are_refused_or_read_as_some_value() {
    let segment = anonymous();
    segment.construct_archive("good", &book()).unwrap();
    let good = segment.find_archive::<Book>("good").unwrap().unwrap();
    let good = ArchiveRef::as_bytes(&good).to_vec();
    let mut refused = 0;
    for at in 0..good.len() {
        for bit in [0, 7] {
            segment.construct_archive("bad", &book()).unwrap();
            let made = segment.find_archive::<Book>("bad").unwrap().unwrap();
            let bytes = ArchiveRef::as_bytes(&made).as_ptr().cast_mut();
            // SAFETY: damage done to the object on purpose, before anybody reads it again.
            unsafe { *bytes.add(at) ^= 1 << bit };
            drop(made);
            match segment.find_archive::<Book>("bad") {
                Ok(found) => drop(format!("{:?}", *found.unwrap())),
                Err(ArchiveError::Invalid { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
            assert!(segment.destroy_archive("bad").unwrap());
        }
    }
    assert!(refused > good.len() / 4, "{refused} of {} changes were seen", 2 * good.len());
}

#[derive(Archive, Serialize)]
#[rkyv(attr(repr(C, align(64))))]
struct Line(u8);

/// What needs the alignment does not lie in the archived value itself: only who finds it can see that.
#[derive(Archive, Serialize)]
struct Lines(Vec<Line>);

#[test]
fn an_alignment_that_objects_do_not_have_is_refused() {
    let segment = anonymous();
    let refused = segment.construct_archive("line", &Line(1)).unwrap_err();
    assert!(matches!(refused, ArchiveError::Refused { .. }));
    assert!(refused.to_string().contains("alignment of 64 bytes"), "{refused}");
    assert!(segment.find_archive::<String>("line").unwrap().is_none());
    let aligned = |i: u32| {
        let name = format!("lines {i}");
        segment.construct_archive(&name, &Lines(vec![Line(1)])).unwrap();
        match segment.find_archive::<Lines>(&name) {
            Ok(found) => found.unwrap().0.as_ptr().addr().is_multiple_of(64),
            Err(refused) => !refused.to_string().contains("is no archive of the type"),
        }
    };
    let refused = (0..16).filter(|i| !aligned(*i)).count();
    assert!(refused > 0, "objects of 16-byte alignment were all at multiples of 64");
}

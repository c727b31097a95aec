//! Collections and serde: the text is that of std's collections, what is read back is equal, and where it
//! cannot be, there is an error and no block is lost.
#![cfg(feature = "serde")]

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sharena::collections::{BTreeMap, BTreeSet, Box, HashMap, String, Vec};
use sharena::{Options, Segment, Shareable};

#[derive(Shareable, Serialize, Deserialize, PartialEq, Debug)]
struct Order {
    who: String,
    lines: Vec<Line>,
    notes: BTreeMap<u32, String>,
    marks: BTreeSet<String>,
    prices: HashMap<String, u64>,
    next: Option<Box<Line>>,
}

#[derive(Shareable, Serialize, Deserialize, PartialEq, Debug)]
struct Line {
    what: String,
    count: u32,
}

/// The same of std's types.
#[derive(Serialize, Deserialize)]
struct Std {
    who: std::string::String,
    lines: std::vec::Vec<StdLine>,
    notes: std::collections::BTreeMap<u32, std::string::String>,
    marks: std::collections::BTreeSet<std::string::String>,
    prices: std::collections::HashMap<std::string::String, u64>,
    next: Option<std::boxed::Box<StdLine>>,
}

#[derive(Serialize, Deserialize)]
struct StdLine {
    what: std::string::String,
    count: u32,
}

fn segment() -> Segment {
    Options::new().capacity(1 << 20).create_anonymous().unwrap()
}

fn order() -> Order {
    let line = |what: &str, count| Line { what: what.into(), count };
    Order {
        who: "Alice \"in\" Wonderland".into(),
        lines: [line("tea", 3), line("", 0)].into_iter().collect(),
        notes: [(7, "seven".into()), (1, "one".into())].into_iter().collect(),
        marks: ["late".into(), "fragile".into()].into_iter().collect(),
        prices: [("tea".into(), 420)].into_iter().collect(),
        next: Some(Box::new(line("cups", 1))),
    }
}

#[test]
fn a_value_reads_and_is_read_as_stds_does() {
    let segment = segment();
    let _inside = segment.enter().unwrap();
    let ours = order();
    let text = serde_json::to_string(&ours).unwrap();
    let theirs: Std = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&theirs).unwrap(), text);
    assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), ours);
    let bytes = postcard::to_allocvec(&ours).unwrap();
    assert_eq!(bytes, postcard::to_allocvec(&theirs).unwrap());
    assert_eq!(postcard::from_bytes::<Order>(&bytes).unwrap(), ours);
}

#[test]
fn what_is_read_can_be_published() {
    let segment = segment();
    let text = serde_json::to_string(&{
        let _inside = segment.enter().unwrap();
        order()
    })
    .unwrap();
    let made: Order = {
        let _inside = segment.enter().unwrap();
        serde_json::from_str(&text).unwrap()
    };
    segment.construct("order", made).unwrap();
    let found = segment.find::<Order>("order").unwrap().unwrap();
    assert_eq!(serde_json::to_string(&*found).unwrap(), text);
    drop(found);
    assert!(segment.check().unwrap().is_clean());
}

/// Reads what cannot be read; the error's text.
fn refused<T: DeserializeOwned>(segment: &Segment, text: &str) -> std::string::String {
    let free = || {
        segment.trim().unwrap();
        segment.stats().unwrap().free
    };
    let before = free();
    let error = serde_json::from_str::<T>(text).err().expect("it cannot be").to_string();
    assert_eq!(free(), before, "what was read before {error} is free again");
    error
}

#[test]
fn what_cannot_be_read_is_an_error_and_leaves_nothing() {
    let segment = segment();
    {
        let _inside = segment.enter().unwrap();
        drop(order()); // whatever is made once
        let half = r#"{"a": ["one", "two"], "b": ["three", 4]}"#;
        let error = refused::<HashMap<String, Vec<String>>>(&segment, half);
        assert!(error.contains("invalid type: integer `4`, expected a string"), "{error}");
        let error = refused::<Vec<String>>(&segment, "7");
        assert!(error.contains("expected a sequence"), "{error}");
        let error = refused::<BTreeMap<u64, String>>(&segment, "[]");
        assert!(error.contains("expected a map"), "{error}");
        let error = refused::<BTreeSet<u64>>(&segment, "{}");
        assert!(error.contains("expected a set"), "{error}");
        let long =
            format!("[{}\"last\"]", "\"a text that has a block of its own\",".repeat(1_000_000));
        let error = refused::<Vec<String>>(&segment, &long);
        assert!(error.contains("no room for"), "{error}");
        assert!(refused::<Box<String>>(&segment, "[]").contains("expected a string"));
    }
    let error = serde_json::from_str::<Vec<u64>>("[1]").unwrap_err().to_string();
    assert!(error.contains("enter a segment"), "{error}");
    assert!(serde_json::from_str::<Vec<u64>>("[]").unwrap().is_empty());
}

//! A map from numbers to strings in shared memory: each string has a block of its own, and all are given
//! to everybody at once.
//!
//! ```sh
//! cargo run --release --example map
//! ```

use sharena::Segment;
use sharena::collections::{HashMap, String};
use std::error::Error;
use std::process::Command;

type Names = HashMap<i32, String>;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(name) = std::env::args().nth(1) {
        return read(&name);
    }
    let name = format!("map-{}", std::process::id());
    let written = write(&name);
    sharena::remove(&name)?;
    written
}

fn write(name: &str) -> Result<(), Box<dyn Error>> {
    let segment = Segment::create(name, 65_536)?;
    let mut names = Names::new_in(&segment);
    for (number, text) in [(1, "Alice"), (2, "Bob"), (3, "Charlie")] {
        names.try_insert(number, String::try_from_in(text, &segment)?)?;
    }
    // Whole, or not there: also if this process dies right here.
    segment.construct("MyMap", names)?;
    println!("written: MyMap, in the segment {name}");

    let reader = Command::new(std::env::current_exe()?).arg(name).status()?;
    if !reader.success() {
        return Err(format!("the reader ended with {reader}").into());
    }
    segment.destroy::<Names>("MyMap")?;
    Ok(())
}

fn read(name: &str) -> Result<(), Box<dyn Error>> {
    let segment = Segment::open(name)?;
    let names = segment.find::<Names>("MyMap")?.ok_or("there is no MyMap")?;
    let mut numbers: Vec<i32> = names.keys().copied().collect();
    numbers.sort_unstable();
    for number in numbers {
        println!("read:    {number}: {}", names[&number]);
    }
    if names.len() != 3 || names[&2] != "Bob" {
        return Err("it is not what was written".into());
    }
    Ok(())
}

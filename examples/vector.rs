//! A vector in shared memory: one process fills it and gives it to everybody, another reads it.
//!
//! ```sh
//! cargo run --release --example vector
//! ```

use sharena::Segment;
use sharena::collections::Vec;
use std::error::Error;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(name) = std::env::args().nth(1) {
        return read(&name);
    }
    let name = format!("vector-{}", std::process::id());
    let written = write(&name);
    sharena::remove(&name)?;
    written
}

/// Fills a vector, which is this process' own until it is whole.
fn write(name: &str) -> Result<(), Box<dyn Error>> {
    let segment = Segment::create(name, 65_536)?;
    let mut numbers = Vec::new_in(&segment);
    for i in 0..10 {
        numbers.try_push(i * 10)?;
    }
    segment.construct("MyVector", numbers)?;
    println!("written: MyVector, in the segment {name}");

    let reader = Command::new(std::env::current_exe()?).arg(name).status()?;
    if !reader.success() {
        return Err(format!("the reader ended with {reader}").into());
    }
    // Any process may destroy it; all that it has comes back when nobody looks at it any more.
    segment.destroy::<Vec<i32>>("MyVector")?;
    Ok(())
}

/// Another process: finds the vector itself, not a copy.
fn read(name: &str) -> Result<(), Box<dyn Error>> {
    let segment = Segment::open(name)?;
    let numbers = segment.find::<Vec<i32>>("MyVector")?.ok_or("there is no MyVector")?;
    println!("read:    {:?}, in all {}", numbers.as_slice(), numbers.iter().sum::<i32>());
    if *numbers != [0, 10, 20, 30, 40, 50, 60, 70, 80, 90] {
        return Err("it is not what was written".into());
    }
    Ok(())
}

//! The writer of two programs that share a segment; the other one is `reader`.
//!
//! ```text
//! terminal 1:  cargo run --example writer        terminal 2:  cargo run --example reader
//! ```

use sharena::{Error, Segment};
use std::io::stdin;

const SEGMENT: &str = "MySharedMemory";

fn main() {
    if let Err(error) = write() {
        eprintln!("writer: {error}");
        std::process::exit(1);
    }
}

fn write() -> Result<(), Box<dyn std::error::Error>> {
    // A segment that an earlier run left behind. One that is in use goes on without its name.
    match sharena::remove(SEGMENT) {
        Ok(()) | Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let segment = Segment::create(SEGMENT, 65_536)?;

    let integer = segment.construct("MyInteger", 42i32)?;
    println!("writer: MyInteger = {}", *integer);

    let mut text = [0u8; 100];
    let hello = b"Hello from shared memory!";
    text[..hello.len()].copy_from_slice(hello);
    let text = segment.construct_slice_from("MyString", &text)?;
    println!(
        "writer: MyString = {:?}, {} bytes",
        String::from_utf8_lossy(&text[..hello.len()]),
        text.len()
    );

    println!("writer: now start the reader; Enter ends this");
    stdin().read_line(&mut String::new())?;

    // References first: an object that is destroyed stays visible to who holds one.
    drop((integer, text));
    segment.destroy::<i32>("MyInteger")?;
    segment.destroy::<u8>("MyString")?;
    sharena::remove(SEGMENT)?;
    println!("writer: destroyed and removed");
    Ok(())
}

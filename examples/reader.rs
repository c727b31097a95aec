//! The reader of two programs that share a segment; the other one is `writer`.

use sharena::Segment;

fn main() {
    if let Err(error) = read() {
        eprintln!("reader: {error}");
        std::process::exit(1);
    }
}

fn read() -> Result<(), Box<dyn std::error::Error>> {
    let segment = Segment::open("MySharedMemory")?;

    match segment.find::<i32>("MyInteger")? {
        Some(integer) => println!("reader: found MyInteger = {}", *integer),
        None => println!("reader: there is no MyInteger"),
    }
    match segment.find_slice::<u8>("MyString")? {
        Some(text) => {
            let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
            println!("reader: found MyString = {:?}", String::from_utf8_lossy(&text[..end]));
        }
        None => println!("reader: there is no MyString"),
    }

    // Another type than was written is an error that names both.
    if let Err(error) = segment.find::<f64>("MyInteger") {
        println!("reader: as f64: {error}");
    }
    Ok(())
}

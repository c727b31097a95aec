use sharena::collections::String;
use sharena::Segment;

fn main() {
    let segment = Segment::open("name").unwrap();
    let found = segment.find::<String>("text").unwrap().unwrap();
    let text: &str = found.as_str();
    drop(found);
    println!("{text}");
}

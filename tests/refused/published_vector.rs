use sharena::collections::{String, Vec};
use sharena::Segment;

fn main() {
    let segment = Segment::open("name").unwrap();
    let mut private = Vec::new();
    let mut found = segment.find::<Vec<String>>("names").unwrap().unwrap();
    found.push(String::new());
    found[0].push_str("more");
    std::mem::swap(&mut *found, &mut private);
    let taken: String = found[0];
    drop((private, taken));
}

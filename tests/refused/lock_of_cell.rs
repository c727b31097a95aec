use sharena::Options;
use sharena::lock::Mutex;
use std::cell::Cell;

fn main() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let _ = segment.construct("m", Mutex::new(Cell::new(1)));
}

use std::sync::Mutex;

use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: Mutex<u32>,
}

fn main() {}

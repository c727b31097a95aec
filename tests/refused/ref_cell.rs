use std::cell::RefCell;

use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: RefCell<u32>,
}

fn main() {}

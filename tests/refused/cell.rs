use std::cell::Cell;

use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: Cell<u32>,
}

fn main() {}

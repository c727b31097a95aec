use std::rc::Rc;

use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: Rc<u64>,
}

fn main() {}

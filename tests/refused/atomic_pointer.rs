use std::sync::atomic::AtomicPtr;

use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: AtomicPtr<u8>,
}

fn main() {}

use std::sync::Arc;

use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: Arc<u64>,
}

fn main() {}

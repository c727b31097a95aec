use sharena::Shareable;
use sharena::collections::Vec;

#[derive(Shareable)]
struct Refused {
    numbers: Vec<u32>,
}

impl Drop for Refused {
    fn drop(&mut self) {}
}

fn main() {}

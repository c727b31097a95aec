use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: Box<u64>,
}

fn main() {}

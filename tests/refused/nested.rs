use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: [(u8, Vec<u8>); 2],
}

fn main() {}

use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: Vec<u8>,
}

fn main() {}

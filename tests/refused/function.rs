use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: fn(u32) -> u32,
}

fn main() {}

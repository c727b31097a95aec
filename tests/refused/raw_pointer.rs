use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: *const u8,
}

fn main() {}

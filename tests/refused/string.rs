use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: String,
}

fn main() {}

use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: Option<u32>,
}

fn main() {}

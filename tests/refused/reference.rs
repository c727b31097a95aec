use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: &'static str,
}

fn main() {}

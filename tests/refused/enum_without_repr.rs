use sharena::Shareable;

#[derive(Shareable)]
enum Refused {
    A,
    B,
}

fn main() {}

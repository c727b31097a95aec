use sharena::Shareable;

#[derive(Shareable)]
enum Refused {
    Nothing,
    Number(u32),
}

fn main() {}

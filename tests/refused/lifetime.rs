use sharena::Shareable;

#[derive(Shareable)]
struct Refused<'a> {
    text: &'a str,
}

fn main() {}

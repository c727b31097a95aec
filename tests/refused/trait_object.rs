use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
    field: Box<dyn Fn() + Send + Sync>,
}

fn main() {}

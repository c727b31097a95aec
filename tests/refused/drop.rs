use sharena::Shareable;

#[derive(Shareable)]
struct Refused {
    number: u32,
}

impl Drop for Refused {
    fn drop(&mut self) {}
}

fn main() {}

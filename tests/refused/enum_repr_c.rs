use sharena::Shareable;

#[derive(Shareable)]
#[repr(C)]
enum Refused {
    A,
    B,
}

fn main() {}

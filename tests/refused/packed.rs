use sharena::Shareable;

#[derive(Shareable)]
#[repr(C, packed(2))]
struct Refused {
    a: u8,
    b: u32,
}

fn main() {}

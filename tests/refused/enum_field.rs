use sharena::Shareable;

#[derive(Shareable)]
#[repr(u8)]
enum Refused {
    Nothing,
    Text(u32, String),
}

fn main() {}

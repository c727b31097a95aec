use sharena::Shareable;

#[derive(Shareable)]
union Refused {
    a: u32,
    b: f32,
}

fn main() {}

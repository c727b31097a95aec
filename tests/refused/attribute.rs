use sharena::Shareable;

#[derive(Shareable)]
#[shareable(nome = "Old")]
struct Refused {
    number: u32,
}

#[derive(Shareable)]
struct Field {
    #[shareable(crate = "here")]
    number: u32,
}

#[derive(Shareable)]
#[shareable(name = "")]
struct Empty;

fn main() {}

use sharena::Shareable;

#[derive(Shareable)]
enum Refused {}

fn main() {}

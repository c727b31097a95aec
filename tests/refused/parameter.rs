use sharena::Shareable;

#[derive(Shareable)]
struct Pair<T>(T, T);

fn main() {
    fn shared<T: Shareable>() {}
    shared::<Pair<u8>>();
    shared::<Pair<String>>();
}

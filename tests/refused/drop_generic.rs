use sharena::Shareable;

#[derive(Shareable)]
#[repr(u8)]
enum Refused<T> {
    Only(T),
}

impl<T> Drop for Refused<T> {
    fn drop(&mut self) {}
}

fn main() {}

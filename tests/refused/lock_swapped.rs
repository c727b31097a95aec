use sharena::Options;
use sharena::lock::Mutex;

fn main() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let mut mutex = segment.construct("m", Mutex::new(1)).unwrap();
    std::mem::swap(&mut *mutex, &mut Mutex::new(2));
}
